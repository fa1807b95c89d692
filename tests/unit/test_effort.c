/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/effort.h"
#include "bridge/limits.h"

#define S UINT64_C(1000000000)

static struct effort effort;
static uint64_t now;

static int setup(void **state)
{
	memset(&effort, 0, sizeof effort);
	now = 1000 * S;
	return 0;
}

static unsigned take_all(bool chosen)
{
	unsigned taken = 0;

	while (effort_take(&effort, now, chosen))
		taken++;
	return taken;
}

/* Whatever is asked for, and however often. */
static void strangers_have_one_budget(void **state)
{
	unsigned taken = 0;

	assert_int_equal(take_all(false), LIMIT_VERIFIED_STRANGERS);
	for (int i = 0; i < 10000; i++) {
		now += S / 1000;
		taken += take_all(false);
	}
	assert_uint_in_range(
		taken, 10 * LIMIT_VERIFIED_STRANGERS - 1, 10 * LIMIT_VERIFIED_STRANGERS + 1);
	now += 3600 * S;
	assert_int_equal(take_all(false), LIMIT_VERIFIED_STRANGERS);
}

/* The honest side: what strangers have used up is not theirs. */
static void the_chosen_have_a_reserve(void **state)
{
	for (int second = 0; second < 5; second++) {
		take_all(false);
		assert_uint_in_range(
			take_all(true), LIMIT_VERIFIED_CHOSEN - 1, LIMIT_VERIFIED_CHOSEN + 1);
		now += S;
	}
}

static struct address at(uint8_t last)
{
	return (struct address){.family = 4, .ip = {203, 0, 113, last}, .port = 4000};
}

static void who_forges_waits(void **state)
{
	struct id liar = {{1}}, other = {{2}};
	struct address there = at(1), port = there, elsewhere = at(2);
	uint64_t wait = EFFORT_WAIT_FIRST_NS;

	port.port++;
	assert_false(effort_waits(&effort, now, &liar, &there));
	for (int i = 0; i < 10; i++) {
		effort_blame(&effort, now, &liar, &there);
		assert_true(effort_waits(&effort, now, &liar, &elsewhere));
		assert_true(effort_waits(&effort, now, &other, &port));
		assert_false(effort_waits(&effort, now, &other, &elsewhere));
		now += wait - 1;
		assert_true(effort_waits(&effort, now, &liar, &there));
		now += 1;
		assert_false(effort_waits(&effort, now, &liar, &there));
		wait = wait * 2 > EFFORT_WAIT_MOST_NS ? EFFORT_WAIT_MOST_NS : wait * 2;
	}
	now += 2 * EFFORT_WAIT_MOST_NS;
	effort_blame(&effort, now, &liar, &there);
	now += EFFORT_WAIT_FIRST_NS;
	assert_false(effort_waits(&effort, now, &liar, &there));
}

static void loopback_is_everybodys(void **state)
{
	struct address here = {.family = 4, .ip = {127, 0, 0, 1}, .port = 1};
	struct id liar = {{1}}, other = {{2}};

	effort_blame(&effort, now, &liar, &here);
	assert_true(effort_waits(&effort, now, &liar, &here));
	assert_false(effort_waits(&effort, now, &other, &here));
}

static void many_liars(void **state)
{
	struct address there = at(1);
	struct id liar = {{0}};

	for (unsigned i = 0; i < 3 * EFFORT_OFFENDERS; i++) {
		memcpy(liar.bytes, &i, sizeof i);
		effort_blame(&effort, now++, &liar, &there);
		assert_true(effort_waits(&effort, now, &liar, &(struct address){.family = 4}));
	}
	assert_int_equal(effort.offenders_count, EFFORT_OFFENDERS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(strangers_have_one_budget),
		TEST(the_chosen_have_a_reserve),
		TEST(who_forges_waits),
		TEST(loopback_is_everybodys),
		TEST(many_liars),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
