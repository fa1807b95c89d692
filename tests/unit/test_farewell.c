/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What is counted is tried with brokers, in tests/broker/test_stopping.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "plugin/farewell.h"
#include "support_log.h"

static void nothing_is_said_of_nothing(void **state)
{
	farewell_say(&(struct farewell){0});
	assert_int_equal(lines, 0);
}

static void each_reason_has_its_number(void **state)
{
	farewell_say(&(struct farewell){.unacknowledged = 2});
	assert_string_equal(
		line, "lost by this stop: 2 copies that a neighbour has not acknowledged");
	farewell_say(&(struct farewell){
		.waited = UINT64_MAX, .unacknowledged = UINT64_MAX, .arrived = UINT64_MAX});
	assert_string_equal(line,
		"lost by this stop: 18446744073709551615 messages that have waited for a "
		"neighbour; 18446744073709551615 copies that a neighbour has not acknowledged; "
		"18446744073709551615 that have come and were not handed on yet");
}

static void what_is_kept_is_said_too(void **state)
{
	farewell_say(&(struct farewell){.kept = 3});
	assert_string_equal(
		line, "kept for the next start: 3 messages that have waited for a neighbour");
	farewell_say(&(struct farewell){.kept = UINT64_MAX,
		.waited = UINT64_MAX,
		.unacknowledged = UINT64_MAX,
		.arrived = UINT64_MAX});
	assert_string_equal(line + strlen(line) - 95,
		"on yet; kept for the next start: 18446744073709551615 messages that have waited "
		"for a neighbour");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_said_of_nothing),
		cmocka_unit_test(each_reason_has_its_number),
		cmocka_unit_test(what_is_kept_is_said_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
