/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/postcard.h"
#include "bridge/error.h"

static void varints_round_trip(void **state)
{
	for (unsigned shift = 0; shift < 64; shift++) {
		for (int delta = -1; delta <= 1; delta++) {
			uint64_t value = (UINT64_C(1) << shift) + (uint64_t)delta;
			uint8_t buffer[10];
			struct writer writer;
			struct reader reader;

			writer_init(&writer, buffer, sizeof buffer);
			postcard_write_varint(&writer, value);
			assert_int_equal(writer.error, 0);
			assert_int_equal(writer_size(&writer), postcard_varint_size(value));
			reader_init(&reader, buffer, writer_size(&writer));
			assert_true(postcard_read_u64(&reader) == value);
			assert_int_equal(reader.error, 0);
			assert_int_equal(reader_left(&reader), 0);
			/* The same bytes as a narrower type: if it fits. */
			reader_init(&reader, buffer, writer_size(&writer));
			if (value <= UINT32_MAX)
				assert_true(postcard_read_u32(&reader) == value);
			else
				assert_int_equal(postcard_read_u32(&reader), 0);
			assert_int_equal(reader.error, value <= UINT32_MAX ? 0 : ERROR_INVALID);
			reader_init(&reader, buffer, writer_size(&writer));
			if (value <= UINT16_MAX)
				assert_true(postcard_read_u16(&reader) == value);
			else
				assert_int_equal(postcard_read_u16(&reader), 0);
			assert_int_equal(reader.error, value <= UINT16_MAX ? 0 : ERROR_INVALID);
		}
	}
}

/* As the crate decides: padded is fine as long as the type's length allows. */
static void odd_varints_are_judged_as_upstream(void **state)
{
	static const struct {
		uint8_t bytes[12];
		size_t size;
		int error16, error32, error64;
	} cases[] = {
		{{0x80, 0x00}, 2, 0, 0, 0},
		{{0x80, 0x80, 0x00}, 3, 0, 0, 0},
		{{0xff, 0xff, 0x03}, 3, 0, 0, 0},
		{{0xff, 0xff, 0x04}, 3, ERROR_INVALID, 0, 0},
		{{0x80, 0x80, 0x80, 0x00}, 4, ERROR_INVALID, 0, 0},
		{{0xff, 0xff, 0xff, 0xff, 0x0f}, 5, ERROR_INVALID, 0, 0},
		{{0xff, 0xff, 0xff, 0xff, 0x10}, 5, ERROR_INVALID, ERROR_INVALID, 0},
		{{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, 10, ERROR_INVALID,
			ERROR_INVALID, 0},
		{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 10, ERROR_INVALID,
			ERROR_INVALID, 0},
		{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02}, 10, ERROR_INVALID,
			ERROR_INVALID, ERROR_INVALID},
		{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x80, 0x00}, 11,
			ERROR_INVALID, ERROR_INVALID, ERROR_INVALID},
		{{0x80}, 1, ERROR_TRUNCATED, ERROR_TRUNCATED, ERROR_TRUNCATED},
		{{0}, 0, ERROR_TRUNCATED, ERROR_TRUNCATED, ERROR_TRUNCATED},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct reader reader;

		reader_init(&reader, cases[i].bytes, cases[i].size);
		postcard_read_u16(&reader);
		assert_int_equal(reader.error, cases[i].error16);
		reader_init(&reader, cases[i].bytes, cases[i].size);
		postcard_read_u32(&reader);
		assert_int_equal(reader.error, cases[i].error32);
		reader_init(&reader, cases[i].bytes, cases[i].size);
		postcard_read_u64(&reader);
		assert_int_equal(reader.error, cases[i].error64);
	}
}

static void a_bool_is_zero_or_one(void **state)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		uint8_t data = (uint8_t)byte;
		struct reader reader;

		reader_init(&reader, &data, 1);
		assert_int_equal(postcard_read_bool(&reader), byte == 1);
		assert_int_equal(reader.error, byte > 1 ? ERROR_INVALID : 0);
	}
}

static void bytes_carry_their_length(void **state)
{
	uint8_t buffer[8];
	struct writer writer;
	struct reader reader;
	size_t size;

	writer_init(&writer, buffer, sizeof buffer);
	postcard_write_bytes(&writer, "abc", 3);
	postcard_write_bool(&writer, true);
	postcard_write_bytes(&writer, NULL, 0);
	assert_int_equal(writer_size(&writer), 6);
	reader_init(&reader, buffer, 6);
	assert_memory_equal(postcard_read_bytes(&reader, &size), "abc", 3);
	assert_int_equal(size, 3);
	assert_true(postcard_read_bool(&reader));
	assert_non_null(postcard_read_bytes(&reader, &size));
	assert_int_equal(size, 0);
	assert_int_equal(reader.error, 0);

	for (size_t cut = 0; cut < 4; cut++) {
		reader_init(&reader, buffer, cut);
		assert_null(postcard_read_bytes(&reader, &size));
		assert_int_equal(size, 0);
		assert_int_equal(reader.error, ERROR_TRUNCATED);
	}
	/* A length that no memory has. */
	reader_init(&reader, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01zzz", 13);
	assert_null(postcard_read_bytes(&reader, &size));
	assert_int_equal(reader.error, ERROR_TRUNCATED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(varints_round_trip),
		cmocka_unit_test(odd_varints_are_judged_as_upstream),
		cmocka_unit_test(a_bool_is_zero_or_one),
		cmocka_unit_test(bytes_carry_their_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
