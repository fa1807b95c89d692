/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "relay_url.h"

#include <arpa/inet.h>
#include <blake3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "bytes/reader.h"
#include "bytes/utf8.h"
#include "bytes/writer.h"
#include "error.h"

/* A part of the input. */
struct part {
	const char *at;
	size_t size;
};

static bool is_slash(char c)
{
	return c == '/' || c == '\\';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static int hex_digit(char c)
{
	c = lower(c);
	if (is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Takes the text before the next slash, or before the character end if that comes first and is not
 * zero. */
static struct part take_part(struct reader *reader, char end)
{
	struct part part = {.at = (const char *)reader->at};
	size_t left = reader_left(reader);

	while (part.size < left && !is_slash(part.at[part.size]) &&
		(!end || part.at[part.size] != end))
		part.size++;
	reader_bytes(reader, part.size);
	return part;
}

/* Tells whether a text is UTF-8 without blanks, controls, a query and a fragment. The URL standard
 * drops blanks and controls in some places, and encodes them in others; a relay's URL has no query
 * and no fragment. */
static bool is_plain(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c <= ' ' || c == 0x7f || c == '?' || c == '#')
			return false;
	}
	return utf8_is_valid(text, size);
}

static int read_scheme(struct reader *reader, bool *tls)
{
	struct part scheme = take_part(reader, ':');
	const char *rest = (const char *)reader_bytes(reader, 3);

	*tls = scheme.size == 5;
	if (!rest || (scheme.size != 4 && !*tls) || strncasecmp(scheme.at, "https", scheme.size))
		return ERROR_INVALID;
	return rest[0] == ':' && is_slash(rest[1]) && is_slash(rest[2]) ? ERROR_NONE
									: ERROR_INVALID;
}

static int read_port(struct part text, struct relay_url *url)
{
	uint32_t value = 0;

	url->port = url->tls ? 443 : 80;
	if (!text.size)
		return ERROR_NONE;
	for (size_t i = 0; i < text.size; i++) {
		if (!is_digit(text.at[i]))
			return ERROR_INVALID;
		value = value * 10 + (uint32_t)(text.at[i] - '0');
		if (value > UINT16_MAX)
			return ERROR_INVALID;
	}
	url->port = (uint16_t)value;
	return ERROR_NONE;
}

/* Writes an IPv6 address as the serializer of the URL standard does: the first of the longest runs
 * of two or more zeros is left out, no part is ever decimal. */
static void format_v6(const uint8_t ip[16], char out[RELAY_HOST_SIZE])
{
	size_t longest = 0, skipped = 8, size = 0;
	unsigned pieces[8];

	for (size_t i = 0; i < 8; i++)
		pieces[i] = (unsigned)ip[2 * i] << 8 | ip[2 * i + 1];
	for (size_t i = 0; i < 8; i++) {
		size_t run = 0;

		while (i + run < 8 && pieces[i + run] == 0)
			run++;
		if (run > 1 && run > longest) {
			longest = run;
			skipped = i;
		}
	}
	for (size_t i = 0; i < 8; i++) {
		if (i == skipped) {
			size += (size_t)sprintf(out + size, i == 0 ? "::" : ":");
			i += longest - 1;
			continue;
		}
		size += (size_t)sprintf(out + size, i == 7 ? "%x" : "%x:", pieces[i]);
	}
}

static int read_v6(struct part text, struct relay_url *url)
{
	char buffer[INET6_ADDRSTRLEN];
	uint8_t ip[16];

	if (text.size >= sizeof buffer)
		return ERROR_INVALID;
	memcpy(buffer, text.at, text.size);
	buffer[text.size] = '\0';
	if (inet_pton(AF_INET6, buffer, ip) != 1)
		return ERROR_INVALID;
	format_v6(ip, url->host);
	return ERROR_NONE;
}

/* Reads one part of an IPv4 address: decimal, octal after 0, hexadecimal after 0x; no digits after
 * 0 or 0x mean zero. A number of more than 32 bits comes out greater than UINT32_MAX. */
static int read_number(const char *text, size_t size, uint64_t *out)
{
	unsigned base = 10;

	if (size == 0)
		return ERROR_INVALID;
	if (size >= 2 && text[0] == '0') {
		base = text[1] == 'x' ? 16 : 8;
		text += base == 16 ? 2 : 1;
		size -= base == 16 ? 2 : 1;
	}
	*out = 0;
	for (size_t i = 0; i < size; i++) {
		int digit = hex_digit(text[i]);

		if (digit < 0 || (unsigned)digit >= base)
			return ERROR_INVALID;
		if (*out <= UINT32_MAX)
			*out = *out * base + (unsigned)digit;
	}
	return ERROR_NONE;
}

/* Tells whether a host has to be read as an IPv4 address, and is invalid if it is not one: the
 * "ends in a number checker" of the URL standard. */
static bool ends_in_number(const char *host)
{
	size_t size = strlen(host), label, digits;
	uint64_t ignored;

	if (size && host[size - 1] == '.')
		size--;
	for (label = size; label && host[label - 1] != '.';)
		label--;
	for (digits = label; digits < size && is_digit(host[digits]);)
		digits++;
	if (digits == size && size > label)
		return true;
	return size - label >= 2 && host[label] == '0' && host[label + 1] == 'x' &&
	       read_number(host + label, size - label, &ignored) == ERROR_NONE;
}

/* Reads an IPv4 address of one to four numbers, of which the last fills the bytes that are left,
 * and writes it with four numbers. */
static int read_v4(char host[RELAY_HOST_SIZE])
{
	uint64_t ip = 0, number;
	unsigned count = 0;
	const char *at = host;

	while (*at) {
		size_t size = strcspn(at, ".");
		bool last = !at[size] || !at[size + 1];
		unsigned bits = last ? 32 - 8 * count : 8;

		if (count == 4 || read_number(at, size, &number) || number >> bits)
			return ERROR_INVALID;
		ip |= number << (last ? 0 : 24 - 8 * count);
		count++;
		at += size + (at[size] == '.');
	}
	snprintf(host, RELAY_HOST_SIZE, "%u.%u.%u.%u", (unsigned)(ip >> 24),
		(unsigned)(ip >> 16 & 255), (unsigned)(ip >> 8 & 255), (unsigned)(ip & 255));
	return ERROR_NONE;
}

/* Reads a host name: undoes percent encoding, and writes the name in lower case. */
static int read_name(struct part text, char host[RELAY_HOST_SIZE])
{
	size_t size = 0;

	for (size_t i = 0; i < text.size; i++) {
		char c = text.at[i];

		if (c == '%' && text.size - i > 2 && hex_digit(text.at[i + 1]) >= 0 &&
			hex_digit(text.at[i + 2]) >= 0) {
			c = (char)(hex_digit(text.at[i + 1]) << 4 | hex_digit(text.at[i + 2]));
			i += 2;
		}
		/* The standard's forbidden domain code points. */
		if ((unsigned char)c <= ' ' || (unsigned char)c >= 0x7f ||
			strchr("#/:<>?@[\\]^|%", c))
			return ERROR_INVALID;
		if (size == RELAY_HOST_SIZE - 1)
			return ERROR_TOO_LARGE;
		host[size++] = lower(c);
	}
	host[size] = '\0';
	return size ? ERROR_NONE : ERROR_INVALID;
}

static int read_host(struct part text, struct relay_url *url)
{
	int error;

	if (text.size >= 2 && text.at[0] == '[' && text.at[text.size - 1] == ']')
		return read_v6((struct part){text.at + 1, text.size - 2}, url);
	error = read_name(text, url->host);
	if (!error && ends_in_number(url->host))
		error = read_v4(url->host);
	return error;
}

static int read_authority(struct part text, struct relay_url *url)
{
	struct part host = text, port = {.at = ""};
	bool bracket = false;
	int error;

	for (size_t i = 0; i < text.size; i++) {
		if (text.at[i] == '[' || text.at[i] == ']')
			bracket = text.at[i] == '[';
		if (text.at[i] == ':' && !bracket) {
			host.size = i;
			port = (struct part){text.at + i + 1, text.size - i - 1};
			break;
		}
	}
	error = read_host(host, url);
	return error ? error : read_port(port, url);
}

static void write_authority(struct writer *writer, const struct relay_url *url)
{
	bool v6 = strchr(url->host, ':') != NULL;
	char port[8];

	writer_bytes(writer, "https://", url->tls ? 5 : 4);
	writer_bytes(writer, "://", 3);
	writer_bytes(writer, "[", v6);
	writer_bytes(writer, url->host, strlen(url->host));
	writer_bytes(writer, "]", v6);
	if (url->port == (url->tls ? 443 : 80))
		return;
	snprintf(port, sizeof port, ":%u", url->port);
	writer_bytes(writer, port, strlen(port));
}

/* Returns 1 for ".", 2 for "..", each dot plain or as %2e; 0 for any other segment. */
static int dots(struct part segment)
{
	int count = 0;

	for (size_t i = 0; i < segment.size; i++, count++) {
		if (segment.at[i] == '.')
			continue;
		if (segment.size - i < 3 || strncasecmp(segment.at + i, "%2e", 3))
			return 0;
		i += 2;
	}
	return count <= 2 ? count : 0;
}

static void write_segment(struct writer *writer, struct part segment)
{
	writer_u8(writer, '/');
	for (size_t i = 0; i < segment.size; i++) {
		unsigned char c = (unsigned char)segment.at[i];
		char encoded[4];

		if (c < 0x7f && !strchr("\"<>`{}", c)) {
			writer_u8(writer, c);
			continue;
		}
		snprintf(encoded, sizeof encoded, "%%%02X", c);
		writer_bytes(writer, encoded, 3);
	}
}

/* Takes back the last segment that was written after the first base bytes. */
static void drop_segment(struct writer *writer, size_t base)
{
	size_t size = writer_size(writer);

	while (size > base && writer->start[size - 1] != '/')
		size--;
	if (size > base)
		writer->at = writer->start + size - 1;
}

static void write_path(struct writer *writer, struct reader *reader)
{
	size_t base = writer_size(writer);
	bool open = true;

	while (reader_left(reader)) {
		struct part segment;

		reader_u8(reader);
		segment = take_part(reader, 0);
		open = dots(segment) > 0;
		if (dots(segment) == 2)
			drop_segment(writer, base);
		else if (!open)
			write_segment(writer, segment);
	}
	if (open)
		writer_u8(writer, '/');
}

int relay_url_parse(const char *text, size_t size, struct relay_url *out)
{
	struct relay_url url = {0};
	struct reader reader;
	struct writer writer;
	int error;

	reader_init(&reader, text, size);
	if (!is_plain(text, size) || read_scheme(&reader, &url.tls))
		return ERROR_INVALID;
	error = read_authority(take_part(&reader, 0), &url);
	if (error)
		return error;
	writer_init(&writer, url.text, sizeof url.text);
	write_authority(&writer, &url);
	write_path(&writer, &reader);
	writer_u8(&writer, '\0');
	if (writer.error)
		return writer.error;
	*out = url;
	return ERROR_NONE;
}

struct address relay_url_address(const struct relay_url *url)
{
	struct address address = {.family = ADDRESS_RELAY};
	blake3_hasher hasher;

	blake3_hasher_init(&hasher);
	blake3_hasher_update(&hasher, url->text, strlen(url->text));
	blake3_hasher_finalize(&hasher, address.ip, sizeof address.ip);
	return address;
}

/* Tells whether the last label of a name, without a trailing dot, is this label, and not the only
 * one. */
static bool ends_with_label(const char *host, size_t size, const char *label)
{
	size_t length = strlen(label);

	return size > length && host[size - length - 1] == '.' &&
	       strncmp(host + size - length, label, length) == 0;
}

bool relay_url_is_public(const struct relay_url *url)
{
	size_t size = strlen(url->host);
	struct address ignored;

	if (size && url->host[size - 1] == '.')
		size--;
	if (!url->tls || url->port == 0 || address_literal(url->host, url->port, &ignored))
		return false;
	/* "localhost.localdomain" is how old lists of hosts name this machine. */
	return memchr(url->host, '.', size) && !ends_with_label(url->host, size, "localhost") &&
	       !ends_with_label(url->host, size, "localdomain");
}
