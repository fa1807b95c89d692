/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "plugin/clock.h"

#define SECOND UINT64_C(1000000000)
#define YEARS  (UINT64_C(56) * 365 * 86400)

static void steps(void **state)
{
	struct clock clock = {0};

	/* The wall clock may be before the monotonic one: 1970. */
	assert_int_equal(clock_step(&clock, 100 * SECOND, 60 * SECOND), 0);
	assert_int_equal(clock_step(&clock, 101 * SECOND, 61 * SECOND), 0);
	assert_int_equal(clock_step(&clock, 102 * SECOND, (62 + YEARS) * SECOND), YEARS);
	assert_int_equal(clock_step(&clock, 103 * SECOND, (63 + YEARS) * SECOND), 0);
	assert_int_equal(
		clock_step(&clock, 104 * SECOND, (64 + YEARS - 3600) * SECOND - 1), -3600);
	assert_int_equal(clock_step(&clock, 105 * SECOND, (65 + YEARS - 3600) * SECOND), 0);
}

static void slewing_is_none(void **state)
{
	struct clock clock = {0};

	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(
			clock_step(&clock, (100 + i) * SECOND, (1000 + 2 * i) * SECOND), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(steps),
		cmocka_unit_test(slewing_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
