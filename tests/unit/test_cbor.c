/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
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

/* Writes a float and reads its head again; returns its size. */
static size_t write_float(double value, struct cbor_head *head)
{
	uint8_t buffer[16];
	struct writer writer;
	struct reader reader;

	writer_init(&writer, buffer, sizeof buffer);
	cbor_write_float(&writer, value);
	reader_init(&reader, buffer, writer_size(&writer));
	assert_true(cbor_read_head(&reader, head));
	assert_int_equal(reader_left(&reader), 0);
	assert_int_equal(head->major, CBOR_SIMPLE);
	return writer_size(&writer);
}

static void each_half_float(void **state)
{
	for (unsigned bits = 0; bits <= UINT16_MAX; bits++) {
		struct cbor_head half = {.information = CBOR_F16, .value = bits}, head;
		double value = cbor_float(&half);
		bool is_nan = (bits & 0x7c00) == 0x7c00 && (bits & 0x3ff);

		assert_int_equal(isnan(value) != 0, is_nan);
		assert_int_equal(write_float(value, &head), 3);
		assert_int_equal(head.value, is_nan ? 0x7e00 : bits);
	}
}

/* Next to each half float is a float that is none, and next to each float a double. */
static void floats_are_the_shortest(void **state)
{
	for (unsigned bits = 0; bits < 0x7c00; bits++) {
		struct cbor_head half = {.information = CBOR_F16, .value = bits}, head;
		float above = nextafterf((float)cbor_float(&half), INFINITY);
		double wide = nextafter(above, INFINITY);

		assert_int_equal(write_float(above, &head), 5);
		assert_true(cbor_float(&head) == above);
		assert_int_equal(write_float(-wide, &head), 9);
		assert_true(cbor_float(&head) == -wide);
	}
}

static void known_floats(void **state)
{
	static const struct {
		double value;
		uint64_t bits;
		size_t size;
	} cases[] = {
		{0.0, 0, 3},
		{-0.0, 0x8000, 3},
		{INFINITY, 0x7c00, 3},
		{-INFINITY, 0xfc00, 3},
		{NAN, 0x7e00, 3},
		{65504, 0x7bff, 3},
		{65505, 0x477fe100, 5},
		{65520, 0x477ff000, 5},
		{65536, 0x47800000, 5},
		{0x1p-24, 1, 3},
		{0x1p-25, 0x33000000, 5},
		{0x1p-149, 1, 5},
		{0x1p-150, 0x3690000000000000, 9},
		{3.4028234663852886e38, 0x7f7fffff, 5},
		{3.402823466385289e38, 0x47efffffe0000001, 9},
		{1e300, 0x7e37e43c8800759c, 9},
	};
	struct cbor_head head;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(write_float(cases[i].value, &head), cases[i].size);
		assert_true(head.value == cases[i].bits);
	}
}

static void heads_of_any_type(void **state)
{
	static const struct {
		const char *hex;
		int error;
		uint8_t major;
		uint8_t information;
		uint64_t value;
	} cases[] = {
		{"17", 0, CBOR_UINT, 23, 23},
		{"1818", 0, CBOR_UINT, 24, 24},
		{"3900ff", 0, CBOR_NEGATIVE, 25, 255},
		{"590100", 0, CBOR_BYTES, 25, 256},
		{"7a0000ffff", 0, CBOR_TEXT, 26, 65535},
		{"9a00010000", 0, CBOR_ARRAY, 26, 65536},
		{"bbffffffffffffffff", 0, CBOR_MAP, 27, UINT64_MAX},
		{"db0000000100000000", 0, CBOR_TAG, 27, 1ull << 32},
		{"f6", 0, CBOR_SIMPLE, CBOR_NULL, CBOR_NULL},
		{"f820", 0, CBOR_SIMPLE, 24, 32},
		{"fa3fc00000", 0, CBOR_SIMPLE, CBOR_F32, 0x3fc00000},
		{"1c", ERROR_INVALID, 0, 0, 0},
		{"5e", ERROR_INVALID, 0, 0, 0},
		{"5f", ERROR_INVALID, 0, 0, 0},
		{"9f", ERROR_INVALID, 0, 0, 0},
		{"ff", ERROR_INVALID, 0, 0, 0},
		{"", ERROR_TRUNCATED, 0, 0, 0},
		{"19ff", ERROR_TRUNCATED, 0, 0, 0},
		{"fb00000000000000", ERROR_TRUNCATED, 0, 0, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct cbor_head head;
		struct reader reader;
		size_t size;
		uint8_t *bytes = bytes_of(cases[i].hex, &size);

		reader_init(&reader, bytes, size);
		if (cbor_read_head(&reader, &head) != !cases[i].error ||
			reader.error != cases[i].error)
			fail_msg("%s", cases[i].hex);
		if (!cases[i].error &&
			(head.major != cases[i].major || head.information != cases[i].information ||
				head.value != cases[i].value || reader_left(&reader)))
			fail_msg("%s", cases[i].hex);
		free(bytes);
	}
}

static void what_else_is_written(void **state)
{
	uint8_t buffer[64], *expected;
	struct writer writer;
	size_t size;

	writer_init(&writer, buffer, sizeof buffer);
	cbor_write_negative(&writer, 0);
	cbor_write_negative(&writer, 24);
	cbor_write_negative(&writer, UINT64_MAX);
	cbor_write_bool(&writer, false);
	cbor_write_bool(&writer, true);
	cbor_write_null(&writer);
	cbor_write_head(&writer, CBOR_TEXT, 23);
	cbor_write_head(&writer, CBOR_MAP, 256);
	expected = bytes_of("2038183bfffffffffffffffff4f5f677b90100", &size);
	assert_int_equal(writer_size(&writer), size);
	assert_memory_equal(buffer, expected, size);
	free(expected);
	/* Without room: neither a head nor a mark on what is behind it. */
	buffer[1] = 0;
	writer_init(&writer, buffer, 1);
	cbor_write_head(&writer, CBOR_MAP, 256);
	assert_int_equal(writer.error, ERROR_TOO_LARGE);
	assert_int_equal(buffer[0], 0x20);
	assert_int_equal(buffer[1], 0);
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
		cmocka_unit_test(each_half_float),
		cmocka_unit_test(floats_are_the_shortest),
		cmocka_unit_test(known_floats),
		cmocka_unit_test(heads_of_any_type),
		cmocka_unit_test(what_else_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
