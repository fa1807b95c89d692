/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A bounded queue between two threads, with a byte budget. Items are intrusive and
 * belong to the queue from push to pop. The lock is held for the length of a few
 * assignments, never across a call.
 */
#ifndef BRIDGE_MAILBOX_H
#define BRIDGE_MAILBOX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct mail {
	struct mail *next;
	size_t bytes; /* what it counts against the budget; set by the pusher */
};

struct mailbox {
	pthread_mutex_t lock;
	struct mail *first, *last;
	size_t items, bytes;
	size_t max_items, max_bytes;
	bool asleep; /* the reader found it empty and wants to be woken */
};

/* ERROR_SYSTEM. */
int mailbox_init(struct mailbox *mailbox, size_t max_items, size_t max_bytes);
/* Empty it first. */
void mailbox_destroy(struct mailbox *mailbox);

/* ERROR_FULL unless forced (for the few items that may not be lost); the item stays
 * the caller's then. *wake says that the reader is asleep: wake it. */
int mailbox_push(struct mailbox *mailbox, struct mail *mail, bool forced, bool *wake);

/* NULL when empty; the reader is asleep from then on. */
struct mail *mailbox_pop(struct mailbox *mailbox);

#endif
