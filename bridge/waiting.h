/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Messages that wait for an overlay's first neighbour, in order: at most so many per
 * overlay (the oldest gives way), for at most so long, and at most LIMIT_WAITING_BYTES
 * in all: then the oldest of the overlay that holds most gives way, so that one alone cannot
 * take the room of the others. What is lost that way is counted by its reason. No IO; one
 * thread.
 */
#ifndef BRIDGE_WAITING_H
#define BRIDGE_WAITING_H

#include <stddef.h>
#include <stdint.h>

#include "counters.h"
#include "message.h"

/* What all queues of a node share. */
struct waiting_room {
	size_t limit;	 /* messages per queue */
	uint64_t age_ns; /* how long a message waits */
	size_t count;	 /* messages in all queues */
	size_t bytes, max_bytes;
	struct counters *counters;
	struct waiting *queues; /* those that are not empty */
	/* The oldest of this queue has given way to another one's and is counted; may be NULL. */
	void (*gave_way)(void *context, struct waiting *waiting);
	void *context;
};

/* All zero at the beginning, but for the owner, which is for those who are told. */
struct waiting {
	void *owner;
	struct waiting_message *first, *last;
	size_t count, bytes;
	struct waiting *prev, *next; /* in the room */
};

/* Takes a reference of its own. ERROR_NOMEM, ERROR_FULL (both counted). */
int waiting_push(
	struct waiting_room *room, struct waiting *waiting, uint64_t now, struct message *message);
/* The oldest, whose reference is the caller's now; NULL when there is none. */
struct message *waiting_pop(struct waiting_room *room, struct waiting *waiting);
/* Drops what has waited too long; returns when to call again, UINT64_MAX for never. */
uint64_t waiting_expire(struct waiting_room *room, struct waiting *waiting, uint64_t now);
/* Drops all for this reason; returns how many. */
size_t waiting_drop(struct waiting_room *room, struct waiting *waiting, enum counter reason);

#endif
