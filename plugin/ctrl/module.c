/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../control_topics.h"
#include "ctrl.h"

#define EXPORT __attribute__((visibility("default")))

/* What ctrl_main returns, as mosquitto_ctrl takes it (mosq_err_t). */
#define GO_ON	   0
#define ALL_IS_DONE (-1)
#define HAS_FAILED 13

EXPORT void ctrl_help(void);
EXPORT int ctrl_main(int argc, char *argv[], struct mosq_ctrl *ctrl);

#define COLUMNS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct command {
	const char *name, *arguments, *help;
	ctrl_arguments *read;
	const char *const *columns;
} commands[] = {
	{"getStatus", "", "who this node is, and how it is", ctrl_no_arguments, NULL},
	{"listTopics", "[<count> [<start>]]", "the overlays that are joined, with state and counters",
		ctrl_list_arguments,
		COLUMNS("topic", "state", "neighbours", "sent", "received", "dropped", "since",
			"source")},
	{"getTopic", "<topic>", "one overlay, with its neighbours", ctrl_topic_argument,
		COLUMNS("node", "role", "way", "address", "rtt_ms", "since", "received")},
	{"joinTopic", "<topic>", "joins an overlay for good", ctrl_topic_argument, NULL},
	{"leaveTopic", "<topic>", "takes back joinTopic; clients may still hold the overlay",
		ctrl_topic_argument, NULL},
	{"listNodes", "[--all] [<count> [<start>]]",
		"the nodes that are configured or connected; --all: those only heard of, too",
		ctrl_list_arguments,
		COLUMNS("node", "role", "source", "way", "address", "rtt_ms", "overlays",
			"last_success", "failure")},
	{"getNode", "<node id>", "one node: its addresses, its last success and failure",
		ctrl_node_argument, NULL},
	{"addNode", "<node id>@<host>:<port>[,...] [peer|bootstrap]",
		"adds a peer or a bootstrap node", ctrl_add_arguments, NULL},
	{"removeNode", "<node id>", "takes back addNode", ctrl_node_argument, NULL},
	{"allow", "<node id>... [--remove]", "lets in only these nodes; --remove: off that list",
		ctrl_access_arguments, NULL},
	{"deny", "<node id>... [--remove]", "shuts out these nodes; --remove: off that list",
		ctrl_access_arguments, NULL},
	{"getMetrics", "", "all counters", ctrl_no_arguments, NULL},
	{"setLogLevel", "<level>", "debug, information, notice, warning or error",
		ctrl_level_argument, NULL},
	{"ping", "<node id>", "a handshake with a node, at each of its addresses",
		ctrl_node_argument, NULL},
};

static const struct offline {
	const char *name, *arguments, *help;
	int (*run)(int count, char *const *given, bool as_json);
} offline[] = {
	{"identity", "[<file>]", "the node id of a key, which is made where there is none",
		ctrl_identity},
	{"topic", "<name> | --random", "the 64 digits of a named overlay, or new ones", ctrl_topic},
};

#define COMMANDS (sizeof commands / sizeof commands[0])
#define OFFLINE	 (sizeof offline / sizeof offline[0])

static struct {
	const struct command *command;
	bool as_json, asked, answered;
	int status;
} run;

/* ---- the end ---- */

static void on_exit_of_ctrl(void)
{
	if (run.asked && !run.answered)
		fprintf(stderr,
			"Error: the plugin has not answered. Is plugin_opt_control true, and may "
			"this user write to\n" CONTROL_TOPIC " and read " CONTROL_RESPONSE "?\n");
	fflush(NULL);
	_exit(run.status);
}

/* Sets the exit status. Returns what ctrl_main is to return. */
static int end_with(int status)
{
	run.status = status;
	return status == CTRL_DONE ? ALL_IS_DONE : HAS_FAILED;
}

/* ---- help ---- */

static void show_line(const char *name, const char *arguments, const char *help)
{
	printf("    %s%s%s\n        %s\n", name, arguments[0] ? " " : "", arguments, help);
}

EXPORT void ctrl_help(void)
{
	printf("\np2panda: a node of the p2panda network in the broker\n"
	       "====================================================\n\n"
	       "mosquitto_ctrl [options] p2panda [-j] <command> [arguments]\n\n"
	       "    -j shows JSON. Exit status: 0 done, 1 refused or failed, 2 not understood.\n\n"
	       "In a broker with plugin_opt_control true:\n\n");
	for (size_t i = 0; i < COMMANDS; i++)
		show_line(commands[i].name, commands[i].arguments, commands[i].help);
	printf("\nWithout a broker:\n\n");
	for (size_t i = 0; i < OFFLINE; i++)
		show_line(offline[i].name, offline[i].arguments, offline[i].help);
	printf("\nSee mosquitto_ctrl_p2panda(1).\n\n");
}

static int show_help(const char *name)
{
	for (size_t i = 0; name && i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0) {
			show_line(name, commands[i].arguments, commands[i].help);
			return end_with(CTRL_DONE);
		}
	for (size_t i = 0; name && i < OFFLINE; i++)
		if (strcmp(offline[i].name, name) == 0) {
			show_line(name, offline[i].arguments, offline[i].help);
			return end_with(CTRL_DONE);
		}
	if (name) {
		fprintf(stderr, "Error: there is no command %s; see: mosquitto_ctrl p2panda help\n",
			name);
		return end_with(CTRL_USAGE);
	}
	ctrl_help();
	return end_with(CTRL_DONE);
}

/* ---- the response ---- */

static void show_json(const cJSON *json)
{
	char *text = cJSON_Print(json);

	if (text)
		puts(text);
	cJSON_free(text);
}

static void fail(const char *reason)
{
	cJSON *json;

	fprintf(stderr, "Error: %s\n", reason);
	if (run.as_json) {
		json = cJSON_CreateObject();
		cJSON_AddStringToObject(json, "error", reason);
		show_json(json);
		cJSON_Delete(json);
	}
	run.status = CTRL_FAILED;
}

static void succeed(const cJSON *data)
{
	const cJSON *answered = cJSON_GetObjectItemCaseSensitive(data, "answered");

	if (run.as_json && data)
		show_json(data);
	else if (run.as_json)
		puts("{}");
	else if (data)
		ctrl_show(data, run.command->columns);
	run.status = cJSON_IsNumber(answered) && answered->valuedouble == 0 ? CTRL_FAILED : CTRL_DONE;
}

static void on_response(struct mosq_ctrl *ctrl, long size, const void *payload)
{
	cJSON *tree = cJSON_ParseWithLength(payload, (size_t)size);
	const cJSON *first = cJSON_GetArrayItem(
		cJSON_GetObjectItemCaseSensitive(tree, "responses"), 0);
	const char *error = cJSON_GetStringValue(
		cJSON_GetObjectItemCaseSensitive(first ? first : tree, "error"));

	run.answered = true;
	if (error && !first) /* the error is the broker's own */
		fail("the broker has no such endpoint: plugin_opt_control is not true there");
	else if (error)
		fail(error);
	else if (first)
		succeed(cJSON_GetObjectItemCaseSensitive(first, "data"));
	else
		fail("the response is not understood: is the plugin of another version?");
	cJSON_Delete(tree);
}

/* ---- the entry ---- */

static char *copy(const char *text)
{
	return text ? strdup(text) : NULL;
}

static int request(const struct command *command, int count, char *const *given,
	struct ctrl_request *out)
{
	char reason[CTRL_REASON_SIZE] = "";
	cJSON *tree = cJSON_CreateObject(), *object = cJSON_CreateObject();
	char *text;

	cJSON_AddItemToArray(cJSON_AddArrayToObject(tree, "commands"), object);
	cJSON_AddStringToObject(object, "command", command->name);
	if (!command->read(count, given, object, reason)) {
		fprintf(stderr, "Error: %s\nUsage: mosquitto_ctrl p2panda %s %s\n", reason,
			command->name, command->arguments);
		cJSON_Delete(tree);
		return end_with(CTRL_USAGE);
	}
	text = cJSON_PrintUnformatted(tree);
	cJSON_Delete(tree);
	out->payload = copy(text);
	cJSON_free(text);
	out->request_topic = copy(CONTROL_TOPIC);
	out->response_topic = copy(CONTROL_RESPONSE);
	out->payload_callback = on_response;
	if (!out->payload || !out->request_topic || !out->response_topic) {
		fprintf(stderr, "Error: out of memory\n");
		return end_with(CTRL_FAILED);
	}
	run.command = command;
	run.asked = true;
	run.status = CTRL_FAILED; /* until there is an answer */
	return GO_ON;
}

static int request_here(const struct command *command, int count, char *const *given,
	struct mosq_ctrl *ctrl)
{
	struct ctrl_request *out = ctrl_request_of(ctrl);

	if (out)
		return request(command, count, given, out);
	fprintf(stderr, "Error: this mosquitto_ctrl is not known: that of Mosquitto 2.0 or 2.1 is "
			"needed\n");
	return end_with(CTRL_FAILED);
}

static int unknown(const char *name)
{
	fprintf(stderr, "Error: there is no command %s; see: mosquitto_ctrl p2panda help\n", name);
	return end_with(CTRL_USAGE);
}

static int choose(int count, char **given, struct mosq_ctrl *ctrl)
{
	if (count == 0 || strcmp(given[0], "help") == 0 || strcmp(given[0], "--help") == 0)
		return show_help(count > 1 ? given[1] : NULL);
	for (size_t i = 0; i < OFFLINE; i++)
		if (strcmp(given[0], offline[i].name) == 0)
			return end_with(offline[i].run(count - 1, given + 1, run.as_json));
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(given[0], commands[i].name) == 0)
			return request_here(&commands[i], count - 1, given + 1, ctrl);
	return unknown(given[0]);
}

EXPORT int ctrl_main(int argc, char *argv[], struct mosq_ctrl *ctrl)
{
	char **given = calloc((size_t)argc + 1, sizeof *given);
	int count = 0, result;

	atexit(on_exit_of_ctrl);
	if (!given)
		return end_with(CTRL_FAILED);
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "-j") == 0)
			run.as_json = true;
		else
			given[count++] = argv[i];
	}
	result = choose(count, given, ctrl);
	free(given);
	return result;
}
