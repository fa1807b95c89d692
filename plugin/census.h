/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Finds out who subscribes overlays in a broker that tells no plugin of subscriptions (Mosquitto
 * 2.0), by hints and by asking.
 *
 * A hint is what can be seen of a client's doing before it is done: the client asks to subscribe or
 * to unsubscribe, or a connection of the client ends. What has become of that is asked for: a
 * message is published that the plugin recognises and keeps from everybody, and for each
 * subscription that matches the message's topic the broker names the client to which the message
 * would go. That is so for clients that are offline, too. Of a $share group only the one client is
 * named whose turn it is, and the turn passes on: so as many messages are published as it takes to
 * hear of each member. And a client that subscribes with a wildcard in the place of the overlay is
 * named as well: so messages are also published to a topic that is nobody's (the decoy), and what
 * is named there is not counted.
 *
 * Where nobody but the broker's own access file has a say (census_trust), a client that asks to
 * subscribe has subscribed, and is told of at once.
 *
 * Sans-IO: what is to be asked and what has become known goes through struct census_actions. Times
 * are of any steady clock. The broker's thread.
 */
#ifndef PLUGIN_CENSUS_H
#define PLUGIN_CENSUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bridge/random.h"

struct census;

/* How often it is asked whether the sessions of clients that are offline are still there: the more
 * such clients there are, the more seldom. */
#define CENSUS_CHECK_NS		   UINT64_C(1000000000)
#define CENSUS_CHECK_PER_CLIENT_NS UINT64_C(10000000)
#define CENSUS_CHECK_MOST_NS	   UINT64_C(10000000000)
/* At most so many topics are asked for in one turn of the broker's loop, by at most so many
 * messages. */
#define CENSUS_QUESTIONS 1000
#define CENSUS_MESSAGES	 6000
/* It is taken for granted that the members of a $share group which is larger than this are still
 * there. */
#define CENSUS_GROUP 1000
/* At most so many filters of one client are followed. */
#define CENSUS_FILTERS 1000
/* From so many clients on that publish but subscribe no overlay, those that are offline are
 * forgotten. */
#define CENSUS_PUBLISHERS 1024

/* A client's connection. */
struct census_who {
	const void *handle; /* only compared: which connection of this client id */
	const char *id;
	const char *user, *address; /* NULL: none */
	bool lasting;		    /* the session may outlive the connection */
	bool anew;		    /* the client has asked for a new session */
};

struct census_actions {
	/* Publishes a question so that census_answered is called, before the next census_tick, for
	 * each client to which the question would go. */
	void (*ask)(void *context, const char *topic, unsigned number, bool decoy);
	/* These tell what has become known: as in struct broker_events. */
	void (*subscribed)(void *context, const char *client, const char *filter, uint8_t qos,
		bool lasting);
	void (*unsubscribed)(void *context, const char *client, const char *filter);
	/* The client's subscriptions are as they were. */
	void (*connected)(void *context, const char *client, bool anew);
	void (*offline)(void *context, const char *client);
	void (*gone)(void *context, const char *client);
	void *context;
};

/* Makes a census, which knows of nobody. Returns 0 or ERROR_NOMEM. */
int census_new(const struct census_actions *actions, const struct random *random,
	struct census **out);
void census_free(struct census *census);

/* Sets whether hints are as good as done, as nobody can deny them. */
void census_trust(struct census *census, bool trusted);

/* Takes a subscription from before the broker's start; whether the subscription is still there is
 * asked for at the first tick. Returns ERROR_NOMEM or ERROR_LIMIT if it is not followed. */
int census_restored(struct census *census, const char *client, const char *filter, uint8_t qos);
/* Tells whether some subscriptions from before the broker's start have not been asked for yet. */
bool census_is_restoring(const struct census *census);

/* Takes a hint: the client asks to subscribe, or to unsubscribe, a filter, which is an overlay's
 * (topic.h). Returns ERROR_NOMEM or ERROR_LIMIT if the filter is not followed. */
int census_subscribes(
	struct census *census, const struct census_who *who, const char *filter, uint8_t qos);
void census_unsubscribes(struct census *census, const struct census_who *who, const char *filter);
/* Takes a hint: the client publishes. followed: it is to be told when the client is offline or
 * back, though the client subscribes nothing. */
void census_publishes(struct census *census, const struct census_who *who, bool followed);
/* Takes a hint: a connection has ended. has_subscriptions: whether this connection has any. */
void census_disconnected(
	struct census *census, const struct census_who *who, bool has_subscriptions);

/* Takes an answer: the question with this number would go to the client. */
void census_answered(
	struct census *census, unsigned number, bool decoy, const struct census_who *who);

/* Judges by the answers to what was asked at the last tick, then asks. Returns true if something
 * was asked, so that there had better be another tick soon. */
bool census_tick(struct census *census, uint64_t now_ns);

/* Tells whether the client has, or may still have, a session with subscriptions of overlays. */
bool census_has(const struct census *census, const char *client);
/* Tells whether the client has this filter; and whether it has so many that others may not be
 * followed. */
bool census_has_filter(const struct census *census, const char *client, const char *filter);
bool census_is_full(const struct census *census, const char *client);
/* Returns the user name, and the address, with which the client is or was connected; NULL: not
 * known. Valid until the next call. */
const char *census_user(const struct census *census, const char *client);
const char *census_address(const struct census *census, const char *client);

#endif
