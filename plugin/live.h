/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Keeps what can be changed while the broker runs: the configured nodes, who is shut out, the
 * topics that are always joined, the log's level. Each of these things is from the configuration,
 * which wins, or was added by control and is kept in the state until control takes it away. What
 * the configuration names, control does not change. What control has added and the configuration
 * names later as well is the configuration's from then on, and control's again when the
 * configuration does not name it any more.
 *
 * Knows neither broker nor node: what is to be done goes through struct live_actions. Every call
 * that can fail for what its caller has given says why, in one line that names what is accepted.
 * The broker's thread.
 */
#ifndef PLUGIN_LIVE_H
#define PLUGIN_LIVE_H

#include "options.h"

/* How many of each kind control may add. */
#define LIVE_KEPT_MOST	 1000
#define LIVE_REASON_SIZE 512

enum live_source {
	LIVE_CONFIGURED, /* plugin_opt_..., or the file of plugin_opt_config_file */
	LIVE_KEPT,	 /* added by control */
};

struct live_node {
	struct node_peer peer;
	bool trusted; /* peer, else bootstrap */
	enum live_source source;
};

struct live_id {
	struct id id;
	enum live_source source;
};

/* A list of ids, in the order in which they were added. */
struct live_list {
	struct live_id *items;
	size_t count;
};

struct live_actions {
	/* Call node_set_peer, node_remove_peer and node_set_access, and return their errors. */
	int (*set_peer)(void *context, const struct node_peer *peer, bool trusted);
	int (*remove_peer)(void *context, const struct id *id);
	int (*set_access)(void *context, const struct id *allow, size_t allow_count,
		const struct id *deny, size_t deny_count);
	/* Call interest_fix and interest_unfix, and return their errors. */
	int (*fix)(void *context, const struct id *topic);
	void (*unfix)(void *context, const struct id *topic);
	/* Calls node_record, and returns its errors. */
	int (*record)(void *context, const void *key, size_t key_size, const void *value,
		size_t value_size);
	void (*log_from)(void *context, enum broker_level level);
	void *context;
};

struct live;

/* Takes over what the options say, which is in force already. me: this node's own id. Returns 0 or
 * ERROR_NOMEM. */
int live_new(const struct live_actions *actions, const struct options *options, const struct id *me,
	struct live **out);
void live_free(struct live *live); /* NULL is fine */

/* Takes a record as the node has read it (node_record), in any order. Returns false if it is none
 * of these. A record that makes no sense, or is of a later version, is left alone. */
bool live_restore(struct live *live, const void *key, size_t key_size, const void *value,
	size_t value_size);
/* Brings what was kept into force, after the last record, when the node runs. What cannot be in
 * force (any more) is left out, and reason says so; reason is empty if all is in force. */
void live_begin(struct live *live, char reason[LIVE_REASON_SIZE]);

/* Takes other options, and changes what differs. The caller has checked them (options_parse).
 * ERROR_NOMEM: some of it may be changed, and the rest is with the next try. */
int live_reload(struct live *live, const struct options *options);

/* ---- what control does; false: reason says why not ---- */

/* Adds a node. text: as the option peer takes it. A node that control has added before is
 * replaced. */
bool live_add_node(
	struct live *live, const char *text, bool trusted, char reason[LIVE_REASON_SIZE]);
bool live_remove_node(struct live *live, const struct id *id, char reason[LIVE_REASON_SIZE]);
bool live_join(struct live *live, const struct id *topic, char reason[LIVE_REASON_SIZE]);
bool live_leave(struct live *live, const struct id *topic, char reason[LIVE_REASON_SIZE]);
/* Puts ids on the list of those allowed or denied, or takes them off it. All of them or none, if
 * not for an error in writing them down. */
bool live_set_access(struct live *live, bool deny, bool remove, const struct id *ids, size_t count,
	char reason[LIVE_REASON_SIZE]);
/* Sets the level of the log. *kept: whether it holds after a restart, which it does where the
 * configuration names none. */
bool live_set_log_level(struct live *live, const char *word, bool *kept,
	char reason[LIVE_REASON_SIZE]);

/* ---- what there is; valid until the next call that changes it ---- */

const struct live_node *live_node(const struct live *live, const struct id *id); /* NULL: none */
const struct live_list *live_topics(const struct live *live);
const struct live_list *live_allowed(const struct live *live);
const struct live_list *live_denied(const struct live *live);
const char *live_log_level(const struct live *live);

#endif
