/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Limits the log lines that clients and peers can trigger: some at once, then now and then, each
 * kind for itself, so that none hides behind another. How many lines were not written is logged,
 * too. The broker's thread.
 */
#ifndef PLUGIN_REMARK_H
#define PLUGIN_REMARK_H

#include <stdbool.h>
#include <stdint.h>

#include "../bridge/allowance.h"
#include "../bridge/counters.h"
#include "../bridge/id.h"

/* How much of a client id goes into a line (a client id may have 65,535 bytes): use with %.*s. */
#define REMARK_CLIENT 40

/* Lines that are written once. */
enum remark_once {
	REMARK_SUBSCRIBED_ELSEWHERE,
	REMARK_PUBLISHED_ELSEWHERE,
	REMARK_UNSEEN,
	REMARKS_ONCE
};

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
	REMARK_DROPPED,
	REMARK_OVERLAY,
	REMARK_CONTROL,
	REMARKS
};

/* How many overlays are known whose messages were not carried, each with one reason for that: those
 * that were logged last. */
#define REMARK_DROPPERS 64

/* All zero at the beginning. */
struct remarks {
	struct {
		struct allowance lines;
		uint64_t unsaid;
	} kinds[REMARKS];
	bool said[REMARKS_ONCE];
	uint64_t summary_ns; /* when what was not said may be summed up */
	struct {
		struct id topic;
		enum counter reason;
		uint64_t not_before; /* ns; 0: free */
		uint64_t unsaid;
	} droppers[REMARK_DROPPERS];
};

/* Tells whether a line of this kind may be written now; if so, it counts as written. */
bool remark_may(struct remarks *remarks, uint64_t now_ns, enum remark_kind kind);

/* Tells whether this line has not been written yet; if so, it counts as written. */
bool remark_first(struct remarks *remarks, enum remark_once what);

/* Logs, once for each what, that a client has subscribed or published on a topic that only ends
 * like an overlay's. */
void remark_elsewhere(struct remarks *remarks, enum remark_once what, const char *client,
	const char *topic);

/* Logs that count messages of the overlay were not carried, why, and what to do: once in a while
 * for each overlay and reason. Logs nothing for reasons whose messages are refused, which is said
 * elsewhere. */
void remark_dropped(struct remarks *remarks, uint64_t now_ns, const struct id *topic,
	enum counter reason, uint64_t count);

/* Logs how many lines were not written. */
void remark_tick(struct remarks *remarks, uint64_t now_ns);

#endif
