/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "outbound.h"

#include "topic.h"

static enum broker_verdict refuse(struct outbound *outbound, uint64_t now_ns,
	const struct broker_message *message, enum counter reason, enum remark_kind kind,
	const char *why, enum broker_verdict verdict)
{
	struct counters *counters = node_counters(outbound->node);

	counters_add(counters, COUNTER_IN, 1);
	counters_add(counters, reason, 1);
	if (remark_may(outbound->remarks, now_ns, kind))
		broker_log(BROKER_NOTICE, "refused a message of client %.*s to %.18s: %s",
			REMARK_CLIENT, message->client, message->topic, why);
	return verdict;
}

/* What may be sent again, and whether the broker would know that. */
static bool may_come_again(const struct broker_message *message)
{
	return message->qos == 2 && message->lasting;
}

static enum broker_verdict carry(struct outbound *outbound, uint64_t now_ns, const struct id *topic,
	const struct broker_message *message)
{
	struct counters *counters = node_counters(outbound->node);
	uint64_t witness =
		may_come_again(message) ? interest_witness(outbound->interest, topic) : 0;
	int error;

	if (unreleased_knows(outbound->unreleased, message->client, topic, message->payload,
		    message->size, witness)) {
		counters_add(counters, COUNTER_IN, 1);
		counters_add(counters, COUNTER_DROPPED_RESENT, 1);
		return BROKER_CARRY_ON;
	}
	error = interest_published(outbound->interest, now_ns, message->client, topic);
	if (error == ERROR_LIMIT)
		return refuse(outbound, now_ns, message, COUNTER_DROPPED_MAX_OVERLAYS,
			REMARK_MAX_OVERLAYS,
			"over max_overlays or max_overlays_per_client, _user or _address",
			BROKER_REFUSE_QUOTA);
	if (message->has_properties)
		counters_add(counters, COUNTER_PROPERTIES, 1);
	if (!error)
		error = node_publish(outbound->node, topic, message->payload, message->size);
	counters_add(counters, COUNTER_IN, 1);
	if (error == ERROR_FULL)
		counters_add(counters, COUNTER_DROPPED_MAILBOX, 1);
	else if (error)
		counters_add(counters, COUNTER_DROPPED_NO_MEMORY, 1);
	else
		unreleased_add(outbound->unreleased, message->client, topic, message->payload,
			message->size, witness);
	return BROKER_CARRY_ON;
}

enum broker_verdict outbound_message(
	struct outbound *outbound, uint64_t now_ns, const struct broker_message *message)
{
	struct id topic;

	switch (topic_parse(message->topic, &topic)) {
	case TOPIC_FOREIGN:
		return BROKER_CARRY_ON;
	case TOPIC_WILDCARD:
	case TOPIC_MALFORMED:
		return refuse(outbound, now_ns, message, COUNTER_DROPPED_MALFORMED_TOPIC,
			REMARK_MALFORMED_TOPIC,
			"the topic is not p2panda/<64 lower-case hex digits>",
			BROKER_REFUSE_NOT_AUTHORISED);
	case TOPIC_OVERLAY:
		break;
	}
	if (message->size > LIMIT_CONTENT)
		return refuse(outbound, now_ns, message, COUNTER_DROPPED_TOO_LARGE, REMARK_TOO_LARGE,
			"the payload is larger than 4057 bytes", BROKER_REFUSE_QUOTA);
	/* An empty retained message clears the retained one: a matter of this broker. */
	if (message->retain && message->size == 0)
		return BROKER_CARRY_ON;
	return carry(outbound, now_ns, &topic, message);
}
