/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/peers/access.h"
#include "support_heap.h"

static int setup(void **state)
{
	heap_begin();
	return 0;
}

static int teardown(void **state)
{
	heap_end();
	return 0;
}

static struct id make_id(unsigned n)
{
	struct id id = {{0}};

	/* The digits that differ come last: whole ids have to be compared. */
	id.bytes[ID_SIZE - 2] = (uint8_t)(n >> 8);
	id.bytes[ID_SIZE - 1] = (uint8_t)n;
	return id;
}

static bool grants(const struct access *access, unsigned n)
{
	struct id id = make_id(n);

	return access_grants(access, &id);
}

static void without_lists_everybody(void **state)
{
	struct access *access;

	assert_int_equal(access_new(NULL, 0, NULL, 0, &access), ERROR_NONE);
	for (unsigned n = 0; n < 10; n++)
		assert_true(grants(access, n));
	access_free(access);
	access_free(NULL);
}

static void lists(size_t allow_count, size_t deny_count)
{
	struct id allow[300], deny[300];
	struct access *access;

	/* In no order; those that are allowed are even. */
	for (size_t i = 0; i < allow_count; i++)
		allow[i] = make_id(2 * (unsigned)((i * 7) % allow_count));
	for (size_t i = 0; i < deny_count; i++)
		deny[i] = make_id(2 * (unsigned)((i * 11) % deny_count) + 1);
	assert_int_equal(access_new(allow, allow_count, deny, deny_count, &access), ERROR_NONE);
	for (unsigned n = 0; n < 700; n++) {
		bool allowed = allow_count == 0 || (n % 2 == 0 && n / 2 < allow_count);
		bool denied = n % 2 == 1 && n / 2 < deny_count;

		assert_int_equal(grants(access, n), allowed && !denied);
	}
	access_free(access);
}

static void lists_of_many_sizes(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 5, 300};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
			lists(sizes[i], sizes[j]);
}

static void denied_beats_allowed(void **state)
{
	struct id both = make_id(1);
	struct access *access;

	assert_int_equal(access_new(&both, 1, &both, 1, &access), ERROR_NONE);
	assert_false(grants(access, 1));
	assert_false(grants(access, 2));
	access_free(access);
}

static void without_memory(void **state)
{
	struct access *access;

	heap_fail(1, false);
	assert_int_equal(access_new(NULL, 0, NULL, 0, &access), ERROR_NOMEM);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(without_lists_everybody),
		TEST(lists_of_many_sizes),
		TEST(denied_beats_allowed),
		TEST(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
