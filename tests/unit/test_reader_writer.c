/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/reader.h"
#include "bridge/bytes/writer.h"
#include "bridge/error.h"

static void what_is_written_is_read(void **state)
{
	uint8_t buffer[18], copy[3];
	struct writer writer;
	struct reader reader;

	writer_init(&writer, buffer, sizeof buffer);
	writer_u8(&writer, 0x01);
	writer_u16(&writer, 0x0203);
	writer_u32(&writer, 0x04050607);
	writer_u64(&writer, 0x08090a0b0c0d0e0f);
	writer_bytes(&writer, "abc", 3);
	assert_int_equal(writer.error, 0);
	assert_int_equal(writer_size(&writer), 18);
	for (uint8_t i = 0; i < 15; i++)
		assert_int_equal(buffer[i], i + 1);

	reader_init(&reader, buffer, sizeof buffer);
	assert_int_equal(reader_u8(&reader), 0x01);
	assert_int_equal(reader_u16(&reader), 0x0203);
	assert_int_equal(reader_u32(&reader), 0x04050607);
	assert_true(reader_u64(&reader) == 0x08090a0b0c0d0e0f);
	assert_int_equal(reader_left(&reader), 3);
	assert_true(reader_copy(&reader, copy, 3));
	assert_memory_equal(copy, "abc", 3);
	assert_int_equal(reader_left(&reader), 0);
	assert_int_equal(reader.error, 0);
}

static void a_view_is_not_a_copy(void **state)
{
	const uint8_t data[] = {1, 2, 3};
	struct reader reader;

	reader_init(&reader, data, sizeof data);
	assert_ptr_equal(reader_bytes(&reader, 2), data);
	assert_ptr_equal(reader_bytes(&reader, 0), data + 2);
	assert_ptr_equal(reader_bytes(&reader, 1), data + 2);
}

static void a_failed_reader_stays_so(void **state)
{
	const uint8_t data[] = {1, 2, 3};
	uint8_t copy[4] = {9, 9, 9, 9};
	struct reader reader;

	reader_init(&reader, data, sizeof data);
	assert_int_equal(reader_u32(&reader), 0);
	assert_int_equal(reader.error, ERROR_TRUNCATED);
	/* What would be there is not handed out any more. */
	assert_int_equal(reader_u8(&reader), 0);
	assert_null(reader_bytes(&reader, 1));
	assert_false(reader_copy(&reader, copy, 4));
	assert_memory_equal(copy, "\0\0\0\0", 4);
	reader_fail(&reader, ERROR_INVALID);
	assert_int_equal(reader.error, ERROR_TRUNCATED);

	reader_init(&reader, data, sizeof data);
	reader_fail(&reader, ERROR_INVALID);
	assert_int_equal(reader_u8(&reader), 0);
	assert_int_equal(reader.error, ERROR_INVALID);
}

static void huge_sizes_do_not_wrap(void **state)
{
	const uint8_t data[] = {1};
	struct reader reader;
	uint8_t buffer[1];
	struct writer writer;

	reader_init(&reader, data, sizeof data);
	assert_null(reader_bytes(&reader, SIZE_MAX));
	writer_init(&writer, buffer, sizeof buffer);
	writer_bytes(&writer, data, SIZE_MAX);
	assert_int_equal(writer.error, ERROR_TOO_LARGE);
}

static void nothing_may_be_null(void **state)
{
	struct reader reader;

	reader_init(&reader, NULL, 0);
	assert_int_equal(reader_left(&reader), 0);
	assert_non_null(reader_bytes(&reader, 0));
	assert_null(reader_bytes(&reader, 1));
}

static void a_full_writer_writes_no_part(void **state)
{
	uint8_t buffer[3] = {7, 7, 7};
	struct writer writer;

	writer_init(&writer, buffer, sizeof buffer);
	writer_u8(&writer, 1);
	writer_u32(&writer, 0x02030405);
	writer_u8(&writer, 6);
	assert_int_equal(writer.error, ERROR_TOO_LARGE);
	assert_int_equal(writer_size(&writer), 1);
	assert_memory_equal(buffer, "\1\7\7", 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_view_is_not_a_copy),
		cmocka_unit_test(a_failed_reader_stays_so),
		cmocka_unit_test(huge_sizes_do_not_wrap),
		cmocka_unit_test(nothing_may_be_null),
		cmocka_unit_test(a_full_writer_writes_no_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
