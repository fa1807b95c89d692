/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * All that the rest of plugin/ sees of the broker. What is behind it depends on the
 * broker's version, which is found out at run time (broker_20.c: Mosquitto 2.0, broker_21.c:
 * 2.1, broker.c: what both have); the rest can be tested without one.
 * Everything belongs to the broker's main thread.
 */
#ifndef PLUGIN_BROKER_H
#define PLUGIN_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
	/* A filter was subscribed (the raw filter, $share/<group>/ included), the ACL has
	 * agreed, which says little (see broker_may_read); again for every re-subscribe.
	 * lasting: the session may outlive its connection (of MQTT 5 the broker does not
	 * say). */
	void (*subscribed)(void *context, const char *client, const char *filter, uint8_t qos,
		bool lasting);
	/* Also for a filter that was never subscribed. */
	void (*unsubscribed)(void *context, const char *client, const char *filter);
	/* A session begins or goes on; anew: the client has asked for a new one. kept: with the
	 * subscriptions it had. */
	void (*connected)(void *context, const char *client, bool anew, bool kept);
	/* The client is gone, its session and subscriptions stay. */
	void (*offline)(void *context, const char *client);
	/* The session is gone with its subscriptions. */
	void (*gone)(void *context, const char *client);
	enum broker_verdict (*message)(void *context, const struct broker_message *message);
	/* A client is sent a message. For every message of every client: has to be quick. */
	void (*sent)(void *context, const char *client, const char *topic, const void *payload,
		size_t size);
	/* The broker reads its configuration again; the plugin is not given its options. */
	void (*reloaded)(void *context);
	/* Once per turn of the broker's loop, at least ten times per second. */
	void (*tick)(void *context);
};

/* Finds out what kind of broker this is; before everything else but broker_log. identifier is the
 * one of the plugin's entry point. False: one line says why the plugin cannot be of use there. */
bool broker_begin(void *identifier);
/* Nothing but broker_log may be called any more. */
void broker_end(void);

/* Registers for the events. Returns the broker's error code, 0 for success. */
int broker_register(void *identifier, const struct broker_events *events, void *context);

/* A user property of MQTT 5. */
struct broker_property {
	const char *name, *value;
};

/* Publishes, not retained; everything is copied. False if the broker refuses. */
bool broker_publish(const char *topic, const void *payload, size_t size, uint8_t qos,
	const struct broker_property *properties, size_t properties_count);
/* The same, retained and without properties: a status. */
bool broker_retain(const char *topic, const void *payload, size_t size);

/* Whether another turn of the broker's loop is wanted soon, by the end of a tick. published:
 * something was, in that tick. */
bool broker_wants_turn(bool published);

/* A subscription of a session from before the broker's start, before broker_register: that may be
 * asked for. */
void broker_restored(const char *client, const char *filter, uint8_t qos);
/* Whether the session of an offline client still exists, with subscriptions. Sessions that
 * the broker restores at its start are all there at the first tick, not before. */
bool broker_has_session(const char *client);
/* The same with or without subscriptions; true also where the broker does not say. */
bool broker_knows(const char *client);

/* Whether the broker lets a client with a session read a topic by the filter that it has
 * subscribed; true also where the broker does not say (see broker_21.c). */
bool broker_may_read(const char *client, const char *filter, const char *topic);
/* Whether the broker can be asked that at all. */
bool broker_tells_rights(void);

/* By what name and from where a client with a session is or was connected; NULL: not known. Valid
 * until the next event. */
const char *broker_user(const char *client);
const char *broker_address(const char *client);

/* Where the broker keeps its database, NULL if nowhere. */
const char *broker_persistence_location(void);
/* Whether that is more than a guess. */
bool broker_tells_persistence(void);

/* Lines below this level are not logged. */
void broker_log_from(enum broker_level level);
__attribute__((format(printf, 2, 3))) void broker_log(
	enum broker_level level, const char *format, ...);

#endif
