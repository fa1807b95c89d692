/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Converts JSON (RFC 8259) to CBOR, in one pass over the text. Does not use cJSON, which is exact
 * in nothing but the shape: its numbers are doubles (2^53 + 1 is lost, 1 and 1.0 are the same), its
 * strings end at \u0000, and it takes text that is not UTF-8, raw control characters, 01 and 1. as
 * numbers, and depths to 1000. The tests compare the rest with cJSON.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../../bridge/bytes/cbor.h"
#include "../../bridge/bytes/utf8.h"
#include "../../bridge/error.h"
#include "../../bridge/limits.h"
#include "../../bridge/memory.h"
#include "json.h"
#include "keys.h"
#include "number.h"

#define SHOWN 40 /* characters of a number that a reason repeats */

struct json {
	const char *start, *at, *end;
	struct writer body;
	struct keys keys;
	bool keys_as_written;
	unsigned depth;
	int error;
	char *reason;
};

static void read_value(struct json *json);

static void fail(struct json *json, int error)
{
	if (!json->error)
		json->error = error;
}

/* Refuses the text: the reason begins with the number of the byte at where. */
__attribute__((format(printf, 3, 4))) static void refuse(
	struct json *json, const char *where, const char *format, ...)
{
	va_list arguments;
	size_t size;

	if (json->error)
		return;
	fail(json, ERROR_INVALID);
	size = (size_t)snprintf(
		json->reason, CODEC_REASON_SIZE, "byte %zu: ", (size_t)(where - json->start) + 1);
	va_start(arguments, format);
	vsnprintf(json->reason + size, CODEC_REASON_SIZE - size, format, arguments);
	va_end(arguments);
}

static size_t left(const struct json *json)
{
	return (size_t)(json->end - json->at);
}

static void skip_blanks(struct json *json)
{
	while (json->at < json->end && memchr(" \t\n\r", *json->at, 4))
		json->at++;
}

/* Takes that character, if it comes next after blanks. */
static bool take(struct json *json, char character)
{
	skip_blanks(json);
	if (json->error || json->at == json->end || *json->at != character)
		return false;
	json->at++;
	return true;
}

/* Writes a CBOR head in front of what has been written since from. */
static void insert_head(struct json *json, uint8_t *from, uint8_t major, uint64_t value)
{
	uint8_t *end = json->body.at, head[9];
	size_t size;

	cbor_write_head(&json->body, major, value);
	if (json->body.error) {
		fail(json, ERROR_TOO_LARGE);
		return;
	}
	size = (size_t)(json->body.at - end);
	memcpy(head, end, size);
	memmove(from + size, from, (size_t)(end - from));
	memcpy(from, head, size);
}

/* Reads the four hex digits after \u; returns UINT32_MAX if there are no four. */
static uint32_t read_unit(struct json *json)
{
	uint32_t unit = 0;

	if (left(json) < 4)
		return UINT32_MAX;
	for (size_t i = 0; i < 4; i++) {
		static const char digits[] = "0123456789abcdefABCDEF";
		const char *digit = memchr(digits, json->at[i], sizeof digits - 1);

		if (!digit)
			return UINT32_MAX;
		unit = unit << 4 |
		       (uint32_t)(digit - digits < 16 ? digit - digits : digit - digits - 6);
	}
	json->at += 4;
	return unit;
}

/* Reads the character after \u, which may be in two halves (the surrogates of UTF-16). Returns 0
 * after an error. */
static uint32_t read_character(struct json *json, const char *where)
{
	uint32_t high = read_unit(json), low;

	if (high == UINT32_MAX) {
		refuse(json, where, "four hex digits must follow \\u");
		return 0;
	}
	if (high < 0xd800 || high > 0xdfff)
		return high;
	if (high < 0xdc00 && left(json) >= 2 && memcmp(json->at, "\\u", 2) == 0) {
		json->at += 2;
		low = read_unit(json);
		if (low >= 0xdc00 && low <= 0xdfff)
			return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
	}
	refuse(json, where, "a surrogate without its other half is no character");
	return 0;
}

/* Writes a character in UTF-8 (RFC 3629, 3), which takes 1 to 4 bytes. */
static void write_character(struct json *json, uint32_t character)
{
	static const uint8_t marks[] = {0, 0xc0, 0xe0, 0xf0};
	unsigned more = (character >= 0x80) + (character >= 0x800) + (character >= 0x10000);

	writer_u8(&json->body, (uint8_t)(marks[more] | character >> (6 * more)));
	while (more-- > 0)
		writer_u8(&json->body, (uint8_t)(0x80 | (character >> (6 * more) & 0x3f)));
}

static void read_escape(struct json *json)
{
	static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	const char *where = json->at++, *name;

	if (left(json) > 0 && *json->at == 'u') {
		json->at++;
		write_character(json, read_character(json, where));
		return;
	}
	name = left(json) > 0 ? memchr(names, *json->at, sizeof names - 1) : NULL;
	if (!name) {
		refuse(json, where, "JSON has no such escape");
		return;
	}
	json->at++;
	writer_u8(&json->body, (uint8_t)meanings[name - names]);
}

/* Reads the characters up to the next escape or the closing quote. */
static void read_plain(struct json *json)
{
	const char *from = json->at;

	while (json->at < json->end && *json->at != '"' && *json->at != '\\' &&
		(uint8_t)*json->at >= ' ')
		json->at++;
	if (json->at == json->end)
		refuse(json, json->at, "the text ends within a string");
	else if ((uint8_t)*json->at < ' ')
		refuse(json, json->at, "control characters are written as \\u00..");
	else if (!utf8_is_valid(from, (size_t)(json->at - from)))
		refuse(json, from, "the string that begins or goes on here is not UTF-8");
	else
		writer_bytes(&json->body, from, (size_t)(json->at - from));
}

/* Reads a string whose opening quote has been taken. */
static void read_string(struct json *json)
{
	uint8_t *from = json->body.at;

	read_plain(json);
	while (!json->error && *json->at == '\\') {
		read_escape(json);
		read_plain(json);
	}
	if (json->error)
		return;
	json->at++;
	insert_head(json, from, CBOR_TEXT, (uint64_t)(json->body.at - from));
}

static void read_number(struct json *json)
{
	bool is_float, negative;
	size_t size = number_scan(json->at, left(json), &is_float);
	int shown = (int)(size < SHOWN ? size : SHOWN);
	const char *more = size > SHOWN ? ".." : "";
	uint64_t integer;
	double value;

	if (size == 0) {
		refuse(json, json->at, "a number of JSON has digits here");
	} else if (is_float) {
		if (number_float(json->at, size, &value))
			cbor_write_float(&json->body, value);
		else
			refuse(json, json->at, "%.*s%s is beyond what a float of 64 bits holds",
				shown, json->at, more);
	} else if (!number_integer(json->at, size, &negative, &integer)) {
		if (size == 2)
			refuse(json, json->at, "-0 is no integer: write 0 or -0.0");
		else
			refuse(json, json->at,
				"%.*s%s is beyond -2^64..2^64-1: write a float or a string", shown,
				json->at, more);
	} else if (negative) {
		cbor_write_negative(&json->body, integer);
	} else {
		cbor_write_uint(&json->body, integer);
	}
	json->at += size;
}

static void read_array(struct json *json)
{
	uint8_t *from = json->body.at;
	uint64_t count = 0;

	if (!take(json, ']')) {
		do {
			read_value(json);
			count++;
		} while (take(json, ','));
		if (!take(json, ']'))
			refuse(json, json->at, "an array goes on with , or ends with ]");
	}
	if (!json->error)
		insert_head(json, from, CBOR_ARRAY, count);
}

/* Brings pairs into the order of their keys, which have been sorted. */
static void order_pairs(struct json *json, uint8_t *from, size_t first)
{
	size_t size = (size_t)(json->body.at - from), at = 0;
	uint8_t *ordered = memory_alloc(size);

	if (!ordered) {
		fail(json, ERROR_NOMEM);
		return;
	}
	for (size_t i = first; i < json->keys.count; i++) {
		memcpy(ordered + at, json->keys.list[i].at, json->keys.list[i].pair_size);
		at += json->keys.list[i].pair_size;
	}
	memcpy(from, ordered, size);
	memory_free(ordered);
}

static void read_pair(struct json *json)
{
	struct key key = {.at = json->body.at};
	int error;

	if (!take(json, '"')) {
		refuse(json, json->at, "an object has a key in quotes here");
		return;
	}
	read_string(json);
	key.size = (size_t)(json->body.at - key.at);
	if (!take(json, ':'))
		refuse(json, json->at, "a : follows a key");
	read_value(json);
	key.pair_size = (size_t)(json->body.at - key.at);
	error = json->error ? 0 : keys_push(&json->keys, &key);
	if (error)
		fail(json, error);
}

static void read_object(struct json *json)
{
	const char *where = json->at - 1;
	uint8_t *from = json->body.at;
	size_t first = json->keys.count;

	if (!take(json, '}')) {
		do {
			read_pair(json);
		} while (take(json, ','));
		if (!take(json, '}'))
			refuse(json, json->at, "an object goes on with , or ends with }");
	}
	if (!json->error && !keys_ascend(&json->keys, first)) {
		if (!keys_sort(&json->keys, first))
			refuse(json, where, "a key of the object that begins here comes twice");
		else if (!json->keys_as_written)
			order_pairs(json, from, first);
	}
	if (!json->error)
		insert_head(json, from, CBOR_MAP, json->keys.count - first);
	keys_drop(&json->keys, first);
}

static bool take_word(struct json *json, const char *word)
{
	size_t size = strlen(word);

	if (left(json) < size || memcmp(json->at, word, size) != 0)
		return false;
	json->at += size;
	return true;
}

static void read_word(struct json *json)
{
	if (take_word(json, "true"))
		cbor_write_bool(&json->body, true);
	else if (take_word(json, "false"))
		cbor_write_bool(&json->body, false);
	else if (take_word(json, "null"))
		cbor_write_null(&json->body);
	else
		refuse(json, json->at,
			json->at == json->end ? "the text ends where a value must be"
					      : "no value of JSON begins like this");
}

/* Reads an array or an object. Recurses as deep as LIMIT_JSON_DEPTH, and no deeper. */
static void read_nested(struct json *json, char opening)
{
	if (json->depth == LIMIT_JSON_DEPTH) {
		refuse(json, json->at - 1, "nested more than %d deep", LIMIT_JSON_DEPTH);
		return;
	}
	json->depth++;
	if (opening == '[')
		read_array(json);
	else
		read_object(json);
	json->depth--;
}

static void read_value(struct json *json)
{
	if (take(json, '"'))
		read_string(json);
	else if (take(json, '['))
		read_nested(json, '[');
	else if (take(json, '{'))
		read_nested(json, '{');
	else if (!json->error && left(json) > 0 && memchr("-0123456789", *json->at, 11))
		read_number(json);
	else if (!json->error)
		read_word(json);
	if (json->body.error)
		fail(json, ERROR_TOO_LARGE);
}

int json_to_body(const char *text, size_t size, bool keys_as_written, uint8_t *body, size_t room,
	size_t *body_size, char reason[CODEC_REASON_SIZE])
{
	struct json json = {
		.start = text,
		.at = text,
		.end = text + size,
		.keys_as_written = keys_as_written,
		.reason = reason,
	};

	writer_init(&json.body, body, room);
	read_value(&json);
	skip_blanks(&json);
	if (!json.error && json.at < json.end)
		refuse(&json, json.at, "something follows the value");
	keys_clear(&json.keys);
	*body_size = writer_size(&json.body);
	return json.error;
}
