/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A crowd at one node's door: many keys with one connection each, and many streams on each, all
 * for topics that nobody knows. Usage:
 *
 *   raw_crowd <node id> <address:port> <keys> <streams>
 *
 * A stream brings its header and 5 bytes: the length of a large frame and one byte of it. A
 * connection that ends is made anew REDIAL_MS later, with the same key. Lines on stdout: `up` when
 * every key has been connected once, `ended <why>` (and it ends).
 */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bridge/bytes/hex.h"
#include "bridge/error.h"
#include "bridge/gossip/frame.h"
#include "bridge/limits.h"
#include "bridge/memory.h"
#include "bridge/quic/quic.h"

#define REDIAL_MS 200
/* Keys that begin at a time: a flood of first packets is another attack. */
#define AT_A_TIME 8

struct head {
	struct quic_endpoint *endpoint;
	struct identity identity;
	struct counters counters;
	struct quic_connection *connection; /* NULL: to be dialled */
	size_t streams;
	bool dialling, was_up;
	uint64_t due; /* when it is dialled again */
};

static uv_loop_t loop;
static struct id peer;
static struct address peer_address;
static struct head *heads;
static size_t heads_count, streams_wanted, up_count, dialling;

static void die(const char *why)
{
	printf("ended %s\n", why);
	exit(1);
}

static void open_streams(struct head *head)
{
	struct quic_stream *stream;
	struct frame *frame;
	struct id topic;

	while (head->streams < streams_wanted && !quic_stream_open(head->connection, &stream)) {
		if (RAND_bytes(topic.bytes, ID_SIZE) != 1 || frame_encode_header(&topic, &frame) ||
			quic_stream_send(stream, frame))
			die("no stream could be used");
		frame = frame_new(5);
		if (!frame)
			die("no memory");
		memcpy(frame->head, "\0\0\x0f\xff\1", 5);
		if (quic_stream_send(stream, frame))
			die("the stream takes no frame");
		head->streams++;
	}
}

static void on_connected(void *context, struct quic_connection *connected)
{
	struct head *head = context;

	if (connected != head->connection)
		return;
	if (head->dialling)
		dialling--;
	head->dialling = false;
	if (!head->was_up && ++up_count == heads_count)
		puts("up");
	head->was_up = true;
	open_streams(head);
}

static void on_closed(void *context, struct quic_connection *closed, const struct closing *close)
{
	struct head *head = context;

	if (closed != head->connection)
		return; /* we are dialled too */
	if (head->dialling)
		dialling--;
	head->dialling = false;
	head->connection = NULL;
	head->due = uv_now(&loop) + REDIAL_MS;
	head->streams = 0;
}

static void on_stream_data(
	void *context, struct quic_stream *incoming, const uint8_t *data, size_t size, bool fin)
{
}

static void on_stream_closed(void *context, struct quic_stream *closed)
{
}

static void on_credit(void *context, struct quic_connection *granted)
{
	open_streams(context);
}

static void on_timer(uv_timer_t *timer)
{
	static size_t next; /* in turns, so that each gets in once */

	for (size_t i = 0; i < heads_count && dialling < AT_A_TIME; i++) {
		struct head *head = &heads[next++ % heads_count];

		if (head->connection || uv_now(&loop) < head->due ||
			quic_connect(head->endpoint, 0, &peer, &peer_address, &head->connection))
			continue;
		head->dialling = true;
		dialling++;
	}
}

static void make_head(struct head *head)
{
	struct address bind = {.family = 4, .ip = {127, 0, 0, 1}};
	uint8_t secret[IDENTITY_SECRET_SIZE];
	struct quic_config config = {
		.loop = &loop,
		.identity = &head->identity,
		.protocols_count = 1,
		.protocols = {{
			.max_connections = 4,
			.max_streams = 100,
			.idle_timeout = QUIC_IDLE_TIMEOUT,
			.keep_alive = true,
			.callbacks = {.connected = on_connected,
				.closed = on_closed,
				.stream_data = on_stream_data,
				.stream_closed = on_stream_closed,
				.stream_credit = on_credit},
		}},
		.max_queue = LIMIT_PEER_QUEUE_BYTES,
		.counters = &head->counters,
		.context = head,
	};

	identity_alpn(PROTOCOL_GOSSIP, &identity_default_network, &config.protocols[0].alpn);
	if (RAND_bytes(secret, sizeof secret) != 1 ||
		identity_from_secret(secret, &head->identity) ||
		quic_endpoint_new(&config, &head->endpoint) ||
		quic_endpoint_bind(head->endpoint, &bind, NULL))
		die("cannot begin: too few file descriptors?");
}

int main(int argc, char **argv)
{
	struct rlimit files;
	uv_timer_t timer;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 5 || strlen(argv[1]) != ID_HEX_SIZE ||
		hex_decode(argv[1], peer.bytes, ID_SIZE) || address_parse(argv[2], &peer_address))
		die("usage: raw_crowd <node id> <address:port> <keys> <streams>");
	heads_count = strtoul(argv[3], NULL, 10);
	streams_wanted = strtoul(argv[4], NULL, 10);
	heads = memory_zalloc(heads_count * sizeof *heads);
	if (!heads || getrlimit(RLIMIT_NOFILE, &files))
		die("no memory");
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) || uv_loop_init(&loop))
		die("cannot begin");
	for (size_t i = 0; i < heads_count; i++)
		make_head(&heads[i]);
	uv_timer_init(&loop, &timer);
	uv_timer_start(&timer, on_timer, 0, 20);
	uv_run(&loop, UV_RUN_DEFAULT);
	return 0;
}
