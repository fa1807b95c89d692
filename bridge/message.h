/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One payload on its way, and one frame made of it.
 *
 * A message is reference-counted (atomically: the broker's thread makes it, the
 * node's thread sends it, and the other way round), immutable once made, and
 * hashed at most once.
 *
 * A frame is what goes onto a stream: a length-prefixed protocol message
 * (iroh-gossip src/net/util.rs write_frame) that may share the bytes of a message
 * in its middle. It has one owner, who calls frame_free, and belongs to the
 * node's thread.
 */
#ifndef BRIDGE_MESSAGE_H
#define BRIDGE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "id.h"

struct message {
	_Atomic uint32_t references;
	bool hashed;	  /* set by message_id; only the node's thread calls that */
	bool paced;	  /* signed for applications: it goes out no faster than they can take */
	struct id id;	  /* BLAKE3 of the content, once hashed */
	size_t size;	  /* bytes of content */
	uint8_t content[];
};

/* A copy of content with one reference; NULL when there is no memory. */
struct message *message_new(const void *content, size_t size);
struct message *message_ref(struct message *message);
void message_unref(struct message *message); /* NULL is fine */

/* BLAKE3(content), computed at the first call. One thread only. */
const struct id *message_id(struct message *message);

/* The longest head: length, tags, id, content length. */
#define FRAME_HEAD_SIZE 48
#define FRAME_TAIL_SIZE 8

struct frame {
	struct frame *next;   /* for whoever owns it */
	struct message *body; /* shared; NULL for a frame that is all head */
	bool droppable;	      /* carries content: may be dropped for a slow peer */
	bool last;	      /* the stream ends after it; set by whoever sends it */
	uint64_t number;      /* of all that the links were given: their order (link.h) */
	uint64_t expires;     /* when a copy that came back is dropped; 0: never came back */
	uint8_t tail_size;
	uint8_t tail[FRAME_TAIL_SIZE];
	size_t head_size;
	uint8_t head[]; /* at least FRAME_HEAD_SIZE, or the whole of a control frame */
};

/* A frame with room for head_size bytes of head (head_size is set, bytes are the
 * caller's to fill); NULL when there is no memory. */
struct frame *frame_new(size_t head_size);
void frame_free(struct frame *frame); /* drops the reference to body; NULL is fine */

/* Bytes on the wire: head, body, tail. */
size_t frame_size(const struct frame *frame);

#endif
