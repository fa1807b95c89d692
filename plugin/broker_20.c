/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The plugin in Mosquitto 2.0, which has no events of subscriptions: what can be seen is seen in
 * ACL_CHECK, the rest is asked for (census.h). The following, on which this file relies, was read
 * in 2.0.11 and 2.0.21 (src/security.c, plugin.c, loop.c, handle_connect.c, subs.c) and is tried by
 * tests/stock:
 *
 * - ACL_CHECK callbacks are called in the order in which they were registered: plugins' in the
 *   order of the configuration, then that of acl_file. The first answer but DEFER counts, and later
 *   callbacks are not called. If all callbacks defer, access is denied; if there is no callback,
 *   access is allowed. So a plugin that registers one also answers for brokers that have none. This
 *   file registers two: 'first' sees everything and defers, but for the plugin's questions, which
 *   it keeps from everybody; 'last' is called when all others have deferred, and allows if there
 *   can be no others.
 * - acl_file never defers. But a reload registers acl_file again, behind all others: so 'last' is
 *   taken away before that (RELOAD) and put back behind acl_file (the TICK of the same turn).
 *   'last' never stands before acl_file. (What a client sends by websockets may be handled between
 *   the two, and is denied then where there is no acl_file.)
 * - MESSAGE callbacks are called in the order in which they were registered, too. Each sees what
 *   those before it have made of the message, and none is called behind one that refuses the
 *   message. So on_message is registered at the first TICK, when all others are, and anew after a
 *   reload.
 * - The answer to RELOAD has to be DEFER, or plugins behind this one are not reloaded.
 * - ACL_CHECK of SUBSCRIBE comes for each filter, before the client is subscribed. The same check
 *   comes again for a client that another plugin is about to throw out.
 * - DISCONNECT comes for every connection that ends: also for a connection that has only claimed a
 *   client id, and for the old connection when a session goes on in a new one. The old one has no
 *   subscriptions then.
 * - The next turn of the loop looks at what is published in TICK before anything else.
 * - Callbacks that are still registered when the broker ends are lost to the broker.
 */
#include "broker_kind.h"

#include <dlfcn.h>
#include <link.h>
#include <mosquitto/broker.h>
#include <mosquitto/broker_plugin.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../bridge/error.h"
#include "../bridge/memory.h"
#include "../bridge/random.h"
#include "census.h"
#include "clock.h"
#include "topic.h"

/* The folder where packages have Mosquitto keep its database. Mosquitto 2.0 does not tell plugins
 * where the database is. */
#define PERSISTENCE "/var/lib/mosquitto"

/* The payload of a question: mark, secret, number (4 bytes), whether it is for the decoy. */
#define SECRET_SIZE 16
#define PROBE_SIZE  (BROKER_PROBE_MARK_SIZE + SECRET_SIZE + 5)

static struct {
	void *identifier;
	struct broker_events events;
	void *context;
	struct census *census;
	unsigned char secret[SECRET_SIZE];
	const struct mosquitto *acting; /* the client whose event this is; NULL: none */
	bool has_last;	 /* the callback 'last' is registered */
	bool hears_last; /* on_message is registered behind all others */
	bool has_others; /* other plugins are loaded, which may have callbacks */
	bool awaits;	 /* questions were asked in this turn */
	bool has_ticked;
} broker;

/* ---- other plugins ---- */

/* The paths of all shared objects of this process, each with its closing zero. */
struct objects {
	char paths[65536];
	size_t size;
	bool too_many;
};

/* Notes the path of a shared object. Opens nothing: other threads may be doing so, and wait for
 * this one. */
static int on_object(struct dl_phdr_info *info, size_t info_size, void *context)
{
	struct objects *objects = context;
	size_t size = strlen(info->dlpi_name) + 1;

	if (size == 1) /* the broker itself */
		return 0;
	objects->too_many = size > sizeof objects->paths - objects->size;
	if (objects->too_many)
		return 1;
	memcpy(objects->paths + objects->size, info->dlpi_name, size);
	objects->size += size;
	return 0;
}

static bool is_plugin(const char *path)
{
	static const char *const names[] = {"mosquitto_plugin_init", "mosquitto_auth_plugin_init"};
	void *handle = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
	bool found = false;
	Dl_info info;

	if (!handle)
		return false;
	for (size_t i = 0; !found && i < sizeof names / sizeof names[0]; i++) {
		void *function = dlsym(handle, names[i]);

		/* The function must not be that of a library with which the object is linked. */
		found = function && dladdr(function, &info) && strcmp(info.dli_fname, path) == 0;
	}
	dlclose(handle);
	return found;
}

/* Tells whether another plugin is loaded, and writes its path; where that cannot be told, returns
 * true and writes why. */
static bool finds_other_plugin(char *out, size_t out_size)
{
	struct objects *objects = memory_zalloc(sizeof *objects);
	const char *path, *self = "";
	bool found = false;
	Dl_info info;

	snprintf(out, out_size, "(too many libraries to tell)");
	if (!objects)
		return true;
	dl_iterate_phdr(on_object, objects);
	if (dladdr((void *)finds_other_plugin, &info) && info.dli_fname)
		self = info.dli_fname;
	for (size_t i = 0; !found && i < objects->size; i += strlen(path) + 1) {
		path = objects->paths + i;
		found = strcmp(path, self) != 0 && is_plugin(path);
		if (found)
			snprintf(out, out_size, "%s", path);
	}
	found = found || objects->too_many;
	memory_free(objects);
	return found;
}

/* ---- clients ---- */

static struct census_who who_is(const struct mosquitto *client)
{
	return (struct census_who){
		.handle = client,
		.id = mosquitto_client_id(client),
		.user = mosquitto_client_username(client),
		.address = mosquitto_client_address(client),
		.lasting = broker_may_outlive(client),
		.anew = mosquitto_client_clean_session(client),
	};
}

static bool is_acting(const char *client)
{
	const char *id = broker.acting ? mosquitto_client_id(broker.acting) : NULL;

	return id && strcmp(id, client) == 0;
}

/* ---- what the census finds out ---- */

static void ask(void *context, const char *topic, unsigned number, bool decoy)
{
	unsigned char probe[PROBE_SIZE];
	unsigned char *to = probe;

	memcpy(to, broker_probe_mark, BROKER_PROBE_MARK_SIZE);
	to += BROKER_PROBE_MARK_SIZE;
	memcpy(to, broker.secret, SECRET_SIZE);
	to += SECRET_SIZE;
	for (int shift = 24; shift >= 0; shift -= 8)
		*to++ = (unsigned char)(number >> shift);
	*to = decoy;
	broker_publish(topic, probe, sizeof probe, 0, NULL, 0);
}

static void tell_subscribed(
	void *context, const char *client, const char *filter, uint8_t qos, bool lasting)
{
	broker.events.subscribed(broker.context, client, filter, terms_of_qos(qos), lasting);
}

static void tell_unsubscribed(void *context, const char *client, const char *filter)
{
	broker.events.unsubscribed(broker.context, client, filter);
}

static void tell_connected(void *context, const char *client, bool anew)
{
	broker.events.connected(broker.context, client, anew, true);
}

static void tell_offline(void *context, const char *client)
{
	broker.events.offline(broker.context, client);
}

static void tell_gone(void *context, const char *client)
{
	broker.events.gone(broker.context, client);
}

/* ---- access control: only to see ---- */

static bool is_ours(const struct mosquitto_evt_acl_check *check)
{
	return check->payloadlen == PROBE_SIZE && broker_is_probe(check->payload, PROBE_SIZE) &&
	       memcmp((const unsigned char *)check->payload + BROKER_PROBE_MARK_SIZE, broker.secret,
		       SECRET_SIZE) == 0;
}

static void on_answer(const struct mosquitto_evt_acl_check *check)
{
	const unsigned char *from = (const unsigned char *)check->payload +
				    BROKER_PROBE_MARK_SIZE + SECRET_SIZE;
	struct census_who who = who_is(check->client);
	unsigned number = 0;

	for (size_t i = 0; i < 4; i++)
		number = number << 8 | *from++;
	if (who.id)
		census_answered(broker.census, number, *from != 0, &who);
}

static void on_subscribe(const struct mosquitto_evt_acl_check *check)
{
	struct census_who who = who_is(check->client);
	struct topic topic;
	uint8_t qos = check->qos & 0x03;

	if (!who.id)
		return;
	broker.events.saw(broker.context, check->client);
	broker.acting = check->client;
	/* A filter that the census cannot follow is passed on at once: who takes the event says
	 * what is wrong. */
	if (topic_parse(check->topic, &topic) != TOPIC_OVERLAY ||
		census_subscribes(broker.census, &who, check->topic, qos) != ERROR_NONE)
		broker.events.subscribed(broker.context, who.id, check->topic, terms_of_qos(qos),
			who.lasting);
	broker.acting = NULL;
}

static void on_unsubscribe(const struct mosquitto_evt_acl_check *check)
{
	struct census_who who = who_is(check->client);

	if (who.id)
		census_unsubscribes(broker.census, &who, check->topic);
}

static bool is_below_prefix(const char *topic)
{
	return strncmp(topic, TOPIC_PREFIX, sizeof TOPIC_PREFIX - 1) == 0;
}

/* Hears that a message is on its way to a client. Whether the client may have the message is for
 * other callbacks to decide; that the question comes up shows that the broker has released the
 * message. */
static void on_read(const struct mosquitto_evt_acl_check *check)
{
	const char *client = mosquitto_client_id(check->client);

	if (client && is_below_prefix(check->topic))
		broker.events.sent(broker.context, client, check->topic, check->payload,
			check->payloadlen);
}

static int first(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_acl_check *check = data;

	switch (check->access) {
	case MOSQ_ACL_READ:
		if (is_ours(check)) {
			on_answer(check);
			return MOSQ_ERR_ACL_DENIED;
		}
		on_read(check);
		break;
	case MOSQ_ACL_SUBSCRIBE:
		on_subscribe(check);
		break;
	case MOSQ_ACL_UNSUBSCRIBE:
		on_unsubscribe(check);
		break;
	default:
		break;
	}
	return MOSQ_ERR_PLUGIN_DEFER;
}

static int last(int event, void *data, void *userdata)
{
	return broker.has_others ? MOSQ_ERR_PLUGIN_DEFER : MOSQ_ERR_SUCCESS;
}

/* Registers 'last', without which everything is denied: if that fails, the next tick tries
 * again. */
static void put_last(void)
{
	broker.has_last = broker.has_last ||
			  mosquitto_callback_register(broker.identifier, MOSQ_EVT_ACL_CHECK, last,
				  NULL, NULL) == MOSQ_ERR_SUCCESS;
}

static void drop_last(void)
{
	if (broker.has_last)
		mosquitto_callback_unregister(
			broker.identifier, MOSQ_EVT_ACL_CHECK, last, NULL);
	broker.has_last = false;
}

static void look_for_others(void)
{
	char path[512];

	broker.has_others = finds_other_plugin(path, sizeof path);
	census_trust(broker.census, !broker.has_others);
	if (broker.has_others)
		broker_log(BROKER_NOTICE,
			"another plugin is loaded, %s: what neither it nor an acl_file allows is "
			"denied",
			path);
}

/* ---- other events ---- */

static int on_disconnect(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_disconnect *disconnect = data;
	struct census_who who = who_is(disconnect->client);

	if (who.id)
		census_disconnected(
			broker.census, &who, mosquitto_client_sub_count(disconnect->client) > 0);
	return MOSQ_ERR_SUCCESS;
}

static int on_message(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_message *evt = data;
	struct census_who who = who_is(evt->client);
	struct broker_message message = {
		.client = who.id ? who.id : "",
		.topic = evt->topic,
		.payload = evt->payload,
		.size = evt->payloadlen,
		.qos = evt->qos,
		.retain = evt->retain,
		.lasting = who.lasting,
		.has_properties = evt->properties != NULL,
	};
	enum broker_verdict verdict;

	if (broker_is_probe(evt->payload, evt->payloadlen))
		return MOSQ_ERR_ACL_DENIED; /* from another broker, by a native bridge */
	if (!is_below_prefix(evt->topic))
		return MOSQ_ERR_SUCCESS;
	if (who.id)
		census_publishes(broker.census, &who, evt->qos == 2 && who.lasting);
	broker.events.saw(broker.context, evt->client);
	broker.acting = evt->client;
	verdict = broker.events.message(broker.context, &message);
	broker.acting = NULL;
	/* Any other result ends the connection. */
	return verdict == BROKER_CARRY_ON ? MOSQ_ERR_SUCCESS : MOSQ_ERR_ACL_DENIED;
}

static int on_reload(int event, void *data, void *userdata)
{
	drop_last();
	broker.hears_last = false; /* others may have begun anew */
	broker.events.reloaded(broker.context);
	return MOSQ_ERR_PLUGIN_DEFER;
}

static void hear_last(void)
{
	if (broker.hears_last)
		return;
	mosquitto_callback_unregister(broker.identifier, MOSQ_EVT_MESSAGE, on_message, NULL);
	broker.hears_last = mosquitto_callback_register(broker.identifier, MOSQ_EVT_MESSAGE,
				    on_message, NULL, NULL) == MOSQ_ERR_SUCCESS;
}

static int on_tick(int event, void *data, void *userdata)
{
	if (!broker.has_ticked)
		look_for_others(); /* all plugins are there now */
	broker.has_ticked = true;
	put_last();
	hear_last();
	broker.awaits = census_tick(broker.census, clock_now_ns());
	/* The rest of plugin/ is promised that all sessions are back by its first tick. */
	if (!census_is_restoring(broker.census))
		broker.events.tick(broker.context);
	return MOSQ_ERR_SUCCESS;
}

/* ---- beginning and end ---- */

/* Tells whether the plugin serves one listener only. What the broker hands to a plugin's entry
 * point (struct mosquitto_plugin_id_t) begins with the listener that the plugin serves; NULL:
 * all. */
static bool serves_one_listener(const void *identifier)
{
	const void *listener;

	memcpy(&listener, identifier, sizeof listener);
	return listener != NULL;
}

static bool begin(void *identifier)
{
	const struct census_actions actions = {
		.ask = ask,
		.subscribed = tell_subscribed,
		.unsubscribed = tell_unsubscribed,
		.connected = tell_connected,
		.offline = tell_offline,
		.gone = tell_gone,
	};
	const struct random random = random_system();
	char path[512];
	int error;

	memset(&broker, 0, sizeof broker);
	broker.identifier = identifier;
	if (serves_one_listener(identifier)) {
		broker_log(BROKER_ERROR,
			"with Mosquitto 2.0 the plugin cannot be loaded where "
			"per_listener_settings is true: it would see one listener only");
		return false;
	}
	if (finds_other_plugin(path, sizeof path)) {
		broker_log(BROKER_ERROR,
			"with Mosquitto 2.0 this plugin has to be the first one, or it does not "
			"see what others allow: its line has to come before that of %s",
			path);
		return false;
	}
	random.fill(random.context, broker.secret, SECRET_SIZE);
	error = census_new(&actions, &random, &broker.census);
	if (error)
		broker_log(BROKER_ERROR, "%s", error_text(error));
	return !error;
}

static void end(void)
{
	census_free(broker.census);
	broker.census = NULL;
}

static const struct {
	int event;
	MOSQ_FUNC_generic_callback callback;
} callbacks[] = {
	{MOSQ_EVT_ACL_CHECK, first},
	{MOSQ_EVT_DISCONNECT, on_disconnect},
	{MOSQ_EVT_RELOAD, on_reload},
	{MOSQ_EVT_TICK, on_tick},
};
#define CALLBACKS (sizeof callbacks / sizeof callbacks[0])

static void unregister_events(void)
{
	drop_last();
	mosquitto_callback_unregister(broker.identifier, MOSQ_EVT_MESSAGE, on_message, NULL);
	for (size_t i = 0; i < CALLBACKS; i++)
		mosquitto_callback_unregister(
			broker.identifier, callbacks[i].event, callbacks[i].callback, NULL);
}

static int register_events(
	void *identifier, const struct broker_events *events, void *context)
{
	int status;

	broker.events = *events;
	broker.context = context;
	for (size_t i = 0; i < CALLBACKS; i++) {
		status = mosquitto_callback_register(
			identifier, callbacks[i].event, callbacks[i].callback, NULL, NULL);
		if (status != MOSQ_ERR_SUCCESS)
			return status;
	}
	broker_log(BROKER_NOTICE,
		"Mosquitto 2.0: what is refused has the reason 'not authorised' (0x87), too large "
		"or over a limit, too; a native bridge that takes p2panda/# out of here carries "
		"messages of %d bytes that only ask who subscribes",
		PROBE_SIZE);
	return MOSQ_ERR_SUCCESS;
}

static bool wants_turn(bool published)
{
	return broker.awaits;
}

static void restored(const char *client, const char *filter, uint8_t qos)
{
	/* A subscription that cannot be followed is not there for has_session. */
	census_restored(broker.census, client, filter, qos);
}

static bool has_session(const char *client)
{
	return census_has(broker.census, client);
}

static enum broker_answer has_subscription(
	const char *client, const char *filter, struct terms terms)
{
	/* By the first tick it was asked for. */
	if (census_has_filter(broker.census, client, filter))
		return BROKER_YES;
	return census_is_full(broker.census, client) ? BROKER_DOES_NOT_SAY : BROKER_NO;
}

static const char *user(const char *client)
{
	return is_acting(client) ? mosquitto_client_username(broker.acting)
				 : census_user(broker.census, client);
}

static const char *address(const char *client)
{
	return is_acting(client) ? mosquitto_client_address(broker.acting)
				 : census_address(broker.census, client);
}

static const char *persistence_location(void)
{
	struct stat status;

	return stat(PERSISTENCE, &status) == 0 && S_ISDIR(status.st_mode) ? PERSISTENCE : NULL;
}

const struct broker_kind broker_20 = {
	.begin = begin,
	.end = end,
	.register_events = register_events,
	.unregister_events = unregister_events,
	.wants_turn = wants_turn,
	.restored = restored,
	.has_session = has_session,
	.has_subscription = has_subscription,
	.user = user,
	.address = address,
	.persistence_location = persistence_location,
	.tells_persistence = false,
};
