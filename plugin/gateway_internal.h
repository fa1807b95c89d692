/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the files of the gateway share. The broker's thread. */
#ifndef PLUGIN_GATEWAY_INTERNAL_H
#define PLUGIN_GATEWAY_INTERNAL_H

#include "advice.h"
#include "clock.h"
#include "control.h"
#include "flaps.h"
#include "gateway.h"
#include "given_up.h"
#include "guard.h"
#include "inbound.h"
#include "interest.h"
#include "live.h"
#include "outbound.h"
#include "sessions.h"
#include "status.h"
#include "unreleased.h"
#include "waker.h"

#define SECOND_NS UINT64_C(1000000000)

struct gateway {
	struct settings *settings; /* owned by plugin.c */
	struct identity identity;
	struct node *node;
	struct waker *waker;
	struct interest *interest;
	struct unreleased *unreleased;
	struct guard *guard;
	struct sessions *sessions;
	struct given_up *given_up;
	bool has_settled; /* what was given up before the start */
	/* Subscriptions from before the start of which the broker knows otherwise; not told yet. */
	size_t missing, missing_shared, came_back;
	struct inbound inbound;
	struct outbound outbound;
	struct status *status;
	bool has_status;
	struct live *live;
	struct control *control; /* NULL: off */
	uint64_t started_s;
	bool first_start; /* there was no identity yet */
	int lock;	  /* of state_dir; -1: none */
	struct clock clock;
	struct remarks remarks;
	struct flaps flaps;
	struct advice advice;
};

/* Returns the wall time, in seconds since 1970. */
static inline uint64_t gateway_wall_s(void)
{
	return clock_read(CLOCK_REALTIME_COARSE) / SECOND_NS;
}

/* gateway.c: what happens in the broker */

/* What broker_register takes; their context is the gateway. */
extern const struct broker_events gateway_events;
/* Hands a picture that the node has sent to control. context: the gateway. */
void gateway_pictured(void *context, const struct picture *picture);

/* gateway_start.c: beginning and end */

/* Logs an error, if it is one; returns whether it is none. */
bool gateway_is_good(int error);

/* gateway_interest.c: what interest wants of the broker and the node */

/* Makes a part of the gateway, as each gateway_make_... does. Returns false after one line in the
 * log. */
bool gateway_make_interest(struct gateway *gateway, const struct options *options);
/* Logs that a client's subscription is not joined, and why. */
void gateway_log_local(
	struct gateway *gateway, const char *client, const struct id *topic, const char *why);

/* gateway_live.c: what changes while the broker runs, by control or by the file of config_file */

bool gateway_make_live(struct gateway *gateway, const struct options *options);
/* Brings into force what control has added in earlier lives of the broker; what is no longer
 * possible of that is no reason not to start. */
void gateway_begin_live(struct gateway *gateway);
bool gateway_make_control(struct gateway *gateway, const struct options *options);
/* Reads the plugin's file again, after the broker has read its own configuration again. */
void gateway_reload(struct gateway *gateway);
/* Tells whether peers and bootstraps are keys, and not this node's own; logs it if not. */
bool gateway_names_only_others(const struct gateway *gateway, const struct options *options);
/* Puts a row into the node's state, or takes it out, as node_record. context: the gateway. */
int gateway_record(void *context, const void *key, size_t key_size, const void *value,
	size_t value_size);

#endif
