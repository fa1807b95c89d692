/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "codec.h"

#include <stdio.h>
#include <string.h>

#include "../../bridge/bytes/cbor.h"
#include "../../bridge/bytes/utf8.h"
#include "../../bridge/error.h"
#include "../../bridge/limits.h"
#include "../../bridge/memory.h"
#include "../../bridge/messages/body.h"
#include "json.h"

static const char *const names[CODECS] = {"json", "text", "bytes", "cbor"};

enum codec codec_named(const char *name)
{
	enum codec codec = 0;

	while (codec < CODECS && strcmp(name, names[codec]) != 0)
		codec++;
	return codec;
}

const char *codec_name(enum codec codec)
{
	return names[codec];
}

static int refuse(char reason[CODEC_REASON_SIZE], const char *text)
{
	snprintf(reason, CODEC_REASON_SIZE, "%s", text);
	return ERROR_INVALID;
}

static int is_too_large(char reason[CODEC_REASON_SIZE], size_t needed, size_t room)
{
	snprintf(reason, CODEC_REASON_SIZE, "its body would have %zu bytes, %zu are the most",
		needed, room);
	return ERROR_TOO_LARGE;
}

/* Finds out how large the body would be, by making it in memory of its own. Returns ERROR_TOO_LARGE
 * with *body_size, or another error. */
static int measure_json(const char *text, size_t size, size_t room, size_t *body_size,
	char reason[CODEC_REASON_SIZE])
{
	uint8_t *body = memory_alloc(JSON_BODY_ROOM(size));
	int error;

	if (!body)
		return ERROR_NOMEM;
	error = json_to_body(text, size, true, body, JSON_BODY_ROOM(size), body_size, reason);
	memory_free(body);
	return error ? error : is_too_large(reason, *body_size, room);
}

static int encode_json(const char *text, size_t size, bool keys_as_written, uint8_t *body,
	size_t room, size_t *body_size, char reason[CODEC_REASON_SIZE])
{
	int error;

	if (size > LIMIT_JSON_TEXT) {
		snprintf(reason, CODEC_REASON_SIZE, "it is JSON of %zu bytes, %d are the most",
			size, LIMIT_JSON_TEXT);
		return ERROR_TOO_LARGE;
	}
	error = json_to_body(text, size, keys_as_written, body, room, body_size, reason);
	return error == ERROR_TOO_LARGE ? measure_json(text, size, room, body_size, reason) : error;
}

static int encode_string(uint8_t major, const void *payload, size_t size, uint8_t *body,
	size_t room, size_t *body_size, char reason[CODEC_REASON_SIZE])
{
	uint8_t head[9];
	struct writer writer;

	if (major == CBOR_TEXT && !utf8_is_valid(payload, size))
		return refuse(reason, "it is not UTF-8");
	writer_init(&writer, head, sizeof head);
	cbor_write_head(&writer, major, size);
	*body_size = writer_size(&writer) + size;
	if (*body_size > room)
		return is_too_large(reason, *body_size, room);
	writer_init(&writer, body, room);
	writer_bytes(&writer, head, *body_size - size);
	writer_bytes(&writer, payload, size);
	return ERROR_NONE;
}

static int encode_cbor(const uint8_t *payload, size_t size, uint8_t *body, size_t room,
	size_t *body_size, char reason[CODEC_REASON_SIZE])
{
	int error;

	*body_size = size;
	if (size > room || size > LIMIT_CONTENT)
		return is_too_large(reason, size, room < LIMIT_CONTENT ? room : LIMIT_CONTENT);
	error = body_check(payload, size, 0);
	if (error)
		return refuse(reason, error_text(error));
	memcpy(body, payload, size);
	return ERROR_NONE;
}

int codec_encode(enum codec codec, const struct codec_options *options, const void *payload,
	size_t size, uint8_t *body, size_t room, size_t *body_size, char reason[CODEC_REASON_SIZE])
{
	int error = ERROR_INVALID;

	*body_size = 0;
	*reason = '\0';
	if (!payload)
		payload = ""; /* with a size of 0 */
	switch (codec) {
	case CODEC_JSON:
		error = encode_json(
			payload, size, options->keys_as_written, body, room, body_size, reason);
		break;
	case CODEC_TEXT:
		error = encode_string(CBOR_TEXT, payload, size, body, room, body_size, reason);
		break;
	case CODEC_BYTES:
		error = encode_string(CBOR_BYTES, payload, size, body, room, body_size, reason);
		break;
	case CODEC_CBOR:
		error = encode_cbor(payload, size, body, room, body_size, reason);
		break;
	case CODECS:
		break;
	}
	if (error == ERROR_NOMEM)
		snprintf(reason, CODEC_REASON_SIZE, "%s", error_text(error));
	return error;
}

static int copy(const void *content, size_t size, char **payload, size_t *payload_size)
{
	*payload = memory_alloc(size + 1);
	if (!*payload)
		return ERROR_NOMEM;
	if (size > 0)
		memcpy(*payload, content, size);
	(*payload)[size] = '\0';
	*payload_size = size;
	return ERROR_NONE;
}

static int decode_string(
	uint8_t major, const uint8_t *body, size_t body_size, char **payload, size_t *payload_size)
{
	struct reader reader;
	struct cbor_head head;

	reader_init(&reader, body, body_size);
	if (!cbor_read_head(&reader, &head) || head.major != major)
		return ERROR_UNFIT;
	return copy(reader.at, reader_left(&reader), payload, payload_size);
}

/* Decodes serde's Vec<u8>: an array of integers below 256, each of which takes a byte or two. */
static int decode_octets(
	const uint8_t *body, size_t body_size, char **payload, size_t *payload_size)
{
	struct reader reader;
	struct cbor_head head;
	uint64_t items;
	size_t count = 0;
	char *octets;

	reader_init(&reader, body, body_size);
	if (!cbor_read_head(&reader, &head) || head.major != CBOR_ARRAY)
		return ERROR_UNFIT;
	items = head.value;
	octets = memory_alloc(reader_left(&reader) + 1);
	if (!octets)
		return ERROR_NOMEM;
	while (reader_left(&reader) > 0 && cbor_read_head(&reader, &head) &&
		head.major == CBOR_UINT && head.value < 256)
		octets[count++] = (char)head.value;
	if (count < items) {
		memory_free(octets);
		return ERROR_UNFIT;
	}
	octets[count] = '\0';
	*payload = octets;
	*payload_size = count;
	return ERROR_NONE;
}

int codec_decode(enum codec codec, const uint8_t *body, size_t body_size, char **payload,
	size_t *payload_size)
{
	int error;

	*payload = NULL;
	*payload_size = 0;
	error = body_check(body, body_size, BODY_ARRIVED);
	if (error)
		return error;
	switch (codec) {
	case CODEC_JSON:
		return json_of_body(body, body_size, payload, payload_size);
	case CODEC_TEXT:
		return decode_string(CBOR_TEXT, body, body_size, payload, payload_size);
	case CODEC_BYTES:
		error = decode_string(CBOR_BYTES, body, body_size, payload, payload_size);
		return error == ERROR_UNFIT ? decode_octets(body, body_size, payload, payload_size)
					    : error;
	case CODEC_CBOR:
		return copy(body, body_size, payload, payload_size);
	case CODECS:
		break;
	}
	return ERROR_UNFIT;
}
