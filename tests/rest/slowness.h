/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How slow this machine is, now: bounds on processor time are for one on which BLAKE3 takes 4 us for
 * a message of 4000 bytes, and a wake of a thread 10 us. (On virtual machines it may be 25 us.) */
#ifndef TESTS_REST_SLOWNESS_H
#define TESTS_REST_SLOWNESS_H

#include <blake3.h>
#include <poll.h>
#include <stdint.h>
#include <time.h>

#define SLOWNESS_HASHES	 5000
#define SLOWNESS_HASH_NS 4000
#define SLOWNESS_WAKES	 50
#define SLOWNESS_WAKE_NS 10000

/* Returns the processor time of this thread, in ns. */
static inline double slowness_clock(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (double)used.tv_sec * 1e9 + (double)used.tv_nsec;
}

/* Returns how many times longer one of both takes now, and no less than 1. Takes 120 ms and more. */
static inline double slowness(void)
{
	static uint8_t message[4000];
	double begun = slowness_clock(), hash, wake;
	blake3_hasher hasher;

	for (unsigned i = 0; i < SLOWNESS_HASHES; i++) {
		blake3_hasher_init(&hasher);
		blake3_hasher_update(&hasher, message, sizeof message);
		/* So that each one depends on the one before. */
		blake3_hasher_finalize(&hasher, message, BLAKE3_OUT_LEN);
	}
	hash = (slowness_clock() - begun) / (SLOWNESS_HASHES * SLOWNESS_HASH_NS);
	begun = slowness_clock();
	for (unsigned i = 0; i < SLOWNESS_WAKES; i++)
		(void)poll(NULL, 0, 2);
	wake = (slowness_clock() - begun) / (SLOWNESS_WAKES * SLOWNESS_WAKE_NS);
	if (wake > hash)
		hash = wake;
	return hash > 1 ? hash : 1;
}

#endif
