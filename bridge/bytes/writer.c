/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "writer.h"

#include <string.h>

#include "../error.h"

void writer_init(struct writer *writer, void *buffer, size_t size)
{
	writer->start = buffer;
	writer->at = buffer;
	writer->end = writer->start + size;
	writer->error = 0;
}

void writer_bytes(struct writer *writer, const void *data, size_t size)
{
	if (writer->error)
		return;
	if (size > (size_t)(writer->end - writer->at)) {
		writer->error = ERROR_TOO_LARGE;
		return;
	}
	if (size)
		memcpy(writer->at, data, size);
	writer->at += size;
}

static void big_endian(struct writer *writer, uint64_t value, size_t size)
{
	uint8_t bytes[8];

	for (size_t i = size; i > 0; i--) {
		bytes[i - 1] = (uint8_t)value;
		value >>= 8;
	}
	writer_bytes(writer, bytes, size);
}

void writer_u8(struct writer *writer, uint8_t value)
{
	big_endian(writer, value, 1);
}

void writer_u16(struct writer *writer, uint16_t value)
{
	big_endian(writer, value, 2);
}

void writer_u32(struct writer *writer, uint32_t value)
{
	big_endian(writer, value, 4);
}

void writer_u64(struct writer *writer, uint64_t value)
{
	big_endian(writer, value, 8);
}
