/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "plugin/remark.h"
#include "support_log.h"

#define S UINT64_C(1000000000)

static struct remarks remarks;

static int setup(void **state)
{
	memset(&remarks, 0, sizeof remarks);
	lines = 0;
	return 0;
}

/* How many of a thousand may be said at once. */
static unsigned at_once(enum remark_kind kind, uint64_t now)
{
	unsigned said = 0;

	for (int i = 0; i < 1000; i++)
		said += remark_may(&remarks, now, kind);
	return said;
}

static void each_kind_for_itself(void **state)
{
	uint64_t now = 1000 * S;
	unsigned burst = at_once(REMARK_LOCAL, now);

	assert_uint_in_range(burst, 2, 100);
	assert_false(remark_may(&remarks, now, REMARK_LOCAL));
	assert_true(remark_may(&remarks, now, REMARK_TOO_LARGE));
	/* Now and then one, and after a while as many as before. */
	assert_int_equal(at_once(REMARK_LOCAL, now + S), 1);
	assert_int_equal(at_once(REMARK_LOCAL, now + 1000 * S), burst);
}

static void what_was_not_said(void **state)
{
	uint64_t now = 1000 * S;
	unsigned said = at_once(REMARK_MALFORMED_FILTER, now);
	char expected[64];

	remark_tick(&remarks, now);
	assert_int_equal(lines, 1);
	snprintf(expected, sizeof expected, "%u more lines", 1000 - said);
	assert_non_null(strstr(line, expected));
	/* Not each time either. */
	assert_false(remark_may(&remarks, now, REMARK_MALFORMED_FILTER));
	remark_tick(&remarks, now + 9 * S);
	assert_int_equal(lines, 1);
	remark_tick(&remarks, now + 10 * S);
	assert_int_equal(lines, 2);
	assert_non_null(strstr(line, "1 more lines"));
	remark_tick(&remarks, now + 30 * S);
	assert_int_equal(lines, 2);
}

static void dropped_is_said_for_each_overlay(void **state)
{
	struct id first = {{1}}, second = {{2}}, other = {{0}};
	uint64_t now = 1000 * S;

	remark_dropped(&remarks, now, &first, COUNTER_DROPPED_REPEATED, 3);
	assert_int_equal(lines, 1);
	assert_non_null(strstr(line, "overlay 0100000000: 3 messages"));
	assert_non_null(strstr(line, "a counter or the time"));
	remark_dropped(&remarks, now, &first, COUNTER_DROPPED_REPEATED, 4);
	assert_int_equal(lines, 1);
	remark_dropped(&remarks, now, &second, COUNTER_DROPPED_REPEATED, 1);
	assert_int_equal(lines, 2);
	remark_dropped(&remarks, now + 600 * S, &first, COUNTER_DROPPED_REPEATED, 1);
	assert_int_equal(lines, 3);
	assert_non_null(strstr(line, "overlay 0100000000: 5 messages"));
	/* Another reason is another line; not for what is refused, which has its own. */
	remark_dropped(&remarks, now + 600 * S, &first, COUNTER_DROPPED_QUEUE_AGE, 2);
	assert_int_equal(lines, 4);
	assert_non_null(strstr(line, "overlay 0100000000: 2 messages have waited"));
	remark_dropped(&remarks, now + 600 * S, &first, COUNTER_DROPPED_TOO_LARGE, 2);
	assert_int_equal(lines, 4);
	/* Any number of overlays is no flood. */
	for (unsigned i = 0; i < 1000; i++) {
		other.bytes[1] = (uint8_t)(i >> 8);
		other.bytes[2] = (uint8_t)i;
		remark_dropped(&remarks, now + 600 * S, &other, COUNTER_DROPPED_REPEATED, 1);
	}
	assert_uint_in_range(lines, 5, 100);
	/* What was not said of the last one is said with the next. */
	remark_dropped(&remarks, now + 700 * S, &other, COUNTER_DROPPED_REPEATED, 4);
	assert_non_null(strstr(line, "overlay 0003e70000: 5 messages"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(each_kind_for_itself),
		TEST(what_was_not_said),
		TEST(dropped_is_said_for_each_overlay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
