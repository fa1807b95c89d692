/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Checks the body of a signed message: one item of CBOR in its deterministic form (RFC 8949,
 * 4.2.1), as the applications' encoders make it (facts: cbor-core 0.10.1 in p2panda 0.7.1, ciborium
 * 0.2.2 in 0.6.1 and 0.7.0; tests/vectors has what both make and take). Receivers there verify the
 * signature over a body that they have decoded and encoded again, so a body in any other form would
 * never verify there, and would make them deaf.
 *
 * The form: shortest heads and floats, known lengths, UTF-8, map keys sorted by their encoded bytes
 * (so shorter texts first) and none twice. Of the simple values only false, true and null: no
 * receiver of any version takes another one. No bignum that fits into 64 bits.
 *
 * tinycbor's validator is the second opinion in the tests: it recurses, and knows neither this
 * depth nor tags around simple values. Plain functions; any thread; some 16 KB of stack.
 */
#ifndef BRIDGE_MESSAGES_BODY_H
#define BRIDGE_MESSAGES_BODY_H

#include <stddef.h>
#include <stdint.h>

#include "../bytes/reader.h"

enum body_rule {
	/* Keys may be in any order, as 0.6 and 0.7.0 write them; none twice all the same. */
	BODY_ANY_ORDER = 1,
	/* A NaN may have any form that one of the versions writes; otherwise f97e00 only. */
	BODY_ANY_NAN = 2,
};

#define BODY_WRITTEN BODY_ANY_ORDER		     /* what we may send */
#define BODY_ARRIVED (BODY_ANY_ORDER | BODY_ANY_NAN) /* what an application may have sent */

/* Checks that data is one item in this form, but for the exceptions that rules allow.
 *  ERROR_TRUNCATED          data ends within the item
 *  ERROR_TRAILING           bytes follow the item
 *  ERROR_INVALID            not CBOR, not UTF-8, or a simple value that nobody takes
 *  ERROR_NOT_DETERMINISTIC  longer than needed, of unknown length, keys unsorted or twice
 *  ERROR_TOO_DEEP           containers and tags in more than LIMIT_SIGNED_DEPTH others
 *  ERROR_TAGGED_SIMPLE      a tag around a simple value, which crashes applications of 0.7.1
 *  ERROR_TOO_LARGE          more than LIMIT_CONTENT bytes */
int body_check(const void *data, size_t size, unsigned rules);

/* Reads the item that comes next, and checks it as body_check does; bytes that follow are left to
 * the caller. Returns a view of the item; NULL when the reader has failed, with one of these
 * errors. */
const uint8_t *body_read(struct reader *reader, unsigned rules, size_t *size);

#endif
