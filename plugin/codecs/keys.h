/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A stack of the keys of maps that are being read: the keys of a map lie above those of the maps
 * around it. Keys are views of encoded CBOR, and order and equal each other as their bytes do (RFC
 * 8949, 4.2.1), because with shortest heads no item is the beginning of another.
 */
#ifndef PLUGIN_CODECS_KEYS_H
#define PLUGIN_CODECS_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key {
	const uint8_t *at;
	size_t size;
	size_t pair_size; /* with the value, which follows the key */
};

struct keys {
	struct key *list; /* owned; NULL as long as there is none */
	size_t count;
	size_t room;
};

/* Adds a key, whose bytes are not copied. Returns 0 or ERROR_NOMEM. */
int keys_push(struct keys *keys, const struct key *key);
/* Forgets the keys from that index on: those of a map that has ended. */
void keys_drop(struct keys *keys, size_t first);
void keys_clear(struct keys *keys);

/* Tells whether each of the keys from that index on is greater than the one before it. */
bool keys_ascend(const struct keys *keys, size_t first);
/* Sorts the keys from that index on; returns false when two of them are equal. */
bool keys_sort(struct keys *keys, size_t first);

#endif
