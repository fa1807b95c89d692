/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What all versions of Mosquitto have in common, and which version the broker is. */
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

/* Tells whether the broker knows the event of subscriptions, which Mosquitto 2.0 does not. */
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

static struct {
	void (*handle)(void *context, const char *client, const char *user, const void *payload,
		size_t size);
	void *context;
	void *identifier; /* NULL: nothing is registered */
	const char *topic;
} control;

/* Hands on what a client sends to the topic of broker_control. Never returns an error, which would
 * end the client's connection. */
static int on_control(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_control *evt = data;
	const char *client = mosquitto_client_id(evt->client);

	if (client)
		control.handle(control.context, client, mosquitto_client_username(evt->client),
			evt->payload, evt->payloadlen);
	return MOSQ_ERR_SUCCESS;
}

int broker_control(void *identifier, const char *topic)
{
	int status =
		mosquitto_callback_register(identifier, MOSQ_EVT_CONTROL, on_control, topic, NULL);

	if (status == MOSQ_ERR_SUCCESS) {
		control.identifier = identifier;
		control.topic = topic;
	}
	return status;
}

int broker_register(void *identifier, const struct broker_events *events, void *context)
{
	control.handle = events->control;
	control.context = context;
	return kind->register_events(identifier, events, context);
}

void broker_unregister(void)
{
	if (control.identifier)
		mosquitto_callback_unregister(
			control.identifier, MOSQ_EVT_CONTROL, on_control, control.topic);
	control.identifier = NULL;
	if (kind->unregister_events)
		kind->unregister_events();
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

/* Gives the broker a message, of which everything but the list of properties is copied.
 * (mosquitto_broker_publish_copy fills its copy with zeros first.) */
static bool give(const char *client, const char *topic, const void *payload, size_t size, int qos,
	bool retain, mosquitto_property *list)
{
	char *copy = mosquitto_malloc(size + 1);

	if (!copy)
		return false;
	if (size > 0)
		memcpy(copy, payload, size);
	copy[size] = '\0';
	if (mosquitto_broker_publish(client, topic, (int)size, copy, qos, retain, list) ==
		MOSQ_ERR_SUCCESS)
		return true; /* copy and list are the broker's */
	mosquitto_free(copy);
	return false;
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
	if (give(NULL, topic, payload, size, qos, false, list))
		return true;
	mosquitto_property_free_all(&list);
	return false;
}

bool broker_retain(const char *topic, const void *payload, size_t size)
{
	return give(NULL, topic, payload, size, 0, true, NULL);
}

bool broker_answer(const char *client, const char *topic, const void *payload, size_t size)
{
	return give(client, topic, payload, size, 1, false, NULL);
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

enum broker_answer broker_has_subscription(
	const char *client, const char *filter, struct terms terms)
{
	return kind->has_subscription(client, filter, terms);
}

bool broker_knows(const char *client)
{
	return !kind->knows || kind->knows(client);
}

bool broker_may_read(const char *client, const char *filter, const char *topic)
{
	return !kind->may_read || kind->may_read(client, filter, topic);
}

bool broker_tells_rights(void)
{
	return kind->tells_rights && kind->tells_rights();
}

const char *broker_user(const char *client)
{
	return kind->user(client);
}

const char *broker_address(const char *client)
{
	return kind->address(client);
}

const char *broker_plugin_version(void)
{
	return PLUGIN_VERSION;
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
