/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/writer.h"
#include "bridge/error.h"
#include "bridge/gossip/gossip.h"
#include "bridge/gossip/ids.h"
#include "bridge/gossip/wire.h"
#include "support_heap.h"
#include "support_network.h"

#define S (1000 * NETWORK_MS)

static struct network network; /* too large for a stack */

/* N nodes that have found each other through node 0, and then some. */
static void start_overlay(size_t count, uint64_t seed)
{
	network_start(&network, count, seed);
	for (size_t i = 1; i < count; i++) {
		network_ask(&network, i, random_below(&network.random, i));
		network_run(&network, 50 * NETWORK_MS);
	}
	network_run(&network, 5 * S);
	assert_true(network_is_connected(&network));
	assert_true(network_is_symmetric(&network));
}

static void two_nodes_meet(void **state)
{
	network_start(&network, 2, 1);
	assert_true(gossip_deadline(network.nodes[0].gossip) == UINT64_MAX);
	network_ask(&network, 0, 1);
	network_run(&network, S);
	for (size_t i = 0; i < 2; i++) {
		struct network_node *node = &network.nodes[i];
		struct id peer = network_id(1 - i);

		assert_int_equal(gossip_neighbours(node->gossip, &network.topic), 1);
		assert_true(gossip_is_neighbour(node->gossip, &network.topic, &peer));
		assert_int_equal(node->ups, 1);
		assert_int_equal(node->downs, 0);
		assert_int_equal(node->hearsay, 1);
	}
	/* One Neighbor each way: they do not go on answering each other. */
	assert_int_equal(network_sent(&network, WIRE_NEIGHBOR), 2);
	network_publish(&network, 0, 1);
	network_publish(&network, 1, 2);
	network_run(&network, S);
	assert_int_equal(network_reached(&network, 1), 2);
	assert_int_equal(network_reached(&network, 2), 2);
	network_stop(&network);
}

static void asking_each_other_ends(void **state)
{
	/* Round trips below and above the time after which a request has expired. */
	static const uint64_t latencies[] = {1, 200, 600, 3000};

	for (size_t i = 0; i < 4; i++) {
		network_start(&network, 2, 1);
		network.latency = latencies[i] * NETWORK_MS;
		network_ask(&network, 0, 1);
		network_ask(&network, 1, 0);
		network_run(&network, 50 * S);
		assert_true(network_is_symmetric(&network));
		assert_true(network_is_connected(&network));
		assert_true(network_sent(&network, WIRE_NEIGHBOR) <= 8);
		network_stop(&network);
	}
}

static void a_restarted_node_is_answered(void **state)
{
	/* At once, after a while, and when it has been missed. */
	static const uint64_t waits[] = {1, 700, 5000, 20000};

	for (size_t i = 0; i < 4; i++) {
		network_start(&network, 2, 1);
		network_ask(&network, 0, 1);
		network_run(&network, waits[i] * NETWORK_MS + 30 * NETWORK_MS);
		network_restart(&network, 0);
		network_ask(&network, 0, 1);
		network_run(&network, S);
		assert_int_equal(network.nodes[0].ups, 1);
		assert_true(network_is_symmetric(&network));
		network_stop(&network);
	}
}

static void asking_who_has_not_joined_is_silent(void **state)
{
	network_start(&network, 2, 1);
	network_leave(&network, 1);
	network_ask(&network, 0, 1);
	network_run(&network, 10 * S);
	assert_int_equal(gossip_neighbours(network.nodes[0].gossip, &network.topic), 0);
	assert_int_equal(network.nodes[1].sent_bytes, 0);
	assert_int_equal(network.nodes[0].ups, 0);
	/* Nothing is left to be done. */
	assert_true(gossip_deadline(network.nodes[0].gossip) == UINT64_MAX);
	network_stop(&network);
}

static void all_messages_reach_all_once(void **state)
{
	for (uint64_t seed = 1; seed <= 8; seed++) {
		start_overlay(20, seed);
		for (unsigned i = 0; i < 100; i++) {
			network_publish(&network, random_below(&network.random, 20), i);
			network_run(&network, 20 * NETWORK_MS);
		}
		network_run(&network, 2 * S);
		for (unsigned i = 0; i < 100; i++)
			assert_int_equal(network_reached(&network, i), 20);
		assert_true(network_is_symmetric(&network));
		network_stop(&network);
	}
}

static void a_burst_reaches_all_once(void **state)
{
	start_overlay(20, 3);
	for (unsigned i = 0; i < 400; i++)
		network_publish(&network, i % 20, i);
	network_run(&network, 2 * S);
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(network_reached(&network, i), 20);
	network_stop(&network);
}

static void the_same_seed_is_the_same_run(void **state)
{
	uint64_t trace[2];

	for (size_t run = 0; run < 2; run++) {
		start_overlay(12, 42);
		for (unsigned i = 0; i < 20; i++)
			network_publish(&network, i % 12, i);
		network_run(&network, 130 * S);
		trace[run] = network.trace;
		network_stop(&network);
	}
	assert_true(trace[0] == trace[1]);
}

/* From one origin, a message takes about one frame for each node once the others
 * have been pruned. */
static void a_tree_forms(void **state)
{
	unsigned before, prunes;

	start_overlay(20, 5);
	for (unsigned i = 0; i < 50; i++) {
		network_publish(&network, 0, i);
		network_run(&network, 200 * NETWORK_MS);
	}
	prunes = network_sent(&network, WIRE_PRUNE);
	assert_true(prunes > 0);
	before = network_sent(&network, WIRE_GOSSIP);
	for (unsigned i = 50; i < 100; i++) {
		network_publish(&network, 0, i);
		network_run(&network, 200 * NETWORK_MS);
	}
	assert_true(network_sent(&network, WIRE_GOSSIP) - before >= 50 * 19);
	assert_true(network_sent(&network, WIRE_GOSSIP) - before <= 50 * 19 * 11 / 10);
	assert_true(network_sent(&network, WIRE_IHAVE) > 0);
	network_stop(&network);
}

/* A link that swallows content, but not announcements. */
static bool loses_gossip_of_link(
	struct network *net, size_t from, size_t to, const struct wire_message *message)
{
	const size_t *link = net->context;

	return message->type == WIRE_GOSSIP && from == link[0] && to == link[1];
}

static void lazy_links_repair_the_tree(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		size_t link[2] = {0, 0};

		start_overlay(20, seed);
		for (unsigned i = 0; i < 20; i++) {
			network_publish(&network, 0, i);
			network_run(&network, 200 * NETWORK_MS);
		}
		/* Every link of node 0 but one swallows content in turn. */
		for (size_t peer = 1; peer < 20; peer++) {
			struct id id = network_id(peer);

			if (gossip_is_neighbour(network.nodes[0].gossip, &network.topic, &id))
				link[1] = peer;
		}
		network.loses = loses_gossip_of_link;
		network.context = link;
		for (unsigned i = 20; i < 40; i++) {
			network_publish(&network, 0, i);
			network_run(&network, 1 * S);
		}
		for (unsigned i = 20; i < 40; i++)
			assert_int_equal(network_reached(&network, i), 20);
		network_stop(&network);
	}
}

static bool loses_one_gossip_in_twenty(
	struct network *net, size_t from, size_t to, const struct wire_message *message)
{
	uint64_t *state = net->context;
	struct random random = random_seeded(state);

	return message->type == WIRE_GOSSIP && random_below(&random, 20) == 0;
}

/* PlumTree repairs what a lazy link announces; where the tree is all a node has, a
 * loss stays. Links of QUIC lose nothing, but a slow peer's queue may. */
static void losses_are_mostly_repaired(void **state)
{
	uint64_t losses = 9;
	int reached = 0;

	start_overlay(20, 7);
	network.loses = loses_one_gossip_in_twenty;
	network.context = &losses;
	for (unsigned i = 0; i < 100; i++) {
		network_publish(&network, i % 20, i);
		network_run(&network, 100 * NETWORK_MS);
	}
	network_run(&network, 2 * S);
	for (unsigned i = 0; i < 100; i++)
		reached += network_reached(&network, i);
	assert_true(reached >= 1990);
	assert_true(network_sent(&network, WIRE_GRAFT) > 0);
	network_stop(&network);
}

static void the_overlay_heals_when_nodes_are_lost(void **state)
{
	for (uint64_t seed = 1; seed <= 6; seed++) {
		start_overlay(20, seed);
		/* Shuffles fill the passive views. */
		network_run(&network, 125 * S);
		for (size_t i = 0; i < 6; i++)
			network_kill(&network, 3 * i);
		network_run(&network, 10 * S);
		assert_true(network_is_connected(&network));
		assert_true(network_is_symmetric(&network));
		network_publish(&network, 1, 1);
		network_run(&network, 2 * S);
		assert_int_equal(network_reached(&network, 1), 14);
		network_stop(&network);
	}
}

static void leaving_is_seen_at_once(void **state)
{
	size_t neighbours, disconnects;

	start_overlay(20, 11);
	disconnects = network.nodes[4].sent[WIRE_DISCONNECT];
	neighbours = gossip_neighbours(network.nodes[4].gossip, &network.topic);
	assert_true(neighbours > 0);
	network_leave(&network, 4);
	assert_false(gossip_is_joined(network.nodes[4].gossip, &network.topic));
	assert_int_equal(gossip_overlays(network.nodes[4].gossip), 0);
	assert_int_equal(network.nodes[4].sent[WIRE_DISCONNECT] - disconnects, neighbours);
	/* One trip later nobody takes it for a neighbour any more. */
	network_run(&network, 2 * network.latency);
	for (size_t i = 0; i < 20; i++) {
		struct id left = network_id(4);

		assert_false(gossip_is_neighbour(network.nodes[i].gossip, &network.topic, &left));
	}
	network_run(&network, 5 * S);
	network.nodes[4].up = false;
	assert_true(network_is_connected(&network));
	assert_true(gossip_deadline(network.nodes[4].gossip) == UINT64_MAX);
	network_publish(&network, 0, 1);
	network_run(&network, S);
	assert_int_equal(network_reached(&network, 1), 19);
	network_stop(&network);
}

static void idle_means_idle(void **state)
{
	unsigned bytes = 0, later = 0;

	start_overlay(10, 2);
	network_publish(&network, 0, 1);
	network_run(&network, 100 * S);
	for (size_t i = 0; i < 10; i++) {
		bytes += network.nodes[i].sent_bytes;
		/* Only the shuffle is left. */
		assert_true(gossip_deadline(network.nodes[i].gossip) > network.now + S);
	}
	network_run(&network, 40 * S);
	for (size_t i = 0; i < 10; i++)
		later += network.nodes[i].sent_bytes;
	assert_true(later - bytes < 10 * 60 * 1024);
	network_stop(&network);
}

static void refusals_have_names(void **state)
{
	struct id other = network_id(77);
	struct message *small, *large;
	static uint8_t content[LIMIT_CONTENT + 1];
	size_t neighbours = 99;
	struct gossip *gossip;

	network_start(&network, 1, 1);
	gossip = network.nodes[0].gossip;
	small = message_new("x", 1);
	large = message_new(content, sizeof content);
	assert_int_equal(
		gossip_publish(gossip, network.now, &other, small, NULL), ERROR_NOT_JOINED);
	assert_int_equal(
		gossip_publish(gossip, network.now, &network.topic, large, NULL), ERROR_TOO_LARGE);
	assert_int_equal(
		gossip_publish(gossip, network.now, &network.topic, small, &neighbours), 0);
	assert_int_equal(neighbours, 0);
	assert_int_equal(
		gossip_publish(gossip, network.now, &network.topic, small, NULL), ERROR_REPEATED);
	/* It is known for 90 s. */
	network_run(&network, 89 * S);
	assert_int_equal(
		gossip_publish(gossip, network.now, &network.topic, small, NULL), ERROR_REPEATED);
	network_run(&network, 2 * S);
	assert_int_equal(gossip_publish(gossip, network.now, &network.topic, small, NULL), 0);
	assert_int_equal(gossip_ask(gossip, network.now, &other, &other), ERROR_NOT_JOINED);
	assert_int_equal(gossip_leave(gossip, network.now, &other), ERROR_NOT_JOINED);
	for (uint8_t i = 0; i < 9; i++) {
		struct id topic = network_id(i);

		assert_int_equal(gossip_join(gossip, network.now, &topic), 0);
	}
	assert_int_equal(gossip_overlays(gossip), 10);
	assert_int_equal(gossip_join(gossip, network.now, &other), ERROR_LIMIT);
	assert_int_equal(gossip_join(gossip, network.now, &network.topic), 0);
	message_unref(small);
	message_unref(large);
	network_stop(&network);
}

static int receive(const struct wire_message *message, size_t from)
{
	static uint8_t body[2 * LIMIT_FRAME];
	struct writer writer;
	struct id peer = network_id(from);

	writer_init(&writer, body, sizeof body);
	assert_int_equal(wire_encode(message, &writer), 0);
	return gossip_receive(network.nodes[0].gossip, network.now, &peer, &network.topic, body,
		writer_size(&writer));
}

static void bad_frames_are_counted(void **state)
{
	struct id peer = network_id(1), other = network_id(9);
	struct network_node *node;
	struct wire_message message;

	network_start(&network, 1, 1);
	node = &network.nodes[0];
	assert_int_equal(gossip_receive(node->gossip, network.now, &peer, &network.topic,
				 (const uint8_t *)"\x02", 1),
		ERROR_INVALID);
	assert_int_equal(gossip_receive(node->gossip, network.now, &peer, &network.topic,
				 (const uint8_t *)"\x00\x00", 2),
		ERROR_TRUNCATED);
	assert_int_equal(counters_get(&node->counters, COUNTER_BAD_FRAME), 2);
	/* Not joined: nothing is looked at. */
	assert_int_equal(gossip_receive(node->gossip, network.now, &peer, &other,
				 (const uint8_t *)"\x02", 1),
		0);
	/* But what had content is counted. */
	assert_int_equal(gossip_receive(node->gossip, network.now, &peer, &other,
				 (const uint8_t *)"\x01\x01", 2),
		0);
	assert_int_equal(counters_get(&node->counters, COUNTER_DROPPED_NOT_JOINED), 0);
	assert_int_equal(gossip_receive(node->gossip, network.now, &peer, &other,
				 (const uint8_t *)"\x01\x00", 2),
		0);
	assert_int_equal(counters_get(&node->counters, COUNTER_DROPPED_NOT_JOINED), 1);
	message.type = WIRE_GOSSIP;
	message.gossip.id = other;
	message.gossip.content = (const uint8_t *)"false";
	message.gossip.size = 5;
	message.gossip.scope = WIRE_SWARM;
	message.gossip.round = 0;
	assert_int_equal(receive(&message, 1), 0);
	assert_int_equal(counters_get(&node->counters, COUNTER_BAD_ID), 1);
	network_stop(&network);
}

static bool is_even(const struct id *id)
{
	return id->bytes[0] % 2 == 0;
}

/* An id that is no key would make upstream neighbours end our streams. */
static void what_is_no_key_is_refused(void **state)
{
	uint64_t seed = 1;
	struct counters counters = {0};
	struct gossip_config config = {.me = network_id(0),
		.random = random_seeded(&seed),
		.counters = &counters,
		.max_overlays = 1,
		.cache_bytes = 1000,
		.is_key = is_even};
	struct id topic = network_id(100), peer = {{2}};
	struct gossip *gossip;
	struct gossip_effect effect;
	struct wire_message messages[4];

	assert_int_equal(gossip_new(&config, &gossip), 0);
	assert_int_equal(gossip_join(gossip, 1, &topic), 0);
	messages[0].type = WIRE_FORWARD_JOIN;
	messages[0].forward_join.ttl = 3;
	messages[0].forward_join.peer = (struct wire_node){.id = {{3}}};
	messages[1].type = WIRE_SHUFFLE;
	messages[1].shuffle.origin = (struct id){{3}};
	messages[1].shuffle.ttl = 0;
	messages[1].shuffle.nodes.count = 0;
	messages[2] = messages[1];
	messages[2].shuffle.origin = peer;
	messages[2].shuffle.nodes.count = 2;
	messages[2].shuffle.nodes.items[0] = (struct wire_node){.id = {{4}}};
	messages[2].shuffle.nodes.items[1] = (struct wire_node){.id = {{5}}};
	messages[3].type = WIRE_SHUFFLE_REPLY;
	messages[3].shuffle_reply.nodes = messages[2].shuffle.nodes;
	for (unsigned i = 0; i < 5; i++) {
		struct wire_message *message = &messages[i % 4];
		uint8_t body[LIMIT_FRAME];
		struct writer writer;

		/* Without the culprit it is welcome. */
		if (i == 4)
			messages[0].forward_join.peer.id.bytes[0] = 4;
		writer_init(&writer, body, sizeof body);
		assert_int_equal(wire_encode(message, &writer), 0);
		assert_int_equal(
			gossip_receive(gossip, 1, &peer, &topic, body, writer_size(&writer)),
			i == 4 ? 0 : ERROR_INVALID);
		assert_int_equal(gossip_effect(gossip, &effect), i == 4);
		if (i == 4)
			frame_free(effect.frame);
	}
	assert_int_equal(counters_get(&counters, COUNTER_BAD_FRAME), 4);
	gossip_free(gossip);
}

static void too_large_to_forward_is_still_delivered(void **state)
{
	static uint8_t content[LIMIT_CONTENT];
	struct message *sent;
	struct wire_message message;
	struct gossip_effect effect;
	struct id id;
	unsigned delivered = 0;

	start_overlay(3, 1);
	/* Of 4057 bytes at round 126 the next frame is of 4095 bytes; at 127 not. */
	for (unsigned i = 0; i < 2; i++) {
		content[0] = (uint8_t)i;
		sent = message_new(content, sizeof content);
		id = *message_id(sent);
		message.type = WIRE_GOSSIP;
		message.gossip.id = id;
		message.gossip.content = content;
		message.gossip.size = sizeof content;
		message.gossip.scope = WIRE_SWARM;
		message.gossip.round = (uint16_t)(126 + i);
		message_unref(sent);
		assert_int_equal(receive(&message, 1), 0);
		assert_int_equal(
			counters_get(&network.nodes[0].counters, COUNTER_DROPPED_UNFORWARDABLE), i);
		while (gossip_effect(network.nodes[0].gossip, &effect)) {
			delivered += effect.type == GOSSIP_DELIVER;
			assert_false(i == 1 && effect.type == GOSSIP_SEND);
			frame_free(effect.frame);
			message_unref(effect.message);
		}
	}
	assert_int_equal(delivered, 2);
	network_stop(&network);
}

static void scope_neighbors_is_delivered_each_time(void **state)
{
	static const struct id empty = {{0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40,
		0x4d, 0xea, 0x36, 0xdc, 0xc9, 0x49, 0x9b, 0xcb, 0x25, 0xc9, 0xad, 0xc1, 0x12, 0xb7,
		0xcc, 0x9a, 0x93, 0xca, 0xe4, 0x1f, 0x32, 0x62}};
	struct wire_message message;
	struct gossip_effect effect;
	unsigned delivered = 0;

	start_overlay(3, 1);
	message.type = WIRE_GOSSIP;
	message.gossip.id = empty;
	message.gossip.content = (const uint8_t *)"";
	message.gossip.size = 0;
	message.gossip.scope = WIRE_NEIGHBORS;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(receive(&message, 1), 0);
	while (gossip_effect(network.nodes[0].gossip, &effect)) {
		assert_int_equal(effect.type, GOSSIP_DELIVER);
		assert_int_equal(effect.message->size, 0);
		message_unref(effect.message);
		delivered++;
	}
	assert_int_equal(delivered, 2);
	network_stop(&network);
}

/* The n-th message, published where nobody is. */
static int publish_number(struct gossip *gossip, const struct id *topic, uint64_t now, unsigned n)
{
	struct message *message = message_new(&n, sizeof n);
	int error = gossip_publish(gossip, now, topic, message, NULL);

	message_unref(message);
	return error;
}

/* Returns about how many ids are remembered. */
static size_t remembered(const struct gossip *gossip)
{
	return gossip_held(gossip) / IDS_BYTES;
}

/* What an overlay that is left has remembered is freed bit by bit, whatever happens meanwhile. */
static void much_is_forgotten_in_slices(void **state)
{
	struct counters counters = {0};
	uint64_t seed = 1, now = S;
	struct gossip_config config = {.me = network_id(0),
		.random = random_seeded(&seed),
		.counters = &counters,
		.max_overlays = 2,
		.cache_bytes = 1000};
	struct id topic = network_id(50), other = network_id(51);
	size_t empty, before, ticks = 0;
	const unsigned n = 50000;
	struct gossip *gossip;

	heap_begin();
	assert_int_equal(gossip_new(&config, &gossip), 0);
	assert_int_equal(gossip_join(gossip, now, &topic), 0);
	assert_int_equal(gossip_join(gossip, now, &other), 0);
	empty = heap_blocks();
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(publish_number(gossip, &topic, now, i), 0);
	assert_int_equal(publish_number(gossip, &other, now, 0), 0);
	assert_true(remembered(gossip) > n);

	assert_int_equal(gossip_leave(gossip, now, &topic), 0);
	assert_false(gossip_is_joined(gossip, &topic));
	assert_int_equal(gossip_overlays(gossip), 1);
	assert_true(remembered(gossip) > n - n / 10);
	/* Joined again it is another one, which remembers nothing. */
	assert_int_equal(publish_number(gossip, &topic, now, 1), ERROR_NOT_JOINED);
	assert_int_equal(gossip_join(gossip, now, &topic), 0);
	assert_int_equal(publish_number(gossip, &topic, now, 1), 0);
	assert_int_equal(publish_number(gossip, &topic, now, 1), ERROR_REPEATED);
	while (gossip_deadline(gossip) <= now + S) {
		before = remembered(gossip);
		now = gossip_deadline(gossip);
		gossip_tick(gossip, now);
		assert_true(remembered(gossip) < before);
		assert_true(before - remembered(gossip) < n / 10);
		ticks++;
	}
	assert_true(ticks >= 40 && now < 2 * S);
	assert_true(heap_blocks() < empty + 20);
	assert_int_equal(publish_number(gossip, &topic, now, 1), ERROR_REPEATED);
	assert_int_equal(publish_number(gossip, &other, now, 0), ERROR_REPEATED);

	/* Ended in the middle of it. */
	for (unsigned i = 1; i < n; i++)
		publish_number(gossip, &other, now, i);
	assert_int_equal(gossip_leave(gossip, now, &other), 0);
	assert_true(remembered(gossip) > n / 2);
	gossip_free(gossip);
	heap_end();
}

/* However many overlays are due at once, one step is for one of them, longest due first. */
static void a_step_is_short(void **state)
{
	struct counters counters = {0};
	uint64_t seed = 1, now = S, due;
	struct gossip_config config = {.me = network_id(0),
		.random = random_seeded(&seed),
		.counters = &counters,
		.max_overlays = 100,
		.cache_bytes = 1000};
	struct id peer = network_id(1), topic;
	struct gossip_effect effect;
	struct gossip *gossip;
	size_t steps = 0;

	assert_int_equal(gossip_new(&config, &gossip), 0);
	for (uint8_t i = 0; i < 100; i++) {
		topic = network_id(i + 2);
		assert_int_equal(gossip_join(gossip, now, &topic), 0);
		/* It will not answer: the request runs out. */
		assert_int_equal(gossip_ask(gossip, now + i, &topic, &peer), 0);
	}
	for (now += 10 * S; gossip_deadline(gossip) <= now; steps++) {
		due = gossip_deadline(gossip);
		gossip_step(gossip, now);
		assert_true(gossip_deadline(gossip) > due);
	}
	assert_int_equal(steps, 100);
	assert_true(gossip_deadline(gossip) == UINT64_MAX);
	while (gossip_effect(gossip, &effect))
		frame_free(effect.frame);
	gossip_free(gossip);
}

/* All there is, with one allocation after the other failing, for once and for good:
 * nothing may crash or leak, and who comes after it works. */
static bool eventful_life(size_t fail_at, bool sticky)
{
	struct counters counters = {0};
	uint64_t seed = 1, now = S;
	struct gossip_config config = {.me = network_id(0),
		.random = random_seeded(&seed),
		.counters = &counters,
		.max_overlays = 40,
		.cache_bytes = 1000};
	struct gossip *gossip = NULL;
	struct gossip_effect effect;
	static uint8_t body[LIMIT_FRAME];
	static uint8_t data[] = {0, 1, 0, 10, 0, 0, 1, 1};
	bool failed;

	heap_begin();
	heap_fail(fail_at, sticky);
	if (gossip_new(&config, &gossip)) {
		failed = heap_has_failed();
		heap_end();
		assert_true(failed);
		return true;
	}
	for (uint8_t i = 0; i < 20; i++) {
		struct id topic = network_id(i + 100);

		gossip_join(gossip, now, &topic);
		if (i > 1)
			continue;
		for (size_t peer = 1; peer < 8; peer++) {
			struct id id = network_id(peer);
			struct wire_message messages[6];
			struct message *published = message_new(&peer, sizeof peer);

			gossip_ask(gossip, now, &topic, &id);
			messages[0].type = WIRE_JOIN;
			messages[0].join.data = (struct wire_data){data, sizeof data};
			messages[1].type = WIRE_SHUFFLE;
			messages[1].shuffle.origin = id;
			messages[1].shuffle.ttl = 0;
			messages[1].shuffle.nodes.count = 12;
			for (size_t node = 0; node < 12; node++)
				messages[1].shuffle.nodes.items[node] =
					(struct wire_node){network_id(node), {data, sizeof data}};
			messages[2].type = WIRE_IHAVE;
			messages[2].ihave.count = 20;
			for (size_t node = 0; node < 20; node++)
				messages[2].ihave.items[node] =
					(struct wire_ihave){network_id(node), 1};
			messages[3].type = WIRE_GOSSIP;
			messages[3].gossip.content = (const uint8_t *)"hello";
			messages[3].gossip.size = 5;
			messages[3].gossip.scope = WIRE_SWARM;
			messages[3].gossip.round = 1;
			if (published) {
				gossip_publish(gossip, now, &topic, published, NULL);
				message_unref(published);
				published = message_new("hello", 5);
			}
			if (published)
				messages[3].gossip.id = *message_id(published);
			else
				messages[3].gossip.id = id;
			message_unref(published);
			messages[4].type = WIRE_PRUNE;
			messages[5].type = peer == 5 ? WIRE_DISCONNECT : WIRE_PRUNE;
			messages[5].disconnect.alive = true;
			messages[5].disconnect.respond = false;
			for (size_t m = 0; m < 6; m++) {
				struct writer writer;

				writer_init(&writer, body, sizeof body);
				assert_int_equal(wire_encode(&messages[m], &writer), 0);
				gossip_receive(
					gossip, now, &id, &topic, body, writer_size(&writer));
				gossip_tick(gossip, now += 50 * NETWORK_MS);
				while (m % 2 && gossip_effect(gossip, &effect)) {
					frame_free(effect.frame);
					message_unref(effect.message);
				}
			}
			if (peer == 6)
				gossip_peer_lost(gossip, now, &id);
		}
		if (i == 1)
			gossip_leave(gossip, now, &topic);
	}
	failed = heap_has_failed();
	/* With memory again it works again. */
	heap_fail(0, false);
	for (size_t topics = 0; topics < 2; topics++) {
		struct id topic = network_id(100 + 2 * topics);
		struct message *message = message_new("again", 5);

		gossip_tick(gossip, now += 100 * S);
		assert_int_equal(gossip_join(gossip, now, &topic), 0);
		assert_int_equal(gossip_publish(gossip, now, &topic, message, NULL), 0);
		message_unref(message);
	}
	gossip_free(gossip);
	heap_end();
	return failed;
}

static void no_allocation_failure_does_harm(void **state)
{
	size_t n = 1;

	while (eventful_life(n, false))
		n++;
	assert_true(n > 500);
	for (size_t i = 1; i < n; i += 7)
		eventful_life(i, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_nodes_meet),
		cmocka_unit_test(asking_each_other_ends),
		cmocka_unit_test(a_restarted_node_is_answered),
		cmocka_unit_test(asking_who_has_not_joined_is_silent),
		cmocka_unit_test(all_messages_reach_all_once),
		cmocka_unit_test(a_burst_reaches_all_once),
		cmocka_unit_test(the_same_seed_is_the_same_run),
		cmocka_unit_test(a_tree_forms),
		cmocka_unit_test(lazy_links_repair_the_tree),
		cmocka_unit_test(losses_are_mostly_repaired),
		cmocka_unit_test(the_overlay_heals_when_nodes_are_lost),
		cmocka_unit_test(leaving_is_seen_at_once),
		cmocka_unit_test(idle_means_idle),
		cmocka_unit_test(refusals_have_names),
		cmocka_unit_test(bad_frames_are_counted),
		cmocka_unit_test(what_is_no_key_is_refused),
		cmocka_unit_test(too_large_to_forward_is_still_delivered),
		cmocka_unit_test(scope_neighbors_is_delivered_each_time),
		cmocka_unit_test(much_is_forgotten_in_slices),
		cmocka_unit_test(a_step_is_short),
		cmocka_unit_test(no_allocation_failure_does_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
