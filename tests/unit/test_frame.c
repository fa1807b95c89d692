/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/gossip/frame.h"
#include "support_heap.h"

/* Bodies of 0, 1, 2, ... bytes, of which byte i is body + i. */
static size_t fill(uint8_t *stream, size_t bodies)
{
	size_t size = 0;

	for (size_t body = 0; body < bodies; body++) {
		memset(stream + size, 0, 3);
		stream[size + 3] = (uint8_t)body;
		size += 4;
		for (size_t i = 0; i < body; i++)
			stream[size++] = (uint8_t)(body + i);
	}
	return size;
}

static void slices_of_any_size_yield_the_bodies(void **state)
{
	uint8_t stream[400];
	size_t size = fill(stream, 20);

	for (size_t slice = 1; slice <= size; slice++) {
		struct frame_reader reader;
		size_t seen = 0;

		heap_begin();
		frame_reader_init(&reader);
		for (size_t at = 0; at < size; at += slice) {
			size_t left = size - at < slice ? size - at : slice;
			/* On its own, so that ASan sees a read beyond it. */
			uint8_t *copy = malloc(left);
			const uint8_t *data = copy, *body;
			size_t body_size;

			assert_non_null(copy);
			memcpy(copy, stream + at, left);
			while (frame_reader_next(&reader, &data, &left, &body, &body_size)) {
				assert_int_equal(body_size, seen);
				assert_non_null(body);
				for (size_t i = 0; i < body_size; i++)
					assert_int_equal(body[i], seen + i);
				seen++;
			}
			assert_int_equal(left, 0);
			free(copy);
		}
		assert_int_equal(seen, 20);
		assert_true(frame_reader_is_between(&reader));
		frame_reader_clear(&reader);
		heap_end();
	}
}

static void a_whole_body_is_not_copied(void **state)
{
	const uint8_t stream[] = {0, 0, 0, 2, 7, 8, 0, 0, 0, 0};
	const uint8_t *data = stream, *body;
	size_t size = sizeof stream, body_size;
	struct frame_reader reader;

	heap_begin();
	heap_fail(1, true);
	frame_reader_init(&reader);
	assert_int_equal(frame_reader_next(&reader, &data, &size, &body, &body_size), 1);
	assert_ptr_equal(body, stream + 4);
	assert_int_equal(body_size, 2);
	assert_int_equal(frame_reader_next(&reader, &data, &size, &body, &body_size), 1);
	assert_int_equal(body_size, 0);
	assert_int_equal(frame_reader_next(&reader, &data, &size, &body, &body_size), 0);
	frame_reader_clear(&reader);
	heap_end();
}

/* Whoever announces the largest body and sends a little of it costs us a little. */
static void a_body_is_held_as_it_comes(void **state)
{
	static uint8_t stream[4 + LIMIT_FRAME] = {0, 0, LIMIT_FRAME >> 8, 0};
	const uint8_t *data = stream, *body;
	size_t size = 5, body_size, came = 1, grew = 0, room;
	struct frame_reader reader;

	heap_begin();
	frame_reader_init(&reader);
	assert_int_equal(frame_reader_next(&reader, &data, &size, &body, &body_size), 0);
	assert_int_equal(reader.room, 1);
	do {
		room = reader.room;
		size = 1;
		if (frame_reader_next(&reader, &data, &size, &body, &body_size) == 1)
			break;
		came++;
		assert_true(reader.room >= came && reader.room < 2 * came);
		grew += reader.room != room;
	} while (came < LIMIT_FRAME);
	assert_int_equal(body_size, LIMIT_FRAME);
	assert_int_equal(came, LIMIT_FRAME - 1);
	assert_int_equal(grew, 12); /* to 2, 4, 8, ... 4096 */
	frame_reader_clear(&reader);
	heap_end();
}

static void ends_within_a_frame_are_seen(void **state)
{
	const uint8_t stream[] = {0, 0, 0, 2, 7, 8};

	for (size_t cut = 0; cut <= sizeof stream; cut++) {
		const uint8_t *data = stream, *body;
		size_t size = cut, body_size;
		struct frame_reader reader;

		frame_reader_init(&reader);
		while (frame_reader_next(&reader, &data, &size, &body, &body_size) == 1)
			;
		assert_int_equal(frame_reader_is_between(&reader), cut == 0 || cut == 6);
		frame_reader_clear(&reader);
	}
}

static void the_limit_is_upstreams(void **state)
{
	uint8_t stream[4 + LIMIT_FRAME] = {0, 0, LIMIT_FRAME >> 8, LIMIT_FRAME & 255};
	const uint8_t *data = stream, *body;
	size_t size = sizeof stream, body_size;
	struct frame_reader reader;

	/* Read: 4096, not 4097. */
	frame_reader_init(&reader);
	assert_int_equal(frame_reader_next(&reader, &data, &size, &body, &body_size), 1);
	assert_int_equal(body_size, LIMIT_FRAME);
	stream[3]++;
	data = stream;
	size = sizeof stream;
	assert_int_equal(
		frame_reader_next(&reader, &data, &size, &body, &body_size), ERROR_TOO_LARGE);
	frame_reader_clear(&reader);
	memset(stream, 0xff, 4);
	data = stream;
	size = sizeof stream;
	assert_int_equal(
		frame_reader_next(&reader, &data, &size, &body, &body_size), ERROR_TOO_LARGE);
	frame_reader_clear(&reader);
}

static void no_memory_ends_the_stream(void **state)
{
	const uint8_t stream[] = {0, 0, 0, 2, 7};
	const uint8_t *data = stream, *body;
	size_t size = sizeof stream, body_size;
	struct frame_reader reader;

	heap_begin();
	heap_fail(1, false);
	frame_reader_init(&reader);
	assert_int_equal(frame_reader_next(&reader, &data, &size, &body, &body_size), ERROR_NOMEM);
	frame_reader_clear(&reader);
	heap_end();
}

static void the_header_is_the_topic(void **state)
{
	struct id topic = {{1, 2, 3}}, back;
	struct frame *frame;

	heap_begin();
	assert_int_equal(frame_encode_header(&topic, &frame), 0);
	assert_int_equal(frame_size(frame), 36);
	assert_memory_equal(frame->head, "\0\0\0\x20\1\2\3", 7);
	assert_int_equal(frame_decode_header(frame->head + 4, 32, &back), 0);
	assert_true(id_equal(&topic, &back));
	assert_int_equal(frame_decode_header(frame->head + 4, 31, &back), ERROR_TRUNCATED);
	frame_free(frame);
	heap_end();
}

/* Content of 4057 bytes is the most, at rounds that take one byte; one that is on its
 * way since long has less room. */
static void content_that_fits(void **state)
{
	static const struct {
		size_t size;
		uint16_t round;
		bool fits;
	} cases[] = {{0, 0, true}, {4057, 0, true}, {4057, 127, true}, {4057, 128, false},
		{4056, 128, true}, {4056, 16383, true}, {4056, 16384, false}, {4055, 65535, true},
		{4058, 0, false}, {SIZE_MAX, 0, false}};
	static uint8_t content[LIMIT_FRAME];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct message *message;
		struct frame *frame;
		struct wire_message decoded;
		static uint8_t body[LIMIT_FRAME];
		int error;

		assert_int_equal(frame_fits(cases[i].size, cases[i].round), cases[i].fits);
		if (cases[i].size > sizeof content)
			continue;
		message = message_new(content, cases[i].size);
		error = frame_encode_gossip(message, WIRE_SWARM, cases[i].round, &frame);
		assert_int_equal(error, cases[i].fits ? 0 : ERROR_TOO_LARGE);
		if (!error) {
			assert_true(frame_size(frame) < 4 + LIMIT_FRAME);
			assert_true(frame->head_size <= FRAME_HEAD_SIZE);
			assert_true(frame->droppable);
			assert_ptr_equal(frame->body, message);
			memcpy(body, frame->head + 4, frame->head_size - 4);
			memcpy(body + frame->head_size - 4, message->content, message->size);
			memcpy(body + frame->head_size - 4 + message->size, frame->tail,
				frame->tail_size);
			assert_int_equal(wire_decode(body, frame_size(frame) - 4, &decoded), 0);
			assert_int_equal(decoded.gossip.round, cases[i].round);
			assert_int_equal(decoded.gossip.size, message->size);
			frame_free(frame);
		}
		message_unref(message);
	}
}

static void a_control_frame_has_the_same_limit(void **state)
{
	static uint8_t data[LIMIT_FRAME];
	struct wire_message message;
	struct frame *frame;

	message.type = WIRE_JOIN;
	message.join.data = (struct wire_data){data, LIMIT_FRAME - 1 - 5};
	assert_int_equal(frame_encode(&message, &frame), 0);
	assert_int_equal(frame_size(frame), 4 + LIMIT_FRAME - 1);
	assert_false(frame->droppable);
	frame_free(frame);
	message.join.data.size++;
	assert_int_equal(frame_encode(&message, &frame), ERROR_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slices_of_any_size_yield_the_bodies),
		cmocka_unit_test(a_whole_body_is_not_copied),
		cmocka_unit_test(a_body_is_held_as_it_comes),
		cmocka_unit_test(ends_within_a_frame_are_seen),
		cmocka_unit_test(the_limit_is_upstreams),
		cmocka_unit_test(no_memory_ends_the_stream),
		cmocka_unit_test(the_header_is_the_topic),
		cmocka_unit_test(content_that_fits),
		cmocka_unit_test(a_control_frame_has_the_same_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
