/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "gateway_internal.h"

#include "topic.h"

static void on_subscribed(
	void *context, const char *client, const char *filter, struct terms terms, bool lasting)
{
	struct gateway *gateway = context;
	struct topic topic;
	int error;

	switch (topic_parse(filter, &topic)) {
	case TOPIC_OVERLAY:
		error = interest_subscribed(
			gateway->interest, client, filter, &topic.overlay, terms, lasting);
		if (error)
			gateway_log_local(gateway, client, &topic.overlay,
				error == ERROR_LIMIT ? "too many filters of one client"
						     : error_text(error));
		break;
	case TOPIC_MALFORMED:
		if (remark_may(&gateway->remarks, clock_now_ns(), REMARK_MALFORMED_FILTER))
			broker_log(BROKER_NOTICE,
				"client %.*s subscribed %.18s..., which is no overlay (" TOPIC_ACCEPTED
				"): an ordinary local subscription",
				REMARK_CLIENT, client, filter);
		break;
	case TOPIC_FOREIGN:
		remark_elsewhere(&gateway->remarks, REMARK_SUBSCRIBED_ELSEWHERE, client, filter);
		break;
	case TOPIC_WILDCARD:
		break;
	}
}

static void on_wanted(void *context, const char *client, const char *filter)
{
	status_wanted(((struct gateway *)context)->status, client, filter);
}

static void on_unsubscribed(void *context, const char *client, const char *filter)
{
	interest_unsubscribed(((struct gateway *)context)->interest, client, filter);
}

static void on_connected(void *context, const char *client, bool anew, bool kept)
{
	struct gateway *gateway = context;

	interest_connected(gateway->interest, client, kept);
	unreleased_connected(gateway->unreleased, client, !anew);
}

static void on_offline(void *context, const char *client)
{
	struct gateway *gateway = context;

	interest_offline(gateway->interest, client);
	unreleased_offline(gateway->unreleased, client);
}

static void on_gone(void *context, const char *client)
{
	struct gateway *gateway = context;

	interest_gone(gateway->interest, client);
	unreleased_gone(gateway->unreleased, client);
}

static enum broker_verdict on_message(void *context, const struct broker_message *message)
{
	return outbound_message(
		&((struct gateway *)context)->outbound, clock_now_ns(), gateway_wall_s(), message);
}

static void on_sent(void *context, const char *client, const char *filter, const void *payload,
	size_t size)
{
	struct gateway *gateway = context;
	struct topic topic;

	status_sent(gateway->status, client, filter);
	if (topic_parse(filter, &topic) != TOPIC_OVERLAY)
		return;
	interest_heard(gateway->interest, client, filter, &topic.overlay);
	unreleased_released(gateway->unreleased, &topic.overlay, payload, size);
}

static void on_saw(void *context, const void *client)
{
	waker_saw(((struct gateway *)context)->waker, client);
}

static void on_unseen(void *context, int port)
{
	struct gateway *gateway = context;

	if (remark_first(&gateway->remarks, REMARK_UNSEEN))
		broker_log(BROKER_NOTICE,
			"the clients of port %d are not seen here, their overlays are neither joined "
			"nor carried: with per_listener_settings a 'plugin' is for one listener, a "
			"'global_plugin' for all",
			port);
}

static void on_reloaded(void *context)
{
	/* The broker reads its access control after this event. */
	interest_rights_changed(((struct gateway *)context)->interest);
	gateway_reload(context);
}

static void on_control(void *context, const char *client, const char *user, const void *payload,
	size_t size)
{
	control_request(
		((struct gateway *)context)->control, clock_now_ns(), client, user, payload, size);
}

void gateway_pictured(void *context, const struct picture *picture)
{
	struct gateway *gateway = context;

	if (gateway->control)
		(void)control_pictured(gateway->control, picture);
}

/* Logs when the wall clock was set. Little here goes by the wall clock (guard.h), but what the
 * broker keeps for a time does, and so does whoever reads the log. */
static void look_at_clock(struct gateway *gateway, uint64_t now)
{
	int64_t step = clock_step(&gateway->clock, now, clock_read(CLOCK_REALTIME));

	if (step != 0)
		broker_log(BROKER_NOTICE,
			"the clock was set %s by %lld s: the expiry of sessions and of messages in "
			"this broker goes by it",
			step < 0 ? "back" : "forward", (long long)(step < 0 ? -step : step));
}

/* Notes that a session goes on with a subscription that its client had given up before the
 * restart. */
static void come_back(void *context, const char *client, const char *filter, struct terms terms)
{
	struct gateway *gateway = context;
	struct topic topic;

	if (broker_has_subscription(client, filter, terms) != BROKER_YES ||
		topic_parse(filter, &topic) != TOPIC_OVERLAY)
		return;
	gateway->came_back++;
	if (sessions_remember(gateway->sessions, client, filter, terms) == ERROR_NONE)
		(void)interest_restore(gateway->interest, client, filter, &topic.overlay, terms);
}

/* Settles, at the first tick, what was given up: by then the broker has all its sessions back. */
static void settle_given_up(struct gateway *gateway)
{
	if (gateway->has_settled)
		return;
	gateway->has_settled = true;
	given_up_visit_all(gateway->given_up, come_back, gateway);
	given_up_settle(gateway->given_up);
}

static void say_what_differs(struct gateway *gateway)
{
	if (gateway->missing_shared > 0)
		broker_log(BROKER_NOTICE,
			"the broker has not kept %zu subscriptions of overlays by $share over its "
			"restart (mosquitto.db has none of these): they are gone until their clients "
			"subscribe again",
			gateway->missing_shared);
	if (gateway->missing > 0 || gateway->came_back > 0)
		broker_log(BROKER_WARNING,
		"the broker has sessions as they were some time before it ended (its database was "
		"not written since): subscriptions of overlays that are lost: %zu; that are there "
		"again after they were given up: %zu",
		gateway->missing, gateway->came_back);
	gateway->missing = gateway->missing_shared = gateway->came_back = 0;
}

static void on_tick(void *context)
{
	struct gateway *gateway = context;
	uint64_t now = clock_now_ns();
	size_t drained;
	bool more;

	look_at_clock(gateway, now);
	waker_heard(gateway->waker);
	settle_given_up(gateway);
	interest_tick(gateway->interest, now);
	if (!interest_is_confirming(gateway->interest))
		say_what_differs(gateway);
	unreleased_tick(gateway->unreleased, now, broker_knows);
	drained = inbound_drain(&gateway->inbound, now, gateway_wall_s(), &more);
	if (!gateway->has_status) {
		/* Publishing is possible from the first TICK on. */
		status_begin(gateway->status, gateway->node, &gateway->identity.id);
		gateway->has_status = true;
	}
	status_tick(gateway->status, now);
	if (gateway->control)
		control_tick(gateway->control, now);
	remark_tick(&gateway->remarks, now);
	flaps_tick(&gateway->flaps, now);
	advice_tick(&gateway->advice, now, node_counters(gateway->node));
	waker_again(gateway->waker,
		more || broker_wants_turn(drained > 0) || interest_is_confirming(gateway->interest),
		interest_is_settling(gateway->interest));
	/* Sends what the clients have published since the last turn, all of it at once. */
	node_flush(gateway->node);
}

const struct broker_events gateway_events = {
	on_subscribed,
	on_wanted,
	on_unsubscribed,
	on_connected,
	on_offline,
	on_gone,
	on_message,
	on_sent,
	on_saw,
	on_unseen,
	on_control,
	on_reloaded,
	on_tick,
};
