/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <tinycbor/cbor.h>

#include "bridge/bytes/cbor.h"
#include "bridge/bytes/hex.h"
#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/messages/body.h"

#define STRICT 0

/* Of its own size, so that ASan sees a read beyond it. */
static int check(const char *hex, unsigned rules)
{
	size_t size = strlen(hex) / 2;
	uint8_t *bytes = malloc(size ? size : 1);
	int error;

	assert_int_equal(hex_decode(hex, bytes, size), 0);
	error = body_check(bytes, size, rules);
	free(bytes);
	return error;
}

static void check_each(const char *const *items, size_t count, unsigned rules, int expected)
{
	for (size_t i = 0; i < count; i++) {
		int error = check(items[i], rules);

		if (error != expected)
			fail_msg("%s: %s, not %s", items[i], error_name(error),
				error_name(expected));
	}
}

#define assert_each(rules, expected, ...) \
	check_each((const char *const[]){__VA_ARGS__}, \
		sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *), rules, expected)

/* Most of RFC 8949, appendix A, that is deterministic. */
static void ordinary_items(void **state)
{
	assert_each(STRICT, ERROR_NONE, "00", "17", "1818", "18ff", "190100", "1a00010000",
		"1b0000000100000000", "1bffffffffffffffff", "20", "3863", "3bffffffffffffffff",
		"40", "4401020304", "60", "6161", "62c3bc", "64f0908591", "80", "83010203",
		"8301820203820405", "a0", "a201020304", "a26161016162820203",
		"826161a161626163", "f4", "f5", "f6", "c11a514b67b0", "d74401020304",
		"d818456449455446", "c1f93c00");
}

static void heads_that_are_longer_than_needed(void **state)
{
	assert_each(BODY_ARRIVED, ERROR_NOT_DETERMINISTIC, "1817", "1900ff", "1a0000ffff",
		"1b00000000ffffffff", "3800", "5801ff", "780161", "980101", "b8010102", "d80100",
		"811817", "a1180000");
}

static void lengths_that_are_unknown(void **state)
{
	assert_each(BODY_ARRIVED, ERROR_NOT_DETERMINISTIC, "5fff", "5f4100ff", "7fff", "9fff",
		"9f01ff", "bfff", "bf0102ff", "819fff");
	/* A break where an item should be, and what RFC 8949 keeps for later. */
	assert_each(BODY_ARRIVED, ERROR_INVALID, "ff", "81ff", "1c", "3d", "5e", "7c", "9d", "be",
		"dc", "fc", "1f", "3f", "df");
}

static void floats_that_are_longer_than_needed(void **state)
{
	assert_each(BODY_ARRIVED, ERROR_NOT_DETERMINISTIC, "fa3fc00000", "fb3ff8000000000000",
		"fa00000000", "fb8000000000000000", "fa7f800000", "fbfff0000000000000",
		/* 1 + 2^-10, 65504, the least normal half, 2^-24, 1023 * 2^-24 */
		"fa3f802000", "fa477fe000", "fa38800000", "fa33800000", "fa387fc000",
		/* 100000, the least single and the largest */
		"fb40f86a0000000000", "fb36a0000000000000", "fb47efffffe0000000");
	assert_each(STRICT, ERROR_NONE, "f90000", "f98000", "f93c00", "f97bff", "f90001", "f97c00",
		"f9fc00",
		/* 1 + 2^-11, 65505, 65536, half of 2^-24, one and a half of it, the next after the
		 * least normal half, the least single, the largest subnormal one, the largest */
		"fa3f801000", "fa477fe100", "fa47800000", "fa33000000", "fa33c00000", "fa38800001",
		"fa00000001", "fa007fffff", "fa7f7fffff",
		/* half of the least single, the next after the largest, 0.1 */
		"fb3690000000000000", "fb47efffffe0000001", "fb3fb999999999999a",
		"fb0000000000000001", "fb7fefffffffffffff");
}

static void nan_in_one_form(void **state)
{
	assert_each(STRICT, ERROR_NONE, "f97e00", "81f97e00");
	assert_each(BODY_WRITTEN, ERROR_NOT_DETERMINISTIC, "f9fe00", "f97e01", "f97c01",
		"fa7fc00000", "fa7fc00001", "fb7ff8000000000000", "fb7ff8000000000001");
	/* A quiet one in its shortest form; a signalling one as ciborium leaves it. */
	assert_each(BODY_ARRIVED, ERROR_NONE, "f9fe00", "f97e01", "fa7fc00001", "faffc00001",
		"fb7ff8000000000001", "fb7ff8000010000000", "f97c01", "fa7f800001", "fa7fa00000",
		"fb7ff4000000000000");
	assert_each(BODY_ARRIVED, ERROR_NOT_DETERMINISTIC, "fa7fc00000", "fa7fc02000",
		"fb7ff8000000000000", "fb7ff8000020000000");
}

static void keys_are_sorted_by_their_bytes(void **state)
{
	/* b before aa, 24 before -1, one of each type, nested ones */
	assert_each(STRICT, ERROR_NONE, "a2616101616202", "a261620162616102", "a21818012002",
		"a900002000400060008000a000c10000f400f93c0000", "a2a1000100a1000200");
	assert_each(STRICT, ERROR_NOT_DETERMINISTIC, "a2616202616101", "a262616101616202",
		"a220020001", "a22001181802", "81a201000000", "a2a1000200a1000100");
	/* The last: inner maps amid the keys of an outer one. */
	assert_each(BODY_ANY_ORDER, ERROR_NONE, "a2616202616101", "a262616101616202", "a220020001",
		"a2a1000200a1000100", "a3616201616102616303",
		"a36162a26164016163026161a26164016163026163f6");
}

static void no_key_comes_twice(void **state)
{
	assert_each(STRICT, ERROR_NOT_DETERMINISTIC, "a2616101616102", "a201000100",
		"a3616101616202616103");
	assert_each(BODY_ARRIVED, ERROR_NOT_DETERMINISTIC, "a2616101616102", "a201000100",
		"a3616101616202616103", "a3616201616102616203", "a2810100810100",
		"a36162f66161a26162006161006162f6", "81a3020001000200");
	/* In another map it is another key. */
	assert_each(BODY_ARRIVED, ERROR_NONE, "a26162a1616200616100",
		"82a1616100a1616100");
}

/* As many pairs as a body can have, from the last key to the first. */
static void as_many_keys_as_fit(void **state)
{
	static uint8_t body[LIMIT_CONTENT];
	struct writer writer;
	uint64_t pairs = (LIMIT_CONTENT - 3) / 4;

	for (unsigned twice = 0; twice < 2; twice++) {
		writer_init(&writer, body, sizeof body);
		cbor_write_map(&writer, pairs);
		for (uint64_t i = 0; i < pairs; i++) {
			bool is_again = twice && i == pairs - 1;

			cbor_write_uint(&writer, 256 + pairs - (is_again ? 0 : i));
			cbor_write_uint(&writer, 0);
		}
		assert_int_equal(writer.error, 0);
		assert_int_equal(body_check(body, writer_size(&writer), BODY_ANY_ORDER),
			twice ? ERROR_NOT_DETERMINISTIC : ERROR_NONE);
	}
	/* The densest: one byte a key and a value, though then most come twice. */
	memset(body, 0, sizeof body);
	memcpy(body, "\xb9\x07\xeb", 3); /* 2027 pairs */
	assert_int_equal(body_check(body, LIMIT_CONTENT, BODY_ANY_ORDER), ERROR_NOT_DETERMINISTIC);
	/* Maps within keys and values, each with an open key. */
	for (size_t i = 0; i < LIMIT_SIGNED_DEPTH; i++)
		memcpy(body + 2 * i, "\xa1", 2);
	assert_int_equal(body_check(body, 2 * LIMIT_SIGNED_DEPTH + 1, STRICT), ERROR_NONE);
}

static void what_ends_too_early_or_too_late(void **state)
{
	assert_each(BODY_ARRIVED, ERROR_TRUNCATED, "", "18", "19ff", "1aff", "1bff", "61", "4201",
		"8201", "a201", "a101", "c1", "f8", "f97e", "9bffffffffffffffff",
		"bb8000000000000001", "bbffffffffffffffff", "5bffffffffffffffff",
		"7bffffffffffffffff", "9a7fffffff");
	assert_each(BODY_ARRIVED, ERROR_TRAILING, "0000", "f6ff", "616100", "8000", "a000");
}

static void texts_that_are_not_utf8(void **state)
{
	assert_each(BODY_ARRIVED, ERROR_INVALID, "61ff", "6180", "62c328", "63eda080",
		"64f4908080", "a161ff00", "8161ff");
	assert_each(STRICT, ERROR_NONE, "64efbfbf00", "41ff");
}

static void simple_values_that_nobody_takes(void **state)
{
	assert_each(BODY_ARRIVED, ERROR_INVALID, "f7", "e0", "f0", "f3", "f800", "f814", "f818",
		"f820", "f8ff", "81f7", "a1f700");
}

static void tags_around_simple_values(void **state)
{
	assert_each(BODY_ARRIVED, ERROR_TAGGED_SIMPLE, "c1f6", "c1f5", "c1f4", "c1f7", "c1f0",
		"c1f820", "d9d9f7f6", "c1c1f6", "81c1f6", "a16161c1f6", "a1c1f601", "c2f6");
	assert_each(STRICT, ERROR_NONE, "c180", "c1a0", "c14100", "c120", "c1f93e00", "c181f6");
}

static void bignums_that_are_none(void **state)
{
	assert_each(BODY_ARRIVED, ERROR_NOT_DETERMINISTIC, "c240", "c24101", "c34100",
		"c248ffffffffffffffff", "c24a00010000000000000000");
	assert_each(STRICT, ERROR_NONE, "c249010000000000000000", "c349010000000000000000",
		"c26131", "c44101");
}

static void depth(void **state)
{
	static const uint8_t around[] = {0x81, 0xc1};
	uint8_t body[LIMIT_SIGNED_DEPTH + 2];

	for (size_t i = 0; i < sizeof around; i++) {
		memset(body, around[i], sizeof body);
		body[LIMIT_SIGNED_DEPTH] = 0;
		assert_int_equal(body_check(body, LIMIT_SIGNED_DEPTH + 1, STRICT), ERROR_NONE);
		body[LIMIT_SIGNED_DEPTH] = around[i];
		body[LIMIT_SIGNED_DEPTH + 1] = 0;
		assert_int_equal(
			body_check(body, LIMIT_SIGNED_DEPTH + 2, STRICT), ERROR_TOO_DEEP);
	}
	/* An empty one counts too. */
	memset(body, 0x81, sizeof body);
	body[LIMIT_SIGNED_DEPTH - 1] = 0x80;
	assert_int_equal(body_check(body, LIMIT_SIGNED_DEPTH, STRICT), ERROR_NONE);
	body[LIMIT_SIGNED_DEPTH - 1] = 0x81;
	body[LIMIT_SIGNED_DEPTH] = 0x80;
	assert_int_equal(body_check(body, LIMIT_SIGNED_DEPTH + 1, STRICT), ERROR_TOO_DEEP);
}

static void size(void **state)
{
	static uint8_t body[LIMIT_CONTENT + 1] = {0x59, (LIMIT_CONTENT - 3) >> 8,
		(LIMIT_CONTENT - 3) & 0xff};

	assert_int_equal(body_check(body, LIMIT_CONTENT, STRICT), ERROR_NONE);
	assert_int_equal(body_check(body, LIMIT_CONTENT + 1, STRICT), ERROR_TOO_LARGE);
}

static void one_of_several_items_is_read(void **state)
{
	static const uint8_t items[] = {0x82, 0x01, 0x61, 'a', 0xf6, 0x18};
	struct reader reader;
	const uint8_t *item;
	size_t item_size;

	reader_init(&reader, items, sizeof items);
	item = body_read(&reader, STRICT, &item_size);
	assert_ptr_equal(item, items);
	assert_int_equal(item_size, 4);
	item = body_read(&reader, STRICT, &item_size);
	assert_ptr_equal(item, items + 4);
	assert_int_equal(item_size, 1);
	assert_null(body_read(&reader, STRICT, &item_size));
	assert_int_equal(item_size, 0);
	assert_int_equal(reader.error, ERROR_TRUNCATED);
}

/* Whether tinycbor has the same opinion, as far as it can. */
static bool is_valid_for_tinycbor(const uint8_t *body, size_t body_size)
{
	CborParser parser;
	CborValue value;

	return cbor_parser_init(body, body_size, 0, &parser, &value) == CborNoError &&
		cbor_value_validate(&value, CborValidateCanonicalFormat | CborValidateUtf8 |
						    CborValidateMapKeysAreUnique |
						    CborValidateCompleteData) == CborNoError;
}

static uint8_t next_byte(uint64_t *seed)
{
	static const uint8_t often[] = {0x00, 0x01, 0x17, 0x18, 0x19, 0x20, 0x38, 0x40, 0x41, 0x42,
		0x58, 0x60, 0x61, 0x62, 0x78, 0x80, 0x81, 0x82, 0x83, 0x98, 0xa0, 0xa1, 0xa2, 0xa3,
		0xb8, 0xc1, 0xc2, 0xd8, 0xf4, 0xf5, 0xf6, 0xf7, 0xf9, 0xfa, 0xfb, 0x7c, 0x7e, 0x3c,
		0xff, 0xc3, 0xbc, 0x33, 0x47, 0x7f};

	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return often[(*seed >> 33) % sizeof often];
}

static bool has_one_of(const uint8_t *body, size_t body_size, const char *bytes)
{
	for (; *bytes; bytes++) {
		if (memchr(body, (uint8_t)*bytes, body_size))
			return true;
	}
	return false;
}

static void tinycbor_agrees(void **state)
{
	uint64_t seed = 12;
	size_t valid = 0;

	for (size_t i = 0; i < 3000000; i++) {
		uint8_t body[12];
		size_t body_size = 1 + i % sizeof body;
		int error;

		for (size_t at = 0; at < body_size; at++)
			body[at] = next_byte(&seed);
		error = body_check(body, body_size, STRICT);
		if (!error) {
			assert_true(is_valid_for_tinycbor(body, body_size));
			valid++;
		} else if (is_valid_for_tinycbor(body, body_size)) {
			/* What it does not look for: simple values, tags around them, bignums. */
			assert_true(error == ERROR_TAGGED_SIMPLE || error == ERROR_INVALID ||
				error == ERROR_NOT_DETERMINISTIC);
			assert_true(has_one_of(body, body_size, "\xf7\xc1\xc2\xc3\xd8\xff"));
		}
	}
	assert_true(valid > 100000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ordinary_items),
		cmocka_unit_test(heads_that_are_longer_than_needed),
		cmocka_unit_test(lengths_that_are_unknown),
		cmocka_unit_test(floats_that_are_longer_than_needed),
		cmocka_unit_test(nan_in_one_form),
		cmocka_unit_test(keys_are_sorted_by_their_bytes),
		cmocka_unit_test(no_key_comes_twice),
		cmocka_unit_test(as_many_keys_as_fit),
		cmocka_unit_test(what_ends_too_early_or_too_late),
		cmocka_unit_test(texts_that_are_not_utf8),
		cmocka_unit_test(simple_values_that_nobody_takes),
		cmocka_unit_test(tags_around_simple_values),
		cmocka_unit_test(bignums_that_are_none),
		cmocka_unit_test(depth),
		cmocka_unit_test(size),
		cmocka_unit_test(one_of_several_items_is_read),
		cmocka_unit_test(tinycbor_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
