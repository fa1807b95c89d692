/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "outbound.h"

#include "topic.h"

/* Counts a message that has come from a client, and below one that was dropped. overlay: NULL if
 * the message is for none. */
static void count_in(struct outbound *outbound, const struct id *overlay)
{
	counters_add(node_counters(outbound->node), COUNTER_IN, 1);
	if (overlay && outbound->overlays)
		status_overlays_count(outbound->overlays, overlay, STATUS_IN, 1);
}

static void count_dropped(struct outbound *outbound, const struct id *overlay, enum counter reason)
{
	counters_add(node_counters(outbound->node), reason, 1);
	if (overlay && outbound->overlays)
		status_overlays_count(outbound->overlays, overlay, STATUS_DROPPED, 1);
}

static enum broker_verdict refuse(struct outbound *outbound, uint64_t now_ns,
	const struct id *overlay, const struct broker_message *message, enum counter reason,
	enum remark_kind kind, const char *why, enum broker_verdict verdict)
{
	count_in(outbound, overlay);
	count_dropped(outbound, overlay, reason);
	if (remark_may(outbound->remarks, now_ns, kind))
		broker_log(BROKER_NOTICE, "refused a message of client %.*s to %.18s: %s",
			REMARK_CLIENT, message->client, message->topic, why);
	return verdict;
}

/* Tells whether the client may send the message again on another connection, and the broker would
 * know that (unreleased.h). */
static bool may_come_again(const struct broker_message *message)
{
	return message->qos == 2 && message->lasting;
}

/* Publishes on the overlay what the message is there: its payload, or (body) what its codec has
 * made of the payload. */
static int publish(struct outbound *outbound, const struct id *overlay,
	const struct broker_message *message, const struct views_body *body)
{
	if (body)
		return node_publish_signed(outbound->node, overlay, body->bytes, body->size);
	return node_publish(outbound->node, overlay, message->payload, message->size);
}

static enum broker_verdict carry(struct outbound *outbound, uint64_t now_ns,
	const struct topic *topic, const struct broker_message *message,
	const struct views_body *body)
{
	struct counters *counters = node_counters(outbound->node);
	const struct id *overlay = &topic->overlay;
	uint64_t witness =
		may_come_again(message) ? interest_witness(outbound->interest, overlay) : 0;
	int error;

	if (unreleased_knows(outbound->unreleased, message->client, overlay, message->payload,
		    message->size, witness)) {
		count_in(outbound, overlay);
		count_dropped(outbound, overlay, COUNTER_DROPPED_RESENT);
		return BROKER_CARRY_ON;
	}
	error = interest_published(outbound->interest, now_ns, message->client, overlay);
	if (error == ERROR_LIMIT)
		return refuse(outbound, now_ns, overlay, message, COUNTER_DROPPED_MAX_OVERLAYS,
			REMARK_MAX_OVERLAYS,
			"over max_overlays or max_overlays_per_client, _user or _address",
			BROKER_REFUSE_QUOTA);
	if (message->has_properties)
		counters_add(counters, COUNTER_PROPERTIES, 1);
	if (!error)
		error = publish(outbound, overlay, message, body);
	count_in(outbound, overlay);
	if (error == ERROR_FULL)
		count_dropped(outbound, overlay, COUNTER_DROPPED_MAILBOX);
	else if (error)
		count_dropped(outbound, overlay, COUNTER_DROPPED_NO_MEMORY);
	else
		unreleased_add(outbound->unreleased, message->client, overlay, message->payload,
			message->size, witness);
	views_published(outbound->interest, counters, outbound->delivery_qos, topic,
		message->payload, message->size, body);
	return BROKER_CARRY_ON;
}

static enum broker_verdict carry_raw(struct outbound *outbound, uint64_t now_ns, uint64_t wall_s,
	const struct topic *topic, const struct broker_message *message)
{
	if (message->size > LIMIT_CONTENT)
		return refuse(outbound, now_ns, &topic->overlay, message, COUNTER_DROPPED_TOO_LARGE,
			REMARK_TOO_LARGE, "the payload is larger than 4057 bytes", BROKER_REFUSE_QUOTA);
	if (outbound->guard && guard_holds(outbound->guard, &topic->overlay, wall_s))
		return refuse(outbound, now_ns, &topic->overlay, message, COUNTER_DROPPED_RAW, REMARK_GUARD,
			"applications listen on this overlay, and a plain message would make them "
			"deaf: publish to <this topic>/ephemeral/json, /text, /bytes or /cbor "
			"(option raw_among_signed)",
			BROKER_REFUSE_NOT_AUTHORISED);
	return carry(outbound, now_ns, topic, message, NULL);
}

static enum broker_verdict carry_signed(struct outbound *outbound, uint64_t now_ns,
	const struct topic *topic, enum view view, const struct broker_message *message)
{
	char reason[CODEC_REASON_SIZE];
	struct views_body body;
	int error = codec_encode(views_codec(view), &outbound->codecs, message->payload,
		message->size, body.bytes, sizeof body.bytes, &body.size, reason);

	switch (error) {
	case ERROR_NONE:
		return carry(outbound, now_ns, topic, message, &body);
	case ERROR_TOO_LARGE:
		return refuse(outbound, now_ns, &topic->overlay, message, COUNTER_DROPPED_TOO_LARGE,
			REMARK_TOO_LARGE, reason, BROKER_REFUSE_QUOTA);
	case ERROR_NOMEM:
		count_in(outbound, &topic->overlay);
		count_dropped(outbound, &topic->overlay, COUNTER_DROPPED_NO_MEMORY);
		return BROKER_CARRY_ON;
	default:
		return refuse(outbound, now_ns, &topic->overlay, message, COUNTER_DROPPED_ENCODING,
			REMARK_ENCODING, reason, BROKER_REFUSE_NOT_AUTHORISED);
	}
}

enum broker_verdict outbound_message(struct outbound *outbound, uint64_t now_ns, uint64_t wall_s,
	const struct broker_message *message)
{
	struct topic topic;
	enum view view;

	switch (topic_parse(message->topic, &topic)) {
	case TOPIC_FOREIGN:
		remark_elsewhere(outbound->remarks, REMARK_PUBLISHED_ELSEWHERE, message->client,
			message->topic);
		return BROKER_CARRY_ON;
	case TOPIC_WILDCARD:
	case TOPIC_MALFORMED:
		return refuse(outbound, now_ns, NULL, message, COUNTER_DROPPED_MALFORMED_TOPIC,
			REMARK_MALFORMED_TOPIC, "the topic is not " TOPIC_ACCEPTED,
			BROKER_REFUSE_NOT_AUTHORISED);
	case TOPIC_OVERLAY:
		break;
	}
	/* An empty retained message clears the retained one: a matter of this broker. */
	if (message->retain && message->size == 0)
		return BROKER_CARRY_ON;
	view = topic_view(&topic);
	if (view == VIEW_RAW)
		return carry_raw(outbound, now_ns, wall_s, &topic, message);
	return carry_signed(outbound, now_ns, &topic, view, message);
}
