/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/random.h"
#include "bridge/relay/queue.h"
#include "support_heap.h"

#define LIMIT 10000

static int setup(void **state)
{
	heap_begin();
	return 0;
}

static int teardown(void **state)
{
	heap_end();
	return 0;
}

/* Bytes come out as they went in, whatever the pieces are; never more than the limit. */
static void it_is_a_queue(void **state)
{
	struct queue queue = {0};
	uint64_t seed = 11;
	struct random random = random_seeded(&seed);
	uint8_t in = 0, out = 0, *room;
	size_t full = 0;
	int error;

	for (int i = 0; i < 20000; i++) {
		size_t size = random_below(&random, 3000);

		/* After a while it has all the memory that it needs. */
		if (i == 2000)
			heap_fail(1, true);
		error = queue_reserve(&queue, LIMIT, size, &room);
		if (error) {
			assert_int_equal(error, ERROR_FULL);
			assert_true(queue.size + size > LIMIT);
			full++;
		} else {
			for (size_t j = 0; j < size; j++)
				room[j] = in++;
			queue_commit(&queue, size);
		}
		assert_true(queue.size <= LIMIT);
		size = random_below(&random, queue.size + 1);
		for (size_t j = 0; j < size; j++)
			assert_int_equal(queue_view(&queue)[j], out++);
		queue_take(&queue, size);
	}
	assert_true(full > 0);
	assert_true(heap_largest() <= 4 * LIMIT);
	queue_clear(&queue);
	assert_null(queue_view(&queue));
}

static void the_limit_is_exact(void **state)
{
	struct queue queue = {0};
	uint8_t *room;

	assert_int_equal(queue_reserve(&queue, 10, 11, &room), ERROR_FULL);
	assert_int_equal(queue_reserve(&queue, 10, 10, &room), 0);
	memset(room, 1, 10);
	queue_commit(&queue, 10);
	assert_int_equal(queue_reserve(&queue, 10, 1, &room), ERROR_FULL);
	assert_int_equal(queue_reserve(&queue, 5, 0, &room), ERROR_FULL);
	assert_int_equal(queue_reserve(&queue, 10, 0, &room), 0);
	queue_take(&queue, 100);
	assert_int_equal(queue.size, 0);
	assert_null(queue_view(&queue));
	queue_clear(&queue);
}

static void without_memory_it_stays_as_it_is(void **state)
{
	struct queue queue = {0};
	uint8_t *room;

	heap_fail(1, false);
	assert_int_equal(queue_reserve(&queue, 100000, 3, &room), ERROR_NOMEM);
	assert_int_equal(queue_reserve(&queue, 100000, 3, &room), 0);
	memcpy(room, "abc", 3);
	queue_commit(&queue, 3);
	heap_fail(1, false);
	assert_int_equal(queue_reserve(&queue, 100000, 50000, &room), ERROR_NOMEM);
	assert_int_equal(queue.size, 3);
	assert_memory_equal(queue_view(&queue), "abc", 3);
	queue_clear(&queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(it_is_a_queue),
		TEST(the_limit_is_exact),
		TEST(without_memory_it_stays_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
