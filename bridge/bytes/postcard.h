/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The few pieces of the postcard format (1.x) that the network's messages need:
 * https://postcard.jamesmunns.com/wire-format. Integers are LEB128 varints, fixed arrays and tuples
 * are bare, sequences and strings carry their length.
 *
 * Reading is as strict as the Rust crate and no stricter: a varint may be padded with zero groups,
 * but not beyond the length of its type's largest value, and its value must fit. Any other input
 * makes the reader fail with ERROR_INVALID.
 */
#ifndef BRIDGE_BYTES_POSTCARD_H
#define BRIDGE_BYTES_POSTCARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reader.h"
#include "writer.h"

uint16_t postcard_read_u16(struct reader *reader);
/* Reads a u32, or the discriminant of an enum. */
uint32_t postcard_read_u32(struct reader *reader);
uint64_t postcard_read_u64(struct reader *reader);
/* Reads a bool, or whether an Option is Some. */
bool postcard_read_bool(struct reader *reader);
/* Reads a byte string or a string (not checked to be UTF-8). Returns a view of its content; NULL on
 * failure. */
const uint8_t *postcard_read_bytes(struct reader *reader, size_t *size);

void postcard_write_varint(struct writer *writer, uint64_t value);
void postcard_write_bool(struct writer *writer, bool value);
void postcard_write_bytes(struct writer *writer, const void *data, size_t size);

/* Returns how many bytes value takes as a varint. */
size_t postcard_varint_size(uint64_t value);

#endif
