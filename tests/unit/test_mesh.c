/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The entry points of the mesh with a port that writes down what it is asked for: what the
 * simulation of whole nodes (tests/simulation) does not look at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <utlist.h>

#include "bridge/bytes/reader.h"
#include "bridge/discovery/session.h"
#include "bridge/error.h"
#include "bridge/gossip/addr_info.h"
#include "bridge/gossip/frame.h"
#include "bridge/memory.h"
#include "bridge/mesh/mesh.h"
#include "bridge/messages/signed.h"
#include "bridge/peers/link.h"
#include "support_heap.h"

#define MS	 UINT64_C(1000000)
#define S	 (1000 * MS)
#define NOW	 (1000 * S)
#define WALL	 UINT64_C(1790000000000000)
#define SECOND	 UINT64_C(1000000) /* of the wall clock */
#define NODES	 6
#define STREAMS	 4
#define TEXT_MAX 4096
#define RATE	 1000 /* signed messages a second */

struct stream {
	struct connection *connection;
	void *ours;
	bool incoming;
	struct frame *frames;
};

struct connection {
	size_t node;
	enum mesh_protocol protocol;
	void *ours;
	bool open, closing;
	struct stream streams[STREAMS];
	size_t streams_count;
};

static struct identity identities[NODES];

static struct {
	struct mesh *mesh;
	struct mesh_time time;
	struct counters counters;
	uint64_t seed;
	struct connection connections[8];
	size_t connections_count;
	size_t credit; /* streams that each peer grants us */
	bool late;
	unsigned signed_rate;
	bool at_relay; /* node 2 is configured to be at a relay */
	char asked[RELAY_URL_SIZE]; /* the last relay that the port was asked for */
	char calls[TEXT_MAX]; /* of the port, one after the other */
} node;

static const struct id topic = {{0x77}}, other_topic = {{0x88}};

static struct address address_of(size_t number)
{
	return (struct address){4, {10, 0, 0, (uint8_t)number}, 2022};
}

static size_t number_of(const struct id *id)
{
	for (size_t i = 0; i < NODES; i++)
		if (id_equal(id, &identities[i].id))
			return i;
	return NODES;
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	size_t used = strlen(node.calls);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(node.calls + used, TEXT_MAX - used, format, arguments);
	va_end(arguments);
	strncat(node.calls, "; ", TEXT_MAX - strlen(node.calls) - 1);
}

static void assert_calls(const char *expected)
{
	assert_string_equal(node.calls, expected);
	node.calls[0] = '\0';
}

/* ---- the port ---- */

static struct connection *connection_new(size_t number, enum mesh_protocol protocol)
{
	struct connection *connection = &node.connections[node.connections_count++];

	assert_true(node.connections_count <= 8);
	*connection = (struct connection){.node = number, .protocol = protocol};
	return connection;
}

static int port_dial(void *context, enum mesh_protocol protocol, const struct id *peer,
	const struct address *address, void *ours, void **out)
{
	struct connection *connection = connection_new(number_of(peer), protocol);

	note("dial %zu%s%s", connection->node, protocol == MESH_GOSSIP ? "" : " (discovery)",
		address_is_relay(address) ? " by relay" : "");
	connection->ours = ours;
	*out = connection;
	return ERROR_NONE;
}

static void port_own_connection(void *connection, void *ours)
{
	((struct connection *)connection)->ours = ours;
}

static void port_close(void *handle, uint64_t code, const char *reason)
{
	struct connection *connection = handle;

	connection->closing = true;
	note("close %zu, code %u%s%s", connection->node, (unsigned)code, reason ? ": " : "",
		reason ? reason : "");
}

static void port_set_stranger(void *connection, bool stranger)
{
}

static int port_open(void *handle, bool bidi, void **out)
{
	struct connection *connection = handle;
	struct stream *stream = &connection->streams[connection->streams_count];

	if (connection->closing)
		return ERROR_CLOSED;
	if (connection->streams_count == node.credit)
		return ERROR_NO_STREAM_CREDIT;
	connection->streams_count++;
	*stream = (struct stream){.connection = connection};
	*out = stream;
	note("open %zu", connection->node);
	return ERROR_NONE;
}

static void port_own_stream(void *stream, void *ours)
{
	((struct stream *)stream)->ours = ours;
}

static int port_send(void *handle, struct frame *frame)
{
	static const char *const names[] = {"JOIN", "FORWARD_JOIN", "SHUFFLE", "SHUFFLE_REPLY",
		"NEIGHBOR", "DISCONNECT", "GOSSIP", "PRUNE", "GRAFT", "IHAVE"};
	static struct wire_message message;
	struct stream *stream = handle;

	if (stream->connection->protocol == MESH_DISCOVERY) {
		note("send %zu", frame_size(frame));
	} else if (frame->body) {
		note("GOSSIP %.*s", (int)frame->body->size, (const char *)frame->body->content);
	} else if (frame->head_size > 4 + ID_SIZE || frame->head[4] < 0x77) {
		assert_int_equal(
			wire_decode(frame->head + 4, frame->head_size - 4, &message), 0);
		note("%s", names[message.type]);
	}
	LL_APPEND(stream->frames, frame);
	return ERROR_NONE;
}

static void port_finish(void *stream)
{
	note("finish");
}

static void port_stop(void *stream, uint64_t code)
{
	note("stop");
}

static bool port_is_late(void *context)
{
	return node.late;
}

static struct relay_url relay_url(const char *text)
{
	struct relay_url url;

	assert_int_equal(relay_url_parse(text, strlen(text), &url), 0);
	return url;
}

static bool port_relay(void *context, const struct relay_url *url, struct address *address)
{
	snprintf(node.asked, sizeof node.asked, "%s", url->text);
	*address = relay_url_address(url);
	return strcmp(url->host, "relay.example") == 0;
}

static uint64_t port_rtt(void *connection)
{
	return 1000 * ((struct connection *)connection)->node;
}

/* ---- a life ---- */

static const struct mesh_port port = {NULL, port_dial, port_own_connection, port_close,
	port_set_stranger, port_open, port_own_stream, port_send, port_finish, port_stop,
	port_is_late, port_relay, port_rtt, NULL};

/* Two peers, 1 and 2, and a bootstrap, 3. */
static int make(struct mesh **out)
{
	static const struct node_host advertised = {"host.example", 2022};
	const struct node_peer peers[2] = {{.id = identities[1].id, .hosts_count = 1},
		{.id = identities[2].id,
			.hosts_count = 1,
			.relays_count = node.at_relay,
			.relays = {relay_url("https://relay.example")}}};
	const struct node_peer bootstrap = {.id = identities[3].id, .hosts_count = 1};
	const struct node_config config = {
		.identity = &identities[0],
		.peers = peers,
		.peers_count = 2,
		.bootstraps = &bootstrap,
		.bootstraps_count = 1,
		.deny = &identities[4].id,
		.deny_count = 1,
		.advertise = &advertised,
		.advertise_count = 1,
		.max_overlays = 1,
		.queue_limit = 2,
		.queue_age_ns = 30 * S,
		.signed_rate = node.signed_rate,
		.cache_bytes = 4096,
	};
	const struct mesh_config mesh = {
		.node = &config,
		.identity = &identities[0],
		.random = random_seeded(&node.seed),
		.counters = &node.counters,
		.port = port,
	};

	return mesh_new(&mesh, out);
}

static int begin(void)
{
	const struct address bound = address_of(0);
	int error = mesh_use_lan(node.mesh, NODE_MDNS_PASSIVE);

	return error ? error : mesh_begin(node.mesh, &node.time, &bound, 1);
}

static int make_identities(unsigned signed_rate)
{
	uint8_t secret[IDENTITY_SECRET_SIZE] = {0};

	memset(&node, 0, sizeof node);
	node.seed = 1;
	node.credit = 4;
	node.signed_rate = signed_rate;
	node.time = (struct mesh_time){NOW, WALL};
	for (size_t i = 0; i < NODES; i++) {
		secret[0] = (uint8_t)(i + 1);
		if (identity_from_secret(secret, &identities[i]))
			return -1;
	}
	return 0;
}

static int setup_node(unsigned signed_rate)
{
	if (make_identities(signed_rate))
		return -1;
	heap_begin();
	assert_int_equal(make(&node.mesh), 0);
	return 0;
}

static int setup_new(void **state)
{
	return setup_node(0);
}

static void drop_effects(void)
{
	struct mesh_effect effect;

	while (mesh_effect(node.mesh, &effect)) {
		if (effect.type != MESH_EVENT)
			continue;
		message_unref(effect.event.message);
		memory_free(effect.event.text);
		picture_free(effect.event.picture);
	}
}

static int setup_begun(unsigned signed_rate)
{
	setup_node(signed_rate);
	assert_int_equal(begin(), 0);
	mesh_turn(node.mesh, &node.time);
	drop_effects();
	return 0;
}

static int setup(void **state)
{
	return setup_begun(0);
}

static int begin_node(void)
{
	heap_begin();
	assert_int_equal(make(&node.mesh), 0);
	assert_int_equal(begin(), 0);
	mesh_turn(node.mesh, &node.time);
	drop_effects();
	return 0;
}

static int setup_relay(void **state)
{
	if (make_identities(0))
		return -1;
	node.at_relay = true;
	return begin_node();
}

static int setup_paced(void **state)
{
	return setup_begun(RATE);
}

static void end_stream(struct connection *connection, struct stream *stream)
{
	mesh_stream_closed(node.mesh, &node.time, connection->protocol, connection->ours, stream,
		stream->ours, stream->incoming, NULL);
	stream->connection = NULL;
}

static void close_connection(struct connection *connection)
{
	const struct closing closing = {.remote = true, .text = "gone"};
	struct frame *frame;

	for (size_t i = 0; i < STREAMS; i++) {
		struct stream *stream = &connection->streams[i];

		if (!stream->connection)
			continue;
		while ((frame = stream->frames)) {
			stream->frames = frame->next;
			frame_free(frame);
		}
		if (connection->ours)
			end_stream(connection, stream);
		stream->connection = NULL;
	}
	connection->streams_count = 0;
	if (connection->ours)
		mesh_closed(node.mesh, &node.time, connection->protocol, connection->ours, &closing);
	connection->ours = NULL;
}

static void close_all(void)
{
	for (size_t i = 0; i < node.connections_count; i++)
		if (node.connections[i].ours)
			close_connection(&node.connections[i]);
	node.connections_count = 0;
}

static int teardown(void **state)
{
	close_all();
	mesh_free(node.mesh);
	for (size_t i = 0; i < NODES; i++)
		identity_clear(&identities[i]);
	heap_end();
	return 0;
}

static void pass(uint64_t ns)
{
	node.time.now += ns;
	node.time.wall += ns / 1000;
	mesh_tick(node.mesh, &node.time);
	mesh_turn(node.mesh, &node.time);
}

static void join(const struct id *which)
{
	assert_int_equal(mesh_join(node.mesh, &node.time, which), 0);
	mesh_turn(node.mesh, &node.time);
}

static void publish(const struct id *which, const char *text)
{
	mesh_publish(node.mesh, &node.time, which, message_new(text, strlen(text)));
	mesh_turn(node.mesh, &node.time);
}

static void resolve(size_t number)
{
	const struct address address = address_of(number);

	mesh_resolved(node.mesh, &node.time, &identities[number].id, &address, 1, 1, "");
	mesh_turn(node.mesh, &node.time);
}

static void connect_at(struct connection *connection, const struct address *address)
{
	connection->open = true;
	mesh_connected(node.mesh, &node.time, connection->protocol, connection, connection->ours,
		&identities[connection->node].id, address);
	mesh_turn(node.mesh, &node.time);
}

static void connect_to(struct connection *connection)
{
	const struct address address = address_of(connection->node);

	connect_at(connection, &address);
}

/* What a peer says on its stream, on the connection's last place. */
static void say(struct connection *connection, struct frame *frame)
{
	struct stream *stream = &connection->streams[STREAMS - 1];
	uint8_t bytes[256];
	size_t size = frame->head_size;

	assert_true(frame_size(frame) <= sizeof bytes);
	memcpy(bytes, frame->head, frame->head_size);
	if (frame->body) {
		memcpy(bytes + size, frame->body->content, frame->body->size);
		size += frame->body->size;
	}
	memcpy(bytes + size, frame->tail, frame->tail_size);
	stream->connection = connection;
	stream->incoming = true;
	mesh_data(node.mesh, &node.time, connection->protocol, connection->ours, stream,
		stream->ours, false, bytes, size + frame->tail_size, false);
	mesh_turn(node.mesh, &node.time);
	frame_free(frame);
}

static void say_message(struct connection *connection, const struct wire_message *message)
{
	struct frame *frame;

	assert_int_equal(frame_encode(message, &frame), 0);
	say(connection, frame);
}

/* The peer has dialled us and becomes a neighbour. */
static struct connection *befriend(size_t number)
{
	static struct wire_message message = {
		.type = WIRE_NEIGHBOR, .neighbor = {.priority = WIRE_HIGH}};
	struct connection *connection = connection_new(number, MESH_GOSSIP);
	struct frame *header;

	connect_to(connection);
	assert_int_equal(frame_encode_header(&topic, &header), 0);
	say(connection, header);
	say_message(connection, &message);
	return connection;
}

/* The effects, but for lines below a notice and what is said of configured nodes, one after the
 * other. */
static void assert_effects(const char *expected)
{
	static const char *const names[] = {
		[NODE_JOINED] = "joined",
		[NODE_NEIGHBOUR_UP] = "up",
		[NODE_NEIGHBOUR_DOWN] = "down",
		[NODE_LEFT] = "left",
		[NODE_MESSAGE] = "message",
		[NODE_DROPPED] = "dropped",
		[NODE_PICTURE] = "picture",
	};
	struct mesh_effect effect;
	struct reader reader;

	node.calls[0] = '\0';
	while (mesh_effect(node.mesh, &effect)) {
		const struct node_event *event = &effect.event;

		if (effect.type == MESH_LOOK_UP) {
			note("look up %zu", number_of(&effect.node));
		} else if (effect.type == MESH_VALUE) {
			reader_init(&reader, effect.bytes, effect.size);
			note("value %+lld", (long long)(reader_u64(&reader) - WALL));
		} else if (effect.type == MESH_PACKET) {
			note("packet");
		} else if (event->type != NODE_LOG && event->type != NODE_CONFIGURED) {
			note("%s", names[event->type]);
		} else if (event->type == NODE_LOG && event->level >= NODE_LOG_NOTICE) {
			note("line: %.24s", event->text);
		}
		if (effect.type == MESH_EVENT) {
			message_unref(event->message);
			memory_free(event->text);
			picture_free(event->picture);
		}
	}
	assert_calls(expected);
}

/* Whether that is among the effects, which are taken. */
static bool is_looked_up(size_t number)
{
	struct mesh_effect effect;
	bool wanted = false;

	while (mesh_effect(node.mesh, &effect)) {
		if (effect.type == MESH_LOOK_UP)
			wanted = wanted || number_of(&effect.node) == number;
		if (effect.type == MESH_EVENT)
			memory_free(effect.event.text);
	}
	return wanted;
}

/* ---- the beginning ---- */

/* Ourselves first, for others wait for it; then those of the configuration, as they are there. */
static void names_are_looked_up_in_order(void **state)
{
	assert_int_equal(begin(), 0);
	mesh_turn(node.mesh, &node.time);
	assert_effects("look up 0; look up 1; look up 2; look up 3; value +0; ");
	assert_effects("");
}

/* What has happened is told before what is wanted. */
static void events_come_first(void **state)
{
	assert_int_equal(begin(), 0);
	mesh_turn(node.mesh, &node.time);
	mesh_log(node.mesh, NODE_LOG_WARNING, "the disk is full");
	assert_effects("line: the disk is full; look up 0; look up 1; look up 2; look up 3; "
		       "value +0; ");
}

static void a_failed_look_up_is_wanted_again(void **state)
{
	mesh_resolved(node.mesh, &node.time, &identities[0].id, NULL, 0, 0, "no such host");
	assert_effects("line: advertise: no such host; ");
	pass(S - 1);
	assert_false(is_looked_up(0));
	pass(1);
	assert_true(is_looked_up(0));
	/* Another failure of the same kind is no news, and waits longer. */
	mesh_resolved(node.mesh, &node.time, &identities[0].id, NULL, 0, 0, "no such host");
	assert_effects("");
	pass(2 * S - 1);
	assert_false(is_looked_up(0));
	pass(1);
	assert_true(is_looked_up(0));
}

static void our_addresses_are_told_when_they_are_found(void **state)
{
	const struct address found = address_of(100);

	mesh_resolved(node.mesh, &node.time, &identities[0].id, &found, 1, 1, "");
	assert_effects("value +1; ");
	mesh_resolved(node.mesh, &node.time, &identities[0].id, &found, 1, 1, "");
	assert_effects("");
}

/* ---- the time of what we have said of ourselves ---- */

static void restore(uint64_t us)
{
	uint8_t bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(us >> 8 * (7 - i));
	mesh_restore_value(node.mesh, bytes, sizeof bytes);
}

static void a_kept_time_is_surpassed(void **state)
{
	restore(WALL + 100 * SECOND); /* the clock was set back while we were away */
	assert_int_equal(begin(), 0);
	assert_effects("look up 0; look up 1; look up 2; look up 3; value +100000001; ");
}

static void a_kept_time_of_long_ago_is_of_no_account(void **state)
{
	restore(WALL - 100 * SECOND);
	assert_int_equal(begin(), 0);
	assert_effects("look up 0; look up 1; look up 2; look up 3; value +0; ");
}

/* Nobody has believed it. */
static void a_kept_time_of_the_far_future_is_forgotten(void **state)
{
	restore(WALL + LIMIT_FUTURE_US + 1);
	assert_int_equal(begin(), 0);
	assert_effects("line: what this node has said ; look up 0; look up 1; look up 2; "
		       "look up 3; value +0; ");
}

static void a_kept_value_that_is_none_is_of_no_account(void **state)
{
	mesh_restore_value(node.mesh, "abc", 3);
	assert_int_equal(begin(), 0);
	assert_effects("look up 0; look up 1; look up 2; look up 3; value +0; ");
}

static void a_clock_that_is_set_makes_infos_new(void **state)
{
	node.time.wall += 5 * SECOND - 1;
	mesh_turn(node.mesh, &node.time);
	assert_effects("");
	node.time.wall += 2;
	mesh_turn(node.mesh, &node.time);
	assert_effects("line: the clock was set: addre; value +5000001; ");
	/* Back: newer than what was told all the same. */
	node.time.wall -= 60 * SECOND;
	mesh_turn(node.mesh, &node.time);
	assert_effects("line: the clock was set: addre; value +5000002; ");
}

static struct info *own, *theirs;

static bool gather(void *context, enum info_order order, session_emit_info *emit, void *emitter)
{
	emit(emitter, &identities[5].id, theirs);
	emit(emitter, &identities[0].id, own);
	return false;
}

/* Goes on for as long as one side has something to say. */
static void converse(struct connection *connection, struct session *session)
{
	struct stream *stream = &connection->streams[0];
	struct session_effect effect;
	struct frame *frame;

	while (session_effect(session, &effect)) {
		if (effect.type == SESSION_INFO)
			info_free(effect.info);
		if (effect.type != SESSION_SEND)
			continue;
		mesh_data(node.mesh, &node.time, MESH_DISCOVERY, connection->ours, stream,
			stream->ours, true, effect.frame->head, effect.frame->head_size, false);
		frame_free(effect.frame);
		while ((frame = stream->frames)) {
			stream->frames = frame->next;
			session_receive(session, frame->head, frame->head_size, false);
			frame_free(frame);
		}
	}
}

/* A peer tells us what an earlier life of ours has said, in a session of discovery. */
static void tell_own(uint64_t us, bool forged)
{
	const struct address addresses[] = {address_of(0), address_of(5)};
	struct connection *connection = connection_new(5, MESH_DISCOVERY);
	struct session_config config = {.role = SESSION_ALICE,
		.remote = &identities[0].id,
		.dialect = DIALECT_071,
		.random = random_seeded(&node.seed),
		.counters = &node.counters,
		.gather = gather};
	struct session *session;

	assert_int_equal(info_sign(&identities[0], (struct info_time){us, 0}, ORDER_ADDRESSES_FIRST, NULL,
				 &addresses[0], 1, &own), 0);
	assert_int_equal(info_sign(&identities[5], (struct info_time){us, 0}, ORDER_ADDRESSES_FIRST, NULL,
				 &addresses[1], 1, &theirs), 0);
	own->signature[0] ^= forged;
	connect_to(connection);
	connection->streams[0] = (struct stream){.connection = connection, .incoming = true};
	connection->streams_count = 1;
	assert_int_equal(session_new(&config, &session), 0);
	converse(connection, session);
	mesh_turn(node.mesh, &node.time);
	session_free(session);
	close_connection(connection);
	node.connections_count--;
	info_free(own);
	info_free(theirs);
}

static void a_newer_info_of_ours_is_surpassed(void **state)
{
	tell_own(WALL - SECOND, false);
	assert_effects("");
	tell_own(WALL + 30 * SECOND, true);
	assert_effects("");
	assert_int_equal(counters_get(&node.counters, COUNTER_BAD_INFO), 1);
	tell_own(WALL + 20 * SECOND, false);
	assert_effects("value +20000001; ");
	/* It could never be surpassed. */
	tell_own(WALL + LIMIT_FUTURE_US + 1, false);
	assert_effects("");
	assert_int_equal(counters_get(&node.counters, COUNTER_DISCOVERED), 4);
}

/* ---- relays ---- */

static struct address relay_address(void)
{
	const struct relay_url url = relay_url("https://relay.example");

	return relay_url_address(&url);
}

static void a_relay_is_used_until_there_is_a_better_way(void **state)
{
	const struct address relay = relay_address();

	join(&topic);
	assert_calls("dial 2 by relay; ");
	connect_at(&node.connections[0], &relay);
	assert_calls("open 2; NEIGHBOR; JOIN; ");
	assert_int_equal(mesh_figures(node.mesh).relayed, 1);
	/* Where it is otherwise is found out: it is tried there at once. */
	resolve(2);
	assert_calls("dial 2; ");
	connect_to(&node.connections[1]);
	assert_calls("finish; ");
	assert_int_equal(mesh_figures(node.mesh).relayed, 0);
	pass(LINK_OLD_MS * MS);
	assert_non_null(strstr(node.calls, "open 2; "));
	node.calls[0] = '\0';
	/* The direct one is gone: both ways again. */
	close_connection(&node.connections[0]);
	close_connection(&node.connections[1]);
	mesh_turn(node.mesh, &node.time);
	assert_calls("dial 2; dial 2 by relay; ");
}

static void a_relay_that_is_back_is_a_time_to_dial(void **state)
{
	const struct closing closing = {.timeout = true, .text = "handshake timed out"};
	struct connection *connection = &node.connections[0];

	join(&topic);
	assert_calls("dial 2 by relay; ");
	mesh_closed(node.mesh, &node.time, MESH_GOSSIP, connection->ours, &closing);
	connection->ours = NULL;
	mesh_turn(node.mesh, &node.time);
	assert_calls("");
	mesh_relay_up(node.mesh, &node.time);
	assert_calls("dial 2 by relay; ");
}

static void where_we_are_is_told(void **state)
{
	const struct relay_url home = relay_url("https://Home.example:443");
	static struct wire_message message;
	struct addr_info info;
	struct frame *join_frame;

	mesh_relay(node.mesh, &node.time, &home);
	mesh_turn(node.mesh, &node.time);
	assert_effects("value +1; ");
	mesh_relay(node.mesh, &node.time, &home);
	mesh_turn(node.mesh, &node.time);
	assert_effects("");
	join(&topic);
	resolve(1);
	connect_to(&node.connections[0]);
	/* The header, a Neighbor, and the Join. */
	join_frame = node.connections[0].streams[0].frames->next->next;
	assert_int_equal(wire_decode(join_frame->head + 4, join_frame->head_size - 4, &message), 0);
	assert_int_equal(message.type, WIRE_JOIN);
	assert_int_equal(
		addr_info_decode(message.join.data.bytes, message.join.data.size, &info), 0);
	assert_int_equal(info.relay_size, strlen("https://home.example/"));
	assert_memory_equal(info.relay, "https://home.example/", info.relay_size);
	mesh_relay(node.mesh, &node.time, NULL);
	mesh_turn(node.mesh, &node.time);
}

static void a_neighbour_speaks_of_a_relay(const char *url, bool dialled)
{
	static struct wire_message message = {.type = WIRE_FORWARD_JOIN, .forward_join = {.ttl = 6}};
	struct addr_info info = {.relay = url, .relay_size = strlen(url)};
	struct connection *connection;
	uint8_t data[512];

	join(&topic);
	connection = befriend(1);
	node.calls[0] = '\0';
	message.forward_join.peer.id = identities[5].id;
	message.forward_join.peer.data.size = (size_t)addr_info_encode(&info, data, sizeof data);
	message.forward_join.peer.data.bytes = data;
	say_message(connection, &message);
	assert_string_equal(node.asked, url);
	assert_int_equal(strstr(node.calls, "dial 5 by relay; ") != NULL, dialled);
	assert_null(strstr(node.calls, "dial 5; "));
	drop_effects();
}

static void a_relay_that_may_be_used(void **state)
{
	a_neighbour_speaks_of_a_relay("https://relay.example/", true);
}

static void a_relay_that_may_not_be_used(void **state)
{
	a_neighbour_speaks_of_a_relay("http://127.0.0.1:22/", false);
}

/* ---- overlays ---- */

static void who_is_joined_is_dialled_and_asked(void **state)
{
	join(&topic);
	assert_calls(""); /* nobody knows yet where they are */
	resolve(1);
	assert_calls("dial 1; ");
	connect_to(&node.connections[0]);
	assert_calls("open 1; NEIGHBOR; JOIN; ");
	join(&topic);
	assert_calls("");
}

static void a_first_neighbour_is_told_in_order(void **state)
{
	join(&topic);
	publish(&topic, "first");
	publish(&topic, "second");
	assert_int_equal(mesh_figures(node.mesh).waiting, 2);
	drop_effects();
	befriend(5);
	assert_calls("open 5; NEIGHBOR; GOSSIP first; GOSSIP second; ");
	assert_effects("joined; up; ");
	assert_int_equal(mesh_figures(node.mesh).waiting, 0);
	assert_int_equal(mesh_figures(node.mesh).neighbours, 1);
}

/* Over its limit the oldest gives way, which is told at the end of a turn. */
static void what_gives_way_is_told(void **state)
{
	join(&topic);
	drop_effects();
	for (int i = 0; i < 3; i++)
		mesh_publish(node.mesh, &node.time, &topic, message_new(&i, sizeof i));
	assert_effects("");
	mesh_turn(node.mesh, &node.time);
	assert_effects("dropped; ");
	assert_int_equal(counters_get(&node.counters, COUNTER_DROPPED_QUEUE_LIMIT), 1);
}

static void over_the_limit_nothing_is_carried(void **state)
{
	join(&topic);
	join(&other_topic);
	assert_int_equal(mesh_figures(node.mesh).overlays, 1);
	drop_effects();
	publish(&other_topic, "nowhere");
	assert_effects("dropped; ");
	assert_int_equal(counters_get(&node.counters, COUNTER_DROPPED_MAX_OVERLAYS), 1);
	mesh_leave(node.mesh, &node.time, &other_topic);
	assert_effects("left; ");
}

static void who_leaves_says_farewell(void **state)
{
	struct connection *connection;

	join(&topic);
	connection = befriend(5);
	node.calls[0] = '\0';
	drop_effects();
	mesh_leave(node.mesh, &node.time, &topic);
	assert_calls("SHUFFLE_REPLY; DISCONNECT; finish; ");
	assert_effects("left; ");
	assert_int_equal(mesh_figures(node.mesh).neighbours, 0);
	/* Nothing more comes from it. */
	say_message(connection, &(struct wire_message){.type = WIRE_NEIGHBOR});
	assert_effects("");
}

static void without_credit_an_overlay_waits(void **state)
{
	struct connection *connection;

	join(&topic);
	node.credit = 0;
	connection = befriend(5);
	publish(&topic, "hello");
	assert_calls("");
	node.credit = 1;
	mesh_credit(node.mesh, &node.time, MESH_GOSSIP, connection->ours);
	assert_calls("open 5; NEIGHBOR; GOSSIP hello; ");
}

static void what_cannot_be_decoded_ends_the_connection(void **state)
{
	struct connection *connection;
	struct frame *frame;

	join(&topic);
	connection = befriend(5);
	node.calls[0] = '\0';
	frame = frame_new(6);
	memcpy(frame->head, "\0\0\0\2\xff\xff", 6);
	say(connection, frame);
	assert_calls("close 5, code 1; ");
	assert_int_equal(counters_get(&node.counters, COUNTER_BAD_FRAME), 1);
}

static void who_shares_nothing_is_sent_away(void **state)
{
	struct connection *stranger = connection_new(5, MESH_GOSSIP);
	struct connection *configured = connection_new(2, MESH_GOSSIP);

	connect_to(stranger);
	connect_to(configured);
	pass(LIMIT_STRANGER_MS / 6 * MS);
	node.calls[0] = '\0';
	pass(LIMIT_STRANGER_MS * MS);
	assert_non_null(strstr(node.calls, "close 5, code 0"));
	assert_true(stranger->closing);
}

/* Streams of ours end as ours: a peer that has opened as many others as it may loses nothing. */
static void a_stream_of_ours_ends_at_the_limit(void **state)
{
	struct connection *friend, *many;
	struct stream *streams = calloc(LIMIT_FOREIGN_STREAMS_PER_PEER, sizeof *streams);
	const struct id unknown = {{0x99}};
	struct frame *header;

	assert_non_null(streams);
	join(&topic);
	friend = befriend(5);
	many = connection_new(5, MESH_GOSSIP);
	connect_to(many);
	for (size_t i = 0; i < LIMIT_FOREIGN_STREAMS_PER_PEER; i++) {
		struct stream *stream = &many->streams[STREAMS - 1];

		stream->ours = NULL;
		assert_int_equal(frame_encode_header(&unknown, &header), 0);
		say(many, header);
		streams[i] = *stream;
		stream->connection = NULL;
	}
	assert_false(friend->closing || many->closing);
	/* The friend's, which is of a joined overlay. */
	end_stream(friend, &friend->streams[STREAMS - 1]);
	assert_false(friend->closing || many->closing);
	assert_int_equal(counters_get(&node.counters, COUNTER_LIMIT_FOREIGN), 0);
	for (size_t i = 0; i < LIMIT_FOREIGN_STREAMS_PER_PEER; i++)
		end_stream(many, &streams[i]);
	free(streams);
}

/* ---- who is let in ---- */

static void some_are_not_let_in(void **state)
{
	assert_true(mesh_lets_in(node.mesh, &node.time, &identities[5].id));
	assert_false(mesh_lets_in(node.mesh, &node.time, &identities[4].id));
	assert_false(mesh_lets_in(node.mesh, &node.time, &identities[0].id));
	/* Each line once in a while. */
	assert_false(mesh_lets_in(node.mesh, &node.time, &identities[0].id));
	assert_effects("line: peer f4bd46521c: refused; line: a peer shows our own nod; ");
	assert_true(mesh_keeps(node.mesh, &identities[3].id));
	assert_false(mesh_keeps(node.mesh, &identities[5].id));
}

/* ---- the configuration changes ---- */

static int set_peer(size_t number, bool trusted)
{
	const struct node_peer peer = {.id = identities[number].id, .hosts_count = 1};
	int error = mesh_set_peer(node.mesh, &node.time, &peer, trusted);

	mesh_turn(node.mesh, &node.time);
	return error;
}

static void remove_peer(size_t number)
{
	mesh_remove_peer(node.mesh, &node.time, &identities[number].id);
	mesh_turn(node.mesh, &node.time);
}

/* Shuts one out; 0: nobody. */
static void deny(size_t number)
{
	assert_int_equal(mesh_set_access(node.mesh, &node.time, NULL, 0,
				 number ? &identities[number].id : NULL, number > 0), 0);
	mesh_turn(node.mesh, &node.time);
}

static void who_is_added_is_dialled_and_asked(void **state)
{
	join(&topic);
	assert_int_equal(set_peer(5, true), 0);
	assert_true(is_looked_up(5));
	resolve(5);
	assert_non_null(strstr(node.calls, "dial 5; "));
	node.calls[0] = '\0';
	connect_to(&node.connections[node.connections_count - 1]);
	assert_non_null(strstr(node.calls, "open 5; NEIGHBOR; JOIN; "));
	assert_true(mesh_keeps(node.mesh, &identities[5].id));
}

/* It may belong to a part of the overlay that ours does not reach. */
static void who_is_added_is_asked_where_there_are_others(void **state)
{
	join(&topic);
	befriend(5);
	resolve(1);
	assert_int_equal(set_peer(4, true), 0); /* shut out, but who knows */
	deny(0);
	resolve(4);
	assert_non_null(strstr(node.calls, "dial 4; "));
	node.calls[0] = '\0';
	for (size_t i = 0; i < node.connections_count; i++)
		if (node.connections[i].node == 4 && !node.connections[i].open)
			connect_to(&node.connections[i]);
	for (int i = 0; i < 20 && !strstr(node.calls, "open 4; NEIGHBOR; "); i++)
		pass(100 * MS);
	assert_non_null(strstr(node.calls, "open 4; NEIGHBOR; "));
	drop_effects();
}

static void who_is_removed_is_not_dialled_any_more(void **state)
{
	const struct closing closing = {.timeout = true, .text = "handshake timed out"};

	join(&topic);
	resolve(1);
	assert_calls("dial 1; ");
	mesh_closed(node.mesh, &node.time, MESH_GOSSIP, node.connections[0].ours, &closing);
	node.connections[0].ours = NULL;
	remove_peer(1);
	assert_false(mesh_keeps(node.mesh, &identities[1].id));
	for (int i = 0; i < 600; i++)
		pass(100 * MS);
	assert_null(strstr(node.calls, "dial 1; "));
	remove_peer(1);
	remove_peer(5);
	drop_effects();
}

/* And again, some other way. */
static void who_is_replaced_is_looked_up_again(void **state)
{
	struct picture_question question = {.subject = PICTURE_NODE, .id = identities[1].id};
	struct mesh_effect effect;
	bool found = false;

	resolve(1);
	drop_effects();
	assert_int_equal(set_peer(1, false), 0);
	assert_int_equal(mesh_ask(node.mesh, &node.time, &question), 0);
	while (mesh_effect(node.mesh, &effect)) {
		found = found || (effect.type == MESH_LOOK_UP && number_of(&effect.node) == 1);
		if (effect.type != MESH_EVENT)
			continue;
		if (effect.event.picture) {
			assert_int_equal(effect.event.picture->nodes->role, PICTURE_BOOTSTRAP);
			assert_int_equal(effect.event.picture->places_count, 0);
		}
		memory_free(effect.event.text);
		picture_free(effect.event.picture);
	}
	assert_true(found);
}

static void who_is_shut_out_goes(void **state)
{
	struct connection *connection;

	join(&topic);
	connection = befriend(5);
	drop_effects();
	node.calls[0] = '\0';
	deny(5);
	assert_non_null(strstr(node.calls, "close 5, code 0: shut out; "));
	assert_false(mesh_lets_in(node.mesh, &node.time, &identities[5].id));
	drop_effects();
	close_connection(connection);
	for (int i = 0; i < 5; i++)
		pass(LINK_LOST_MS * MS);
	assert_null(strstr(node.calls, "dial 5"));
	assert_int_equal(mesh_figures(node.mesh).neighbours, 0);
	deny(0);
	assert_true(mesh_lets_in(node.mesh, &node.time, &identities[5].id));
	pass(S);
	assert_non_null(strstr(node.calls, "dial 5; "));
	drop_effects();
}

static void a_change_without_memory_is_none(void **state)
{
	int error;

	for (size_t n = 1;; n++) {
		heap_fail(n, false);
		error = mesh_set_access(
			node.mesh, &node.time, &identities[1].id, 1, &identities[4].id, 1);
		heap_fail(0, false);
		if (!error)
			break;
		assert_int_equal(error, ERROR_NOMEM);
		assert_true(mesh_lets_in(node.mesh, &node.time, &identities[5].id));
	}
	assert_false(mesh_lets_in(node.mesh, &node.time, &identities[5].id));
	for (size_t n = 1;; n++) {
		heap_fail(n, false);
		error = set_peer(5, true);
		heap_fail(0, false);
		if (!error)
			break;
		assert_int_equal(error, ERROR_NOMEM);
		assert_false(mesh_keeps(node.mesh, &identities[5].id));
	}
	assert_true(mesh_keeps(node.mesh, &identities[5].id));
	drop_effects();
}

/* ---- pictures ---- */

/* The picture among the effects, all of which are taken; NULL: there is none. */
static struct picture *take_picture(void)
{
	struct picture *picture = NULL;
	struct mesh_effect effect;

	while (mesh_effect(node.mesh, &effect)) {
		if (effect.type != MESH_EVENT)
			continue;
		if (effect.event.picture) {
			assert_null(picture);
			picture = effect.event.picture;
		}
		message_unref(effect.event.message);
		memory_free(effect.event.text);
	}
	return picture;
}

static struct picture *ask_for(const struct picture_question *question)
{
	struct picture *picture;

	assert_int_equal(mesh_ask(node.mesh, &node.time, question), 0);
	picture = take_picture();
	assert_non_null(picture);
	assert_memory_equal(&picture->question, question, sizeof *question);
	return picture;
}

static struct picture *ask(enum picture_subject subject, const struct id *id)
{
	const struct picture_question question = {
		.subject = subject, .id = id ? *id : (struct id){{0}}, .number = 42};

	return ask_for(&question);
}

static struct picture *ask_after(enum picture_subject subject, uint64_t after, size_t most, bool book)
{
	const struct picture_question question = {
		.subject = subject, .after = after, .most = most, .book = book};

	return ask_for(&question);
}

static void assert_overlay(enum picture_state state, uint64_t since_us, size_t neighbours,
	uint64_t sent, uint64_t received, uint64_t dropped)
{
	struct picture *picture = ask(PICTURE_OVERLAY, &topic);
	const struct picture_overlay *overlay = picture->overlays;

	assert_true(picture->found);
	assert_int_equal(picture->overlays_count, 1);
	assert_true(id_equal(&overlay->topic, &topic));
	assert_int_equal(overlay->state, state);
	assert_int_equal(overlay->since_us, since_us);
	assert_int_equal(overlay->neighbours, neighbours);
	assert_int_equal(picture->nodes_count, neighbours);
	assert_int_equal(overlay->sent, sent);
	assert_int_equal(overlay->received, received);
	assert_int_equal(overlay->dropped, dropped);
	picture_free(picture);
}

static struct connection *say_content(struct connection *connection, const char *content)
{
	struct message *message = message_new(content, strlen(content));
	struct frame *frame;

	assert_int_equal(frame_encode_gossip(message, WIRE_SWARM, 0, &frame), 0);
	message_unref(message);
	say(connection, frame);
	return connection;
}

static void an_overlay_is_shown_as_it_is(void **state)
{
	struct connection *connection;
	uint64_t joined_us = node.time.wall, up_us;

	join(&topic);
	drop_effects();
	assert_overlay(PICTURE_JOINING, joined_us, 0, 0, 0, 0);
	pass(S);
	for (char text[] = "a"; text[0] < 'd'; text[0]++)
		publish(&topic, text); /* one more than may wait */
	drop_effects();
	assert_overlay(PICTURE_JOINING, joined_us, 0, 0, 0, 1);
	pass(S);
	up_us = node.time.wall;
	connection = befriend(5);
	drop_effects();
	assert_overlay(PICTURE_JOINED, up_us, 1, 2, 0, 1);
	say_content(connection, "hello");
	drop_effects();
	assert_overlay(PICTURE_JOINED, up_us, 1, 2, 1, 1);
	pass(S);
	close_connection(connection);
	for (int i = 0; i < 3; i++)
		pass(LINK_LOST_MS * MS);
	drop_effects();
	{
		struct picture *picture = ask(PICTURE_OVERLAY, &topic);

		assert_int_equal(picture->overlays->state, PICTURE_ALONE);
		assert_true(picture->overlays->since_us > up_us);
		picture_free(picture);
	}
}

static void a_neighbour_is_shown(void **state)
{
	struct picture *picture;
	uint64_t up_us;

	join(&topic);
	pass(S);
	up_us = node.time.wall;
	say_content(befriend(5), "hello");
	pass(S);
	drop_effects();
	picture = ask(PICTURE_OVERLAY, &topic);
	assert_int_equal(picture->nodes_count, 1);
	assert_true(id_equal(&picture->nodes->id, &identities[5].id));
	assert_true(picture->nodes->linked);
	assert_false(picture->nodes->relayed);
	assert_false(picture->nodes->dialled);
	assert_int_equal(picture->nodes->role, PICTURE_NO_ROLE);
	assert_int_equal(picture->nodes->rtt_us, 5000);
	assert_int_equal(picture->nodes->linked_us, up_us);
	assert_int_equal(picture->nodes->neighbour_us, up_us);
	assert_int_equal(picture->nodes->received, 1);
	assert_int_equal(picture->nodes->overlays, 1);
	assert_int_equal(address_compare(&picture->nodes->address, &(struct address){4, {10, 0, 0, 5}, 2022}), 0);
	picture_free(picture);
}

static void what_is_not_joined_is_not_found(void **state)
{
	struct picture *picture = ask(PICTURE_OVERLAY, &topic);

	assert_false(picture->found);
	assert_int_equal(picture->overlays_count + picture->nodes_count, 0);
	picture_free(picture);
	picture = ask(PICTURE_NODE, &identities[5].id);
	assert_false(picture->found);
	picture_free(picture);
}

/* One is over max_overlays. */
static void only_what_has_changed_is_shown(void **state)
{
	uint64_t changes = mesh_figures(node.mesh).overlays_changes, next;
	struct picture *picture;

	join(&topic);
	join(&other_topic);
	assert_true(mesh_figures(node.mesh).overlays_changes > changes);
	drop_effects();
	picture = ask_after(PICTURE_OVERLAYS, 0, 1, false);
	assert_int_equal(picture->overlays_count, 1);
	assert_true(id_equal(&picture->overlays->topic, &topic));
	assert_true(picture->more);
	next = picture->next;
	picture_free(picture);
	picture = ask_after(PICTURE_OVERLAYS, next, 0, false);
	assert_int_equal(picture->overlays_count, 1);
	assert_int_equal(picture->overlays->state, PICTURE_REFUSED);
	assert_false(picture->more);
	next = picture->next;
	picture_free(picture);
	/* Nothing happens. */
	changes = mesh_figures(node.mesh).overlays_changes;
	assert_int_equal(next, changes);
	picture = ask_after(PICTURE_OVERLAYS, next, 0, false);
	assert_int_equal(picture->overlays_count, 0);
	assert_int_equal(picture->next, next);
	picture_free(picture);
	assert_int_equal(mesh_figures(node.mesh).overlays_changes, changes);
	/* The first one changes: it is the last one from then on. */
	publish(&topic, "hello");
	drop_effects();
	picture = ask_after(PICTURE_OVERLAYS, next, 0, false);
	assert_int_equal(picture->overlays_count, 1);
	assert_true(id_equal(&picture->overlays->topic, &topic));
	assert_int_equal(picture->overlays->waiting, 1);
	next = picture->next;
	picture_free(picture);
	publish(&other_topic, "nowhere");
	mesh_leave(node.mesh, &node.time, &topic);
	drop_effects();
	assert_true(mesh_figures(node.mesh).overlays_changes > next);
	picture = ask_after(PICTURE_OVERLAYS, 0, 0, false);
	assert_int_equal(picture->overlays_count, 1);
	assert_true(id_equal(&picture->overlays->topic, &other_topic));
	assert_int_equal(picture->overlays->dropped, 1);
	picture_free(picture);
}

static void nodes_are_shown_in_order(void **state)
{
	static const size_t order[] = {1, 2, 3, 5};
	struct picture *picture;
	uint64_t after = 0;

	join(&topic);
	befriend(5);
	drop_effects();
	picture = ask_after(PICTURE_NODES, 0, 0, false);
	assert_int_equal(picture->nodes_count, 4);
	assert_false(picture->more);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(number_of(&picture->nodes[i].id), order[i]);
	assert_int_equal(picture->nodes[0].role, PICTURE_PEER);
	assert_int_equal(picture->nodes[2].role, PICTURE_BOOTSTRAP);
	assert_int_equal(picture->nodes[3].role, PICTURE_NO_ROLE);
	assert_false(picture->nodes[0].linked);
	assert_true(picture->nodes[3].linked);
	picture_free(picture);
	/* One by one. */
	for (size_t i = 0; i < 4; i++) {
		picture = ask_after(PICTURE_NODES, after, 1, false);
		assert_int_equal(picture->nodes_count, 1);
		assert_int_equal(number_of(&picture->nodes->id), order[i]);
		assert_int_equal(picture->more, i < 3);
		after = picture->next;
		picture_free(picture);
	}
	/* It is still known when its connection is gone. */
	close_all();
	pass(S);
	drop_effects();
	picture = ask_after(PICTURE_NODES, 0, 0, false);
	assert_int_equal(picture->nodes_count, 3);
	picture_free(picture);
	picture = ask_after(PICTURE_NODES, 0, 0, true);
	assert_int_equal(picture->nodes_count, 4);
	assert_int_equal(number_of(&picture->nodes[3].id), 5);
	picture_free(picture);
}

static void a_failure_is_shown_with_its_reason(void **state)
{
	const struct closing closing = {.timeout = true, .text = "handshake timed out"};
	uint64_t changes;
	struct picture *picture;

	join(&topic);
	resolve(1);
	assert_calls("dial 1; ");
	changes = mesh_figures(node.mesh).nodes_changes;
	mesh_closed(node.mesh, &node.time, MESH_GOSSIP, node.connections[0].ours, &closing);
	node.connections[0].ours = NULL;
	mesh_turn(node.mesh, &node.time);
	drop_effects();
	assert_true(mesh_figures(node.mesh).nodes_changes > changes);
	picture = ask(PICTURE_NODE, &identities[1].id);
	assert_true(picture->found);
	assert_int_equal(picture->nodes_count, 1);
	assert_false(picture->nodes->linked);
	assert_string_equal(picture->nodes->failure, "handshake timed out");
	assert_int_equal(picture->nodes->failed_us, node.time.wall);
	assert_int_equal(picture->nodes->worked_us, 0);
	assert_true(picture->nodes->next_us > node.time.wall);
	assert_true(picture->nodes->next_us < node.time.wall + 5 * SECOND);
	assert_int_equal(picture->places_count, 1);
	assert_int_equal(picture->places->origin, PICTURE_CONFIGURED);
	picture_free(picture);
	picture = ask(PICTURE_NODE, &identities[4].id);
	assert_false(picture->found);
	picture_free(picture);
}

static void failures_are_forgotten_at_last(void **state)
{
	struct picture *picture;

	for (size_t i = 0; i < LIMIT_REPORTS + 10; i++)
		mesh_resolved(node.mesh, &node.time, &identities[1 + i % 3].id, NULL, 0, 0, "gone");
	drop_effects();
	picture = ask(PICTURE_NODE, &identities[1].id);
	assert_string_equal(picture->nodes->failure, "gone");
	picture_free(picture);
}

/* ---- pings ---- */

static void a_ping_tells_what_answers(void **state)
{
	const struct address two[] = {address_of(1), address_of(101)};
	const struct closing refused = {.text = "refused: 0x131"};
	const struct picture_question question = {.subject = PICTURE_PING, .id = identities[1].id};
	struct picture *picture;

	mesh_resolved(node.mesh, &node.time, &identities[1].id, two, 2, 2, "");
	drop_effects();
	close_all();
	node.connections_count = 0;
	node.calls[0] = '\0';
	assert_int_equal(mesh_ask(node.mesh, &node.time, &question), 0);
	assert_calls("dial 1 (discovery); dial 1 (discovery); ");
	assert_null(take_picture());
	connect_at(&node.connections[0], &two[0]);
	assert_calls("close 1, code 0: ping; ");
	assert_null(take_picture());
	mesh_closed(node.mesh, &node.time, MESH_DISCOVERY, node.connections[1].ours, &refused);
	node.connections[1].ours = NULL;
	picture = take_picture();
	assert_non_null(picture);
	assert_true(picture->found);
	assert_int_equal(picture->places_count, 2);
	assert_true(picture->places[0].answered);
	assert_int_equal(picture->places[0].rtt_us, 1000);
	assert_string_equal(picture->places[0].failure, "");
	assert_false(picture->places[1].answered);
	assert_string_equal(picture->places[1].failure, "refused: 0x131");
	assert_int_equal(picture->places[1].origin, PICTURE_CONFIGURED);
	picture_free(picture);
	assert_false(mesh_deadline(node.mesh) < node.time.now);
}

static void a_ping_does_not_wait_for_ever(void **state)
{
	const struct picture_question question = {.subject = PICTURE_PING, .id = identities[1].id};
	struct picture *picture = NULL;

	resolve(1);
	drop_effects();
	close_all();
	assert_int_equal(mesh_ask(node.mesh, &node.time, &question), 0);
	assert_true(mesh_deadline(node.mesh) <= node.time.now + 6 * S);
	pass(6 * S - 1);
	assert_null(take_picture());
	pass(1);
	picture = take_picture();
	assert_non_null(picture);
	assert_false(picture->places[0].answered);
	assert_string_equal(picture->places[0].failure, "no answer within 6 s");
	picture_free(picture);
	/* It comes too late. */
	connect_to(&node.connections[0]);
	assert_null(take_picture());
}

static void pings_have_a_limit(void **state)
{
	const struct picture_question question = {.subject = PICTURE_PING, .id = identities[1].id};
	struct picture *picture;

	resolve(1);
	drop_effects();
	close_all();
	for (int i = 0; i < LIMIT_PINGS; i++)
		assert_int_equal(mesh_ask(node.mesh, &node.time, &question), 0);
	assert_null(take_picture());
	picture = ask(PICTURE_PING, &identities[1].id);
	assert_string_equal(picture->places[0].failure, "too many pings at once: try again");
	picture_free(picture);
	picture = ask(PICTURE_PING, &identities[5].id); /* nothing is known of it */
	assert_false(picture->found);
	assert_int_equal(picture->places_count, 0);
	picture_free(picture);
	node.connections_count = LIMIT_PINGS;
	close_all();
	drop_effects();
}

static void without_memory_there_is_no_picture(void **state)
{
	const struct picture_question question = {.subject = PICTURE_NODES};
	int error;

	for (size_t n = 1;; n++) {
		heap_fail(n, false);
		error = mesh_ask(node.mesh, &node.time, &question);
		heap_fail(0, false);
		drop_effects();
		if (!error)
			break;
		assert_int_equal(error, ERROR_NOMEM);
	}
}

/* ---- turns ---- */

/* One dial, and the others in the next turns. */
static void a_late_turn_leaves_something(void **state)
{
	resolve(1);
	resolve(2);
	drop_effects();
	node.calls[0] = '\0';
	node.late = true;
	assert_int_equal(mesh_join(node.mesh, &node.time, &topic), 0);
	assert_calls("dial 1; ");
	assert_int_equal(mesh_deadline(node.mesh), 0);
	mesh_turn(node.mesh, &node.time);
	assert_calls("dial 2; ");
	node.late = false;
	mesh_turn(node.mesh, &node.time);
	assert_calls("");
	assert_true(mesh_deadline(node.mesh) > node.time.now);
}

/* ---- rows ---- */

/* A row is there once for each node, as it is when it is taken. */
static void rows_wait(void **state)
{
	uint8_t row[MESH_ROW_SIZE], again[MESH_ROW_SIZE];
	size_t size, size_again;
	struct id id;

	join(&topic);
	while (mesh_row(node.mesh, &id, row, &size))
		;
	resolve(1);
	connect_to(&node.connections[0]);
	pass(S);
	pass(S);
	assert_true(mesh_row(node.mesh, &id, row, &size));
	assert_int_equal(number_of(&id), 1);
	assert_true(size > 0);
	assert_false(mesh_row(node.mesh, &id, again, &size_again));
}

static void rows_come_back(void **state)
{
	uint8_t row[MESH_ROW_SIZE];
	struct mesh *first = node.mesh;
	size_t size;
	struct id id;

	join(&topic);
	befriend(5);
	pass(S);
	while (mesh_row(first, &id, row, &size) && number_of(&id) != 5)
		;
	assert_int_equal(number_of(&id), 5);
	close_all();
	mesh_free(first);
	/* Another life. */
	assert_int_equal(make(&node.mesh), 0);
	mesh_restore_row(node.mesh, &id, row, size);
	assert_int_equal(begin(), 0);
	node.calls[0] = '\0';
	join(&topic);
	assert_calls("dial 5; ");
}

/* ---- signed messages in their turn ---- */

#define FIRST 1000 /* bodies are numbers from here on, of two bytes */

static void publish_signed(unsigned from, unsigned count)
{
	for (unsigned number = FIRST + from; number < FIRST + from + count; number++) {
		const uint8_t body[] = {0x19, (uint8_t)(number >> 8), (uint8_t)number};

		mesh_publish_signed(node.mesh, &node.time, &topic, body, sizeof body);
	}
	mesh_turn(node.mesh, &node.time);
}

/* How many signed messages of ours were sent on the connection, in order; *last: the number of the
 * last one. */
static unsigned count_signed(const struct connection *connection, unsigned *last)
{
	struct signed_message message;
	const struct frame *frame;
	unsigned count = 0, number;

	*last = 0;
	LL_FOREACH (connection->streams[0].frames, frame) {
		if (!frame->body ||
			signed_decode(frame->body->content, frame->body->size, &message))
			continue;
		assert_int_equal(
			signed_verify(frame->body->content, frame->body->size, &message), 0);
		assert_int_equal(message.body_size, 3);
		number = (unsigned)(message.body[1] << 8 | message.body[2]) - FIRST;
		assert_true(count == 0 || number > *last);
		*last = number;
		count++;
	}
	return count;
}

static void assert_signed(const struct connection *connection, unsigned count, unsigned last)
{
	unsigned found;

	assert_int_equal(count_signed(connection, &found), count);
	assert_int_equal(found, last);
}

static uint64_t counted(enum counter counter)
{
	return counters_get(&node.counters, counter);
}

static size_t waiting(void)
{
	return mesh_figures(node.mesh).waiting;
}

/* What an application can take. */
static void a_burst_and_then_a_rate(void **state)
{
	struct connection *connection;

	join(&topic);
	connection = befriend(5);
	publish_signed(0, 100);
	assert_signed(connection, LIMIT_SIGNED_BURST, LIMIT_SIGNED_BURST - 1);
	assert_int_equal(waiting(), 100 - LIMIT_SIGNED_BURST);
	assert_int_equal(counted(COUNTER_PACED), 100 - LIMIT_SIGNED_BURST);
	assert_int_equal(mesh_deadline(node.mesh), node.time.now + S / RATE);
	pass(S / RATE - 1);
	assert_signed(connection, 64, 63);
	pass(1);
	assert_signed(connection, 65, 64);
	/* One that comes when there is a turn waits behind them all the same. */
	node.time.now += S / RATE;
	publish_signed(100, 1);
	assert_signed(connection, 65, 64);
	pass(10 * S / RATE);
	assert_signed(connection, 76, 75);
	pass(25 * S / RATE);
	assert_signed(connection, 101, 100);
	assert_int_equal(waiting(), 0);
	assert_int_equal(counted(COUNTER_SIGNED), 101);
	/* After a pause there is a burst again. */
	pass(S);
	publish_signed(101, 70);
	assert_signed(connection, 165, 164);
}

static void a_pause_makes_no_larger_burst(void **state)
{
	struct connection *connection;

	join(&topic);
	connection = befriend(5);
	pass(10 * S);
	publish_signed(0, 100);
	assert_signed(connection, 64, 63);
	assert_int_equal(counted(COUNTER_DROPPED_QUEUE_LIMIT), 0);
}

static void plain_ones_do_not_wait(void **state)
{
	struct connection *connection;

	join(&topic);
	connection = befriend(5);
	publish_signed(0, 65);
	node.calls[0] = '\0';
	publish(&topic, "plain");
	assert_calls("GOSSIP plain; ");
	assert_signed(connection, 64, 63);
}

static void without_a_rate_none_waits(void **state)
{
	struct connection *connection;

	join(&topic);
	connection = befriend(5);
	publish_signed(0, 1000);
	assert_signed(connection, 1000, 999);
	assert_int_equal(counted(COUNTER_PACED), 0);
}

/* Takes the effects; how many messages were told to be dropped for this reason. */
static uint64_t told_dropped(enum counter reason)
{
	struct mesh_effect effect;
	uint64_t count = 0;

	while (mesh_effect(node.mesh, &effect)) {
		if (effect.type != MESH_EVENT)
			continue;
		if (effect.event.type == NODE_DROPPED) {
			assert_int_equal(effect.event.reason, reason);
			count += effect.event.count;
		}
		message_unref(effect.event.message);
		memory_free(effect.event.text);
	}
	return count;
}

static void the_oldest_that_wait_give_way(void **state)
{
	struct connection *connection;

	join(&topic);
	connection = befriend(5);
	publish_signed(0, LIMIT_SIGNED_BURST + LIMIT_SIGNED_PACED);
	assert_int_equal(counted(COUNTER_DROPPED_QUEUE_LIMIT), 0);
	publish_signed(LIMIT_SIGNED_BURST + LIMIT_SIGNED_PACED, 10);
	assert_int_equal(waiting(), LIMIT_SIGNED_PACED);
	assert_int_equal(counted(COUNTER_DROPPED_QUEUE_LIMIT), 10);
	assert_int_equal(told_dropped(COUNTER_DROPPED_QUEUE_LIMIT), 10);
	assert_signed(connection, 64, 63);
	pass(S / RATE);
	assert_signed(connection, 65, 64 + 10);
}

static void alone_again_they_wait_for_a_neighbour(void **state)
{
	struct wire_message farewell = {.type = WIRE_DISCONNECT};
	struct connection *connection;

	join(&topic);
	connection = befriend(5);
	publish_signed(0, 66);
	say_message(connection, &farewell);
	close_connection(connection);
	pass(S / RATE);
	assert_int_equal(mesh_figures(node.mesh).neighbours, 0);
	assert_int_equal(waiting(), 2);
	pass(S);
	assert_int_equal(waiting(), 2);
	connection = befriend(5);
	assert_signed(connection, 2, 65);
	assert_int_equal(waiting(), 0);
}

/* For as long as others. */
static void alone_they_do_not_wait_for_ever(void **state)
{
	join(&topic);
	publish_signed(0, 1);
	pass(30 * S - 1);
	assert_int_equal(waiting(), 1);
	pass(1);
	assert_int_equal(waiting(), 0);
	assert_int_equal(counted(COUNTER_DROPPED_QUEUE_AGE), 1);
}

static void what_waits_when_it_is_left(void **state)
{
	join(&topic);
	befriend(5);
	publish_signed(0, 70);
	drop_effects();
	mesh_leave(node.mesh, &node.time, &topic);
	mesh_turn(node.mesh, &node.time);
	assert_int_equal(counted(COUNTER_DROPPED_LEFT), 6);
	assert_int_equal(told_dropped(COUNTER_DROPPED_LEFT), 6);
	assert_int_equal(waiting(), 0);
	/* They were the last: nothing is due. */
	pass(S);
	assert_int_equal(counted(COUNTER_SIGNED), 64);
}

/* ---- signatures that are looked at ---- */

static struct message *made_by(size_t author, unsigned number)
{
	const uint8_t body[] = {0x19, (uint8_t)(number >> 8 | 1), (uint8_t)number};
	struct message *message;

	assert_int_equal(signed_encode(&identities[author], WALL, number, body, sizeof body,
				 &message),
		0);
	return message;
}

/* A neighbour brings this. */
static void bring(struct connection *connection, const uint8_t *content, size_t size)
{
	struct message *message = message_new(content, size);
	struct wire_message gossip = {.type = WIRE_GOSSIP,
		.gossip = {.id = *message_id(message),
			.content = content,
			.size = size,
			.scope = WIRE_SWARM}};

	say_message(connection, &gossip);
	message_unref(message);
}

/* The next message that the owner is told of; its reference is the caller's. NULL: none. */
static struct message *told(bool *is_signed)
{
	struct mesh_effect effect;

	while (mesh_effect(node.mesh, &effect)) {
		if (effect.type == MESH_EVENT && effect.event.type == NODE_MESSAGE) {
			*is_signed = effect.event.is_signed;
			return effect.event.message;
		}
		if (effect.type == MESH_EVENT)
			memory_free(effect.event.text);
	}
	return NULL;
}

/* A neighbour brings this: whether it is told at once to be signed. */
static bool arrives(struct connection *connection, const uint8_t *content, size_t size)
{
	bool is_signed;
	struct message *message;

	drop_effects();
	bring(connection, content, size);
	message = told(&is_signed);
	/* Whatever it is. */
	assert_non_null(message);
	assert_int_equal(message->size, size);
	assert_memory_equal(message->content, content, size);
	message_unref(message);
	return is_signed;
}

static bool a_true_one_arrives(struct connection *connection, unsigned number)
{
	struct message *message = made_by(3, number);
	bool is_signed = arrives(connection, message->content, message->size);

	message_unref(message);
	return is_signed;
}

/* Each another one. */
static void bring_false_ones(struct connection *connection, unsigned from, unsigned count)
{
	static uint8_t content[256];
	struct message *message = made_by(3, 0);
	size_t size = message->size;

	memcpy(content, message->content, size);
	message_unref(message);
	for (unsigned i = from; i < from + count; i++) {
		/* The signature's first half. */
		content[40] = (uint8_t)i;
		content[41] = (uint8_t)(i >> 8);
		bring(connection, content, size);
	}
}

/* How many the owner is told of; none of them is true. */
static unsigned told_false(void)
{
	struct message *message;
	unsigned count = 0;
	bool is_signed;

	while ((message = told(&is_signed))) {
		assert_false(is_signed);
		message_unref(message);
		count++;
	}
	return count;
}

static void who_has_signed_it_is_told(void **state)
{
	struct message *message = made_by(3, 7);
	struct wire_message gossip = {.type = WIRE_GOSSIP,
		.gossip = {.id = *message_id(message),
			.content = message->content,
			.size = message->size,
			.scope = WIRE_SWARM}};
	struct mesh_effect effect;
	struct connection *connection;

	join(&topic);
	connection = befriend(5);
	drop_effects();
	mesh_verify(node.mesh, &topic, true);
	say_message(connection, &gossip);
	do
		assert_true(mesh_effect(node.mesh, &effect));
	while (effect.type != MESH_EVENT || effect.event.type != NODE_MESSAGE);
	assert_true(effect.event.is_signed);
	assert_true(id_equal(&effect.event.author, &identities[3].id));
	assert_true(id_equal(&effect.event.peer, &identities[5].id));
	assert_int_equal(effect.event.time_us, WALL);
	assert_int_equal(effect.event.body_size, 3);
	assert_memory_equal(effect.event.body, "\x19\x01\x07", 3);
	message_unref(effect.event.message);
	message_unref(message);
}

/* What one neighbour brings is looked at LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR times a second, and
 * takes nothing from another one. */
static void who_brings_too_much_waits(void **state)
{
	/* At once a quarter of it. */
	const unsigned part = LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR / 4;
	struct connection *hostile, *honest;

	join(&topic);
	hostile = befriend(5);
	honest = befriend(2);
	mesh_verify(node.mesh, &topic, true);
	bring_false_ones(hostile, 0, part);
	assert_int_equal(told_false(), part);
	assert_int_equal(counted(COUNTER_BAD_SIGNATURE), part);
	bring_false_ones(hostile, part, LIMIT_SIGNED_WAITING_PER_OVERLAY);
	assert_int_equal(told_false(), 0);
	assert_true(a_true_one_arrives(honest, 1));
	assert_int_equal(counted(COUNTER_LIMIT_VERIFIED), 0);
	/* What is more is told as it is: not even its true ones. */
	assert_false(a_true_one_arrives(hostile, 2));
	bring_false_ones(hostile, 10000, 10);
	assert_int_equal(told_false(), 10);
	assert_int_equal(counted(COUNTER_LIMIT_VERIFIED), 11);
	/* Time goes on. */
	assert_int_equal(mesh_deadline(node.mesh), NOW + S / LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR);
	pass(S / LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR);
	assert_int_equal(told_false(), 1);
	pass(S);
	assert_int_equal(counted(COUNTER_BAD_SIGNATURE), 2 * part + 1);
	pass(S);
	assert_int_equal(counted(COUNTER_BAD_SIGNATURE), part + LIMIT_SIGNED_WAITING_PER_OVERLAY);
	assert_true(a_true_one_arrives(hostile, 3));
}

/* Not even in one and the same turn of the loop. */
static void nobody_waits_behind_a_crowd(void **state)
{
	struct connection *hostile, *honest;
	struct message *message, *first;
	bool is_signed;

	join(&topic);
	hostile = befriend(5);
	honest = befriend(2);
	mesh_verify(node.mesh, &topic, true);
	drop_effects();
	node.late = true;
	bring_false_ones(hostile, 0, 100);
	message = made_by(3, 1);
	bring(honest, message->content, message->size);
	assert_int_equal(told_false(), 0);
	node.late = false;
	pass(MS);
	first = told(&is_signed);
	assert_non_null(first);
	assert_true(is_signed);
	assert_int_equal(first->size, message->size);
	assert_memory_equal(first->content, message->content, message->size);
	assert_int_equal(told_false(), 100);
	message_unref(first);
	message_unref(message);
}

static void what_waits_is_told_before_its_overlay_is_left(void **state)
{
	struct connection *connection;

	join(&topic);
	connection = befriend(5);
	mesh_verify(node.mesh, &topic, true);
	drop_effects();
	node.late = true;
	bring_false_ones(connection, 0, 3);
	mesh_leave(node.mesh, &node.time, &topic);
	assert_int_equal(told_false(), 3);
	assert_int_equal(counted(COUNTER_BAD_SIGNATURE), 0);
}

static void where_nobody_wants_it_one_a_minute_is_looked_at(void **state)
{
	struct connection *connection;

	join(&topic);
	connection = befriend(5);
	assert_true(a_true_one_arrives(connection, 1));
	assert_false(a_true_one_arrives(connection, 2));
	bring_false_ones(connection, 2, 2);
	assert_int_equal(counted(COUNTER_BAD_SIGNATURE), 0);
	pass(60 * S - 1);
	assert_false(a_true_one_arrives(connection, 3));
	pass(1);
	assert_true(a_true_one_arrives(connection, 4));
	assert_false(a_true_one_arrives(connection, 5));
	mesh_verify(node.mesh, &topic, true);
	assert_true(a_true_one_arrives(connection, 6));
	assert_true(a_true_one_arrives(connection, 7));
	mesh_verify(node.mesh, &topic, false);
	assert_false(a_true_one_arrives(connection, 8));
}

/* False ones are no reason to look at all of them; but the next true one is not a minute away. */
static void where_nobody_wants_it_false_ones_cost_little(void **state)
{
	struct connection *connection;

	join(&topic);
	connection = befriend(5);
	bring_false_ones(connection, 0, 1000);
	assert_int_equal(told_false(), 1000);
	assert_int_equal(counted(COUNTER_BAD_SIGNATURE), 1);
	assert_int_equal(counted(COUNTER_LIMIT_VERIFIED), 0);
	pass(100 * MS - 1);
	assert_false(a_true_one_arrives(connection, 1));
	pass(1);
	assert_true(a_true_one_arrives(connection, 2));
}

static void other_forms_are_plain(void **state)
{
	struct message *message = made_by(3, 1);
	struct connection *connection;
	uint8_t content[256];
	size_t size = message->size;

	join(&topic);
	connection = befriend(5);
	mesh_verify(node.mesh, &topic, true);
	memcpy(content, message->content, size);
	message_unref(message);
	assert_false(arrives(connection, (const uint8_t *)"plain", 5));
	content[size] = 0;
	assert_false(arrives(connection, content, size + 1));
	assert_false(arrives(connection, content, size - 1));
	content[1] = 2; /* version */
	assert_false(arrives(connection, content, size));
	content[1] = 1;
	assert_int_equal(counted(COUNTER_BAD_SIGNATURE), 0);
	assert_true(arrives(connection, content, size));
}

/* ---- the end ---- */

static void it_is_over_at_once_if_nobody_is_there(void **state)
{
	join(&topic);
	mesh_stop(node.mesh, &node.time);
	assert_true(mesh_is_over(node.mesh));
	assert_int_equal(mesh_deadline(node.mesh), UINT64_MAX);
}

static void it_is_over_when_all_is_said(void **state)
{
	struct connection *connection;

	join(&topic);
	connection = befriend(5);
	node.calls[0] = '\0';
	mesh_stop(node.mesh, &node.time);
	assert_calls("SHUFFLE_REPLY; DISCONNECT; finish; ");
	assert_false(mesh_is_over(node.mesh));
	assert_int_equal(mesh_join(node.mesh, &node.time, &topic), 0);
	assert_int_equal(mesh_figures(node.mesh).overlays, 0);
	mesh_stream_closed(node.mesh, &node.time, MESH_GOSSIP, connection->ours,
		&connection->streams[0], connection->streams[0].ours, false, NULL);
	connection->streams[0].ours = NULL;
	assert_true(mesh_is_over(node.mesh));
}

static void it_is_over_in_time(void **state)
{
	join(&topic);
	befriend(5);
	mesh_stop(node.mesh, &node.time);
	pass((LIMIT_FAREWELL_MS - 1) * MS);
	assert_false(mesh_is_over(node.mesh));
	assert_true(mesh_deadline(node.mesh) <= NOW + LIMIT_FAREWELL_MS * MS);
	pass(MS);
	assert_true(mesh_is_over(node.mesh));
}

/* ---- memory ---- */

static void each_allocation_fails(void **state)
{
	struct mesh *first = node.mesh;
	int error;
	size_t n;

	for (n = 1;; n++) {
		heap_fail(n, false);
		error = make(&node.mesh);
		if (!error && heap_has_failed())
			fail_msg("allocation %zu is not missed", n);
		if (!error) {
			error = begin();
			/* Without an info, addresses are told with the next change. */
			if (!error)
				error = mesh_join(node.mesh, &node.time, &topic);
			mesh_free(node.mesh);
		}
		assert_true(error == ERROR_NONE || error == ERROR_NOMEM);
		if (!heap_has_failed())
			break;
	}
	assert_true(n > 20);
	heap_fail(0, false);
	node.mesh = first;
}

/* The dialler is told that there is no such dial, and tries again; or looks for the node again. */
static void a_dial_without_memory_is_made_later(void **state)
{
	struct mesh *first = node.mesh;
	bool has_failed = true;

	for (size_t n = 1; has_failed; n++) {
		node.connections_count = 0;
		node.calls[0] = '\0';
		assert_int_equal(make(&node.mesh), 0);
		assert_int_equal(begin(), 0);
		join(&topic);
		heap_fail(n, false);
		resolve(1);
		has_failed = heap_has_failed();
		heap_fail(0, false);
		for (unsigned i = 0; i < 60 && !strstr(node.calls, "dial 1; "); i++) {
			pass(S);
			if (is_looked_up(1))
				resolve(1);
		}
		if (!strstr(node.calls, "dial 1; "))
			fail_msg("allocation %zu: it is not dialled any more: %s", n, node.calls);
		close_all();
		mesh_free(node.mesh);
	}
	node.mesh = first;
}

#define TEST(name)     cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST_NEW(name) cmocka_unit_test_setup_teardown(name, setup_new, teardown)
#define TEST_RELAY(name) cmocka_unit_test_setup_teardown(name, setup_relay, teardown)
#define TEST_PACED(name) cmocka_unit_test_setup_teardown(name, setup_paced, teardown)

/* ---- from one life to the next ---- */

static struct mesh_waiting waiting_of(const struct id *id, const char *text, uint64_t left_ns)
{
	struct mesh_waiting waiting = {*id, message_new(text, strlen(text)), left_ns};

	assert_non_null(waiting.message);
	return waiting;
}

static void resume(const struct id *id, const char *text, uint64_t left_ns)
{
	struct mesh_waiting waiting = waiting_of(id, text, left_ns);

	mesh_restore_waiting(node.mesh, &node.time, &waiting);
	message_unref(waiting.message);
}

static void expect_taken(const struct id *id, const char *text, uint64_t left_ns)
{
	struct mesh_waiting waiting;

	assert_true(mesh_take_waiting(node.mesh, &node.time, &waiting));
	assert_true(id_equal(&waiting.topic, id));
	assert_int_equal(waiting.message->size, strlen(text));
	assert_memory_equal(waiting.message->content, text, strlen(text));
	assert_int_equal(waiting.left_ns, left_ns);
	message_unref(waiting.message);
}

static void expect_nothing_waits(void)
{
	struct mesh_waiting waiting;

	assert_false(mesh_take_waiting(node.mesh, &node.time, &waiting));
	assert_int_equal(mesh_figures(node.mesh).waiting, 0);
}

static uint64_t count_of(enum counter counter)
{
	return counters_get(&node.counters, counter);
}

static void what_waits_is_taken_out(void **state)
{
	expect_nothing_waits();
	assert_int_equal(mesh_join(node.mesh, &node.time, &topic), 0);
	mesh_publish(node.mesh, &node.time, &topic, message_new("one", 3));
	node.time.now += S;
	mesh_publish(node.mesh, &node.time, &topic, message_new("two", 3));
	assert_int_equal(mesh_figures(node.mesh).waiting, 2);
	expect_taken(&topic, "one", 29 * S);
	expect_taken(&topic, "two", 30 * S);
	expect_nothing_waits();
	mesh_stop(node.mesh, &node.time);
	assert_int_equal(count_of(COUNTER_DROPPED_LEFT), 0);
}

static void what_has_waited_before_waits_on(void **state)
{
	resume(&topic, "one", 10 * S);
	resume(&other_topic, "other", 20 * S);
	resume(&topic, "two", 3600 * S); /* no longer than it may */
	resume(&topic, "late", 0);
	assert_int_equal(count_of(COUNTER_RESUMED), 4);
	assert_int_equal(count_of(COUNTER_DROPPED_QUEUE_AGE), 1);
	assert_int_equal(mesh_figures(node.mesh).waiting, 3);
	assert_int_equal(begin(), 0);
	/* Before all others, and each until its own time. */
	assert_int_equal(mesh_join(node.mesh, &node.time, &topic), 0);
	node.time.now += 10 * S;
	assert_true(mesh_deadline(node.mesh) <= node.time.now);
	mesh_tick(node.mesh, &node.time);
	assert_int_equal(count_of(COUNTER_DROPPED_QUEUE_AGE), 2);
	mesh_publish(node.mesh, &node.time, &topic, message_new("new", 3));
	/* Whose overlay nobody joins, too. */
	node.time.now += 10 * S;
	mesh_tick(node.mesh, &node.time);
	assert_int_equal(count_of(COUNTER_DROPPED_QUEUE_AGE), 3);
	expect_taken(&topic, "two", 10 * S);
	expect_taken(&topic, "new", 20 * S);
	expect_nothing_waits();
}

static void limits_hold_for_what_has_waited(void **state)
{
	for (char text[2] = "a"; *text <= 'd'; ++*text)
		resume(&topic, text, S);
	assert_int_equal(count_of(COUNTER_DROPPED_QUEUE_LIMIT), 2);
	/* It may be taken out again before anybody has joined. */
	resume(&other_topic, "e", S);
	expect_taken(&topic, "c", S);
	expect_taken(&topic, "d", S);
	expect_taken(&other_topic, "e", S);
	expect_nothing_waits();
	for (size_t n = 1; n <= 2; n++) {
		struct mesh_waiting waiting = waiting_of(&topic, "f", S);

		heap_fail(n, true);
		mesh_restore_waiting(node.mesh, &node.time, &waiting);
		heap_fail(0, false);
		message_unref(waiting.message);
		assert_int_equal(count_of(COUNTER_DROPPED_NO_MEMORY), n);
	}
	expect_nothing_waits();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_NEW(names_are_looked_up_in_order),
		TEST_NEW(events_come_first),
		TEST(a_failed_look_up_is_wanted_again),
		TEST(our_addresses_are_told_when_they_are_found),
		TEST_NEW(a_kept_time_is_surpassed),
		TEST_NEW(a_kept_time_of_long_ago_is_of_no_account),
		TEST_NEW(a_kept_time_of_the_far_future_is_forgotten),
		TEST_NEW(a_kept_value_that_is_none_is_of_no_account),
		TEST(a_clock_that_is_set_makes_infos_new),
		TEST(a_newer_info_of_ours_is_surpassed),
		TEST_RELAY(a_relay_is_used_until_there_is_a_better_way),
		TEST_RELAY(a_relay_that_is_back_is_a_time_to_dial),
		TEST(where_we_are_is_told),
		TEST(a_relay_that_may_be_used),
		TEST(a_relay_that_may_not_be_used),
		TEST(who_is_joined_is_dialled_and_asked),
		TEST(a_first_neighbour_is_told_in_order),
		TEST(what_gives_way_is_told),
		TEST(over_the_limit_nothing_is_carried),
		TEST(who_leaves_says_farewell),
		TEST(without_credit_an_overlay_waits),
		TEST(what_cannot_be_decoded_ends_the_connection),
		TEST(who_shares_nothing_is_sent_away),
		TEST(a_stream_of_ours_ends_at_the_limit),
		TEST(some_are_not_let_in),
		TEST(who_is_added_is_dialled_and_asked),
		TEST(who_is_added_is_asked_where_there_are_others),
		TEST(who_is_removed_is_not_dialled_any_more),
		TEST(who_is_replaced_is_looked_up_again),
		TEST(who_is_shut_out_goes),
		TEST(a_change_without_memory_is_none),
		TEST(an_overlay_is_shown_as_it_is),
		TEST(a_neighbour_is_shown),
		TEST(what_is_not_joined_is_not_found),
		TEST(only_what_has_changed_is_shown),
		TEST(nodes_are_shown_in_order),
		TEST(a_failure_is_shown_with_its_reason),
		TEST(failures_are_forgotten_at_last),
		TEST(a_ping_tells_what_answers),
		TEST(a_ping_does_not_wait_for_ever),
		TEST(pings_have_a_limit),
		TEST(without_memory_there_is_no_picture),
		TEST(a_late_turn_leaves_something),
		TEST(rows_wait),
		TEST(rows_come_back),
		TEST_PACED(a_burst_and_then_a_rate),
		TEST_PACED(a_pause_makes_no_larger_burst),
		TEST_PACED(plain_ones_do_not_wait),
		TEST(without_a_rate_none_waits),
		TEST_PACED(the_oldest_that_wait_give_way),
		TEST_PACED(alone_again_they_wait_for_a_neighbour),
		TEST_PACED(alone_they_do_not_wait_for_ever),
		TEST_PACED(what_waits_when_it_is_left),
		TEST(who_has_signed_it_is_told),
		TEST(who_brings_too_much_waits),
		TEST(nobody_waits_behind_a_crowd),
		TEST(what_waits_is_told_before_its_overlay_is_left),
		TEST(where_nobody_wants_it_one_a_minute_is_looked_at),
		TEST(where_nobody_wants_it_false_ones_cost_little),
		TEST(other_forms_are_plain),
		TEST(what_waits_is_taken_out),
		TEST_NEW(what_has_waited_before_waits_on),
		TEST_NEW(limits_hold_for_what_has_waited),
		TEST(it_is_over_at_once_if_nobody_is_there),
		TEST(it_is_over_when_all_is_said),
		TEST(it_is_over_in_time),
		TEST_NEW(each_allocation_fails),
		TEST_NEW(a_dial_without_memory_is_made_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
