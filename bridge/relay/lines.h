/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the log says of a relay: the relay's situation, as far as it is worth a line, the line
 * itself, which says what to do, and how many lines there may be. Pure; one thread.
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

/* Works out a relay's situation. SITUATION_NONE: the relay is not wanted, the first try is under
 * way, or the relay has not shown yet that it answers. */
void situation_of(const struct relay_view *view, bool home, struct situation *out);
/* Tells whether b says nothing new after a. (Other words for the same trouble are nothing new, nor
 * is the news that a relay which was lost cannot be reached.) */
bool situation_equal(const struct situation *a, const struct situation *b);
/* Writes the line for a situation and returns its level. hearsay: only other nodes have named the
 * relay. */
enum node_log_level situation_format(const struct situation *situation, const struct relay_url *url,
	bool hearsay, char *out, size_t size);

/* How many lines one relay may still have. Zeros at first. */
struct line_budget {
	uint64_t spent; /* the lines so far last until then, at one per interval */
};

/* Takes one line from the budget: at most RELAYS_LINES at once, and one per RELAYS_LINE_INTERVAL.
 * False: not now. */
bool line_budget_take(struct line_budget *budget, uint64_t now);
/* Returns when the next line may be taken. */
uint64_t line_budget_due(const struct line_budget *budget);

#endif
