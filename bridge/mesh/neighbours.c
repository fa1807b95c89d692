/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "neighbours.h"

#include "../backoff.h"
#include "overlays.h"

#define HEAL_FIRST_NS (500 * MS)
/* A dial to an address that does not answer takes 5 s: with these times an overlay is whole again
 * within 10 s of the network's being whole. */
#define HEAL_MOST_NS  (4000 * MS)
#define HEAL_GRAIN_NS (250 * MS)
/* How soon nodes that are away are tried after they were lost, and how seldom in the end. */
#define AWAY_FIRST_NS (1000 * MS)
#define AWAY_MOST_NS  (6000 * MS)
/* How many of the nodes that have been away for long, and of the others, are tried at a time. */
#define AWAY_AT_A_TIME 2
/* Nodes offered to an overlay at a time. */
#define OFFERS 8
/* When a node is asked to tie parts together, after the first neighbour has come: after this time
 * and up to half as long again; then twice as long. How many nodes are asked, and how often one is
 * looked for at most (there may be nobody yet). */
#define SETTLE_FIRST_NS (1500 * MS)
#define SETTLES 2
#define SETTLE_TRIES 4

/* Sets the time when neighbours_heal is wanted, so that it comes by for this overlay. */
static void heal_by(struct mesh *mesh, const struct overlay *overlay)
{
	if (overlay->heal_due < mesh->heal_due)
		mesh->heal_due = overlay->heal_due;
	if (overlay->settle_due < mesh->heal_due)
		mesh->heal_due = overlay->settle_due;
}

static void heal_at(struct mesh *mesh, struct overlay *overlay, uint64_t due)
{
	overlay->heal_due = due;
	heal_by(mesh, overlay);
}

static bool is_alone(const struct mesh *mesh, const struct overlay *overlay)
{
	return gossip_neighbours(mesh->gossip, &overlay->topic) == 0;
}

static bool has_room(const struct mesh *mesh, const struct overlay *overlay)
{
	return gossip_neighbours(mesh->gossip, &overlay->topic) < LIMIT_ACTIVE_VIEW;
}

void neighbours_note_link(struct mesh *mesh, const struct id *node, bool at_once)
{
	if (links_relayed(mesh->links, node))
		dialer_relayed(mesh->dialer, mesh->now, node, at_once);
	else
		dialer_linked(mesh->dialer, node);
}

/* Wants a node as a neighbour in an overlay. Returns whether there is no link, and so a dial, which
 * may fail. */
static bool want(struct mesh *mesh, const struct id *topic, const struct id *node,
	enum joiner_reason reason)
{
	uint64_t now = mesh->now;
	struct configured *trusted = mesh_trusted(mesh, node);
	bool linked = links_linked(mesh->links, node);

	if (!trusted && !mesh_may_dial(mesh, node))
		return false;
	joiner_add(mesh->joiner, now, topic, node, linked, trusted ? JOINER_TRUSTED : reason,
		book_shares(mesh->book, node, topic));
	if (trusted) {
		dialer_want(mesh->dialer, now, node, true);
		links_keep(mesh->links, now, node, true);
		if (linked)
			neighbours_note_link(mesh, node, false);
	} else if (!linked) {
		dialer_want(mesh->dialer, now, node, false);
	}
	return !linked;
}

/* ---- alone ---- */

struct fill {
	struct mesh *mesh;
	struct overlay *overlay;
	size_t room, dialled;
	bool stale; /* take the stale ones, else the others */
};

static bool fill_visit(void *context, const struct id *node)
{
	struct fill *fill = context;
	struct mesh *mesh = fill->mesh;

	if (book_is_stale(mesh->book, node) != fill->stale || mesh_trusted(mesh, node))
		return true;
	fill->dialled += want(mesh, &fill->overlay->topic, node, JOINER_NODE);
	return --fill->room > 0;
}

/* Wants other nodes of the book in the places of those that could not be reached. Returns how many
 * of them have no link yet. */
static size_t fill(struct mesh *mesh, struct overlay *overlay)
{
	size_t taken = joiner_prune(mesh->joiner, &overlay->topic);
	struct fill fill = {.mesh = mesh, .overlay = overlay};

	if (taken >= LIMIT_JOINS_PER_TOPIC)
		return 0;
	fill.room = LIMIT_JOINS_PER_TOPIC - taken;
	book_each_of_topic(mesh->book, &overlay->topic, fill_visit, &fill);
	fill.stale = true;
	if (fill.room > 0)
		book_each_of_topic(mesh->book, &overlay->topic, fill_visit, &fill);
	return fill.dialled;
}

/* ---- with neighbours ---- */

static void offer(struct mesh *mesh, const struct id *topic, const struct id *node)
{
	if (links_linked(mesh->links, node) || mesh_may_dial(mesh, node))
		gossip_offer(mesh->gossip, mesh->now, topic, node);
}

struct offering {
	struct mesh *mesh;
	const struct id *topic;
	size_t room;
};

static bool offer_visit(void *context, const struct id *node)
{
	struct offering *offering = context;
	struct mesh *mesh = offering->mesh;

	if (book_is_away(mesh->book, node) || book_is_stale(mesh->book, node) ||
		gossip_is_neighbour(mesh->gossip, offering->topic, node))
		return true;
	offer(mesh, offering->topic, node);
	return --offering->room > 0;
}

/* Offers gossip some nodes that share the topic, and the trusted ones that are there and may have
 * it, too. */
static void offer_some(struct mesh *mesh, const struct id *topic)
{
	struct offering offering = {mesh, topic, OFFERS};
	const struct id *id;

	for (size_t i = 0; i < mesh->configured_count; i++) {
		id = &mesh->configured[i].id;
		if (mesh->configured[i].trusted && links_linked(mesh->links, id) &&
			!gossip_is_neighbour(mesh->gossip, topic, id))
			gossip_offer(mesh->gossip, mesh->now, topic, id);
	}
	book_each_of_topic(mesh->book, topic, offer_visit, &offering);
}

static bool settle_visit(void *context, const struct id *node)
{
	struct offering *offering = context;
	struct mesh *mesh = offering->mesh;

	if (book_is_away(mesh->book, node) || book_is_stale(mesh->book, node) ||
		gossip_is_neighbour(mesh->gossip, offering->topic, node) ||
		!access_grants(mesh->access, node))
		return true;
	joiner_tell(mesh->joiner, mesh->now, offering->topic, node,
		links_linked(mesh->links, node), JOINER_APART);
	offering->room--;
	return false;
}

static void settle_later(struct mesh *mesh, struct overlay *overlay, uint64_t now)
{
	uint64_t wait = SETTLE_FIRST_NS << (overlay->settle_tries > 0);

	overlay->settle_due = UINT64_MAX;
	if (overlay->settles == SETTLES || overlay->settle_tries++ == SETTLE_TRIES)
		return;
	overlay->settle_due = now + wait + random_below(&mesh->random, wait / 2);
	heal_by(mesh, overlay);
}

/* Asks one node at random whether it is in another part of the overlay, some time after the first
 * neighbour has come. Many who join through one node in the same moment drive each other out of its
 * view, and those that were driven out may find one another and nobody else: then each has
 * neighbours enough, and nothing is missing for HyParView. */
static void settle(struct mesh *mesh, struct overlay *overlay, uint64_t now)
{
	struct offering offering = {mesh, &overlay->topic, 1};

	if (is_alone(mesh, overlay)) {
		overlay->settle_due = UINT64_MAX;
		return;
	}
	book_each_of_topic(mesh->book, &overlay->topic, settle_visit, &offering);
	if (offering.room == 0)
		overlay->settles++;
	settle_later(mesh, overlay, now);
}

static void heal(struct mesh *mesh, struct overlay *overlay, uint64_t now)
{
	uint64_t due;

	overlay->heal_due = UINT64_MAX;
	if (!is_alone(mesh, overlay)) {
		if (has_room(mesh, overlay))
			offer_some(mesh, &overlay->topic);
		return;
	}
	/* The joiner repeats what goes over links that are there, the dialler dials trusted nodes
	 * for ever; here it is about the others. When there is nobody left to be tried, the next
	 * change of the node set comes here again. */
	if (fill(mesh, overlay) == 0)
		return;
	/* Together with other overlays: a thousand of those are not to wake us one by one. */
	due = now + backoff_next(&mesh->random, &overlay->heal_backoff, HEAL_MOST_NS);
	heal_at(mesh, overlay, (due / HEAL_GRAIN_NS + 1) * HEAL_GRAIN_NS);
}

/* ---- those that are away ---- */

static void expect_back(struct mesh *mesh)
{
	uint64_t due = mesh->now + AWAY_FIRST_NS;

	mesh->away_backoff = 2 * AWAY_FIRST_NS;
	if (due < mesh->away_due)
		mesh->away_due = due;
}

/* Dials some of the nodes that are away, and returns how many. What is dialled is a gossip link, so
 * that it is there for what is to be asked when it comes about. */
static size_t try_away(struct mesh *mesh, uint64_t now, bool recently)
{
	struct id node;
	size_t tried;

	for (tried = 0; tried < AWAY_AT_A_TIME; tried++) {
		if (!book_next_away(mesh->book, recently, &node))
			break;
		if (mesh_may_dial(mesh, &node))
			dialer_want(mesh->dialer, now, &node, false);
	}
	return tried;
}

static void look_for_those_away(struct mesh *mesh, uint64_t now)
{
	if (now < mesh->away_due)
		return;
	mesh->away_due = UINT64_MAX;
	if (!mesh->overlays || try_away(mesh, now, true) + try_away(mesh, now, false) == 0)
		return;
	mesh->away_due = now + backoff_next(&mesh->random, &mesh->away_backoff, AWAY_MOST_NS);
}

void neighbours_lost(struct mesh *mesh, const struct id *node)
{
	if (!book_set_away(mesh->book, mesh->now, node, true))
		return;
	mesh_log(mesh, NODE_LOG_DEBUG, "peer %s: away", short_id(node).text);
	expect_back(mesh);
}

void neighbours_reached(struct mesh *mesh, const struct id *node)
{
	uint64_t now = mesh->now;
	struct overlay *overlay, *next;

	if (!book_set_away(mesh->book, now, node, false))
		return;
	mesh_log(mesh, NODE_LOG_DEBUG, "peer %s: back", short_id(node).text);
	/* Others may be back together with the node. */
	expect_back(mesh);
	HASH_ITER (hh, mesh->overlays, overlay, next) {
		if (overlay->refused || !book_shares(mesh->book, node, &overlay->topic) ||
			gossip_is_neighbour(mesh->gossip, &overlay->topic, node))
			continue;
		if (is_alone(mesh, overlay))
			heal_at(mesh, overlay, now);
		else
			joiner_tell(mesh->joiner, now, &overlay->topic, node,
				links_linked(mesh->links, node), JOINER_APART);
	}
}

void neighbours_apart(struct mesh *mesh, const struct id *topic, const struct id *node)
{
	joiner_tell(mesh->joiner, mesh->now, topic, node,
		links_linked(mesh->links, node), JOINER_APART);
}

/* ---- what happens ---- */

void neighbours_heal(struct mesh *mesh)
{
	uint64_t now = mesh->now;
	struct overlay *overlay, *next;
	bool is_due;

	look_for_those_away(mesh, now);
	if (now < mesh->heal_due)
		return;
	mesh->heal_due = UINT64_MAX;
	HASH_ITER (hh, mesh->overlays, overlay, next) {
		is_due = overlay->heal_due <= now || overlay->settle_due <= now;
		if (overlay->heal_due <= now)
			heal(mesh, overlay, now);
		if (overlay->settle_due <= now)
			settle(mesh, overlay, now);
		heal_by(mesh, overlay);
		if (is_due && mesh_is_late(mesh)) {
			/* The other overlays have their turn in the next one of the loop. */
			mesh->heal_due = now;
			return;
		}
	}
}

void neighbours_join(struct mesh *mesh, struct overlay *overlay)
{
	overlay->heal_backoff = HEAL_FIRST_NS;
	neighbours_counted(mesh, overlay, 0);
	for (size_t i = 0; i < mesh->configured_count; i++)
		if (mesh->configured[i].trusted)
			want(mesh, &overlay->topic, &mesh->configured[i].id, JOINER_TRUSTED);
	heal(mesh, overlay, mesh->now);
}

void neighbours_counted(struct mesh *mesh, struct overlay *overlay, size_t neighbours)
{
	bool lacks = neighbours < LIMIT_ACTIVE_VIEW;

	if (lacks != overlay->lacking)
		mesh->lacking += lacks ? 1 : (size_t)-1;
	overlay->lacking = lacks;
	walker_search(
		mesh->walker, mesh->now, mesh->lacking > 0, neighbours == 0);
}

void neighbours_first(struct mesh *mesh, struct overlay *overlay)
{
	overlay->heal_due = UINT64_MAX;
	offer_some(mesh, &overlay->topic);
	overlay->settles = overlay->settle_tries = 0;
	settle_later(mesh, overlay, mesh->now);
}

void neighbours_linked(struct mesh *mesh, const struct id *node)
{
	struct overlay *overlay, *next;

	/* A trusted node may have topics that it has not shown. */
	if (!mesh_trusted(mesh, node))
		return;
	HASH_ITER (hh, mesh->overlays, overlay, next)
		if (!overlay->refused && !is_alone(mesh, overlay) && has_room(mesh, overlay))
			offer(mesh, &overlay->topic, node);
}

void neighbours_shared(
	struct mesh *mesh, const struct id *node, const struct id *topic, bool shared)
{
	uint64_t now = mesh->now;
	struct overlay *overlay = overlay_joined(mesh, topic);
	bool known = gossip_knows(mesh->gossip, topic, node);

	if (!book_set_shared(mesh->book, now, node, topic, shared) || !shared || !overlay ||
		mesh->stopping)
		return;
	overlay->heal_backoff = HEAL_FIRST_NS;
	if (is_alone(mesh, overlay)) {
		if (mesh_trusted(mesh, node))
			want(mesh, topic, node, JOINER_TRUSTED);
		heal_at(mesh, overlay, now);
		return;
	}
	/* Whom the overlay itself has told of is in our part of it. */
	if (known)
		return;
	joiner_tell(mesh->joiner, now, topic, node, links_linked(mesh->links, node),
		JOINER_NEW);
	if (has_room(mesh, overlay))
		offer(mesh, topic, node);
}

void neighbours_fewer(struct mesh *mesh, struct overlay *overlay)
{
	uint64_t now = mesh->now;

	/* Not at once: the neighbour may have had a reason to go, and others lose it in the same
	 * moment; and first it is the turn of the nodes that gossip knows. */
	overlay->heal_backoff = HEAL_FIRST_NS;
	if (overlay->heal_due > now + HEAL_FIRST_NS)
		heal_at(mesh, overlay, now + HEAL_FIRST_NS / 2 +
			random_below(&mesh->random, HEAL_FIRST_NS / 2));
}

/* Takes into the book that node has the overlay, because it names it. Such a node is about to join
 * us by itself: no need to ask it. */
void neighbours_named(struct mesh *mesh, const struct id *node, const struct id *topic)
{
	if (overlay_joined(mesh, topic))
		book_set_shared(mesh->book, mesh->now, node, topic, true);
}

void neighbours_again(struct mesh *mesh)
{
	uint64_t now = mesh->now;
	struct overlay *overlay, *next;

	HASH_ITER (hh, mesh->overlays, overlay, next) {
		if (overlay->refused)
			continue;
		overlay->heal_backoff = HEAL_FIRST_NS;
		heal_at(mesh, overlay, now);
	}
}

void neighbours_trust(struct mesh *mesh, const struct id *node)
{
	struct overlay *overlay, *next;

	HASH_ITER (hh, mesh->overlays, overlay, next) {
		if (overlay->refused)
			continue;
		want(mesh, &overlay->topic, node, JOINER_TRUSTED);
		if (gossip_is_neighbour(mesh->gossip, &overlay->topic, node))
			joiner_up(mesh->joiner, &overlay->topic, node);
		else if (!is_alone(mesh, overlay)) /* it may have a part of its own */
			neighbours_apart(mesh, &overlay->topic, node);
	}
}

void neighbours_distrust(struct mesh *mesh, const struct id *node)
{
	joiner_distrust(mesh->joiner, node);
	dialer_unwant(mesh->dialer, node);
	links_keep(mesh->links, mesh->now, node, false);
}

void neighbours_none(struct mesh *mesh)
{
	const struct id *id;

	for (size_t i = 0; i < mesh->configured_count; i++) {
		id = &mesh->configured[i].id;
		dialer_unwant(mesh->dialer, id);
		links_keep(mesh->links, mesh->now, id, false);
	}
}

uint64_t neighbours_deadline(const struct mesh *mesh)
{
	return mesh->heal_due < mesh->away_due ? mesh->heal_due : mesh->away_due;
}
