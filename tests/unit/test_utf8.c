/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "plugin/codecs/utf8.h"

#define LAST 0x10ffff

/* Of its own size, so that ASan sees a read beyond it. */
static bool is_valid(const uint8_t *text, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	bool valid;

	memcpy(copy, text, size);
	valid = utf8_is_valid(copy, size);
	free(copy);
	return valid;
}

static void each_character_but_surrogates(void **state)
{
	for (uint32_t character = 0; character <= LAST; character++) {
		bool is_surrogate = character >= 0xd800 && character <= 0xdfff;
		uint8_t bytes[6] = "";
		size_t size = utf8_encode(character, bytes);

		if (utf8_is_valid(bytes, size) == is_surrogate)
			fail_msg("U+%04x", character);
		for (size_t cut = 1; cut < size; cut++)
			if (utf8_is_valid(bytes, cut))
				fail_msg("U+%04x cut", character);
	}
}

/* A sequence of three bytes is valid only where it is one to three characters. */
static void each_three_bytes(void **state)
{
	size_t valid = 0;

	for (uint32_t bytes = 0; bytes < 1u << 24; bytes++) {
		uint8_t text[] = {
			(uint8_t)(bytes >> 16), (uint8_t)(bytes >> 8), (uint8_t)bytes};

		valid += utf8_is_valid(text, 3);
	}
	/* aaa, a with one of two bytes on either side, and one of three bytes. */
	assert_int_equal(valid, 128 * 128 * 128 + 2 * 128 * (0x800 - 0x80) +
					0x10000 - 0x800 - (0xe000 - 0xd800));
}

static void what_is_none(void **state)
{
	static const char *const texts[] = {
		"\xff", "\x80", "\xc3(", "\xc0\x80", "\xed\xa0\x80", "\xed\xbf\xbf",
		"\xf4\x90\x80\x80", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xe2\x82", "\xe0\x9f\xbf",
		"\xf8\x88\x80\x80\x80", "ok\xc3", "\xf0\x9f\x90", "\xf5\x80\x80\x80",
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (is_valid((const uint8_t *)texts[i], strlen(texts[i])))
			fail_msg("text %zu", i);
	assert_true(is_valid((const uint8_t *)"", 0));
	assert_true(is_valid((const uint8_t *)"a\0\xef\xbf\xbf", 5)); /* and U+FFFF */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_character_but_surrogates),
		cmocka_unit_test(each_three_bytes),
		cmocka_unit_test(what_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
