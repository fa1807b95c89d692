/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * WebSocket frames (RFC 6455) of a client, by wslay's frame layer: frames that come are put
 * together to messages of at most LIMIT_RELAY_FRAME bytes, frames that go are masked.
 *
 * Why not wslay's event layer: it keeps queues of its own, which are neither bounded in bytes nor
 * go through memory.h. (The context of the frame layer, 4 KiB, does not go through memory.h
 * either: wslay allocates it.) One thread.
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

/* Makes a WebSocket. random (for masks) must outlive it. ERROR_NOMEM. */
int websocket_new(const struct random *random, struct websocket **out);
/* Frees the WebSocket. NULL is fine. */
void websocket_free(struct websocket *websocket);

/* Hands in bytes for websocket_next to read; the bytes must stay until it has nothing more. */
void websocket_feed(struct websocket *websocket, const uint8_t *data, size_t size);
/* Reads the next message. Texts and pongs are skipped. An error is for good: ERROR_INVALID
 * (frames that no server sends: masked, reserved bits or types, fragments out of order),
 * ERROR_TOO_LARGE. */
int websocket_next(struct websocket *websocket, struct websocket_message *out);

/* Returns the size of one frame with size bytes of data. */
size_t websocket_frame_size(size_t size);
/* Queues one whole message, head and then data, if it fits below limit (queue.h). ERROR_FULL,
 * ERROR_NOMEM. */
int websocket_write(struct websocket *websocket, struct queue *queue, size_t limit,
	enum websocket_type type, const void *head, size_t head_size, const void *data,
	size_t size);

#endif
