/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "utf8.h"

#include <stdint.h>

/* Returns how many bytes follow a first byte, and sets the range of the second byte of a character:
 * forms that are too long, surrogates and characters above U+10FFFF have their second byte outside
 * of that range (RFC 3629, 4). -1: no character begins with this byte. */
static int follows(uint8_t first, uint8_t *low, uint8_t *high)
{
	*low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
	*high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
	if (first < 0x80)
		return 0;
	if (first >= 0xc2 && first <= 0xdf)
		return 1;
	if (first >= 0xe0 && first <= 0xef)
		return 2;
	return first >= 0xf0 && first <= 0xf4 ? 3 : -1;
}

bool utf8_is_valid(const void *text, size_t size)
{
	const uint8_t *at = text;

	for (size_t i = 0; i < size;) {
		uint8_t low, high;
		int more = follows(at[i++], &low, &high);

		if (more < 0 || (size_t)more > size - i)
			return false;
		for (; more > 0; more--) {
			if (at[i] < low || at[i] > high)
				return false;
			low = 0x80;
			high = 0xbf;
			i++;
		}
	}
	return true;
}
