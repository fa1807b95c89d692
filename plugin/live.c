/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "live.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../bridge/bytes/hex.h"
#include "../bridge/memory.h"
#include "topic.h"

/*
 * What is kept, key -> value; all values begin with the version:
 *   mark 'n' <node id>  -> 1, 'p' (peer) or 'b' (bootstrap), the text of the option
 *   mark 't' <topic>    -> 1   (joined)
 *   mark 'a' <node id>  -> 1   (allowed)
 *   mark 'd' <node id>  -> 1   (denied)
 *   mark 'l'            -> 1, the word of log_level
 * (A client id of MQTT, with which the keys of others begin, is UTF-8.)
 */
static const uint8_t mark[] = {0xff, 'l'};
#define VERSION	  1
#define HEAD_SIZE (sizeof mark + 1)
#define KEY_SIZE  (HEAD_SIZE + ID_SIZE)
/* The longest text of a record (LIMIT_RECORD). */
#define TEXT_SIZE 900

enum kind { NODE = 'n', TOPIC = 't', ALLOWED = 'a', DENIED = 'd', LEVEL = 'l' };

/* What one source (the configuration, or control) says, or what is in force of both. */
struct side {
	struct live_node *nodes;
	size_t nodes_count;
	struct live_list topics, allow, deny;
	bool has_level;
	enum broker_level level;
};

struct live {
	struct live_actions actions;
	struct id me;
	struct side configured, kept, now;
	bool again; /* what is in force is not known: all of it is applied once more */
};

/* ---- lists ---- */

static size_t find_id(const struct live_list *list, const struct id *id)
{
	size_t at = 0;

	while (at < list->count && !id_equal(&list->items[at].id, id))
		at++;
	return at;
}

static bool has_id(const struct live_list *list, const struct id *id)
{
	return find_id(list, id) < list->count;
}

/* Adds an id to a list, if it is not there. Returns 0 or ERROR_NOMEM. */
static int add_id(struct live_list *list, const struct id *id, enum live_source source)
{
	struct live_id *grown;

	if (has_id(list, id))
		return ERROR_NONE;
	grown = memory_realloc(list->items, (list->count + 1) * sizeof *grown);
	if (!grown)
		return ERROR_NOMEM;
	list->items = grown;
	grown[list->count++] = (struct live_id){*id, source};
	return ERROR_NONE;
}

static void remove_id(struct live_list *list, const struct id *id)
{
	size_t at = find_id(list, id);

	if (at == list->count)
		return;
	list->count--;
	memmove(&list->items[at], &list->items[at + 1], (list->count - at) * sizeof *list->items);
}

static int add_ids(
	struct live_list *list, const struct id *ids, size_t count, enum live_source source)
{
	int error = ERROR_NONE;

	for (size_t i = 0; !error && i < count; i++)
		error = add_id(list, &ids[i], source);
	return error;
}

static struct live_node *find_node(const struct side *side, const struct id *id)
{
	for (size_t i = 0; i < side->nodes_count; i++)
		if (id_equal(&side->nodes[i].peer.id, id))
			return &side->nodes[i];
	return NULL;
}

/* Puts a node in the place of the one that has the same id, or adds it. Returns 0 or
 * ERROR_NOMEM. */
static int put_node(struct side *side, const struct live_node *node)
{
	struct live_node *grown, *found = find_node(side, &node->peer.id);

	if (found) {
		*found = *node;
		return ERROR_NONE;
	}
	grown = memory_realloc(side->nodes, (side->nodes_count + 1) * sizeof *grown);
	if (!grown)
		return ERROR_NOMEM;
	side->nodes = grown;
	grown[side->nodes_count++] = *node;
	return ERROR_NONE;
}

static void remove_node(struct side *side, const struct id *id)
{
	struct live_node *found = find_node(side, id);

	if (!found)
		return;
	side->nodes_count--;
	memmove(found, found + 1,
		(size_t)(side->nodes + side->nodes_count - found) * sizeof *found);
}

static int put_nodes(struct side *side, const struct node_peer *peers, size_t count, bool trusted)
{
	int error = ERROR_NONE;

	for (size_t i = 0; !error && i < count; i++) {
		const struct live_node node = {peers[i], trusted, LIVE_CONFIGURED};

		error = put_node(side, &node);
	}
	return error;
}

static void clear(struct side *side)
{
	memory_free(side->nodes);
	memory_free(side->topics.items);
	memory_free(side->allow.items);
	memory_free(side->deny.items);
	memset(side, 0, sizeof *side);
}

/* Reads what the options say. Returns 0 or ERROR_NOMEM; the caller clears out in any case. */
static int read_options(const struct options *options, struct side *out)
{
	int error = put_nodes(out, options->peers, options->peers_count, true);

	if (!error)
		error = put_nodes(out, options->bootstraps, options->bootstraps_count, false);
	if (!error)
		error = add_ids(&out->topics, options->topics, options->topics_count,
			LIVE_CONFIGURED);
	if (!error)
		error = add_ids(&out->allow, options->allow, options->allow_count, LIVE_CONFIGURED);
	if (!error)
		error = add_ids(&out->deny, options->deny, options->deny_count, LIVE_CONFIGURED);
	out->has_level = options->log_level_given;
	out->level = options->log_level;
	return error;
}

/* ---- what is in force ---- */

static bool lets_in(const struct side *side, const struct id *id)
{
	return !has_id(&side->deny, id) && (side->allow.count == 0 || has_id(&side->allow, id));
}

static int copy_list(struct live_list *to, const struct live_list *from)
{
	int error = ERROR_NONE;

	for (size_t i = 0; !error && i < from->count; i++)
		error = add_id(to, &from->items[i].id, from->items[i].source);
	return error;
}

/* Merges the lists of who is allowed and who is denied; where the two sources do not go together,
 * the configuration has its way. */
static int merge_access(const struct live *live, struct side *out)
{
	const struct side *configured = &live->configured, *kept = &live->kept;
	int error = copy_list(&out->allow, &configured->allow);

	for (size_t i = 0; !error && i < kept->allow.count; i++)
		if (!has_id(&configured->deny, &kept->allow.items[i].id))
			error = add_id(&out->allow, &kept->allow.items[i].id, LIVE_KEPT);
	for (size_t i = 0; !error && out->allow.count > 0 && i < configured->nodes_count; i++)
		error = add_id(&out->allow, &configured->nodes[i].peer.id, LIVE_CONFIGURED);
	if (!error)
		error = copy_list(&out->deny, &configured->deny);
	for (size_t i = 0; !error && i < kept->deny.count; i++)
		if (!find_node(configured, &kept->deny.items[i].id) &&
			!has_id(&out->allow, &kept->deny.items[i].id))
			error = add_id(&out->deny, &kept->deny.items[i].id, LIVE_KEPT);
	return error;
}

static int merge(const struct live *live, struct side *out)
{
	const struct side *configured = &live->configured, *kept = &live->kept;
	int error = merge_access(live, out);

	for (size_t i = 0; !error && i < configured->nodes_count; i++)
		error = put_node(out, &configured->nodes[i]);
	for (size_t i = 0; !error && i < kept->nodes_count; i++)
		if (!find_node(configured, &kept->nodes[i].peer.id) &&
			lets_in(out, &kept->nodes[i].peer.id))
			error = put_node(out, &kept->nodes[i]);
	if (!error)
		error = copy_list(&out->topics, &configured->topics);
	if (!error)
		error = copy_list(&out->topics, &kept->topics);
	out->has_level = configured->has_level || kept->has_level;
	out->level = configured->has_level || !kept->has_level ? configured->level : kept->level;
	return error;
}

static bool same_ids(const struct live_list *a, const struct live_list *b)
{
	for (size_t i = 0; i < a->count; i++)
		if (!has_id(b, &a->items[i].id))
			return false;
	return a->count == b->count;
}

static bool same_node(const struct live_node *a, const struct live_node *b)
{
	return a && a->trusted == b->trusted && memcmp(&a->peer, &b->peer, sizeof a->peer) == 0;
}

static int apply_access(const struct live *live, const struct side *next)
{
	struct id *ids = memory_alloc((next->allow.count + next->deny.count + 1) * sizeof *ids);
	size_t count = 0;
	int error;

	if (!ids)
		return ERROR_NOMEM;
	for (size_t i = 0; i < next->allow.count; i++)
		ids[count++] = next->allow.items[i].id;
	for (size_t i = 0; i < next->deny.count; i++)
		ids[count++] = next->deny.items[i].id;
	error = live->actions.set_access(live->actions.context, ids, next->allow.count,
		ids + next->allow.count, next->deny.count);
	memory_free(ids);
	return error;
}

/* Applies what is to be in force next. Goes on after an error: what can be done is. Returns the
 * last error. */
static int apply(struct live *live, const struct side *next)
{
	const struct live_actions *actions = &live->actions;
	const struct side *now = &live->now;
	int error = ERROR_NONE, failed;

	for (size_t i = 0; i < now->nodes_count; i++) {
		if (find_node(next, &now->nodes[i].peer.id))
			continue;
		failed = actions->remove_peer(actions->context, &now->nodes[i].peer.id);
		error = failed ? failed : error;
	}
	if (live->again || !same_ids(&now->allow, &next->allow) ||
		!same_ids(&now->deny, &next->deny)) {
		failed = apply_access(live, next);
		error = failed ? failed : error;
	}
	for (size_t i = 0; i < next->nodes_count; i++) {
		if (!live->again &&
			same_node(find_node(now, &next->nodes[i].peer.id), &next->nodes[i]))
			continue;
		failed = actions->set_peer(
			actions->context, &next->nodes[i].peer, next->nodes[i].trusted);
		error = failed ? failed : error;
	}
	for (size_t i = 0; i < now->topics.count; i++)
		if (!has_id(&next->topics, &now->topics.items[i].id))
			actions->unfix(actions->context, &now->topics.items[i].id);
	for (size_t i = 0; i < next->topics.count; i++) {
		if (!live->again && has_id(&now->topics, &next->topics.items[i].id))
			continue;
		failed = actions->fix(actions->context, &next->topics.items[i].id);
		error = failed ? failed : error;
	}
	if (live->again || now->level != next->level)
		actions->log_from(actions->context, next->level);
	return error;
}

/* Brings into force what both sources say now. */
static int renew(struct live *live)
{
	struct side next = {0};
	int error = merge(live, &next);

	if (error) {
		clear(&next);
		live->again = true;
		return error;
	}
	error = apply(live, &next);
	live->again = error != ERROR_NONE;
	clear(&live->now);
	live->now = next;
	return error;
}

int live_new(const struct live_actions *actions, const struct options *options, const struct id *me,
	struct live **out)
{
	struct live *live = memory_zalloc(sizeof *live);
	int error;

	if (!live)
		return ERROR_NOMEM;
	live->actions = *actions;
	live->me = *me;
	error = read_options(options, &live->configured);
	if (!error)
		error = merge(live, &live->now);
	if (error) {
		live_free(live);
		return error;
	}
	*out = live;
	return ERROR_NONE;
}

void live_free(struct live *live)
{
	if (!live)
		return;
	clear(&live->configured);
	clear(&live->kept);
	clear(&live->now);
	memory_free(live);
}

int live_reload(struct live *live, const struct options *options)
{
	struct side configured = {0};
	int error = read_options(options, &configured);

	if (error) {
		clear(&configured);
		return error;
	}
	clear(&live->configured);
	live->configured = configured;
	return renew(live);
}

/* ---- what is kept ---- */

static size_t write_key(uint8_t key[KEY_SIZE], enum kind kind, const struct id *id)
{
	memcpy(key, mark, sizeof mark);
	key[sizeof mark] = (uint8_t)kind;
	if (!id)
		return HEAD_SIZE;
	memcpy(key + HEAD_SIZE, id, ID_SIZE);
	return KEY_SIZE;
}

/* Puts something on record. text may be empty. */
static int keep(struct live *live, enum kind kind, const struct id *id, const char *text)
{
	uint8_t key[KEY_SIZE], value[1 + TEXT_SIZE + 2];
	size_t size = strlen(text);

	if (size >= sizeof value - 1)
		return ERROR_TOO_LARGE;
	value[0] = VERSION;
	memcpy(value + 1, text, size);
	return live->actions.record(
		live->actions.context, key, write_key(key, kind, id), value, 1 + size);
}

/* Adds an id to a list and puts it on record, or does neither. */
static int keep_id(struct live *live, enum kind kind, struct live_list *list, const struct id *id)
{
	int error = add_id(list, id, LIVE_KEPT);

	if (error)
		return error;
	error = keep(live, kind, id, "");
	if (error)
		remove_id(list, id);
	return error;
}

static int forget(struct live *live, enum kind kind, const struct id *id)
{
	uint8_t key[KEY_SIZE];

	return live->actions.record(
		live->actions.context, key, write_key(key, kind, id), NULL, 0);
}

static void restore_node(struct live *live, const struct id *id, const char *text)
{
	struct live_node node = {.trusted = text[0] == 'p', .source = LIVE_KEPT};

	if ((text[0] == 'p' || text[0] == 'b') && options_parse_peer(text + 1, &node.peer) &&
		id_equal(id, &node.peer.id) && live->kept.nodes_count < LIVE_KEPT_MOST)
		(void)put_node(&live->kept, &node);
}

static void restore_id(struct live_list *list, const struct id *id)
{
	if (list->count < LIVE_KEPT_MOST)
		(void)add_id(list, id, LIVE_KEPT);
}

bool live_restore(struct live *live, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	const uint8_t *bytes = key;
	char text[1 + TEXT_SIZE + 2] = "";
	struct id id = {{0}};

	if (key_size < HEAD_SIZE || memcmp(key, mark, sizeof mark) != 0)
		return false;
	if (value_size == 0 || value_size > sizeof text || ((const uint8_t *)value)[0] != VERSION ||
		key_size != (bytes[sizeof mark] == LEVEL ? HEAD_SIZE : KEY_SIZE))
		return true;
	memcpy(text, (const uint8_t *)value + 1, value_size - 1);
	if (key_size == KEY_SIZE)
		memcpy(&id, bytes + HEAD_SIZE, ID_SIZE);
	switch (bytes[sizeof mark]) {
	case NODE:
		restore_node(live, &id, text);
		break;
	case TOPIC:
		restore_id(&live->kept.topics, &id);
		break;
	case ALLOWED:
		restore_id(&live->kept.allow, &id);
		break;
	case DENIED:
		restore_id(&live->kept.deny, &id);
		break;
	case LEVEL:
		live->kept.has_level = options_parse_level(text, &live->kept.level);
		break;
	}
	return true;
}

void live_begin(struct live *live, char reason[LIVE_REASON_SIZE])
{
	int error = renew(live);

	reason[0] = '\0';
	if (error)
		snprintf(reason, LIVE_REASON_SIZE,
			"what control has added before is not all in force: %s",
			error == ERROR_LIMIT ? "more topics than max_overlays" : error_text(error));
}

/* ---- what control does ---- */

__attribute__((format(printf, 2, 3))) static bool refuse(
	char reason[LIVE_REASON_SIZE], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, LIVE_REASON_SIZE, format, arguments);
	va_end(arguments);
	return false;
}

static bool fail(char reason[LIVE_REASON_SIZE], int error)
{
	return refuse(reason, "%s", error_text(error));
}

struct id_text {
	char text[ID_HEX_SIZE + 1];
};

static struct id_text text_of(const struct id *id)
{
	struct id_text out;

	hex_encode(id->bytes, ID_SIZE, out.text);
	return out;
}

/* Brings a change into force, if it was written down; written: the error of that. Returns false
 * with a reason if either has failed. */
static bool settle(struct live *live, int written, char reason[LIVE_REASON_SIZE])
{
	int error = written ? written : renew(live);

	reason[0] = '\0';
	return error ? fail(reason, error) : true;
}

static bool may_add(const struct live *live, const struct live_node *node, const char *text,
	char reason[LIVE_REASON_SIZE])
{
	const struct id *id = &node->peer.id;

	if (strlen(text) > TEXT_SIZE)
		return refuse(reason, "the node's text has more than %d bytes", (int)TEXT_SIZE);
	if (!identity_is_key(id))
		return refuse(reason,
			"%s is no node's id: it takes the 64 digits after 'node id' in the other "
			"node's log",
			text_of(id).text);
	if (id_equal(id, &live->me))
		return refuse(reason, "%s is this node's own id: it takes other nodes",
			text_of(id).text);
	if (find_node(&live->configured, id))
		return refuse(reason, "the configuration names %s, and wins: change it there",
			text_of(id).text);
	if (!lets_in(&live->now, id))
		return refuse(reason, "%s is shut out by %s: %s first", text_of(id).text,
			has_id(&live->now.deny, id) ? "deny" : "allow",
			has_id(&live->now.deny, id) ? "take it off that list" : "allow it");
	if (live->kept.nodes_count >= LIVE_KEPT_MOST && !find_node(&live->kept, id))
		return refuse(reason, "there are %d nodes already: remove one first",
			LIVE_KEPT_MOST);
	return true;
}

bool live_add_node(
	struct live *live, const char *text, bool trusted, char reason[LIVE_REASON_SIZE])
{
	struct live_node node = {.trusted = trusted, .source = LIVE_KEPT};
	char value[1 + TEXT_SIZE + 1];
	int error;

	if (!options_parse_peer(text, &node.peer))
		return refuse(reason, "node '%.128s' is not accepted; it takes " OPTIONS_PEER, text);
	if (!may_add(live, &node, text, reason))
		return false;
	snprintf(value, sizeof value, "%c%s", trusted ? 'p' : 'b', text);
	error = keep(live, NODE, &node.peer.id, value);
	if (!error)
		error = put_node(&live->kept, &node);
	return settle(live, error, reason);
}

bool live_remove_node(struct live *live, const struct id *id, char reason[LIVE_REASON_SIZE])
{
	int error;

	if (find_node(&live->configured, id))
		return refuse(reason, "the configuration names %s, and wins: remove it there",
			text_of(id).text);
	if (!find_node(&live->kept, id))
		return refuse(reason,
			"%s is neither a peer nor a bootstrap node: it takes one that addNode has "
			"added (listNodes)",
			text_of(id).text);
	error = forget(live, NODE, id);
	if (!error)
		remove_node(&live->kept, id);
	return settle(live, error, reason);
}

bool live_join(struct live *live, const struct id *topic, char reason[LIVE_REASON_SIZE])
{
	int error;

	reason[0] = '\0';
	if (has_id(&live->now.topics, topic))
		return true;
	if (live->kept.topics.count >= LIVE_KEPT_MOST)
		return refuse(reason, "there are %d topics already: leave one first", LIVE_KEPT_MOST);
	/* The overlay is joined before the topic is put on record: there may be no place. */
	error = live->actions.fix(live->actions.context, topic);
	if (!error)
		error = keep_id(live, TOPIC, &live->kept.topics, topic);
	if (error) {
		live->actions.unfix(live->actions.context, topic);
		return error == ERROR_LIMIT
			       ? refuse(reason, "max_overlays is reached: leave another one first")
			       : fail(reason, error);
	}
	return settle(live, ERROR_NONE, reason);
}

bool live_leave(struct live *live, const struct id *topic, char reason[LIVE_REASON_SIZE])
{
	int error;

	if (has_id(&live->configured.topics, topic))
		return refuse(reason,
			"the configuration names topic %s, and wins: remove it there",
			topic_short(topic).text);
	if (!has_id(&live->kept.topics, topic))
		return refuse(reason,
			"topic %s was not joined by joinTopic: clients hold it, or nobody does "
			"(listTopics)",
			topic_short(topic).text);
	error = forget(live, TOPIC, topic);
	if (!error)
		remove_id(&live->kept.topics, topic);
	return settle(live, error, reason);
}

static bool may_deny(
	const struct live *live, const struct id *id, char reason[LIVE_REASON_SIZE])
{
	if (id_equal(id, &live->me))
		return refuse(reason, "%s is this node's own id: it takes other nodes",
			text_of(id).text);
	if (has_id(&live->now.allow, id))
		return refuse(reason, "%s is allowed: take it off that list first",
			text_of(id).text);
	if (find_node(&live->now, id))
		return refuse(reason, "%s is a peer or a bootstrap node: remove it first",
			text_of(id).text);
	return true;
}

static bool may_allow(const struct live *live, const struct id *ids, size_t count,
	char reason[LIVE_REASON_SIZE])
{
	const struct side *now = &live->now;
	bool named;

	for (size_t i = 0; i < count; i++)
		if (has_id(&now->deny, &ids[i]))
			return refuse(reason, "%s is denied: take it off that list first",
				text_of(&ids[i]).text);
	/* The first id on the list shuts out all other nodes. */
	for (size_t i = 0; now->allow.count == 0 && i < now->nodes_count; i++) {
		named = false;
		for (size_t j = 0; j < count; j++)
			named = named || id_equal(&ids[j], &now->nodes[i].peer.id);
		if (!named && now->nodes[i].source == LIVE_KEPT)
			return refuse(reason,
				"nobody is on that list yet, so this would shut out %s, which is a "
				"peer or a bootstrap node: allow it in the same command",
				text_of(&now->nodes[i].peer.id).text);
	}
	return true;
}

static bool may_take_off(const struct live *live, bool deny, const struct id *id,
	char reason[LIVE_REASON_SIZE])
{
	const struct side *configured = &live->configured, *kept = &live->kept;

	if (has_id(deny ? &configured->deny : &configured->allow, id))
		return refuse(reason, "the configuration names %s, and wins: remove it there",
			text_of(id).text);
	if (!has_id(deny ? &kept->deny : &kept->allow, id))
		return refuse(reason, "%s is not on that list (getStatus)", text_of(id).text);
	if (!deny && find_node(&live->now, id) && live->now.allow.count > 1)
		return refuse(reason,
			"%s is a peer or a bootstrap node, which this would shut out: remove it "
			"first",
			text_of(id).text);
	return true;
}

bool live_set_access(struct live *live, bool deny, bool remove, const struct id *ids, size_t count,
	char reason[LIVE_REASON_SIZE])
{
	struct live_list *list = deny ? &live->kept.deny : &live->kept.allow;
	const struct live_list *given = deny ? &live->configured.deny : &live->configured.allow;
	enum kind kind = deny ? DENIED : ALLOWED;
	int error = ERROR_NONE;

	for (size_t i = 0; i < count; i++)
		if ((remove && !may_take_off(live, deny, &ids[i], reason)) ||
			(!remove && deny && !may_deny(live, &ids[i], reason)))
			return false;
	if (!remove && !deny && !may_allow(live, ids, count, reason))
		return false;
	if (!remove && list->count + count > LIVE_KEPT_MOST)
		return refuse(reason, "the list takes %d nodes", LIVE_KEPT_MOST);
	for (size_t i = 0; !error && i < count; i++) {
		if (!remove && (has_id(list, &ids[i]) || has_id(given, &ids[i])))
			continue;
		error = remove ? forget(live, kind, &ids[i]) : keep_id(live, kind, list, &ids[i]);
		if (!error && remove)
			remove_id(list, &ids[i]);
	}
	return settle(live, error, reason);
}

bool live_set_log_level(struct live *live, const char *word, bool *kept,
	char reason[LIVE_REASON_SIZE])
{
	enum broker_level level;
	int error;

	if (!options_parse_level(word, &level))
		return refuse(
			reason, "level '%.32s' is not accepted; it takes " OPTIONS_LEVELS, word);
	reason[0] = '\0';
	*kept = !live->configured.has_level;
	if (*kept) {
		error = keep(live, LEVEL, NULL, word);
		if (error)
			return fail(reason, error);
		live->kept.has_level = true;
		live->kept.level = level;
	}
	live->now.level = level;
	live->actions.log_from(live->actions.context, level);
	return true;
}

/* ---- what there is ---- */

const struct live_node *live_node(const struct live *live, const struct id *id)
{
	return find_node(&live->now, id);
}

const struct live_list *live_topics(const struct live *live)
{
	return &live->now.topics;
}

const struct live_list *live_allowed(const struct live *live)
{
	return &live->now.allow;
}

const struct live_list *live_denied(const struct live *live)
{
	return &live->now.deny;
}

const char *live_log_level(const struct live *live)
{
	return options_level_word(live->now.level);
}
