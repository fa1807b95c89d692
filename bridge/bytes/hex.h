/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lower-case hex, the only spelling this project writes and reads: a topic id has
 * exactly one name. Any thread.
 */
#ifndef BRIDGE_BYTES_HEX_H
#define BRIDGE_BYTES_HEX_H

#include <stddef.h>
#include <stdint.h>

/* Writes 2 * size digits and a closing zero. Returns out. */
char *hex_encode(const void *data, size_t size, char *out);

/* Reads exactly 2 * size digits (text need not end there). ERROR_INVALID for
 * anything but 0-9 and a-f; out is then undefined. */
int hex_decode(const char *text, uint8_t *out, size_t size);

#endif
