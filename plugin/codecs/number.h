/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Numbers of JSON as text, whatever the locale is that somebody has set. */
#ifndef PLUGIN_CODECS_NUMBER_H
#define PLUGIN_CODECS_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest float of JSON that is taken: more than the digits that can decide how an f64
 * is rounded (767). */
#define NUMBER_TEXT_SIZE 1024

/* What number_format writes at most, with the closing zero. */
#define NUMBER_FORMAT_SIZE 32

/* How long the number is that the text begins with (RFC 8259, 6); 0 when there is none.
 * *is_float: it has a fraction or an exponent. */
size_t number_scan(const char *text, size_t size, bool *is_float);

/* Its decimal digits, after a minus if negative, as CBOR has it: *value, or -1 - *value. False
 * when it is beyond -2^64..2^64-1, or -0, which is no integer. */
bool number_integer(const char *text, size_t size, bool *negative, uint64_t *value);

/* The nearest f64. False when that is infinite, or zero for a text that is not, or the text
 * is longer than NUMBER_TEXT_SIZE - 1. */
bool number_float(const char *text, size_t size, double *value);

/* Writes a finite float as JSON with the fewest digits (17 at most) that read back the same;
 * with a fraction or an exponent, so that it stays a float: 1.0, 1e16, 1.5e-7, as serde_json
 * does. Returns its length. */
size_t number_format(double value, char out[NUMBER_FORMAT_SIZE]);

#endif
