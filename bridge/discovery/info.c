/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "info.h"

#include <stdio.h>
#include <string.h>

#include "../bytes/cbor.h"
#include "../bytes/hex.h"
#include "../bytes/postcard.h"
#include "../error.h"
#include "../memory.h"
#include "endpoint.h"

/* Room for the two keys, the time and the addresses. */
#define SIGNED_SIZE (64 + INFO_ADDRESSES_SIZE)

/* iroh's UserData::MAX_LENGTH: as much fits into a TXT record beside the key. */
#define TEXT_SIZE 245

#define SIGNATURE_HEX_SIZE (2 * IDENTITY_SIGNATURE_SIZE)

static struct info *info_new(const uint8_t *addresses, size_t size)
{
	struct info *info = memory_alloc(sizeof *info + size);

	if (!info)
		return NULL;
	*info = (struct info){.size = size};
	if (size)
		memcpy(info->addresses, addresses, size);
	return info;
}

struct info *info_copy(const struct info *info)
{
	struct info *copy = info_new(info->addresses, info->size);

	if (!copy)
		return NULL;
	copy->time = info->time;
	copy->order = info->order;
	memcpy(copy->signature, info->signature, sizeof copy->signature);
	return copy;
}

void info_free(struct info *info)
{
	if (info)
		memory_free(info);
}

bool info_equal(const struct info *a, const struct info *b)
{
	return info_time_compare(a->time, b->time) == 0 && a->size == b->size &&
	       memcmp(a->signature, b->signature, sizeof a->signature) == 0 &&
	       memcmp(a->addresses, b->addresses, a->size) == 0;
}

/* The parts of an info that were read, in the form in which they are kept. */
struct parts {
	struct info_time time;
	enum info_order order;
	uint8_t signature[IDENTITY_SIGNATURE_SIZE];
	uint8_t addresses[INFO_ADDRESSES_SIZE];
	struct writer writer; /* over the addresses */
};

static int finish(const struct parts *parts, int error, struct info **out)
{
	struct info *info;

	*out = NULL;
	if (!error)
		error = parts->writer.error;
	if (error)
		return error;
	info = info_new(parts->addresses, writer_size(&parts->writer));
	if (!info)
		return ERROR_NOMEM;
	info->time = parts->time;
	info->order = parts->order;
	memcpy(info->signature, parts->signature, sizeof info->signature);
	*out = info;
	return ERROR_NONE;
}

static void begin(struct parts *parts)
{
	*parts = (struct parts){.order = ORDER_TIMESTAMP_FIRST};
	writer_init(&parts->writer, parts->addresses, sizeof parts->addresses);
}

static void write_time_cbor(struct info_time time, struct writer *writer)
{
	cbor_write_name(writer, "timestamp");
	cbor_write_array(writer, 2);
	cbor_write_uint(writer, time.us);
	cbor_write_uint(writer, time.logical);
}

static void write_addresses_cbor(const struct info *info, struct writer *writer)
{
	cbor_write_name(writer, "addresses");
	writer_bytes(writer, info->addresses, info->size);
}

static void write_signature_cbor(const struct info *info, struct writer *writer)
{
	cbor_write_name(writer, "signature");
	cbor_write_bytes(writer, info->signature, sizeof info->signature);
}

/* Writes the bytes that are signed (UnsignedTransportInfo); returns their size. cbor-core, which
 * p2panda-core has from 0.7.1 on, sorts the keys. */
static size_t signed_bytes(const struct info *info, enum info_order order, uint8_t out[SIGNED_SIZE])
{
	struct writer writer;

	writer_init(&writer, out, SIGNED_SIZE);
	cbor_write_map(&writer, 2);
	if (order == ORDER_TIMESTAMP_FIRST)
		write_time_cbor(info->time, &writer);
	write_addresses_cbor(info, &writer);
	if (order == ORDER_ADDRESSES_FIRST)
		write_time_cbor(info->time, &writer);
	return writer_size(&writer);
}

static void add_addresses(
	struct endpoint *endpoint, const struct address *addresses, size_t count, struct parts *out)
{
	for (size_t i = 0; i < count; i++) {
		struct transport transport = {.type = TRANSPORT_IP, .address = addresses[i]};

		if (!endpoint_add(endpoint, &transport))
			out->writer.error = ERROR_TOO_LARGE;
	}
	cbor_write_array(&out->writer, 1);
	endpoint_write_cbor(endpoint, &out->writer);
}

int info_sign(const struct identity *identity, struct info_time time, enum info_order order,
	const struct relay_url *relay, const struct address *addresses, size_t count,
	struct info **out)
{
	struct transport at_relay = {.type = TRANSPORT_RELAY};
	struct endpoint endpoint = {.id = identity->id, .count = 0};
	uint8_t bytes[SIGNED_SIZE];
	struct parts parts;
	struct info *info;
	int error;

	begin(&parts);
	parts.time = time;
	parts.order = order;
	if (count > LIMIT_ADDRESSES_PER_NODE)
		count = LIMIT_ADDRESSES_PER_NODE;
	if (relay) {
		at_relay.data = (const uint8_t *)relay->text;
		at_relay.size = strlen(relay->text);
		endpoint_add(&endpoint, &at_relay);
	}
	add_addresses(&endpoint, addresses, count, &parts);
	error = finish(&parts, 0, &info);
	if (error)
		return error;
	error = identity_sign(identity, bytes, signed_bytes(info, order, bytes), info->signature);
	if (error) {
		info_free(info);
		info = NULL;
	}
	*out = info;
	return error;
}

int info_verify(struct info *info, const struct id *node, enum info_order first)
{
	int error = ERROR_INVALID;

	for (unsigned i = 0; error == ERROR_INVALID && i < ORDERS; i++) {
		enum info_order order = (first + i) % ORDERS;
		uint8_t bytes[SIGNED_SIZE];

		error = identity_verify(
			node, bytes, signed_bytes(info, order, bytes), info->signature);
		if (!error)
			info->order = order;
	}
	return error;
}

/* A walk over the endpoints of an info, whose CBOR is our own. */
struct walk {
	struct reader reader;
	uint64_t left;
	struct endpoint endpoint;
};

static uint64_t walk_begin(const struct info *info, struct walk *walk)
{
	reader_init(&walk->reader, info->addresses, info->size);
	walk->left = cbor_read_array(&walk->reader);
	return walk->left;
}

static const struct endpoint *walk_next(struct walk *walk)
{
	if (walk->left == 0)
		return NULL;
	walk->left--;
	endpoint_read_cbor(&walk->reader, &walk->endpoint);
	return walk->reader.error ? NULL : &walk->endpoint;
}

size_t info_addresses(const struct info *info, const struct id *node,
	struct address out[LIMIT_ADDRESSES_PER_NODE])
{
	const struct endpoint *endpoint;
	struct walk walk;
	size_t count = 0;

	walk_begin(info, &walk);
	while ((endpoint = walk_next(&walk))) {
		if (!id_equal(&endpoint->id, node))
			continue;
		for (size_t i = 0; i < endpoint->count; i++) {
			if (endpoint->transports[i].type == TRANSPORT_IP &&
				count < LIMIT_ADDRESSES_PER_NODE)
				out[count++] = endpoint->transports[i].address;
		}
	}
	return count;
}

bool info_suits(const struct info *info, const struct id *node, enum dialect dialect)
{
	const struct endpoint *endpoint;
	struct walk walk;

	if (info->order != dialect_order(dialect))
		return false;
	walk_begin(info, &walk);
	while ((endpoint = walk_next(&walk))) {
		if (!id_equal(&endpoint->id, node))
			return false;
		for (size_t i = 0; i < endpoint->count; i++) {
			const struct transport *transport = &endpoint->transports[i];

			if (transport->type != TRANSPORT_IP &&
				(transport->type != TRANSPORT_RELAY ||
					!endpoint_relay_is_plain(transport->data, transport->size)))
				return false;
		}
	}
	return true;
}

static void read_addresses(struct reader *reader, uint64_t count,
	void (*read)(struct reader *reader, struct endpoint *endpoint), struct parts *parts)
{
	struct endpoint endpoint;

	cbor_write_array(&parts->writer, count);
	for (uint64_t i = 0; i < count && !reader->error; i++) {
		read(reader, &endpoint);
		if (reader->error)
			return;
		endpoint_write_cbor(&endpoint, &parts->writer);
		if (parts->writer.error)
			reader_fail(reader, parts->writer.error);
	}
}

static void read_signature(const uint8_t *bytes, size_t size, struct reader *reader,
	uint8_t signature[IDENTITY_SIGNATURE_SIZE])
{
	if (bytes && size == IDENTITY_SIGNATURE_SIZE)
		memcpy(signature, bytes, size);
	else
		reader_fail(reader, ERROR_INVALID);
}

enum { HAS_TIME = 1, HAS_SIGNATURE = 2, HAS_ADDRESSES = 4, HAS_ALL = 7 };

/* Reads one key and its value; returns which key it was, 0 for an unknown one. */
static unsigned read_pair(struct reader *reader, struct parts *parts, unsigned seen)
{
	const uint8_t *bytes;
	size_t size;
	const char *key = cbor_read_text(reader, &size);
	unsigned which = cbor_is_name(key, size, "timestamp")	? HAS_TIME
			 : cbor_is_name(key, size, "signature") ? HAS_SIGNATURE
			 : cbor_is_name(key, size, "addresses") ? HAS_ADDRESSES
								: 0;

	if (which & seen)
		reader_fail(reader, ERROR_INVALID);
	switch (which) {
	case HAS_TIME:
		if (cbor_read_array(reader) != 2)
			reader_fail(reader, ERROR_INVALID);
		parts->time.us = cbor_read_uint(reader);
		parts->time.logical = cbor_read_uint(reader);
		if (seen & HAS_ADDRESSES)
			parts->order = ORDER_ADDRESSES_FIRST;
		break;
	case HAS_SIGNATURE:
		bytes = cbor_read_bytes(reader, &size);
		read_signature(bytes, size, reader, parts->signature);
		break;
	case HAS_ADDRESSES:
		read_addresses(reader, cbor_read_array(reader), endpoint_read_cbor, parts);
		break;
	default: /* serde ignores unknown keys */
		cbor_read_item(reader, &size);
	}
	return which;
}

int info_decode_cbor(struct reader *reader, struct info **out)
{
	struct parts parts;
	unsigned seen = 0;
	uint64_t pairs;

	begin(&parts);
	pairs = cbor_read_map(reader);
	for (uint64_t i = 0; i < pairs && !reader->error; i++)
		seen |= read_pair(reader, &parts, seen);
	if (seen != HAS_ALL)
		reader_fail(reader, ERROR_INVALID);
	return finish(&parts, reader->error, out);
}

int info_decode_postcard(struct reader *reader, struct info **out)
{
	const uint8_t *signature;
	struct parts parts;
	size_t size;

	begin(&parts);
	parts.time.us = postcard_read_u64(reader);
	parts.time.logical = postcard_read_u64(reader);
	signature = postcard_read_bytes(reader, &size);
	read_signature(signature, size, reader, parts.signature);
	read_addresses(reader, postcard_read_u64(reader), endpoint_read_postcard, &parts);
	return finish(&parts, reader->error, out);
}

void info_encode_cbor(const struct info *info, struct writer *writer)
{
	cbor_write_map(writer, 3);
	if (info->order == ORDER_TIMESTAMP_FIRST) {
		write_time_cbor(info->time, writer);
		write_signature_cbor(info, writer);
		write_addresses_cbor(info, writer);
	} else {
		write_addresses_cbor(info, writer);
		write_signature_cbor(info, writer);
		write_time_cbor(info->time, writer);
	}
}

void info_encode_postcard(const struct info *info, struct writer *writer)
{
	const struct endpoint *endpoint;
	struct walk walk;

	postcard_write_varint(writer, info->time.us);
	postcard_write_varint(writer, info->time.logical);
	postcard_write_bytes(writer, info->signature, sizeof info->signature);
	postcard_write_varint(writer, walk_begin(info, &walk));
	while ((endpoint = walk_next(&walk)))
		endpoint_write_postcard(endpoint, writer);
}

/* Returns the first relay of node, or of any node if node is NULL: relays come first in each
 * endpoint. NULL: there is none. */
static const struct transport *find_relay(
	const struct info *info, const struct id *node, struct walk *walk)
{
	const struct endpoint *endpoint;

	walk_begin(info, walk);
	while ((endpoint = walk_next(walk))) {
		if (node && !id_equal(&endpoint->id, node))
			continue;
		if (endpoint->count > 0 && endpoint->transports[0].type == TRANSPORT_RELAY)
			return &endpoint->transports[0];
	}
	return NULL;
}

const char *info_relay(const struct info *info, const struct id *node, size_t *size)
{
	struct walk walk;
	const struct transport *relay = find_relay(info, node, &walk);

	*size = relay ? relay->size : 0;
	return relay ? (const char *)relay->data : NULL;
}

int info_encode_text(const struct info *info, char *out, size_t size)
{
	char signature[SIGNATURE_HEX_SIZE + 1];
	struct walk walk;
	const struct transport *relay = find_relay(info, NULL, &walk);
	int written;

	if (relay && (relay->size == 0 || memchr(relay->data, 0, relay->size) ||
			     memchr(relay->data, '|', relay->size)))
		return ERROR_INVALID; /* no URL */
	written = snprintf(out, size, "%s|%llu/%llu%s%.*s",
		hex_encode(info->signature, sizeof info->signature, signature),
		(unsigned long long)info->time.us, (unsigned long long)info->time.logical,
		relay ? "|" : "", relay ? (int)relay->size : 0,
		relay ? (const char *)relay->data : "");
	return written > TEXT_SIZE || (size_t)written >= size ? ERROR_TOO_LARGE : 0;
}

/* Reads a number as Rust's u64::from_str does, but without a plus sign, up to the character closing
 * or the end of the text. */
static uint64_t read_number(struct reader *reader, char closing)
{
	const uint8_t *start = reader->at;
	uint64_t value = 0;

	for (; reader_left(reader) > 0 && *reader->at != closing; reader->at++) {
		unsigned digit = *reader->at - (unsigned)'0';

		if (digit > 9 || value > (UINT64_MAX - digit) / 10)
			break;
		value = value * 10 + digit;
	}
	if (reader->at == start || (reader_left(reader) > 0 && *reader->at != closing))
		reader_fail(reader, ERROR_INVALID);
	return value;
}

static void read_character(struct reader *reader, char character)
{
	if (reader_u8(reader) != (uint8_t)character)
		reader_fail(reader, ERROR_INVALID);
}

/* Follows p2panda-net src/iroh_endpoint/user_data.rs. */
int info_decode_text(const char *text, size_t text_size, const struct id *node,
	const struct address *addresses, size_t count, struct info **out)
{
	struct endpoint endpoint = {.id = *node, .count = 0};
	struct transport relay = {.type = TRANSPORT_RELAY};
	const uint8_t *signature;
	struct reader reader;
	struct parts parts;

	begin(&parts);
	reader_init(&reader, text, text_size);
	signature = reader_bytes(&reader, SIGNATURE_HEX_SIZE);
	if (signature &&
		hex_decode((const char *)signature, parts.signature, sizeof parts.signature))
		reader_fail(&reader, ERROR_INVALID);
	read_character(&reader, '|');
	parts.time.us = read_number(&reader, '/');
	read_character(&reader, '/');
	parts.time.logical = read_number(&reader, '|');
	if (!reader.error && reader_left(&reader) > 0) {
		read_character(&reader, '|');
		relay.size = reader_left(&reader);
		relay.data = reader_bytes(&reader, relay.size);
		if (relay.size == 0 || memchr(relay.data, '|', relay.size))
			reader_fail(&reader, ERROR_INVALID);
		endpoint_add(&endpoint, &relay);
	}
	if (!reader.error)
		add_addresses(&endpoint, addresses, count, &parts);
	return finish(&parts, reader.error ? ERROR_INVALID : 0, out);
}
