/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The signed message that applications on the crate `p2panda` (its Node API) put on an overlay:
 * p2panda/src/streams/ephemeral_stream.rs, the same in 0.6.1, 0.7.0 and 0.7.1. One message of
 * gossip is one tuple in CBOR,
 *
 *   86 01 5820<author> 5840<signature> <microseconds> <counter> <body>
 *
 * and the signature is over the same tuple without the signature's item (85 01 ..). The author need
 * not be the sender, and receivers check neither order nor age: time and counter only make each
 * message different from all others. Some forms that those receivers accept are refused here: tags
 * around the outer items, bytes or items behind the body (they are not signed, so one signature
 * could stand in many messages), heads longer than needed (0.6.1, 0.7.0).
 *
 * A clock belongs to one thread; all other functions are for any thread.
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
	uint64_t counter; /* counts messages in the same microsecond */
	const uint8_t *body;
	size_t body_size;
};

/* Makes a message, signed by the identity, with one reference that is the caller's. The body is
 * checked (body.h, BODY_WRITTEN), so that no body goes out that receivers do not take.
 * ERROR_TOO_LARGE (more than LIMIT_SIGNED_BODY bytes), the errors of body_check, ERROR_TLS,
 * ERROR_NOMEM. */
int signed_encode(const struct identity *identity, uint64_t time_us, uint64_t counter,
	const void *body, size_t body_size, struct message **out);

/* Takes a message apart by its shape, and verifies nothing. The body is a view of content,
 * deterministic but for the order of keys and NaN (body.h, BODY_ARRIVED). Takes 0.1 us, for texts
 * of 4 KB 3 us; for a body of a thousand unsorted keys, made to be slow, as long as signed_verify.
 *  ERROR_NOT_SIGNED  no such message: a plain payload, a tuple of other types or another length
 *  ERROR_VERSION     a message of another version
 *  ERROR_TRUNCATED   the message ends too early
 *  ERROR_TRAILING    bytes follow the message
 *  ERROR_TOO_LARGE   more than LIMIT_CONTENT bytes
 * and the errors of body_check for the heads and the body. After an error out is undefined. */
int signed_decode(const void *content, size_t size, struct signed_message *out);

/* Verifies that the author has signed a message: content, and what signed_decode made of it. Takes
 * some 0.1 ms (measured, with any body), so it is not to be called without a budget (effort.h).
 * ERROR_SIGNATURE (also for a key or a signature of small order, and for S >= L), ERROR_TLS. */
int signed_verify(const void *content, size_t size, const struct signed_message *message);

/* The time and counter with which we sign: microseconds that never go back, and a counter within
 * one of them. */
struct signed_clock {
	uint64_t time_us;
	uint64_t counter;
};

/* Sets up a clock all of whose times are after time_us: 0, or after a restart the last time that
 * was used, so that no message is made twice if the wall clock was set back meanwhile. Only tests
 * call it. */
void signed_clock_init(struct signed_clock *clock, uint64_t time_us);

/* Moves the clock on, to now_us (wall time) if that is later, else within the same microsecond. */
void signed_clock_next(struct signed_clock *clock, uint64_t now_us);

#endif
