/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How texts are spelled: tests/vectors/test_relay_url_vectors.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"
#include "bridge/error.h"
#include "bridge/relay_url.h"

static struct relay_url parsed(const char *text)
{
	struct relay_url url;

	assert_int_equal(relay_url_parse(text, strlen(text), &url), 0);
	return url;
}

static void parts_are_given(void **state)
{
	struct relay_url url = parsed("HTTPS://[2001:DB8::1]:8443");

	assert_string_equal(url.text, "https://[2001:db8::1]:8443/");
	assert_true(url.tls);
	assert_string_equal(url.host, "2001:db8::1");
	assert_int_equal(url.port, 8443);
	url = parsed("http://relay.example.org.");
	assert_string_equal(url.text, "http://relay.example.org./");
	assert_false(url.tls);
	assert_string_equal(url.host, "relay.example.org.");
	assert_int_equal(url.port, 80);
}

static void only_size_bytes_are_read(void **state)
{
	static const char text[] = "https://h/a?b";
	struct relay_url url;

	for (size_t size = 0; size <= strlen("https://"); size++)
		assert_int_equal(relay_url_parse(text, size, &url), ERROR_INVALID);
	assert_int_equal(relay_url_parse(text, 9, &url), 0);
	assert_string_equal(url.text, "https://h/");
	assert_int_equal(relay_url_parse(text, 11, &url), 0);
	assert_string_equal(url.text, "https://h/a");
	assert_int_equal(relay_url_parse(text, 12, &url), ERROR_INVALID);
	assert_string_equal(url.text, "https://h/a");
}

static void bytes_that_are_no_text_are_refused(void **state)
{
	static const struct {
		const char *text;
		size_t size;
	} cases[] = {
		{"https://h/\xff", 11},
		{"https://h/\xc3", 11},
		{"https://h/\xed\xa0\x80", 13},
		{"https://h/\0", 11},
		{"https://h\0/", 11},
	};
	struct relay_url url;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(
			relay_url_parse(cases[i].text, cases[i].size, &url), ERROR_INVALID);
}

static void the_longest_text_is_bounded(void **state)
{
	char text[4096] = "https://h/";
	size_t size = strlen(text);
	struct relay_url url;

	memset(text + size, 'a', sizeof text - size);
	assert_int_equal(relay_url_parse(text, RELAY_URL_SIZE - 1, &url), 0);
	assert_int_equal(strlen(url.text), RELAY_URL_SIZE - 1);
	assert_int_equal(relay_url_parse(text, RELAY_URL_SIZE, &url), ERROR_TOO_LARGE);
	assert_int_equal(relay_url_parse(text, sizeof text, &url), ERROR_TOO_LARGE);
	/* Three bytes each. */
	memset(text + size, '{', sizeof text - size);
	assert_int_equal(relay_url_parse(text, size + 81, &url), 0);
	assert_int_equal(relay_url_parse(text, size + 82, &url), ERROR_TOO_LARGE);
	memset(text + strlen("https://"), 'a', sizeof text - strlen("https://"));
	/* No path: a slash is added. */
	assert_int_equal(relay_url_parse(text, RELAY_URL_SIZE - 2, &url), 0);
	assert_int_equal(strlen(url.text), RELAY_URL_SIZE - 1);
	assert_int_equal(relay_url_parse(text, RELAY_URL_SIZE - 1, &url), ERROR_TOO_LARGE);
	assert_int_equal(relay_url_parse(text, sizeof text, &url), ERROR_TOO_LARGE);
}

static void an_address_is_the_hash_of_the_text(void **state)
{
	struct relay_url url = parsed("HTTPS://Relay.Example.org:443");
	struct address address = relay_url_address(&url), other;
	char hex[33];

	assert_int_equal(address.family, ADDRESS_RELAY);
	assert_true(address_is_relay(&address));
	assert_int_equal(address.port, 0);
	/* b3sum of "https://relay.example.org/" */
	assert_string_equal(hex_encode(address.ip, 16, hex), "bbe9f2e947de0a89f7035e4246301c7c");
	url = parsed("http://relay.example.org/");
	other = relay_url_address(&url);
	assert_int_not_equal(address_compare(&address, &other), 0);
	url = parsed("https://relay.example.org");
	other = relay_url_address(&url);
	assert_int_equal(address_compare(&address, &other), 0);
	assert_false(address_is_dialable(&address));
}

static void hearsay_is_only_for_public_ones(void **state)
{
	static const struct {
		const char *text;
		bool is_public;
	} cases[] = {
		{"https://relay.example.org/", true},
		{"https://relay.example.org./", true},
		{"https://relay.example.org:8443/", true},
		{"https://relay.example.org:0/", false},
		{"http://relay.example.org/", false},
		{"https://127.0.0.1/", false},
		{"https://203.0.113.1/", false},
		{"https://203.0.113.1./", false},
		{"https://0x7f.1/", false},
		{"https://[::1]/", false},
		{"https://[2001:db8::1]/", false},
		{"https://localhost/", false},
		{"https://LOCALHOST./", false},
		{"https://a.localhost/", false},
		{"https://a.localhost./", false},
		{"https://notlocalhost/", false},
		{"https://a.notlocalhost/", true},
		{"https://localhost.localdomain/", false},
		{"https://localhost.example.org/", true},
		{"https://router/", false},
		{"https://router./", false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct relay_url url = parsed(cases[i].text);

		if (relay_url_is_public(&url) != cases[i].is_public)
			fail_msg("%s", cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_given),
		cmocka_unit_test(only_size_bytes_are_read),
		cmocka_unit_test(bytes_that_are_no_text_are_refused),
		cmocka_unit_test(the_longest_text_is_bounded),
		cmocka_unit_test(an_address_is_the_hash_of_the_text),
		cmocka_unit_test(hearsay_is_only_for_public_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
