/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Logs what is otherwise only counted: what the node or the broker drops, on the way to whom (as
 * far as that is known) and what to do. One line for each reason in ten minutes, with the number.
 * Reasons that have lines of their own elsewhere are left out. The broker's thread.
 */
#ifndef PLUGIN_ADVICE_H
#define PLUGIN_ADVICE_H

#include "../bridge/counters.h"

#define ADVICES 20

/* All zero at the beginning. */
struct advice {
	uint64_t look_ns; /* when the counters are looked at next */
	struct {
		uint64_t said; /* the counter, when it was logged last */
		uint64_t not_before;
	} each[ADVICES];
};

void advice_tick(struct advice *advice, uint64_t now_ns, const struct counters *counters);

#endif
