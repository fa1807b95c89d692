/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The table of commands, their arguments, and what they do. */
#include <stdio.h>
#include <string.h>

#include "../bridge/bytes/hex.h"
#include "control_internal.h"
#include "topic.h"

/* ---- what they do ---- */

#define RUN(name)                                                                                \
	static bool name(struct control *control, const struct arguments *arguments, cJSON **data, \
		struct picture_question *question, bool *asks, char reason[CONTROL_REASON_SIZE])
#define SHOW(name)                                                                               \
	static bool name(struct control *control, const struct picture *picture, cJSON **data,     \
		char reason[CONTROL_REASON_SIZE])

RUN(run_status)
{
	*data = show_status(control);
	return true;
}

RUN(run_metrics)
{
	*data = show_metrics(control->counters);
	return true;
}

static bool asks_for(struct picture_question *question, bool *asks, enum picture_subject subject,
	const struct arguments *arguments)
{
	*asks = true;
	*question = (struct picture_question){.subject = subject,
		.id = arguments->id,
		.after = arguments->after,
		.most = arguments->count,
		.book = arguments->flag};
	return true;
}

RUN(run_list_topics)
{
	return asks_for(question, asks, PICTURE_OVERLAYS, arguments);
}

SHOW(show_list_topics)
{
	*data = show_topics(control, picture);
	return true;
}

RUN(run_get_topic)
{
	return asks_for(question, asks, PICTURE_OVERLAY, arguments);
}

SHOW(show_get_topic)
{
	if (picture->found)
		*data = show_topic(control, picture);
	else
		snprintf(reason, CONTROL_REASON_SIZE,
			"topic %s... is not joined: it takes one that is (listTopics)",
			topic_short(&picture->question.id).text);
	return picture->found;
}

RUN(run_join_topic)
{
	return live_join(control->live, &arguments->id, reason);
}

RUN(run_leave_topic)
{
	return live_leave(control->live, &arguments->id, reason);
}

RUN(run_list_nodes)
{
	return asks_for(question, asks, PICTURE_NODES, arguments);
}

SHOW(show_list_nodes)
{
	*data = show_nodes(control, picture);
	return true;
}

static bool is_known(const struct picture *picture, char reason[CONTROL_REASON_SIZE])
{
	char id[ID_HEX_SIZE + 1];

	if (!picture->found)
		snprintf(reason, CONTROL_REASON_SIZE,
			"node %s is not known: it takes one that is (listNodes, with \"all\")",
			hex_encode(picture->question.id.bytes, ID_SIZE, id));
	return picture->found;
}

RUN(run_get_node)
{
	return asks_for(question, asks, PICTURE_NODE, arguments);
}

SHOW(show_get_node)
{
	if (!is_known(picture, reason))
		return false;
	*data = show_node(control, picture);
	return true;
}

RUN(run_add_node)
{
	return live_add_node(control->live, arguments->text, !arguments->is_bootstrap, reason);
}

RUN(run_remove_node)
{
	return live_remove_node(control->live, &arguments->id, reason);
}

RUN(run_allow)
{
	return live_set_access(control->live, false, arguments->flag, arguments->ids,
		arguments->ids_count, reason);
}

RUN(run_deny)
{
	return live_set_access(control->live, true, arguments->flag, arguments->ids,
		arguments->ids_count, reason);
}

RUN(run_log_level)
{
	bool kept;

	if (!live_set_log_level(control->live, arguments->text, &kept, reason))
		return false;
	*data = cJSON_CreateObject();
	cJSON_AddBoolToObject(*data, "kept", kept);
	return true;
}

RUN(run_ping)
{
	return asks_for(question, asks, PICTURE_PING, arguments);
}

SHOW(show_ping_answer)
{
	if (!is_known(picture, reason))
		return false;
	if (picture->places_count == 0) {
		snprintf(reason, CONTROL_REASON_SIZE, "no address of that node is known yet");
		return false;
	}
	*data = show_ping(picture);
	return true;
}

/* ---- the table ---- */

enum argument {
	TOPIC = 1,
	NODE = 2,	/* an id */
	NODES = 4,	/* an id or an array of them, in "node" */
	PLACE = 8,	/* <id>@<host>:<port>, in "node" */
	ROLE = 16,
	ALL = 32,
	REMOVE = 64,
	LEVEL = 128,
	COUNT = 256,
	START = 512,
};

static const struct command table[] = {
	{{"getStatus", "", "who this node is, and how it is"}, 0, 0, false, run_status, NULL},
	{{"listTopics", "[count] [start]", "the overlays that are joined, with state and counters"},
		COUNT | START, 0, false, run_list_topics, show_list_topics},
	{{"getTopic", "topic", "one overlay, with its neighbours"}, TOPIC, TOPIC, false,
		run_get_topic, show_get_topic},
	{{"joinTopic", "topic", "joins an overlay for good, as the option topic does"}, TOPIC, TOPIC,
		true, run_join_topic, NULL},
	{{"leaveTopic", "topic", "takes back joinTopic; clients may still hold the overlay"}, TOPIC,
		TOPIC, true, run_leave_topic, NULL},
	{{"listNodes", "[all] [count] [start]",
		 "the nodes that are configured or connected; all: those that are only heard of, too"},
		ALL | COUNT | START, 0, false, run_list_nodes, show_list_nodes},
	{{"getNode", "node", "one node: its addresses, its last success and failure"}, NODE, NODE,
		false, run_get_node, show_get_node},
	{{"addNode", "node [role]", "adds a peer or a bootstrap node, as the options do"},
		PLACE | ROLE, PLACE, true, run_add_node, NULL},
	{{"removeNode", "node", "takes back addNode"}, NODE, NODE, true, run_remove_node, NULL},
	{{"allow", "node [remove]", "lets in only these nodes, as the option allow_node does"},
		NODES | REMOVE, NODES, true, run_allow, NULL},
	{{"deny", "node [remove]", "shuts out these nodes, as the option deny_node does"},
		NODES | REMOVE, NODES, true, run_deny, NULL},
	{{"getMetrics", "", "all counters, by the names that they have below $SYS"}, 0, 0, false,
		run_metrics, NULL},
	{{"setLogLevel", "level", "what is logged, as the option log_level says it"}, LEVEL, LEVEL,
		true, run_log_level, NULL},
	{{"ping", "node", "a handshake with a node, at each of its addresses"}, NODE, NODE, false,
		run_ping, show_ping_answer},
};

#define TABLE_SIZE (sizeof table / sizeof table[0])

const struct control_help *control_help(size_t number)
{
	return number < TABLE_SIZE ? &table[number].help : NULL;
}

const struct command *command_find(const char *name, char reason[CONTROL_REASON_SIZE])
{
	size_t used;

	for (size_t i = 0; i < TABLE_SIZE; i++)
		if (strcmp(table[i].help.name, name) == 0)
			return &table[i];
	snprintf(reason, CONTROL_REASON_SIZE, "command '%.64s' is not known; there are", name);
	for (size_t i = 0; i < TABLE_SIZE; i++) {
		used = strlen(reason);
		snprintf(reason + used, CONTROL_REASON_SIZE - used, "%s %s", i ? "," : "",
			table[i].help.name);
	}
	return NULL;
}

/* ---- arguments ---- */

static bool read_id(const char *text, struct id *out)
{
	return strlen(text) == ID_HEX_SIZE && hex_decode(text, out->bytes, ID_SIZE) == 0;
}

static bool read_topic(const cJSON *value, struct arguments *out)
{
	struct topic topic;

	if (!cJSON_IsString(value))
		return false;
	if (read_id(value->valuestring, &out->id))
		return true;
	if (topic_parse(value->valuestring, &topic) != TOPIC_OVERLAY)
		return false;
	out->id = topic.overlay;
	return true;
}

static bool read_node(const cJSON *value, struct arguments *out)
{
	return cJSON_IsString(value) && read_id(value->valuestring, &out->id);
}

static bool read_nodes(const cJSON *value, struct arguments *out)
{
	const cJSON *item;

	if (cJSON_IsString(value)) {
		out->ids_count = 1;
		return read_id(value->valuestring, &out->ids[0]);
	}
	if (!cJSON_IsArray(value) || cJSON_GetArraySize(value) > CONTROL_IDS)
		return false;
	cJSON_ArrayForEach(item, value)
		if (!cJSON_IsString(item) ||
			!read_id(item->valuestring, &out->ids[out->ids_count++]))
			return false;
	return out->ids_count > 0;
}

static bool read_text(const cJSON *value, struct arguments *out)
{
	out->text = cJSON_GetStringValue(value);
	return out->text != NULL;
}

static bool read_role(const cJSON *value, struct arguments *out)
{
	const char *text = cJSON_GetStringValue(value);

	out->is_bootstrap = text && strcmp(text, "bootstrap") == 0;
	return text && (out->is_bootstrap || strcmp(text, "peer") == 0);
}

static bool read_flag(const cJSON *value, struct arguments *out)
{
	out->flag = cJSON_IsTrue(value);
	return cJSON_IsBool(value);
}

/* Reads a whole number that a double holds exactly, from least to most. */
static bool read_number(const cJSON *value, double least, double most, uint64_t *out)
{
	double number = cJSON_IsNumber(value) ? value->valuedouble : -1;

	if (!(number >= least && number <= most) || (double)(uint64_t)number != number)
		return false;
	*out = (uint64_t)number;
	return true;
}

static bool read_count(const cJSON *value, struct arguments *out)
{
	return read_number(value, 1, PICTURE_MOST, &out->count);
}

static bool read_start(const cJSON *value, struct arguments *out)
{
	return read_number(value, 0, 9007199254740991.0, &out->after);
}

static const struct {
	enum argument argument;
	const char *name, *accepted;
	bool (*read)(const cJSON *value, struct arguments *out);
} names[] = {
	{TOPIC, "topic",
		"64 lower-case hex digits, or the MQTT topic of an overlay (p2panda/<digits>, "
		"p2panda/name/<name>)",
		read_topic},
	{NODE, "node", "64 lower-case hex digits", read_node},
	{NODES, "node", "64 lower-case hex digits, or an array of 1 to 64 such", read_nodes},
	{PLACE, "node", OPTIONS_PEER, read_text},
	{ROLE, "role", "\"peer\" or \"bootstrap\"", read_role},
	{ALL, "all", "true or false", read_flag},
	{REMOVE, "remove", "true or false", read_flag},
	{LEVEL, "level", OPTIONS_LEVELS, read_text},
	{COUNT, "count", "a number from 1 to 1000", read_count},
	{START, "start", "a number: the \"next\" of the response before", read_start},
};

#define NAMES (sizeof names / sizeof names[0])

static void say_what_it_takes(
	const struct command *command, const char *name, char reason[CONTROL_REASON_SIZE])
{
	snprintf(reason, CONTROL_REASON_SIZE, "%s does not take \"%.64s\"; it takes %s",
		command->help.name, name,
		command->help.arguments[0] ? command->help.arguments : "nothing");
}

/* Reads one member of the command's object. */
static bool read_member(const struct command *command, const cJSON *member, struct arguments *out,
	unsigned *seen, char reason[CONTROL_REASON_SIZE])
{
	for (size_t i = 0; i < NAMES; i++) {
		if (!(command->takes & names[i].argument) ||
			strcmp(member->string, names[i].name) != 0)
			continue;
		if (*seen & names[i].argument) {
			snprintf(reason, CONTROL_REASON_SIZE,
				"\"%s\" is given twice; it is accepted once", names[i].name);
			return false;
		}
		*seen |= names[i].argument;
		if (names[i].read(member, out))
			return true;
		snprintf(reason, CONTROL_REASON_SIZE, "\"%s\" is not accepted; it takes %s",
			names[i].name, names[i].accepted);
		return false;
	}
	say_what_it_takes(command, member->string, reason);
	return false;
}

bool command_read(const struct command *command, const cJSON *object, struct arguments *out,
	char reason[CONTROL_REASON_SIZE])
{
	const cJSON *member;
	unsigned seen = 0;

	memset(out, 0, sizeof *out);
	cJSON_ArrayForEach(member, object)
		if (strcmp(member->string, "command") != 0 &&
			strcmp(member->string, "correlationData") != 0 &&
			!read_member(command, member, out, &seen, reason))
			return false;
	for (size_t i = 0; i < NAMES; i++) {
		if (!(command->needs & names[i].argument & ~seen))
			continue;
		snprintf(reason, CONTROL_REASON_SIZE, "\"%s\" is missing; it takes %s",
			names[i].name, names[i].accepted);
		return false;
	}
	return true;
}
