/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"
#include "bridge/message.h"
#include "support_heap.h"

static void references_are_counted(void **state)
{
	struct message *message;

	heap_begin();
	message = message_new("hello", 5);
	assert_non_null(message);
	assert_int_equal(message->size, 5);
	assert_memory_equal(message->content, "hello", 5);
	assert_ptr_equal(message_ref(message), message);
	message_unref(message);
	assert_int_equal(heap_blocks(), 1);
	message_unref(message);
	message_unref(NULL);
	heap_end();
}

static void the_id_is_the_hash(void **state)
{
	struct message *message = message_new("hello", 5);
	char hex[ID_HEX_SIZE + 1];

	assert_false(message->hashed);
	assert_string_equal(hex_encode(message_id(message), ID_SIZE, hex),
		"ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f");
	assert_true(message->hashed);
	assert_ptr_equal(message_id(message), &message->id);
	message_unref(message);
}

static void a_frame_shares_its_message(void **state)
{
	struct message *message;
	struct frame *frame;

	heap_begin();
	message = message_new("hello", 5);
	frame = frame_new(10);
	assert_int_equal(frame->head_size, 10);
	assert_int_equal(frame_size(frame), 10);
	assert_false(frame->droppable);
	assert_null(frame->next);
	memset(frame->head, 0, FRAME_HEAD_SIZE);
	frame->body = message_ref(message);
	frame->tail_size = 2;
	assert_int_equal(frame_size(frame), 17);
	message_unref(message);
	assert_int_equal(heap_blocks(), 2);
	frame_free(frame);
	frame_free(NULL);
	frame = frame_new(1000);
	memset(frame->head, 0, 1000);
	frame_free(frame);
	heap_end();
}

static void no_memory_is_null(void **state)
{
	heap_begin();
	heap_fail(1, true);
	assert_null(message_new("hello", 5));
	assert_null(frame_new(1));
	heap_end();
	assert_null(message_new("", SIZE_MAX));
	assert_null(frame_new(SIZE_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(references_are_counted),
		cmocka_unit_test(the_id_is_the_hash),
		cmocka_unit_test(a_frame_shares_its_message),
		cmocka_unit_test(no_memory_is_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
