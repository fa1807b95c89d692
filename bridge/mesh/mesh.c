/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The entry points, the one pump and the one deadline. */
#include "mesh.h"

#include <string.h>

#include "../error.h"
#include "arrivals.h"
#include "changes.h"
#include "connections.h"
#include "effects.h"
#include "lan.h"
#include "neighbours.h"
#include "overlays.h"
#include "pictures.h"
#include "pings.h"
#include "presence.h"
#include "self.h"
#include "sessions.h"
#include "twins.h"
#include "unverified.h"

static void enter(struct mesh *mesh, const struct mesh_time *time)
{
	mesh->now = time->now;
	mesh->wall = time->wall;
}

/* Tells others where this node is, if that has changed. */
static void tell_of_self(struct mesh *mesh)
{
	if (!mesh->self.is_new)
		return;
	mesh->self.is_new = false;
	lan_tell(mesh);
	walker_reset(mesh->walker, mesh->now);
}

/* Carries out what the cores want until they want nothing more now, or the turn has taken its
 * time. */
static void pump(struct mesh *mesh)
{
	bool any;

	if (mesh->over)
		return;
	do {
		tell_of_self(mesh);
		any = effects_gossip(mesh);
		any = effects_links(mesh) || any;
		any = effects_dialer(mesh) || any;
		any = effects_joiner(mesh) || any;
		any = sessions_dial(mesh) || any;
		any = sessions_walk(mesh) || any;
		any = lan_effects(mesh) || any;
		any = arrivals_verify(mesh) || any;
	} while (any && !mesh_is_late(mesh));
	mesh->unfinished = any;
	if (mesh->stopping && ((!any && !links_sending(mesh->links)) || mesh->now >= mesh->stop_due))
		mesh->over = true;
}

/* ---- commands of the owner ---- */

int mesh_join(struct mesh *mesh, const struct mesh_time *time, const struct id *topic)
{
	struct overlay *overlay;
	int error;

	enter(mesh, time);
	if (mesh->stopping)
		return ERROR_NONE;
	error = overlay_join(mesh, topic, &overlay);
	if (error || !overlay)
		return error;
	connections_joined(mesh, topic, true);
	neighbours_join(mesh, overlay);
	walker_reset(mesh->walker, mesh->now);
	pump(mesh);
	return ERROR_NONE;
}

static void leave(struct mesh *mesh, struct overlay *overlay)
{
	struct id topic = overlay->topic;

	/* What neighbours have brought about so far is of the time before leaving. */
	while (effects_gossip(mesh))
		;
	arrivals_leave(mesh, &topic);
	if (!overlay->refused) {
		connections_joined(mesh, &topic, false);
		/* The cores do not report neighbours of an overlay that is left. */
		presence_left(mesh, &topic);
	}
	overlay_leave(mesh, overlay);
	if (!mesh->overlays)
		neighbours_none(mesh);
}

void mesh_leave(struct mesh *mesh, const struct mesh_time *time, const struct id *topic)
{
	struct overlay *overlay;

	enter(mesh, time);
	overlay = overlay_find(mesh, topic);
	if (!overlay || mesh->stopping)
		return;
	leave(mesh, overlay);
	pump(mesh);
}

void mesh_publish(struct mesh *mesh, const struct mesh_time *time, const struct id *topic,
	struct message *message)
{
	enter(mesh, time);
	overlay_publish(mesh, topic, message);
	pump(mesh);
}

void mesh_publish_signed(struct mesh *mesh, const struct mesh_time *time, const struct id *topic,
	const void *body, size_t size)
{
	enter(mesh, time);
	overlay_publish_signed(mesh, topic, body, size);
	pump(mesh);
}

void mesh_verify(struct mesh *mesh, const struct id *topic, bool verify)
{
	struct overlay *overlay = overlay_find(mesh, topic);

	if (overlay)
		overlay->verify = verify;
}

int mesh_set_peer(struct mesh *mesh, const struct mesh_time *time, const struct node_peer *peer,
	bool trusted)
{
	int error;

	enter(mesh, time);
	if (mesh->stopping || id_equal(&peer->id, &mesh->me))
		return ERROR_NONE;
	error = changes_set_peer(mesh, peer, trusted);
	pump(mesh);
	return error;
}

void mesh_remove_peer(struct mesh *mesh, const struct mesh_time *time, const struct id *id)
{
	enter(mesh, time);
	if (mesh->stopping)
		return;
	changes_remove_peer(mesh, id);
	pump(mesh);
}

int mesh_set_access(struct mesh *mesh, const struct mesh_time *time, const struct id *allow,
	size_t allow_count, const struct id *deny, size_t deny_count)
{
	int error;

	enter(mesh, time);
	if (mesh->stopping)
		return ERROR_NONE;
	error = changes_set_access(mesh, allow, allow_count, deny, deny_count);
	pump(mesh);
	return error;
}

int mesh_ask(struct mesh *mesh, const struct mesh_time *time, const struct picture_question *question)
{
	struct picture *picture;
	int error = ERROR_NONE;

	enter(mesh, time);
	if (mesh->stopping)
		return ERROR_NONE;
	if (question->subject == PICTURE_PING) {
		error = pings_begin(mesh, question);
	} else {
		picture = pictures_take(mesh, question);
		if (picture)
			pictures_give(mesh, picture);
		else
			error = ERROR_NOMEM;
	}
	pump(mesh);
	return error;
}

bool mesh_has_room(struct mesh *mesh, const struct mesh_time *time, const struct id *topic)
{
	struct id peers[LIMIT_ACTIVE_VIEW];
	size_t count;

	enter(mesh, time);
	count = gossip_pushed(mesh->gossip, topic, peers);
	return links_have_room(mesh->links, mesh->now, topic, peers, count);
}

void mesh_stop(struct mesh *mesh, const struct mesh_time *time)
{
	struct overlay *overlay, *next;

	enter(mesh, time);
	if (mesh->stopping)
		return;
	mesh->stopping = true;
	mesh->stop_due = mesh->now + LIMIT_FAREWELL_MS * MS;
	HASH_ITER (hh, mesh->overlays, overlay, next)
		leave(mesh, overlay);
	pump(mesh);
}

bool mesh_is_over(const struct mesh *mesh)
{
	return mesh->over;
}

/* ---- what has happened ---- */

void mesh_connected(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *connection, void *ours, const struct id *peer, const struct address *address)
{
	enter(mesh, time);
	if (protocol == MESH_GOSSIP)
		connections_made(mesh, connection, ours, peer, address);
	else
		discovery_made(mesh, connection, ours, peer, address);
	pump(mesh);
}

void mesh_closed(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *ours, const struct closing *closing)
{
	enter(mesh, time);
	if (protocol == MESH_GOSSIP)
		connections_closed(ours, closing);
	else
		discovery_closed(ours, closing);
	pump(mesh);
}

/* Carries out all that one frame brings about, before the next one is looked at. */
static void gossiped(struct mesh *mesh)
{
	effects_gossip(mesh);
}

void mesh_data(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *connection_ours, void *stream, void *ours, bool bidi, const uint8_t *data,
	size_t size, bool fin)
{
	enter(mesh, time);
	if (protocol == MESH_GOSSIP)
		connections_data(connection_ours, stream, ours, data, size, gossiped);
	else
		discovery_data(connection_ours, stream, bidi, data, size, fin);
	pump(mesh);
}

void mesh_stream_closed(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *connection_ours, void *stream, void *ours, bool incoming,
	struct frame *unacknowledged)
{
	enter(mesh, time);
	if (protocol == MESH_GOSSIP)
		connections_stream_closed(connection_ours, ours, incoming, unacknowledged);
	else
		discovery_stream_closed(connection_ours, stream);
	pump(mesh);
}

void mesh_credit(struct mesh *mesh, const struct mesh_time *time, enum mesh_protocol protocol,
	void *connection_ours)
{
	enter(mesh, time);
	if (protocol == MESH_GOSSIP)
		connections_credit(connection_ours);
	pump(mesh);
}

bool mesh_lets_in(struct mesh *mesh, const struct mesh_time *time, const struct id *peer)
{
	enter(mesh, time);
	if (id_equal(peer, &mesh->me)) {
		mesh_remark_own_id(mesh, "");
		return false;
	}
	if (!access_grants(mesh->access, peer)) {
		mesh_remark_denied(mesh, peer, "refused");
		return false;
	}
	return true;
}

bool mesh_keeps(struct mesh *mesh, const struct id *peer)
{
	return mesh_configured(mesh, peer) != NULL;
}

void mesh_crowded(struct mesh *mesh, const struct mesh_time *time, const struct address *source)
{
	enter(mesh, time);
	mesh_remark_crowded(mesh, source);
}

void mesh_refused(struct mesh *mesh, const struct mesh_time *time, const struct address *address,
	const char *why)
{
	enter(mesh, time);
	presence_stranger(mesh, address, why);
}

/* Tells whether a look-up has found other addresses than the last one, and keeps them. */
static bool has_moved(struct configured *configured, const struct address *addresses, size_t count)
{
	size_t size = count * sizeof *addresses;

	if (count == configured->found_count && memcmp(addresses, configured->found, size) == 0)
		return false;
	memcpy(configured->found, addresses, size);
	configured->found_count = count;
	return true;
}

static void found(struct mesh *mesh, struct configured *configured,
	const struct address *addresses, size_t count, size_t in_all)
{
	const struct id *node = &configured->id;
	struct address all[LIMIT_ADDRESSES_PER_NODE + NODE_PEER_RELAYS];

	/* The book takes LIMIT_ADDRESSES_PER_NODE of them: first the relays. */
	memcpy(all, configured->relays, configured->relays_count * sizeof *all);
	memcpy(all + configured->relays_count, addresses, count * sizeof *all);
	if (book_configure(mesh->book, node, configured->trusted ? BOOK_TRUSTED : BOOK_BOOTSTRAP,
		    all, configured->relays_count + count))
		return;
	/* Addresses of which there are too many are tried in turns: these are no news, and the next
	 * ones wait for their time. */
	if (in_all > count)
		return;
	dialer_addresses(mesh->dialer, mesh->now, node);
	if (has_moved(configured, addresses, count))
		walker_prompt(mesh->walker, mesh->now, node);
}

void mesh_resolved(struct mesh *mesh, const struct mesh_time *time, const struct id *node,
	const struct address *addresses, size_t count, size_t all, const char *failure)
{
	struct configured *configured = mesh_configured(mesh, node);

	enter(mesh, time);
	if (mesh->stopping)
		return;
	if (count > LIMIT_ADDRESSES_PER_NODE)
		count = LIMIT_ADDRESSES_PER_NODE;
	if (id_equal(node, &mesh->me))
		self_resolved(mesh, addresses, count, all, failure);
	if (configured && count == 0)
		presence_not_found(mesh, configured, failure);
	else if (configured)
		found(mesh, configured, addresses, count, all);
	if (configured && all > count)
		presence_many(mesh, configured, count, all);
	pump(mesh);
}

void mesh_packet(
	struct mesh *mesh, const struct mesh_time *time, const uint8_t *packet, size_t size)
{
	enter(mesh, time);
	lan_packet(mesh, packet, size);
	pump(mesh);
}

void mesh_addresses(struct mesh *mesh, const struct mesh_time *time, const struct address *bound,
	size_t bound_count)
{
	enter(mesh, time);
	if (mesh->stopping)
		return;
	self_addresses(mesh, bound, bound_count);
	pump(mesh);
}

void mesh_relay(struct mesh *mesh, const struct mesh_time *time, const struct relay_url *url)
{
	enter(mesh, time);
	if (mesh->stopping)
		return;
	self_relay(mesh, url);
	pump(mesh);
}

void mesh_relay_up(struct mesh *mesh, const struct mesh_time *time)
{
	enter(mesh, time);
	if (mesh->stopping)
		return;
	dialer_again(mesh->dialer, mesh->now);
	dialer_again(mesh->explorer, mesh->now);
	neighbours_again(mesh);
	pump(mesh);
}

/* ---- time ---- */

void mesh_tick(struct mesh *mesh, const struct mesh_time *time)
{
	enter(mesh, time);
	if (mesh->over)
		return;
	while (mesh->now >= gossip_deadline(mesh->gossip)) {
		gossip_step(mesh->gossip, mesh->now);
		effects_gossip(mesh);
		if (mesh_is_late(mesh))
			break;
	}
	overlays_expire_waiting(mesh);
	overlays_pace(mesh);
	sessions_tick(mesh);
	pings_tick(mesh);
	connections_expire(mesh);
	if (!mesh->stopping)
		neighbours_heal(mesh);
	twins_tick(mesh);
	self_tick(mesh);
	pump(mesh);
}

void mesh_turn(struct mesh *mesh, const struct mesh_time *time)
{
	enter(mesh, time);
	if (mesh->over)
		return;
	if (!mesh->stopping)
		self_renew(mesh);
	pump(mesh);
	overlays_tell_dropped(mesh);
}

size_t mesh_held(const struct mesh *mesh)
{
	return gossip_held(mesh->gossip);
}

uint64_t mesh_deadline(const struct mesh *mesh)
{
	const uint64_t stopping[] = {links_deadline(mesh->links), mesh->stop_due};
	const uint64_t living[] = {
		links_deadline(mesh->links),
		dialer_deadline(mesh->dialer),
		joiner_deadline(mesh->joiner),
		dialer_deadline(mesh->explorer),
		walker_deadline(mesh->walker),
		sessions_deadline(mesh),
		pings_deadline(mesh),
		connections_deadline(mesh),
		lan_deadline(mesh),
		overlays_deadline(mesh),
		unverified_deadline(mesh),
		neighbours_deadline(mesh),
		self_deadline(mesh),
		twin_deadline(&mesh->twin),
	};
	const uint64_t *all = mesh->stopping ? stopping : living;
	size_t count = mesh->stopping ? sizeof stopping / sizeof *stopping
				      : sizeof living / sizeof *living;
	uint64_t due = mesh->unfinished ? 0 : gossip_deadline(mesh->gossip);

	if (mesh->over)
		return UINT64_MAX;
	for (size_t i = 0; i < count; i++)
		if (all[i] < due)
			due = all[i];
	return due;
}

/* ---- what is wanted ---- */

bool mesh_row(struct mesh *mesh, struct id *node, uint8_t row[MESH_ROW_SIZE], size_t *size)
{
	return !mesh->over && book_row(mesh->book, node, row, size);
}

struct mesh_figures mesh_figures(const struct mesh *mesh)
{
	struct mesh_figures figures = mesh->figures;

	figures.relayed = links_count_relayed(mesh->links);
	figures.waiting = mesh->room.count + mesh->paced.count;
	return figures;
}
