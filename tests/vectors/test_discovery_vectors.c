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

#include "bridge/bytes/hex.h"
#include "bridge/discovery/dialect.h"
#include "bridge/discovery/info.h"
#include "bridge/discovery/session.h"
#include "bridge/error.h"
#include "support_json.h"

struct generation {
	enum dialect dialect;
	const struct dialect_codec *codec;
	const cJSON *vectors;
};

static const struct generation generations[] = {
	{DIALECT_06, &dialect_cbor, NULL},
	{DIALECT_07, &dialect_postcard, NULL},
	{DIALECT_071, &dialect_postcard, NULL},
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
	assert_int_equal(info_sign(identity, info->time, dialect_order(generation->dialect), NULL,
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

static void one_psi_hash(const struct generation *generation, const cJSON *item)
{
	struct id alice = json_id(generation->vectors, "discovery.alice_salt");
	struct id bob = json_id(generation->vectors, "discovery.bob_salt");
	struct id topic = json_id(item, "topic"), hash, expected;
	struct psi_salts salts;

	memcpy(salts.alice, alice.bytes, PSI_SALT_SIZE);
	memcpy(salts.bob, bob.bytes, PSI_SALT_SIZE);
	psi_hash(&salts, PSI_ALICE, &topic, &hash);
	expected = json_id(item, "hash_by_alice_side0");
	assert_true(id_equal(&hash, &expected));
	psi_hash(&salts, PSI_BOB, &topic, &hash);
	expected = json_id(item, "hash_by_bob_side1");
	assert_true(id_equal(&hash, &expected));
}

static void psi_hashes_agree(void **state)
{
	for_each("discovery.psi", one_psi_hash);
}

/* The names of the messages, without what is in them. */
static const struct {
	const char *prefix;
	enum psi_message message;
	unsigned elements; /* the number is in the name */
} names[] = {
	{"alice_salt_half", PSI_ALICE_SALT_HALF, 0},
	{"bob_salt_half_0", PSI_BOB_SALT_HALF_AND_HASHED_DATA, 0},
	{"bob_salt_half_1", PSI_BOB_SALT_HALF_AND_HASHED_DATA, 1},
	{"bob_salt_half_2", PSI_BOB_SALT_HALF_AND_HASHED_DATA, 2},
	{"alice_hashed_0", PSI_ALICE_HASHED_DATA, 0},
	{"alice_hashed_1", PSI_ALICE_HASHED_DATA, 1},
	{"alice_hashed_2", PSI_ALICE_HASHED_DATA, 2},
	{"nodes_empty", PSI_NODES, 0},
	{"nodes_one", PSI_NODES, 1},
	{"nodes_three", PSI_NODES, 3},
};

static size_t kind_of(const cJSON *message)
{
	const char *name = json_string(message, "name");
	size_t i = 0;

	while (strncmp(name, names[i].prefix, strlen(names[i].prefix)))
		assert_true(++i < sizeof names / sizeof *names);
	return i;
}

struct content {
	unsigned salts, elements, ends;
	uint8_t salt[PSI_SALT_SIZE];
	struct id ids[8];
	struct info *infos[8];
};

static void clear(struct content *content)
{
	for (unsigned i = 0; i < content->elements; i++)
		info_free(content->infos[i]);
	*content = (struct content){0};
}

/* As read has it; 1: the message is complete. */
static int read_content(const struct dialect_codec *codec, enum psi_message message,
	const uint8_t *bytes, size_t size, size_t slice, struct content *out)
{
	static struct dialect_reader reader;
	struct piece piece;
	int result = 0;

	*out = (struct content){0};
	codec->begin(&reader, message);
	for (size_t at = 0; at < size && result >= 0;) {
		size_t here = size - at < slice ? size - at : slice, left = here;
		const uint8_t *data = bytes + at;

		while ((result = codec->read(&reader, &data, &left, &piece)) == 1) {
			if (piece.type == PIECE_END) {
				assert_int_equal(left, 0);
				out->ends++;
				return 1;
			}
			if (piece.type == PIECE_SALT) {
				memcpy(out->salt, piece.salt, sizeof out->salt);
				out->salts++;
			} else if (out->elements < 8) {
				out->ids[out->elements] = piece.id;
				out->infos[out->elements++] = piece.info;
			} else {
				info_free(piece.info);
			}
		}
		at += here;
	}
	return result;
}

static void assert_written(const struct dialect_codec *codec, enum psi_message message,
	const struct content *content, const uint8_t *bytes, size_t size)
{
	uint8_t elements[8192], again[8192];
	struct writer writer;
	size_t elements_size;

	writer_init(&writer, elements, sizeof elements);
	for (unsigned i = 0; i < content->elements; i++) {
		if (message == PSI_NODES)
			codec->write_node(&writer, &content->ids[i], content->infos[i]);
		else
			codec->write_hash(&writer, &content->ids[i]);
	}
	elements_size = writer_size(&writer);
	writer_init(&writer, again, sizeof again);
	codec->write_head(&writer, message, content->salt, content->elements, elements_size);
	writer_bytes(&writer, elements, elements_size);
	assert_int_equal(writer.error, 0);
	assert_int_equal(writer_size(&writer), size);
	assert_memory_equal(again, bytes, size);
}

/* A salt is one of the two or the mixed one; a hash is of a topic of theirs; an info is one
 * of the transport infos, with its node. */
static void assert_known(const struct generation *generation, enum psi_message message,
	const struct content *content)
{
	const cJSON *item;

	for (unsigned i = 0; i < content->elements; i++) {
		bool found = false;

		if (message != PSI_NODES) {
			cJSON_ArrayForEach(item, json_get(generation->vectors, "discovery.psi"))
			{
				struct id hash = json_id(item, message == PSI_ALICE_HASHED_DATA
								       ? "hash_by_alice_side0"
								       : "hash_by_bob_side1");

				found |= id_equal(&hash, &content->ids[i]);
			}
			assert_true(found);
			continue;
		}
		cJSON_ArrayForEach(item, json_get(generation->vectors, "transport_info"))
		{
			size_t size;
			uint8_t *bytes = json_bytes(item, "info_cbor", &size);
			struct info *info = decode_exactly(info_decode_cbor, bytes, size);
			struct id node = json_id(item, "node_id");

			found |= info_equal(info, content->infos[i]) &&
				 id_equal(&node, &content->ids[i]);
			info_free(info);
			free(bytes);
		}
		assert_true(found);
	}
}

static void one_message(const struct generation *generation, const cJSON *item)
{
	size_t kind = kind_of(item), size;
	uint8_t *bytes = json_bytes(item, "stream", &size);
	struct content content;

	for (size_t slice = 1; slice <= size; slice += slice < 40 ? 1 : 97) {
		assert_int_equal(read_content(generation->codec, names[kind].message, bytes, size,
					 slice, &content),
			1);
		assert_int_equal(content.salts, psi_message_has_salt(names[kind].message));
		assert_int_equal(content.elements, names[kind].elements);
		assert_known(generation, names[kind].message, &content);
		/* In 0.6 the order of the keys is always the same. */
		assert_written(generation->codec, names[kind].message, &content, bytes, size);
		clear(&content);
	}
	for (enum psi_message other = 0; other < PSI_MESSAGES; other++) {
		if (other != names[kind].message)
			assert_int_equal(
				read_content(generation->codec, other, bytes, size, size, &content),
				ERROR_INVALID);
	}
	free(bytes);
}

static void messages_round_trip(void **state)
{
	for_each("discovery.messages", one_message);
}

static void one_mistreated_message(const struct generation *generation, const cJSON *item)
{
	enum psi_message message = names[kind_of(item)].message;
	struct content content;
	size_t size;
	uint8_t *bytes = json_bytes(item, "stream", &size);

	for (size_t cut = 0; cut < size; cut++) {
		/* Of its own size, so that ASan sees a read beyond it. */
		uint8_t *part = malloc(cut ? cut : 1);

		memcpy(part, bytes, cut);
		assert_int_equal(
			read_content(generation->codec, message, part, cut, SIZE_MAX, &content), 0);
		assert_int_equal(content.ends, 0);
		clear(&content);
		free(part);
	}
	for (size_t at = 0; at < size; at++) {
		for (size_t i = 0; i < ALTERATIONS; i++) {
			size_t whole = size;
			int result;

			bytes[at] ^= alterations[i];
			/* A shorter message ends earlier, which is not an error of its own. */
			if (generation->codec == &dialect_postcard && at < 4)
				whole = 4;
			result =
				read_content(generation->codec, message, bytes, whole, 1, &content);
			assert_true(result == 0 || result == 1 || result == ERROR_INVALID ||
				    result == ERROR_LIMIT);
			clear(&content);
			bytes[at] ^= alterations[i];
		}
	}
	free(bytes);
}

/* 0.5 writes hashes as arrays of integers; the rest is the same. */
static void messages_of_0_5_are_read(void **state)
{
	cJSON *vectors = json_load("vectors05.json");
	const struct generation generation = {DIALECT_06, &dialect_cbor, vectors};
	const cJSON *item;
	size_t count = 0;

	cJSON_ArrayForEach(item, json_get(vectors, "discovery.messages"))
	{
		size_t kind = kind_of(item), size;
		enum psi_message message = names[kind].message;
		uint8_t *bytes = json_bytes(item, "stream", &size);
		struct content content;

		for (size_t slice = 1; slice <= size; slice += slice < 40 ? 1 : 97) {
			assert_int_equal(
				read_content(&dialect_cbor, message, bytes, size, slice, &content),
				1);
			assert_int_equal(content.salts, psi_message_has_salt(message));
			assert_int_equal(content.elements, names[kind].elements);
			assert_known(&generation, message, &content);
			clear(&content);
		}
		free(bytes);
		one_mistreated_message(&generation, item);
		count++;
	}
	assert_int_equal(count, 7);
	cJSON_Delete(vectors);
}

static void mistreated_messages_do_no_harm(void **state)
{
	for_each("discovery.messages", one_mistreated_message);
}

/* One side of a session with somebody whose bytes are known. */
struct side {
	struct session *session;
	struct counters counters;
	uint8_t salt[PSI_SALT_SIZE]; /* what its random source yields first */
	bool salted;
	uint64_t seed;
	const struct id *node; /* what it gathers, if anything */
	const struct info *info;
	enum info_order asked;
	unsigned shared, infos, dialects, done;
	struct id topic;
	struct info *found;
	enum dialect dialect;
	int error;
	uint8_t out[4096];
	size_t out_size;
};

static void fill(void *context, void *out, size_t size)
{
	struct side *side = context;
	struct random random = random_seeded(&side->seed);

	random.fill(random.context, out, size);
	if (size == PSI_SALT_SIZE && !side->salted) {
		memcpy(out, side->salt, size);
		side->salted = true;
	}
}

static bool gather(void *context, enum info_order order, session_emit_info *emit, void *emitter)
{
	struct side *side = context;

	side->asked = order;
	if (side->info)
		assert_true(emit(emitter, side->node, side->info));
	return false;
}

static void begin(struct side *side, enum session_role role, const struct id *remote,
	enum dialect dialect, const struct id *salt, const struct id *topics, size_t count)
{
	const struct id *node = side->node;
	const struct info *info = side->info;

	*side = (struct side){.seed = 1, .node = node, .info = info};
	memcpy(side->salt, salt->bytes, sizeof side->salt);
	assert_int_equal(session_new(&(struct session_config){.role = role,
					     .remote = remote,
					     .dialect = dialect,
					     .topics = topics,
					     .topics_count = count,
					     .random = {fill, side},
					     .counters = &side->counters,
					     .gather = gather,
					     .context = side},
				 &side->session),
		0);
}

static void finish(struct side *side)
{
	session_free(side->session);
	info_free(side->found);
	side->session = NULL;
	side->found = NULL;
}

static void take(struct side *side)
{
	struct session_effect effect;

	while (session_effect(side->session, &effect)) {
		switch (effect.type) {
		case SESSION_SEND:
			assert_true(side->out_size + effect.frame->head_size <= sizeof side->out);
			memcpy(side->out + side->out_size, effect.frame->head,
				effect.frame->head_size);
			side->out_size += effect.frame->head_size;
			frame_free(effect.frame);
			break;
		case SESSION_SHARED:
			side->shared++;
			side->topic = effect.id;
			break;
		case SESSION_INFO:
			side->infos++;
			info_free(side->found);
			side->found = effect.info;
			break;
		case SESSION_DIALECT:
			side->dialects++;
			side->dialect = effect.dialect;
			break;
		case SESSION_BUSY:
			break;
		case SESSION_DONE:
			side->done++;
			break;
		case SESSION_FAILED:
			side->error = effect.error;
			break;
		}
	}
}

static void receive(struct side *side, const uint8_t *bytes, size_t size, size_t slice)
{
	for (size_t at = 0; at < size; at += slice) {
		session_receive(
			side->session, bytes + at, size - at < slice ? size - at : slice, false);
		take(side);
	}
}

static void assert_said(struct side *side, const cJSON *object, const char *path)
{
	size_t size;
	uint8_t *bytes = json_bytes(object, path, &size);

	take(side);
	assert_int_equal(side->out_size, size);
	assert_memory_equal(side->out, bytes, size);
	side->out_size = 0;
	free(bytes);
}

static void hear(struct side *side, const cJSON *object, const char *path, size_t slice)
{
	size_t size;
	uint8_t *bytes = json_bytes(object, path, &size);

	receive(side, bytes, size, slice);
	assert_int_equal(side->error, 0);
	free(bytes);
}

/* The bob of the recording; its salt is what he replied. */
static const struct id recorded_bob_salt = {{0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0,
	0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0,
	0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0, 0xb0}};

/* A real node as Alice; ours in the recorded Bob's place says what he said. */
static void one_captured_alice(const struct generation *generation, const cJSON *item)
{
	struct id node = json_id(generation->vectors, "captured.node");
	struct id topic = json_id(generation->vectors, "gossip.topic");
	static struct side bob;

	for (enum dialect known = DIALECT_UNKNOWN; known <= DIALECT_071; known++) {
		for (size_t slice = 1; slice < 1000; slice = slice * 3 + 1) {
			bob.node = NULL;
			bob.info = NULL;
			begin(&bob, SESSION_BOB, &node, known, &recorded_bob_salt, &topic, 1);
			hear(&bob, item, "1_alice_salt_half", slice);
			assert_said(&bob, item, "2_bob_reply");
			hear(&bob, item, "3_alice_hashed", slice);
			assert_int_equal(bob.shared, 1);
			assert_true(id_equal(&bob.topic, &topic));
			assert_said(&bob, item, "4_bob_nodes");
			assert_false(bob.done);
			hear(&bob, item, "5_alice_nodes", slice);
			assert_int_equal(bob.done, 1);
			assert_int_equal(bob.infos, 1);
			assert_int_equal(bob.dialects, 1);
			assert_int_equal(bob.dialect, generation->dialect);
			assert_int_equal(bob.out_size, 0);
			/* The node's own, signed in its own way. */
			assert_int_equal(bob.found->order, dialect_order(generation->dialect));
			assert_int_equal(info_verify(bob.found, &node, bob.found->order), 0);
			finish(&bob);
		}
	}
}

static void captured_nodes_are_understood(void **state)
{
	for_each("captured.discovery", one_captured_alice);
}

/* Ours in the place of the real node, with its salt and its info. */
static void one_recorded_bob(const struct generation *generation, const cJSON *item)
{
	struct id node = json_id(generation->vectors, "captured.node");
	struct id remote = json_id(generation->vectors, "captured.raw_peer");
	struct id topic = json_id(generation->vectors, "gossip.topic");
	struct id salt = json_id(item, "alice_salt");
	static struct side alice;
	struct content content;
	size_t size;
	uint8_t *bytes = json_bytes(item, "5_alice_nodes", &size);

	assert_int_equal(
		read_content(generation->codec, PSI_NODES, bytes, size, size, &content), 1);
	free(bytes);
	assert_int_equal(content.elements, 1);
	assert_int_equal(info_verify(content.infos[0], &node, ORDER_TIMESTAMP_FIRST), 0);
	for (size_t slice = 1; slice < 1000; slice = slice * 3 + 1) {
		alice.node = &node;
		alice.info = content.infos[0];
		begin(&alice, SESSION_ALICE, &remote, generation->dialect, &salt, &topic, 1);
		assert_said(&alice, item, "1_alice_salt_half");
		hear(&alice, item, "2_bob_reply", slice);
		assert_int_equal(alice.shared, 1);
		assert_true(id_equal(&alice.topic, &topic));
		assert_said(&alice, item, "3_alice_hashed");
		hear(&alice, item, "4_bob_nodes", slice);
		assert_int_equal(alice.asked, dialect_order(generation->dialect));
		assert_said(&alice, item, "5_alice_nodes");
		assert_int_equal(alice.done, 1);
		finish(&alice);
	}
	clear(&content);
}

static void what_a_real_node_says_is_said(void **state)
{
	for_each("captured.discovery", one_recorded_bob);
}

/* All that the real node said, cut short or altered anywhere. */
static void one_mistreated_session(const struct generation *generation, const cJSON *item)
{
	static const char *const paths[] = {"1_alice_salt_half", "3_alice_hashed", "5_alice_nodes"};
	struct id node = json_id(generation->vectors, "captured.node");
	struct id topic = json_id(generation->vectors, "gossip.topic");
	static struct side bob;
	uint8_t *stream = NULL;
	size_t size = 0;

	for (size_t i = 0; i < 3; i++) {
		size_t more;
		uint8_t *bytes = json_bytes(item, paths[i], &more);

		stream = realloc(stream, size + more);
		memcpy(stream + size, bytes, more);
		size += more;
		free(bytes);
	}
	bob.node = NULL;
	bob.info = NULL;
	for (size_t cut = 0; cut <= size; cut++) {
		uint8_t *part = malloc(cut ? cut : 1);

		memcpy(part, stream, cut);
		begin(&bob, SESSION_BOB, &node, DIALECT_UNKNOWN, &recorded_bob_salt, &topic, 1);
		session_receive(bob.session, part, cut, true);
		take(&bob);
		assert_int_equal(bob.error, cut < size ? ERROR_TRUNCATED : 0);
		assert_int_equal(bob.done, cut == size);
		finish(&bob);
		free(part);
	}
	for (size_t at = 0; at < size; at++) {
		for (size_t i = 0; i < ALTERATIONS; i++) {
			stream[at] ^= alterations[i];
			begin(&bob, SESSION_BOB, &node, DIALECT_UNKNOWN, &recorded_bob_salt, &topic,
				1);
			session_receive(bob.session, stream, size, true);
			take(&bob);
			assert_true(bob.done || bob.error == ERROR_TRUNCATED ||
				    bob.error == ERROR_INVALID || bob.error == ERROR_LIMIT);
			finish(&bob);
			stream[at] ^= alterations[i];
		}
	}
	free(stream);
}

static void mistreated_sessions_do_no_harm(void **state)
{
	for_each("captured.discovery", one_mistreated_session);
}

/* A real Bob, of whom the salt and the topics are known. */
static void one_run(const struct generation *generation, const cJSON *item)
{
	static struct side alice, bob;
	struct id topics[8], shared, alice_salt = json_id(item, "alice_salt");
	struct id bob_salt = json_id(item, "bob_salt"), me = {{1}}, remote = {{2}};
	const cJSON *found = json_get(item, "intersection_found"), *text;
	size_t count = 0, before;

	assert_string_equal(json_string(item, "real"), "bob");
	cJSON_ArrayForEach(text, json_get(item, "bob_topics"))
	{
		assert_int_equal(
			hex_decode(cJSON_GetStringValue(text), topics[count++].bytes, ID_SIZE), 0);
	}
	assert_int_equal(cJSON_GetArraySize(found), 1);
	assert_int_equal(hex_decode(cJSON_GetStringValue(cJSON_GetArrayItem(found, 0)),
				 shared.bytes, ID_SIZE),
		0);
	alice.info = bob.info = NULL;
	begin(&alice, SESSION_ALICE, &remote, generation->dialect, &alice_salt, &shared, 1);
	begin(&bob, SESSION_BOB, &me, generation->dialect, &bob_salt, topics, count);
	do {
		before = alice.out_size + bob.out_size;
		take(&alice);
		receive(&bob, alice.out, alice.out_size, 5);
		alice.out_size = 0;
		receive(&alice, bob.out, bob.out_size, 5);
		bob.out_size = 0;
	} while (before != alice.out_size + bob.out_size);
	assert_true(alice.done && bob.done);
	assert_int_equal(alice.shared, 1);
	assert_true(id_equal(&alice.topic, &shared));
	assert_int_equal(bob.shared, 1);
	assert_true(id_equal(&bob.topic, &shared));
	assert_int_equal(alice.infos + bob.infos, json_get(item, "nodes_sent")->valueint);
	finish(&alice);
	finish(&bob);
}

static void runs_of_the_real_protocol_agree(void **state)
{
	for_each("discovery.runs_of_the_real_protocol", one_run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(infos_round_trip),
		cmocka_unit_test(mistreated_infos_do_no_harm),
		cmocka_unit_test(mistreated_texts_do_no_harm),
		cmocka_unit_test(psi_hashes_agree),
		cmocka_unit_test(messages_round_trip),
		cmocka_unit_test(messages_of_0_5_are_read),
		cmocka_unit_test(mistreated_messages_do_no_harm),
		cmocka_unit_test(captured_nodes_are_understood),
		cmocka_unit_test(what_a_real_node_says_is_said),
		cmocka_unit_test(mistreated_sessions_do_no_harm),
		cmocka_unit_test(runs_of_the_real_protocol_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
