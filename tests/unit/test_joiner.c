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
	unsigned asked[TOPICS][PEERS], merged[TOPICS][PEERS], probed[TOPICS][PEERS];
	unsigned gave_up[TOPICS][PEERS];
	uint64_t asked_at[TOPICS][PEERS];
	size_t neighbours[TOPICS];
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
		/* Each pair once, however long nobody has asked. */
		assert_true(++count <= TOPICS * PEERS);
		switch (effect.type) {
		case JOINER_ASK:
			assert_int_equal(world.neighbours[t], 0);
			world.asked[t][p]++;
			world.asked_at[t][p] = world.now;
			break;
		case JOINER_MERGE:
			assert_true(world.neighbours[t] > 0);
			world.merged[t][p]++;
			break;
		case JOINER_PROBE:
			assert_true(world.neighbours[t] > 0);
			world.probed[t][p]++;
			break;
		case JOINER_GAVE_UP:
			world.gave_up[t][p]++;
			break;
		}
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

	assert_int_equal(joiner_add(world.joiner, world.now, &t, &p, linked, JOINER_TRUSTED, true), 0);
}

static void add_unshown(size_t topic, size_t peer, bool linked)
{
	struct id t = topic_id(topic), p = peer_id(peer);

	assert_int_equal(
		joiner_add(world.joiner, world.now, &t, &p, linked, JOINER_TRUSTED, false), 0);
}

static void add_untrusted(size_t topic, size_t peer, bool linked)
{
	struct id t = topic_id(topic), p = peer_id(peer);

	assert_int_equal(joiner_add(world.joiner, world.now, &t, &p, linked, JOINER_NODE, true), 0);
}

static void tell(size_t topic, size_t peer, enum joiner_news news)
{
	struct id t = topic_id(topic), p = peer_id(peer);

	assert_int_equal(joiner_tell(world.joiner, world.now, &t, &p, true, news), 0);
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

/* A neighbour has come; and has gone. */
static void up(size_t topic, size_t peer)
{
	struct id t = topic_id(topic), p = peer_id(peer);

	world.neighbours[topic]++;
	joiner_up(world.joiner, &t, &p);
}

static void down(size_t topic, size_t peer)
{
	struct id t = topic_id(topic), p = peer_id(peer);

	world.neighbours[topic]--;
	joiner_down(world.joiner, world.now, &t, &p, world.neighbours[topic]);
}

static void remove_topic(size_t topic)
{
	struct id id = topic_id(topic);

	world.neighbours[topic] = 0;
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
	up(0, 0);
	down(0, 0);
	remove_topic(0);
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
	up(0, 0);
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
	up(0, 0);
	add(0, 0, true);
	assert_true(is_idle());
}

/* What made overlays of seven restless: whoever has a neighbour asks nobody with a high priority. */
static void one_neighbour_is_enough(void **state)
{
	for (size_t peer = 0; peer < PEERS; peer++)
		add(0, peer, true);
	add_untrusted(1, 0, true);
	take();
	memset(world.asked, 0, sizeof world.asked);
	up(0, 3);
	pass(600 * S);
	for (size_t peer = 0; peer < PEERS; peer++) {
		assert_int_equal(world.asked[0][peer], 0);
		linked(peer);
	}
	up(0, 4); /* one that came by itself */
	down(0, 3);
	pass(600 * S);
	for (size_t peer = 0; peer < PEERS; peer++)
		assert_int_equal(world.asked[0][peer] + world.merged[0][peer], 0);
	/* In another overlay nobody has answered. */
	assert_true(world.asked[1][0] > 1);
}

static void asked_again_when_alone(void **state)
{
	add(0, 0, true);
	add(0, 1, true);
	take();
	up(0, 0);
	up(0, 1);
	pass(10 * S);
	down(0, 0);
	pass(10 * S);
	assert_int_equal(world.asked[0][0], 1);
	down(0, 1);
	assert_int_equal(take(), 0); /* it is HyParView's turn, and it may have had a reason */
	pass(500 * MS - 1);
	assert_int_equal(world.asked[0][0] + world.asked[0][1], 2);
	pass(500 * MS + 1);
	assert_true(world.asked[0][0] > 1 && world.asked[0][1] > 1);
	/* Alone without a link: asked when there is one. */
	up(0, 0);
	unlinked(0);
	unlinked(1);
	down(0, 0);
	pass(100 * S);
	memset(world.asked, 0, sizeof world.asked);
	linked(0);
	take();
	assert_int_equal(world.asked[0][0], 1);
	assert_int_equal(world.asked[0][1], 0);
}

static void a_link_that_comes_back_to_a_neighbour(void **state)
{
	add(0, 0, true);
	up(0, 0);
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
	pass(S);
	memset(world.asked, 0, sizeof world.asked);
	remove_topic(1);
	remove_topic(1);
	pass(10 * S);
	for (size_t peer = 0; peer < PEERS; peer++) {
		assert_int_equal(world.asked[1][peer], 0);
		assert_true(world.asked[2][peer] > 1);
	}
	add(1, 0, true);
	take();
	assert_int_equal(world.asked[1][0], 1);
	for (size_t topic = 0; topic < TOPICS; topic++)
		remove_topic(topic);
	assert_true(is_idle());
}

/* Each of them has to make room for us: we do not need all. */
static void two_at_a_time(void **state)
{
	unsigned sum, before = 0;

	for (size_t peer = 0; peer < PEERS; peer++)
		add(0, peer, true);
	for (int time = 0; time < 3; time++) {
		take();
		sum = 0;
		for (size_t peer = 0; peer < PEERS; peer++)
			sum += world.asked[0][peer];
		assert_true(sum - before <= 2 && sum > before);
		before = sum;
		pass(250 * MS - 1);
		sum = 0;
		for (size_t peer = 0; peer < PEERS; peer++)
			sum += world.asked[0][peer];
		assert_int_equal(sum, before);
		pass(1);
	}
	/* And everybody in his turn. */
	for (size_t peer = 0; peer < PEERS; peer++)
		assert_true(world.asked[0][peer] >= 1);
}

static void those_that_are_there_go_first(void **state)
{
	add_unshown(0, 0, true);
	add_unshown(0, 1, true);
	add_unshown(0, 2, true);
	add_untrusted(0, 3, true);
	add(0, 4, true);
	take();
	assert_int_equal(world.asked[0][3], 1);
	assert_int_equal(world.asked[0][4], 1);
	/* Who never shows it is asked more and more seldom, but for ever. */
	pass(600 * S);
	memset(world.asked, 0, sizeof world.asked);
	pass(640 * S);
	assert_true(world.asked[0][0] >= 9 && world.asked[0][0] <= 21);
	/* Until it does. */
	add(0, 0, true);
	world.asked[0][0] = 0;
	pass(S);
	assert_true(world.asked[0][0] >= 1);
}

/* One of them is asked, and everything is told by its answer. */
static void those_that_are_apart_are_asked(void **state)
{
	unsigned merged = 0;

	tell(0, 0, JOINER_APART);
	assert_true(is_idle()); /* nobody has joined that */
	up(0, 0);
	for (size_t peer = 1; peer < PEERS; peer++)
		tell(0, peer, JOINER_APART);
	tell(0, 0, JOINER_APART); /* a neighbour */
	pass(S);
	for (size_t peer = 0; peer < PEERS; peer++) {
		merged += world.merged[0][peer];
		if (world.merged[0][peer])
			up(0, peer);
	}
	assert_int_equal(merged, 1);
	assert_int_equal(world.merged[0][0], 0);
	assert_true(is_idle());
	pass(100 * S);
	merged = 0;
	for (size_t peer = 0; peer < PEERS; peer++)
		merged += world.merged[0][peer];
	assert_int_equal(merged, 1);
}

static void the_next_one_if_it_does_not_answer(void **state)
{
	up(0, 0);
	tell(0, 1, JOINER_APART);
	tell(0, 2, JOINER_APART);
	tell(0, 3, JOINER_APART);
	pass(20 * S);
	for (size_t peer = 1; peer <= 3; peer++)
		assert_int_equal(world.merged[0][peer], 1);
	assert_true(is_idle());
}

/* An answer that comes late counts as well; a neighbour of whom there was no news says nothing. */
static void a_late_answer(void **state)
{
	up(0, 0);
	tell(0, 1, JOINER_APART);
	pass(S);
	assert_int_equal(world.merged[0][1], 1);
	tell(0, 2, JOINER_NEW);
	up(0, 4);
	assert_true(joiner_deadline(world.joiner) < UINT64_MAX);
	up(0, 1);
	assert_true(joiner_deadline(world.joiner) == UINT64_MAX);
}

/* The new ones: soon at first, then more and more seldom, so that an overlay comes to rest though
 * discovery goes on for hours. */
static void new_ones_are_probed_ever_more_seldom(void **state)
{
	unsigned minutes[30] = {0}, before = 0, sum;

	up(0, 0);
	for (size_t second = 0; second < 10 * 60; second++) {
		tell(0, 1 + second % (PEERS - 1), JOINER_NEW);
		pass(S);
		sum = 0;
		for (size_t peer = 0; peer < PEERS; peer++)
			sum += world.probed[0][peer];
		minutes[second / 60] += sum - before;
		before = sum;
	}
	assert_true(minutes[0] >= 2 && minutes[0] <= 4);
	assert_true(before >= 6 && before <= 9);
	for (size_t minute = 1; minute < 10; minute++)
		assert_true(minutes[minute] <= 1);
	/* After a long calm it is worth a look at once. */
	pass(1000 * S);
	memset(world.probed, 0, sizeof world.probed);
	tell(0, 2, JOINER_NEW);
	pass(3 * S);
	assert_int_equal(world.probed[0][2], 1);
	for (size_t peer = 0; peer < PEERS; peer++)
		assert_int_equal(world.merged[0][peer], 0);
}

/* It knows others than we: then it is asked. */
static void a_probe_that_finds_another_part(void **state)
{
	up(0, 0);
	tell(0, 1, JOINER_NEW);
	tell(0, 2, JOINER_NEW);
	pass(3 * S);
	assert_int_equal(world.probed[0][1] + world.probed[0][2], 1);
	tell(0, world.probed[0][1] ? 1 : 2, JOINER_APART);
	pass(S);
	assert_int_equal(world.merged[0][1], world.probed[0][1]);
	assert_int_equal(world.merged[0][2], world.probed[0][2]);
	up(0, world.probed[0][1] ? 1 : 2);
	assert_true(is_idle());
}

/* Whom nobody needs is forgotten: a stranger cannot fill memory with news. */
static void news_is_bounded(void **state)
{
	struct joiner_effect effect;
	struct id t = topic_id(0), p = peer_id(0);
	unsigned merged = 0;

	up(0, 0);
	for (unsigned i = 0; i < 1000; i++) {
		p.bytes[0] = (uint8_t)i;
		p.bytes[1] = (uint8_t)(i >> 8);
		assert_int_equal(
			joiner_tell(world.joiner, world.now, &t, &p, false, JOINER_APART), 0);
	}
	for (int i = 0; i < 1000; i++) {
		world.now += 100 * MS;
		while (joiner_effect(world.joiner, world.now, &effect)) {
			assert_int_equal(effect.type, JOINER_MERGE);
			merged++;
		}
	}
	assert_int_equal(merged, 2 * LIMIT_JOINS_PER_TOPIC);
	assert_true(joiner_deadline(world.joiner) == UINT64_MAX);
	assert_true(joiner_prune(world.joiner, &t) <= 2 * LIMIT_JOINS_PER_TOPIC);
}

static void each_allocation_fails(void **state)
{
	struct joiner *joiner;
	struct id topic = topic_id(0), other = topic_id(1), peer;
	bool failed = true;
	unsigned wanted;
	int error;

	heap_fail(1, false);
	assert_int_equal(joiner_new(&world.random, &world.counters, &joiner), ERROR_NOMEM);
	heap_fail(0, false);
	for (size_t n = 1; failed; n++) {
		wanted = 0;
		heap_fail(n, false);
		for (size_t i = 0; i < 2; i++) {
			peer = peer_id(i);
			error = joiner_add(world.joiner, world.now, &topic, &peer, true,
				JOINER_TRUSTED, true);
			assert_true(error == 0 || error == ERROR_NOMEM);
			wanted += error == 0;
		}
		up(1, 0);
		peer = peer_id(1);
		error = joiner_tell(
			world.joiner, world.now, &other, &peer, true, JOINER_APART);
		assert_true(error == 0 || error == ERROR_NOMEM);
		failed = heap_has_failed();
		heap_fail(0, false);
		assert_true(wanted >= (failed ? 1 : 2));
		assert_int_equal(take(), wanted);
		remove_topic(0);
		remove_topic(1);
	}
}

/* Whoever is linked, wanted and has not answered is asked within the longest backoff where we are
 * alone, and nobody else ever. */
static void anything_in_any_order(void **state)
{
	bool is_wanted[TOPICS][PEERS], is_neighbour[TOPICS][PEERS], is_linked[PEERS];

	for (unsigned seed = 1; seed <= 100; seed++) {
		teardown(NULL);
		setup(NULL);
		world.seed = seed;
		memset(is_wanted, 0, sizeof is_wanted);
		memset(is_neighbour, 0, sizeof is_neighbour);
		memset(is_linked, 0, sizeof is_linked);
		for (int i = 0; i < 500; i++) {
			size_t topic = random_below(&world.random, TOPICS);
			size_t peer = random_below(&world.random, PEERS);

			switch (random_below(&world.random, 8)) {
			case 0:
				remove_topic(topic);
				memset(is_wanted[topic], 0, sizeof is_wanted[topic]);
				memset(is_neighbour[topic], 0, sizeof is_neighbour[topic]);
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
				if (!is_neighbour[topic][peer])
					up(topic, peer);
				is_neighbour[topic][peer] = true;
				break;
			case 6:
				if (is_neighbour[topic][peer])
					down(topic, peer);
				is_neighbour[topic][peer] = false;
				break;
			case 7:
				pass(random_below(&world.random, 5 * S));
				break;
			}
		}
		memset(world.asked, 0, sizeof world.asked);
		pass(10 * S);
		for (size_t topic = 0; topic < TOPICS; topic++)
			for (size_t peer = 0; peer < PEERS; peer++)
				assert_int_equal(world.asked[topic][peer] > 0,
					is_wanted[topic][peer] && is_linked[peer] &&
						world.neighbours[topic] == 0);
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
	up(1, 0);
	down(1, 0);
	add_untrusted(1, 0, true);
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

static void so_many_per_second(void **state)
{
	struct joiner_effect effect;
	struct id t = topic_id(0), p = peer_id(0);
	unsigned asked = 0, least = 0;

	for (unsigned i = 0; i < 2500; i++) {
		t.bytes[1] = (uint8_t)i;
		t.bytes[2] = (uint8_t)(i >> 8);
		assert_int_equal(joiner_add(world.joiner, world.now, &t, &p, true, JOINER_TRUSTED,
					 true),
			0);
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

/* Among a thousand overlays with sixteen that do not answer each, the one that somebody shares. */
static void nobody_starves(void **state)
{
	struct joiner_effect effect;
	struct id t = topic_id(0), p = peer_id(0), last;
	uint64_t begun = world.now, served = 0;

	for (unsigned i = 0; i < 1000; i++) {
		t.bytes[1] = (uint8_t)i;
		t.bytes[2] = (uint8_t)(i >> 8);
		for (unsigned peer = 0; peer < 16; peer++) {
			p.bytes[0] = (uint8_t)peer;
			joiner_add(world.joiner, world.now, &t, &p, true, JOINER_TRUSTED, false);
		}
		last = t;
	}
	p.bytes[0] = 99;
	for (uint64_t ms = 0; ms < 60000 && !served; ms += 10, world.now += 10 * MS) {
		if (ms == 1000)
			joiner_add(world.joiner, world.now, &last, &p, true, JOINER_NODE, true);
		while (joiner_effect(world.joiner, world.now, &effect))
			if (id_equal(&effect.peer, &p) && id_equal(&effect.topic, &last))
				served = world.now - begun;
	}
	assert_uint_in_range(served, S, 5 * S);
}

static void those_that_cannot_be_reached_make_room(void **state)
{
	add(0, 0, false);
	add_untrusted(0, 1, false);
	add_untrusted(0, 2, true);
	add_untrusted(1, 1, false);
	assert_int_equal(prune(0), 2);
	assert_int_equal(prune(0), 2);
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

/* It is asked no more where it was only wanted; where it is a neighbour it stays one of them. */
static void who_is_not_trusted_any_more_is_not_asked(void **state)
{
	struct id peer = peer_id(0), stranger = peer_id(4);
	unsigned before;

	add(0, 0, true);
	add(1, 0, true);
	add(0, 1, true);
	up(1, 0);
	pass(S);
	assert_true(world.asked[0][0] > 0);
	joiner_distrust(world.joiner, &peer);
	joiner_distrust(world.joiner, &stranger);
	before = world.asked[0][0];
	pass(60 * S);
	assert_int_equal(world.asked[0][0], before);
	assert_true(world.asked[0][1] > 2); /* the other one is */
	down(1, 0);
	pass(600 * S);
	/* Where it was a neighbour it is asked as any other node: not for ever. */
	assert_int_equal(world.gave_up[1][0], 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nobody_is_wanted),
		TEST(asked_until_answered),
		TEST(who_is_not_trusted_any_more_is_not_asked),
		TEST(waits_for_a_link),
		TEST(adding_twice_is_fine),
		TEST(one_neighbour_is_enough),
		TEST(asked_again_when_alone),
		TEST(a_link_that_comes_back_to_a_neighbour),
		TEST(topics_are_removed),
		TEST(two_at_a_time),
		TEST(those_that_are_there_go_first),
		TEST(those_that_are_apart_are_asked),
		TEST(the_next_one_if_it_does_not_answer),
		TEST(a_late_answer),
		TEST(new_ones_are_probed_ever_more_seldom),
		TEST(a_probe_that_finds_another_part),
		TEST(news_is_bounded),
		TEST(untrusted_ones_are_given_up),
		TEST(so_many_per_second),
		TEST(nobody_starves),
		TEST(those_that_cannot_be_reached_make_room),
		TEST(each_allocation_fails),
		TEST(anything_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
