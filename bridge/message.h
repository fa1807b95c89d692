/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A message is one payload on its way, and a frame is a piece of a stream that is made of a
 * message.
 *
 * A message is reference-counted (atomically: the broker's thread makes it, the node's thread sends
 * it, and the other way round), immutable once made, and hashed at most once.
 *
 * A frame is what goes onto a stream: a length-prefixed protocol message (iroh-gossip
 * src/net/util.rs write_frame) that may share the bytes of a message in its middle. A frame has one
 * owner, who calls frame_free, and belongs to the node's thread.
 */
#ifndef BRIDGE_MESSAGE_H
#define BRIDGE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "id.h"

struct message {
	_Atomic uint32_t references;
	bool hashed;	  /* set by message_id, which only the node's thread calls */
	bool paced;	  /* signed for applications: sent no faster than they can take messages */
	struct id id;	  /* BLAKE3 of the content, once hashed */
	size_t size;	  /* bytes of content */
	uint8_t content[];
};

/* Returns a message with a copy of content, and one reference; NULL when there is no memory. */
struct message *message_new(const void *content, size_t size);
struct message *message_ref(struct message *message);
void message_unref(struct message *message); /* NULL is fine */

/* Returns the id of a message, BLAKE3(content), which is computed at the first call. On one thread
 * only. */
const struct id *message_id(struct message *message);

/* The longest head: length, tags, id, content length. */
#define FRAME_HEAD_SIZE 48
#define FRAME_TAIL_SIZE 8

struct frame {
	struct frame *next;   /* for the owner of the frame */
	struct message *body; /* shared; NULL for a frame that is all head */
	bool droppable;	      /* carries content: may be dropped for a slow peer */
	bool last;	      /* the stream ends after this frame; set by the sender */
	uint64_t number;      /* in the order in which links were given frames (link.h) */
	uint64_t expires;     /* when a copy that came back is dropped; 0: never came back */
	uint8_t tail_size;
	uint8_t tail[FRAME_TAIL_SIZE];
	size_t head_size;
	uint8_t head[]; /* at least FRAME_HEAD_SIZE, or the whole of a control frame */
};

/* Returns a frame with room for head_size bytes of head; NULL when there is no memory. head_size is
 * set, the caller fills in the bytes. */
struct frame *frame_new(size_t head_size);
void frame_free(struct frame *frame); /* drops the reference to body; NULL is fine */

/* Returns the size of a frame on the wire, in bytes: head, body and tail. */
size_t frame_size(const struct frame *frame);

#endif
