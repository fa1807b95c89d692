/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/cbor.h"
#include "bridge/bytes/hex.h"
#include "bridge/error.h"

/* Of its own size, so that ASan sees a read beyond it. */
static uint8_t *bytes_of(const char *hex, size_t *size)
{
	uint8_t *bytes;

	*size = strlen(hex) / 2;
	bytes = malloc(*size ? *size : 1);
	assert_int_equal(hex_decode(hex, bytes, *size), 0);
	return bytes;
}

/* RFC 8949, appendix A. */
static void integers_have_the_shortest_head(void **state)
{
	static const struct {
		uint64_t value;
		const char *hex;
	} cases[] = {
		{0, "00"},
		{23, "17"},
		{24, "1818"},
		{255, "18ff"},
		{256, "190100"},
		{65535, "19ffff"},
		{65536, "1a00010000"},
		{1000000000000, "1b000000e8d4a51000"},
		{UINT64_MAX, "1bffffffffffffffff"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint8_t buffer[16], *expected;
		struct writer writer;
		struct reader reader;
		size_t size;

		expected = bytes_of(cases[i].hex, &size);
		writer_init(&writer, buffer, sizeof buffer);
		cbor_write_uint(&writer, cases[i].value);
		assert_int_equal(writer.error, 0);
		assert_int_equal(writer_size(&writer), size);
		assert_memory_equal(buffer, expected, size);
		reader_init(&reader, expected, size);
		assert_true(cbor_read_uint(&reader) == cases[i].value);
		assert_int_equal(reader.error, 0);
		assert_int_equal(reader_left(&reader), 0);
		for (size_t cut = 0; cut < size; cut++) {
			uint8_t *part = malloc(cut ? cut : 1);

			memcpy(part, expected, cut);
			reader_init(&reader, part, cut);
			assert_true(cbor_read_uint(&reader) == 0);
			assert_int_equal(reader.error, ERROR_TRUNCATED);
			free(part);
		}
		free(expected);
	}
}

static void what_is_written_is_read(void **state)
{
	uint8_t buffer[256], octets[] = {0, 23, 24, 255}, again[4];
	struct writer writer;
	struct reader reader;
	size_t size;

	writer_init(&writer, buffer, sizeof buffer);
	cbor_write_map(&writer, 2);
	cbor_write_name(&writer, "a");
	cbor_write_octets(&writer, octets, sizeof octets);
	cbor_write_text(&writer, "bc", 2);
	cbor_write_array(&writer, 1);
	cbor_write_bytes(&writer, octets, sizeof octets);
	assert_int_equal(writer.error, 0);
	reader_init(&reader, buffer, writer_size(&writer));
	assert_int_equal(cbor_read_map(&reader), 2);
	assert_true(cbor_is_name(cbor_read_text(&reader, &size), 1, "a"));
	assert_int_equal(size, 1);
	cbor_read_octets(&reader, again, sizeof again);
	assert_memory_equal(again, octets, sizeof octets);
	cbor_read_text(&reader, &size);
	assert_int_equal(size, 2);
	assert_int_equal(cbor_read_array(&reader), 1);
	assert_memory_equal(cbor_read_bytes(&reader, &size), octets, sizeof octets);
	assert_int_equal(size, sizeof octets);
	assert_int_equal(reader.error, 0);
	assert_int_equal(reader_left(&reader), 0);
	/* Nothing is left. */
	assert_null(cbor_read_bytes(&reader, &size));
	assert_int_equal(reader.error, ERROR_TRUNCATED);
}

static void a_writer_that_is_full_says_so(void **state)
{
	for (size_t room = 0; room < 5; room++) {
		uint8_t *buffer = malloc(room ? room : 1);
		struct writer writer;

		writer_init(&writer, buffer, room);
		cbor_write_text(&writer, "abcd", 4);
		assert_int_equal(writer.error, ERROR_TOO_LARGE);
		free(buffer);
	}
}

/* Each as what it is not: an integer, an array, a map, bytes, text. */
static void other_types_are_refused(void **state)
{
	static const char *const items[] = {
		"00", "80", "a0", "40", "60", "20", "f6", "fb3ff0000000000000", "c000"};

	for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
		for (size_t as = 0; as < 5; as++) {
			struct reader reader;
			size_t size, length;
			uint8_t *bytes = bytes_of(items[i], &size);

			reader_init(&reader, bytes, size);
			switch (as) {
			case 0:
				cbor_read_uint(&reader);
				break;
			case 1:
				cbor_read_array(&reader);
				break;
			case 2:
				cbor_read_map(&reader);
				break;
			case 3:
				cbor_read_bytes(&reader, &length);
				break;
			case 4:
				cbor_read_text(&reader, &length);
				break;
			}
			assert_int_equal(reader.error, i == as ? 0 : ERROR_INVALID);
			free(bytes);
		}
	}
}

static void unknown_lengths_are_refused(void **state)
{
	static const char *const items[] = {
		"9fff", "9f00ff", "bfff", "5f4100ff", "7f6161ff", "ff", "1c", "3f", "df"};

	for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
		struct reader reader;
		struct cbor_scan scan;
		size_t size, length;
		uint8_t *bytes = bytes_of(items[i], &size);

		reader_init(&reader, bytes, size);
		assert_int_equal(cbor_read_array(&reader), 0);
		assert_int_equal(reader.error, ERROR_INVALID);
		reader_init(&reader, bytes, size);
		assert_int_equal(cbor_read_map(&reader), 0);
		assert_int_equal(reader.error, ERROR_INVALID);
		reader_init(&reader, bytes, size);
		assert_null(cbor_read_bytes(&reader, &length));
		assert_int_equal(reader.error, ERROR_INVALID);
		reader_init(&reader, bytes, size);
		assert_null(cbor_read_text(&reader, &length));
		assert_int_equal(reader.error, ERROR_INVALID);
		reader_init(&reader, bytes, size);
		assert_null(cbor_read_item(&reader, &length));
		assert_int_equal(reader.error, ERROR_INVALID);
		cbor_scan_init(&scan, false);
		assert_int_equal(cbor_scan(&scan, bytes, size, &length), ERROR_INVALID);
		free(bytes);
	}
}

static const char *const wholes[] = {"00", "1bffffffffffffffff", "80", "8100", "820102", "a0",
	"a2616101616282c10203", "4401020304", "6161", "f5", "f818", "fb3ff0000000000000",
	"c249010000000000000000", "8180", "818181818180", "83018202039a00000003040440"};

/* In slices of every size, with something behind. */
static void the_end_of_an_item_is_found(void **state)
{
	for (size_t i = 0; i < sizeof wholes / sizeof *wholes; i++) {
		size_t size, length;
		uint8_t *bytes = bytes_of(wholes[i], &size);
		struct reader reader;

		for (size_t slice = 1; slice <= size; slice++) {
			struct cbor_scan scan;
			size_t at = 0;
			int result = 0;

			cbor_scan_init(&scan, false);
			while (at < size) {
				size_t here = size - at < slice ? size - at : slice;

				assert_int_equal(result, 0);
				result = cbor_scan(&scan, bytes + at, here, &length);
				at += length;
				assert_true(length == here || result == 1);
			}
			assert_int_equal(result, 1);
			assert_int_equal(cbor_scan(&scan, bytes, size, &length), 1);
			assert_int_equal(length, 0);
		}
		reader_init(&reader, bytes, size);
		assert_ptr_equal(cbor_read_item(&reader, &length), bytes);
		assert_int_equal(length, size);
		for (size_t cut = 0; cut < size; cut++) {
			reader_init(&reader, bytes, cut);
			assert_null(cbor_read_item(&reader, &length));
			assert_int_equal(reader.error, ERROR_TRUNCATED);
		}
		free(bytes);
	}
}

static void heads_are_found(void **state)
{
	const uint8_t bytes[] = {0xba, 0x00, 0x01, 0x00, 0x02, 0x00};
	struct cbor_scan scan;
	size_t used;

	cbor_scan_init(&scan, true);
	assert_int_equal(cbor_scan(&scan, bytes, 2, &used), 0);
	assert_int_equal(cbor_scan(&scan, bytes + 2, sizeof bytes - 2, &used), 1);
	assert_int_equal(used, 3);
	assert_int_equal(scan.major, CBOR_MAP);
	assert_int_equal(scan.value, 65538);
}

static void depth_is_bounded(void **state)
{
	uint8_t bytes[CBOR_DEPTH + 2];
	struct cbor_scan scan;
	size_t used;

	memset(bytes, 0x81, sizeof bytes);
	bytes[CBOR_DEPTH] = 0x00;
	cbor_scan_init(&scan, false);
	assert_int_equal(cbor_scan(&scan, bytes, sizeof bytes, &used), 1);
	assert_int_equal(used, CBOR_DEPTH + 1);
	bytes[CBOR_DEPTH] = 0x81;
	cbor_scan_init(&scan, false);
	assert_int_equal(cbor_scan(&scan, bytes, sizeof bytes, &used), ERROR_INVALID);
}

static void claims_of_any_size_only_wait(void **state)
{
	static const struct {
		const char *hex;
		int result;
	} cases[] = {
		{"9bffffffffffffffff00", 0},
		{"5bffffffffffffffff00", 0},
		{"bb7fffffffffffffff00", 0},
		{"bbffffffffffffffff00", ERROR_INVALID},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct cbor_scan scan;
		struct reader reader;
		size_t size, used;
		uint8_t *bytes = bytes_of(cases[i].hex, &size);

		cbor_scan_init(&scan, false);
		assert_int_equal(cbor_scan(&scan, bytes, size, &used), cases[i].result);
		reader_init(&reader, bytes, size);
		assert_null(cbor_read_bytes(&reader, &used));
		assert_true(reader.error);
		reader_init(&reader, bytes, size);
		cbor_read_array(&reader);
		cbor_read_item(&reader, &used);
		free(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_have_the_shortest_head),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_writer_that_is_full_says_so),
		cmocka_unit_test(other_types_are_refused),
		cmocka_unit_test(unknown_lengths_are_refused),
		cmocka_unit_test(the_end_of_an_item_is_found),
		cmocka_unit_test(heads_are_found),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(claims_of_any_size_only_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
