/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/relay/websocket.h"
#include "support_heap.h"
#include "support_relay.h"

static uint64_t seed;
static struct random source;
static struct websocket *websocket;
static struct said said;
static struct heard heard;
static uint8_t data[3 * LIMIT_RELAY_FRAME];

static int setup(void **state)
{
	seed = 7;
	source = random_seeded(&seed);
	said.size = 0;
	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 7 + i / 251);
	return websocket_new(&source, &websocket);
}

static int teardown(void **state)
{
	websocket_free(websocket);
	return 0;
}

/* What comes out of said, fed in slices: one character for each message, then the sum of their
 * bytes; and the error. */
static char story[256];
static uint64_t sum;

static int read_all(size_t slice)
{
	size_t length = 0;

	sum = 0;
	for (size_t at = 0; at < said.size; at += slice) {
		size_t size = said.size - at < slice ? said.size - at : slice;
		/* Of their own, and gone afterwards. */
		uint8_t *copy = malloc(size);
		struct websocket_message message;
		int error;

		assert_non_null(copy);
		memcpy(copy, said.bytes + at, size);
		websocket_feed(websocket, copy, size);
		while (!(error = websocket_next(websocket, &message)) &&
			message.type != WEBSOCKET_NOTHING) {
			assert_true(length < sizeof story - 1);
			story[length++] = "-bpc"[message.type];
			for (size_t i = 0; i < message.size; i++)
				sum = sum * 31 + message.data[i];
		}
		story[length] = '\0';
		free(copy);
		if (error)
			return error;
	}
	return 0;
}

static int read_said(size_t slice)
{
	websocket_free(websocket);
	assert_int_equal(websocket_new(&source, &websocket), 0);
	story[0] = '\0';
	return read_all(slice);
}

static uint64_t sum_of(const void *bytes, size_t size, uint64_t before)
{
	for (size_t i = 0; i < size; i++)
		before = before * 31 + ((const uint8_t *)bytes)[i];
	return before;
}

static const size_t slices[] = {1, 2, 3, 7, 4095, 4096, 4097, SERVED_ROOM};
#define SLICES (sizeof slices / sizeof *slices)

static void messages_of_all_sizes(void **state)
{
	static const size_t sizes[] = {0, 1, 125, 126, 127, 4090, 65535, 65536};
	uint64_t expected = 0;

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		say_frame(&said, 0x82, data, sizes[i]);
		expected = sum_of(data, sizes[i], expected);
	}
	for (size_t i = 0; i < SLICES; i++) {
		assert_int_equal(read_said(slices[i]), 0);
		assert_string_equal(story, "bbbbbbbb");
		assert_int_equal(sum, expected);
	}
}

static void fragments_are_put_together(void **state)
{
	uint64_t expected = sum_of(data, 300, 0);

	say_frame(&said, 0x02, data, 100);
	say_frame(&said, 0x89, "ping", 4);
	say_frame(&said, 0x00, data + 100, 0);
	say_frame(&said, 0x00, data + 100, 150);
	say_frame(&said, 0x8a, "pong", 4);
	say_frame(&said, 0x80, data + 250, 50);
	say_frame(&said, 0x02, "", 0);
	say_frame(&said, 0x80, "", 0);
	say_frame(&said, 0x82, "x", 1);
	expected = sum_of("x", 1, sum_of(data, 300, sum_of("ping", 4, 0)));
	for (size_t i = 0; i < SLICES; i++) {
		assert_int_equal(read_said(slices[i]), 0);
		assert_string_equal(story, "pbbb");
		assert_int_equal(sum, expected);
	}
}

static void texts_and_pongs_are_skipped(void **state)
{
	say_frame(&said, 0x81, "text", 4);
	say_frame(&said, 0x01, data, 1000);
	say_frame(&said, 0x89, "", 0);
	say_frame(&said, 0x80, data, 60000);
	say_frame(&said, 0x8a, "", 0);
	say_frame(&said, 0x81, "", 0);
	say_frame(&said, 0x82, "b", 1);
	for (size_t i = 0; i < SLICES; i++) {
		assert_int_equal(read_said(slices[i]), 0);
		assert_string_equal(story, "pb");
		assert_int_equal(sum, 'b');
	}
}

static void closes_are_told(void **state)
{
	struct websocket_message message;

	say_frame(&said, 0x88, "\3\351bye", 5);
	say_frame(&said, 0x88, "", 0);
	websocket_feed(websocket, said.bytes, said.size);
	assert_int_equal(websocket_next(websocket, &message), 0);
	assert_int_equal(message.type, WEBSOCKET_CLOSE);
	assert_int_equal(message.size, 5);
	assert_memory_equal(message.data, "\3\351bye", 5);
	assert_int_equal(websocket_next(websocket, &message), 0);
	assert_int_equal(message.type, WEBSOCKET_CLOSE);
	assert_int_equal(message.size, 0);
}

static void check_error(int error, const char *before)
{
	struct websocket_message message;

	for (size_t i = 0; i < SLICES; i++) {
		assert_int_equal(read_said(slices[i]), error);
		assert_string_equal(story, before);
		/* For good. */
		websocket_feed(websocket, (const uint8_t *)"\x82\0", 2);
		assert_int_equal(websocket_next(websocket, &message), error);
	}
	said.size = 0;
}

static void what_is_too_large_is_an_error(void **state)
{
	say_frame(&said, 0x82, "x", 1);
	say_frame(&said, 0x82, data, 65537);
	check_error(ERROR_TOO_LARGE, "b");
	/* As soon as it is said, not when it has come. */
	memcpy(said.bytes, "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10);
	said.size = 11;
	check_error(ERROR_TOO_LARGE, "");
	say_frame(&said, 0x02, data, 65536);
	say_frame(&said, 0x00, data, 0);
	say_frame(&said, 0x80, data, 1);
	check_error(ERROR_TOO_LARGE, "");
	say_frame(&said, 0x81, data, 65537);
	check_error(ERROR_TOO_LARGE, "");
	say_frame(&said, 0x01, data, 40000);
	say_frame(&said, 0x80, data, 40000);
	check_error(ERROR_TOO_LARGE, "");
}

static void what_no_server_sends_is_an_error(void **state)
{
	static const struct {
		const char *bytes;
		size_t size;
	} cases[] = {
		{"\x82\x81\1\2\3\4a", 7}, /* masked */
		{"\xc2\1a", 3},		  /* reserved bits */
		{"\xa2\1a", 3},
		{"\x92\1a", 3},
		{"\x83\1a", 3}, /* reserved types */
		{"\x87\1a", 3},
		{"\x8b\1a", 3},
		{"\x8f\1a", 3},
		{"\x80\1a", 3}, /* nothing to go on with */
		{"\x00\1a", 3},
		{"\x02\1a\x82\1b", 6}, /* a message within another */
		{"\x02\1a\x81\1b", 6},
		{"\x01\1a\x82\1b", 6},
		{"\x09\1a", 3}, /* a ping in fragments */
		{"\x08\0", 2},
		{"\x89\x7e\0\x7e", 4}, /* a long ping */
		{"\x82\x7e\0\x7d", 4}, /* longer than it has to be */
		{"\x82\x7f\0\0\0\0\0\0\xff\xff", 10},
		{"\x82\x7f\x80\0\0\0\0\0\0\0", 10}, /* 63 bits */
		{"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		memcpy(said.bytes, cases[i].bytes, cases[i].size);
		said.size = cases[i].size;
		/* wslay looks at some of it only when more has come. */
		memset(said.bytes + said.size, 0, 8);
		said.size += 8;
		check_error(ERROR_INVALID, "");
	}
}

static void written_frames_are_masked(void **state)
{
	static const size_t sizes[] = {1, 89, 90, 125, 126, 4096, 65535, 65536, 70000};
	struct queue queue = {0};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		size_t size = sizes[i], room = websocket_frame_size(36 + size);

		assert_int_equal(websocket_write(websocket, &queue, room, WEBSOCKET_BINARY, data,
					 36, data + 36, size),
			0);
		assert_int_equal(queue.size, room);
		assert_int_equal(frame_heard(queue_view(&queue), queue.size, &heard), room);
		assert_int_equal(heard.opcode, 0x82);
		assert_int_equal(heard.size, 36 + size);
		assert_memory_equal(heard.payload, data, heard.size);
		/* It is another mask each time, and never none. */
		assert_memory_not_equal(queue_view(&queue) + room - size, data + 36, size);
		queue_take(&queue, room);
	}
	queue_clear(&queue);
}

static void controls_are_written(void **state)
{
	struct queue queue = {0};
	size_t used;

	assert_int_equal(
		websocket_write(websocket, &queue, 100, WEBSOCKET_PONG, NULL, 0, NULL, 0), 0);
	assert_int_equal(
		websocket_write(websocket, &queue, 100, WEBSOCKET_PONG, NULL, 0, "abc", 3), 0);
	assert_int_equal(
		websocket_write(websocket, &queue, 100, WEBSOCKET_CLOSE, "\3\350", 2, NULL, 0), 0);
	used = frame_heard(queue_view(&queue), queue.size, &heard);
	assert_int_equal(used, 6);
	assert_int_equal(heard.opcode, 0x8a);
	assert_int_equal(heard.size, 0);
	queue_take(&queue, used);
	used = frame_heard(queue_view(&queue), queue.size, &heard);
	assert_int_equal(heard.opcode, 0x8a);
	assert_int_equal(heard.size, 3);
	assert_memory_equal(heard.payload, "abc", 3);
	queue_take(&queue, used);
	used = frame_heard(queue_view(&queue), queue.size, &heard);
	assert_int_equal(heard.opcode, 0x88);
	assert_memory_equal(heard.payload, "\3\350", 2);
	queue_take(&queue, used);
	assert_int_equal(queue.size, 0);
	queue_clear(&queue);
}

static void a_full_queue_takes_nothing_of_it(void **state)
{
	struct queue queue = {0};

	assert_int_equal(
		websocket_write(websocket, &queue, 20, WEBSOCKET_BINARY, NULL, 0, data, 10), 0);
	assert_int_equal(queue.size, 16);
	assert_int_equal(websocket_write(websocket, &queue, 20, WEBSOCKET_BINARY, NULL, 0, data, 0),
		ERROR_FULL);
	assert_int_equal(queue.size, 16);
	assert_int_equal(
		websocket_write(websocket, &queue, 22, WEBSOCKET_BINARY, NULL, 0, data, 0), 0);
	assert_int_equal(queue.size, 22);
	queue_clear(&queue);
}

static void without_memory(void **state)
{
	struct websocket *other;
	struct queue queue = {0};

	heap_begin();
	heap_fail(1, false);
	assert_int_equal(websocket_new(&source, &other), ERROR_NOMEM);
	heap_fail(1, false);
	assert_int_equal(
		websocket_write(websocket, &queue, 100, WEBSOCKET_BINARY, NULL, 0, data, 10),
		ERROR_NOMEM);
	assert_int_equal(queue.size, 0);
	assert_int_equal(
		websocket_write(websocket, &queue, 100, WEBSOCKET_BINARY, NULL, 0, data, 10), 0);
	assert_int_equal(frame_heard(queue_view(&queue), queue.size, &heard), 16);
	assert_memory_equal(heard.payload, data, 10);
	queue_clear(&queue);
	heap_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(messages_of_all_sizes),
		TEST(fragments_are_put_together),
		TEST(texts_and_pongs_are_skipped),
		TEST(closes_are_told),
		TEST(what_is_too_large_is_an_error),
		TEST(what_no_server_sends_is_an_error),
		TEST(written_frames_are_masked),
		TEST(controls_are_written),
		TEST(a_full_queue_takes_nothing_of_it),
		TEST(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
