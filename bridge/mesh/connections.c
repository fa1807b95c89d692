/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "connections.h"

#include <stdio.h>
#include <utlist.h>

#include "../error.h"
#include "neighbours.h"
#include "overlays.h"
#include "presence.h"

static struct connection *connection_of(struct link_connection *linked)
{
	return (struct connection *)((char *)linked - offsetof(struct connection, linked));
}

/* Tells whether the connection's handshake is complete, and the links have taken it. */
static bool is_linked(const struct connection *connection)
{
	return connection->linked.link != NULL;
}

void connections_dial(struct mesh *mesh, const struct id *peer, const struct address *address)
{
	struct connection *connection = memory_zalloc(sizeof *connection);
	int error = ERROR_NOMEM;

	if (connection) {
		connection->mesh = mesh;
		connection->peer = *peer;
		connection->address = *address;
		connection->dialled = true;
		error = mesh->port.dial(mesh->port.context, MESH_GOSSIP, peer, address, connection,
			&connection->handle);
	}
	mesh_count(mesh, COUNTER_DIALS);
	if (error) {
		presence_not_begun(mesh, peer, address, error);
		memory_free(connection);
		mesh_count(mesh, COUNTER_DIALS_FAILED);
		dialer_failed(mesh->dialer, mesh->now, peer, address);
		return;
	}
	DL_APPEND(mesh->dials, connection);
	connection->dialling = true;
}

/* Removes a connection that has come about or failed from the list of dials under way. */
static void dial_is_over(struct mesh *mesh, struct connection *connection)
{
	if (!connection->dialling)
		return;
	DL_DELETE(mesh->dials, connection);
	connection->dialling = false;
}

/* Closes the other dials to a node when the first of several has come about: they are not
 * needed. */
static void close_other_dials(struct mesh *mesh, const struct id *peer)
{
	struct connection *connection;

	DL_FOREACH (mesh->dials, connection)
		if (id_equal(&connection->peer, peer))
			mesh->port.close(connection->handle, 0, NULL);
}

static struct connection *adopt(struct mesh *mesh, void *handle, const struct id *peer,
	const struct address *address)
{
	struct connection *connection = memory_zalloc(sizeof *connection);

	if (!connection)
		return NULL;
	connection->mesh = mesh;
	connection->handle = handle;
	connection->peer = *peer;
	connection->address = *address;
	mesh->port.own_connection(handle, connection);
	return connection;
}

const struct connection *connections_to(const struct mesh *mesh, const struct id *peer)
{
	struct link_connection *newest = links_newest(mesh->links, peer);

	return newest ? connection_of(newest) : NULL;
}

/* ---- streams of overlays that are not joined ---- */

struct guest *connections_guest(const struct mesh *mesh, const struct id *peer)
{
	struct guest *guest;

	KEYED_FIND(&mesh->keyed, mesh->guests, peer, sizeof *peer, guest);
	return guest;
}

static int add_guest(struct connection *connection)
{
	struct mesh *mesh = connection->mesh;
	struct guest *guest = connections_guest(mesh, &connection->peer);

	if (!guest) {
		guest = memory_zalloc(sizeof *guest);
		if (!guest)
			return ERROR_NOMEM;
		guest->peer = connection->peer;
		KEYED_ADD(&mesh->keyed, mesh->guests, &guest->peer, sizeof guest->peer, guest);
		if (!guest)
			return ERROR_NOMEM;
	}
	guest->connections++;
	connection->guest = guest;
	DL_APPEND2(mesh->guest_connections, connection, guests_prev, guests_next);
	return ERROR_NONE;
}

static void remove_guest(struct connection *connection)
{
	struct mesh *mesh = connection->mesh;
	struct guest *guest = connection->guest;

	if (!guest)
		return;
	DL_DELETE2(mesh->guest_connections, connection, guests_prev, guests_next);
	connection->guest = NULL;
	if (--guest->connections > 0)
		return;
	HASH_DELETE(hh, mesh->guests, guest);
	memory_free(guest);
}

/* Returns the connection with the most foreign streams, of the peer that has most of them. of: the
 * one peer whose connections count; NULL: those of all peers do but of configured nodes, which may
 * wait for us to join what they have. */
static struct connection *fullest(struct mesh *mesh, const struct guest *of)
{
	struct connection *connection, *found = NULL;

	DL_FOREACH2 (mesh->guest_connections, connection, guests_next) {
		if (connection->leaving || (of ? connection->guest != of
					  : mesh_configured(mesh, &connection->peer) != NULL))
			continue;
		if (!found || connection->guest->foreign > found->guest->foreign ||
			(connection->guest == found->guest && connection->foreign > found->foreign))
			found = connection;
	}
	return found;
}

static void let_go(struct connection *connection)
{
	struct mesh *mesh = connection->mesh;

	mesh_count(mesh, COUNTER_LIMIT_FOREIGN);
	connection->leaving = true;
	connection->guest->foreign -= connection->foreign;
	mesh->foreign -= connection->foreign;
	mesh->port.close(connection->handle, 0, "too many streams not in common");
}

static void count_foreign(struct connection *connection, bool more)
{
	struct mesh *mesh = connection->mesh;
	struct connection *victim = NULL;
	size_t one = more ? 1 : (size_t)-1;

	connection->foreign += one;
	if (connection->leaving)
		return;
	connection->guest->foreign += one;
	mesh->foreign += one;
	if (connection->guest->foreign > LIMIT_FOREIGN_STREAMS_PER_PEER)
		victim = fullest(mesh, connection->guest);
	else if (mesh->foreign > LIMIT_FOREIGN_STREAMS)
		victim = fullest(mesh, NULL);
	if (victim)
		let_go(victim);
}

/* ---- of what use a connection is ---- */

static void set_stranger(struct connection *connection, bool stranger)
{
	struct mesh *mesh = connection->mesh;

	if (connection->stranger == stranger)
		return;
	connection->stranger = stranger;
	mesh->port.set_stranger(connection->handle, stranger);
	if (!stranger) {
		DL_DELETE2(mesh->strangers, connection, strangers_prev, strangers_next);
		return;
	}
	connection->due = mesh->now + LIMIT_STRANGER_MS * MS;
	DL_APPEND2(mesh->strangers, connection, strangers_prev, strangers_next);
}

/* Judges whether a connection is a stranger's: it has no uses, and the node is not configured.
 * Configured nodes may wait for us to join. */
static void judge(struct connection *connection)
{
	set_stranger(connection, connection->uses == 0 && !mesh_configured(connection->mesh, &connection->peer));
}

void connections_judge(struct mesh *mesh, const struct id *peer)
{
	struct connection *connection;

	DL_FOREACH2 (mesh->guest_connections, connection, guests_next)
		if (id_equal(&connection->peer, peer) && is_linked(connection))
			judge(connection);
}

void connections_shut_out(struct mesh *mesh)
{
	struct connection *connection;

	DL_FOREACH (mesh->dials, connection)
		if (!access_grants(mesh->access, &connection->peer))
			mesh->port.close(connection->handle, 0, NULL);
	DL_FOREACH2 (mesh->guest_connections, connection, guests_next)
		if (!access_grants(mesh->access, &connection->peer))
			mesh->port.close(connection->handle, 0, "shut out");
}

static void add_use(struct connection *connection)
{
	connection->uses++;
	judge(connection);
}

static void remove_use(struct connection *connection)
{
	connection->uses--;
	judge(connection);
}

static void set_joined(struct stream_in *stream_in, bool joined)
{
	if (stream_in->joined == joined)
		return;
	stream_in->joined = joined;
	count_foreign(stream_in->connection, !joined);
	if (joined)
		add_use(stream_in->connection);
	else
		remove_use(stream_in->connection);
}

/* Takes into the book, as sharing the topic, those who are on this overlay and have told us so when
 * we were not: their Join went unheard, and upstream does not repeat it. */
void connections_joined(struct mesh *mesh, const struct id *topic, bool joined)
{
	struct stream_in *stream_in;

	DL_FOREACH (mesh->streams_in, stream_in) {
		if (!stream_in->has_topic || !id_equal(&stream_in->topic, topic))
			continue;
		set_joined(stream_in, joined);
		if (joined)
			book_set_shared(
				mesh->book, mesh->now, &stream_in->connection->peer, topic, true);
	}
}

uint64_t connections_deadline(const struct mesh *mesh)
{
	return mesh->strangers ? mesh->strangers->due : UINT64_MAX;
}

void connections_expire(struct mesh *mesh)
{
	struct connection *connection;

	DL_FOREACH2 (mesh->strangers, connection, strangers_next) {
		if (connection->due > mesh->now)
			return;
		/* The connection leaves the list when it has closed. */
		connection->due = UINT64_MAX;
		mesh->port.close(connection->handle, 0, "no overlay in common");
	}
}

void connections_made(struct mesh *mesh, void *handle, struct connection *connection,
	const struct id *peer, const struct address *address)
{
	bool relayed = address_is_relay(address);
	char text[ADDRESS_TEXT_SIZE];

	if (connection)
		dial_is_over(mesh, connection);
	else
		connection = adopt(mesh, handle, peer, address);
	if (!connection || add_guest(connection) ||
		links_connected(mesh->links, mesh->now, peer, &connection->linked, relayed)) {
		mesh->port.close(handle, 0, NULL);
		return;
	}
	mesh->figures.connections++;
	connection->made = mesh->now;
	mesh_nodes_changed(mesh);
	judge(connection);
	neighbours_reached(mesh, peer);
	/* Anybody can dial us, under as many keys as they like: that proves nothing yet. */
	if (connection->dialled) {
		dialer_worked(mesh->dialer, &connection->address);
		book_worked(mesh->book, mesh->now, mesh->wall, peer, &connection->address);
	} else if (!relayed) {
		book_hear(mesh->book, mesh->now, peer, peer, &connection->address, 1,
			ADDRESS_LOOPBACK);
	}
	/* A NAT that the peer's first datagrams have opened is open for us now. */
	neighbours_note_link(mesh, peer, relayed && !connection->dialled);
	/* The side that dials logs this before the other side has let it in. */
	mesh_log(mesh, NODE_LOG_DEBUG, "peer %s at %s: connected (%s)", short_id(peer).text,
		address_format(&connection->address, text),
		connection->dialled ? "dialled" : "incoming");
	/* While the connection goes by way of a relay other dials may bring a better one. */
	if (connection->dialled && !relayed)
		close_other_dials(mesh, peer);
}

#define AT_ADDRESS_SIZE (4 + ADDRESS_TEXT_SIZE)

static const char *at_address(const struct address *address, char out[AT_ADDRESS_SIZE])
{
	char text[ADDRESS_TEXT_SIZE];

	snprintf(out, AT_ADDRESS_SIZE, " at %s", address_format(address, text));
	return out;
}

/* Tells whether an address is one of this node's own. What others say of where a node is may be
 * true for this one, too: two containers on two machines often have the same address. */
static bool is_ourselves(const struct mesh *mesh, const struct address *address)
{
	const struct self *own = &mesh->self;

	for (size_t i = 0; i < own->told_count; i++)
		if (address_compare(address, &own->told[i]) == 0)
			return true;
	for (size_t i = 0; i < own->bound_count; i++)
		if (address_compare(address, &own->bound[i]) == 0 ||
			(address_is_loopback(address) && address->port == own->bound[i].port))
			return true;
	return false;
}

void connections_closed(struct connection *connection, const struct closing *closing)
{
	struct mesh *mesh = connection->mesh;
	char at[AT_ADDRESS_SIZE];

	set_stranger(connection, false);
	remove_guest(connection);
	if (is_linked(connection)) {
		mesh->figures.connections--;
		mesh_nodes_changed(mesh);
		/* A dialler is through before the other side has decided. */
		if (closing->refused)
			presence_failed(
				mesh, &connection->peer, &connection->address, closing->text);
		else
			mesh_log(mesh, NODE_LOG_DEBUG, "peer %s: connection closed: %s",
				short_id(&connection->peer).text, closing->text);
		links_closed(mesh->links, mesh->now, &connection->linked);
	} else if (connection->dialled) {
		dial_is_over(mesh, connection);
		mesh_count(mesh, COUNTER_DIALS_FAILED);
		if (closing->own_key && !is_ourselves(mesh, &connection->address))
			mesh_remark_own_id(mesh, at_address(&connection->address, at));
		if (!links_linked(mesh->links, &connection->peer))
			presence_failed(
				mesh, &connection->peer, &connection->address, closing->text);
		dialer_failed(mesh->dialer, mesh->now, &connection->peer, &connection->address);
	}
	memory_free(connection);
}

/* ---- streams ---- */

static struct stream_in *stream_in_new(struct connection *connection, void *stream)
{
	struct mesh *mesh = connection->mesh;
	struct stream_in *stream_in = memory_zalloc(sizeof *stream_in);

	if (!stream_in)
		return NULL;
	stream_in->connection = connection;
	frame_reader_init(&stream_in->reader);
	mesh->port.own_stream(stream, stream_in);
	DL_APPEND(mesh->streams_in, stream_in);
	count_foreign(connection, true); /* until it shows */
	links_inbound(mesh->links, mesh->now, &connection->linked, true);
	return stream_in;
}

/* Takes the stream's first frame, which says for which overlay the stream is. */
static int on_header(struct mesh *mesh, struct stream_in *stream_in, const uint8_t *body, size_t size)
{
	const struct id *peer = &stream_in->connection->peer, *topic = &stream_in->topic;
	int error = frame_decode_header(body, size, &stream_in->topic);

	if (error) {
		mesh_count(mesh, COUNTER_BAD_FRAME);
		return error;
	}
	stream_in->has_topic = true;
	if (!overlay_find(mesh, topic))
		presence_named(mesh, peer, topic);
	set_joined(stream_in, overlay_joined(mesh, topic) != NULL);
	neighbours_named(mesh, peer, topic);
	links_resume(mesh->links, mesh->now, peer, topic);
	return ERROR_NONE;
}

/* Takes a frame. Returns an error if it cannot be decoded, which ends the connection; running out
 * of memory does not. */
static int on_frame(struct mesh *mesh, struct stream_in *stream_in, const uint8_t *body, size_t size)
{
	int error;

	if (!stream_in->has_topic)
		return on_header(mesh, stream_in, body, size);
	error = gossip_receive(mesh->gossip, mesh->now, &stream_in->connection->peer,
		&stream_in->topic, body, size);
	return error == ERROR_NOMEM ? ERROR_NONE : error;
}

static int on_bytes(struct mesh *mesh, struct stream_in *stream_in, const uint8_t *data, size_t size,
	void (*gossiped)(struct mesh *mesh))
{
	const uint8_t *body;
	size_t body_size;
	int error, frames;

	if (!stream_in)
		return ERROR_NOMEM;
	while ((frames = frame_reader_next(&stream_in->reader, &data, &size, &body, &body_size)) ==
		1) {
		error = on_frame(mesh, stream_in, body, body_size);
		if (error)
			return error;
		gossiped(mesh);
	}
	if (frames == ERROR_TOO_LARGE)
		mesh_count(mesh, COUNTER_BAD_FRAME);
	return frames;
}

void connections_data(struct connection *connection, void *stream, struct stream_in *stream_in,
	const uint8_t *data, size_t size, void (*gossiped)(struct mesh *mesh))
{
	struct mesh *mesh = connection->mesh;
	int error;

	if (!is_linked(connection))
		return; /* being closed */
	if (!stream_in)
		stream_in = stream_in_new(connection, stream);
	error = on_bytes(mesh, stream_in, data, size, gossiped);
	if (!error)
		return;
	/* Not the stream alone: an upstream node whose stream is stopped sends nothing more on any
	 * (src/net/util.rs, the send loop ends with its first error) and does not notice, for what
	 * it reads still comes. */
	mesh_log(mesh, NODE_LOG_DEBUG, "peer %s: connection closed: %s",
		short_id(&connection->peer).text, error_text(error));
	mesh->port.close(connection->handle, 1, NULL);
}

const struct id *mesh_stream_topic(const void *ours)
{
	const struct stream_in *stream_in = ours;

	return stream_in->has_topic && stream_in->joined ? &stream_in->topic : NULL;
}

bool connections_has_stream(const struct mesh *mesh, const struct id *peer, const struct id *topic)
{
	const struct stream_in *stream_in;

	DL_FOREACH (mesh->streams_in, stream_in)
		if (stream_in->has_topic && id_equal(&stream_in->topic, topic) &&
			id_equal(&stream_in->connection->peer, peer))
			return true;
	return false;
}

static void stream_in_closed(struct mesh *mesh, struct stream_in *stream_in)
{
	/* There may be thousands: whether the end of a stream means anything is looked at for one
	 * of them. */
	if (stream_in->has_topic)
		twin_stream_ended(&mesh->twin, mesh->now, &stream_in->connection->peer,
			&stream_in->topic);
	/* Not first counted as a foreign one, as when the overlay is left: at the limit that would
	 * cost somebody a connection. */
	if (stream_in->joined)
		remove_use(stream_in->connection);
	else
		count_foreign(stream_in->connection, false);
	links_inbound(mesh->links, mesh->now, &stream_in->connection->linked, false);
	DL_DELETE(mesh->streams_in, stream_in);
	frame_reader_clear(&stream_in->reader);
	memory_free(stream_in);
}

void connections_stream_closed(struct connection *connection, void *ours, bool incoming,
	struct frame *unacknowledged)
{
	struct mesh *mesh = connection->mesh;

	if (!incoming) {
		remove_use(connection);
		if (ours)
			links_stream_closed(mesh->links, mesh->now, ours, unacknowledged);
	} else if (ours) {
		stream_in_closed(mesh, ours);
	}
}

void connections_credit(struct connection *connection)
{
	struct mesh *mesh = connection->mesh;

	if (is_linked(connection))
		links_credit(mesh->links, mesh->now, &connection->linked);
}

/* ---- what the links want ---- */

static int io_open(struct link_connection *linked, const struct id *topic,
	struct stream_out *stream_out, void **stream)
{
	struct connection *connection = connection_of(linked);
	const struct mesh_port *port = &connection->mesh->port;
	struct frame *header;
	int error = frame_encode_header(topic, &header);

	if (error)
		return error;
	error = port->open(connection->handle, false, stream);
	if (!error) {
		add_use(connection);
		error = port->send(*stream, header);
		if (error)
			port->finish(*stream); /* nobody will miss it */
	}
	if (error) {
		frame_free(header);
		return error;
	}
	port->own_stream(*stream, stream_out);
	return ERROR_NONE;
}

static size_t io_queued(struct link_connection *linked, size_t *limit)
{
	struct connection *connection = connection_of(linked);

	return connection->mesh->port.queued(connection->handle, limit);
}

static void io_close(struct link_connection *linked)
{
	struct connection *connection = connection_of(linked);

	connection->mesh->port.close(connection->handle, 0, NULL);
}

struct link_io connections_io(const struct mesh *mesh)
{
	return (struct link_io){.open = io_open,
		.send = mesh->port.send,
		.queued = mesh->port.queued ? io_queued : NULL,
		.finish = mesh->port.finish,
		.close = io_close};
}
