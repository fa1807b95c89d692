/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "support_interest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "bridge/error.h"

static bool is_allowed(
	void *context, const char *client, const char *filter, const struct id *topic)
{
	return true;
}

static struct interest_owner nobody(void *context, const char *client)
{
	return (struct interest_owner){NULL, NULL};
}

static int on_topic(void *context, const struct id *topic)
{
	return ERROR_NONE;
}

static int on_verify(void *context, const struct id *topic, bool verify)
{
	return ERROR_NONE;
}

static bool has_session(void *context, const char *client)
{
	return true;
}

static bool has_subscription(
	void *context, const char *client, const char *filter, struct terms terms)
{
	return true;
}

static void on_missing(void *context, const char *client, const char *filter)
{
}

static int on_remember(void *context, const char *client, const char *filter, struct terms terms)
{
	return ERROR_NONE;
}

static void on_forget(void *context, const char *client, const char *filter)
{
}

static void on_give_up(void *context, const char *client, const char *filter, struct terms terms)
{
}

static void on_limited(void *context, const char *client, const struct id *topic)
{
	fail_msg("client %s is limited, far from any limit", client);
}

struct interest_actions support_actions(void)
{
	return (struct interest_actions){
		.allowed = is_allowed,
		.owner = nobody,
		.join = on_topic,
		.leave = on_topic,
		.verify = on_verify,
		.has_session = has_session,
		.has_subscription = has_subscription,
		.missing = on_missing,
		.remember = on_remember,
		.forget = on_forget,
		.give_up = on_give_up,
		.denied = on_limited,
		.limited = on_limited,
		.gave_way = on_limited,
		.unrecorded = on_limited,
	};
}
