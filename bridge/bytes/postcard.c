/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "postcard.h"

#include "../error.h"

/* Reads a varint of a type of so many bits (postcard src/de/deserializer.rs): a type of n bits
 * takes at most ceil(n / 7) bytes, of which the last may only hold the bits that are left. */
static uint64_t read_varint(struct reader *reader, unsigned bits)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < bits; shift += 7) {
		uint8_t byte = reader_u8(reader);
		unsigned left = bits - shift;

		if (reader->error)
			return 0;
		if (left < 7 && byte >> left)
			break;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	reader_fail(reader, ERROR_INVALID);
	return 0;
}

uint16_t postcard_read_u16(struct reader *reader)
{
	return (uint16_t)read_varint(reader, 16);
}

uint32_t postcard_read_u32(struct reader *reader)
{
	return (uint32_t)read_varint(reader, 32);
}

uint64_t postcard_read_u64(struct reader *reader)
{
	return read_varint(reader, 64);
}

bool postcard_read_bool(struct reader *reader)
{
	uint8_t byte = reader_u8(reader);

	if (byte > 1)
		reader_fail(reader, ERROR_INVALID);
	return byte == 1;
}

const uint8_t *postcard_read_bytes(struct reader *reader, size_t *size)
{
	uint64_t length = postcard_read_u64(reader);
	const uint8_t *bytes = NULL;

	if (length > reader_left(reader))
		reader_fail(reader, ERROR_TRUNCATED);
	else
		bytes = reader_bytes(reader, (size_t)length);
	*size = bytes ? (size_t)length : 0;
	return bytes;
}

void postcard_write_varint(struct writer *writer, uint64_t value)
{
	uint8_t bytes[10];
	size_t size = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[size++] = (uint8_t)(value | 0x80);
	bytes[size++] = (uint8_t)value;
	writer_bytes(writer, bytes, size);
}

void postcard_write_bool(struct writer *writer, bool value)
{
	writer_u8(writer, value ? 1 : 0);
}

void postcard_write_bytes(struct writer *writer, const void *data, size_t size)
{
	postcard_write_varint(writer, size);
	writer_bytes(writer, data, size);
}

size_t postcard_varint_size(uint64_t value)
{
	size_t size = 1;

	for (; value >= 0x80; value >>= 7)
		size++;
	return size;
}
