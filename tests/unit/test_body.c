/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The cases, and what p2panda 0.7.1 (strict) and 0.6.1 make of them, are those of hand-made
 * messages that were given to real applications. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"
#include "bridge/error.h"
#include "plugin/codecs/body.h"
#include "support_heap.h"

/* Of its own size, so that ASan sees a read beyond it. */
static uint8_t *bytes_of(const char *hex, size_t *size)
{
	uint8_t *bytes;

	*size = strlen(hex) / 2;
	bytes = malloc(*size ? *size : 1);
	assert_int_equal(hex_decode(hex, bytes, *size), 0);
	return bytes;
}

static void require(const char *hex, enum body_origin origin, const char *expected)
{
	const char *why = "";
	size_t size;
	uint8_t *body = bytes_of(hex, &size);
	int error = body_check(body, size, origin, &why);

	if (!expected ? error != 0 || why : error != ERROR_INVALID || strcmp(why, expected) != 0)
		fail_msg("%s (%s): %s, not %s", hex, origin == BODY_OURS ? "ours" : "theirs",
			why ? why : "taken", expected ? expected : "taken");
	free(body);
}

static void both_take(void **state)
{
	static const char *const bodies[] = {"00", "17", "1818", "19012c", "1b0020000000000001", "20",
		"3bffffffffffffffff", "3b8000000000000000", "40", "4201ff", "60", "6161", "64efbfbf00",
		"80", "83010203", "a0", "a2616102616201", "a261620262616101", "a30061780161791818617a",
		"a2006178206179", "a200617861616179", "a1416101", "a1810101", "a1a001", "a1f601",
		"a1f93e0001", "f4", "f5", "f6", "f7", "e0", "f3", "f820", "f8ff", "f90000", "f98000",
		"f93c00", "f90001", "f97bff", "f97c00", "f9fc00", "f97e00", "fa47c35000", "fa7f7fffff",
		"fa00000001", "fa33000000", "fa477ff000", "fa47800000", "fb3fb999999999999a", "fb0000000000000001",
		"fb7e37e43c8800759c", "fb47efffffe0000001", "fb3690000000000000",
		"c249010000000000000000", "c349010000000000000000", "c26131",
		"c074323032362d31312d32375430303a30303a30305a", "c11a65000000", "d9d9f76568656c6c6f",
		"d8184100", "c1c105", "81c105", "c1f93e00", "c180", "c1a0", "c14100", "c120"};

	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
		require(bodies[i], BODY_OURS, NULL);
		require(bodies[i], BODY_THEIRS, NULL);
	}
}

static void neither_takes(void **state)
{
	static const char *const head = "a head is longer than needed",
				 *const early = "it ends too early",
				 *const malformed = "it is not well-formed CBOR",
				 *const after = "something follows the item",
				 *const string = "a string is of unknown length",
				 *const wide = "a float is not in its shortest form",
				 *const big = "a bignum is longer than needed",
				 *const tagged = "a tag is around a simple value",
				 *const utf8 = "a text string is not UTF-8",
				 *const ends = "a break is where an item must be",
				 *const twice = "a key of a map comes twice";
	const struct {
		const char *body, *why;
	} cases[] = {{"", early}, {"1800", head}, {"1817", head}, {"190018", head}, {"1900ff", head},
		{"1a0000ffff", head}, {"1b00000000ffffffff", head}, {"3800", head}, {"3900ff", head},
		{"780568656c6c6f", head}, {"79000568656c6c6f", head}, {"5801ff", head}, {"980101", head},
		{"9b000000000000000101", head}, {"b801616101", head}, {"d80100", head}, {"f800", head},
		{"f813", head}, {"f814", head}, {"f817", head}, {"f818", malformed}, {"f81f", malformed},
		{"7f6568656c6c6fff", string}, {"7fff", string}, {"5f41ff4100ff", string}, {"5fff", string},
		{"c25f4101ff", string}, {"bf6161ff", ends}, {"ff", ends}, {"81ff", ends}, {"c1ff", ends},
		{"1c", malformed}, {"1f", malformed}, {"3f", malformed}, {"5c", malformed},
		{"7d", malformed}, {"9e", malformed}, {"bc", malformed}, {"dc", malformed},
		{"df", malformed}, {"fc", malformed}, {"fe", malformed}, {"0000", after},
		{"6568656c6c6f0a", after}, {"f6f6", after}, {"a2616101616102", twice},
		{"a2616101616101", twice}, {"a3616101616201616101", twice}, {"fa3fc00000", wide},
		{"fb3ff8000000000000", wide}, {"fb3ff0000000000000", wide}, {"fb0000000000000000", wide},
		{"fb8000000000000000", wide}, {"fb40f86a0000000000", wide}, {"fa7f800000", wide},
		{"fb7ff0000000000000", wide}, {"fa33800000", wide}, {"fb3e70000000000000", wide},
		{"c24101", big}, {"c240", big}, {"c24100", big}, {"c248ffffffffffffffff", big},
		{"c24a00010000000000000000", big}, {"c34100", big}, {"c1", early}, {"c1f4", tagged},
		{"c1f5", tagged}, {"c1f6", tagged}, {"c1f7", tagged}, {"c1f0", tagged},
		{"c1f820", tagged}, {"c1c1f6", tagged}, {"81c1f6", tagged}, {"a16161c1f6", tagged},
		{"a1c1f601", tagged}, {"d9d9f7f6", tagged}, {"61ff", utf8}, {"62c328", utf8},
		{"63eda080", utf8}, {"62e282", utf8}, {"a161ff01", utf8}, {"8161ff", utf8},
		{"63e282", early}, {"9bffffffffffffffff", early}, {"bbffffffffffffffff", early},
		{"5bffffffffffffffff", early}, {"7bffffffffffffffff", early}, {"9a3b9aca00", early},
		{"8301", early}, {"a161", early}, {"19", early}, {"1901", early}, {"fb00", early}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		require(cases[i].body, BODY_THEIRS, cases[i].why);
		require(cases[i].body, BODY_OURS,
			cases[i].why == ends && cases[i].body[0] == 'b'
				? "an array or a map is of unknown length"
				: cases[i].why);
	}
}

/* What versions before 0.7.1 make, or what only some Rust types read. */
static void only_theirs(void **state)
{
	static const char *const order = "the keys of a map are not sorted",
				 *const length = "an array or a map is of unknown length",
				 *const nan = "a NaN is not f97e00";
	const struct {
		const char *body, *why;
	} cases[] = {{"a2616201616102", order}, {"a262616101616202", order}, {"a2016179006178", order},
		{"a2206179006178", order}, {"a264756e697461436474656d70f94d60", order},
		{"81a2616201616102", order}, {"9f0102ff", length}, {"9fff", length}, {"bf616101ff", length},
		{"bfff", length}, {"bf61610161620262636303ff", length}, {"a161619fff", length},
		{"f9fe00", nan}, {"f97f00", nan}, {"f97e01", nan}, {"f97c01", nan}, {"fa7fc00001", nan},
		{"fa7f800001", nan}, {"fb7ff8000000000001", nan}, {"81f9fe00", nan}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		require(cases[i].body, BODY_OURS, cases[i].why);
		require(cases[i].body, BODY_THEIRS, NULL);
	}
	/* A signalling NaN, of 0.6. */
	require("fb7ff4000000000000", BODY_THEIRS, NULL);
	require("fb7ff4000000000000", BODY_OURS, "a float is not in its shortest form");
}

static void nested(uint8_t head, unsigned depth, enum body_origin origin, int expected)
{
	uint8_t body[2 * 4096];
	const char *why;
	size_t size = 0;

	for (unsigned i = 0; i < depth; i++) {
		body[size++] = head;
		if (head == 0xa1)
			body[size++] = 0x00;
	}
	body[size++] = 0x00;
	assert_int_equal(body_check(body, size, origin, &why), expected);
	if (expected)
		assert_string_equal(why, "it is nested too deeply");
}

static void depths(void **state)
{
	static const uint8_t heads[] = {0x81, 0xa1, 0xc1};

	for (size_t i = 0; i < sizeof heads; i++) {
		nested(heads[i], 199, BODY_OURS, 0);
		nested(heads[i], 200, BODY_OURS, ERROR_INVALID);
		nested(heads[i], 255, BODY_THEIRS, 0);
		nested(heads[i], 256, BODY_THEIRS, ERROR_INVALID);
		nested(heads[i], 4000, BODY_THEIRS, ERROR_INVALID);
	}
}

/* Each prefix of something large is refused, whatever its last byte. */
static void cut(void **state)
{
	static const char hex[] = "a46161016162"
				  "82f6c249010000000000000000"
				  "61639ff97e00fb3fb999999999999aff"
				  "6164bf63c3bc62820143010203ff";
	size_t size;
	uint8_t *body = bytes_of(hex, &size);
	const char *why;

	for (size_t end = 0; end < size; end++) {
		uint8_t *part = malloc(end ? end : 1);

		memcpy(part, body, end);
		assert_int_equal(body_check(part, end, BODY_THEIRS, &why), ERROR_INVALID);
		assert_non_null(why);
		free(part);
	}
	assert_int_equal(body_check(body, size, BODY_THEIRS, &why), 0);
	free(body);
}

static void no_memory(void **state)
{
	uint8_t map[1 + 2 * 23];
	const char *why;

	map[0] = 0xb7;
	for (uint8_t i = 0; i < 23; i++) {
		map[1 + 2 * i] = i;
		map[2 + 2 * i] = 0xf6;
	}
	heap_begin();
	for (size_t n = 1; n <= 2; n++) {
		heap_fail(n, false);
		assert_int_equal(body_check(map, sizeof map, BODY_OURS, &why), ERROR_NOMEM);
	}
	heap_fail(3, false);
	assert_int_equal(body_check(map, sizeof map, BODY_OURS, &why), 0);
	assert_false(heap_has_failed());
	heap_fail(0, false);
	heap_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_take),
		cmocka_unit_test(neither_takes),
		cmocka_unit_test(only_theirs),
		cmocka_unit_test(depths),
		cmocka_unit_test(cut),
		cmocka_unit_test(no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
