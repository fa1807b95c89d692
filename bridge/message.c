/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "message.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#include <blake3.h>

#include "memory.h"

struct message *message_new(const void *content, size_t size)
{
	struct message *message;

	if (size > SIZE_MAX - sizeof *message)
		return NULL;
	message = memory_alloc(sizeof *message + size);
	if (!message)
		return NULL;
	atomic_init(&message->references, 1);
	message->hashed = false;
	message->paced = false;
	message->size = size;
	if (size)
		memcpy(message->content, content, size);
	return message;
}

struct message *message_ref(struct message *message)
{
	atomic_fetch_add_explicit(&message->references, 1, memory_order_relaxed);
	return message;
}

void message_unref(struct message *message)
{
	uint32_t before;

	if (!message)
		return;
	/* The thread that frees the message must see all that the other holders did with it. */
	before = atomic_fetch_sub_explicit(&message->references, 1, memory_order_acq_rel);
	assert(before > 0);
	if (before == 1)
		memory_free(message);
}

const struct id *message_id(struct message *message)
{
	blake3_hasher hasher;

	if (!message->hashed) {
		blake3_hasher_init(&hasher);
		blake3_hasher_update(&hasher, message->content, message->size);
		blake3_hasher_finalize(&hasher, message->id.bytes, ID_SIZE);
		message->hashed = true;
	}
	return &message->id;
}

struct frame *frame_new(size_t head_size)
{
	struct frame *frame;
	size_t room = head_size < FRAME_HEAD_SIZE ? FRAME_HEAD_SIZE : head_size;

	if (room > SIZE_MAX - sizeof *frame)
		return NULL;
	frame = memory_alloc(sizeof *frame + room);
	if (!frame)
		return NULL;
	memset(frame, 0, sizeof *frame);
	frame->head_size = head_size;
	return frame;
}

void frame_free(struct frame *frame)
{
	if (!frame)
		return;
	message_unref(frame->body);
	memory_free(frame);
}

size_t frame_size(const struct frame *frame)
{
	return frame->head_size + (frame->body ? frame->body->size : 0) + frame->tail_size;
}
