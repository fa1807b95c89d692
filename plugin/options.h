/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The options of the plugin (plugin_opt_<key> <value>): one table of keys, ranges and
 * meanings, and one error line that names the key, the value and what is accepted.
 */
#ifndef PLUGIN_OPTIONS_H
#define PLUGIN_OPTIONS_H

#include "../bridge/node.h"
#include "broker.h"
#include "interest.h"
#include "status.h"

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
	char qlog_dir[OPTIONS_PATH_SIZE];	  /* empty: none */
	char keylog_file[OPTIONS_PATH_SIZE];	  /* empty: none */
	bool relay_any; /* relay_dial */
	struct id *topics; /* owned: joined at start and never left */
	size_t topics_count;
	enum broker_level log_level;
	bool log_level_given; /* else it is the default */
	bool control;
	char config_file[OPTIONS_PATH_SIZE]; /* empty: none */
	uint64_t publish_linger; /* s */
	uint64_t delivery_qos;
	uint64_t queue_limit; /* messages */
	uint64_t queue_age;   /* s */
	uint64_t max_overlays;
	uint64_t max_overlays_per_client;
	uint64_t max_overlays_per_user;
	uint64_t max_overlays_per_address;
	enum interest_offline offline_sessions;
	bool keys_as_written; /* json_keys: else sorted */
	bool raw_allowed;     /* raw_among_signed: else refused */
	uint64_t signed_rate; /* messages per second; 0: as they come */
	uint64_t cache_bytes;
	bool full_drops; /* when_full: else waits */
	uint64_t sys_interval; /* s; 0: no status */
	enum status_retained retained; /* retain_available */
};

/* What the option peer takes, and what log_level does; and functions for those who take the same
 * elsewhere. */
#define OPTIONS_PEER                                                                             \
	"<64 lower-case hex digits>@<host>:<port>[,<host>:<port>...] with at most 8 hosts, an "   \
	"IPv6 address in [], or @<URL of a relay>, alone or in that list, at most 2, each node once"
#define OPTIONS_LEVELS "debug, information, notice, warning or error"
bool options_parse_peer(const char *text, struct node_peer *out);
bool options_parse_level(const char *word, enum broker_level *out);
const char *options_level_word(enum broker_level level);

struct option_text {
	const char *key;
	const char *value;
};

/* Takes the options in the order of the configuration file and fills in the defaults. Returns false
 * with one line in reason. Call options_clear afterwards, whatever the outcome. */
bool options_parse(const struct option_text *texts, size_t count, const char *persistence_location,
	struct options *out, char reason[OPTIONS_REASON_SIZE]);
void options_clear(struct options *options);

#endif
