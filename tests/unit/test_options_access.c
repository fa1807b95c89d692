/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The options that say who is a peer and where we are; the others: test_options.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "plugin/options.h"
#include "support_heap.h"

#define ID1 "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
#define ID2 "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define ID3 "0000000000000000000000000000000000000000000000000000000000000001"

static struct options options;
static char reason[OPTIONS_REASON_SIZE];

static int setup(void **state)
{
	heap_begin();
	memset(&options, 0xaa, sizeof options);
	return 0;
}

static int teardown(void **state)
{
	options_clear(&options);
	heap_end();
	return 0;
}

static bool parse(const struct option_text *texts, size_t count)
{
	return options_parse(texts, count, "/data", &options, reason);
}

static void check_reason(const char *a, const char *b, const char *c)
{
	if (!strstr(reason, a) || !strstr(reason, b) || !strstr(reason, c) || strchr(reason, '\n'))
		fail_msg("%s", reason);
}

static void lists(void **state)
{
	static const struct option_text texts[] = {
		{"allow_node", ID1},
		{"peer", ID1 "@h:1"},
		{"deny_node", ID2},
		{"advertise", "broker.example:2022"},
		{"advertise", "[2001:db8::1]:1"},
		{"advertise", "broker.example:2023"},
	};

	assert_true(parse(NULL, 0));
	assert_int_equal(options.allow_count, 0);
	assert_int_equal(options.deny_count, 0);
	assert_int_equal(options.advertise_count, 0);
	assert_true(parse(texts, sizeof texts / sizeof *texts));
	assert_int_equal(options.allow_count, 1);
	assert_int_equal(options.allow[0].bytes[1], 0x11);
	assert_int_equal(options.deny_count, 1);
	assert_int_equal(options.deny[0].bytes[31], 0xff);
	assert_int_equal(options.advertise_count, 3);
	assert_string_equal(options.advertise[0].host, "broker.example");
	assert_int_equal(options.advertise[0].port, 2022);
	assert_string_equal(options.advertise[1].host, "2001:db8::1");
	assert_int_equal(options.advertise[2].port, 2023);
}

static void bad_values(void **state)
{
	static const char *const ids[] = {"", "x", ID1 "0", ID1 "@h:1",
		"00112233445566778899AABBCCDDEEFF0123456789abcdef0123456789abcdef"};
	static const char *const hosts[] = {"", "h", "h:", ":1", "h:0", "h:65536", "h:1,i:1",
		"::1:1", "[::1]", "h :1", ID1 "@h:1"};
	struct option_text text = {"allow_node", NULL};

	for (size_t i = 0; i < 2 * (sizeof ids / sizeof *ids); i++) {
		text.key = i % 2 ? "deny_node" : "allow_node";
		text.value = ids[i / 2];
		assert_false(parse(&text, 1));
		check_reason(text.key, text.value, "64 lower-case hex digits");
		options_clear(&options);
	}
	text.key = "advertise";
	for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
		text.value = hosts[i];
		assert_false(parse(&text, 1));
		check_reason("plugin_opt_advertise", text.value, "<host>:<port>");
		options_clear(&options);
	}
}

static void given_twice(void **state)
{
	static const char *const keys[] = {"allow_node", "deny_node", "advertise"};

	for (size_t i = 0; i < 3; i++) {
		const char *value = i == 2 ? "h:1" : ID1;
		const struct option_text texts[] = {{keys[i], value}, {keys[i], value}};

		assert_true(parse(texts, 1));
		options_clear(&options);
		assert_false(parse(texts, 2));
		check_reason(keys[i], value, "once");
		options_clear(&options);
	}
}

static void too_many_addresses(void **state)
{
	struct option_text texts[NODE_PEER_HOSTS + 1];
	char values[NODE_PEER_HOSTS + 1][16];

	for (size_t i = 0; i <= NODE_PEER_HOSTS; i++) {
		snprintf(values[i], sizeof values[i], "h:%zu", i + 1);
		texts[i] = (struct option_text){"advertise", values[i]};
	}
	assert_true(parse(texts, NODE_PEER_HOSTS));
	options_clear(&options);
	assert_false(parse(texts, NODE_PEER_HOSTS + 1));
	check_reason("plugin_opt_advertise", "'h:9'", "at most 8");
}

/* In whichever order they are given. */
static void contradictions(void **state)
{
	static const struct {
		struct option_text texts[2];
		const char *other;
	} cases[] = {
		{{{"peer", ID1 "@h:1"}, {"deny_node", ID1}}, "plugin_opt_deny_node"},
		{{{"peer", ID1 "@h:1"}, {"allow_node", ID2}}, "plugin_opt_allow_node"},
		{{{"bootstrap", ID1 "@h:1"}, {"deny_node", ID1}}, "plugin_opt_deny_node"},
		{{{"bootstrap", ID1 "@h:1"}, {"allow_node", ID2}}, "plugin_opt_allow_node"},
		{{{"bootstrap", ID1 "@h:1"}, {"peer", ID1 "@h:2"}}, "plugin_opt_peer"},
		{{{"allow_node", ID1}, {"deny_node", ID1}}, "plugin_opt_deny_node"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct option_text turned[] = {cases[i].texts[1], cases[i].texts[0]};

		assert_false(parse(cases[i].texts, 2));
		check_reason(cases[i].texts[0].key, ID1, cases[i].other);
		options_clear(&options);
		assert_false(parse(turned, 2));
		check_reason(cases[i].texts[0].key, ID1, cases[i].other);
		options_clear(&options);
	}
}

static void each_allocation_fails(void **state)
{
	static const struct option_text texts[] = {
		{"allow_node", ID1}, {"allow_node", ID3}, {"deny_node", ID2},
		{"peer", ID1 "@h:1"}, {"bootstrap", ID3 "@h:1"}};
	bool good = false;

	for (size_t n = 1; !good; n++) {
		heap_fail(n, false);
		good = parse(texts, 5);
		assert_int_equal(good, !heap_has_failed());
		heap_fail(0, false);
		options_clear(&options);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(lists),
		TEST(bad_values),
		TEST(given_twice),
		TEST(too_many_addresses),
		TEST(contradictions),
		TEST(each_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
