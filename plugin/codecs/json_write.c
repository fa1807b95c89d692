/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Converts CBOR to JSON, as RFC 8949, 6.1 advises. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../../bridge/bytes/cbor.h"
#include "../../bridge/error.h"
#include "../../bridge/limits.h"
#include "../../bridge/memory.h"
#include "json.h"
#include "number.h"

#define TAG_NEGATIVE_BIGNUM 3

struct text {
	struct reader body;
	char *start;
	size_t size, room;
	unsigned depth;
	int error;
};

static void write_item(struct text *text);

static void fail(struct text *text, int error)
{
	if (!text->error)
		text->error = error;
}

/* Makes room for that many characters more, and the closing zero. Returns where the characters go;
 * NULL after an error. */
static char *reserve(struct text *text, size_t more)
{
	size_t room = text->room;
	char *start;

	if (text->error)
		return NULL;
	while (room - text->size <= more)
		room *= 2;
	if (room > text->room) {
		start = memory_realloc(text->start, room);
		if (!start) {
			fail(text, ERROR_NOMEM);
			return NULL;
		}
		text->start = start;
		text->room = room;
	}
	return text->start + text->size;
}

static void append(struct text *text, const char *characters, size_t size)
{
	char *to = reserve(text, size);

	if (!to)
		return;
	memcpy(to, characters, size);
	text->size += size;
}

static void append_name(struct text *text, const char *name)
{
	append(text, name, strlen(name));
}

/* Appends the escape of a character that must be escaped (RFC 8259, 7); no other one is. */
static void append_escape(struct text *text, char character)
{
	static const char controls[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
	const char *control = memchr(controls, character, sizeof controls - 1);
	char escape[8];
	int size = control ? snprintf(escape, sizeof escape, "\\%c", names[control - controls])
			   : snprintf(escape, sizeof escape, "\\u%04x", (unsigned)character);

	append(text, escape, (size_t)size);
}

static bool must_escape(char character)
{
	return (uint8_t)character < ' ' || character == '"' || character == '\\';
}

static void write_string(struct text *text, const char *content, size_t size)
{
	append(text, "\"", 1);
	for (size_t at = 0, from = 0; at <= size; at++) {
		if (at < size && !must_escape(content[at]))
			continue;
		append(text, content + from, at - from);
		if (at < size)
			append_escape(text, content[at]);
		from = at + 1;
	}
	append(text, "\"", 1);
}

/* Writes bytes in base64url without padding (RFC 4648, 5). tilde: "~", which goes in front of a
 * negative bignum, or "". */
static void write_bytes(struct text *text, const uint8_t *bytes, size_t size, const char *tilde)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t bits = 0;
	unsigned count = 0;
	char *to;

	append(text, "\"", 1);
	append_name(text, tilde);
	to = reserve(text, (size * 4 + 2) / 3);
	if (!to)
		return;
	for (size_t i = 0; i < size; i++) {
		bits = bits << 8 | bytes[i];
		for (count += 8; count >= 6; count -= 6)
			*to++ = digits[bits >> (count - 6) & 63];
	}
	if (count > 0)
		*to++ = digits[bits << (6 - count) & 63];
	text->size = (size_t)(to - text->start);
	append(text, "\"", 1);
}

static void write_integer(struct text *text, const struct cbor_head *head)
{
	char digits[24];
	int size;

	if (head->major == CBOR_UINT)
		size = snprintf(digits, sizeof digits, "%" PRIu64, head->value);
	else if (head->value == UINT64_MAX)
		size = snprintf(digits, sizeof digits, "-18446744073709551616");
	else
		size = snprintf(digits, sizeof digits, "-%" PRIu64, head->value + 1);
	append(text, digits, (size_t)size);
}

static void write_simple(struct text *text, const struct cbor_head *head)
{
	char number[NUMBER_FORMAT_SIZE];

	if (head->information >= CBOR_F16 && isfinite(cbor_float(head)))
		append(text, number, number_format(cbor_float(head), number));
	else if (head->information == CBOR_TRUE || head->information == CBOR_FALSE)
		append_name(text, head->information == CBOR_TRUE ? "true" : "false");
	else
		append_name(text, "null"); /* also for NaN and infinities */
}

static void write_key(struct text *text)
{
	size_t size;
	const char *key = cbor_read_text(&text->body, &size);

	if (key)
		write_string(text, key, size);
	else
		fail(text, ERROR_UNFIT);
	append(text, ":", 1);
}

static void write_container(struct text *text, const struct cbor_head *head)
{
	bool is_map = head->major == CBOR_MAP;

	append(text, is_map ? "{" : "[", 1);
	for (uint64_t count = 0; count < head->value && !text->error; count++) {
		if (count > 0)
			append(text, ",", 1);
		if (is_map)
			write_key(text);
		write_item(text);
	}
	append(text, is_map ? "}" : "]", 1);
}

/* Writes what a tag encloses, without the tag; but bytes that a tag calls a negative number get a
 * tilde in front. */
static void write_tagged(struct text *text, const struct cbor_head *head)
{
	struct reader inside = text->body;
	struct cbor_head content;

	if (head->value == TAG_NEGATIVE_BIGNUM && cbor_read_head(&inside, &content) &&
		content.major == CBOR_BYTES) {
		size_t size;
		const uint8_t *bytes = cbor_read_bytes(&text->body, &size);

		write_bytes(text, bytes, size, "~");
	} else {
		write_item(text);
	}
}

static void write_content(struct text *text, const struct cbor_head *head)
{
	const uint8_t *content;

	switch (head->major) {
	case CBOR_UINT:
	case CBOR_NEGATIVE:
		write_integer(text, head);
		break;
	case CBOR_BYTES:
	case CBOR_TEXT:
		content = reader_bytes(&text->body, (size_t)head->value);
		if (!content)
			break;
		if (head->major == CBOR_TEXT)
			write_string(text, (const char *)content, (size_t)head->value);
		else
			write_bytes(text, content, (size_t)head->value, "");
		break;
	case CBOR_ARRAY:
	case CBOR_MAP:
		write_container(text, head);
		break;
	case CBOR_TAG:
		write_tagged(text, head);
		break;
	case CBOR_SIMPLE:
		write_simple(text, head);
		break;
	}
}

/* Writes the next item. Recurses as deep as LIMIT_JSON_DEPTH, and no deeper. */
static void write_item(struct text *text)
{
	struct cbor_head head;
	bool nests;

	if (text->error || !cbor_read_head(&text->body, &head))
		return;
	nests = head.major >= CBOR_ARRAY && head.major <= CBOR_TAG;
	if (nests && text->depth == LIMIT_JSON_DEPTH) {
		fail(text, ERROR_UNFIT);
		return;
	}
	text->depth += nests;
	write_content(text, &head);
	text->depth -= nests;
}

int json_of_body(const uint8_t *body, size_t body_size, char **text, size_t *size)
{
	struct text json = {.room = 2 * body_size + NUMBER_FORMAT_SIZE};

	reader_init(&json.body, body, body_size);
	json.start = memory_alloc(json.room);
	if (!json.start)
		return ERROR_NOMEM;
	write_item(&json);
	if (json.body.error)
		fail(&json, ERROR_INVALID);
	if (json.error) {
		memory_free(json.start);
		return json.error;
	}
	json.start[json.size] = '\0';
	*text = json.start;
	*size = json.size;
	return ERROR_NONE;
}
