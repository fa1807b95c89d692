/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Who holds which overlay. A session holds the overlays of its subscriptions; while it is
 * offline only those it subscribed at QoS >= 1 (it wants messages queued). The option
 * 'topic' holds for good, a publisher without subscribers for publish_linger seconds.
 *
 * Joining happens at once, leaving is decided at TICK, so that a take-over does not flap, or when
 * somebody needs the place.
 *
 * A subscription of somebody who may not read there holds nothing. Rights are asked for when
 * somebody subscribes or comes back, and again once in a while. Where a limit is reached, the
 * subscriptions of clients that are offline give way to those of clients that are not, first
 * those of clients that have the most.
 * Knows neither broker nor node: what is to be done goes through struct interest_actions.
 * The broker's thread.
 */
#ifndef PLUGIN_INTEREST_H
#define PLUGIN_INTEREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bridge/id.h"
#include "../bridge/random.h"

struct interest;

struct interest_owner {
	const char *user, *address;
};

/* By which topics an overlay is held: a bit for each view (topic.h), of the topics that have the
 * overlay's digits and of those that have its name. */
struct interest_faces {
	unsigned by_digits, by_name;
	const char *name; /* NULL: not known. Valid until the next call of any kind */
	size_t name_size;
};

struct interest_actions {
	/* Whether the broker lets the client read there by this filter; true if it does not say. */
	bool (*allowed)(void *context, const char *client, const char *filter,
		const struct id *topic);
	/* Whose client it is: NULL if the broker does not say. Valid until the next call. */
	struct interest_owner (*owner)(void *context, const char *client);
	/* An error: tried again at the next TICK. */
	int (*join)(void *context, const struct id *topic);
	int (*leave)(void *context, const struct id *topic);
	/* Signed messages of an overlay are wanted to be verified, or not any more. ERROR_NOMEM:
	 * tried again at the next TICK. */
	int (*verify)(void *context, const struct id *topic, bool verify);
	/* Whether the session of an offline client still exists (its expiry raises no
	 * event, so it is asked for). */
	bool (*has_session)(void *context, const char *client);
	/* A subscription is to be known again after a restart of the broker, which raises
	 * no event for those it restores; or not any more. ERROR_TOO_LARGE: it cannot be kept;
	 * other errors: tried again at the next TICK. */
	int (*remember)(void *context, const char *client, const char *filter, uint8_t qos);
	void (*forget)(void *context, const char *client, const char *filter);
	/* A subscription holds nothing as its client is not allowed to read there. */
	void (*denied)(void *context, const char *client, const struct id *topic);
	/* A subscription is over a limit: it stays local until it is subscribed again, or, of a
	 * client that is offline, until that is back. */
	void (*limited)(void *context, const char *client, const struct id *topic);
	/* One of a client that is offline holds nothing until that is back: another one had need
	 * of the place. */
	void (*gave_way)(void *context, const char *client, const struct id *topic);
	/* It is too large to be remembered, or there are too many. */
	void (*unrecorded)(void *context, const char *client, const struct id *topic);
	void *context;
};

/* So many filters of one overlay may a client have on average ($share/<group>/ before it):
 * max_overlays_per_client times that in all. */
#define INTEREST_FILTERS_PER_OVERLAY 4

/* So many subscriptions of clients that may not read there are known, to hold their overlays when
 * that changes. */
#define INTEREST_DENIED 10000

struct interest_config {
	uint64_t linger_ns; /* how long a publish alone holds an overlay */
	size_t max_overlays;
	size_t max_overlays_per_client; /* those it subscribes and those it alone publishes to */
	size_t max_overlays_per_user;	 /* all clients of one user name together */
	size_t max_overlays_per_address; /* all clients of one address */
	size_t max_records; /* subscriptions that are remembered */
	size_t max_denied;  /* subscriptions that may become allowed; others are forgotten */
	bool offline_leave;		/* a session lets go of everything while it is offline */
};

/* ERROR_NOMEM. */
int interest_new(const struct interest_actions *actions, const struct interest_config *config,
	const struct random *random, struct interest **out);
void interest_free(struct interest *interest);

/* Joined now and never left. ERROR_NOMEM. */
int interest_fix(struct interest *interest, const struct id *topic);

/* A subscription from before the restart. It holds nothing until the first TICK, when the
 * broker has all its sessions back and says whether this one is among them. ERROR_NOMEM. */
int interest_restore(struct interest *interest, const char *client, const char *filter,
	const struct id *topic, uint8_t qos);

/* lasting: the session may outlive its connection, so the subscription is remembered.
 * ERROR_NOMEM, ERROR_LIMIT (filters of one client): the subscription holds nothing. */
int interest_subscribed(struct interest *interest, const char *client, const char *filter,
	const struct id *topic, uint8_t qos, bool lasting);
void interest_unsubscribed(struct interest *interest, const char *client, const char *filter);
void interest_connected(struct interest *interest, const char *client, bool kept);
void interest_offline(struct interest *interest, const char *client);
void interest_gone(struct interest *interest, const char *client);

/* The broker may answer otherwise now when it is asked what is allowed. */
void interest_rights_changed(struct interest *interest);
struct interest_faces interest_faces(struct interest *interest, const struct id *topic);

/* The client, connected, is sent something that was published there. */
void interest_heard(struct interest *interest, const char *client, const char *filter,
	const struct id *topic);
/* Not 0: there is a client that subscribes the topic itself, is connected, and was sent something
 * of it; the same number as long as it has been the same one without a break. So what the broker
 * hands to subscribers is heard of. */
uint64_t interest_witness(struct interest *interest, const struct id *topic);

/* The client is about to publish there. ERROR_NOMEM, ERROR_LIMIT: not joined for it. */
int interest_published(
	struct interest *interest, uint64_t now_ns, const char *client, const struct id *topic);

/* Leaves what nobody holds any more. */
void interest_tick(struct interest *interest, uint64_t now_ns);

#endif
