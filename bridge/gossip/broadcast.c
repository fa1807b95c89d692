/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "broadcast.h"

#include <blake3.h>
#include <string.h>

#include "../error.h"
#include "frame.h"

/* plumtree.rs Config::default */
#define DISPATCH_TIMEOUT (5 * MS)

/* So many neighbours are eager from the beginning, the others lazy. If all neighbours of a full
 * view are eager, a message arrives once more for each tie that the tree does not need. */
#define EAGER_AT_FIRST 4

/* If an announcement comes so much earlier than the message, the sender of the announcement would
 * have been faster. */
#define EARLIER (10 * MS)

/* The time until a change of the tree has taken effect: about a round trip. */
#define CHANGE_TIME (100 * MS)

/* A burst: so many new messages in BURST_WINDOW; it lasts for BURST_TIME after them, as long as what it
 * has put into the queues of neighbours may be under way. It says little about the tree. Each of two
 * neighbours is the faster one for some of the messages; announcements, which are small, are ahead of
 * what they announce; and many copies are still under way when a neighbour has become lazy. */
#define BURST_MESSAGES 256
#define BURST_WINDOW   (100 * MS)
#define BURST_TIME     (1 * S)

/* plumtree.rs on_dispatch_timer: as many announcements as fit when every round takes three
 * bytes. */
#define IHAVES_PER_FRAME ((LIMIT_FRAME - 33 - 3) / (ID_SIZE + 3))

/* GRAFTs sent in one tick; the others stay due. */
#define GRAFTS_PER_TICK 256

/* A queue of announcements that is larger is not kept after its dispatch. */
#define QUEUE_KEPT 128

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void broadcast_init(struct broadcast *broadcast, struct core *core, const struct id *topic)
{
	*broadcast = (struct broadcast){.core = core, .topic = *topic, .dispatch_at = UINT64_MAX};
	cache_init(&broadcast->cache, &core->contents, &core->census, &core->keyed);
	missing_init(&broadcast->missing, core);
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
	bool none_missing = missing_clear_some(&broadcast->missing, allowance);

	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++)
		free_queue(broadcast, &broadcast->neighbours[i]);
	return cache_clear_some(&broadcast->cache, allowance) && none_missing;
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

/* Tells whether there is a neighbour besides this one. only_eager: lazy ones do not count. */
static bool has_other(
	const struct broadcast *broadcast, const struct neighbour *except, bool only_eager)
{
	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++) {
		const struct neighbour *neighbour = &broadcast->neighbours[i];

		if (neighbour->used && neighbour != except && (neighbour->eager || !only_eager))
			return true;
	}
	return false;
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

static void set_eager(struct neighbour *neighbour, uint64_t now, bool eager)
{
	neighbour->eager = eager;
	neighbour->changed_at = now;
}

/* Counts a new message, to know a burst. */
static void count_message(struct broadcast *broadcast, uint64_t now)
{
	if (now - broadcast->window_at >= BURST_WINDOW) {
		broadcast->window_at = now;
		broadcast->window_messages = 0;
	}
	if (++broadcast->window_messages >= BURST_MESSAGES)
		broadcast->burst_until = now + BURST_TIME;
}

/* Tells whether the neighbour became eager or lazy within the last time. */
static bool has_changed(const struct neighbour *neighbour, uint64_t now, uint64_t time)
{
	return neighbour->changed_at > 0 && now - neighbour->changed_at < time;
}

static bool is_burst(const struct broadcast *broadcast, uint64_t now)
{
	return now < broadcast->burst_until;
}

/* Tells whether the neighbour must be eager: in a burst, the last one that is. Each of two neighbours is
 * the faster one for some of the messages, and if both were lazy for that, all that follows would
 * have to be asked for. Outside of bursts that is no harm, and the tree of few messages is better
 * without this rule: it has shorter ways. */
static bool must_stay_eager(
	const struct broadcast *broadcast, uint64_t now, const struct neighbour *neighbour)
{
	return is_burst(broadcast, now) && !has_other(broadcast, neighbour, true);
}

static uint8_t slot_of(const struct broadcast *broadcast, const struct neighbour *neighbour)
{
	return (uint8_t)(neighbour - broadcast->neighbours);
}

/* Returns the bit of a neighbour in a set of neighbours, which has a bit for each slot; 0 for
 * NULL. */
static unsigned bit(const struct broadcast *broadcast, const struct neighbour *neighbour)
{
	return neighbour ? 1u << slot_of(broadcast, neighbour) : 0;
}

/* Removes a neighbour: "When a neighbor is detected to leave the overlay, it is simple removed from
 * the membership. Furthermore, the record of IHAVE messages sent from failed members is deleted
 * from the missing history" (PlumTree, 3.7). */
void broadcast_neighbour_down(struct broadcast *broadcast, const struct id *peer)
{
	struct neighbour *neighbour = find_neighbour(broadcast, peer);

	if (!neighbour)
		return;
	missing_slot_gone(&broadcast->missing, slot_of(broadcast, neighbour));
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

static void enqueue(struct broadcast *broadcast, uint64_t now, struct neighbour *neighbour,
	const struct wire_ihave *ihave)
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
	if (broadcast->dispatch_at == UINT64_MAX)
		broadcast->dispatch_at = now + DISPATCH_TIMEOUT;
}

static void lazy_push(struct broadcast *broadcast, uint64_t now, const struct id *id,
	uint16_t round, unsigned except)
{
	const struct wire_ihave ihave = {.id = *id, .round = round};

	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++) {
		struct neighbour *neighbour = &broadcast->neighbours[i];

		if (!neighbour->used || neighbour->eager || except >> i & 1)
			continue;
		enqueue(broadcast, now, neighbour, &ihave);
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

/* Makes better eager and pusher lazy, and sends a PRUNE to from, which has pushed. pusher is NULL
 * if from is no neighbour any more. */
static void change_places(struct broadcast *broadcast, uint64_t now, struct neighbour *pusher,
	const struct id *from, struct neighbour *better)
{
	broadcast->settled_at = now + CHANGE_TIME;
	set_eager(better, now, true);
	if (pusher)
		set_eager(pusher, now, false);
	send_prune(broadcast, from);
}

/* Prefers a neighbour that was sent a GRAFT for a message to the one that has pushed the message
 * after all: the former had the message when the timer ran out. The copy that this neighbour still
 * sends is no reason to prune it. (Upstream prunes it, so the next message finds the tree as it
 * was.) */
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

/* Optimizes the tree: an announcer that is nearer to the origin, or faster, changes places in the
 * tree with the neighbour that pushed the message. Being faster counts only when the last change
 * has taken effect, and not in a burst: if many messages that come at once change the tree, each in
 * its own way, the tree falls to pieces. */
static void optimize(struct broadcast *broadcast, uint64_t now, struct neighbour *pusher,
	const struct id *from, uint16_t round, const struct missing *missing)
{
	const struct announcer *better = missing_nearer(missing, round);
	struct neighbour *neighbour;

	if (!better && (!pusher || now < broadcast->settled_at || is_burst(broadcast, now)))
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
	/* Sent although we may push to this neighbour already: a neighbour that announces does not
	 * push. */
	send_graft(broadcast, &neighbour->id, NULL, better->round);
	change_places(broadcast, now, pusher, from, neighbour);
}

/* Makes lazy those neighbours that have announced the message: they have taken us for lazy too. Otherwise they would answer our copy with a PRUNE, to the same
 * effect. */
static void settle_holders(struct broadcast *broadcast, uint64_t now, unsigned holders)
{
	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++) {
		struct neighbour *neighbour = &broadcast->neighbours[i];

		if (holders >> i & 1 && neighbour->eager &&
			!must_stay_eager(broadcast, now, neighbour))
			set_eager(neighbour, now, false);
	}
}

/* Remembers a new message of scope Swarm, and sends it on. ERROR_NOMEM. */
static int spread(struct broadcast *broadcast, uint64_t now, const struct id *from,
	struct message *message, uint16_t round)
{
	struct neighbour *pusher = find_neighbour(broadcast, from);
	struct missing *missing = missing_find(&broadcast->missing, &message->id);
	unsigned holders = missing ? missing_holders(missing) & ~bit(broadcast, pusher) : 0;
	uint16_t next = round < UINT16_MAX ? round + 1 : round;
	bool fits = frame_fits(message->size, next);
	int error;

	/* A message that cannot be sent is neither announced nor kept for a GRAFT. */
	error = cache_add(&broadcast->cache, now, &message->id, fits ? message : NULL, next);
	if (error)
		return error;
	count_message(broadcast, now);
	if (is_burst(broadcast, now) && pusher && !pusher->eager &&
		!has_changed(pusher, now, CHANGE_TIME))
		set_eager(pusher, now, true); /* we are an eager one of its neighbours */
	if (fits) {
		settle_holders(broadcast, now, holders);
		holders |= bit(broadcast, pusher);
		eager_push(broadcast, message, next, holders);
		lazy_push(broadcast, now, &message->id, next, holders);
	} else if (has_other(broadcast, pusher, false)) {
		counters_add(broadcast->core->counters, COUNTER_DROPPED_UNFORWARDABLE, 1);
	}
	if (missing) {
		missing_pushed(&broadcast->missing, now, missing, bit(broadcast, pusher));
		optimize(broadcast, now, pusher, from, next, missing);
		missing_forget(&broadcast->missing, missing);
	}
	return 0;
}

/* Handles a message that we have already: its sender need not push to us. */
static void on_copy(
	struct broadcast *broadcast, uint64_t now, const struct id *from, const struct id *id)
{
	struct neighbour *neighbour = find_neighbour(broadcast, from);

	if (!neighbour) {
		send_prune(broadcast, from);
		return;
	}
	if (id_equal(&neighbour->expected, id)) {
		neighbour->expected = (struct id){0};
		return;
	}
	if (must_stay_eager(broadcast, now, neighbour))
		return;
	if (is_burst(broadcast, now) && has_changed(neighbour, now, BURST_TIME))
		return; /* it was under way */
	set_eager(neighbour, now, false);
	send_prune(broadcast, from);
}

/* Handles a neighbour's wish to be pushed to no longer. If this neighbour must stay eager, nobody would
 * push to us either: it has the messages from elsewhere, and may push again. */
static void on_prune(struct broadcast *broadcast, uint64_t now, const struct id *from)
{
	struct neighbour *neighbour = find_neighbour(broadcast, from);

	if (!neighbour)
		return;
	set_eager(neighbour, now, must_stay_eager(broadcast, now, neighbour));
	if (neighbour->eager)
		send_graft(broadcast, from, NULL, 0);
}

static void on_gossip(struct broadcast *broadcast, uint64_t now, const struct id *from,
	const struct wire_message *received)
{
	struct core *core = broadcast->core;
	struct message *message;
	struct id id;
	int error = 0;
	blake3_hasher hasher;

	/* The content is hashed where it lies: a duplicate is never copied. */
	blake3_hasher_init(&hasher);
	blake3_hasher_update(&hasher, received->gossip.content, received->gossip.size);
	blake3_hasher_finalize(&hasher, id.bytes, ID_SIZE);
	if (!id_equal(&id, &received->gossip.id)) {
		counters_add(core->counters, COUNTER_BAD_ID, 1);
		return;
	}
	if (cache_knows(&broadcast->cache, &id)) {
		on_copy(broadcast, now, from, &id);
		return;
	}
	message = message_new(received->gossip.content, received->gossip.size);
	if (message) {
		message->id = id;
		message->hashed = true;
		/* A message of scope Neighbors goes no further and is not remembered. */
		if (received->gossip.scope == WIRE_SWARM)
			error = spread(broadcast, now, from, message, received->gossip.round);
	} else {
		error = ERROR_NOMEM;
	}
	if (error) {
		/* The message is not remembered, so another neighbour's copy is welcome. */
		core->effects.error = error;
		counters_add(core->counters, COUNTER_DROPPED_NO_MEMORY_COPY, 1);
	} else {
		effects_deliver(&core->effects, &broadcast->topic, from, message);
	}
	message_unref(message);
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
			missing_announced(&broadcast->missing, now,
				slot_of(broadcast, neighbour), ihave);
	}
}

static void on_graft(struct broadcast *broadcast, uint64_t now, const struct id *from,
	const struct wire_message *received)
{
	struct neighbour *neighbour = find_neighbour(broadcast, from);
	struct message *message = NULL;
	uint16_t round;

	if (neighbour)
		set_eager(neighbour, now, true);
	if (received->graft.has_id)
		message = cache_content(&broadcast->cache, &received->graft.id, &round);
	if (message)
		effects_send_gossip(
			&broadcast->core->effects, &broadcast->topic, from, message, round);
}

void broadcast_receive(struct broadcast *broadcast, uint64_t now, const struct id *from,
	const struct wire_message *message)
{
	switch (message->type) {
	case WIRE_GOSSIP:
		on_gossip(broadcast, now, from, message);
		break;
	case WIRE_PRUNE:
		on_prune(broadcast, now, from);
		break;
	case WIRE_GRAFT:
		on_graft(broadcast, now, from, message);
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
	count_message(broadcast, now);
	missing = missing_find(&broadcast->missing, id);
	if (missing)
		missing_forget(&broadcast->missing, missing);
	pushed = eager_push(broadcast, message, 0, 0);
	lazy_push(broadcast, now, id, 0, 0);
	if (neighbours)
		*neighbours = pushed;
	return ERROR_NONE;
}

void broadcast_refused(
	struct broadcast *broadcast, uint64_t now, const struct id *peer, const struct id *id)
{
	struct neighbour *neighbour = find_neighbour(broadcast, peer);
	struct wire_ihave ihave = {.id = *id};

	if (neighbour && cache_content(&broadcast->cache, id, &ihave.round))
		enqueue(broadcast, now, neighbour, &ihave);
}

/* Asks the next announcer for the message whose timer has run out (PlumTree, 3.6). */
static void graft(struct broadcast *broadcast, uint64_t now)
{
	struct announcer announcer;
	struct missing *missing = missing_ask(&broadcast->missing, now, &announcer);
	struct neighbour *neighbour;

	if (!missing)
		return;
	neighbour = &broadcast->neighbours[announcer.slot];
	if (!neighbour->eager && is_burst(broadcast, now))
		missing_pushes_begin(&broadcast->missing, now);
	set_eager(neighbour, now, true);
	send_graft(broadcast, &neighbour->id, &missing->id, announcer.round);
}

static uint64_t graft_at(const struct broadcast *broadcast)
{
	return missing_deadline(&broadcast->missing, broadcast->burst_until);
}

size_t broadcast_eager(const struct broadcast *broadcast, struct id out[LIMIT_ACTIVE_VIEW])
{
	size_t count = 0;

	for (size_t i = 0; i < LIMIT_ACTIVE_VIEW; i++)
		if (broadcast->neighbours[i].used && broadcast->neighbours[i].eager)
			out[count++] = broadcast->neighbours[i].id;
	return count;
}

uint64_t broadcast_deadline(const struct broadcast *broadcast)
{
	uint64_t deadline = earlier(broadcast->dispatch_at, cache_deadline(&broadcast->cache));

	return earlier(deadline, graft_at(broadcast));
}

void broadcast_tick(struct broadcast *broadcast, uint64_t now)
{
	if (broadcast->dispatch_at <= now)
		dispatch(broadcast);
	for (size_t i = 0; i < GRAFTS_PER_TICK && graft_at(broadcast) <= now; i++)
		graft(broadcast, now);
	cache_evict(&broadcast->cache, now);
}
