/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads the system's clocks, and notices that the wall clock was set, by comparing it with the
 * monotonic clock. Plain functions.
 */
#ifndef PLUGIN_CLOCK_H
#define PLUGIN_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* Reads one of the system's clocks, ns. */
static inline uint64_t clock_read(clockid_t which)
{
	struct timespec now;

	clock_gettime(which, &now);
	return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* Returns the monotonic time, ns. */
static inline uint64_t clock_now_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

/* All zero at the beginning. */
struct clock {
	uint64_t difference_ns; /* from the monotonic clock to the wall clock */
	bool begun;
};

/* Returns by how many seconds, rounded, the wall clock was set since the last call: 0 unless it is
 * at least two, for a clock may also be slewed, or be asleep with the machine for a moment. */
int64_t clock_step(struct clock *clock, uint64_t monotonic_ns, uint64_t wall_ns);

#endif
