/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/peers/twin.h"

#define S UINT64_C(1000000000)

static const struct id hub = {{1}}, other = {{2}}, overlay = {{3}};
static struct twin twin;
static uint64_t now;

static struct info_time at(uint64_t us)
{
	return (struct info_time){us, 0};
}

/* A life begins that remembers an info of that time, or none (0), and signs one. */
static void begin(uint64_t before, uint64_t first)
{
	memset(&twin, 0, sizeof twin);
	now = 1000 * S;
	twin_signed(&twin, at(before), at(first));
}

static bool verified(uint64_t us)
{
	return twin_verified(&twin, now, &hub, at(us));
}

/* How many questions there are within that time, all to node. */
static unsigned asked(const struct id *node, uint64_t duration)
{
	struct id whom;
	unsigned count = 0;

	for (uint64_t end = now + duration; now < end; now += S / 10)
		if (twin_ask(&twin, now, &whom)) {
			assert_memory_equal(&whom, node, sizeof whom);
			count++;
		}
	return count;
}

static void nothing(void **state)
{
	struct id node, topic;

	begin(0, 100);
	assert_true(twin_deadline(&twin) == UINT64_MAX);
	assert_false(twin_suspect(&twin, now, &node, &topic));
	assert_int_equal(asked(&hub, 100 * S), 0);
}

static void two_that_are_newer_tell(void **state)
{
	begin(0, 100);
	assert_false(verified(200));
	assert_true(twin_answer(&twin, now));
	twin_signed(&twin, at(100), at(201));
	assert_true(verified(300));
	assert_true(twin_answer(&twin, now));
	twin_signed(&twin, at(201), at(301));
	/* From now on each of them tells; answers are few. */
	now += S;
	assert_true(verified(400));
	assert_false(twin_answer(&twin, now));
	now += 10 * S;
	assert_true(twin_answer(&twin, now));
	assert_false(twin_answer(&twin, now));
}

static void one_of_an_earlier_life_tells_nothing(void **state)
{
	begin(0, 100);
	assert_false(verified(200));
	twin_signed(&twin, at(100), at(201));
	/* However many repeat it, or what is older still. */
	for (int i = 0; i < 10; i++) {
		assert_false(verified(200));
		assert_false(verified(150));
		assert_false(verified(201));
	}
	/* Nor another one much later. */
	now += 61 * S;
	assert_false(verified(300));
	now += 59 * S;
	assert_true(verified(400));
}

static void our_own_of_before_the_clock_was_set_tell_nothing(void **state)
{
	begin(0, 5000);
	twin_signed(&twin, at(5000), at(9000));
	twin_signed(&twin, at(0), at(1000)); /* set back */
	assert_false(verified(5000));
	assert_false(verified(9000));
	assert_int_equal(twin.signs, 0);
	assert_false(verified(9001));
	assert_int_equal(twin.signs, 1);
}

static void who_has_told_is_asked_again(void **state)
{
	begin(0, 100);
	assert_false(verified(200));
	assert_true(twin_deadline(&twin) == now + S);
	assert_int_equal(asked(&hub, 3 * S), 2);
	assert_int_equal(asked(&hub, 100 * S), TWIN_ASKS - 2);
	assert_true(twin_deadline(&twin) == UINT64_MAX);
}

static void what_is_not_remembered_is_a_reason_to_ask_once(void **state)
{
	begin(50, 100);
	/* Of this life or known from the one before. */
	twin_heard(&twin, now, &hub, at(100));
	twin_heard(&twin, now, &hub, at(120));
	twin_heard(&twin, now, &hub, at(50));
	twin_heard(&twin, now, &hub, at(49));
	assert_int_equal(asked(&hub, 20 * S), 0);
	twin_heard(&twin, now, &hub, at(99));
	assert_int_equal(asked(&hub, 20 * S), TWIN_ASKS);
	twin_heard(&twin, now, &hub, at(98));
	assert_int_equal(asked(&hub, 20 * S), 0);
}

static void a_neighbour_without_a_stream_is_asked(void **state)
{
	struct id node, topic;

	begin(0, 100);
	twin_stream_ended(&twin, now, &hub, &overlay);
	twin_stream_ended(&twin, now, &other, &overlay); /* one of them at a time */
	assert_false(twin_suspect(&twin, now, &node, &topic));
	assert_true(twin_deadline(&twin) == now + S);
	now += S;
	assert_true(twin_suspect(&twin, now, &node, &topic));
	assert_memory_equal(&node, &hub, sizeof node);
	assert_memory_equal(&topic, &overlay, sizeof topic);
	assert_false(twin_suspect(&twin, now, &node, &topic));
	/* It has another stream. */
	assert_true(twin_deadline(&twin) == UINT64_MAX);
	twin_stream_ended(&twin, now, &other, &overlay);
	now += S;
	assert_true(twin_suspect(&twin, now, &node, &topic));
	twin_deprived(&twin, now, &node);
	assert_int_equal(asked(&other, S), 1);
	/* Not so soon again. */
	twin_stream_ended(&twin, now, &hub, &overlay);
	assert_true(twin_deadline(&twin) == UINT64_MAX);
	now += 10 * S;
	twin_stream_ended(&twin, now, &hub, &overlay);
	assert_true(twin_deadline(&twin) == now + S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing),
		cmocka_unit_test(two_that_are_newer_tell),
		cmocka_unit_test(one_of_an_earlier_life_tells_nothing),
		cmocka_unit_test(our_own_of_before_the_clock_was_set_tell_nothing),
		cmocka_unit_test(who_has_told_is_asked_again),
		cmocka_unit_test(what_is_not_remembered_is_a_reason_to_ask_once),
		cmocka_unit_test(a_neighbour_without_a_stream_is_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
