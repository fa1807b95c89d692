/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * WebSocket frames (RFC 6455) of a client, by wslay's frame layer: what comes is put together to
 * messages of at most LIMIT_RELAY_FRAME bytes, what goes is masked.
 *
 * Why not wslay's event layer: it keeps queues of its own, which are neither bounded in bytes nor
 * go through memory.h. (The context of the frame layer, 4 KiB, is the one thing here that does not:
 * wslay allocates it.) One thread.
 */
#ifndef BRIDGE_RELAY_WEBSOCKET_H
#define BRIDGE_RELAY_WEBSOCKET_H

#include <stddef.h>
#include <stdint.h>

#include "../random.h"
#include "queue.h"

struct websocket;

enum websocket_type {
	WEBSOCKET_NOTHING, /* all that was fed is read */
	WEBSOCKET_BINARY,  /* a whole message */
	WEBSOCKET_PING,	   /* to be answered by WEBSOCKET_PONG with the same data */
	WEBSOCKET_CLOSE,   /* data: a code of two bytes, and a text; or nothing */
	WEBSOCKET_PONG,	   /* only to be written */
};

struct websocket_message {
	enum websocket_type type;
	const uint8_t *data; /* valid until the next call */
	size_t size;
};

/* random (for masks) must outlive it. ERROR_NOMEM. */
int websocket_new(const struct random *random, struct websocket **out);
/* NULL is fine. */
void websocket_free(struct websocket *websocket);

/* Hands in bytes, to be read by websocket_next until it has nothing more; they must stay until
 * then. */
void websocket_feed(struct websocket *websocket, const uint8_t *data, size_t size);
/* The next message. Texts and pongs are skipped. An error is for good: ERROR_INVALID (no frames of
 * a server: masked, reserved bits or types, fragments out of order), ERROR_TOO_LARGE. */
int websocket_next(struct websocket *websocket, struct websocket_message *out);

/* Bytes of one frame with so much data. */
size_t websocket_frame_size(size_t size);
/* Queues one whole message, head and then data, if it fits below limit (queue.h). ERROR_FULL,
 * ERROR_NOMEM. */
int websocket_write(struct websocket *websocket, struct queue *queue, size_t limit,
	enum websocket_type type, const void *head, size_t head_size, const void *data,
	size_t size);

#endif
