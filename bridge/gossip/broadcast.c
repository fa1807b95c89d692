/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "broadcast.h"

#include <blake3.h>
#include <string.h>
#include <utlist.h>

#include "../error.h"
#include "frame.h"

/* plumtree.rs Config::default; but there the next announcer is asked after 40 ms, when the answer
 * of the first is still under way on most links, so that both send the message. */
#define GRAFT_TIMEOUT	       (80 * MS)
#define DISPATCH_TIMEOUT       (5 * MS)
#define OPTIMIZATION_THRESHOLD 7

/* So many neighbours are eager from the beginning, the others lazy. A message that finds all of a
 * full view eager arrives once more for each tie that the tree does not need. */
#define EAGER_AT_FIRST 4

/* An announcement so much earlier than the message: its sender would have been faster. */
#define EARLIER (10 * MS)

/* Until a change of the tree has taken effect: about a round trip. */
#define CHANGE_TIME (100 * MS)

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
	uint64_t since; /* first announced */
	uint64_t due;
	unsigned grafted; /* a bit for each slot whose neighbour has been sent a GRAFT */
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
	DL_DELETE(broadcast->waiting, missing);
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
	struct neighbour *place = NULL;
	size_t eager = 0;

	if (find_neighbour(broadcast, peer))
		return;
	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++) {
		struct neighbour *neighbour = &broadcast->neighbours[i];

		eager += neighbour->used && neighbour->eager;
		if (!neighbour->used && !place)
			place = neighbour;
	}
	if (place)
		*place = (struct neighbour){
			.used = true, .eager = eager < EAGER_AT_FIRST, .id = *peer};
}

/* A set of neighbours has a bit for each slot. */
static unsigned bit(const struct broadcast *broadcast, const struct neighbour *neighbour)
{
	return neighbour ? 1u << (neighbour - broadcast->neighbours) : 0;
}

/* Those that have the message, as they have announced it. */
static unsigned find_holders(const struct missing *missing)
{
	unsigned holders = missing->grafted;

	for (size_t i = 0; i < missing->announcers_count; i++)
		holders |= 1u << missing->announcers[i].slot;
	return holders;
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
		missing->grafted &= ~bit(broadcast, neighbour);
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

static size_t eager_push(
	struct broadcast *broadcast, struct message *message, uint16_t round, unsigned except)
{
	size_t pushed = 0;

	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++) {
		struct neighbour *neighbour = &broadcast->neighbours[i];

		if (neighbour->used && neighbour->eager && !(except >> i & 1))
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
	uint16_t round, unsigned except)
{
	const struct wire_ihave ihave = {.id = *id, .round = round};

	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++) {
		struct neighbour *neighbour = &broadcast->neighbours[i];

		if (!neighbour->used || neighbour->eager || except >> i & 1)
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

/* Who announced the message much nearer to its origin than the one who pushed it (PlumTree, 3.8);
 * or NULL. */
static const struct announcer *find_nearer(const struct missing *missing, uint16_t round)
{
	const struct announcer *best = NULL;

	for (size_t i = 0; i < missing->announcers_count; i++) {
		if (!best || missing->announcers[i].round < best->round)
			best = &missing->announcers[i];
	}
	if (!best || best->round >= round || round - best->round < OPTIMIZATION_THRESHOLD)
		return NULL;
	return best;
}

/* Moves eager push from the one to the other. pusher is NULL if it is no neighbour any more. */
static void change_places(struct broadcast *broadcast, uint64_t now, struct neighbour *pusher,
	const struct id *from, struct neighbour *better)
{
	broadcast->settled_at = now + CHANGE_TIME;
	better->eager = true;
	if (pusher)
		pusher->eager = false;
	send_prune(broadcast, from);
}

/* Who has been sent a GRAFT for a message that came from somebody else after all is the better
 * neighbour: it had the message when the timer ran out. The copy that it sends is no reason
 * to prune it. (Upstream prunes it, so the next message finds the tree as it was.) */
static void keep_grafted(struct broadcast *broadcast, uint64_t now, struct neighbour *pusher,
	const struct id *from, const struct missing *missing)
{
	size_t slot = 0;

	if (missing->grafted & bit(broadcast, pusher))
		return;
	while (!(missing->grafted >> slot & 1))
		slot++;
	broadcast->neighbours[slot].expected = missing->id;
	change_places(broadcast, now, pusher, from, &broadcast->neighbours[slot]);
}

/* Optimization: whoever is nearer to the origin, or faster, changes places in the tree with the
 * one who pushed the message. The latter only when the last change has taken effect: if many
 * messages that come at once change the tree, each in its own way, it falls to pieces. */
static void optimize(struct broadcast *broadcast, uint64_t now, struct neighbour *pusher,
	const struct id *from, uint16_t round, const struct missing *missing)
{
	const struct announcer *better = find_nearer(missing, round);
	struct neighbour *neighbour;

	if (!better && (!pusher || now < broadcast->settled_at))
		return;
	if (!better && missing->grafted) {
		keep_grafted(broadcast, now, pusher, from, missing);
		return;
	}
	if (!better && now - missing->since >= EARLIER && missing->announcers_count > 0)
		better = &missing->announcers[0];
	if (!better)
		return;
	neighbour = &broadcast->neighbours[better->slot];
	if (neighbour == pusher)
		return;
	/* Though we may push to it already: whoever announces does not push. */
	send_graft(broadcast, &neighbour->id, NULL, better->round);
	change_places(broadcast, now, pusher, from, neighbour);
}

/* Who has announced a message has taken us for lazy; this takes it so too, as the PRUNE would have
 * done by which it had answered to a copy of what it has. */
static void settle_holders(struct broadcast *broadcast, unsigned holders)
{
	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++) {
		if (holders >> i & 1)
			broadcast->neighbours[i].eager = false;
	}
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
	unsigned holders = missing ? find_holders(missing) & ~bit(broadcast, pusher) : 0;
	uint16_t next = round < UINT16_MAX ? round + 1 : round;
	bool fits = frame_fits(message->size, next);
	int error;

	/* What cannot be sent is neither announced nor kept for a GRAFT. */
	error = cache_add(&broadcast->cache, now, &message->id, fits ? message : NULL, next);
	if (error)
		return error;
	if (fits) {
		settle_holders(broadcast, holders);
		holders |= bit(broadcast, pusher);
		eager_push(broadcast, message, next, holders);
		lazy_push(broadcast, now, &message->id, next, holders);
	} else if (has_other_neighbour(broadcast, pusher)) {
		counters_add(broadcast->core->counters, COUNTER_DROPPED_UNFORWARDABLE, 1);
	}
	if (missing) {
		optimize(broadcast, now, pusher, from, next, missing);
		forget_missing(broadcast, missing);
	}
	return 0;
}

/* We have it already: who sent it need not push to us. */
static void on_copy(struct broadcast *broadcast, const struct id *from, const struct id *id)
{
	struct neighbour *neighbour = find_neighbour(broadcast, from);

	if (neighbour && id_equal(&neighbour->expected, id)) {
		neighbour->expected = (struct id){0};
		return;
	}
	if (neighbour)
		neighbour->eager = false;
	send_prune(broadcast, from);
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
		on_copy(broadcast, from, &id);
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
		missing->since = now;
		missing->due = now + GRAFT_TIMEOUT;
		HASH_ADD_KEYPTR_BYHASHVALUE(hh, broadcast->missing, &missing->id, ID_SIZE,
			keyed_hash(&core->keyed, &missing->id, ID_SIZE), missing);
		if (!missing->hh.tbl) {
			memory_free(missing);
			core->effects.error = ERROR_NOMEM;
			return;
		}
		DL_APPEND(broadcast->waiting, missing);
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
	pushed = eager_push(broadcast, message, 0, 0);
	lazy_push(broadcast, now, id, 0, 0);
	if (neighbours)
		*neighbours = pushed;
	return ERROR_NONE;
}

/* The timer of a missing message has run out: ask the next who has it (PlumTree, 3.6). */
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
	missing->grafted |= bit(broadcast, neighbour);
	missing->due = now + GRAFT_TIMEOUT;
	DL_DELETE(broadcast->waiting, missing);
	DL_APPEND(broadcast->waiting, missing);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t broadcast_deadline(const struct broadcast *broadcast)
{
	uint64_t deadline = earlier(broadcast->dispatch_at, cache_deadline(&broadcast->cache));

	if (broadcast->waiting)
		deadline = earlier(deadline, broadcast->waiting->due);
	return deadline;
}

void broadcast_tick(struct broadcast *broadcast, uint64_t now)
{
	if (broadcast->dispatch_at <= now)
		dispatch(broadcast);
	for (size_t i = 0; i < GRAFTS_PER_TICK; i++) {
		if (!broadcast->waiting || broadcast->waiting->due > now)
			break;
		graft(broadcast, now, broadcast->waiting);
	}
	cache_evict(&broadcast->cache, now);
}
