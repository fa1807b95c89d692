/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Each allocation of a whole node fails in turn: three nodes of the world start, join, find each
 * other, publish, receive, lose a connection, leave and stop, with one failure at the n-th
 * allocation of the run (of any of them), for each n until a run has none; then with many failures
 * in a row. No run may crash, leak, or leave the nodes in a state that they do not get out of by
 * themselves: WHOLE_NS after there is memory again they are one overlay, and what is published
 * reaches all. What was lost meanwhile is counted.
 * (The model: the heap of cowsql/raft's tests.)
 *
 * With two arguments but one run: N, and the failures in a row; a third one has it traced.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "support_heap.h"
#include "support_world.h"

#define LATENCY (10 * WORLD_MS)
/* With a trusted node, asks have a backoff of at most 64 s; dials of at most 30 s. */
#define WHOLE_NS (70 * WORLD_S)
/* In a row. */
#define MANY 100
#define MOST 1000

#define NODES	 3
#define MESSAGES 9

enum { A, B, C };

static unsigned trace;

/* The owner tries again, as the plugin does. */
static void start(struct world *world, size_t node)
{
	while (!world_start(world, node))
		world_run(world, WORLD_S);
}

static void join(struct world *world, size_t node, size_t topic)
{
	while (!world_join(world, node, topic))
		world_run(world, WORLD_S);
}

static bool is_whole(const struct world *world)
{
	return world_largest_part(world, 0) == NODES && world_one_sided(world, 0) == 0;
}

/* How many arrivals are missing that nothing accounts for: each node that has not got a message may
 * be due to another counter. */
static uint64_t unaccounted(const struct world *world, size_t missing)
{
	static const enum counter losses[] = {COUNTER_DROPPED_NO_MEMORY,
		COUNTER_DROPPED_NO_MEMORY_ARRIVING, COUNTER_DROPPED_NO_MEMORY_COPY,
		COUNTER_DROPPED_QUEUE_AGE, COUNTER_DROPPED_PEER_LOST};
	struct world_figures sum;
	uint64_t counted = 0;

	world_sum(world, &sum);
	for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
		counted += sum.counters[losses[i]];
	/* What its publisher has dropped has not come to any of the others. */
	counted *= NODES - 1;
	return missing > counted ? missing - counted : 0;
}

/* One of their connections ends, if there is any. */
static void cut(struct world *world, size_t node, size_t peer)
{
	if (world_connections(world, node, peer) > 0)
		world_close(world, node, peer, MESH_GOSSIP, 0);
}

/* All that a node does; the n-th allocation fails, and the next ones up to failures. Returns
 * whether one has failed. */
static bool live(size_t n, size_t failures)
{
	struct world_config config = {.nodes = NODES,
		.topics = 2,
		.seed = 1,
		.least_latency = LATENCY,
		.most_latency = LATENCY,
		.trace = trace};
	struct world *world;
	size_t messages[MESSAGES], missing = 0;
	bool whole[MESSAGES] = {false}; /* was the overlay, when that was published */
	bool failed;

	heap_begin();
	heap_fail_some(n, failures);
	world = world_new(&config);
	world_peer(world, A, B);
	world_bootstrap(world, B, A);
	world_bootstrap(world, C, A);
	for (size_t i = 0; i < NODES; i++) {
		start(world, i);
		join(world, i, 0);
	}
	messages[0] = world_publish(world, A, 0); /* waits */
	world_run(world, 2 * WORLD_S);
	join(world, B, 1);
	join(world, A, 1);
	for (size_t i = 1; i < MESSAGES; i++) {
		whole[i] = is_whole(world);
		messages[i] = world_publish(world, i % NODES, 0);
		world_run(world, 200 * WORLD_MS);
	}
	cut(world, A, B);
	world_run(world, 5 * WORLD_S);
	world_leave(world, B, 1);
	world_run(world, WORLD_S);
	failed = heap_has_failed();
	heap_fail(0, false);
	world_run(world, WHOLE_NS);
	if (!is_whole(world))
		fail_msg("allocation %zu (%zu in a row): no overlay", n, failures);
	for (size_t i = 0; i < MESSAGES; i++)
		missing += whole[i] ? NODES - world_reached(world, messages[i]) : 0;
	if (unaccounted(world, missing) > 0)
		fail_msg("allocation %zu (%zu in a row): %zu messages have not come to all, and "
			 "it is not counted", n, failures, missing);
	for (size_t i = 0; i < NODES; i++) {
		messages[i] = world_publish(world, i, 0);
		world_run(world, WORLD_S);
		if (world_reached(world, messages[i]) != NODES)
			fail_msg("allocation %zu (%zu in a row): what %zu publishes later does "
				 "not arrive", n, failures, i);
	}
	assert_int_equal(world_repeated(world), 0);
	world_free(world);
	heap_end();
	return failed;
}

/* The same in the last moments: leaving, stopping, with messages under way and two connections. */
static bool farewell(size_t n, size_t failures)
{
	struct world_config config = {.nodes = 2,
		.topics = 1,
		.seed = 2,
		.least_latency = LATENCY,
		.most_latency = LATENCY,
		.trace = trace};
	struct world *world;
	bool failed;

	heap_begin();
	world = world_new(&config);
	world_peer(world, A, B);
	world_peer(world, B, A);
	start(world, A);
	start(world, B);
	join(world, A, 0);
	join(world, B, 0);
	world_run(world, 2 * WORLD_S);
	heap_fail_some(n, failures);
	world_publish(world, A, 0);
	world_publish(world, B, 0);
	world_stop(world, B);
	/* Everything is said within LIMIT_FAREWELL_MS, whatever there is no memory for. */
	world_run(world, 1100 * WORLD_MS);
	if (world_neighbours(world, A, 0) > 0)
		world_run(world, 12 * WORLD_S);
	assert_int_equal(world_neighbours(world, A, 0), 0);
	world_stop(world, A);
	world_run(world, 1100 * WORLD_MS);
	failed = heap_has_failed();
	assert_false(world_is_up(world, A));
	assert_false(world_is_up(world, B));
	world_free(world);
	heap_end();
	return failed;
}

static void each_allocation_of_a_life_fails(void **state)
{
	size_t n = 1;

	while (live(n, 1))
		n++;
	printf("%zu allocations\n", n - 1);
}

static void many_allocations_of_a_life_fail(void **state)
{
	for (size_t n = 1; live(n, MANY); n += 7)
		;
	for (size_t n = 1; live(n, MOST); n += MANY)
		;
}

static void each_allocation_of_a_stop_fails(void **state)
{
	size_t n = 1;

	while (farewell(n, 1))
		n++;
	printf("%zu allocations\n", n - 1);
	for (n = 1; farewell(n, MANY); n++)
		;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_of_a_life_fails),
		cmocka_unit_test(many_allocations_of_a_life_fail),
		cmocka_unit_test(each_allocation_of_a_stop_fails),
	};

	if (argc > 2) {
		trace = argc > 3 ? 3 : 0;
		live((size_t)atol(argv[1]), (size_t)atol(argv[2]));
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
