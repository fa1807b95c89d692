/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/bytes/cbor.h"
#include "bridge/bytes/postcard.h"
#include "bridge/discovery/endpoint.h"
#include "bridge/discovery/info.h"
#include "bridge/error.h"
#include "support_heap.h"

#define WIRE_SIZE 4096

static const struct info_time some_time = {1700000000000000, 3};

static struct identity identity_of(uint8_t number)
{
	uint8_t secret[IDENTITY_SECRET_SIZE];
	struct identity identity;

	memset(secret, number, sizeof secret);
	assert_int_equal(identity_from_secret(secret, &identity), 0);
	return identity;
}

static struct address address_of(const char *text)
{
	struct address address;

	assert_int_equal(address_parse(text, &address), 0);
	return address;
}

static struct transport relay_of(const char *url)
{
	return (struct transport){
		.type = TRANSPORT_RELAY, .data = (const uint8_t *)url, .size = strlen(url)};
}

static struct transport ip_of(const char *text)
{
	return (struct transport){.type = TRANSPORT_IP, .address = address_of(text)};
}

static struct transport custom_of(uint64_t id, const void *data, size_t size)
{
	return (struct transport){
		.type = TRANSPORT_CUSTOM, .custom = id, .data = data, .size = size};
}

/* As iroh before 1.1 says it: {"id": 1, "data": {"Inline": {"size": 2, "data": [30]}}}. */
static struct transport custom_old(uint8_t buffer[128], uint8_t first)
{
	uint8_t data[30] = {first, 2};
	struct writer writer;

	writer_init(&writer, buffer, 128);
	cbor_write_map(&writer, 2);
	cbor_write_name(&writer, "id");
	cbor_write_uint(&writer, 1);
	cbor_write_name(&writer, "data");
	cbor_write_map(&writer, 1);
	cbor_write_name(&writer, "Inline");
	cbor_write_map(&writer, 2);
	cbor_write_name(&writer, "size");
	cbor_write_uint(&writer, 2);
	cbor_write_name(&writer, "data");
	cbor_write_octets(&writer, data, sizeof data);
	assert_int_equal(writer.error, 0);
	return (struct transport){
		.type = TRANSPORT_CUSTOM_OLD, .data = buffer, .size = writer_size(&writer)};
}

/* An info of identity's over one endpoint, whatever is in it, rightly signed. */
static struct info *signed_info(const struct identity *identity, const struct id *endpoint_id,
	const struct transport *transports, size_t count, enum info_order order)
{
	struct endpoint endpoint = {.id = *endpoint_id};
	uint8_t addresses[INFO_ADDRESSES_SIZE], bytes[INFO_ADDRESSES_SIZE + 64];
	struct writer writer;
	struct info *info;

	for (size_t i = 0; i < count; i++)
		assert_true(endpoint_add(&endpoint, &transports[i]));
	writer_init(&writer, addresses, sizeof addresses);
	cbor_write_array(&writer, 1);
	endpoint_write_cbor(&endpoint, &writer);
	assert_int_equal(writer.error, 0);
	assert_int_equal(info_sign(identity, some_time, order, NULL, NULL, 0, &info), 0);
	info = realloc(info, sizeof *info + writer_size(&writer));
	info->size = writer_size(&writer);
	memcpy(info->addresses, addresses, info->size);
	writer_init(&writer, bytes, sizeof bytes);
	cbor_write_map(&writer, 2);
	if (order == ORDER_ADDRESSES_FIRST) {
		cbor_write_name(&writer, "addresses");
		writer_bytes(&writer, info->addresses, info->size);
	}
	cbor_write_name(&writer, "timestamp");
	cbor_write_array(&writer, 2);
	cbor_write_uint(&writer, info->time.us);
	cbor_write_uint(&writer, info->time.logical);
	if (order == ORDER_TIMESTAMP_FIRST) {
		cbor_write_name(&writer, "addresses");
		writer_bytes(&writer, info->addresses, info->size);
	}
	assert_int_equal(writer.error, 0);
	assert_int_equal(identity_sign(identity, bytes, writer_size(&writer), info->signature), 0);
	assert_int_equal(info_verify(info, &identity->id, order), 0);
	assert_int_equal(info->order, order);
	return info;
}

typedef void encoder(const struct info *info, struct writer *writer);
typedef int decoder(struct reader *reader, struct info **out);

static struct info *through(const struct info *info, encoder *encode, decoder *decode)
{
	uint8_t wire[WIRE_SIZE];
	struct writer writer;
	struct reader reader;
	struct info *again;

	writer_init(&writer, wire, sizeof wire);
	encode(info, &writer);
	assert_int_equal(writer.error, 0);
	reader_init(&reader, wire, writer_size(&writer));
	assert_int_equal(decode(&reader, &again), 0);
	assert_int_equal(reader_left(&reader), 0);
	return again;
}

static void ours_is_sorted_and_signed(void **state)
{
	struct identity identity = identity_of(1), other = identity_of(2);
	struct address given[] = {address_of("[::1]:1"), address_of("10.0.0.2:4"),
		address_of("10.0.0.2:3"), address_of("10.0.0.2:4"), address_of("9.255.0.1:9")};
	const char *const expected[] = {"9.255.0.1:9", "10.0.0.2:3", "10.0.0.2:4", "[::1]:1"};
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];

	for (enum info_order order = 0; order < ORDERS; order++) {
		struct info *info, *copy;

		assert_int_equal(info_sign(&identity, some_time, order, NULL, given, 5, &info), 0);
		assert_int_equal(info->order, order);
		assert_int_equal(info_addresses(info, &identity.id, addresses), 4);
		for (size_t i = 0; i < 4; i++) {
			struct address address = address_of(expected[i]);

			assert_int_equal(address_compare(&addresses[i], &address), 0);
		}
		/* Not of another node's. */
		assert_int_equal(info_addresses(info, &other.id, addresses), 0);
		for (enum info_order first = 0; first < ORDERS; first++) {
			info->order = ORDERS;
			assert_int_equal(info_verify(info, &identity.id, first), 0);
			assert_int_equal(info->order, order);
			assert_int_equal(info_verify(info, &other.id, first), ERROR_INVALID);
			assert_int_equal(info->order, order);
		}
		copy = info_copy(info);
		assert_true(info_equal(copy, info));
		assert_int_equal(copy->order, order);
		copy->time.logical++;
		assert_false(info_equal(copy, info));
		assert_int_equal(info_verify(copy, &identity.id, order), ERROR_INVALID);
		info_free(copy);
		info_free(info);
	}
	identity_clear(&identity);
	identity_clear(&other);
}

static void of_many_addresses_the_first_are_signed(void **state)
{
	struct identity identity = identity_of(1);
	struct address given[2 * LIMIT_ADDRESSES_PER_NODE], out[LIMIT_ADDRESSES_PER_NODE];
	struct info *info;

	for (size_t i = 0; i < 2 * LIMIT_ADDRESSES_PER_NODE; i++) {
		given[i] = address_of("[2001:db8::ffff]:65535");
		given[i].ip[8] = (uint8_t)(255 - i);
	}
	assert_int_equal(info_sign(&identity, some_time, ORDER_ADDRESSES_FIRST, NULL, given,
				 2 * LIMIT_ADDRESSES_PER_NODE, &info),
		0);
	assert_int_equal(info_addresses(info, &identity.id, out), LIMIT_ADDRESSES_PER_NODE);
	assert_int_equal(out[0].ip[8], 255 - LIMIT_ADDRESSES_PER_NODE + 1);
	info_free(info);
	assert_int_equal(info_sign(&identity, some_time, ORDER_ADDRESSES_FIRST, NULL, NULL, 0, &info), 0);
	assert_int_equal(info_addresses(info, &identity.id, out), 0);
	info_free(info);
	identity_clear(&identity);
}

/* Everything that there is goes through both codecs and stays what was signed. */
static void both_codecs_keep_what_was_signed(void **state)
{
	struct identity identity = identity_of(1);
	uint8_t custom[40] = {7};
	struct transport transports[] = {custom_of(2, custom, 31), ip_of("[::1]:1"),
		relay_of("https://b.example/"), custom_of(2, custom, 30), custom_of(1, custom, 32),
		ip_of("127.0.0.1:1"), relay_of("https://a.example/"), custom_of(2, "", 0)};

	for (enum info_order order = 0; order < ORDERS; order++) {
		struct info *info = signed_info(&identity, &identity.id, transports, 8, order);
		struct info *cbor = through(info, info_encode_cbor, info_decode_cbor);
		struct info *postcard = through(cbor, info_encode_postcard, info_decode_postcard);

		assert_true(info_equal(cbor, info));
		assert_int_equal(cbor->order, order);
		assert_true(info_equal(postcard, info));
		assert_int_equal(info_verify(postcard, &identity.id, ORDER_TIMESTAMP_FIRST), 0);
		assert_int_equal(postcard->order, order);
		free(info);
		info_free(cbor);
		info_free(postcard);
	}
	identity_clear(&identity);
}

/* What a BTreeSet would do to it, for whoever checks the signature has one. */
static void sets_are_put_in_order(void **state)
{
	/* [Iroh(EndpointAddr{id, [V4 2, V4 1, V4 2, V4 1]})] */
	uint8_t wire[WIRE_SIZE], signature[64] = {0};
	struct writer writer;
	struct reader reader;
	struct info *info;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	struct id node = {{5}};

	writer_init(&writer, wire, sizeof wire);
	postcard_write_varint(&writer, 1);
	postcard_write_varint(&writer, 1);
	postcard_write_bytes(&writer, signature, sizeof signature);
	postcard_write_varint(&writer, 1);
	postcard_write_varint(&writer, 0);
	writer_bytes(&writer, node.bytes, ID_SIZE);
	postcard_write_varint(&writer, 4);
	for (size_t i = 0; i < 4; i++) {
		writer_bytes(&writer, "\1\0\1\1\1", 5);
		writer_u8(&writer, i % 2 ? 1 : 2);
		postcard_write_varint(&writer, 1);
	}
	reader_init(&reader, wire, writer_size(&writer));
	assert_int_equal(info_decode_postcard(&reader, &info), 0);
	assert_int_equal(info_addresses(info, &node, addresses), 2);
	assert_int_equal(addresses[0].ip[3], 1);
	assert_int_equal(addresses[1].ip[3], 2);
	info_free(info);
}

/* TransportAddr's own order, with the short custom addresses before the long ones. */
static void an_endpoints_transports_are_in_rusts_order(void **state)
{
	const uint8_t low[64] = {0}, high[64] = {9};
	const struct transport sorted[] = {relay_of("https://a.example/"),
		relay_of("https://a.example/b"), relay_of("https://b.example/"),
		ip_of("10.0.0.2:1"), ip_of("10.0.0.2:2"), ip_of("[::]:0"), custom_of(1, high, 64),
		custom_of(2, "", 0), custom_of(2, high, 29), custom_of(2, low, 30),
		custom_of(2, high, 30), custom_of(2, low, 31), custom_of(2, low, 32),
		custom_of(2, high, 31)};
	const size_t count = sizeof sorted / sizeof *sorted;

	for (size_t step = 1; step < count; step++) {
		struct endpoint endpoint = {0};

		/* Each of them twice, in some order. */
		for (size_t i = 0, at = 0; i < 4 * count; i++, at = (at + step) % (count + 1)) {
			if (at < count)
				assert_true(endpoint_add(&endpoint, &sorted[at]));
		}
		for (size_t i = 0; i < count; i++)
			assert_true(endpoint_add(&endpoint, &sorted[count - 1 - i]));
		assert_int_equal(endpoint.count, count);
		for (size_t i = 0; i < count; i++) {
			const struct transport *transport = &endpoint.transports[i];

			assert_int_equal(transport->type, sorted[i].type);
			assert_int_equal(transport->size, sorted[i].size);
			assert_ptr_equal(transport->data, sorted[i].data);
			assert_int_equal(
				address_compare(&transport->address, &sorted[i].address), 0);
		}
	}
}

static void cbor_keys_come_in_any_order(void **state)
{
	static const char *const keys[] = {"timestamp", "signature", "addresses"};
	uint8_t signature[64] = {1};

	for (unsigned which = 0; which < 27; which++) {
		unsigned order[3] = {which % 3, which / 3 % 3, which / 9};
		bool all = order[0] != order[1] && order[1] != order[2] && order[0] != order[2];
		uint8_t wire[WIRE_SIZE];
		struct writer writer;
		struct reader reader;
		struct info *info;

		writer_init(&writer, wire, sizeof wire);
		cbor_write_map(&writer, 4);
		cbor_write_name(&writer, "unknown");
		cbor_write_map(&writer, 1);
		cbor_write_array(&writer, 0);
		cbor_write_bytes(&writer, "x", 1);
		for (size_t i = 0; i < 3; i++) {
			cbor_write_text(&writer, keys[order[i]], 9);
			if (order[i] == 0)
				cbor_write_array(&writer, 2);
			if (order[i] == 0)
				cbor_write_uint(&writer, 1);
			if (order[i] == 0)
				cbor_write_uint(&writer, 2);
			if (order[i] == 1)
				cbor_write_bytes(&writer, signature, sizeof signature);
			if (order[i] == 2)
				cbor_write_array(&writer, 0);
		}
		reader_init(&reader, wire, writer_size(&writer));
		assert_int_equal(info_decode_cbor(&reader, &info), all ? 0 : ERROR_INVALID);
		if (!all)
			continue;
		assert_int_equal(info->time.us, 1);
		assert_int_equal(info->time.logical, 2);
		assert_int_equal(info->signature[0], 1);
		assert_int_equal(info->size, 1);
		info_free(info);
	}
}

/* They are kept, so that the signature holds, but who could read them cannot be told. */
static void custom_transports_are_kept_and_not_passed_on(void **state)
{
	struct identity identity = identity_of(1);
	uint8_t buffers[2][128];
	struct transport old[] = {
		custom_old(buffers[0], 2), ip_of("10.0.0.1:1"), custom_old(buffers[1], 1)};
	struct transport new[] = {custom_of(1, "x", 1), ip_of("10.0.0.1:1")};
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];

	for (enum info_order order = 0; order < ORDERS; order++) {
		for (size_t i = 0; i < 2; i++) {
			struct info *info = i ? signed_info(&identity, &identity.id, new, 2, order)
					      : signed_info(&identity, &identity.id, old, 3, order);
			struct info *again = through(info, info_encode_cbor, info_decode_cbor);

			assert_true(info_equal(info, again));
			assert_int_equal(info_addresses(again, &identity.id, addresses), 1);
			for (enum dialect dialect = DIALECT_06; dialect <= DIALECT_071; dialect++)
				assert_false(info_suits(info, &identity.id, dialect));
			info_free(again);
			/* It does not break what is written by mistake. */
			again = through(info, info_encode_postcard, info_decode_postcard);
			assert_int_equal(info_addresses(again, &identity.id, addresses), 1);
			info_free(again);
			free(info);
		}
	}
	identity_clear(&identity);
}

/* One that speaks of another node may name no key at all, and that a peer cannot decode. */
static void who_speaks_of_others_is_not_passed_on(void **state)
{
	struct identity identity = identity_of(1);
	struct transport transport = ip_of("10.0.0.1:1");
	struct id nobody = {{2}};
	struct info *info = signed_info(&identity, &nobody, &transport, 1, ORDER_TIMESTAMP_FIRST);
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];

	assert_false(info_suits(info, &identity.id, DIALECT_06));
	assert_int_equal(info_addresses(info, &identity.id, addresses), 0);
	free(info);
	identity_clear(&identity);
}

static void relays_that_may_be_spelt_otherwise_are_not_passed_on(void **state)
{
	static const struct {
		const char *url;
		bool plain;
	} cases[] = {
		{"https://relay.example.org/", true},
		{"https://euc1-1.relay.n0.iroh-canary.iroh.link./", true},
		{"http://localhost:3340/", true},
		{"http://192.0.2.1:443/", true},
		{"https://relay.example.org:8443/some/Path_1", true},
		{"https://relay.example.org", false}, /* gets a slash */
		{"HTTPS://relay.example.org/", false},
		{"https://Relay.example.org/", false},
		{"https://relay.example.org:443/", false},
		{"http://relay.example.org:80/", false},
		{"https://relay.example.org:080/", false},
		{"https://relay.example.org:65536/", false},
		{"https://relay.example.org:/", false},
		{"https://127.1/", false},
		{"https://192.0.2.256/", false},
		{"https://192.0.2.01/", false},
		{"https://192.0.2.1./", false},
		{"https://a.0x7f/", false},
		{"https://xn--nxasmq6b/", false},
		{"https://a.xn--nxasmq6b/", false},
		{"https://a..b/", false},
		{"https://.a/", false},
		{"https:///", false},
		{"https://", false},
		{"https://[::1]/", false},
		{"https://user@relay.example.org/", false},
		{"https://relay.example.org/a/../b", false},
		{"https://relay.example.org/%2e", false},
		{"https://relay.example.org/?", false},
		{"https://relay.example.org/#a", false},
		{"https://relay.example.org/ ", false},
		{"wss://relay.example.org/", false},
		{"not a url", false},
		{"", false},
	};
	struct identity identity = identity_of(1);

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct transport relay = relay_of(cases[i].url);
		struct info *info =
			signed_info(&identity, &identity.id, &relay, 1, ORDER_ADDRESSES_FIRST);

		if (info_suits(info, &identity.id, DIALECT_071) != cases[i].plain)
			fail_msg("%s", cases[i].url);
		free(info);
	}
	identity_clear(&identity);
}

/* What an attacker makes in order to have it passed on. */
static void infos_too_large_are_told_from_malformed_ones(void **state)
{
	uint8_t wire[2 * WIRE_SIZE], signature[64] = {0};
	static const size_t counts[] = {ENDPOINT_TRANSPORTS, ENDPOINT_TRANSPORTS + 1, 500};

	for (size_t i = 0; i < 3; i++) {
		struct writer writer;
		struct reader reader;
		struct info *info;

		writer_init(&writer, wire, sizeof wire);
		postcard_write_varint(&writer, 1);
		postcard_write_varint(&writer, 1);
		postcard_write_bytes(&writer, signature, sizeof signature);
		postcard_write_varint(&writer, 1);
		postcard_write_varint(&writer, 0);
		writer_bytes(&writer, signature, ID_SIZE);
		postcard_write_varint(&writer, counts[i]);
		for (size_t j = 0; j < counts[i]; j++) {
			writer_bytes(&writer, "\1\0\1", 3);
			writer_u8(&writer, (uint8_t)(j >> 8));
			writer_u8(&writer, 1);
			writer_u8(&writer, (uint8_t)j);
			postcard_write_varint(&writer, 1);
		}
		assert_int_equal(writer.error, 0);
		reader_init(&reader, wire, writer_size(&writer));
		assert_int_equal(info_decode_postcard(&reader, &info), ERROR_TOO_LARGE);
		assert_null(info);
	}
}

static void text_has_all_but_the_addresses(void **state)
{
	struct identity identity = identity_of(1);
	struct transport transports[] = {
		ip_of("10.0.0.1:1"), ip_of("[::1]:2"), relay_of("https://relay.example.org/")};
	struct address addresses[] = {address_of("[::1]:2"), address_of("10.0.0.1:1")};
	struct info *again;
	char text[256];

	for (size_t count = 2; count <= 3; count++) {
		struct info *info = signed_info(
			&identity, &identity.id, transports, count, ORDER_ADDRESSES_FIRST);

		assert_int_equal(info_encode_text(info, text, sizeof text), 0);
		assert_int_equal(
			info_decode_text(text, strlen(text), &identity.id, addresses, 2, &again),
			0);
		assert_true(info_equal(info, again));
		info_free(again);
		for (size_t size = 0; size <= strlen(text); size++) {
			char *small = malloc(size ? size : 1);

			assert_int_equal(info_encode_text(info, small, size), ERROR_TOO_LARGE);
			free(small);
		}
		free(info);
	}
	identity_clear(&identity);
}

static void text_that_cannot_be_said_is_refused(void **state)
{
	struct identity identity = identity_of(1);
	char url[200] = "https://relay.example.org/", text[512];
	struct transport transport;
	struct info *info;

	for (size_t i = 0; i < 2; i++) {
		transport = relay_of(i ? "https://relay.example.org/|" : "");
		info = signed_info(&identity, &identity.id, &transport, 1, ORDER_ADDRESSES_FIRST);
		assert_int_equal(info_encode_text(info, text, sizeof text), ERROR_INVALID);
		free(info);
	}
	/* A TXT record holds 255 bytes, of which "user-data=" takes ten. */
	for (size_t size = 90; size < 110; size++) {
		memset(url + 26, 'a', size - 26);
		url[size] = 0;
		transport = relay_of(url);
		info = signed_info(&identity, &identity.id, &transport, 1, ORDER_ADDRESSES_FIRST);
		/* 128 + 1 + 16 + 1 + 1 + 1 */
		assert_int_equal(info_encode_text(info, text, sizeof text),
			148 + size > 245 ? ERROR_TOO_LARGE : 0);
		free(info);
	}
	identity_clear(&identity);
}

static void malformed_text_is_refused(void **state)
{
	static const struct {
		const char *rest;
		int error;
	} cases[] = {
		{"|1/2", 0},
		{"|0/0", 0},
		{"|18446744073709551615/18446744073709551615", 0},
		{"|1/2|https://a/", 0},
		{"|18446744073709551616/0", ERROR_INVALID},
		{"|0/18446744073709551616", ERROR_INVALID},
		{"|99999999999999999999999999/0", ERROR_INVALID},
		{"", ERROR_INVALID},
		{"|", ERROR_INVALID},
		{"|1", ERROR_INVALID},
		{"|1/", ERROR_INVALID},
		{"|/1", ERROR_INVALID},
		{"|1/2/3", ERROR_INVALID},
		{"|-1/2", ERROR_INVALID},
		{"|1 /2", ERROR_INVALID},
		{"|1/2|", ERROR_INVALID},
		{"|1/2|a|b", ERROR_INVALID},
		{"/1|2", ERROR_INVALID},
		{"0|1/2", ERROR_INVALID},
	};
	struct id node = {{1}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t size = 128 + strlen(cases[i].rest);
		char *text = malloc(size); /* no zero at its end */
		struct info *info;

		memset(text, 'a', 128);
		memcpy(text + 128, cases[i].rest, size - 128);
		assert_int_equal(
			info_decode_text(text, size, &node, NULL, 0, &info), cases[i].error);
		info_free(info);
		text[5] = 'A';
		assert_int_equal(
			info_decode_text(text, size, &node, NULL, 0, &info), ERROR_INVALID);
		free(text);
	}
}

static void text_with_too_many_addresses_is_refused(void **state)
{
	struct address addresses[ENDPOINT_TRANSPORTS + 1];
	struct id node = {{1}};
	struct info *info;
	char text[128 + 4];

	memset(text, 'a', 128);
	memcpy(text + 128, "|1/2", 4);
	for (size_t i = 0; i <= ENDPOINT_TRANSPORTS; i++)
		addresses[i] = (struct address){4, {10, 0, 0, (uint8_t)i}, 1};
	assert_int_equal(info_decode_text(text, sizeof text, &node, addresses, 60, &info), 0);
	info_free(info);
	assert_int_equal(
		info_decode_text(text, sizeof text, &node, addresses, ENDPOINT_TRANSPORTS, &info),
		ERROR_TOO_LARGE);
	assert_int_equal(info_decode_text(text, sizeof text, &node, addresses,
				 ENDPOINT_TRANSPORTS + 1, &info),
		ERROR_TOO_LARGE);
}

static void times_are_in_order(void **state)
{
	const struct info_time times[] = {{0, 0}, {0, 1}, {1, 0}, {1, UINT64_MAX}, {UINT64_MAX, 0}};

	for (size_t i = 0; i < 5; i++) {
		for (size_t j = 0; j < 5; j++)
			assert_int_equal(info_time_compare(times[i], times[j]), (i > j) - (i < j));
	}
}

static void no_memory_is_an_error(void **state)
{
	struct identity identity = identity_of(1);
	struct address address = address_of("10.0.0.1:1");
	uint8_t wire[WIRE_SIZE];
	struct writer writer;
	struct reader reader;
	struct info *info, *none;
	char text[256];

	heap_begin();
	assert_int_equal(
		info_sign(&identity, some_time, ORDER_TIMESTAMP_FIRST, NULL, &address, 1, &info), 0);
	assert_int_equal(info_encode_text(info, text, sizeof text), 0);
	heap_fail(1, true);
	assert_int_equal(info_sign(&identity, some_time, ORDER_TIMESTAMP_FIRST, NULL, &address, 1, &none),
		ERROR_NOMEM);
	assert_null(info_copy(info));
	writer_init(&writer, wire, sizeof wire);
	info_encode_cbor(info, &writer);
	reader_init(&reader, wire, writer_size(&writer));
	assert_int_equal(info_decode_cbor(&reader, &none), ERROR_NOMEM);
	writer_init(&writer, wire, sizeof wire);
	info_encode_postcard(info, &writer);
	reader_init(&reader, wire, writer_size(&writer));
	assert_int_equal(info_decode_postcard(&reader, &none), ERROR_NOMEM);
	assert_int_equal(info_decode_text(text, strlen(text), &identity.id, &address, 1, &none),
		ERROR_NOMEM);
	info_free(info);
	info_free(NULL);
	heap_end();
	identity_clear(&identity);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ours_is_sorted_and_signed),
		cmocka_unit_test(of_many_addresses_the_first_are_signed),
		cmocka_unit_test(both_codecs_keep_what_was_signed),
		cmocka_unit_test(sets_are_put_in_order),
		cmocka_unit_test(an_endpoints_transports_are_in_rusts_order),
		cmocka_unit_test(cbor_keys_come_in_any_order),
		cmocka_unit_test(custom_transports_are_kept_and_not_passed_on),
		cmocka_unit_test(who_speaks_of_others_is_not_passed_on),
		cmocka_unit_test(relays_that_may_be_spelt_otherwise_are_not_passed_on),
		cmocka_unit_test(infos_too_large_are_told_from_malformed_ones),
		cmocka_unit_test(text_has_all_but_the_addresses),
		cmocka_unit_test(text_that_cannot_be_said_is_refused),
		cmocka_unit_test(malformed_text_is_refused),
		cmocka_unit_test(text_with_too_many_addresses_is_refused),
		cmocka_unit_test(times_are_in_order),
		cmocka_unit_test(no_memory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
