/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "frame.h"

#include <blake3.h>

#include "../bytes/postcard.h"
#include "../bytes/reader.h"
#include "../bytes/writer.h"
#include "../error.h"

#define CHALLENGE_CONTEXT "iroh-relay handshake v1 challenge signature"

static void read_text(struct reader *reader, struct relay_frame *out)
{
	out->data = postcard_read_bytes(reader, &out->size);
}

static void read_rest(struct reader *reader, struct relay_frame *out)
{
	out->size = reader_left(reader);
	out->data = reader_bytes(reader, out->size);
}

static void read_fixed(struct reader *reader, struct relay_frame *out, size_t size)
{
	out->size = size;
	out->data = reader_bytes(reader, size);
}

static void read_datagrams(struct reader *reader, struct relay_frame *out)
{
	reader_copy(reader, out->node.bytes, ID_SIZE);
	reader_u8(reader); /* ECN: means nothing behind a TCP connection */
	if (out->type == RELAY_FRAME_BATCH) {
		out->segment = reader_u16(reader);
		if (!reader->error && out->segment == 0)
			reader_fail(reader, ERROR_INVALID);
	}
	read_rest(reader, out);
	if (!reader->error && out->size == 0)
		reader_fail(reader, ERROR_INVALID);
	if (out->segment >= out->size) {
		out->type = RELAY_FRAME_DATAGRAM;
		out->segment = 0;
	}
}

/* Reads the bytes behind the type; bytes beyond the frame's end are left. */
static void read_body(struct reader *reader, struct relay_frame *out)
{
	switch (out->type) {
	case RELAY_FRAME_CHALLENGE:
		read_fixed(reader, out, RELAY_CHALLENGE_SIZE);
		break;
	case RELAY_FRAME_CONFIRMS:
		break;
	case RELAY_FRAME_DENIES:
		read_text(reader, out);
		break;
	case RELAY_FRAME_DATAGRAM:
	case RELAY_FRAME_BATCH:
		read_datagrams(reader, out);
		break;
	case RELAY_FRAME_GONE:
		reader_copy(reader, out->node.bytes, ID_SIZE);
		break;
	case RELAY_FRAME_PING:
	case RELAY_FRAME_PONG:
		read_fixed(reader, out, RELAY_PING_SIZE);
		break;
	case RELAY_FRAME_HEALTH:
		read_rest(reader, out);
		break;
	case RELAY_FRAME_RESTARTING:
		out->reconnect_in = reader_u32(reader);
		out->try_for = reader_u32(reader);
		break;
	case RELAY_FRAME_STATUS:
		out->status = reader_u8(reader);
		break;
	case RELAY_FRAME_AUTH:
	case RELAY_FRAME_SEND:
	case RELAY_FRAME_SEND_BATCH:
		reader_fail(reader, ERROR_NOT_FOUND);
		break;
	}
}

int relay_frame_read(const uint8_t *data, size_t size, struct relay_frame *out)
{
	struct reader reader;
	uint8_t type;

	reader_init(&reader, data, size);
	type = reader_u8(&reader);
	if (reader.error)
		return reader.error;
	if (type > RELAY_FRAME_STATUS)
		return ERROR_NOT_FOUND;
	*out = (struct relay_frame){.type = (enum relay_frame_type)type};
	read_body(&reader, out);
	if (!reader.error && reader_left(&reader) && type > RELAY_FRAME_DENIES)
		return ERROR_INVALID;
	return reader.error;
}

int relay_frame_auth(const struct identity *identity, const uint8_t challenge[RELAY_CHALLENGE_SIZE],
	uint8_t out[RELAY_FRAME_AUTH_SIZE])
{
	uint8_t derived[32], signature[IDENTITY_SIGNATURE_SIZE];
	blake3_hasher hasher;
	struct writer writer;
	int error;

	blake3_hasher_init_derive_key(&hasher, CHALLENGE_CONTEXT);
	blake3_hasher_update(&hasher, challenge, RELAY_CHALLENGE_SIZE);
	blake3_hasher_finalize(&hasher, derived, sizeof derived);
	error = identity_sign(identity, derived, sizeof derived, signature);
	if (error)
		return error;
	writer_init(&writer, out, RELAY_FRAME_AUTH_SIZE);
	writer_u8(&writer, RELAY_FRAME_AUTH);
	writer_bytes(&writer, identity->id.bytes, ID_SIZE);
	postcard_write_bytes(&writer, signature, sizeof signature);
	return writer.error;
}

size_t relay_frame_head(const struct id *to, uint16_t segment, uint8_t out[RELAY_FRAME_HEAD_SIZE])
{
	struct writer writer;

	writer_init(&writer, out, RELAY_FRAME_HEAD_SIZE);
	writer_u8(&writer, segment ? RELAY_FRAME_SEND_BATCH : RELAY_FRAME_SEND);
	writer_bytes(&writer, to->bytes, ID_SIZE);
	writer_u8(&writer, 0);
	if (segment)
		writer_u16(&writer, segment);
	return writer_size(&writer);
}

char *relay_words(const void *data, size_t size, char *out, size_t room)
{
	const char *bytes = data;
	size_t length = size < room - 1 ? size : room - 1;

	for (size_t i = 0; i < length; i++)
		out[i] = bytes[i] >= ' ' && bytes[i] <= '~' ? bytes[i] : '?';
	out[length] = '\0';
	return out;
}
