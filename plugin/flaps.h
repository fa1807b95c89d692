/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Logs that an overlay is joined or left. An overlay that a client has joined and left all the time
 * gets a few such lines, then one now and then that says how often. The broker's thread.
 */
#ifndef PLUGIN_FLAPS_H
#define PLUGIN_FLAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bridge/allowance.h"
#include "../bridge/id.h"
#include "remark.h"

/* How many overlays are known: those that were joined or left last. */
#define FLAPS_OVERLAYS 64
/* How many lines one overlay may have at once, and the time for each further one. */
#define FLAPS_BURST    6
#define FLAPS_EVERY_NS UINT64_C(30000000000)

/* All zero at the beginning. */
struct flaps {
	struct flapping {
		struct id topic;
		struct allowance lines; /* none was ever taken: free */
		uint64_t unsaid;
		bool joined;
	} overlays[FLAPS_OVERLAYS];
	size_t silent; /* overlays that have something unsaid */
};

/* Logs that an overlay is joined or left, or counts it for a later line. remarks: the limit for all
 * overlays together. */
void flaps_changed(struct flaps *flaps, struct remarks *remarks, uint64_t now_ns,
	const struct id *topic, bool joined);
/* Logs what was counted, when there may be a line again. */
void flaps_tick(struct flaps *flaps, uint64_t now_ns);

#endif
