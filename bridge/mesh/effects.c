/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "effects.h"

#include "../error.h"
#include "arrivals.h"
#include "connections.h"
#include "infos.h"
#include "neighbours.h"
#include "overlays.h"
#include "presence.h"

static void on_neighbour_up(struct mesh *mesh, const struct id *topic, const struct id *peer)
{
	const struct connection *connection = connections_to(mesh, peer);
	struct configured *configured = mesh_configured(mesh, peer);
	struct overlay *overlay = overlay_find(mesh, topic);
	bool is_first = overlay && !overlay->joined;

	if (overlay) {
		overlay_neighbour_up(mesh, overlay, peer);
		neighbours_counted(mesh, overlay, gossip_neighbours(mesh->gossip, topic));
	}
	/* Should the peer fail again, that is news. */
	if (configured) {
		presence_succeeded(configured);
		configured->reached = true;
	}
	presence_up(mesh, peer, connection ? &connection->address : NULL,
		connection && connection->dialled);
	joiner_up(mesh->joiner, topic, peer);
	mesh->figures.neighbours++;
	if (is_first)
		mesh_tell(mesh, NODE_JOINED, topic, NULL, NULL);
	mesh_tell(mesh, NODE_NEIGHBOUR_UP, topic, peer, NULL);
	mesh_log(mesh, NODE_LOG_DEBUG, "overlay %s: neighbour %s is up", short_id(topic).text,
		short_id(peer).text);
	if (connection)
		book_worked(mesh->book, mesh->now, mesh->wall, peer, &connection->address);
	neighbours_shared(mesh, peer, topic, true);
	if (is_first)
		neighbours_first(mesh, overlay);
	/* What the peer had not got when it was lost is older than what has waited since. */
	links_resume(mesh->links, mesh->now, peer, topic);
	overlay_send_waiting(mesh, topic);
}

static void on_neighbour_down(struct mesh *mesh, const struct gossip_effect *effect)
{
	const struct id *topic = &effect->topic, *peer = &effect->peer;
	const struct node_event event = {.type = NODE_NEIGHBOUR_DOWN,
		.topic = *topic,
		.peer = *peer,
		.down = (enum node_down)effect->down};
	struct overlay *overlay = overlay_find(mesh, topic);
	size_t left = gossip_neighbours(mesh->gossip, topic);

	joiner_down(mesh->joiner, mesh->now, topic, peer, left);
	if (overlay) {
		overlay_neighbour_down(mesh, overlay, peer, left);
		neighbours_counted(mesh, overlay, left);
	}
	mesh->figures.neighbours--;
	presence_down(mesh, topic, peer, overlay ? left : 1);
	mesh_emit(mesh, &event);
	mesh_log(mesh, NODE_LOG_DEBUG, "overlay %s: neighbour %s is down", short_id(topic).text,
		short_id(peer).text);
	if (overlay && !mesh->stopping)
		neighbours_fewer(mesh, overlay);
}

static void on_peer_addresses(struct mesh *mesh, const struct gossip_effect *effect)
{
	const struct connection *source = connections_to(mesh, &effect->source);
	enum address_scope scope = source ? address_scope(&source->address) : ADDRESS_GLOBAL;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t count = 0;

	/* A node that is never dialled needs no place in the book. */
	if (!access_grants(mesh->access, &effect->peer))
		return;
	if (infos_find_relay(mesh, effect->relay, effect->relay_size, &addresses[0]))
		count = 1;
	for (size_t i = 0; i < effect->addresses_count && count < LIMIT_ADDRESSES_PER_NODE; i++)
		addresses[count++] = effect->addresses[i];
	book_hear(mesh->book, mesh->now, &effect->peer, &effect->source, addresses, count, scope);
	walker_found(mesh->walker, mesh->now);
}

/* Sends a frame. If content is dropped because the peer is slow, it is announced to the peer, who may
 * ask for it when it has dealt with the rest. */
static void pass_on(struct mesh *mesh, const struct gossip_effect *effect)
{
	bool has_content = effect->frame->body != NULL;
	struct id id;

	if (has_content)
		id = *message_id(effect->frame->body);
	if (!links_send(mesh->links, mesh->now, &effect->peer, &effect->topic, effect->frame,
		    effect->last) &&
		has_content)
		gossip_refused(mesh->gossip, mesh->now, &effect->topic, &effect->peer, &id);
}

bool effects_gossip(struct mesh *mesh)
{
	struct gossip_effect effect;
	bool any = false, is_quick = true;

	/* What only passes content on is never put off. */
	while ((is_quick || !mesh_is_late(mesh)) && gossip_effect(mesh->gossip, &effect)) {
		any = true;
		is_quick = effect.type == GOSSIP_SEND || effect.type == GOSSIP_DELIVER ||
			   effect.type == GOSSIP_RELEASE;
		switch (effect.type) {
		case GOSSIP_SEND:
			pass_on(mesh, &effect);
			break;
		case GOSSIP_DELIVER:
			overlay_received(mesh, &effect.topic, &effect.peer);
			arrival(mesh, &effect.topic, &effect.peer, effect.message);
			break;
		case GOSSIP_NEIGHBOUR_UP:
			on_neighbour_up(mesh, &effect.topic, &effect.peer);
			break;
		case GOSSIP_NEIGHBOUR_DOWN:
			on_neighbour_down(mesh, &effect);
			break;
		case GOSSIP_APART:
			neighbours_apart(mesh, &effect.topic, &effect.peer);
			break;
		case GOSSIP_RELEASE:
			links_release(
				mesh->links, mesh->now, &effect.peer, &effect.topic);
			break;
		case GOSSIP_PEER_ADDRESSES:
			on_peer_addresses(mesh, &effect);
			break;
		}
	}
	return any;
}

/* Reminds a peer of the overlays in which it is a neighbour. The peer may know nothing of that: a
 * link that was regained may mean that the peer was restarted; and when one of several connections
 * ends, it may have been the one that counts there. */
static void remind_neighbours(struct mesh *mesh, const struct id *peer)
{
	struct overlay *overlay, *next;

	HASH_ITER (hh, mesh->overlays, overlay, next)
		gossip_remind(mesh->gossip, mesh->now, &overlay->topic, peer);
}

bool effects_links(struct mesh *mesh)
{
	uint64_t now = mesh->now;
	struct link_effect effect;
	bool any = false;

	while (!(any && mesh_is_late(mesh)) && links_effect(mesh->links, now, &effect)) {
		any = true;
		switch (effect.type) {
		case LINK_WANTED:
			if (!mesh_may_dial(mesh, &effect.peer) ||
				dialer_want(mesh->dialer, now, &effect.peer, false))
				links_gave_up(mesh->links, now, &effect.peer);
			break;
		case LINK_UP:
			presence_linked(mesh, &effect.peer, true);
			neighbours_note_link(mesh, &effect.peer, false);
			joiner_linked(mesh->joiner, now, &effect.peer);
			book_set_linked(mesh->book, &effect.peer, true);
			neighbours_linked(mesh, &effect.peer);
			links_keep(mesh->links, now, &effect.peer,
				mesh->overlays && mesh_trusted(mesh, &effect.peer));
			remind_neighbours(mesh, &effect.peer);
			break;
		case LINK_FEWER:
			/* The direct connection may be gone. */
			if (links_relayed(mesh->links, &effect.peer))
				neighbours_note_link(mesh, &effect.peer, false);
			remind_neighbours(mesh, &effect.peer);
			break;
		case LINK_DOWN:
			presence_linked(mesh, &effect.peer, false);
			dialer_unlinked(mesh->dialer, now, &effect.peer);
			joiner_unlinked(mesh->joiner, &effect.peer);
			book_set_linked(mesh->book, &effect.peer, false);
			gossip_link_down(mesh->gossip, now, &effect.peer);
			break;
		case LINK_LOST:
			presence_lost(mesh, &effect.peer);
			gossip_peer_lost(mesh->gossip, now, &effect.peer);
			neighbours_lost(mesh, &effect.peer);
			break;
		}
	}
	return any;
}

bool effects_dialer(struct mesh *mesh)
{
	uint64_t now = mesh->now;
	struct dialer_effect effect;
	bool any = false;

	while (!mesh->stopping && !(any && mesh_is_late(mesh)) &&
		dialer_effect(mesh->dialer, now, &effect)) {
		any = true;
		switch (effect.type) {
		case DIALER_DIAL:
			/* The node may have been shut out since. */
			if (mesh_may_dial(mesh, &effect.node))
				connections_dial(mesh, &effect.node, &effect.address);
			else
				dialer_failed(mesh->dialer, now, &effect.node, &effect.address);
			break;
		case DIALER_GAVE_UP:
			links_gave_up(mesh->links, now, &effect.node);
			presence_lost(mesh, &effect.node);
			book_failed(mesh->book, now, mesh->wall, &effect.node);
			neighbours_lost(mesh, &effect.node);
			break;
		case DIALER_LOOK_UP:
			links_gave_up(mesh->links, now, &effect.node);
			mesh_look_up(mesh, &effect.node);
			break;
		}
	}
	return any;
}

bool effects_joiner(struct mesh *mesh)
{
	uint64_t now = mesh->now;
	struct joiner_effect effect;
	bool any = false;

	while (!mesh->stopping && !(any && mesh_is_late(mesh)) &&
		joiner_effect(mesh->joiner, now, &effect)) {
		any = true;
		switch (effect.type) {
		case JOINER_ASK:
			mesh_count(mesh, COUNTER_JOINS);
			gossip_ask(mesh->gossip, now, &effect.topic, &effect.peer);
			break;
		case JOINER_MERGE:
			mesh_count(mesh, COUNTER_MERGES);
			mesh_log(mesh, NODE_LOG_DEBUG,
				"overlay %s: asks peer %s, which may be in another part of it",
				short_id(&effect.topic).text, short_id(&effect.peer).text);
			gossip_merge(mesh->gossip, now, &effect.topic, &effect.peer);
			break;
		case JOINER_PROBE:
			/* The overlay may have told of the peer meanwhile. */
			if (gossip_knows(mesh->gossip, &effect.topic, &effect.peer))
				break;
			mesh_count(mesh, COUNTER_PROBES);
			gossip_probe(mesh->gossip, now, &effect.topic, &effect.peer);
			break;
		case JOINER_GAVE_UP:
			neighbours_shared(mesh, &effect.peer, &effect.topic, false);
			break;
		}
	}
	return any;
}
