/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A rate limit: something may be done once per interval, and after a pause several times at once.
 * (A token bucket.) Actions are not counted per second: peers try again after whole seconds, and
 * would always come when a flood has used up that second's share.
 *
 * sans-IO; times are monotonic nanoseconds. A struct allowance is all zeros at first.
 */
#ifndef BRIDGE_ALLOWANCE_H
#define BRIDGE_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

struct allowance {
	uint64_t next; /* the time at which all turns that were taken are over */
};

/* Takes one turn, if one is free now; returns false if none is. at_once: how many turns may be
 * taken at once after a pause, at least 1. */
bool allowance_take(struct allowance *allowance, uint64_t now, uint64_t interval, uint64_t at_once);
/* Returns the time from which a turn is free; 0 if none was taken yet. */
uint64_t allowance_due(const struct allowance *allowance, uint64_t interval, uint64_t at_once);

#endif
