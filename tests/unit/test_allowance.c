/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "bridge/allowance.h"
#include "bridge/time.h"

#define INTERVAL (10 * MS)
#define AT_ONCE	 5

static struct allowance allowance;
static uint64_t now;

static int setup(void **state)
{
	allowance = (struct allowance){0};
	now = 1000 * S;
	return 0;
}

static unsigned take_all(void)
{
	unsigned taken = 0;

	while (allowance_take(&allowance, now, INTERVAL, AT_ONCE))
		taken++;
	return taken;
}

static void at_first_there_are_so_many_at_once(void **state)
{
	assert_int_equal(allowance_due(&allowance, INTERVAL, AT_ONCE), 0);
	assert_int_equal(take_all(), AT_ONCE);
}

static void then_one_per_interval(void **state)
{
	take_all();
	now += INTERVAL - 1;
	assert_int_equal(take_all(), 0);
	now++;
	assert_int_equal(take_all(), 1);
	now += 3 * INTERVAL;
	assert_int_equal(take_all(), 3);
}

static void after_a_pause_as_many_as_at_first(void **state)
{
	take_all();
	now += AT_ONCE * INTERVAL - 1;
	assert_int_equal(take_all(), AT_ONCE - 1);
	now += 3600 * S;
	assert_int_equal(take_all(), AT_ONCE);
}

/* However often it is asked for. */
static void asking_changes_nothing(void **state)
{
	unsigned taken = take_all();

	for (int i = 0; i < 10000; i++) {
		now += INTERVAL / 100;
		taken += take_all();
	}
	assert_int_equal(taken, AT_ONCE + 100);
}

static void it_is_known_when_there_is_one(void **state)
{
	assert_true(allowance_take(&allowance, now, INTERVAL, AT_ONCE));
	assert_true(allowance_due(&allowance, INTERVAL, AT_ONCE) <= now);
	take_all();
	assert_int_equal(allowance_due(&allowance, INTERVAL, AT_ONCE), now + INTERVAL);
	now = allowance_due(&allowance, INTERVAL, AT_ONCE);
	assert_int_equal(take_all(), 1);
}

static void one_at_a_time(void **state)
{
	assert_true(allowance_take(&allowance, now, INTERVAL, 1));
	assert_false(allowance_take(&allowance, now, INTERVAL, 1));
	assert_int_equal(allowance_due(&allowance, INTERVAL, 1), now + INTERVAL);
	now += INTERVAL;
	assert_true(allowance_take(&allowance, now, INTERVAL, 1));
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(at_first_there_are_so_many_at_once),
		TEST(then_one_per_interval),
		TEST(after_a_pause_as_many_as_at_first),
		TEST(asking_changes_nothing),
		TEST(it_is_known_when_there_is_one),
		TEST(one_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
