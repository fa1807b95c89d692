/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Connections and streams: between quic and the cores. */
#include <stdio.h>
#include <utlist.h>

#include "internal.h"

void route_dial(struct engine *engine, const struct id *peer, const struct address *address)
{
	struct route *route = memory_zalloc(sizeof *route);
	int error = ERROR_NOMEM;

	if (route) {
		route->engine = engine;
		route->peer = *peer;
		route->address = *address;
		route->dialled = true;
		error = quic_connect(engine->endpoint, GOSSIP, peer, address, &route->connection);
	}
	if (error) {
		engine_log(engine, NODE_LOG_DEBUG, "peer %s: cannot be dialled: %s",
			short_id(peer).text, error_text(error));
		memory_free(route);
		engine_count(engine, COUNTER_DIALS_FAILED);
		dialer_failed(engine->dialer, engine_now(engine), peer, address);
		return;
	}
	engine_count(engine, COUNTER_DIALS);
	quic_connection_set_data(route->connection, route);
	DL_APPEND(engine->dials, route);
	route->dialling = true;
}

/* It has come about or failed: not one of the dials under way any more. */
static void dial_is_over(struct engine *engine, struct route *route)
{
	if (!route->dialling)
		return;
	DL_DELETE(engine->dials, route);
	route->dialling = false;
}

void route_note_failure(struct engine *engine, const struct id *peer,
	const struct address *address, const char *text)
{
	struct configured *configured = engine_configured(engine, peer);
	char buffer[ADDRESS_TEXT_SIZE];

	if (configured && !configured_is_news(configured, text))
		return;
	engine_log(engine, configured ? NODE_LOG_NOTICE : NODE_LOG_DEBUG, "%s %s at %s: %s",
		configured && !configured->trusted ? "bootstrap" : "peer", short_id(peer).text,
		address_format(address, buffer), text);
}

/* The first of several dials to one node has come about: the others are not needed. */
static void close_other_dials(struct engine *engine, const struct id *peer)
{
	struct route *route;

	DL_FOREACH (engine->dials, route)
		if (id_equal(&route->peer, peer))
			quic_connection_close(route->connection, 0);
}

static struct route *adopt(struct engine *engine, struct quic_connection *connection)
{
	struct route *route = memory_zalloc(sizeof *route);

	if (!route)
		return NULL;
	route->engine = engine;
	route->connection = connection;
	route->peer = *quic_connection_peer(connection);
	route->address = quic_connection_address(connection);
	quic_connection_set_data(connection, route);
	return route;
}

/* ---- streams of overlays that are not joined ---- */

static int add_guest(struct route *route)
{
	struct engine *engine = route->engine;
	unsigned hash = keyed_hash(&engine->keyed, &route->peer, sizeof route->peer);
	struct guest *guest;

	HASH_FIND_BYHASHVALUE(hh, engine->guests, &route->peer, sizeof route->peer, hash, guest);
	if (!guest) {
		guest = memory_zalloc(sizeof *guest);
		if (!guest)
			return ERROR_NOMEM;
		guest->peer = route->peer;
		HASH_ADD_KEYPTR_BYHASHVALUE(
			hh, engine->guests, &guest->peer, sizeof guest->peer, hash, guest);
		if (!guest->hh.tbl) {
			memory_free(guest);
			return ERROR_NOMEM;
		}
	}
	guest->routes++;
	route->guest = guest;
	DL_APPEND2(engine->guest_routes, route, guests_prev, guests_next);
	return ERROR_NONE;
}

static void remove_guest(struct route *route)
{
	struct engine *engine = route->engine;
	struct guest *guest = route->guest;

	if (!guest)
		return;
	DL_DELETE2(engine->guest_routes, route, guests_prev, guests_next);
	route->guest = NULL;
	if (--guest->routes > 0)
		return;
	HASH_DELETE(hh, engine->guests, guest);
	memory_free(guest);
}

/* Of the peer that has most of them, the connection that has. Configured nodes may wait for us to
 * join what they have. */
static struct route *fullest(struct engine *engine, const struct guest *of)
{
	struct route *route, *found = NULL;

	DL_FOREACH2 (engine->guest_routes, route, guests_next) {
		if (route->leaving || (of ? route->guest != of
					  : engine_configured(engine, &route->peer) != NULL))
			continue;
		if (!found || route->guest->foreign > found->guest->foreign ||
			(route->guest == found->guest && route->foreign > found->foreign))
			found = route;
	}
	return found;
}

static void let_go(struct route *route)
{
	struct engine *engine = route->engine;

	engine_count(engine, COUNTER_LIMIT_FOREIGN);
	route->leaving = true;
	route->guest->foreign -= route->foreign;
	engine->foreign -= route->foreign;
	quic_connection_close_with(route->connection, 0, "too many streams not in common");
}

static void count_foreign(struct route *route, bool more)
{
	struct engine *engine = route->engine;
	struct route *victim = NULL;
	size_t one = more ? 1 : (size_t)-1;

	route->foreign += one;
	if (route->leaving)
		return;
	route->guest->foreign += one;
	engine->foreign += one;
	if (route->guest->foreign > LIMIT_FOREIGN_STREAMS_PER_PEER)
		victim = fullest(engine, route->guest);
	else if (engine->foreign > LIMIT_FOREIGN_STREAMS)
		victim = fullest(engine, NULL);
	if (victim)
		let_go(victim);
}

/* ---- of what use a connection is ---- */

static void set_stranger(struct route *route, bool stranger)
{
	struct engine *engine = route->engine;

	if (route->stranger == stranger)
		return;
	route->stranger = stranger;
	quic_connection_set_stranger(route->connection, stranger);
	if (!stranger) {
		DL_DELETE2(engine->strangers, route, strangers_prev, strangers_next);
		return;
	}
	route->due = engine_now(engine) + LIMIT_STRANGER_MS * MS;
	DL_APPEND2(engine->strangers, route, strangers_prev, strangers_next);
}

/* Configured nodes may wait for us to join. */
static void judge(struct route *route)
{
	set_stranger(route, route->uses == 0 && !engine_configured(route->engine, &route->peer));
}

static void add_use(struct route *route)
{
	route->uses++;
	judge(route);
}

static void remove_use(struct route *route)
{
	route->uses--;
	judge(route);
}

static void set_joined(struct inlet *inlet, bool joined)
{
	if (inlet->joined == joined)
		return;
	inlet->joined = joined;
	count_foreign(inlet->route, !joined);
	if (joined)
		add_use(inlet->route);
	else
		remove_use(inlet->route);
}

void routes_joined(struct engine *engine, const struct id *topic, bool joined)
{
	struct inlet *inlet;

	DL_FOREACH (engine->inlets, inlet)
		if (inlet->has_topic && id_equal(&inlet->topic, topic))
			set_joined(inlet, joined);
}

uint64_t routes_deadline(const struct engine *engine)
{
	return engine->strangers ? engine->strangers->due : UINT64_MAX;
}

void routes_expire(struct engine *engine, uint64_t now)
{
	struct route *route;

	DL_FOREACH2 (engine->strangers, route, strangers_next) {
		if (route->due > now)
			return;
		/* It leaves the list when it has closed. */
		route->due = UINT64_MAX;
		quic_connection_close_with(route->connection, 0, "no overlay in common");
	}
}

bool route_keep(void *context, const struct id *peer)
{
	return engine_configured(context, peer) != NULL;
}

void route_crowded(void *context, const struct address *source)
{
	engine_remark_crowded(context, source);
}

static void on_connected(void *context, struct quic_connection *connection)
{
	struct engine *engine = context;
	struct route *route = quic_connection_data(connection);
	char address[ADDRESS_TEXT_SIZE];

	if (route)
		dial_is_over(engine, route);
	else
		route = adopt(engine, connection);
	if (!route || add_guest(route) ||
		links_connected(engine->links, engine_now(engine), &route->peer, connection,
			&route->lane)) {
		quic_connection_close(connection, 0);
		return;
	}
	atomic_fetch_add(engine->owner.connections, 1);
	judge(route);
	nodes_reached(engine, &route->peer);
	/* Anybody can dial us, under as many keys as they like: that proves nothing yet. */
	if (route->dialled) {
		dialer_worked(engine->dialer, &route->address);
		book_worked(engine->book, engine_now(engine), engine_wall(engine), &route->peer,
			&route->address);
	} else {
		book_hear(engine->book, engine_now(engine), &route->peer, &route->peer,
			&route->address, 1, ADDRESS_LOOPBACK);
	}
	/* For the side that dials that is before the other one has let it in. */
	engine_log(engine, NODE_LOG_DEBUG,
		"peer %s at %s: connected (%s)", short_id(&route->peer).text,
		address_format(&route->address, address), route->dialled ? "dialled" : "incoming");
	if (route->dialled)
		close_other_dials(engine, &route->peer);
	engine_pump(engine);
}

#define AT_ADDRESS_SIZE (4 + ADDRESS_TEXT_SIZE)

static const char *at_address(const struct address *address, char out[AT_ADDRESS_SIZE])
{
	char text[ADDRESS_TEXT_SIZE];

	snprintf(out, AT_ADDRESS_SIZE, " at %s", address_format(address, text));
	return out;
}

/* What others say of where a node is may be true for us too: two containers on two machines
 * often have the same address. */
static bool is_ourselves(const struct engine *engine, const struct address *address)
{
	const struct advertise *own = &engine->advertise;

	for (size_t i = 0; i < own->told_count; i++)
		if (address_compare(address, &own->told[i]) == 0)
			return true;
	for (size_t i = 0; i < own->bound_count; i++)
		if (address_compare(address, &own->bound[i]) == 0 ||
			(address_is_loopback(address) && address->port == own->bound[i].port))
			return true;
	return false;
}

bool route_accept(void *context, const struct id *peer)
{
	struct engine *engine = context;

	if (id_equal(peer, &engine->me)) {
		engine_remark_own_id(engine, "");
		return false;
	}
	if (!access_grants(engine->access, peer)) {
		engine_remark_denied(engine, peer, "refused");
		return false;
	}
	return true;
}

static void on_closed(
	void *context, struct quic_connection *connection, const struct quic_close *close)
{
	struct engine *engine = context;
	struct route *route = quic_connection_data(connection);
	char at[AT_ADDRESS_SIZE];
	struct address address;

	if (!route) {
		/* refused before it was ours */
		address = quic_connection_address(connection);
		if (close->other_network && quic_connection_incoming(connection))
			neighbours_stranger(engine, &address, close->text);
		return;
	}
	set_stranger(route, false);
	remove_guest(route);
	if (route->lane) {
		atomic_fetch_sub(engine->owner.connections, 1);
		/* A dialler is through before the other side has decided. */
		if (close->refused)
			route_note_failure(engine, &route->peer, &route->address, close->text);
		else
			engine_log(engine, NODE_LOG_DEBUG, "peer %s: connection closed: %s",
				short_id(&route->peer).text, close->text);
		links_closed(engine->links, engine_now(engine), route->lane);
	} else if (route->dialled) {
		dial_is_over(engine, route);
		engine_count(engine, COUNTER_DIALS_FAILED);
		if (close->own_key && !is_ourselves(engine, &route->address))
			engine_remark_own_id(engine, at_address(&route->address, at));
		if (!links_linked(engine->links, &route->peer))
			route_note_failure(engine, &route->peer, &route->address, close->text);
		dialer_failed(engine->dialer, engine_now(engine), &route->peer, &route->address);
	}
	memory_free(route);
	engine_pump(engine);
}

static struct inlet *inlet_of(struct engine *engine, struct quic_stream *stream)
{
	struct inlet *inlet = quic_stream_data(stream);

	if (inlet)
		return inlet;
	inlet = memory_zalloc(sizeof *inlet);
	if (!inlet)
		return NULL;
	inlet->route = quic_connection_data(quic_stream_connection(stream));
	frame_reader_init(&inlet->reader);
	quic_stream_set_data(stream, inlet);
	DL_APPEND(engine->inlets, inlet);
	count_foreign(inlet->route, true); /* until it shows */
	links_inbound(engine->links, engine_now(engine), inlet->route->lane, true);
	return inlet;
}

/* What cannot be decoded ends the stream; running out of memory does not. */
static int on_frame(struct engine *engine, struct inlet *inlet, const uint8_t *body, size_t size)
{
	const struct overlay *overlay;
	int error;

	if (inlet->has_topic) {
		error = gossip_receive(engine->gossip, engine_now(engine), &inlet->route->peer,
			&inlet->topic, body, size);
		return error == ERROR_NOMEM ? ERROR_NONE : error;
	}
	error = frame_decode_header(body, size, &inlet->topic);
	if (error)
		engine_count(engine, COUNTER_BAD_FRAME);
	inlet->has_topic = !error;
	if (!error) {
		neighbours_named(engine, &inlet->route->peer, &inlet->topic);
		overlay = engine_overlay(engine, &inlet->topic);
		set_joined(inlet, overlay && !overlay->refused);
		nodes_named(engine, &inlet->route->peer, &inlet->topic);
		links_resume(engine->links, engine_now(engine), &inlet->route->peer, &inlet->topic);
	}
	return error;
}

static int on_bytes(
	struct engine *engine, struct quic_stream *stream, const uint8_t *data, size_t size)
{
	struct inlet *inlet = inlet_of(engine, stream);
	const uint8_t *body;
	size_t body_size;
	int error, frames;

	if (!inlet)
		return ERROR_NOMEM;
	while ((frames = frame_reader_next(&inlet->reader, &data, &size, &body, &body_size)) == 1) {
		error = on_frame(engine, inlet, body, body_size);
		if (error)
			return error;
		effects_gossip(engine);
	}
	if (frames == ERROR_TOO_LARGE)
		engine_count(engine, COUNTER_BAD_FRAME);
	return frames;
}

static void on_stream_data(
	void *context, struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
	struct engine *engine = context;
	struct route *route = quic_connection_data(quic_stream_connection(stream));
	int error;

	(void)fin;
	if (!route || !route->lane)
		return; /* being closed */
	error = on_bytes(engine, stream, data, size);
	if (error) {
		/* Not the stream alone: an upstream node whose stream is stopped sends nothing more
		 * on any (src/net/util.rs, the send loop ends with its first error) and does not
		 * notice, for what it reads still comes. */
		engine_log(engine, NODE_LOG_DEBUG, "peer %s: connection closed: %s",
			short_id(&route->peer).text, error_text(error));
		quic_connection_close(route->connection, 1);
	}
	engine_pump(engine);
}

static void on_stream_closed(void *context, struct quic_stream *stream)
{
	struct engine *engine = context;
	struct route *route = quic_connection_data(quic_stream_connection(stream));
	struct inlet *inlet, ended;
	struct outlet *outlet;

	if (!quic_stream_incoming(stream)) {
		remove_use(route);
		outlet = quic_stream_data(stream);
		if (outlet)
			links_stream_closed(engine->links, engine_now(engine), outlet,
				quic_stream_take(stream));
		engine_pump(engine);
		return;
	}
	inlet = quic_stream_data(stream);
	if (!inlet)
		return;
	ended = *inlet;
	set_joined(inlet, false);
	count_foreign(inlet->route, false);
	links_inbound(engine->links, engine_now(engine), inlet->route->lane, false);
	DL_DELETE(engine->inlets, inlet);
	frame_reader_clear(&inlet->reader);
	memory_free(inlet);
	if (ended.has_topic)
		twins_stream_ended(engine, &route->peer, &ended.topic);
}

static void on_stream_credit(void *context, struct quic_connection *connection)
{
	struct engine *engine = context;
	struct route *route = quic_connection_data(connection);

	if (route && route->lane)
		links_credit(engine->links, engine_now(engine), route->lane);
}

static int io_open(void *connection, const struct id *topic, struct outlet *outlet, void **stream)
{
	struct quic_stream *opened;
	struct frame *header;
	int error = frame_encode_header(topic, &header);

	if (error)
		return error;
	error = quic_stream_open(connection, &opened);
	if (!error) {
		add_use(quic_connection_data(connection));
		error = quic_stream_send(opened, header);
		if (error)
			quic_stream_finish(opened); /* nobody will miss it */
	}
	if (error) {
		frame_free(header);
		return error;
	}
	quic_stream_set_data(opened, outlet);
	*stream = opened;
	return ERROR_NONE;
}

static int io_send(void *stream, struct frame *frame)
{
	return quic_stream_send(stream, frame);
}

static void io_finish(void *stream)
{
	quic_stream_finish(stream);
}

static void io_close(void *connection)
{
	quic_connection_close(connection, 0);
}

const struct quic_callbacks route_callbacks = {
	.connected = on_connected,
	.accept = route_accept,
	.keep = route_keep,
	.closed = on_closed,
	.stream_data = on_stream_data,
	.stream_closed = on_stream_closed,
	.stream_credit = on_stream_credit,
};
const struct link_io route_io = {io_open, io_send, io_finish, io_close};
