/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Every mDNS packet of two real peers of 0.6.1 and of 0.7.0, and the TXT records of all three
 * generations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/hex.h"
#include "bridge/discovery/mdns.h"
#include "bridge/error.h"
#include "support_json.h"

#define SECOND UINT64_C(1000000000)

static const char *const captures[] = {"mdns06_packets.json", "mdns07_packets.json", NULL};

static uint64_t seed = 1;
static struct counters counters;

static struct id get_id(const cJSON *object, const char *path)
{
	size_t size;
	uint8_t *bytes = json_bytes(object, path, &size);
	struct id id;

	assert_int_equal(size, sizeof id);
	memcpy(&id, bytes, size);
	free(bytes);
	return id;
}

static struct mdns *new_mdns(const struct id *me)
{
	struct random random = random_seeded(&seed);
	struct mdns *mdns;

	assert_int_equal(mdns_new(me, MDNS_PASSIVE, &random, &counters, &mdns), 0);
	return mdns;
}

/* Who listens. */
static struct mdns *somebody(void)
{
	struct id me = {{1}};

	return new_mdns(&me);
}

/* A single found node or NULL. */
static struct info *receive(struct mdns *mdns, const uint8_t *packet, size_t size, struct id *node)
{
	struct info *found = NULL;
	struct mdns_effect effect;

	mdns_receive(mdns, SECOND, packet, size);
	while (mdns_effect(mdns, SECOND, &effect)) {
		assert_int_equal(effect.type, MDNS_FOUND);
		assert_null(found);
		found = effect.info;
		*node = effect.node;
	}
	return found;
}

static struct info *receive_once(const uint8_t *packet, size_t size, struct id *node)
{
	struct mdns *mdns = somebody();
	struct info *found = receive(mdns, packet, size, node);

	mdns_free(mdns);
	return found;
}

/* What the peer's own address book said of it. */
static const cJSON *in_book(const cJSON *capture, const struct id *id)
{
	char hex[ID_HEX_SIZE + 1];
	const cJSON *node;

	hex_encode(id->bytes, ID_SIZE, hex);
	cJSON_ArrayForEach(node, json_get(capture, "book_of_a.nodes"))
	{
		if (strcmp(json_string(node, "id"), hex) == 0)
			return json_get(node, "transports");
	}
	fail_msg("%s is none of the two", hex);
	return NULL;
}

static void check_info(const struct info *info, const struct id *node, const cJSON *transports)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t count = info_addresses(info, node, addresses), size;
	uint8_t *signature = json_bytes(transports, "signature", &size);
	const cJSON *expected = json_get(transports, "addrs");
	char time[64], text[ADDRESS_TEXT_SIZE];

	assert_memory_equal(info->signature, signature, sizeof info->signature);
	free(signature);
	snprintf(time, sizeof time, "%llu/%llu", (unsigned long long)info->time.us,
		(unsigned long long)info->time.logical);
	assert_string_equal(time, json_string(transports, "timestamp"));
	assert_int_equal(count, cJSON_GetArraySize(expected));
	for (size_t i = 0; i < count; i++) {
		const char *address = cJSON_GetArrayItem(expected, (int)i)->valuestring;

		assert_string_equal(
			address + strlen("ip:"), address_format(&addresses[i], text));
	}
}

static bool is_answer(const uint8_t *packet)
{
	return packet[2] & 0x80;
}

static void for_each_packet(void (*check)(const cJSON *capture, const uint8_t *packet, size_t size))
{
	for (const char *const *name = captures; *name; name++) {
		cJSON *capture = json_load(*name);
		const cJSON *one;

		cJSON_ArrayForEach(one, json_get(capture, "packets"))
		{
			size_t size;
			uint8_t *packet = json_bytes(one, "hex", &size);

			check(capture, packet, size);
			free(packet);
		}
		cJSON_Delete(capture);
	}
	assert_int_equal(counters_get(&counters, COUNTER_BAD_PACKET), 0);
}

static void check_is_understood(const cJSON *capture, const uint8_t *packet, size_t size)
{
	struct id node;
	struct info *found = receive_once(packet, size, &node);

	if (!is_answer(packet)) {
		assert_null(found);
		return;
	}
	assert_non_null(found);
	assert_int_equal(info_verify(found, &node, ORDER_TIMESTAMP_FIRST), 0);
	assert_int_equal(found->order, ORDER_TIMESTAMP_FIRST);
	check_info(found, &node, in_book(capture, &node));
	info_free(found);
}

static void every_packet_is_understood(void **state)
{
	for_each_packet(check_is_understood);
}

/* What we send with an info: an active node's announcement. */
static size_t announce(const struct id *me, const struct info *info, uint8_t out[MDNS_PACKET_SIZE])
{
	const struct info *infos[ORDERS] = {info, NULL};
	struct random random = random_seeded(&seed);
	struct mdns_effect effect;
	struct mdns *mdns;

	assert_int_equal(mdns_new(me, MDNS_ACTIVE, &random, &counters, &mdns), 0);
	assert_int_equal(mdns_set_infos(mdns, SECOND, infos), 0);
	assert_true(mdns_effect(mdns, SECOND, &effect));
	assert_int_equal(effect.type, MDNS_SEND);
	assert_true(is_answer(effect.packet));
	memcpy(out, effect.packet, effect.size);
	mdns_free(mdns);
	return effect.size;
}

/* 0.7's answers byte for byte; 0.6's have no PTR, and a TTL of 0. */
static void check_ours_is_the_same(const cJSON *capture, const uint8_t *packet, size_t size)
{
	uint8_t ours[MDNS_PACKET_SIZE];
	struct id node, again;
	struct info *found = receive_once(packet, size, &node);
	struct info *back;
	size_t ours_size;

	if (!found)
		return;
	ours_size = announce(&node, found, ours);
	if (strcmp(json_string(capture, "a.kind"), "07") == 0) {
		assert_int_equal(ours_size, size);
		assert_memory_equal(ours, packet, size);
	}
	back = receive_once(ours, ours_size, &again);
	assert_non_null(back);
	assert_true(id_equal(&node, &again));
	assert_true(info_equal(found, back));
	info_free(back);
	info_free(found);
}

static void our_answers_are_the_same(void **state)
{
	for_each_packet(check_ours_is_the_same);
}

static void check_question(const cJSON *capture, const uint8_t *packet, size_t size)
{
	struct random random = random_seeded(&seed);
	struct id me = get_id(capture, "a.id");
	struct mdns_effect effect;
	struct mdns *mdns;

	if (is_answer(packet))
		return;
	assert_int_equal(mdns_new(&me, MDNS_ACTIVE, &random, &counters, &mdns), 0);
	assert_true(mdns_effect(mdns, SECOND, &effect));
	assert_int_equal(effect.size, size);
	assert_memory_equal(effect.packet, packet, size);
	mdns_free(mdns);
}

static void our_questions_are_the_same(void **state)
{
	for_each_packet(check_question);
}

/* Refused, or what has been signed; and no byte beyond the end is read. */
static void check_altered(const cJSON *capture, struct mdns *mdns, const uint8_t *packet, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	struct info *found;
	struct id node;

	assert_non_null(copy);
	memcpy(copy, packet, size);
	found = receive(mdns, copy, size, &node);
	free(copy);
	if (found && info_verify(found, &node, ORDER_TIMESTAMP_FIRST) == 0)
		check_info(found, &node, in_book(capture, &node));
	info_free(found);
}

static void altered(const cJSON *capture, const uint8_t *packet, size_t size)
{
	static const uint8_t masks[] = {0x01, 0x20, 0xc0, 0xff};
	uint8_t changed[MDNS_PACKET_SIZE];
	struct mdns *mdns = somebody();

	for (size_t cut = 0; cut < size; cut++)
		check_altered(capture, mdns, packet, cut);
	for (size_t at = 0; at < size; at++) {
		for (size_t i = 0; i < sizeof masks; i++) {
			/* A new one now and then, as it reports only so many in a second. */
			if (at % 16 == 0 && i == 0) {
				mdns_free(mdns);
				mdns = somebody();
			}
			memcpy(changed, packet, size);
			changed[at] ^= masks[i];
			check_altered(capture, mdns, changed, size);
		}
	}
	mdns_free(mdns);
}

/* The question and one answer of each of the two: the others are the same again. */
static void cut_and_altered_at_each_byte(void **state)
{
	for (const char *const *name = captures; *name; name++) {
		cJSON *capture = json_load(*name);
		const cJSON *packets = json_get(capture, "packets");

		for (int i = 0; i < 3; i++) {
			size_t size;
			uint8_t *packet =
				json_bytes(cJSON_GetArrayItem(packets, i), "hex", &size);

			altered(capture, packet, size);
			free(packet);
		}
		cJSON_Delete(capture);
	}
	memset(&counters, 0, sizeof counters);
}

/* Also those with a relay, which is in the TXT record only. */
static void txt_records_of_all_generations(void **state)
{
	for (const char *const *name = json_generations; *name; name++) {
		cJSON *vectors = json_load(*name);
		const cJSON *one;

		cJSON_ArrayForEach(one, json_get(vectors, "transport_info"))
		{
			struct address addresses[LIMIT_ADDRESSES_PER_NODE];
			const char *txt = json_string(one, "mdns_txt");
			struct id node = get_id(one, "node_id"), again;
			uint8_t packet[MDNS_PACKET_SIZE], *bytes;
			struct info *info, *back;
			struct reader reader;
			size_t size;

			bytes = json_bytes(one, "info_cbor", &size);
			reader_init(&reader, bytes, size);
			assert_int_equal(info_decode_cbor(&reader, &info), 0);
			size = announce(&node, info, packet);
			assert_non_null(memmem(packet, size, txt, strlen(txt)));
			back = receive_once(packet, size, &again);
			if (info_addresses(info, &node, addresses) > 0) {
				assert_non_null(back);
				assert_true(info_equal(info, back));
				assert_int_equal(info_verify(back, &node, 0), 0);
				assert_true(id_equal(&node, &again));
			} else {
				assert_null(back);
			}
			info_free(back);
			info_free(info);
			free(bytes);
		}
		cJSON_Delete(vectors);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_packet_is_understood),
		cmocka_unit_test(our_answers_are_the_same),
		cmocka_unit_test(our_questions_are_the_same),
		cmocka_unit_test(cut_and_altered_at_each_byte),
		cmocka_unit_test(txt_records_of_all_generations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
