/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The 32-byte identifiers of the network: node ids (Ed25519 public keys), topic ids and message ids
 * (BLAKE3 of the content). Plain values; any thread.
 */
#ifndef BRIDGE_ID_H
#define BRIDGE_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define ID_SIZE	    32
#define ID_HEX_SIZE 64
/* Topic ids are secrets: logs and $SYS show this many hex digits only. */
#define ID_SHORT_HEX_SIZE 10

struct id {
	uint8_t bytes[ID_SIZE];
};

static inline bool id_equal(const struct id *a, const struct id *b)
{
	return memcmp(a->bytes, b->bytes, ID_SIZE) == 0;
}

static inline int id_compare(const struct id *a, const struct id *b)
{
	return memcmp(a->bytes, b->bytes, ID_SIZE);
}

#endif
