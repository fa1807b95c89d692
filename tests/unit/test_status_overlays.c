/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugin/broker.h"
#include "plugin/status_overlays.h"
#include "support_heap.h"

#define RETAINED 8192

/* What the broker retains. */
static struct {
	struct {
		char topic[64], value[24];
	} retained[RETAINED];
	size_t count;
	size_t publishes;
	struct random random;
	uint64_t seed;
	struct status_nodes *nodes;
	struct status_overlays *overlays;
} world;

bool broker_retain(const char *topic, const void *payload, size_t size)
{
	size_t i = 0;

	world.publishes++;
	while (i < world.count && strcmp(world.retained[i].topic, topic) != 0)
		i++;
	if (size == 0) {
		/* Only what is there is cleared. */
		assert_true(i < world.count);
		world.retained[i] = world.retained[--world.count];
		return true;
	}
	assert_true(i < RETAINED && size < sizeof world.retained[i].value);
	if (i == world.count)
		snprintf(world.retained[world.count++].topic, sizeof world.retained[i].topic, "%s",
			topic);
	memcpy(world.retained[i].value, payload, size);
	world.retained[i].value[size] = 0;
	return true;
}

static const char *value(const char *name)
{
	for (size_t i = 0; i < world.count; i++)
		if (strcmp(world.retained[i].topic + strlen("$SYS/broker/p2panda/"), name) == 0)
			return world.retained[i].value;
	return "";
}

static struct id id(unsigned number)
{
	struct id id = {{0}};

	id.bytes[0] = (uint8_t)(number >> 8);
	id.bytes[1] = (uint8_t)number;
	return id;
}

static void settle(void)
{
	size_t room = SIZE_MAX;

	status_overlays_words_due(world.overlays);
	status_overlays_numbers_due(world.overlays);
	status_overlays_publish(world.overlays, &room);
	status_nodes_publish(world.nodes, 1);
}

static int set_up(void **state)
{
	memset(&world, 0, sizeof world);
	world.random = random_seeded(&world.seed);
	assert_int_equal(status_nodes_new(&world.random, &world.nodes), 0);
	assert_int_equal(status_overlays_new(world.nodes, &world.random, &world.overlays), 0);
	return 0;
}

static int tear_down(void **state)
{
	status_overlays_free(world.overlays);
	status_nodes_free(world.nodes);
	return 0;
}

static void its_life_is_told(void **state)
{
	struct id topic = id(1), a = id(0xa000), b = id(0xb000);

	assert_string_equal(status_overlays_word(world.overlays), "idle");
	status_overlays_join(world.overlays, &topic);
	status_overlays_join(world.overlays, &topic); /* twice is fine */
	settle();
	assert_string_equal(value("overlay/0001000000/state"), "joining");
	assert_string_equal(value("overlay/0001000000/neighbours"), "0");
	assert_string_equal(value("overlay/0001000000/in"), "0");
	assert_string_equal(status_overlays_word(world.overlays), "joining");
	status_overlays_up(world.overlays, &topic, &a);
	status_overlays_up(world.overlays, &topic, &b);
	status_overlays_count(world.overlays, &topic, STATUS_IN, 3);
	status_overlays_count(world.overlays, &topic, STATUS_OUT, 2);
	status_overlays_count(world.overlays, &topic, STATUS_DROPPED, 1);
	settle();
	assert_string_equal(value("overlay/0001000000/state"), "joined");
	assert_string_equal(value("overlay/0001000000/neighbours"), "2");
	assert_string_equal(value("overlay/0001000000/in"), "3");
	assert_string_equal(value("overlay/0001000000/out"), "2");
	assert_string_equal(value("overlay/0001000000/dropped"), "1");
	assert_string_equal(value("node/a000000000/state"), "online");
	status_overlays_down(world.overlays, &topic, &a);
	status_overlays_down(world.overlays, &topic, &a); /* it is none any more */
	status_overlays_down(world.overlays, &topic, &b);
	settle();
	assert_string_equal(value("overlay/0001000000/state"), "alone");
	assert_string_equal(value("node/b000000000/state"), "offline");
	assert_string_equal(status_overlays_word(world.overlays), "alone");
	status_overlays_leave(world.overlays, &topic);
	assert_string_equal(status_overlays_word(world.overlays), "idle");
	settle();
	assert_int_equal(world.count, 2); /* the nodes */
}

static void the_word_is_about_all(void **state)
{
	struct id one = id(1), two = id(2), node = id(0xa000);

	status_overlays_join(world.overlays, &one);
	status_overlays_join(world.overlays, &two);
	status_overlays_up(world.overlays, &one, &node);
	assert_string_equal(status_overlays_word(world.overlays), "partly");
	status_overlays_up(world.overlays, &two, &node);
	assert_string_equal(status_overlays_word(world.overlays), "joined");
	status_overlays_down(world.overlays, &one, &node);
	settle();
	assert_string_equal(value("node/a000000000/state"), "online"); /* in the other one */
	status_overlays_down(world.overlays, &two, &node);
	assert_string_equal(status_overlays_word(world.overlays), "alone");
}

static void what_is_joined_again_begins_anew(void **state)
{
	struct id topic = id(1), node = id(0xa000);

	status_overlays_join(world.overlays, &topic);
	status_overlays_up(world.overlays, &topic, &node);
	status_overlays_count(world.overlays, &topic, STATUS_IN, 3);
	settle();
	status_overlays_leave(world.overlays, &topic);
	status_overlays_join(world.overlays, &topic);
	/* Of its earlier life, said late. */
	status_overlays_up(world.overlays, &topic, &node);
	status_overlays_left(world.overlays, &topic);
	settle();
	assert_string_equal(value("overlay/0001000000/state"), "joining");
	assert_string_equal(value("overlay/0001000000/neighbours"), "0");
	assert_string_equal(value("overlay/0001000000/in"), "0");
	assert_string_equal(value("node/a000000000/state"), "offline");
	assert_string_equal(status_overlays_word(world.overlays), "joining");
}

static void nothing_is_said_without_a_change(void **state)
{
	struct id topic = id(1), node = id(0xa000);
	size_t before;

	status_overlays_join(world.overlays, &topic);
	settle();
	before = world.publishes;
	settle();
	assert_int_equal(world.publishes, before);
	/* There and back is no change. */
	status_overlays_up(world.overlays, &topic, &node);
	status_overlays_down(world.overlays, &topic, &node);
	status_overlays_up(world.overlays, &topic, &node);
	status_overlays_count(world.overlays, &topic, STATUS_OUT, 1);
	settle();
	assert_int_equal(world.publishes, before + 4); /* state, neighbours, out, node */
	/* Numbers wait for their time. */
	status_overlays_count(world.overlays, &topic, STATUS_OUT, 1);
	status_overlays_words_due(world.overlays);
	status_overlays_publish(world.overlays, &(size_t){100});
	assert_int_equal(world.publishes, before + 4);
	status_overlays_again(world.overlays);
	status_overlays_publish(world.overlays, &(size_t){100});
	assert_int_equal(world.publishes, before + 9);
	settle();
	assert_int_equal(world.publishes, before + 9);
}

static void only_so_many_are_shown(void **state)
{
	struct id topic;
	size_t room, turns = 0;

	for (unsigned i = 0; i < STATUS_OVERLAYS + 2; i++) {
		topic = id(i);
		status_overlays_join(world.overlays, &topic);
	}
	status_overlays_words_due(world.overlays);
	do {
		room = 200;
		status_overlays_publish(world.overlays, &room);
		assert_true(world.publishes <= ++turns * 205);
	} while (room == 0);
	assert_int_equal(world.count, 5 * STATUS_OVERLAYS);
	assert_string_equal(value("overlay/03e8000000/state"), "");
	/* One that was not shown is left; then one that was. */
	topic = id(STATUS_OVERLAYS);
	status_overlays_leave(world.overlays, &topic);
	topic = id(0);
	status_overlays_leave(world.overlays, &topic);
	settle();
	settle();
	assert_string_equal(value("overlay/0000000000/state"), "");
	assert_string_equal(value("overlay/03e9000000/state"), "joining");
	assert_int_equal(world.count, 5 * STATUS_OVERLAYS);
}

static void of_two_with_the_same_digits_the_first_is_shown(void **state)
{
	struct id one = id(1), two = id(1), node = id(0xa000);

	two.bytes[31] = 1;
	status_overlays_join(world.overlays, &one);
	status_overlays_join(world.overlays, &two);
	status_overlays_up(world.overlays, &two, &node);
	settle();
	assert_string_equal(value("overlay/0001000000/state"), "joining");
	status_overlays_leave(world.overlays, &two);
	settle();
	assert_string_equal(value("overlay/0001000000/state"), "joining");
}

static void what_is_cleared_is_forgotten(void **state)
{
	struct id topic = id(1);

	status_overlays_join(world.overlays, &topic);
	settle();
	status_overlays_again(world.overlays);
	status_overlays_leave(world.overlays, &topic); /* before all of it is said again */
	settle();
	assert_int_equal(world.count, 0);
}

static void out_of_memory_there_is_no_status(void **state)
{
	struct id topic = id(1), node = id(0xa000);

	tear_down(state);
	heap_begin();
	set_up(state);
	for (size_t n = 1; n <= 2; n++) {
		heap_fail(n, false);
		status_overlays_join(world.overlays, &topic);
		assert_true(heap_has_failed());
		heap_fail(0, false);
		status_overlays_up(world.overlays, &topic, &node);
		status_overlays_count(world.overlays, &topic, STATUS_IN, 1);
		status_overlays_leave(world.overlays, &topic);
		settle();
		assert_int_equal(world.count, 0);
	}
	tear_down(state);
	heap_end();
	set_up(state);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(its_life_is_told),
		TEST(the_word_is_about_all),
		TEST(what_is_joined_again_begins_anew),
		TEST(nothing_is_said_without_a_change),
		TEST(only_so_many_are_shown),
		TEST(of_two_with_the_same_digits_the_first_is_shown),
		TEST(what_is_cleared_is_forgotten),
		TEST(out_of_memory_there_is_no_status),
	};

	return cmocka_run_group_tests_name("status_overlays", tests, NULL, NULL);
}
