/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A live (plugin/live.h) whose changes go nowhere, and a status of nothing, for what asks them. */
#ifndef TESTS_UNIT_SUPPORT_LIVE_H
#define TESTS_UNIT_SUPPORT_LIVE_H

#include <stdlib.h>

#include "plugin/control.h"

static const struct id me = {{1}};

static int set_peer(void *context, const struct node_peer *peer, bool trusted)
{
	return ERROR_NONE;
}

static int remove_peer(void *context, const struct id *id)
{
	return ERROR_NONE;
}

static int set_access(void *context, const struct id *allow, size_t allow_count,
	const struct id *deny, size_t deny_count)
{
	return ERROR_NONE;
}

static int fix(void *context, const struct id *topic)
{
	return ERROR_NONE;
}

static void unfix(void *context, const struct id *topic)
{
}

static int record(void *context, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	if (key_size + value_size > LIMIT_RECORD)
		abort();
	return ERROR_NONE;
}

static void log_from(void *context, enum broker_level level)
{
}

static const struct live_actions live_nowhere = {.set_peer = set_peer,
	.remove_peer = remove_peer,
	.set_access = set_access,
	.fix = fix,
	.unfix = unfix,
	.record = record,
	.log_from = log_from};

static void tell_status(void *context, struct control_status *out)
{
	*out = (struct control_status){.me = &me, .version = "1"};
}

#endif
