/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A queue of bytes: appended at one end in whole pieces, taken at the other in any sizes. One
 * thread. */
#ifndef BRIDGE_RELAY_QUEUE_H
#define BRIDGE_RELAY_QUEUE_H

#include <stddef.h>
#include <stdint.h>

struct queue {
	uint8_t *bytes; /* owned */
	size_t room, start, size;
};

/* Empties the queue and releases its memory. Zeros are an empty queue. */
void queue_clear(struct queue *queue);

/* Makes room for size bytes behind those in the queue, if that makes no more than limit. *out:
 * where the bytes are to be written before queue_commit. ERROR_FULL, ERROR_NOMEM. */
int queue_reserve(struct queue *queue, size_t limit, size_t size, uint8_t **out);
/* Appends the first size of the reserved bytes, which were written. */
void queue_commit(struct queue *queue, size_t size);
/* Returns all bytes of the queue, queue->size of them; NULL: it is empty. */
const uint8_t *queue_view(const struct queue *queue);
/* Removes the first size bytes (or all there are). */
void queue_take(struct queue *queue, size_t size);

#endif
