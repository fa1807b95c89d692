/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the sans-IO cores want done: at least one thing of each, and more until the turn has taken
 * its time. */
#include "internal.h"

static void on_neighbour_up(struct engine *engine, const struct id *topic, const struct id *peer)
{
	struct quic_connection *connection = links_connection(engine->links, peer);
	struct configured *configured = engine_configured(engine, peer);
	struct overlay *overlay = engine_overlay(engine, topic);
	bool is_first = overlay && !overlay->joined;
	struct address address;

	if (overlay) {
		overlay->joined = true;
		nodes_counted(engine, overlay, gossip_neighbours(engine->gossip, topic));
	}
	/* Should it fail again, that is news. */
	if (configured) {
		configured_succeeded(configured);
		configured->reached = true;
	}
	neighbours_up(engine, peer);
	joiner_up(engine->joiner, topic, peer);
	atomic_fetch_add(engine->owner.neighbours, 1);
	if (is_first)
		engine_emit(engine, NODE_JOINED, topic, NULL, NULL);
	engine_emit(engine, NODE_NEIGHBOUR_UP, topic, peer, NULL);
	engine_log(engine, NODE_LOG_DEBUG, "overlay %s: neighbour %s is up", short_id(topic).text,
		short_id(peer).text);
	if (connection) {
		address = quic_connection_address(connection);
		book_worked(engine->book, engine_now(engine), engine_wall(engine), peer, &address);
	}
	nodes_shared(engine, peer, topic, true);
	if (is_first)
		nodes_first(engine, overlay);
	/* What it had not got when it was lost is older than what has waited since. */
	links_resume(engine->links, engine_now(engine), peer, topic);
	engine_send_waiting(engine, topic);
}

static void on_neighbour_down(struct engine *engine, const struct id *topic, const struct id *peer)
{
	struct overlay *overlay = engine_overlay(engine, topic);
	size_t left = gossip_neighbours(engine->gossip, topic);

	joiner_down(engine->joiner, engine_now(engine), topic, peer, left);
	if (overlay) {
		overlay->joined = left > 0;
		nodes_counted(engine, overlay, left);
	}
	atomic_fetch_sub(engine->owner.neighbours, 1);
	neighbours_down(engine, topic, peer);
	engine_emit(engine, NODE_NEIGHBOUR_DOWN, topic, peer, NULL);
	engine_log(engine, NODE_LOG_DEBUG, "overlay %s: neighbour %s is down", short_id(topic).text,
		short_id(peer).text);
	if (overlay && !engine->stopping)
		nodes_fewer(engine, overlay);
}

static void on_peer_addresses(struct engine *engine, const struct gossip_effect *effect)
{
	struct quic_connection *source = links_connection(engine->links, &effect->source);
	struct address address;
	enum address_scope scope = ADDRESS_GLOBAL;

	/* One that is never dialled needs no place in the book. */
	if (!access_grants(engine->access, &effect->peer))
		return;
	if (source) {
		address = quic_connection_address(source);
		scope = address_scope(&address);
	}
	book_hear(engine->book, engine_now(engine), &effect->peer, &effect->source,
		effect->addresses, effect->addresses_count, scope);
	walker_found(engine->walker, engine_now(engine));
}

bool effects_gossip(struct engine *engine)
{
	struct gossip_effect effect;
	bool any = false, is_quick = true;

	/* What only passes content on is never put off. */
	while ((is_quick || !engine_is_late(engine)) && gossip_effect(engine->gossip, &effect)) {
		any = true;
		is_quick = effect.type == GOSSIP_SEND || effect.type == GOSSIP_DELIVER ||
			   effect.type == GOSSIP_RELEASE;
		switch (effect.type) {
		case GOSSIP_SEND:
			links_send(engine->links, engine_now(engine), &effect.peer, &effect.topic,
				effect.frame, effect.last);
			break;
		case GOSSIP_DELIVER:
			engine_emit(
				engine, NODE_MESSAGE, &effect.topic, &effect.peer, effect.message);
			break;
		case GOSSIP_NEIGHBOUR_UP:
			on_neighbour_up(engine, &effect.topic, &effect.peer);
			break;
		case GOSSIP_NEIGHBOUR_DOWN:
			on_neighbour_down(engine, &effect.topic, &effect.peer);
			break;
		case GOSSIP_APART:
			nodes_apart(engine, &effect.topic, &effect.peer);
			break;
		case GOSSIP_RELEASE:
			links_release(
				engine->links, engine_now(engine), &effect.peer, &effect.topic);
			break;
		case GOSSIP_PEER_ADDRESSES:
			on_peer_addresses(engine, &effect);
			break;
		}
	}
	return any;
}

/* The other side may know nothing of our being neighbours: a link that was regained may mean
 * that it was restarted; and when one of several connections ends, it may have been the one
 * that counts there. */
static void remind_neighbours(struct engine *engine, const struct id *peer)
{
	struct overlay *overlay, *next;

	HASH_ITER (hh, engine->overlays, overlay, next)
		gossip_remind(engine->gossip, engine_now(engine), &overlay->topic, peer);
}

bool effects_links(struct engine *engine)
{
	uint64_t now = engine_now(engine);
	struct link_effect effect;
	bool any = false;

	while (!(any && engine_is_late(engine)) && links_effect(engine->links, now, &effect)) {
		any = true;
		switch (effect.type) {
		case LINK_WANTED:
			if (!engine_may_dial(engine, &effect.peer) ||
				dialer_want(engine->dialer, now, &effect.peer, false))
				links_gave_up(engine->links, now, &effect.peer);
			break;
		case LINK_UP:
			dialer_linked(engine->dialer, &effect.peer);
			joiner_linked(engine->joiner, now, &effect.peer);
			book_set_linked(engine->book, &effect.peer, true);
			nodes_linked(engine, &effect.peer);
			links_keep(engine->links, now, &effect.peer,
				engine->overlays && engine_trusted(engine, &effect.peer));
			remind_neighbours(engine, &effect.peer);
			break;
		case LINK_FEWER:
			remind_neighbours(engine, &effect.peer);
			break;
		case LINK_DOWN:
			dialer_unlinked(engine->dialer, now, &effect.peer);
			joiner_unlinked(engine->joiner, &effect.peer);
			book_set_linked(engine->book, &effect.peer, false);
			gossip_link_down(engine->gossip, now, &effect.peer);
			break;
		case LINK_LOST:
			gossip_peer_lost(engine->gossip, now, &effect.peer);
			nodes_lost(engine, &effect.peer);
			break;
		}
	}
	return any;
}

bool effects_dialer(struct engine *engine)
{
	uint64_t now = engine_now(engine);
	struct dialer_effect effect;
	struct configured *configured;
	bool any = false;

	while (!engine->stopping && !(any && engine_is_late(engine)) &&
		dialer_effect(engine->dialer, now, &effect)) {
		any = true;
		switch (effect.type) {
		case DIALER_DIAL:
			route_dial(engine, &effect.node, &effect.address);
			break;
		case DIALER_GAVE_UP:
			links_gave_up(engine->links, now, &effect.node);
			book_failed(engine->book, now, engine_wall(engine), &effect.node);
			nodes_lost(engine, &effect.node);
			break;
		case DIALER_LOOK_UP:
			links_gave_up(engine->links, now, &effect.node);
			configured = engine_configured(engine, &effect.node);
			if (configured)
				resolution_start(configured->resolution);
			break;
		}
	}
	return any;
}

bool effects_joiner(struct engine *engine)
{
	uint64_t now = engine_now(engine);
	struct joiner_effect effect;
	bool any = false;

	while (!engine->stopping && !(any && engine_is_late(engine)) &&
		joiner_effect(engine->joiner, now, &effect)) {
		any = true;
		switch (effect.type) {
		case JOINER_ASK:
			engine_count(engine, COUNTER_JOINS);
			gossip_ask(engine->gossip, now, &effect.topic, &effect.peer);
			break;
		case JOINER_MERGE:
			engine_count(engine, COUNTER_MERGES);
			engine_log(engine, NODE_LOG_DEBUG,
				"overlay %s: asks peer %s, which may be in another part of it",
				short_id(&effect.topic).text, short_id(&effect.peer).text);
			gossip_merge(engine->gossip, now, &effect.topic, &effect.peer);
			break;
		case JOINER_PROBE:
			/* The overlay may have spoken of it meanwhile. */
			if (gossip_knows(engine->gossip, &effect.topic, &effect.peer))
				break;
			engine_count(engine, COUNTER_PROBES);
			gossip_probe(engine->gossip, now, &effect.topic, &effect.peer);
			break;
		case JOINER_GAVE_UP:
			nodes_shared(engine, &effect.peer, &effect.topic, false);
			break;
		}
	}
	return any;
}

void effects_rows(struct engine *engine)
{
	struct id node;
	size_t size;

	while (store_has_room(engine->store) && book_row(engine->book, &node, engine->row, &size)) {
		/* Without memory it is not written now, but when next it changes. */
		if (size > 0)
			(void)store_put_node(engine->store, &node, engine->row, size);
		else
			(void)store_delete_node(engine->store, &node);
		if (engine_is_late(engine)) {
			engine->unfinished = true;
			break;
		}
	}
}
