/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/relay/http.h"

/* RFC 6455, section 1.3. */
#define NONCE  "the sample nonce"
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static struct http_key key;
static struct http_reply reply;

static int setup(void **state)
{
	return http_key_make((const uint8_t *)NONCE, &key);
}

/* In a block of its own. */
static int read_reply(const char *text, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	int error;

	assert_non_null(copy);
	memcpy(copy, text, size);
	error = http_reply_read(copy, size, &key, &reply);
	free(copy);
	return error;
}

static int read_text(const char *text)
{
	return read_reply(text, strlen(text));
}

static void the_key_is_that_of_the_rfc(void **state)
{
	assert_string_equal(key.key, KEY);
	assert_string_equal(key.accept, ACCEPT);
}

static void check_request(const char *text, const char *host, const char *token)
{
	char out[1024], expected[1024];
	struct relay_url url;
	struct writer writer;

	assert_int_equal(relay_url_parse(text, strlen(text), &url), 0);
	writer_init(&writer, out, sizeof out - 1);
	http_request(&writer, &url, &key, token);
	assert_int_equal(writer.error, 0);
	out[writer_size(&writer)] = '\0';
	snprintf(expected, sizeof expected,
		"GET /relay HTTP/1.1\r\n"
		"Host: %s\r\n"
		"Upgrade: websocket\r\n"
		"Connection: Upgrade\r\n"
		"Sec-WebSocket-Key: " KEY "\r\n"
		"Sec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Protocol: iroh-relay-v2, iroh-relay-v1\r\n"
		"%s%s%s\r\n",
		host, token ? "Authorization: Bearer " : "", token ? token : "",
		token ? "\r\n" : "");
	assert_string_equal(out, expected);
	/* And it is never written in part. */
	writer_init(&writer, out, strlen(expected) - 1);
	http_request(&writer, &url, &key, token);
	assert_int_equal(writer.error, ERROR_TOO_LARGE);
}

static void requests_are_for_relay(void **state)
{
	check_request("http://127.0.0.1:3340/", "127.0.0.1:3340", NULL);
	check_request("https://relay.example.org/", "relay.example.org", NULL);
	check_request("https://relay.example.org./some/path", "relay.example.org", "secret");
	check_request("https://relay.example.org:80", "relay.example.org:80", NULL);
	check_request("https://[2001:db8::1]/", "[2001:db8::1]", NULL);
	check_request("http://[::1]:3340", "[::1]:3340", "a.b-c");
	check_request("http://./", ".", NULL);
}

static const char real[] = "HTTP/1.1 101 Switching Protocols\r\n"
			   "connection: upgrade\r\n"
			   "upgrade: websocket\r\n"
			   "sec-websocket-accept: " ACCEPT "\r\n"
			   "sec-websocket-protocol: iroh-relay-v2\r\n"
			   "access-control-allow-origin: *\r\n"
			   "date: Sat, 01 Aug 2026 10:00:00 GMT\r\n\r\n";

static void the_upgrade_of_a_relay_is_taken(void **state)
{
	char longer[512];

	assert_int_equal(read_text(real), 0);
	assert_int_equal(reply.status, 101);
	assert_null(reply.fault);
	assert_int_equal(reply.version, 2);
	assert_int_equal(reply.size, strlen(real));
	/* What follows it belongs to the WebSocket. */
	snprintf(longer, sizeof longer, "%s\x82\x11\n\r\n\r\n", real);
	assert_int_equal(read_text(longer), 0);
	assert_int_equal(reply.size, strlen(real));
	assert_null(reply.fault);
}

static void as_far_as_it_has_come(void **state)
{
	static const char brief[] = "HTTP/1.1 302\r\nlocation: /\r\n\r\n";

	for (size_t size = 0; size < strlen(real); size++)
		assert_int_equal(read_reply(real, size), ERROR_TRUNCATED);
	for (size_t size = 0; size < strlen(brief); size++)
		assert_int_equal(read_reply(brief, size), ERROR_TRUNCATED);
	assert_int_equal(read_text(brief), 0);
}

static void spelled_in_other_ways(void **state)
{
	static const char *const texts[] = {
		"HTTP/1.1 101\r\nUPGRADE:WebSocket\r\nConnection:keep-alive ,\tUpGrade\r\n"
		"Sec-WebSocket-Accept:\t" ACCEPT
		" \r\nSec-WebSocket-Protocol:iroh-relay-v1\r\n\r\n",
		"HTTP/1.1 101 \nupgrade: websocket\nconnection: upgrade\nconnection: a\n"
		"sec-websocket-accept: " ACCEPT "\nsec-websocket-protocol: iroh-relay-v1\n"
		"x-empty:\nx-latin: \xe9\n\n",
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_int_equal(read_text(texts[i]), 0);
		assert_null(reply.fault);
		assert_int_equal(reply.version, 1);
	}
}

#define HEAD	 "HTTP/1.1 101 Switching Protocols\r\n"
#define UPGRADE	 "upgrade: websocket\r\n"
#define CONN	 "connection: upgrade\r\n"
#define ACCEPTED "sec-websocket-accept: " ACCEPT "\r\n"
#define PROTOCOL "sec-websocket-protocol: iroh-relay-v2\r\n"

static void other_upgrades_are_refused(void **state)
{
	static const char *const texts[] = {
		HEAD "\r\n",
		HEAD UPGRADE ACCEPTED PROTOCOL "\r\n",
		HEAD CONN ACCEPTED PROTOCOL "\r\n",
		HEAD UPGRADE CONN PROTOCOL "\r\n",
		HEAD UPGRADE CONN ACCEPTED "\r\n",
		HEAD "upgrade: h2c\r\n" CONN ACCEPTED PROTOCOL "\r\n",
		HEAD "upgrade: websockets\r\n" CONN ACCEPTED PROTOCOL "\r\n",
		HEAD UPGRADE "connection: close\r\n" ACCEPTED PROTOCOL "\r\n",
		HEAD UPGRADE "connection: upgraded\r\n" ACCEPTED PROTOCOL "\r\n",
		HEAD UPGRADE CONN "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOp=\r\n" PROTOCOL
				  "\r\n",
		HEAD UPGRADE CONN "sec-websocket-accept: \r\n" PROTOCOL "\r\n",
		HEAD UPGRADE CONN ACCEPTED ACCEPTED PROTOCOL "\r\n",
		HEAD UPGRADE CONN ACCEPTED "sec-websocket-protocol: iroh-relay-v3\r\n\r\n",
		HEAD UPGRADE CONN ACCEPTED "sec-websocket-protocol: IROH-RELAY-V2\r\n\r\n",
		HEAD UPGRADE CONN ACCEPTED
		"sec-websocket-protocol: iroh-relay-v2, iroh-relay-v1\r\n\r\n",
		HEAD UPGRADE CONN ACCEPTED "sec-websocket-protocol: iroh-relay-v\r\n\r\n",
		HEAD UPGRADE CONN ACCEPTED PROTOCOL PROTOCOL "\r\n",
		HEAD UPGRADE CONN ACCEPTED PROTOCOL
		"sec-websocket-extensions: permessage-deflate\r\n\r\n",
		"HTTP/1.0 101 Switching Protocols\r\n" UPGRADE CONN ACCEPTED PROTOCOL "\r\n",
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		assert_int_equal(read_text(texts[i]), 0);
		assert_int_equal(reply.status, 101);
		if (!reply.fault)
			fail_msg("taken: %s", texts[i]);
	}
	assert_int_equal(read_text(HEAD UPGRADE CONN ACCEPTED PROTOCOL "\r\n"), 0);
	assert_null(reply.fault);
}

static void other_statuses_are_told(void **state)
{
	static const struct {
		const char *text;
		unsigned status;
		const char *target;
	} cases[] = {
		{"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnot found", 404, ""},
		{"HTTP/1.1 400 Bad Request\r\n\r\n", 400, ""},
		{"HTTP/1.0 401 \r\n\r\n", 401, ""},
		{"HTTP/1.1 403 Forbidden\n\n", 403, ""},
		{"HTTP/1.1 301 Moved\r\nLocation: https://other.example/\r\n\r\n", 301,
			"https://other.example/"},
		{"HTTP/1.1 302 Found\r\nlocation:\r\n\r\n", 302, ""},
		{"HTTP/1.1 307 \xc3\xa9\r\nlocation: /\xc3\xa9\r\n\r\n", 307, "/??"},
		{"HTTP/1.1 100 Continue\r\n\r\n", 100, ""},
		{"HTTP/1.1 999 \r\n\r\n", 999, ""},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(read_text(cases[i].text), 0);
		assert_int_equal(reply.status, cases[i].status);
		assert_string_equal(reply.target, cases[i].target);
	}
}

static void a_long_target_is_cut(void **state)
{
	char text[4096] = "HTTP/1.1 302 Found\r\nlocation: ";
	size_t size = strlen(text);

	memset(text + size, 'a', 3000);
	memcpy(text + size + 3000, "\r\n\r\n", 5);
	assert_int_equal(read_text(text), 0);
	assert_int_equal(strlen(reply.target), HTTP_TARGET_SIZE - 1);
}

/* Seen as early as can be: nobody waits for more of it. */
static void what_is_no_http_is_refused(void **state)
{
	static const char *const texts[] = {
		"\n",
		"\r\n",
		"S",
		"HTTP/2",
		"HTTP/1.1 x",
		"HTTP/1.1  404",
		"HTTP/1.1 99 x",
		"HTTP/1.1 1010 x",
		"HTTP/1.1 101\r\r",
		"HTTP/1.1 101\r\r\n\r\n",
		"HTTP/1.1 101\rx",
		"HTTP/1.1 099 x\r\n\r\n",
		"HTTP/1.1 10\r\n\r\n",
		"HTTP/1.1\r\n\r\n",
		"http/1.1 200 \r\n\r\n",
		"SSH-2.0-OpenSSH_9.9\r\n",
		"\x15\x03\x03",
		"HTTP/1.1 200 OK\r\nno colon\r\n",
		"HTTP/1.1 200 OK\r\n: no name\r\n",
		"HTTP/1.1 200 OK\r\na b: c\r\n",
		"HTTP/1.1 200 OK\r\na : c\r\n",
		"HTTP/1.1 200 OK\r\na: b\r\n folded\r\n",
		"HTTP/1.1 200 OK\r\na: b\r c\r\n",
		"HTTP/1.1 200 OK\r\na: \x01\r\n",
		"HTTP/1.1 200 OK\r\na: \x7f\r\n",
		"HTTP/1.1 200 OK\r\n\x80: a\r\n",
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		if (read_text(texts[i]) != ERROR_INVALID)
			fail_msg("taken: %s", texts[i]);
	}
	assert_int_equal(read_reply("HTTP/1.1 200 OK\r\na: \0\r\n", 24), ERROR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_key_is_that_of_the_rfc, setup),
		cmocka_unit_test_setup(requests_are_for_relay, setup),
		cmocka_unit_test_setup(the_upgrade_of_a_relay_is_taken, setup),
		cmocka_unit_test_setup(as_far_as_it_has_come, setup),
		cmocka_unit_test_setup(spelled_in_other_ways, setup),
		cmocka_unit_test_setup(other_upgrades_are_refused, setup),
		cmocka_unit_test_setup(other_statuses_are_told, setup),
		cmocka_unit_test_setup(a_long_target_is_cut, setup),
		cmocka_unit_test_setup(what_is_no_http_is_refused, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
