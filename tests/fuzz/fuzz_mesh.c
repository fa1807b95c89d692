/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A whole node, fed by several peers, by its owner and by its port: everything that may happen to
 * a mesh (mesh.h), in any order. The mesh is real; the port keeps what it is asked for, and fails
 * when it is told to.
 *
 * The input begins with a byte of configuration; then come steps: what, an argument, a length and
 * as many bytes. Keys are fixed. So that signatures do not make it shallow, a peer can hold a
 * session of discovery as it should (a real session, whose infos are signed by any of the nodes),
 * announce itself on the local network, and send messages whose id is true.
 *
 * After each step: views are within bounds, without ourselves and without twins, frames can be
 * decoded, the mesh comes to rest, and has something to do later or never. In the end it stops in
 * time, and nothing is left.
 */
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "bridge/bytes/reader.h"
#include "bridge/discovery/mdns_packet.h"
#include "bridge/discovery/session.h"
#include "bridge/error.h"
#include "bridge/gossip/frame.h"
#include "bridge/memory.h"
#include "bridge/mesh/mesh.h"

#define MS UINT64_C(1000000)

#define TOPICS	    3
#define NODES	    8 /* the first is ourselves */
#define CONNECTIONS 24
#define STREAMS	    64
#define TICKS	    1000 /* in one step */
#define STEPS	    400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
	STEP_CONNECTED,	     /* a dial comes about, or a peer has dialled */
	STEP_CLOSED,	     /* a connection is over */
	STEP_FRAME,	     /* a peer sends a frame of gossip */
	STEP_BYTES,	     /* or whatever */
	STEP_SESSION,	     /* discovery as it should be */
	STEP_STREAM_CLOSED,
	STEP_TICK,
	STEP_JOIN,
	STEP_LEAVE,
	STEP_PUBLISH,
	STEP_RESOLVED,
	STEP_PACKET,   /* whatever */
	STEP_ANNOUNCE, /* as it should be */
	STEP_ADDRESSES,
	STEP_CREDIT,
	STEP_FAIL, /* the port, or memory */
	STEP_LATE,
	STEP_CLOCK,
	STEP_REFUSED,
	STEP_STOP,
	STEPS_OF_A_KIND,
};

enum state { FREE, DIALLING, OPEN, CLOSING };

struct connection {
	enum state state;
	enum mesh_protocol protocol;
	size_t node;
	void *ours;
	unsigned credit;
	bool connected;
	struct session *session; /* the peer's, if it holds one */
};

struct stream {
	struct connection *connection; /* NULL: the place is free */
	void *ours;
	bool incoming, bidi, finished, begun;
	struct frame *frames; /* sent, newest first */
};

static struct identity identities[NODES];
enum { OLDER, NEWER, FORGED, INFOS };
static struct info *infos[NODES][INFOS][ORDERS];

static struct {
	struct mesh *mesh;
	struct mesh_time time;
	uint64_t seed;
	struct counters counters;
	struct connection connections[CONNECTIONS];
	struct stream streams[STREAMS];
	bool neighbours[TOPICS][NODES];
	bool joined[TOPICS];
	unsigned failing[4]; /* dial, open, send: so many fail */
	unsigned late;
	bool newer; /* others tell the newer infos, ours too */
	bool forged; /* others tell infos that nobody has signed */
	size_t blocks, countdown;
	bool forgetful; /* there was no memory: the owner may have missed something */
} run;

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* ---- memory ---- */

static bool fails(void)
{
	if (run.countdown == 0 || --run.countdown > 0)
		return false;
	run.forgetful = true;
	return true;
}

static void *fuzz_alloc(void *context, size_t size)
{
	void *block = fails() ? NULL : malloc(size);

	run.blocks += block != NULL;
	return block;
}

static void *fuzz_realloc(void *context, void *block, size_t size)
{
	void *moved = fails() ? NULL : realloc(block, size);

	run.blocks += !block && moved;
	return moved;
}

static void fuzz_free(void *context, void *block)
{
	run.blocks -= block != NULL;
	free(block);
}

/* ---- who there is ---- */

static struct id topic_of(uint8_t number)
{
	struct id id;

	memset(id.bytes, 0x11 * (number % TOPICS + 1), ID_SIZE);
	return id;
}

static size_t topic_number(const struct id *topic)
{
	return (size_t)topic->bytes[0] / 0x11 - 1;
}

static struct address address_of(size_t node)
{
	return (struct address){4, {10, 0, 0, (uint8_t)node}, 2022};
}

static size_t node_of(const struct id *id)
{
	for (size_t i = 0; i < NODES; i++)
		if (id_equal(id, &identities[i].id))
			return i;
	return NODES;
}

#define BEGINNING_NS UINT64_C(1000000000000)
#define BEGINNING_US UINT64_C(1790000000000000)

static void set_up(void)
{
	uint8_t secret[IDENTITY_SECRET_SIZE] = {0};

	if (identities[0].key)
		return;
	for (size_t i = 0; i < NODES; i++) {
		const struct address address = address_of(i);

		secret[0] = (uint8_t)(i + 1);
		require(identity_from_secret(secret, &identities[i]) == 0);
		for (int at = 0; at < INFOS * ORDERS; at++) {
			const int kind = at / ORDERS, order = at % ORDERS;
			const struct info_time time = {
				BEGINNING_US + (kind == OLDER ? 0 : 60000000), 1};
			struct info **info = &infos[i][kind][order];

			require(info_sign(&identities[i], time, (enum info_order)order, NULL, &address, 1,
					info) == 0);
			(*info)->signature[0] ^= kind == FORGED;
		}
	}
}

/* ---- the port ---- */

static bool port_fails(unsigned what)
{
	if (run.failing[what] == 0)
		return false;
	run.failing[what]--;
	return true;
}

static int port_dial(void *context, enum mesh_protocol protocol, const struct id *peer,
	const struct address *address, void *ours, void **out)
{
	require(address->port != 0 && !id_equal(peer, &identities[0].id));
	if (port_fails(0))
		return ERROR_LIMIT;
	for (size_t i = 0; i < CONNECTIONS; i++) {
		struct connection *connection = &run.connections[i];

		if (connection->state != FREE)
			continue;
		*connection = (struct connection){.state = DIALLING,
			.protocol = protocol,
			.node = node_of(peer),
			.ours = ours,
			.credit = 4};
		*out = connection;
		return ERROR_NONE;
	}
	return ERROR_LIMIT;
}

static void port_own_connection(void *connection, void *ours)
{
	((struct connection *)connection)->ours = ours;
}

static void port_close(void *handle, uint64_t code, const char *reason)
{
	struct connection *connection = handle;

	require(connection->state != FREE);
	connection->state = CLOSING;
}

static void port_set_stranger(void *connection, bool stranger)
{
	require(((struct connection *)connection)->state != FREE);
}

static struct stream *stream_new(struct connection *connection, bool incoming, bool bidi)
{
	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *stream = &run.streams[i];

		if (stream->connection)
			continue;
		*stream = (struct stream){
			.connection = connection, .incoming = incoming, .bidi = bidi};
		return stream;
	}
	return NULL;
}

static int port_open(void *handle, bool bidi, void **out)
{
	struct connection *connection = handle;

	require(connection->state != FREE && connection->connected);
	if (connection->state != OPEN)
		return ERROR_CLOSED;
	if (port_fails(1))
		return ERROR_NOMEM;
	if (connection->credit == 0)
		return ERROR_NO_STREAM_CREDIT;
	*out = stream_new(connection, false, bidi);
	if (!*out)
		return ERROR_NO_STREAM_CREDIT;
	connection->credit--;
	return ERROR_NONE;
}

static void port_own_stream(void *stream, void *ours)
{
	require(((struct stream *)stream)->connection != NULL);
	((struct stream *)stream)->ours = ours;
}

/* The first frame of a stream is its header, the others are messages. */
static void check_frame(const struct stream *stream, const struct frame *frame)
{
	static uint8_t body[LIMIT_FRAME];
	static struct wire_message message;
	size_t size = frame->head_size - 4;

	require(frame_size(frame) >= 4 && frame_size(frame) - 4 < LIMIT_FRAME);
	if (!stream->begun) {
		require(size == ID_SIZE && !frame->body);
		return;
	}
	memcpy(body, frame->head + 4, size);
	if (frame->body) {
		memcpy(body + size, frame->body->content, frame->body->size);
		size += frame->body->size;
	}
	memcpy(body + size, frame->tail, frame->tail_size);
	require(wire_decode(body, size + frame->tail_size, &message) == 0);
}

static int port_send(void *handle, struct frame *frame)
{
	struct stream *stream = handle;

	require(stream->connection && (!stream->incoming || stream->bidi));
	if (stream->connection->protocol == MESH_GOSSIP)
		check_frame(stream, frame);
	if (stream->connection->state != OPEN || stream->finished)
		return ERROR_CLOSED;
	if (port_fails(2))
		return frame->droppable ? ERROR_FULL : ERROR_NOMEM;
	stream->begun = true;
	LL_PREPEND(stream->frames, frame);
	return ERROR_NONE;
}

static void port_finish(void *stream)
{
	require(((struct stream *)stream)->connection != NULL);
	((struct stream *)stream)->finished = true;
}

static void port_stop(void *stream, uint64_t code)
{
	require(((struct stream *)stream)->connection != NULL);
}

static bool port_is_late(void *context)
{
	if (run.late == 0)
		return false;
	run.late--;
	return true;
}

/* ---- what becomes of it ---- */

/* In the order in which they were sent. */
static struct frame *take_frames(struct stream *stream)
{
	struct frame *frame, *first = NULL;

	while ((frame = stream->frames)) {
		stream->frames = frame->next;
		frame->next = NULL;
		LL_PREPEND(first, frame);
	}
	return first;
}

static void free_frames(struct frame *frame)
{
	struct frame *next;

	for (; frame; frame = next) {
		next = frame->next;
		frame_free(frame);
	}
}

static void close_stream(struct stream *stream, bool lost)
{
	struct connection *connection = stream->connection;
	struct frame *frames = take_frames(stream);
	bool returned = lost && connection->protocol == MESH_GOSSIP && !stream->incoming &&
			stream->ours;

	if (!returned)
		free_frames(frames);
	if (connection->ours)
		mesh_stream_closed(run.mesh, &run.time, connection->protocol, connection->ours,
			stream, stream->ours, stream->incoming, returned ? frames : NULL);
	else if (returned)
		free_frames(frames);
	stream->connection = NULL;
}

static void close_connection(struct connection *connection, uint8_t how)
{
	const struct closing closing = {.remote = how & 1,
		.application = how & 2,
		.timeout = how & 4,
		.refused = how & 8,
		.own_key = how & 16,
		.code = how >> 5,
		.text = "over"};

	connection->state = CLOSING;
	for (size_t i = 0; i < STREAMS; i++)
		if (run.streams[i].connection == connection)
			close_stream(&run.streams[i], how & 1);
	if (connection->ours)
		mesh_closed(run.mesh, &run.time, connection->protocol, connection->ours, &closing);
	session_free(connection->session);
	*connection = (struct connection){0};
}

static void connect_to(struct connection *connection)
{
	const struct address address = address_of(connection->node);
	struct id peer;

	/* One that is none of ours is dialled under a key that nobody has. */
	if (connection->node >= NODES) {
		close_connection(connection, 4);
		return;
	}
	peer = identities[connection->node].id;
	connection->state = OPEN;
	connection->connected = true;
	mesh_connected(run.mesh, &run.time, connection->protocol, connection, connection->ours,
		&peer, &address);
	/* QUIC ends what nobody owns. */
	require(connection->ours || connection->state == CLOSING);
}

static void connect_in(size_t node, enum mesh_protocol protocol)
{
	if (!mesh_lets_in(run.mesh, &run.time, &identities[node].id))
		return;
	require(node != 0);
	for (size_t i = 0; i < CONNECTIONS; i++) {
		if (run.connections[i].state != FREE)
			continue;
		run.connections[i] =
			(struct connection){.protocol = protocol, .node = node, .credit = 4};
		connect_to(&run.connections[i]);
		return;
	}
}

/* Of those in that state, one; NULL. */
static struct connection *choose(uint8_t number, enum state state, enum mesh_protocol protocol)
{
	for (size_t i = 0; i < CONNECTIONS; i++) {
		struct connection *connection = &run.connections[(number + i) % CONNECTIONS];

		if (connection->state == state && connection->protocol == protocol)
			return connection;
	}
	return NULL;
}

static void give(struct stream *stream, const uint8_t *data, size_t size, bool fin)
{
	struct connection *connection = stream->connection;
	/* Of its own size, so that ASan sees a read beyond it. */
	uint8_t *bytes = malloc(size + !size);

	require(bytes != NULL);
	if (size > 0)
		memcpy(bytes, data, size);
	if (connection->state == OPEN && connection->ours)
		mesh_data(run.mesh, &run.time, connection->protocol, connection->ours, stream,
			stream->ours, stream->bidi, bytes, size, fin);
	free(bytes);
}

/* The peer's stream for that overlay: the one whose first bytes named it. Overlays are told by the
 * stream's place, so that a peer may have several. */
static struct stream *stream_for(struct connection *connection, const struct id *topic)
{
	uint8_t header[4 + ID_SIZE] = {0, 0, 0, ID_SIZE};
	struct stream *stream;

	for (size_t i = 0; i < STREAMS; i++)
		if (run.streams[i].connection == connection && run.streams[i].incoming &&
			run.streams[i].finished == false && i % TOPICS == topic_number(topic))
			return &run.streams[i];
	stream = NULL;
	for (size_t i = topic_number(topic); i < STREAMS && !stream; i += TOPICS)
		if (!run.streams[i].connection)
			stream = &run.streams[i];
	if (!stream)
		return NULL;
	*stream = (struct stream){.connection = connection, .incoming = true};
	memcpy(header + 4, topic, ID_SIZE);
	give(stream, header, sizeof header, false);
	return stream;
}

/* A Gossip message's id must be true for it to get anywhere: the fuzzer cannot know. */
static size_t mend(uint8_t *body, size_t size)
{
	static struct wire_message message;
	struct message *content;
	uint8_t mended[LIMIT_FRAME];
	struct writer writer;

	if (wire_decode(body, size, &message) != 0 || message.type != WIRE_GOSSIP)
		return size;
	content = message_new(message.gossip.content, message.gossip.size);
	if (!content)
		return size;
	message.gossip.id = *message_id(content);
	message_unref(content);
	writer_init(&writer, mended, sizeof mended);
	if (wire_encode(&message, &writer) != 0)
		return size;
	memcpy(body, mended, writer_size(&writer));
	return writer_size(&writer);
}

static void frame(uint8_t argument, const uint8_t *data, size_t size)
{
	static uint8_t bytes[4 + LIMIT_FRAME];
	struct connection *connection = choose(argument, OPEN, MESH_GOSSIP);
	struct id topic = topic_of(argument >> 5);
	struct stream *stream;

	if (!connection || !connection->ours || size > LIMIT_FRAME)
		return;
	stream = stream_for(connection, &topic);
	if (!stream || !stream->connection)
		return;
	memcpy(bytes + 4, data, size);
	size = mend(bytes + 4, size);
	bytes[0] = bytes[1] = 0;
	bytes[2] = (uint8_t)(size >> 8);
	bytes[3] = (uint8_t)size;
	give(stream, bytes, size + 4, false);
}

static void bytes(uint8_t argument, const uint8_t *data, size_t size)
{
	bool discovers = argument & 0x80;
	struct connection *connection =
		choose(argument & 31, OPEN, discovers ? MESH_DISCOVERY : MESH_GOSSIP);
	struct stream *stream = NULL;

	if (!connection || connection->session)
		return;
	for (size_t i = 0; i < STREAMS && !(argument & 0x40); i++)
		if (run.streams[i].connection == connection &&
			(run.streams[i].incoming || run.streams[i].bidi))
			stream = &run.streams[i];
	if (!stream)
		stream = stream_new(connection, true, discovers);
	if (stream)
		give(stream, data, size, argument & 0x20);
}

/* ---- discovery as it should be ---- */

static bool gather(void *context, enum info_order order, session_emit_info *emit, void *emitter)
{
	const struct connection *connection = context;

	emit(emitter, &identities[connection->node].id, infos[connection->node][run.newer][order]);
	for (size_t i = 0; i < NODES; i++)
		if (i != connection->node)
			emit(emitter, &identities[i].id,
				infos[i][run.forged ? FORGED : run.newer][order]);
	return false;
}

static void hold(uint8_t argument)
{
	struct connection *connection = choose(argument & 31, OPEN, MESH_DISCOVERY);
	struct id topics[TOPICS];
	struct session_config config = {.random = random_seeded(&run.seed),
		.counters = &run.counters,
		.gather = gather,
		.context = connection,
		.remote = &identities[0].id,
		.topics = topics,
		.topics_count = 1 + (argument >> 5) % TOPICS};
	struct stream *stream = NULL;

	if (!connection || connection->session)
		return;
	for (uint8_t i = 0; i < TOPICS; i++)
		topics[i] = topic_of(i);
	for (size_t i = 0; i < STREAMS; i++)
		if (run.streams[i].connection == connection)
			stream = &run.streams[i];
	/* Who has opened the stream is Alice. */
	config.role = stream && !stream->incoming ? SESSION_BOB : SESSION_ALICE;
	config.dialect = (enum dialect)(1 + argument % 3);
	if (!stream)
		stream = stream_new(connection, true, true);
	if (stream)
		(void)session_new(&config, &connection->session);
}

/* What each side has said goes to the other one; whether there was anything. */
static bool converse(struct connection *connection)
{
	struct session_effect effect;
	struct stream *stream = NULL;
	struct frame *frames, *each;
	bool any = false;

	for (size_t i = 0; i < STREAMS; i++)
		if (run.streams[i].connection == connection && run.streams[i].bidi)
			stream = &run.streams[i];
	if (!stream || connection->state != OPEN)
		return false;
	frames = take_frames(stream);
	LL_FOREACH (frames, each) {
		session_receive(connection->session, each->head, each->head_size, false);
		any = true;
	}
	free_frames(frames);
	while (session_effect(connection->session, &effect)) {
		any = true;
		if (effect.type == SESSION_SEND) {
			if (stream->connection == connection)
				give(stream, effect.frame->head, effect.frame->head_size, false);
			frame_free(effect.frame);
		} else if (effect.type == SESSION_INFO) {
			info_free(effect.info);
		} else if (effect.type == SESSION_DONE || effect.type == SESSION_FAILED) {
			/* Bob ends it. */
			if (stream->connection == connection && !stream->incoming)
				close_connection(connection, 1 | 2);
			return true;
		}
	}
	return any;
}

static void announce(uint8_t argument)
{
	size_t node = argument % NODES;
	struct mdns_packet packet;

	if (mdns_packet_make_answer(
		    &identities[node].id, infos[node][run.newer][argument >> 3 & 1], &packet))
		return;
	mesh_packet(run.mesh, &run.time, packet.bytes, packet.size);
	memory_free(packet.bytes);
}

/* ---- what the mesh wants ---- */

static void note_event(const struct node_event *event)
{
	size_t topic, node;
	bool *neighbours;

	if (event->type == NODE_LOG) {
		require(event->text && strlen(event->text) < NODE_REASON_SIZE);
		return;
	}
	if (event->type == NODE_CONFIGURED)
		return;
	topic = topic_number(&event->topic);
	require(topic < TOPICS);
	neighbours = run.neighbours[topic];
	node = node_of(&event->peer);
	switch (event->type) {
	case NODE_NEIGHBOUR_UP:
	case NODE_NEIGHBOUR_DOWN:
		require(node > 0);
		if (node == NODES || run.forgetful)
			break;
		require(neighbours[node] == (event->type == NODE_NEIGHBOUR_DOWN));
		neighbours[node] = event->type == NODE_NEIGHBOUR_UP;
		break;
	case NODE_LEFT:
		memset(neighbours, 0, sizeof run.neighbours[topic]);
		break;
	case NODE_MESSAGE:
		require(event->message && event->message->size <= LIMIT_FRAME);
		break;
	case NODE_DROPPED:
		require(event->count > 0);
		break;
	default:
		break;
	}
}

static void take_effects(void)
{
	struct mesh_effect effect;
	uint8_t row[MESH_ROW_SIZE];
	struct id node;
	size_t size;

	while (mesh_effect(run.mesh, &effect)) {
		if (effect.type == MESH_EVENT) {
			note_event(&effect.event);
			message_unref(effect.event.message);
			memory_free(effect.event.text);
		} else if (effect.type == MESH_VALUE) {
			require(effect.bytes && effect.size == 8);
		} else if (effect.type == MESH_PACKET) {
			require(effect.bytes && effect.size > 0 && effect.size <= 9000);
		}
	}
	while (mesh_row(run.mesh, &node, row, &size))
		require(size <= sizeof row && !id_equal(&node, &identities[0].id));
}

static void check(void)
{
	struct mesh_figures figures = mesh_figures(run.mesh);
	size_t open = 0, neighbours = 0;

	for (size_t i = 0; i < CONNECTIONS; i++)
		open += run.connections[i].connected &&
			run.connections[i].protocol == MESH_GOSSIP;
	require(figures.overlays <= TOPICS && figures.connections <= open);
	require(figures.neighbours <= TOPICS * LIMIT_ACTIVE_VIEW);
	for (size_t topic = 0; topic < TOPICS; topic++) {
		neighbours = 0;
		for (size_t node = 0; node < NODES; node++)
			neighbours += run.neighbours[topic][node];
		require(neighbours <= LIMIT_ACTIVE_VIEW);
	}
}

/* The end of a step, as the driver has it; it comes to rest. */
static void rest(void)
{
	unsigned ticks = 0;
	bool any = true;

	while (any) {
		any = false;
		mesh_turn(run.mesh, &run.time);
		take_effects();
		for (size_t i = 0; i < CONNECTIONS; i++)
			if (run.connections[i].session)
				any = converse(&run.connections[i]) || any;
		if (!mesh_is_over(run.mesh) && mesh_deadline(run.mesh) <= run.time.now) {
			mesh_tick(run.mesh, &run.time);
			any = true;
		}
		require(++ticks < TICKS);
	}
	require(mesh_is_over(run.mesh) ? mesh_deadline(run.mesh) == UINT64_MAX
				       : mesh_deadline(run.mesh) > run.time.now);
	check();
}

static void pass(uint64_t ms)
{
	run.time.now += ms * MS;
	if (run.time.wall)
		run.time.wall += ms * 1000;
	if (!mesh_is_over(run.mesh))
		mesh_tick(run.mesh, &run.time);
}

/* ---- steps ---- */

static void resolved(uint8_t argument, const uint8_t *data, size_t size)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t count = 0;

	for (; count < LIMIT_ADDRESSES_PER_NODE && count < size; count++) {
		addresses[count] = address_of(data[count] % NODES);
		addresses[count].port = data[count] & 0x80 ? 2022 : 2023;
	}
	mesh_resolved(run.mesh, &run.time, &identities[argument % NODES].id, addresses, count,
		count + (argument & 0x40), count ? "" : "no such name");
}

static void take_step(enum step step, uint8_t argument, const uint8_t *data, size_t size)
{
	enum mesh_protocol protocol = argument & 0x80 ? MESH_DISCOVERY : MESH_GOSSIP;
	struct id topic = topic_of(argument);
	struct address addresses[2] = {address_of(argument & 3), address_of(argument >> 2 & 3)};
	struct connection *connection;

	switch (step) {
	case STEP_CONNECTED:
		connection = choose(argument & 31, DIALLING, protocol);
		if (connection && !(argument & 0x40))
			connect_to(connection);
		else
			connect_in(argument % NODES, protocol);
		break;
	case STEP_CLOSED:
		connection = &run.connections[argument % CONNECTIONS];
		if (connection->state != FREE)
			close_connection(connection, size > 0 ? data[0] : 0);
		break;
	case STEP_FRAME:
		frame(argument, data, size);
		break;
	case STEP_BYTES:
		bytes(argument, data, size);
		break;
	case STEP_SESSION:
		hold(argument);
		break;
	case STEP_STREAM_CLOSED:
		if (run.streams[argument % STREAMS].connection)
			close_stream(&run.streams[argument % STREAMS], false);
		break;
	case STEP_TICK:
		pass(size > 0 ? data[0] * (uint64_t)data[0] : argument);
		break;
	case STEP_JOIN:
		run.joined[argument % TOPICS] = !mesh_join(run.mesh, &run.time, &topic);
		break;
	case STEP_LEAVE:
		mesh_leave(run.mesh, &run.time, &topic);
		break;
	case STEP_PUBLISH: {
		struct message *message = message_new(data, size);

		if (message)
			mesh_publish(run.mesh, &run.time, &topic, message);
		break;
	}
	case STEP_RESOLVED:
		resolved(argument, data, size);
		break;
	case STEP_PACKET:
		mesh_packet(run.mesh, &run.time, data, size);
		break;
	case STEP_ANNOUNCE:
		announce(argument);
		break;
	case STEP_ADDRESSES:
		mesh_addresses(run.mesh, &run.time, addresses, argument >> 4 & 1 ? 2 : 1);
		break;
	case STEP_CREDIT:
		connection = choose(argument & 31, OPEN, protocol);
		if (connection && connection->ours) {
			connection->credit += 1 + argument / 32;
			mesh_credit(run.mesh, &run.time, protocol, connection->ours);
		}
		break;
	case STEP_FAIL:
		if (argument & 4)
			run.countdown = 1 + argument / 8;
		else
			run.failing[argument & 3] = argument / 8;
		break;
	case STEP_LATE:
		run.late = argument / 4;
		break;
	case STEP_CLOCK:
		run.newer = argument & 1;
		run.forged = argument & 4;
		run.time.wall = argument & 2 ? 0 : BEGINNING_US + argument * UINT64_C(30000000);
		break;
	case STEP_REFUSED:
		mesh_refused(run.mesh, &run.time, &addresses[0], "another network");
		mesh_crowded(run.mesh, &run.time, &addresses[1]);
		mesh_log(run.mesh, NODE_LOG_WARNING, "the disk is %u per cent full", argument);
		break;
	default:
		break;
	}
}

/* Whatever has happened, it stops in time and leaves nothing. */
static void stop(void)
{
	mesh_stop(run.mesh, &run.time);
	rest();
	for (unsigned i = 0; i < 4 && !mesh_is_over(run.mesh); i++) {
		pass(LIMIT_FAREWELL_MS / 4);
		rest();
	}
	require(mesh_is_over(run.mesh));
	for (size_t i = 0; i < CONNECTIONS; i++)
		if (run.connections[i].state != FREE)
			close_connection(&run.connections[i], 2);
	take_effects();
	mesh_free(run.mesh);
	require(run.blocks == 0);
	memory_set(NULL);
}

static bool begin(struct reader *reader)
{
	const uint8_t configuration = reader_u8(reader);
	struct node_peer peers[2] = {{.id = identities[1].id}, {.id = identities[2].id}};
	struct node_peer bootstraps[1] = {{.id = identities[3].id}};
	const struct node_host advertised = {"host.example", 2022};
	const struct address bound = address_of(0);
	struct node_config node = {
		.identity = &identities[0],
		.peers = peers,
		.peers_count = configuration & 3 ? (configuration & 3) % 3 : 0,
		.bootstraps = bootstraps,
		.bootstraps_count = configuration >> 2 & 1,
		.deny = &identities[NODES - 1].id,
		.deny_count = configuration >> 3 & 1,
		.advertise = &advertised,
		.advertise_count = configuration >> 4 & 1,
		.max_overlays = 2,
		.queue_limit = 4,
		.queue_age_ns = 30000 * MS,
		.cache_bytes = 4096,
	};
	struct mesh_config config = {
		.node = &node,
		.identity = &identities[0],
		.random = random_seeded(&run.seed),
		.counters = &run.counters,
		.port = {NULL, port_dial, port_own_connection, port_close, port_set_stranger,
			port_open, port_own_stream, port_send, port_finish, port_stop,
			port_is_late},
	};
	const struct id topic = topic_of(0);
	const struct address known = address_of(5);

	if (mesh_new(&config, &run.mesh))
		return false;
	if (configuration >> 5 & 1) {
		size_t size = reader_u8(reader);
		size_t length = size < reader_left(reader) ? size : reader_left(reader);
		const uint8_t *row = reader_bytes(reader, length);

		mesh_restore_row(run.mesh, &identities[4].id, row, length);
		mesh_restore_value(run.mesh, row, length);
		mesh_restore_neighbour(
			run.mesh, &run.time, &topic, &identities[5].id, &known, 1);
	}
	if (mesh_use_lan(run.mesh, (enum node_mdns)((configuration >> 6) % 3)) ||
		mesh_begin(run.mesh, &run.time, &bound, 1)) {
		mesh_free(run.mesh);
		return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct memory memory = {fuzz_alloc, fuzz_realloc, fuzz_free, NULL};
	struct reader reader;
	unsigned steps = 0;

	set_up();
	memset(&run, 0, sizeof run);
	run.seed = 1;
	run.time = (struct mesh_time){BEGINNING_NS, BEGINNING_US};
	memory_set(&memory);
	reader_init(&reader, data, size);
	if (!begin(&reader)) {
		require(run.blocks == 0);
		memory_set(NULL);
		return 0;
	}
	rest();
	while (reader_left(&reader) >= 4 && steps++ < STEPS) {
		enum step step = (enum step)(reader_u8(&reader) % STEPS_OF_A_KIND);
		uint8_t argument = reader_u8(&reader);
		size_t wanted = reader_u16(&reader);
		size_t length = wanted < reader_left(&reader) ? wanted : reader_left(&reader);
		const uint8_t *step_data = reader_bytes(&reader, length);

		if (step == STEP_STOP)
			break;
		take_step(step, argument, step_data, length);
		rest();
	}
	run.countdown = 0;
	memset(run.failing, 0, sizeof run.failing);
	stop();
	return 0;
}
