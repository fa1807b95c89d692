/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The frames of the iroh relay protocol, versions 1 and 2, as far as a client reads and writes
 * them: one frame is one binary WebSocket message, its type first. Of the ways of the handshake
 * only the one with a challenge is here, which works behind any proxy.
 *
 * Where behaviour comes from: iroh-relay 1.4.1 src/protos/{common,handshake,relay}.rs. Pure; any
 * thread.
 */
#ifndef BRIDGE_RELAY_FRAME_H
#define BRIDGE_RELAY_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "../id.h"
#include "../identity.h"

enum relay_frame_type {
	RELAY_FRAME_CHALLENGE = 0, /* to the client: data, RELAY_CHALLENGE_SIZE */
	RELAY_FRAME_AUTH = 1,
	RELAY_FRAME_CONFIRMS = 2, /* to the client */
	RELAY_FRAME_DENIES = 3,	  /* to the client: data, a text */
	RELAY_FRAME_SEND = 4,
	RELAY_FRAME_SEND_BATCH = 5,
	RELAY_FRAME_DATAGRAM = 6,    /* to the client: node, data */
	RELAY_FRAME_BATCH = 7,	     /* to the client: node, segment, data */
	RELAY_FRAME_GONE = 8,	     /* to the client: node */
	RELAY_FRAME_PING = 9,	     /* both ways: data, RELAY_PING_SIZE */
	RELAY_FRAME_PONG = 10,	     /* both ways: the same data */
	RELAY_FRAME_HEALTH = 11,     /* to the client, version 1: data, a text */
	RELAY_FRAME_RESTARTING = 12, /* to the client: reconnect_in, try_for */
	RELAY_FRAME_STATUS = 13,     /* to the client, version 2: status */
};

#define RELAY_CHALLENGE_SIZE 16
#define RELAY_PING_SIZE	     8

/* What a status can be. */
#define RELAY_FRAME_STATUS_HEALTHY   0
#define RELAY_FRAME_STATUS_ELSEWHERE 1 /* the same id is connected by a newer connection */
#define RELAY_FRAME_STATUS_LIMITED   2 /* reading from us is slowed down */

struct relay_frame {
	enum relay_frame_type type;
	struct id node;	     /* not looked into */
	const uint8_t *data; /* a view of the input */
	size_t size;
	size_t segment;			/* of a batch: never 0, and less than size */
	uint32_t reconnect_in, try_for; /* ms */
	uint8_t status;			/* may be an unknown status */
};

/* Reads a frame to the client. A batch of no more than one datagram comes out as
 * RELAY_FRAME_DATAGRAM. Only the handshake's frames may have bytes behind their end, as in
 * postcard. ERROR_NOT_FOUND: a type that is not known, or that only clients send; ERROR_TRUNCATED,
 * ERROR_INVALID (an empty datagram, a batch of segment size 0, too long). */
int relay_frame_read(const uint8_t *data, size_t size, struct relay_frame *out);

/* The size of the answer to a challenge. */
#define RELAY_FRAME_AUTH_SIZE (1 + ID_SIZE + 1 + IDENTITY_SIGNATURE_SIZE)
/* Writes the frame that answers a challenge. ERROR_TLS. */
int relay_frame_auth(const struct identity *identity, const uint8_t challenge[RELAY_CHALLENGE_SIZE],
	uint8_t out[RELAY_FRAME_AUTH_SIZE]);

/* The most bytes that relay_frame_head writes. */
#define RELAY_FRAME_HEAD_SIZE (1 + ID_SIZE + 1 + 2)
/* Writes what comes before one datagram, or (segment not 0) before several of the size segment
 * each but the last. Returns the bytes written. */
size_t relay_frame_head(const struct id *to, uint16_t segment, uint8_t out[RELAY_FRAME_HEAD_SIZE]);

/* Copies a peer's or relay's words for people to read: size bytes at most, as many as fit; a byte
 * that is not printable ASCII becomes "?". Returns out, with a closing zero; room > 0. */
char *relay_words(const void *data, size_t size, char *out, size_t room);

#endif
