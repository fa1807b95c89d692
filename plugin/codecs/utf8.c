/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "utf8.h"

/* How many bytes follow this first one, and between what the first of them must be
 * (RFC 3629, 4); 0 when no character of several bytes begins with it. */
static size_t follows(uint8_t first, uint8_t *low, uint8_t *high)
{
	*low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	*high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	if (first >= 0xc2 && first <= 0xdf)
		return 1;
	if (first >= 0xe0 && first <= 0xef)
		return 2;
	return first >= 0xf0 && first <= 0xf4 ? 3 : 0;
}

bool utf8_is_valid(const void *text, size_t size)
{
	const uint8_t *at = text;
	uint8_t low, high;

	for (size_t i = 0; i < size; i++) {
		size_t more;

		if (at[i] < 0x80)
			continue;
		more = follows(at[i], &low, &high);
		if (more == 0 || size - i <= more || at[i + 1] < low || at[i + 1] > high)
			return false;
		for (size_t k = 2; k <= more; k++)
			if ((at[i + k] & 0xc0) != 0x80)
				return false;
		i += more;
	}
	return true;
}

size_t utf8_encode(uint32_t character, uint8_t out[4])
{
	static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
	size_t size = character < 0x80	    ? 1
		      : character < 0x800   ? 2
		      : character < 0x10000 ? 3
					    : 4;

	for (size_t i = size - 1; i > 0; i--) {
		out[i] = (uint8_t)(0x80 | (character & 0x3f));
		character >>= 6;
	}
	out[0] = (uint8_t)(marks[size] | character);
	return size;
}
