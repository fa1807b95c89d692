/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "random.h"

#include <stdlib.h>
#include <string.h>
#include <openssl/rand.h>

static void system_fill(void *context, void *out, size_t size)
{
	(void)context;
	/* Without randomness nothing we do is safe, so the process must not go on. */
	if (RAND_bytes(out, (int)size) != 1)
		abort();
}

struct random random_system(void)
{
	return (struct random){system_fill, NULL};
}

/* Returns the next number of SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
 * generators" (OOPSLA 2014). */
static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static void seeded_fill(void *context, void *out, size_t size)
{
	uint8_t *bytes = out;

	while (size > 0) {
		uint64_t value = splitmix64(context);
		size_t chunk = size < sizeof value ? size : sizeof value;

		memcpy(bytes, &value, chunk);
		bytes += chunk;
		size -= chunk;
	}
}

struct random random_seeded(uint64_t *state)
{
	return (struct random){seeded_fill, state};
}

uint64_t random_u64(const struct random *random)
{
	uint64_t value;

	random->fill(random->context, &value, sizeof value);
	return value;
}

uint64_t random_below(const struct random *random, uint64_t bound)
{
	/* Values below 2^64 mod bound would make the low results likelier. */
	uint64_t least = -bound % bound;
	uint64_t value;

	do {
		value = random_u64(random);
	} while (value < least);
	return value % bound;
}
