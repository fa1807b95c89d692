/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A bounded writer over a caller's buffer. Its error is sticky: bytes that do not fit are not
 * written, not even in part, and nothing is written after them. Any thread.
 */
#ifndef BRIDGE_BYTES_WRITER_H
#define BRIDGE_BYTES_WRITER_H

#include <stddef.h>
#include <stdint.h>

struct writer {
	uint8_t *start;
	uint8_t *at;
	uint8_t *end;
	int error; /* 0 or ERROR_TOO_LARGE */
};

void writer_init(struct writer *writer, void *buffer, size_t size);

/* Returns how many bytes have been written so far. */
static inline size_t writer_size(const struct writer *writer)
{
	return (size_t)(writer->at - writer->start);
}

/* Writes an integer in big-endian order, or size bytes as they are. */
void writer_u8(struct writer *writer, uint8_t value);
void writer_u16(struct writer *writer, uint16_t value);
void writer_u32(struct writer *writer, uint32_t value);
void writer_u64(struct writer *writer, uint64_t value);
void writer_bytes(struct writer *writer, const void *data, size_t size);

#endif
