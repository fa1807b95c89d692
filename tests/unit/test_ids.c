/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/gossip/ids.h"
#include "bridge/time.h"
#include "support_heap.h"
#include "support_id.h"

static struct keyed keyed;
static struct ids ids;

static int setup(void **state)
{
	heap_begin();
	ids_init(&ids, &keyed);
	return 0;
}

static int teardown(void **state)
{
	while (ids.count > 0)
		ids_forget_oldest(&ids);
	assert_int_equal(heap_blocks(), 0);
	heap_end();
	return 0;
}

static bool add(uint64_t now, uint64_t number)
{
	struct id id = id_of(number);
	struct remembered *added = ids_add(&ids, now, &id);

	assert_true(!added || ids_find(&ids, &id) == added);
	return added != NULL;
}

static bool know(uint64_t number)
{
	struct id id = id_of(number);

	return ids_find(&ids, &id) != NULL;
}

/* Returns the number of the oldest id, and checks when it came. */
static uint64_t oldest(uint64_t added)
{
	const struct remembered *first = ids_oldest(&ids);

	assert_true(ids_added(&ids, first) == added);
	return number_of(&first->id);
}

static void the_oldest_comes_first(void **state)
{
	assert_null(ids_oldest(&ids));
	assert_false(know(1));
	assert_true(add(7 * MS, 1));
	assert_true(add(7 * MS + 1, 2));
	assert_true(add(9 * MS, 3));
	assert_true(know(1) && know(2) && know(3) && !know(4));
	assert_int_equal(oldest(7 * MS), 1);
	ids_forget_oldest(&ids);
	assert_true(!know(1) && know(2));
	/* Times are rounded up: nothing is forgotten too early. */
	assert_int_equal(oldest(8 * MS), 2);
	ids_forget_oldest(&ids);
	assert_int_equal(oldest(9 * MS), 3);
	ids_forget_oldest(&ids);
	assert_null(ids_oldest(&ids));
	assert_int_equal(heap_blocks(), 0);
	/* It begins again, in any order of blocks. */
	for (uint64_t i = 0; i < 100; i++) {
		assert_true(add(i * MS, i));
		if (i % 3 == 0)
			ids_forget_oldest(&ids);
	}
	assert_int_equal(ids.count, 66);
	assert_int_equal(oldest(34 * MS), 34);
}

/* The time of an id is kept in 32 bits: those that lie on both sides of a multiple are in order. */
static void times_go_on_after_seven_weeks(void **state)
{
	uint64_t weeks = (UINT64_C(1) << 32) * MS;

	assert_true(add(weeks - 2 * MS, 1));
	assert_true(add(weeks + 5 * MS, 2));
	assert_int_equal(oldest(weeks - 2 * MS), 1);
	ids_forget_oldest(&ids);
	assert_int_equal(oldest(weeks + 5 * MS), 2);
}

/* Ids come and go for a long time: what is looked up in vain does not go past all that is gone, so
 * the memory and the time stay as they were. */
static void tables_are_renewed(void **state)
{
	enum { KEPT = 3 * IDS_FIRST };
	size_t blocks;

	for (uint64_t i = 0; i < KEPT; i++)
		assert_true(add(i, i));
	blocks = heap_blocks();
	for (uint64_t i = KEPT; i < 20 * KEPT; i++) {
		assert_true(know(i - KEPT) && !know(i));
		assert_true(add(i, i));
		ids_forget_oldest(&ids);
		assert_false(know(i - KEPT));
	}
	assert_true(heap_blocks() <= blocks + 2 + IDS_SHARDS);
	/* Fewer and fewer: the tables shrink. */
	while (ids.count > 100)
		ids_forget_oldest(&ids);
	for (uint64_t i = 20 * KEPT - 100; i < 20 * KEPT; i++)
		assert_true(know(i));
}

/* Whichever allocation fails, all others are still known. */
static void no_memory_changes_nothing(void **state)
{
	uint64_t known = 0;

	for (uint64_t i = 0; i < IDS_FIRST + 3000; i++) {
		bool added;

		heap_fail(i % 7 + 1, i % 2);
		added = add(i * MS, i);
		assert_true(know(i) == added);
		known += added;
		/* Tables that cannot be renewed stay. */
		if (i % 5 == 4 && ids.count > 0) {
			ids_forget_oldest(&ids);
			known--;
		}
		heap_fail(0, false);
	}
	assert_int_equal(ids.count, known);
	assert_true(known > IDS_FIRST / 2);
}

int main(void)
{
	struct random random = random_system();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_oldest_comes_first, setup, teardown),
		cmocka_unit_test_setup_teardown(times_go_on_after_seven_weeks, setup, teardown),
		cmocka_unit_test_setup_teardown(tables_are_renewed, setup, teardown),
		cmocka_unit_test_setup_teardown(no_memory_changes_nothing, setup, teardown),
	};

	keyed_init(&keyed, &random);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
