/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The plugin in Mosquitto 2.1. Which events there are and which of them lie was measured; this file
 * relies on this:
 * - The plugins' callbacks of one event are called in the order in which they were registered;
 *   those of one listener's plugins come after all others. Each callback sees what those before it
 *   have made of the message or the filter, and is not called where one of them has refused it. So
 *   a plugin that wants to know what the broker will do has to be the last one: SUBSCRIBE,
 *   UNSUBSCRIBE and MESSAGE_IN are registered at the first TICK, when all plugins have begun and no
 *   client has sent anything; and anew after each RELOAD. MESSAGE_OUT is for single clients, and is
 *   looked at before other plugins change the message.
 * - SUBSCRIBE comes after the ACL, for each filter; data.clientid is NULL.
 * - DISCONNECT means that the session is gone, but for reason 142 (taken over), which is followed
 *   by CONNECT without any SUBSCRIBE; there, the client's count of subscriptions tells whether it
 *   has kept its session. CLIENT_OFFLINE means a session that is kept.
 * - MESSAGE_IN comes before the broker looks at the packet id of a QoS 2 message: for a message
 *   that is sent again the event comes again, and no different. The only sign of its PUBREL is that
 *   MESSAGE_OUT comes for each connected subscriber, and MESSAGE_OUT tells neither the publisher
 *   nor the packet id.
 * - A client pointer is reused at once: the client id is the name of a session.
 * - acl_file agrees to every SUBSCRIBE and keeps what arrives from clients that may not read it;
 *   dynamic-security takes $share/<group>/<topic> for another topic than <topic>.
 * - The time of the next TICK is that of this one by the wall clock, as the event says it when the
 *   callback returns, and next_s, next_ms.
 */
#include "broker_kind.h"

#include <mosquitto/broker.h>
#include <mosquitto/broker_plugin.h>

#include "clock.h"
#include "topic.h"

#define REASON_TAKEN_OVER 142
/* Bits of a subscription's options: if one is set, the client is not always sent what is
 * retained. */
#define RETAIN_HANDLING	  0x30

/* The plugin notes of so many listeners that their clients are seen; of more it is taken for
 * granted. */
#define SEEN_PORTS 64
#define LOOK_NS	   UINT64_C(60000000000)
#define FIRST_LOOK_NS UINT64_C(5000000000)

/*
 * The function that the broker itself asks before it lets a client subscribe and before it hands a
 * message to a client (src/plugin_acl_check.c). The function is in no installed header and not
 * among the symbols that src/linker.syms exports: 2.1 has no public way to ask. But a broker that
 * was built with CMake exports it all the same (ENABLE_EXPORTS), and so does Debian's. NULL
 * elsewhere. The last argument but one is new in 2.1.
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

/* Whether ACL_CHECK was heard to agree to what the broker has agreed to. */
static enum { ACL_CHECK_UNTRIED, ACL_CHECK_AGREES, ACL_CHECK_LIES } acl_check;
static struct broker_events handlers;
static void *handlers_context;
static void *plugin;
static uint64_t look_ns; /* when clients of other listeners are looked for */
static int seen_ports[SEEN_PORTS];
static size_t seen_count;
static bool is_last; /* this plugin is behind all others, for events that decide something */

static bool tells_rights(void)
{
	return ACL_CHECK && acl_check != ACL_CHECK_LIES;
}

static bool is_denied(struct mosquitto *client, const char *topic, int access)
{
	return ACL_CHECK(client, topic, 0, NULL, 0, false, NULL, access) == MOSQ_ERR_ACL_DENIED;
}

/* Tries ACL_CHECK on a filter to which the broker has just agreed. If ACL_CHECK does not agree as
 * well, it is not asked in the way it wants to be. Tries once, which is enough: where another
 * plugin has put a filter in the place of the one that was agreed to, that filter may well be
 * denied. */
static void try_acl_check(struct mosquitto *client, const char *filter)
{
	struct topic topic;

	if (!ACL_CHECK || acl_check != ACL_CHECK_UNTRIED ||
		topic_parse(filter, &topic) != TOPIC_OVERLAY)
		return;
	acl_check = is_denied(client, filter, MOSQ_ACL_SUBSCRIBE) ? ACL_CHECK_LIES
								  : ACL_CHECK_AGREES;
	if (acl_check == ACL_CHECK_LIES)
		broker_log(BROKER_WARNING,
			"the broker denies what it has just allowed: what its clients may read is "
			"not asked any more");
}

static int on_subscribe(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_subscribe *subscribe = data;
	const char *client = mosquitto_client_id(subscribe->client);

	if (client && subscribe->data.topic_filter) {
		try_acl_check(subscribe->client, subscribe->data.topic_filter);
		handlers.subscribed(handlers_context, client, subscribe->data.topic_filter,
			(struct terms){subscribe->data.options, true, subscribe->data.identifier},
			broker_may_outlive(subscribe->client));
		if (!(subscribe->data.options & RETAIN_HANDLING))
			handlers.wanted(
				handlers_context, client, subscribe->data.topic_filter);
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

static bool is_seen(int port)
{
	for (size_t i = 0; i < seen_count; i++)
		if (seen_ports[i] == port)
			return true;
	return seen_count == SEEN_PORTS;
}

/* Looks for a port that is not seen here; stops at the first. (A session that is offline, a bridge
 * and a Unix socket have no port.) */
static int find_unseen(const struct mosquitto *client, void *context)
{
	int *unseen = context, port = mosquitto_client_port(client);

	*unseen = port == 0 || is_seen(port) ? 0 : port;
	return *unseen == 0 ? MOSQ_ERR_SUCCESS : MOSQ_ERR_UNKNOWN;
}

/* Tells now and then of a port whose clients are not seen here. A plugin of one listener gets no
 * event of what happens at others, but the broker shows it all clients. */
static void look_for_unseen(void)
{
	uint64_t now = clock_now_ns();
	int port = 0;

	if (now < look_ns)
		return;
	look_ns = now + LOOK_NS;
	mosquitto_apply_on_all_clients(find_unseen, &port);
	if (port != 0)
		handlers.unseen(handlers_context, port);
}

static int on_connect(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_connect *connect = data;
	const char *client = mosquitto_client_id(connect->client);
	int port = mosquitto_client_port(connect->client);

	handlers.saw(handlers_context, connect->client);
	if (port != 0 && !is_seen(port))
		seen_ports[seen_count++] = port;
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
	return MOSQ_ERR_SUCCESS; /* anything else keeps the message from the client */
}

static int on_reload(int event, void *data, void *userdata)
{
	is_last = false; /* others may have begun anew */
	handlers.reloaded(handlers_context);
	return MOSQ_ERR_SUCCESS; /* anything else ends the broker */
}

struct callback {
	int event;
	MOSQ_FUNC_generic_callback function;
};

static int put(const struct callback *callback)
{
	return mosquitto_callback_register(
		plugin, callback->event, callback->function, NULL, NULL);
}

/* Puts the callbacks that decide something behind those of all other plugins. Returns false without
 * memory: then the next TICK tries again. */
static bool put_last(void)
{
	static const struct callback callbacks[] = {
		{MOSQ_EVT_SUBSCRIBE, on_subscribe},
		{MOSQ_EVT_UNSUBSCRIBE, on_unsubscribe},
		{MOSQ_EVT_MESSAGE_IN, on_message},
	};
	bool good = true;

	for (size_t i = 0; i < sizeof callbacks / sizeof callbacks[0]; i++) {
		mosquitto_callback_unregister(
			plugin, callbacks[i].event, callbacks[i].function, NULL);
		good = put(&callbacks[i]) == MOSQ_ERR_SUCCESS && good;
	}
	return good;
}

static int on_tick(int event, void *data, void *userdata)
{
	struct mosquitto_evt_tick *tick = data;

	is_last = is_last || put_last();
	look_for_unseen();
	handlers.tick(handlers_context);
	/* next_s and next_ms stay untouched: then TICK runs on every turn. But TICK runs only from
	 * the given time on. If that were the present time, a wall clock that is set back by an
	 * hour (a board without a battery) would mean an hour without TICK: so the given time is
	 * always in 1970. */
	tick->now_s = 0;
	tick->now_ns = 0;
	return MOSQ_ERR_SUCCESS;
}

static int register_events(
	void *identifier, const struct broker_events *events, void *context)
{
	static const struct callback callbacks[] = {
		{MOSQ_EVT_CONNECT, on_connect},
		{MOSQ_EVT_DISCONNECT, on_disconnect},
		{MOSQ_EVT_CLIENT_OFFLINE, on_offline},
		{MOSQ_EVT_MESSAGE_OUT, on_sent},
		{MOSQ_EVT_RELOAD, on_reload},
		{MOSQ_EVT_TICK, on_tick},
	};
	int status = MOSQ_ERR_SUCCESS;

	handlers = *events;
	handlers_context = context;
	plugin = identifier;
	is_last = false;
	seen_count = 0;
	look_ns = clock_now_ns() + FIRST_LOOK_NS;
	for (size_t i = 0; !status && i < sizeof callbacks / sizeof callbacks[0]; i++)
		status = put(&callbacks[i]);
	return status;
}

static bool begin(void *identifier)
{
	mosquitto_plugin_set_info(identifier, "p2panda", PLUGIN_VERSION);
	return true;
}

static void end(void)
{
}

/* Wants a turn after each publish: what is published in TICK leaves one turn later. */
static bool wants_turn(bool published)
{
	return published;
}

static void restored(const char *client, const char *filter, uint8_t qos)
{
	/* Nothing is to be kept: has_session can ask the broker. */
}

static bool has_session(const char *client)
{
	const struct mosquitto *session = mosquitto_client(client);

	return session && mosquitto_client_sub_count(session) > 0;
}

/* Asks the broker by adding the subscription, as there is no question for it.
 * mosquitto_subscription_add answers the same whether a restored session had the subscription or
 * not; but it counts, and a subscription that is there is not changed by being added on the same
 * terms. Adding raises no event, and sends nothing that is retained. */
static enum broker_answer has_subscription(
	const char *client, const char *filter, struct terms terms)
{
	const struct mosquitto *session = mosquitto_client(client);
	int before = mosquitto_client_sub_count(session);
	const struct mosquitto_subscription subscription = {
		.clientid = (char *)client,
		.topic_filter = (char *)filter,
		.options = terms.options,
		.identifier = terms.identifier,
	};

	if (before == 0)
		return BROKER_NO;
	if (!terms.complete || !mosquitto_subscription_add || !mosquitto_subscription_delete)
		return BROKER_DOES_NOT_SAY;
	(void)mosquitto_subscription_add(&subscription);
	if (mosquitto_client_sub_count(session) == before)
		return BROKER_YES; /* or there is no memory */
	(void)mosquitto_subscription_delete(client, filter);
	return mosquitto_client_sub_count(session) == before ? BROKER_NO : BROKER_YES;
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
	/* A session from before the restart whose client has not been back has no listener, and
	 * with per_listener_settings that is a reason to deny everything. */
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
	.has_subscription = has_subscription,
	.knows = knows,
	.may_read = may_read,
	.tells_rights = tells_rights,
	.user = user,
	.address = address,
	.persistence_location = persistence_location,
	.tells_persistence = true,
};
