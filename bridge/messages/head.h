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
	uint8_t first; /* byte */
	enum head_major major;
	uint64_t value; /* the argument; a float's bits */
};

/* Returns false when the reader has failed: ERROR_TRUNCATED, ERROR_NOT_DETERMINISTIC (longer than
 * needed, or an unknown length), ERROR_INVALID. Floats are not looked at. */
bool head_read(struct reader *reader, struct head *head);

bool head_is_float(const struct head *head);

/* Whether no shorter float has the same bits. Of NaN that is f97e00 alone, or with any_nan each
 * quiet one in its shortest form, and signalling ones of any length: ciborium keeps them as
 * they are. */
bool head_is_shortest_float(const struct head *head, bool any_nan);

#endif
