/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What has come on a stream and its owner does not take yet. It is acknowledged, but the stream's
 * window does not grow, so that the peer stops sending on it. The connection's window grows all the
 * same as far as half of it (struct held, granted): the other streams need it. So what is kept is
 * bounded by one and a half times QUIC_WINDOWS.
 */
#include <string.h>
#include <utlist.h>

#include "../error.h"
#include "../memory.h"
#include "internal.h"

static bool takes(struct quic_stream *stream)
{
	struct quic_connection *connection = stream->connection;
	const struct quic_callbacks *owner = connection_owner(connection);

	return !owner->stream_takes || owner->stream_takes(connection_context(connection), stream);
}

static void hand_over(struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
	struct quic_connection *connection = stream->connection;

	connection_owner(connection)
		->stream_data(connection_context(connection), stream, data, size, fin);
}

/* Lets the peer send as much again: the owner is through with these bytes. */
static int renew(struct quic_stream *stream, size_t size, bool granted)
{
	struct quic_connection *connection = stream->connection;

	if (granted)
		connection->held -= size;
	if (connection->state != CONNECTION_OPEN)
		return ERROR_NONE;
	if (!granted)
		ngtcp2_conn_extend_max_offset(connection->conn, size);
	return ngtcp2_conn_extend_max_stream_offset(connection->conn, stream->id, size) == 0
		       ? ERROR_NONE
		       : ERROR_CLOSED;
}

static bool keep(struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
	struct quic_connection *connection = stream->connection;
	struct held *held = memory_alloc(sizeof *held + size);

	if (!held)
		return false;
	held->next = NULL;
	held->size = size;
	held->fin = fin;
	held->granted = connection->held + size <= connection->window / 2;
	memcpy(held->data, data, size);
	if (held->granted) {
		connection->held += size;
		ngtcp2_conn_extend_max_offset(connection->conn, size);
	}
	if (stream->held) {
		stream->held_last->next = held;
	} else {
		stream->held = held;
		DL_APPEND2(connection->endpoint->holding, stream, holding_prev, holding_next);
		counters_add(connection->endpoint->config.counters, COUNTER_UNREAD, 1);
	}
	stream->held_last = held;
	return true;
}

static struct held *take(struct quic_stream *stream)
{
	struct held *held = stream->held;

	stream->held = held->next;
	if (!held->next)
		DL_DELETE2(stream->connection->endpoint->holding, stream, holding_prev,
			holding_next);
	return held;
}

/* Hands over the oldest of what is kept. */
static int hand_over_held(struct quic_stream *stream)
{
	struct held *held = take(stream);
	int error;

	hand_over(stream, held->data, held->size, held->fin);
	error = renew(stream, held->size, held->granted);
	memory_free(held);
	return error;
}

int holding_data(struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
	/* What was kept comes first, even where there is no memory to keep more. */
	if ((stream->held || !takes(stream)) && keep(stream, data, size, fin))
		return ERROR_NONE;
	holding_end(stream);
	if (!stream->stopped)
		hand_over(stream, data, size, fin);
	return renew(stream, size, false);
}

void holding_end(struct quic_stream *stream)
{
	while (stream->held)
		(void)hand_over_held(stream);
}

void holding_drop(struct quic_stream *stream)
{
	struct held *held;

	while (stream->held) {
		held = take(stream);
		(void)renew(stream, held->size, held->granted);
		memory_free(held);
	}
}

bool quic_endpoint_holds(const struct quic_endpoint *endpoint)
{
	return endpoint->holding != NULL;
}

/* Hands over what is taken of a stream; tells whether there is time left for more. */
static bool read_on(struct quic_stream *stream, uint64_t enough)
{
	struct quic_connection *connection = stream->connection;
	int error = ERROR_NONE;

	while (!error && stream->held && connection->state == CONNECTION_OPEN && takes(stream)) {
		error = hand_over_held(stream);
		if (uv_hrtime() >= enough)
			break;
	}
	if (error)
		connection_fail(connection, NGTCP2_ERR_INTERNAL);
	endpoint_mark(connection->endpoint, connection);
	return uv_hrtime() < enough;
}

bool quic_endpoint_read_on(struct quic_endpoint *endpoint)
{
	uint64_t enough = uv_hrtime() + QUIC_TURN_TIME;
	struct quic_stream *stream = endpoint->holding, *next, *last;

	if (!stream)
		return false;
	last = stream->holding_prev;
	for (; stream; stream = next) {
		next = stream == last ? NULL : stream->holding_next;
		if (!read_on(stream, enough))
			return endpoint->holding != NULL;
		/* The next one begins with another stream. */
		if (stream->held && stream->holding_next) {
			DL_DELETE2(endpoint->holding, stream, holding_prev, holding_next);
			DL_APPEND2(endpoint->holding, stream, holding_prev, holding_next);
		}
	}
	return false;
}
