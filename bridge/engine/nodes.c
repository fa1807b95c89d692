/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Who is wanted as a neighbour. Gossip takes its nodes from the book.
 *
 * An overlay in which we are alone dials those who share it, again and again with a jittered
 * backoff, and the joiner asks them. One with neighbours, but fewer than it has places for, is
 * offered some whenever they may be of use: gossip asks them with a low priority, and is quiet
 * when nobody has room. So an overlay comes to rest.
 *
 * A partition is not found by asking: what was lost is dialled again, a few nodes at a time and for
 * all overlays together, and who is back is news for the joiner, as is a node that is new to a topic
 * (p2panda-net src/gossip/actors/healer.rs joins all nodes of a topic on each change of their set;
 * here one node is asked for all that have changed, and a new one only if it knows others than we).
 */
#include <utlist.h>

#include "internal.h"

#define HEAL_FIRST_NS (500 * MS)
/* A dial to an address that does not answer takes 5 s: with these an overlay is whole again
 * within 10 s of the network's being so. */
#define HEAL_MOST_NS  (4000 * MS)
#define HEAL_GRAIN_NS (250 * MS)
/* Those that are away: tried so soon after they were lost, and so seldom in the end. */
#define AWAY_FIRST_NS (1000 * MS)
#define AWAY_MOST_NS  (6000 * MS)
/* So many of those that have been away for long, and of the others, are tried at a time. */
#define AWAY_AT_A_TIME 2
/* Nodes offered to an overlay at a time. */
#define OFFERS 8
/* After the first neighbour has come: this and up to half as long again; then twice as long. So many
 * nodes are asked, at so many times at most (there may be nobody yet). */
#define SETTLE_FIRST_NS (1500 * MS)
#define SETTLES 2
#define SETTLE_TRIES 4

/* nodes_heal is to come by for this overlay. */
static void heal_by(struct engine *engine, const struct overlay *overlay)
{
	if (overlay->heal_due < engine->heal_due)
		engine->heal_due = overlay->heal_due;
	if (overlay->settle_due < engine->heal_due)
		engine->heal_due = overlay->settle_due;
}

static void heal_at(struct engine *engine, struct overlay *overlay, uint64_t due)
{
	overlay->heal_due = due;
	heal_by(engine, overlay);
}

static bool is_alone(const struct engine *engine, const struct overlay *overlay)
{
	return gossip_neighbours(engine->gossip, &overlay->topic) == 0;
}

static bool has_room(const struct engine *engine, const struct overlay *overlay)
{
	return gossip_neighbours(engine->gossip, &overlay->topic) < LIMIT_ACTIVE_VIEW;
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
	joiner_add(engine->joiner, now, topic, node, linked, trusted ? JOINER_TRUSTED : reason,
		book_shares(engine->book, node, topic));
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

/* ---- alone ---- */

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

	if (book_is_stale(engine->book, node) != fill->stale || engine_trusted(engine, node))
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

/* ---- with neighbours ---- */

static void offer(struct engine *engine, const struct id *topic, const struct id *node)
{
	if (links_linked(engine->links, node) || engine_may_dial(engine, node))
		gossip_offer(engine->gossip, engine_now(engine), topic, node);
}

struct offering {
	struct engine *engine;
	const struct id *topic;
	size_t room;
};

static bool offer_visit(void *context, const struct id *node)
{
	struct offering *offering = context;
	struct engine *engine = offering->engine;

	if (book_is_away(engine->book, node) || book_is_stale(engine->book, node) ||
		gossip_is_neighbour(engine->gossip, offering->topic, node))
		return true;
	offer(engine, offering->topic, node);
	return --offering->room > 0;
}

/* Those that share the topic, and the trusted ones that are there and may have it, too. */
static void offer_some(struct engine *engine, const struct id *topic)
{
	struct offering offering = {engine, topic, OFFERS};
	const struct id *id;

	for (size_t i = 0; i < engine->configured_count; i++) {
		id = &engine->configured[i].id;
		if (engine->configured[i].trusted && links_linked(engine->links, id) &&
			!gossip_is_neighbour(engine->gossip, topic, id))
			gossip_offer(engine->gossip, engine_now(engine), topic, id);
	}
	book_each_of_topic(engine->book, topic, offer_visit, &offering);
}

static bool settle_visit(void *context, const struct id *node)
{
	struct offering *offering = context;
	struct engine *engine = offering->engine;

	if (book_is_away(engine->book, node) || book_is_stale(engine->book, node) ||
		gossip_is_neighbour(engine->gossip, offering->topic, node) ||
		!access_grants(engine->access, node))
		return true;
	joiner_tell(engine->joiner, engine_now(engine), offering->topic, node,
		links_linked(engine->links, node), JOINER_APART);
	offering->room--;
	return false;
}

static void settle_later(struct engine *engine, struct overlay *overlay, uint64_t now)
{
	uint64_t wait = SETTLE_FIRST_NS << (overlay->settle_tries > 0);

	overlay->settle_due = UINT64_MAX;
	if (overlay->settles == SETTLES || overlay->settle_tries++ == SETTLE_TRIES)
		return;
	overlay->settle_due = now + wait + random_below(&engine->random, wait / 2);
	heal_by(engine, overlay);
}

/* Many who join through one node in the same moment drive each other out of its view, and those that
 * were driven out may find one another and nobody else: then each has neighbours enough, and nothing
 * is missing for HyParView. So whoever comes asks some nodes at random a little later. */
static void settle(struct engine *engine, struct overlay *overlay, uint64_t now)
{
	struct offering offering = {engine, &overlay->topic, 1};

	if (is_alone(engine, overlay)) {
		overlay->settle_due = UINT64_MAX;
		return;
	}
	book_each_of_topic(engine->book, &overlay->topic, settle_visit, &offering);
	if (offering.room == 0)
		overlay->settles++;
	settle_later(engine, overlay, now);
}

static void heal(struct engine *engine, struct overlay *overlay, uint64_t now)
{
	uint64_t half = overlay->heal_backoff / 2, due;

	overlay->heal_due = UINT64_MAX;
	if (!is_alone(engine, overlay)) {
		if (has_room(engine, overlay))
			offer_some(engine, &overlay->topic);
		return;
	}
	/* The joiner repeats what goes over links that are there, the dialler dials trusted nodes
	 * for ever; here it is about the others. When there is nobody left to be tried, the next
	 * change of the node set comes here again. */
	if (fill(engine, overlay) == 0)
		return;
	/* Together with other overlays: a thousand of them are not to wake us one by one. */
	due = now + half + random_below(&engine->random, half + 1);
	heal_at(engine, overlay, (due / HEAL_GRAIN_NS + 1) * HEAL_GRAIN_NS);
	overlay->heal_backoff = overlay->heal_backoff * 2 > HEAL_MOST_NS
					? HEAL_MOST_NS
					: overlay->heal_backoff * 2;
}

/* ---- those that are away ---- */

static void expect_back(struct engine *engine)
{
	uint64_t due = engine_now(engine) + AWAY_FIRST_NS;

	engine->away_backoff = AWAY_FIRST_NS;
	if (due < engine->away_due)
		engine->away_due = due;
}

/* A gossip link is dialled: so it is there for what is to be asked when it comes about. */
static size_t try_away(struct engine *engine, uint64_t now, bool recently)
{
	struct id node;
	size_t tried;

	for (tried = 0; tried < AWAY_AT_A_TIME; tried++) {
		if (!book_next_away(engine->book, recently, &node))
			break;
		if (engine_may_dial(engine, &node))
			dialer_want(engine->dialer, now, &node, false);
	}
	return tried;
}

static void look_for_those_away(struct engine *engine, uint64_t now)
{
	uint64_t half;

	if (now < engine->away_due)
		return;
	engine->away_due = UINT64_MAX;
	if (!engine->overlays || try_away(engine, now, true) + try_away(engine, now, false) == 0)
		return;
	engine->away_backoff = engine->away_backoff * 2 > AWAY_MOST_NS ? AWAY_MOST_NS
								       : engine->away_backoff * 2;
	half = engine->away_backoff / 2;
	engine->away_due = now + half + random_below(&engine->random, half + 1);
}

void nodes_lost(struct engine *engine, const struct id *node)
{
	if (!book_set_away(engine->book, node, true))
		return;
	engine_log(engine, NODE_LOG_DEBUG, "peer %s: away", short_id(node).text);
	expect_back(engine);
}

void nodes_reached(struct engine *engine, const struct id *node)
{
	uint64_t now = engine_now(engine);
	struct overlay *overlay, *next;

	if (!book_set_away(engine->book, node, false))
		return;
	engine_log(engine, NODE_LOG_DEBUG, "peer %s: back", short_id(node).text);
	/* Others may be back with it. */
	expect_back(engine);
	HASH_ITER (hh, engine->overlays, overlay, next) {
		if (overlay->refused || !book_shares(engine->book, node, &overlay->topic) ||
			gossip_is_neighbour(engine->gossip, &overlay->topic, node))
			continue;
		if (is_alone(engine, overlay))
			heal_at(engine, overlay, now);
		else
			joiner_tell(engine->joiner, now, &overlay->topic, node,
				links_linked(engine->links, node), JOINER_APART);
	}
}

void nodes_apart(struct engine *engine, const struct id *topic, const struct id *node)
{
	joiner_tell(engine->joiner, engine_now(engine), topic, node,
		links_linked(engine->links, node), JOINER_APART);
}

/* ---- what happens ---- */

void nodes_heal(struct engine *engine, uint64_t now)
{
	struct overlay *overlay, *next;
	bool is_due;

	look_for_those_away(engine, now);
	if (now < engine->heal_due)
		return;
	engine->heal_due = UINT64_MAX;
	HASH_ITER (hh, engine->overlays, overlay, next) {
		is_due = overlay->heal_due <= now || overlay->settle_due <= now;
		if (overlay->heal_due <= now)
			heal(engine, overlay, now);
		if (overlay->settle_due <= now)
			settle(engine, overlay, now);
		heal_by(engine, overlay);
		if (is_due && engine_is_late(engine)) {
			/* The others in the next turn. */
			engine->heal_due = now;
			return;
		}
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
	nodes_counted(engine, overlay, 0);
	note_early_ones(engine, &overlay->topic);
	for (size_t i = 0; i < engine->configured_count; i++)
		if (engine->configured[i].trusted)
			want(engine, &overlay->topic, &engine->configured[i].id, JOINER_TRUSTED);
	heal(engine, overlay, engine_now(engine));
}

void nodes_counted(struct engine *engine, struct overlay *overlay, size_t neighbours)
{
	bool lacks = neighbours < LIMIT_ACTIVE_VIEW;

	if (lacks != overlay->lacking)
		engine->lacking += lacks ? 1 : (size_t)-1;
	overlay->lacking = lacks;
	walker_search(
		engine->walker, engine_now(engine), engine->lacking > 0, neighbours == 0);
}

void nodes_first(struct engine *engine, struct overlay *overlay)
{
	overlay->heal_due = UINT64_MAX;
	offer_some(engine, &overlay->topic);
	overlay->settles = overlay->settle_tries = 0;
	settle_later(engine, overlay, engine_now(engine));
}

void nodes_linked(struct engine *engine, const struct id *node)
{
	struct overlay *overlay, *next;

	/* A trusted one may have topics that it has not shown. */
	if (!engine_trusted(engine, node))
		return;
	HASH_ITER (hh, engine->overlays, overlay, next)
		if (!overlay->refused && !is_alone(engine, overlay) && has_room(engine, overlay))
			offer(engine, &overlay->topic, node);
}

void nodes_shared(
	struct engine *engine, const struct id *node, const struct id *topic, bool shared)
{
	uint64_t now = engine_now(engine);
	struct overlay *overlay = engine_overlay(engine, topic);
	bool known = gossip_knows(engine->gossip, topic, node);

	if (!book_set_shared(engine->book, now, node, topic, shared) || !shared || !overlay ||
		overlay->refused || engine->stopping)
		return;
	overlay->heal_backoff = HEAL_FIRST_NS;
	if (is_alone(engine, overlay)) {
		if (engine_trusted(engine, node))
			want(engine, topic, node, JOINER_TRUSTED);
		heal_at(engine, overlay, now);
		return;
	}
	/* Whom the overlay itself has told of is in our part of it. */
	if (known)
		return;
	joiner_tell(engine->joiner, now, topic, node, links_linked(engine->links, node),
		JOINER_NEW);
	if (has_room(engine, overlay))
		offer(engine, topic, node);
}

void nodes_fewer(struct engine *engine, struct overlay *overlay)
{
	uint64_t now = engine_now(engine);

	/* Not at once: it may have had a reason, and others lose it in the same moment; and it is
	 * the turn of those that gossip knows. */
	overlay->heal_backoff = HEAL_FIRST_NS;
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
