/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "events.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "broker.h"
#include "status.h"
#include "topic.h"

#define TOPIC	    STATUS_PREFIX "event"
#define INTERVAL_NS (UINT64_C(1000000000) / EVENTS_PER_SECOND)

/* Publishes an event. Nothing is to be escaped: what is written are digits, numbers and words of
 * ours. */
__attribute__((format(printf, 2, 3))) static void publish(
	uint64_t wall_ms, const char *format, ...)
{
	char text[256];
	size_t used = (size_t)snprintf(text, sizeof text, "{\"time\":%" PRIu64 ",", wall_ms);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + used, sizeof text - used, format, arguments);
	va_end(arguments);
	broker_publish(TOPIC, text, strlen(text), 0, NULL, 0);
}

static bool may(struct events *events, uint64_t now_ns, uint64_t wall_ms)
{
	if (!allowance_take(&events->allowance, now_ns, INTERVAL_NS, EVENTS_AT_ONCE)) {
		events->omitted++;
		return false;
	}
	if (events->omitted > 0)
		publish(wall_ms, "\"event\":\"omitted\",\"count\":%" PRIu64 "}", events->omitted);
	events->omitted = 0;
	return true;
}

void events_publish(struct events *events, uint64_t now_ns, uint64_t wall_ms,
	const struct node_event *event)
{
	static const char *const names[NODE_PICTURE + 1] = {
		[NODE_JOINED] = "joined",
		[NODE_NEIGHBOUR_UP] = "neighbour_up",
		[NODE_NEIGHBOUR_DOWN] = "neighbour_down",
		[NODE_LEFT] = "left",
		[NODE_DROPPED] = "dropped",
	};
	static const char *const causes[] = {
		[NODE_DOWN_LOST] = "lost",
		[NODE_DOWN_LEFT] = "left",
		[NODE_DOWN_TURNED_AWAY] = "turned_away",
		[NODE_DOWN_GAVE_WAY] = "gave_way",
	};
	struct topic_short overlay = topic_short(&event->topic), node = topic_short(&event->peer);
	const char *name = names[event->type];

	if (!name || !may(events, now_ns, wall_ms))
		return;
	switch (event->type) {
	case NODE_NEIGHBOUR_UP:
		publish(wall_ms, "\"event\":\"%s\",\"overlay\":\"%s\",\"node\":\"%s\"}", name,
			overlay.text, node.text);
		break;
	case NODE_NEIGHBOUR_DOWN:
		publish(wall_ms,
			"\"event\":\"%s\",\"overlay\":\"%s\",\"node\":\"%s\",\"cause\":\"%s\"}",
			name, overlay.text, node.text, causes[event->down]);
		break;
	case NODE_DROPPED:
		publish(wall_ms,
			"\"event\":\"%s\",\"overlay\":\"%s\",\"reason\":\"%s\",\"count\":%" PRIu64
			"}",
			name, overlay.text, counter_topic(event->reason), event->count);
		break;
	default:
		publish(wall_ms, "\"event\":\"%s\",\"overlay\":\"%s\"}", name, overlay.text);
		break;
	}
}
