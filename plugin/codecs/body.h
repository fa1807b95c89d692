/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the body of an application's message may be: one CBOR item, and nothing after it. */
#ifndef PLUGIN_CODECS_BODY_H
#define PLUGIN_CODECS_BODY_H

#include <stddef.h>
#include <stdint.h>

enum body_origin {
	/* Leaves here: deterministic, NaN as f97e00 only, at most as deep as p2panda 0.7.1
	 * reads (199); else applications become deaf. */
	BODY_OURS,
	/* Has arrived: as any version makes it. Maps in any order, arrays and maps of unknown
	 * length (#[serde(flatten)] before 0.7.1), any NaN; at most as deep as 0.6 writes (255). */
	BODY_THEIRS,
};

/* Both: heads, integers and floats are the shortest, text is UTF-8, no key comes twice, no tag
 * is around a simple value. 0, ERROR_INVALID with why (a static text), or ERROR_NOMEM. */
int body_check(const uint8_t *body, size_t size, enum body_origin origin, const char **why);

#endif
