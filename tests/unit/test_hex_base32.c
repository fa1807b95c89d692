/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/base32.h"
#include "bridge/bytes/hex.h"
#include "bridge/error.h"

static void hex_round_trips(void **state)
{
	uint8_t bytes[256], back[256];
	char text[513];

	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	assert_ptr_equal(hex_encode(bytes, 256, text), text);
	assert_int_equal(strlen(text), 512);
	assert_memory_equal(text, "000102030405060708090a0b0c0d0e0f10", 34);
	assert_int_equal(hex_decode(text, back, 256), 0);
	assert_memory_equal(bytes, back, 256);
	assert_string_equal(hex_encode("", 0, text), "");
}

static void hex_has_one_spelling(void **state)
{
	static const char *const bad[] = {
		"", "0", "0g", "g0", "AB", "aB", " 1", "1 ", "0x", "/0", ":0", "`0"};
	uint8_t byte;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		assert_int_equal(hex_decode(bad[i], &byte, 1), ERROR_INVALID);
	assert_int_equal(hex_decode("ff00", &byte, 1), 0);
	assert_int_equal(byte, 0xff);
}

/* RFC 4648, section 10, lower case and without padding. */
static void base32_agrees_with_the_rfc(void **state)
{
	static const char *const cases[][3] = {
		{"", "", ""},
		{"f", "my", "co"},
		{"fo", "mzxq", "cpng"},
		{"foo", "mzxw6", "cpnmu"},
		{"foob", "mzxw6yq", "cpnmuog"},
		{"fooba", "mzxw6ytb", "cpnmuoj1"},
		{"foobar", "mzxw6ytboi", "cpnmuoj1e8"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t size = strlen(cases[i][0]);
		char text[16];
		uint8_t back[8];

		assert_string_equal(base32_encode(cases[i][0], size, text), cases[i][1]);
		assert_int_equal(strlen(text), BASE32_SIZE(size));
		assert_int_equal(base32_decode(text, back, size), 0);
		assert_memory_equal(back, cases[i][0], size);
		assert_string_equal(base32hex_encode(cases[i][0], size, text), cases[i][2]);
		assert_int_equal(base32hex_decode(text, back, size), 0);
		assert_memory_equal(back, cases[i][0], size);
	}
}

static void base32_refuses_what_it_would_not_write(void **state)
{
	uint8_t back[5];

	assert_int_equal(base32_decode("MY", back, 1), ERROR_INVALID);
	assert_int_equal(base32_decode("m1", back, 1), ERROR_INVALID);
	assert_int_equal(base32_decode("m", back, 1), ERROR_INVALID);
	assert_int_equal(base32_decode("", back, 1), ERROR_INVALID);
	/* The last digit's low bits belong to no byte. */
	assert_int_equal(base32_decode("mz", back, 1), ERROR_INVALID);
	assert_int_equal(base32hex_decode("cw", back, 1), ERROR_INVALID);
	assert_int_equal(base32hex_decode("cp", back, 1), ERROR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex_round_trips),
		cmocka_unit_test(hex_has_one_spelling),
		cmocka_unit_test(base32_agrees_with_the_rfc),
		cmocka_unit_test(base32_refuses_what_it_would_not_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
