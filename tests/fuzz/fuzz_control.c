/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Requests of control, one a line of the input: each gets one reply, which is JSON and has as many
 * responses as there were commands, each with data, an error, or neither (done). What the node is asked
 * it answers with nothing, or not at all. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>

#include "bridge/memory.h"
#include "tests/unit/support_live.h"

#define SECOND UINT64_C(1000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct picture_question asked[CONTROL_WAITING];
static size_t asked_count, replies;

static void require(bool condition)
{
	if (!condition)
		abort();
}

void broker_log(enum broker_level level, const char *format, ...)
{
	char line[1024];
	va_list arguments;

	va_start(arguments, format);
	require(vsnprintf(line, sizeof line, format, arguments) < (int)sizeof line);
	va_end(arguments);
}

static int ask(void *context, const struct picture_question *question)
{
	require(asked_count < CONTROL_WAITING);
	asked[asked_count++] = *question;
	return ERROR_NONE;
}

static void reply(void *context, const char *client, const char *text, size_t size)
{
	cJSON *tree = cJSON_ParseWithLength(text, size);
	const cJSON *responses = cJSON_GetObjectItemCaseSensitive(tree, "responses"), *one;

	require(cJSON_IsArray(responses));
	require(cJSON_GetArraySize(responses) <= CONTROL_COMMANDS);
	cJSON_ArrayForEach(one, responses)
	{
		require(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(one, "command")));
		require(!cJSON_HasObjectItem(one, "error") || !cJSON_HasObjectItem(one, "data"));
	}
	cJSON_Delete(tree);
	replies++;
}

static void answer(struct control *control)
{
	struct picture picture = {0};

	for (size_t i = 0; i < asked_count; i++) {
		picture.question = asked[i];
		require(control_pictured(control, &picture));
	}
	asked_count = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct control_actions actions = {ask, tell_status, reply, NULL};
	struct counters counters = {0};
	struct remarks remarks = {0};
	struct options options = {0};
	struct control *control;
	struct live *live;
	const uint8_t *end = data + size, *line_end;
	uint64_t now = SECOND;
	size_t requests = 0;

	require(live_new(&live_nowhere, &options, &me, &live) == 0);
	require(control_new(&actions, live, &counters, &remarks, &control) == 0);
	replies = asked_count = 0;
	for (; data < end; data = line_end + 1, requests++) {
		line_end = memchr(data, '\n', (size_t)(end - data));
		line_end = line_end ? line_end : end;
		control_request(control, now, "client", "user", data, (size_t)(line_end - data));
		if (asked_count == 0)
			continue;
		if (*data == ' ')
			control_tick(control, now += 10 * SECOND);
		else
			answer(control);
		asked_count = 0;
	}
	require(replies == requests);
	control_free(control);
	live_free(live);
	return 0;
}
