/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "farewell.h"

#include <stdio.h>
#include <string.h>

#include "broker.h"

struct farewell farewell_end(struct node *node)
{
	struct counters *counters = node_counters(node);
	struct node_event event;
	struct farewell farewell = {
		.waited = counters_get(counters, COUNTER_DROPPED_LEFT),
		.unacknowledged = counters_get(counters, COUNTER_DROPPED_PEER_LOST),
		.arrived = counters_get(counters, COUNTER_DROPPED_EVENTS),
	};

	node_end(node);
	farewell.kept = node_kept(node);
	farewell.waited = counters_get(counters, COUNTER_DROPPED_LEFT) - farewell.waited;
	farewell.unacknowledged =
		counters_get(counters, COUNTER_DROPPED_PEER_LOST) - farewell.unacknowledged;
	farewell.arrived = counters_get(counters, COUNTER_DROPPED_EVENTS) - farewell.arrived;
	while (node_event(node, &event)) {
		farewell.arrived += event.type == NODE_MESSAGE;
		node_event_clear(&event);
	}
	return farewell;
}

static void add(char *line, size_t size, uint64_t count, const char *what)
{
	size_t used = strlen(line);

	if (count > 0)
		snprintf(line + used, size - used, "%s %llu %s", used > 0 ? ";" : "",
			(unsigned long long)count, what);
}

void farewell_say(const struct farewell *farewell)
{
	static const char messages[] = " messages that have waited for a neighbour";
	char line[256] = "";

	add(line, sizeof line, farewell->waited, "messages that have waited for a neighbour");
	add(line, sizeof line, farewell->unacknowledged,
		"copies that a neighbour has not acknowledged");
	add(line, sizeof line, farewell->arrived, "that have come and were not handed on yet");
	if (line[0] && farewell->kept > 0)
		broker_log(BROKER_WARNING, "lost by this stop:%s; kept for the next start: %llu%s", line,
			(unsigned long long)farewell->kept, messages);
	else if (line[0])
		broker_log(BROKER_WARNING, "lost by this stop:%s", line);
	else if (farewell->kept > 0)
		broker_log(BROKER_NOTICE, "kept for the next start: %llu%s",
			(unsigned long long)farewell->kept, messages);
}
