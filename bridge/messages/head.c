/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "head.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "../error.h"

/* The last five bits of the first byte. */
#define INFORMATION(head) ((head)->first & 31)
#define IN_8	24
#define IN_16	25
#define IN_32	26
#define IN_64	27
#define UNKNOWN 31

static uint64_t read_argument(struct reader *reader, const struct head *head)
{
	/* A value that fits into fewer bits is too long; of floats, all bits count. */
	uint64_t least = 0, value;

	switch (INFORMATION(head)) {
	case IN_8:
		value = reader_u8(reader);
		least = 24;
		break;
	case IN_16:
		value = reader_u16(reader);
		least = UINT64_C(1) << 8;
		break;
	case IN_32:
		value = reader_u32(reader);
		least = UINT64_C(1) << 16;
		break;
	case IN_64:
		value = reader_u64(reader);
		least = UINT64_C(1) << 32;
		break;
	default:
		return INFORMATION(head);
	}
	if (value < least && head->major != HEAD_SIMPLE)
		reader_fail(reader, ERROR_NOT_DETERMINISTIC);
	return value;
}

bool head_read(struct reader *reader, struct head *head)
{
	head->first = reader_u8(reader);
	head->major = (enum head_major)(head->first >> 5);
	if (INFORMATION(head) > IN_64) {
		bool of_unknown_length = INFORMATION(head) == UNKNOWN &&
			head->major >= HEAD_BYTES && head->major <= HEAD_MAP;

		reader_fail(reader, of_unknown_length ? ERROR_NOT_DETERMINISTIC : ERROR_INVALID);
	}
	head->value = read_argument(reader, head);
	return !reader->error;
}

bool head_is_float(const struct head *head)
{
	return head->major == HEAD_SIMPLE && INFORMATION(head) >= IN_16 &&
		INFORMATION(head) <= IN_64;
}

static bool fits_half(float value)
{
	uint32_t bits, fraction;
	int exponent;

	memcpy(&bits, &value, sizeof bits);
	fraction = bits & 0x7fffff;
	exponent = (int)(bits >> 23 & 0xff) - 127;
	if (value == 0 || isinf(value))
		return true;
	if (exponent >= -14 && exponent <= 15)
		return (fraction & 0x1fff) == 0;
	/* Subnormal numbers are multiples of 2^-24: each power of two less leaves one bit less. */
	if (exponent >= -24 && exponent < -14)
		return ((fraction | 0x800000) & ((UINT32_C(1) << (-1 - exponent)) - 1)) == 0;
	return false;
}

/* Returns the bits of the fraction of a NaN, at the places that they have in a double. */
static uint64_t nan_fraction(const struct head *head)
{
	switch (INFORMATION(head)) {
	case IN_16:
		return (head->value & 0x3ff) << 42;
	case IN_32:
		return (head->value & 0x7fffff) << 29;
	default:
		return head->value & 0xfffffffffffff;
	}
}

static bool is_shortest_nan(const struct head *head, bool any)
{
	uint64_t fraction = nan_fraction(head);

	if (!any)
		return head->first == 0xf9 && head->value == 0x7e00;
	if (!(fraction >> 51)) /* signalling */
		return true;
	switch (INFORMATION(head)) {
	case IN_16:
		return true;
	case IN_32:
		return (fraction & 0x3ffffffffff) != 0;
	default:
		return (fraction & 0x1fffffff) != 0;
	}
}

bool head_is_shortest_float(const struct head *head, bool any_nan)
{
	uint32_t bits = (uint32_t)head->value;
	double wide;
	float narrow;

	assert(head_is_float(head));
	switch (INFORMATION(head)) {
	case IN_16:
		if ((head->value & 0x7c00) == 0x7c00 && (head->value & 0x3ff))
			return is_shortest_nan(head, any_nan);
		return true;
	case IN_32:
		memcpy(&narrow, &bits, sizeof narrow);
		return isnan(narrow) ? is_shortest_nan(head, any_nan) : !fits_half(narrow);
	default:
		memcpy(&wide, &head->value, sizeof wide);
		return isnan(wide) ? is_shortest_nan(head, any_nan) : (double)(float)wide != wide;
	}
}
