/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Messages that wait for an overlay's first neighbour, in order: at most so many per overlay (the
 * oldest is dropped for a new one), for at most so long, and at most LIMIT_WAITING_BYTES in all.
 * When these are full, the oldest message of the overlay that holds most bytes is dropped, so that
 * one overlay cannot take the room of the others. Messages that are lost are counted by the reason.
 * No IO; one thread.
 */
#ifndef BRIDGE_WAITING_H
#define BRIDGE_WAITING_H

#include <stddef.h>
#include <stdint.h>

#include "counters.h"
#include "message.h"

/* The state that all queues of a node share. */
struct waiting_room {
	size_t limit;	 /* messages per queue */
	uint64_t age_ns; /* how long a message waits */
	size_t count;	 /* messages in all queues */
	size_t bytes, max_bytes;
	struct counters *counters;
	struct waiting *queues; /* the queues that are not empty */
	/* Called when the oldest message of this queue was dropped for a message of another queue,
	 * and has been counted; may be NULL. */
	void (*gave_way)(void *context, struct waiting *waiting);
	void *context;
};

/* The queue of one overlay. All zero at the beginning, but for owner, which is for those who are told,
 * or ask, whose queue this is. */
struct waiting {
	void *owner;
	struct waiting_message *first, *last;
	size_t count, bytes;
	struct waiting *prev, *next; /* in the room */
};

/* Appends a message; the queue takes a reference of its own. ERROR_NOMEM, ERROR_FULL (both
 * counted). */
int waiting_push(
	struct waiting_room *room, struct waiting *waiting, uint64_t now, struct message *message);
/* Puts a message into the queue that has waited before: until expires. No message in the queue expires
 * later. Takes a reference of its own. Returns 0, ERROR_NOMEM or ERROR_FULL (both counted). */
int waiting_put(struct waiting_room *room, struct waiting *waiting, uint64_t expires,
	struct message *message);
/* Moves all messages into another queue, which is empty. */
void waiting_move(struct waiting_room *room, struct waiting *from, struct waiting *to);
/* Returns when the oldest message expires; UINT64_MAX: there is none. */
uint64_t waiting_due(const struct waiting *waiting);
/* Takes the oldest message out, with its reference; returns NULL when there is none. */
struct message *waiting_pop(struct waiting_room *room, struct waiting *waiting);
/* Drops the messages that have waited too long; returns the time at which to call again, UINT64_MAX
 * for never. */
uint64_t waiting_expire(struct waiting_room *room, struct waiting *waiting, uint64_t now);
/* Drops all messages of a queue, counted under this reason; returns how many. */
size_t waiting_drop(struct waiting_room *room, struct waiting *waiting, enum counter reason);

#endif
