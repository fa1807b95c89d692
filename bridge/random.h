/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The random source of the sans-IO cores, handed in by their driver: the system's source in the
 * broker, a seeded one in a simulation. Not thread-safe.
 */
#ifndef BRIDGE_RANDOM_H
#define BRIDGE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random {
	void (*fill)(void *context, void *out, size_t size);
	void *context;
};

/* Returns the operating system's random source (RAND_bytes). */
struct random random_system(void);

/* Returns a seeded source (SplitMix64) for tests and simulations; *state is the seed and is
 * advanced. Never for secrets. */
struct random random_seeded(uint64_t *state);

uint64_t random_u64(const struct random *random);

/* Returns a number uniformly distributed in [0, bound); bound > 0. */
uint64_t random_below(const struct random *random, uint64_t bound);

#endif
