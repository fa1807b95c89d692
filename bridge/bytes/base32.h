/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Base32 (RFC 4648), lower case, without padding, in its two alphabets: a-z 2-7 for the names of
 * mDNS instances, 0-9 a-v (base32hex) for the servers in SNI. Any thread.
 */
#ifndef BRIDGE_BYTES_BASE32_H
#define BRIDGE_BYTES_BASE32_H

#include <stddef.h>
#include <stdint.h>

/* The number of digits for size bytes. */
#define BASE32_SIZE(size) (((size) * 8 + 4) / 5)

/* Writes BASE32_SIZE(size) digits and a closing zero. Returns out. */
char *base32_encode(const void *data, size_t size, char *out);
char *base32hex_encode(const void *data, size_t size, char *out);

/* Reads exactly BASE32_SIZE(size) digits (text need not end there) into size bytes. ERROR_INVALID
 * for another digit, or if the bits left over are not zero. */
int base32_decode(const char *text, uint8_t *out, size_t size);
/* Reads the other alphabet; only tests call it. */
int base32hex_decode(const char *text, uint8_t *out, size_t size);

#endif
