/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"
#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/memory.h"
#include "plugin/codecs/codec.h"
#include "support_heap.h"

static int show(const char *hex, char **text)
{
	size_t size = strlen(hex) / 2, text_size;
	uint8_t *body = malloc(size ? size : 1);
	int error;

	assert_int_equal(hex_decode(hex, body, size), 0);
	error = codec_decode(CODEC_JSON, body, size, text, &text_size);
	if (!error)
		assert_int_equal(strlen(*text), text_size);
	free(body);
	return error;
}

static void require(const char *hex, const char *expected)
{
	char *text;
	int error = show(hex, &text);

	if (error || strcmp(text, expected) != 0)
		fail_msg("%s: %s, not %s", hex, error ? error_name(error) : text, expected);
	memory_free(text);
}

static void known_pairs(void **state)
{
	static const struct {
		const char *body, *text;
	} cases[] = {
		{"00", "0"},
		{"1bffffffffffffffff", "18446744073709551615"},
		{"20", "-1"},
		{"3b7fffffffffffffff", "-9223372036854775808"},
		{"3bfffffffffffffffe", "-18446744073709551615"},
		{"3bffffffffffffffff", "-18446744073709551616"},
		{"f93c00", "1.0"},
		{"f98000", "-0.0"},
		{"f90001", "5.960464477539063e-8"},
		{"fa3dcccccd", "0.10000000149011612"},
		{"fb3fb999999999999a", "0.1"},
		{"f4", "false"},
		{"f5", "true"},
		{"f6", "null"},
		{"60", "\"\""},
		{"68225c2f080c0a0d09", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
		{"6400011f7f", "\"\\u0000\\u0001\\u001f\x7f\""},
		{"66c3a9f09f90bc", "\"\xc3\xa9\xf0\x9f\x90\xbc\""},
		{"80", "[]"},
		{"83018102820304", "[1,[2],[3,4]]"},
		{"a0", "{}"},
		{"a26474656d70f94d6064756e69746143", "{\"temp\":21.5,\"unit\":\"C\"}"},
		/* In the body's order, which before 0.7.1 is the sender's. */
		{"a264756e697461436474656d70f94d60", "{\"unit\":\"C\",\"temp\":21.5}"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		require(cases[i].body, cases[i].text);
}

/* RFC 8949, 6.1. */
static void what_json_has_no_word_for(void **state)
{
	static const struct {
		const char *body, *text;
	} cases[] = {
		{"40", "\"\""},
		{"4100", "\"AA\""},
		{"4200ff", "\"AP8\""},
		{"43fbefff", "\"--__\""},
		{"4401020304", "\"AQIDBA\""},
		{"a1616442ffff", "{\"d\":\"__8\"}"},
		{"c249010000000000000000", "\"AQAAAAAAAAAA\""},
		{"c349010000000000000000", "\"~AQAAAAAAAAAA\""},
		{"c361"
		 "61",
			"\"a\""},
		{"f97c00", "null"},
		{"f9fc00", "null"},
		{"f97e00", "null"},
		{"fb7ff8000000000001", "null"},
		{"c11a65000000", "1694498816"},
		{"d9d9f7a16161d8184100", "{\"a\":\"AA\"}"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		require(cases[i].body, cases[i].text);
}

static void what_cannot_be_shown(void **state)
{
	static const struct {
		const char *body;
		int error;
	} cases[] = {
		{"a10001", ERROR_UNFIT},
		{"a1416101", ERROR_UNFIT},
		{"a1f501", ERROR_UNFIT},
		{"a1820102"
		 "03",
			ERROR_UNFIT},
		{"a2616101f600", ERROR_UNFIT},
		{"81a1c1616101", ERROR_UNFIT},
		{"", ERROR_TRUNCATED},
		{"c1f6", ERROR_TAGGED_SIMPLE},
		{"f7", ERROR_INVALID},
		{"a2616101616101", ERROR_NOT_DETERMINISTIC},
		{"bf61610161620262636303ff", ERROR_NOT_DETERMINISTIC},
		{"0000", ERROR_TRAILING},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char *text;

		if (show(cases[i].body, &text) != cases[i].error || text)
			fail_msg("%s", cases[i].body);
	}
}

static void depths(void **state)
{
	char hex[2 * (LIMIT_JSON_DEPTH + 2) + 1] = "", *text;

	for (int i = 0; i < LIMIT_JSON_DEPTH; i++)
		strcat(hex, i % 2 ? "81" : "c1");
	strcat(hex, "00");
	assert_int_equal(show(hex, &text), 0);
	memory_free(text);
	memmove(hex + 2, hex, strlen(hex) + 1);
	memcpy(hex, "81", 2);
	assert_int_equal(show(hex, &text), ERROR_UNFIT);
}

/* The most that a body becomes is bounded: here six characters of a byte. */
static void longest(void **state)
{
	uint8_t body[4057];
	size_t size;
	char *text;

	memset(body, 0, sizeof body);
	body[0] = 0x79;
	body[1] = (sizeof body - 3) >> 8;
	body[2] = (sizeof body - 3) & 255;
	assert_int_equal(codec_decode(CODEC_JSON, body, sizeof body, &text, &size), 0);
	assert_int_equal(size, 6 * (sizeof body - 3) + 2);
	memory_free(text);
}

/* So that what is written fills the memory to the last byte, and a bit more: zeros become six
 * characters each, and bytes after them a third more. */
static void of_any_length(void **state)
{
	size_t size;
	char *text;

	for (unsigned length = 24; length <= 60; length++) {
		uint8_t body[1 + 2 + 60 + 2 + 255] = {0x82, 0x78, (uint8_t)length};
		unsigned bytes = 5 * length - 45;

		memcpy(body + 3 + length, (uint8_t[]){0x58, (uint8_t)bytes}, 2);
		assert_int_equal(
			codec_decode(CODEC_JSON, body, 5 + length + bytes, &text, &size), 0);
		assert_int_equal(size, 7 + 6 * length + (4 * bytes + 2) / 3);
		assert_int_equal(strlen(text), size);
		memory_free(text);
		/* The first alone. */
		assert_int_equal(codec_decode(CODEC_JSON, body + 1, 2 + length, &text, &size), 0);
		assert_int_equal(size, 6 * length + 2);
		memory_free(text);
	}
}

static void no_memory(void **state)
{
	char hex[2 * 300 + 8] = "98fa", *text;
	bool failed;

	for (int i = 0; i < 250; i++)
		strcat(hex, "f4");
	heap_begin();
	for (size_t n = 1;; n++) {
		int error;

		heap_fail(n, false);
		error = show(hex, &text);
		failed = heap_has_failed();
		assert_int_equal(error, failed ? ERROR_NOMEM : 0);
		if (!failed)
			break;
		assert_null(text);
		assert_int_equal(heap_blocks(), 0);
		assert_true(n < 100);
	}
	memory_free(text);
	heap_fail(0, false);
	heap_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_pairs),
		cmocka_unit_test(what_json_has_no_word_for),
		cmocka_unit_test(what_cannot_be_shown),
		cmocka_unit_test(depths),
		cmocka_unit_test(longest),
		cmocka_unit_test(of_any_length),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
