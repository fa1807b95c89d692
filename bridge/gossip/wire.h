/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The messages of one overlay, as postcard writes iroh-gossip's topic::Message (src/proto/topic.rs,
 * hyparview.rs, plumtree.rs of v0.98.0).
 *
 * One struct serves for both directions: a decoded message can be encoded again. Content and peer
 * data are views into the input. No allocation. Any thread.
 */
#ifndef BRIDGE_GOSSIP_WIRE_H
#define BRIDGE_GOSSIP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bytes/writer.h"
#include "../id.h"
#include "../limits.h"

/* As many ids as fit into a frame: an id and a round take 33 bytes at least. */
#define WIRE_IHAVES (LIMIT_FRAME / (ID_SIZE + 1))

enum wire_type {
	/* HyParView: membership */
	WIRE_JOIN,
	WIRE_FORWARD_JOIN,
	WIRE_SHUFFLE,
	WIRE_SHUFFLE_REPLY,
	WIRE_NEIGHBOR,
	WIRE_DISCONNECT,
	/* PlumTree: broadcast */
	WIRE_GOSSIP,
	WIRE_PRUNE,
	WIRE_GRAFT,
	WIRE_IHAVE,
};

enum wire_priority { WIRE_HIGH, WIRE_LOW };
enum wire_scope { WIRE_SWARM, WIRE_NEIGHBORS };

/* Option<PeerData>: None when bytes is NULL. */
struct wire_data {
	const uint8_t *bytes;
	size_t size;
};

struct wire_node {
	struct id id;
	struct wire_data data;
};

/* At most LIMIT_SHUFFLE_NODES; decoding ignores the rest. */
struct wire_nodes {
	size_t count;
	struct wire_node items[LIMIT_SHUFFLE_NODES];
};

struct wire_ihave {
	struct id id;
	uint16_t round;
};

struct wire_message {
	enum wire_type type;
	union {
		struct {
			struct wire_data data;
		} join;
		struct {
			struct wire_node peer;
			uint16_t ttl;
		} forward_join;
		struct {
			struct id origin;
			uint16_t ttl;
			struct wire_nodes nodes;
		} shuffle;
		struct {
			struct wire_nodes nodes;
		} shuffle_reply;
		struct {
			enum wire_priority priority;
			struct wire_data data;
		} neighbor;
		struct {
			bool alive;
			bool respond; /* obsolete; upstream sends false */
		} disconnect;
		struct {
			struct id id;
			const uint8_t *content;
			size_t size;
			enum wire_scope scope;
			uint16_t round; /* WIRE_SWARM only */
		} gossip;
		struct {
			bool has_id;
			struct id id;
			uint16_t round;
		} graft;
		struct {
			size_t count;
			struct wire_ihave items[WIRE_IHAVES];
		} ihave;
	};
};

/* Decodes a message. Bytes after the message are ignored, as postcard::from_bytes does. body must
 * be at most LIMIT_FRAME long. ERROR_TRUNCATED, ERROR_INVALID. */
int wire_decode(const uint8_t *body, size_t size, struct wire_message *out);

/* Tells whether a body is, or begins like, a Gossip message, which is the type with content. */
bool wire_is_gossip(const uint8_t *body, size_t size);

/* Encodes a message. ERROR_TOO_LARGE when the writer's buffer is too small. */
int wire_encode(const struct wire_message *message, struct writer *writer);

/* Returns how many bytes a node takes in a list. */
size_t wire_node_size(const struct wire_node *node);

/* Writes the part of a Gossip message before its content, or the part behind it. A frame takes the
 * content from a struct message instead. */
void wire_encode_gossip_head(struct writer *writer, const struct id *id, size_t content_size);
void wire_encode_gossip_tail(struct writer *writer, enum wire_scope scope, uint16_t round);

#endif
