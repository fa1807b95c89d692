/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "inbound.h"

#include "broker.h"
#include "topic.h"
#include "views.h"

static void deliver(struct inbound *inbound, uint64_t wall_s, const struct node_event *event)
{
	struct counters *counters = node_counters(inbound->node);
	enum counter outcome;

	if (event->is_signed)
		guard_seen(inbound->guard, inbound->node, &event->topic, wall_s);
	outcome = views_arrived(inbound->interest, counters, inbound->delivery_qos, event);
	counters_add(counters, outcome, 1);
	status_overlays_count(status_overlays(inbound->status), &event->topic,
		outcome == COUNTER_OUT ? STATUS_OUT : STATUS_DROPPED, 1);
}

static void log_event(const struct node_event *event)
{
	static const enum broker_level levels[] = {
		[NODE_LOG_DEBUG] = BROKER_DEBUG,
		[NODE_LOG_INFO] = BROKER_INFO,
		[NODE_LOG_NOTICE] = BROKER_NOTICE,
		[NODE_LOG_WARNING] = BROKER_WARNING,
		[NODE_LOG_ERROR] = BROKER_ERROR,
	};

	broker_log(levels[event->level], "%s", event->text);
}

static void log_dropped(struct remarks *remarks, uint64_t now_ns, const struct node_event *event)
{
	broker_log(BROKER_DEBUG, "overlay %s: %llu messages not carried: %s",
		topic_short(&event->topic).text, (unsigned long long)event->count,
		counter_topic(event->reason));
	remark_dropped(remarks, now_ns, &event->topic, event->reason, event->count);
}

/* Tells whether this turn has had its part. */
static bool is_enough(const struct inbound *inbound, uint64_t began_ns, size_t count)
{
	return count >= INBOUND_PER_TURN ||
	       (count > 0 && count % INBOUND_LOOK == 0 &&
		       inbound->clock_ns() - began_ns >= INBOUND_TURN_NS);
}

size_t inbound_drain(struct inbound *inbound, uint64_t now_ns, uint64_t wall_s, bool *more)
{
	uint64_t began_ns = inbound->clock_ns();
	struct node_event event;
	size_t count = 0;

	while (!(*more = is_enough(inbound, began_ns, count)) && node_event(inbound->node, &event)) {
		count++;
		status_event(inbound->status, now_ns, &event);
		switch (event.type) {
		case NODE_MESSAGE:
			deliver(inbound, wall_s, &event);
			break;
		case NODE_LOG:
			log_event(&event);
			break;
		case NODE_JOINED:
		case NODE_LEFT:
			flaps_changed(inbound->flaps, inbound->remarks, now_ns, &event.topic,
				event.type == NODE_JOINED);
			break;
		case NODE_NEIGHBOUR_UP:
		case NODE_NEIGHBOUR_DOWN:
		case NODE_CONFIGURED:
		case NODE_ADDRESSES:
			break;
		case NODE_DROPPED:
			log_dropped(inbound->remarks, now_ns, &event);
			break;
		case NODE_PICTURE:
			if (inbound->pictured)
				inbound->pictured(inbound->context, event.picture);
			break;
		}
		node_event_clear(&event);
	}
	return count;
}
