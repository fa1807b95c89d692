/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/discovery/walker.h"
#include "bridge/error.h"
#include "support_heap.h"

#define MS    UINT64_C(1000000)
#define S     (1000 * MS)
#define NODES 20

static struct {
	struct walker *walker;
	uint64_t now, seed;
	struct random random;
	size_t known; /* the first so many nodes */
	unsigned looks; /* at the book */
	bool shut[NODES], doubtful[NODES];
	unsigned visits[NODES];
	uint64_t visited_at[NODES];
	struct {
		size_t node;
		uint64_t begun, ends;
	} running[WALKER_MOST + 1];
	size_t running_count;
	uint64_t duration[NODES]; /* of a session */
	enum walk result[NODES];
} world;

static struct id node_id(size_t node)
{
	struct id id;

	memset(id.bytes, 0x10 + (int)node, ID_SIZE);
	return id;
}

static bool some_node(void *context, bool (*wanted)(void *walker, const struct id *node),
	void *walker, struct id *out)
{
	size_t first = world.known ? random_below(&world.random, world.known) : 0;

	(void)context;
	world.looks++;
	for (size_t i = 0; i < world.known; i++) {
		*out = node_id((first + i) % world.known);
		if (wanted(walker, out))
			return true;
	}
	return false;
}

static bool may_visit(void *context, const struct id *node)
{
	(void)context;
	return !world.shut[node->bytes[0] - 0x10u];
}

static bool is_doubtful(void *context, const struct id *node)
{
	(void)context;
	return world.doubtful[node->bytes[0] - 0x10u];
}

static void make(size_t configured)
{
	struct walker_nodes nodes = {some_node, may_visit, is_doubtful, NULL};
	struct id ids[NODES];

	for (size_t i = 0; i < configured; i++)
		ids[i] = node_id(i);
	assert_int_equal(
		walker_new(&world.random, &nodes, ids, configured, &world.walker), ERROR_NONE);
}

static int setup(void **state)
{
	memset(&world, 0, sizeof world);
	world.seed = 1;
	world.random = random_seeded(&world.seed);
	world.now = 1000 * S;
	for (size_t i = 0; i < NODES; i++)
		world.result[i] = WALK_BROUGHT_NOTHING;
	heap_begin();
	return 0;
}

static int teardown(void **state)
{
	walker_free(world.walker);
	heap_end();
	return 0;
}

static void end_sessions(void)
{
	for (size_t i = 0; i < world.running_count;) {
		struct id id = node_id(world.running[i].node);

		if (world.running[i].ends > world.now) {
			i++;
			continue;
		}
		walker_ended(world.walker, world.now, &id, world.result[world.running[i].node]);
		world.running[i] = world.running[--world.running_count];
	}
}

static void take(void)
{
	struct id id;
	size_t node, guard = 0, young;

	while (walker_effect(world.walker, world.now, &id)) {
		node = id.bytes[0] - 0x10u;
		young = 0;
		for (size_t i = 0; i < world.running_count; i++)
			young += world.now - world.running[i].begun < S;
		assert_true(young < WALKER_AT_ONCE);
		assert_true(node < NODES);
		for (size_t i = 0; i < world.running_count; i++)
			assert_true(world.running[i].node != node);
		assert_true(world.running_count < WALKER_MOST);
		world.running[world.running_count].node = node;
		world.running[world.running_count].begun = world.now;
		world.running[world.running_count++].ends = world.now + world.duration[node];
		world.visits[node]++;
		world.visited_at[node] = world.now;
		assert_true(++guard < 100);
	}
	assert_true(walker_deadline(world.walker) > world.now);
}

static void pass(uint64_t duration)
{
	uint64_t end = world.now + duration, next;
	unsigned guard = 0;

	while (world.now < end) {
		next = walker_deadline(world.walker);
		for (size_t i = 0; i < world.running_count; i++)
			if (world.running[i].ends < next)
				next = world.running[i].ends;
		world.now = next < world.now ? world.now : next > end ? end : next;
		end_sessions();
		take();
		assert_true(++guard < 100000);
	}
}

static unsigned all_visits(void)
{
	unsigned sum = 0;

	for (size_t i = 0; i < NODES; i++)
		sum += world.visits[i];
	return sum;
}

static void assert_within(unsigned value, unsigned least, unsigned most)
{
	if (value < least || value > most)
		fail_msg("%u is not from %u to %u", value, least, most);
}

static void nobody_is_known(void **state)
{
	make(0);
	assert_true(walker_deadline(world.walker) == UINT64_MAX);
	walker_reset(world.walker, world.now);
	pass(3600 * S);
	assert_int_equal(all_visits(), 0);
	assert_true(walker_deadline(world.walker) == UINT64_MAX);
	world.known = 1;
	walker_found(world.walker, world.now);
	pass(31 * S);
	assert_true(world.visits[0] >= 1);
}

static void configured_ones_come_first(void **state)
{
	make(2);
	world.known = NODES;
	walker_reset(world.walker, world.now);
	pass(150 * MS);
	assert_int_equal(world.visits[0] + world.visits[1], 2);
	assert_int_equal(all_visits(), 2);
}

/* Quickly after a change, at walking pace when nothing is new. */
static void pace(void **state)
{
	unsigned before;

	make(1);
	world.known = NODES;
	walker_reset(world.walker, world.now);
	pass(S);
	assert_int_equal(all_visits(), WALKER_EAGER + 1);
	pass(300 * S);
	before = all_visits();
	pass(300 * S);
	assert_within(all_visits() - before, 9, 12);
	/* What brings news quickens it. */
	for (size_t i = 0; i < NODES; i++)
		world.result[i] = WALK_BROUGHT_NEWS;
	before = all_visits();
	pass(60 * S);
	assert_true(all_visits() - before > 20);
}

static void everybody_is_visited_in_the_end(void **state)
{
	make(1);
	world.known = NODES;
	walker_reset(world.walker, world.now);
	pass(1200 * S);
	for (size_t i = 0; i < NODES; i++)
		assert_true(world.visits[i] > 0);
}

/* Sessions that take for ever use up places, but no time of others. */
static void slow_ones_delay_nobody(void **state)
{
	make(3);
	world.known = NODES;
	world.duration[0] = world.duration[1] = world.duration[2] = 10 * S;
	walker_reset(world.walker, world.now);
	pass(2 * S);
	assert_int_equal(world.visits[0] + world.visits[1] + world.visits[2], 3);
	assert_true(all_visits() - 3 >= 4);
}

static void the_only_one_is_dead(void **state)
{
	unsigned before;

	make(1);
	world.known = 1;
	world.result[0] = WALK_FAILED;
	world.duration[0] = 3 * S;
	walker_reset(world.walker, world.now);
	pass(100 * S);
	before = world.visits[0];
	pass(100 * S);
	/* Every 5 s, and 3 s each. */
	assert_within(world.visits[0] - before, 11, 21);
	world.result[0] = WALK_BROUGHT_NOTHING;
	pass(200 * S);
	before = world.visits[0];
	pass(100 * S);
	assert_within(world.visits[0] - before, 2, 5);
}

static void out_of_turn(void **state)
{
	struct id id = node_id(7);

	make(1);
	world.known = NODES;
	walker_reset(world.walker, world.now);
	pass(300 * S);
	walker_prompt(world.walker, world.now, &id);
	walker_prompt(world.walker, world.now, &id);
	memset(world.visits, 0, sizeof world.visits);
	pass(200 * MS);
	assert_int_equal(world.visits[7], 1);
	/* One that may not be visited is not. */
	world.shut[7] = true;
	walker_prompt(world.walker, world.now, &id);
	pass(600 * S);
	assert_int_equal(world.visits[7], 1);
	/* However many. */
	for (int i = 0; i < 10; i++)
		for (size_t node = 0; node < NODES; node++) {
			id = node_id(node);
			walker_prompt(world.walker, world.now, &id);
		}
	pass(10 * S);
}

/* A topic joined and left in a loop must not become a flood of sessions. */
static void resets_are_bounded(void **state)
{
	make(1);
	world.known = NODES;
	for (int i = 0; i < 10000; i++) {
		walker_reset(world.walker, world.now);
		pass(MS);
	}
	assert_within(all_visits(), 50, 101);
}

/* Where nobody may be visited, a thousand reasons to look around are not a thousand looks; who turns
 * up then is found soon. */
static void nobody_is_looked_for_in_vain_again_and_again(void **state)
{
	make(0);
	world.known = NODES;
	for (size_t i = 0; i < NODES; i++)
		world.shut[i] = true;
	walker_reset(world.walker, world.now);
	for (unsigned i = 0; i < 1000; i++, world.now += MS / 20) {
		walker_search(world.walker, world.now, true, i % 2);
		walker_found(world.walker, world.now);
		take();
	}
	assert_int_equal(world.running_count, 0);
	assert_true(world.looks >= 1 && world.looks <= 4);
	world.shut[3] = false;
	walker_found(world.walker, world.now);
	assert_true(walker_deadline(world.walker) <= world.now + 20 * MS);
	world.now = walker_deadline(world.walker);
	take();
	assert_int_equal(world.visits[3], 1);
}

static void each_allocation_fails(void **state)
{
	struct walker_nodes nodes = {some_node, may_visit, is_doubtful, NULL};
	struct walker *walker;
	struct id id = node_id(0);

	for (size_t n = 1; n <= 2; n++) {
		heap_fail(n, false);
		assert_int_equal(walker_new(&world.random, &nodes, &id, 1, &walker), ERROR_NOMEM);
		heap_fail(0, false);
	}
	make(1);
	world.known = NODES;
	/* What cannot be noted is visited again. */
	for (size_t n = 1; n < 20; n++) {
		heap_fail(n, false);
		walker_reset(world.walker, world.now);
		pass(S);
		heap_fail(0, false);
	}
	assert_true(all_visits() > 20);
}

static size_t visited(void)
{
	size_t count = 0;

	for (size_t i = 0; i < NODES; i++)
		count += world.visits[i] > 0;
	return count;
}

/* A newcomer that knows one node, which tells it of the others when its eager steps are over. */
static void a_search_goes_to_everybody_at_once(void **state)
{
	make(1);
	world.known = 1;
	walker_search(world.walker, world.now, true, true);
	walker_reset(world.walker, world.now);
	pass(3 * S);
	assert_int_equal(visited(), 1);
	world.known = NODES;
	walker_found(world.walker, world.now);
	pass(4 * S);
	/* By chance it has begun anew in between. */
	assert_true(visited() >= NODES - 2);
	/* And then at a walk's pace, however long it goes on. */
	memset(world.visits, 0, sizeof world.visits);
	pass(1000 * S);
	assert_true(all_visits() <= WALKER_QUICK + 1000 / 10);
	/* Begun anew, it is quick again; one that goes on is not. */
	walker_search(world.walker, world.now, true, false);
	memset(world.visits, 0, sizeof world.visits);
	pass(3 * S);
	assert_true(all_visits() <= 2);
	walker_search(world.walker, world.now, true, true);
	pass(30 * S);
	assert_true(all_visits() >= NODES);
}

static void without_a_search_the_walk_is_slow(void **state)
{
	make(1);
	world.known = 1;
	walker_reset(world.walker, world.now);
	pass(3 * S);
	world.known = NODES;
	walker_search(world.walker, world.now, false, true);
	walker_found(world.walker, world.now);
	pass(3 * S);
	assert_true(visited() < NODES / 2);
}

/* They take long, and however many there are two places are free for the others. */
static void the_doubtful_come_last_and_not_all_at_once(void **state)
{
	make(1);
	world.known = NODES;
	for (size_t i = 0; i + 2 < NODES; i++) {
		world.doubtful[i] = true;
		world.duration[i] = 5 * S;
		world.result[i] = WALK_FAILED;
	}
	walker_search(world.walker, world.now, true, true);
	walker_reset(world.walker, world.now);
	pass(S);
	assert_int_equal(world.visits[NODES - 1], 1);
	assert_int_equal(world.visits[NODES - 2], 1);
	assert_int_equal(all_visits(), 2 + WALKER_DOUBTFUL);
	for (size_t i = 0; i < NODES - 2; i++)
		if (world.visits[i] > 0)
			assert_true(world.visited_at[i] > world.visited_at[NODES - 1] &&
				    world.visited_at[i] > world.visited_at[NODES - 2]);
	/* While those are waited for. */
	walker_reset(world.walker, world.now);
	pass(S / 2);
	assert_int_equal(world.visits[NODES - 1], 2);
	assert_int_equal(world.visits[NODES - 2], 2);
	/* In the end everybody is asked. */
	pass(600 * S);
	assert_true(visited() == NODES);
}

/* Nobody knows yet that they are dead: a second is lost with them, not their time-out. */
static void those_who_do_not_answer_hold_up_nobody(void **state)
{
	make(1);
	world.known = WALKER_AT_ONCE;
	for (size_t i = 0; i < NODES; i++)
		world.duration[i] = 1000 * S;
	walker_reset(world.walker, world.now);
	pass(S / 2);
	assert_int_equal(world.running_count, WALKER_AT_ONCE);
	world.known = WALKER_AT_ONCE + 1;
	walker_reset(world.walker, world.now);
	pass(S / 2 + S / 10);
	assert_int_equal(world.visits[WALKER_AT_ONCE], 1);
	/* Nor without an end. */
	world.known = NODES;
	walker_search(world.walker, world.now, true, true);
	pass(100 * S);
	assert_int_equal(world.running_count, WALKER_MOST);
	assert_true(walker_deadline(world.walker) == UINT64_MAX);
}

/* Who comes is visited soon, who goes is one of many. */
static void others_are_configured(void **state)
{
	struct id ids[2] = {node_id(3), node_id(4)};

	make(0);
	pass(60 * S);
	assert_int_equal(world.visits[3] + world.visits[4], 0);
	assert_int_equal(walker_configure(world.walker, world.now, ids, 2), 0);
	pass(60 * S);
	assert_true(world.visits[3] > 0 && world.visits[4] > 0);
	assert_int_equal(walker_configure(world.walker, world.now, ids, 1), 0);
	memset(world.visits, 0, sizeof world.visits);
	pass(600 * S);
	assert_true(world.visits[3] > 0);
	assert_int_equal(world.visits[4], 0);
	heap_fail(1, false);
	assert_int_equal(walker_configure(world.walker, world.now, NULL, 0), ERROR_NOMEM);
	heap_fail(0, false);
	memset(world.visits, 0, sizeof world.visits);
	pass(600 * S);
	assert_true(world.visits[3] > 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nobody_is_known),
		TEST(configured_ones_come_first),
		TEST(pace),
		TEST(everybody_is_visited_in_the_end),
		TEST(slow_ones_delay_nobody),
		TEST(the_only_one_is_dead),
		TEST(those_who_do_not_answer_hold_up_nobody),
		TEST(the_doubtful_come_last_and_not_all_at_once),
		TEST(out_of_turn),
		TEST(resets_are_bounded),
		TEST(a_search_goes_to_everybody_at_once),
		TEST(without_a_search_the_walk_is_slow),
		TEST(nobody_is_looked_for_in_vain_again_and_again),
		TEST(each_allocation_fails),
		TEST(others_are_configured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
