/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"
#include "plugin/options.h"
#include "support_heap.h"

#define ID0  "0000000000000000000000000000000000000000000000000000000000000000"
#define ID1  "00112233445566778899aabbccddeeff0123456789abcdef0123456789abcdef"
#define ID2  "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
#define X10  "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10

static struct options options;
static char reason[OPTIONS_REASON_SIZE];

static int setup(void **state)
{
	heap_begin();
	memset(&options, 0xaa, sizeof options);
	memset(reason, 0, sizeof reason);
	return 0;
}

static int teardown(void **state)
{
	heap_end();
	return 0;
}

static bool parse(const struct option_text *texts, size_t count)
{
	return options_parse(texts, count, "/var/lib/mosquitto/", &options, reason);
}

static bool parse_one(const char *key, const char *value)
{
	const struct option_text text = {key, value};

	return parse(&text, 1);
}

/* It is refused by one line with all of these parts. */
static void check_reason(const char *key, const char *value, const char *accepted)
{
	char with_prefix[128], quoted[1200];

	snprintf(with_prefix, sizeof with_prefix, "plugin_opt_%s", key);
	snprintf(quoted, sizeof quoted, "'%s'", value);
	if (!strstr(reason, with_prefix) || !strstr(reason, quoted) || !strstr(reason, accepted) ||
		strchr(reason, '\n'))
		fail_msg("%s '%s': %s", key, value, reason);
}

static void defaults(void **state)
{
	assert_true(parse(NULL, 0));
	assert_string_equal(options.state_dir, "/var/lib/mosquitto/p2panda");
	assert_string_equal(options.identity_file, "/var/lib/mosquitto/p2panda/identity.pem");
	assert_true(id_equal(&options.network, &identity_default_network));
	assert_int_equal(options.binds_count, 2);
	assert_false(options.binds_explicit);
	assert_int_equal(options.binds[0].family, 4);
	assert_int_equal(options.binds[0].port, 2022);
	assert_int_equal(options.binds[1].family, 6);
	assert_int_equal(options.binds[1].port, 2022);
	assert_int_equal(options.peers_count, 0);
	assert_int_equal(options.topics_count, 0);
	assert_int_equal(options.log_level, BROKER_INFO);
	assert_int_equal(options.publish_linger, 30);
	assert_int_equal(options.delivery_qos, 1);
	assert_int_equal(options.queue_limit, 128);
	assert_int_equal(options.queue_age, 30);
	assert_int_equal(options.max_overlays, 1000);
	assert_int_equal(options.max_overlays_per_client, 100);
	assert_int_equal(options.max_overlays_per_user, 500);
	assert_int_equal(options.max_overlays_per_address, 500);
	assert_int_equal(options.cache_bytes, 32 << 20);
	assert_int_equal(options.sys_interval, 10);
	assert_int_equal(options.retained, STATUS_RETAINED_FOUND_OUT);
	options_clear(&options);
}

static void shares_of_the_overlays(void **state)
{
	static const struct option_text few[] = {{"max_overlays", "20"}};
	static const struct option_text many[] = {{"max_overlays_per_user", "3"},
		{"max_overlays", "4000"}, {"max_overlays_per_client", "3000"}};

	/* Whatever is there, one client may have what one client may have. */
	assert_true(parse(few, 1));
	assert_int_equal(options.max_overlays_per_user, 100);
	assert_int_equal(options.max_overlays_per_address, 100);
	options_clear(&options);
	assert_true(parse(many, 3));
	assert_int_equal(options.max_overlays_per_user, 3);
	assert_int_equal(options.max_overlays_per_address, 3000);
	options_clear(&options);
}

static void the_place_for_the_state(void **state)
{
	static const struct option_text dir = {"state_dir", "/srv/state"};
	static const struct option_text file = {"identity_file", "/etc/key.pem"};
	const struct option_text both[] = {file, dir};
	char long_path[OPTIONS_PATH_SIZE];

	/* Without the closing slash. */
	assert_true(options_parse(NULL, 0, "/data", &options, reason));
	assert_string_equal(options.state_dir, "/data/p2panda");
	/* Neither of the two. */
	assert_false(options_parse(NULL, 0, NULL, &options, reason));
	assert_non_null(strstr(reason, "plugin_opt_state_dir"));
	assert_non_null(strstr(reason, "persistence_location"));
	assert_false(options_parse(NULL, 0, "", &options, reason));
	assert_true(options_parse(&dir, 1, NULL, &options, reason));
	assert_string_equal(options.state_dir, "/srv/state");
	assert_string_equal(options.identity_file, "/srv/state/identity.pem");
	assert_true(options_parse(both, 2, "/data/", &options, reason));
	assert_string_equal(options.state_dir, "/srv/state");
	assert_string_equal(options.identity_file, "/etc/key.pem");
	/* Too long for what is put behind it. */
	memset(long_path, 'a', sizeof long_path);
	long_path[0] = '/';
	long_path[sizeof long_path - 1] = 0;
	assert_false(options_parse(NULL, 0, long_path, &options, reason));
	assert_false(parse_one("state_dir", long_path));
	assert_non_null(strstr(reason, "plugin_opt_state_dir"));
	long_path[sizeof long_path - 20] = 0;
	assert_true(parse_one("state_dir", long_path));
	options_clear(&options);
}

static void all_of_them(void **state)
{
	static const struct option_text texts[] = {
		{"state_dir", "/srv/p2panda"},
		{"identity_file", "/srv/key"},
		{"network_id", ID1},
		{"bind", "127.0.0.1:0"},
		{"bind", "[::1]:4242"},
		{"peer", ID1 "@192.0.2.1:2022"},
		{"peer", ID2 "@broker.example:1,[2001:db8::1]:65535,10-0-0-1.example_x:7"},
		{"bootstrap", ID0 "@192.0.2.9:2023,other.example:4"},
		{"mdns", "passive"},
		{"topic", ID1},
		{"topic", ID2},
		{"log_level", "debug"},
		{"publish_linger", "0"},
		{"delivery_qos", "2"},
		{"queue_limit", "65536"},
		{"queue_age", "1"},
		{"max_overlays", "100000"},
		{"cache_bytes", "0"},
		{"sys_interval", "0"},
		{"retain_available", "false"},
	};

	assert_true(parse(texts, sizeof texts / sizeof *texts));
	assert_string_equal(options.state_dir, "/srv/p2panda");
	assert_int_equal(options.network.bytes[1], 0x11);
	assert_int_equal(options.binds_count, 2);
	assert_true(options.binds_explicit);
	assert_int_equal(options.binds[0].port, 0);
	assert_int_equal(options.binds[1].port, 4242);
	assert_int_equal(options.peers_count, 2);
	assert_int_equal(options.peers[0].hosts_count, 1);
	assert_string_equal(options.peers[0].hosts[0].host, "192.0.2.1");
	assert_int_equal(options.peers[0].hosts[0].port, 2022);
	assert_int_equal(options.peers[1].id.bytes[31], 0xff);
	assert_int_equal(options.peers[1].hosts_count, 3);
	assert_string_equal(options.peers[1].hosts[0].host, "broker.example");
	assert_string_equal(options.peers[1].hosts[1].host, "2001:db8::1");
	assert_int_equal(options.peers[1].hosts[1].port, 65535);
	assert_int_equal(options.bootstraps_count, 1);
	assert_int_equal(options.bootstraps[0].hosts_count, 2);
	assert_string_equal(options.bootstraps[0].hosts[1].host, "other.example");
	assert_int_equal(options.mdns, NODE_MDNS_PASSIVE);
	assert_int_equal(options.topics_count, 2);
	assert_int_equal(options.topics[1].bytes[0], 0xff);
	assert_int_equal(options.log_level, BROKER_DEBUG);
	assert_int_equal(options.publish_linger, 0);
	assert_int_equal(options.delivery_qos, 2);
	assert_int_equal(options.queue_limit, 65536);
	assert_int_equal(options.queue_age, 1);
	assert_int_equal(options.max_overlays, 100000);
	assert_int_equal(options.cache_bytes, 0);
	assert_int_equal(options.sys_interval, 0);
	assert_int_equal(options.retained, STATUS_NOT_RETAINED);
	options_clear(&options);
	assert_int_equal(options.peers_count, 0);
	assert_null(options.peers);
	assert_null(options.bootstraps);
}

static void good_values(void **state)
{
	static const struct option_text texts[] = {
		{"bind", "0.0.0.0:2022"},
		{"bind", "[::]:65535"},
		{"mdns", "off"},
		{"mdns", "active"},
		{"log_level", "information"},
		{"log_level", "notice"},
		{"log_level", "warning"},
		{"log_level", "error"},
		{"publish_linger", "86400"},
		{"delivery_qos", "0"},
		{"queue_limit", "0"},
		{"queue_limit", "007"},
		{"queue_age", "3600"},
		{"max_overlays", "1"},
		{"cache_bytes", "1073741824"},
		{"peer", ID0 "@h:1"},
		{"peer", ID1 "@h:1,h:2,h:3,h:4,h:5,h:6,h:7,h:8"},
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (!parse(&texts[i], 1))
			fail_msg("%s", reason);
		options_clear(&options);
	}
}

static void bad_values(void **state)
{
	static const struct {
		const char *key, *value, *accepted;
	} cases[] = {
		{"state_dir", "", "an absolute path of a folder"},
		{"state_dir", "relative", "an absolute path of a folder"},
		{"identity_file", "./key.pem", "an absolute path"},
		{"network_id", "", "64 lower-case hex digits"},
		{"network_id", "abc", "64 lower-case hex digits"},
		{"network_id", ID1 "0", "64 lower-case hex digits"},
		{"network_id", "00112233445566778899AABBCCDDEEFF0123456789abcdef0123456789abcdef",
			"64 lower-case hex digits"},
		{"bind", "", "<IPv4 address>:<port>"},
		{"bind", "2022", "<IPv4 address>:<port>"},
		{"bind", "127.0.0.1", "<IPv4 address>:<port>"},
		{"bind", "127.0.0.1:65536", "<IPv4 address>:<port>"},
		{"bind", "localhost:2022", "<IPv4 address>:<port>"},
		{"bind", "::1:2022", "[<IPv6 address>]:<port>"},
		{"bind", "[::1]", "[<IPv6 address>]:<port>"},
		{"bind", "[::1:2022", "[<IPv6 address>]:<port>"},
		{"bind", "127.0.0.1:2022 ", "<IPv4 address>:<port>"},
		{"bootstrap", "", "<64 lower-case hex digits>@<host>:<port>"},
		{"bootstrap", ID1, "<host>:<port>"},
		{"bootstrap", ID1 "@host:0", "<host>:<port>"},
		{"mdns", "", "off, passive or active"},
		{"mdns", "on", "off, passive or active"},
		{"mdns", "Active", "off, passive or active"},
		{"peer", "", "<64 lower-case hex digits>@<host>:<port>"},
		{"peer", "x", "<host>:<port>"},
		{"peer", ID1, "<host>:<port>"},
		{"peer", ID1 "@", "<host>:<port>"},
		{"peer", ID1 "@host", "<host>:<port>"},
		{"peer", ID1 "@:1", "<host>:<port>"},
		{"peer", ID1 "@host:", "<host>:<port>"},
		{"peer", ID1 "@host:0", "<host>:<port>"},
		{"peer", ID1 "@host:65536", "<host>:<port>"},
		{"peer", ID1 "@host:-1", "<host>:<port>"},
		{"peer", ID1 "@host: 1", "<host>:<port>"},
		{"peer", ID1 "@host:1x", "<host>:<port>"},
		{"peer", ID1 "@host:99999999999999999999999", "<host>:<port>"},
		{"peer", ID1 "@host:1,", "<host>:<port>"},
		{"peer", ID1 "@,host:1", "<host>:<port>"},
		{"peer", ID1 "@host:1 ", "<host>:<port>"},
		{"peer", ID1 "@host:1, host:2", "<host>:<port>"},
		{"peer", ID1 "@ho st:1", "<host>:<port>"},
		{"peer", ID1 "@a@b:1", "<host>:<port>"},
		{"peer", ID1 "@::1:1", "an IPv6 address in []"},
		{"peer", ID1 "@[::1]", "an IPv6 address in []"},
		{"peer", ID1 "@[]:1", "an IPv6 address in []"},
		{"peer", ID1 "@[:1", "an IPv6 address in []"},
		{"peer", ID1 "@[::1:1", "an IPv6 address in []"},
		{"peer", ID1 "@[host]:1", "an IPv6 address in []"},
		{"peer", ID1 "@[1.2.3.4]:1", "an IPv6 address in []"},
		{"peer", ID1 "0@host:1", "<64 lower-case hex digits>@"},
		{"peer", "0@host:1", "<64 lower-case hex digits>@"},
		{"peer", ID1 "@h:1,h:2,h:3,h:4,h:5,h:6,h:7,h:8,h:9", "at most 8 hosts"},
		{"topic", "", "64 lower-case hex digits"},
		{"topic", "p2panda/" ID1, "64 lower-case hex digits"},
		{"log_level", "", "debug, information, notice, warning or error"},
		{"log_level", "Debug", "debug, information, notice, warning or error"},
		{"log_level", "all", "debug, information, notice, warning or error"},
		{"publish_linger", "", "seconds from 0 to 86400"},
		{"publish_linger", "-1", "seconds from 0 to 86400"},
		{"publish_linger", "+1", "seconds from 0 to 86400"},
		{"publish_linger", " 1", "seconds from 0 to 86400"},
		{"publish_linger", "1 ", "seconds from 0 to 86400"},
		{"publish_linger", "1s", "seconds from 0 to 86400"},
		{"publish_linger", "0x10", "seconds from 0 to 86400"},
		{"publish_linger", "86401", "seconds from 0 to 86400"},
		{"publish_linger", "18446744073709551616", "seconds from 0 to 86400"},
		{"delivery_qos", "3", "a QoS from 0 to 2"},
		{"queue_limit", "65537", "a number of messages from 0 to 65536"},
		{"queue_age", "0", "seconds from 1 to 3600"},
		{"queue_age", "3601", "seconds from 1 to 3600"},
		{"max_overlays", "0", "a number from 1 to 100000"},
		{"max_overlays", "100001", "a number from 1 to 100000"},
		{"max_overlays_per_user", "0", "a number from 1 to 100000"},
		{"max_overlays_per_address", "100001", "a number from 1 to 100000"},
		{"cache_bytes", "1073741825", "bytes from 0 to 1073741824"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (parse_one(cases[i].key, cases[i].value))
			fail_msg("%s '%s' is taken", cases[i].key, cases[i].value);
		check_reason(cases[i].key, cases[i].value, cases[i].accepted);
		options_clear(&options);
	}
	/* An option without any value. */
	assert_false(parse_one("topic", NULL));
	check_reason("topic", "", "64 lower-case hex digits");
}

static void unknown_keys(void **state)
{
	static const char *const known[] = {
		"state_dir",
		"identity_file",
		"network_id",
		"bind",
		"peer",
		"bootstrap",
		"mdns",
		"topic",
		"log_level",
		"publish_linger",
		"delivery_qos",
		"queue_limit",
		"queue_age",
		"max_overlays",
		"cache_bytes",
	};

	assert_false(parse_one("colour", "red"));
	check_reason("colour", "red", "is not an option");
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		assert_non_null(strstr(reason, known[i]));
	assert_false(parse_one("Topic", ID1));
	assert_false(parse_one("", ""));
	/* Nothing is too long for the line. */
	assert_false(parse_one(X100 X100, X100 X100 X100));
	assert_true(strlen(reason) < sizeof reason);
	assert_non_null(strstr(reason, "cache_bytes"));
	assert_false(parse_one("topic", X100 X100 X100 X100 X100 X100 X100 X100 X100 X100 X100));
	assert_non_null(strstr(reason, "hex digits"));
}

static void given_twice(void **state)
{
	static const struct {
		const char *key, *first, *second, *accepted;
	} cases[] = {
		{"state_dir", "/a", "/b", "accepted once"},
		{"identity_file", "/a", "/b", "accepted once"},
		{"network_id", ID1, ID2, "accepted once"},
		{"log_level", "debug", "debug", "accepted once"},
		{"publish_linger", "1", "2", "accepted once"},
		{"delivery_qos", "1", "1", "accepted once"},
		{"queue_limit", "1", "2", "accepted once"},
		{"queue_age", "1", "2", "accepted once"},
		{"max_overlays", "1", "2", "accepted once"},
		{"cache_bytes", "1", "2", "accepted once"},
		{"peer", ID1 "@a:1", ID1 "@b:1", "each node once"},
		{"bootstrap", ID1 "@a:1", ID1 "@b:1", "each node once"},
		{"mdns", "off", "active", "accepted once"},
		{"topic", ID1, ID1, "each topic once"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const struct option_text texts[] = {
			{cases[i].key, cases[i].first}, {cases[i].key, cases[i].second}};

		assert_false(parse(texts, 2));
		check_reason(cases[i].key, cases[i].second, cases[i].accepted);
		options_clear(&options);
	}
}

static void too_many_binds(void **state)
{
	struct option_text texts[OPTIONS_BINDS + 1];
	char values[OPTIONS_BINDS + 1][32];

	for (size_t i = 0; i <= OPTIONS_BINDS; i++) {
		snprintf(values[i], sizeof values[i], "127.0.0.1:%zu", 3000 + i);
		texts[i] = (struct option_text){"bind", values[i]};
	}
	assert_true(parse(texts, OPTIONS_BINDS));
	assert_int_equal(options.binds_count, OPTIONS_BINDS);
	options_clear(&options);
	assert_false(parse(texts, OPTIONS_BINDS + 1));
	check_reason("bind", "127.0.0.1:3016", "at most 16");
	options_clear(&options);
}

static void the_longest_host(void **state)
{
	char value[ID_HEX_SIZE + NODE_HOST_SIZE + 16] = ID1 "@";
	size_t at = strlen(value);

	memset(value + at, 'a', NODE_HOST_SIZE - 1);
	strcpy(value + at + NODE_HOST_SIZE - 1, ":1");
	assert_true(parse_one("peer", value));
	assert_int_equal(strlen(options.peers[0].hosts[0].host), NODE_HOST_SIZE - 1);
	options_clear(&options);
	strcpy(value + at + NODE_HOST_SIZE - 1, "a:1");
	assert_false(parse_one("peer", value));
	options_clear(&options);
}

static void many_topics_and_peers(void **state)
{
	static char topics[300][ID_HEX_SIZE + 1], peers[300][ID_HEX_SIZE + 8];
	static struct option_text texts[600];
	struct id id = {{0}};

	for (unsigned i = 0; i < 300; i++) {
		memcpy(id.bytes, &i, sizeof i);
		hex_encode(id.bytes, ID_SIZE, topics[i]);
		strcpy(hex_encode(id.bytes, ID_SIZE, peers[i]) + ID_HEX_SIZE, "@h:1");
		texts[2 * i] = (struct option_text){"topic", topics[i]};
		texts[2 * i + 1] = (struct option_text){"peer", peers[i]};
	}
	assert_true(parse(texts, 600));
	assert_int_equal(options.topics_count, 300);
	assert_int_equal(options.peers_count, 300);
	options_clear(&options);
}

static void each_allocation_fails(void **state)
{
	static const struct option_text texts[] = {
		{"topic", ID1}, {"topic", ID2}, {"peer", ID1 "@a:1"}, {"peer", ID2 "@a:1"}};
	bool good = false;

	for (size_t n = 1; !good; n++) {
		heap_fail(n, false);
		good = parse(texts, 4);
		assert_int_equal(good, !heap_has_failed());
		heap_fail(0, false);
		options_clear(&options);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(defaults),
		TEST(shares_of_the_overlays),
		TEST(the_place_for_the_state),
		TEST(all_of_them),
		TEST(good_values),
		TEST(bad_values),
		TEST(unknown_keys),
		TEST(given_twice),
		TEST(too_many_binds),
		TEST(the_longest_host),
		TEST(many_topics_and_peers),
		TEST(each_allocation_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
