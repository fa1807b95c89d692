/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/gossip/missing.h"
#include "support_heap.h"
#include "support_id.h"

static struct counters counters;
static struct core core;
static struct missing_list list;

static int setup(void **state)
{
	heap_begin();
	memset(&counters, 0, sizeof counters);
	memset(&core, 0, sizeof core);
	core.counters = &counters;
	missing_init(&list, &core);
	return 0;
}

static int teardown(void **state)
{
	size_t all = SIZE_MAX;

	assert_true(missing_clear_some(&list, &all));
	assert_int_equal(core.missing, 0);
	heap_end();
	return 0;
}

static void announce(uint64_t now, uint8_t slot, size_t number, uint16_t round)
{
	const struct wire_ihave ihave = {.id = id_of(number), .round = round};

	missing_announced(&list, now, slot, &ihave);
}

static struct missing *find(size_t number)
{
	struct id id = id_of(number);

	return missing_find(&list, &id);
}

/* Asks for what has waited longest, and checks whom: -1 for nobody. */
static void assert_asks(uint64_t now, size_t number, int slot)
{
	struct announcer announcer;
	struct missing *missing = missing_ask(&list, now, &announcer);

	assert_int_equal(missing ? announcer.slot : -1, slot);
	if (missing)
		assert_ptr_equal(missing, find(number));
}

static void announcers_are_asked_in_turn(void **state)
{
	assert_true(missing_deadline(&list, 0) == UINT64_MAX);
	announce(1 * MS, 2, 7, 0);
	announce(2 * MS, 0, 8, 0);
	announce(3 * MS, 0, 7, 0);
	announce(4 * MS, 2, 7, 0); /* again */
	assert_int_equal(core.missing, 2);
	assert_int_equal(missing_holders(find(7)), 5);
	assert_true(missing_deadline(&list, 0) == 81 * MS);
	assert_asks(81 * MS, 7, 2);
	assert_true(missing_deadline(&list, 0) == 82 * MS);
	assert_asks(82 * MS, 8, 0);
	assert_true(missing_deadline(&list, 0) == 161 * MS);
	assert_asks(161 * MS, 7, 0);
	/* Who was asked has the message as well. */
	assert_int_equal(missing_holders(find(7)), 5);
	/* Nobody is left. */
	assert_asks(162 * MS, 8, -1);
	assert_null(find(8));
	assert_asks(241 * MS, 7, -1);
	assert_int_equal(core.missing, 0);
}

static void who_has_gone_has_nothing(void **state)
{
	announce(1 * MS, 2, 7, 0);
	announce(1 * MS, 1, 7, 0);
	announce(1 * MS, 2, 8, 0);
	missing_slot_gone(&list, 2);
	assert_null(find(8));
	assert_int_equal(missing_holders(find(7)), 2);
	assert_asks(81 * MS, 7, 1);
	missing_slot_gone(&list, 1);
	assert_null(find(7));
}

static void the_nearer_is_seven_hops_nearer(void **state)
{
	announce(1 * MS, 2, 7, 5);
	announce(1 * MS, 1, 7, 3);
	assert_null(missing_nearer(find(7), 9));
	assert_int_equal(missing_nearer(find(7), 10)->slot, 1);
	assert_null(missing_nearer(find(7), 2));
}

/* Until the burst is over what was announced is on its way, while the pushes get on. */
static void in_a_burst_it_waits_for_pushes(void **state)
{
	uint64_t burst = 10 * S;

	announce(1 * S, 1, 7, 0);
	announce(1 * S + 1 * MS, 1, 8, 0);
	/* None has ever been pushed. */
	assert_true(missing_deadline(&list, burst) == 1 * S + 80 * MS);
	missing_pushes_begin(&list, 1 * S);
	assert_true(missing_deadline(&list, burst) == 1 * S + 250 * MS);
	missing_pushed(&list, 1 * S + 900 * MS, find(7), 0);
	missing_forget(&list, find(7));
	assert_true(missing_deadline(&list, burst) == 1 * S + 900 * MS + 250 * MS);
	/* It says nothing that one has come that was asked for. */
	assert_asks(1 * S + 81 * MS, 8, 1);
	missing_pushed(&list, 5 * S, find(8), 1u << 1);
	assert_true(list.pushed_at == 1 * S + 900 * MS);
	/* Two seconds at most. */
	missing_pushes_begin(&list, 9 * S);
	assert_true(missing_deadline(&list, burst) == 3 * S + 1 * MS);
	assert_true(missing_deadline(&list, 0) == 1 * S + 161 * MS);
	/* One that was announced later has been pushed: this one was left out. */
	announce(2 * S, 1, 9, 0);
	missing_pushed(&list, 9 * S, find(9), 0);
	assert_true(missing_deadline(&list, burst) == 1 * S + 161 * MS);
}

static void it_is_bounded(void **state)
{
	size_t most = LIMIT_MISSING_IN_ALL / 2;

	for (size_t i = 0; i < most + 10; i++)
		announce(1, 0, i, 0);
	assert_int_equal(core.missing, most);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_MISSING), 10);
	assert_int_equal(core.effects.error, 0);
}

static void no_memory_is_told(void **state)
{
	heap_fail(1, false);
	announce(1, 0, 1, 0);
	assert_int_equal(core.effects.error, ERROR_NOMEM);
	heap_fail(2, false);
	announce(1, 0, 1, 0);
	heap_fail(0, false);
	assert_null(find(1));
	assert_int_equal(core.missing, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(announcers_are_asked_in_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(who_has_gone_has_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(the_nearer_is_seven_hops_nearer, setup, teardown),
		cmocka_unit_test_setup_teardown(in_a_burst_it_waits_for_pushes, setup, teardown),
		cmocka_unit_test_setup_teardown(it_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(no_memory_is_told, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
