/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "support_packet.h"

#include <stdio.h>
#include <string.h>

#include "bridge/bytes/base32.h"

void packet_begin(struct packet *packet, unsigned flags, unsigned questions, unsigned answers,
	unsigned additional)
{
	writer_init(&packet->writer, packet->bytes, sizeof packet->bytes);
	writer_u16(&packet->writer, 0);
	writer_u16(&packet->writer, (uint16_t)flags);
	writer_u16(&packet->writer, (uint16_t)questions);
	writer_u16(&packet->writer, (uint16_t)answers);
	writer_u16(&packet->writer, 0);
	writer_u16(&packet->writer, (uint16_t)additional);
}

void packet_name(struct packet *packet, const char *name)
{
	while (*name) {
		size_t size = strcspn(name, ".");

		writer_u8(&packet->writer, (uint8_t)size);
		writer_bytes(&packet->writer, name, size);
		name += size + (name[size] == '.');
	}
	writer_u8(&packet->writer, 0);
}

void packet_question(struct packet *packet, const char *name, unsigned type, unsigned class)
{
	packet_name(packet, name);
	writer_u16(&packet->writer, (uint16_t)type);
	writer_u16(&packet->writer, (uint16_t)class);
}

void packet_record(struct packet *packet, const char *name, unsigned type, unsigned class,
	const void *data, size_t size)
{
	packet_question(packet, name, type, class);
	writer_u32(&packet->writer, 0);
	writer_u16(&packet->writer, (uint16_t)size);
	writer_bytes(&packet->writer, data, size);
}

void packet_srv(
	struct packet *packet, const char *name, unsigned class, unsigned port, const char *target)
{
	struct packet data;

	writer_init(&data.writer, data.bytes, sizeof data.bytes);
	writer_u32(&data.writer, 0);
	writer_u16(&data.writer, (uint16_t)port);
	packet_name(&data, target);
	packet_record(packet, name, 33, class, data.bytes, writer_size(&data.writer));
}

void packet_txt(struct packet *packet, const char *name, unsigned class, const char *first,
	const char *text)
{
	struct packet data;

	writer_init(&data.writer, data.bytes, sizeof data.bytes);
	writer_u8(&data.writer, (uint8_t)strlen(first));
	writer_bytes(&data.writer, first, strlen(first));
	writer_u8(&data.writer, (uint8_t)(strlen("user-data=") + strlen(text)));
	writer_bytes(&data.writer, "user-data=", strlen("user-data="));
	writer_bytes(&data.writer, text, strlen(text));
	packet_record(packet, name, 16, class, data.bytes, writer_size(&data.writer));
}

void packet_instance_name(const struct id *id, char name[128])
{
	char label[BASE32_SIZE(ID_SIZE) + 1];

	snprintf(name, 128, "%s." SERVICE, base32_encode(id->bytes, ID_SIZE, label));
}
