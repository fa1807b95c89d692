/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Requests of control, without broker and node: what is asked is answered here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <cjson/cJSON.h>

#include "bridge/bytes/hex.h"
#include "bridge/memory.h"
#include "support_live.h"
#include "support_log.h"

#define MS	UINT64_C(1000000)
#define NOW	(1000000 * MS)
#define QUESTIONS 256

static struct {
	struct control *control;
	struct live *live;
	struct options options;
	struct counters counters;
	struct remarks remarks;
	struct picture_question questions[QUESTIONS];
	size_t questions_count;
	int ask_error;
	unsigned replies;
	char client[64];
	cJSON *reply;
} world;

static int ask(void *context, const struct picture_question *question)
{
	if (world.ask_error)
		return world.ask_error;
	assert_true(world.questions_count < QUESTIONS);
	world.questions[world.questions_count++] = *question;
	return ERROR_NONE;
}

static void reply(void *context, const char *client, const char *text, size_t size)
{
	snprintf(world.client, sizeof world.client, "%s", client);
	cJSON_Delete(world.reply);
	world.reply = cJSON_ParseWithLength(text, size);
	assert_non_null(world.reply);
	world.replies++;
}

static int setup(void **state)
{
	const struct control_actions actions = {.ask = ask, .status = tell_status, .reply = reply};
	char reason[OPTIONS_REASON_SIZE];

	memset(&world, 0, sizeof world);
	line[0] = '\0';
	assert_true(options_parse(NULL, 0, "/var", &world.options, reason));
	assert_int_equal(live_new(&live_nowhere, &world.options, &me, &world.live), 0);
	assert_int_equal(control_new(&actions, world.live, &world.counters, &world.remarks,
				 &world.control), 0);
	return 0;
}

static int teardown(void **state)
{
	control_free(world.control);
	live_free(world.live);
	options_clear(&world.options);
	cJSON_Delete(world.reply);
	return 0;
}

static void request(const char *client, const char *text)
{
	control_request(world.control, NOW, client, "admin", text, strlen(text));
}

static const cJSON *response(int number)
{
	const cJSON *found = cJSON_GetArrayItem(
		cJSON_GetObjectItemCaseSensitive(world.reply, "responses"), number);

	assert_non_null(found);
	return found;
}

static const char *error_of(int number)
{
	const char *error = cJSON_GetStringValue(
		cJSON_GetObjectItemCaseSensitive(response(number), "error"));

	return error ? error : "";
}

static void answer(size_t number)
{
	struct picture picture = {.question = world.questions[number]};

	assert_true(control_pictured(world.control, &picture));
}

/* One response, when all of it is there, in the order of the commands. */
static void it_answers_when_all_is_there(void **state)
{
	request("c0", "{\"commands\": [{\"command\": \"listTopics\"}, {\"command\": \"getStatus\"}, "
		      "{\"command\": \"listNodes\", \"all\": true, \"count\": 7, \"start\": 3, "
		      "\"correlationData\": \"x\"}]}");
	assert_int_equal(world.replies, 0);
	assert_int_equal(world.questions_count, 2);
	assert_int_equal(world.questions[0].subject, PICTURE_OVERLAYS);
	assert_int_equal(world.questions[1].subject, PICTURE_NODES);
	assert_int_equal(world.questions[1].most, 7);
	assert_int_equal(world.questions[1].after, 3);
	assert_true(world.questions[1].book);
	answer(1);
	assert_int_equal(world.replies, 0);
	answer(0);
	assert_int_equal(world.replies, 1);
	assert_string_equal(world.client, "c0");
	for (int i = 0; i < 3; i++)
		assert_non_null(cJSON_GetObjectItemCaseSensitive(response(i), "data"));
	assert_string_equal(
		cJSON_GetObjectItemCaseSensitive(response(1), "command")->valuestring, "getStatus");
	assert_string_equal(
		cJSON_GetObjectItemCaseSensitive(response(2), "correlationData")->valuestring, "x");
}

static void requests_do_not_wait_for_each_other(void **state)
{
	request("c0", "{\"commands\": [{\"command\": \"listTopics\"}]}");
	request("c1", "{\"commands\": [{\"command\": \"listTopics\"}]}");
	assert_true(world.questions[0].number != world.questions[1].number);
	answer(1);
	assert_string_equal(world.client, "c1");
	answer(0);
	assert_string_equal(world.client, "c0");
	assert_int_equal(world.replies, 2);
}

static void what_does_not_come_is_not_waited_for(void **state)
{
	struct picture late = {0};

	request("c0", "{\"commands\": [{\"command\": \"listTopics\"}, {\"command\": \"getStatus\"}]}");
	control_tick(world.control, NOW + (NODE_PICTURE_MS - 1) * MS);
	assert_int_equal(world.replies, 0);
	control_tick(world.control, NOW + NODE_PICTURE_MS * MS);
	assert_int_equal(world.replies, 1);
	assert_non_null(strstr(error_of(0), "has not answered in time"));
	assert_string_equal(error_of(1), "");
	/* It is nobody's now; nor is one that was not asked for here. */
	late.question = world.questions[0];
	assert_false(control_pictured(world.control, &late));
	late.question.number = 0;
	assert_false(control_pictured(world.control, &late));
	assert_int_equal(world.replies, 1);
}

static void so_many_wait_and_no_more(void **state)
{
	for (int i = 0; i < CONTROL_WAITING; i++)
		request("c0", "{\"commands\": [{\"command\": \"listTopics\"}]}");
	assert_int_equal(world.replies, 0);
	request("c1", "{\"commands\": [{\"command\": \"listTopics\"}]}");
	assert_int_equal(world.replies, 1);
	assert_non_null(strstr(error_of(0), "wait for their answers already"));
	answer(0);
	request("c1", "{\"commands\": [{\"command\": \"listTopics\"}]}");
	assert_int_equal(world.questions_count, CONTROL_WAITING + 1);
}

static void a_node_that_cannot_be_asked(void **state)
{
	world.ask_error = ERROR_FULL;
	request("c0", "{\"commands\": [{\"command\": \"listTopics\"}]}");
	assert_string_equal(error_of(0), error_text(ERROR_FULL));
}

static void who_has_no_name_is_refused(void **state)
{
	static const char text[] = "{\"commands\": [{\"command\": \"getStatus\"}]}";

	control_request(world.control, NOW, "c0", NULL, text, sizeof text - 1);
	assert_non_null(strstr(error_of(0), "user name"));
	assert_non_null(strstr(line, "c0"));
	control_request(world.control, NOW, "c0", "", text, sizeof text - 1);
	assert_non_null(strstr(error_of(0), "user name"));
	assert_int_equal(world.replies, 2);
	/* Whatever it sends, also what cannot be taken apart. */
	control_request(world.control, NOW, "c0", NULL, NULL, 0);
	assert_non_null(strstr(error_of(0), "user name"));
}

static void changes_are_logged(void **state)
{
	request("c0", "{\"commands\": [{\"command\": \"getStatus\"}]}");
	assert_string_equal(line, "");
	request("c0", "{\"commands\": [{\"command\": \"setLogLevel\", \"level\": \"debug\"}]}");
	assert_string_equal(line, "control: user admin, client c0: setLogLevel");
	request("c0", "{\"commands\": [{\"command\": \"setLogLevel\", \"level\": \"loud\"}]}");
	assert_non_null(strstr(line, "setLogLevel: refused: level 'loud' is not accepted"));
}

static void what_is_quoted_is_plain(void **state)
{
	request("c0", "{\"commands\": [{\"command\": \"setLogLevel\", \"level\": "
		      "\"a\\nb\\u00e9c\"}, {\"command\": \"\\u0007\"}]}");
	assert_non_null(strstr(error_of(0), "level 'a?b??c' is not accepted"));
	assert_null(strchr(line, '\n'));
	assert_non_null(strstr(error_of(1), "command '?' is not known"));
}

/* What the node has said is shown as it is. */
static void a_node_is_shown(void **state)
{
	struct picture_question question = {.subject = PICTURE_NODE, .number = 1};
	struct picture *picture = picture_new(&question, 0, 1, 1);
	const cJSON *data, *place;

	request("c0", "{\"commands\": [{\"command\": \"getNode\", \"node\": "
		      "\"b936a1abe9992128bfe7730c32d22f22be048c997db703b3a0df961a673f8485\"}]}");
	picture->question = world.questions[0];
	picture->found = true;
	picture->nodes_count = picture->places_count = 1;
	picture->nodes->id = picture->question.id;
	picture->nodes->linked = picture->nodes->relayed = true;
	picture->nodes->rtt_us = 1500;
	picture->nodes->worked_us = UINT64_C(1790000000999999);
	strcpy(picture->nodes->failure, "handshake timed out");
	picture->places->address = (struct address){4, {127, 0, 0, 1}, 2022};
	picture->places->origin = PICTURE_HEARSAY;
	picture->places->source = me;
	assert_true(control_pictured(world.control, picture));
	picture_free(picture);
	data = cJSON_GetObjectItemCaseSensitive(response(0), "data");
	assert_string_equal(cJSON_GetObjectItemCaseSensitive(data, "way")->valuestring, "relayed");
	assert_true(cJSON_GetObjectItemCaseSensitive(data, "rtt_ms")->valuedouble == 1.5);
	assert_true(cJSON_GetObjectItemCaseSensitive(data, "last_success")->valuedouble == 1790000000);
	assert_null(cJSON_GetObjectItemCaseSensitive(data, "last_failure"));
	assert_string_equal(cJSON_GetObjectItemCaseSensitive(data, "failure")->valuestring,
		"handshake timed out");
	place = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(data, "addresses"), 0);
	assert_string_equal(
		cJSON_GetObjectItemCaseSensitive(place, "address")->valuestring, "127.0.0.1:2022");
	assert_memory_equal(
		cJSON_GetObjectItemCaseSensitive(place, "from")->valuestring, "0100", 4);
}

/* ---- the document ---- */

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	assert_non_null(file);
	assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
	fclose(file);
	return text;
}

static void each_command_is_in_the_document(void **state)
{
	char *document = read_file(SOURCE_DIR "/docs/control.md"), row[512], rows[8192] = "";
	const struct control_help *help;

	for (size_t i = 0; (help = control_help(i)); i++) {
		snprintf(row, sizeof row, "| `%s` | %s | %s |\n", help->name, help->arguments,
			help->help);
		strcat(rows, row);
	}
	/* All of them, in this order, and no other. */
	strcat(rows, "\n");
	if (!strstr(document, rows))
		fail_msg("docs/control.md has not these rows alone:\n%s", rows);
	free(document);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(it_answers_when_all_is_there),
		TEST(requests_do_not_wait_for_each_other),
		TEST(what_does_not_come_is_not_waited_for),
		TEST(so_many_wait_and_no_more),
		TEST(a_node_that_cannot_be_asked),
		TEST(who_has_no_name_is_refused),
		TEST(changes_are_logged),
		TEST(what_is_quoted_is_plain),
		TEST(a_node_is_shown),
		TEST(each_command_is_in_the_document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
