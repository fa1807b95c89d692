/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Gossip as the real crates write it: every message, header and peer data decodes and
 * is encoded again to the same bytes, and what is cut or altered is refused or is
 * something else that is valid.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/address.h"
#include "bridge/bytes/hex.h"
#include "bridge/error.h"
#include "bridge/gossip/addr_info.h"
#include "bridge/gossip/frame.h"
#include "bridge/gossip/wire.h"
#include "support_json.h"

/* The names by which peer06 and its successors call the types. */
static const struct {
	const char *prefix;
	enum wire_type type;
} names[] = {
	{"join_", WIRE_JOIN},
	{"forward_join", WIRE_FORWARD_JOIN},
	{"shuffle_reply", WIRE_SHUFFLE_REPLY},
	{"shuffle", WIRE_SHUFFLE},
	{"neighbor_", WIRE_NEIGHBOR},
	{"disconnect_", WIRE_DISCONNECT},
	{"gossip_", WIRE_GOSSIP},
	{"prune", WIRE_PRUNE},
	{"graft_", WIRE_GRAFT},
	{"ihave_", WIRE_IHAVE},
};

typedef void (*each)(const cJSON *item);

static void for_each(const char *path, each function)
{
	for (size_t i = 0; json_generations[i]; i++) {
		cJSON *vectors = json_load(json_generations[i]);
		const cJSON *item;
		size_t count = 0;

		cJSON_ArrayForEach(item, json_get(vectors, path))
		{
			function(item);
			count++;
		}
		assert_true(count > 0);
		cJSON_Delete(vectors);
	}
}

/* Takes a stream apart in slices and hands its bodies to function. */
static size_t for_each_body(const uint8_t *stream, size_t size, size_t slice,
	void (*function)(const uint8_t *body, size_t size, size_t number))
{
	struct frame_reader reader;
	size_t number = 0;

	frame_reader_init(&reader);
	while (size > 0) {
		size_t left = size < slice ? size : slice;
		const uint8_t *body;
		size_t body_size;

		size -= left;
		while (frame_reader_next(&reader, &stream, &left, &body, &body_size) == 1)
			function(body, body_size, number++);
	}
	assert_true(frame_reader_is_between(&reader));
	frame_reader_clear(&reader);
	return number;
}

static size_t encode(const struct wire_message *message, uint8_t *buffer, size_t size)
{
	struct writer writer;

	writer_init(&writer, buffer, size);
	assert_int_equal(wire_encode(message, &writer), 0);
	return writer_size(&writer);
}

static void assert_round_trip(const uint8_t *body, size_t size)
{
	struct wire_message message;
	uint8_t again[LIMIT_FRAME];

	assert_int_equal(wire_decode(body, size, &message), 0);
	assert_int_equal(encode(&message, again, sizeof again), size);
	assert_memory_equal(again, body, size);
}

/* A frame made of a message in its own bytes, put together. */
static void assert_same_frame(struct frame *frame, const uint8_t *bytes, size_t size)
{
	size_t body = frame->body ? frame->body->size : 0;

	assert_int_equal(frame_size(frame), size);
	assert_memory_equal(bytes, frame->head, frame->head_size);
	if (body)
		assert_memory_equal(bytes + frame->head_size, frame->body->content, body);
	if (frame->tail_size)
		assert_memory_equal(bytes + frame->head_size + body, frame->tail, frame->tail_size);
	frame_free(frame);
}

static void one_message(const cJSON *item)
{
	size_t frame_size, size;
	uint8_t *whole = json_bytes(item, "frame", &frame_size);
	uint8_t *body = json_bytes(item, "postcard", &size);
	const char *name = json_string(item, "name");
	struct wire_message message;
	struct frame *frame;
	size_t i = 0;

	assert_int_equal(frame_size, size + 4);
	assert_memory_equal(whole + 4, body, size);
	assert_round_trip(body, size);
	assert_int_equal(wire_decode(body, size, &message), 0);
	while (strncmp(name, names[i].prefix, strlen(names[i].prefix)))
		assert_true(++i < sizeof names / sizeof *names);
	assert_int_equal(message.type, names[i].type);
	assert_int_equal(frame_encode(&message, &frame), 0);
	assert_same_frame(frame, whole, frame_size);
	if (message.type == WIRE_GOSSIP) {
		struct message *content = message_new(message.gossip.content, message.gossip.size);

		assert_true(id_equal(message_id(content), &message.gossip.id));
		assert_int_equal(frame_encode_gossip(content, message.gossip.scope,
					 message.gossip.round, &frame),
			0);
		message_unref(content);
		assert_same_frame(frame, whole, frame_size);
	}
	free(whole);
	free(body);
}

static void messages_round_trip(void **state)
{
	for_each("gossip.messages", one_message);
}

static const cJSON *message_named(const cJSON *vectors, const char *name)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, json_get(vectors, "gossip.messages"))
	{
		if (!strcmp(json_string(item, "name"), name))
			return item;
	}
	fail_msg("no message %s", name);
	return NULL;
}

/* The fields mean what the vectors' descriptions say. */
static void fields_are_where_they_belong(void **state)
{
	cJSON *vectors = json_load(json_generations[0]);
	struct wire_message message;
	uint8_t *body;
	size_t size;

#define DECODE(name) \
	body = json_bytes(message_named(vectors, name), "postcard", &size); \
	assert_int_equal(wire_decode(body, size, &message), 0)

	DECODE("join_none");
	assert_null(message.join.data.bytes);
	free(body);
	DECODE("join_empty_peer_data");
	assert_non_null(message.join.data.bytes);
	assert_int_equal(message.join.data.size, 0);
	free(body);
	DECODE("forward_join_none");
	assert_int_equal(message.forward_join.ttl, 6);
	assert_int_equal(message.forward_join.peer.id.bytes[0], 0x8a);
	free(body);
	DECODE("shuffle");
	assert_int_equal(message.shuffle.ttl, 300);
	assert_int_equal(message.shuffle.origin.bytes[0], 0x8a);
	assert_int_equal(message.shuffle.nodes.count, 3);
	assert_null(message.shuffle.nodes.items[0].data.bytes);
	assert_int_equal(message.shuffle.nodes.items[2].data.size, 55);
	free(body);
	DECODE("neighbor_low_data");
	assert_int_equal(message.neighbor.priority, WIRE_LOW);
	assert_int_equal(message.neighbor.data.size, 9);
	free(body);
	DECODE("disconnect_alive1_respond0");
	assert_true(message.disconnect.alive && !message.disconnect.respond);
	free(body);
	DECODE("gossip_swarm200");
	assert_int_equal(message.gossip.scope, WIRE_SWARM);
	assert_int_equal(message.gossip.round, 200);
	assert_int_equal(message.gossip.size, 5);
	assert_memory_equal(message.gossip.content, "hello", 5);
	free(body);
	DECODE("gossip_neighbors");
	assert_int_equal(message.gossip.scope, WIRE_NEIGHBORS);
	free(body);
	DECODE("graft_some");
	assert_true(message.graft.has_id);
	assert_int_equal(message.graft.round, 3);
	free(body);
	DECODE("ihave_three");
	assert_int_equal(message.ihave.count, 3);
	assert_int_equal(message.ihave.items[2].round, 65535);
	assert_int_equal(message.ihave.items[2].id.bytes[0], 0x9d);
	free(body);
	cJSON_Delete(vectors);
}

static void bytes_after_a_message_are_ignored(void **state)
{
	cJSON *vectors = json_load(json_generations[0]);
	const cJSON *item;

	cJSON_ArrayForEach(item, json_get(vectors, "gossip.messages"))
	{
		struct wire_message message;
		uint8_t again[LIMIT_FRAME];
		size_t size;
		uint8_t *body = json_bytes(item, "postcard", &size);

		body = realloc(body, size + 3);
		assert_non_null(body);
		memset(body + size, 0xff, 3);
		assert_int_equal(wire_decode(body, size + 3, &message), 0);
		assert_int_equal(encode(&message, again, sizeof again), size);
		assert_memory_equal(again, body, size);
		free(body);
	}
	cJSON_Delete(vectors);
}

static void headers_round_trip(void **state)
{
	for (size_t i = 0; json_generations[i]; i++) {
		cJSON *vectors = json_load(json_generations[i]);
		size_t size, topic_size;
		uint8_t *bytes = json_bytes(vectors, "gossip.stream_header.frame", &size);
		uint8_t *expected = json_bytes(vectors, "gossip.topic", &topic_size);
		struct id topic;
		struct frame *frame;

		assert_int_equal(topic_size, ID_SIZE);
		assert_int_equal(frame_decode_header(bytes + 4, size - 4, &topic), 0);
		assert_memory_equal(topic.bytes, expected, ID_SIZE);
		assert_int_equal(frame_encode_header(&topic, &frame), 0);
		assert_same_frame(frame, bytes, size);
		free(bytes);
		free(expected);
		cJSON_Delete(vectors);
	}
}

static void one_addr_info(const cJSON *item)
{
	size_t size, count = 0;
	uint8_t *bytes = json_bytes(item, "postcard", &size);
	uint8_t again[512];
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	struct addr_info info, set;
	const cJSON *relay = json_get(item, "relay_url"), *text;

	assert_int_equal(addr_info_decode(bytes, size, &info), 0);
	assert_int_equal(addr_info_encode(&info, again, sizeof again), size);
	assert_memory_equal(again, bytes, size);
	assert_int_equal(info.relay != NULL, cJSON_IsString(relay));
	if (info.relay) {
		assert_int_equal(info.relay_size, strlen(relay->valuestring));
		assert_memory_equal(info.relay, relay->valuestring, info.relay_size);
	}
	cJSON_ArrayForEach(text, json_get(item, "addrs"))
	{
		assert_int_equal(address_parse(text->valuestring, &addresses[count++]), 0);
	}
	/* Given in any order, twice, they are the same set. */
	memcpy(addresses + count, addresses, count * sizeof *addresses);
	addr_info_set(&set, addresses, 2 * count);
	assert_int_equal(set.count, info.count);
	for (size_t i = 0; i < set.count; i++)
		assert_int_equal(address_compare(&set.addresses[i], &info.addresses[i]), 0);
	/* Cut or altered it is refused or something else. */
	for (size_t cut = 0; cut < size; cut++) {
		uint8_t *part = malloc(cut ? cut : 1);

		memcpy(part, bytes, cut);
		assert_int_equal(addr_info_decode(part, cut, &info), cut ? ERROR_TRUNCATED : 0);
		free(part);
	}
	for (size_t at = 0; at < size; at++) {
		for (unsigned value = 1; value < 256; value++) {
			bytes[at] ^= (uint8_t)value;
			if (addr_info_decode(bytes, size, &info) == 0)
				assert_true(addr_info_encode(&info, again, sizeof again) > 0);
			bytes[at] ^= (uint8_t)value;
		}
	}
	free(bytes);
}

static void addr_infos_round_trip(void **state)
{
	for_each("gossip.addr_info", one_addr_info);
}

static void of_many_addresses_the_first_are_kept(void **state)
{
	struct addr_info info;
	uint8_t bytes[2 + 20 * 7] = {0, 20};

	for (uint8_t i = 0; i < 20; i++) {
		uint8_t *at = bytes + 2 + i * 7;

		memcpy(at, "\0\x0a\0\0\0\x01", 6);
		at[4] = i;
	}
	/* A port takes one byte here. */
	for (uint8_t i = 0; i < 20; i++)
		memmove(bytes + 2 + i * 6, bytes + 2 + i * 7, 6);
	assert_int_equal(addr_info_decode(bytes, 2 + 20 * 6, &info), 0);
	assert_int_equal(info.count, LIMIT_ADDRESSES_PER_NODE);
	assert_int_equal(info.addresses[15].ip[3], 15);
	/* The rest must be well-formed all the same. */
	assert_int_equal(addr_info_decode(bytes, 2 + 20 * 6 - 1, &info), ERROR_TRUNCATED);
}

static void one_message_id(const cJSON *item)
{
	size_t size;
	uint8_t *content = json_bytes(item, "content", &size);
	struct message *message = message_new(content, size);
	char hex[ID_HEX_SIZE + 1];

	assert_string_equal(hex_encode(message_id(message), ID_SIZE, hex), json_string(item, "id"));
	message_unref(message);
	free(content);
}

static void message_ids_agree(void **state)
{
	for_each("gossip.message_id", one_message_id);
}

static void check_opening(const uint8_t *body, size_t size, size_t number)
{
	struct wire_message message;
	struct id topic;

	if (number == 0) {
		assert_int_equal(size, ID_SIZE);
		assert_int_equal(frame_decode_header(body, size, &topic), 0);
		assert_int_equal(topic.bytes[31], 0x11);
		return;
	}
	assert_round_trip(body, size);
	assert_int_equal(wire_decode(body, size, &message), 0);
	assert_int_equal(message.type, WIRE_JOIN);
}

static void check_publish(const uint8_t *body, size_t size, size_t number)
{
	struct wire_message message;
	struct addr_info info;

	assert_round_trip(body, size);
	assert_int_equal(wire_decode(body, size, &message), 0);
	if (message.type == WIRE_NEIGHBOR) {
		assert_int_equal(addr_info_decode(message.neighbor.data.bytes,
					 message.neighbor.data.size, &info),
			0);
		assert_true(info.count > 0);
	} else {
		assert_int_equal(message.type, WIRE_GOSSIP);
		assert_memory_equal(message.gossip.content, "hello", 5);
	}
}

/* The streams of a running node, in slices of every size. */
static void captured_streams_are_read(void **state)
{
	size_t generations = 0;

	for (size_t i = 0; json_generations[i]; i++) {
		cJSON *vectors = json_load(json_generations[i]);
		size_t opening_size, publish_size;
		uint8_t *opening, *publish;

		if (json_find(vectors, "captured.gossip_opening")) {
			opening =
				json_bytes(vectors, "captured.gossip_opening.bytes", &opening_size);
			publish = json_bytes(
				vectors, "captured.gossip_publish_hello.bytes", &publish_size);
			for (size_t slice = 1; slice <= opening_size; slice++) {
				assert_true(for_each_body(opening, opening_size, slice,
						    check_opening) >= 2);
				assert_true(for_each_body(publish, publish_size, slice,
						    check_publish) >= 2);
			}
			free(opening);
			free(publish);
			generations++;
		}
		cJSON_Delete(vectors);
	}
	assert_true(generations >= 2);
}

static void one_mistreated_message(const cJSON *item)
{
	size_t size;
	uint8_t *body = json_bytes(item, "postcard", &size);
	struct wire_message message;
	uint8_t again[2 * LIMIT_FRAME];

	for (size_t cut = 0; cut < size; cut++) {
		/* Of its own size, so that ASan sees a read beyond it. */
		uint8_t *part = malloc(cut ? cut : 1);

		memcpy(part, body, cut);
		assert_int_equal(wire_decode(part, cut, &message), ERROR_TRUNCATED);
		free(part);
	}
	for (size_t at = 0; at < size; at++) {
		for (unsigned value = 1; value < 256; value++) {
			int error;

			body[at] ^= (uint8_t)value;
			error = wire_decode(body, size, &message);
			if (!error)
				encode(&message, again, sizeof again);
			else
				assert_true(error == ERROR_TRUNCATED || error == ERROR_INVALID);
			body[at] ^= (uint8_t)value;
		}
	}
	free(body);
}

static void mistreated_messages_do_no_harm(void **state)
{
	for_each("gossip.messages", one_mistreated_message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_round_trip),
		cmocka_unit_test(fields_are_where_they_belong),
		cmocka_unit_test(bytes_after_a_message_are_ignored),
		cmocka_unit_test(headers_round_trip),
		cmocka_unit_test(addr_infos_round_trip),
		cmocka_unit_test(of_many_addresses_the_first_are_kept),
		cmocka_unit_test(message_ids_agree),
		cmocka_unit_test(captured_streams_are_read),
		cmocka_unit_test(mistreated_messages_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
