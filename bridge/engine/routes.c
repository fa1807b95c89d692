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

static void on_connected(void *context, struct quic_connection *connection)
{
	struct engine *engine = context;
	struct route *route = quic_connection_data(connection);
	char address[ADDRESS_TEXT_SIZE];

	if (route)
		dial_is_over(engine, route);
	else
		route = adopt(engine, connection);
	if (!route || links_connected(engine->links, engine_now(engine), &route->peer, connection,
			      &route->lane)) {
		quic_connection_close(connection, 0);
		return;
	}
	atomic_fetch_add(engine->owner.connections, 1);
	nodes_reached(engine, &route->peer);
	/* Anybody can dial us, under as many keys as they like: that proves nothing yet. */
	if (route->dialled)
		book_worked(engine->book, engine_now(engine), engine_wall(engine), &route->peer,
			&route->address);
	else
		book_hear(engine->book, engine_now(engine), &route->peer, &route->peer,
			&route->address, 1, true);
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
	links_inbound(engine->links, engine_now(engine), inlet->route->lane, true);
	return inlet;
}

/* What cannot be decoded ends the stream; running out of memory does not. */
static int on_frame(struct engine *engine, struct inlet *inlet, const uint8_t *body, size_t size)
{
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
		nodes_named(engine, &inlet->route->peer, &inlet->topic);
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
	struct inlet *inlet;
	struct outlet *outlet;

	if (!quic_stream_incoming(stream)) {
		outlet = quic_stream_data(stream);
		if (outlet)
			links_stream_closed(engine->links, engine_now(engine), outlet);
		engine_pump(engine);
		return;
	}
	inlet = quic_stream_data(stream);
	if (!inlet)
		return;
	links_inbound(engine->links, engine_now(engine), inlet->route->lane, false);
	DL_DELETE(engine->inlets, inlet);
	frame_reader_clear(&inlet->reader);
	memory_free(inlet);
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
	on_connected, route_accept, on_closed, on_stream_data, on_stream_closed, on_stream_credit};
const struct link_io route_io = {io_open, io_send, io_finish, io_close};
