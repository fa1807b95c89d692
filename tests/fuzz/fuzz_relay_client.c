/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The pool of relays with its clients, against relays that send whatever the input says, and
 * whoever opens the streams for it. The input is steps: what (below), which stream or relay, a
 * length of two bytes, and as many bytes. So that it gets beyond the handshake, a relay can also do
 * as it should.
 *
 * After each step: effects come to an end, streams are few, their output is bounded, lines are
 * printable, and there is something to do later or never.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "bridge/bytes/reader.h"
#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/memory.h"
#include "bridge/relay/frame.h"
#include "bridge/relay/relays.h"

#define HOMES	2
#define KNOWN	4 /* with the homes */
#define STREAMS 64
#define STEPS	300
#define TICKS	1000
#define EFFECTS 2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
	STEP_OPENED,
	STEP_BYTES,   /* whatever */
	STEP_MESSAGE, /* a frame of a relay */
	STEP_FRAME,   /* a WebSocket frame: its first byte, then its payload */
	STEP_SERVE,   /* what is to be done by a relay: upgrade, handshake, pong */
	STEP_WRITE,   /* the stream takes so much */
	STEP_CLOSED,
	STEP_TICK,
	STEP_SEND,
	STEP_ADMIT,
	STEP_ANSWER, /* the node sends from within: so many */
	STEP_FAIL,   /* memory */
	STEP_STOP,
	STEPS_OF_A_KIND,
};

struct stream {
	uint64_t number; /* 0: the place is free */
	bool upgraded;
	uint8_t out[LIMIT_RELAY_QUEUE + LIMIT_RELAY_QUEUE_CONTROL];
	size_t out_size;
};

static struct {
	struct relays *relays;
	struct counters counters;
	struct relay_url urls[KNOWN];
	uint64_t now, seed;
	struct stream streams[STREAMS];
	unsigned answers;
	size_t blocks, countdown;
} run;

static struct identity identity;
static uint8_t bytes[LIMIT_RELAY_FRAME + 64];

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* ---- memory ---- */

static bool fails(void)
{
	return run.countdown && --run.countdown == 0;
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

/* ---- the node ---- */

static void on_datagram(void *context, const struct address *relay, const struct id *from,
	const uint8_t *data, size_t size, size_t segment)
{
	uint64_t sum = 0;

	require(size > 0 && size < LIMIT_RELAY_FRAME && segment < size);
	for (size_t i = 0; i < size; i++)
		sum += data[i];
	if (run.answers && sum) {
		run.answers--;
		relays_send(run.relays, run.now, relay, from, data, size, segment);
		/* To somebody else, too. */
		relays_send(run.relays, run.now, &(struct address){.family = ADDRESS_RELAY}, from,
			data, size, segment);
	}
}

static void on_gone(void *context, const struct address *relay, const struct id *node)
{
	require(relays_url(run.relays, relay) != NULL);
}

/* ---- streams ---- */

static struct stream *find(uint64_t number)
{
	for (size_t i = 0; i < STREAMS; i++)
		if (run.streams[i].number == number)
			return &run.streams[i];
	return NULL;
}

/* The n-th of those that there are; NULL: there is none. */
static struct stream *pick(uint8_t n)
{
	for (size_t i = 0; i < STREAMS; i++)
		if (run.streams[(n + i) % STREAMS].number)
			return &run.streams[(n + i) % STREAMS];
	return NULL;
}

static void close_stream(struct stream *stream)
{
	stream->number = 0;
	stream->upgraded = false;
	stream->out_size = 0;
}

static void check_line(const struct relays_effect *effect)
{
	require(strlen(effect->text) < RELAYS_LINE_SIZE && effect->level <= NODE_LOG_ERROR);
	for (const char *at = effect->text; *at; at++)
		require(*at >= ' ' && *at <= '~');
}

static void on_effect(const struct relays_effect *effect)
{
	struct stream *stream;

	switch (effect->type) {
	case RELAYS_OPEN:
		require(effect->stream && !find(effect->stream));
		require(effect->url == relays_url(run.relays, &effect->relay));
		require(!effect->hearsay || relay_url_is_public(effect->url));
		stream = find(0);
		require(stream != NULL);
		stream->number = effect->stream;
		break;
	case RELAYS_CLOSE:
		stream = find(effect->stream);
		require(effect->stream && stream);
		close_stream(stream);
		break;
	case RELAYS_WRITE:
		require(find(effect->stream) != NULL);
		break;
	case RELAYS_HOME:
		require(effect->url == relays_home(run.relays));
		break;
	case RELAYS_UP:
	case RELAYS_DOWN:
		require(relays_is_up(run.relays, &effect->relay) == (effect->type == RELAYS_UP));
		break;
	case RELAYS_LOG:
		check_line(effect);
		break;
	}
}

static void settle(void)
{
	struct relays_effect effect;
	size_t effects = 0, size;

	while (relays_effect(run.relays, &effect)) {
		require(++effects < EFFECTS);
		on_effect(&effect);
	}
	for (size_t i = 0; i < STREAMS; i++) {
		if (!run.streams[i].number)
			continue;
		relays_output(run.relays, run.streams[i].number, &size);
		require(size <= LIMIT_RELAY_QUEUE + LIMIT_RELAY_QUEUE_CONTROL);
	}
	require(relays_state_word(relays_state(run.relays)) != NULL);
}

static void pass(uint64_t time)
{
	uint64_t end = run.now + time, deadline;
	size_t ticks = 0;

	while ((deadline = relays_deadline(run.relays)) <= end) {
		require(++ticks < TICKS);
		if (deadline > run.now)
			run.now = deadline;
		relays_tick(run.relays, run.now);
		settle();
	}
	run.now = end;
}

/* ---- relays ---- */

static size_t frame(uint8_t opcode, const uint8_t *data, size_t size)
{
	size_t head = size < 126 ? 2 : 4;

	bytes[0] = opcode;
	bytes[1] = size < 126 ? (uint8_t)size : 126;
	bytes[2] = (uint8_t)(size >> 8);
	bytes[3] = (uint8_t)size;
	if (size)
		memcpy(bytes + head, data, size);
	return head + size;
}

static void receive(const struct stream *stream, const uint8_t *data, size_t size)
{
	/* Of its own size, for the sanitizer. */
	uint8_t *copy = malloc(size ? size : 1);

	require(copy != NULL);
	if (size)
		memcpy(copy, data, size);
	relays_received(run.relays, run.now, stream->number, copy, size);
	free(copy);
}

static void say(const struct stream *stream, const uint8_t *data, size_t size)
{
	receive(stream, bytes, frame(0x82, data, size));
}

/* Takes some of the output. */
static void take(struct stream *stream, size_t most)
{
	size_t size, room = sizeof stream->out - stream->out_size;
	const uint8_t *out = relays_output(run.relays, stream->number, &size);

	require((out != NULL) == (size > 0));
	if (size > most)
		size = most;
	if (size > room)
		size = room;
	if (!size)
		return;
	memcpy(stream->out + stream->out_size, out, size);
	stream->out_size += size;
	relays_written(run.relays, run.now, stream->number, size);
}

static void drop(struct stream *stream, size_t size)
{
	stream->out_size -= size;
	memmove(stream->out, stream->out + size, stream->out_size);
}

static void upgrade(struct stream *stream)
{
	const char *key = memmem(stream->out, stream->out_size, "Sec-WebSocket-Key: ", 19);
	char salted[64], head[256];
	unsigned char digest[EVP_MAX_MD_SIZE], accept[64];
	unsigned size;

	if (!key)
		return;
	snprintf(salted, sizeof salted, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
	require(EVP_Digest(salted, strlen(salted), digest, &size, EVP_sha1(), NULL) == 1);
	EVP_EncodeBlock(accept, digest, (int)size);
	snprintf(head, sizeof head,
		"HTTP/1.1 101 \r\nupgrade: websocket\r\nconnection: upgrade\r\n"
		"sec-websocket-accept: %s\r\nsec-websocket-protocol: iroh-relay-v2\r\n\r\n",
		accept);
	drop(stream, stream->out_size);
	stream->upgraded = true;
	receive(stream, (const uint8_t *)head, strlen(head));
	memset(salted, 7, 17);
	salted[0] = RELAY_FRAME_CHALLENGE;
	say(stream, (const uint8_t *)salted, 17);
}

/* Answers the next frame of the client. Returns its bytes; 0: it has not come whole. */
static size_t answer(struct stream *stream)
{
	const uint8_t *out = stream->out;
	uint8_t reply[9];
	size_t head = 2, size;

	if (stream->out_size < 8)
		return 0;
	size = out[1] & 0x7f;
	require(out[1] & 0x80);
	if (size == 126) {
		head = 4;
		size = (size_t)out[2] << 8 | out[3];
	}
	if (stream->out_size < head + 4 + size)
		return 0;
	for (size_t i = 0; i < sizeof reply && i < size; i++)
		reply[i] = out[head + 4 + i] ^ out[head + i % 4];
	if (size == RELAY_FRAME_AUTH_SIZE && reply[0] == RELAY_FRAME_AUTH) {
		reply[0] = RELAY_FRAME_CONFIRMS;
		say(stream, reply, 1);
	} else if (size == 9 && reply[0] == RELAY_FRAME_PING) {
		reply[0] = RELAY_FRAME_PONG;
		say(stream, reply, 9);
	}
	return head + 4 + size;
}

static void serve(struct stream *stream)
{
	uint64_t number = stream->number;
	size_t used;

	take(stream, SIZE_MAX);
	if (!stream->upgraded)
		upgrade(stream);
	take(stream, SIZE_MAX);
	while (stream->upgraded && (used = answer(stream))) {
		drop(stream, used);
		settle();
		if (stream->number != number)
			return;
		take(stream, SIZE_MAX);
	}
}

/* ---- steps ---- */

static void of_stream(enum step step, struct stream *stream, const uint8_t *data, size_t size)
{
	char text[64];

	switch (step) {
	case STEP_OPENED:
		relays_opened(run.relays, run.now, stream->number);
		break;
	case STEP_BYTES:
		receive(stream, data, size);
		break;
	case STEP_MESSAGE:
		say(stream, data, size);
		break;
	case STEP_FRAME:
		if (size)
			receive(stream, bytes, frame(data[0], data + 1, size - 1));
		break;
	case STEP_SERVE:
		serve(stream);
		break;
	case STEP_WRITE:
		take(stream, size ? (size_t)data[0] * data[0] : 1);
		break;
	case STEP_CLOSED:
		memset(text, 0, sizeof text);
		if (size > 1)
			memcpy(text, data + 1, size - 1 < 63 ? size - 1 : 63);
		relays_closed(run.relays, run.now, stream->number,
			size ? (enum relay_trouble)(RELAY_NO_NAME + data[0] % RELAY_LOST)
			     : RELAY_LOST,
			text);
		close_stream(stream);
		break;
	default:
		break;
	}
}

static void send_some(uint8_t which, const uint8_t *data, size_t size)
{
	static const uint8_t datagrams[20000];
	struct address to = relay_url_address(&run.urls[which % KNOWN]);
	struct id id = {{which}};

	/* Much of it, and in segments, if it is said so. */
	if (size >= 3)
		relays_send(run.relays, run.now, &to, &id, datagrams,
			((size_t)data[0] << 8 | data[1]) % sizeof datagrams, (size_t)data[2] * 8);
	else
		relays_send(run.relays, run.now, &to, &id, datagrams, 1200, 0);
}

static void admit(const uint8_t *data, size_t size)
{
	struct relay_url url;
	struct address address;
	struct id id = {{1}};

	if (relay_url_parse((const char *)data, size, &url))
		return;
	address = relay_url_address(&url);
	if (relays_admit(run.relays, run.now, &url)) {
		require(relays_url(run.relays, &address) != NULL);
		relays_send(run.relays, run.now, &address, &id, data, size, 0);
	}
}

static void carry_out(enum step step, uint8_t which, const uint8_t *data, size_t size)
{
	struct stream *stream = pick(which);

	switch (step) {
	case STEP_TICK:
		pass(size ? (uint64_t)data[0] * data[0] * 2 * MS : 0);
		break;
	case STEP_SEND:
		send_some(which, data, size);
		break;
	case STEP_ADMIT:
		admit(data, size);
		break;
	case STEP_ANSWER:
		run.answers = which;
		break;
	case STEP_FAIL:
		run.countdown = which;
		break;
	case STEP_STOP:
		relays_stop(run.relays, run.now);
		break;
	default:
		if (stream)
			of_stream(step, stream, data, size);
	}
	settle();
}

static bool begin(void)
{
	static const char *const texts[KNOWN] = {"https://a.example/", "http://127.0.0.1:3340/",
		"https://b.example/", "https://c.example/"};
	struct relays_config config = {.identity = &identity,
		.counters = &run.counters,
		.homes = run.urls,
		.homes_count = HOMES,
		.token = "secret",
		.any = true,
		.port = {NULL, on_datagram, on_gone}};
	static const uint8_t secret[32] = {1};

	if (!identity.key)
		require(identity_from_secret(secret, &identity) == 0);
	memset(&run, 0, sizeof run);
	run.now = S;
	config.random = random_seeded(&run.seed);
	for (size_t i = 0; i < KNOWN; i++)
		require(relay_url_parse(texts[i], strlen(texts[i]), &run.urls[i]) == 0);
	if (relays_new(&config, &run.relays))
		return false;
	for (size_t i = HOMES; i < KNOWN; i++)
		require(relays_add(run.relays, &run.urls[i]) == 0);
	relays_start(run.relays, run.now);
	settle();
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct memory memory = {fuzz_alloc, fuzz_realloc, fuzz_free, NULL};
	struct reader reader;

	memory_set(&memory);
	require(begin());
	reader_init(&reader, data, size);
	for (int i = 0; i < STEPS && reader_left(&reader) && !reader.error; i++) {
		uint8_t what = reader_u8(&reader), which = reader_u8(&reader);
		size_t length = reader_u16(&reader);
		const uint8_t *input;

		if (length > reader_left(&reader))
			length = reader_left(&reader);
		input = reader_bytes(&reader, length);
		carry_out((enum step)(what % STEPS_OF_A_KIND), which, input, length);
	}
	run.countdown = 0;
	pass(120 * S);
	relays_free(run.relays);
	require(run.blocks == 0);
	memory_set(NULL);
	return 0;
}
