/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The names, the limits, and all but JSON, which has tests of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"
#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/memory.h"
#include "plugin/codecs/codec.h"
#include "support_heap.h"

#define ROOM 3937 /* of a signed message (docs/views.md) */

static const struct codec_options sorted;

static void names(void **state)
{
	static const char *const texts[CODECS] = {"json", "text", "bytes", "cbor"};

	for (enum codec codec = 0; codec < CODECS; codec++) {
		assert_string_equal(codec_name(codec), texts[codec]);
		assert_int_equal(codec_named(texts[codec]), codec);
	}
	assert_int_equal(codec_named("JSON"), CODECS);
	assert_int_equal(codec_named("json "), CODECS);
	assert_int_equal(codec_named(""), CODECS);
}

static void require_encoded(enum codec codec, const char *payload, size_t size, const char *hex)
{
	uint8_t body[ROOM], expected[ROOM];
	char reason[CODEC_REASON_SIZE] = "?";
	size_t body_size;

	assert_int_equal(codec_encode(codec, &sorted, size ? payload : NULL, size, body,
				 sizeof body, &body_size, reason),
		0);
	assert_string_equal(reason, "");
	assert_int_equal(body_size, strlen(hex) / 2);
	hex_decode(hex, expected, body_size);
	assert_memory_equal(body, expected, body_size);
}

static void require_refused(
	enum codec codec, const char *payload, size_t size, const char *expected)
{
	uint8_t body[ROOM];
	char reason[CODEC_REASON_SIZE] = "";
	size_t body_size;

	assert_int_equal(codec_encode(codec, &sorted, size ? payload : NULL, size, body,
				 sizeof body, &body_size, reason),
		ERROR_INVALID);
	assert_string_equal(reason, expected);
}

static void encoded(void **state)
{
	require_encoded(CODEC_JSON, "[1.0]", 5, "81f93c00");
	require_encoded(CODEC_TEXT, "", 0, "60");
	require_encoded(CODEC_TEXT, "hello", 5, "6568656c6c6f");
	require_encoded(CODEC_TEXT, "a\0\xc3\xa9", 4, "646100c3a9");
	require_encoded(CODEC_TEXT, "abcdefghijklmnopqrstuvwx", 24,
		"78186162636465666768696a6b6c6d6e6f707172737475767778");
	require_encoded(CODEC_BYTES, "", 0, "40");
	require_encoded(CODEC_BYTES, "\0\xff", 2, "4200ff");
	require_encoded(CODEC_CBOR, "\xf6", 1, "f6");
	require_encoded(CODEC_CBOR,
		"\xa2\x61"
		"b\x02\x62"
		"aa\x01",
		8, "a261620262616101");
}

static void refused(void **state)
{
	require_refused(CODEC_JSON, "", 0, "byte 1: the text ends where a value must be");
	require_refused(CODEC_TEXT, "\xff", 1, "it is not UTF-8");
	require_refused(CODEC_TEXT, "a\xed\xa0\x80", 4, "it is not UTF-8");
	require_refused(CODEC_CBOR, "", 0, "input ended too early");
	require_refused(CODEC_CBOR, "\xf6\n", 2, "bytes follow the end");
	require_refused(CODEC_CBOR, "\x18\x01", 2, "not deterministic CBOR");
	require_refused(CODEC_CBOR, "\xf9\xfe\0", 3, "not deterministic CBOR"); /* another NaN */
	require_refused(CODEC_CBOR,
		"\xa2\x62"
		"aa\x01\x61"
		"b\x02",
		8, "not deterministic CBOR");
	require_refused(CODEC_CBOR, "hello", 5, "input ended too early");
	/* What would crash an application, in whatever it is. */
	require_refused(CODEC_CBOR, "\x81\xc1\xf6", 3, "a tag around a simple value");
}

/* With the figure, for each codec; exactly as much fits. */
static void too_large(void **state)
{
	uint8_t body[ROOM + 1];
	char payload[2 * ROOM], reason[CODEC_REASON_SIZE];
	size_t size;

	for (enum codec codec = CODEC_JSON; codec < CODEC_CBOR; codec++) {
		/* A head of three bytes; JSON has quotes around it. */
		size_t most = ROOM - 3 + (codec == CODEC_JSON ? 2 : 0);

		for (size_t more = 0; more < 2; more++) {
			int error;

			memset(payload, 'x', sizeof payload);
			if (codec == CODEC_JSON)
				payload[0] = payload[most + more - 1] = '"';
			body[ROOM] = 0x55;
			error = codec_encode(
				codec, &sorted, payload, most + more, body, ROOM, &size, reason);
			assert_int_equal(error, more ? ERROR_TOO_LARGE : 0);
			assert_int_equal(size, ROOM + more);
			assert_int_equal(body[ROOM], 0x55);
		}
		assert_string_equal(reason, "its body would have 3938 bytes, 3937 are the most");
	}
	assert_int_equal(
		codec_encode(CODEC_CBOR, &sorted, payload, ROOM + 1, body, ROOM, &size, reason),
		ERROR_TOO_LARGE);
	assert_string_equal(reason, "its body would have 3938 bytes, 3937 are the most");
	assert_int_equal(size, ROOM + 1);
}

/* Text that becomes three times as much, and the largest of all. */
static void json_too_large(void **state)
{
	char *text = malloc(LIMIT_JSON_TEXT + 1), reason[CODEC_REASON_SIZE];
	uint8_t body[ROOM];
	size_t size;

	heap_begin();
	memset(text, ' ', LIMIT_JSON_TEXT + 1);
	text[0] = '1';
	assert_int_equal(
		codec_encode(CODEC_JSON, &sorted, text, LIMIT_JSON_TEXT, body, ROOM, &size, reason),
		0);
	assert_int_equal(codec_encode(CODEC_JSON, &sorted, text, LIMIT_JSON_TEXT + 1, body, ROOM,
				 &size, reason),
		ERROR_TOO_LARGE);
	assert_string_equal(reason, "it is JSON of 65537 bytes, 65536 are the most");
	text[0] = '[';
	for (size_t at = 1; at + 4 < LIMIT_JSON_TEXT; at += 4)
		memcpy(text + at, "0.1,", 4);
	memcpy(text + LIMIT_JSON_TEXT - 7, "0.1    ", 7);
	text[LIMIT_JSON_TEXT - 1] = ']';
	assert_int_equal(
		codec_encode(CODEC_JSON, &sorted, text, LIMIT_JSON_TEXT, body, ROOM, &size, reason),
		ERROR_TOO_LARGE);
	assert_int_equal(size, 3 + 9 * ((LIMIT_JSON_TEXT - 7) / 4 + 1));
	/* Malformed after the room has ended: that is what is said. */
	text[LIMIT_JSON_TEXT - 1] = 'x';
	assert_int_equal(
		codec_encode(CODEC_JSON, &sorted, text, LIMIT_JSON_TEXT, body, ROOM, &size, reason),
		ERROR_INVALID);
	assert_string_equal(reason, "byte 65536: an array goes on with , or ends with ]");
	free(text);
	heap_end();
}

static int show(enum codec codec, const char *hex, char **payload, size_t *payload_size)
{
	size_t size = strlen(hex) / 2;
	uint8_t *body = malloc(size ? size : 1);
	int error;

	assert_int_equal(hex_decode(hex, body, size), 0);
	error = codec_decode(codec, body, size, payload, payload_size);
	free(body);
	return error;
}

static void shown(void **state)
{
	static const struct {
		enum codec codec;
		const char *body, *payload;
		size_t size;
		int error;
	} cases[] = {
		{CODEC_TEXT, "60", "", 0, 0},
		{CODEC_TEXT, "646100c3a9", "a\0\xc3\xa9", 4, 0},
		{CODEC_TEXT, "4161", NULL, 0, ERROR_UNFIT},
		{CODEC_TEXT, "a0", NULL, 0, ERROR_UNFIT},
		{CODEC_TEXT, "816161", NULL, 0, ERROR_UNFIT},
		{CODEC_TEXT, "c16161", NULL, 0, ERROR_UNFIT},
		{CODEC_TEXT, "61ff", NULL, 0, ERROR_INVALID},
		{CODEC_TEXT, "616161", NULL, 0, ERROR_TRAILING},
		{CODEC_TEXT, "6261", NULL, 0, ERROR_TRUNCATED},
		{CODEC_BYTES, "40", "", 0, 0},
		{CODEC_BYTES, "4200ff", "\0\xff", 2, 0},
		{CODEC_BYTES, "80", "", 0, 0},
		{CODEC_BYTES, "8317181818ff", "\x17\x18\xff", 3, 0},
		{CODEC_BYTES, "8200190100", NULL, 0, ERROR_UNFIT},
		{CODEC_BYTES, "820020", NULL, 0, ERROR_UNFIT},
		{CODEC_BYTES, "822000", NULL, 0, ERROR_UNFIT},
		{CODEC_BYTES, "8200f6", NULL, 0, ERROR_UNFIT},
		{CODEC_BYTES, "82008100", NULL, 0, ERROR_UNFIT},
		{CODEC_BYTES, "81f93c00", NULL, 0, ERROR_UNFIT},
		{CODEC_BYTES, "9f01ff", NULL, 0, ERROR_NOT_DETERMINISTIC},
		{CODEC_BYTES, "6161", NULL, 0, ERROR_UNFIT},
		{CODEC_BYTES, "a10000", NULL, 0, ERROR_UNFIT},
		{CODEC_BYTES, "8200", NULL, 0, ERROR_TRUNCATED},
		{CODEC_CBOR, "a2616201616102",
			"\xa2\x61"
			"b\x01\x61"
			"a\x02",
			7, 0},
		{CODEC_CBOR, "f9fe00", "\xf9\xfe\0", 3, 0},
		{CODEC_CBOR, "bf616101ff", NULL, 0, ERROR_NOT_DETERMINISTIC},
		{CODEC_CBOR, "c1f6", NULL, 0, ERROR_TAGGED_SIMPLE},
		{CODEC_CBOR, "", NULL, 0, ERROR_TRUNCATED},
	};

	heap_begin();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t size = 77;
		char *payload;

		if (show(cases[i].codec, cases[i].body, &payload, &size) != cases[i].error ||
			size != cases[i].size || !payload != !cases[i].payload)
			fail_msg("%s as %s", cases[i].body, codec_name(cases[i].codec));
		if (payload && (memcmp(payload, cases[i].payload, size) != 0 || payload[size]))
			fail_msg("%s as %s", cases[i].body, codec_name(cases[i].codec));
		memory_free(payload);
	}
	heap_end();
}

static void larger_than_any(void **state)
{
	uint8_t *body = calloc(1, LIMIT_CONTENT + 1);
	size_t size;
	char *payload;

	for (enum codec codec = 0; codec < CODECS; codec++) {
		assert_int_equal(codec_decode(codec, body, LIMIT_CONTENT + 1, &payload, &size),
			ERROR_TOO_LARGE);
		assert_null(payload);
	}
	free(body);
}

static void no_memory(void **state)
{
	static const struct {
		enum codec codec;
		const char *body;
		size_t allocations;
	} cases[] = {
		{CODEC_TEXT, "6161", 1},
		{CODEC_BYTES, "4161", 1},
		{CODEC_BYTES, "8100", 1},
		{CODEC_CBOR, "a16161f6", 1},
		{CODEC_JSON, "a16161f6", 1},
	};
	char reason[CODEC_REASON_SIZE], *payload;
	uint8_t body[1];
	size_t size;

	heap_begin();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		for (size_t n = 1; n <= cases[i].allocations; n++) {
			heap_fail(n, false);
			assert_int_equal(
				show(cases[i].codec, cases[i].body, &payload, &size), ERROR_NOMEM);
			assert_null(payload);
		}
		heap_fail(cases[i].allocations + 1, false);
		assert_int_equal(show(cases[i].codec, cases[i].body, &payload, &size), 0);
		memory_free(payload);
	}
	/* What says how large a body would have been. */
	heap_fail(1, false);
	assert_int_equal(
		codec_encode(CODEC_JSON, &sorted, "0.1", 3, body, 1, &size, reason), ERROR_NOMEM);
	assert_string_equal(reason, "out of memory");
	heap_fail(0, false);
	heap_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(encoded),
		cmocka_unit_test(refused),
		cmocka_unit_test(too_large),
		cmocka_unit_test(json_too_large),
		cmocka_unit_test(shown),
		cmocka_unit_test(larger_than_any),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
