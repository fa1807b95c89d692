/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <cmocka.h>

#include "plugin/codecs/number.h"

static void scanned(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		bool is_float;
	} cases[] = {
		{"0", 1, false},
		{"-0", 2, false},
		{"10,", 2, false},
		{"01", 1, false},
		{"-1234]", 5, false},
		{"1.5", 3, true},
		{"1e5", 3, true},
		{"1E+05 ", 5, true},
		{"-0.0e-0x", 7, true},
		{"", 0, false},
		{"-", 0, false},
		{"-a", 0, false},
		{"+1", 0, false},
		{".5", 0, false},
		{"1.", 0, false},
		{"1.e5", 0, false},
		{"1e", 0, false},
		{"1e+", 0, false},
		{"1.5e-", 0, false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t size = strlen(cases[i].text);
		char *text = malloc(size ? size : 1);
		bool is_float;

		memcpy(text, cases[i].text, size);
		if (number_scan(text, size, &is_float) != cases[i].size ||
			(cases[i].size && is_float != cases[i].is_float))
			fail_msg("%s", cases[i].text);
		free(text);
	}
}

static void integers(void **state)
{
	static const struct {
		const char *text;
		bool taken, negative;
		uint64_t value;
	} cases[] = {
		{"0", true, false, 0},
		{"1", true, false, 1},
		{"9007199254740993", true, false, 9007199254740993},
		{"9223372036854775808", true, false, 9223372036854775808u},
		{"18446744073709551615", true, false, UINT64_MAX},
		{"18446744073709551616", false, false, 0},
		{"18446744073709551620", false, false, 0},
		{"99999999999999999999", false, false, 0},
		{"184467440737095516150", false, false, 0},
		{"-1", true, true, 0},
		{"-9007199254740993", true, true, 9007199254740992},
		{"-18446744073709551615", true, true, UINT64_MAX - 1},
		{"-18446744073709551616", true, true, UINT64_MAX},
		{"-18446744073709551617", false, false, 0},
		{"-99999999999999999999", false, false, 0},
		{"-0", false, false, 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *text = cases[i].text;
		bool negative;
		uint64_t value;

		if (number_integer(text, strlen(text), &negative, &value) != cases[i].taken)
			fail_msg("%s", text);
		if (cases[i].taken && (negative != cases[i].negative || value != cases[i].value))
			fail_msg("%s", text);
	}
}

/* What is taken is exact or the nearest; no value becomes zero or infinite. */
static void floats(void **state)
{
	static const char *const refused[] = {"1e309", "-1e309", "1.8e308", "1e99999999999",
		"1e-324", "-1e-99999", "0.0000001e-320", "2e-324"};
	char digits[NUMBER_TEXT_SIZE + 2];
	double value;

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		if (number_float(refused[i], strlen(refused[i]), &value))
			fail_msg("%s", refused[i]);
	assert_true(number_float("0e999", 5, &value) && value == 0 && !signbit(value));
	assert_true(number_float("-0.0", 4, &value) && value == 0 && signbit(value));
	assert_true(number_float("1.0junk", 3, &value) && value == 1);
	assert_true(number_float("5e-324", 6, &value) && value == 5e-324);
	assert_true(number_float("1.7976931348623157e308", 22, &value));
	/* Halfway between 1 and what follows it, and a bit more at the end of all digits. */
	memset(digits, '0', sizeof digits);
	memcpy(digits, "1.00000000000000011102230246251565404236316680908203125", 55);
	digits[NUMBER_TEXT_SIZE - 2] = '1';
	assert_true(number_float(digits, 55, &value) && value == 1);
	assert_true(number_float(digits, NUMBER_TEXT_SIZE - 1, &value) && value == nextafter(1, 2));
	assert_false(number_float(digits, NUMBER_TEXT_SIZE, &value));
}

static void formatted(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{0.0, "0.0"},
		{-0.0, "-0.0"},
		{1, "1.0"},
		{-1, "-1.0"},
		{21.5, "21.5"},
		{100, "100.0"},
		{0.1, "0.1"},
		{0.30000000000000004, "0.30000000000000004"},
		{0.10000000149011612, "0.10000000149011612"},
		{123456.75, "123456.75"},
		{1234567890123456.0, "1234567890123456.0"},
		{1e15, "1000000000000000.0"},
		{1e16, "1e16"},
		{1.5e16, "1.5e16"},
		{0.00001, "0.00001"},
		{0.000012, "0.000012"},
		{0.000001, "1e-6"},
		{-1.5e-7, "-1.5e-7"},
		{1e300, "1e300"},
		{9007199254740993.0, "9007199254740992.0"},
		{5e-324, "5e-324"},
		{2.2250738585072014e-308, "2.2250738585072014e-308"},
		{1.7976931348623157e308, "1.7976931348623157e308"},
		{-1.7976931348623157e308, "-1.7976931348623157e308"},
		{5.960464477539063e-8, "5.960464477539063e-8"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char text[NUMBER_FORMAT_SIZE];

		assert_int_equal(number_format(cases[i].value, text), strlen(cases[i].text));
		assert_string_equal(text, cases[i].text);
	}
}

static void require_round_trip(double value)
{
	char text[NUMBER_FORMAT_SIZE];
	size_t size = number_format(value, text), digits = 0;
	bool is_float;
	double again;

	if (number_scan(text, size, &is_float) != size || !is_float || text[size] != '\0' ||
		!number_float(text, size, &again) || memcmp(&again, &value, sizeof value) != 0)
		fail_msg("%a: %s", value, text);
	for (const char *at = text; *at && *at != 'e'; at++)
		digits += *at >= '0' && *at <= '9';
	if (digits > 17 + 5) /* and the zeros before them */
		fail_msg("%a: %s", value, text);
}

static void each_float_reads_back_the_same(void **state)
{
	uint64_t bits = 88172645463325252u; /* xorshift64 */
	double value;

	for (int exponent = -1074; exponent <= 1023; exponent++) {
		require_round_trip(ldexp(1, exponent));
		require_round_trip(nextafter(ldexp(1, exponent), INFINITY));
		require_round_trip(-nextafter(ldexp(1, exponent), 0));
	}
	for (size_t i = 0; i < 200000; i++) {
		bits ^= bits << 13;
		bits ^= bits >> 7;
		bits ^= bits << 17;
		memcpy(&value, &bits, sizeof value);
		if (isfinite(value))
			require_round_trip(value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scanned),
		cmocka_unit_test(integers),
		cmocka_unit_test(floats),
		cmocka_unit_test(formatted),
		cmocka_unit_test(each_float_reads_back_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
