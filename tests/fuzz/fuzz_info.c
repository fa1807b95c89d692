/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One transport info, in the form that the first byte says: what is accepted round-trips, and
 * what is said to suit a peer is the same for it. */
#include <stdlib.h>
#include <string.h>

#include "bridge/discovery/info.h"

#define WIRE_SIZE 8192

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef void encoder(const struct info *info, struct writer *writer);
typedef int decoder(struct reader *reader, struct info **out);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static struct info *through(const struct info *info, encoder *encode, decoder *decode)
{
	static uint8_t wire[WIRE_SIZE];
	struct writer writer;
	struct reader reader;
	struct info *again;

	writer_init(&writer, wire, sizeof wire);
	encode(info, &writer);
	require(!writer.error);
	reader_init(&reader, wire, writer_size(&writer));
	require(decode(&reader, &again) == 0 && reader_left(&reader) == 0);
	return again;
}

static void check_codecs(const struct info *info, const struct id *node)
{
	struct info *cbor = through(info, info_encode_cbor, info_decode_cbor);
	struct info *postcard = through(info, info_encode_postcard, info_decode_postcard);
	struct info *copy = info_copy(info);

	require(info->size <= INFO_ADDRESSES_SIZE);
	require(info_equal(info, cbor) && cbor->order == info->order);
	require(info_equal(info, copy));
	for (unsigned order = 0; order < ORDERS; order++) {
		copy->order = order;
		for (enum dialect dialect = DIALECT_06; dialect <= DIALECT_071; dialect++) {
			if (info_suits(copy, node, dialect) && dialect != DIALECT_06)
				require(info_equal(info, postcard));
		}
	}
	info_free(copy);
	info_free(postcard);
	info_free(cbor);
}

static void check_text(const struct info *info, const struct id *node,
	const struct address *addresses, size_t count)
{
	struct info *again;
	char text[256];

	if (info_encode_text(info, text, sizeof text))
		return;
	require(info_decode_text(text, strlen(text), node, addresses, count, &again) == 0);
	require(info_time_compare(info->time, again->time) == 0);
	require(memcmp(info->signature, again->signature, sizeof info->signature) == 0);
	info_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	struct id node = {{1}};
	struct info *info;
	struct reader reader;
	uint8_t form;
	size_t count;
	int error;

	reader_init(&reader, data, size);
	form = reader_u8(&reader);
	/* As if it came from the node that it speaks of, where that is at a place known. */
	if (reader_left(&reader) > 110)
		memcpy(node.bytes, reader.at + 78, ID_SIZE);
	switch (form % 3) {
	case 0:
		error = info_decode_cbor(&reader, &info);
		break;
	case 1:
		error = info_decode_postcard(&reader, &info);
		break;
	default:
		addresses[0] = (struct address){4, {10, 0, 0, 1}, 1};
		error = info_decode_text((const char *)reader.at, reader_left(&reader), &node,
			addresses, form / 3 % 2, &info);
	}
	if (error) {
		require(!info);
		return 0;
	}
	check_codecs(info, &node);
	count = info_addresses(info, &node, addresses);
	require(count <= LIMIT_ADDRESSES_PER_NODE);
	check_text(info, &node, addresses, count);
	info_free(info);
	return 0;
}
