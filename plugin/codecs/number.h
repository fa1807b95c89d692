/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reads and writes numbers of JSON as text, whatever locale the host has set. */
#ifndef PLUGIN_CODECS_NUMBER_H
#define PLUGIN_CODECS_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for the longest float of JSON that is accepted, with the closing zero: more than the digits
 * that can decide how an f64 is rounded (767). */
#define NUMBER_TEXT_SIZE 1024

/* What number_format writes at most, with the closing zero. */
#define NUMBER_FORMAT_SIZE 32

/* Returns the length of the number that the text begins with (RFC 8259, 6); 0 when there is none.
 * *is_float: the number has a fraction or an exponent. */
size_t number_scan(const char *text, size_t size, bool *is_float);

/* Reads an integer: decimal digits, after a minus if it is negative. The integer is *value, or
 * (*negative) -1 - *value, as in CBOR. Returns false for an integer beyond -2^64..2^64-1, and for
 * -0, which is no integer. */
bool number_integer(const char *text, size_t size, bool *negative, uint64_t *value);

/* Reads the f64 that is nearest to a number. Returns false when the f64 is infinite, when it is
 * zero and the number is not, or when the text is longer than NUMBER_TEXT_SIZE - 1. */
bool number_float(const char *text, size_t size, double *value);

/* Writes a finite float as JSON with the fewest digits (17 at most) that read back the same; with a
 * fraction or an exponent, so that it stays a float: 1.0, 1e16, 1.5e-7, as serde_json does. Returns
 * the length of the text. */
size_t number_format(double value, char out[NUMBER_FORMAT_SIZE]);

#endif
