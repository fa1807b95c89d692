/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Notices that the wall clock was set, by the monotonic one. Plain functions.
 */
#ifndef PLUGIN_CLOCK_H
#define PLUGIN_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* All zero at the beginning. */
struct clock {
	uint64_t difference_ns; /* of the wall clock to the monotonic one */
	bool begun;
};

/* By how many seconds, rounded, the wall clock was set since the last call: 0 unless it is at
 * least two, for a clock may also be slewed, or be asleep with the machine for a moment. */
int64_t clock_step(struct clock *clock, uint64_t monotonic_ns, uint64_t wall_ns);

#endif
