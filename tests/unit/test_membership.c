/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One overlay's views, message by message; whole networks are in test_gossip.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/gossip/membership.h"
#include "support_heap.h"

#define ME 0

static struct core core;
static struct counters counters;
static struct broadcast broadcast;
static struct membership membership;
static uint64_t seed;
static uint64_t now;
/* What was done since the last look, such as "neighbor 3, up 3". */
static char done[4096];

static struct id id_of(size_t node)
{
	struct id id;

	memset(id.bytes, (int)node, ID_SIZE);
	return id;
}

static void note(const char *what, const struct id *peer)
{
	size_t size = strlen(done);

	snprintf(
		done + size, sizeof done - size, "%s%s %u", size ? ", " : "", what, peer->bytes[0]);
}

static void collect(void)
{
	static const char *const types[] = {
		"join", "forward", "shuffle", "reply", "neighbor", "disconnect"};
	struct gossip_effect effect;
	struct wire_message message;

	assert_int_equal(effects_take_error(&core.effects), 0);
	while (effects_take(&core.effects, &effect)) {
		switch (effect.type) {
		case GOSSIP_SEND:
			assert_int_equal(wire_decode(effect.frame->head + 4,
						 effect.frame->head_size - 4, &message),
				0);
			assert_int_equal(effect.last, message.type == WIRE_DISCONNECT);
			assert_true(effect.peer.bytes[0] != ME);
			note(types[message.type], &effect.peer);
			if (message.type == WIRE_NEIGHBOR)
				strcat(done, message.neighbor.priority == WIRE_LOW ? " low" : "");
			if (message.type == WIRE_DISCONNECT)
				strcat(done, message.disconnect.alive ? " alive" : "");
			frame_free(effect.frame);
			break;
		case GOSSIP_NEIGHBOUR_UP:
			note("up", &effect.peer);
			break;
		case GOSSIP_NEIGHBOUR_DOWN:
			note("down", &effect.peer);
			break;
		case GOSSIP_APART:
			note("apart", &effect.peer);
			break;
		case GOSSIP_RELEASE:
			note("release", &effect.peer);
			break;
		case GOSSIP_PEER_ADDRESSES:
			note("addresses", &effect.peer);
			note("by", &effect.source);
			break;
		case GOSSIP_DELIVER:
			fail();
		}
	}
}

static void assert_done(const char *expected)
{
	collect();
	assert_string_equal(done, expected);
	done[0] = '\0';
}

static int setup(void **state)
{
	struct id topic = id_of(200);

	heap_begin();
	memset(&core, 0, sizeof core);
	memset(&counters, 0, sizeof counters);
	seed = 1;
	now = 1000 * MS;
	done[0] = '\0';
	core.me = id_of(ME);
	core.random = random_seeded(&seed);
	core.counters = &counters;
	assert_int_equal(effects_init(&core.effects, &counters), 0);
	contents_init(&core.contents, 1000, &counters);
	census_init(&core.census, LIMIT_RECEIVED_IDS);
	broadcast_init(&broadcast, &core, &topic);
	membership_init(&membership, &core, &broadcast, &topic);
	return 0;
}

static int teardown(void **state)
{
	membership_clear(&membership);
	broadcast_clear(&broadcast);
	effects_clear(&core.effects);
	heap_end();
	return 0;
}

static void receive(size_t from, struct wire_message *message)
{
	struct id id = id_of(from);

	membership_receive(&membership, now, &id, message);
}

static void receive_join(size_t from)
{
	struct wire_message message;

	message.type = WIRE_JOIN;
	message.join.data = (struct wire_data){NULL, 0};
	receive(from, &message);
}

static void receive_neighbor(size_t from, enum wire_priority priority)
{
	struct wire_message message;

	message.type = WIRE_NEIGHBOR;
	message.neighbor.priority = priority;
	message.neighbor.data = (struct wire_data){NULL, 0};
	receive(from, &message);
}

static void receive_disconnect(size_t from, bool alive)
{
	struct wire_message message;

	message.type = WIRE_DISCONNECT;
	message.disconnect.alive = alive;
	message.disconnect.respond = false;
	receive(from, &message);
}

static void receive_forward_join(size_t from, size_t peer, uint16_t ttl)
{
	static const uint8_t data[] = {0, 1, 0, 10, 0, 0, 1, 1};
	struct wire_message message;

	message.type = WIRE_FORWARD_JOIN;
	message.forward_join.peer = (struct wire_node){id_of(peer), {data, sizeof data}};
	message.forward_join.ttl = ttl;
	receive(from, &message);
}

/* A list of nodes without data. */
static void receive_nodes(
	enum wire_type type, size_t from, size_t origin, uint16_t ttl, size_t first, size_t count)
{
	struct wire_message message;
	struct wire_nodes *nodes =
		type == WIRE_SHUFFLE ? &message.shuffle.nodes : &message.shuffle_reply.nodes;

	message.type = type;
	if (type == WIRE_SHUFFLE) {
		message.shuffle.origin = id_of(origin);
		message.shuffle.ttl = ttl;
	}
	nodes->count = count;
	for (size_t i = 0; i < count; i++)
		nodes->items[i] = (struct wire_node){id_of(first + i), {NULL, 0}};
	receive(from, &message);
}

static void tick(uint64_t after)
{
	now += after;
	membership_tick(&membership, now);
}

static bool is_passive(size_t node)
{
	for (size_t i = 0; i < MEMBERSHIP_MEMBERS; i++) {
		struct id id = id_of(node);

		if (membership.members[i].view == MEMBER_PASSIVE &&
			id_equal(&membership.members[i].id, &id))
			return true;
	}
	return false;
}

static void fill_active(void)
{
	for (size_t i = 1; i <= 5; i++)
		receive_neighbor(i, WIRE_HIGH);
	collect();
	done[0] = '\0';
	assert_int_equal(membership.active, 5);
}

static void a_join_is_answered_and_forwarded(void **state)
{
	receive_join(1);
	assert_done("up 1, neighbor 1");
	receive_join(2);
	assert_done("up 2, neighbor 2, forward 1");
	/* The joiner answers once; that is no new request. */
	receive_neighbor(2, WIRE_HIGH);
	assert_done("");
	/* Identical ones in a row are normal (upstream repeats itself). */
	receive_join(2);
	assert_done("neighbor 2, forward 1");
	receive_join(2);
	assert_done("forward 1");
	now += 600 * MS;
	receive_join(2);
	assert_done("neighbor 2, forward 1");
}

static void the_answer_to_a_request_is_not_answered(void **state)
{
	struct id peer = id_of(1);

	membership_ask(&membership, now, &peer);
	assert_done("neighbor 1, join 1");
	assert_true(membership_deadline(&membership) == now + 500 * MS);
	receive_neighbor(1, WIRE_HIGH);
	assert_done("up 1");
	/* The request is settled: only the shuffle is left to be done. */
	assert_true(membership_deadline(&membership) >= now + 3000 * MS);
	receive_neighbor(1, WIRE_HIGH);
	assert_done("neighbor 1");
}

static void a_neighbour_is_reminded(void **state)
{
	struct id peer = id_of(1), stranger = id_of(2);

	receive_neighbor(1, WIRE_HIGH);
	receive_neighbor(1, WIRE_HIGH); /* its answer to ours */
	assert_done("up 1, neighbor 1");
	membership_remind(&membership, now, &peer);
	assert_done("neighbor 1");
	/* Even while an answer may be on its way: the question may have been lost. */
	membership_remind(&membership, now, &peer);
	assert_done("neighbor 1");
	receive_neighbor(1, WIRE_HIGH);
	assert_done("");
	membership_remind(&membership, now, &stranger);
	assert_done("");
}

/* The question went with the connection: what comes then is a question, and is answered. */
static void a_lost_question_has_no_answer(void **state)
{
	struct id peer = id_of(1), other = id_of(2);

	membership_ask(&membership, now, &peer);
	assert_done("neighbor 1, join 1");
	membership_link_down(&membership, now, &other);
	membership_link_down(&membership, now, &peer);
	receive_neighbor(1, WIRE_LOW);
	assert_done("up 1, neighbor 1 low");
}

static void a_late_answer_is_taken_for_a_request(void **state)
{
	struct id peer = id_of(1);

	membership_ask(&membership, now, &peer);
	tick(500 * MS);
	assert_done("neighbor 1, join 1, release 1");
	assert_true(membership_deadline(&membership) == UINT64_MAX);
	receive_neighbor(1, WIRE_HIGH);
	assert_done("up 1, neighbor 1");
	/* Should the other take that for a request in turn, there is an end of it. */
	now += 900 * MS;
	receive_neighbor(1, WIRE_HIGH);
	assert_done("");
}

static void we_are_nobodys_peer_of_ourselves(void **state)
{
	struct id me = id_of(ME);

	membership_ask(&membership, now, &me);
	receive_neighbor(1, WIRE_HIGH);
	receive_neighbor(2, WIRE_HIGH);
	assert_done("up 1, neighbor 1, up 2, neighbor 2");
	receive_forward_join(1, ME, 0);
	receive_nodes(WIRE_SHUFFLE, 1, ME, 0, ME, 1);
	receive_nodes(WIRE_SHUFFLE_REPLY, 1, 0, 0, ME, 1);
	assert_done("");
	assert_int_equal(membership.passive, 0);
	/* A walk that is ours goes on, for others to learn of us. */
	receive_forward_join(1, ME, 3);
	assert_done("forward 2");
	assert_int_equal(membership.passive, 0);
}

static void high_priority_drives_out_and_low_does_not(void **state)
{
	fill_active();
	receive_neighbor(6, WIRE_LOW);
	assert_done("reply 6, disconnect 6 alive, release 6, release 6");
	assert_int_equal(membership.active, 5);
	receive_neighbor(6, WIRE_HIGH);
	collect();
	assert_int_equal(strncmp(done, "down ", 5), 0);
	assert_non_null(strstr(done, " alive, release "));
	assert_non_null(strstr(done, "up 6, neighbor 6"));
	done[0] = '\0';
	assert_int_equal(membership.active, 5);
	assert_int_equal(membership.passive, 1);
	assert_true(membership_is_active(
		&membership, &(struct id){{6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6,
				     6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6}}));
}

/* Returns the neighbour that had to make room. */
static size_t assert_one_gone(void)
{
	unsigned gone;

	collect();
	assert_int_equal(sscanf(done, "down %u", &gone), 1);
	done[0] = '\0';
	return gone;
}

/* What it asks may have been under way when it was told to go. */
static void who_was_just_let_go_is_not_taken_back_at_anothers_cost(void **state)
{
	char refused[80];
	size_t gone;

	fill_active();
	receive_neighbor(6, WIRE_HIGH);
	gone = assert_one_gone();
	snprintf(refused, sizeof refused, "reply %zu, disconnect %zu alive, release %zu, release %zu",
		gone, gone, gone, gone);
	receive_neighbor(gone, WIRE_HIGH);
	assert_done(refused);
	/* It asks with a Join: it has nothing else. */
	receive_join(gone);
	assert_one_gone();
	/* After a round trip of the slowest link it knows, and asks anew. */
	receive_neighbor(7, WIRE_HIGH);
	gone = assert_one_gone();
	now += 500 * MS;
	receive_neighbor(gone, WIRE_HIGH);
	assert_one_gone();
}

static void who_has_just_left_is_taken_back_if_there_is_room(void **state)
{
	fill_active();
	receive_disconnect(3, true);
	assert_done("down 3, release 3");
	receive_neighbor(3, WIRE_HIGH);
	assert_done("up 3, neighbor 3");
}

static void a_walk_ends_where_few_are_known(void **state)
{
	receive_neighbor(1, WIRE_HIGH);
	assert_done("up 1, neighbor 1");
	/* Asked, not added: nobody unreachable enters the view. */
	receive_forward_join(1, 9, 6);
	assert_done("addresses 9, by 1, neighbor 9");
	assert_int_equal(membership.active, 1);
	receive_neighbor(9, WIRE_HIGH);
	assert_done("up 9");
	/* From here on it walks on, and stays where the passive walk ends. */
	receive_forward_join(1, 8, 6);
	assert_done("forward 9");
	assert_false(is_passive(8));
	receive_forward_join(1, 8, 3);
	assert_done("addresses 8, by 1, forward 9");
	assert_true(is_passive(8));
	/* Known already: no news of its addresses. */
	receive_forward_join(1, 8, 0);
	assert_done("neighbor 8");
}

static void requests_to_strangers_are_bounded(void **state)
{
	receive_neighbor(1, WIRE_HIGH);
	for (size_t i = 10; i < 100; i++)
		receive_forward_join(1, i, 0);
	collect();
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_PEERS), 90 - MEMBERSHIP_STRANGERS);
	tick(500 * MS);
	collect();
	done[0] = '\0';
	/* All have expired, so there is room again, and nothing of them is left. */
	assert_true(membership_deadline(&membership) > now + 1000 * MS);
	receive_forward_join(1, 150, 0);
	assert_done("addresses 150, by 1, neighbor 150");
}

static void nobody_overflows_the_views(void **state)
{
	for (size_t round = 0; round < 3000; round++) {
		size_t from = 1 + random_below(&core.random, 199);
		size_t peer = random_below(&core.random, 200);

		switch (random_below(&core.random, 8)) {
		case 0:
			receive_join(from);
			break;
		case 1:
			receive_neighbor(from, random_below(&core.random, 2));
			break;
		case 2:
			receive_forward_join(from, peer, (uint16_t)random_below(&core.random, 6));
			break;
		case 3:
			receive_nodes(WIRE_SHUFFLE, from, peer,
				(uint16_t)random_below(&core.random, 2), peer / 2, 40);
			break;
		case 4:
			receive_nodes(WIRE_SHUFFLE_REPLY, from, 0, 0, peer / 2, 40);
			break;
		case 5:
			receive_disconnect(from, random_below(&core.random, 2));
			break;
		case 6:
			membership_peer_lost(&membership, now, &(struct id){{0}});
			tick(random_below(&core.random, 400) * MS);
			break;
		case 7:
			membership_ask(&membership, now, &(struct id){{(uint8_t)from}});
			break;
		}
		collect();
		done[0] = '\0';
		assert_true(membership.active <= LIMIT_ACTIVE_VIEW);
		assert_true(membership.passive <= LIMIT_PASSIVE_VIEW);
		assert_true(membership_deadline(&membership) > now);
		for (size_t i = 0; i < MEMBERSHIP_MEMBERS; i++)
			assert_false(membership.members[i].view >= MEMBER_PASSIVE &&
				     membership.members[i].id.bytes[0] == ME);
	}
}

static size_t count_passive(size_t first, size_t count)
{
	size_t found = 0;

	for (size_t i = 0; i < count; i++)
		found += is_passive(first + i);
	return found;
}

/* Of many who come at once those stay who came late, and as many of those who came early. */
static void the_passive_view_is_a_sample_of_a_crowd(void **state)
{
	fill_active();
	for (size_t i = 0; i < 180; i++)
		receive_forward_join(1, 10 + i, 3);
	collect();
	done[0] = '\0';
	assert_int_equal(membership.passive, LIMIT_PASSIVE_VIEW);
	for (size_t i = 0; i < 3; i++)
		assert_true(count_passive(10 + 60 * i, 60) >= 5);
	/* Whoever comes after the next Shuffle is nearly always kept. */
	tick(6000 * MS);
	collect();
	done[0] = '\0';
	for (size_t i = 0; i < 4; i++)
		receive_forward_join(1, 190 + i, 3);
	assert_true(count_passive(190, 4) >= 3);
}

static void a_lost_neighbour_is_replaced(void **state)
{
	struct id lost = id_of(2);

	receive_neighbor(1, WIRE_HIGH);
	receive_neighbor(2, WIRE_HIGH);
	receive_nodes(WIRE_SHUFFLE_REPLY, 1, 0, 0, 30, 1);
	assert_done("up 1, neighbor 1, up 2, neighbor 2, neighbor 30 low");
	receive_disconnect(30, true);
	assert_done("");
	assert_true(is_passive(30));
	membership_peer_lost(&membership, now, &lost);
	assert_done("down 2, release 2, neighbor 30 low");
	assert_false(is_passive(2));
	/* It does not answer, so it is considered failed as well. */
	tick(500 * MS);
	assert_done("release 30");
	assert_false(is_passive(30));
	/* Without any neighbour the next request has high priority. */
	receive_nodes(WIRE_SHUFFLE_REPLY, 1, 0, 0, 40, 1);
	tick(500 * MS);
	assert_done("neighbor 40 low, release 40");
	/* The link to a stranger is for the reply only. */
	receive_nodes(WIRE_SHUFFLE, 1, 50, 0, 50, 1);
	assert_done("reply 50, release 50");
	receive_disconnect(1, false);
	assert_done("down 1, release 1, neighbor 50");
	assert_false(is_passive(1));
}

/* Each is asked once, until there is a reason to hope. */
static void refilling_ends_when_all_are_full(void **state)
{
	struct id lost = id_of(2);

	receive_neighbor(1, WIRE_HIGH);
	receive_neighbor(2, WIRE_HIGH);
	collect();
	done[0] = '\0';
	receive_nodes(WIRE_SHUFFLE_REPLY, 1, 0, 0, 30, 2);
	collect();
	assert_true(membership.active == 2);
	for (int refusals = 0; refusals < 2; refusals++) {
		size_t asked = strstr(done, "neighbor 30 low") ? 30 : 31;

		done[0] = '\0';
		receive_nodes(WIRE_SHUFFLE_REPLY, asked, 0, 0, 1, 2); /* comes with a refusal */
		receive_disconnect(asked, true);
		collect();
	}
	assert_done("");
	/* It has no end otherwise: the refusals bring nodes, too. */
	receive_nodes(WIRE_SHUFFLE_REPLY, 30, 0, 0, 31, 1);
	assert_done("release 30");
	/* Somebody else has gone, and may have left a place with others. */
	membership_peer_lost(&membership, now, &lost);
	collect();
	assert_non_null(strstr(done, "neighbor 3"));
	done[0] = '\0';
	for (int refusals = 0; refusals < 2; refusals++) {
		receive_disconnect(30, true);
		receive_disconnect(31, true);
	}
	collect();
	done[0] = '\0';
	/* And once after each of our own shuffles one of them is asked. */
	tick(10000 * MS);
	assert_done("shuffle 1");
	receive_nodes(WIRE_SHUFFLE_REPLY, 1, 0, 0, 30, 2);
	collect();
	assert_true(strcmp(done, "neighbor 30 low") == 0 || strcmp(done, "neighbor 31 low") == 0);
	done[0] = '\0';
	receive_disconnect(30, true);
	receive_disconnect(31, true);
	assert_done("");
	/* A neighbour that has turned us away for another has no room either. */
	receive_neighbor(3, WIRE_LOW);
	done[0] = '\0';
	collect();
	done[0] = '\0';
	receive_disconnect(3, true);
	collect();
	assert_null(strstr(done, "neighbor 3 low"));
	done[0] = '\0';
}

static void who_is_offered_is_asked_if_there_is_room(void **state)
{
	struct id nodes[] = {id_of(50), id_of(51), id_of(3)};
	struct wire_message message;
	struct gossip_effect effect;

	receive_neighbor(1, WIRE_HIGH);
	collect();
	done[0] = '\0';
	membership_offer(&membership, now, &nodes[0]);
	assert_done("neighbor 50 low");
	assert_true(is_passive(50));
	receive_disconnect(50, true);
	assert_done("");
	/* What the overlay has not told us we do not tell. */
	receive_nodes(WIRE_SHUFFLE, 1, 1, 0, 60, 1);
	assert_true(effects_take(&core.effects, &effect));
	assert_int_equal(
		wire_decode(effect.frame->head + 4, effect.frame->head_size - 4, &message), 0);
	assert_int_equal(message.type, WIRE_SHUFFLE_REPLY);
	for (size_t i = 0; i < message.shuffle_reply.nodes.count; i++)
		assert_int_not_equal(message.shuffle_reply.nodes.items[i].id.bytes[0], 50);
	frame_free(effect.frame);
	assert_false(membership_knows(&membership, &nodes[0]));
	receive_nodes(WIRE_SHUFFLE_REPLY, 1, 0, 0, 50, 1);
	assert_true(membership_knows(&membership, &nodes[0]));
	collect();
	done[0] = '\0';
	/* It may have room now. */
	membership_offer(&membership, now, &nodes[0]);
	assert_done("neighbor 50 low");
	receive_disconnect(50, true);
	for (size_t i = 2; i <= 5; i++)
		receive_neighbor(i, WIRE_HIGH);
	collect();
	done[0] = '\0';
	membership_offer(&membership, now, &nodes[1]);
	membership_offer(&membership, now, &nodes[2]); /* a neighbour */
	membership_offer(&membership, now, &core.me);
	assert_done("");
	assert_true(is_passive(51));
}

static void another_part_is_asked_without_a_join(void **state)
{
	struct id peer = id_of(50);

	fill_active();
	done[0] = '\0';
	membership_merge(&membership, now, &peer);
	assert_done("neighbor 50");
	receive_neighbor(50, WIRE_HIGH);
	collect();
	assert_non_null(strstr(done, "up 50"));
	assert_null(strstr(done, "neighbor 50"));
	assert_null(strstr(done, "forward"));
	done[0] = '\0';
}

static void a_probe_tells_whether_it_is_apart(void **state)
{
	struct id peer = id_of(50), neighbour = id_of(1);

	receive_neighbor(1, WIRE_HIGH);
	collect();
	done[0] = '\0';
	membership_probe(&membership, &neighbour);
	membership_probe(&membership, &core.me);
	assert_done("");
	membership_probe(&membership, &peer);
	assert_done("shuffle 50, release 50");
	/* It knows others than we, and so do those: seven more are asked before that is news. */
	for (size_t i = 0; i < 7; i++) {
		char expected[64];

		receive_nodes(WIRE_SHUFFLE_REPLY, 50 + i, 0, 0, 51 + i, 1);
		collect();
		snprintf(expected, sizeof expected, "shuffle %zu, release %zu", 51 + i, 51 + i);
		assert_non_null(strstr(done, expected));
		assert_null(strstr(done, "apart"));
		done[0] = '\0';
	}
	receive_nodes(WIRE_SHUFFLE_REPLY, 57, 0, 0, 60, 3);
	collect();
	assert_non_null(strstr(done, "apart 57"));
	done[0] = '\0';
	/* Once. */
	receive_nodes(WIRE_SHUFFLE_REPLY, 57, 0, 0, 70, 3);
	collect();
	assert_null(strstr(done, "apart"));
	assert_null(strstr(done, "shuffle"));
	done[0] = '\0';
	/* It knows a neighbour of ours; or us; or nobody, and then it asks by itself. */
	membership_probe(&membership, &peer);
	receive_nodes(WIRE_SHUFFLE_REPLY, 50, 0, 0, 1, 1);
	membership_probe(&membership, &peer);
	receive_nodes(WIRE_SHUFFLE_REPLY, 50, 0, 0, ME, 1);
	membership_probe(&membership, &peer);
	receive_nodes(WIRE_SHUFFLE_REPLY, 50, 0, 0, 1, 0);
	collect();
	assert_null(strstr(done, "apart"));
	assert_null(strstr(done, "shuffle 1,"));
	done[0] = '\0';
}

static void who_is_alive_survives_one_loss(void **state)
{
	struct id peer = id_of(1);

	receive_neighbor(1, WIRE_HIGH);
	receive_disconnect(1, true);
	assert_done("up 1, neighbor 1, down 1, release 1");
	assert_true(is_passive(1));
	membership_peer_lost(&membership, now, &peer);
	assert_true(is_passive(1));
	membership_peer_lost(&membership, now, &peer);
	assert_false(is_passive(1));
}

static void the_shuffle_names_us_last(void **state)
{
	struct gossip_effect effect;
	struct wire_message message;

	fill_active();
	receive_nodes(WIRE_SHUFFLE_REPLY, 1, 0, 0, 30, 20);
	assert_done("");
	tick(60000 * MS);
	assert_true(effects_take(&core.effects, &effect));
	assert_int_equal(
		wire_decode(effect.frame->head + 4, effect.frame->head_size - 4, &message), 0);
	assert_int_equal(message.type, WIRE_SHUFFLE);
	assert_int_equal(message.shuffle.ttl, 6);
	assert_true(id_equal(&message.shuffle.origin, &core.me));
	assert_int_equal(message.shuffle.nodes.count, 3 + 4 + 1);
	assert_true(id_equal(&message.shuffle.nodes.items[7].id, &core.me));
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(message.shuffle.nodes.items[i].id.bytes[0] >= 30, i >= 3);
		assert_false(id_equal(&message.shuffle.nodes.items[i].id, &effect.peer));
	}
	frame_free(effect.frame);
	assert_done("");
	assert_true(membership_deadline(&membership) >= now + 8000 * MS);
}

static void an_answer_to_a_shuffle_fits_its_frame(void **state)
{
	static uint8_t data[LIMIT_PEER_DATA];
	struct wire_message message;
	struct gossip_effect effect;

	/* A relay's URL that leaves just room for no address. */
	data[0] = 1;
	data[1] = (uint8_t)(0x80 | ((LIMIT_PEER_DATA - 4) & 0x7f));
	data[2] = (LIMIT_PEER_DATA - 4) >> 7;
	message.type = WIRE_SHUFFLE;
	message.shuffle.origin = id_of(9);
	message.shuffle.ttl = 0;
	message.shuffle.nodes.count = 30;
	for (size_t i = 0; i < 30; i++)
		message.shuffle.nodes.items[i] =
			(struct wire_node){id_of(30 + i), {data, sizeof data}};
	receive_neighbor(8, WIRE_HIGH); /* only what neighbours tell is told */
	collect();
	done[0] = '\0';
	receive(8, &message);
	assert_int_equal(membership.passive, 30);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_PEER_DATA), 0);
	assert_true(effects_take(&core.effects, &effect));
	assert_int_equal(
		wire_decode(effect.frame->head + 4, effect.frame->head_size - 4, &message), 0);
	assert_int_equal(message.type, WIRE_SHUFFLE_REPLY);
	assert_int_equal(message.shuffle_reply.nodes.count, 7 + 1); /* one has no data */
	assert_int_equal(message.shuffle_reply.nodes.items[0].data.size, sizeof data);
	frame_free(effect.frame);
	assert_done("release 9");
}

static void bad_peer_data_is_as_good_as_none(void **state)
{
	static uint8_t data[LIMIT_PEER_DATA + 1] = {2};
	struct wire_message message;

	receive_neighbor(1, WIRE_HIGH);
	assert_done("up 1, neighbor 1");
	message.type = WIRE_JOIN;
	message.join.data = (struct wire_data){data, 5};
	receive(2, &message);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_PEER_DATA), 1);
	data[0] = 0;
	message.join.data.size = sizeof data;
	receive(3, &message);
	assert_int_equal(counters_get(&counters, COUNTER_LIMIT_PEER_DATA), 2);
	assert_done("up 2, neighbor 2, forward 1, up 3, neighbor 3, forward 1, forward 2");
}

static void leaving_says_farewell_to_all(void **state)
{
	struct id asked = id_of(7);

	receive_neighbor(1, WIRE_HIGH);
	receive_neighbor(2, WIRE_HIGH);
	membership_ask(&membership, now, &asked);
	collect();
	done[0] = '\0';
	membership_leave(&membership);
	assert_done("reply 1, disconnect 1, release 1, reply 2, disconnect 2, release 2, "
		    "disconnect 7, release 7");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_join_is_answered_and_forwarded),
		TEST(the_answer_to_a_request_is_not_answered),
		TEST(a_neighbour_is_reminded),
		TEST(a_lost_question_has_no_answer),
		TEST(a_late_answer_is_taken_for_a_request),
		TEST(we_are_nobodys_peer_of_ourselves),
		TEST(high_priority_drives_out_and_low_does_not),
		TEST(who_was_just_let_go_is_not_taken_back_at_anothers_cost),
		TEST(who_has_just_left_is_taken_back_if_there_is_room),
		TEST(a_walk_ends_where_few_are_known),
		TEST(requests_to_strangers_are_bounded),
		TEST(nobody_overflows_the_views),
		TEST(the_passive_view_is_a_sample_of_a_crowd),
		TEST(a_lost_neighbour_is_replaced),
		TEST(refilling_ends_when_all_are_full),
		TEST(who_is_offered_is_asked_if_there_is_room),
		TEST(another_part_is_asked_without_a_join),
		TEST(a_probe_tells_whether_it_is_apart),
		TEST(who_is_alive_survives_one_loss),
		TEST(the_shuffle_names_us_last),
		TEST(an_answer_to_a_shuffle_fits_its_frame),
		TEST(bad_peer_data_is_as_good_as_none),
		TEST(leaving_says_farewell_to_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
