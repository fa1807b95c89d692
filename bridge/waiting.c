/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "waiting.h"

#include <stdbool.h>
#include <utlist.h>

#include "error.h"
#include "memory.h"

struct waiting_message {
	struct waiting_message *next;
	struct message *message;
	uint64_t expires;
};

struct message *waiting_pop(struct waiting_room *room, struct waiting *waiting)
{
	struct waiting_message *first = waiting->first;
	struct message *message;

	if (!first)
		return NULL;
	waiting->first = first->next;
	if (!waiting->first)
		waiting->last = NULL;
	waiting->count--;
	if (!waiting->first)
		DL_DELETE(room->queues, waiting);
	message = first->message;
	waiting->bytes -= message->size;
	room->count--;
	room->bytes -= message->size;
	memory_free(first);
	return message;
}

static void drop_first(struct waiting_room *room, struct waiting *waiting, enum counter reason)
{
	message_unref(waiting_pop(room, waiting));
	counters_add(room->counters, reason, 1);
}

/* Returns the queue that holds the most bytes. The queue waiting counts with size bytes more, and
 * is chosen among equals. Looks at each queue once, and is called only while the room is full. */
static struct waiting *largest(struct waiting_room *room, struct waiting *waiting, size_t size)
{
	struct waiting *queue, *most = waiting;
	size_t bytes = waiting->bytes + size;

	DL_FOREACH (room->queues, queue) {
		if (queue == waiting || queue->bytes <= bytes)
			continue;
		most = queue;
		bytes = queue->bytes;
	}
	return most;
}

/* Makes room for size bytes in this queue, if need be by dropping older messages; returns false if
 * there can be no room. */
static bool make_room(struct waiting_room *room, struct waiting *waiting, size_t size)
{
	struct waiting *most;

	if (room->limit == 0 || size > room->max_bytes)
		return false;
	if (waiting->count >= room->limit)
		drop_first(room, waiting, COUNTER_DROPPED_QUEUE_LIMIT);
	while (room->bytes + size > room->max_bytes) {
		most = largest(room, waiting, size);
		if (!most->first)
			return false;
		drop_first(room, most, COUNTER_DROPPED_QUEUE_LIMIT);
		if (most != waiting && room->gave_way)
			room->gave_way(room->context, most);
	}
	return true;
}

int waiting_push(
	struct waiting_room *room, struct waiting *waiting, uint64_t now, struct message *message)
{
	return waiting_put(room, waiting, now + room->age_ns, message);
}

int waiting_put(struct waiting_room *room, struct waiting *waiting, uint64_t expires,
	struct message *message)
{
	struct waiting_message *last;

	if (!make_room(room, waiting, message->size)) {
		counters_add(room->counters, COUNTER_DROPPED_QUEUE_LIMIT, 1);
		return ERROR_FULL;
	}
	last = memory_alloc(sizeof *last);
	if (!last) {
		counters_add(room->counters, COUNTER_DROPPED_NO_MEMORY, 1);
		return ERROR_NOMEM;
	}
	*last = (struct waiting_message){.message = message_ref(message), .expires = expires};
	if (waiting->last)
		waiting->last->next = last;
	else
		waiting->first = last;
	if (!waiting->last)
		DL_APPEND(room->queues, waiting);
	waiting->last = last;
	waiting->count++;
	waiting->bytes += message->size;
	room->count++;
	room->bytes += message->size;
	return ERROR_NONE;
}

void waiting_move(struct waiting_room *room, struct waiting *from, struct waiting *to)
{
	if (!from->first)
		return;
	to->first = from->first;
	to->last = from->last;
	to->count = from->count;
	to->bytes = from->bytes;
	from->first = from->last = NULL;
	from->count = from->bytes = 0;
	DL_DELETE(room->queues, from);
	DL_APPEND(room->queues, to);
}

uint64_t waiting_due(const struct waiting *waiting)
{
	return waiting->first ? waiting->first->expires : UINT64_MAX;
}

uint64_t waiting_expire(struct waiting_room *room, struct waiting *waiting, uint64_t now)
{
	while (waiting->first && waiting->first->expires <= now)
		drop_first(room, waiting, COUNTER_DROPPED_QUEUE_AGE);
	return waiting_due(waiting);
}

size_t waiting_drop(struct waiting_room *room, struct waiting *waiting, enum counter reason)
{
	size_t count = 0;

	while (waiting->first) {
		drop_first(room, waiting, reason);
		count++;
	}
	return count;
}
