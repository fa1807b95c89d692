/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "keyed.h"

#include <assert.h>
#include <blake3.h>
#define XXH_INLINE_ALL /* its header is all there is of it here */
/* Bytes are read by memcpy. Else they are read as numbers of 64 bits, which the compiler, when it sees
 * caller and callee at once (-flto), may do before an id has been written that is no such number. */
#define XXH_FORCE_MEMORY_ACCESS 0
#include <xxhash.h>

static_assert(KEYED_SECRET >= XXH3_SECRET_SIZE_MIN, "what XXH3 takes");

void keyed_init(struct keyed *keyed, const struct random *random)
{
	uint8_t key[BLAKE3_KEY_LEN];
	blake3_hasher hasher;

	random->fill(random->context, key, sizeof key);
	blake3_hasher_init_keyed(&hasher, key);
	blake3_hasher_finalize(&hasher, keyed->secret, sizeof keyed->secret);
}

unsigned keyed_hash(const struct keyed *keyed, const void *data, size_t size)
{
	return (unsigned)XXH3_64bits_withSecret(data, size, keyed->secret, sizeof keyed->secret);
}
