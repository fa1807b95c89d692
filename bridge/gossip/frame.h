/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Frames on a stream: u32 big-endian length, then that many bytes; the first frame
 * of a stream is its header, the topic id (iroh-gossip src/net/util.rs).
 */
#ifndef BRIDGE_GOSSIP_FRAME_H
#define BRIDGE_GOSSIP_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "../id.h"
#include "../message.h"
#include "wire.h"

/* Takes a stream apart. A body that lies within one slice is handed out where it is; only a body
 * that spans slices is copied, into a block that grows with the bytes that have come: an idle
 * stream holds nothing, and a stream that announces much and sends little holds little. */
struct frame_reader {
	uint8_t length[4];
	size_t have; /* bytes of length, then of the body */
	size_t size; /* bytes of the body, valid if in_body */
	bool in_body;
	uint8_t *body; /* NULL unless the body spans slices, or did so last time */
	size_t room;   /* bytes of the block body */
};

void frame_reader_init(struct frame_reader *reader);
void frame_reader_clear(struct frame_reader *reader);

/* Consumes bytes from *data. Returns 1 with the next body (never NULL; valid until the next call,
 * and no longer than the slice), or 0 when the slice is used up. ERROR_TOO_LARGE for a body above
 * LIMIT_FRAME and ERROR_NOMEM end the stream: the caller must not go on. */
int frame_reader_next(struct frame_reader *reader, const uint8_t **data, size_t *size,
	const uint8_t **body, size_t *body_size);

/* Tells whether the stream may end here: not within a frame. Only tests call it. */
bool frame_reader_is_between(const struct frame_reader *reader);

/* Reads the topic from the body of a stream's first frame. ERROR_TRUNCATED. */
int frame_decode_header(const uint8_t *body, size_t size, struct id *topic);

/* Makes a whole frame, length included, that the caller owns. ERROR_TOO_LARGE for a body of
 * LIMIT_FRAME bytes or more: upstream's writer does not send one. ERROR_NOMEM. */
int frame_encode_header(const struct id *topic, struct frame **out);
int frame_encode(const struct wire_message *message, struct frame **out);
/* Makes a frame that shares the content of message, and holds a reference of its own.
 * ERROR_TOO_LARGE, ERROR_NOMEM. */
int frame_encode_gossip(
	struct message *message, enum wire_scope scope, uint16_t round, struct frame **out);

/* Tells whether a message can be sent on at that round. */
bool frame_fits(size_t content_size, uint16_t round);

#endif
