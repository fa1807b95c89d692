/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The links, with connections and streams that do as the input says: steps of two bytes, what
 * (low nibble) and with whom (high nibble), and how much. Peers decide all of it: when a
 * connection comes and ends, what is acknowledged, which streams they grant. Whatever they do, no
 * copy is lost uncounted, nobody is called who is gone, and there is an end to what is due.
 */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/peers/link.h"

#define MS UINT64_C(1000000)
#define PEERS  3
#define TOPICS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct stream {
	struct connection *connection;
	struct stream_out *stream_out;
	bool finished;
	struct frame *held; /* not acknowledged, newest last */
	struct stream *prev, *next;
};

struct connection {
	struct link_connection linked; /* first: see connection_of */
	bool ended; /* over, but that has not been reported */
	unsigned credit, inbound;
	struct stream *streams;
	struct connection *prev, *next;
};

static struct {
	struct links *links;
	struct counters counters;
	uint64_t now;
	struct connection *connections;
	int send_error;
	uint64_t made, acknowledged;
} world;

static void require(bool condition)
{
	if (!condition)
		abort();
}

static struct id id_of(uint8_t first, size_t number)
{
	struct id id;

	memset(id.bytes, first + (int)number, ID_SIZE);
	return id;
}

static struct connection *connection_of(struct link_connection *linked)
{
	return (struct connection *)linked;
}

static int io_open(struct link_connection *linked, const struct id *topic,
	struct stream_out *stream_out, void **stream)
{
	struct connection *connection = connection_of(linked);
	struct stream *made;

	if (connection->ended)
		return ERROR_CLOSED;
	if (connection->credit == 0)
		return ERROR_NO_STREAM_CREDIT;
	connection->credit--;
	made = calloc(1, sizeof *made);
	require(made);
	made->connection = connection;
	made->stream_out = stream_out;
	DL_APPEND(connection->streams, made);
	*stream = made;
	return ERROR_NONE;
}

static int io_send(void *context, struct frame *frame)
{
	struct stream *stream = context;

	require(!stream->finished);
	if (stream->connection->ended)
		return ERROR_CLOSED;
	if (world.send_error)
		return world.send_error;
	LL_APPEND(stream->held, frame);
	return ERROR_NONE;
}

static void io_finish(void *context)
{
	struct stream *stream = context;

	require(!stream->finished);
	stream->finished = true;
}

static void io_close(struct link_connection *linked)
{
	struct connection *connection = connection_of(linked);

	connection->ended = true;
}

static void acknowledge(struct stream *stream, unsigned count)
{
	struct frame *frame;

	for (; count > 0 && (frame = stream->held); count--) {
		stream->held = frame->next;
		world.acknowledged += frame->droppable;
		frame_free(frame);
	}
}

static void end_stream(struct stream *stream)
{
	struct frame *held = stream->held;

	stream->held = NULL;
	links_stream_closed(world.links, world.now, stream->stream_out, held);
	DL_DELETE(stream->connection->streams, stream);
	free(stream);
}

static void connect_to(const struct id *peer, unsigned credit)
{
	struct connection *connection = calloc(1, sizeof *connection);

	require(connection);
	connection->credit = credit;
	DL_APPEND(world.connections, connection);
	if (links_connected(world.links, world.now, peer, &connection->linked, false)) {
		DL_DELETE(world.connections, connection);
		free(connection);
		return;
	}
	require(id_equal(links_peer(&connection->linked), peer) && links_linked(world.links, peer));
}

/* As quic.h has it: the streams first. */
static void end_connection(struct connection *connection)
{
	connection->ended = true;
	while (connection->streams)
		end_stream(connection->streams);
	for (; connection->inbound > 0; connection->inbound--)
		links_inbound(world.links, world.now, &connection->linked, false);
	links_closed(world.links, world.now, &connection->linked);
	DL_DELETE(world.connections, connection);
	free(connection);
}

static void report_ended(void)
{
	struct connection *connection, *next;

	DL_FOREACH_SAFE (world.connections, connection, next)
		if (connection->ended)
			end_connection(connection);
}

static void take(void)
{
	struct link_effect effect;
	unsigned count = 0;

	while (links_effect(world.links, world.now, &effect)) {
		if (effect.type == LINK_FEWER)
			require(links_linked(world.links, &effect.peer));
		require(++count <= 5 * PEERS);
	}
	require(links_deadline(world.links) > world.now);
}

static void pass(uint64_t duration)
{
	uint64_t end = world.now + duration;
	unsigned wakes = 0;

	take();
	while (links_deadline(world.links) <= end) {
		world.now = links_deadline(world.links);
		take();
		report_ended();
		take();
		require(++wakes <= 2000);
	}
	world.now = end;
}

static struct connection *connection_at(size_t number)
{
	struct connection *connection = world.connections;

	while (number-- > 0 && connection)
		connection = connection->next;
	return connection;
}

static struct stream *stream_at(const struct connection *connection, size_t number)
{
	struct stream *stream = connection ? connection->streams : NULL;

	while (number-- > 0 && stream)
		stream = stream->next;
	return stream;
}

static struct frame *make_frame(bool droppable)
{
	struct frame *frame = frame_new(8);

	require(frame);
	memset(frame->head, 0, frame->head_size);
	frame->droppable = droppable;
	world.made += droppable;
	return frame;
}

static void on_overlay(uint8_t what, const struct id *peer, const struct id *topic, uint8_t much)
{
	switch (what) {
	case 0:
		for (unsigned i = 0; i <= much % 8u; i++)
			links_send(world.links, world.now, peer, topic, make_frame(true), false);
		break;
	case 1:
		links_send(world.links, world.now, peer, topic, make_frame(much & 1), much & 2);
		break;
	case 2:
		links_release(world.links, world.now, peer, topic);
		break;
	default:
		links_resume(world.links, world.now, peer, topic);
	}
}

static void on_connection(uint8_t what, struct connection *connection, uint8_t much)
{
	struct stream *stream = stream_at(connection, much >> 4);

	if (!connection || (connection->ended && what != 5))
		return;
	switch (what) {
	case 5:
		end_connection(connection);
		break;
	case 6:
		if (stream)
			acknowledge(stream, much & 15);
		break;
	case 7:
		if (stream && (stream->finished || much & 1)) {
			acknowledge(stream, stream->finished ? UINT32_MAX : 0);
			end_stream(stream);
		}
		break;
	case 8:
		connection->inbound++;
		links_inbound(world.links, world.now, &connection->linked, true);
		break;
	case 9:
		if (connection->inbound > 0) {
			connection->inbound--;
			links_inbound(world.links, world.now, &connection->linked, false);
		}
		break;
	default:
		connection->credit += much;
		links_credit(world.links, world.now, &connection->linked);
	}
}

static void step(uint8_t what, uint8_t whom, uint8_t much)
{
	static const int errors[] = {ERROR_NONE, ERROR_FULL, ERROR_NOMEM, ERROR_NONE};
	struct id peer = id_of(0x10, whom % PEERS), topic = id_of(0x80, whom / PEERS % TOPICS);

	if (what <= 3) {
		on_overlay(what, &peer, &topic, much);
	} else if (what == 4) {
		connect_to(&peer, much);
	} else if (what <= 10) {
		on_connection(what, connection_at(whom), much);
	} else if (what == 11) {
		pass((uint64_t)much * much * MS);
	} else if (what == 12) {
		links_keep(world.links, world.now, &peer, much & 1);
	} else if (what == 13) {
		links_gave_up(world.links, world.now, &peer);
	} else if (what == 14) {
		world.send_error = errors[much % 4];
	} else {
		take();
		report_ended();
	}
}

static uint64_t dropped(void)
{
	static const enum counter kinds[] = {COUNTER_DROPPED_PEER_LOST, COUNTER_DROPPED_PEER_SLOW,
		COUNTER_DROPPED_NO_STREAM_CREDIT, COUNTER_DROPPED_NO_MEMORY_COPY};
	uint64_t sum = 0;

	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		sum += counters_get(&world.counters, kinds[i]);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct link_io io = {io_open, io_send, io_finish, io_close, NULL};
	static const struct id me = {{1}};
	uint64_t seed = 1;
	struct random random = random_seeded(&seed);

	memset(&world, 0, sizeof world);
	world.now = 1000000 * MS;
	require(links_new(&io, &me, &random, &world.counters, &world.links) == 0);
	if (size > 4096)
		size = 4096;
	for (; size >= 2; data += 2, size -= 2)
		step(data[0] & 15, data[0] >> 4, data[1]);
	/* All are gone, and do not come back. */
	while (world.connections)
		end_connection(world.connections);
	for (size_t i = 0; i < PEERS; i++) {
		struct id peer = id_of(0x10, i);

		links_keep(world.links, world.now, &peer, false);
		links_gave_up(world.links, world.now, &peer);
	}
	pass(120000 * MS);
	require(!links_sending(world.links));
	require(world.made == world.acknowledged + dropped());
	links_free(world.links);
	return 0;
}
