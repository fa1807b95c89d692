/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A node that says what its test wants: it hears everything it is sent, and makes discovery's
 * Nodes messages (0.7.1) that no real one would. What it sends it encodes by itself, and not
 * with the code under test. Usage:
 *
 *   raw_discovery <address:port> <secret, 64 hex digits>
 *
 * Commands on stdin; <c> and <s> are numbers that this program gives:
 *
 *   dial gossip|discovery <node id> <address:port>
 *   open <c> uni|bidi          -> opened <s> <c>; 0: the connection has ended
 *   send <s> <hex>
 *   make <kind> <count> <address:port>[,...] <argument>   -> made <m> <bytes>
 *                              a whole Nodes message; each info has these addresses (the URL
 *                              of a relay is one as well; they come first, in their order):
 *       good    infos of <count> new nodes
 *       bad     the same with wrong signatures
 *       late    the same, from <argument> seconds in the future
 *       other   one for the node <argument>, signed by us
 *       self    one for ourselves, with <count> addresses
 *   nodes <s> <m>              sends it
 *   finish <s>
 *   close <c> <code>
 *   hash <hex>                 -> hash <hex>: BLAKE3
 *
 * Lines on stdout: `id <node id>`, `connected <c> gossip|discovery in|out <node id>`,
 * `stream <s> <c> uni|bidi` (the other side has opened it), `data <s> <hex>`, `fin <s>`,
 * `gone <s>`, `closed <c> <code> <text>`.
 */
#include <blake3.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bridge/bytes/hex.h"
#include "bridge/bytes/postcard.h"
#include "bridge/error.h"
#include "bridge/memory.h"
#include "bridge/quic/quic.h"

enum { GOSSIP, DISCOVERY };

#define MOST	   65536 /* connections, streams: never used twice */
#define MOST_ADDRESSES 2000
#define CHUNK	   32768

static const char *const protocols[] = {"gossip", "discovery"};
static struct quic_endpoint *endpoint;
static struct identity identity;
static struct quic_connection *connections[MOST];
static struct quic_stream *streams[MOST];
static size_t connections_count, streams_count;

/* The relays that infos name. */
#define MOST_RELAYS 16
static const char *relays[MOST_RELAYS];
static size_t relays_count;

/* Nodes messages that were made: that takes longer than a connection waits. */
#define MOST_MADE 256
static struct {
	uint8_t *bytes;
	size_t size;
} made[MOST_MADE];
static size_t made_count;

static void die(const char *why)
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
			die("too many connections");
		connections[connections_count] = connection;
		quic_connection_set_data(connection, (void *)connections_count);
	}
	return number_of(connection);
}

static size_t add_stream(struct quic_stream *stream)
{
	if (++streams_count == MOST)
		die("too many streams");
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
	for (; size > 0; data += part, size -= part) {
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
static void send_bytes(size_t number, const uint8_t *data, size_t size)
{
	struct frame *frame;
	size_t part;

	for (; size > 0 && streams[number]; data += part, size -= part) {
		part = size < CHUNK ? size : CHUNK;
		frame = frame_new(part);
		if (!frame)
			die("no memory");
		memcpy(frame->head, data, part);
		if (quic_stream_send(streams[number], frame)) {
			frame_free(frame);
			return;
		}
	}
}

/* ---- infos: what is signed (CBOR; addresses, timestamp), what is sent (postcard) ---- */

struct info_bytes {
	struct id id;
	size_t size;
	uint8_t *bytes;
};

static void cbor_head(struct writer *writer, uint8_t major, uint64_t value)
{
	if (value < 24) {
		writer_u8(writer, (uint8_t)(major << 5 | value));
	} else if (value < 256) {
		writer_u8(writer, (uint8_t)(major << 5 | 24));
		writer_u8(writer, (uint8_t)value);
	} else if (value < 65536) {
		writer_u8(writer, (uint8_t)(major << 5 | 25));
		writer_u16(writer, (uint16_t)value);
	} else {
		writer_u8(writer, (uint8_t)(major << 5 | 27));
		writer_u64(writer, value);
	}
}

static void cbor_text(struct writer *writer, const char *text)
{
	cbor_head(writer, 3, strlen(text));
	writer_bytes(writer, text, strlen(text));
}

static void cbor_integers(struct writer *writer, const uint8_t *bytes, size_t size)
{
	cbor_head(writer, 4, size);
	for (size_t i = 0; i < size; i++)
		cbor_head(writer, 0, bytes[i]);
}

static void write_signed(struct writer *writer, const struct id *node, uint64_t us,
	const struct address *addresses, size_t count)
{
	cbor_head(writer, 5, 2);
	cbor_text(writer, "addresses");
	cbor_head(writer, 4, 1);
	cbor_head(writer, 5, 1);
	cbor_text(writer, "Iroh");
	cbor_head(writer, 5, 2);
	cbor_text(writer, "id");
	cbor_integers(writer, node->bytes, ID_SIZE);
	cbor_text(writer, "addrs");
	cbor_head(writer, 4, relays_count + count);
	for (size_t i = 0; i < relays_count; i++) {
		cbor_head(writer, 5, 1);
		cbor_text(writer, "Relay");
		cbor_text(writer, relays[i]);
	}
	for (size_t i = 0; i < count; i++) {
		cbor_head(writer, 5, 1);
		cbor_text(writer, "Ip");
		cbor_head(writer, 5, 1);
		cbor_text(writer, addresses[i].family == 4 ? "V4" : "V6");
		cbor_head(writer, 4, 2);
		cbor_integers(writer, addresses[i].ip, addresses[i].family == 4 ? 4 : 16);
		cbor_head(writer, 0, addresses[i].port);
	}
	cbor_text(writer, "timestamp");
	cbor_head(writer, 4, 2);
	cbor_head(writer, 0, us);
	cbor_head(writer, 0, 0);
}

static void write_sent(struct writer *writer, const struct id *node, uint64_t us,
	const uint8_t signature[IDENTITY_SIGNATURE_SIZE], const struct address *addresses,
	size_t count)
{
	postcard_write_bytes(writer, node->bytes, ID_SIZE);
	postcard_write_varint(writer, us);
	postcard_write_varint(writer, 0);
	postcard_write_bytes(writer, signature, IDENTITY_SIGNATURE_SIZE);
	postcard_write_varint(writer, 1); /* transports */
	postcard_write_varint(writer, 0); /* Iroh */
	writer_bytes(writer, node->bytes, ID_SIZE);
	postcard_write_varint(writer, relays_count + count);
	for (size_t i = 0; i < relays_count; i++) {
		postcard_write_varint(writer, 0); /* Relay */
		postcard_write_bytes(writer, relays[i], strlen(relays[i]));
	}
	for (size_t i = 0; i < count; i++) {
		postcard_write_varint(writer, 1); /* Ip */
		postcard_write_varint(writer, addresses[i].family == 4 ? 0 : 1);
		writer_bytes(writer, addresses[i].ip, addresses[i].family == 4 ? 4 : 16);
		postcard_write_varint(writer, addresses[i].port);
	}
}

static uint64_t unix_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Signed by signer, said to be node's. */
static void make_info(struct info_bytes *out, const struct identity *signer,
	const struct id *node, bool spoil, uint64_t us, const struct address *addresses,
	size_t count)
{
	static uint8_t buffer[256 + 64 * MOST_ADDRESSES + 512 * MOST_RELAYS];
	uint8_t signature[IDENTITY_SIGNATURE_SIZE];
	struct writer writer;

	writer_init(&writer, buffer, sizeof buffer);
	write_signed(&writer, node, us, addresses, count);
	if (writer.error || identity_sign(signer, buffer, writer_size(&writer), signature))
		die("an info that cannot be made");
	if (spoil)
		signature[0] ^= 1;
	writer_init(&writer, buffer, sizeof buffer);
	write_sent(&writer, node, us, signature, addresses, count);
	out->id = *node;
	out->size = writer_size(&writer);
	out->bytes = malloc(out->size);
	if (!out->bytes)
		die("no memory");
	memcpy(out->bytes, buffer, out->size);
}

static void make_stranger(struct info_bytes *out, bool spoil, uint64_t us,
	const struct address *addresses, size_t count)
{
	uint8_t secret[IDENTITY_SECRET_SIZE];
	struct identity stranger;

	if (RAND_bytes(secret, sizeof secret) != 1 || identity_from_secret(secret, &stranger))
		die("no new node");
	make_info(out, &stranger, &stranger.id, spoil, us, addresses, count);
	identity_clear(&stranger);
}

static int compare_infos(const void *a, const void *b)
{
	return memcmp(((const struct info_bytes *)a)->id.bytes,
		((const struct info_bytes *)b)->id.bytes, ID_SIZE);
}

static void keep_nodes(struct info_bytes *infos, size_t count)
{
	uint8_t head[16], *at;
	struct writer writer;
	size_t size;

	if (++made_count == MOST_MADE)
		die("too many messages");
	qsort(infos, count, sizeof *infos, compare_infos);
	writer_init(&writer, head + 4, sizeof head - 4);
	postcard_write_varint(&writer, 3); /* Nodes */
	postcard_write_varint(&writer, count);
	size = writer_size(&writer);
	for (size_t i = 0; i < count; i++)
		size += infos[i].size;
	for (int i = 0; i < 4; i++)
		head[i] = (uint8_t)(size >> (24 - 8 * i));
	at = malloc(4 + size);
	if (!at)
		die("no memory");
	made[made_count].bytes = at;
	made[made_count].size = 4 + size;
	memcpy(at, head, 4 + writer_size(&writer));
	at += 4 + writer_size(&writer);
	for (size_t i = 0; i < count; i++) {
		memcpy(at, infos[i].bytes, infos[i].size);
		at += infos[i].size;
		free(infos[i].bytes);
	}
	printf("made %zu %zu\n", made_count, 4 + size);
}

static size_t parse_addresses(char *text, struct address out[MOST_ADDRESSES])
{
	size_t count = 0;
	char *rest = NULL;

	relays_count = 0;
	for (char *one = strtok_r(text, ",", &rest); one; one = strtok_r(NULL, ",", &rest))
		if (strstr(one, "://") && relays_count < MOST_RELAYS)
			relays[relays_count++] = one;
		else if (count == MOST_ADDRESSES || address_parse(one, &out[count++]))
			die("no such address");
	return count;
}

static void make_nodes(const char *kind, size_t count, char *where, const char *argument)
{
	static struct address addresses[MOST_ADDRESSES];
	size_t addresses_count = parse_addresses(where, addresses), many = count;
	struct info_bytes *infos = calloc(count ? count : 1, sizeof *infos);
	struct id other;
	uint64_t us = unix_us();

	if (!infos)
		die("no memory");
	if (strcmp(kind, "other") == 0) {
		if (hex_decode(argument, other.bytes, ID_SIZE))
			die("no such node");
		make_info(infos, &identity, &other, false, us, addresses, addresses_count);
		many = 1;
	} else if (strcmp(kind, "self") == 0) {
		for (size_t i = addresses_count; i < count && i < MOST_ADDRESSES; i++) {
			addresses[i] = addresses[0];
			addresses[i].port = (uint16_t)(addresses[0].port + i);
		}
		make_info(infos, &identity, &identity.id, false, us, addresses,
			count > addresses_count ? count : addresses_count);
		many = 1;
	} else {
		if (strcmp(kind, "late") == 0)
			us += strtoull(argument, NULL, 10) * 1000000;
		for (size_t i = 0; i < count; i++)
			make_stranger(
				&infos[i], strcmp(kind, "bad") == 0, us, addresses, addresses_count);
	}
	keep_nodes(infos, many);
	free(infos);
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
		die("cannot dial");
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
		die("no hex digits");
	return bytes;
}

static void on_command(char *line)
{
	char *words[6] = {"", "", "", "", "", ""}, *rest = NULL;
	size_t count = 0, number, size;
	uint8_t *bytes;

	for (char *word = strtok_r(line, " ", &rest); word && count < 6;
		word = strtok_r(NULL, " ", &rest))
		words[count++] = word;
	/* What is no number is one all the same, and not used. */
	number = strtoul(words[1], NULL, 10) % MOST;
	if (strcmp(words[0], "dial") == 0) {
		dial(words[1], words[2], words[3]);
	} else if (strcmp(words[0], "open") == 0) {
		open_stream(number, strcmp(words[2], "bidi") == 0);
	} else if (strcmp(words[0], "send") == 0) {
		bytes = bytes_of(words[2], &size);
		send_bytes(number, bytes, size);
		free(bytes);
	} else if (strcmp(words[0], "make") == 0) {
		make_nodes(words[1], strtoul(words[2], NULL, 10), words[3], words[4]);
	} else if (strcmp(words[0], "nodes") == 0) {
		size = strtoul(words[2], NULL, 10);
		if (size == 0 || size > made_count)
			die("no such message");
		send_bytes(number, made[size].bytes, made[size].size);
	} else if (strcmp(words[0], "finish") == 0) {
		if (streams[number])
			quic_stream_finish(streams[number]);
	} else if (strcmp(words[0], "close") == 0) {
		if (connections[number])
			quic_connection_close(connections[number], strtoul(words[2], NULL, 10));
	} else if (strcmp(words[0], "hash") == 0) {
		bytes = bytes_of(words[1], &size);
		show_hash(bytes, size);
		free(bytes);
	} else {
		die("no such command");
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
		die("a line too long");
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
		.identity = &identity,
		.protocols_count = 2,
		.protocols = {protocol, protocol},
		.max_queue = (size_t)1 << 30,
		.counters = &counters,
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 3 || address_parse(argv[1], &bind) || strlen(argv[2]) != 2 * sizeof secret ||
		hex_decode(argv[2], secret, sizeof secret))
		die("usage: raw_discovery <address:port> <secret>");
	identity_alpn(PROTOCOL_GOSSIP, &identity_default_network, &config.protocols[GOSSIP].alpn);
	identity_alpn(
		PROTOCOL_DISCOVERY, &identity_default_network, &config.protocols[DISCOVERY].alpn);
	if (identity_from_secret(secret, &identity) || uv_loop_init(&loop) ||
		quic_endpoint_new(&config, &endpoint) || quic_endpoint_bind(endpoint, &bind, NULL))
		die("cannot begin");
	printf("id %s\n", hex_encode(identity.id.bytes, ID_SIZE, id));
	uv_poll_init(&loop, &input, 0);
	uv_poll_start(&input, UV_READABLE, on_input);
	uv_run(&loop, UV_RUN_DEFAULT);
	return 0;
}
