/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What all versions of Mosquitto have in common, and which one this is. */
#include "broker_kind.h"

#include <mosquitto/broker.h>
#include <mosquitto/broker_plugin.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MQTT_5 5 /* as the broker numbers protocols */

const unsigned char broker_probe_mark[BROKER_PROBE_MARK_SIZE] = {0x9c, 0x1f, 0xb3, 0x52, 0xe6, 0x07,
	0x4d, 0xa8, 0x31, 0xd4, 0x6b, 0x90, 0xfe, 0x25, 0x7a, 0xc9};

static const struct broker_kind *kind;
static enum broker_level log_from = BROKER_INFO;

static int on_nothing(int event, void *data, void *userdata)
{
	return MOSQ_ERR_SUCCESS;
}

/* An event that 2.0 does not know tells the versions apart. */
static bool knows_subscribe(void *identifier)
{
	if (mosquitto_callback_register(identifier, MOSQ_EVT_SUBSCRIBE, on_nothing, NULL, NULL) !=
		MOSQ_ERR_SUCCESS)
		return false;
	mosquitto_callback_unregister(identifier, MOSQ_EVT_SUBSCRIBE, on_nothing, NULL);
	return true;
}

bool broker_begin(void *identifier)
{
	bool is_new = mosquitto_client && mosquitto_persistence_location &&
		      mosquitto_plugin_set_info && knows_subscribe(identifier);

	kind = is_new ? &broker_21 : &broker_20;
	return kind->begin(identifier);
}

void broker_end(void)
{
	kind->end();
}

int broker_register(void *identifier, const struct broker_events *events, void *context)
{
	return kind->register_events(identifier, events, context);
}

bool broker_may_outlive(const struct mosquitto *client)
{
	return mosquitto_client_protocol_version(client) >= MQTT_5 ||
	       !mosquitto_client_clean_session(client);
}

bool broker_is_probe(const void *payload, size_t size)
{
	return size >= BROKER_PROBE_MARK_SIZE &&
	       memcmp(payload, broker_probe_mark, BROKER_PROBE_MARK_SIZE) == 0;
}

bool broker_publish(const char *topic, const void *payload, size_t size, uint8_t qos,
	const struct broker_property *properties, size_t properties_count)
{
	mosquitto_property *list = NULL;

	for (size_t i = 0; i < properties_count; i++) {
		if (mosquitto_property_add_string_pair(&list, MQTT_PROP_USER_PROPERTY,
			    properties[i].name, properties[i].value) == MOSQ_ERR_SUCCESS)
			continue;
		mosquitto_property_free_all(&list);
		return false;
	}
	if (mosquitto_broker_publish_copy(NULL, topic, (int)size, payload, qos, false, list) ==
		MOSQ_ERR_SUCCESS)
		return true; /* the list is the broker's */
	mosquitto_property_free_all(&list);
	return false;
}

bool broker_retain(const char *topic, const void *payload, size_t size)
{
	return mosquitto_broker_publish_copy(NULL, topic, (int)size, payload, 0, true, NULL) ==
	       MOSQ_ERR_SUCCESS;
}

bool broker_wants_turn(bool published)
{
	return kind->wants_turn(published);
}

void broker_restored(const char *client, const char *filter, uint8_t qos)
{
	kind->restored(client, filter, qos);
}

bool broker_has_session(const char *client)
{
	return kind->has_session(client);
}

bool broker_knows(const char *client)
{
	return kind->knows(client);
}

bool broker_may_read(const char *client, const char *filter, const char *topic)
{
	return kind->may_read(client, filter, topic);
}

bool broker_tells_rights(void)
{
	return kind->tells_rights();
}

const char *broker_user(const char *client)
{
	return kind->user(client);
}

const char *broker_address(const char *client)
{
	return kind->address(client);
}

const char *broker_persistence_location(void)
{
	return kind->persistence_location();
}

bool broker_tells_persistence(void)
{
	return kind->tells_persistence;
}

void broker_log_from(enum broker_level level)
{
	log_from = level;
}

void broker_log(enum broker_level level, const char *format, ...)
{
	static const int levels[] = {
		[BROKER_DEBUG] = MOSQ_LOG_DEBUG,
		[BROKER_INFO] = MOSQ_LOG_INFO,
		[BROKER_NOTICE] = MOSQ_LOG_NOTICE,
		[BROKER_WARNING] = MOSQ_LOG_WARNING,
		[BROKER_ERROR] = MOSQ_LOG_ERR,
	};
	char line[1024];
	va_list arguments;

	if (level < log_from)
		return;
	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	mosquitto_log_printf(levels[level], "p2panda: %s", line);
}
