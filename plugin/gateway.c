/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../bridge/bytes/hex.h"
#include "../bridge/memory.h"
#include "clock.h"
#include "guard.h"
#include "inbound.h"
#include "interest.h"
#include "outbound.h"
#include "relay_options.h"
#include "sessions.h"
#include "status.h"
#include "topic.h"
#include "unreleased.h"
#include "waker.h"

#define SECOND_NS UINT64_C(1000000000)

struct gateway {
	struct identity identity;
	struct node *node;
	struct waker *waker;
	struct interest *interest;
	struct unreleased *unreleased;
	struct guard *guard;
	struct sessions *sessions;
	struct inbound inbound;
	struct outbound outbound;
	struct status status;
	bool has_status;
	bool first_start; /* there was no identity yet */
	int lock;	  /* of state_dir; -1: none */
	struct clock clock;
	struct remarks remarks;
};

static uint64_t read_clock(clockid_t which)
{
	struct timespec now;

	clock_gettime(which, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static uint64_t now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static uint64_t wall_s(void)
{
	return read_clock(CLOCK_REALTIME) / SECOND_NS;
}

/* ---- what happens in the broker ---- */

static void log_local(
	struct gateway *gateway, const char *client, const struct id *topic, const char *why)
{
	if (remark_may(&gateway->remarks, now_ns(), REMARK_LOCAL))
		broker_log(BROKER_WARNING,
			"overlay %s: not joined for client %.*s, whose subscription stays local: "
			"%s",
			topic_short(topic).text, REMARK_CLIENT, client, why);
}

static void on_subscribed(
	void *context, const char *client, const char *filter, uint8_t qos, bool lasting)
{
	struct gateway *gateway = context;
	struct topic topic;
	int error;

	switch (topic_parse(filter, &topic)) {
	case TOPIC_OVERLAY:
		error = interest_subscribed(
			gateway->interest, client, filter, &topic.overlay, qos, lasting);
		if (error)
			log_local(gateway, client, &topic.overlay,
				error == ERROR_LIMIT ? "too many filters of one client"
						     : error_text(error));
		break;
	case TOPIC_MALFORMED:
		if (remark_may(&gateway->remarks, now_ns(), REMARK_MALFORMED_FILTER))
			broker_log(BROKER_NOTICE,
				"client %.*s subscribed %.18s..., which is no overlay (" TOPIC_ACCEPTED
				"): an ordinary local subscription",
				REMARK_CLIENT, client, filter);
		break;
	case TOPIC_WILDCARD:
	case TOPIC_FOREIGN:
		break;
	}
}

static void on_unsubscribed(void *context, const char *client, const char *filter)
{
	interest_unsubscribed(((struct gateway *)context)->interest, client, filter);
}

static void on_connected(void *context, const char *client, bool anew, bool kept)
{
	struct gateway *gateway = context;

	interest_connected(gateway->interest, client, kept);
	unreleased_connected(gateway->unreleased, client, !anew);
}

static void on_offline(void *context, const char *client)
{
	struct gateway *gateway = context;

	interest_offline(gateway->interest, client);
	unreleased_offline(gateway->unreleased, client);
}

static void on_gone(void *context, const char *client)
{
	struct gateway *gateway = context;

	interest_gone(gateway->interest, client);
	unreleased_gone(gateway->unreleased, client);
}

static enum broker_verdict on_message(void *context, const struct broker_message *message)
{
	return outbound_message(
		&((struct gateway *)context)->outbound, now_ns(), wall_s(), message);
}

static void on_sent(void *context, const char *client, const char *filter, const void *payload,
	size_t size)
{
	struct gateway *gateway = context;
	struct topic topic;

	if (topic_parse(filter, &topic) != TOPIC_OVERLAY)
		return;
	interest_heard(gateway->interest, client, filter, &topic.overlay);
	unreleased_released(gateway->unreleased, &topic.overlay, payload, size);
}

static void on_reloaded(void *context)
{
	/* Its access control is read after this. */
	interest_rights_changed(((struct gateway *)context)->interest);
	broker_log(BROKER_NOTICE, "reloading leaves the plugin as it is: its options are read when "
				  "the broker starts");
}

/* Nothing here goes by the wall clock, but what the broker keeps for a time does, and who reads
 * the log. */
static void look_at_clock(struct gateway *gateway, uint64_t now)
{
	int64_t step = clock_step(&gateway->clock, now, read_clock(CLOCK_REALTIME));

	if (step != 0)
		broker_log(BROKER_NOTICE,
			"the clock was set %s by %lld s: the expiry of sessions and of messages in "
			"this broker goes by it",
			step < 0 ? "back" : "forward", (long long)(step < 0 ? -step : step));
}

static void on_tick(void *context)
{
	struct gateway *gateway = context;
	uint64_t now = now_ns();
	size_t drained;

	look_at_clock(gateway, now);
	waker_heard(gateway->waker);
	interest_tick(gateway->interest, now);
	unreleased_tick(gateway->unreleased, now, broker_knows);
	drained = inbound_drain(&gateway->inbound, now, wall_s());
	if (!gateway->has_status) {
		/* Publishing is possible from the first TICK on. */
		status_begin(&gateway->status, gateway->node, &gateway->identity.id);
		gateway->has_status = true;
	}
	status_tick(&gateway->status, now);
	remark_tick(&gateway->remarks, now);
	waker_again(gateway->waker,
		drained == INBOUND_PER_TURN || broker_wants_turn(drained > 0));
	/* What the clients have published since the last turn, all of it at once. */
	node_flush(gateway->node);
}

/* ---- what interest wants ---- */

static int join(void *context, const struct id *topic)
{
	return node_join(((struct gateway *)context)->node, topic);
}

static int leave(void *context, const struct id *topic)
{
	return node_leave(((struct gateway *)context)->node, topic);
}

static int verify(void *context, const struct id *topic, bool wanted)
{
	return node_verify(((struct gateway *)context)->node, topic, wanted);
}

static bool has_session(void *context, const char *client)
{
	return broker_has_session(client);
}

static int remember(void *context, const char *client, const char *filter, uint8_t qos)
{
	return sessions_remember(((struct gateway *)context)->sessions, client, filter, qos);
}

static void forget(void *context, const char *client, const char *filter)
{
	sessions_forget(((struct gateway *)context)->sessions, client, filter);
}

static bool allowed(void *context, const char *client, const char *filter, const struct id *topic)
{
	char text[TOPIC_SIZE];
	struct topic parsed;

	/* Of a filter with a wildcard one of the topics that it matches. */
	(void)topic_parse(filter, &parsed);
	topic_text(topic, parsed.name, parsed.name_size, topic_view(&parsed), text);
	return broker_may_read(client, filter, text);
}

static struct interest_owner owner(void *context, const char *client)
{
	return (struct interest_owner){broker_user(client), broker_address(client)};
}

static void denied(void *context, const char *client, const struct id *topic)
{
	struct gateway *gateway = context;

	counters_add(node_counters(gateway->node), COUNTER_DENIED, 1);
	if (remark_may(&gateway->remarks, now_ns(), REMARK_DENIED))
		broker_log(BROKER_NOTICE,
			"overlay %s: not joined for client %.*s: the broker does not let it read "
			"there",
			topic_short(topic).text, REMARK_CLIENT, client);
}

static void limited(void *context, const char *client, const struct id *topic)
{
	log_local(context, client, topic,
		"over max_overlays or max_overlays_per_client, _user or _address");
}

static void gave_way(void *context, const char *client, const struct id *topic)
{
	struct gateway *gateway = context;

	counters_add(node_counters(gateway->node), COUNTER_LIMIT_OFFLINE, 1);
	if (remark_may(&gateway->remarks, now_ns(), REMARK_GAVE_WAY))
		broker_log(BROKER_WARNING,
			"overlay %s: client %.*s, which is offline, gives way to one that is not, "
			"until it is back: over max_overlays or max_overlays_per_user or _address",
			topic_short(topic).text, REMARK_CLIENT, client);
}

static void unrecorded(void *context, const char *client, const struct id *topic)
{
	struct gateway *gateway = context;

	counters_add(node_counters(gateway->node), COUNTER_LIMIT_RECORDS, 1);
	if (remark_may(&gateway->remarks, now_ns(), REMARK_UNRECORDED))
		broker_log(BROKER_WARNING,
			"overlay %s: the subscription of client %.*s is not kept for a restart: "
			"its client id or filter is too long, or too many are kept",
			topic_short(topic).text, REMARK_CLIENT, client);
}

static void on_record(
	void *context, const void *key, size_t key_size, const void *value, size_t value_size)
{
	struct gateway *gateway = context;

	if (!guard_restore(gateway->guard, key, key_size, value, value_size))
		sessions_restore(gateway->sessions, key, key_size, value, value_size);
}

static void restored(void *context, const char *client, const char *filter, uint8_t qos)
{
	broker_restored(client, filter, qos);
}

static int record(void *context, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	return node_record(((struct gateway *)context)->node, key, key_size, value, value_size);
}

/* ---- beginning and end ---- */

static bool make_state_dir(const char *path)
{
	struct stat status;

	if (mkdir(path, 0700) == 0 ||
		(errno == EEXIST && stat(path, &status) == 0 && S_ISDIR(status.st_mode)))
		return true;
	broker_log(BROKER_ERROR, "state_dir %s cannot be made: %s", path,
		errno == EEXIST ? "it is not a folder" : strerror(errno));
	return false;
}

/* The folder itself: nothing has to be written for it, and it ends with the process. */
static bool lock_state_dir(struct gateway *gateway, const char *path)
{
	gateway->lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (gateway->lock < 0) {
		broker_log(BROKER_ERROR, "state_dir %s cannot be opened: %s", path, strerror(errno));
		return false;
	}
	if (flock(gateway->lock, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (errno == EWOULDBLOCK) {
		broker_log(BROKER_ERROR,
			"state_dir %s is in use by another broker: each needs its own, with its "
			"own identity",
			path);
		return false;
	}
	/* Some network file systems cannot: no reason not to start. */
	broker_log(BROKER_WARNING, "state_dir %s cannot be locked against other brokers: %s", path,
		strerror(errno));
	return true;
}

static bool load_identity(struct gateway *gateway, const struct options *options)
{
	char reason[IDENTITY_REASON_SIZE];
	char id[ID_HEX_SIZE + 1];

	gateway->first_start = access(options->identity_file, F_OK) != 0;
	if (identity_load(options->identity_file, &gateway->identity, reason)) {
		broker_log(BROKER_ERROR, "%s", reason);
		return false;
	}
	broker_log(
		BROKER_NOTICE, "node id %s", hex_encode(gateway->identity.id.bytes, ID_SIZE, id));
	return true;
}

/* One that nobody could ever prove to be is no node's: 000...0 as a placeholder. */
static bool names_no_key(const char *key, const struct node_peer *peers, size_t count)
{
	char id[ID_HEX_SIZE + 1];

	for (size_t i = 0; i < count; i++) {
		if (identity_is_key(&peers[i].id))
			continue;
		broker_log(BROKER_ERROR,
			"plugin_opt_%s '%s@...' is not accepted: this is no node's id; it takes "
			"the 64 digits after 'node id' in the other node's log",
			key, hex_encode(peers[i].id.bytes, ID_SIZE, id));
		return true;
	}
	return false;
}

static bool names_own_id(
	const struct gateway *gateway, const char *key, const struct node_peer *peers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!id_equal(&peers[i].id, &gateway->identity.id))
			continue;
		broker_log(BROKER_ERROR,
			"plugin_opt_%s names this node's own id; it takes other nodes (or was a "
			"volume cloned?)",
			key);
		return true;
	}
	return false;
}

static bool start_node(struct gateway *gateway, const struct options *options)
{
	char token[NODE_TOKEN_SIZE];
	struct node_config config = {
		.identity = &gateway->identity,
		.network = options->network,
		.binds = options->binds,
		.binds_count = options->binds_count,
		.binds_all = options->binds_explicit,
		.peers = options->peers,
		.peers_count = options->peers_count,
		.bootstraps = options->bootstraps,
		.bootstraps_count = options->bootstraps_count,
		.mdns = options->mdns,
		.allow = options->allow,
		.allow_count = options->allow_count,
		.deny = options->deny,
		.deny_count = options->deny_count,
		.advertise = options->advertise,
		.advertise_count = options->advertise_count,
		.relays = options->relays,
		.relays_count = options->relays_count,
		.relay_ca = options->relay_ca[0] ? options->relay_ca : NULL,
		.relay_any = options->relay_any,
		.state_dir = options->state_dir,
		.first_start = gateway->first_start,
		.max_overlays = options->max_overlays,
		.queue_limit = options->queue_limit,
		.queue_age_ns = options->queue_age * SECOND_NS,
		.cache_bytes = options->cache_bytes,
		.signed_rate = (unsigned)options->signed_rate,
		.record = on_record,
		.record_context = gateway,
		.wake = waker_kick,
		.context = gateway->waker,
	};
	char reason[NODE_REASON_SIZE];
	int error;

	if (names_no_key("peer", options->peers, options->peers_count) ||
		names_no_key("bootstrap", options->bootstraps, options->bootstraps_count) ||
		names_own_id(gateway, "peer", options->peers, options->peers_count) ||
		names_own_id(gateway, "bootstrap", options->bootstraps,
			options->bootstraps_count) ||
		!relay_options_load(options, token))
		return false;
	config.relay_token = token[0] ? token : NULL;
	error = node_start(&config, &gateway->node, reason);
	explicit_bzero(token, sizeof token);
	if (!error) {
		sessions_restored(gateway->sessions, gateway->interest);
		return true;
	}
	broker_log(BROKER_ERROR, "%s", reason);
	return false;
}

static bool make_interest(struct gateway *gateway, const struct options *options)
{
	struct interest_actions actions = {
		.join = join,
		.leave = leave,
		.verify = verify,
		.allowed = allowed,
		.owner = owner,
		.has_session = has_session,
		.remember = remember,
		.forget = forget,
		.denied = denied,
		.limited = limited,
		.gave_way = gave_way,
		.unrecorded = unrecorded,
		.context = gateway,
	};
	struct interest_config config = {
		.linger_ns = options->publish_linger * SECOND_NS,
		.max_overlays = options->max_overlays,
		.max_overlays_per_client = options->max_overlays_per_client,
		.max_overlays_per_user = options->max_overlays_per_user,
		.max_overlays_per_address = options->max_overlays_per_address,
		.max_records = LIMIT_RECORDS,
		.max_denied = INTEREST_DENIED,
		.offline_leave = options->offline_leave,
	};
	struct random random = random_system();
	int error = interest_new(&actions, &config, &random, &gateway->interest);

	if (error)
		broker_log(BROKER_ERROR, "%s", error_text(error));
	return !error;
}

static bool make_unreleased(struct gateway *gateway)
{
	struct random random = random_system();
	int error = unreleased_new(node_counters(gateway->node), &random, &gateway->unreleased);

	if (error)
		broker_log(BROKER_ERROR, "%s", error_text(error));
	return !error;
}

static bool make_guard(struct gateway *gateway)
{
	struct random random = random_system();
	int error = guard_new(&random, &gateway->guard);

	if (error)
		broker_log(BROKER_ERROR, "%s", error_text(error));
	return !error;
}

static bool make_sessions(struct gateway *gateway)
{
	struct sessions_actions actions = {
		.record = record, .restored = restored, .context = gateway};
	struct random random = random_system();
	int error = sessions_new(&actions, &random, &gateway->sessions);

	if (error)
		broker_log(BROKER_ERROR, "%s", error_text(error));
	return !error;
}

static bool fix_topics(struct gateway *gateway, const struct options *options)
{
	int error = ERROR_NONE;

	for (size_t i = 0; !error && i < options->topics_count; i++)
		error = interest_fix(gateway->interest, &options->topics[i]);
	if (error)
		broker_log(BROKER_ERROR, "plugin_opt_topic: %s",
			error == ERROR_LIMIT ? "more topics than plugin_opt_max_overlays"
					     : error_text(error));
	return !error;
}

static bool register_events(struct gateway *gateway, void *identifier)
{
	static const struct broker_events events = {
		on_subscribed,
		on_unsubscribed,
		on_connected,
		on_offline,
		on_gone,
		on_message,
		on_sent,
		on_reloaded,
		on_tick,
	};
	int status = broker_register(identifier, &events, gateway);

	if (!broker_tells_rights())
		broker_log(BROKER_NOTICE, "this broker does not tell plugins what its clients may "
					  "read: who may subscribe holds overlays");
	if (status)
		broker_log(
			BROKER_ERROR, "the broker refuses the plugin's events (error %d)", status);
	return status == 0;
}

static bool make_waker(struct gateway *gateway)
{
	gateway->waker = waker_new();
	if (!gateway->waker) {
		broker_log(BROKER_ERROR, "%s", error_text(ERROR_NOMEM));
		return false;
	}
	if (waker_signal(gateway->waker) == 0)
		broker_log(BROKER_WARNING, "no signal is free to wake the broker: messages that "
					   "arrive may wait up to 100 ms");
	else if (waker_signal(gateway->waker) != SIGURG)
		broker_log(BROKER_NOTICE, "SIGURG is taken: signal %d wakes the broker",
			waker_signal(gateway->waker));
	return true;
}

bool gateway_start(void *identifier, const struct options *options, struct gateway **out)
{
	struct gateway *gateway = memory_zalloc(sizeof *gateway);

	if (!gateway) {
		broker_log(BROKER_ERROR, "%s", error_text(ERROR_NOMEM));
		return false;
	}
	gateway->lock = -1;
	if (!make_state_dir(options->state_dir) || !lock_state_dir(gateway, options->state_dir) ||
		!load_identity(gateway, options) ||
		!make_waker(gateway) || !make_interest(gateway, options) ||
		!make_guard(gateway) || !make_sessions(gateway) ||
		!start_node(gateway, options) || !make_unreleased(gateway) ||
		!fix_topics(gateway, options) || !register_events(gateway, identifier)) {
		gateway_stop(gateway);
		return false;
	}
	gateway->outbound = (struct outbound){.node = gateway->node,
		.interest = gateway->interest,
		.unreleased = gateway->unreleased,
		.remarks = &gateway->remarks,
		.guard = options->raw_allowed ? NULL : gateway->guard,
		.codecs = {.keys_as_written = options->keys_as_written},
		.delivery_qos = (uint8_t)options->delivery_qos};
	gateway->inbound = (struct inbound){.node = gateway->node,
		.interest = gateway->interest,
		.guard = gateway->guard,
		.remarks = &gateway->remarks,
		.delivery_qos = (uint8_t)options->delivery_qos};
	*out = gateway;
	return true;
}

void gateway_stop(struct gateway *gateway)
{
	if (!gateway)
		return;
	node_stop(gateway->node);
	waker_free(gateway->waker);
	interest_free(gateway->interest);
	guard_free(gateway->guard);
	sessions_delete(gateway->sessions);
	unreleased_free(gateway->unreleased);
	identity_clear(&gateway->identity);
	if (gateway->lock >= 0)
		close(gateway->lock);
	memory_free(gateway);
}
