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

/* Takes a stream apart. A body that lies within one slice is handed out where it
 * is; only one that spans slices is copied, into a block that grows with what has come of it:
 * an idle stream holds nothing, and one that announces much and sends little holds little. */
struct frame_reader {
	uint8_t length[4];
	size_t have; /* bytes of length, then of the body */
	size_t size; /* of the body, once in_body */
	bool in_body;
	uint8_t *body; /* NULL unless the body spans slices, or did so last time */
	size_t room;   /* of body */
};

void frame_reader_init(struct frame_reader *reader);
void frame_reader_clear(struct frame_reader *reader);

/* Consumes *data and returns 1 with the next body (valid until the next call and as
 * long as the slice; never NULL) or 0 when the slice is used up. ERROR_TOO_LARGE for
 * a body above LIMIT_FRAME and ERROR_NOMEM end the stream: do not go on. */
int frame_reader_next(struct frame_reader *reader, const uint8_t **data, size_t *size,
	const uint8_t **body, size_t *body_size);

/* Whether the stream may end here: not within a frame. */
bool frame_reader_is_between(const struct frame_reader *reader);

/* The body of a stream's first frame. ERROR_TRUNCATED. */
int frame_decode_header(const uint8_t *body, size_t size, struct id *topic);

/* Whole frames, length included, owned by the caller. A body of LIMIT_FRAME bytes
 * or more is ERROR_TOO_LARGE: upstream's writer does not send one. ERROR_NOMEM. */
int frame_encode_header(const struct id *topic, struct frame **out);
int frame_encode(const struct wire_message *message, struct frame **out);
/* Shares the message; takes a reference of its own. */
int frame_encode_gossip(
	struct message *message, enum wire_scope scope, uint16_t round, struct frame **out);

/* Whether a message can be sent on at that round. */
bool frame_fits(size_t content_size, uint16_t round);

#endif
