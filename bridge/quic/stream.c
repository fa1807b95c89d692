/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <utlist.h>

#include "../error.h"
#include "../limits.h"
#include "../memory.h"
#include "internal.h"

struct quic_stream *stream_new(
	struct quic_connection *connection, int64_t id, bool incoming, bool bidi)
{
	struct quic_stream *stream = memory_zalloc(sizeof *stream);

	if (!stream)
		return NULL;
	stream->connection = connection;
	stream->id = id;
	stream->incoming = incoming;
	stream->bidi = bidi;
	DL_APPEND(connection->streams, stream);
	return stream;
}

static void count_queued(struct quic_connection *connection, size_t size)
{
	connection->queued += size;
	connection->endpoint->queued += size;
}

static void uncount_queued(struct quic_connection *connection, size_t size)
{
	connection->queued -= size;
	connection->endpoint->queued -= size;
}

/* Frees frames of the connection that the peer has not acknowledged. */
static void drop(struct quic_connection *connection, struct frame *frames)
{
	struct frame *frame;

	while ((frame = frames)) {
		frames = frame->next;
		if (frame->droppable)
			counters_add(connection->endpoint->config.counters,
				COUNTER_DROPPED_PEER_LOST, 1);
		uncount_queued(connection, frame_size(frame));
		frame_free(frame);
	}
}

void stream_free(struct quic_stream *stream)
{
	struct quic_connection *connection = stream->connection;

	drop(connection, stream->first);
	holding_drop(stream);
	stream_unready(stream);
	DL_DELETE(connection->streams, stream);
	memory_free(stream);
}

void stream_unready(struct quic_stream *stream)
{
	if (!stream->ready)
		return;
	stream->ready = false;
	DL_DELETE2(stream->connection->ready, stream, ready_prev, ready_next);
}

void stream_ready(struct quic_stream *stream)
{
	if (stream->ready || stream->blocked || stream->shut ||
		!(stream->unsent || (stream->finish && !stream->fin_sent)))
		return;
	stream->ready = true;
	DL_APPEND2(stream->connection->ready, stream, ready_prev, ready_next);
}

size_t stream_vectors(const struct quic_stream *stream, ngtcp2_vec *vectors, size_t capacity,
	size_t limit, bool *fin)
{
	struct frame *frame = stream->unsent;
	size_t skip = stream->unsent_at, count = 0, total = 0;

	for (; frame && count + 3 <= capacity && total < limit; frame = frame->next) {
		const ngtcp2_vec parts[] = {
			{frame->head, frame->head_size},
			{frame->body ? frame->body->content : NULL,
				frame->body ? frame->body->size : 0},
			{frame->tail, frame->tail_size},
		};

		for (size_t i = 0; i < 3; i++) {
			if (parts[i].len <= skip) {
				skip -= parts[i].len;
				continue;
			}
			vectors[count].base = parts[i].base + skip;
			vectors[count].len = parts[i].len - skip;
			total += vectors[count++].len;
			skip = 0;
		}
	}
	*fin = !frame && stream->finish;
	return count;
}

void stream_sent(struct quic_stream *stream, size_t size, bool fin)
{
	stream->unsent_at += size;
	while (stream->unsent && stream->unsent_at >= frame_size(stream->unsent)) {
		stream->unsent_at -= frame_size(stream->unsent);
		stream->unsent = stream->unsent->next;
	}
	/* The stream's end went along only if everything before it did. */
	if (fin && !stream->unsent)
		stream->fin_sent = true;
	if (!stream->unsent && (!stream->finish || stream->fin_sent))
		stream_unready(stream);
}

void stream_acked(struct quic_stream *stream, uint64_t size)
{
	stream->connection->acked_at = uv_hrtime();
	stream->first_acked += size;
	while (stream->first && stream->first != stream->unsent &&
		stream->first_acked >= frame_size(stream->first)) {
		struct frame *frame = stream->first;

		stream->first = frame->next;
		stream->first_acked -= frame_size(frame);
		uncount_queued(stream->connection, frame_size(frame));
		frame_free(frame);
	}
	if (!stream->first)
		stream->last = NULL;
}

void stream_shut(struct quic_stream *stream)
{
	struct frame **at = &stream->first, *frames;

	stream->shut = true;
	stream_unready(stream);
	/* Frames that are on their way stay until ngtcp2 has closed the stream. A frame that is
	 * sent in part is on its way. */
	stream->last = NULL;
	while (*at && (*at != stream->unsent || stream->unsent_at > 0)) {
		bool in_part = *at == stream->unsent;

		stream->last = *at;
		at = &(*at)->next;
		if (in_part)
			break;
	}
	frames = *at;
	*at = NULL;
	stream->unsent = NULL;
	drop(stream->connection, frames);
}

/* Tells whether we send on the stream. */
static bool is_outlet(const struct quic_stream *stream)
{
	return !stream->incoming || stream->bidi;
}

static bool is_inlet(const struct quic_stream *stream)
{
	return stream->incoming || stream->bidi;
}

static int open_stream(struct quic_connection *connection, bool bidi, struct quic_stream **out)
{
	struct quic_stream *stream;
	int rv;

	*out = NULL;
	if (connection->state >= CONNECTION_ENDED)
		return ERROR_CLOSED;
	stream = stream_new(connection, -1, false, bidi);
	if (!stream)
		return ERROR_NOMEM;
	rv = bidi ? ngtcp2_conn_open_bidi_stream(connection->conn, &stream->id, stream)
		  : ngtcp2_conn_open_uni_stream(connection->conn, &stream->id, stream);
	if (rv != 0) {
		stream_free(stream);
		if (rv != NGTCP2_ERR_STREAM_ID_BLOCKED)
			return ERROR_NOMEM;
		if (bidi)
			connection->starved_bidi = true;
		else
			connection->starved = true;
		return ERROR_NO_STREAM_CREDIT;
	}
	*out = stream;
	return ERROR_NONE;
}

int quic_stream_open(struct quic_connection *connection, struct quic_stream **out)
{
	return open_stream(connection, false, out);
}

int quic_bidi_open(struct quic_connection *connection, struct quic_stream **out)
{
	return open_stream(connection, true, out);
}

/* Returns how many bytes may wait on one connection, given what waits on all of them. */
static size_t queue_limit(const struct quic_endpoint *endpoint)
{
	size_t all = endpoint->max_queued, limit = endpoint->config.max_queue;
	size_t part = endpoint->queued < all ? (all - endpoint->queued) / 2 : 0;

	if (part < LIMIT_QUEUE_LEAST_BYTES)
		part = LIMIT_QUEUE_LEAST_BYTES;
	return part < limit ? part : limit;
}

size_t quic_connection_queue_limit(const struct quic_connection *connection)
{
	return queue_limit(connection->endpoint);
}

/* Tells whether so much waits that even control frames are too much. */
static bool is_flooded(const struct quic_connection *connection)
{
	const struct quic_endpoint *endpoint = connection->endpoint;

	return connection->queued / 2 > endpoint->config.max_queue ||
	       (endpoint->queued / 2 > endpoint->max_queued &&
		       connection->queued / 2 > LIMIT_QUEUE_LEAST_BYTES);
}

int quic_stream_send(struct quic_stream *stream, struct frame *frame)
{
	struct quic_connection *connection = stream->connection;
	size_t size = frame_size(frame);

	if (connection->state >= CONNECTION_ENDED || !is_outlet(stream) || stream->shut ||
		stream->finish)
		return ERROR_CLOSED;
	if (frame->droppable && connection->queued + size > queue_limit(connection->endpoint))
		return ERROR_FULL;
	/* Control frames are not refused, but a peer that makes us answer and never reads
	 * is not to fill our memory with them. */
	if (is_flooded(connection)) {
		struct closing close = {.application = true, .text = "peer does not read"};

		connection_end(connection, &close, FAREWELL_APPLICATION);
		return ERROR_CLOSED;
	}
	frame->next = NULL;
	if (stream->last)
		stream->last->next = frame;
	else
		stream->first = frame;
	stream->last = frame;
	if (!stream->unsent) {
		stream->unsent = frame;
		stream->unsent_at = 0;
	}
	if (connection->queued == 0)
		connection->acked_at = uv_hrtime();
	count_queued(connection, size);
	stream_ready(stream);
	endpoint_mark(connection->endpoint, connection);
	return ERROR_NONE;
}

struct frame *quic_stream_take(struct quic_stream *stream)
{
	struct frame *frames = stream->first, *frame;

	/* A live connection may still be sending from the frames. */
	if (stream->connection->state < CONNECTION_ENDED || stream->shut)
		return NULL;
	stream->first = stream->last = stream->unsent = NULL;
	for (frame = frames; frame; frame = frame->next)
		uncount_queued(stream->connection, frame_size(frame));
	return frames;
}

void quic_stream_finish(struct quic_stream *stream)
{
	if (!is_outlet(stream) || stream->finish || stream->connection->state >= CONNECTION_ENDED)
		return;
	stream->finish = true;
	stream_ready(stream);
	endpoint_mark(stream->connection->endpoint, stream->connection);
}

void quic_stream_stop(struct quic_stream *stream, uint64_t code)
{
	if (!is_inlet(stream) || stream->stopped || stream->connection->state >= CONNECTION_ENDED)
		return;
	stream->stopped = true;
	holding_drop(stream);
	(void)ngtcp2_conn_shutdown_stream_read(stream->connection->conn, 0, stream->id, code);
	endpoint_mark(stream->connection->endpoint, stream->connection);
}

struct quic_connection *quic_stream_connection(const struct quic_stream *stream)
{
	return stream->connection;
}

bool quic_stream_incoming(const struct quic_stream *stream)
{
	return stream->incoming;
}

bool quic_stream_is_bidi(const struct quic_stream *stream)
{
	return stream->bidi;
}

void quic_stream_set_data(struct quic_stream *stream, void *data)
{
	stream->data = data;
}

void *quic_stream_data(const struct quic_stream *stream)
{
	return stream->data;
}
