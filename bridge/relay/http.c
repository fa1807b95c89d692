/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "http.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../error.h"
#include "frame.h"

/* RFC 6455, section 1.3. */
#define ACCEPT_SALT "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define PROTOCOL    "iroh-relay-v"

/* A part of the head. */
struct text {
	const char *at;
	size_t size;
};

int http_key_make(const uint8_t nonce[HTTP_NONCE_SIZE], struct http_key *out)
{
	char salted[HTTP_KEY_SIZE + sizeof ACCEPT_SALT];
	uint8_t digest[20];
	unsigned size = 0;

	EVP_EncodeBlock((unsigned char *)out->key, nonce, HTTP_NONCE_SIZE);
	snprintf(salted, sizeof salted, "%s%s", out->key, ACCEPT_SALT);
	if (EVP_Digest(salted, strlen(salted), digest, &size, EVP_sha1(), NULL) != 1 ||
		size != sizeof digest)
		return ERROR_TLS;
	EVP_EncodeBlock((unsigned char *)out->accept, digest, sizeof digest);
	return ERROR_NONE;
}

static void put(struct writer *writer, const char *text)
{
	writer_bytes(writer, text, strlen(text));
}

static void put_host(struct writer *writer, const struct relay_url *url)
{
	bool v6 = strchr(url->host, ':') != NULL;
	size_t size = strlen(url->host);
	char port[8];

	if (size > 1 && url->host[size - 1] == '.')
		size--;
	put(writer, v6 ? "[" : "");
	writer_bytes(writer, url->host, size);
	put(writer, v6 ? "]" : "");
	if (url->port == (url->tls ? 443 : 80))
		return;
	snprintf(port, sizeof port, ":%u", url->port);
	put(writer, port);
}

void http_request(struct writer *writer, const struct relay_url *url, const struct http_key *key,
	const char *token)
{
	put(writer, "GET /relay HTTP/1.1\r\nHost: ");
	put_host(writer, url);
	put(writer, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ");
	put(writer, key->key);
	put(writer, "\r\nSec-WebSocket-Version: 13\r\n"
		    "Sec-WebSocket-Protocol: " PROTOCOL "2, " PROTOCOL "1\r\n");
	if (token) {
		put(writer, "Authorization: Bearer ");
		put(writer, token);
		put(writer, "\r\n");
	}
	put(writer, "\r\n");
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct text trimmed(struct text text)
{
	while (text.size && is_blank(text.at[0])) {
		text.at++;
		text.size--;
	}
	while (text.size && is_blank(text.at[text.size - 1]))
		text.size--;
	return text;
}

static bool equals(struct text text, const char *other)
{
	return text.size == strlen(other) && memcmp(text.at, other, text.size) == 0;
}

static bool means(struct text text, const char *other)
{
	return text.size == strlen(other) && strncasecmp(text.at, other, text.size) == 0;
}

/* Tells whether a comma-separated list has a word. */
static bool lists(struct text list, const char *word)
{
	while (list.size) {
		const char *comma = memchr(list.at, ',', list.size);
		size_t size = comma ? (size_t)(comma - list.at) : list.size;

		if (means(trimmed((struct text){list.at, size}), word))
			return true;
		size += comma != NULL;
		list.at += size;
		list.size -= size;
	}
	return false;
}

/* Takes a line without its end; false: the line has not come whole. */
static bool take_line(struct text *rest, struct text *line)
{
	const char *end = memchr(rest->at, '\n', rest->size);

	if (!end)
		return false;
	*line = (struct text){rest->at, (size_t)(end - rest->at)};
	rest->at += line->size + 1;
	rest->size -= line->size + 1;
	if (line->size && line->at[line->size - 1] == '\r')
		line->size--;
	return true;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Tells whether a line is "HTTP/1.1 101 Whatever", or the beginning of such a line. */
static bool may_be_status_line(struct text line)
{
	static const char form[] = "HTTP/1.d ddd";

	for (size_t i = 0; i < line.size && i < sizeof form - 1; i++) {
		if (form[i] == 'd' ? !is_digit(line.at[i]) : line.at[i] != form[i])
			return false;
	}
	if (line.size < sizeof form)
		return true;
	/* The line's end may be on its way. */
	return line.at[sizeof form - 1] == ' ' ||
	       (line.size == sizeof form && line.at[sizeof form - 1] == '\r');
}

static int read_status(struct text line, unsigned *status, bool *is_1_1)
{
	if (line.size < 12 || (line.size > 12 && line.at[12] != ' ') || !may_be_status_line(line))
		return ERROR_INVALID;
	*is_1_1 = line.at[7] == '1';
	*status = (unsigned)(line.at[9] - '0') * 100 + (unsigned)(line.at[10] - '0') * 10 +
		  (unsigned)(line.at[11] - '0');
	return *status >= 100 ? ERROR_NONE : ERROR_INVALID;
}

/* Which of the headers have come that must be there once. */
struct seen {
	bool upgrade, connection, accept, protocol;
};

static void read_protocol(struct text value, struct http_reply *out)
{
	if (equals(value, PROTOCOL "1"))
		out->version = 1;
	else if (equals(value, PROTOCOL "2"))
		out->version = 2;
	else
		out->fault = "a protocol that was not offered";
}

static void take_header(struct text name, struct text value, const struct http_key *key,
	struct seen *seen, struct http_reply *out)
{
	if (means(name, "location")) {
		relay_words(value.at, value.size, out->target, sizeof out->target);
	} else if (means(name, "upgrade")) {
		seen->upgrade = means(value, "websocket");
	} else if (means(name, "connection")) {
		seen->connection = seen->connection || lists(value, "upgrade");
	} else if (means(name, "sec-websocket-accept")) {
		if (seen->accept || !equals(value, key->accept))
			out->fault = "an answer to another request";
		seen->accept = true;
	} else if (means(name, "sec-websocket-protocol")) {
		if (seen->protocol)
			out->fault = "two protocols";
		else
			read_protocol(value, out);
		seen->protocol = true;
	} else if (means(name, "sec-websocket-extensions")) {
		out->fault = "extensions that were not offered";
	}
}

/* Splits a header's line: a name without blanks, a colon, and a value without controls. */
static int split(struct text line, struct text *name, struct text *value)
{
	const char *colon = memchr(line.at, ':', line.size);

	if (!colon || colon == line.at)
		return ERROR_INVALID;
	*name = (struct text){line.at, (size_t)(colon - line.at)};
	*value = trimmed((struct text){colon + 1, line.size - name->size - 1});
	for (size_t i = 0; i < line.size; i++) {
		unsigned char c = (unsigned char)line.at[i];

		if (i < name->size ? c <= ' ' || c >= 0x7f : (c < ' ' && c != '\t') || c == 0x7f)
			return ERROR_INVALID;
	}
	return ERROR_NONE;
}

static void judge(const struct seen *seen, bool is_1_1, struct http_reply *out)
{
	if (out->fault)
		return;
	if (!is_1_1)
		out->fault = "HTTP/1.0";
	else if (!seen->upgrade || !seen->connection)
		out->fault = "no upgrade to a WebSocket";
	else if (!seen->accept)
		out->fault = "no Sec-WebSocket-Accept";
	else if (!seen->protocol)
		out->fault = "no protocol of relays";
}

int http_reply_read(
	const uint8_t *data, size_t size, const struct http_key *key, struct http_reply *out)
{
	struct text rest = {(const char *)data, size}, line, name, value;
	struct seen seen = {0};
	bool is_1_1;

	*out = (struct http_reply){0};
	if (!take_line(&rest, &line))
		return may_be_status_line(rest) ? ERROR_TRUNCATED : ERROR_INVALID;
	if (read_status(line, &out->status, &is_1_1))
		return ERROR_INVALID;
	for (;;) {
		if (!take_line(&rest, &line))
			return ERROR_TRUNCATED;
		if (line.size == 0)
			break;
		if (split(line, &name, &value))
			return ERROR_INVALID;
		take_header(name, value, key, &seen, out);
	}
	out->size = size - rest.size;
	judge(&seen, is_1_1, out);
	return ERROR_NONE;
}
