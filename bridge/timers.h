/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The deadlines of many things of a kind (connections, links) in a binary heap: the earliest
 * deadline is found at once however many there are. Monotonic nanoseconds, UINT64_MAX for never.
 */
#ifndef BRIDGE_TIMERS_H
#define BRIDGE_TIMERS_H

#include <stddef.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

/* Part of every struct that has a deadline; zero-filled at first. */
struct timer {
	uint64_t at;
	size_t index; /* place in the heap + 1; 0: not in the heap */
};

struct timers {
	struct timer **heap;
	size_t count, capacity;
};

/* Makes room for count timers in all, so that timers_set cannot fail. ERROR_NOMEM. */
int timers_reserve(struct timers *timers, size_t count);
/* Sets the deadline of a timer: adds the timer to the heap, moves it, or with TIMER_NEVER removes
 * it. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t at);
/* Returns the timer with the earliest deadline, or NULL when there is none. */
struct timer *timers_first(const struct timers *timers);
void timers_clear(struct timers *timers);

#endif
