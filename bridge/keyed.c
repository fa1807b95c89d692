/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "keyed.h"

#include <blake3.h>
#include <string.h>

void keyed_init(struct keyed *keyed, const struct random *random)
{
	random->fill(random->context, keyed->key, sizeof keyed->key);
}

unsigned keyed_hash(const struct keyed *keyed, const void *data, size_t size)
{
	blake3_hasher hasher;
	unsigned hash;

	blake3_hasher_init_keyed(&hasher, keyed->key);
	blake3_hasher_update(&hasher, data, size);
	blake3_hasher_finalize(&hasher, (uint8_t *)&hash, sizeof hash);
	return hash;
}
