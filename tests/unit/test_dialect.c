/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Both codecs, message by message, in slices of every size. What real nodes write is in
 * tests/vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/postcard.h"
#include "bridge/discovery/dialect.h"
#include "bridge/error.h"

#define WIRE_SIZE 65536

static const struct dialect_codec *const codecs[] = {&dialect_cbor, &dialect_postcard};

#define CODECS 2

static struct id id_of(uint8_t number)
{
	struct id id;

	memset(id.bytes, number, ID_SIZE);
	return id;
}

static struct info *some_info(const struct id *node, size_t addresses)
{
	struct address given[100];
	char text[128 + 5];
	struct info *info;

	memset(text, '5', 128);
	memcpy(text + 128, "|9/8", 4);
	for (size_t i = 0; i < addresses; i++)
		given[i] = (struct address){4, {10, 0, 0, (uint8_t)i}, 256};
	assert_int_equal(info_decode_text(text, 128 + 4, node, given, addresses, &info), 0);
	return info;
}

/* elements: hashes, or nodes with an info. */
static size_t write_message(const struct dialect_codec *codec, enum psi_message message,
	uint8_t elements, uint8_t *out, size_t size)
{
	static uint8_t body[WIRE_SIZE];
	uint8_t salt[PSI_SALT_SIZE] = {0, 23, 24, 255};
	struct writer writer, body_writer;

	writer_init(&body_writer, body, sizeof body);
	for (uint8_t i = 0; i < elements; i++) {
		struct id id = id_of(i);
		struct info *info = some_info(&id, i);

		if (message == PSI_NODES)
			codec->write_node(&body_writer, &id, info);
		else
			codec->write_hash(&body_writer, &id);
		info_free(info);
	}
	writer_init(&writer, out, size);
	codec->write_head(&writer, message, salt, elements, writer_size(&body_writer));
	assert_true(writer_size(&writer) <= DIALECT_HEAD_SIZE);
	writer_bytes(&writer, body, writer_size(&body_writer));
	assert_int_equal(body_writer.error, 0);
	assert_int_equal(writer.error, 0);
	return writer_size(&writer);
}

struct seen {
	unsigned salts, hashes, infos, skipped, ends;
	size_t used;
	int result;
};

/* Reads up to the end of the message, in slices. */
static struct seen read_all(struct dialect_reader *reader, const struct dialect_codec *codec,
	enum psi_message message, const uint8_t *wire, size_t size, size_t slice)
{
	struct seen seen = {0};
	struct piece piece;

	codec->begin(reader, message);
	while (seen.used < size && !seen.ends && seen.result >= 0) {
		size_t here = size - seen.used < slice ? size - seen.used : slice, left = here;
		/* Of its own size, so that ASan sees a read beyond it. */
		uint8_t *part = malloc(here);
		const uint8_t *data = part;

		memcpy(part, wire + seen.used, here);
		while ((seen.result = codec->read(reader, &data, &left, &piece)) == 1) {
			struct id expected = id_of((uint8_t)(seen.hashes + seen.infos));

			switch (piece.type) {
			case PIECE_SALT:
				seen.salts++;
				assert_memory_equal(piece.salt, "\0\x17\x18\xff", 4);
				break;
			case PIECE_HASH:
				assert_true(id_equal(&piece.id, &expected));
				seen.hashes++;
				break;
			case PIECE_INFO:
				assert_true(id_equal(&piece.id, &expected));
				assert_int_equal(piece.info->time.us, 9);
				info_free(piece.info);
				seen.infos++;
				break;
			case PIECE_SKIPPED:
				assert_null(piece.info);
				seen.skipped++;
				break;
			case PIECE_END:
				seen.ends++;
				break;
			}
			if (seen.ends)
				break;
		}
		if (seen.result == 0)
			assert_int_equal(left, 0);
		seen.used += here - left;
		free(part);
	}
	return seen;
}

static void messages_are_read_in_slices_of_any_size(void **state)
{
	static struct dialect_reader reader;
	static uint8_t wire[WIRE_SIZE];

	for (size_t c = 0; c < CODECS; c++) {
		for (enum psi_message message = 0; message < PSI_MESSAGES; message++) {
			uint8_t elements = message == PSI_ALICE_SALT_HALF ? 0 : 5;
			size_t size =
				write_message(codecs[c], message, elements, wire, sizeof wire);

			memset(wire + size, 0xff, 64); /* the next one's */
			for (size_t slice = 1; slice <= size + 1; slice += slice / 64 + 1) {
				struct seen seen = read_all(
					&reader, codecs[c], message, wire, size + 64, slice);

				assert_int_equal(seen.used, size);
				assert_int_equal(seen.ends, 1);
				assert_int_equal(seen.salts, psi_message_has_salt(message));
				assert_int_equal(seen.hashes, message == PSI_NODES ? 0 : elements);
				assert_int_equal(seen.infos, message == PSI_NODES ? elements : 0);
			}
		}
	}
}

static void only_the_message_that_is_due_is_taken(void **state)
{
	static struct dialect_reader reader;
	static uint8_t wire[WIRE_SIZE];

	for (size_t c = 0; c < CODECS; c++) {
		for (enum psi_message message = 0; message < PSI_MESSAGES; message++) {
			size_t size = write_message(codecs[c], message, 0, wire, sizeof wire);

			for (enum psi_message due = 0; due < PSI_MESSAGES; due++) {
				struct seen seen =
					read_all(&reader, codecs[c], due, wire, size, SIZE_MAX);

				assert_int_equal(seen.result, due == message ? 1 : ERROR_INVALID);
			}
		}
	}
}

static void infos_too_large_are_skipped(void **state)
{
	static struct dialect_reader reader;
	static uint8_t wire[WIRE_SIZE], body[WIRE_SIZE];
	struct id node = id_of(0);
	struct info *info = some_info(&node, 1);

	for (size_t c = 0; c < CODECS; c++) {
		struct writer writer, body_writer;

		/* Three, of which the one in the middle has 2,000 addresses. */
		writer_init(&body_writer, body, sizeof body);
		codecs[c]->write_node(&body_writer, &node, info);
		codecs[c]->write_hash(&body_writer, &node);
		if (codecs[c] == &dialect_cbor) {
			static const char v4[] = "\xa1\x62Ip\xa1\x62V4\x82\x84\x0a\x00\x00\x01\x01";

			writer_bytes(&body_writer, info->addresses, 0);
			cbor_write_map(&body_writer, 3);
			cbor_write_name(&body_writer, "timestamp");
			cbor_write_array(&body_writer, 2);
			cbor_write_uint(&body_writer, 1);
			cbor_write_uint(&body_writer, 1);
			cbor_write_name(&body_writer, "signature");
			cbor_write_bytes(&body_writer, info->signature, 64);
			cbor_write_name(&body_writer, "addresses");
			cbor_write_array(&body_writer, 1);
			cbor_write_map(&body_writer, 1);
			cbor_write_name(&body_writer, "Iroh");
			cbor_write_map(&body_writer, 2);
			cbor_write_name(&body_writer, "id");
			cbor_write_octets(&body_writer, node.bytes, ID_SIZE);
			cbor_write_name(&body_writer, "addrs");
			cbor_write_array(&body_writer, 2000);
			for (unsigned i = 0; i < 2000; i++)
				writer_bytes(&body_writer, v4, sizeof v4 - 1);
		} else {
			postcard_write_varint(&body_writer, 1);
			postcard_write_varint(&body_writer, 1);
			postcard_write_bytes(&body_writer, info->signature, 64);
			postcard_write_varint(&body_writer, 1);
			postcard_write_varint(&body_writer, 0);
			writer_bytes(&body_writer, node.bytes, ID_SIZE);
			postcard_write_varint(&body_writer, 2000);
			for (unsigned i = 0; i < 1000; i++)
				writer_bytes(&body_writer, "\1\0\x0a\0\0\1\1", 7);
			for (unsigned i = 0; i < 500; i++)
				writer_bytes(&body_writer, "\0\2ab\2\1\3abc", 10);
		}
		node = id_of(1);
		codecs[c]->write_node(&body_writer, &node, info);
		node = id_of(0);
		assert_int_equal(body_writer.error, 0);
		writer_init(&writer, wire, sizeof wire);
		codecs[c]->write_head(&writer, PSI_NODES, NULL, 3, writer_size(&body_writer));
		writer_bytes(&writer, body, writer_size(&body_writer));
		assert_int_equal(writer.error, 0);
		for (size_t slice = 1; slice < 5000; slice *= 5) {
			struct seen seen = read_all(
				&reader, codecs[c], PSI_NODES, wire, writer_size(&writer), slice);

			assert_int_equal(seen.result, 1);
			assert_int_equal(seen.infos, 2);
			assert_int_equal(seen.skipped, 1);
			assert_int_equal(seen.used, writer_size(&writer));
		}
		reader.skip_infos = true;
		assert_int_equal(read_all(&reader, codecs[c], PSI_NODES, wire, writer_size(&writer),
					 SIZE_MAX)
					 .skipped,
			3);
		reader.skip_infos = false;
	}
	info_free(info);
}

/* What is left of a frame is ignored, what goes beyond it is not there. */
static void frames_bound_their_message(void **state)
{
	static struct dialect_reader reader;
	static uint8_t wire[WIRE_SIZE];

	for (enum psi_message message = 0; message < PSI_MESSAGES; message++) {
		size_t size = write_message(&dialect_postcard, message,
			message == PSI_ALICE_SALT_HALF ? 0 : 2, wire, sizeof wire);
		size_t body = size - 4;
		struct seen seen;

		memset(wire + size, 0xff, 1000);
		for (size_t length = 0; length < body + 1000; length += length < body ? 1 : 99) {
			wire[2] = (uint8_t)(length >> 8);
			wire[3] = (uint8_t)length;
			for (size_t slice = 1; slice < 2000; slice *= 40) {
				seen = read_all(&reader, &dialect_postcard, message, wire,
					size + 1000, slice);
				assert_int_equal(seen.result, length < body ? ERROR_INVALID : 1);
				if (length >= body)
					assert_int_equal(seen.used, 4 + length);
			}
		}
	}
}

static void a_frame_may_not_be_longer_than_a_session(void **state)
{
	static struct dialect_reader reader;
	const uint8_t wire[] = {LIMIT_SESSION_BYTES >> 24, LIMIT_SESSION_BYTES >> 16 & 255,
		LIMIT_SESSION_BYTES >> 8 & 255, 1};

	assert_int_equal(
		read_all(&reader, &dialect_postcard, PSI_NODES, wire, 4, 4).result, ERROR_LIMIT);
}

static void padded_numbers_are_read(void **state)
{
	static struct dialect_reader reader;
	/* A hash set of one, type, count and length in two bytes each. */
	uint8_t wire[4 + 6 + ID_SIZE] = {0, 0, 0, 6 + ID_SIZE, 0x82, 0, 0x81, 0, 0xa0, 0};
	struct seen seen;

	seen = read_all(&reader, &dialect_postcard, PSI_ALICE_HASHED_DATA, wire, sizeof wire, 3);
	assert_int_equal(seen.result, 1);
	assert_int_equal(seen.hashes, 1);
	/* Not to more than 64 bits. */
	memset(wire + 4, 0x82, 10);
	seen = read_all(&reader, &dialect_postcard, PSI_ALICE_HASHED_DATA, wire, sizeof wire, 3);
	assert_int_equal(seen.result, ERROR_INVALID);
}

/* Names, keys and counts that are others, or too long to be kept. */
static void other_cbor_is_refused(void **state)
{
	static struct dialect_reader reader;
	static uint8_t wire[WIRE_SIZE];
	static const struct {
		const char *bytes;
		size_t size;
	} cases[] = {
#define CASE(bytes) {bytes, sizeof bytes - 1}
		CASE("\xa0"),
		CASE("\xa2"),
		CASE("\x81"),
		CASE("\xbf"),
		CASE("\xa1\x65nodes"),
		CASE("\xa1\x45Nodes"),
		CASE("\xa1\x65Nodes\xa0"),
		CASE("\xa1\x65Nodes\xa2"),
		CASE("\xa1\x65Nodes\x81"),
		CASE("\xa1\x65Nodes\xa1\x61x"),
		CASE("\xa1\x65Nodes\xa1\x6ftransport_infos\x80"),
		CASE("\xa1\x65Nodes\xa1\x6ftransport_infos\xa1\x01"),
		CASE("\xa1\x65Nodes\xa1\x6ftransport_infos\xa1\x41x"),
#undef CASE
	};
	struct writer writer;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		assert_int_equal(read_all(&reader, &dialect_cbor, PSI_NODES,
					 (const uint8_t *)cases[i].bytes, cases[i].size, 1)
					 .result,
			ERROR_INVALID);
	writer_init(&writer, wire, sizeof wire);
	cbor_write_map(&writer, 1);
	writer_bytes(&writer, "\x79\x40\x00", 3);
	memset(writer.at, 'N', 0x4000);
	assert_int_equal(read_all(&reader, &dialect_cbor, PSI_NODES, wire, 4 + 0x4000, 1000).result,
		ERROR_INVALID);
}

/* 0.5 writes a hash as an array of 32 integers, of one or two bytes each. Nothing else is one. */
static void hashes_may_be_arrays(void **state)
{
	static struct dialect_reader reader;
	static uint8_t wire[WIRE_SIZE];
	static const struct {
		size_t integers;
		const char *last;
		size_t last_size;
		bool good;
	} cases[] = {
		{32, "\x01", 1, true},
		{32, "\x18\x01", 2, true},
		{31, "\x01", 1, false},
		{33, "\x01", 1, false},
		{32, "\x19\x01\x00", 3, false}, /* 256 */
		{32, "\x20", 1, false},	   /* -1 */
		{32, "\x40", 1, false},
		{32, "\xf4", 1, false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t size = write_message(&dialect_cbor, PSI_ALICE_HASHED_DATA, 0, wire, sizeof wire);
		struct id hash = id_of(0), second = id_of(1);
		struct writer writer;

		writer_init(&writer, wire + size - 1, sizeof wire - size);
		cbor_write_array(&writer, 2);
		cbor_write_octets(&writer, hash.bytes, ID_SIZE);
		cbor_write_array(&writer, cases[i].integers);
		for (size_t n = 1; n < cases[i].integers; n++)
			cbor_write_uint(&writer, second.bytes[0]);
		writer_bytes(&writer, cases[i].last, cases[i].last_size);
		size += writer_size(&writer) - 1;
		for (size_t slice = 1; slice <= size; slice += 5) {
			struct seen seen = read_all(
				&reader, &dialect_cbor, PSI_ALICE_HASHED_DATA, wire, size, slice);

			assert_int_equal(seen.result, cases[i].good ? 1 : ERROR_INVALID);
			assert_int_equal(seen.hashes, cases[i].good ? 2 : 1);
			if (cases[i].good)
				assert_int_equal(seen.used, size);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_read_in_slices_of_any_size),
		cmocka_unit_test(only_the_message_that_is_due_is_taken),
		cmocka_unit_test(infos_too_large_are_skipped),
		cmocka_unit_test(frames_bound_their_message),
		cmocka_unit_test(a_frame_may_not_be_longer_than_a_session),
		cmocka_unit_test(padded_numbers_are_read),
		cmocka_unit_test(other_cbor_is_refused),
		cmocka_unit_test(hashes_may_be_arrays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
