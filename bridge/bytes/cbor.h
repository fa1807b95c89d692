/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The few pieces of CBOR (RFC 8949) that discovery and the bodies of messages need, item by item
 * over a reader or a writer like those of postcard.h; tinycbor knows the format. Items are written
 * as ciborium and cbor-core write them: shortest heads, known lengths.
 *
 * Items that are read may have longer heads than needed, but their lengths must be known, as those
 * of Rust's types always are. An item of another type than the one asked for makes the reader fail
 * with ERROR_INVALID. Any thread.
 */
#ifndef BRIDGE_BYTES_CBOR_H
#define BRIDGE_BYTES_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reader.h"
#include "writer.h"

/* Major types. */
#define CBOR_UINT     0
#define CBOR_NEGATIVE 1
#define CBOR_BYTES    2
#define CBOR_TEXT     3
#define CBOR_ARRAY    4
#define CBOR_MAP      5
#define CBOR_TAG      6
#define CBOR_SIMPLE   7 /* and floats */

/* The five low bits of a first byte of major type 7. */
#define CBOR_FALSE 20
#define CBOR_TRUE  21
#define CBOR_NULL  22
#define CBOR_F16   25
#define CBOR_F32   26
#define CBOR_F64   27

uint64_t cbor_read_uint(struct reader *reader);
/* Reads the head of an array or a map; returns how many items, or pairs of items, follow; 0 on
 * failure. */
uint64_t cbor_read_array(struct reader *reader);
uint64_t cbor_read_map(struct reader *reader);
/* Reads a byte string or a text string (not checked to be UTF-8). Returns a view of its content;
 * NULL on failure. */
const uint8_t *cbor_read_bytes(struct reader *reader, size_t *size);
const char *cbor_read_text(struct reader *reader, size_t *size);
/* Reads serde's [u8; size]: an array of that many integers below 256; fills out with zeros on
 * failure. */
void cbor_read_octets(struct reader *reader, uint8_t *out, size_t size);
/* Reads a whole item of any type. Returns a view of the item; NULL on failure. */
const uint8_t *cbor_read_item(struct reader *reader, size_t *size);

/* The head of an item of any type, for code that walks items of unknown type. */
struct cbor_head {
	uint8_t major;	     /* 0 to 7 */
	uint8_t information; /* the low five bits of the first byte */
	uint64_t value;	     /* the argument: a number, a length, a simple value, a float's bits */
};

/* Reads a head. On failure returns false; the reader has ERROR_TRUNCATED or ERROR_INVALID. */
bool cbor_read_head(struct reader *reader, struct cbor_head *head);
/* Returns the value of a float: a head of major type 7, information 25 to 27. */
double cbor_float(const struct cbor_head *head);

void cbor_write_uint(struct writer *writer, uint64_t value);
/* Writes the integer -1 - value, which is how CBOR encodes negative integers. */
void cbor_write_negative(struct writer *writer, uint64_t value);
/* Writes a float as the shortest of f16, f32 and f64 that keeps the value; a NaN as f97e00. */
void cbor_write_float(struct writer *writer, double value);
void cbor_write_bool(struct writer *writer, bool value);
void cbor_write_null(struct writer *writer);
/* Writes the head of any major type but 7, in its shortest form. */
void cbor_write_head(struct writer *writer, uint8_t major, uint64_t value);
void cbor_write_array(struct writer *writer, uint64_t items);
void cbor_write_map(struct writer *writer, uint64_t pairs);
void cbor_write_bytes(struct writer *writer, const void *data, size_t size);
void cbor_write_text(struct writer *writer, const void *text, size_t size);
void cbor_write_octets(struct writer *writer, const uint8_t *data, size_t size);

/* Writes a name that is a string literal, such as a struct's key. */
#define cbor_write_name(writer, name) cbor_write_text(writer, name, sizeof(name) - 1)
bool cbor_is_name(const char *text, size_t size, const char *name);

/*
 * Finds the end of an item that arrives in pieces: CBOR has no length in front, and neither
 * tinycbor's reader nor ciborium's can be stopped in the middle. Looks at each byte once, so an
 * item that is too large to be kept is skipped all the same.
 */
#define CBOR_DEPTH 16 /* containers within each other; an info has ten */

struct cbor_scan {
	bool head_only; /* the scan ends after the first head */
	bool done;
	uint8_t major;	  /* major type of the head last read: 0 to 7 */
	uint8_t head;	  /* bytes of that head that are missing */
	uint64_t value;	  /* the argument of that head */
	uint64_t content; /* bytes of a string that are missing */
	unsigned depth;
	uint64_t left[CBOR_DEPTH]; /* items missing in each container */
};

void cbor_scan_init(struct cbor_scan *scan, bool head_only);
/* Takes bytes of the item; *used becomes their number. Returns 1: the item is complete; 0: all
 * bytes were taken, and more are needed; ERROR_INVALID: the item is not well-formed, of unknown
 * length, or too deep. */
int cbor_scan(struct cbor_scan *scan, const uint8_t *data, size_t size, size_t *used);

#endif
