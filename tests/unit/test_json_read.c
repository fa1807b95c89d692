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
#include "plugin/codecs/json.h"
#include "support_heap.h"

#define ROOM 4096

/* Texts and bodies of their own sizes, so that ASan sees what is beyond them. */
static int encode(const char *text, size_t size, bool written, char hex[2 * ROOM + 1],
	char reason[CODEC_REASON_SIZE])
{
	char *copy = malloc(size ? size : 1);
	uint8_t *body = malloc(ROOM);
	size_t body_size = 0;
	int error;

	memcpy(copy, text, size);
	*reason = '\0';
	error = json_to_body(copy, size, written, body, ROOM, &body_size, reason);
	hex[0] = '\0';
	if (!error)
		hex_encode(body, body_size, hex);
	free(copy);
	free(body);
	return error;
}

static void require(const char *text, size_t size, bool written, const char *expected)
{
	char hex[2 * ROOM + 1], reason[CODEC_REASON_SIZE];

	if (encode(text, size, written, hex, reason) || strcmp(hex, expected) != 0)
		fail_msg("%s: %s %s, not %s", text, hex, reason, expected);
}

static void require_refused(const char *text, size_t size, const char *expected)
{
	char hex[2 * ROOM + 1], reason[CODEC_REASON_SIZE];

	if (encode(text, size, false, hex, reason) != ERROR_INVALID ||
		strcmp(reason, expected) != 0)
		fail_msg("%s: %s '%s', not '%s'", text, hex, reason, expected);
}

static void known_pairs(void **state)
{
	static const struct {
		const char *text, *body;
	} cases[] = {
		{"0", "00"},
		{"1", "01"},
		{"1.0", "f93c00"},
		{"1e3", "f963d0"},
		{"1E+3", "f963d0"},
		{"-1", "20"},
		{"23", "17"},
		{"24", "1818"},
		{"-24", "37"},
		{"-25", "3818"},
		{"9007199254740993", "1b0020000000000001"},
		{"18446744073709551615", "1bffffffffffffffff"},
		{"-18446744073709551616", "3bffffffffffffffff"},
		{"18446744073709551616.0", "fa5f800000"},
		{"0.0", "f90000"},
		{"-0.0", "f98000"},
		{"-0e0", "f98000"},
		{"21.5", "f94d60"},
		{"0.1", "fb3fb999999999999a"},
		{"65504.0", "f97bff"},
		{"65505.0", "fa477fe100"},
		{"65536.0", "fa47800000"},
		{"5.960464477539063e-8", "f90001"},
		{"5.96e-8", "fb3e6fff5c939522db"},
		{"100000.0", "fa47c35000"},
		{"true", "f5"},
		{"false", "f4"},
		{"null", "f6"},
		{"\"\"", "60"},
		{"\"hello\"", "6568656c6c6f"},
		{" \t\r\n\"\\\"\\\\\\/\\b\\f\\n\\r\\t\" ", "68225c2f080c0a0d09"},
		{"\"a\\u0000b\"", "63610062"},
		{"\"\\u00e9\\u00E9\xc3\xa9\"", "66c3a9c3a9c3a9"},
		{"\"\\uD83D\\uDC3C\xf0\x9f\x90\xbc\"", "68f09f90bcf09f90bc"},
		{"\"\\udbff\\udfff\\uffff\"", "67f48fbfbfefbfbf"},
		{"\"\\u007f\\u0080\\u07ff\\u0800\"", "687fc280dfbfe0a080"},
		{"\"\\ud7ff\\ue000\\ud800\\udc00\"", "6aed9fbfee8080f0908080"},
		{"\"\x7f\xef\xbb\xbf\"", "647fefbbbf"},
		{"[]", "80"},
		{"[ ]", "80"},
		{"[1,[2,3],[4,5]]", "8301820203820405"},
		{"[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,\"a\"]",
			"9818000102030405060708090a0b0c0d0e0f101112131415166161"},
		{"{}", "a0"},
		{"{ }", "a0"},
		{"{\"temp\":21.5,\"unit\":\"C\"}", "a26474656d70f94d6064756e69746143"},
		{" { \"a\" : [ { \"b\" : null } ] } ", "a1616181a16162f6"},
		{"{\"\":0,\"a\":{\"\":{}}}", "a260006161a160a0"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		require(cases[i].text, strlen(cases[i].text), false, cases[i].body);
}

static void order_of_keys(void **state)
{
	static const struct {
		const char *text, *sorted, *written;
	} cases[] = {
		{"{\"aa\":1,\"b\":2}", "a261620262616101", "a262616101616202"},
		{"{\"b\":1,\"a\":2}", "a2616102616201", "a2616201616102"},
		/* Inner maps are sorted before outer ones; values go with their keys. */
		{"[{\"zz\":{\"d\":1,\"c\":\"x\"},\"y\":[{\"b\":0,\"a\":{}}]}]",
			"81a2617981a26161a0616200627a7aa2616361786164"
			"01",
			"81a2627a7aa2616401616361786179"
			"81a26162006161a0"},
		{"{\"\\u00e9\":1,\"zz\":2,\"\":3}",
			"a3600362"
			"7a7a0262c3a901",
			"a362c3a901627a7a026003"},
		/* 24 characters have a longer head than 23. */
		{"{\"kkkkkkkkkkkkkkkkkkkkkkkk\":1,\"zzzzzzzzzzzzzzzzzzzzzzz\":2}",
			"a2777a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a02"
			"78186b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b01",
			"a278186b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b01"
			"777a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a7a02"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		require(cases[i].text, strlen(cases[i].text), false, cases[i].sorted);
		require(cases[i].text, strlen(cases[i].text), true, cases[i].written);
	}
}

static void refusals(void **state)
{
	static const char *const begins = "no value of JSON begins like this",
				 *const twice = "a key of the object that begins here comes twice",
				 *const half = "a surrogate without its other half is no character",
				 *const utf8 =
					 "the string that begins or goes on here is not UTF-8";
	const struct {
		const char *text;
		size_t byte;
		const char *why;
	} cases[] = {
		{"", 1, "the text ends where a value must be"},
		{"  ", 3, "the text ends where a value must be"},
		{"[1,", 4, "the text ends where a value must be"},
		{"hello", 1, begins},
		{"tru", 1, begins},
		{"True", 1, begins},
		{"NaN", 1, begins},
		{"Infinity", 1, begins},
		{"'a'", 1, begins},
		{"+1", 1, begins},
		{".5", 1, begins},
		{"[1,]", 4, begins},
		{"\xef\xbb\xbf"
		 "1",
			1, begins},
		{"// x", 1, begins},
		{"1 2", 3, "something follows the value"},
		{"01", 2, "something follows the value"},
		{"nullx", 5, "something follows the value"},
		{"{}}", 3, "something follows the value"},
		{"1\f", 2, "something follows the value"},
		{"-", 1, "a number of JSON has digits here"},
		{"1.", 1, "a number of JSON has digits here"},
		{"[-x]", 2, "a number of JSON has digits here"},
		{"1e", 1, "a number of JSON has digits here"},
		{"[0, -0]", 5, "-0 is no integer: write 0 or -0.0"},
		{"18446744073709551616", 1,
			"18446744073709551616 is beyond -2^64..2^64-1: write a float or a string"},
		{"-18446744073709551617", 1,
			"-18446744073709551617 is beyond -2^64..2^64-1: write a float or a string"},
		{"10000000000000000000000000000000000000000", 1,
			"1000000000000000000000000000000000000000.. is beyond -2^64..2^64-1: write "
			"a "
			"float or a string"},
		{"1e309", 1, "1e309 is beyond what a float of 64 bits holds"},
		{"-1e-400", 1, "-1e-400 is beyond what a float of 64 bits holds"},
		{"\"a", 3, "the text ends within a string"},
		{"\"a\\", 3, "JSON has no such escape"},
		{"\"a\\\"", 5, "the text ends within a string"},
		{"\"\\x41\"", 2, "JSON has no such escape"},
		{"\"\\a\"", 2, "JSON has no such escape"},
		{"\"\\u12\"", 2, "four hex digits must follow \\u"},
		{"\"\\u12g4\"", 2, "four hex digits must follow \\u"},
		{"\"\\u123", 2, "four hex digits must follow \\u"},
		{"\"\\u", 2, "four hex digits must follow \\u"},
		{"\"\\ud83d\"", 2, half},
		{"\"\\ud83dx\"", 2, half},
		{"\"\\udc3c\"", 2, half},
		{"\"\\udc00\\udc00\"", 2, half},
		{"\"\\udfff\"", 2, half},
		{"\"\\ud83d\\ud83d\"", 2, half},
		{"\"\\ud83d\\u0041\"", 2, half},
		{"\"\\ud83d\\n\"", 2, half},
		{"\"\\ud83d\\u12\"", 2, half},
		{"\"\x01\"", 2, "control characters are written as \\u00.."},
		{"\"a\nb\"", 3, "control characters are written as \\u00.."},
		{"\"\xff\"", 2, utf8},
		{"\"\xed\xa0\x80\"", 2, utf8},
		{"\"ab\xc3\"", 2, utf8},
		{"\"ab\xc3\\n\xa9\"", 2, utf8},
		{"\"ab\\n\xa9\"", 6, utf8},
		{"{\"a\xff\":1}", 3, utf8},
		{"[1 2]", 4, "an array goes on with , or ends with ]"},
		{"[1", 3, "an array goes on with , or ends with ]"},
		{"[1}", 3, "an array goes on with , or ends with ]"},
		{"{\"a\":1 \"b\":2}", 8, "an object goes on with , or ends with }"},
		{"{\"a\":1", 7, "an object goes on with , or ends with }"},
		{"{\"a\":1]", 7, "an object goes on with , or ends with }"},
		{"{a:1}", 2, "an object has a key in quotes here"},
		{"{1:1}", 2, "an object has a key in quotes here"},
		{"{\"a\":1,}", 8, "an object has a key in quotes here"},
		{"{", 2, "an object has a key in quotes here"},
		{"{\"a\" 1}", 6, "a : follows a key"},
		{"{\"a\"}", 5, "a : follows a key"},
		{"{\"a\":}", 6, begins},
		{"{\"a\":1,\"a\":2}", 1, twice},
		{"[{\"a\":1,\"b\":2,\"\\u0061\":1}]", 2, twice},
		{"{\"\":{\"x\":{},\"x\":{}}}", 5, twice},
	};
	char expected[CODEC_REASON_SIZE];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		snprintf(expected, sizeof expected, "byte %zu: %s", cases[i].byte, cases[i].why);
		require_refused(cases[i].text, strlen(cases[i].text), expected);
	}
	/* Zeros are no end of anything. */
	require_refused("1\0", 2, "byte 2: something follows the value");
	require_refused("\0", 1, "byte 1: no value of JSON begins like this");
	require_refused("\"a\0b\"", 5, "byte 3: control characters are written as \\u00..");
	require_refused("[1,\0]", 5, "byte 4: no value of JSON begins like this");
}

static void depths(void **state)
{
	char text[2 * 5000], hex[2 * ROOM + 1], reason[CODEC_REASON_SIZE];

	for (size_t depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		assert_int_equal(encode(text, 2 * depth, false, hex, reason),
			depth > LIMIT_JSON_DEPTH ? ERROR_INVALID : 0);
	}
	assert_string_equal(reason, "byte 65: nested more than 64 deep");
	memset(text, '[', sizeof text);
	assert_int_equal(encode(text, sizeof text, false, hex, reason), ERROR_INVALID);
}

/* Of each text, each prefix is refused but for numbers, which may end anywhere. */
static void cut(void **state)
{
	static const char text[] = "{\"a\":[1,-2.5e3,true,null],\"\\u00e9\":{\"b\":\"\\n\"}}";
	char hex[2 * ROOM + 1], reason[CODEC_REASON_SIZE];

	for (size_t size = 0; size < sizeof text - 1; size++)
		assert_int_equal(encode(text, size, false, hex, reason), ERROR_INVALID);
	assert_int_equal(encode(text, sizeof text - 1, false, hex, reason), 0);
}

/* At every size of the room but the right one, there is none; nothing is written beyond it. */
static void room(void **state)
{
	static const char text[] =
		"{\"zz\":[1,-2.5e3,true,null,0.1],\"\\u00e9\":{\"b\":\"\\n\"},\"a\":-70000}";
	char reason[CODEC_REASON_SIZE];
	size_t size;

	for (size_t room = 0;; room++) {
		uint8_t *body = malloc(room ? room : 1);
		int error = json_to_body(text, sizeof text - 1, false, body, room, &size, reason);

		free(body);
		if (!error) {
			assert_int_equal(size, room);
			break;
		}
		assert_int_equal(error, ERROR_TOO_LARGE);
		assert_true(room < 100);
	}
}

static void no_memory(void **state)
{
	char text[512] = "{", hex[2 * ROOM + 1], reason[CODEC_REASON_SIZE];
	bool failed;

	for (int key = 40; key > 0; key--)
		sprintf(text + strlen(text), "%s\"k%02d\":%d", key == 40 ? "" : ",", key, key);
	strcat(text, "}");
	heap_begin();
	for (size_t n = 1;; n++) {
		int error;

		heap_fail(n, false);
		error = encode(text, strlen(text), false, hex, reason);
		failed = heap_has_failed();
		assert_int_equal(error, failed ? ERROR_NOMEM : 0);
		assert_int_equal(heap_blocks(), 0);
		if (!failed)
			break;
		assert_true(n < 100);
	}
	heap_fail(0, false);
	heap_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_pairs),
		cmocka_unit_test(order_of_keys),
		cmocka_unit_test(refusals),
		cmocka_unit_test(depths),
		cmocka_unit_test(cut),
		cmocka_unit_test(room),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
