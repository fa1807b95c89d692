/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "client.h"

#include <stdio.h>
#include <string.h>

#include "../backoff.h"
#include "../error.h"
#include "../limits.h"
#include "../memory.h"
#include "frame.h"
#include "http.h"
#include "queue.h"
#include "websocket.h"

#define NEVER UINT64_MAX

struct relay_client {
	struct relay_client_config config;
	bool wanted;
	enum relay_state state;
	uint64_t since; /* when the state began */
	uint64_t changes;
	enum relay_status status;
	enum relay_trouble trouble;
	bool proven, restarting;
	char text[RELAY_TEXT_SIZE];

	/* Towards the stream's owner. */
	bool wants_open, wants_close;

	/* Tries. */
	uint64_t wait, dialled, due;

	/* The state of one connection. */
	struct http_key key;
	struct websocket *websocket; /* NULL: no connection, none on its way */
	uint8_t *head;		     /* LIMIT_RELAY_HEAD bytes, during UPGRADE */
	size_t head_size;
	bool answered; /* the challenge was answered */
	struct queue out;
	struct queue early; /* datagrams that wait for CONNECTED */
	size_t early_count;
	uint64_t received, limited_until;
	uint64_t gone_second;
	unsigned gone;

	/* Since when the stream has taken nothing, unless out is empty. */
	uint64_t stalled;
	/* Pings. */
	uint64_t ping_due;
	bool pinged;	    /* a ping was queued, and no pong has come yet */
	size_t ping_behind; /* how many bytes the stream takes until the ping has left */
	uint64_t ping_left; /* when the stream last took some of those bytes */
	uint8_t ping[RELAY_PING_SIZE];
};

int relay_client_new(const struct relay_client_config *config, struct relay_client **out)
{
	struct relay_client *client = memory_zalloc(sizeof *client);

	if (!client)
		return ERROR_NOMEM;
	client->config = *config;
	client->wait = RELAY_WAIT_LEAST;
	*out = client;
	return ERROR_NONE;
}

static void count(struct relay_client *client, enum counter counter, uint64_t n)
{
	counters_add(client->config.counters, counter, n);
}

static void set_state(struct relay_client *client, uint64_t now, enum relay_state state)
{
	client->state = state;
	client->since = now;
	client->changes++;
}

static void set_text(struct relay_client *client, const void *text, size_t size)
{
	relay_words(text, size, client->text, sizeof client->text);
	client->changes++;
}

static void set_status(struct relay_client *client, enum relay_status status)
{
	if (client->status == status)
		return;
	client->status = status;
	client->changes++;
}

static void clear_connection(struct relay_client *client)
{
	websocket_free(client->websocket);
	client->websocket = NULL;
	memory_free(client->head);
	client->head = NULL;
	queue_clear(&client->out);
	queue_clear(&client->early);
	count(client, COUNTER_RELAY_DROPPED, client->early_count);
	client->early_count = 0;
	client->pinged = false;
	client->proven = false;
	client->status = RELAY_HEALTHY;
}

void relay_client_free(struct relay_client *client)
{
	if (!client)
		return;
	clear_connection(client);
	memory_free(client);
}

/* Tells whether there is a stream, or one is on its way. */
static bool has_stream(const struct relay_client *client)
{
	return client->state >= RELAY_OPENING;
}

/* Lets go of a stream that its owner has not reported as over. */
static void drop_stream(struct relay_client *client)
{
	if (!has_stream(client))
		return;
	if (client->wants_open)
		client->wants_open = false;
	else
		client->wants_close = true;
}

static bool is_refusal(enum relay_trouble trouble)
{
	switch (trouble) {
	case RELAY_NOT_PUBLIC:
	case RELAY_CERTIFICATE:
	case RELAY_NOT_FOUND:
	case RELAY_REDIRECTED:
	case RELAY_REFUSED:
	case RELAY_BAD_REQUEST:
	case RELAY_NO_RELAY:
	case RELAY_DENIED:
		return true;
	default:
		return false;
	}
}

static void set_due(struct relay_client *client, uint64_t now)
{
	uint64_t wait = RELAY_WAIT_REFUSED;

	if (is_refusal(client->trouble))
		wait = backoff_next(client->config.random, &wait, wait);
	else
		wait = backoff_next(client->config.random, &client->wait, RELAY_WAIT_MOST);
	client->due = now + wait;
	if (client->due < client->dialled + RELAY_WAIT_APART)
		client->due = client->dialled + RELAY_WAIT_APART;
}

/* Ends a try or a connection; the stream is gone, or the caller drops it. */
static void end(struct relay_client *client, uint64_t now, enum relay_trouble trouble,
	const char *text, size_t size)
{
	client->trouble = trouble;
	set_text(client, text, size);
	count(client, COUNTER_RELAY_FAILED, 1);
	if (trouble == RELAY_DENIED || trouble == RELAY_REFUSED)
		count(client, COUNTER_RELAY_REFUSED, 1);
	clear_connection(client);
	set_due(client, now);
	set_state(client, now, RELAY_WAITING);
}

static void fail_with(struct relay_client *client, uint64_t now, enum relay_trouble trouble,
	const char *text, size_t size)
{
	drop_stream(client);
	end(client, now, trouble, text, size);
}

static void fail(
	struct relay_client *client, uint64_t now, enum relay_trouble trouble, const char *text)
{
	fail_with(client, now, trouble, text, strlen(text));
}

static void dial(struct relay_client *client, uint64_t now)
{
	client->dialled = now;
	client->restarting = false;
	client->answered = false;
	if (websocket_new(client->config.random, &client->websocket)) {
		fail(client, now, RELAY_NO_MEMORY, "");
		return;
	}
	client->wants_open = true;
	set_state(client, now, RELAY_OPENING);
}

void relay_client_want(struct relay_client *client, uint64_t now, bool wanted)
{
	if (wanted == client->wanted)
		return;
	client->wanted = wanted;
	if (!wanted) {
		/* The relay worked until now, so the next try need not wait for long. */
		if (has_stream(client))
			client->due = client->dialled + RELAY_WAIT_APART;
		drop_stream(client);
		clear_connection(client);
		set_state(client, now, RELAY_IDLE);
		return;
	}
	client->trouble = RELAY_NO_TROUBLE;
	if (now < client->due)
		set_state(client, now, RELAY_WAITING);
	else
		dial(client, now);
}

bool relay_client_wants_open(struct relay_client *client)
{
	bool wants = client->wants_open;

	client->wants_open = false;
	return wants;
}

bool relay_client_wants_close(struct relay_client *client)
{
	bool wants = client->wants_close;

	client->wants_close = false;
	return wants;
}

/* Notes, before bytes are appended, that the stream is expected to take them from now on. */
static void expect_progress(struct relay_client *client, uint64_t now)
{
	if (client->out.size == 0)
		client->stalled = now;
}

/* Queues one message; messages have some more room than datagrams have. ERROR_FULL, ERROR_NOMEM. */
static int put(struct relay_client *client, uint64_t now, enum websocket_type type,
	const void *data, size_t size)
{
	expect_progress(client, now);
	return websocket_write(client->websocket, &client->out,
		LIMIT_RELAY_QUEUE + LIMIT_RELAY_QUEUE_CONTROL, type, NULL, 0, data, size);
}

static int put_ping(struct relay_client *client, uint64_t now, enum relay_frame_type type,
	const uint8_t data[RELAY_PING_SIZE])
{
	uint8_t frame[1 + RELAY_PING_SIZE];

	frame[0] = (uint8_t)type;
	memcpy(frame + 1, data, RELAY_PING_SIZE);
	return put(client, now, WEBSOCKET_BINARY, frame, sizeof frame);
}

/* ---- the stream opens ---- */

void relay_client_opened(struct relay_client *client, uint64_t now)
{
	uint8_t nonce[HTTP_NONCE_SIZE], *room;
	struct writer writer;

	if (client->state != RELAY_OPENING || client->wants_open)
		return;
	client->head = memory_alloc(LIMIT_RELAY_HEAD);
	client->head_size = 0;
	if (!client->head ||
		queue_reserve(&client->out, LIMIT_RELAY_QUEUE, LIMIT_RELAY_HEAD, &room)) {
		fail(client, now, RELAY_NO_MEMORY, "");
		return;
	}
	client->config.random->fill(client->config.random->context, nonce, sizeof nonce);
	writer_init(&writer, room, LIMIT_RELAY_HEAD);
	if (http_key_make(nonce, &client->key)) {
		fail(client, now, RELAY_TLS, "no SHA-1");
		return;
	}
	http_request(&writer, client->config.url, &client->key, client->config.token);
	expect_progress(client, now);
	queue_commit(&client->out, writer_size(&writer));
	set_state(client, now, RELAY_UPGRADE);
}

/* Ends the try for the reason that an HTTP status other than 101 means. */
static void fail_by_status(
	struct relay_client *client, uint64_t now, const struct http_reply *reply)
{
	char text[16];

	snprintf(text, sizeof text, "%u", reply->status);
	if (reply->status == 404)
		fail(client, now, RELAY_NOT_FOUND, text);
	else if (reply->status == 401 || reply->status == 403)
		fail(client, now, RELAY_REFUSED, text);
	else if (reply->status == 400)
		fail(client, now, RELAY_BAD_REQUEST, text);
	else if (reply->status / 100 == 3)
		fail(client, now, RELAY_REDIRECTED, reply->target);
	else
		fail(client, now, RELAY_HTTP, text);
}

/* Reads the bytes that come before the WebSocket. Returns how many bytes of data belong to the
 * head. */
static size_t read_head(struct relay_client *client, uint64_t now, const uint8_t *data, size_t size)
{
	size_t before = client->head_size, room = LIMIT_RELAY_HEAD - before;
	struct http_reply reply;
	int error;

	if (size > room)
		size = room;
	memcpy(client->head + before, data, size);
	client->head_size += size;
	error = http_reply_read(client->head, client->head_size, &client->key, &reply);
	if (error == ERROR_TRUNCATED && client->head_size < LIMIT_RELAY_HEAD)
		return size;
	if (error)
		fail(client, now, RELAY_NO_RELAY,
			error == ERROR_TRUNCATED ? "a head without an end" : "no HTTP");
	else if (reply.status != 101)
		fail_by_status(client, now, &reply);
	else if (reply.fault)
		fail(client, now, RELAY_NO_RELAY, reply.fault);
	if (client->state != RELAY_UPGRADE)
		return size;
	memory_free(client->head);
	client->head = NULL;
	set_state(client, now, RELAY_HANDSHAKE);
	return reply.size - before;
}

/* ---- the handshake ---- */

static void answer(struct relay_client *client, uint64_t now, const uint8_t *challenge)
{
	uint8_t frame[RELAY_FRAME_AUTH_SIZE];

	if (client->answered)
		fail(client, now, RELAY_PROTOCOL, "a second challenge");
	else if (relay_frame_auth(client->config.identity, challenge, frame) ||
		 put(client, now, WEBSOCKET_BINARY, frame, sizeof frame))
		fail(client, now, RELAY_NO_MEMORY, "");
	client->answered = true;
}

/* Sends a ping if there is room for one: if not, the stream is found to be stalled. */
static void ping(struct relay_client *client, uint64_t now)
{
	client->ping_due = now + RELAY_PING_INTERVAL;
	if (client->pinged)
		return;
	client->config.random->fill(
		client->config.random->context, client->ping, sizeof client->ping);
	/* Memory that a burst needed is not kept for the next burst. */
	if (client->out.size == 0)
		queue_clear(&client->out);
	if (put_ping(client, now, RELAY_FRAME_PING, client->ping))
		return;
	client->pinged = true;
	client->ping_behind = client->out.size;
}

static void confirm(struct relay_client *client, uint64_t now)
{
	uint8_t *room;

	if (!client->answered) {
		fail(client, now, RELAY_PROTOCOL, "no challenge");
		return;
	}
	set_state(client, now, RELAY_CONNECTED);
	set_text(client, "", 0);
	count(client, COUNTER_RELAY_CONNECTS, 1);
	client->gone = 0;
	ping(client, now);
	/* Datagrams that have waited go out now. */
	expect_progress(client, now);
	if (client->early.size &&
		queue_reserve(&client->out, LIMIT_RELAY_QUEUE, client->early.size, &room) == 0) {
		memcpy(room, queue_view(&client->early), client->early.size);
		queue_commit(&client->out, client->early.size);
		client->early_count = 0;
	}
	count(client, COUNTER_RELAY_DROPPED, client->early_count);
	client->early_count = 0;
	queue_clear(&client->early);
}

static void shake_hands(
	struct relay_client *client, uint64_t now, const struct relay_frame *frame, int error)
{
	if (error == ERROR_NONE && frame->type == RELAY_FRAME_CHALLENGE)
		answer(client, now, frame->data);
	else if (error == ERROR_NONE && frame->type == RELAY_FRAME_CONFIRMS)
		confirm(client, now);
	else if (error == ERROR_NONE && frame->type == RELAY_FRAME_DENIES)
		fail_with(client, now, RELAY_DENIED, (const char *)frame->data, frame->size);
	else
		fail(client, now, RELAY_PROTOCOL, "no handshake");
}

/* ---- connected ---- */

static void take_datagrams(struct relay_client *client, const struct relay_frame *frame)
{
	size_t segment = frame->segment;

	count(client, COUNTER_RELAY_IN, segment ? (frame->size + segment - 1) / segment : 1);
	client->config.datagram(
		client->config.context, &frame->node, frame->data, frame->size, segment);
}

static void take_gone(struct relay_client *client, uint64_t now, const struct id *node)
{
	if (now - client->gone_second >= S) {
		client->gone_second = now;
		client->gone = 0;
	}
	if (client->gone == LIMIT_RELAY_GONE) {
		count(client, COUNTER_RELAY_BAD, 1);
		return;
	}
	client->gone++;
	client->config.gone(client->config.context, node);
}

static void take_pong(struct relay_client *client, const uint8_t *data)
{
	/* A pong for another ping means nothing. */
	if (!client->pinged || memcmp(data, client->ping, sizeof client->ping) != 0)
		return;
	client->pinged = false;
	if (!client->proven)
		client->changes++;
	client->proven = true;
	client->trouble = RELAY_NO_TROUBLE;
	client->wait = RELAY_WAIT_LEAST;
}

static void take_status(struct relay_client *client, uint64_t now, uint8_t status)
{
	switch (status) {
	case RELAY_FRAME_STATUS_HEALTHY:
		set_status(client, RELAY_HEALTHY);
		break;
	case RELAY_FRAME_STATUS_ELSEWHERE:
		set_status(client, RELAY_ELSEWHERE);
		break;
	case RELAY_FRAME_STATUS_LIMITED:
		/* RELAY_ELSEWHERE weighs more: nothing comes by this connection. */
		client->limited_until = now + RELAY_LIMITED_FOR;
		if (client->status == RELAY_HEALTHY)
			set_status(client, RELAY_LIMITED);
		break;
	default:
		count(client, COUNTER_RELAY_BAD, 1);
	}
}

static void take_frame(
	struct relay_client *client, uint64_t now, const struct relay_frame *frame, int error)
{
	if (error) {
		count(client, COUNTER_RELAY_BAD, 1);
		return;
	}
	switch (frame->type) {
	case RELAY_FRAME_DATAGRAM:
	case RELAY_FRAME_BATCH:
		take_datagrams(client, frame);
		break;
	case RELAY_FRAME_GONE:
		take_gone(client, now, &frame->node);
		break;
	case RELAY_FRAME_PING:
		if (put_ping(client, now, RELAY_FRAME_PONG, frame->data))
			count(client, COUNTER_RELAY_BAD, 1);
		break;
	case RELAY_FRAME_PONG:
		take_pong(client, frame->data);
		break;
	case RELAY_FRAME_HEALTH:
		set_text(client, frame->data, frame->size);
		break;
	case RELAY_FRAME_RESTARTING:
		client->restarting = true;
		client->changes++;
		break;
	case RELAY_FRAME_STATUS:
		take_status(client, now, frame->status);
		break;
	default: /* a frame of the handshake, which is over */
		count(client, COUNTER_RELAY_BAD, 1);
	}
}

static void take_message(
	struct relay_client *client, uint64_t now, const struct websocket_message *message)
{
	struct relay_frame frame;
	int error;

	switch (message->type) {
	case WEBSOCKET_PING:
		if (put(client, now, WEBSOCKET_PONG, message->data, message->size))
			count(client, COUNTER_RELAY_BAD, 1);
		break;
	case WEBSOCKET_CLOSE:
		/* A code of two bytes before the words. */
		if (message->size > 2)
			fail_with(client, now, RELAY_LOST, (const char *)message->data + 2,
				message->size - 2);
		else
			fail(client, now, RELAY_LOST, "");
		break;
	case WEBSOCKET_BINARY:
		error = relay_frame_read(message->data, message->size, &frame);
		if (client->state == RELAY_HANDSHAKE)
			shake_hands(client, now, &frame, error);
		else
			take_frame(client, now, &frame, error);
		break;
	default:
		break;
	}
}

/* Reads messages until one of them ends the connection, if any does. */
static void read_messages(
	struct relay_client *client, uint64_t now, const uint8_t *data, size_t size)
{
	struct websocket_message message;

	websocket_feed(client->websocket, data, size);
	while (client->state == RELAY_HANDSHAKE || client->state == RELAY_CONNECTED) {
		int error = websocket_next(client->websocket, &message);

		if (error) {
			fail(client, now, RELAY_PROTOCOL,
				error == ERROR_TOO_LARGE ? "a frame above 64 KiB"
							 : "no WebSocket frame");
			return;
		}
		if (message.type == WEBSOCKET_NOTHING)
			return;
		take_message(client, now, &message);
	}
}

void relay_client_received(
	struct relay_client *client, uint64_t now, const uint8_t *data, size_t size)
{
	size_t used;

	if (size == 0)
		return;
	client->received = now;
	if (client->state == RELAY_UPGRADE) {
		used = read_head(client, now, data, size);
		data += used;
		size -= used;
	}
	if (client->state == RELAY_HANDSHAKE || client->state == RELAY_CONNECTED)
		read_messages(client, now, data, size);
}

void relay_client_closed(
	struct relay_client *client, uint64_t now, enum relay_trouble trouble, const char *text)
{
	if (!has_stream(client) || client->wants_open)
		return;
	text = text ? text : "";
	end(client, now, trouble, text, strlen(text));
}

const uint8_t *relay_client_output(struct relay_client *client, size_t *size)
{
	*size = client->out.size;
	return queue_view(&client->out);
}

void relay_client_written(struct relay_client *client, uint64_t now, size_t size)
{
	if (size == 0)
		return;
	queue_take(&client->out, size);
	client->stalled = now;
	if (!client->pinged || client->ping_behind == 0)
		return;
	client->ping_behind -= size < client->ping_behind ? size : client->ping_behind;
	client->ping_left = now;
}

/* ---- datagrams ---- */

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Returns how many bytes of datagrams go into one frame: as many whole segments as the frame and
 * the queue have room for, and no more than size; 0: not one. */
static size_t frame_share(const struct queue *queue, size_t limit, size_t size, size_t segment)
{
	size_t overhead = websocket_frame_size(RELAY_FRAME_HEAD_SIZE + UINT16_MAX) - UINT16_MAX;
	size_t room = queue->size < limit ? limit - queue->size : 0;
	size_t first = least(size, segment);

	if (room < overhead + first)
		return 0;
	room = least(room - overhead, LIMIT_RELAY_FRAME - RELAY_FRAME_HEAD_SIZE);
	return size <= room ? size : room / segment * segment;
}

static int put_datagrams(struct relay_client *client, struct queue *queue, size_t limit,
	const struct id *to, const uint8_t *data, size_t size, size_t segment)
{
	uint8_t head[RELAY_FRAME_HEAD_SIZE];
	size_t head_size = relay_frame_head(to, size > segment ? (uint16_t)segment : 0, head);

	return websocket_write(
		client->websocket, queue, limit, WEBSOCKET_BINARY, head, head_size, data, size);
}

bool relay_client_send(struct relay_client *client, uint64_t now, const struct id *to,
	const uint8_t *data, size_t size, size_t segment)
{
	bool connected = client->state == RELAY_CONNECTED;
	struct queue *queue = connected ? &client->out : &client->early;
	size_t limit = connected ? LIMIT_RELAY_QUEUE : LIMIT_RELAY_QUEUE_OPENING;

	if (segment == 0)
		segment = size;
	if (size == 0 || segment > RELAY_DATAGRAM_MOST || !has_stream(client)) {
		count(client, COUNTER_RELAY_DROPPED,
			segment && size ? (size + segment - 1) / segment : 1);
		return false;
	}
	if (connected)
		expect_progress(client, now);
	while (size) {
		size_t share = frame_share(queue, limit, size, segment);
		size_t n = (share + segment - 1) / segment;

		if (!share || put_datagrams(client, queue, limit, to, data, share, segment)) {
			count(client, COUNTER_RELAY_DROPPED, (size + segment - 1) / segment);
			return false;
		}
		count(client, COUNTER_RELAY_OUT, n);
		client->early_count += connected ? 0 : n;
		data += share;
		size -= share;
	}
	if (connected && now >= client->received + RELAY_QUIET_LIMIT && !client->pinged)
		ping(client, now);
	return true;
}

/* ---- time ---- */

/* Returns when the awaited pong is too late. */
static uint64_t pong_deadline(const struct relay_client *client)
{
	uint64_t heard;

	if (!client->pinged || client->ping_behind)
		return NEVER;
	heard = client->received > client->ping_left ? client->received : client->ping_left;
	return heard + RELAY_PONG_LIMIT < client->ping_left + RELAY_PONG_AT_LAST
		       ? heard + RELAY_PONG_LIMIT
		       : client->ping_left + RELAY_PONG_AT_LAST;
}

static uint64_t stall_deadline(const struct relay_client *client)
{
	return client->out.size ? client->stalled + RELAY_STALL_LIMIT : NEVER;
}

static uint64_t limited_deadline(const struct relay_client *client)
{
	return client->status == RELAY_LIMITED ? client->limited_until : NEVER;
}

static void tick_connected(struct relay_client *client, uint64_t now)
{
	if (now >= pong_deadline(client)) {
		fail(client, now, RELAY_SILENT, "");
		return;
	}
	if (now >= stall_deadline(client)) {
		fail(client, now, RELAY_STALLED, "");
		return;
	}
	if (now >= limited_deadline(client))
		set_status(client, RELAY_HEALTHY);
	if (now >= client->ping_due)
		ping(client, now);
}

void relay_client_tick(struct relay_client *client, uint64_t now)
{
	switch (client->state) {
	case RELAY_IDLE:
		break;
	case RELAY_WAITING:
		if (now >= client->due)
			dial(client, now);
		break;
	case RELAY_OPENING:
	case RELAY_UPGRADE:
	case RELAY_HANDSHAKE:
		if (now >= client->dialled + RELAY_DIAL_LIMIT)
			fail(client, now, RELAY_TIMEOUT, "");
		break;
	case RELAY_CONNECTED:
		tick_connected(client, now);
		break;
	}
}

static uint64_t earliest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t relay_client_deadline(const struct relay_client *client)
{
	switch (client->state) {
	case RELAY_IDLE:
		return NEVER;
	case RELAY_WAITING:
		return client->due;
	case RELAY_OPENING:
	case RELAY_UPGRADE:
	case RELAY_HANDSHAKE:
		return client->dialled + RELAY_DIAL_LIMIT;
	case RELAY_CONNECTED:
		break;
	}
	return earliest(earliest(pong_deadline(client), stall_deadline(client)),
		earliest(limited_deadline(client), client->ping_due));
}

struct relay_view relay_client_view(const struct relay_client *client)
{
	return (struct relay_view){.state = client->state,
		.status = client->status,
		.trouble = client->trouble,
		.text = client->text,
		.proven = client->proven,
		.restarting = client->restarting,
		.since = client->since,
		.due = client->due,
		.changes = client->changes};
}
