/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "bridge/random.h"
#include "bridge/timers.h"

#define COUNT 200

/* Sets, moves and removes at random; the first is always the earliest of all. */
static void first_is_the_earliest(void **state)
{
	struct timers timers = {0};
	struct timer items[COUNT] = {0};
	uint64_t seed = 7;
	struct random random = random_seeded(&seed);

	assert_int_equal(timers_reserve(&timers, COUNT), 0);
	assert_null(timers_first(&timers));
	for (int round = 0; round < 20000; round++) {
		struct timer *item = &items[random_below(&random, COUNT)];
		uint64_t at = random_below(&random, 4) ? random_below(&random, 1000) : TIMER_NEVER;
		uint64_t earliest = TIMER_NEVER;
		size_t count = 0;

		timers_set(&timers, item, at);
		for (size_t i = 0; i < COUNT; i++) {
			if (!items[i].index)
				continue;
			count++;
			assert_ptr_equal(timers.heap[items[i].index - 1], &items[i]);
			if (items[i].at < earliest)
				earliest = items[i].at;
		}
		assert_int_equal(timers.count, count);
		if (count)
			assert_true(timers_first(&timers)->at == earliest);
		else
			assert_null(timers_first(&timers));
	}
	timers_clear(&timers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_is_the_earliest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
