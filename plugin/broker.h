/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * All that the rest of plugin/ sees of the broker. The code behind it depends on the broker's
 * version, which is found out at run time (broker_20.c: Mosquitto 2.0, broker_21.c: 2.1, broker.c:
 * what both have). So the rest of plugin/ can be tested without a broker. Everything belongs to the
 * broker's main thread.
 */
#ifndef PLUGIN_BROKER_H
#define PLUGIN_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "terms.h"

enum broker_level { BROKER_DEBUG, BROKER_INFO, BROKER_NOTICE, BROKER_WARNING, BROKER_ERROR };

/* What the broker is to do with a message that a client has published. */
enum broker_verdict {
	BROKER_CARRY_ON,
	BROKER_REFUSE_NOT_AUTHORISED, /* MQTT 5 reason 0x87 */
	BROKER_REFUSE_QUOTA,	      /* MQTT 5 reason 0x97; Mosquitto 2.0: 0x87 */
};

struct broker_message {
	const char *client; /* client id */
	const char *topic;
	const void *payload; /* NULL when size is 0 */
	size_t size;
	uint8_t qos;
	bool retain;
	bool lasting; /* the client's session may outlive its connection, as in subscribed below */
	bool has_properties; /* of MQTT 5, but for topic alias and expiry, which are not told */
};

/* What happens in the broker. Strings are valid during the call. */
struct broker_events {
	/* A client has subscribed a filter, which is given as it is ($share/<group>/ included). The
	 * ACL has agreed, which says little (see broker_may_read). Called again for every
	 * re-subscribe. lasting: the session may outlive its connection (the broker does not say so
	 * of MQTT 5: there it is true). */
	void (*subscribed)(void *context, const char *client, const char *filter,
		struct terms terms, bool lasting);
	/* Follows subscribed, if the client is to be sent the retained messages of the filter.
	 * Mosquitto 2.0 never tells of that. */
	void (*wanted)(void *context, const char *client, const char *filter);
	/* A client has unsubscribed a filter; also one that it had never subscribed. */
	void (*unsubscribed)(void *context, const char *client, const char *filter);
	/* A client's session begins, or goes on in another connection. anew: the client has asked
	 * for a new session. kept: the session has the subscriptions it had. */
	void (*connected)(void *context, const char *client, bool anew, bool kept);
	/* The client is gone; its session and subscriptions stay. */
	void (*offline)(void *context, const char *client);
	/* The session is gone with its subscriptions. */
	void (*gone)(void *context, const char *client);
	enum broker_verdict (*message)(void *context, const struct broker_message *message);
	/* A client is sent a message. Called for every message to every client, so it has to be
	 * quick. */
	void (*sent)(void *context, const char *client, const char *topic, const void *payload,
		size_t size);
	/* An event of this client has come. client: the broker's pointer, of no use afterwards. */
	void (*saw)(void *context, const void *client);
	/* There are clients at this port of which no event comes, as the port is another
	 * listener's. Called now and then. */
	void (*unseen)(void *context, int port);
	/* A client has sent a request to the topic of broker_control. user: NULL if the client is
	 * anonymous. May be NULL where broker_control is not called. */
	void (*control)(void *context, const char *client, const char *user, const void *payload,
		size_t size);
	/* The broker reads its configuration again; it does not give the plugin the plugin's
	 * options again. */
	void (*reloaded)(void *context);
	/* Once per turn of the broker's loop, at least ten times per second. */
	void (*tick)(void *context);
};

/* Finds out what kind of broker this is; before everything else but broker_log. identifier is the
 * one of the plugin's entry point. Returns false if the plugin cannot be of use in this broker: one
 * line in the log says why. */
bool broker_begin(void *identifier);
/* Ends the use of the broker: nothing but broker_log may be called any more. */
void broker_end(void);

/* Registers for the events. Returns the broker's error code, 0 for success. */
int broker_register(void *identifier, const struct broker_events *events, void *context);
/* Ends all events. To be called while the broker is there; also if broker_register has failed. */
void broker_unregister(void);

/* Asks the broker to call events.control for what clients send to this topic below $CONTROL/, after
 * broker_register; such a message goes nowhere else. Who may send there is for the broker's access
 * control to say. topic is not copied. Returns the broker's error code. */
int broker_control(void *identifier, const char *topic);

/* A user property of MQTT 5. */
struct broker_property {
	const char *name, *value;
};

/* Publishes a message that is not retained; everything is copied. Returns false if the broker
 * refuses. */
bool broker_publish(const char *topic, const void *payload, size_t size, uint8_t qos,
	const struct broker_property *properties, size_t properties_count);
/* Publishes a retained message without properties, such as a status; everything is copied. Returns
 * false if the broker refuses. */
bool broker_retain(const char *topic, const void *payload, size_t size);

/* Publishes to one client alone, not retained and at QoS 1, whether or not the client subscribes
 * the topic; everything is copied. Returns false if the broker refuses. */
bool broker_answer(const char *client, const char *topic, const void *payload, size_t size);

/* Tells, at the end of a tick, whether the plugin wants another turn of the broker's loop soon.
 * published: something was published in that tick. */
bool broker_wants_turn(bool published);

/* Takes a subscription of a session from before the broker's start, to find out whether it is still
 * there, where the broker has to be asked for that (Mosquitto 2.0). Before broker_register. */
void broker_restored(const char *client, const char *filter, uint8_t qos);
/* Tells whether the session of an offline client still exists, with subscriptions. Sessions that
 * the broker restores at its start are all there at the first tick, not before. */
bool broker_has_session(const char *client);
enum broker_answer { BROKER_NO, BROKER_YES, BROKER_DOES_NOT_SAY };
/* Tells whether a session that the broker has restored has that subscription. From the first tick
 * on: a session that has it on other terms has it on these afterwards, which were the last ones
 * that the client has asked for. */
enum broker_answer broker_has_subscription(
	const char *client, const char *filter, struct terms terms);
/* Tells whether the session of an offline client still exists, with or without subscriptions; true
 * also where the broker does not say. */
bool broker_knows(const char *client);

/* Tells whether the broker lets a client with a session read a topic by the filter that the client
 * has subscribed; true also where the broker does not say (see broker_21.c). */
bool broker_may_read(const char *client, const char *filter, const char *topic);
/* Tells whether broker_may_read can ask the broker at all. */
bool broker_tells_rights(void);

/* Returns the user name, and the address, with which a client that has a session is or was
 * connected; NULL: not known. Valid until the next event. */
const char *broker_user(const char *client);
const char *broker_address(const char *client);

/* Returns the version of the plugin. */
const char *broker_plugin_version(void);

/* Returns the folder where the broker keeps its database; NULL if nowhere. */
const char *broker_persistence_location(void);
/* Tells whether broker_persistence_location is more than a guess. */
bool broker_tells_persistence(void);

/* Keeps lines below this level out of the log. */
void broker_log_from(enum broker_level level);
__attribute__((format(printf, 2, 3))) void broker_log(
	enum broker_level level, const char *format, ...);

#endif
