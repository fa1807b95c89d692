/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A bounded cursor over bytes that come from elsewhere: all parsing goes through it.
 *
 * The error of a reader is sticky: once a reader has failed it stays where it is and yields zeros
 * and NULL. So a decoder may read on and look at error once at its end, as long as nothing that it
 * has read decides how long it loops. Nothing is copied: views live as long as the input. Any
 * thread.
 */
#ifndef BRIDGE_BYTES_READER_H
#define BRIDGE_BYTES_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
	const uint8_t *at;
	const uint8_t *end;
	int error; /* 0, ERROR_TRUNCATED, or what reader_fail was told */
};

void reader_init(struct reader *reader, const void *data, size_t size);

/* Makes the reader fail, unless the reader has failed already: the first error counts. */
void reader_fail(struct reader *reader, int error);

static inline size_t reader_left(const struct reader *reader)
{
	return (size_t)(reader->end - reader->at);
}

/* Reads an integer in big-endian order; 0 on failure. */
uint8_t reader_u8(struct reader *reader);
uint16_t reader_u16(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);

/* Returns a view of the next size bytes; NULL when fewer are left. */
const uint8_t *reader_bytes(struct reader *reader, size_t size);

/* Copies the next size bytes; fills out with zeros and returns false when fewer
 * are left. */
bool reader_copy(struct reader *reader, void *out, size_t size);

#endif
