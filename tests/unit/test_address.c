/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/address.h"
#include "bridge/error.h"

static struct address parsed(const char *text)
{
	struct address address;

	assert_int_equal(address_parse(text, &address), 0);
	return address;
}

static void text_round_trips(void **state)
{
	static const char *const texts[] = {"0.0.0.0:0", "127.0.0.1:4242", "255.255.255.255:65535",
		"[::]:2022", "[::1]:1", "[fe80::1]:9", "[2001:db8::8a2e:370:7334]:443",
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		"[::ffff:255.255.255.255]:65535"};
	char text[ADDRESS_TEXT_SIZE];

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct address address = parsed(texts[i]);

		assert_string_equal(address_format(&address, text), texts[i]);
	}
	assert_int_equal(parsed("1.2.3.4:5").family, 4);
	assert_int_equal(parsed("1.2.3.4:5").port, 5);
	assert_memory_equal(parsed("1.2.3.4:5").ip, "\1\2\3\4\0\0\0\0\0\0\0\0\0\0\0\0", 16);
}

static void nonsense_is_refused(void **state)
{
	static const char *const texts[] = {"", ":", ":1", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536",
		"1.2.3.4:99999999999999999999", "1.2.3.4:-1", "1.2.3.4:1x", "1.2.3.4: 1", "1.2.3:1",
		"1.2.3.256:1", "host:1", "::1:1", "[::1]", "[::1]:", "[::1", "[::1]1", "[::1:1",
		"[1.2.3.4]:1", "[fe80::1%eth0]:1", "[]:1", "[", "[]",
		"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc]:1"};
	struct address address;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		assert_int_equal(address_parse(texts[i], &address), ERROR_INVALID);
}

static void order_is_that_of_rust(void **state)
{
	static const char *const sorted[] = {"0.0.0.0:1", "10.0.0.1:9", "10.0.0.2:1", "10.0.0.2:2",
		"10.0.0.2:300", "255.0.0.1:1", "[::]:1", "[::1]:1", "[::1]:2", "[fe80::1]:1"};

	for (size_t i = 0; i < sizeof sorted / sizeof *sorted; i++) {
		for (size_t j = 0; j < sizeof sorted / sizeof *sorted; j++) {
			struct address a = parsed(sorted[i]), b = parsed(sorted[j]);
			int order = address_compare(&a, &b);

			assert_int_equal((order > 0) - (order < 0), (i > j) - (i < j));
		}
	}
}

static void only_unicast_can_be_dialled(void **state)
{
	static const struct {
		const char *text;
		bool dialable, loopback;
	} cases[] = {
		{"10.0.0.1:1", true, false},
		{"127.0.0.1:1", true, true},
		{"127.200.0.1:1", true, true},
		{"10.0.0.1:0", false, false},
		{"0.0.0.0:1", false, false},
		{"0.1.2.3:1", false, false},
		{"223.255.255.255:1", true, false},
		{"224.0.0.251:1", false, false},
		{"240.0.0.1:1", false, false},
		{"255.255.255.255:1", false, false},
		{"[::]:1", false, false},
		{"[::1]:1", true, true},
		{"[fe80::1]:1", true, false},
		{"[ff02::fb]:1", false, false},
		{"[2001:db8::1]:0", false, false},
		{"[::ffff:127.0.0.1]:1", true, true},
		{"[::ffff:224.0.0.1]:1", false, false},
		{"[::ffff:255.255.255.255]:1", false, false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct address address = parsed(cases[i].text);

		assert_int_equal(address_is_dialable(&address), cases[i].dialable);
		assert_int_equal(address_is_loopback(&address), cases[i].loopback);
	}
}

static void scopes_and_hosts(void **state)
{
	static const struct {
		const char *text, *host;
		enum address_scope scope;
	} cases[] = {
		{"203.0.113.1:1", "203.0.113.1:0", ADDRESS_GLOBAL},
		{"9.255.255.255:1", "9.255.255.255:0", ADDRESS_GLOBAL},
		{"10.0.0.1:1", "10.0.0.1:0", ADDRESS_PRIVATE},
		{"172.15.0.1:1", "172.15.0.1:0", ADDRESS_GLOBAL},
		{"172.16.0.1:1", "172.16.0.1:0", ADDRESS_PRIVATE},
		{"172.31.255.1:1", "172.31.255.1:0", ADDRESS_PRIVATE},
		{"172.32.0.1:1", "172.32.0.1:0", ADDRESS_GLOBAL},
		{"192.168.7.1:1", "192.168.7.1:0", ADDRESS_PRIVATE},
		{"169.254.7.1:1", "169.254.7.1:0", ADDRESS_PRIVATE},
		{"127.0.0.1:1", "127.0.0.1:0", ADDRESS_LOOPBACK},
		{"[2001:db8:1:2:3:4:5:6]:1", "[2001:db8:1:2::]:0", ADDRESS_GLOBAL},
		{"[fc00::1]:1", "[fc00::]:0", ADDRESS_PRIVATE},
		{"[fdff::1]:1", "[fdff::]:0", ADDRESS_PRIVATE},
		{"[fe80::1]:1", "[fe80::]:0", ADDRESS_PRIVATE},
		{"[fec0::1]:1", "[fec0::]:0", ADDRESS_GLOBAL},
		{"[::1]:1", "[::]:0", ADDRESS_LOOPBACK},
		{"[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]:0", ADDRESS_PRIVATE},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct address address = parsed(cases[i].text), host = address_host(&address);

		assert_int_equal(address_scope(&address), cases[i].scope);
		address = parsed(cases[i].host);
		assert_int_equal(address_compare(&host, &address), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_round_trips),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(order_is_that_of_rust),
		cmocka_unit_test(only_unicast_can_be_dialled),
		cmocka_unit_test(scopes_and_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
