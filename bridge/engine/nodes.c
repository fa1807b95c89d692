/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Who is wanted as a neighbour. Gossip takes its nodes from the book: when an overlay is
 * joined, when a node shows that it shares it, when our addresses change, and again with a
 * jittered backoff while there are few neighbours, which is what heals an overlay after a
 * partition (p2panda-net src/gossip/actors/healer.rs joins on each change of a topic's node
 * set only).
 */
#include <utlist.h>

#include "internal.h"

#define HEAL_FIRST_NS (500 * MS)
/* A dial to an address that does not answer takes 5 s: with these an overlay is whole again
 * within 10 s of the network's being so. */
#define HEAL_MOST_NS  (4000 * MS)
/* With a full view; again and again at first after a neighbour was lost. */
#define PROBE_FIRST_NS (10000 * MS)
#define PROBE_MOST_NS  (120000 * MS)
#define HEAL_GRAIN_NS (250 * MS)

static void heal_at(struct engine *engine, struct overlay *overlay, uint64_t due)
{
	overlay->heal_due = due;
	if (due < engine->heal_due)
		engine->heal_due = due;
}

/* Whether there is no link and so a dial, which may fail. */
static bool want(struct engine *engine, const struct id *topic, const struct id *node,
	enum joiner_reason reason)
{
	uint64_t now = engine_now(engine);
	struct configured *trusted = engine_trusted(engine, node);
	bool linked = links_linked(engine->links, node);

	if (!trusted && !engine_may_dial(engine, node))
		return false;
	joiner_add(engine->joiner, now, topic, node, linked, trusted ? JOINER_TRUSTED : reason);
	if (trusted) {
		dialer_want(engine->dialer, now, node, true);
		links_keep(engine->links, now, node, true);
		if (linked)
			dialer_linked(engine->dialer, node);
	} else if (!linked) {
		dialer_want(engine->dialer, now, node, false);
	}
	return !linked;
}

struct fill {
	struct engine *engine;
	struct overlay *overlay;
	size_t room, dialled;
	bool stale; /* take the stale ones, else the others */
};

static bool fill_visit(void *context, const struct id *node)
{
	struct fill *fill = context;
	struct engine *engine = fill->engine;

	if (book_is_stale(engine->book, node) != fill->stale ||
		gossip_is_neighbour(engine->gossip, &fill->overlay->topic, node) ||
		engine_trusted(engine, node))
		return true;
	fill->dialled += want(engine, &fill->overlay->topic, node, JOINER_NODE);
	return --fill->room > 0;
}

/* Other nodes of the book in the places of those that could not be reached. Returns how many
 * of them have no link yet. */
static size_t fill(struct engine *engine, struct overlay *overlay)
{
	size_t taken = joiner_prune(engine->joiner, &overlay->topic);
	struct fill fill = {.engine = engine, .overlay = overlay};

	if (taken >= LIMIT_JOINS_PER_TOPIC)
		return 0;
	fill.room = LIMIT_JOINS_PER_TOPIC - taken;
	book_each_of_topic(engine->book, &overlay->topic, fill_visit, &fill);
	fill.stale = true;
	if (fill.room > 0)
		book_each_of_topic(engine->book, &overlay->topic, fill_visit, &fill);
	return fill.dialled;
}

static bool probe_visit(void *context, const struct id *node)
{
	struct fill *fill = context;

	if (gossip_is_neighbour(fill->engine->gossip, &fill->overlay->topic, node) ||
		engine_trusted(fill->engine, node))
		return true;
	want(fill->engine, &fill->overlay->topic, node, JOINER_PROBE);
	fill->dialled++;
	return false;
}

/* A full view says nothing of how far the overlay reaches: after a long partition each side
 * may have enough neighbours of its own, and HyParView would never look beyond them. So one
 * node of the book is asked now and then all the same. */
static void probe(struct engine *engine, struct overlay *overlay, uint64_t now)
{
	struct fill fill = {.engine = engine, .overlay = overlay};
	uint64_t half = overlay->probe_backoff / 2;

	joiner_prune(engine->joiner, &overlay->topic);
	book_each_of_topic(engine->book, &overlay->topic, probe_visit, &fill);
	if (fill.dialled == 0)
		return;
	heal_at(engine, overlay, now + half + random_below(&engine->random, half + 1));
	overlay->probe_backoff = overlay->probe_backoff * 2 > PROBE_MOST_NS
					 ? PROBE_MOST_NS
					 : overlay->probe_backoff * 2;
}

static void heal(struct engine *engine, struct overlay *overlay, uint64_t now)
{
	uint64_t half = overlay->heal_backoff / 2, due;

	overlay->heal_due = UINT64_MAX;
	/* The joiner repeats what goes over links that are there, the dialler dials trusted nodes
	 * for ever; here it is about the others. When there is nobody left to be tried, the next
	 * change of the node set comes here again. */
	if (gossip_neighbours(engine->gossip, &overlay->topic) >= LIMIT_ACTIVE_VIEW) {
		probe(engine, overlay, now);
		return;
	}
	if (fill(engine, overlay) == 0)
		return;
	/* Together with other overlays: a thousand of them are not to wake us one by one. */
	due = now + half + random_below(&engine->random, half + 1);
	heal_at(engine, overlay, (due / HEAL_GRAIN_NS + 1) * HEAL_GRAIN_NS);
	overlay->heal_backoff = overlay->heal_backoff * 2 > HEAL_MOST_NS
					? HEAL_MOST_NS
					: overlay->heal_backoff * 2;
}

void nodes_heal(struct engine *engine, uint64_t now)
{
	struct overlay *overlay, *next;

	if (now < engine->heal_due)
		return;
	engine->heal_due = UINT64_MAX;
	HASH_ITER (hh, engine->overlays, overlay, next) {
		if (overlay->heal_due <= now)
			heal(engine, overlay, now);
		if (overlay->heal_due < engine->heal_due)
			engine->heal_due = overlay->heal_due;
	}
}

/* Those who are on this overlay and have told us so when we were not: their Join went
 * unheard, and upstream does not repeat it. */
static void note_early_ones(struct engine *engine, const struct id *topic)
{
	struct inlet *inlet;

	DL_FOREACH (engine->inlets, inlet)
		if (inlet->has_topic && id_equal(&inlet->topic, topic))
			book_set_shared(engine->book, engine_now(engine), &inlet->route->peer,
				topic, true);
}

void nodes_join(struct engine *engine, struct overlay *overlay)
{
	overlay->heal_backoff = HEAL_FIRST_NS;
	overlay->probe_backoff = PROBE_FIRST_NS;
	for (size_t i = 0; i < engine->configured_count; i++)
		if (engine->configured[i].trusted)
			want(engine, &overlay->topic, &engine->configured[i].id, JOINER_TRUSTED);
	note_early_ones(engine, &overlay->topic);
	heal(engine, overlay, engine_now(engine));
}

void nodes_shared(
	struct engine *engine, const struct id *node, const struct id *topic, bool shared)
{
	uint64_t now = engine_now(engine);
	struct overlay *overlay = engine_overlay(engine, topic);

	if (!book_set_shared(engine->book, now, node, topic, shared) || !shared || !overlay ||
		overlay->refused || engine->stopping)
		return;
	overlay->heal_backoff = HEAL_FIRST_NS;
	if (!gossip_is_neighbour(engine->gossip, topic, node))
		heal_at(engine, overlay, now);
}

void nodes_fewer(struct engine *engine, struct overlay *overlay)
{
	uint64_t now = engine_now(engine);

	/* Not at once: it may have had a reason, and others lose it in the same moment. */
	overlay->heal_backoff = HEAL_FIRST_NS;
	overlay->probe_backoff = PROBE_FIRST_NS;
	if (overlay->heal_due > now + HEAL_FIRST_NS)
		heal_at(engine, overlay, now + HEAL_FIRST_NS / 2 +
			random_below(&engine->random, HEAL_FIRST_NS / 2));
}

/* Who names an overlay has it. It is about to join us by itself: no need to ask it. */
void nodes_named(struct engine *engine, const struct id *node, const struct id *topic)
{
	const struct overlay *overlay = engine_overlay(engine, topic);

	if (overlay && !overlay->refused)
		book_set_shared(engine->book, engine_now(engine), node, topic, true);
}

void nodes_again(struct engine *engine)
{
	uint64_t now = engine_now(engine);
	struct overlay *overlay, *next;

	HASH_ITER (hh, engine->overlays, overlay, next) {
		if (overlay->refused)
			continue;
		overlay->heal_backoff = HEAL_FIRST_NS;
		heal_at(engine, overlay, now);
	}
}
