/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/relay/lines.h"
#include "bridge/relay/relays.h"

static struct relay_url url;

static int setup(void **state)
{
	return relay_url_parse("https://r.example/", 18, &url);
}

static struct situation situation(const struct relay_view *view, bool home)
{
	struct situation out;

	situation_of(view, home, &out);
	return out;
}

static void assert_line(const struct relay_view *view, bool home, bool hearsay,
	enum node_log_level level, const char *line)
{
	struct situation of = situation(view, home);
	char out[RELAYS_LINE_SIZE];

	assert_int_equal(situation_format(&of, &url, hearsay, out, sizeof out), level);
	assert_string_equal(out, line);
}

static void what_is_worth_a_line(void **state)
{
	struct relay_view view = {.text = ""};

	assert_int_equal(situation(&view, true).type, SITUATION_NONE);
	view.state = RELAY_OPENING;
	assert_int_equal(situation(&view, true).type, SITUATION_NONE);
	view.trouble = RELAY_LOST;
	assert_int_equal(situation(&view, true).type, SITUATION_TROUBLE);
	view.state = RELAY_IDLE;
	assert_int_equal(situation(&view, true).type, SITUATION_NONE);
	view.state = RELAY_CONNECTED;
	assert_int_equal(situation(&view, true).type, SITUATION_NONE);
	view.proven = true;
	assert_int_equal(situation(&view, true).type, SITUATION_UP);
}

static void what_is_new(void **state)
{
	struct relay_view up = {.state = RELAY_CONNECTED, .proven = true, .text = ""};
	struct relay_view down = {.state = RELAY_WAITING, .trouble = RELAY_LOST, .text = "a"};
	struct situation a = situation(&up, true), b = situation(&up, false);

	assert_true(situation_equal(&a, &a));
	assert_false(situation_equal(&a, &b));
	up.status = RELAY_LIMITED;
	b = situation(&up, true);
	assert_false(situation_equal(&a, &b));
	up.status = RELAY_HEALTHY;
	up.text = "words";
	b = situation(&up, true);
	assert_false(situation_equal(&a, &b));
	b = situation(&down, true);
	assert_false(situation_equal(&a, &b));
	/* Each try ends with other words. */
	down.text = "b";
	a = situation(&down, false);
	assert_true(situation_equal(&a, &b));
	down.trouble = RELAY_UNREACHABLE;
	a = situation(&down, true);
	assert_true(situation_equal(&a, &b));
	down.trouble = RELAY_NO_NAME;
	a = situation(&down, true);
	assert_false(situation_equal(&a, &b));
	down.trouble = RELAY_DENIED;
	a = situation(&down, true);
	assert_false(situation_equal(&a, &b));
}

static void lines_of_a_connection(void **state)
{
	struct relay_view view = {.state = RELAY_CONNECTED, .proven = true, .text = ""};

	assert_line(&view, true, false, NODE_LOG_NOTICE,
		"relay https://r.example/: connected; others find this node there");
	assert_line(&view, false, false, NODE_LOG_INFO,
		"relay https://r.example/: connected, for nodes that are there");
	view.text = "it is late";
	assert_line(
		&view, true, false, NODE_LOG_WARNING, "relay https://r.example/: says: it is late");
	view.status = RELAY_LIMITED;
	assert_line(&view, true, false, NODE_LOG_WARNING,
		"relay https://r.example/: takes less than is sent by it, as its operator has "
		"limited; expect messages by it to be slow");
	view.status = RELAY_ELSEWHERE;
	assert_line(&view, true, false, NODE_LOG_ERROR,
		"relay https://r.example/: another process with the key of this node has connected "
		"there after it, and gets what comes by it: no two nodes may have one key (a "
		"cloned machine? see identity_file)");
}

static void lines_of_trouble_say_what_to_do(void **state)
{
	struct relay_view view = {.state = RELAY_WAITING, .text = "for x.example"};

	view.trouble = RELAY_CERTIFICATE;
	assert_line(&view, true, false, NODE_LOG_WARNING,
		"relay https://r.example/: its certificate is refused (for x.example): see whether "
		"the host is the right one; an authority of your own is given by relay_ca");
	assert_line(&view, false, true, NODE_LOG_INFO,
		"relay https://r.example/: its certificate is refused (for x.example): see whether "
		"the host is the right one; an authority of your own is given by relay_ca");
	view.trouble = RELAY_DENIED;
	view.text = "not authorized";
	assert_line(&view, true, false, NODE_LOG_WARNING,
		"relay https://r.example/: denies us access (not authorized): see "
		"relay_token_file, and whether its operator lets this node in");
	view.text = "";
	assert_line(&view, true, false, NODE_LOG_WARNING,
		"relay https://r.example/: denies us access: see relay_token_file, and whether "
		"its operator lets this node in");
	view.trouble = RELAY_REDIRECTED;
	view.text = "https://b.example/";
	assert_line(&view, true, false, NODE_LOG_WARNING,
		"relay https://r.example/: sends us elsewhere, which is not followed: "
		"https://b.example/; if that is right, configure that");
	view.trouble = RELAY_LOST;
	view.restarting = true;
	assert_line(&view, true, false, NODE_LOG_WARNING,
		"relay https://r.example/: it restarts; trying again");
}

/* The longest of everything: a line for each trouble, whole. */
static void every_trouble_has_its_line(void **state)
{
	char longest[RELAY_URL_SIZE] = "https://", text[RELAY_TEXT_SIZE];
	char out[RELAYS_LINE_SIZE];

	memset(longest + 8, 'a', RELAY_URL_SIZE - 10);
	memset(text, '%', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	assert_int_equal(relay_url_parse(longest, RELAY_URL_SIZE - 2, &url), 0);
	for (int trouble = RELAY_NO_TROUBLE + 1; trouble <= RELAY_NO_MEMORY; trouble++) {
		for (int words = 0; words < 2; words++) {
			struct relay_view view = {.state = RELAY_WAITING,
				.trouble = (enum relay_trouble)trouble,
				.text = words ? text : ""};
			struct situation of = situation(&view, true);

			memset(out, 1, sizeof out);
			situation_format(&of, &url, false, out, sizeof out);
			assert_true(strlen(out) < sizeof out - 1);
			assert_memory_equal(out, "relay https://", 14);
			assert_non_null(strstr(out, url.text));
			assert_null(strstr(out, "(null)"));
			assert_null(strstr(out, "()"));
		}
	}
}

static void lines_are_bounded(void **state)
{
	struct line_budget budget = {0};
	uint64_t now = 1000 * S;
	int lines = 0;

	for (int i = 0; i < 100; i++)
		lines += line_budget_take(&budget, now);
	assert_int_equal(lines, RELAYS_LINES);
	assert_true(line_budget_due(&budget) > now);
	assert_true(line_budget_due(&budget) <= now + RELAYS_LINE_INTERVAL);
	/* For an hour as many as can be. */
	for (uint64_t end = now + 3600 * S; now < end; now += S)
		lines += line_budget_take(&budget, now);
	assert_true(lines >= 3600 / 30 && lines <= 3600 / 30 + RELAYS_LINES);
	/* After a rest there are some more. */
	now += 3600 * S;
	lines = 0;
	for (int i = 0; i < 100; i++)
		lines += line_budget_take(&budget, now);
	assert_int_equal(lines, RELAYS_LINES);
	assert_false(line_budget_take(&budget, line_budget_due(&budget) - 1));
	assert_true(line_budget_take(&budget, line_budget_due(&budget)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_is_worth_a_line, setup),
		cmocka_unit_test_setup(what_is_new, setup),
		cmocka_unit_test_setup(lines_of_a_connection, setup),
		cmocka_unit_test_setup(lines_of_trouble_say_what_to_do, setup),
		cmocka_unit_test_setup(every_trouble_has_its_line, setup),
		cmocka_unit_test_setup(lines_are_bounded, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
