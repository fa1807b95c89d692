/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Mosquitto 2.1. Which events there are and which of them lie was measured; what is relied on
 * here:
 * - SUBSCRIBE comes after the ACL, for each filter; data.clientid is NULL.
 * - DISCONNECT means that the session is gone, but for reason 142 (taken over), which is
 *   followed by CONNECT without any SUBSCRIBE; there, the client's count of subscriptions
 *   tells whether it has kept its session. CLIENT_OFFLINE means a session that is kept.
 * - MESSAGE_IN comes before the broker looks at the packet id of a QoS 2 message: again, and no
 *   different, for one that was sent again. Nothing tells of its PUBREL but that MESSAGE_OUT
 *   comes for each connected subscriber, which is told neither from where nor with which id.
 * - A client pointer is reused at once: the client id is the name of a session.
 * - acl_file agrees to every SUBSCRIBE and keeps what arrives from who may not read it;
 *   dynamic-security takes $share/<group>/<topic> for another topic than <topic>.
 * - The time of the next TICK is that of this one by the wall clock, as the event says it
 *   when the callback returns, and next_s, next_ms.
 */
#include "broker_kind.h"

#include <mosquitto/broker.h>
#include <mosquitto/broker_plugin.h>

#define REASON_TAKEN_OVER 142

/*
 * What the broker itself asks before it lets a client subscribe and before it hands a message to a
 * client (src/plugin_acl_check.c). It is in no installed header and not among the symbols that
 * src/linker.syms exports: 2.1 has no public way to ask. But whatever was built with CMake exports
 * it all the same (ENABLE_EXPORTS), and so Debian's. NULL elsewhere. The last argument but one is
 * new in 2.1.
 */
#if LIBMOSQUITTO_MAJOR == 2 && LIBMOSQUITTO_MINOR == 1
__attribute__((weak)) int mosquitto_acl_check(struct mosquitto *client, const char *topic,
	uint32_t payloadlen, void *payload, uint8_t qos, bool retain,
	mosquitto_property *properties, int access);
#define ACL_CHECK mosquitto_acl_check
#else
#define ACL_CHECK ((int (*)(struct mosquitto *, const char *, uint32_t, void *, uint8_t, bool, \
	mosquitto_property *, int))NULL)
#endif

static bool acl_check_lies;
static struct broker_events handlers;
static void *handlers_context;

static bool tells_rights(void)
{
	return ACL_CHECK && !acl_check_lies;
}

static bool is_denied(struct mosquitto *client, const char *topic, int access)
{
	return ACL_CHECK(client, topic, 0, NULL, 0, false, NULL, access) == MOSQ_ERR_ACL_DENIED;
}

/* The broker has just agreed to the filter: who asks it should hear the same, or it is not asked as
 * it wants to be. */
static void try_acl_check(struct mosquitto *client, const char *filter)
{
	if (!tells_rights() || !is_denied(client, filter, MOSQ_ACL_SUBSCRIBE))
		return;
	acl_check_lies = true;
	broker_log(BROKER_WARNING, "the broker denies what it has just allowed: what its clients "
				   "may read is not asked any more");
}

static int on_subscribe(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_subscribe *subscribe = data;
	const char *client = mosquitto_client_id(subscribe->client);

	if (client && subscribe->data.topic_filter) {
		try_acl_check(subscribe->client, subscribe->data.topic_filter);
		handlers.subscribed(handlers_context, client, subscribe->data.topic_filter,
			subscribe->data.options & 0x03, broker_may_outlive(subscribe->client));
	}
	return MOSQ_ERR_SUCCESS;
}

static int on_unsubscribe(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_unsubscribe *unsubscribe = data;
	const char *client = mosquitto_client_id(unsubscribe->client);

	if (client && unsubscribe->data.topic_filter)
		handlers.unsubscribed(handlers_context, client, unsubscribe->data.topic_filter);
	return MOSQ_ERR_SUCCESS;
}

static int on_connect(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_connect *connect = data;
	const char *client = mosquitto_client_id(connect->client);

	if (client)
		handlers.connected(handlers_context, client,
			mosquitto_client_clean_session(connect->client),
			mosquitto_client_sub_count(connect->client) > 0);
	return MOSQ_ERR_SUCCESS;
}

static int on_disconnect(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_disconnect *disconnect = data;
	const char *client = mosquitto_client_id(disconnect->client);

	if (client && disconnect->reason != REASON_TAKEN_OVER)
		handlers.gone(handlers_context, client);
	return MOSQ_ERR_SUCCESS;
}

static int on_offline(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_client_offline *offline = data;
	const char *client = mosquitto_client_id(offline->client);

	if (client)
		handlers.offline(handlers_context, client);
	return MOSQ_ERR_SUCCESS;
}

static int on_message(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_message *evt = data;
	const char *client = evt->client ? mosquitto_client_id(evt->client) : NULL;
	struct broker_message message = {
		.client = client ? client : "",
		.topic = evt->topic,
		.payload = evt->payload,
		.size = evt->payloadlen,
		.qos = evt->qos,
		.retain = evt->retain,
		.lasting = evt->client && broker_may_outlive(evt->client),
		.has_properties = evt->properties != NULL,
	};

	if (broker_is_probe(evt->payload, evt->payloadlen))
		return MOSQ_ERR_ACL_DENIED; /* from another broker, by a native bridge */
	switch (handlers.message(handlers_context, &message)) {
	case BROKER_REFUSE_NOT_AUTHORISED:
		return MOSQ_ERR_ACL_DENIED;
	case BROKER_REFUSE_QUOTA:
		return MOSQ_ERR_QUOTA_EXCEEDED;
	case BROKER_CARRY_ON:
		break;
	}
	return MOSQ_ERR_SUCCESS;
}

static int on_sent(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_message *evt = data;
	const char *client = evt->client ? mosquitto_client_id(evt->client) : NULL;

	if (client && evt->topic)
		handlers.sent(handlers_context, client, evt->topic, evt->payload, evt->payloadlen);
	return MOSQ_ERR_SUCCESS; /* anything else keeps it from the client */
}

static int on_reload(int event, void *data, void *userdata)
{
	handlers.reloaded(handlers_context);
	return MOSQ_ERR_SUCCESS; /* anything else ends the broker */
}

static int on_tick(int event, void *data, void *userdata)
{
	struct mosquitto_evt_tick *tick = data;

	handlers.tick(handlers_context);
	/* next_s and next_ms stay untouched: then TICK runs on every turn. But only from the time
	 * on that it is now, and a wall clock that is set back by an hour (a board without a
	 * battery) would be without TICK for an hour: so it has been 1970 all the time. */
	tick->now_s = 0;
	tick->now_ns = 0;
	return MOSQ_ERR_SUCCESS;
}

static int register_events(
	void *identifier, const struct broker_events *events, void *context)
{
	static const struct {
		int event;
		MOSQ_FUNC_generic_callback callback;
	} callbacks[] = {
		{MOSQ_EVT_SUBSCRIBE, on_subscribe},
		{MOSQ_EVT_UNSUBSCRIBE, on_unsubscribe},
		{MOSQ_EVT_CONNECT, on_connect},
		{MOSQ_EVT_DISCONNECT, on_disconnect},
		{MOSQ_EVT_CLIENT_OFFLINE, on_offline},
		{MOSQ_EVT_MESSAGE_IN, on_message},
		{MOSQ_EVT_MESSAGE_OUT, on_sent},
		{MOSQ_EVT_RELOAD, on_reload},
		{MOSQ_EVT_TICK, on_tick},
	};
	int status;

	handlers = *events;
	handlers_context = context;
	for (size_t i = 0; i < sizeof callbacks / sizeof callbacks[0]; i++) {
		status = mosquitto_callback_register(
			identifier, callbacks[i].event, callbacks[i].callback, NULL, NULL);
		if (status != MOSQ_ERR_SUCCESS)
			return status;
	}
	return MOSQ_ERR_SUCCESS;
}

static bool begin(void *identifier)
{
	mosquitto_plugin_set_info(identifier, "p2panda", PLUGIN_VERSION);
	return true;
}

static void end(void)
{
}

/* What is published in TICK leaves one turn later. */
static bool wants_turn(bool published)
{
	return published;
}

static void restored(const char *client, const char *filter, uint8_t qos)
{
	/* There is has_session to ask. */
}

static bool has_session(const char *client)
{
	const struct mosquitto *session = mosquitto_client(client);

	return session && mosquitto_client_sub_count(session) > 0;
}

static bool knows(const char *client)
{
	return mosquitto_client(client) != NULL;
}

static bool may_read(const char *client, const char *filter, const char *topic)
{
	struct mosquitto *session = tells_rights() ? mosquitto_client(client) : NULL;

	if (!session)
		return true;
	/* A session from before the restart that has not been back has no listener, and with
	 * per_listener_settings that is a reason to deny everything. */
	if (!mosquitto_client_address(session))
		return true;
	return !is_denied(session, topic, MOSQ_ACL_READ) &&
	       !is_denied(session, topic, MOSQ_ACL_SUBSCRIBE) &&
	       !is_denied(session, filter, MOSQ_ACL_SUBSCRIBE);
}

static const char *user(const char *client)
{
	return mosquitto_client_username(mosquitto_client(client));
}

static const char *address(const char *client)
{
	return mosquitto_client_address(mosquitto_client(client));
}

static const char *persistence_location(void)
{
	return mosquitto_persistence_location();
}

const struct broker_kind broker_21 = {
	.begin = begin,
	.end = end,
	.register_events = register_events,
	.wants_turn = wants_turn,
	.restored = restored,
	.has_session = has_session,
	.knows = knows,
	.may_read = may_read,
	.tells_rights = tells_rights,
	.user = user,
	.address = address,
	.persistence_location = persistence_location,
	.tells_persistence = true,
};
