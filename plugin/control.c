/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "../bridge/memory.h"
#include "broker.h"
#include "control_internal.h"

#define MS UINT64_C(1000000)

struct request {
	struct request *prev, *next;
	char *client;
	cJSON *tree, *responses; /* responses is the tree's */
	size_t waiting;
	size_t calls_count;
	struct call calls[CONTROL_COMMANDS];
};

int control_new(const struct control_actions *actions, struct live *live,
	const struct counters *counters, struct remarks *remarks, struct control **out)
{
	struct control *control = memory_zalloc(sizeof *control);

	if (!control)
		return ERROR_NOMEM;
	control->actions = *actions;
	control->live = live;
	control->counters = counters;
	control->remarks = remarks;
	*out = control;
	return ERROR_NONE;
}

/* ---- responses ---- */

static void reply(struct control *control, const char *client, const cJSON *tree)
{
	char *text = cJSON_PrintUnformatted(tree);

	if (!text)
		return; /* the client that waits for it gives up some time */
	control->actions.reply(control->actions.context, client, text, strlen(text));
	cJSON_free(text);
}

/* Replies to a request that cannot be taken apart. */
static void reply_error(struct control *control, const char *client, const char *reason)
{
	cJSON *tree = cJSON_CreateObject();
	cJSON *responses = cJSON_AddArrayToObject(tree, "responses"), *one = cJSON_CreateObject();

	cJSON_AddStringToObject(one, "command", "Unknown command");
	cJSON_AddStringToObject(one, "error", reason);
	if (!cJSON_AddItemToArray(responses, one))
		cJSON_Delete(one);
	if (responses)
		reply(control, client, tree);
	cJSON_Delete(tree);
}

static void finish(struct call *call, cJSON *data, const char *reason)
{
	if (reason)
		cJSON_AddStringToObject(call->response, "error", reason);
	else if (data && !cJSON_AddItemToObject(call->response, "data", data))
		cJSON_Delete(data);
}

static void remove_request(struct control *control, struct request *request)
{
	DL_DELETE(control->requests, request);
	control->waiting -= request->waiting;
	cJSON_Delete(request->tree);
	memory_free(request->client);
	memory_free(request);
}

static void end_if_complete(struct control *control, struct request *request)
{
	if (request->waiting > 0)
		return;
	reply(control, request->client, request->tree);
	remove_request(control, request);
}

void control_free(struct control *control)
{
	if (!control)
		return;
	while (control->requests)
		remove_request(control, control->requests);
	memory_free(control);
}

/* ---- requests ---- */

static struct request *request_new(struct control *control, const char *client)
{
	struct request *request = memory_zalloc(sizeof *request);
	size_t size = strlen(client) + 1;

	if (!request)
		return NULL;
	DL_APPEND(control->requests, request);
	request->client = memory_alloc(size);
	request->tree = cJSON_CreateObject();
	request->responses = cJSON_AddArrayToObject(request->tree, "responses");
	if (!request->client || !request->responses) {
		remove_request(control, request);
		return NULL;
	}
	memcpy(request->client, client, size);
	return request;
}

/* Asks the node. Returns false if the node is not asked: reason says why. */
static bool ask(struct control *control, uint64_t now_ns, struct call *call,
	struct picture_question *question, char reason[CONTROL_REASON_SIZE])
{
	int error;

	if (control->waiting >= CONTROL_WAITING) {
		snprintf(reason, CONTROL_REASON_SIZE,
			"%d commands wait for their answers already: try again", CONTROL_WAITING);
		return false;
	}
	question->number = ++control->number;
	error = control->actions.ask(control->actions.context, question);
	if (error) {
		snprintf(reason, CONTROL_REASON_SIZE, "%s", error_text(error));
		return false;
	}
	call->number = question->number;
	call->due = now_ns + NODE_PICTURE_MS * MS;
	call->request->waiting++;
	control->waiting++;
	return true;
}

/* Makes a reason printable ASCII. A reason may quote what somebody has sent: nothing of that is to
 * begin a line of the log, or to be half of a character. */
static void make_plain(char *reason)
{
	for (; *reason; reason++)
		if (*reason < ' ' || *reason > '~')
			*reason = '?';
}

static void log_change(const struct call *call, const char *user, const char *reason)
{
	if (call->command->changes)
		broker_log(BROKER_NOTICE, "control: user %.*s, client %.*s: %s%s%.200s",
			REMARK_CLIENT, user, REMARK_CLIENT, call->request->client,
			call->command->help.name, reason ? ": refused: " : "",
			reason ? reason : "");
}

static void run(struct control *control, uint64_t now_ns, struct call *call, const char *user,
	const cJSON *object)
{
	char reason[CONTROL_REASON_SIZE] = "";
	const cJSON *name = cJSON_GetObjectItemCaseSensitive(object, "command");
	const cJSON *correlation = cJSON_GetObjectItemCaseSensitive(object, "correlationData");
	struct picture_question question = {0};
	struct arguments arguments;
	cJSON *data = NULL;
	bool good = false, asks = false;

	cJSON_AddStringToObject(call->response, "command",
		cJSON_IsString(name) ? name->valuestring : "Unknown command");
	if (cJSON_IsString(correlation))
		cJSON_AddStringToObject(
			call->response, "correlationData", correlation->valuestring);
	if (!cJSON_IsObject(object))
		snprintf(reason, sizeof reason, "a command is not accepted: it takes an object");
	else if (!cJSON_IsString(name))
		snprintf(reason, sizeof reason, "\"command\" is missing: it takes a name");
	else if (correlation && !cJSON_IsString(correlation))
		snprintf(reason, sizeof reason,
			"\"correlationData\" is not accepted: it takes a string");
	else if ((call->command = command_find(name->valuestring, reason)))
		good = command_read(call->command, object, &arguments, reason) &&
		       call->command->run(control, &arguments, &data, &question, &asks, reason) &&
		       (!asks || ask(control, now_ns, call, &question, reason));
	make_plain(reason);
	if (call->command)
		log_change(call, user, good ? NULL : reason);
	if (!good || !asks)
		finish(call, data, good ? NULL : reason);
}

static void run_all(struct control *control, uint64_t now_ns, struct request *request,
	const char *user, const cJSON *commands)
{
	const cJSON *object;
	struct call *call;

	cJSON_ArrayForEach(object, commands)
	{
		call = &request->calls[request->calls_count];
		call->request = request;
		call->response = cJSON_CreateObject();
		if (!cJSON_AddItemToArray(request->responses, call->response)) {
			cJSON_Delete(call->response);
			break;
		}
		request->calls_count++;
		run(control, now_ns, call, user, object);
	}
	end_if_complete(control, request);
}

static void take_apart(struct control *control, uint64_t now_ns, const char *client,
	const char *user, const cJSON *tree)
{
	const cJSON *commands = cJSON_GetObjectItemCaseSensitive(tree, "commands");
	struct request *request;
	char reason[128];

	if (!cJSON_IsArray(commands)) {
		reply_error(control, client,
			"\"commands\" is missing: a request takes {\"commands\": [{\"command\": "
			"<name>, ...}, ...]}");
		return;
	}
	if (cJSON_GetArraySize(commands) > CONTROL_COMMANDS) {
		snprintf(reason, sizeof reason, "\"commands\" is too long: it takes %d of them",
			CONTROL_COMMANDS);
		reply_error(control, client, reason);
		return;
	}
	request = request_new(control, client);
	if (request)
		run_all(control, now_ns, request, user, commands);
}

void control_request(struct control *control, uint64_t now_ns, const char *client, const char *user,
	const void *payload, size_t size)
{
	cJSON *tree;
	char reason[128];

	if (!user || !user[0]) {
		if (remark_may(control->remarks, now_ns, REMARK_CONTROL))
			broker_log(BROKER_NOTICE,
				"control: client %.*s is refused: it has no user name",
				REMARK_CLIENT, client);
		reply_error(control, client,
			"refused: control takes clients with a user name, and this one has none");
		return;
	}
	if (size > CONTROL_REQUEST_SIZE) {
		snprintf(reason, sizeof reason, "the request has %zu bytes: it takes %d", size,
			CONTROL_REQUEST_SIZE);
		reply_error(control, client, reason);
		return;
	}
	tree = cJSON_ParseWithLength(payload ? payload : "", size);
	if (tree)
		take_apart(control, now_ns, client, user, tree);
	else
		reply_error(control, client,
			"the request is not JSON: it takes {\"commands\": [{\"command\": <name>, "
			"...}, ...]}");
	cJSON_Delete(tree);
}

/* ---- what waits ---- */

static struct call *find_call(const struct control *control, uint64_t number)
{
	struct request *request;

	DL_FOREACH (control->requests, request)
		for (size_t i = 0; i < request->calls_count; i++)
			if (request->calls[i].number == number)
				return &request->calls[i];
	return NULL;
}

static void is_answered(struct control *control, struct call *call)
{
	call->number = 0;
	call->request->waiting--;
	control->waiting--;
}

bool control_pictured(struct control *control, const struct picture *picture)
{
	struct call *call =
		picture->question.number ? find_call(control, picture->question.number) : NULL;
	char reason[CONTROL_REASON_SIZE] = "";
	cJSON *data = NULL;

	if (!call)
		return false;
	is_answered(control, call);
	if (call->command->show(control, picture, &data, reason))
		finish(call, data, NULL);
	else
		finish(call, NULL, reason);
	end_if_complete(control, call->request);
	return true;
}

static void expire(struct control *control, struct request *request, uint64_t now_ns)
{
	size_t before = request->waiting;

	for (size_t i = 0; i < request->calls_count; i++) {
		struct call *call = &request->calls[i];

		if (call->number == 0 || call->due > now_ns)
			continue;
		is_answered(control, call);
		finish(call, NULL, "the node has not answered in time: it is too busy, or out of "
				   "memory");
	}
	if (before > 0)
		end_if_complete(control, request);
}

void control_tick(struct control *control, uint64_t now_ns)
{
	struct request *request, *next;

	DL_FOREACH_SAFE (control->requests, request, next)
		expire(control, request, now_ns);
}
