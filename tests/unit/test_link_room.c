/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/peers/link_internal.h"
#include "support_heap.h"

#define PEERS 3
#define LIMIT 1000 /* bytes that may be on their way to each */
#define HIGH  (LIMIT / 4)
#define LOW   (LIMIT / 8)

static const struct id me = {{1}}, topic = {{7}};
static const struct id peers[PEERS] = {{{11}}, {{12}}, {{13}}};

static struct {
	struct links *links;
	struct counters counters;
	struct random random;
	uint64_t seed, now;
	size_t queued[PEERS];
	struct link_connection connections[PEERS];
	void *stream; /* the last one */
} world;

static int io_open(struct link_connection *connection, const struct id *overlay,
	struct stream_out *out, void **stream)
{
	world.stream = out;
	*stream = out;
	return ERROR_NONE;
}

static int io_send(void *stream, struct frame *frame)
{
	frame_free(frame);
	return ERROR_NONE;
}

static void io_finish(void *stream)
{
}

static void io_close(struct link_connection *connection)
{
}

static size_t io_queued(struct link_connection *connection, size_t *limit)
{
	*limit = LIMIT;
	return world.queued[connection - world.connections];
}

static void connect(size_t peer)
{
	assert_int_equal(links_connected(world.links, world.now, &peers[peer],
				 &world.connections[peer], false),
		0);
}

static void begin(size_t connected)
{
	static const struct link_io io = {
		io_open, io_send, io_finish, io_close, io_queued};

	heap_begin();
	memset(&world, 0, sizeof world);
	world.seed = 1;
	world.now = 1000 * S;
	world.random = random_seeded(&world.seed);
	assert_int_equal(links_new(&io, &me, &world.random, &world.counters, &world.links), 0);
	for (size_t peer = 0; peer < connected; peer++)
		connect(peer);
}

static int setup(void **state)
{
	begin(PEERS);
	return 0;
}

static int teardown(void **state)
{
	links_free(world.links);
	heap_end();
	return 0;
}

static bool room(size_t count)
{
	return links_have_room(world.links, world.now, &topic, peers, count);
}

static void nobody_is_behind(void **state)
{
	assert_true(room(0));
	assert_true(room(PEERS));
}

static void the_only_one(void **state)
{
	world.queued[0] = HIGH - 10;
	assert_true(room(1));
	world.queued[0] = HIGH;
	/* However long: what it does not take has nowhere else to go. */
	for (int i = 0; i < 100; i++) {
		assert_false(room(1));
		world.now += S;
	}
	world.queued[0] = HIGH - 10;
	assert_true(room(1));
}

static void all_are_behind(void **state)
{
	for (size_t peer = 0; peer < PEERS; peer++)
		world.queued[peer] = HIGH + peer;
	assert_false(room(PEERS));
	world.now += 10 * S;
	assert_false(room(PEERS));
	assert_true(room(0));
}

static void one_is_waited_for_a_second(void **state)
{
	world.queued[1] = HIGH;
	assert_false(room(PEERS));
	world.now += LIMIT_BEHIND_MS * MS - 1;
	assert_false(room(PEERS));
	world.now++;
	assert_true(room(PEERS));
	/* It holds up nobody any more, until it has caught up. */
	world.queued[1] = LIMIT;
	assert_true(room(PEERS));
	world.queued[1] = HIGH;
	assert_true(room(PEERS));
	world.queued[1] = LOW;
	assert_true(room(PEERS));
	world.queued[1] = HIGH;
	assert_false(room(PEERS));
}

static void a_little_behind_is_not_slow(void **state)
{
	world.queued[0] = HIGH - 10;
	world.queued[1] = HIGH;
	for (int i = 0; i < 10; i++) {
		assert_false(room(2));
		world.now += S;
	}
	/* From now on. */
	world.queued[0] = LOW;
	assert_false(room(2));
	world.now += LIMIT_BEHIND_MS * MS;
	assert_true(room(2));
}

static void a_slow_one_alone_is_the_fastest(void **state)
{
	world.queued[1] = HIGH;
	assert_false(room(2));
	world.now += LIMIT_BEHIND_MS * MS;
	assert_true(room(2));
	assert_false(links_have_room(world.links, world.now, &topic, &peers[1], 1));
}

static void without_a_connection(void **state)
{
	struct frame *frame;

	teardown(NULL);
	begin(0);
	assert_true(room(1));
	for (int i = 0; i < LINK_WAITING / 4; i++) {
		assert_true(room(1));
		frame = frame_new(8);
		assert_non_null(frame);
		frame->droppable = true;
		links_send(world.links, world.now, &peers[0], &topic, frame, false);
	}
	assert_false(room(1));
	connect(0);
	links_resume(world.links, world.now, &peers[0], &topic);
	assert_true(room(1));
	assert_int_equal(counters_get(&world.counters, COUNTER_DROPPED_PEER_SLOW), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nobody_is_behind),
		TEST(the_only_one),
		TEST(all_are_behind),
		TEST(one_is_waited_for_a_second),
		TEST(a_little_behind_is_not_slow),
		TEST(a_slow_one_alone_is_the_fastest),
		TEST(without_a_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
