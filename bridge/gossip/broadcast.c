/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "broadcast.h"

#include <blake3.h>
#include <string.h>
#include <utlist.h>

#include "../error.h"
#include "frame.h"

/* plumtree.rs Config::default. */
#define GRAFT_TIMEOUT_1	       (80 * MS)
#define GRAFT_TIMEOUT_2	       (40 * MS)
#define DISPATCH_TIMEOUT       (5 * MS)
#define OPTIMIZATION_THRESHOLD 7

/* plumtree.rs on_dispatch_timer: what fits when every round takes three bytes. */
#define IHAVES_PER_FRAME ((LIMIT_FRAME - 33 - 3) / (ID_SIZE + 3))

/* In one tick; the others are due still. */
#define GRAFTS_PER_TICK 256

/* A queue of announcements that is larger is not kept after its dispatch. */
#define QUEUE_KEPT 128

struct announcer {
	uint8_t slot; /* in neighbours */
	uint16_t round;
};

struct missing {
	struct id id;
	uint64_t due;
	bool grafted; /* which list it is on */
	uint8_t announcers_count;
	struct announcer announcers[LIMIT_ANNOUNCERS]; /* in order of announcement */
	struct missing *prev, *next;
	UT_hash_handle hh;
};

static_assert(LIMIT_ANNOUNCERS >= LIMIT_ACTIVE_VIEW, "every neighbour may announce");

void broadcast_init(struct broadcast *broadcast, struct core *core, const struct id *topic)
{
	*broadcast = (struct broadcast){.core = core, .topic = *topic, .dispatch_at = UINT64_MAX};
	cache_init(&broadcast->cache, &core->contents, &core->census, &core->keyed);
}

static void forget_missing(struct broadcast *broadcast, struct missing *missing)
{
	if (missing->grafted)
		DL_DELETE(broadcast->grafted, missing);
	else
		DL_DELETE(broadcast->announced, missing);
	HASH_DELETE(hh, broadcast->missing, missing);
	memory_free(missing);
	broadcast->core->missing--;
}

static void free_queue(struct broadcast *broadcast, struct neighbour *neighbour)
{
	broadcast->core->lazy -= neighbour->queued;
	neighbour->queued = 0;
	neighbour->room = 0;
	memory_free(neighbour->queue);
	neighbour->queue = NULL;
}

bool broadcast_clear_some(struct broadcast *broadcast, size_t *allowance)
{
	for (; broadcast->missing && *allowance > 0; --*allowance)
		forget_missing(broadcast, broadcast->missing);
	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++)
		free_queue(broadcast, &broadcast->neighbours[i]);
	return cache_clear_some(&broadcast->cache, allowance) && !broadcast->missing;
}

void broadcast_clear(struct broadcast *broadcast)
{
	size_t all = SIZE_MAX;

	broadcast_clear_some(broadcast, &all);
}

static struct neighbour *find_neighbour(struct broadcast *broadcast, const struct id *id)
{
	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++) {
		struct neighbour *neighbour = &broadcast->neighbours[i];

		if (neighbour->used && id_equal(&neighbour->id, id))
			return neighbour;
	}
	return NULL;
}

static struct missing *find_missing(struct broadcast *broadcast, const struct id *id)
{
	struct missing *missing;

	HASH_FIND_BYHASHVALUE(hh, broadcast->missing, id, ID_SIZE,
		keyed_hash(&broadcast->core->keyed, id, ID_SIZE), missing);
	return missing;
}

void broadcast_neighbour_up(struct broadcast *broadcast, const struct id *peer)
{
	if (find_neighbour(broadcast, peer))
		return;
	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++) {
		struct neighbour *neighbour = &broadcast->neighbours[i];

		if (!neighbour->used) {
			*neighbour = (struct neighbour){.used = true, .eager = true, .id = *peer};
			return;
		}
	}
}

static void remove_announcer(struct missing *missing, size_t index)
{
	missing->announcers_count--;
	memmove(&missing->announcers[index], &missing->announcers[index + 1],
		(missing->announcers_count - index) * sizeof *missing->announcers);
}

/* "When a neighbor is detected to leave the overlay, it is simple removed from the
 * membership. Furthermore, the record of IHAVE messages sent from failed members is
 * deleted from the missing history" (PlumTree, 3.7). */
void broadcast_neighbour_down(struct broadcast *broadcast, const struct id *peer)
{
	struct neighbour *neighbour = find_neighbour(broadcast, peer);
	struct missing *missing, *next;

	if (!neighbour)
		return;
	HASH_ITER (hh, broadcast->missing, missing, next) {
		for (size_t i = missing->announcers_count; i-- > 0;) {
			if (missing->announcers[i].slot == neighbour - broadcast->neighbours)
				remove_announcer(missing, i);
		}
		if (missing->announcers_count == 0)
			forget_missing(broadcast, missing);
	}
	free_queue(broadcast, neighbour);
	*neighbour = (struct neighbour){0};
}

static void send(
	struct broadcast *broadcast, const struct id *to, const struct wire_message *message)
{
	effects_send(&broadcast->core->effects, &broadcast->topic, to, message, false);
}

static void send_prune(struct broadcast *broadcast, const struct id *to)
{
	struct wire_message prune;

	prune.type = WIRE_PRUNE;
	send(broadcast, to, &prune);
}

static void send_graft(
	struct broadcast *broadcast, const struct id *to, const struct id *id, uint16_t round)
{
	struct wire_message graft;

	graft.type = WIRE_GRAFT;
	graft.graft.has_id = id != NULL;
	if (id)
		graft.graft.id = *id;
	graft.graft.round = round;
	send(broadcast, to, &graft);
}

static size_t eager_push(struct broadcast *broadcast, struct message *message, uint16_t round,
	const struct neighbour *except)
{
	size_t pushed = 0;

	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++) {
		struct neighbour *neighbour = &broadcast->neighbours[i];

		if (neighbour->used && neighbour->eager && neighbour != except)
			pushed += effects_send_gossip(&broadcast->core->effects, &broadcast->topic,
				&neighbour->id, message, round);
	}
	return pushed;
}

static void enqueue(
	struct broadcast *broadcast, struct neighbour *neighbour, const struct wire_ihave *ihave)
{
	struct core *core = broadcast->core;

	if (neighbour->queued == LIMIT_LAZY_QUEUE || core->lazy == LIMIT_LAZY_QUEUE_IN_ALL) {
		counters_add(core->counters, COUNTER_LIMIT_LAZY_QUEUE, 1);
		return;
	}
	if (neighbour->queued == neighbour->room) {
		size_t room = neighbour->room ? 2 * neighbour->room : 8;
		struct wire_ihave *queue = memory_realloc(neighbour->queue, room * sizeof *queue);

		if (!queue) {
			core->effects.error = ERROR_NOMEM;
			return;
		}
		neighbour->queue = queue;
		neighbour->room = room;
	}
	neighbour->queue[neighbour->queued++] = *ihave;
	core->lazy++;
}

static void lazy_push(struct broadcast *broadcast, uint64_t now, const struct id *id,
	uint16_t round, const struct neighbour *except)
{
	const struct wire_ihave ihave = {.id = *id, .round = round};

	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++) {
		struct neighbour *neighbour = &broadcast->neighbours[i];

		if (!neighbour->used || neighbour->eager || neighbour == except)
			continue;
		enqueue(broadcast, neighbour, &ihave);
		if (broadcast->dispatch_at == UINT64_MAX)
			broadcast->dispatch_at = now + DISPATCH_TIMEOUT;
	}
}

static void dispatch(struct broadcast *broadcast)
{
	struct wire_message message;

	broadcast->dispatch_at = UINT64_MAX;
	message.type = WIRE_IHAVE;
	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++) {
		struct neighbour *neighbour = &broadcast->neighbours[i];

		for (size_t done = 0; done < neighbour->queued; done += message.ihave.count) {
			size_t left = neighbour->queued - done;

			message.ihave.count = left < IHAVES_PER_FRAME ? left : IHAVES_PER_FRAME;
			memcpy(message.ihave.items, neighbour->queue + done,
				message.ihave.count * sizeof *message.ihave.items);
			send(broadcast, &neighbour->id, &message);
		}
		if (neighbour->room > QUEUE_KEPT)
			free_queue(broadcast, neighbour);
		broadcast->core->lazy -= neighbour->queued;
		neighbour->queued = 0;
	}
}

/* Optimization (PlumTree, 3.8): when somebody announced the message much nearer to
 * its origin than the one who pushed it, they change places in the tree. */
static void optimize(struct broadcast *broadcast, struct neighbour *pusher, const struct id *from,
	uint16_t round, const struct missing *missing)
{
	const struct announcer *best = NULL;
	struct neighbour *nearer;

	for (size_t i = 0; i < missing->announcers_count; i++) {
		if (!best || missing->announcers[i].round < best->round)
			best = &missing->announcers[i];
	}
	if (!best || best->round >= round || round - best->round < OPTIMIZATION_THRESHOLD)
		return;
	nearer = &broadcast->neighbours[best->slot];
	if (nearer == pusher)
		return;
	if (!nearer->eager) {
		nearer->eager = true;
		send_graft(broadcast, &nearer->id, NULL, best->round);
	}
	if (pusher)
		pusher->eager = false;
	send_prune(broadcast, from);
}

static bool has_other_neighbour(const struct broadcast *broadcast, const struct neighbour *except)
{
	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++) {
		if (broadcast->neighbours[i].used && &broadcast->neighbours[i] != except)
			return true;
	}
	return false;
}

/* A message of scope Swarm that is new: remember it and send it on. */
static int spread(struct broadcast *broadcast, uint64_t now, const struct id *from,
	struct message *message, uint16_t round)
{
	struct neighbour *pusher = find_neighbour(broadcast, from);
	struct missing *missing = find_missing(broadcast, &message->id);
	uint16_t next = round < UINT16_MAX ? round + 1 : round;
	bool fits = frame_fits(message->size, next);
	int error;

	/* What cannot be sent is neither announced nor kept for a GRAFT. */
	error = cache_add(&broadcast->cache, now, &message->id, fits ? message : NULL, next);
	if (error)
		return error;
	if (fits) {
		eager_push(broadcast, message, next, pusher);
		lazy_push(broadcast, now, &message->id, next, pusher);
	} else if (has_other_neighbour(broadcast, pusher)) {
		counters_add(broadcast->core->counters, COUNTER_DROPPED_UNFORWARDABLE, 1);
	}
	if (missing) {
		optimize(broadcast, pusher, from, next, missing);
		forget_missing(broadcast, missing);
	}
	return 0;
}

static void on_gossip(struct broadcast *broadcast, uint64_t now, const struct id *from,
	const struct wire_message *received)
{
	struct core *core = broadcast->core;
	struct message *message;
	struct id id;
	int error = 0;
	blake3_hasher hasher;

	/* Hashed where it lies: a duplicate is never copied. */
	blake3_hasher_init(&hasher);
	blake3_hasher_update(&hasher, received->gossip.content, received->gossip.size);
	blake3_hasher_finalize(&hasher, id.bytes, ID_SIZE);
	if (!id_equal(&id, &received->gossip.id)) {
		counters_add(core->counters, COUNTER_BAD_ID, 1);
		return;
	}
	if (cache_knows(&broadcast->cache, &id)) {
		struct neighbour *neighbour = find_neighbour(broadcast, from);

		if (neighbour)
			neighbour->eager = false;
		send_prune(broadcast, from);
		return;
	}
	message = message_new(received->gossip.content, received->gossip.size);
	if (message) {
		message->id = id;
		message->hashed = true;
		/* Scope Neighbors goes no further and is not remembered. */
		if (received->gossip.scope == WIRE_SWARM)
			error = spread(broadcast, now, from, message, received->gossip.round);
	} else {
		error = ERROR_NOMEM;
	}
	if (error) {
		/* Not remembered, so another neighbour's copy is welcome. */
		core->effects.error = error;
		counters_add(core->counters, COUNTER_DROPPED_NO_MEMORY_COPY, 1);
	} else {
		effects_deliver(&core->effects, &broadcast->topic, from, message);
	}
	message_unref(message);
}

static void announce(
	struct broadcast *broadcast, uint64_t now, uint8_t slot, const struct wire_ihave *ihave)
{
	struct core *core = broadcast->core;
	struct missing *missing = find_missing(broadcast, &ihave->id);

	if (!missing) {
		if (HASH_COUNT(broadcast->missing) >= LIMIT_MISSING ||
			core->missing >= LIMIT_MISSING_IN_ALL) {
			counters_add(core->counters, COUNTER_LIMIT_MISSING, 1);
			return;
		}
		missing = memory_zalloc(sizeof *missing);
		if (!missing) {
			core->effects.error = ERROR_NOMEM;
			return;
		}
		missing->id = ihave->id;
		missing->due = now + GRAFT_TIMEOUT_1;
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, broadcast->missing, &missing->id, ID_SIZE,
			keyed_hash(&core->keyed, &missing->id, ID_SIZE), missing);
		if (!missing->hh.tbl) {
			memory_free(missing);
			core->effects.error = ERROR_NOMEM;
			return;
		}
		DL_APPEND(broadcast->announced, missing);
		core->missing++;
	}
	for (size_t i = 0; i < missing->announcers_count; i++) {
		if (missing->announcers[i].slot == slot)
			return;
	}
	missing->announcers[missing->announcers_count++] =
		(struct announcer){.slot = slot, .round = ihave->round};
}

static void on_ihave(struct broadcast *broadcast, uint64_t now, const struct id *from,
	const struct wire_message *received)
{
	struct neighbour *neighbour = find_neighbour(broadcast, from);

	if (!neighbour)
		return;
	for (size_t i = 0; i < received->ihave.count; i++) {
		const struct wire_ihave *ihave = &received->ihave.items[i];

		if (!cache_knows(&broadcast->cache, &ihave->id))
			announce(broadcast, now, (uint8_t)(neighbour - broadcast->neighbours),
				ihave);
	}
}

static void on_graft(
	struct broadcast *broadcast, const struct id *from, const struct wire_message *received)
{
	struct neighbour *neighbour = find_neighbour(broadcast, from);
	struct message *message = NULL;
	uint16_t round;

	if (neighbour)
		neighbour->eager = true;
	if (received->graft.has_id)
		message = cache_content(&broadcast->cache, &received->graft.id, &round);
	if (message)
		effects_send_gossip(
			&broadcast->core->effects, &broadcast->topic, from, message, round);
}

void broadcast_receive(struct broadcast *broadcast, uint64_t now, const struct id *from,
	const struct wire_message *message)
{
	struct neighbour *neighbour;

	switch (message->type) {
	case WIRE_GOSSIP:
		on_gossip(broadcast, now, from, message);
		break;
	case WIRE_PRUNE:
		neighbour = find_neighbour(broadcast, from);
		if (neighbour)
			neighbour->eager = false;
		break;
	case WIRE_GRAFT:
		on_graft(broadcast, from, message);
		break;
	case WIRE_IHAVE:
		on_ihave(broadcast, now, from, message);
		break;
	default:
		break;
	}
}

int broadcast_publish(
	struct broadcast *broadcast, uint64_t now, struct message *message, size_t *neighbours)
{
	struct missing *missing;
	const struct id *id;
	size_t pushed;
	int error;

	if (!frame_fits(message->size, 0))
		return ERROR_TOO_LARGE;
	id = message_id(message);
	if (cache_knows(&broadcast->cache, id))
		return ERROR_REPEATED;
	error = cache_add(&broadcast->cache, now, id, message, 0);
	if (error)
		return error;
	missing = find_missing(broadcast, id);
	if (missing)
		forget_missing(broadcast, missing);
	pushed = eager_push(broadcast, message, 0, NULL);
	lazy_push(broadcast, now, id, 0, NULL);
	if (neighbours)
		*neighbours = pushed;
	return ERROR_NONE;
}

/* The timer of a missing message has run out: ask the next who has it. "This second
 * timeout value should be smaller that the first, in the order of an average round
 * trip time to a neighbor" (PlumTree, 3.6). */
static void graft(struct broadcast *broadcast, uint64_t now, struct missing *missing)
{
	struct announcer announcer;
	struct neighbour *neighbour;

	if (missing->announcers_count == 0) {
		forget_missing(broadcast, missing);
		return;
	}
	announcer = missing->announcers[0];
	neighbour = &broadcast->neighbours[announcer.slot];
	remove_announcer(missing, 0);
	neighbour->eager = true;
	send_graft(broadcast, &neighbour->id, &missing->id, announcer.round);
	if (missing->grafted)
		DL_DELETE(broadcast->grafted, missing);
	else
		DL_DELETE(broadcast->announced, missing);
	missing->grafted = true;
	missing->due = now + GRAFT_TIMEOUT_2;
	DL_APPEND(broadcast->grafted, missing);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t broadcast_deadline(const struct broadcast *broadcast)
{
	uint64_t deadline = earlier(broadcast->dispatch_at, cache_deadline(&broadcast->cache));

	if (broadcast->announced)
		deadline = earlier(deadline, broadcast->announced->due);
	if (broadcast->grafted)
		deadline = earlier(deadline, broadcast->grafted->due);
	return deadline;
}

void broadcast_tick(struct broadcast *broadcast, uint64_t now)
{
	if (broadcast->dispatch_at <= now)
		dispatch(broadcast);
	/* What is due a second time goes before what is due for the first time, and
	 * neither is due again now. */
	for (size_t i = 0; i < GRAFTS_PER_TICK; i++) {
		if (broadcast->grafted && broadcast->grafted->due <= now)
			graft(broadcast, now, broadcast->grafted);
		else if (broadcast->announced && broadcast->announced->due <= now)
			graft(broadcast, now, broadcast->announced);
		else
			break;
	}
	cache_evict(&broadcast->cache, now);
}
