/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a version of Mosquitto makes different: for broker.c and the files of the versions alone.
 * Meanings are in broker.h.
 */
#ifndef PLUGIN_BROKER_KIND_H
#define PLUGIN_BROKER_KIND_H

#include "broker.h"

/* One plugin file serves all versions. So what is not in each of them is looked up weakly: NULL
 * where the broker has no such function, and called by the file of its version only. Before any
 * of Mosquitto's headers. */
#pragma weak mosquitto_client
#pragma weak mosquitto_persistence_location
#pragma weak mosquitto_plugin_set_info

struct broker_kind {
	bool (*begin)(void *identifier);
	void (*end)(void);
	int (*register_events)(void *identifier, const struct broker_events *events, void *context);
	bool (*wants_turn)(bool published);
	void (*restored)(const char *client, const char *filter, uint8_t qos);
	bool (*has_session)(const char *client);
	bool (*knows)(const char *client);
	bool (*may_read)(const char *client, const char *filter, const char *topic);
	bool (*tells_rights)(void);
	const char *(*user)(const char *client);
	const char *(*address)(const char *client);
	const char *(*persistence_location)(void);
	bool tells_persistence;
};

extern const struct broker_kind broker_20, broker_21;

/* Whether a client's session may outlive its connection: MQTT 5 may keep one that began as a clean
 * one, and what decides that is not told. */
struct mosquitto;
bool broker_may_outlive(const struct mosquitto *client);

/* What broker_20 publishes to find out who would receive it begins with this. It is kept from
 * everybody, but a native bridge carries it to other brokers: there it is refused. */
#define BROKER_PROBE_MARK_SIZE 16
extern const unsigned char broker_probe_mark[BROKER_PROBE_MARK_SIZE];
bool broker_is_probe(const void *payload, size_t size);

#endif
