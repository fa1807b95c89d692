/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "support_network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"

struct packet {
	size_t from, to;
	bool lost_peer; /* no bytes: from has been without a connection for a while */
	bool gossip;
	uint16_t round; /* of gossip */
	size_t size;
	uint8_t bytes[];
};

struct network_event {
	uint64_t at, order;
	struct packet *packet; /* arrives; NULL: a deadline of node */
	size_t node;
};

struct id network_id(size_t node)
{
	struct id id;

	memset(id.bytes, (int)(node + 1) & 0xff, ID_SIZE);
	id.bytes[1] ^= (uint8_t)((node + 1) >> 8);
	return id;
}

size_t network_node(const struct id *id)
{
	return ((size_t)(id->bytes[1] ^ id->bytes[0]) << 8 | id->bytes[0]) - 1;
}

static bool is_before(const struct network_event *a, const struct network_event *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void add_event(struct network *network, uint64_t at, struct packet *packet, size_t node)
{
	struct network_event event = {at, network->events_made++, packet, node};
	size_t place = network->events_count++;

	if (network->events_count > network->events_room) {
		network->events_room = 2 * network->events_count;
		network->events =
			realloc(network->events, network->events_room * sizeof *network->events);
		assert_non_null(network->events);
	}
	for (; place > 0 && is_before(&event, &network->events[(place - 1) / 2]);
		place = (place - 1) / 2)
		network->events[place] = network->events[(place - 1) / 2];
	network->events[place] = event;
}

static struct network_event take_event(struct network *network)
{
	struct network_event *events = network->events, first = events[0],
			     last = events[--network->events_count];
	size_t place = 0, child;

	while ((child = 2 * place + 1) < network->events_count) {
		if (child + 1 < network->events_count &&
			is_before(&events[child + 1], &events[child]))
			child++;
		if (!is_before(&events[child], &last))
			break;
		events[place] = events[child];
		place = child;
	}
	events[place] = last;
	return first;
}

/* Its deadline may have changed. */
static void await(struct network *network, size_t node)
{
	struct network_node *n = &network->nodes[node];
	uint64_t deadline = n->up ? gossip_deadline(n->gossip) : UINT64_MAX;

	if (deadline >= n->awaited)
		return; /* what is there for it comes soon enough */
	n->awaited = deadline;
	add_event(network, deadline, NULL, node);
}

static void start_node(struct network *network, size_t node)
{
	struct network_node *n = &network->nodes[node];
	struct gossip_config config = {.me = network_id(node),
		.random = network->random,
		.counters = &n->counters,
		.max_overlays = 10,
		.cache_bytes = 1u << 20};
	struct address address = {
		.family = 4, .ip = {10, 0, (uint8_t)(node >> 8), (uint8_t)node}, .port = 2022};

	assert_int_equal(gossip_new(&config, &n->gossip), 0);
	assert_int_equal(gossip_set_addresses(n->gossip, NULL, &address, 1), 0);
	assert_int_equal(gossip_join(n->gossip, network->now, &network->topic), 0);
	n->up = true;
	n->awaited = UINT64_MAX;
	await(network, node);
}

void network_start(struct network *network, size_t count, uint64_t seed)
{
	assert_true(count < 65535);
	memset(network, 0, sizeof *network);
	network->seed = seed;
	network->random = random_seeded(&network->seed);
	network->count = count;
	network->nodes = calloc(count, sizeof *network->nodes);
	assert_non_null(network->nodes);
	network->latency = network->latency_spread = 5 * NETWORK_MS;
	network->pairs = 7;
	network->now = 1000 * NETWORK_MS;
	memset(network->topic.bytes, 0xaa, ID_SIZE);
	for (size_t i = 0; i < count; i++)
		start_node(network, i);
}

void network_stop(struct network *network)
{
	for (size_t i = 0; i < network->count; i++)
		gossip_free(network->nodes[i].gossip);
	while (network->events_count > 0)
		free(network->events[--network->events_count].packet);
	free(network->events);
	free(network->last_arrivals);
	free(network->nodes);
}

static void post(struct network *network, struct packet *packet, uint64_t delay)
{
	add_event(network, network->now + delay, packet, packet->to);
}

static uint64_t pair_latency(const struct network *network, size_t a, size_t b)
{
	uint64_t state = (a < b ? a << 16 | b : b << 16 | a) + network->pairs;
	struct random random = random_seeded(&state);

	return network->latency + random_below(&random, network->latency_spread);
}

/* How long this frame is on its way. */
static uint64_t travel_time(struct network *network, size_t from, size_t to)
{
	uint64_t latency = pair_latency(network, from, to);
	uint64_t *last, arrival;

	if (network->jitter == 0)
		return latency;
	if (!network->last_arrivals) {
		network->last_arrivals = calloc(
			network->count * network->count, sizeof *network->last_arrivals);
		assert_non_null(network->last_arrivals);
	}
	last = &network->last_arrivals[from * network->count + to];
	arrival = network->now + latency + random_below(&network->random, network->jitter);
	if (arrival < *last)
		arrival = *last;
	*last = arrival;
	return arrival - network->now;
}

static void trace(struct network *network, uint64_t value)
{
	network->trace = (network->trace ^ value) * UINT64_C(0x100000001b3);
}

static void send_frame(struct network *network, size_t from, size_t to, struct frame *frame)
{
	struct packet *packet = malloc(sizeof *packet + frame_size(frame));
	struct wire_message message;
	uint8_t *at;

	assert_non_null(packet);
	*packet = (struct packet){.from = from, .to = to};
	/* The core works on bodies: the length is the streams' business. */
	packet->size = frame_size(frame) - 4;
	at = packet->bytes;
	memcpy(at, frame->head + 4, frame->head_size - 4);
	at += frame->head_size - 4;
	if (frame->body) {
		memcpy(at, frame->body->content, frame->body->size);
		at += frame->body->size;
	}
	memcpy(at, frame->tail, frame->tail_size);
	assert_true(packet->size < LIMIT_FRAME);
	assert_int_equal(wire_decode(packet->bytes, packet->size, &message), 0);
	packet->gossip = message.type == WIRE_GOSSIP;
	packet->round = packet->gossip ? message.gossip.round : 0;
	network->nodes[from].sent[message.type]++;
	network->nodes[from].sent_bytes += (unsigned)packet->size;
	trace(network, network->now);
	trace(network, from << 24 | to << 8 | message.type);
	if (network->loses && network->loses(network, from, to, &message))
		free(packet);
	else
		post(network, packet, travel_time(network, from, to));
}

void network_effects(struct network *network, size_t node)
{
	struct network_node *n = &network->nodes[node];
	struct gossip_effect effect;
	unsigned number;

	while (gossip_effect(n->gossip, &effect)) {
		switch (effect.type) {
		case GOSSIP_SEND:
			assert_true(network_node(&effect.peer) != node);
			if (network_node(&effect.peer) < network->count)
				send_frame(network, node, network_node(&effect.peer), effect.frame);
			frame_free(effect.frame);
			break;
		case GOSSIP_DELIVER:
			memcpy(&number, effect.message->content, sizeof number);
			assert_true(number < NETWORK_MESSAGES);
			n->delivered[number]++;
			network->deliveries++;
			message_unref(effect.message);
			break;
		case GOSSIP_NEIGHBOUR_UP:
			n->ups++;
			break;
		case GOSSIP_NEIGHBOUR_DOWN:
			n->downs++;
			break;
		case GOSSIP_APART:
			n->aparts++;
			break;
		case GOSSIP_RELEASE:
			n->releases++;
			break;
		case GOSSIP_PEER_ADDRESSES:
			assert_int_equal(effect.addresses_count, 1);
			assert_int_equal(effect.addresses[0].ip[2] << 8 | effect.addresses[0].ip[3],
				network_node(&effect.peer));
			n->hearsay++;
			break;
		}
	}
	await(network, node);
}

void network_ask(struct network *network, size_t node, size_t peer)
{
	struct id id = network_id(peer);

	assert_int_equal(
		gossip_ask(network->nodes[node].gossip, network->now, &network->topic, &id), 0);
	network_effects(network, node);
}

void network_publish(struct network *network, size_t node, unsigned number)
{
	struct message *message = message_new(&number, sizeof number);

	assert_non_null(message);
	assert_int_equal(gossip_publish(network->nodes[node].gossip, network->now, &network->topic,
				 message, NULL),
		0);
	message_unref(message);
	network->nodes[node].delivered[number]++;
	network_effects(network, node);
}

static void arrive(struct network *network, struct packet *packet)
{
	struct network_node *to = &network->nodes[packet->to];
	struct id from = network_id(packet->from);
	uint64_t deliveries = network->deliveries;

	network->payloads += to->up && packet->gossip;
	if (to->up && packet->lost_peer)
		gossip_peer_lost(to->gossip, network->now, &from);
	else if (to->up && network->nodes[packet->from].up)
		assert_int_equal(gossip_receive(to->gossip, network->now, &from, &network->topic,
					 packet->bytes, packet->size),
			0);
	network_effects(network, packet->to);
	if (network->deliveries > deliveries && packet->round > network->last_hop)
		network->last_hop = packet->round;
	free(packet);
}

static void tick(struct network *network, size_t node)
{
	struct network_node *n = &network->nodes[node];

	n->awaited = UINT64_MAX;
	if (!n->up)
		return;
	if (gossip_deadline(n->gossip) <= network->now) {
		gossip_tick(n->gossip, network->now);
		/* Its deadline has passed for good, or the loop would not end. */
		assert_true(gossip_deadline(n->gossip) > network->now);
	}
	network_effects(network, node);
}

void network_run_until(struct network *network, uint64_t deliveries, uint64_t duration)
{
	uint64_t end = network->now + duration;

	/* Tests may have called cores themselves. */
	for (size_t i = 0; i < network->count; i++)
		await(network, i);
	while (network->deliveries < deliveries && network->events_count > 0 &&
		network->events[0].at <= end) {
		struct network_event event = take_event(network);

		network->now = event.at;
		if (event.packet)
			arrive(network, event.packet);
		else if (event.at == network->nodes[event.node].awaited)
			tick(network, event.node);
	}
	if (network->deliveries < deliveries)
		network->now = end;
}

void network_run(struct network *network, uint64_t duration)
{
	network_run_until(network, UINT64_MAX, duration);
}

void network_kill(struct network *network, size_t node)
{
	network->nodes[node].up = false;
	for (size_t i = 0; i < network->count; i++) {
		struct packet *packet = malloc(sizeof *packet);

		assert_non_null(packet);
		*packet = (struct packet){.from = node, .to = i, .lost_peer = true};
		post(network, packet, 1000 * NETWORK_MS);
	}
}

void network_restart(struct network *network, size_t node)
{
	gossip_free(network->nodes[node].gossip);
	memset(&network->nodes[node], 0, sizeof network->nodes[node]);
	start_node(network, node);
}

void network_leave(struct network *network, size_t node)
{
	struct network_node *n = &network->nodes[node];

	assert_int_equal(gossip_leave(n->gossip, network->now, &network->topic), 0);
	network_effects(network, node);
}

int network_reached(const struct network *network, unsigned number)
{
	int reached = 0;

	for (size_t i = 0; i < network->count; i++) {
		if (!network->nodes[i].up)
			continue;
		if (network->nodes[i].delivered[number] > 1)
			return -1;
		reached += network->nodes[i].delivered[number] == 1;
	}
	return reached;
}

static bool are_neighbours(const struct network *network, size_t a, size_t b)
{
	struct id peer = network_id(b);

	return gossip_is_neighbour(network->nodes[a].gossip, &network->topic, &peer);
}

bool network_is_symmetric(const struct network *network)
{
	for (size_t a = 0; a < network->count; a++) {
		for (size_t b = 0; b < network->count; b++) {
			if (network->nodes[a].up && are_neighbours(network, a, b) &&
				!(network->nodes[b].up && are_neighbours(network, b, a)))
				return false;
		}
	}
	return true;
}

/* How many nodes hang together with first; they are marked as seen. */
static size_t part_of(const struct network *network, size_t first, bool *seen, size_t *todo)
{
	size_t count = 0, part = 0;

	seen[first] = true;
	todo[count++] = first;
	while (count > 0) {
		size_t node = todo[--count];

		part++;
		for (size_t peer = 0; peer < network->count; peer++) {
			if (!seen[peer] && network->nodes[peer].up &&
				are_neighbours(network, node, peer)) {
				seen[peer] = true;
				todo[count++] = peer;
			}
		}
	}
	return part;
}

size_t network_largest_part(const struct network *network)
{
	bool *seen = calloc(network->count, sizeof *seen);
	size_t *todo = calloc(network->count, sizeof *todo);
	size_t part, largest = 0;

	assert_non_null(seen);
	assert_non_null(todo);
	for (size_t i = 0; i < network->count; i++) {
		if (seen[i] || !network->nodes[i].up)
			continue;
		part = part_of(network, i, seen, todo);
		if (part > largest)
			largest = part;
	}
	free(seen);
	free(todo);
	return largest;
}

size_t network_up(const struct network *network)
{
	size_t up = 0;

	for (size_t i = 0; i < network->count; i++)
		up += network->nodes[i].up;
	return up;
}

bool network_is_connected(const struct network *network)
{
	return network_largest_part(network) == network_up(network);
}

unsigned network_sent(const struct network *network, enum wire_type type)
{
	unsigned sent = 0;

	for (size_t i = 0; i < network->count; i++)
		sent += network->nodes[i].sent[type];
	return sent;
}
