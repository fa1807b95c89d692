/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "plugin/flaps.h"
#include "support_log.h"

#define S UINT64_C(1000000000)

static struct flaps flaps;
static struct remarks remarks;
static uint64_t now;

static int setup(void **state)
{
	memset(&flaps, 0, sizeof flaps);
	memset(&remarks, 0, sizeof remarks);
	lines = 0;
	now = 1000 * S;
	return 0;
}

static struct id topic_id(unsigned number)
{
	struct id id = {{0}};

	id.bytes[0] = (uint8_t)(number >> 8);
	id.bytes[1] = (uint8_t)number;
	return id;
}

static void change(unsigned number, bool joined)
{
	struct id id = topic_id(number);

	flaps_changed(&flaps, &remarks, now, &id, joined);
}

static void pass(uint64_t seconds)
{
	for (uint64_t i = 0; i < seconds; i++) {
		now += S;
		flaps_tick(&flaps, now);
	}
}

static void each_is_said(void **state)
{
	for (unsigned number = 0; number < 500; number++)
		change(number, true);
	assert_int_equal(lines, 500);
	assert_non_null(strstr(line, "overlay 01f3000000: joined"));
	for (unsigned number = 0; number < 500; number++)
		change(number, false);
	assert_int_equal(lines, 1000);
	assert_non_null(strstr(line, "overlay 01f3000000: left"));
	pass(100);
	assert_int_equal(lines, 1000);
}

static void one_that_does_not_stop(void **state)
{
	for (int i = 0; i < 3000; i++) {
		change(1, i % 2 == 0);
		if (i % 5 == 4)
			pass(1);
	}
	/* Ten minutes. */
	assert_uint_in_range(lines, FLAPS_BURST, FLAPS_BURST + 600 * S / FLAPS_EVERY_NS + 1);
	for (int i = 0; i < 20; i++)
		change(1, i % 2 == 0);
	/* Others are said meanwhile. */
	lines = 0;
	change(2, true);
	assert_int_equal(lines, 1);
	/* What it is in the end is said, and how often it was something else. */
	pass(60);
	assert_int_equal(lines, 2);
	assert_non_null(strstr(line, "overlay 0001000000: joined or left "));
	assert_non_null(strstr(line, " times more, is left now"));
	pass(1000);
	assert_int_equal(lines, 2);
	change(1, true);
	assert_non_null(strstr(line, "overlay 0001000000: joined"));
}

static void one_that_gives_way_is_summed_up(void **state)
{
	for (int i = 0; i < 20; i++)
		change(1, i % 2 == 0);
	assert_int_equal(lines, FLAPS_BURST);
	lines = 0;
	/* All of these flap more than that one. */
	for (unsigned number = 2; number < 2 + FLAPS_OVERLAYS; number++)
		for (int i = 0; i < 21; i++) {
			change(number, i % 2 == 0);
			now++;
		}
	assert_uint_in_range(lines, FLAPS_OVERLAYS * FLAPS_BURST + 1,
		FLAPS_OVERLAYS * (FLAPS_BURST + 1));
	pass(100);
	assert_int_equal(flaps.silent, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		TEST(each_is_said),
		TEST(one_that_does_not_stop),
		TEST(one_that_gives_way_is_summed_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
