/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Heads of CBOR items (RFC 8949, 3), only in their shortest form. For this room. Any thread. */
#ifndef BRIDGE_MESSAGES_HEAD_H
#define BRIDGE_MESSAGES_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "../bytes/reader.h"

enum head_major {
	HEAD_UINT,
	HEAD_NEGATIVE,
	HEAD_BYTES,
	HEAD_TEXT,
	HEAD_ARRAY,
	HEAD_MAP,
	HEAD_TAG,
	HEAD_SIMPLE, /* and floats */
};

#define HEAD_FALSE 0xf4
#define HEAD_NULL  0xf6

struct head {
	uint8_t first; /* the first byte */
	enum head_major major;
	uint64_t value; /* the argument; a float's bits */
};

/* Reads a head. Returns false when the reader has failed: ERROR_TRUNCATED, ERROR_NOT_DETERMINISTIC
 * (longer than needed, or an unknown length), ERROR_INVALID. Does not check whether a float is the
 * shortest. */
bool head_read(struct reader *reader, struct head *head);

bool head_is_float(const struct head *head);

/* Tells whether no shorter float has the same value. Of the NaNs only f97e00 counts as shortest; or
 * with any_nan each quiet NaN in its shortest form, and signalling NaNs of any length: ciborium
 * keeps those as they are. */
bool head_is_shortest_float(const struct head *head, bool any_nan);

#endif
