/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "reader.h"

#include <string.h>

#include "../error.h"

void reader_init(struct reader *reader, const void *data, size_t size)
{
	static const uint8_t nothing[1];

	reader->at = size ? data : nothing;
	reader->end = reader->at + size;
	reader->error = 0;
}

void reader_fail(struct reader *reader, int error)
{
	if (!reader->error)
		reader->error = error;
}

const uint8_t *reader_bytes(struct reader *reader, size_t size)
{
	const uint8_t *bytes = reader->at;

	if (reader->error)
		return NULL;
	if (size > reader_left(reader)) {
		reader->error = ERROR_TRUNCATED;
		return NULL;
	}
	reader->at += size;
	return bytes;
}

bool reader_copy(struct reader *reader, void *out, size_t size)
{
	const uint8_t *bytes = reader_bytes(reader, size);

	if (bytes)
		memcpy(out, bytes, size);
	else
		memset(out, 0, size);
	return bytes != NULL;
}

static uint64_t big_endian(struct reader *reader, size_t size)
{
	const uint8_t *bytes = reader_bytes(reader, size);
	uint64_t value = 0;

	for (size_t i = 0; bytes && i < size; i++)
		value = value << 8 | bytes[i];
	return value;
}

uint8_t reader_u8(struct reader *reader)
{
	return (uint8_t)big_endian(reader, 1);
}

uint16_t reader_u16(struct reader *reader)
{
	return (uint16_t)big_endian(reader, 2);
}

uint32_t reader_u32(struct reader *reader)
{
	return (uint32_t)big_endian(reader, 4);
}

uint64_t reader_u64(struct reader *reader)
{
	return big_endian(reader, 8);
}
