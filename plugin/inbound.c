/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "inbound.h"

#include "broker.h"
#include "topic.h"

static void deliver(struct node *node, uint8_t qos, const struct node_event *event)
{
	struct message *message = event->message;
	char topic[TOPIC_SIZE];
	bool taken = broker_publish(
		topic_name(&event->topic, topic), message->content, message->size, qos, false);

	counters_add(node_counters(node), taken ? COUNTER_OUT : COUNTER_DROPPED_BROKER, 1);
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

size_t inbound_drain(struct node *node, uint64_t now_ns, uint8_t qos, struct remarks *remarks)
{
	struct node_event event;
	size_t count = 0;

	while (count < INBOUND_PER_TURN && node_event(node, &event)) {
		count++;
		switch (event.type) {
		case NODE_MESSAGE:
			deliver(node, qos, &event);
			break;
		case NODE_LOG:
			log_event(&event);
			break;
		case NODE_JOINED:
		case NODE_LEFT:
			if (remark_may(remarks, now_ns, REMARK_OVERLAY))
				broker_log(BROKER_INFO, "overlay %s: %s",
					topic_short(&event.topic).text,
					event.type == NODE_JOINED ? "joined" : "left");
			break;
		case NODE_NEIGHBOUR_UP:
		case NODE_NEIGHBOUR_DOWN:
			break;
		case NODE_DROPPED:
			log_dropped(remarks, now_ns, &event);
			break;
		}
		node_event_clear(&event);
	}
	return count;
}
