/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "gossip.h"

#include <utlist.h>

#include "../allowance.h"
#include "../error.h"
#include "broadcast.h"
#include "core.h"
#include "membership.h"
#include "wire.h"

/* Room that is reserved before each step: more than the effects of one step that must not be lost,
 * for neighbours that come and go and the messages to them. */
#define EFFECTS_PER_STEP 128

/* When an overlay was left: how many ids and the like are freed at once, and how many at a time
 * later (0.1 to 0.3 us each). */
#define FREED_AT_ONCE 256
#define FREED_LATER   1024
#define FREE_AGAIN_NS MS

struct overlay {
	struct id topic;
	struct membership membership;
	struct broadcast broadcast;
	uint64_t deadline;
	size_t place;	      /* in the heap */
	struct overlay *next; /* in gossip.left */
	UT_hash_handle hh;
};

struct gossip {
	struct core core;
	size_t max_overlays;
	bool (*is_key)(const struct id *id);
	struct allowance keys_checked;
	struct overlay *overlays; /* by topic */
	struct overlay *left;	  /* overlays to be freed; a million ids take more than a step */
	uint64_t free_due;	  /* when freeing goes on */
	/* A binary heap by deadline: the first overlay has the earliest deadline of all. */
	struct overlay **heap;
	size_t heap_room;
	size_t heap_count;
};

static void place(struct gossip *gossip, struct overlay *overlay, size_t at)
{
	gossip->heap[at] = overlay;
	overlay->place = at;
}

/* Moves an overlay whose deadline has changed to its place in the heap. */
static void sift(struct gossip *gossip, struct overlay *overlay)
{
	struct overlay **heap = gossip->heap;
	size_t at = overlay->place;

	for (; at > 0 && overlay->deadline < heap[(at - 1) / 2]->deadline; at = (at - 1) / 2)
		place(gossip, heap[(at - 1) / 2], at);
	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < gossip->heap_count &&
			heap[child + 1]->deadline < heap[child]->deadline)
			child++;
		if (child >= gossip->heap_count || heap[child]->deadline >= overlay->deadline)
			break;
		place(gossip, heap[child], at);
		at = child;
	}
	place(gossip, overlay, at);
}

static void update_deadline(struct gossip *gossip, struct overlay *overlay)
{
	uint64_t membership = membership_deadline(&overlay->membership);
	uint64_t broadcast = broadcast_deadline(&overlay->broadcast);
	uint64_t deadline = membership < broadcast ? membership : broadcast;

	if (deadline != overlay->deadline) {
		overlay->deadline = deadline;
		sift(gossip, overlay);
	}
}

/* Ends a step on one overlay: updates its deadline, and returns the error of the effects. */
static int finish(struct gossip *gossip, struct overlay *overlay)
{
	update_deadline(gossip, overlay);
	return effects_take_error(&gossip->core.effects);
}

static struct overlay *find(const struct gossip *gossip, const struct id *topic)
{
	struct overlay *overlay;

	KEYED_FIND(&gossip->core.keyed, gossip->overlays, topic, ID_SIZE, overlay);
	return overlay;
}

int gossip_new(const struct gossip_config *config, struct gossip **out)
{
	struct gossip *gossip = memory_zalloc(sizeof *gossip);

	if (!gossip)
		return ERROR_NOMEM;
	if (effects_init(&gossip->core.effects, config->counters)) {
		memory_free(gossip);
		return ERROR_NOMEM;
	}
	gossip->core.me = config->me;
	gossip->core.random = config->random;
	gossip->core.counters = config->counters;
	gossip->max_overlays = config->max_overlays;
	gossip->is_key = config->is_key;
	keyed_init(&gossip->core.keyed, &gossip->core.random);
	contents_init(&gossip->core.contents, config->cache_bytes, config->counters);
	census_init(&gossip->core.census, LIMIT_RECEIVED_IDS);
	gossip_set_addresses(gossip, NULL, NULL, 0);
	*out = gossip;
	return ERROR_NONE;
}

/* Frees overlays that were left, as far as the allowance goes. */
static void free_left(struct gossip *gossip, size_t allowance)
{
	struct overlay *overlay;

	while ((overlay = gossip->left) &&
		broadcast_clear_some(&overlay->broadcast, &allowance)) {
		LL_DELETE(gossip->left, overlay);
		memory_free(overlay);
	}
}

/* Removes an overlay from all tables. The memory that it holds is freed later, for that may take
 * long. */
static void remove_overlay(struct gossip *gossip, struct overlay *overlay)
{
	struct overlay *last = gossip->heap[--gossip->heap_count];

	if (last != overlay) {
		place(gossip, last, overlay->place);
		sift(gossip, last);
	}
	HASH_DELETE(hh, gossip->overlays, overlay);
	membership_clear(&overlay->membership);
	LL_PREPEND(gossip->left, overlay);
}

void gossip_free(struct gossip *gossip)
{
	if (!gossip)
		return;
	while (gossip->overlays)
		remove_overlay(gossip, gossip->overlays);
	free_left(gossip, SIZE_MAX);
	effects_clear(&gossip->core.effects);
	memory_free(gossip->heap);
	memory_free(gossip);
}

static int reserve_heap(struct gossip *gossip)
{
	size_t room = gossip->heap_room ? 2 * gossip->heap_room : 16;
	struct overlay **heap;

	if (gossip->heap_count < gossip->heap_room)
		return ERROR_NONE;
	heap = memory_realloc(gossip->heap, room * sizeof *heap);
	if (!heap)
		return ERROR_NOMEM;
	gossip->heap = heap;
	gossip->heap_room = room;
	return ERROR_NONE;
}

int gossip_join(struct gossip *gossip, uint64_t now, const struct id *topic)
{
	struct overlay *overlay;

	(void)now;
	if (find(gossip, topic))
		return ERROR_NONE;
	if (HASH_COUNT(gossip->overlays) >= gossip->max_overlays)
		return ERROR_LIMIT;
	if (reserve_heap(gossip))
		return ERROR_NOMEM;
	overlay = memory_alloc(sizeof *overlay);
	if (!overlay)
		return ERROR_NOMEM;
	overlay->topic = *topic;
	overlay->deadline = UINT64_MAX;
	broadcast_init(&overlay->broadcast, &gossip->core, topic);
	membership_init(&overlay->membership, &gossip->core, &overlay->broadcast, topic);
	KEYED_ADD(&gossip->core.keyed, gossip->overlays, &overlay->topic, ID_SIZE, overlay);
	if (!overlay)
		return ERROR_NOMEM;
	place(gossip, overlay, gossip->heap_count++);
	return ERROR_NONE;
}

int gossip_leave(struct gossip *gossip, uint64_t now, const struct id *topic)
{
	struct overlay *overlay = find(gossip, topic);

	if (!overlay)
		return ERROR_NOT_JOINED;
	membership_leave(&overlay->membership);
	remove_overlay(gossip, overlay);
	free_left(gossip, FREED_AT_ONCE);
	gossip->free_due = now + FREE_AGAIN_NS;
	/* A neighbour that did not get a farewell will find out: we answer no more. */
	effects_take_error(&gossip->core.effects);
	return ERROR_NONE;
}

int gossip_ask(struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer)
{
	struct overlay *overlay = find(gossip, topic);

	if (!overlay)
		return ERROR_NOT_JOINED;
	membership_ask(&overlay->membership, now, peer);
	return finish(gossip, overlay);
}

int gossip_merge(
	struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer)
{
	struct overlay *overlay = find(gossip, topic);

	if (!overlay)
		return ERROR_NOT_JOINED;
	membership_merge(&overlay->membership, now, peer);
	return finish(gossip, overlay);
}

int gossip_probe(
	struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer)
{
	struct overlay *overlay = find(gossip, topic);

	if (!overlay)
		return ERROR_NOT_JOINED;
	membership_probe(&overlay->membership, peer);
	return finish(gossip, overlay);
}

int gossip_offer(
	struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer)
{
	struct overlay *overlay = find(gossip, topic);

	if (!overlay)
		return ERROR_NOT_JOINED;
	membership_offer(&overlay->membership, now, peer);
	return finish(gossip, overlay);
}

int gossip_remind(
	struct gossip *gossip, uint64_t now, const struct id *topic, const struct id *peer)
{
	struct overlay *overlay = find(gossip, topic);

	if (!overlay)
		return ERROR_NOT_JOINED;
	membership_remind(&overlay->membership, now, peer);
	return finish(gossip, overlay);
}

int gossip_publish(struct gossip *gossip, uint64_t now, const struct id *topic,
	struct message *message, size_t *neighbours)
{
	struct overlay *overlay = find(gossip, topic);
	int error;

	if (!overlay)
		return ERROR_NOT_JOINED;
	error = broadcast_publish(&overlay->broadcast, now, message, neighbours);
	/* A copy that found no memory is counted, but the message is out. */
	finish(gossip, overlay);
	return error;
}

void gossip_refused(struct gossip *gossip, uint64_t now, const struct id *topic,
	const struct id *peer, const struct id *id)
{
	struct overlay *overlay = find(gossip, topic);

	if (!overlay)
		return;
	broadcast_refused(&overlay->broadcast, now, peer, id);
	finish(gossip, overlay);
}

/* Checks that an id can belong to a node. ERROR_INVALID: it cannot. ERROR_LIMIT: too many ids have
 * been checked in this second. */
static int check_key(
	struct gossip *gossip, uint64_t now, const struct overlay *overlay, const struct id *id)
{
	if (!gossip->is_key || id_equal(id, &gossip->core.me) ||
		membership_knows(&overlay->membership, id))
		return ERROR_NONE;
	if (!allowance_take(&gossip->keys_checked, now, S / LIMIT_KEYS_CHECKED, LIMIT_KEYS_CHECKED))
		return ERROR_LIMIT;
	return gossip->is_key(id) ? ERROR_NONE : ERROR_INVALID;
}

/* Checks that all nodes that a message names can exist. Errors as check_key. */
static int check_nodes(struct gossip *gossip, uint64_t now, const struct overlay *overlay,
	const struct wire_message *message)
{
	const struct wire_nodes *nodes = NULL;
	int error = ERROR_NONE;

	if (message->type == WIRE_FORWARD_JOIN)
		return check_key(gossip, now, overlay, &message->forward_join.peer.id);
	if (message->type == WIRE_SHUFFLE) {
		nodes = &message->shuffle.nodes;
		error = check_key(gossip, now, overlay, &message->shuffle.origin);
	}
	if (message->type == WIRE_SHUFFLE_REPLY)
		nodes = &message->shuffle_reply.nodes;
	for (size_t i = 0; nodes && !error && i < nodes->count; i++)
		error = check_key(gossip, now, overlay, &nodes->items[i].id);
	return error;
}

int gossip_receive(struct gossip *gossip, uint64_t now, const struct id *peer,
	const struct id *topic, const uint8_t *body, size_t size)
{
	struct overlay *overlay = find(gossip, topic);
	struct wire_message message;
	int error;

	if (id_equal(peer, &gossip->core.me))
		return ERROR_NONE;
	if (!overlay) {
		if (wire_is_gossip(body, size))
			counters_add(gossip->core.counters, COUNTER_DROPPED_NOT_JOINED, 1);
		return ERROR_NONE;
	}
	error = wire_decode(body, size, &message);
	if (!error)
		error = check_nodes(gossip, now, overlay, &message);
	if (error == ERROR_LIMIT) {
		/* The message is treated as lost: another one will come. */
		counters_add(gossip->core.counters, COUNTER_LIMIT_KEYS, 1);
		return ERROR_NONE;
	}
	if (error) {
		counters_add(gossip->core.counters, COUNTER_BAD_FRAME, 1);
		return error;
	}
	if (effects_reserve(&gossip->core.effects, EFFECTS_PER_STEP)) {
		if (message.type == WIRE_GOSSIP)
			counters_add(gossip->core.counters, COUNTER_DROPPED_NO_MEMORY_COPY, 1);
		return ERROR_NOMEM;
	}
	if (message.type < WIRE_GOSSIP)
		membership_receive(&overlay->membership, now, peer, &message);
	else
		broadcast_receive(&overlay->broadcast, now, peer, &message);
	return finish(gossip, overlay);
}

void gossip_link_down(struct gossip *gossip, uint64_t now, const struct id *peer)
{
	struct overlay *overlay, *next;

	HASH_ITER (hh, gossip->overlays, overlay, next) {
		membership_link_down(&overlay->membership, now, peer);
		finish(gossip, overlay);
	}
}

void gossip_peer_lost(struct gossip *gossip, uint64_t now, const struct id *peer)
{
	struct overlay *overlay, *next;

	HASH_ITER (hh, gossip->overlays, overlay, next) {
		membership_peer_lost(&overlay->membership, now, peer);
		finish(gossip, overlay);
	}
}

int gossip_set_addresses(struct gossip *gossip, const struct relay_url *relay,
	const struct address *addresses, size_t count)
{
	struct addr_info info;
	int size;

	addr_info_set(&info, addresses, count);
	if (relay) {
		info.relay = relay->text;
		info.relay_size = strlen(relay->text);
	}
	/* With a long URL and sixteen IPv6 addresses the data is longer than other nodes of our
	 * kind accept. */
	while ((size = addr_info_encode(&info, gossip->core.data, sizeof gossip->core.data)) >
			LIMIT_PEER_DATA &&
		info.count > 0)
		info.count--;
	if (size < 0)
		return size;
	gossip->core.data_size = (size_t)size;
	return 0;
}

uint64_t gossip_deadline(const struct gossip *gossip)
{
	uint64_t due = contents_deadline(&gossip->core.contents);

	if (gossip->heap_count && gossip->heap[0]->deadline < due)
		due = gossip->heap[0]->deadline;
	if (gossip->left && gossip->free_due < due)
		due = gossip->free_due;
	return due;
}

static void tick_overlay(struct gossip *gossip, uint64_t now, struct overlay *overlay)
{
	membership_tick(&overlay->membership, now);
	broadcast_tick(&overlay->broadcast, now);
	/* Messages for which there was no memory are lost; the repetitions of the protocol make up
	 * for them. */
	finish(gossip, overlay);
}

void gossip_step(struct gossip *gossip, uint64_t now)
{
	if (contents_deadline(&gossip->core.contents) <= now)
		contents_evict(&gossip->core.contents, now);
	if (gossip->left && gossip->free_due <= now) {
		free_left(gossip, FREED_LATER);
		gossip->free_due = now + FREE_AGAIN_NS;
	}
	if (gossip->heap_count && gossip->heap[0]->deadline <= now)
		tick_overlay(gossip, now, gossip->heap[0]);
}

void gossip_tick(struct gossip *gossip, uint64_t now)
{
	while (gossip_deadline(gossip) <= now)
		gossip_step(gossip, now);
}

bool gossip_effect(struct gossip *gossip, struct gossip_effect *out)
{
	return effects_take(&gossip->core.effects, out);
}

bool gossip_is_joined(const struct gossip *gossip, const struct id *topic)
{
	return find(gossip, topic) != NULL;
}

size_t gossip_neighbours(const struct gossip *gossip, const struct id *topic)
{
	const struct overlay *overlay = find(gossip, topic);

	return overlay ? overlay->membership.active : 0;
}

size_t gossip_pushed(const struct gossip *gossip, const struct id *topic, struct id *out)
{
	const struct overlay *overlay = find(gossip, topic);

	return overlay ? broadcast_eager(&overlay->broadcast, out) : 0;
}

bool gossip_is_neighbour(const struct gossip *gossip, const struct id *topic, const struct id *peer)
{
	const struct overlay *overlay = find(gossip, topic);

	return overlay && membership_is_active(&overlay->membership, peer);
}

bool gossip_knows(const struct gossip *gossip, const struct id *topic, const struct id *peer)
{
	const struct overlay *overlay = find(gossip, topic);

	return overlay && membership_knows(&overlay->membership, peer);
}

size_t gossip_held(const struct gossip *gossip)
{
	return gossip->core.contents.bytes + census_bytes(&gossip->core.census);
}

size_t gossip_overlays(const struct gossip *gossip)
{
	return HASH_COUNT(gossip->overlays);
}
