/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "relay_options.h"

#include "../bridge/relay_files.h"

static const struct relay_url *plain_relay(const struct relay_url *relays, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!relays[i].tls)
			return &relays[i];
	return NULL;
}

static const struct relay_url *plain_relay_of(const struct node_peer *peers, size_t count)
{
	const struct relay_url *found = NULL;

	for (size_t i = 0; !found && i < count; i++)
		found = plain_relay(peers[i].relays, peers[i].relays_count);
	return found;
}

/* Warns, once, of what a relay without TLS (http) costs. */
static void warn_of_plain_relays(const struct options *options)
{
	const struct relay_url *own = plain_relay(options->relays, options->relays_count);
	const struct relay_url *relay = own;

	if (!relay)
		relay = plain_relay_of(options->peers, options->peers_count);
	if (!relay)
		relay = plain_relay_of(options->bootstraps, options->bootstraps_count);
	if (!relay)
		return;
	broker_log(BROKER_WARNING,
		"relay %s is without TLS: who is on the way to it sees node ids and sizes%s and "
		"can pose as the relay; contents stay encrypted from node to node",
		relay->text, own && options->relay_token_file[0] ? ", reads the token" : "");
}

bool relay_options_load(const struct options *options, char token[NODE_TOKEN_SIZE])
{
	char reason[RELAY_FILES_REASON_SIZE];
	int error = ERROR_NONE;

	token[0] = 0;
	if (options->relay_token_file[0])
		error = relay_files_read_token(
			options->relay_token_file, token, NODE_TOKEN_SIZE, reason);
	if (!error && options->relay_ca[0])
		error = relay_files_check_ca(options->relay_ca, reason);
	if (error)
		broker_log(BROKER_ERROR, "%s", reason);
	else
		warn_of_plain_relays(options);
	return !error;
}
