/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lines that clients and peers can bring about as often as they like: some at once, then now
 * and then, each kind for itself, so that none hides behind another. How many were not written
 * is said. The broker's thread.
 */
#ifndef PLUGIN_REMARK_H
#define PLUGIN_REMARK_H

#include <stdbool.h>
#include <stdint.h>

#include "../bridge/id.h"

/* As much of a client id as goes into a line (it may have 65,535 bytes): use with %.*s. */
#define REMARK_CLIENT 40

enum remark_kind {
	REMARK_MALFORMED_FILTER,
	REMARK_LOCAL,
	REMARK_DENIED,
	REMARK_GAVE_WAY,
	REMARK_UNRECORDED,
	REMARK_MALFORMED_TOPIC,
	REMARK_TOO_LARGE,
	REMARK_MAX_OVERLAYS,
	REMARK_ENCODING,
	REMARK_GUARD,
	REMARK_REPEATED,
	REMARK_OVERLAY,
	REMARKS
};

/* Overlays whose repeated messages were spoken of last. */
#define REMARK_REPEATERS 64

/* All zero at the beginning. */
struct remarks {
	struct {
		uint64_t spent_until; /* ns: when all of them may be said again */
		uint64_t unsaid;
	} kinds[REMARKS];
	uint64_t summary_ns; /* when what was not said may be summed up */
	struct {
		struct id topic;
		uint64_t not_before; /* ns; 0: free */
		uint64_t unsaid;
	} repeaters[REMARK_REPEATERS];
};

/* Whether a line of this kind may be written now; it counts as written then. */
bool remark_may(struct remarks *remarks, uint64_t now_ns, enum remark_kind kind);

/* count messages were not sent on, for the overlay has had the same bytes lately: says what to
 * do, once in a while for each overlay. */
void remark_repeated(
	struct remarks *remarks, uint64_t now_ns, const struct id *topic, uint64_t count);

/* Says how many lines were not written. */
void remark_tick(struct remarks *remarks, uint64_t now_ns);

#endif
