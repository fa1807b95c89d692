/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/peers/joiner.h"
#include "support_heap.h"

#define MS     UINT64_C(1000000)
#define S      (1000 * MS)
#define TOPICS 4
#define PEERS  5

static struct {
	struct joiner *joiner;
	struct counters counters;
	uint64_t now, seed;
	struct random random;
	unsigned asked[TOPICS][PEERS], gave_up[TOPICS][PEERS];
	uint64_t asked_at[TOPICS][PEERS];
} world;

static struct id topic_id(size_t topic)
{
	struct id id;

	memset(id.bytes, 0x80 + (int)topic, ID_SIZE);
	return id;
}

static struct id peer_id(size_t peer)
{
	struct id id;

	memset(id.bytes, 0x10 + (int)peer, ID_SIZE);
	return id;
}

static int setup(void **state)
{
	memset(&world, 0, sizeof world);
	world.seed = 1;
	world.random = random_seeded(&world.seed);
	world.now = 1000 * S;
	heap_begin();
	assert_int_equal(joiner_new(&world.random, &world.counters, &world.joiner), 0);
	return 0;
}

static int teardown(void **state)
{
	joiner_free(world.joiner);
	heap_end();
	return 0;
}

static unsigned take(void)
{
	struct joiner_effect effect;
	unsigned count = 0;
	size_t t, p;

	while (joiner_effect(world.joiner, world.now, &effect)) {
		t = effect.topic.bytes[0] - 0x80u;
		p = effect.peer.bytes[0] - 0x10u;
		assert_true(t < TOPICS && p < PEERS);
		if (effect.gave_up) {
			world.gave_up[t][p]++;
			continue;
		}
		world.asked[t][p]++;
		world.asked_at[t][p] = world.now;
		/* Each pair once, however long nobody has asked. */
		assert_true(++count <= TOPICS * PEERS);
	}
	assert_true(joiner_deadline(world.joiner) > world.now);
	return count;
}

static void pass(uint64_t duration)
{
	uint64_t end = world.now + duration;
	unsigned wakes = 0;

	take();
	while (joiner_deadline(world.joiner) <= end) {
		world.now = joiner_deadline(world.joiner);
		take();
		assert_true(++wakes < 10000);
	}
	world.now = end;
}

static void add(size_t topic, size_t peer, bool linked)
{
	struct id t = topic_id(topic), p = peer_id(peer);

	assert_int_equal(joiner_add(world.joiner, world.now, &t, &p, linked, JOINER_TRUSTED), 0);
}

static void add_untrusted(size_t topic, size_t peer, bool linked)
{
	struct id t = topic_id(topic), p = peer_id(peer);

	assert_int_equal(joiner_add(world.joiner, world.now, &t, &p, linked, JOINER_NODE), 0);
}

static size_t prune(size_t topic)
{
	struct id id = topic_id(topic);

	return joiner_prune(world.joiner, &id);
}

static void linked(size_t peer)
{
	struct id id = peer_id(peer);

	joiner_linked(world.joiner, world.now, &id);
}

static void unlinked(size_t peer)
{
	struct id id = peer_id(peer);

	joiner_unlinked(world.joiner, &id);
}

static void answered(size_t topic, size_t peer)
{
	struct id t = topic_id(topic), p = peer_id(peer);

	joiner_answered(world.joiner, &t, &p);
}

static void lost(size_t topic, size_t peer)
{
	struct id t = topic_id(topic), p = peer_id(peer);

	joiner_lost(world.joiner, world.now, &t, &p);
}

static void remove_topic(size_t topic)
{
	struct id id = topic_id(topic);

	joiner_remove_topic(world.joiner, &id);
}

/* Once what is over has been noticed, which may wake in vain once. */
static bool is_idle(void)
{
	pass(10 * S);
	return joiner_deadline(world.joiner) == UINT64_MAX;
}

static void nobody_is_wanted(void **state)
{
	assert_true(is_idle());
	linked(0);
	unlinked(0);
	answered(0, 0);
	lost(0, 0);
	remove_topic(0);
	pass(100 * S);
	assert_true(is_idle());
	joiner_free(NULL);
}

static void asked_until_answered(void **state)
{
	add(0, 0, true);
	assert_int_equal(take(), 1);
	pass(250 * MS - 1);
	assert_int_equal(world.asked[0][0], 1);
	pass(250 * MS + 1);
	assert_int_equal(world.asked[0][0], 2);
	pass(S);
	assert_int_equal(world.asked[0][0], 3);
	/* From then on every 4 to 8 s. */
	pass(20 * S);
	world.asked[0][0] = 0;
	pass(100 * S);
	assert_true(world.asked[0][0] >= 12 && world.asked[0][0] <= 25);
	answered(0, 0);
	world.asked[0][0] = 0;
	pass(100 * S);
	assert_int_equal(world.asked[0][0], 0);
	assert_true(is_idle());
}

static void waits_for_a_link(void **state)
{
	add(0, 0, false);
	add(1, 0, false);
	add(0, 1, false);
	assert_true(is_idle());
	linked(0);
	assert_int_equal(take(), 2);
	assert_int_equal(world.asked[0][0], 1);
	assert_int_equal(world.asked[1][0], 1);
	unlinked(0);
	pass(100 * S);
	assert_int_equal(world.asked[0][0], 1);
	assert_true(is_idle());
	/* At once, and with the first backoff again. */
	linked(0);
	pass(1500 * MS);
	assert_true(world.asked[0][0] >= 3);
}

static void adding_twice_is_fine(void **state)
{
	add(0, 0, true);
	take();
	add(0, 0, true);
	assert_int_equal(take(), 0);
	answered(0, 0);
	add(0, 0, true);
	assert_true(is_idle());
}

static void asked_again_when_lost(void **state)
{
	add(0, 0, true);
	take();
	lost(0, 0); /* it was none */
	assert_int_equal(take(), 0);
	answered(0, 0);
	pass(10 * S);
	assert_int_equal(world.asked[0][0], 1);
	lost(0, 0);
	assert_int_equal(take(), 0); /* it may have had a reason */
	pass(S);
	assert_true(world.asked[0][0] >= 2);
	/* Lost without a link: asked when there is one. */
	answered(0, 0);
	unlinked(0);
	lost(0, 0);
	pass(100 * S);
	world.asked[0][0] = 0;
	linked(0);
	take();
	assert_int_equal(world.asked[0][0], 1);
}

static void a_link_that_comes_back_to_a_neighbour(void **state)
{
	add(0, 0, true);
	answered(0, 0);
	unlinked(0);
	linked(0);
	/* Renewing that is the engine's. */
	assert_true(is_idle());
	assert_int_equal(world.asked[0][0], 0);
}

static void topics_are_removed(void **state)
{
	for (size_t topic = 0; topic < TOPICS; topic++)
		for (size_t peer = 0; peer < PEERS; peer++)
			add(topic, peer, true);
	take();
	remove_topic(1);
	remove_topic(1);
	pass(10 * S);
	for (size_t peer = 0; peer < PEERS; peer++) {
		assert_int_equal(world.asked[1][peer], 1);
		assert_true(world.asked[2][peer] > 1);
	}
	add(1, 0, true);
	take();
	assert_int_equal(world.asked[1][0], 2);
	for (size_t topic = 0; topic < TOPICS; topic++)
		remove_topic(topic);
	assert_true(is_idle());
}

static void not_all_at_one_time(void **state)
{
	unsigned at_once = 0;

	for (size_t topic = 0; topic < TOPICS; topic++)
		for (size_t peer = 0; peer < PEERS; peer++)
			add(topic, peer, true);
	pass(20 * S);
	for (size_t topic = 0; topic < TOPICS; topic++)
		for (size_t peer = 0; peer < PEERS; peer++)
			at_once += world.asked_at[topic][peer] == world.asked_at[0][0];
	assert_true(at_once <= 2);
}

static void each_allocation_fails(void **state)
{
	struct joiner *joiner;
	struct id topic = topic_id(0), peer;
	bool failed = true;
	unsigned wanted;
	int error;

	heap_fail(1, false);
	assert_int_equal(joiner_new(&world.random, &world.counters, &joiner), ERROR_NOMEM);
	heap_fail(0, false);
	for (size_t n = 1; failed; n++) {
		wanted = 0;
		heap_fail(n, false);
		for (size_t i = 0; i < 3; i++) {
			peer = peer_id(i);
			error = joiner_add(world.joiner, world.now, &topic, &peer, true, JOINER_TRUSTED);
			assert_true(error == 0 || error == ERROR_NOMEM);
			wanted += error == 0;
		}
		failed = heap_has_failed();
		heap_fail(0, false);
		assert_int_equal(wanted, failed ? 2 : 3);
		assert_int_equal(take(), wanted);
		joiner_remove_topic(world.joiner, &topic);
	}
}

/* Whoever is linked, wanted and has not answered is asked within the longest backoff, and
 * nobody else ever. */
static void anything_in_any_order(void **state)
{
	bool is_wanted[TOPICS][PEERS], has_answered[TOPICS][PEERS], is_linked[PEERS];

	for (unsigned seed = 1; seed <= 100; seed++) {
		teardown(NULL);
		setup(NULL);
		world.seed = seed;
		memset(is_wanted, 0, sizeof is_wanted);
		memset(has_answered, 0, sizeof has_answered);
		memset(is_linked, 0, sizeof is_linked);
		for (int i = 0; i < 500; i++) {
			size_t topic = random_below(&world.random, TOPICS);
			size_t peer = random_below(&world.random, PEERS);

			switch (random_below(&world.random, 8)) {
			case 0:
				remove_topic(topic);
				memset(is_wanted[topic], 0, sizeof is_wanted[topic]);
				memset(has_answered[topic], 0, sizeof has_answered[topic]);
				break;
			case 1:
			case 2:
				add(topic, peer, is_linked[peer]);
				is_wanted[topic][peer] = true;
				break;
			case 3:
				linked(peer);
				is_linked[peer] = true;
				break;
			case 4:
				unlinked(peer);
				is_linked[peer] = false;
				break;
			case 5:
				answered(topic, peer);
				has_answered[topic][peer] = is_wanted[topic][peer];
				break;
			case 6:
				lost(topic, peer);
				has_answered[topic][peer] = false;
				break;
			case 7:
				pass(random_below(&world.random, 5 * S));
				break;
			}
		}
		memset(world.asked, 0, sizeof world.asked);
		pass(9 * S);
		for (size_t topic = 0; topic < TOPICS; topic++)
			for (size_t peer = 0; peer < PEERS; peer++)
				assert_int_equal(world.asked[topic][peer] > 0,
					is_wanted[topic][peer] && is_linked[peer] &&
						!has_answered[topic][peer]);
	}
}

static void untrusted_ones_are_given_up(void **state)
{
	add_untrusted(0, 0, true);
	add_untrusted(1, 0, true);
	add(0, 1, true);
	pass(30 * S);
	assert_int_equal(world.gave_up[0][0], 0);
	/* An answer begins the count anew. */
	answered(1, 0);
	lost(1, 0);
	pass(60 * S);
	assert_int_equal(world.asked[0][0], JOINER_ASKS);
	assert_int_equal(world.gave_up[0][0], 1);
	assert_true(world.asked[1][0] > JOINER_ASKS);
	pass(600 * S);
	assert_int_equal(world.asked[0][0], JOINER_ASKS);
	assert_int_equal(world.gave_up[0][0], 1);
	assert_int_equal(world.gave_up[0][1], 0);
	assert_true(world.asked[0][1] > 50);
	/* And may be wanted again. */
	add_untrusted(0, 0, true);
	take();
	assert_int_equal(world.asked[0][0], JOINER_ASKS + 1);
}

static void probes_are_asked_once(void **state)
{
	struct id t = topic_id(0), p = peer_id(0), q = peer_id(1);

	assert_int_equal(joiner_add(world.joiner, world.now, &t, &p, false, JOINER_PROBE), 0);
	assert_int_equal(joiner_add(world.joiner, world.now, &t, &q, true, JOINER_PROBE), 0);
	take();
	assert_int_equal(world.asked[0][1], 1);
	linked(0);
	pass(60 * S);
	assert_int_equal(world.asked[0][0], 1);
	assert_int_equal(world.asked[0][1], 1);
	/* One that cannot be reached makes room as well; a better reason stays. */
	assert_int_equal(joiner_add(world.joiner, world.now, &t, &p, false, JOINER_PROBE), 0);
	assert_int_equal(prune(0), 0);
	assert_int_equal(joiner_add(world.joiner, world.now, &t, &q, true, JOINER_PROBE), 0);
	add_untrusted(0, 1, true);
	pass(60 * S);
	assert_int_equal(world.asked[0][1], 1 + JOINER_ASKS);
}

static void so_many_per_second(void **state)
{
	struct joiner_effect effect;
	struct id t = topic_id(0), p = peer_id(0);
	unsigned asked = 0, least = 0;

	for (unsigned i = 0; i < 2500; i++) {
		p.bytes[0] = (uint8_t)i;
		p.bytes[1] = (uint8_t)(i >> 8);
		assert_int_equal(
			joiner_add(world.joiner, world.now, &t, &p, true, JOINER_TRUSTED), 0);
	}
	for (int second = 1; second <= 10; second++) {
		while (joiner_effect(world.joiner, world.now, &effect))
			asked++;
		assert_true(asked <= (unsigned)second * LIMIT_JOINS_PER_SECOND);
		assert_true(joiner_deadline(world.joiner) > world.now);
		world.now += S;
		least = second == 3 ? asked : least;
	}
	/* Nobody has waited for ever, and it is told. */
	assert_int_equal(least, 3 * LIMIT_JOINS_PER_SECOND);
	assert_true(counters_get(&world.counters, COUNTER_LIMIT_JOINS) >= 3);
}

static void those_that_cannot_be_reached_make_room(void **state)
{
	add(0, 0, false);
	add_untrusted(0, 1, false);
	add_untrusted(0, 2, true);
	add_untrusted(0, 3, true);
	add_untrusted(1, 1, false);
	answered(0, 3);
	unlinked(3);
	assert_int_equal(prune(0), 3);
	assert_int_equal(prune(0), 3);
	take();
	linked(1);
	take();
	assert_int_equal(world.asked[0][1], 0);
	assert_int_equal(world.asked[1][1], 1);
	/* Asked by trust what was wanted without: it stays. */
	add(1, 1, true);
	unlinked(1);
	assert_int_equal(prune(1), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nobody_is_wanted),
		TEST(asked_until_answered),
		TEST(waits_for_a_link),
		TEST(adding_twice_is_fine),
		TEST(asked_again_when_lost),
		TEST(a_link_that_comes_back_to_a_neighbour),
		TEST(topics_are_removed),
		TEST(not_all_at_one_time),
		TEST(untrusted_ones_are_given_up),
		TEST(probes_are_asked_once),
		TEST(so_many_per_second),
		TEST(those_that_cannot_be_reached_make_room),
		TEST(each_allocation_fails),
		TEST(anything_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
