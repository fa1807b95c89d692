/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bridge/bytes/hex.h"
#include "../bridge/memory.h"

struct option {
	const char *key;
	bool repeatable;
	const char *accepted;
	/* For options that are a number in a range. */
	size_t offset;
	uint64_t least, most, otherwise;
	/* For other options; NULL for a number. */
	bool (*parse)(struct options *options, const char *value);
};

static bool parse_path(char out[OPTIONS_PATH_SIZE], const char *value)
{
	if (value[0] != '/' || strlen(value) >= OPTIONS_PATH_SIZE)
		return false;
	strcpy(out, value);
	return true;
}

static bool parse_state_dir(struct options *options, const char *value)
{
	return parse_path(options->state_dir, value);
}

static bool parse_identity_file(struct options *options, const char *value)
{
	return parse_path(options->identity_file, value);
}

static bool parse_id(struct id *out, const char *value)
{
	return strlen(value) == ID_HEX_SIZE && hex_decode(value, out->bytes, ID_SIZE) == 0;
}

static bool parse_network_id(struct options *options, const char *value)
{
	return parse_id(&options->network, value);
}

static bool parse_bind(struct options *options, const char *value)
{
	struct address address;

	if (options->binds_count == OPTIONS_BINDS || address_parse(value, &address) != ERROR_NONE)
		return false;
	/* Port 0 stands for another port each time. */
	for (size_t i = 0; i < options->binds_count && address.port != 0; i++)
		if (address_compare(&options->binds[i], &address) == 0)
			return false;
	options->binds[options->binds_count++] = address;
	options->binds_explicit = true;
	return true;
}

/* Tells whether a text has only the characters of a name or an IPv4 address; v6: whether it is an
 * IPv6 address, which stood within []. */
static bool is_host(const char *host, bool v6)
{
	unsigned char ip[16];

	if (v6)
		return inet_pton(AF_INET6, host, ip) == 1;
	return !host[strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				  "-._")];
}

/* Parses "host:port" or "[v6]:port" up to end; takes no port 0. */
static bool parse_host(struct node_host *host, const char *text, const char *end)
{
	const char *colon = NULL, *from = text, *to;
	char *rest;
	unsigned long port;
	bool v6 = *text == '[';

	for (const char *at = text; at < end; at++)
		if (*at == ':')
			colon = at;
	if (!colon)
		return false;
	to = colon;
	if (v6) {
		if (to[-1] != ']' || to - from < 3)
			return false;
		from++;
		to--;
	}
	if (to <= from || to - from >= NODE_HOST_SIZE || colon[1] < '0' || colon[1] > '9')
		return false;
	port = strtoul(colon + 1, &rest, 10);
	if (rest != end || port == 0 || port > 65535)
		return false;
	memcpy(host->host, from, (size_t)(to - from));
	host->host[to - from] = 0;
	host->port = (uint16_t)port;
	return is_host(host->host, v6);
}

static bool names(const struct node_peer *peers, size_t count, const struct id *id)
{
	for (size_t i = 0; i < count; i++)
		if (id_equal(&peers[i].id, id))
			return true;
	return false;
}

static bool has_relay(const struct relay_url *relays, size_t count, const struct relay_url *relay)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(relays[i].text, relay->text) == 0)
			return true;
	return false;
}

/* Adds a relay to a list. Returns false if it is no relay's URL, if the relay is there already, or
 * if there are as many as there may be. */
static bool add_relay(
	struct relay_url *relays, size_t *count, size_t most, const char *text, size_t size)
{
	struct relay_url relay;

	if (*count == most || relay_url_parse(text, size, &relay) != ERROR_NONE ||
		has_relay(relays, *count, &relay))
		return false;
	relays[(*count)++] = relay;
	return true;
}

/* Parses one place of a peer, up to end: a host with its port, or a relay's URL. */
static bool parse_place(struct node_peer *peer, const char *text, const char *end)
{
	size_t size = (size_t)(end - text);

	if (memmem(text, size, "://", 3))
		return add_relay(
			peer->relays, &peer->relays_count, NODE_PEER_RELAYS, text, size);
	return peer->hosts_count < NODE_PEER_HOSTS &&
	       parse_host(&peer->hosts[peer->hosts_count++], text, end);
}

/* Appends a peer: "<node id>@<place>[,...]", each place a host with its port or a relay's URL.
 * Takes no node twice. */
static bool append_peer(struct node_peer **peers, size_t *count, const char *value)
{
	struct node_peer peer = {0}, *grown;
	const char *at = value + ID_HEX_SIZE, *end;

	if (strlen(value) <= ID_HEX_SIZE || *at != '@' ||
		hex_decode(value, peer.id.bytes, ID_SIZE) != ERROR_NONE)
		return false;
	do {
		at++;
		end = at + strcspn(at, ",");
		if (!parse_place(&peer, at, end))
			return false;
		at = end;
	} while (*at);
	if (names(*peers, *count, &peer.id))
		return false;
	grown = memory_realloc(*peers, (*count + 1) * sizeof *grown);
	if (!grown)
		return false;
	*peers = grown;
	grown[(*count)++] = peer;
	return true;
}

bool options_parse_peer(const char *text, struct node_peer *out)
{
	struct node_peer *peers = NULL;
	size_t count = 0;

	if (!append_peer(&peers, &count, text))
		return false;
	*out = peers[0];
	memory_free(peers);
	return true;
}

static bool parse_peer(struct options *options, const char *value)
{
	return append_peer(&options->peers, &options->peers_count, value);
}

static bool parse_bootstrap(struct options *options, const char *value)
{
	return append_peer(&options->bootstraps, &options->bootstraps_count, value);
}

static bool parse_mdns(struct options *options, const char *value)
{
	static const char *const modes[] = {
		[NODE_MDNS_OFF] = "off",
		[NODE_MDNS_PASSIVE] = "passive",
		[NODE_MDNS_ACTIVE] = "active",
	};

	for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
		if (strcmp(value, modes[i]) == 0) {
			options->mdns = (enum node_mdns)i;
			return true;
		}
	}
	return false;
}

static bool contains(const struct id *ids, size_t count, const struct id *id)
{
	for (size_t i = 0; i < count; i++)
		if (id_equal(&ids[i], id))
			return true;
	return false;
}

static bool append_id(struct id **ids, size_t *count, const char *value)
{
	struct id id, *grown;

	if (!parse_id(&id, value) || contains(*ids, *count, &id))
		return false;
	grown = memory_realloc(*ids, (*count + 1) * sizeof *grown);
	if (!grown)
		return false;
	*ids = grown;
	grown[(*count)++] = id;
	return true;
}

static bool parse_topic(struct options *options, const char *value)
{
	return append_id(&options->topics, &options->topics_count, value);
}

static bool parse_allow_node(struct options *options, const char *value)
{
	return append_id(&options->allow, &options->allow_count, value);
}

static bool parse_deny_node(struct options *options, const char *value)
{
	return append_id(&options->deny, &options->deny_count, value);
}

static bool parse_advertise(struct options *options, const char *value)
{
	struct node_host host = {0}, *other;

	if (options->advertise_count == NODE_PEER_HOSTS ||
		!parse_host(&host, value, value + strlen(value)))
		return false;
	for (size_t i = 0; i < options->advertise_count; i++) {
		other = &options->advertise[i];
		if (other->port == host.port && strcmp(other->host, host.host) == 0)
			return false;
	}
	options->advertise[options->advertise_count++] = host;
	return true;
}

static bool parse_relay(struct options *options, const char *value)
{
	return add_relay(options->relays, &options->relays_count, NODE_RELAYS, value, strlen(value));
}

static bool parse_relay_token_file(struct options *options, const char *value)
{
	return parse_path(options->relay_token_file, value);
}

static bool parse_relay_ca(struct options *options, const char *value)
{
	return parse_path(options->relay_ca, value);
}

static bool parse_qlog_dir(struct options *options, const char *value)
{
	return parse_path(options->qlog_dir, value);
}

static bool parse_keylog_file(struct options *options, const char *value)
{
	return parse_path(options->keylog_file, value);
}

static bool parse_relay_dial(struct options *options, const char *value)
{
	options->relay_any = strcmp(value, "any") == 0;
	return options->relay_any || strcmp(value, "known") == 0;
}

static const char *const levels[] = {
	[BROKER_DEBUG] = "debug",
	[BROKER_INFO] = "information",
	[BROKER_NOTICE] = "notice",
	[BROKER_WARNING] = "warning",
	[BROKER_ERROR] = "error",
};

bool options_parse_level(const char *word, enum broker_level *out)
{
	for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
		if (strcmp(word, levels[i]) == 0) {
			*out = (enum broker_level)i;
			return true;
		}
	}
	return false;
}

const char *options_level_word(enum broker_level level)
{
	return levels[level];
}

static bool parse_log_level(struct options *options, const char *value)
{
	options->log_level_given = true;
	return options_parse_level(value, &options->log_level);
}

static bool parse_control(struct options *options, const char *value)
{
	options->control = strcmp(value, "true") == 0;
	return options->control || strcmp(value, "false") == 0;
}

static bool parse_config_file(struct options *options, const char *value)
{
	return parse_path(options->config_file, value);
}

static bool parse_offline_sessions(struct options *options, const char *value)
{
	static const char *const words[] = {
		[INTEREST_HOLD] = "hold",
		[INTEREST_HOLD_ALL] = "all",
		[INTEREST_LEAVE] = "leave",
	};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (strcmp(value, words[i]) != 0)
			continue;
		options->offline_sessions = (enum interest_offline)i;
		return true;
	}
	return false;
}

static bool parse_json_keys(struct options *options, const char *value)
{
	options->keys_as_written = strcmp(value, "written") == 0;
	return options->keys_as_written || strcmp(value, "sorted") == 0;
}

static bool parse_raw_among_signed(struct options *options, const char *value)
{
	options->raw_allowed = strcmp(value, "allow") == 0;
	return options->raw_allowed || strcmp(value, "refuse") == 0;
}

static bool parse_when_full(struct options *options, const char *value)
{
	options->full_drops = strcmp(value, "drop") == 0;
	return options->full_drops || strcmp(value, "wait") == 0;
}

static bool parse_retain_available(struct options *options, const char *value)
{
	static const char *const words[] = {
		[STATUS_RETAINED_FOUND_OUT] = "auto",
		[STATUS_RETAINED] = "true",
		[STATUS_NOT_RETAINED] = "false",
	};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		if (strcmp(value, words[i]) == 0) {
			options->retained = (enum status_retained)i;
			return true;
		}
	}
	return false;
}

#define NUMBER(name, least, most, otherwise, unit) \
	{#name, false, unit " from " #least " to " #most, offsetof(struct options, name), least, \
		most, otherwise, NULL}

static const struct option table[] = {
	{"state_dir", false, "an absolute path of a folder", 0, 0, 0, 0, parse_state_dir},
	{"identity_file", false, "an absolute path", 0, 0, 0, 0, parse_identity_file},
	{"network_id", false, "64 lower-case hex digits", 0, 0, 0, 0, parse_network_id},
	{"bind", true, "<IPv4 address>:<port> or [<IPv6 address>]:<port>, each once, at most 16", 0,
		0, 0, 0, parse_bind},
	{"peer", true, OPTIONS_PEER, 0, 0, 0, 0, parse_peer},
	{"bootstrap", true, OPTIONS_PEER, 0, 0, 0, 0, parse_bootstrap},
	{"mdns", false, "off, passive or active", 0, 0, 0, 0, parse_mdns},
	{"advertise", true, "<host>:<port>, an IPv6 address in [], each once, at most 8", 0, 0, 0,
		0, parse_advertise},
	{"allow_node", true, "64 lower-case hex digits, each node once", 0, 0, 0, 0,
		parse_allow_node},
	{"deny_node", true, "64 lower-case hex digits, each node once", 0, 0, 0, 0,
		parse_deny_node},
	{"relay", true,
		"http://<host>[:<port>] or https://<host>[:<port>], without user, query and "
		"fragment, each once, at most 8",
		0, 0, 0, 0, parse_relay},
	{"relay_token_file", false, "an absolute path", 0, 0, 0, 0, parse_relay_token_file},
	{"relay_ca", false, "an absolute path", 0, 0, 0, 0, parse_relay_ca},
	{"relay_dial", false, "known or any", 0, 0, 0, 0, parse_relay_dial},
	{"topic", true, "64 lower-case hex digits, each topic once", 0, 0, 0, 0, parse_topic},
	{"log_level", false, OPTIONS_LEVELS, 0, 0, 0, 0, parse_log_level},
	{"control", false, "true or false", 0, 0, 0, 0, parse_control},
	{"config_file", false, "an absolute path", 0, 0, 0, 0, parse_config_file},
	{"offline_sessions", false, "hold, all or leave", 0, 0, 0, 0, parse_offline_sessions},
	{"json_keys", false, "sorted or written", 0, 0, 0, 0, parse_json_keys},
	{"raw_among_signed", false, "refuse or allow", 0, 0, 0, 0, parse_raw_among_signed},
	{"when_full", false, "wait or drop", 0, 0, 0, 0, parse_when_full},
	{"qlog_dir", false, "an absolute path of a folder", 0, 0, 0, 0, parse_qlog_dir},
	{"keylog_file", false, "an absolute path", 0, 0, 0, 0, parse_keylog_file},
	{"retain_available", false, "auto, true or false", 0, 0, 0, 0, parse_retain_available},
	NUMBER(sys_interval, 0, 3600, 10, "seconds"),
	NUMBER(signed_rate, 0, 1000000, LIMIT_SIGNED_RATE, "messages per second"),
	NUMBER(publish_linger, 0, 86400, 30, "seconds"),
	NUMBER(delivery_qos, 0, 2, 1, "a QoS"),
	NUMBER(queue_limit, 0, 65536, LIMIT_WAITING, "a number of messages"),
	NUMBER(queue_age, 1, 3600, LIMIT_WAITING_AGE_S, "seconds"),
	NUMBER(max_overlays, 1, 100000, LIMIT_OVERLAYS, "a number"),
	NUMBER(max_overlays_per_client, 1, 100000, 100, "a number"),
	NUMBER(max_overlays_per_user, 1, 100000, 0, "a number"),
	NUMBER(max_overlays_per_address, 1, 100000, 0, "a number"),
	NUMBER(cache_bytes, 0, 1073741824, LIMIT_CACHE_BYTES, "bytes"),
};

#define TABLE_SIZE (sizeof table / sizeof table[0])

static uint64_t *number_of(struct options *options, const struct option *option)
{
	return (uint64_t *)(void *)((char *)options + option->offset);
}

static bool parse_number(struct options *options, const struct option *option, const char *value)
{
	char *rest;
	unsigned long long number;

	if (value[0] < '0' || value[0] > '9')
		return false;
	errno = 0;
	number = strtoull(value, &rest, 10);
	if (errno || *rest || number < option->least || number > option->most)
		return false;
	*number_of(options, option) = number;
	return true;
}

static const struct option *find(const char *key)
{
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (strcmp(table[i].key, key) == 0)
			return &table[i];
	return NULL;
}

static void unknown(const char *key, const char *value, char reason[OPTIONS_REASON_SIZE])
{
	size_t used;

	snprintf(reason, OPTIONS_REASON_SIZE,
		"plugin_opt_%.64s '%.128s' is not an option; there are", key, value);
	for (size_t i = 0; i < TABLE_SIZE; i++) {
		used = strlen(reason);
		snprintf(reason + used, OPTIONS_REASON_SIZE - used, "%s %s", i ? "," : "",
			table[i].key);
	}
}

static bool parse_one(struct options *options, const struct option_text *text, bool *seen,
	char reason[OPTIONS_REASON_SIZE])
{
	const struct option *option = find(text->key);
	const char *value = text->value ? text->value : "";

	if (!option) {
		unknown(text->key, value, reason);
		return false;
	}
	if (!option->repeatable && seen[option - table]) {
		snprintf(reason, OPTIONS_REASON_SIZE,
			"plugin_opt_%s is given twice (again as '%.128s'); it is accepted once",
			option->key, value);
		return false;
	}
	seen[option - table] = true;
	if (option->parse ? option->parse(options, value) : parse_number(options, option, value))
		return true;
	snprintf(reason, OPTIONS_REASON_SIZE, "plugin_opt_%s '%.256s' is not accepted; it takes %s",
		option->key, value, option->accepted);
	return false;
}

/* Checks that the nodes of a key (peer or bootstrap) may be talked to. Returns false with a
 * reason. */
static bool check_granted(const struct options *options, const char *key,
	const struct node_peer *peers, size_t count, char reason[OPTIONS_REASON_SIZE])
{
	char id[ID_HEX_SIZE + 1];

	for (size_t i = 0; i < count; i++) {
		hex_encode(peers[i].id.bytes, ID_SIZE, id);
		if (contains(options->deny, options->deny_count, &peers[i].id)) {
			snprintf(reason, OPTIONS_REASON_SIZE,
				"plugin_opt_%s '%s@...' is not accepted: plugin_opt_deny_node "
				"'%s' shuts it out; it takes nodes that are not denied",
				key, id, id);
			return false;
		}
		if (options->allow_count > 0 &&
			!contains(options->allow, options->allow_count, &peers[i].id)) {
			snprintf(reason, OPTIONS_REASON_SIZE,
				"plugin_opt_%s '%s@...' is not accepted: plugin_opt_allow_node "
				"is given for other nodes only; add plugin_opt_allow_node %s",
				key, id, id);
			return false;
		}
	}
	return true;
}

/* Checks that no options shut out each other. Returns false with a reason. */
static bool check_access(const struct options *options, char reason[OPTIONS_REASON_SIZE])
{
	char id[ID_HEX_SIZE + 1];

	for (size_t i = 0; i < options->deny_count; i++) {
		if (!contains(options->allow, options->allow_count, &options->deny[i]))
			continue;
		snprintf(reason, OPTIONS_REASON_SIZE,
			"plugin_opt_deny_node '%s' is not accepted: plugin_opt_allow_node names "
			"the same node; it takes one of the two",
			hex_encode(options->deny[i].bytes, ID_SIZE, id));
		return false;
	}
	for (size_t i = 0; i < options->bootstraps_count; i++) {
		if (!names(options->peers, options->peers_count, &options->bootstraps[i].id))
			continue;
		snprintf(reason, OPTIONS_REASON_SIZE,
			"plugin_opt_bootstrap '%s@...' is not accepted: plugin_opt_peer names the "
			"same node; it takes one of the two, and a peer is asked for others too",
			hex_encode(options->bootstraps[i].id.bytes, ID_SIZE, id));
		return false;
	}
	return check_granted(
		       options, "peer", options->peers, options->peers_count, reason) &&
	       check_granted(options, "bootstrap", options->bootstraps,
		       options->bootstraps_count, reason);
}

static bool any_has_relay(const struct node_peer *peers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (peers[i].relays_count > 0)
			return true;
	return false;
}

/* Checks that nothing is given for relays where no relay is. Returns false with a reason. */
static bool check_relays(const struct options *options, char reason[OPTIONS_REASON_SIZE])
{
	if (options->relays_count > 0)
		return true;
	if (options->relay_token_file[0]) {
		snprintf(reason, OPTIONS_REASON_SIZE,
			"plugin_opt_relay_token_file '%.256s' is not accepted: the token is for "
			"the relays of plugin_opt_relay, and none is given; add plugin_opt_relay",
			options->relay_token_file);
		return false;
	}
	if (options->relay_ca[0] && !options->relay_any &&
		!any_has_relay(options->peers, options->peers_count) &&
		!any_has_relay(options->bootstraps, options->bootstraps_count)) {
		snprintf(reason, OPTIONS_REASON_SIZE,
			"plugin_opt_relay_ca '%.256s' is not accepted: no relay is given; add "
			"plugin_opt_relay, or a relay to a plugin_opt_peer or _bootstrap",
			options->relay_ca);
		return false;
	}
	return true;
}

/* Fills in how many overlays one user name and one address may have: not all of them, unless that
 * is wanted. */
static void fill_in_shares(struct options *options)
{
	uint64_t share = options->max_overlays / 2;

	if (share < options->max_overlays_per_client)
		share = options->max_overlays_per_client;
	if (options->max_overlays_per_user == 0)
		options->max_overlays_per_user = share;
	if (options->max_overlays_per_address == 0)
		options->max_overlays_per_address = share;
}

static bool fill_in(
	struct options *options, const char *persistence_location, char reason[OPTIONS_REASON_SIZE])
{
	size_t size = persistence_location ? strlen(persistence_location) : 0;
	const char *slash = size > 0 && persistence_location[size - 1] == '/' ? "" : "/";

	if (!options->state_dir[0]) {
		if (size == 0 || size + sizeof "/p2panda/identity.pem" > OPTIONS_PATH_SIZE) {
			snprintf(reason, OPTIONS_REASON_SIZE,
				"no place for the state: give plugin_opt_state_dir (an absolute "
				"path of a folder) or the broker's persistence_location");
			return false;
		}
		snprintf(options->state_dir, sizeof options->state_dir, "%s%sp2panda",
			persistence_location, slash);
	}
	if (!options->identity_file[0] &&
		(size_t)snprintf(options->identity_file, sizeof options->identity_file,
			"%s/identity.pem", options->state_dir) >= sizeof options->identity_file) {
		snprintf(reason, OPTIONS_REASON_SIZE, "plugin_opt_state_dir is too long");
		return false;
	}
	fill_in_shares(options);
	if (options->binds_count == 0) {
		options->binds[0] = (struct address){.family = 4, .port = OPTIONS_DEFAULT_PORT};
		options->binds[1] = (struct address){.family = 6, .port = OPTIONS_DEFAULT_PORT};
		options->binds_count = 2;
	}
	return true;
}

bool options_parse(const struct option_text *texts, size_t count, const char *persistence_location,
	struct options *out, char reason[OPTIONS_REASON_SIZE])
{
	bool seen[TABLE_SIZE] = {false};

	memset(out, 0, sizeof *out);
	out->network = identity_default_network;
	out->log_level = BROKER_INFO;
	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (!table[i].parse)
			*number_of(out, &table[i]) = table[i].otherwise;
	for (size_t i = 0; i < count; i++)
		if (!parse_one(out, &texts[i], seen, reason))
			return false;
	if (!check_access(out, reason) || !check_relays(out, reason))
		return false;
	return fill_in(out, persistence_location, reason);
}

void options_clear(struct options *options)
{
	memory_free(options->peers);
	memory_free(options->bootstraps);
	memory_free(options->topics);
	memory_free(options->allow);
	memory_free(options->deny);
	memset(options, 0, sizeof *options);
}
