/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef PLUGIN_CODECS_UTF8_H
#define PLUGIN_CODECS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether all of it is UTF-8 as RFC 3629 has it, which is Rust's: no surrogates, no longer
 * forms than needed, nothing beyond U+10FFFF. Zeros and noncharacters are characters. */
bool utf8_is_valid(const void *text, size_t size);

/* Writes one character, of which there must be one with that number (no surrogate); returns
 * its 1 to 4 bytes. */
size_t utf8_encode(uint32_t character, uint8_t out[4]);

#endif
