/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* That the simulated world is as it promises to be: time, losses, ends, and the same again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "support_world.h"

#define LATENCY (20 * WORLD_MS)
#define NODES	10

static struct world *make(size_t nodes, uint64_t seed, uint64_t most_latency)
{
	struct world_config config = {.nodes = nodes,
		.topics = 1,
		.seed = seed,
		.least_latency = LATENCY,
		.most_latency = most_latency};

	return world_new(&config);
}

static void start(struct world *world, size_t node)
{
	world_start(world, node);
	world_join(world, node, 0);
}

/* The second dials the first. */
static struct world *make_two(void)
{
	struct world *world = make(2, 1, LATENCY);

	world_peer(world, 1, 0);
	start(world, 0);
	start(world, 1);
	return world;
}

static struct world *make_pair(void)
{
	struct world *world = make_two();

	world_run(world, 30 * WORLD_S);
	assert_int_equal(world_largest_part(world, 0), 2);
	assert_int_equal(world_one_sided(world, 0), 0);
	return world;
}

static struct world_figures sum(const struct world *world)
{
	struct world_figures figures;

	world_sum(world, &figures);
	return figures;
}

static void a_handshake_takes_one_and_a_half_round_trips(void **state)
{
	struct world *world = make_two();

	world_run(world, 2 * LATENCY - 1);
	assert_int_equal(sum(world).connections, 0);
	world_run(world, 1);
	assert_int_equal(sum(world).connections, 1);
	world_run(world, LATENCY - 1);
	assert_int_equal(sum(world).connections, 1);
	world_run(world, 1);
	assert_int_equal(sum(world).connections, 2);
	world_free(world);
}

static void a_message_takes_one_latency(void **state)
{
	struct world *world = make_pair();
	size_t message = world_publish(world, 0, 0);

	world_run(world, LATENCY - 1);
	assert_int_equal(world_reached(world, message), 1);
	world_run(world, 1);
	assert_int_equal(world_reached(world, message), 2);
	assert_int_equal(sum(world).deliveries, 1);
	assert_int_equal(sum(world).frames[WIRE_GOSSIP], 1);
	world_free(world);
}

static void nobody_answers(void **state)
{
	struct world *world = make(2, 1, LATENCY);

	world_peer(world, 1, 0);
	start(world, 1);
	world_run(world, 5 * WORLD_S - 1);
	assert_int_equal(sum(world).counters[COUNTER_DIALS], 1);
	assert_int_equal(sum(world).counters[COUNTER_DIALS_FAILED], 0);
	world_run(world, 1);
	assert_int_equal(sum(world).counters[COUNTER_DIALS_FAILED], 1);
	world_free(world);
}

/* The first packet is lost, its repetition is not. */
static void somebody_answers_later(void **state)
{
	struct world *world = make(2, 1, LATENCY);

	world_peer(world, 1, 0);
	start(world, 1);
	world_run(world, WORLD_S);
	start(world, 0);
	world_run(world, WORLD_S);
	assert_int_equal(sum(world).counters[COUNTER_DIALS], 1);
	assert_int_equal(sum(world).connections, 2);
	world_free(world);
}

static void the_dead_are_missed(void **state)
{
	struct world *world = make_pair();

	world_kill(world, 1);
	assert_false(world_is_up(world, 1));
	world_run(world, 5 * WORLD_S - LATENCY);
	assert_int_equal(sum(world).ends, 0);
	/* An idle timeout after the last answered ping, and the second in which links wait. */
	world_run(world, 6 * WORLD_S + 3 * LATENCY);
	assert_int_equal(sum(world).ends, 1);
	assert_int_equal(sum(world).downs, 1);
	world_free(world);
}

/* Others are told of it as long as it may be there (BOOK_TOLD_NS), and then no more. */
static void who_has_long_been_dead_is_not_passed_on(void **state)
{
	struct world_figures figures;
	struct world *world;

	for (unsigned late = 0; late < 2; late++) {
		world = make(4, 1, LATENCY);
		for (size_t i = 1; i < 4; i++)
			world_bootstrap(world, i, 0);
		for (size_t i = 0; i < 3; i++)
			world_start(world, i);
		world_run(world, 30 * WORLD_S);
		world_kill(world, 2);
		world_run(world, (late ? 300 : 10) * WORLD_S);
		start(world, 3);
		world_run(world, 60 * WORLD_S);
		world_figures(world, 3, &figures);
		assert_true(figures.counters[COUNTER_DISCOVERED] > 1);
		assert_int_equal(figures.counters[COUNTER_DISCOVERY_FAILED] > 0, !late);
		world_free(world);
	}
}

static void those_who_stop_say_so(void **state)
{
	struct world *world = make_pair();

	world_stop(world, 1);
	assert_false(world_is_up(world, 1));
	world_run(world, LATENCY);
	assert_int_equal(sum(world).downs, 1);
	world_run(world, 2 * WORLD_S);
	start(world, 1);
	world_run(world, 5 * WORLD_S);
	assert_int_equal(world_largest_part(world, 0), 2);
	world_free(world);
}

/* What the other side knows nothing of it resets, at the next ping at the latest. */
static void the_restarted_are_recognised(void **state)
{
	struct world *world = make(2, 1, LATENCY);

	/* Nobody dials it when it comes back. */
	world_peer(world, 0, 1);
	start(world, 0);
	start(world, 1);
	world_run(world, 30 * WORLD_S);
	world_kill(world, 1);
	world_run(world, WORLD_S);
	world_start(world, 1);
	assert_int_equal(sum(world).ends, 0);
	world_run(world, 5 * WORLD_S + LATENCY);
	assert_int_equal(sum(world).ends, 1);
	world_free(world);
}

static void a_short_cut_loses_nothing(void **state)
{
	struct world *world = make_pair();
	size_t first, second;

	world_part(world, 1, 1);
	first = world_publish(world, 0, 0);
	world_run(world, 2 * WORLD_S);
	second = world_publish(world, 0, 0);
	world_run(world, 2 * WORLD_S);
	assert_int_equal(world_reached(world, first), 1);
	world_mend(world);
	world_run(world, WORLD_S);
	assert_int_equal(world_reached(world, first), 2);
	assert_int_equal(world_reached(world, second), 2);
	world_run(world, 30 * WORLD_S);
	assert_int_equal(sum(world).ends, 0);
	assert_int_equal(sum(world).downs, 0);
	world_free(world);
}

static void a_long_cut_ends_both_sides(void **state)
{
	struct world *world = make_pair();

	world_part(world, 1, 1);
	world_run(world, 20 * WORLD_S);
	assert_int_equal(sum(world).ends, 2);
	assert_int_equal(sum(world).downs, 2);
	assert_int_equal(world_largest_part(world, 0), 1);
	world_mend(world);
	world_run(world, 10 * WORLD_S);
	assert_int_equal(world_largest_part(world, 0), 2);
	world_free(world);
}

/* A bootstrap is met in a discovery session first. */
static void strangers_are_discovered(void **state)
{
	struct world *world = make(3, 1, LATENCY);

	world_bootstrap(world, 1, 0);
	world_bootstrap(world, 2, 0);
	world_start(world, 0);
	start(world, 1);
	start(world, 2);
	world_run(world, 30 * WORLD_S);
	assert_true(sum(world).counters[COUNTER_DISCOVERED] > 0);
	assert_int_equal(world_members(world, 0), 2);
	assert_int_equal(world_largest_part(world, 0), 2);
	assert_int_equal(world_neighbours(world, 1, 0), 1);
	world_free(world);
}

static void those_who_leave_are_out(void **state)
{
	struct world *world = make_pair();

	world_leave(world, 1, 0);
	assert_int_equal(world_members(world, 0), 1);
	world_run(world, LATENCY);
	assert_int_equal(world_neighbours(world, 0, 0), 0);
	world_join(world, 1, 0);
	world_run(world, 5 * WORLD_S);
	assert_int_equal(world_largest_part(world, 0), 2);
	world_free(world);
}

/* A bit of everything. */
static uint64_t hash_of(uint64_t seed)
{
	struct world *world = make(NODES, seed, 3 * LATENCY);
	uint64_t hash;

	for (size_t i = 0; i < NODES; i++) {
		for (size_t peer = 0; peer < i; peer++)
			world_peer(world, i, peer);
		start(world, i);
	}
	world_run(world, 20 * WORLD_S);
	world_kill(world, 3);
	world_part(world, 4, 1);
	world_publish(world, 5, 0);
	world_run(world, 20 * WORLD_S);
	world_mend(world);
	start(world, 3);
	world_run(world, 20 * WORLD_S);
	hash = world_hash(world);
	world_free(world);
	return hash;
}

static void a_seed_repeats_itself(void **state)
{
	uint64_t hash = hash_of(1);

	assert_int_equal(hash, hash_of(1));
	assert_int_not_equal(hash, hash_of(2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_handshake_takes_one_and_a_half_round_trips),
		cmocka_unit_test(a_message_takes_one_latency),
		cmocka_unit_test(nobody_answers),
		cmocka_unit_test(somebody_answers_later),
		cmocka_unit_test(the_dead_are_missed),
		cmocka_unit_test(who_has_long_been_dead_is_not_passed_on),
		cmocka_unit_test(those_who_stop_say_so),
		cmocka_unit_test(the_restarted_are_recognised),
		cmocka_unit_test(a_short_cut_loses_nothing),
		cmocka_unit_test(a_long_cut_ends_both_sides),
		cmocka_unit_test(strangers_are_discovered),
		cmocka_unit_test(those_who_leave_are_out),
		cmocka_unit_test(a_seed_repeats_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
