/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The options of the plugin (plugin_opt_<key> <value>): one table of keys, ranges and
 * meanings, and one error line that names the key, the value and what is accepted.
 */
#ifndef PLUGIN_OPTIONS_H
#define PLUGIN_OPTIONS_H

#include "../bridge/node.h"
#include "broker.h"

#define OPTIONS_BINDS	     16
#define OPTIONS_PATH_SIZE    1024
#define OPTIONS_REASON_SIZE  1024
#define OPTIONS_DEFAULT_PORT 2022

struct options {
	char state_dir[OPTIONS_PATH_SIZE];
	char identity_file[OPTIONS_PATH_SIZE];
	struct id network;
	struct address binds[OPTIONS_BINDS];
	size_t binds_count;
	bool binds_explicit;
	struct node_peer *peers; /* owned */
	size_t peers_count;
	struct node_peer *bootstraps; /* owned; none of them a peer */
	size_t bootstraps_count;
	enum node_mdns mdns;
	struct id *allow; /* owned */
	size_t allow_count;
	struct id *deny; /* owned */
	size_t deny_count;
	struct node_host advertise[NODE_PEER_HOSTS];
	size_t advertise_count;
	struct relay_url relays[NODE_RELAYS]; /* in the order of preference */
	size_t relays_count;
	char relay_token_file[OPTIONS_PATH_SIZE]; /* empty: none */
	char relay_ca[OPTIONS_PATH_SIZE];	  /* empty: none */
	bool relay_any; /* relay_dial */
	struct id *topics; /* owned: joined at start and never left */
	size_t topics_count;
	enum broker_level log_level;
	uint64_t publish_linger; /* s */
	uint64_t delivery_qos;
	uint64_t queue_limit; /* messages */
	uint64_t queue_age;   /* s */
	uint64_t max_overlays;
	uint64_t max_overlays_per_client;
	uint64_t max_overlays_per_user;
	uint64_t max_overlays_per_address;
	bool offline_leave;
	bool keys_as_written; /* json_keys: else sorted */
	bool raw_allowed;     /* raw_among_signed: else refused */
	uint64_t signed_rate; /* messages per second; 0: as they come */
	uint64_t cache_bytes;
};

struct option_text {
	const char *key;
	const char *value;
};

/* Takes the options in the order of the configuration file and fills in the defaults.
 * False: reason is one line. Whatever the outcome, options_clear afterwards. */
bool options_parse(const struct option_text *texts, size_t count, const char *persistence_location,
	struct options *out, char reason[OPTIONS_REASON_SIZE]);
void options_clear(struct options *options);

#endif
