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

/* Gives the infos to be sent, some tens at a time; called until it returns false (there are no
 * more). Calls emit for our own info and for each other info that the peer may have (verified, of
 * that order). emit returns false when there is no more room: then no more are asked for. emit
 * leaves out an info that the peer might not accept (info_suits), and returns true. */
typedef bool session_emit_info(void *emitter, const struct id *node, const struct info *info);
typedef bool session_gather(
	void *context, enum info_order order, session_emit_info *emit, void *emitter);

struct session_config {
	enum session_role role;
	const struct id *remote;
	/* Alice: the dialect to speak (not DIALECT_UNKNOWN). Bob: the dialect that the peer spoke
	 * last, for the order of the infos that are sent to it (DIALECT_UNKNOWN is fine: then, in
	 * postcard, no infos are sent, for a single one of the wrong order costs the whole
	 * session). */
	enum dialect dialect;
	/* Our topics, copied; at most LIMIT_OVERLAYS or so. */
	const struct id *topics;
	size_t topics_count;
	struct random random; /* salts, order of the hashes */
	struct counters *counters;
	session_gather *gather;
	void *context;
};

enum session_effect_type {
	SESSION_SEND,	/* frame: owned by the receiver */
	SESSION_SHARED, /* the peer shares this topic (once per topic) */
	/* The peer has passed this info on; it is owned by the receiver (info_free). Its signature
	 * is NOT verified (info->order is the one to be tried first). Infos beyond LIMIT_NODES and
	 * infos that are too large to be kept are not reported, but counted as LIMIT_INFOS. */
	SESSION_INFO,
	/* The dialect of the peer is known now: dialect. In CBOR the codec shows it, in postcard
	 * the peer's own info, or the first other info whose order was recognised. Comes before the
	 * effects that follow from it. */
	SESSION_DIALECT,
	/* There is nothing to do: a part of a large message is being made. This effect divides some
	 * milliseconds of work, so that the caller can do something else before it takes the next
	 * effect. */
	SESSION_BUSY,
	/* The session is complete. Bob: close the connection with code 0 once the frames sent are
	 * on their way; Alice: wait for Bob to close. */
	SESSION_DONE,
	/* The session has failed, with error: close the connection. ERROR_INVALID (not the
	 * protocol), ERROR_LIMIT (too much), ERROR_NOMEM, ERROR_TRUNCATED (ended early). */
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

/* Begins a session. Alice: the first effect is there at once. ERROR_NOMEM. */
int session_new(const struct session_config *config, struct session **out);
void session_free(struct session *session); /* NULL is fine; frees untaken effects */
/* Takes bytes of the stream, in order; fin: these are the last ones. */
void session_receive(struct session *session, const uint8_t *data, size_t size, bool fin);
/* Takes the next effect; returns false when there is none. After DONE or FAILED there is none. */
bool session_effect(struct session *session, struct session_effect *out);
/* Tells whether the peer has answered anything at all: a peer that ends the session before has not
 * understood our dialect. */
bool session_was_answered(const struct session *session);

#endif
