/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "gateway_internal.h"

#include "../bridge/bytes/hex.h"

/* ---- what is configured, and what control has added ---- */

static int set_peer(void *context, const struct node_peer *peer, bool trusted)
{
	return node_set_peer(((struct gateway *)context)->node, peer, trusted);
}

static int remove_peer(void *context, const struct id *id)
{
	return node_remove_peer(((struct gateway *)context)->node, id);
}

static int set_access(void *context, const struct id *allow, size_t allow_count,
	const struct id *deny, size_t deny_count)
{
	return node_set_access(
		((struct gateway *)context)->node, allow, allow_count, deny, deny_count);
}

static int fix(void *context, const struct id *topic)
{
	return interest_fix(((struct gateway *)context)->interest, topic);
}

static void unfix(void *context, const struct id *topic)
{
	interest_unfix(((struct gateway *)context)->interest, topic);
}

int gateway_record(void *context, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	return node_record(((struct gateway *)context)->node, key, key_size, value, value_size);
}

static void log_from(void *context, enum broker_level level)
{
	broker_log_from(level);
}

bool gateway_make_live(struct gateway *gateway, const struct options *options)
{
	const struct live_actions actions = {
		.set_peer = set_peer,
		.remove_peer = remove_peer,
		.set_access = set_access,
		.fix = fix,
		.unfix = unfix,
		.record = gateway_record,
		.log_from = log_from,
		.context = gateway,
	};
	int error = live_new(&actions, options, &gateway->identity.id, &gateway->live);

	return gateway_is_good(error);
}

void gateway_begin_live(struct gateway *gateway)
{
	char reason[LIVE_REASON_SIZE];

	live_begin(gateway->live, reason);
	if (reason[0])
		broker_log(BROKER_WARNING, "%s", reason);
}

/* ---- what control asks ---- */

static int ask(void *context, const struct picture_question *question)
{
	return node_ask(((struct gateway *)context)->node, question);
}

static void tell_status(void *context, struct control_status *out)
{
	const struct gateway *gateway = context;

	*out = (struct control_status){.me = &gateway->identity.id,
		.version = broker_plugin_version(),
		.started_s = gateway->started_s,
		.overlays = node_overlays(gateway->node),
		.neighbours = node_neighbours(gateway->node),
		.relayed = node_relayed(gateway->node),
		.connections = node_connections(gateway->node),
		.waiting = node_waiting(gateway->node)};
	out->addresses = node_addresses(gateway->node, &out->addresses_count);
	out->relay_state = node_relay(gateway->node, &out->relay_url);
}

static void answer(void *context, const char *client, const char *text, size_t size)
{
	/* If that fails, the client that waits for the response gives up some time. */
	(void)broker_answer(client, CONTROL_RESPONSE, text, size);
}

bool gateway_make_control(struct gateway *gateway, const struct options *options)
{
	const struct control_actions actions = {
		.ask = ask, .status = tell_status, .reply = answer, .context = gateway};
	int error;

	if (!options->control)
		return true;
	error = control_new(&actions, gateway->live, node_counters(gateway->node),
		&gateway->remarks, &gateway->control);
	return gateway_is_good(error);
}

/* ---- the file of config_file, once more ---- */

/* Tells, and logs, whether there is an id among the peers that is no key. Nobody could ever prove
 * to be such a node: 000...0 as a placeholder. */
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

bool gateway_names_only_others(const struct gateway *gateway, const struct options *options)
{
	return !names_no_key("peer", options->peers, options->peers_count) &&
	       !names_no_key("bootstrap", options->bootstraps, options->bootstraps_count) &&
	       !names_own_id(gateway, "peer", options->peers, options->peers_count) &&
	       !names_own_id(gateway, "bootstrap", options->bootstraps, options->bootstraps_count);
}

void gateway_reload(struct gateway *gateway)
{
	const char *file = settings_file(gateway->settings);
	char reason[OPTIONS_REASON_SIZE], restart[SETTINGS_KEYS_SIZE];
	struct options options;
	int error;

	if (!file[0]) {
		broker_log(BROKER_NOTICE,
			"reloading leaves the plugin as it is: its options are read when the "
			"broker starts (those of a config_file are read again)");
		return;
	}
	if (!settings_read(gateway->settings, &options, restart, reason)) {
		broker_log(BROKER_ERROR, "nothing has changed: %s", reason);
	} else if (gateway_names_only_others(gateway, &options)) {
		error = live_reload(gateway->live, &options);
		broker_log(error ? BROKER_ERROR : BROKER_NOTICE, "config_file %s was read again%s%s",
			file, error ? ": " : "", error ? error_text(error) : "");
		if (restart[0])
			broker_log(BROKER_WARNING, "this needs a restart of the broker: %s", restart);
	}
	options_clear(&options);
}
