/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* UTF-8 as RFC 3629 and Rust's str have it. Any thread. */
#ifndef BRIDGE_BYTES_UTF8_H
#define BRIDGE_BYTES_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Whether all of it is well-formed: no surrogates, nothing longer than needed, nothing above
 * U+10FFFF. U+0000 and noncharacters are well-formed. */
bool utf8_is_valid(const void *text, size_t size);

#endif
