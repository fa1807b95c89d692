/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "waiting.h"

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
	message = first->message;
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

int waiting_push(
	struct waiting_room *room, struct waiting *waiting, uint64_t now, struct message *message)
{
	struct waiting_message *last;

	while (waiting->first &&
		(waiting->count >= room->limit || room->bytes + message->size > room->max_bytes))
		drop_first(room, waiting, COUNTER_DROPPED_QUEUE_LIMIT);
	if (waiting->count >= room->limit || room->bytes + message->size > room->max_bytes) {
		counters_add(room->counters, COUNTER_DROPPED_QUEUE_LIMIT, 1);
		return ERROR_FULL;
	}
	last = memory_alloc(sizeof *last);
	if (!last) {
		counters_add(room->counters, COUNTER_DROPPED_NO_MEMORY, 1);
		return ERROR_NOMEM;
	}
	*last = (struct waiting_message){
		.message = message_ref(message), .expires = now + room->age_ns};
	if (waiting->last)
		waiting->last->next = last;
	else
		waiting->first = last;
	waiting->last = last;
	waiting->count++;
	room->count++;
	room->bytes += message->size;
	return ERROR_NONE;
}

uint64_t waiting_expire(struct waiting_room *room, struct waiting *waiting, uint64_t now)
{
	while (waiting->first && waiting->first->expires <= now)
		drop_first(room, waiting, COUNTER_DROPPED_QUEUE_AGE);
	return waiting->first ? waiting->first->expires : UINT64_MAX;
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
