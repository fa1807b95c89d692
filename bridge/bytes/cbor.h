/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The few pieces of CBOR (RFC 8949) that discovery needs, item by item over a reader or a
 * writer as postcard.h has them; tinycbor knows the format. What is written is as ciborium
 * and cbor-core write it: shortest heads, known lengths.
 *
 * What is read may have longer heads than needed, but its lengths must be known, as those
 * of Rust's types always are. Another type than the one asked for makes the reader fail
 * with ERROR_INVALID. Any thread.
 */
#ifndef BRIDGE_BYTES_CBOR_H
#define BRIDGE_BYTES_CBOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reader.h"
#include "writer.h"

uint64_t cbor_read_uint(struct reader *reader);
/* The head of an array or a map: how many items, or pairs of items, follow. */
uint64_t cbor_read_array(struct reader *reader);
uint64_t cbor_read_map(struct reader *reader);
/* A byte string or a text string (not checked to be UTF-8): a view; NULL on failure. */
const uint8_t *cbor_read_bytes(struct reader *reader, size_t *size);
const char *cbor_read_text(struct reader *reader, size_t *size);
/* serde's [u8; size]: an array of that many integers below 256; zeros on failure. */
void cbor_read_octets(struct reader *reader, uint8_t *out, size_t size);
/* A whole item, whatever it is: a view; NULL on failure. */
const uint8_t *cbor_read_item(struct reader *reader, size_t *size);

void cbor_write_uint(struct writer *writer, uint64_t value);
void cbor_write_array(struct writer *writer, uint64_t items);
void cbor_write_map(struct writer *writer, uint64_t pairs);
void cbor_write_bytes(struct writer *writer, const void *data, size_t size);
void cbor_write_text(struct writer *writer, const void *text, size_t size);
void cbor_write_octets(struct writer *writer, const uint8_t *data, size_t size);

/* A name of ours, such as a struct's key. */
#define cbor_write_name(writer, name) cbor_write_text(writer, name, sizeof(name) - 1)
bool cbor_is_name(const char *text, size_t size, const char *name);

/*
 * Where an item that arrives in pieces ends: CBOR has no length in front, and neither
 * tinycbor's reader nor ciborium's can be stopped in the middle. Looks at each byte once, so
 * an item that is too large to be kept is skipped all the same.
 */
#define CBOR_DEPTH 16 /* of containers; an info has ten */

struct cbor_scan {
	bool head_only; /* ends after the first head */
	bool done;
	uint8_t major;	  /* of the head last read: 0 to 7 */
	uint8_t head;	  /* bytes of it that are missing */
	uint64_t value;	  /* its argument */
	uint64_t content; /* bytes of a string that are missing */
	unsigned depth;
	uint64_t left[CBOR_DEPTH]; /* items missing in each container */
};

#define CBOR_ARRAY 4 /* major types */
#define CBOR_MAP   5

void cbor_scan_init(struct cbor_scan *scan, bool head_only);
/* Takes bytes of the item; used says how many. 1: the item is complete; 0: all were taken,
 * more are needed; ERROR_INVALID (not well-formed, of unknown length, or too deep). */
int cbor_scan(struct cbor_scan *scan, const uint8_t *data, size_t size, size_t *used);

#endif
