/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One session of the confidential discovery protocol (p2panda-discovery
 * src/psi_hash.rs): two nodes learn which topics they share, and nothing of those they do
 * not, and tell each other where nodes are to be found. Runs on one bidirectional stream.
 *
 *   Alice (dialled)          AliceSaltHalf ->
 *                         <- BobSaltHalfAndHashedData
 *              AliceHashedData ->
 *                         <- Nodes
 *                      Nodes ->          Bob closes the connection (code 0, "done")
 *
 * Bob tells the codec by the first byte (0xa1: CBOR, 0x00: the length of a postcard frame).
 * What arrives is taken apart as it comes: hashes and infos one by one, so that a session
 * holds a few kB however much the other side sends.
 *
 * sans-IO: bytes in, effects out. Effects are taken with session_effect, in order, after each
 * call. One thread.
 */
#ifndef BRIDGE_DISCOVERY_SESSION_H
#define BRIDGE_DISCOVERY_SESSION_H

#include "../counters.h"
#include "../message.h"
#include "../random.h"
#include "info.h"

enum session_role { SESSION_ALICE, SESSION_BOB };

/* Asked for the infos to be sent, some tens of them at a time, until it says false (there are no
 * more): calls emit for our own and for each other that the peer may have (verified, of that
 * order). emit returns false when there is no more room: then it is not asked again. What the peer
 * might not take is left out (info_suits): then emit returns true. */
typedef bool session_emit_info(void *emitter, const struct id *node, const struct info *info);
typedef bool session_gather(
	void *context, enum info_order order, session_emit_info *emit, void *emitter);

struct session_config {
	enum session_role role;
	const struct id *remote;
	/* Alice: what to speak (not DIALECT_UNKNOWN). Bob: what the peer last spoke, for the
	 * order of the infos that are sent to it (DIALECT_UNKNOWN is fine: then, in postcard, no
	 * infos are sent, for a single one of the wrong order costs the whole session). */
	enum dialect dialect;
	/* Ours, copied; at most LIMIT_OVERLAYS or so. */
	const struct id *topics;
	size_t topics_count;
	struct random random; /* salts, order of the hashes */
	struct counters *counters;
	session_gather *gather;
	void *context;
};

enum session_effect_type {
	SESSION_SEND,	/* frame: the receiver's now */
	SESSION_SHARED, /* the peer shares this topic (once per topic) */
	/* The peer passed this info on: the receiver's now (info_free). Its signature is NOT
	 * verified (info->order is the one to be tried first). Of more than LIMIT_NODES, and of
	 * those too large to be kept, none are: counted LIMIT_INFOS. */
	SESSION_INFO,
	/* The peer's own info, or the first one whose order was recognised, showed what it
	 * speaks: dialect. Comes before the effects that follow from it. */
	SESSION_DIALECT,
	/* Nothing is to be done: a part of a large message is made. Some milliseconds of work are
	 * cut by this, so that something else can be done before the next effect is taken. */
	SESSION_BUSY,
	/* All has been said and heard. Bob: close the connection with code 0 once what was sent
	 * is on its way; Alice: wait for that. */
	SESSION_DONE,
	/* error: it is over, close the connection. ERROR_INVALID (not the protocol),
	 * ERROR_LIMIT (too much), ERROR_NOMEM, ERROR_TRUNCATED (ended early). */
	SESSION_FAILED,
};

struct session_effect {
	enum session_effect_type type;
	struct frame *frame;
	struct id id; /* SHARED: the topic, INFO: the node */
	struct info *info;
	enum dialect dialect;
	int error;
};

struct session;

/* Alice: the first effect is there at once. ERROR_NOMEM. */
int session_new(const struct session_config *config, struct session **out);
void session_free(struct session *session); /* NULL is fine; frees untaken effects */
/* Bytes of the stream, in order; fin: the last ones. */
void session_receive(struct session *session, const uint8_t *data, size_t size, bool fin);
/* The next effect; false when there is none. After DONE or FAILED there is none. */
bool session_effect(struct session *session, struct session_effect *out);
/* Whether the peer has answered anything at all: a peer that ends the session before has
 * not understood our dialect. */
bool session_was_answered(const struct session *session);

#endif
