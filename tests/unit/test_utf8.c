/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/utf8.h"

static bool valid(const char *text)
{
	return utf8_is_valid(text, strlen(text));
}

static void characters_of_each_length(void **state)
{
	assert_true(utf8_is_valid("", 0));
	assert_true(utf8_is_valid("a\0b", 3));
	assert_true(valid("\x7f"));
	assert_true(valid("\xc2\x80\xdf\xbf"));
	assert_true(valid("\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"));
	assert_true(valid("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
}

static void what_is_none(void **state)
{
	static const char *const bad[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2",
		"\xc2\x41", "\xc2\xc2", "\xe0\x9f\xbf", "\xe1\x80", "\xe1\x80\xc0", "\xed\xa0\x80",
		"\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf1\x80\x80", "\xf1\x80\x80\x7f",
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xfe", "\xff",
		"a\xff"};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_false(valid(bad[i]));
}

/* Each code point, and each beyond them that four bytes can say. */
static void each_code_point(void **state)
{
	for (uint32_t point = 0x800; point < 0x200000; point++) {
		uint8_t text[] = {(uint8_t)(0xf0 | point >> 18),
			(uint8_t)(0x80 | (point >> 12 & 0x3f)),
			(uint8_t)(0x80 | (point >> 6 & 0x3f)), (uint8_t)(0x80 | (point & 0x3f))};

		assert_true(utf8_is_valid(text, 4) == (point >= 0x10000 && point <= 0x10ffff));
		if (point >= 0x10000)
			continue;
		text[1] = (uint8_t)(0xe0 | point >> 12);
		assert_true(utf8_is_valid(text + 1, 3) == (point < 0xd800 || point > 0xdfff));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters_of_each_length),
		cmocka_unit_test(what_is_none),
		cmocka_unit_test(each_code_point),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
