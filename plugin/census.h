/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Who holds overlays in a broker that tells no plugin of subscriptions (Mosquitto 2.0): counted by
 * hints and by asking.
 *
 * A hint is what can be seen of a client's doing before it is done: it asks to subscribe or to
 * unsubscribe; a connection of its ends. What has become of it is asked for: a message is published
 * that the plugin recognises and keeps from everybody, and for each subscription that matches its
 * topic the broker names the client that it would go to. That is so for clients that are offline,
 * too. Of a $share group only the one client is named whose turn it is, and the turn passes on: so
 * as many messages are published as it takes to hear of each. And who subscribes with a wildcard in
 * the place of the overlay is named as well, so it is asked for a topic that is nobody's, too; what
 * is named there is not counted.
 *
 * Where nobody but the broker's own access file has a say (census_trust), a client that asks to
 * subscribe has subscribed, and is told of at once.
 *
 * Sans-IO: what is to be asked and what has become known goes through struct census_actions.
 * Times are of any steady clock. The broker's thread.
 */
#ifndef PLUGIN_CENSUS_H
#define PLUGIN_CENSUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bridge/random.h"

struct census;

/* How often it is asked whether the sessions of clients that are offline are still there: the more
 * of them there are, the more seldom. */
#define CENSUS_CHECK_NS		   UINT64_C(1000000000)
#define CENSUS_CHECK_PER_CLIENT_NS UINT64_C(10000000)
#define CENSUS_CHECK_MOST_NS	   UINT64_C(10000000000)
/* So many topics are asked for in one turn of the broker's loop at most. */
#define CENSUS_QUESTIONS 1000
/* Of a $share group that is larger than this it is taken for granted that its members are still
 * there. */
#define CENSUS_GROUP 1000
/* So many filters of one client are followed. */
#define CENSUS_FILTERS 1000
/* From so many clients on that subscribe nothing of ours, but publish, those that are offline are
 * forgotten. */
#define CENSUS_PUBLISHERS 1024

/* A connection. */
struct census_who {
	const void *handle; /* only compared: which one of this id it is */
	const char *id;
	const char *user, *address; /* NULL: none */
	bool lasting;		    /* its session may outlive it */
	bool anew;		    /* it has asked for a new session */
};

struct census_actions {
	/* Publish a question so that census_answered is called for everybody that it would go to,
	 * before the next census_tick. */
	void (*ask)(void *context, const char *topic, unsigned number, bool decoy);
	/* What has become known: as in struct broker_events. */
	void (*subscribed)(void *context, const char *client, const char *filter, uint8_t qos,
		bool lasting);
	void (*unsubscribed)(void *context, const char *client, const char *filter);
	/* Its subscriptions are as they were. */
	void (*connected)(void *context, const char *client, bool anew);
	void (*offline)(void *context, const char *client);
	void (*gone)(void *context, const char *client);
	void *context;
};

/* ERROR_NOMEM. */
int census_new(const struct census_actions *actions, const struct random *random,
	struct census **out);
void census_free(struct census *census);

/* Whether hints are as good as done: nobody can deny them. */
void census_trust(struct census *census, bool trusted);

/* A subscription from before the broker's start: whether it is still there is asked for at the
 * first tick. ERROR_NOMEM, ERROR_LIMIT: it is not followed. */
int census_restored(struct census *census, const char *client, const char *filter, uint8_t qos);
/* Whether some of them have not been asked for yet. */
bool census_is_restoring(const struct census *census);

/* Hints. The filter is an overlay's (topic.h). ERROR_NOMEM, ERROR_LIMIT: it is not followed. */
int census_subscribes(
	struct census *census, const struct census_who *who, const char *filter, uint8_t qos);
void census_unsubscribes(struct census *census, const struct census_who *who, const char *filter);
/* followed: to be told of its being offline or back, though it subscribes nothing. */
void census_publishes(struct census *census, const struct census_who *who, bool followed);
/* subscriptions: whether this connection has any. */
void census_disconnected(
	struct census *census, const struct census_who *who, bool has_subscriptions);

/* The question with this number would go to the client. */
void census_answered(
	struct census *census, unsigned number, bool decoy, const struct census_who *who);

/* Judges by the answers to what was asked at the last tick, then asks. True: something was asked,
 * so that there had better be another tick soon. */
bool census_tick(struct census *census, uint64_t now_ns);

/* Whether the client has, or may still have, a session with subscriptions of ours. */
bool census_has(const struct census *census, const char *client);
/* By what name and from where it is or was connected; NULL: not known. Valid until the next
 * call. */
const char *census_user(const struct census *census, const char *client);
const char *census_address(const struct census *census, const char *client);

#endif
