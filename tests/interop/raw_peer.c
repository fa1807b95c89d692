/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A peer that sends what no real one would, such as a frame of the full 4096 bytes. Usage:
 *
 *   raw_peer <node id> <address:port>
 *
 * Commands on stdin:
 *
 *   join <topic>           opens a stream with its header and sends Neighbor(High) on it
 *   gossip <round> <hex>   a message of this content on the last stream
 *   frame <hex>            any frame, without its length
 *   shuffles <count>       from now on so many Shuffles a second on the last stream, each of 64
 *                          nodes that nobody knows and that could exist; 0: no more
 *   forge <version> <count>  from now on so many signed messages a second on the last stream, whose
 *                          author and signature could be and are not; 0: no more. Version 1 is the
 *                          one that there is
 *   connect                another connection, which is used from then on
 *   close                  ends the one before it
 *
 * Lines on stdout: `id <node id>`, `connected` for each connection, `frame <topic> <size>` for each
 * frame that arrives, `shuffles` for each such command, `forged <count>` for each such command (how
 * many there have been), `ended <why>` (and it ends).
 */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bridge/bytes/hex.h"
#include "bridge/error.h"
#include "bridge/gossip/frame.h"
#include "bridge/limits.h"
#include "bridge/memory.h"
#include "bridge/quic/quic.h"

#define SHUFFLE_MS  10
#define FORGE_MS    10
#define FORGE_AHEAD (256u << 10) /* bytes */
#define STRANGERS   4096

#define LINE_SIZE (4 * LIMIT_FRAME + 64)

static struct quic_endpoint *endpoint;
static struct identity identity;
static uv_timer_t shuffle_timer;
static size_t shuffles; /* each time */
static uv_timer_t forge_timer;
static size_t forge_count; /* each time */
static uint32_t forged;
static uint8_t forge_version;
static struct id peer;
static struct address peer_address;
static struct quic_connection *connection, *before, *ending;
static struct quic_stream *stream;

struct inlet {
	struct frame_reader reader;
	bool has_topic;
	char topic[ID_HEX_SIZE + 1];
};

static void die(const char *why)
{
	printf("ended %s\n", why);
	exit(1);
}

static void on_connected(void *context, struct quic_connection *connected)
{
	before = connection == connected ? NULL : connection;
	connection = connected;
	puts("connected");
}

static void on_closed(void *context, struct quic_connection *closed, const struct closing *close)
{
	if (closed == ending)
		return;
	/* It is no node of discovery, though it is asked. */
	if (closed == connection || !quic_connection_incoming(closed))
		die(close->text);
}

static void show(struct inlet *inlet, const uint8_t *body, size_t size)
{
	if (!inlet->has_topic) {
		if (size != ID_SIZE)
			die("a header of a wrong size");
		hex_encode(body, size, inlet->topic);
		inlet->has_topic = true;
		return;
	}
	printf("frame %s %zu\n", inlet->topic, size);
}

static void on_stream_data(
	void *context, struct quic_stream *incoming, const uint8_t *data, size_t size, bool fin)
{
	struct inlet *inlet = quic_stream_data(incoming);
	const uint8_t *body;
	size_t body_size;

	if (!inlet) {
		inlet = memory_zalloc(sizeof *inlet);
		if (!inlet)
			die("no memory");
		frame_reader_init(&inlet->reader);
		quic_stream_set_data(incoming, inlet);
	}
	while (frame_reader_next(&inlet->reader, &data, &size, &body, &body_size) == 1)
		show(inlet, body, body_size);
}

static void on_stream_closed(void *context, struct quic_stream *closed)
{
	struct inlet *inlet = quic_stream_data(closed);

	if (inlet)
		frame_reader_clear(&inlet->reader);
	memory_free(inlet);
}

static void on_credit(void *context, struct quic_connection *granted)
{
}

static int try_frame(const uint8_t *body, size_t size)
{
	struct frame *frame = frame_new(4 + size);
	int error;

	if (!stream || !frame)
		die("no stream, or no memory");
	for (int i = 0; i < 4; i++)
		frame->head[i] = (uint8_t)(size >> (24 - 8 * i));
	memcpy(frame->head + 4, body, size);
	error = quic_stream_send(stream, frame);
	if (error)
		frame_free(frame);
	return error;
}

static void send_frame(const uint8_t *body, size_t size)
{
	if (try_frame(body, size))
		die("the stream takes no frame");
}

static int try_message(const struct wire_message *message)
{
	/* Not frame_encode: that refuses what is too large. */
	static uint8_t body[2 * LIMIT_FRAME];
	struct writer writer;

	writer_init(&writer, body, sizeof body);
	if (wire_encode(message, &writer))
		die("a message too large even for here");
	return try_frame(body, writer_size(&writer));
}

static void send_message(const struct wire_message *message)
{
	if (try_message(message))
		die("the stream takes no message");
}

static void join(const uint8_t *topic, size_t size)
{
	struct wire_message neighbor = {.type = WIRE_NEIGHBOR};

	if (size != ID_SIZE || quic_stream_open(connection, &stream))
		die("no stream could be opened");
	send_frame(topic, size);
	neighbor.neighbor.priority = WIRE_HIGH;
	send_message(&neighbor);
}

static int try_gossip(const uint8_t *content, size_t size, uint16_t round)
{
	struct message *message = message_new(content, size);
	struct wire_message gossip = {.type = WIRE_GOSSIP};
	int error;

	if (!message)
		die("no memory");
	gossip.gossip.id = *message_id(message);
	gossip.gossip.content = content;
	gossip.gossip.size = size;
	gossip.gossip.scope = WIRE_SWARM;
	gossip.gossip.round = round;
	error = try_message(&gossip);
	message_unref(message);
	return error;
}

static void gossip(const uint8_t *content, size_t size, uint16_t round)
{
	if (try_gossip(content, size, round))
		die("the stream takes no message");
}

/* An id that somebody has to look at closely: it is a point of the curve. */
static struct id stranger(void)
{
	static struct id strangers[STRANGERS];
	static size_t count, next;

	while (count < STRANGERS) {
		if (RAND_bytes(strangers[count].bytes, ID_SIZE) != 1)
			die("no randomness");
		if (identity_is_key(&strangers[count]))
			count++;
	}
	return strangers[next++ % STRANGERS];
}

static void on_shuffle(uv_timer_t *timer)
{
	static struct wire_message message = {.type = WIRE_SHUFFLE};
	static unsigned sent;

	for (size_t i = 0; i < shuffles; i++) {
		message.shuffle.origin = identity.id;
		message.shuffle.ttl = ++sent % 2 ? 0 : 6;
		message.shuffle.nodes.count = LIMIT_SHUFFLE_NODES;
		for (size_t node = 0; node < LIMIT_SHUFFLE_NODES; node++)
			message.shuffle.nodes.items[node].id = stranger();
		/* A full stream is as fast as it can be. */
		if (try_message(&message))
			return;
	}
}

static void shuffle(unsigned long per_second)
{
	shuffles = per_second * SHUFFLE_MS / 1000;
	if (shuffles == 0)
		uv_timer_stop(&shuffle_timer);
	else
		uv_timer_start(&shuffle_timer, on_shuffle, 0, SHUFFLE_MS);
}

/* A signed message (bridge/messages/signed.h) in the right form, each another one: that it is
 * forged is known only when all of the work is done. */
static int try_forged(void)
{
	uint8_t content[256];
	uint8_t signature[64];
	struct writer writer;

	if (RAND_bytes(signature, sizeof signature) != 1)
		die("no randomness");
	/* A point, and a number below the order of the group. */
	memcpy(signature, identity.id.bytes, ID_SIZE);
	signature[63] &= 0x0f;
	writer_init(&writer, content, sizeof content);
	writer_u8(&writer, 0x86);
	writer_u8(&writer, forge_version);
	writer_bytes(&writer, "\x58\x20", 2);
	writer_bytes(&writer, identity.id.bytes, ID_SIZE);
	writer_bytes(&writer, "\x58\x40", 2);
	writer_bytes(&writer, signature, sizeof signature);
	writer_bytes(&writer, "\x1b", 1); /* time */
	writer_u64(&writer, UINT64_C(1790000000000000));
	writer_bytes(&writer, "\0\x66", 2); /* counter, text */
	writer_bytes(&writer, "forged", 6);
	return try_gossip(content, writer_size(&writer), 0);
}

static void on_forge(uv_timer_t *timer)
{
	/* What waits here would be a load that goes on when it has ended. */
	for (size_t i = 0; i < forge_count; i++) {
		if (quic_connection_queued(connection) > FORGE_AHEAD || try_forged())
			return;
		forged++;
	}
}

static void forge(uint8_t version, unsigned long per_second)
{
	forge_version = version;
	forge_count = per_second * FORGE_MS / 1000;
	if (forge_count == 0)
		uv_timer_stop(&forge_timer);
	else
		uv_timer_start(&forge_timer, on_forge, 0, FORGE_MS);
	printf("forged %u\n", forged);
}

static void connect_again(void)
{
	struct quic_connection *another;

	if (quic_connect(endpoint, 0, &peer, &peer_address, &another))
		die("cannot connect again");
}

static void close_before(void)
{
	if (!before)
		die("no connection before this one");
	ending = before;
	before = NULL;
	quic_connection_close(ending, 0);
}

static void on_command(char *line)
{
	static uint8_t bytes[2 * LIMIT_FRAME];
	char *word = strtok(line, " \n"), *hex = strtok(NULL, " \n"), *more = strtok(NULL, " \n");
	long round = 0;
	size_t size;

	if (!word)
		die("an empty line");
	if (strcmp(word, "connect") == 0) {
		connect_again();
		return;
	}
	if (strcmp(word, "close") == 0) {
		close_before();
		return;
	}

	if (strcmp(word, "shuffles") == 0 && hex) {
		shuffle(strtoul(hex, NULL, 10));
		puts("shuffles");
		return;
	}
	if (strcmp(word, "forge") == 0 && more) {
		forge((uint8_t)strtoul(hex, NULL, 10), strtoul(more, NULL, 10));
		return;
	}
	if (more) {
		round = strtol(hex, NULL, 10);
		hex = more;
	}
	size = hex ? strlen(hex) / 2 : 0;
	if (!hex || size > sizeof bytes || hex_decode(hex, bytes, size))
		die("no such command");
	if (strcmp(word, "join") == 0)
		join(bytes, size);
	else if (strcmp(word, "gossip") == 0)
		gossip(bytes, size, (uint16_t)round);
	else
		send_frame(bytes, size);
}

static void on_input(uv_poll_t *poll, int status, int events)
{
	static char line[LINE_SIZE];
	static size_t used;
	char *end;
	ssize_t size = read(0, line + used, sizeof line - 1 - used);

	if (size <= 0)
		exit(0); /* the test is gone */
	used += (size_t)size;
	line[used] = 0;
	while ((end = strchr(line, '\n'))) {
		*end = 0;
		used -= (size_t)(end + 1 - line);
		on_command(line);
		memmove(line, end + 1, used + 1);
	}
	if (used == sizeof line - 1)
		die("a line too long");
}

int main(int argc, char **argv)
{
	struct address bind = {.family = 4, .ip = {127, 0, 0, 1}};
	uint8_t secret[IDENTITY_SECRET_SIZE];
	struct counters counters = {0};
	uv_poll_t input;
	uv_loop_t loop;
	char id[ID_HEX_SIZE + 1];
	struct quic_config config = {
		.loop = &loop,
		.identity = &identity,
		.protocols_count = 1,
		.protocols = {{
			.max_connections = 4,
			.max_streams = 100,
			.idle_timeout = QUIC_IDLE_TIMEOUT,
			.keep_alive = true,
			.callbacks = {on_connected, NULL, on_closed, on_stream_data,
				on_stream_closed, on_credit},
		}},
		.max_queue = LIMIT_PEER_QUEUE_BYTES,
		.counters = &counters,
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 3 || strlen(argv[1]) != ID_HEX_SIZE ||
		hex_decode(argv[1], peer.bytes, ID_SIZE) || address_parse(argv[2], &peer_address))
		die("usage: raw_peer <node id> <address:port>");
	if (RAND_bytes(secret, sizeof secret) != 1)
		die("no randomness");
	identity_alpn(PROTOCOL_GOSSIP, &identity_default_network, &config.protocols[0].alpn);
	if (identity_from_secret(secret, &identity) || uv_loop_init(&loop) ||
		quic_endpoint_new(&config, &endpoint) ||
		quic_endpoint_bind(endpoint, &bind, NULL) ||
		quic_connect(endpoint, 0, &peer, &peer_address, &connection))
		die("cannot begin");
	printf("id %s\n", hex_encode(identity.id.bytes, ID_SIZE, id));
	uv_timer_init(&loop, &shuffle_timer);
	uv_timer_init(&loop, &forge_timer);
	uv_poll_init(&loop, &input, 0);
	uv_poll_start(&input, UV_READABLE, on_input);
	uv_run(&loop, UV_RUN_DEFAULT);
	return 0;
}
