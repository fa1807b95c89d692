/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The options about relays; the others: test_options.c, test_options_access.c. */
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

static void nothing_by_default(void **state)
{
	assert_true(parse(NULL, 0));
	assert_int_equal(options.relays_count, 0);
	assert_string_equal(options.relay_token_file, "");
	assert_string_equal(options.relay_ca, "");
	assert_false(options.relay_any);
}

/* In the order in which they are given, spelled as others spell them. */
static void relays(void **state)
{
	static const struct option_text texts[] = {
		{"relay", "https://Relay.Example.org"},
		{"relay", "http://127.0.0.1:3340/"},
		{"relay", "https://[2001:db8::1]:8443"},
		{"relay_token_file", "/etc/relay.token"},
		{"relay_ca", "/etc/relay.pem"},
		{"relay_dial", "any"},
	};

	assert_true(parse(texts, sizeof texts / sizeof *texts));
	assert_int_equal(options.relays_count, 3);
	assert_string_equal(options.relays[0].text, "https://relay.example.org/");
	assert_true(options.relays[0].tls);
	assert_string_equal(options.relays[1].text, "http://127.0.0.1:3340/");
	assert_false(options.relays[1].tls);
	assert_int_equal(options.relays[2].port, 8443);
	assert_string_equal(options.relay_token_file, "/etc/relay.token");
	assert_string_equal(options.relay_ca, "/etc/relay.pem");
	assert_true(options.relay_any);
}

static void relays_of_nodes(void **state)
{
	static const struct option_text texts[] = {
		{"peer", ID1 "@https://relay.example.org"},
		{"bootstrap",
			ID2 "@[2001:db8::1]:2022,https://a.example/,host:1,http://[::1]:3340"},
	};
	const struct node_peer *node;

	assert_true(parse(texts, 2));
	node = &options.peers[0];
	assert_int_equal(node->hosts_count, 0);
	assert_int_equal(node->relays_count, 1);
	assert_string_equal(node->relays[0].text, "https://relay.example.org/");
	node = &options.bootstraps[0];
	assert_int_equal(node->hosts_count, 2);
	assert_string_equal(node->hosts[0].host, "2001:db8::1");
	assert_string_equal(node->hosts[1].host, "host");
	assert_int_equal(node->relays_count, 2);
	assert_string_equal(node->relays[0].text, "https://a.example/");
	assert_string_equal(node->relays[1].text, "http://[::1]:3340/");
	assert_int_equal(options.relays_count, 0);
}

static void bad_values(void **state)
{
	static const struct {
		const char *key, *value, *accepted;
	} cases[] = {
		{"relay", "", "http://<host>[:<port>]"},
		{"relay", "relay.example.org", "https://<host>[:<port>]"},
		{"relay", "relay.example.org:443", "https://<host>[:<port>]"},
		{"relay", "ftp://relay.example.org", "https://<host>[:<port>]"},
		{"relay", "https://", "https://<host>[:<port>]"},
		{"relay", "https://relay.example.org:65536", "https://<host>[:<port>]"},
		{"relay", "https://user@relay.example.org", "without user"},
		{"relay", "https://relay.example.org/?a=b", "query"},
		{"relay", "https://relay.example.org/#a", "fragment"},
		{"relay", "https://relay example.org", "https://<host>[:<port>]"},
		{"relay_token_file", "token", "an absolute path"},
		{"relay_ca", "./ca.pem", "an absolute path"},
		{"relay_dial", "", "known or any"},
		{"relay_dial", "Any", "known or any"},
		{"relay_dial", "all", "known or any"},
		{"peer", ID1 "@https://", "<URL of a relay>"},
		{"peer", ID1 "@https://a/?b", "<URL of a relay>"},
		{"peer", ID1 "@ws://a", "<URL of a relay>"},
		{"peer", ID1 "@https://a,", "<URL of a relay>"},
		{"peer", ID1 "@,https://a", "<URL of a relay>"},
		{"peer", ID1 "@https://a,https://A/", "<URL of a relay>"},
		{"peer", ID1 "@https://a,https://b,https://c", "at most 2"},
		{"bootstrap", ID1 "@h:1,https://a b", "<URL of a relay>"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct option_text text = {cases[i].key, cases[i].value};
		char quoted[300];

		if (parse(&text, 1))
			fail_msg("%s '%s' is taken", cases[i].key, cases[i].value);
		snprintf(quoted, sizeof quoted, "'%s'", cases[i].value);
		check_reason(cases[i].key, quoted, cases[i].accepted);
		options_clear(&options);
	}
}

static void given_twice(void **state)
{
	static const struct {
		const char *key, *first, *second, *accepted;
	} cases[] = {
		{"relay", "https://a.example", "https://A.example:443/", "each once"},
		{"relay_token_file", "/a", "/a", "accepted once"},
		{"relay_ca", "/a", "/b", "accepted once"},
		{"relay_dial", "any", "known", "accepted once"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct option_text texts[] = {
			{cases[i].key, cases[i].first}, {cases[i].key, cases[i].second}};

		assert_false(parse(texts, 2));
		check_reason(cases[i].key, cases[i].second, cases[i].accepted);
		options_clear(&options);
	}
}

static void too_many_relays(void **state)
{
	struct option_text texts[NODE_RELAYS + 1];
	char values[NODE_RELAYS + 1][32];

	for (size_t i = 0; i <= NODE_RELAYS; i++) {
		snprintf(values[i], sizeof values[i], "https://relay%zu.example", i);
		texts[i] = (struct option_text){"relay", values[i]};
	}
	assert_true(parse(texts, NODE_RELAYS));
	assert_int_equal(options.relays_count, NODE_RELAYS);
	options_clear(&options);
	assert_false(parse(texts, NODE_RELAYS + 1));
	check_reason("plugin_opt_relay", "'https://relay8.example'", "at most 8");
}

/* What is given for relays that are not, in whichever order. */
static void without_a_relay(void **state)
{
	static const struct option_text token = {"relay_token_file", "/etc/token"};
	static const struct option_text ca = {"relay_ca", "/etc/ca.pem"};
	static const struct option_text any = {"relay_dial", "any"};
	static const struct option_text known = {"relay_dial", "known"};
	static const struct option_text relay = {"relay", "https://a"};
	static const struct option_text peer = {"peer", ID1 "@https://a"};
	static const struct option_text direct = {"peer", ID1 "@a:1"};
	static const struct option_text bootstrap = {"bootstrap", ID1 "@https://a"};
	static const struct {
		struct option_text texts[2];
		const char *refused;
	} cases[] = {
		{{token, known}, "plugin_opt_relay_token_file"},
		/* It is said to none but the relays of `relay`. */
		{{token, peer}, "plugin_opt_relay_token_file"},
		{{token, any}, "plugin_opt_relay_token_file"},
		{{token, relay}, NULL},
		{{ca, known}, "plugin_opt_relay_ca"},
		{{ca, direct}, "plugin_opt_relay_ca"},
		{{ca, relay}, NULL},
		{{ca, peer}, NULL},
		{{ca, bootstrap}, NULL},
		{{ca, any}, NULL},
		{{any, direct}, NULL},
		{{known, direct}, NULL},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct option_text turned[] = {cases[i].texts[1], cases[i].texts[0]};

		for (size_t turn = 0; turn < 2; turn++) {
			bool good = parse(turn ? turned : cases[i].texts, 2);

			if (good != !cases[i].refused)
				fail_msg("case %zu: %s", i, good ? "taken" : reason);
			if (!good)
				check_reason(cases[i].refused, cases[i].texts[0].value,
					"add plugin_opt_relay");
			options_clear(&options);
		}
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_by_default),
		TEST(relays),
		TEST(relays_of_nodes),
		TEST(bad_values),
		TEST(given_twice),
		TEST(too_many_relays),
		TEST(without_a_relay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
