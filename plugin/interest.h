/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Keeps who holds which overlay. A session holds the overlays of its subscriptions. While the
 * session is offline it holds, if nothing else is configured, those that were subscribed at QoS >=
 * 1 (for which the client wants messages queued). The option 'topic' holds an overlay for good, a
 * publisher without subscribers for publish_linger seconds.
 *
 * An overlay is joined at once. An overlay that nobody holds any more is left grace_ns later, so
 * that a client whose session is taken over by a new one, or which comes back at once, finds the
 * overlay joined, and nobody can have an overlay joined and left as fast as he likes. It is left
 * earlier when somebody needs the place.
 *
 * A subscription of a client that may not read the topic holds nothing. Rights are asked for when a
 * client subscribes or comes back, and again once in a while. Where a limit is reached, the
 * subscriptions of clients that are offline give way to those of clients that are not, first those
 * of clients that have the most. Knows neither broker nor node: what is to be done goes through
 * struct interest_actions. The broker's thread.
 */
#ifndef PLUGIN_INTEREST_H
#define PLUGIN_INTEREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bridge/id.h"
#include "../bridge/random.h"
#include "terms.h"

struct interest;

struct interest_owner {
	const char *user, *address;
};

/* The topics by which an overlay is held: a bit for each view (topic.h), of the topics that have
 * the overlay's digits and of those that have its name. */
struct interest_faces {
	unsigned by_digits, by_name;
	const char *name; /* NULL: not known. Valid until the next call of any kind */
	size_t name_size;
};

struct interest_actions {
	/* Tells whether the broker lets the client read the topic by this filter; true if the
	 * broker does not say. */
	bool (*allowed)(void *context, const char *client, const char *filter,
		const struct id *topic);
	/* Returns the user name and the address of the client; each is NULL if the broker does not
	 * say. Valid until the next call. */
	struct interest_owner (*owner)(void *context, const char *client);
	/* Join and leave an overlay; after an error the next TICK tries again. */
	int (*join)(void *context, const struct id *topic);
	int (*leave)(void *context, const struct id *topic);
	/* Sets whether signed messages of an overlay are verified. ERROR_NOMEM: tried again at the
	 * next TICK. */
	int (*verify)(void *context, const struct id *topic, bool verify);
	/* Tells whether the session of an offline client still exists (its expiry raises no event,
	 * so it is asked for). */
	bool (*has_session)(void *context, const char *client);
	/* Tells whether a session from before the restart still has this subscription; true if the
	 * broker does not say. */
	bool (*has_subscription)(
		void *context, const char *client, const char *filter, struct terms terms);
	/* Says that a subscription from before the restart is not there: the broker has kept an
	 * older state of the session, or none. */
	void (*missing)(void *context, const char *client, const char *filter);
	/* Put a subscription on record, or take it off. What is on record is known again after a
	 * restart of the broker, which raises no event for subscriptions that it restores.
	 * ERROR_TOO_LARGE: the subscription cannot be kept; other errors: tried again at the next
	 * TICK. */
	int (*remember)(
		void *context, const char *client, const char *filter, struct terms terms);
	void (*forget)(void *context, const char *client, const char *filter);
	/* Takes a subscription off the record whose session goes on without it, or whose client has
	 * begun another session: if the broker ends before it has written that down, the
	 * subscription is there again after the restart. */
	void (*give_up)(
		void *context, const char *client, const char *filter, struct terms terms);
	/* A subscription holds nothing, as its client is not allowed to read the topic. */
	void (*denied)(void *context, const char *client, const struct id *topic);
	/* A subscription is over a limit: it stays local until it is subscribed again, or, if its
	 * client is offline, until the client is back. */
	void (*limited)(void *context, const char *client, const struct id *topic);
	/* A subscription of a client that is offline holds nothing until the client is back:
	 * another one had need of the place. */
	void (*gave_way)(void *context, const char *client, const struct id *topic);
	/* A subscription is too large to be put on record, or there are too many. */
	void (*unrecorded)(void *context, const char *client, const struct id *topic);
	void *context;
};

/* How many filters of one overlay a client may have on average (with different $share/<group>/
 * before it): max_overlays_per_client times that in all. */
#define INTEREST_FILTERS_PER_OVERLAY 4

/* How many subscriptions of clients that may not read the topic are known, to hold their overlays
 * when that changes. */
#define INTEREST_DENIED 10000

/* What a session holds while it is offline. */
enum interest_offline {
	INTEREST_HOLD,	   /* what it subscribed at QoS 1 or 2 */
	INTEREST_HOLD_ALL, /* likewise at QoS 0, for which the broker may queue messages, too */
	INTEREST_LEAVE,	   /* nothing */
};

struct interest_config {
	uint64_t linger_ns; /* how long a publish alone holds an overlay */
	uint64_t grace_ns;  /* how long an overlay that nobody holds stays joined */
	size_t max_overlays;
	size_t max_overlays_per_client; /* those it subscribes and those it alone publishes to */
	size_t max_overlays_per_user;	 /* all clients of one user name together */
	size_t max_overlays_per_address; /* all clients of one address */
	size_t max_records; /* subscriptions that are remembered */
	size_t max_denied;  /* subscriptions that may become allowed; others are forgotten */
	enum interest_offline offline;
};

/* Makes an interest, in which nobody holds anything. Returns 0 or ERROR_NOMEM. */
int interest_new(const struct interest_actions *actions, const struct interest_config *config,
	const struct random *random, struct interest **out);
void interest_free(struct interest *interest);

/* Joins an overlay now; it is not left before interest_unfix. Returns 0, ERROR_NOMEM, ERROR_LIMIT
 * (max_overlays) or another error of joining. */
int interest_fix(struct interest *interest, const struct id *topic);

/* Ends what interest_fix has begun: the overlay is held by nobody but its holders, if there are
 * any; decided at TICK. */
void interest_unfix(struct interest *interest, const struct id *topic);

/* Takes a subscription from before the restart, which is on record. It holds nothing until the first
 * TICK, when the broker has all its sessions back and says whether the subscription's is among them;
 * if its client is not back before that. Returns 0, ERROR_NOMEM or ERROR_LIMIT. */
int interest_restore(struct interest *interest, const char *client, const char *filter,
	const struct id *topic, struct terms terms);

/* Handles what happens in the broker, as the calls below do: see struct broker_events. lasting: the
 * session may outlive its connection, so the subscription is put on record. Returns ERROR_NOMEM or
 * ERROR_LIMIT (filters of one client) if the subscription holds nothing. */
int interest_subscribed(struct interest *interest, const char *client, const char *filter,
	const struct id *topic, struct terms terms, bool lasting);
void interest_unsubscribed(struct interest *interest, const char *client, const char *filter);
void interest_connected(struct interest *interest, const char *client, bool kept);
void interest_offline(struct interest *interest, const char *client);
void interest_gone(struct interest *interest, const char *client);

/* Begins to ask for all rights again, as the broker may answer otherwise now. */
void interest_rights_changed(struct interest *interest);
struct interest_faces interest_faces(struct interest *interest, const struct id *topic);

/* Notes that the client, which is connected, is sent something that was published on this topic. */
void interest_heard(struct interest *interest, const char *client, const char *filter,
	const struct id *topic);
/* Returns the number of a topic's witness, 0 if there is none. The witness is a client that
 * subscribes the topic itself, is connected, and was sent something of it: so what the broker hands
 * to subscribers is heard of. The number is the same as long as the witness has been the same one
 * without a break. */
uint64_t interest_witness(struct interest *interest, const struct id *topic);

/* Prepares for what the client is about to publish: joins the overlay for the client, if need be.
 * ERROR_NOMEM, ERROR_LIMIT: the overlay is not joined. */
int interest_published(
	struct interest *interest, uint64_t now_ns, const char *client, const struct id *topic);

/* Tells whether subscriptions from before the restart are still to be asked for, a few at each TICK:
 * until then these hold nothing. */
bool interest_is_confirming(const struct interest *interest);
/* Tells whether TICK is to look at an overlay again soon: nobody holds the overlay any more, or it
 * could not be joined. */
bool interest_is_settling(const struct interest *interest);

/* Leaves what nobody holds any more, and handles all else that waits for TICK. */
void interest_tick(struct interest *interest, uint64_t now_ns);

#endif
