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
	size_t bytes; /* its size in the byte budget; set by the sender */
};

struct mailbox {
	pthread_mutex_t lock;
	struct mail *first, *last;
	size_t items, bytes;
	size_t max_items, max_bytes;
	bool asleep; /* the reader has found the mailbox empty, and has to be woken */
};

/* Sets up an empty mailbox with these bounds. ERROR_SYSTEM. */
int mailbox_init(struct mailbox *mailbox, size_t max_items, size_t max_bytes);
/* Destroys the lock of a mailbox; the mailbox has to be empty. */
void mailbox_destroy(struct mailbox *mailbox);

/* Appends an item, which is the mailbox's from then on. *wake becomes true if the reader is asleep:
 * the caller has to wake the reader. ERROR_FULL unless forced (for the few items that may not be
 * lost); then the item stays the caller's. */
int mailbox_push(struct mailbox *mailbox, struct mail *mail, bool forced, bool *wake);

/* Takes the oldest item out; returns NULL when the mailbox is empty, and counts the reader as
 * asleep from then on. */
struct mail *mailbox_pop(struct mailbox *mailbox);

/* Takes all that is in the mailbox, oldest first, linked by next; NULL when empty, and if sleeps is
 * set the reader is asleep from then on. */
struct mail *mailbox_take(struct mailbox *mailbox, bool sleeps);

#endif
