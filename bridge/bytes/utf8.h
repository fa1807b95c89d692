/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* UTF-8 by the rules of RFC 3629 and of Rust's str. Any thread. */
#ifndef BRIDGE_BYTES_UTF8_H
#define BRIDGE_BYTES_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Tells whether the whole text is well-formed: no surrogates, nothing longer than needed, nothing
 * above U+10FFFF. U+0000 and noncharacters are well-formed. */
bool utf8_is_valid(const void *text, size_t size);

#endif
