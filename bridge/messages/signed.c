/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "signed.h"

#include <assert.h>
#include <string.h>

#include "../bytes/cbor.h"
#include "../error.h"
#include "../limits.h"
#include "body.h"
#include "head.h"

#define VERSION 1

/* 86 01 5820<author> 5840<signature> ..; the signed bytes begin with 85 instead, and go on behind
 * the signature. */
#define ITEMS	      6
#define SIGNATURE_AT  (1 + 1 + 2 + ID_SIZE)
#define SIGNATURE_END (SIGNATURE_AT + 2 + IDENTITY_SIGNATURE_SIZE)

/* Time and counter are two integers of nine bytes at most. */
_Static_assert(SIGNATURE_END + 2 * 9 + LIMIT_SIGNED_BODY <= LIMIT_CONTENT, "each body fits");

static void write_author(struct writer *writer, uint64_t items, const struct id *author)
{
	cbor_write_array(writer, items);
	cbor_write_uint(writer, VERSION);
	cbor_write_bytes(writer, author->bytes, ID_SIZE);
}

int signed_encode(const struct identity *identity, uint64_t time_us, uint64_t counter,
	const void *body, size_t body_size, struct message **out)
{
	uint8_t content[LIMIT_CONTENT], plain[LIMIT_CONTENT];
	uint8_t signature[IDENTITY_SIGNATURE_SIZE];
	struct writer writer;
	int error;

	*out = NULL;
	if (body_size > LIMIT_SIGNED_BODY)
		return ERROR_TOO_LARGE;
	error = body_check(body, body_size, BODY_WRITTEN);
	if (error)
		return error;
	writer_init(&writer, plain, sizeof plain);
	write_author(&writer, ITEMS - 1, &identity->id);
	cbor_write_uint(&writer, time_us);
	cbor_write_uint(&writer, counter);
	writer_bytes(&writer, body, body_size);
	error = identity_sign(identity, plain, writer_size(&writer), signature);
	if (error)
		return error;
	writer_init(&writer, content, sizeof content);
	write_author(&writer, ITEMS, &identity->id);
	cbor_write_bytes(&writer, signature, sizeof signature);
	cbor_write_uint(&writer, time_us);
	cbor_write_uint(&writer, counter);
	writer_bytes(&writer, body, body_size);
	assert(!writer.error);
	*out = message_new(content, writer_size(&writer));
	return *out ? ERROR_NONE : ERROR_NOMEM;
}

static uint64_t read_uint(struct reader *reader)
{
	struct head head;

	if (!head_read(reader, &head))
		return 0;
	if (head.major != HEAD_UINT)
		reader_fail(reader, ERROR_NOT_SIGNED);
	return head.value;
}

/* Reads a byte string of exactly that size. */
static const uint8_t *read_bytes(struct reader *reader, size_t size)
{
	struct head head;

	if (!head_read(reader, &head))
		return NULL;
	if (head.major != HEAD_BYTES || head.value != size)
		reader_fail(reader, ERROR_NOT_SIGNED);
	return reader_bytes(reader, size);
}

int signed_decode(const void *content, size_t size, struct signed_message *out)
{
	struct reader reader;
	const uint8_t *author;

	if (size > LIMIT_CONTENT)
		return ERROR_TOO_LARGE;
	reader_init(&reader, content, size);
	/* A signed message has only this form. Other content need not be CBOR at all. */
	if (reader_u8(&reader) != (HEAD_ARRAY << 5 | ITEMS))
		return ERROR_NOT_SIGNED;
	if (read_uint(&reader) != VERSION)
		reader_fail(&reader, ERROR_VERSION);
	author = read_bytes(&reader, ID_SIZE);
	read_bytes(&reader, IDENTITY_SIGNATURE_SIZE);
	out->time_us = read_uint(&reader);
	out->counter = read_uint(&reader);
	out->body = body_read(&reader, BODY_ARRIVED, &out->body_size);
	if (reader_left(&reader) > 0)
		reader_fail(&reader, ERROR_TRAILING);
	if (!reader.error)
		memcpy(out->author.bytes, author, ID_SIZE);
	return reader.error;
}

int signed_verify(const void *content, size_t size, const struct signed_message *message)
{
	const uint8_t *bytes = content;
	uint8_t plain[LIMIT_CONTENT];
	struct writer writer;
	int error;

	assert(size > SIGNATURE_END && size <= LIMIT_CONTENT);
	writer_init(&writer, plain, sizeof plain);
	write_author(&writer, ITEMS - 1, &message->author);
	writer_bytes(&writer, bytes + SIGNATURE_END, size - SIGNATURE_END);
	assert(!writer.error);
	error = identity_verify(&message->author, plain, writer_size(&writer),
		bytes + SIGNATURE_END - IDENTITY_SIGNATURE_SIZE);
	return error == ERROR_INVALID ? ERROR_SIGNATURE : error;
}

void signed_clock_init(struct signed_clock *clock, uint64_t time_us)
{
	/* As if all counters of that microsecond had been used. */
	*clock = (struct signed_clock){time_us, UINT64_MAX};
}

void signed_clock_next(struct signed_clock *clock, uint64_t now_us)
{
	if (now_us > clock->time_us) {
		*clock = (struct signed_clock){now_us, 0};
	} else if (clock->counter == UINT64_MAX) {
		*clock = (struct signed_clock){clock->time_us + 1, 0};
	} else {
		clock->counter++;
	}
}
