/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What is said of a relay in the log: how it is with it, as far as that is worth a line, the line
 * itself, which says what to do, and how many of them there may be. Pure; one thread.
 */
#ifndef BRIDGE_RELAY_LINES_H
#define BRIDGE_RELAY_LINES_H

#include "../node_types.h"
#include "client.h"

enum situation_type { SITUATION_NONE, SITUATION_UP, SITUATION_TROUBLE };

struct situation {
	enum situation_type type;
	bool home;
	enum relay_status status;   /* of SITUATION_UP */
	enum relay_trouble trouble; /* of SITUATION_TROUBLE */
	bool restarting;
	char text[RELAY_TEXT_SIZE];
};

/* SITUATION_NONE: not wanted, the first try is under way, or the relay has not shown yet that it
 * answers. */
void situation_of(const struct relay_view *view, bool home, struct situation *out);
/* Whether there is nothing new to be said. (Other words for the same trouble are nothing new, nor
 * is that a relay which was lost cannot be reached.) */
bool situation_equal(const struct situation *a, const struct situation *b);
/* Writes the line; returns its level. hearsay: others have named the relay. */
enum node_log_level situation_format(const struct situation *situation, const struct relay_url *url,
	bool hearsay, char *out, size_t size);

/* Zeros at first. */
struct line_budget {
	uint64_t spent; /* until then, at one line per interval */
};

/* At most RELAYS_LINES at once, and one per RELAYS_LINE_INTERVAL. */
bool line_budget_take(struct line_budget *budget, uint64_t now);
/* When the next one may be. */
uint64_t line_budget_due(const struct line_budget *budget);

#endif
