/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The mesh's port: QUIC. The one file that sees both the mesh and QUIC. */
#include "../error.h"
#include "internal.h"

static enum mesh_protocol protocol_of(const struct quic_connection *connection)
{
	return quic_connection_protocol(connection) == MESH_GOSSIP ? MESH_GOSSIP : MESH_DISCOVERY;
}

/* ---- what the mesh asks for ---- */

static int port_dial(void *context, enum mesh_protocol protocol, const struct id *peer,
	const struct address *address, void *ours, void **out)
{
	struct driver *driver = context;
	struct quic_connection *connection;
	int error = quic_connect(driver->endpoint, protocol, peer, address, &connection);

	if (error)
		return error;
	quic_connection_set_data(connection, ours);
	*out = connection;
	return ERROR_NONE;
}

static void port_own_connection(void *connection, void *ours)
{
	quic_connection_set_data(connection, ours);
}

static void port_close(void *connection, uint64_t code, const char *reason)
{
	if (reason)
		quic_connection_close_with(connection, code, reason);
	else
		quic_connection_close(connection, code);
}

static void port_set_stranger(void *connection, bool stranger)
{
	quic_connection_set_stranger(connection, stranger);
}

static int port_open(void *connection, bool bidi, void **out)
{
	struct quic_stream *stream;
	int error = bidi ? quic_bidi_open(connection, &stream) : quic_stream_open(connection, &stream);

	if (!error)
		*out = stream;
	return error;
}

static void port_own_stream(void *stream, void *ours)
{
	quic_stream_set_data(stream, ours);
}

static int port_send(void *stream, struct frame *frame)
{
	return quic_stream_send(stream, frame);
}

static size_t port_queued(void *connection, size_t *limit)
{
	*limit = quic_connection_queue_limit(connection);
	return quic_connection_queued(connection);
}

static void port_finish(void *stream)
{
	quic_stream_finish(stream);
}

static void port_stop(void *stream, uint64_t code)
{
	quic_stream_stop(stream, code);
}

static bool port_is_late(void *context)
{
	return driver_is_late(context);
}

static bool port_relay(void *context, const struct relay_url *url, struct address *address)
{
	struct driver *driver = context;

	*address = relay_url_address(url);
	return driver->relaying && relaying_admit(driver->relaying, uv_hrtime(), url);
}

static uint64_t port_rtt(void *connection)
{
	return quic_connection_rtt(connection);
}

struct mesh_port mesh_quic_port(struct driver *driver)
{
	return (struct mesh_port){
		.context = driver,
		.dial = port_dial,
		.own_connection = port_own_connection,
		.close = port_close,
		.set_stranger = port_set_stranger,
		.open = port_open,
		.own_stream = port_own_stream,
		.send = port_send,
		.queued = port_queued,
		.finish = port_finish,
		.stop = port_stop,
		.is_late = port_is_late,
		.relay = port_relay,
		.rtt = port_rtt,
	};
}

/* ---- what QUIC tells ---- */

static void on_connected(void *context, struct quic_connection *connection)
{
	struct driver *driver = context;
	struct address address = quic_connection_address(connection);
	struct mesh_time time = clock_time(driver);

	mesh_connected(driver->mesh, &time, protocol_of(connection), connection,
		quic_connection_data(connection), quic_connection_peer(connection), &address);
	driver_drain(driver);
}

bool mesh_quic_accepts(void *context, const struct id *peer)
{
	struct driver *driver = context;
	struct mesh_time time = clock_time(driver);
	bool lets_in = mesh_lets_in(driver->mesh, &time, peer);

	driver_drain(driver);
	return lets_in;
}

static bool on_keep(void *context, const struct id *peer)
{
	return mesh_keeps(((struct driver *)context)->mesh, peer);
}

static void on_closed(
	void *context, struct quic_connection *connection, const struct closing *closing)
{
	struct driver *driver = context;
	void *ours = quic_connection_data(connection);
	struct mesh_time time = clock_time(driver);
	struct address address;

	if (ours) {
		mesh_closed(driver->mesh, &time, protocol_of(connection), ours, closing);
	} else if (closing->other_network && quic_connection_incoming(connection)) {
		address = quic_connection_address(connection);
		mesh_refused(driver->mesh, &time, &address, closing->text);
	}
	driver_drain(driver);
}

static bool on_takes(void *context, struct quic_stream *stream)
{
	struct driver *driver = context;
	void *ours = quic_stream_data(stream);
	const struct id *topic;

	if (!ours || quic_stream_is_bidi(stream))
		return true;
	topic = mesh_stream_topic(ours);
	return !topic || driver->owner.takes(driver->owner.context, topic);
}

static void on_stream_data(
	void *context, struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
	struct driver *driver = context;
	struct quic_connection *connection = quic_stream_connection(stream);
	void *ours = quic_connection_data(connection);
	struct mesh_time time = clock_time(driver);

	if (!ours)
		return; /* being closed */
	mesh_data(driver->mesh, &time, protocol_of(connection), ours, stream,
		quic_stream_data(stream), quic_stream_is_bidi(stream), data, size, fin);
	driver_drain(driver);
}

static void on_stream_closed(void *context, struct quic_stream *stream)
{
	struct driver *driver = context;
	struct quic_connection *connection = quic_stream_connection(stream);
	void *ours = quic_connection_data(connection), *of_stream = quic_stream_data(stream);
	bool is_incoming = quic_stream_incoming(stream);
	struct mesh_time time = clock_time(driver);

	if (!ours)
		return;
	mesh_stream_closed(driver->mesh, &time, protocol_of(connection), ours, stream, of_stream,
		is_incoming, is_incoming || !of_stream ? NULL : quic_stream_take(stream));
	driver_drain(driver);
}

static void on_stream_credit(void *context, struct quic_connection *connection)
{
	struct driver *driver = context;
	void *ours = quic_connection_data(connection);
	struct mesh_time time = clock_time(driver);

	if (ours)
		mesh_credit(driver->mesh, &time, protocol_of(connection), ours);
	driver_drain(driver);
}

void mesh_quic_crowded(void *context, const struct address *source)
{
	struct driver *driver = context;
	struct mesh_time time = clock_time(driver);

	mesh_crowded(driver->mesh, &time, source);
	driver_drain(driver);
}

void mesh_quic_failed(
	void *context, enum quic_failed what, const struct address *address, int error)
{
	struct driver *driver = context;
	struct mesh_time time = clock_time(driver);

	mesh_unable(driver->mesh, &time,
		what == QUIC_SENDING ? "cannot be sent to" : "nothing can be received", address,
		error);
	driver_drain(driver);
}

const struct quic_callbacks mesh_quic_callbacks = {
	.connected = on_connected,
	.accept = mesh_quic_accepts,
	.keep = on_keep,
	.closed = on_closed,
	.stream_takes = on_takes,
	.stream_data = on_stream_data,
	.stream_closed = on_stream_closed,
	.stream_credit = on_stream_credit,
};
