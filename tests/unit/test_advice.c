/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugin/advice.h"
#include "plugin/broker.h"

#define S UINT64_C(1000000000)

static struct {
	struct counters counters;
	struct advice advice;
	unsigned lines;
	char line[512];
} world;

void broker_log(enum broker_level level, const char *format, ...)
{
	va_list arguments;

	assert_true(level >= BROKER_NOTICE);
	va_start(arguments, format);
	vsnprintf(world.line, sizeof world.line, format, arguments);
	va_end(arguments);
	world.lines++;
}

static int set_up(void **state)
{
	memset(&world, 0, sizeof world);
	return 0;
}

static void each_is_said_once_in_a_while(void **state)
{
	uint64_t now = 1000 * S;

	advice_tick(&world.advice, now, &world.counters);
	assert_int_equal(world.lines, 0);
	counters_add(&world.counters, COUNTER_DROPPED_PEER_SLOW, 3);
	advice_tick(&world.advice, now += S, &world.counters);
	assert_int_equal(world.lines, 1);
	assert_non_null(strstr(world.line, "3 copies were not sent to a neighbour that is too slow"));
	assert_non_null(strstr(world.line, "(dropped/peer_slow)"));
	counters_add(&world.counters, COUNTER_DROPPED_PEER_SLOW, 4);
	for (unsigned i = 0; i < 599; i++)
		advice_tick(&world.advice, now += S, &world.counters);
	assert_int_equal(world.lines, 1);
	/* Another one is not held up by that. */
	counters_add(&world.counters, COUNTER_DROPPED_EVENTS, 1);
	advice_tick(&world.advice, now += S, &world.counters);
	advice_tick(&world.advice, now += S, &world.counters);
	assert_int_equal(world.lines, 3);
	advice_tick(&world.advice, now += 600 * S, &world.counters);
	assert_int_equal(world.lines, 3);
}

/* What is dropped without a line of its own: the checklist (docs/why-not.md) names these. */
static void whatever_is_dropped_has_a_line(void **state)
{
	static const enum counter counters[] = {
		COUNTER_DROPPED_MAILBOX,
		COUNTER_DROPPED_EVENTS,
		COUNTER_DROPPED_NO_MEMORY_ARRIVING,
		COUNTER_DROPPED_NO_MEMORY_COPY,
		COUNTER_DROPPED_NO_STREAM_CREDIT,
		COUNTER_DROPPED_PEER_SLOW,
		COUNTER_DROPPED_PEER_LOST,
		COUNTER_DROPPED_UNFORWARDABLE,
		COUNTER_DROPPED_BROKER,
		COUNTER_DROPPED_UNSUITED,
	};

	for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
		counters_add(&world.counters, counters[i], 1);
		advice_tick(&world.advice, (i + 1) * S, &world.counters);
		assert_int_equal(world.lines, i + 1);
		assert_non_null(strstr(world.line, counter_topic(counters[i])));
	}
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_is_said_once_in_a_while),
		TEST(whatever_is_dropped_has_a_line),
	};

	return cmocka_run_group_tests_name("advice", tests, NULL, NULL);
}
