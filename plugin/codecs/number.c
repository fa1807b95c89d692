/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "number.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS 17 /* DBL_DECIMAL_DIG: always enough */

static bool is_digit(char byte)
{
	return byte >= '0' && byte <= '9';
}

static size_t scan_digits(const char *text, size_t size, size_t at)
{
	while (at < size && is_digit(text[at]))
		at++;
	return at;
}

size_t number_scan(const char *text, size_t size, bool *is_float)
{
	size_t at = size > 0 && text[0] == '-', from = at;

	*is_float = false;
	at = at < size && text[at] == '0' ? at + 1 : scan_digits(text, size, at);
	if (at == from)
		return 0;
	if (at < size && text[at] == '.') {
		*is_float = true;
		from = ++at;
		at = scan_digits(text, size, at);
		if (at == from)
			return 0;
	}
	if (at < size && (text[at] == 'e' || text[at] == 'E')) {
		*is_float = true;
		at++;
		at += at < size && (text[at] == '+' || text[at] == '-');
		from = at;
		at = scan_digits(text, size, at);
		if (at == from)
			return 0;
	}
	return at;
}

bool number_integer(const char *text, size_t size, bool *negative, uint64_t *value)
{
	static const char lowest[] = "-18446744073709551616";

	*negative = text[0] == '-';
	*value = 0;
	if (size == sizeof lowest - 1 && memcmp(text, lowest, size) == 0) {
		*value = UINT64_MAX;
		return true;
	}
	for (size_t at = *negative; at < size; at++) {
		unsigned digit = (unsigned)(text[at] - '0');

		if (*value > (UINT64_MAX - digit) / 10)
			return false;
		*value = *value * 10 + digit;
	}
	if (*negative && (*value)-- == 0)
		return false;
	return true;
}

/* Returns the locale C, as a host may have set one whose decimal point is a comma. The call costs
 * nothing: the locale C is there already. */
static locale_t c_locale(void)
{
	return newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool number_float(const char *text, size_t size, double *value)
{
	char copy[NUMBER_TEXT_SIZE];
	locale_t before;

	if (size >= sizeof copy)
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	before = uselocale(c_locale());
	*value = strtod(copy, NULL);
	uselocale(before);
	if (!isfinite(*value))
		return false;
	/* Zero is right only for a text that says zero. */
	return *value != 0 || strcspn(copy, "123456789") >= strcspn(copy, "eE");
}

/* Makes of a decimal number d.ddde.. the next greater one of as many digits; returns false when all
 * digits behind the point are nines. */
static bool next_decimal(char *text, int count)
{
	int at = count; /* of the last digit: there is a point after the first */

	while (at > 1 && text[at] == '9')
		text[at--] = '0';
	if (at == 1)
		return false;
	text[at]++;
	return true;
}

/* Writes the float with count digits, rounded to the nearest; returns false when the text does not
 * read back as the same float. */
static bool write_digits(double value, int count, char text[NUMBER_FORMAT_SIZE])
{
	int exponent;

	snprintf(text, NUMBER_FORMAT_SIZE, "%.*e", count - 1, value);
	if (strtod(text, NULL) == value)
		return true;
	/* Below a power of two floats are closer to each other than above it, and the decimal
	 * number that is a bit farther away may be the one. */
	return count == DBL_DIG + 1 && frexp(value, &exponent) == 0.5 &&
	       next_decimal(text, count) && strtod(text, NULL) == value;
}

/* Finds the fewest digits that read back as a float, which is not zero: d.ddd x 10^*exponent,
 * without zeros at the end. Returns how many digits there are. */
static size_t shortest(double value, char digits[DIGITS + 1], int *exponent)
{
	char text[NUMBER_FORMAT_SIZE];
	int count, bits;
	size_t size;

	/* As long as 10^n < 2^(bits - 1), each decimal number of n digits has a float of its own
	 * with that many bits: n is 15, and less for subnormal floats. So if fewer digits than n
	 * are enough, the n digits are these, and zeros. */
	frexp(value, &bits);
	bits += DBL_MANT_DIG - DBL_MIN_EXP;
	count = ((bits < DBL_MANT_DIG ? bits : DBL_MANT_DIG) - 1) * 301 / 1000;
	count = count > 0 ? count : 1;
	while (!write_digits(value, count, text) && count < DIGITS)
		count++;
	*exponent = atoi(strchr(text, 'e') + 1);
	digits[0] = text[0];
	memcpy(digits + 1, text + 2, (size_t)count - 1);
	size = (size_t)count;
	while (size > 1 && digits[size - 1] == '0')
		size--;
	digits[size] = '\0';
	return size;
}

size_t number_format(double value, char out[NUMBER_FORMAT_SIZE])
{
	char digits[DIGITS + 1] = "0";
	const char *sign = signbit(value) ? "-" : "";
	int exponent = 0, size = 1, length;
	locale_t before;

	if (value != 0) {
		before = uselocale(c_locale());
		size = (int)shortest(fabs(value), digits, &exponent);
		uselocale(before);
	}
	if (exponent < -5 || exponent > 15)
		length = snprintf(out, NUMBER_FORMAT_SIZE, "%s%c%s%se%d", sign, digits[0],
			size > 1 ? "." : "", digits + 1, exponent);
	else if (exponent < 0)
		length = snprintf(
			out, NUMBER_FORMAT_SIZE, "%s0.%.*s%s", sign, -exponent - 1, "0000", digits);
	else if (size > exponent + 1)
		length = snprintf(out, NUMBER_FORMAT_SIZE, "%s%.*s.%s", sign, exponent + 1, digits,
			digits + exponent + 1);
	else
		length = snprintf(out, NUMBER_FORMAT_SIZE, "%s%s%.*s.0", sign, digits,
			exponent + 1 - size, "000000000000000");
	return (size_t)length;
}
