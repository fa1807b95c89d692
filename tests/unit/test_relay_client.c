/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"
#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/relay/client.h"
#include "bridge/relay/frame.h"
#include "support_heap.h"
#include "support_relay.h"

#define NEVER UINT64_MAX

/* What the client and its relay share. */
static struct {
	uint64_t now, seed;
	struct random random;
	struct counters counters;
	struct identity identity;
	struct relay_url url;
	struct relay_client *client;
	bool sends_back; /* what comes, from within */
	size_t datagrams, gones, bytes;
	struct id last_from;
	uint8_t last[LIMIT_RELAY_FRAME];
	size_t last_size, last_segment;
} world;

static struct said said;
static struct heard heard;
static uint8_t data[3 * LIMIT_RELAY_FRAME];
static const struct id other = {{[0] = 7, [31] = 9}};

static void on_datagram(
	void *context, const struct id *from, const uint8_t *bytes, size_t size, size_t segment)
{
	assert_ptr_equal(context, &world);
	world.datagrams++;
	world.bytes += size;
	world.last_from = *from;
	memcpy(world.last, bytes, size);
	world.last_size = size;
	world.last_segment = segment;
	if (world.sends_back)
		relay_client_send(world.client, world.now, from, bytes, size, segment);
}

static void on_gone(void *context, const struct id *node)
{
	assert_ptr_equal(context, &world);
	world.gones++;
	world.last_from = *node;
}

static struct relay_client_config config(const char *token)
{
	return (struct relay_client_config){.url = &world.url,
		.identity = &world.identity,
		.random = &world.random,
		.counters = &world.counters,
		.token = token,
		.datagram = on_datagram,
		.gone = on_gone,
		.context = &world};
}

static int setup(void **state)
{
	static const char url[] = "http://127.0.0.1:3340/";
	struct relay_client_config with = config(NULL);
	uint8_t secret[32];

	memset(&world, 0, sizeof world);
	memset(secret, 0x2a, sizeof secret);
	world.now = 100 * S;
	world.seed = 3;
	world.random = random_seeded(&world.seed);
	assert_int_equal(identity_from_secret(secret, &world.identity), 0);
	assert_int_equal(relay_url_parse(url, strlen(url), &world.url), 0);
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	said.size = 0;
	return relay_client_new(&with, &world.client);
}

static int teardown(void **state)
{
	relay_client_free(world.client);
	identity_clear(&world.identity);
	return 0;
}

static uint64_t counted(enum counter counter)
{
	return counters_get(&world.counters, counter);
}

static struct relay_view view(void)
{
	return relay_client_view(world.client);
}

static void assert_state(enum relay_state state)
{
	assert_int_equal(view().state, state);
}

static void assert_trouble(enum relay_trouble trouble, const char *text)
{
	assert_int_equal(view().trouble, trouble);
	assert_string_equal(view().text, text);
}

/* Lets time pass, ticking when the client wants it. */
static void pass(uint64_t time)
{
	uint64_t end = world.now + time, deadline;
	size_t ticks = 0;

	while ((deadline = relay_client_deadline(world.client)) <= end) {
		/* It never asks for the past twice. */
		assert_true(++ticks < 10000);
		if (deadline > world.now)
			world.now = deadline;
		relay_client_tick(world.client, world.now);
	}
	world.now = end;
}

static void want(bool wanted)
{
	relay_client_want(world.client, world.now, wanted);
}

/* Hands over what was said, in slices. */
static void deliver_in(size_t slice)
{
	for (size_t at = 0; at < said.size; at += slice) {
		size_t size = said.size - at < slice ? said.size - at : slice;

		relay_client_received(world.client, world.now, said.bytes + at, size);
	}
	said.size = 0;
}

static void deliver(void)
{
	deliver_in(SERVED_ROOM);
}

/* Takes what the client has to send, all of it. */
static size_t take_all(uint8_t *out, size_t room)
{
	size_t total = 0, size;
	const uint8_t *bytes;

	while ((bytes = relay_client_output(world.client, &size))) {
		assert_true(size > 0 && size <= room - total);
		/* Not all at once. */
		size = size > 1 ? (size + 1) / 2 : 1;
		memcpy(out + total, bytes, size);
		total += size;
		relay_client_written(world.client, world.now, size);
	}
	assert_int_equal(size, 0);
	return total;
}

static uint8_t taken[SERVED_ROOM];

static size_t take(void)
{
	return take_all(taken, sizeof taken);
}

/* The next frame of the client; fails if there is none. */
static void hear_one(void)
{
	size_t size, used;
	const uint8_t *bytes = relay_client_output(world.client, &size);

	assert_non_null(bytes);
	used = frame_heard(bytes, size, &heard);
	assert_true(used > 0);
	relay_client_written(world.client, world.now, used);
}

static void assert_silent(void)
{
	size_t size;

	assert_null(relay_client_output(world.client, &size));
	assert_int_equal(size, 0);
}

static void opened(void)
{
	assert_true(relay_client_wants_open(world.client));
	assert_false(relay_client_wants_open(world.client));
	assert_state(RELAY_OPENING);
	assert_silent();
	relay_client_opened(world.client, world.now);
	assert_state(RELAY_UPGRADE);
}

static void upgraded(void)
{
	size_t size;

	opened();
	size = take();
	assert_true(size > 4 && memcmp(taken + size - 4, "\r\n\r\n", 4) == 0);
	say_upgrade(&said, taken, size, "iroh-relay-v2");
	deliver();
	assert_state(RELAY_HANDSHAKE);
	assert_silent();
}

static void shaken(void)
{
	upgraded();
	say(&said, RELAY_FRAME_CHALLENGE, "0123456789abcdef", 16);
	deliver();
	hear_one();
	assert_int_equal(heard.payload[0], RELAY_FRAME_AUTH);
	assert_silent();
	say(&said, RELAY_FRAME_CONFIRMS, NULL, 0);
	deliver();
	assert_state(RELAY_CONNECTED);
}

/* Answers the ping that is the next thing the client says. */
static void pong(void)
{
	hear_one();
	assert_int_equal(heard.size, 9);
	assert_int_equal(heard.payload[0], RELAY_FRAME_PING);
	say(&said, RELAY_FRAME_PONG, heard.payload + 1, 8);
	deliver();
}

static void connected(void)
{
	want(true);
	shaken();
	pong();
	assert_silent();
	assert_true(view().proven);
	assert_int_equal(counted(COUNTER_RELAY_CONNECTS), 1);
}

/* ---- */

static void nothing_is_wanted_at_first(void **state)
{
	assert_state(RELAY_IDLE);
	assert_int_equal(relay_client_deadline(world.client), NEVER);
	assert_false(relay_client_wants_open(world.client));
	assert_false(relay_client_wants_close(world.client));
	assert_silent();
	relay_client_tick(world.client, world.now);
	relay_client_opened(world.client, world.now);
	relay_client_received(world.client, world.now, data, 100);
	relay_client_closed(world.client, world.now, RELAY_LOST, NULL);
	relay_client_written(world.client, world.now, 10);
	assert_state(RELAY_IDLE);
	assert_false(relay_client_send(world.client, world.now, &other, data, 10, 0));
	assert_int_equal(counted(COUNTER_RELAY_DROPPED), 1);
	want(false);
	assert_state(RELAY_IDLE);
}

static void the_handshake_is_the_relays(void **state)
{
	static const char expected[] =
		"01197f6b23e16c8532c6abc838facd5ea789be0c76b2920334039bfa8b3d368d6140"
		"a28b5ebc6a930b5d80ad5aca2a8e48ad4a064e699c0866674c8b8e61a5f4ea940ee8b9f067329302"
		"50ac0735555abe77e8df740165edc3163be432f0e4f3cf0f";
	char hex[2 * RELAY_FRAME_AUTH_SIZE + 1];
	uint8_t challenge[16];

	for (size_t i = 0; i < sizeof challenge; i++)
		challenge[i] = (uint8_t)i;
	want(true);
	upgraded();
	say(&said, RELAY_FRAME_CHALLENGE, challenge, sizeof challenge);
	deliver();
	hear_one();
	assert_int_equal(heard.opcode, 0x82);
	assert_int_equal(heard.size, RELAY_FRAME_AUTH_SIZE);
	assert_string_equal(hex_encode(heard.payload, heard.size, hex), expected);
	say(&said, RELAY_FRAME_CONFIRMS, NULL, 0);
	deliver();
	assert_state(RELAY_CONNECTED);
	assert_false(view().proven);
	pong();
	assert_true(view().proven);
	assert_int_equal(counted(COUNTER_RELAY_CONNECTS), 1);
	assert_int_equal(counted(COUNTER_RELAY_FAILED), 0);
}

/* All that the relay says of its own accord comes in one piece with the head, or byte by byte. */
static void in_any_slices(void **state)
{
	static const size_t slices[] = {1, 3, 100, SERVED_ROOM};

	for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) {
		size_t size;

		want(true);
		pass(2 * S);
		opened();
		size = take();
		say_upgrade(&said, taken, size, "iroh-relay-v1");
		say(&said, RELAY_FRAME_CHALLENGE, "0123456789abcdef", 16);
		deliver_in(slices[i]);
		hear_one();
		assert_int_equal(heard.payload[0], RELAY_FRAME_AUTH);
		say(&said, RELAY_FRAME_CONFIRMS, NULL, 0);
		say(&said, RELAY_FRAME_DATAGRAM, "0123456789abcdef0123456789abcdef\0hello", 38);
		deliver_in(slices[i]);
		assert_state(RELAY_CONNECTED);
		assert_int_equal(world.datagrams, i + 1);
		assert_memory_equal(world.last, "hello", 5);
		want(false);
		assert_true(relay_client_wants_close(world.client));
	}
}

static void a_token_is_told(void **state)
{
	struct relay_client_config with = config("s3cret");
	size_t size;

	relay_client_free(world.client);
	assert_int_equal(relay_client_new(&with, &world.client), 0);
	want(true);
	opened();
	size = take();
	taken[size] = '\0';
	assert_non_null(strstr((char *)taken, "\r\nAuthorization: Bearer s3cret\r\n"));
}

static void datagrams_come(void **state)
{
	uint8_t frame[512];

	connected();
	memset(frame, 5, 32);
	frame[32] = 3;
	memcpy(frame + 33, "hello", 5);
	say(&said, RELAY_FRAME_DATAGRAM, frame, 38);
	deliver();
	assert_int_equal(world.datagrams, 1);
	assert_int_equal(world.last_size, 5);
	assert_int_equal(world.last_segment, 0);
	assert_memory_equal(world.last, "hello", 5);
	assert_memory_equal(world.last_from.bytes, frame, 32);
	assert_int_equal(counted(COUNTER_RELAY_IN), 1);
	/* Five: four of 100 bytes, and one of 1. */
	frame[33] = 0;
	frame[34] = 100;
	memcpy(frame + 35, data, 401);
	say(&said, RELAY_FRAME_BATCH, frame, 35 + 401);
	deliver();
	assert_int_equal(world.datagrams, 2);
	assert_int_equal(world.last_size, 401);
	assert_int_equal(world.last_segment, 100);
	assert_memory_equal(world.last, data, 401);
	assert_int_equal(counted(COUNTER_RELAY_IN), 6);
	assert_int_equal(counted(COUNTER_RELAY_BAD), 0);
}

/* A datagram in each of two ways. */
static void datagrams_go(void **state)
{
	connected();
	assert_true(relay_client_send(world.client, world.now, &other, data, 1200, 0));
	hear_one();
	assert_int_equal(heard.opcode, 0x82);
	assert_int_equal(heard.size, 34 + 1200);
	assert_int_equal(heard.payload[0], RELAY_FRAME_SEND);
	assert_memory_equal(heard.payload + 1, other.bytes, 32);
	assert_int_equal(heard.payload[33], 0);
	assert_memory_equal(heard.payload + 34, data, 1200);
	/* Three, as long as the first is as long as the segment. */
	assert_true(relay_client_send(world.client, world.now, &other, data, 2500, 1200));
	hear_one();
	assert_int_equal(heard.size, 36 + 2500);
	assert_int_equal(heard.payload[0], RELAY_FRAME_SEND_BATCH);
	assert_memory_equal(heard.payload + 1, other.bytes, 32);
	assert_memory_equal(heard.payload + 33, "\0\x04\xb0", 3);
	assert_memory_equal(heard.payload + 36, data, 2500);
	/* One that is said to be several. */
	assert_true(relay_client_send(world.client, world.now, &other, data, 1200, 1200));
	hear_one();
	assert_int_equal(heard.payload[0], RELAY_FRAME_SEND);
	assert_int_equal(heard.size, 34 + 1200);
	assert_silent();
	assert_int_equal(counted(COUNTER_RELAY_OUT), 5);
	assert_int_equal(counted(COUNTER_RELAY_DROPPED), 0);
}

static void what_cannot_be_a_datagram_is_dropped(void **state)
{
	connected();
	assert_false(relay_client_send(world.client, world.now, &other, data, 0, 0));
	assert_false(relay_client_send(
		world.client, world.now, &other, data, RELAY_DATAGRAM_MOST + 1, 0));
	assert_int_equal(counted(COUNTER_RELAY_DROPPED), 2);
	assert_false(relay_client_send(world.client, world.now, &other, data,
		3 * RELAY_DATAGRAM_MOST, RELAY_DATAGRAM_MOST + 1));
	assert_int_equal(counted(COUNTER_RELAY_DROPPED), 5);
	assert_silent();
	assert_true(
		relay_client_send(world.client, world.now, &other, data, RELAY_DATAGRAM_MOST, 0));
}

/* More of them than one frame can hold: no frame is too large, and none is cut. */
static void a_long_batch_is_several_frames(void **state)
{
	size_t total = 0, frames = 0, size;

	connected();
	assert_true(relay_client_send(world.client, world.now, &other, data, 150000, 1400));
	while (relay_client_output(world.client, &size)) {
		hear_one();
		assert_true(heard.size <= LIMIT_RELAY_FRAME);
		assert_int_equal(heard.payload[0], RELAY_FRAME_SEND_BATCH);
		assert_memory_equal(heard.payload + 36, data + total, heard.size - 36);
		total += heard.size - 36;
		frames++;
		if (total < 150000)
			assert_int_equal((heard.size - 36) % 1400, 0);
	}
	assert_int_equal(total, 150000);
	assert_int_equal(frames, 3);
	assert_int_equal(counted(COUNTER_RELAY_OUT), 108);
}

/* Nothing is taken from the queue. */
static void the_queue_is_bounded(void **state)
{
	size_t sent = 0, size, used = 0;
	const uint8_t *bytes;

	connected();
	for (int i = 0; i < 1000; i++)
		sent += relay_client_send(world.client, world.now, &other, data, 1200, 0);
	/* 8 bytes of WebSocket, 34 of the relay's. */
	assert_int_equal(sent, LIMIT_RELAY_QUEUE / (1200 + 34 + 8));
	assert_int_equal(counted(COUNTER_RELAY_OUT), sent);
	assert_int_equal(counted(COUNTER_RELAY_DROPPED), 1000 - sent);
	bytes = relay_client_output(world.client, &size);
	assert_true(size <= LIMIT_RELAY_QUEUE);
	/* They are whole. */
	for (size_t i = 0; i < sent; i++) {
		used = frame_heard(bytes, size, &heard);
		assert_int_equal(used, 1200 + 34 + 8);
		bytes += used;
		size -= used;
	}
	assert_int_equal(size, 0);
	/* As much room as is made is used. */
	relay_client_written(world.client, world.now, 5 * used);
	for (int i = 0; i < 10; i++)
		sent += relay_client_send(world.client, world.now, &other, data, 1200, 0);
	assert_int_equal(counted(COUNTER_RELAY_OUT), LIMIT_RELAY_QUEUE / (1200 + 34 + 8) + 5);
	/* And of a batch as much as there is room for. */
	relay_client_written(world.client, world.now, 5 * used);
	assert_false(relay_client_send(world.client, world.now, &other, data, 12000, 1200));
	assert_int_equal(counted(COUNTER_RELAY_OUT), LIMIT_RELAY_QUEUE / (1200 + 34 + 8) + 10);
	assert_int_equal(counted(COUNTER_RELAY_OUT) + counted(COUNTER_RELAY_DROPPED), 1020);
}

/* The dial's own datagrams are not lost: they are sent when it is through, and not before. */
static void early_ones_wait(void **state)
{
	size_t sent = 0;

	want(true);
	assert_true(
		relay_client_send(world.client, world.now, &other, (const uint8_t *)"first", 5, 0));
	assert_silent();
	upgraded();
	assert_true(relay_client_send(
		world.client, world.now, &other, (const uint8_t *)"second", 6, 0));
	assert_silent();
	say(&said, RELAY_FRAME_CHALLENGE, "0123456789abcdef", 16);
	deliver();
	/* Behind the answer, although that has not left. */
	say(&said, RELAY_FRAME_CONFIRMS, NULL, 0);
	deliver();
	hear_one();
	assert_int_equal(heard.payload[0], RELAY_FRAME_AUTH);
	pong();
	hear_one();
	assert_int_equal(heard.payload[0], RELAY_FRAME_SEND);
	assert_memory_equal(heard.payload + 34, "first", 5);
	hear_one();
	assert_memory_equal(heard.payload + 34, "second", 6);
	assert_silent();
	assert_int_equal(counted(COUNTER_RELAY_OUT), 2);
	/* They are bounded, and those that never leave are counted. */
	want(false);
	pass(2 * S);
	want(true);
	for (int i = 0; i < 100; i++)
		sent += relay_client_send(world.client, world.now, &other, data, 1200, 0);
	assert_int_equal(sent, LIMIT_RELAY_QUEUE_OPENING / (1200 + 34 + 8));
	assert_int_equal(counted(COUNTER_RELAY_DROPPED), 100 - sent);
	relay_client_wants_close(world.client);
	assert_true(relay_client_wants_open(world.client));
	relay_client_closed(world.client, world.now, RELAY_UNREACHABLE, "refused");
	assert_int_equal(counted(COUNTER_RELAY_DROPPED), 100);
	assert_false(relay_client_send(world.client, world.now, &other, data, 1200, 0));
	assert_int_equal(counted(COUNTER_RELAY_DROPPED), 101);
}

static void answers_come_from_within(void **state)
{
	uint8_t frame[33 + 1200] = {1};

	connected();
	world.sends_back = true;
	for (int i = 0; i < 50; i++)
		say(&said, RELAY_FRAME_DATAGRAM, frame, sizeof frame);
	deliver();
	assert_int_equal(world.datagrams, 50);
	for (int i = 0; i < 50; i++) {
		hear_one();
		assert_int_equal(heard.payload[0], RELAY_FRAME_SEND);
	}
	assert_silent();
}

/* ---- liveness ---- */

static void pings_go_while_pongs_come(void **state)
{
	uint64_t begin;

	connected();
	begin = world.now;
	for (int i = 1; i <= 10; i++) {
		pass(begin + (uint64_t)i * RELAY_PING_INTERVAL - world.now - 1);
		assert_silent();
		pass(1);
		pong();
		assert_silent();
	}
	assert_state(RELAY_CONNECTED);
	assert_int_equal(counted(COUNTER_RELAY_FAILED), 0);
	/* Idle is idle: between two pings there is nothing to do. */
	assert_int_equal(relay_client_deadline(world.client), world.now + RELAY_PING_INTERVAL);
}

static void a_ping_without_a_pong_is_the_end(void **state)
{
	connected();
	pass(RELAY_PING_INTERVAL);
	hear_one();
	/* Another's. */
	say(&said, RELAY_FRAME_PONG, "notours!", 8);
	deliver();
	pass(RELAY_PONG_LIMIT - 1);
	assert_state(RELAY_CONNECTED);
	pass(1);
	assert_state(RELAY_WAITING);
	assert_trouble(RELAY_SILENT, "");
	assert_true(relay_client_wants_close(world.client));
	assert_false(relay_client_wants_close(world.client));
	assert_int_equal(counted(COUNTER_RELAY_FAILED), 1);
}

/* What is sent and not answered at all is a reason to ask sooner. */
static void what_is_sent_into_silence(void **state)
{
	connected();
	pass(RELAY_QUIET_LIMIT - 1);
	relay_client_send(world.client, world.now, &other, data, 1200, 0);
	take();
	pass(1);
	relay_client_send(world.client, world.now, &other, data, 1200, 0);
	take();
	pass(RELAY_PONG_LIMIT - 1);
	assert_state(RELAY_CONNECTED);
	pass(1);
	assert_trouble(RELAY_SILENT, "");
}

/* A pong behind much else comes late: that is no silence, for a while. */
static void other_bytes_are_life(void **state)
{
	uint8_t frame[64] = {1};
	uint64_t left;

	connected();
	pass(RELAY_PING_INTERVAL);
	hear_one();
	left = world.now;
	while (world.now < left + RELAY_PONG_AT_LAST - S) {
		pass(S);
		say(&said, RELAY_FRAME_DATAGRAM, frame, sizeof frame);
		deliver();
		assert_state(RELAY_CONNECTED);
	}
	pass(S - 1);
	assert_state(RELAY_CONNECTED);
	pass(1);
	assert_trouble(RELAY_SILENT, "");
}

/* The time for the pong begins when the ping has left the queue. */
static void a_slow_stream_is_no_silence(void **state)
{
	connected();
	for (int i = 0; i < 100; i++)
		relay_client_send(world.client, world.now, &other, data, 1200, 0);
	for (uint64_t at = 0; at < 24; at++) {
		pass(S);
		relay_client_written(world.client, world.now, 5000);
		assert_state(RELAY_CONNECTED);
	}
	/* Of 124,200 bytes 120,000 are gone. */
	pass(RELAY_PONG_LIMIT - 1);
	assert_state(RELAY_CONNECTED);
	take();
	pass(RELAY_PONG_LIMIT - 1);
	assert_state(RELAY_CONNECTED);
	pass(1);
	assert_trouble(RELAY_SILENT, "");
}

static void a_stream_that_takes_nothing_is_the_end(void **state)
{
	connected();
	pass(S);
	relay_client_send(world.client, world.now, &other, data, 1200, 0);
	pass(5 * S);
	relay_client_send(world.client, world.now, &other, data, 1200, 0);
	relay_client_written(world.client, world.now, 1);
	pass(RELAY_STALL_LIMIT - 1);
	assert_state(RELAY_CONNECTED);
	pass(1);
	assert_state(RELAY_WAITING);
	assert_trouble(RELAY_STALLED, "");
	assert_true(relay_client_wants_close(world.client));
}

static void pings_are_answered(void **state)
{
	connected();
	say(&said, RELAY_FRAME_PING, "12345678", 8);
	say_frame(&said, 0x89, "proxy", 5);
	deliver();
	hear_one();
	assert_int_equal(heard.opcode, 0x82);
	assert_int_equal(heard.size, 9);
	assert_int_equal(heard.payload[0], RELAY_FRAME_PONG);
	assert_memory_equal(heard.payload + 1, "12345678", 8);
	hear_one();
	assert_int_equal(heard.opcode, 0x8a);
	assert_memory_equal(heard.payload, "proxy", 5);
	assert_silent();
}

/* With a full queue there is room for some answers, and for no flood of them. */
static void a_flood_of_pings_is_bounded(void **state)
{
	size_t size;

	connected();
	for (int i = 0; i < 1000; i++)
		relay_client_send(world.client, world.now, &other, data, 1200, 0);
	for (int i = 0; i < 50000; i++) {
		say(&said, RELAY_FRAME_PING, "12345678", 8);
		say_frame(&said, 0x89, data, 125);
		if (i % 1000 == 0)
			deliver();
	}
	deliver();
	assert_state(RELAY_CONNECTED);
	relay_client_output(world.client, &size);
	assert_true(size <= LIMIT_RELAY_QUEUE + LIMIT_RELAY_QUEUE_CONTROL);
	assert_true(size > LIMIT_RELAY_QUEUE);
	assert_true(counted(COUNTER_RELAY_BAD) > 90000);
	assert_int_equal(relay_client_deadline(world.client), world.now + RELAY_STALL_LIMIT);
}

static void a_flood_of_gones_is_bounded(void **state)
{
	connected();
	for (int i = 0; i < 5000; i++)
		say(&said, RELAY_FRAME_GONE, data, 32);
	deliver();
	assert_int_equal(world.gones, LIMIT_RELAY_GONE);
	assert_memory_equal(world.last_from.bytes, data, 32);
	assert_int_equal(counted(COUNTER_RELAY_BAD), 5000 - LIMIT_RELAY_GONE);
	pass(S);
	say(&said, RELAY_FRAME_GONE, data, 32);
	deliver();
	assert_int_equal(world.gones, LIMIT_RELAY_GONE + 1);
}

/* ---- what the relay says of the connection ---- */

static void statuses_are_told(void **state)
{
	connected();
	say(&said, RELAY_FRAME_STATUS, "\1", 1);
	deliver();
	assert_int_equal(view().status, RELAY_ELSEWHERE);
	say(&said, RELAY_FRAME_STATUS, "\2", 1);
	deliver();
	assert_int_equal(view().status, RELAY_ELSEWHERE);
	say(&said, RELAY_FRAME_STATUS, "\0", 1);
	deliver();
	assert_int_equal(view().status, RELAY_HEALTHY);
	say(&said, RELAY_FRAME_STATUS, "\2", 1);
	deliver();
	assert_int_equal(view().status, RELAY_LIMITED);
	say(&said, RELAY_FRAME_STATUS, "\3", 1);
	deliver();
	assert_int_equal(view().status, RELAY_LIMITED);
	assert_int_equal(counted(COUNTER_RELAY_BAD), 1);
	assert_state(RELAY_CONNECTED);
}

static void a_limit_is_over_some_time(void **state)
{
	connected();
	say(&said, RELAY_FRAME_STATUS, "\2", 1);
	deliver();
	for (uint64_t time = 0; time < RELAY_LIMITED_FOR; time += RELAY_PING_INTERVAL) {
		assert_int_equal(view().status, RELAY_LIMITED);
		pass(RELAY_PING_INTERVAL);
		pong();
	}
	assert_int_equal(view().status, RELAY_HEALTHY);
}

static void a_new_connection_is_healthy(void **state)
{
	connected();
	say(&said, RELAY_FRAME_STATUS, "\1", 1);
	say(&said, RELAY_FRAME_RESTARTING, "\0\0\0\1\0\0\0\2", 8);
	deliver();
	assert_true(view().restarting);
	relay_client_closed(world.client, world.now, RELAY_LOST, "words");
	assert_true(view().restarting);
	assert_string_equal(view().text, "words");
	pass(2 * S);
	shaken();
	assert_string_equal(view().text, "");
	assert_int_equal(view().status, RELAY_HEALTHY);
	assert_false(view().restarting);
}

static void words_of_health_are_printable(void **state)
{
	uint64_t changes;

	connected();
	changes = view().changes;
	say(&said, RELAY_FRAME_HEALTH, "too\nmuch \x1b[2J", 13);
	deliver();
	assert_string_equal(view().text, "too?much ?[2J");
	assert_int_not_equal(view().changes, changes);
	say(&said, RELAY_FRAME_HEALTH, data, 60000);
	deliver();
	assert_int_equal(strlen(view().text), RELAY_TEXT_SIZE - 1);
	say(&said, RELAY_FRAME_HEALTH, "", 0);
	deliver();
	assert_string_equal(view().text, "");
}

static void what_is_no_frame_is_ignored(void **state)
{
	uint8_t frame[40] = {0};

	connected();
	for (unsigned type = 0; type < 256; type++)
		say(&said, (uint8_t)type, frame, type == RELAY_FRAME_HEALTH ? 0 : 3);
	say_frame(&said, 0x82, "", 0);
	say(&said, RELAY_FRAME_BATCH, frame, sizeof frame); /* segment size 0 */
	say(&said, RELAY_FRAME_DATAGRAM, frame, 33);	    /* no datagram */
	say(&said, RELAY_FRAME_CHALLENGE, frame, 16);	    /* late */
	say(&said, RELAY_FRAME_CONFIRMS, frame, 0);
	say(&said, RELAY_FRAME_DENIES, "\2no", 3);
	say_frame(&said, 0x81, "text", 4);
	deliver();
	assert_state(RELAY_CONNECTED);
	assert_silent();
	assert_int_equal(world.datagrams + world.gones, 0);
	/* All types but health, and the six below them. */
	assert_int_equal(counted(COUNTER_RELAY_BAD), 255 + 6);
}

/* ---- ends ---- */

static void check_end(const char *what, enum relay_trouble trouble, const char *text)
{
	if (view().state != RELAY_WAITING || view().trouble != trouble ||
		strcmp(view().text, text) != 0)
		fail_msg("%s: state %d, trouble %d, %s", what, view().state, view().trouble,
			view().text);
	assert_true(relay_client_wants_close(world.client));
	assert_false(relay_client_wants_open(world.client));
	assert_silent();
	said.size = 0;
}

static void answers_that_are_no_upgrade(void **state)
{
	static const struct {
		const char *head;
		enum relay_trouble trouble;
		const char *text;
	} cases[] = {
		{"HTTP/1.1 404 Not Found\r\n\r\n", RELAY_NOT_FOUND, "404"},
		{"HTTP/1.1 400 Bad Request\r\n\r\n", RELAY_BAD_REQUEST, "400"},
		{"HTTP/1.1 401 Unauthorized\r\n\r\n", RELAY_REFUSED, "401"},
		{"HTTP/1.1 403 Forbidden\r\n\r\n", RELAY_REFUSED, "403"},
		{"HTTP/1.1 308 Moved\r\nLocation: https://b.example/\r\n\r\n", RELAY_REDIRECTED,
			"https://b.example/"},
		{"HTTP/1.1 503 Busy\r\n\r\n", RELAY_HTTP, "503"},
		{"HTTP/1.1 200 OK\r\n\r\n", RELAY_HTTP, "200"},
		{"HTTP/1.1 101 Switching\r\n\r\n", RELAY_NO_RELAY, "no upgrade to a WebSocket"},
		{"SSH-2.0-OpenSSH\r\n", RELAY_NO_RELAY, "no HTTP"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		uint64_t refused = counted(COUNTER_RELAY_REFUSED);

		want(false);
		pass(RELAY_WAIT_REFUSED);
		want(true);
		opened();
		relay_client_received(world.client, world.now, (const uint8_t *)cases[i].head,
			strlen(cases[i].head));
		check_end(cases[i].head, cases[i].trouble, cases[i].text);
		assert_int_equal(counted(COUNTER_RELAY_FAILED), i + 1);
		assert_int_equal(counted(COUNTER_RELAY_REFUSED) - refused,
			cases[i].trouble == RELAY_REFUSED);
	}
}

/* Of the 101 itself see test_relay_http.c. */
static void an_answer_to_another_request(void **state)
{
	size_t size;
	char *at;

	want(true);
	opened();
	size = take();
	say_upgrade(&said, taken, size, "iroh-relay-v2");
	said.bytes[said.size] = '\0';
	at = strstr((char *)said.bytes, "sec-websocket-accept: ");
	assert_non_null(at);
	at[22] = at[22] == 'A' ? 'B' : 'A';
	deliver();
	check_end("accept", RELAY_NO_RELAY, "an answer to another request");
}

static void a_head_without_an_end(void **state)
{
	static const char head[] = "HTTP/1.1 101 Switching Protocols\r\n";
	static const char line[] = "x-filler: 0123456789012345678901234567890123456789\r\n";

	want(true);
	opened();
	relay_client_received(world.client, world.now, (const uint8_t *)head, strlen(head));
	for (size_t size = strlen(head); size + strlen(line) < LIMIT_RELAY_HEAD;
		size += strlen(line)) {
		relay_client_received(world.client, world.now, (const uint8_t *)line, strlen(line));
		assert_state(RELAY_UPGRADE);
	}
	relay_client_received(world.client, world.now, (const uint8_t *)line, strlen(line));
	check_end("long head", RELAY_NO_RELAY, "a head without an end");
}

/* And one that is as long as it may be, with much behind it. */
static void a_long_head_in_one_piece(void **state)
{
	uint8_t frame[64] = {1};
	struct said head = {0};
	size_t size;

	want(true);
	opened();
	size = take();
	say_upgrade(&head, taken, size, "iroh-relay-v2");
	/* Its last line and the empty one go behind a filler. */
	memcpy(said.bytes, head.bytes, head.size - 2);
	said.size = head.size - 2;
	memcpy(said.bytes + said.size, "x: ", 3);
	memset(said.bytes + said.size + 3, 'a', LIMIT_RELAY_HEAD - said.size - 7);
	memcpy(said.bytes + LIMIT_RELAY_HEAD - 4, "\r\n\r\n", 4);
	said.size = LIMIT_RELAY_HEAD;
	say(&said, RELAY_FRAME_CHALLENGE, "0123456789abcdef", 16);
	say(&said, RELAY_FRAME_CONFIRMS, NULL, 0);
	for (int i = 0; i < 1000; i++)
		say(&said, RELAY_FRAME_DATAGRAM, frame, sizeof frame);
	deliver();
	assert_state(RELAY_CONNECTED);
	assert_int_equal(world.datagrams, 1000);
}

static void handshakes_that_are_none(void **state)
{
	static const struct {
		const char *what;
		uint8_t type;
		const char *data;
		size_t size;
		enum relay_trouble trouble;
		const char *text;
	} cases[] = {
		{"confirmed at once", RELAY_FRAME_CONFIRMS, "", 0, RELAY_PROTOCOL, "no challenge"},
		{"denied", RELAY_FRAME_DENIES, "\16not authorized", 15, RELAY_DENIED,
			"not authorized"},
		{"denied without words", RELAY_FRAME_DENIES, "\0", 1, RELAY_DENIED, ""},
		{"short challenge", RELAY_FRAME_CHALLENGE, "0123456789abcde", 15, RELAY_PROTOCOL,
			"no handshake"},
		{"ping", RELAY_FRAME_PING, "01234567", 8, RELAY_PROTOCOL, "no handshake"},
		{"datagram", RELAY_FRAME_DATAGRAM, "0123456789abcdef0123456789abcdef\0hello", 38,
			RELAY_PROTOCOL, "no handshake"},
		{"unknown", 99, "", 0, RELAY_PROTOCOL, "no handshake"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		want(false);
		pass(RELAY_WAIT_REFUSED);
		want(true);
		upgraded();
		say(&said, cases[i].type, cases[i].data, cases[i].size);
		deliver();
		check_end(cases[i].what, cases[i].trouble, cases[i].text);
	}
	assert_int_equal(world.datagrams, 0);
	assert_int_equal(counted(COUNTER_RELAY_REFUSED), 2);
	assert_int_equal(counted(COUNTER_RELAY_CONNECTS), 0);
}

static void a_second_challenge(void **state)
{
	want(true);
	upgraded();
	say(&said, RELAY_FRAME_CHALLENGE, "0123456789abcdef", 16);
	say(&said, RELAY_FRAME_CHALLENGE, "0123456789abcdef", 16);
	deliver();
	check_end("two", RELAY_PROTOCOL, "a second challenge");
}

static void broken_frames_are_the_end(void **state)
{
	connected();
	/* What comes after it is not looked at. */
	memcpy(said.bytes, "\x83\0", 2);
	said.size = 2;
	say(&said, RELAY_FRAME_PING, "01234567", 8);
	deliver();
	check_end("reserved type", RELAY_PROTOCOL, "no WebSocket frame");
	pass(2 * S);
	shaken();
	say_frame(&said, 0x82, data, LIMIT_RELAY_FRAME + 1);
	deliver();
	check_end("long frame", RELAY_PROTOCOL, "a frame above 64 KiB");
}

static void a_close_is_the_end(void **state)
{
	connected();
	say_frame(&said, 0x88, "\3\351going\n", 8);
	say(&said, RELAY_FRAME_PING, "01234567", 8);
	deliver();
	check_end("close", RELAY_LOST, "going?");
	pass(2 * S);
	upgraded();
	say_frame(&said, 0x88, "", 0);
	deliver();
	check_end("close", RELAY_LOST, "");
}

static void the_stream_ends(void **state)
{
	want(true);
	assert_true(relay_client_wants_open(world.client));
	relay_client_closed(world.client, world.now, RELAY_CERTIFICATE, "for\ta.example");
	assert_state(RELAY_WAITING);
	assert_trouble(RELAY_CERTIFICATE, "for?a.example");
	/* It is known to be gone. */
	assert_false(relay_client_wants_close(world.client));
	pass(RELAY_WAIT_REFUSED);
	assert_state(RELAY_OPENING);
	upgraded();
	relay_client_closed(world.client, world.now, RELAY_LOST, NULL);
	assert_trouble(RELAY_LOST, "");
	assert_false(relay_client_wants_close(world.client));
	/* Once. */
	relay_client_closed(world.client, world.now, RELAY_TLS, "again");
	assert_trouble(RELAY_LOST, "");
	assert_int_equal(counted(COUNTER_RELAY_FAILED), 2);
}

/* Whoever does not open it, does not answer, or does not go on: the whole has its time. */
static void the_dial_has_a_limit(void **state)
{
	for (int step = 0; step < 4; step++) {
		want(false);
		pass(RELAY_WAIT_REFUSED);
		want(true);
		if (step == 1)
			opened();
		else if (step > 1)
			upgraded();
		if (step == 0)
			assert_true(relay_client_wants_open(world.client));
		if (step == 3) {
			say(&said, RELAY_FRAME_CHALLENGE, "0123456789abcdef", 16);
			deliver();
		}
		/* Bytes do not prolong it. */
		pass(RELAY_DIAL_LIMIT - S);
		say_frame(&said, 0x81, "text", 4);
		if (step > 1)
			deliver();
		said.size = 0;
		pass(S - 1);
		assert_true(view().state != RELAY_WAITING);
		pass(1);
		check_end("dial", RELAY_TIMEOUT, "");
	}
	/* One that nobody has heard of is not dropped. */
	want(false);
	pass(RELAY_WAIT_REFUSED);
	want(true);
	pass(RELAY_DIAL_LIMIT);
	assert_state(RELAY_WAITING);
	assert_false(relay_client_wants_close(world.client));
	assert_false(relay_client_wants_open(world.client));
}

/* ---- tries ---- */

/* How long after a failure the next try begins. */
static uint64_t next_try(enum relay_trouble trouble)
{
	uint64_t begin = world.now;

	assert_true(relay_client_wants_open(world.client));
	relay_client_closed(world.client, world.now, trouble, NULL);
	assert_state(RELAY_WAITING);
	while (view().state == RELAY_WAITING)
		pass(MS);
	return world.now - begin;
}

static void tries_become_rare(void **state)
{
	want(true);
	for (int i = 0; i < 20; i++) {
		uint64_t wait = next_try(RELAY_UNREACHABLE);

		/* 10 ms doubled, but a second at least; from the tenth on 4 s, jittered. */
		assert_true(wait >= RELAY_WAIT_APART);
		assert_true(wait <= RELAY_WAIT_MOST + MS);
		if (i < 7)
			assert_true(wait <= RELAY_WAIT_APART + MS);
		if (i > 10)
			assert_true(wait >= RELAY_WAIT_MOST / 2);
	}
}

/* Jittered: two that have lost the same relay do not come back together. */
static void tries_are_jittered(void **state)
{
	uint64_t least = NEVER, most = 0;

	want(true);
	for (int i = 0; i < 40; i++) {
		uint64_t wait = next_try(RELAY_UNREACHABLE);

		if (i < 10)
			continue;
		least = wait < least ? wait : least;
		most = wait > most ? wait : most;
	}
	assert_true(most - least > S);
}

static void a_refusal_is_tried_later(void **state)
{
	static const enum relay_trouble troubles[] = {RELAY_CERTIFICATE, RELAY_NOT_PUBLIC};

	want(true);
	for (size_t i = 0; i < sizeof troubles / sizeof *troubles; i++) {
		uint64_t wait = next_try(troubles[i]);

		assert_true(wait >= RELAY_WAIT_REFUSED / 2);
		assert_true(wait <= RELAY_WAIT_REFUSED + MS);
	}
	/* Not even if it is wanted anew; that it was refused is forgotten. */
	assert_true(relay_client_wants_open(world.client));
	relay_client_closed(world.client, world.now, RELAY_CERTIFICATE, NULL);
	want(false);
	assert_int_equal(relay_client_deadline(world.client), NEVER);
	want(true);
	assert_state(RELAY_WAITING);
	assert_int_equal(view().trouble, RELAY_NO_TROUBLE);
	pass(RELAY_WAIT_REFUSED / 2 - 1);
	assert_state(RELAY_WAITING);
	pass(RELAY_WAIT_REFUSED / 2 + 1);
	assert_state(RELAY_OPENING);
}

/* A pong makes the next try a quick one, and only a pong. */
static void a_pong_makes_tries_quick(void **state)
{
	want(true);
	for (int i = 0; i < 12; i++)
		next_try(RELAY_UNREACHABLE);
	shaken();
	pass(3 * S);
	relay_client_closed(world.client, world.now, RELAY_LOST, NULL);
	pass(RELAY_WAIT_MOST / 2 - 1);
	assert_state(RELAY_WAITING);
	assert_trouble(RELAY_LOST, "");
	pass(RELAY_WAIT_MOST / 2 + 1);
	shaken();
	assert_int_equal(view().trouble, RELAY_LOST);
	pong();
	assert_int_equal(view().trouble, RELAY_NO_TROUBLE);
	pass(3 * S);
	relay_client_closed(world.client, world.now, RELAY_LOST, NULL);
	assert_state(RELAY_WAITING);
	pass(RELAY_WAIT_LEAST);
	assert_state(RELAY_OPENING);
}

/* One that lets us in, answers, and closes, over and over: a try a second. */
static void a_relay_that_closes_at_once(void **state)
{
	uint64_t begin = world.now;

	want(true);
	for (int i = 0; i < 100; i++) {
		shaken();
		pong();
		relay_client_closed(world.client, world.now, RELAY_LOST, NULL);
		while (view().state == RELAY_WAITING)
			pass(MS);
	}
	assert_true(world.now - begin >= 100 * RELAY_WAIT_APART);
}

static void not_wanted_any_more(void **state)
{
	connected();
	relay_client_send(world.client, world.now, &other, data, 1200, 0);
	want(false);
	assert_state(RELAY_IDLE);
	assert_true(relay_client_wants_close(world.client));
	assert_silent();
	assert_int_equal(relay_client_deadline(world.client), NEVER);
	assert_int_equal(counted(COUNTER_RELAY_FAILED), 0);
	/* What still comes of the old stream is nothing. */
	relay_client_received(world.client, world.now, data, 100);
	relay_client_closed(world.client, world.now, RELAY_LOST, NULL);
	assert_state(RELAY_IDLE);
	/* And wanted again: not within a second of the last try. */
	want(true);
	assert_state(RELAY_WAITING);
	pass(RELAY_WAIT_APART);
	shaken();
	pong();
	pass(2 * S);
	want(false);
	want(true);
	assert_state(RELAY_OPENING);
	/* The old one is dropped before the new one is opened. */
	assert_true(relay_client_wants_close(world.client));
	shaken();
	/* Nobody has heard of the stream yet. */
	relay_client_closed(world.client, world.now, RELAY_LOST, NULL);
	pass(5 * S);
	assert_state(RELAY_OPENING);
	relay_client_opened(world.client, world.now);
	relay_client_closed(world.client, world.now, RELAY_LOST, NULL);
	assert_state(RELAY_OPENING);
	want(false);
	assert_false(relay_client_wants_open(world.client));
	assert_false(relay_client_wants_close(world.client));
}

/* ---- memory ---- */

/* Everything once: whatever allocation fails, nothing leaks, and it works when there is memory
 * again. */
static void whole_life(void)
{
	uint8_t frame[33 + 1200] = {1};
	size_t size;

	want(true);
	relay_client_send(world.client, world.now, &other, data, 1200, 0);
	if (relay_client_wants_open(world.client))
		relay_client_opened(world.client, world.now);
	if (view().state == RELAY_UPGRADE) {
		size = take();
		say_upgrade(&said, taken, size, "iroh-relay-v2");
		deliver();
	}
	say(&said, RELAY_FRAME_CHALLENGE, "0123456789abcdef", 16);
	say(&said, RELAY_FRAME_CONFIRMS, NULL, 0);
	say(&said, RELAY_FRAME_DATAGRAM, frame, sizeof frame);
	say(&said, RELAY_FRAME_PING, "01234567", 8);
	deliver();
	for (int i = 0; i < 50; i++)
		relay_client_send(world.client, world.now, &other, data, 12000, 1200);
	take();
	pass(RELAY_PING_INTERVAL + RELAY_PONG_LIMIT);
	relay_client_wants_close(world.client);
}

static void any_allocation_may_fail(void **state)
{
	relay_client_free(world.client);
	world.client = NULL;
	for (size_t n = 1;; n++) {
		struct relay_client_config with = config("token");
		bool failed;

		heap_begin();
		heap_fail(n, false);
		if (relay_client_new(&with, &world.client) == 0) {
			whole_life();
			failed = heap_has_failed();
			heap_fail(0, false);
			want(false);
			relay_client_wants_close(world.client);
			pass(RELAY_WAIT_REFUSED);
			want(true);
			shaken();
			pong();
			relay_client_free(world.client);
		} else {
			failed = true;
			assert_int_equal(n, 1);
		}
		world.client = NULL;
		said.size = 0;
		heap_end();
		if (!failed) {
			assert_true(n > 6);
			return;
		}
	}
}

/* After a burst the memory is given back. */
static void memory_is_given_back(void **state)
{
	struct relay_client_config with = config(NULL);

	relay_client_free(world.client);
	heap_begin();
	assert_int_equal(relay_client_new(&with, &world.client), 0);
	connected();
	pass(RELAY_PING_INTERVAL);
	pong();
	for (int i = 0; i < 1000; i++)
		relay_client_send(world.client, world.now, &other, data, 1200, 0);
	assert_true(heap_largest() <= 4 * LIMIT_RELAY_QUEUE);
	take();
	pass(RELAY_PING_INTERVAL);
	hear_one();
	/* What was enough for much more is not there any longer. */
	heap_fail(1, false);
	assert_false(relay_client_send(world.client, world.now, &other, data, 12000, 1200));
	assert_true(heap_has_failed());
	assert_true(relay_client_send(world.client, world.now, &other, data, 12000, 1200));
	want(false);
	/* The client itself. */
	assert_int_equal(heap_blocks(), 1);
	relay_client_free(world.client);
	world.client = NULL;
	heap_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(nothing_is_wanted_at_first),
		TEST(the_handshake_is_the_relays),
		TEST(in_any_slices),
		TEST(a_token_is_told),
		TEST(datagrams_come),
		TEST(datagrams_go),
		TEST(what_cannot_be_a_datagram_is_dropped),
		TEST(a_long_batch_is_several_frames),
		TEST(the_queue_is_bounded),
		TEST(early_ones_wait),
		TEST(answers_come_from_within),
		TEST(pings_go_while_pongs_come),
		TEST(a_ping_without_a_pong_is_the_end),
		TEST(what_is_sent_into_silence),
		TEST(other_bytes_are_life),
		TEST(a_slow_stream_is_no_silence),
		TEST(a_stream_that_takes_nothing_is_the_end),
		TEST(pings_are_answered),
		TEST(a_flood_of_pings_is_bounded),
		TEST(a_flood_of_gones_is_bounded),
		TEST(statuses_are_told),
		TEST(a_limit_is_over_some_time),
		TEST(a_new_connection_is_healthy),
		TEST(words_of_health_are_printable),
		TEST(what_is_no_frame_is_ignored),
		TEST(answers_that_are_no_upgrade),
		TEST(an_answer_to_another_request),
		TEST(a_head_without_an_end),
		TEST(a_long_head_in_one_piece),
		TEST(handshakes_that_are_none),
		TEST(a_second_challenge),
		TEST(broken_frames_are_the_end),
		TEST(a_close_is_the_end),
		TEST(the_stream_ends),
		TEST(the_dial_has_a_limit),
		TEST(tries_become_rare),
		TEST(tries_are_jittered),
		TEST(a_refusal_is_tried_later),
		TEST(a_pong_makes_tries_quick),
		TEST(a_relay_that_closes_at_once),
		TEST(not_wanted_any_more),
		TEST(any_allocation_may_fail),
		TEST(memory_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
