/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Bytes in order: appended at one end in whole pieces, taken at the other as it comes. One
 * thread. */
#ifndef BRIDGE_RELAY_QUEUE_H
#define BRIDGE_RELAY_QUEUE_H

#include <stddef.h>
#include <stdint.h>

struct queue {
	uint8_t *bytes; /* owned */
	size_t room, start, size;
};

/* Zeros are an empty queue. Releases the memory. */
void queue_clear(struct queue *queue);

/* Makes room for size bytes after those there are, if then there are no more than limit; *out:
 * where they are to be written before queue_commit. ERROR_FULL, ERROR_NOMEM. */
int queue_reserve(struct queue *queue, size_t limit, size_t size, uint8_t **out);
/* So many of the reserved bytes were written. */
void queue_commit(struct queue *queue, size_t size);
/* The first bytes, all that there are. */
const uint8_t *queue_view(const struct queue *queue);
/* So many (or all there are) are done with. */
void queue_take(struct queue *queue, size_t size);

#endif
