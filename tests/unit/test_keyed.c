/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/keyed.h"
#include "support_heap.h"

#define ENTRIES 1000

struct entry {
	unsigned number;
	UT_hash_handle hh;
};

static uint64_t seed;

static struct keyed make_keyed(uint64_t from)
{
	struct keyed keyed;
	struct random random = random_seeded(&seed);

	seed = from;
	keyed_init(&keyed, &random);
	return keyed;
}

static void the_key_decides(void **state)
{
	struct keyed one = make_keyed(1), again = make_keyed(1), other = make_keyed(2);
	unsigned same = 0;

	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(keyed_hash(&one, &i, sizeof i), keyed_hash(&again, &i, sizeof i));
		same += keyed_hash(&one, &i, sizeof i) == keyed_hash(&other, &i, sizeof i);
	}
	assert_true(same <= 1);
	assert_int_not_equal(keyed_hash(&one, "a", 1), keyed_hash(&one, "a", 2));
	assert_int_equal(keyed_hash(&one, NULL, 0), keyed_hash(&again, "", 0));
}

static struct entry *add(struct entry **table, const struct keyed *keyed, unsigned number)
{
	struct entry *entry = memory_zalloc(sizeof *entry);

	if (!entry)
		return NULL;
	entry->number = number;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, *table, &entry->number, sizeof entry->number,
		keyed_hash(keyed, &number, sizeof number), entry);
	if (entry->hh.tbl)
		return entry;
	memory_free(entry);
	return NULL;
}

static struct entry *find(struct entry *table, const struct keyed *keyed, unsigned number)
{
	struct entry *entry;

	HASH_FIND_BYHASHVALUE(hh, table, &number, sizeof number,
		keyed_hash(keyed, &number, sizeof number), entry);
	return entry;
}

/* A table for which there is no memory, as it grows, stays what it was. */
static void tables_without_memory(void **state)
{
	struct keyed keyed = make_keyed(1);
	struct entry *table = NULL, *entry, *next;
	unsigned count = 0;

	heap_begin();
	for (unsigned number = 0; number < ENTRIES; number++) {
		for (size_t n = 1; n <= 3; n++) {
			heap_fail(n, false);
			if (add(&table, &keyed, number))
				break;
			assert_true(heap_has_failed());
			assert_null(find(table, &keyed, number));
			assert_int_equal(HASH_COUNT(table), count);
		}
		heap_fail(0, false);
		if (!find(table, &keyed, number))
			assert_non_null(add(&table, &keyed, number));
		assert_int_equal(HASH_COUNT(table), ++count);
	}
	for (unsigned number = 0; number < ENTRIES; number++)
		assert_int_equal(find(table, &keyed, number)->number, number);
	assert_null(find(table, &keyed, ENTRIES));
	HASH_ITER (hh, table, entry, next) {
		HASH_DELETE(hh, table, entry);
		memory_free(entry);
	}
	heap_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_key_decides),
		cmocka_unit_test(tables_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
