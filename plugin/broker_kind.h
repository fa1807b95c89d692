/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What differs between the versions of Mosquitto: for broker.c and the files of the versions alone.
 * broker.h says what the functions mean.
 */
#ifndef PLUGIN_BROKER_KIND_H
#define PLUGIN_BROKER_KIND_H


#include "broker.h"

/* One plugin file serves all versions of Mosquitto. So functions that not each version has are
 * looked up weakly: they are NULL where the broker has no such function, and only the file of their
 * version calls them. These lines come before any of Mosquitto's headers. */
#pragma weak mosquitto_apply_on_all_clients
#pragma weak mosquitto_client
#pragma weak mosquitto_client_port
#pragma weak mosquitto_persistence_location
#pragma weak mosquitto_plugin_set_info
#pragma weak mosquitto_subscription_add
#pragma weak mosquitto_subscription_delete

struct broker_kind {
	bool (*begin)(void *identifier);
	void (*end)(void);
	int (*register_events)(void *identifier, const struct broker_events *events, void *context);
	void (*unregister_events)(void); /* NULL: the broker forgets them by itself */
	bool (*wants_turn)(bool published);
	void (*restored)(const char *client, const char *filter, uint8_t qos);
	bool (*has_session)(const char *client);
	enum broker_answer (*has_subscription)(
		const char *client, const char *filter, struct terms terms);
	/* These three are NULL where the broker does not say. */
	bool (*knows)(const char *client);
	bool (*may_read)(const char *client, const char *filter, const char *topic);
	bool (*tells_rights)(void);
	const char *(*user)(const char *client);
	const char *(*address)(const char *client);
	const char *(*persistence_location)(void);
	bool tells_persistence;
};

extern const struct broker_kind broker_20, broker_21;

/* Tells whether a client's session may outlive its connection. MQTT 5 may keep a session that began
 * as a clean one, and the broker does not tell what decides that. */
struct mosquitto;
bool broker_may_outlive(const struct mosquitto *client);

/* The beginning of each message that broker_20 publishes to find out who would receive it. Such a
 * message is kept from everybody, but a native bridge carries it to other brokers: there the plugin
 * refuses it. */
#define BROKER_PROBE_MARK_SIZE 16
extern const unsigned char broker_probe_mark[BROKER_PROBE_MARK_SIZE];
bool broker_is_probe(const void *payload, size_t size);

#endif
