/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Generation 0.7: each message is a frame, its length as u32 (big-endian) and then postcard
 * (p2panda-net 0.7.0 src/codec.rs).
 *
 * postcard does not say how long an element is, so the codec walks through an info value by value
 * to find its end; whether the info is well-formed shows when it is decoded.
 */
#include "dialect.h"

#include <string.h>

#include "../bytes/postcard.h"
#include "../error.h"
#include "endpoint.h"

enum step {
	LENGTH, /* bytes */
	TYPE,
	SALT, /* bytes */
	COUNT,
	ID_LENGTH,
	ID, /* bytes */
	/* An info: */
	TIME,
	LOGICAL,
	SIGNATURE_LENGTH,
	SIGNATURE, /* bytes */
	ADDRESSES,
	ADDRESS,
	NODE, /* bytes */
	TRANSPORTS,
	TRANSPORT,
	STRING_LENGTH,
	STRING, /* bytes */
	FAMILY,
	IP, /* bytes */
	PORT,
	CUSTOM,
	INFO, /* no bytes: the info is complete */
	/* The rest of the frame, which postcard ignores. */
	REST, /* bytes */
};

static bool is_bytes(enum step step)
{
	switch (step) {
	case LENGTH:
	case SALT:
	case ID:
	case SIGNATURE:
	case NODE:
	case STRING:
	case IP:
	case INFO:
	case REST:
		return true;
	default:
		return false;
	}
}

/* Goes to a step. size: the number of bytes, if the step is one of bytes. */
static void go_to(struct dialect_reader *reader, enum step step, uint64_t size)
{
	reader->step = step;
	reader->left = size;
	reader->value = 0;
	reader->shift = 0;
}

static void begin_element(struct dialect_reader *reader)
{
	reader->size = 0;
	reader->too_large = false;
}

static void begin(struct dialect_reader *reader, enum psi_message message)
{
	reader->message = message;
	reader->frame_left = 4;
	begin_element(reader);
	go_to(reader, LENGTH, 4);
}

static void next_element(struct dialect_reader *reader)
{
	begin_element(reader);
	if (reader->elements > 0) {
		reader->elements--;
		go_to(reader, ID_LENGTH, 0);
	} else {
		go_to(reader, REST, reader->frame_left);
	}
}

static void next_address(struct dialect_reader *reader)
{
	if (reader->addresses > 0) {
		reader->addresses--;
		go_to(reader, ADDRESS, 0);
	} else {
		go_to(reader, INFO, 0);
	}
}

static void next_transport(struct dialect_reader *reader)
{
	if (reader->transports > 0) {
		reader->transports--;
		go_to(reader, TRANSPORT, 0);
	} else {
		next_address(reader);
	}
}

static int begin_transport(struct dialect_reader *reader, uint64_t type)
{
	switch (type) {
	case TRANSPORT_RELAY:
		go_to(reader, STRING_LENGTH, 0);
		return ERROR_NONE;
	case TRANSPORT_IP:
		go_to(reader, FAMILY, 0);
		return ERROR_NONE;
	case TRANSPORT_CUSTOM:
		go_to(reader, CUSTOM, 0);
		return ERROR_NONE;
	default:
		return ERROR_INVALID;
	}
}

static int take_frame_length(struct dialect_reader *reader)
{
	uint32_t length = 0;

	for (unsigned i = 0; i < 4; i++)
		length = length << 8 | reader->element[i];
	if (length > LIMIT_SESSION_BYTES)
		return ERROR_LIMIT;
	reader->frame_left = length;
	begin_element(reader);
	go_to(reader, TYPE, 0);
	return ERROR_NONE;
}

/* Handles a step of bytes that has all of its bytes. Returns 1 if out is a piece, 0 to go on, or an
 * error. */
static int complete_bytes(struct dialect_reader *reader, struct piece *out)
{
	int result = 0;

	switch ((enum step)reader->step) {
	case LENGTH:
		return take_frame_length(reader);
	case SALT:
		out->type = PIECE_SALT;
		memcpy(out->salt, reader->element, sizeof out->salt);
		begin_element(reader);
		if (reader->message == PSI_ALICE_SALT_HALF)
			go_to(reader, REST, reader->frame_left);
		else
			go_to(reader, COUNT, 0);
		return 1;
	case ID:
		/* The varint of the length, in front, may have been longer than needed. */
		memcpy(reader->node.bytes, reader->element + reader->size - ID_SIZE, ID_SIZE);
		if (reader->message == PSI_NODES) {
			begin_element(reader);
			go_to(reader, TIME, 0);
			break;
		}
		out->type = PIECE_HASH;
		out->id = reader->node;
		next_element(reader);
		return 1;
	case SIGNATURE:
		go_to(reader, ADDRESSES, 0);
		break;
	case NODE:
		go_to(reader, TRANSPORTS, 0);
		break;
	case STRING:
		next_transport(reader);
		break;
	case IP:
		go_to(reader, PORT, 0);
		break;
	case INFO:
		result = dialect_decode(reader, info_decode_postcard, out);
		next_element(reader);
		break;
	case REST:
		out->type = PIECE_END;
		return 1;
	default:
		break;
	}
	return result;
}

/* Handles the varint of a step, which is complete. */
static int complete_value(struct dialect_reader *reader, uint64_t value)
{
	switch ((enum step)reader->step) {
	case TYPE:
		if (value != reader->message)
			return ERROR_INVALID;
		begin_element(reader);
		if (psi_message_has_salt(reader->message))
			go_to(reader, SALT, PSI_SALT_SIZE);
		else
			go_to(reader, COUNT, 0);
		break;
	case COUNT:
		reader->elements = value;
		next_element(reader);
		break;
	case ID_LENGTH:
		if (value != ID_SIZE)
			return ERROR_INVALID;
		go_to(reader, ID, ID_SIZE);
		break;
	case TIME:
		go_to(reader, LOGICAL, 0);
		break;
	case LOGICAL:
		go_to(reader, SIGNATURE_LENGTH, 0);
		break;
	case SIGNATURE_LENGTH:
		if (value != IDENTITY_SIGNATURE_SIZE)
			return ERROR_INVALID;
		go_to(reader, SIGNATURE, value);
		break;
	case ADDRESSES:
		reader->addresses = value;
		next_address(reader);
		break;
	case ADDRESS:
		if (value != 0)
			return ERROR_INVALID;
		go_to(reader, NODE, ID_SIZE);
		break;
	case TRANSPORTS:
		reader->transports = value;
		next_transport(reader);
		break;
	case TRANSPORT:
		return begin_transport(reader, value);
	case CUSTOM:
		go_to(reader, STRING_LENGTH, 0);
		break;
	case STRING_LENGTH:
		go_to(reader, STRING, value);
		break;
	case FAMILY:
		if (value > 1)
			return ERROR_INVALID;
		go_to(reader, IP, value ? 16 : 4);
		break;
	case PORT:
		next_transport(reader);
		break;
	default:
		break;
	}
	return ERROR_NONE;
}

/* Takes so many bytes off data, and adds them to the element. */
static void take(struct dialect_reader *reader, const uint8_t **data, size_t *size, size_t taken)
{
	dialect_keep(reader, *data, taken);
	*data += taken;
	*size -= taken;
	reader->frame_left -= taken;
}

/* Takes bytes of a step of bytes. Returns 1 when the step has all of its bytes, 0 if more are
 * needed, or ERROR_INVALID. */
static int take_bytes(struct dialect_reader *reader, const uint8_t **data, size_t *size)
{
	size_t taken = reader->left < *size ? (size_t)reader->left : *size;

	if (reader->left > reader->frame_left)
		return ERROR_INVALID;
	take(reader, data, size, taken);
	reader->left -= taken;
	return reader->left == 0;
}

/* Takes bytes of a varint (postcard src/varint.rs: at most ten bytes for 64 bits). Returns 1 when
 * the varint is complete, 0 if more bytes are needed, or ERROR_INVALID. */
static int take_varint(struct dialect_reader *reader, const uint8_t **data, size_t *size)
{
	while (*size > 0) {
		uint8_t byte = **data;

		if (reader->frame_left == 0 || reader->shift > 63 ||
			(reader->shift == 63 && byte > 1))
			return ERROR_INVALID;
		take(reader, data, size, 1);
		reader->value |= (uint64_t)(byte & 0x7f) << reader->shift;
		reader->shift += 7;
		if (!(byte & 0x80))
			return 1;
	}
	/* If the frame is over already, no more bytes are to be waited for. */
	return reader->frame_left == 0 ? ERROR_INVALID : 0;
}

static int read_message(
	struct dialect_reader *reader, const uint8_t **data, size_t *size, struct piece *out)
{
	int result = 0;

	*out = (struct piece){0};
	while (!result) {
		if (is_bytes(reader->step)) {
			result = take_bytes(reader, data, size);
			if (result == 1)
				result = complete_bytes(reader, out);
			else if (!result)
				return 0;
		} else {
			result = take_varint(reader, data, size);
			if (result == 1)
				result = complete_value(reader, reader->value);
			else if (!result)
				return 0;
		}
	}
	return result;
}

static void write_head(struct writer *writer, enum psi_message message, const uint8_t *salt,
	uint64_t count, uint64_t size)
{
	bool has_elements = message != PSI_ALICE_SALT_HALF;

	size += postcard_varint_size(message);
	if (psi_message_has_salt(message))
		size += PSI_SALT_SIZE;
	if (has_elements)
		size += postcard_varint_size(count);
	writer_u32(writer, (uint32_t)size);
	postcard_write_varint(writer, message);
	if (psi_message_has_salt(message))
		writer_bytes(writer, salt, PSI_SALT_SIZE);
	if (has_elements)
		postcard_write_varint(writer, count);
}

static void write_hash(struct writer *writer, const struct id *hash)
{
	postcard_write_bytes(writer, hash->bytes, ID_SIZE);
}

static void write_node(struct writer *writer, const struct id *node, const struct info *info)
{
	write_hash(writer, node);
	info_encode_postcard(info, writer);
}

const struct dialect_codec dialect_postcard = {
	begin, read_message, write_head, write_hash, write_node};
