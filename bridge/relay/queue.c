/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "queue.h"

#include <string.h>

#include "../error.h"
#include "../memory.h"

#define LEAST_ROOM 4096

void queue_clear(struct queue *queue)
{
	memory_free(queue->bytes);
	*queue = (struct queue){0};
}

int queue_reserve(struct queue *queue, size_t limit, size_t size, uint8_t **out)
{
	size_t needed = queue->size + size, room = queue->room ? queue->room : LEAST_ROOM;

	if (size > limit || queue->size > limit - size)
		return ERROR_FULL;
	/* The bytes move to the front only where there is as much room behind them: each byte
	 * moves once, on average. */
	if (queue->start + needed > queue->room && needed <= queue->room / 2) {
		memmove(queue->bytes, queue->bytes + queue->start, queue->size);
		queue->start = 0;
	}
	if (queue->start + needed > queue->room) {
		uint8_t *bytes;

		while (room < 2 * needed)
			room *= 2;
		bytes = memory_alloc(room);
		if (!bytes)
			return ERROR_NOMEM;
		if (queue->size)
			memcpy(bytes, queue->bytes + queue->start, queue->size);
		memory_free(queue->bytes);
		*queue = (struct queue){.bytes = bytes, .room = room, .size = queue->size};
	}
	*out = queue->bytes + queue->start + queue->size;
	return ERROR_NONE;
}

void queue_commit(struct queue *queue, size_t size)
{
	queue->size += size;
}

const uint8_t *queue_view(const struct queue *queue)
{
	return queue->size ? queue->bytes + queue->start : NULL;
}

void queue_take(struct queue *queue, size_t size)
{
	if (size > queue->size)
		size = queue->size;
	queue->start += size;
	queue->size -= size;
	if (queue->size == 0)
		queue->start = 0;
}
