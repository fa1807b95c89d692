/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The HTTP/1.1 exchange that makes a stream to a relay a WebSocket (RFC 6455, section 4): our
 * request, and the head of the answer, whose bytes are not trusted. Pure; any thread.
 *
 * Where behaviour comes from: iroh-relay 1.4.1 src/client.rs, src/server/http_server.rs.
 */
#ifndef BRIDGE_RELAY_HTTP_H
#define BRIDGE_RELAY_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bytes/writer.h"
#include "../relay_url.h"

#define HTTP_NONCE_SIZE	 16
#define HTTP_KEY_SIZE	 25 /* base64 of the nonce, with the closing zero */
#define HTTP_ACCEPT_SIZE 29
#define HTTP_TARGET_SIZE 128

/* The key that a request carries and the value by which its answer has to prove that it belongs to
 * the request. */
struct http_key {
	char key[HTTP_KEY_SIZE];
	char accept[HTTP_ACCEPT_SIZE];
};

/* Makes the key of a request from a nonce. ERROR_TLS (no SHA-1 in this OpenSSL). */
int http_key_make(const uint8_t nonce[HTTP_NONCE_SIZE], struct http_key *out);

/* Writes the request for /relay, whatever the path of the URL is. A dot at the end of the host is
 * left out, as in certificates. token: printable; NULL: none. The writer fails with
 * ERROR_TOO_LARGE. */
void http_request(struct writer *writer, const struct relay_url *url, const struct http_key *key,
	const char *token);

struct http_reply {
	unsigned status; /* 100 to 999 */
	/* Of a 101: why the answer is not the upgrade that was asked for, with a version of the
	 * relay protocol that we speak. A constant. */
	const char *fault; /* NULL: none */
	unsigned version;  /* of the relay protocol, 1 or 2 */
	/* The target of a redirection: printable ASCII, cut if it is long; else empty. */
	char target[HTTP_TARGET_SIZE];
	size_t size; /* of the head; the bytes behind it belong to the WebSocket */
};

/* Reads the head of an answer as far as it has come. ERROR_TRUNCATED: nothing is wrong with the
 * head so far, but more is to come (the caller bounds how much: LIMIT_RELAY_HEAD); ERROR_INVALID:
 * the answer is no HTTP/1.x. */
int http_reply_read(
	const uint8_t *data, size_t size, const struct http_key *key, struct http_reply *out);

#endif
