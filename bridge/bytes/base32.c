/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "base32.h"

#include <string.h>

#include "../error.h"

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";
static const char base32hex[] = "0123456789abcdefghijklmnopqrstuv";

static char *encode(const char *alphabet, const uint8_t *bytes, size_t size, char *out)
{
	uint32_t buffer = 0;
	unsigned bits = 0;
	char *at = out;

	for (size_t i = 0; i < size; i++) {
		buffer = buffer << 8 | bytes[i];
		for (bits += 8; bits >= 5; bits -= 5)
			*at++ = alphabet[buffer >> (bits - 5) & 31];
	}
	if (bits)
		*at++ = alphabet[buffer << (5 - bits) & 31];
	*at = '\0';
	return out;
}

static int decode(const char *alphabet, const char *text, uint8_t *out, size_t size)
{
	uint32_t buffer = 0;
	unsigned bits = 0;
	size_t done = 0;

	for (size_t i = 0; i < BASE32_SIZE(size); i++) {
		const char *digit = text[i] ? strchr(alphabet, text[i]) : NULL;

		if (!digit)
			return ERROR_INVALID;
		buffer = buffer << 5 | (uint32_t)(digit - alphabet);
		bits += 5;
		if (bits >= 8) {
			bits -= 8;
			out[done++] = (uint8_t)(buffer >> bits);
		}
	}
	return buffer & ((1u << bits) - 1) ? ERROR_INVALID : 0;
}

char *base32_encode(const void *data, size_t size, char *out)
{
	return encode(base32, data, size, out);
}

char *base32hex_encode(const void *data, size_t size, char *out)
{
	return encode(base32hex, data, size, out);
}

int base32_decode(const char *text, uint8_t *out, size_t size)
{
	return decode(base32, text, out, size);
}

int base32hex_decode(const char *text, uint8_t *out, size_t size)
{
	return decode(base32hex, text, out, size);
}
