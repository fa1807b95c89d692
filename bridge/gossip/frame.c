/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "frame.h"

#include <string.h>

#include "../bytes/postcard.h"
#include "../bytes/reader.h"
#include "../error.h"
#include "../memory.h"

#define LENGTH_SIZE 4

void frame_reader_init(struct frame_reader *reader)
{
	*reader = (struct frame_reader){0};
}

void frame_reader_clear(struct frame_reader *reader)
{
	memory_free(reader->body);
	frame_reader_init(reader);
}

bool frame_reader_is_between(const struct frame_reader *reader)
{
	return reader->have == 0 && !reader->in_body;
}

static size_t take(uint8_t *out, size_t wanted, const uint8_t **data, size_t *size)
{
	size_t taken = wanted < *size ? wanted : *size;

	if (taken)
		memcpy(out, *data, taken);
	*data += taken;
	*size -= taken;
	return taken;
}

static int read_length(struct frame_reader *reader, const uint8_t **data, size_t *size)
{
	struct reader length;

	reader->have += take(reader->length + reader->have, LENGTH_SIZE - reader->have, data, size);
	if (reader->have < LENGTH_SIZE)
		return ERROR_NONE;
	reader_init(&length, reader->length, LENGTH_SIZE);
	reader->size = reader_u32(&length);
	if (reader->size > LIMIT_FRAME)
		return ERROR_TOO_LARGE;
	reader->in_body = true;
	reader->have = 0;
	return ERROR_NONE;
}

/* Makes room in the body for the bytes that have arrived; the room at least doubles, so that a body
 * in many small slices is not copied for each slice. */
static int make_room(struct frame_reader *reader, size_t arrived)
{
	size_t wanted = reader->have + arrived, room = 2 * reader->room;
	uint8_t *body;

	if (wanted > reader->size)
		wanted = reader->size;
	if (wanted <= reader->room)
		return ERROR_NONE;
	if (room < wanted)
		room = wanted;
	if (room > reader->size)
		room = reader->size;
	body = memory_realloc(reader->body, room);
	if (!body)
		return ERROR_NOMEM;
	reader->body = body;
	reader->room = room;
	return ERROR_NONE;
}

int frame_reader_next(struct frame_reader *reader, const uint8_t **data, size_t *size,
	const uint8_t **body, size_t *body_size)
{
	if (!reader->in_body) {
		int error;

		memory_free(reader->body);
		reader->body = NULL;
		reader->room = 0;
		error = read_length(reader, data, size);
		if (error)
			return error;
		if (!reader->in_body)
			return 0;
	}
	if (reader->have == 0 && (*size >= reader->size)) {
		*body = *data;
		*data += reader->size;
		*size -= reader->size;
	} else {
		if (*size == 0)
			return 0;
		if (make_room(reader, *size))
			return ERROR_NOMEM;
		reader->have +=
			take(reader->body + reader->have, reader->size - reader->have, data, size);
		if (reader->have < reader->size)
			return 0;
		*body = reader->body;
	}
	*body_size = reader->size;
	reader->in_body = false;
	reader->have = 0;
	return 1;
}

int frame_decode_header(const uint8_t *body, size_t size, struct id *topic)
{
	struct reader reader;

	reader_init(&reader, body, size);
	reader_copy(&reader, topic->bytes, ID_SIZE);
	return reader.error;
}

static int frame_of(const uint8_t *body, size_t size, struct frame **out)
{
	struct frame *frame = frame_new(LENGTH_SIZE + size);
	struct writer writer;

	if (!frame)
		return ERROR_NOMEM;
	writer_init(&writer, frame->head, frame->head_size);
	writer_u32(&writer, (uint32_t)size);
	writer_bytes(&writer, body, size);
	*out = frame;
	return ERROR_NONE;
}

int frame_encode_header(const struct id *topic, struct frame **out)
{
	return frame_of(topic->bytes, ID_SIZE, out);
}

int frame_encode(const struct wire_message *message, struct frame **out)
{
	uint8_t body[LIMIT_FRAME - 1];
	struct writer writer;
	int error;

	writer_init(&writer, body, sizeof body);
	error = wire_encode(message, &writer);
	if (error)
		return error;
	return frame_of(body, writer_size(&writer), out);
}

/* Returns the size of a Gossip message: two tags, id, content with its length, tag of the scope,
 * and round. */
static size_t gossip_size(size_t content_size, enum wire_scope scope, uint16_t round)
{
	return 2 + ID_SIZE + postcard_varint_size(content_size) + content_size + 1 +
	       (scope == WIRE_SWARM ? postcard_varint_size(round) : 0);
}

bool frame_fits(size_t content_size, uint16_t round)
{
	return content_size < LIMIT_FRAME &&
	       gossip_size(content_size, WIRE_SWARM, round) < LIMIT_FRAME;
}

int frame_encode_gossip(
	struct message *message, enum wire_scope scope, uint16_t round, struct frame **out)
{
	struct frame *frame;
	struct writer writer;

	if (message->size >= LIMIT_FRAME || gossip_size(message->size, scope, round) >= LIMIT_FRAME)
		return ERROR_TOO_LARGE;
	frame = frame_new(FRAME_HEAD_SIZE);
	if (!frame)
		return ERROR_NOMEM;
	writer_init(&writer, frame->head, FRAME_HEAD_SIZE);
	writer_u32(&writer, (uint32_t)gossip_size(message->size, scope, round));
	wire_encode_gossip_head(&writer, message_id(message), message->size);
	frame->head_size = writer_size(&writer);
	writer_init(&writer, frame->tail, FRAME_TAIL_SIZE);
	wire_encode_gossip_tail(&writer, scope, round);
	frame->tail_size = (uint8_t)writer_size(&writer);
	frame->body = message_ref(message);
	frame->droppable = true;
	*out = frame;
	return ERROR_NONE;
}
