/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "inbound.h"

#include "broker.h"
#include "topic.h"
#include "views.h"

static void deliver(struct inbound *inbound, uint64_t wall_s, const struct node_event *event)
{
	struct counters *counters = node_counters(inbound->node);

	if (event->is_signed)
		guard_seen(inbound->guard, inbound->node, &event->topic, wall_s);
	counters_add(counters,
		views_arrived(inbound->interest, counters, inbound->delivery_qos, event), 1);
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
	if (event->reason == COUNTER_DROPPED_REPEATED)
		remark_repeated(remarks, now_ns, &event->topic, event->count);
}

size_t inbound_drain(struct inbound *inbound, uint64_t now_ns, uint64_t wall_s)
{
	struct node_event event;
	size_t count = 0;

	while (count < INBOUND_PER_TURN && node_event(inbound->node, &event)) {
		count++;
		switch (event.type) {
		case NODE_MESSAGE:
			deliver(inbound, wall_s, &event);
			break;
		case NODE_LOG:
			log_event(&event);
			break;
		case NODE_JOINED:
		case NODE_LEFT:
			if (remark_may(inbound->remarks, now_ns, REMARK_OVERLAY))
				broker_log(BROKER_INFO, "overlay %s: %s",
					topic_short(&event.topic).text,
					event.type == NODE_JOINED ? "joined" : "left");
			break;
		case NODE_NEIGHBOUR_UP:
		case NODE_NEIGHBOUR_DOWN:
			break;
		case NODE_DROPPED:
			log_dropped(inbound->remarks, now_ns, &event);
			break;
		}
		node_event_clear(&event);
	}
	return count;
}
