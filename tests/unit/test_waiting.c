/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/waiting.h"
#include "support_heap.h"

#define AGE 1000

static struct waiting_room room;
static struct waiting first, second;
static struct counters counters;

static int setup(void **state)
{
	memset(&counters, 0, sizeof counters);
	memset(&first, 0, sizeof first);
	memset(&second, 0, sizeof second);
	room = (struct waiting_room){
		.limit = 4, .age_ns = AGE, .max_bytes = 100, .counters = &counters};
	heap_begin();
	return 0;
}

static int teardown(void **state)
{
	waiting_drop(&room, &first, COUNTER_DROPPED_LEFT);
	waiting_drop(&room, &second, COUNTER_DROPPED_LEFT);
	assert_int_equal(room.bytes, 0);
	assert_int_equal(room.count, 0);
	heap_end();
	return 0;
}

static unsigned counted(enum counter counter)
{
	return (unsigned)counters_get(&counters, counter);
}

static int push(struct waiting *waiting, uint64_t now, char letter, size_t size)
{
	char content[200];
	struct message *message;
	int error;

	memset(content, letter, sizeof content);
	message = message_new(content, size);
	assert_non_null(message);
	error = waiting_push(&room, waiting, now, message);
	message_unref(message);
	return error;
}

static void expect(struct waiting *waiting, const char *letters)
{
	struct message *message;

	assert_int_equal(waiting->count, strlen(letters));
	for (; *letters; letters++) {
		message = waiting_pop(&room, waiting);
		assert_non_null(message);
		assert_int_equal(message->content[0], *letters);
		message_unref(message);
	}
	assert_null(waiting_pop(&room, waiting));
}

static void in_order(void **state)
{
	assert_null(waiting_pop(&room, &first));
	for (char letter = 'a'; letter <= 'd'; letter++)
		assert_int_equal(push(&first, 0, letter, 5), 0);
	assert_int_equal(room.bytes, 20);
	expect(&first, "abcd");
	assert_int_equal(room.bytes, 0);
	assert_int_equal(room.count, 0);
	/* Usable again after it was empty. */
	assert_int_equal(push(&first, 0, 'e', 5), 0);
	expect(&first, "e");
}

static void the_oldest_gives_way(void **state)
{
	for (char letter = 'a'; letter <= 'f'; letter++)
		assert_int_equal(push(&first, 0, letter, 1), 0);
	assert_int_equal(counted(COUNTER_DROPPED_QUEUE_LIMIT), 2);
	expect(&first, "cdef");
}

static void from_one_queue_into_another(void **state)
{
	waiting_move(&room, &first, &second);
	assert_true(waiting_due(&second) == UINT64_MAX);
	for (char letter = 'a'; letter <= 'c'; letter++)
		assert_int_equal(push(&first, (uint64_t)letter, letter, 5), 0);
	waiting_move(&room, &first, &second);
	assert_int_equal(first.count, 0);
	assert_true(waiting_due(&first) == UINT64_MAX);
	assert_true(waiting_due(&second) == 'a' + AGE);
	assert_int_equal(room.count, 3);
	assert_int_equal(push(&second, 'd', 'd', 5), 0);
	assert_int_equal(push(&first, 'e', 'e', 5), 0);
	expect(&first, "e");
	expect(&second, "abcd");
}

static void one_that_has_waited_before(void **state)
{
	struct message *message = message_new("a", 1);

	assert_int_equal(waiting_put(&room, &first, 7, message), 0);
	message_unref(message);
	assert_int_equal(push(&first, 0, 'b', 1), 0);
	assert_true(waiting_expire(&room, &first, 6) == 7);
	assert_true(waiting_expire(&room, &first, 7) == AGE);
	expect(&first, "b");
}

static struct waiting *gave_way;

static void on_gave_way(void *context, struct waiting *waiting)
{
	assert_ptr_equal(context, &room);
	gave_way = waiting;
}

static void bytes_in_all(void **state)
{
	room.gave_way = on_gave_way;
	room.context = &room;
	gave_way = NULL;
	assert_int_equal(push(&first, 0, 'a', 60), 0);
	assert_int_equal(push(&second, 0, 'b', 30), 0);
	/* Who would hold most lets go of its own. */
	assert_int_equal(push(&second, 0, 'c', 40), 0);
	assert_int_equal(counted(COUNTER_DROPPED_QUEUE_LIMIT), 1);
	assert_null(gave_way);
	expect(&second, "c");
	/* One that can never find room takes nobody's. */
	assert_int_equal(push(&first, 0, 'e', 101), ERROR_FULL);
	assert_int_equal(counted(COUNTER_DROPPED_QUEUE_LIMIT), 2);
	expect(&first, "a");
}

static void who_holds_most_gives_way(void **state)
{
	static const char filled[] = "abcdefghij";

	room.gave_way = on_gave_way;
	room.context = &room;
	room.limit = 100;
	for (size_t i = 0; filled[i]; i++)
		assert_int_equal(push(&first, 0, filled[i], 10), 0);
	assert_int_equal(room.bytes, room.max_bytes);
	/* Up to a half each: from there on they are equals. */
	for (char letter = '0'; letter < '5'; letter++) {
		gave_way = NULL;
		assert_int_equal(push(&second, 0, letter, 10), 0);
		assert_ptr_equal(gave_way, &first);
	}
	assert_int_equal(counted(COUNTER_DROPPED_QUEUE_LIMIT), 5);
	gave_way = NULL;
	assert_int_equal(push(&second, 0, '5', 10), 0);
	assert_null(gave_way);
	assert_int_equal(push(&first, 0, 'k', 10), 0);
	assert_null(gave_way);
	assert_int_equal(counted(COUNTER_DROPPED_QUEUE_LIMIT), 7);
	assert_int_equal(room.bytes, room.max_bytes);
	expect(&first, "ghijk");
	expect(&second, "12345");
	/* Who holds nothing takes no part. */
	assert_null(room.queues);
}

static void a_limit_of_nothing(void **state)
{
	room.limit = 0;
	assert_int_equal(push(&first, 0, 'a', 1), ERROR_FULL);
	assert_int_equal(counted(COUNTER_DROPPED_QUEUE_LIMIT), 1);
	assert_true(waiting_expire(&room, &first, 0) == UINT64_MAX);
}

static void empty_messages_wait_too(void **state)
{
	assert_int_equal(push(&first, 0, 'a', 0), 0);
	assert_int_equal(first.count, 1);
	assert_int_equal(waiting_drop(&room, &first, COUNTER_DROPPED_LEFT), 1);
}

static void they_age(void **state)
{
	assert_true(waiting_expire(&room, &first, 0) == UINT64_MAX);
	assert_int_equal(push(&first, 10, 'a', 1), 0);
	assert_int_equal(push(&first, 10, 'b', 1), 0);
	assert_int_equal(push(&first, 20, 'c', 1), 0);
	assert_int_equal(waiting_expire(&room, &first, 9 + AGE), 10 + AGE);
	assert_int_equal(first.count, 3);
	assert_int_equal(waiting_expire(&room, &first, 10 + AGE), 20 + AGE);
	assert_int_equal(counted(COUNTER_DROPPED_QUEUE_AGE), 2);
	assert_int_equal(first.count, 1);
	assert_true(waiting_expire(&room, &first, 1000 + AGE) == UINT64_MAX);
	assert_int_equal(counted(COUNTER_DROPPED_QUEUE_AGE), 3);
	expect(&first, "");
}

static void dropped_for_a_reason(void **state)
{
	assert_int_equal(waiting_drop(&room, &first, COUNTER_DROPPED_LEFT), 0);
	for (char letter = 'a'; letter <= 'c'; letter++)
		assert_int_equal(push(&first, 0, letter, 1), 0);
	assert_int_equal(push(&second, 0, 'd', 1), 0);
	assert_int_equal(waiting_drop(&room, &first, COUNTER_DROPPED_LEFT), 3);
	assert_int_equal(counted(COUNTER_DROPPED_LEFT), 3);
	expect(&second, "d");
}

static void the_message_is_shared(void **state)
{
	struct message *message = message_new("x", 1), *popped;

	assert_int_equal(waiting_push(&room, &first, 0, message), 0);
	popped = waiting_pop(&room, &first);
	assert_ptr_equal(popped, message);
	message_unref(message);
	assert_int_equal(popped->content[0], 'x');
	message_unref(popped);
}

static void without_memory(void **state)
{
	struct message *message = message_new("x", 1);

	heap_fail(1, false);
	assert_int_equal(waiting_push(&room, &first, 0, message), ERROR_NOMEM);
	assert_true(heap_has_failed());
	/* Nothing is lost silently. */
	assert_int_equal(counted(COUNTER_DROPPED_NO_MEMORY), 1);
	assert_int_equal(first.count, 0);
	assert_int_equal(room.bytes, 0);
	assert_int_equal(room.count, 0);
	assert_int_equal(waiting_push(&room, &first, 0, message), 0);
	message_unref(message);
	expect(&first, "x");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(in_order),
		TEST(the_oldest_gives_way),
		TEST(from_one_queue_into_another),
		TEST(one_that_has_waited_before),
		TEST(bytes_in_all),
		TEST(who_holds_most_gives_way),
		TEST(a_limit_of_nothing),
		TEST(empty_messages_wait_too),
		TEST(they_age),
		TEST(dropped_for_a_reason),
		TEST(the_message_is_shared),
		TEST(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
