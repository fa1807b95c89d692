/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A node that says what its test wants, and what no real one would, such as a frame of the full
 * 4096 bytes: it hears everything it is sent. Usage:
 *
 *   raw_node <address:port> <secret, 64 hex digits> gossip|both
 *
 * gossip: it is no node of discovery. Commands on stdin; <c>, <s> and <m> are numbers that this
 * program gives:
 *
 *   dial gossip|discovery <node id> <address:port>
 *   open <c> uni|bidi          -> opened <s> <c>; 0: the connection has ended
 *   send <s> <hex>
 *   finish <s>
 *   close <c> <code>
 *   hash <hex>                 -> hash <hex>: BLAKE3
 *   make <kind> <count> <address:port>[,...] <argument>   -> made <m> <bytes>
 *                              a whole Nodes message (0.7.1); each info has these addresses
 *                              (the URL of a relay is one as well; they come first):
 *       good    infos of <count> new nodes
 *       bad     the same with wrong signatures
 *       late    the same, from <argument> seconds in the future
 *       other   one for the node <argument>, signed by us
 *       self    one for ourselves, with <count> addresses
 *   nodes <s> <m>              sends it
 *   deaf                       from now on nothing is told of what arrives on streams
 *   shuffles <s> <count>       -> shuffles: from now on so many a second, each of 64 nodes that
 *                              nobody knows and that could exist; 0: no more
 *   forge <s> <version> <count>   -> forged <count>, how many there have been: from now on so many
 *                              signed messages a second, whose author and signature could be and
 *                              are not; 0: no more. Version 1 is the one that there is
 *
 * Lines on stdout: `id <node id>`, `connected <c> gossip|discovery in|out <node id>`,
 * `stream <s> <c> uni|bidi` (the other side has opened it), `data <s> <hex>`, `fin <s>`,
 * `gone <s>`, `closed <c> <code> <text>`, `ended <why>` (and it ends).
 */
#include "raw_node.h"

#include <blake3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bridge/bytes/hex.h"
#include "bridge/error.h"
#include "bridge/memory.h"

enum { GOSSIP, DISCOVERY };

#define MOST  65536 /* connections, streams: never used twice */
#define CHUNK 32768

struct identity raw_identity;

static const char *const protocols[] = {"gossip", "discovery"};
static struct quic_endpoint *endpoint;
static struct quic_connection *connections[MOST];
static struct quic_stream *streams[MOST];
static size_t connections_count, streams_count;

static bool is_deaf;

void raw_die(const char *why)
{
	printf("ended %s\n", why);
	exit(1);
}

/* ---- connections and streams ---- */

static size_t number_of(struct quic_connection *connection)
{
	/* Data is never NULL once it has a number: they count from 1. */
	return (size_t)quic_connection_data(connection);
}

static size_t add_connection(struct quic_connection *connection)
{
	if (!number_of(connection)) {
		if (++connections_count == MOST)
			raw_die("too many connections");
		connections[connections_count] = connection;
		quic_connection_set_data(connection, (void *)connections_count);
	}
	return number_of(connection);
}

static size_t add_stream(struct quic_stream *stream)
{
	if (++streams_count == MOST)
		raw_die("too many streams");
	streams[streams_count] = stream;
	quic_stream_set_data(stream, (void *)streams_count);
	return streams_count;
}

static void on_connected(void *context, struct quic_connection *connection)
{
	char id[ID_HEX_SIZE + 1];

	printf("connected %zu %s %s %s\n", add_connection(connection),
		protocols[quic_connection_protocol(connection)],
		quic_connection_incoming(connection) ? "in" : "out",
		hex_encode(quic_connection_peer(connection)->bytes, ID_SIZE, id));
}

static void on_closed(
	void *context, struct quic_connection *connection, const struct closing *close)
{
	size_t number = number_of(connection);

	if (!number)
		return;
	connections[number] = NULL;
	printf("closed %zu %llu %s\n", number, (unsigned long long)close->code, close->text);
}

static void on_stream_data(
	void *context, struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
	static char hex[2 * CHUNK + 1];
	size_t number = (size_t)quic_stream_data(stream), part;

	if (!number) {
		number = add_stream(stream);
		printf("stream %zu %zu %s\n", number,
			add_connection(quic_stream_connection(stream)),
			quic_stream_is_bidi(stream) ? "bidi" : "uni");
	}
	for (; size > 0 && !is_deaf; data += part, size -= part) {
		part = size < CHUNK ? size : CHUNK;
		printf("data %zu %s\n", number, hex_encode(data, part, hex));
	}
	if (fin)
		printf("fin %zu\n", number);
}

static void on_stream_closed(void *context, struct quic_stream *stream)
{
	size_t number = (size_t)quic_stream_data(stream);

	if (!number)
		return;
	streams[number] = NULL;
	printf("gone %zu\n", number);
}

static void on_credit(void *context, struct quic_connection *connection)
{
}

/* A stream that is over is nobody's fault: the test will see that. */
void raw_send(size_t number, const uint8_t *data, size_t size)
{
	struct frame *frame;
	size_t part;

	for (; size > 0 && streams[number]; data += part, size -= part) {
		part = size < CHUNK ? size : CHUNK;
		frame = frame_new(part);
		if (!frame)
			raw_die("no memory");
		memcpy(frame->head, data, part);
		if (quic_stream_send(streams[number], frame)) {
			frame_free(frame);
			return;
		}
	}
}

size_t raw_queued(size_t number)
{
	struct quic_stream *stream = streams[number];

	return stream ? quic_connection_queued(quic_stream_connection(stream)) : SIZE_MAX;
}

/* ---- commands ---- */

static void dial(const char *protocol, const char *node, const char *where)
{
	struct quic_connection *connection;
	struct address to;
	struct id peer;

	if (strlen(node) != ID_HEX_SIZE || hex_decode(node, peer.bytes, ID_SIZE) ||
		address_parse(where, &to) ||
		quic_connect(endpoint, strcmp(protocol, protocols[GOSSIP]) != 0, &peer, &to,
			&connection))
		raw_die("cannot dial");
}

static void open_stream(size_t connection, bool bidi)
{
	struct quic_stream *stream;

	if (!connections[connection] ||
		(bidi ? quic_bidi_open : quic_stream_open)(connections[connection], &stream)) {
		/* The other side has ended it: the test will see that. */
		printf("opened 0 %zu\n", connection);
		return;
	}
	printf("opened %zu %zu\n", add_stream(stream), connection);
}

static void show_hash(const uint8_t *bytes, size_t size)
{
	char hex[2 * BLAKE3_OUT_LEN + 1];
	uint8_t hash[BLAKE3_OUT_LEN];
	blake3_hasher hasher;

	blake3_hasher_init(&hasher);
	blake3_hasher_update(&hasher, bytes, size);
	blake3_hasher_finalize(&hasher, hash, sizeof hash);
	printf("hash %s\n", hex_encode(hash, sizeof hash, hex));
}

/* The bytes of hex digits, to be freed. */
static uint8_t *bytes_of(const char *hex, size_t *size)
{
	uint8_t *bytes;

	*size = strlen(hex) / 2;
	bytes = malloc(*size + 1);
	if (!bytes || hex_decode(hex, bytes, *size))
		raw_die("no hex digits");
	return bytes;
}

static void send_hex(size_t number, const char *hex)
{
	size_t size;
	uint8_t *bytes = bytes_of(hex, &size);

	raw_send(number, bytes, size);
	free(bytes);
}

static void hash_hex(const char *hex)
{
	size_t size;
	uint8_t *bytes = bytes_of(hex, &size);

	show_hash(bytes, size);
	free(bytes);
}

#define WORDS 6

/* Whether it was a command that has to do with messages. number: of its first argument. */
static bool on_message_command(char *words[WORDS], size_t number)
{
	if (strcmp(words[0], "make") == 0)
		messages_make(words[1], strtoul(words[2], NULL, 10), words[3], words[4]);
	else if (strcmp(words[0], "nodes") == 0)
		messages_send(number, strtoul(words[2], NULL, 10));
	else if (strcmp(words[0], "shuffles") == 0)
		floods_shuffle(number, strtoul(words[2], NULL, 10));
	else if (strcmp(words[0], "forge") == 0)
		floods_forge(
			number, (uint8_t)strtoul(words[2], NULL, 10), strtoul(words[3], NULL, 10));
	else
		return false;
	return true;
}

static void on_command(char *line)
{
	char *words[WORDS] = {"", "", "", "", "", ""}, *rest = NULL;
	size_t count = 0, number;

	for (char *word = strtok_r(line, " ", &rest); word && count < WORDS;
		word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	/* What is no number is one all the same, and not used. */
	number = strtoul(words[1], NULL, 10) % MOST;
	if (on_message_command(words, number))
		return;
	if (strcmp(words[0], "dial") == 0) {
		dial(words[1], words[2], words[3]);
	} else if (strcmp(words[0], "open") == 0) {
		open_stream(number, strcmp(words[2], "bidi") == 0);
	} else if (strcmp(words[0], "send") == 0) {
		send_hex(number, words[2]);
	} else if (strcmp(words[0], "finish") == 0) {
		if (streams[number])
			quic_stream_finish(streams[number]);
	} else if (strcmp(words[0], "close") == 0) {
		if (connections[number])
			quic_connection_close(connections[number], strtoul(words[2], NULL, 10));
	} else if (strcmp(words[0], "hash") == 0) {
		hash_hex(words[1]);
	} else if (strcmp(words[0], "deaf") == 0) {
		is_deaf = true;
	} else {
		raw_die("no such command");
	}
}

static void on_input(uv_poll_t *poll, int status, int events)
{
	static char input[1 << 20];
	static size_t used;
	char *end;
	ssize_t size = read(0, input + used, sizeof input - 1 - used);

	if (size <= 0)
		exit(0); /* the test is gone */
	used += (size_t)size;
	input[used] = 0;
	while ((end = strchr(input, '\n'))) {
		*end = 0;
		on_command(input);
		used -= (size_t)(end + 1 - input);
		memmove(input, end + 1, used + 1);
	}
	if (used == sizeof input - 1)
		raw_die("a line too long");
}

int main(int argc, char **argv)
{
	static struct counters counters;
	const struct quic_callbacks callbacks = {
		.connected = on_connected,
		.closed = on_closed,
		.stream_data = on_stream_data,
		.stream_closed = on_stream_closed,
		.stream_credit = on_credit,
	};
	const struct quic_protocol protocol = {
		.max_connections = 1000,
		.max_streams = 1000,
		.max_bidi_streams = 16,
		.idle_timeout = QUIC_IDLE_TIMEOUT,
		.keep_alive = true,
		.callbacks = callbacks,
	};
	uint8_t secret[IDENTITY_SECRET_SIZE];
	char id[ID_HEX_SIZE + 1];
	struct address bind;
	uv_poll_t input;
	uv_loop_t loop;
	struct quic_config config = {
		.loop = &loop,
		.identity = &raw_identity,
		.protocols = {protocol, protocol},
		.max_queue = (size_t)1 << 30,
		.counters = &counters,
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 4 || address_parse(argv[1], &bind) || strlen(argv[2]) != 2 * sizeof secret ||
		hex_decode(argv[2], secret, sizeof secret))
		raw_die("usage: raw_node <address:port> <secret> gossip|both");
	config.protocols_count = strcmp(argv[3], "both") == 0 ? 2 : 1;
	identity_alpn(PROTOCOL_GOSSIP, &identity_default_network, &config.protocols[GOSSIP].alpn);
	identity_alpn(
		PROTOCOL_DISCOVERY, &identity_default_network, &config.protocols[DISCOVERY].alpn);
	if (identity_from_secret(secret, &raw_identity) || uv_loop_init(&loop) ||
		quic_endpoint_new(&config, &endpoint) || quic_endpoint_bind(endpoint, &bind, NULL))
		raw_die("cannot begin");
	printf("id %s\n", hex_encode(raw_identity.id.bytes, ID_SIZE, id));
	floods_begin(&loop);
	uv_poll_init(&loop, &input, 0);
	uv_poll_start(&input, UV_READABLE, on_input);
	uv_run(&loop, UV_RUN_DEFAULT);
	return 0;
}
