/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The signed message that applications on the crate `p2panda` (its Node API) put on an overlay:
 * p2panda/src/streams/ephemeral_stream.rs, the same in 0.6.1, 0.7.0 and 0.7.1. One message of
 * gossip is one tuple in CBOR,
 *
 *   86 01 5820<author> 5840<signature> <microseconds> <counter> <body>
 *
 * and the signature is over the same without its own item (85 01 ..). The author need not be
 * who sent it, and receivers check neither order nor age: time and counter are there to make
 * each message another one. What those receivers let pass beside this form is refused here: tags
 * around the outer items, bytes or items behind the body (they are not signed, so one signature
 * could stand in many messages), heads longer than needed (0.6.1, 0.7.0).
 *
 * A clock belongs to one thread; the rest are plain functions for any thread.
 */
#ifndef BRIDGE_MESSAGES_SIGNED_H
#define BRIDGE_MESSAGES_SIGNED_H

#include <stddef.h>
#include <stdint.h>

#include "../id.h"
#include "../identity.h"
#include "../message.h"

struct signed_message {
	struct id author;
	uint64_t time_us; /* since 1970, as the author says */
	uint64_t counter; /* of messages in the same microsecond */
	const uint8_t *body;
	size_t body_size;
};

/* Makes one, signed by the identity, with one reference that is the caller's. The body is
 * checked (body.h, BODY_WRITTEN), for what must not go out.
 * ERROR_TOO_LARGE (more than LIMIT_SIGNED_BODY bytes), the errors of body_check, ERROR_TLS,
 * ERROR_NOMEM. */
int signed_encode(const struct identity *identity, uint64_t time_us, uint64_t counter,
	const void *body, size_t body_size, struct message **out);

/* Takes one apart by its shape: nothing is verified. The body is a view of content,
 * deterministic but for the order of keys and NaN (body.h, BODY_ARRIVED). 0.1 us, for texts of
 * 4 KB 3 us; a body of a thousand unsorted keys, made to be slow, as long as signed_verify.
 *  ERROR_NOT_SIGNED  another thing: a plain payload, a tuple of other types or another length
 *  ERROR_VERSION     of another version
 *  ERROR_TRUNCATED   it ends too early
 *  ERROR_TRAILING    bytes follow it
 *  ERROR_TOO_LARGE   more than LIMIT_CONTENT bytes
 * and those of body_check for the heads and the body. out is undefined then. */
int signed_decode(const void *content, size_t size, struct signed_message *out);

/* Whether the author has signed it: content and what signed_decode made of it. Some 0.1 ms
 * (measured, with any body), so neither without a budget (effort.h).
 * ERROR_SIGNATURE (also a key or a signature of small order, and S >= L), ERROR_TLS. */
int signed_verify(const void *content, size_t size, const struct signed_message *message);

/* What we sign with: microseconds that never go back, and the counter in one of them. */
struct signed_clock {
	uint64_t time_us;
	uint64_t counter;
};

/* A clock all of whose times are after time_us: 0, or after a restart the last one used, so that
 * a wall clock that was set back meanwhile makes no message twice. */
void signed_clock_init(struct signed_clock *clock, uint64_t time_us);

/* Goes on, to now_us (wall time) if that is later, else within the same microsecond. */
void signed_clock_next(struct signed_clock *clock, uint64_t now_us);

#endif
