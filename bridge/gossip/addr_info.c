/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "addr_info.h"

#include <string.h>

#include "../bytes/postcard.h"
#include "../error.h"

/* Reads an address as serde writes a SocketAddr: V4 and V6 are (address, port); IPv6 flow and scope
 * are lost. */
static void read_address(struct reader *reader, struct address *address)
{
	uint32_t family = postcard_read_u32(reader);

	*address = (struct address){.family = family ? 6 : 4};
	if (family > 1)
		reader_fail(reader, ERROR_INVALID);
	reader_copy(reader, address->ip, family ? 16 : 4);
	address->port = postcard_read_u16(reader);
}

int addr_info_decode(const uint8_t *data, size_t size, struct addr_info *out)
{
	struct reader reader;
	struct address ignored;
	uint64_t count;

	*out = (struct addr_info){0};
	if (size == 0)
		return 0;
	reader_init(&reader, data, size);
	if (postcard_read_bool(&reader))
		out->relay = (const char *)postcard_read_bytes(&reader, &out->relay_size);
	count = postcard_read_u64(&reader);
	for (uint64_t i = 0; i < count && !reader.error; i++) {
		if (out->count < LIMIT_ADDRESSES_PER_NODE)
			read_address(&reader, &out->addresses[out->count++]);
		else
			read_address(&reader, &ignored);
	}
	return reader.error;
}

int addr_info_encode(const struct addr_info *info, uint8_t *buffer, size_t size)
{
	struct writer writer;

	writer_init(&writer, buffer, size);
	postcard_write_bool(&writer, info->relay != NULL);
	if (info->relay)
		postcard_write_bytes(&writer, info->relay, info->relay_size);
	postcard_write_varint(&writer, info->count);
	for (size_t i = 0; i < info->count; i++) {
		const struct address *address = &info->addresses[i];

		postcard_write_varint(&writer, address->family == 6);
		writer_bytes(&writer, address->ip, address->family == 6 ? 16 : 4);
		postcard_write_varint(&writer, address->port);
	}
	return writer.error ? writer.error : (int)writer_size(&writer);
}

void addr_info_set(struct addr_info *info, const struct address *addresses, size_t count)
{
	*info = (struct addr_info){0};
	for (size_t i = 0; i < count && info->count < LIMIT_ADDRESSES_PER_NODE; i++) {
		size_t place = info->count;
		int order = 1;

		while (place > 0 &&
			(order = address_compare(&addresses[i], &info->addresses[place - 1])) < 0)
			place--;
		if (place > 0 && order == 0)
			continue;
		memmove(&info->addresses[place + 1], &info->addresses[place],
			(info->count - place) * sizeof *addresses);
		info->addresses[place] = addresses[i];
		info->count++;
	}
}
