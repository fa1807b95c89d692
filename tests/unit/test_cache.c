/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/gossip/cache.h"
#include "bridge/limits.h"
#include "bridge/time.h"
#include "support_heap.h"
#include "support_id.h"

static struct counters counters;
static struct keyed keyed;
static struct contents contents;
static struct census census;
static struct cache cache;

static int setup(void **state)
{
	memset(&counters, 0, sizeof counters);
	heap_begin();
	contents_init(&contents, 100000, &counters);
	census_init(&census, 1000);
	cache_init(&cache, &contents, &census, &keyed);
	return 0;
}

static int teardown(void **state)
{
	cache_clear(&cache);
	assert_int_equal(contents.bytes, 0);
	assert_null(contents.oldest);
	assert_int_equal(census.ids, 0);
	for (size_t i = 0; i < CACHE_RANKS; i++)
		assert_null(census.ranks[i]);
	heap_end();
	return 0;
}

static int add(struct cache *to, uint64_t now, uint64_t number, size_t size)
{
	static uint8_t content[4096];
	struct message *message = size ? message_new(content, size) : NULL;
	struct id id = id_of(number);
	int error = cache_add(to, now, &id, message, (uint16_t)number);

	message_unref(message);
	return error;
}

static bool knows(const struct cache *of, uint64_t number)
{
	struct id id = id_of(number);

	return cache_knows(of, &id);
}

static bool has(const struct cache *of, uint64_t number)
{
	struct id id = id_of(number);
	uint16_t round = 0;
	bool found = cache_content(of, &id, &round) != NULL;

	assert_true(!found || round == number);
	return found;
}

static void content_goes_before_ids(void **state)
{
	assert_true(cache_deadline(&cache) == UINT64_MAX);
	assert_true(contents_deadline(&contents) == UINT64_MAX);
	assert_int_equal(add(&cache, 10 * S, 1, 100), 0);
	assert_int_equal(add(&cache, 20 * S, 2, 100), 0);
	assert_int_equal(add(&cache, 20 * S, 3, 0), 0);
	assert_true(has(&cache, 1) && has(&cache, 2) && !has(&cache, 3) && !has(&cache, 4));
	assert_true(knows(&cache, 3) && !knows(&cache, 4));
	assert_true(contents_deadline(&contents) == 41 * S);
	assert_true(cache_deadline(&cache) == 101 * S);

	contents_evict(&contents, 40 * S - 1);
	assert_true(has(&cache, 1));
	contents_evict(&contents, 40 * S);
	assert_false(has(&cache, 1));
	assert_true(knows(&cache, 1) && has(&cache, 2));
	assert_true(contents_deadline(&contents) == 51 * S);
	contents_evict(&contents, 50 * S);
	assert_true(contents_deadline(&contents) == UINT64_MAX);

	cache_evict(&cache, 100 * S - 1);
	assert_true(knows(&cache, 1));
	cache_evict(&cache, 100 * S);
	assert_false(knows(&cache, 1));
	assert_true(knows(&cache, 2));
	cache_evict(&cache, 200 * S);
	assert_false(knows(&cache, 2) || knows(&cache, 3));
	assert_true(cache_deadline(&cache) == UINT64_MAX);
	/* Not even the table is left. */
	assert_int_equal(heap_blocks(), 0);
}

static void overlays_share_the_bytes(void **state)
{
	struct cache other;
	size_t each;

	cache_init(&other, &contents, &census, &keyed);
	assert_int_equal(add(&cache, 1, 1, 1000), 0);
	each = contents.bytes;
	contents.limit = 3 * each;
	assert_int_equal(add(&other, 2, 2, 1000), 0);
	assert_int_equal(add(&cache, 3, 3, 1000), 0);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_CACHE), 0);
	assert_int_equal(add(&other, 4, 4, 1000), 0);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_CACHE), 1);
	assert_false(has(&cache, 1));
	assert_true(knows(&cache, 1) && has(&other, 2) && has(&cache, 3) && has(&other, 4));
	assert_int_equal(contents.bytes, 3 * each);
	/* One that is larger than all the room drives out all, itself as well. */
	contents.limit = each / 2;
	assert_int_equal(add(&cache, 5, 5, 1000), 0);
	assert_false(has(&cache, 5));
	assert_true(knows(&cache, 5));
	assert_int_equal(contents.bytes, 0);
	cache_clear(&other);
}

static void the_oldest_id_gives_way(void **state)
{
	for (uint64_t i = 0; i < 1500; i++)
		assert_int_equal(add(&cache, i, i, 1), 0);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_RECEIVED_IDS), 500);
	assert_true(!knows(&cache, 499) && knows(&cache, 500) && knows(&cache, 1499));
}

/* A busy overlay does not make quiet ones forget, nor does a new one that becomes busy; two that
 * are equally busy give way by turns, to a fourth part. */
static void the_oldest_of_the_largest_overlay_gives_way(void **state)
{
	enum { QUIET = 20, EACH = 5 };
	struct cache quiet[QUIET], second;
	uint64_t number = 0, busy = 1000 - QUIET * EACH;

	for (size_t i = 0; i < QUIET; i++) {
		cache_init(&quiet[i], &contents, &census, &keyed);
		for (size_t j = 0; j < EACH; j++)
			assert_int_equal(add(&quiet[i], number, number, 0), 0), number++;
	}
	for (uint64_t i = 0; i < 5000; i++)
		assert_int_equal(add(&cache, number, number, 0), 0), number++;
	assert_int_equal(census.ids, 1000);
	assert_int_equal(cache.ids.count, busy);
	assert_true(!knows(&cache, number - busy - 1) && knows(&cache, number - busy));
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_RECEIVED_IDS), 5000 - busy);

	cache_init(&second, &contents, &census, &keyed);
	for (uint64_t i = 0; i < 5000; i++)
		assert_int_equal(add(&second, number, number, 0), 0), number++;
	assert_int_equal(census.ids, 1000);
	assert_int_equal(cache.ids.count + second.ids.count, busy);
	assert_true(4 * cache.ids.count >= 3 * second.ids.count && 4 * second.ids.count >= 3 * cache.ids.count);
	for (uint64_t i = 0; i < QUIET * EACH; i++)
		assert_true(knows(&quiet[i / EACH], i));

	/* What is forgotten in time makes room for others. */
	cache_clear(&cache);
	for (size_t i = 0; i < QUIET; i++)
		cache_clear(&quiet[i]);
	for (uint64_t i = 0; i < 1000 - busy / 2; i++)
		assert_int_equal(add(&second, number, number, 0), 0), number++;
	assert_true(second.ids.count > 900);
	cache_clear(&second);
}

/* As many as there may be: each is found, the oldest goes first whatever table it is in, and no
 * table is so large that doubling it would take long. */
static void a_million_ids_are_in_small_tables(void **state)
{
	struct cache large;
	uint64_t n = LIMIT_RECEIVED_IDS;

	heap_end(); /* begun by setup */
	heap_begin();
	census.limit = n;
	cache_init(&large, &contents, &census, &keyed);
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(add(&large, i, i, 0), 0);
	assert_int_equal(large.ids.count, n);
	/* The slots of a table: nine bytes each, two to eight for an id. */
	assert_true(heap_largest() >= 2 * IDS_FIRST * 9);
	assert_true(heap_largest() <= 4 * IDS_FIRST * 9 + 200);
	for (uint64_t i = 0; i < n; i += 97)
		assert_true(knows(&large, i) && !knows(&large, n + i));
	/* From here on each drives out one. */
	for (uint64_t i = n; i < n + 3 * IDS_FIRST; i++) {
		assert_true(knows(&large, i - n));
		assert_int_equal(add(&large, i, i, 0), 0);
		assert_true(!knows(&large, i - n) && knows(&large, i - n + 1));
	}
	assert_int_equal(
		counters_get(&counters, COUNTER_LIMIT_RECEIVED_IDS), 3 * IDS_FIRST);
	cache_clear(&large);
	assert_int_equal(heap_blocks(), 0);
}

/* All that is due, slice by slice. */
static void evict(struct cache *from, uint64_t now)
{
	do
		cache_evict(from, now);
	while (cache_deadline(from) <= now + CACHE_AGAIN_NS);
}

/* Those of the first table run out while newer ones are in the shards, and those that come when
 * there are few again are in the first table once more. */
static void tables_change_unnoticed(void **state)
{
	uint64_t step = CACHE_ID_NS / (3 * IDS_FIRST), next = 0, n = 8 * IDS_FIRST, now = 0;
	bool first_was_empty = false;
	struct cache large;

	census.limit = LIMIT_RECEIVED_IDS;
	cache_init(&large, &contents, &census, &keyed);
	for (uint64_t i = 0; i < n; i++) {
		/* One pause, in which most of them are forgotten. */
		now += i == n / 2 ? CACHE_ID_NS * 5 / 6 : step;
		assert_int_equal(add(&large, now, i, 0), 0);
		evict(&large, now);
		while (next < i && !knows(&large, next))
			next++;
		assert_int_equal(large.ids.count, i + 1 - next);
		assert_true(knows(&large, next) && knows(&large, (next + i) / 2));
		first_was_empty = first_was_empty || !large.ids.first;
		if (i == n / 2 + IDS_FIRST)
			assert_true(large.ids.first && large.ids.shards);
	}
	assert_true(first_was_empty);
	now += MS; /* ids are remembered up to so much longer */
	evict(&large, now + CACHE_ID_NS);
	assert_int_equal(large.ids.count, 0);
	assert_null(large.ids.shards);
	assert_int_equal(add(&large, now + CACHE_ID_NS, 1, 0), 0);
	assert_true(knows(&large, 1));
	cache_clear(&large);
}

static void what_is_due_is_removed_in_slices(void **state)
{
	uint64_t n = 3 * CACHE_EVICT_MOST, now = CACHE_CONTENT_NS;
	struct cache large;

	census.limit = n;
	cache_init(&large, &contents, &census, &keyed);
	contents.limit = SIZE_MAX;
	for (uint64_t i = 0; i < n; i++)
		assert_int_equal(add(&large, 0, i, 1), 0);
	for (uint64_t slice = 1; slice <= 3; slice++) {
		contents_evict(&contents, now);
		assert_false(has(&large, slice * CACHE_EVICT_MOST - 1));
		assert_int_equal(has(&large, slice * CACHE_EVICT_MOST), slice < 3);
		assert_true(contents_deadline(&contents) ==
			(slice < 3 ? now + CACHE_AGAIN_NS : UINT64_MAX));
		now += CACHE_AGAIN_NS;
	}
	assert_true(cache_deadline(&large) == CACHE_ID_NS + CACHE_EVICT_NS);
	now = CACHE_ID_NS;
	for (uint64_t slice = 1; slice <= 3; slice++) {
		cache_evict(&large, now);
		assert_int_equal(large.ids.count, n - slice * CACHE_EVICT_MOST);
		assert_true(cache_deadline(&large) ==
			(slice < 3 ? now + CACHE_AGAIN_NS : UINT64_MAX));
		now += CACHE_AGAIN_NS;
	}
}

static void clearing_can_be_sliced(void **state)
{
	size_t allowance = 10;

	for (uint64_t i = 0; i < 25; i++)
		assert_int_equal(add(&cache, i, i, 10), 0);
	assert_false(cache_clear_some(&cache, &allowance));
	assert_int_equal(allowance, 0);
	assert_true(!has(&cache, 9) && has(&cache, 10));
	allowance = 15;
	assert_true(cache_clear_some(&cache, &allowance));
	assert_int_equal(allowance, 0);
	assert_true(cache_clear_some(&cache, &allowance));
	assert_int_equal(heap_blocks(), 0);
}

static void no_memory_leaves_it_as_it_was(void **state)
{
	uint64_t added = 0, known = 0;

	census.limit = 2 * IDS_FIRST;
	for (uint64_t i = 0; i < IDS_FIRST + 1000; i++) {
		int error;

		heap_fail(i % 4 + 1, false);
		error = add(&cache, i, i, 0);
		heap_fail(0, false);
		assert_true(error == 0 || error == ERROR_NOMEM);
		assert_int_equal(knows(&cache, i), error == 0);
		added += error == 0;
	}
	assert_true(added > IDS_FIRST / 2);
	for (uint64_t i = 0; i < IDS_FIRST + 1000; i++)
		known += knows(&cache, i);
	assert_int_equal(known, added);
}

int main(void)
{
	struct random random = random_system();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(content_goes_before_ids, setup, teardown),
		cmocka_unit_test_setup_teardown(overlays_share_the_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(the_oldest_id_gives_way, setup, teardown),
		cmocka_unit_test_setup_teardown(
			the_oldest_of_the_largest_overlay_gives_way, setup, teardown),
		cmocka_unit_test_setup_teardown(a_million_ids_are_in_small_tables, setup, teardown),
		cmocka_unit_test_setup_teardown(tables_change_unnoticed, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_due_is_removed_in_slices, setup, teardown),
		cmocka_unit_test_setup_teardown(clearing_can_be_sliced, setup, teardown),
		cmocka_unit_test_setup_teardown(no_memory_leaves_it_as_it_was, setup, teardown),
	};

	keyed_init(&keyed, &random);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
