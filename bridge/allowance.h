/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How often something may be done: once per interval, and after a pause so many times at once. (A
 * token bucket.) Not by counting per second: others try again after whole seconds, and would always
 * come when a flood has used up that second's share.
 *
 * sans-IO; times are monotonic nanoseconds. Zeros at first.
 */
#ifndef BRIDGE_ALLOWANCE_H
#define BRIDGE_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

struct allowance {
	uint64_t next; /* when all that was taken is used up */
};

/* Takes one, if there is one now. at_once: at least 1. */
bool allowance_take(struct allowance *allowance, uint64_t now, uint64_t interval, uint64_t at_once);
/* From when on there is one; 0 if there was none taken yet. */
uint64_t allowance_due(const struct allowance *allowance, uint64_t interval, uint64_t at_once);

#endif
