/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The deadlines of many things of a kind (connections, links) in a binary heap: what is due
 * first is found at once however many there are. Monotonic nanoseconds, UINT64_MAX for never.
 */
#ifndef BRIDGE_TIMERS_H
#define BRIDGE_TIMERS_H

#include <stddef.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

/* Part of whatever has a deadline; zero-filled at first. */
struct timer {
	uint64_t at;
	size_t index; /* place in the heap + 1, 0: not there */
};

struct timers {
	struct timer **heap;
	size_t count, capacity;
};

/* Makes room for count timers in all, so that timers_set cannot fail. ERROR_NOMEM. */
int timers_reserve(struct timers *timers, size_t count);
/* Adds, moves, or with TIMER_NEVER removes. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t at);
/* The earliest, or NULL. */
struct timer *timers_first(const struct timers *timers);
void timers_clear(struct timers *timers);

#endif
