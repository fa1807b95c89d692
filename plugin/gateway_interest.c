/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "gateway_internal.h"

#include "topic.h"

/* How long an overlay that nobody holds stays joined. Other nodes are to see within a second that
 * an overlay is left, but not before a client that is cut off had the time to come back and
 * subscribe. */
#define GRACE_NS (2 * SECOND_NS / 5)

static int join(void *context, const struct id *topic)
{
	struct gateway *gateway = context;
	int error = node_join(gateway->node, topic);

	if (!error)
		status_overlays_join(status_overlays(gateway->status), topic);
	return error;
}

static int leave(void *context, const struct id *topic)
{
	struct gateway *gateway = context;
	int error = node_leave(gateway->node, topic);

	if (!error)
		status_overlays_leave(status_overlays(gateway->status), topic);
	return error;
}

static int verify(void *context, const struct id *topic, bool wanted)
{
	return node_verify(((struct gateway *)context)->node, topic, wanted);
}

static bool has_session(void *context, const char *client)
{
	return broker_has_session(client);
}

static bool has_subscription(
	void *context, const char *client, const char *filter, struct terms terms)
{
	return broker_has_subscription(client, filter, terms) != BROKER_NO;
}

static void missing(void *context, const char *client, const char *filter)
{
	struct gateway *gateway = context;

	/* That a whole session is gone is nothing special: it has expired. */
	if (!broker_knows(client))
		return;
	if (topic_is_shared(filter))
		gateway->missing_shared++;
	else
		gateway->missing++;
}

static int remember(void *context, const char *client, const char *filter, struct terms terms)
{
	struct gateway *gateway = context;

	given_up_end(gateway->given_up, client, filter);
	return sessions_remember(gateway->sessions, client, filter, terms);
}

static void forget(void *context, const char *client, const char *filter)
{
	sessions_forget(((struct gateway *)context)->sessions, client, filter);
}

static void give_up(void *context, const char *client, const char *filter, struct terms terms)
{
	struct gateway *gateway = context;

	sessions_forget(gateway->sessions, client, filter);
	given_up_add(gateway->given_up, client, filter, terms);
}

static bool allowed(void *context, const char *client, const char *filter, const struct id *topic)
{
	char text[TOPIC_SIZE];
	struct topic parsed;

	/* Of a filter with a wildcard, the text is one of the topics that the filter matches. */
	(void)topic_parse(filter, &parsed);
	topic_text(topic, parsed.name, parsed.name_size, topic_view(&parsed), text);
	return broker_may_read(client, filter, text);
}

static struct interest_owner owner(void *context, const char *client)
{
	return (struct interest_owner){broker_user(client), broker_address(client)};
}

static void denied(void *context, const char *client, const struct id *topic)
{
	struct gateway *gateway = context;

	counters_add(node_counters(gateway->node), COUNTER_DENIED, 1);
	if (remark_may(&gateway->remarks, clock_now_ns(), REMARK_DENIED))
		broker_log(BROKER_NOTICE,
			"overlay %s: not joined for client %.*s: the broker does not let it read "
			"there",
			topic_short(topic).text, REMARK_CLIENT, client);
}

void gateway_log_local(
	struct gateway *gateway, const char *client, const struct id *topic, const char *why)
{
	if (remark_may(&gateway->remarks, clock_now_ns(), REMARK_LOCAL))
		broker_log(BROKER_WARNING,
			"overlay %s: not joined for client %.*s, whose subscription stays local: "
			"%s",
			topic_short(topic).text, REMARK_CLIENT, client, why);
}

static void limited(void *context, const char *client, const struct id *topic)
{
	gateway_log_local(context, client, topic,
		"over max_overlays or max_overlays_per_client, _user or _address");
}

static void gave_way(void *context, const char *client, const struct id *topic)
{
	struct gateway *gateway = context;

	counters_add(node_counters(gateway->node), COUNTER_LIMIT_OFFLINE, 1);
	if (remark_may(&gateway->remarks, clock_now_ns(), REMARK_GAVE_WAY))
		broker_log(BROKER_WARNING,
			"overlay %s: client %.*s, which is offline, gives way to one that is not, "
			"until it is back: over max_overlays or max_overlays_per_user or _address",
			topic_short(topic).text, REMARK_CLIENT, client);
}

static void unrecorded(void *context, const char *client, const struct id *topic)
{
	struct gateway *gateway = context;

	counters_add(node_counters(gateway->node), COUNTER_LIMIT_RECORDS, 1);
	if (remark_may(&gateway->remarks, clock_now_ns(), REMARK_UNRECORDED))
		broker_log(BROKER_WARNING,
			"overlay %s: the subscription of client %.*s is not kept for a restart: "
			"its client id or filter is too long, or too many are kept",
			topic_short(topic).text, REMARK_CLIENT, client);
}

bool gateway_make_interest(struct gateway *gateway, const struct options *options)
{
	struct interest_actions actions = {
		.join = join,
		.leave = leave,
		.verify = verify,
		.allowed = allowed,
		.owner = owner,
		.has_session = has_session,
		.has_subscription = has_subscription,
		.missing = missing,
		.remember = remember,
		.forget = forget,
		.give_up = give_up,
		.denied = denied,
		.limited = limited,
		.gave_way = gave_way,
		.unrecorded = unrecorded,
		.context = gateway,
	};
	struct interest_config config = {
		.linger_ns = options->publish_linger * SECOND_NS,
		.grace_ns = GRACE_NS,
		.max_overlays = options->max_overlays,
		.max_overlays_per_client = options->max_overlays_per_client,
		.max_overlays_per_user = options->max_overlays_per_user,
		.max_overlays_per_address = options->max_overlays_per_address,
		.max_records = LIMIT_RECORDS,
		.max_denied = INTEREST_DENIED,
		.offline = options->offline_sessions,
	};
	struct random random = random_system();
	int error = interest_new(&actions, &config, &random, &gateway->interest);

	return gateway_is_good(error);
}
