/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/limits.h"
#include "plugin/unreleased.h"
#include "support_heap.h"

#define S UINT64_C(1000000000)
#define WITNESS 7

static struct {
	struct unreleased *unreleased;
	struct counters counters;
	struct random random;
	uint64_t seed, now;
	unsigned asked;
	bool expired;
} world;

static struct id topic_id(uint8_t topic)
{
	struct id id;

	memset(id.bytes, topic, ID_SIZE);
	return id;
}

static int setup(void **state)
{
	memset(&world, 0, sizeof world);
	world.random = random_seeded(&world.seed);
	world.now = 1000 * S;
	heap_begin();
	assert_int_equal(
		unreleased_new(&world.counters, &world.random, &world.unreleased), 0);
	return 0;
}

static int teardown(void **state)
{
	unreleased_free(world.unreleased);
	heap_end();
	return 0;
}

static bool has_session(const char *client)
{
	world.asked++;
	return !world.expired;
}

static void add(const char *client, uint8_t topic, const char *content, uint64_t witness)
{
	struct id id = topic_id(topic);

	unreleased_add(world.unreleased, client, &id, content, strlen(content), witness);
}

static bool knows(const char *client, uint8_t topic, const char *content, uint64_t witness)
{
	struct id id = topic_id(topic);

	return unreleased_knows(
		world.unreleased, client, &id, content, strlen(content), witness);
}

static void release(uint8_t topic, const char *content)
{
	struct id id = topic_id(topic);

	unreleased_released(world.unreleased, &id, content, strlen(content));
}

static void reconnect(const char *client)
{
	unreleased_offline(world.unreleased, client);
	unreleased_connected(world.unreleased, client, true);
}

static void what_was_not_released_is_known_on_the_next_connection(void **state)
{
	add("c", 1, "a", WITNESS);
	add("c", 1, "", WITNESS);
	/* On this one it is new: packet ids are used again. */
	assert_false(knows("c", 1, "a", WITNESS));
	reconnect("c");
	assert_false(knows("d", 1, "a", WITNESS));
	assert_false(knows("c", 2, "a", WITNESS));
	assert_false(knows("c", 1, "b", WITNESS));
	assert_false(knows("c", 1, "bb", WITNESS));
	assert_true(knows("c", 1, "a", WITNESS));
	assert_true(knows("c", 1, "", WITNESS));
	/* A client sends it again once on a connection, and on each. */
	assert_false(knows("c", 1, "a", WITNESS));
	reconnect("c");
	assert_true(knows("c", 1, "a", WITNESS));
	/* Taken over, without having been offline. */
	unreleased_connected(world.unreleased, "c", true);
	assert_true(knows("c", 1, "a", WITNESS));
}

static void what_was_released_is_new_again(void **state)
{
	size_t blocks = heap_blocks();

	add("c", 1, "a", WITNESS);
	release(2, "a");
	release(1, "b");
	release(1, "aa");
	reconnect("c");
	assert_true(knows("c", 1, "a", WITNESS));
	release(1, "a");
	assert_int_equal(heap_blocks(), blocks);
	reconnect("c");
	assert_false(knows("c", 1, "a", WITNESS));
}

/* Its release might not have been seen. */
static void nothing_is_known_without_one_witness_from_first_to_last(void **state)
{
	size_t blocks = heap_blocks();

	add("c", 1, "a", 0);
	assert_int_equal(heap_blocks(), blocks);
	add("c", 1, "a", WITNESS);
	reconnect("c");
	assert_false(knows("c", 1, "a", 0));
	assert_false(knows("c", 1, "a", WITNESS + 1));
	assert_true(knows("c", 1, "a", WITNESS));
}

static void a_session_that_is_over_sends_nothing_again(void **state)
{
	size_t blocks = heap_blocks();

	add("c", 1, "a", WITNESS);
	add("d", 1, "b", WITNESS);
	unreleased_gone(world.unreleased, "c");
	reconnect("c");
	reconnect("d");
	assert_false(knows("c", 1, "a", WITNESS));
	assert_true(knows("d", 1, "b", WITNESS));
	unreleased_connected(world.unreleased, "d", false);
	assert_false(knows("d", 1, "b", WITNESS));
	assert_int_equal(heap_blocks(), blocks);

	/* Expired: nobody says so. Who is there is not asked for, nor is it asked all the time. */
	add("c", 1, "a", WITNESS);
	unreleased_tick(world.unreleased, world.now, has_session);
	assert_int_equal(world.asked, 0);
	unreleased_offline(world.unreleased, "c");
	for (int i = 0; i < 20; i++)
		unreleased_tick(world.unreleased, world.now += S / 10, has_session);
	assert_int_equal(world.asked, 2);
	world.expired = true;
	unreleased_tick(world.unreleased, world.now += S, has_session);
	assert_int_equal(heap_blocks(), blocks);
	reconnect("c");
	assert_false(knows("c", 1, "a", WITNESS));
}

/* Two of the same: which one a release is of, nobody can tell. */
static void the_same_by_two_is_the_later_ones(void **state)
{
	add("c", 1, "a", WITNESS);
	add("d", 1, "a", WITNESS);
	reconnect("c");
	reconnect("d");
	assert_false(knows("c", 1, "a", WITNESS));
	assert_true(knows("d", 1, "a", WITNESS));
	/* And the same once more by the same client is one that is not released yet. */
	add("d", 1, "a", WITNESS);
	assert_false(knows("d", 1, "a", WITNESS));
	reconnect("d");
	assert_true(knows("d", 1, "a", WITNESS));
}

static void they_are_bounded(void **state)
{
	static char long_id[1002], content[LIMIT_CONTENT + 2];
	size_t blocks = heap_blocks();
	char client[16];

	for (unsigned i = 0; i < LIMIT_UNRELEASED + 10; i++) {
		snprintf(client, sizeof client, "c%u", i);
		add(client, 1, client, WITNESS);
	}
	assert_int_equal(counters_get(&world.counters, COUNTER_LIMIT_UNRELEASED), 10);
	for (unsigned i = 0; i < LIMIT_UNRELEASED + 10; i++) {
		snprintf(client, sizeof client, "c%u", i);
		reconnect(client);
		assert_int_equal(knows(client, 1, client, WITNESS), i >= 10);
		unreleased_gone(world.unreleased, client);
	}
	memset(long_id, 'c', sizeof long_id - 1);
	add(long_id, 1, "a", WITNESS);
	memset(content, 'x', sizeof content - 1);
	add("c", 1, content, WITNESS);
	assert_int_equal(heap_blocks(), blocks);
}

static void no_memory(void **state)
{
	for (size_t n = 1; n < 8; n++) {
		size_t blocks = heap_blocks();

		heap_fail(n, false);
		add("c", 1, "a", WITNESS);
		reconnect("c");
		if (!heap_has_failed())
			assert_true(knows("c", 1, "a", WITNESS));
		heap_fail(0, false);
		unreleased_gone(world.unreleased, "c");
		assert_int_equal(heap_blocks(), blocks);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_was_not_released_is_known_on_the_next_connection),
		TEST(what_was_released_is_new_again),
		TEST(nothing_is_known_without_one_witness_from_first_to_last),
		TEST(a_session_that_is_over_sends_nothing_again),
		TEST(the_same_by_two_is_the_later_ones),
		TEST(they_are_bounded),
		TEST(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
