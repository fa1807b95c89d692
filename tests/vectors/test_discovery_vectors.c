/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Discovery as the real crates of three generations write it: every transport info and
 * message decodes and is encoded again to the same bytes, a session is held with what a real
 * node said, and what is cut or altered is refused or is something else that is valid.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/discovery/info.h"
#include "bridge/error.h"
#include "support_json.h"

struct generation {
	enum dialect dialect;
	const cJSON *vectors;
};

static const struct generation generations[] = {
	{DIALECT_06, NULL},
	{DIALECT_07, NULL},
	{DIALECT_071, NULL},
};

typedef void each(const struct generation *generation, const cJSON *item);

static void for_each(const char *path, each *function)
{
	for (size_t i = 0; json_generations[i]; i++) {
		struct generation generation = generations[i];
		cJSON *vectors = json_load(json_generations[i]);
		const cJSON *items, *item;
		size_t count = 0;

		generation.vectors = vectors;
		items = json_get(vectors, path);
		if (cJSON_IsObject(items)) {
			function(&generation, items);
			count++;
		} else {
			cJSON_ArrayForEach(item, items)
			{
				function(&generation, item);
				count++;
			}
		}
		assert_true(count > 0);
		cJSON_Delete(vectors);
	}
}

static struct id json_id(const cJSON *object, const char *path)
{
	size_t size;
	uint8_t *bytes = json_bytes(object, path, &size);
	struct id id;

	assert_int_equal(size, ID_SIZE);
	memcpy(id.bytes, bytes, ID_SIZE);
	free(bytes);
	return id;
}

/* What is done to a byte: each bit, and all of them. */
static const uint8_t alterations[] = {1, 2, 4, 8, 16, 32, 64, 128, 255};

#define ALTERATIONS (sizeof alterations / sizeof *alterations)

typedef void encoder(const struct info *info, struct writer *writer);
typedef int decoder(struct reader *reader, struct info **out);

static struct info *decode_exactly(decoder *decode, const uint8_t *bytes, size_t size)
{
	struct reader reader;
	struct info *info;

	reader_init(&reader, bytes, size);
	assert_int_equal(decode(&reader, &info), 0);
	assert_int_equal(reader_left(&reader), 0);
	return info;
}

static void assert_encodes(
	encoder *encode, const struct info *info, const uint8_t *bytes, size_t size)
{
	uint8_t again[4096];
	struct writer writer;

	writer_init(&writer, again, sizeof again);
	encode(info, &writer);
	assert_int_equal(writer.error, 0);
	assert_int_equal(writer_size(&writer), size);
	assert_memory_equal(again, bytes, size);
}

/* The signed bytes are there to be looked at only in that signing them gives the signature. */
static void assert_signed(const struct generation *generation, const cJSON *item,
	const struct identity *identity, const struct info *info)
{
	static const char *const first_keys[] = {"timestamp", "addresses"};
	enum info_order order = dialect_order(generation->dialect);
	uint8_t signature[IDENTITY_SIGNATURE_SIZE];
	size_t size;
	uint8_t *bytes = json_bytes(item, "signed_bytes", &size);
	struct info *altered = info_copy(info);

	assert_int_equal(identity_sign(identity, bytes, size, signature), 0);
	assert_memory_equal(signature, info->signature, sizeof signature);
	assert_non_null(memmem(bytes, size, info->addresses, info->size));
	/* A map of two, a text of nine. */
	assert_memory_equal(bytes, "\xa2\x69", 2);
	assert_memory_equal(bytes + 2, first_keys[order], 9);
	for (enum info_order first = 0; first < ORDERS; first++) {
		altered->order = ORDERS;
		assert_int_equal(info_verify(altered, &identity->id, first), 0);
		assert_int_equal(altered->order, order);
	}
	altered->signature[5] ^= 1;
	assert_int_equal(info_verify(altered, &identity->id, order), ERROR_INVALID);
	info_free(altered);
	free(bytes);
}

static size_t json_addresses(
	const cJSON *item, struct address out[LIMIT_ADDRESSES_PER_NODE], const char **relay)
{
	const cJSON *text;
	size_t count = 0;

	*relay = NULL;
	cJSON_ArrayForEach(text, json_get(item, "addrs"))
	{
		if (!strncmp(text->valuestring, "ip:", 3))
			assert_int_equal(address_parse(text->valuestring + 3, &out[count++]), 0);
		else
			*relay = text->valuestring + strlen("relay:");
	}
	return count;
}

/* The same fields, and, where there are only IP addresses, the same info made by ourselves. */
static void assert_says(const struct generation *generation, const cJSON *item,
	const struct identity *identity, const struct info *info)
{
	struct address expected[LIMIT_ADDRESSES_PER_NODE], found[LIMIT_ADDRESSES_PER_NODE];
	const cJSON *time = json_get(item, "timestamp");
	const char *relay;
	size_t count = json_addresses(item, expected, &relay);
	struct info *ours;

	assert_int_equal(info->time.us, cJSON_GetArrayItem(time, 0)->valuedouble);
	assert_int_equal(info->time.logical, cJSON_GetArrayItem(time, 1)->valuedouble);
	assert_int_equal(info_addresses(info, &identity->id, found), count);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(address_compare(&found[i], &expected[i]), 0);
	if (relay)
		assert_non_null(memmem(info->addresses, info->size, relay, strlen(relay)));
	assert_true(info_suits(info, &identity->id, generation->dialect));
	if (relay || info->size == 1) /* no address at all is not what we say */
		return;
	assert_int_equal(info_sign(identity, info->time, dialect_order(generation->dialect),
				 expected, count, &ours),
		0);
	assert_true(info_equal(ours, info));
	info_free(ours);
}

static void assert_text(const cJSON *item, const struct identity *identity, const struct info *info)
{
	const char *expected = json_string(item, "mdns_user_data"), *relay;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t count = json_addresses(item, addresses, &relay);
	struct info *again;
	char text[256];

	assert_int_equal(info_encode_text(info, text, sizeof text), 0);
	assert_string_equal(text, expected);
	assert_non_null(strstr(json_string(item, "mdns_txt"), expected));
	assert_int_equal(
		info_decode_text(text, strlen(text), &identity->id, addresses, count, &again), 0);
	if (info->size > 1)
		assert_true(info_equal(again, info));
	info_free(again);
}

static void one_info(const struct generation *generation, const cJSON *item)
{
	size_t secret_size, cbor_size, postcard_size;
	uint8_t *secret = json_bytes(item, "secret", &secret_size);
	uint8_t *cbor = json_bytes(item, "info_cbor", &cbor_size);
	uint8_t *postcard = json_bytes(item, "info_postcard", &postcard_size);
	struct info *from_cbor = decode_exactly(info_decode_cbor, cbor, cbor_size);
	struct info *from_postcard = decode_exactly(info_decode_postcard, postcard, postcard_size);
	struct id node = json_id(item, "node_id");
	struct identity identity;

	assert_int_equal(identity_from_secret(secret, &identity), 0);
	assert_true(id_equal(&identity.id, &node));
	assert_true(info_equal(from_cbor, from_postcard));
	assert_int_equal(from_cbor->order, dialect_order(generation->dialect));
	assert_encodes(info_encode_cbor, from_cbor, cbor, cbor_size);
	assert_encodes(info_encode_postcard, from_cbor, postcard, postcard_size);
	assert_encodes(info_encode_postcard, from_postcard, postcard, postcard_size);
	from_postcard->order = from_cbor->order;
	assert_encodes(info_encode_cbor, from_postcard, cbor, cbor_size);
	assert_signed(generation, item, &identity, from_postcard);
	assert_says(generation, item, &identity, from_cbor);
	assert_text(item, &identity, from_cbor);
	identity_clear(&identity);
	info_free(from_cbor);
	info_free(from_postcard);
	free(secret);
	free(cbor);
	free(postcard);
}

static void infos_round_trip(void **state)
{
	for_each("transport_info", one_info);
}

/* Cut it is incomplete; altered it is refused, or is another info that round-trips. */
static void mistreat(decoder *decode, encoder *encode, uint8_t *bytes, size_t size)
{
	struct reader reader;
	struct info *info;

	for (size_t cut = 0; cut < size; cut++) {
		/* Of its own size, so that ASan sees a read beyond it. */
		uint8_t *part = malloc(cut ? cut : 1);

		memcpy(part, bytes, cut);
		reader_init(&reader, part, cut);
		assert_int_equal(decode(&reader, &info), ERROR_TRUNCATED);
		assert_null(info);
		free(part);
	}
	for (size_t at = 0; at < size; at++) {
		for (size_t i = 0; i < ALTERATIONS; i++) {
			uint8_t again[4096];
			struct writer writer;
			struct info *other;
			int error;

			bytes[at] ^= alterations[i];
			reader_init(&reader, bytes, size);
			error = decode(&reader, &info);
			bytes[at] ^= alterations[i];
			if (error) {
				assert_true(error == ERROR_TRUNCATED || error == ERROR_INVALID ||
					    error == ERROR_TOO_LARGE);
				continue;
			}
			writer_init(&writer, again, sizeof again);
			encode(info, &writer);
			assert_int_equal(writer.error, 0);
			other = decode_exactly(decode, again, writer_size(&writer));
			/* What only CBOR can say is left out of postcard. */
			if (encode == info_encode_cbor || other->size == info->size)
				assert_true(info_equal(info, other));
			info_free(other);
			info_free(info);
		}
	}
}

static void one_mistreated_info(const struct generation *generation, const cJSON *item)
{
	size_t size;
	uint8_t *bytes = json_bytes(item, "info_cbor", &size);

	mistreat(info_decode_cbor, info_encode_cbor, bytes, size);
	free(bytes);
	bytes = json_bytes(item, "info_postcard", &size);
	mistreat(info_decode_postcard, info_encode_postcard, bytes, size);
	free(bytes);
}

static void mistreated_infos_do_no_harm(void **state)
{
	for_each("transport_info", one_mistreated_info);
}

static void one_mistreated_text(const struct generation *generation, const cJSON *item)
{
	size_t size = strlen(json_string(item, "mdns_user_data"));
	char *text = malloc(size); /* no zero at its end */
	struct id node = json_id(item, "node_id");
	struct info *info;

	memcpy(text, json_string(item, "mdns_user_data"), size);
	for (size_t cut = 0; cut < size; cut++) {
		char *part = malloc(cut ? cut : 1);
		int error;

		memcpy(part, text, cut);
		error = info_decode_text(part, cut, &node, NULL, 0, &info);
		assert_true(error == 0 || error == ERROR_INVALID);
		assert_true(cut > 130 || error);
		info_free(info);
		free(part);
	}
	for (size_t at = 0; at < size; at++) {
		for (unsigned value = 1; value < 256; value++) {
			text[at] ^= (char)value;
			if (info_decode_text(text, size, &node, NULL, 0, &info) == 0)
				info_free(info);
			text[at] ^= (char)value;
		}
	}
	free(text);
}

static void mistreated_texts_do_no_harm(void **state)
{
	for_each("transport_info", one_mistreated_text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(infos_round_trip),
		cmocka_unit_test(mistreated_infos_do_no_harm),
		cmocka_unit_test(mistreated_texts_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
