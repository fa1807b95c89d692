/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../bridge/bytes/hex.h"
#include "../bridge/memory.h"
#include "farewell.h"
#include "gateway_internal.h"
#include "relay_options.h"

bool gateway_is_good(int error)
{
	if (error)
		broker_log(BROKER_ERROR, "%s", error_text(error));
	return !error;
}

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

/* Locks the folder itself against other brokers: nothing has to be written for such a lock, and
 * it ends with the process. Returns false if another broker has the folder, or if it cannot be
 * opened. */
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
	/* Some network file systems have no locks: no reason not to start. */
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

static void on_record(
	void *context, const void *key, size_t key_size, const void *value, size_t value_size)
{
	struct gateway *gateway = context;

	if (!guard_restore(gateway->guard, key, key_size, value, value_size) &&
		!given_up_restore(gateway->given_up, key, key_size, value, value_size) &&
		!live_restore(gateway->live, key, key_size, value, value_size))
		sessions_restore(gateway->sessions, key, key_size, value, value_size);
}

static void restored(void *context, const char *client, const char *filter, uint8_t qos)
{
	broker_restored(client, filter, qos);
}

static void follow(void *context, const char *client, const char *filter, struct terms terms)
{
	broker_restored(client, filter, terms_qos(terms));
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
		.qlog_dir = options->qlog_dir[0] ? options->qlog_dir : NULL,
		.keylog_file = options->keylog_file[0] ? options->keylog_file : NULL,
		.state_dir = options->state_dir,
		.first_start = gateway->first_start,
		.max_overlays = options->max_overlays,
		.queue_limit = options->queue_limit,
		.queue_age_ns = options->queue_age * SECOND_NS,
		.cache_bytes = options->cache_bytes,
		.waits = !options->full_drops,
		.signed_rate = (unsigned)options->signed_rate,
		.record = on_record,
		.record_context = gateway,
		.wake = waker_kick,
		.context = gateway->waker,
	};
	char reason[NODE_REASON_SIZE];
	int error;

	if (!gateway_names_only_others(gateway, options) || !relay_options_load(options, token))
		return false;
	config.relay_token = token[0] ? token : NULL;
	error = node_start(&config, &gateway->node, reason);
	explicit_bzero(token, sizeof token);
	if (!error) {
		if (options->keylog_file[0])
			broker_log(BROKER_WARNING,
				"keylog_file %.150s: whoever has it can read what was sent on the "
				"network: not for longer than the fault is looked for",
				options->keylog_file);
		sessions_restored(gateway->sessions, gateway->interest);
		given_up_visit_all(gateway->given_up, follow, gateway);
		return true;
	}
	broker_log(BROKER_ERROR, "%s", reason);
	return false;
}

static bool make_unreleased(struct gateway *gateway)
{
	struct random random = random_system();
	int error = unreleased_new(node_counters(gateway->node), &random, &gateway->unreleased);

	return gateway_is_good(error);
}

static bool make_guard(struct gateway *gateway)
{
	struct random random = random_system();
	int error = guard_new(&random, &gateway->guard);

	return gateway_is_good(error);
}

static bool make_status(struct gateway *gateway, const struct options *options)
{
	int error = status_new(options->sys_interval, options->retained, &gateway->status);

	return gateway_is_good(error);
}

static bool make_sessions(struct gateway *gateway)
{
	struct sessions_actions actions = {
		.record = gateway_record, .restored = restored, .context = gateway};
	struct random random = random_system();
	int error = sessions_new(&actions, &random, &gateway->sessions);

	if (!error)
		error = given_up_new(gateway_record, gateway, &random, &gateway->given_up);
	return gateway_is_good(error);
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

static bool register_control(struct gateway *gateway, void *identifier)
{
	int status = gateway->control ? broker_control(identifier, CONTROL_TOPIC) : 0;

	if (status)
		broker_log(BROKER_ERROR,
			"the broker does not let the plugin have " CONTROL_TOPIC " (error %d): "
			"plugin_opt_control true needs it",
			status);
	return status == 0;
}

static bool register_events(struct gateway *gateway, void *identifier)
{
	int status = broker_register(identifier, &gateway_events, gateway);

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
		broker_log(BROKER_WARNING,
			"no signal is free to wake the broker: messages that arrive may wait up to "
			"100 ms, until a client is there and unless its epoll set cannot be found");
	else if (waker_signal(gateway->waker) != SIGURG)
		broker_log(BROKER_NOTICE, "SIGURG is taken: signal %d wakes the broker",
			waker_signal(gateway->waker));
	return true;
}

bool gateway_start(void *identifier, struct settings *settings, const struct options *options,
	struct gateway **out)
{
	struct gateway *gateway = memory_zalloc(sizeof *gateway);

	if (!gateway) {
		broker_log(BROKER_ERROR, "%s", error_text(ERROR_NOMEM));
		return false;
	}
	gateway->lock = -1;
	gateway->settings = settings;
	gateway->started_s = gateway_wall_s();
	if (!make_state_dir(options->state_dir) || !lock_state_dir(gateway, options->state_dir) ||
		!load_identity(gateway, options) ||
		!make_waker(gateway) || !make_status(gateway, options) || !gateway_make_interest(gateway, options) ||
		!make_guard(gateway) || !make_sessions(gateway) ||
		!gateway_make_live(gateway, options) ||
		!start_node(gateway, options) || !make_unreleased(gateway) ||
		!fix_topics(gateway, options) || !gateway_make_control(gateway, options) ||
		!register_events(gateway, identifier) || !register_control(gateway, identifier)) {
		gateway_stop(gateway);
		return false;
	}
	gateway->outbound = (struct outbound){.node = gateway->node,
		.interest = gateway->interest,
		.unreleased = gateway->unreleased,
		.remarks = &gateway->remarks,
		.overlays = status_overlays(gateway->status),
		.guard = options->raw_allowed ? NULL : gateway->guard,
		.codecs = {.keys_as_written = options->keys_as_written},
		.delivery_qos = (uint8_t)options->delivery_qos};
	gateway->inbound = (struct inbound){.node = gateway->node,
		.interest = gateway->interest,
		.guard = gateway->guard,
		.remarks = &gateway->remarks,
		.flaps = &gateway->flaps,
		.status = gateway->status,
		.delivery_qos = (uint8_t)options->delivery_qos,
		.clock_ns = clock_now_ns,
		.pictured = gateway_pictured,
		.context = gateway};
	gateway_begin_live(gateway);
	*out = gateway;
	return true;
}

void gateway_stop(struct gateway *gateway)
{
	struct farewell farewell;

	if (!gateway)
		return;
	control_free(gateway->control);
	if (gateway->node) {
		farewell = farewell_end(gateway->node);
		farewell_say(&farewell);
	}
	node_stop(gateway->node);
	live_free(gateway->live);
	waker_free(gateway->waker);
	interest_free(gateway->interest);
	status_free(gateway->status);
	guard_free(gateway->guard);
	sessions_delete(gateway->sessions);
	given_up_free(gateway->given_up);
	unreleased_free(gateway->unreleased);
	identity_clear(&gateway->identity);
	if (gateway->lock >= 0)
		close(gateway->lock);
	memory_free(gateway);
}
