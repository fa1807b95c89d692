/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Nodes messages of discovery (0.7.1) that no real node would make. What is signed is CBOR (addresses,
 * timestamp), what is sent postcard; both are encoded here, and not with the code under test.
 */
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bridge/bytes/hex.h"
#include "bridge/bytes/postcard.h"
#include "raw_node.h"

#define MOST_ADDRESSES 2000

/* Those that were made: that takes longer than a connection waits. */
#define MOST_MADE 256
/* The relays that infos name. */
#define MOST_RELAYS 16
static struct {
	uint8_t *bytes;
	size_t size;
} made[MOST_MADE];

static const char *relays[MOST_RELAYS];
static size_t relays_count;
static size_t made_count;

struct info_bytes {
	struct id id;
	size_t size;
	uint8_t *bytes;
};

static void cbor_head(struct writer *writer, uint8_t major, uint64_t value)
{
	if (value < 24) {
		writer_u8(writer, (uint8_t)(major << 5 | value));
	} else if (value < 256) {
		writer_u8(writer, (uint8_t)(major << 5 | 24));
		writer_u8(writer, (uint8_t)value);
	} else if (value < 65536) {
		writer_u8(writer, (uint8_t)(major << 5 | 25));
		writer_u16(writer, (uint16_t)value);
	} else {
		writer_u8(writer, (uint8_t)(major << 5 | 27));
		writer_u64(writer, value);
	}
}

static void cbor_text(struct writer *writer, const char *text)
{
	cbor_head(writer, 3, strlen(text));
	writer_bytes(writer, text, strlen(text));
}

static void cbor_integers(struct writer *writer, const uint8_t *bytes, size_t size)
{
	cbor_head(writer, 4, size);
	for (size_t i = 0; i < size; i++)
		cbor_head(writer, 0, bytes[i]);
}

static void write_signed(struct writer *writer, const struct id *node, uint64_t us,
	const struct address *addresses, size_t count)
{
	cbor_head(writer, 5, 2);
	cbor_text(writer, "addresses");
	cbor_head(writer, 4, 1);
	cbor_head(writer, 5, 1);
	cbor_text(writer, "Iroh");
	cbor_head(writer, 5, 2);
	cbor_text(writer, "id");
	cbor_integers(writer, node->bytes, ID_SIZE);
	cbor_text(writer, "addrs");
	cbor_head(writer, 4, relays_count + count);
	for (size_t i = 0; i < relays_count; i++) {
		cbor_head(writer, 5, 1);
		cbor_text(writer, "Relay");
		cbor_text(writer, relays[i]);
	}
	for (size_t i = 0; i < count; i++) {
		cbor_head(writer, 5, 1);
		cbor_text(writer, "Ip");
		cbor_head(writer, 5, 1);
		cbor_text(writer, addresses[i].family == 4 ? "V4" : "V6");
		cbor_head(writer, 4, 2);
		cbor_integers(writer, addresses[i].ip, addresses[i].family == 4 ? 4 : 16);
		cbor_head(writer, 0, addresses[i].port);
	}
	cbor_text(writer, "timestamp");
	cbor_head(writer, 4, 2);
	cbor_head(writer, 0, us);
	cbor_head(writer, 0, 0);
}

static void write_sent(struct writer *writer, const struct id *node, uint64_t us,
	const uint8_t signature[IDENTITY_SIGNATURE_SIZE], const struct address *addresses,
	size_t count)
{
	postcard_write_bytes(writer, node->bytes, ID_SIZE);
	postcard_write_varint(writer, us);
	postcard_write_varint(writer, 0);
	postcard_write_bytes(writer, signature, IDENTITY_SIGNATURE_SIZE);
	postcard_write_varint(writer, 1); /* transports */
	postcard_write_varint(writer, 0); /* Iroh */
	writer_bytes(writer, node->bytes, ID_SIZE);
	postcard_write_varint(writer, relays_count + count);
	for (size_t i = 0; i < relays_count; i++) {
		postcard_write_varint(writer, 0); /* Relay */
		postcard_write_bytes(writer, relays[i], strlen(relays[i]));
	}
	for (size_t i = 0; i < count; i++) {
		postcard_write_varint(writer, 1); /* Ip */
		postcard_write_varint(writer, addresses[i].family == 4 ? 0 : 1);
		writer_bytes(writer, addresses[i].ip, addresses[i].family == 4 ? 4 : 16);
		postcard_write_varint(writer, addresses[i].port);
	}
}

static uint64_t unix_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Signed by signer, said to be node's. */
static void make_info(struct info_bytes *out, const struct identity *signer,
	const struct id *node, bool spoil, uint64_t us, const struct address *addresses,
	size_t count)
{
	static uint8_t buffer[256 + 64 * MOST_ADDRESSES + 512 * MOST_RELAYS];
	uint8_t signature[IDENTITY_SIGNATURE_SIZE];
	struct writer writer;

	writer_init(&writer, buffer, sizeof buffer);
	write_signed(&writer, node, us, addresses, count);
	if (writer.error || identity_sign(signer, buffer, writer_size(&writer), signature))
		raw_die("an info that cannot be made");
	if (spoil)
		signature[0] ^= 1;
	writer_init(&writer, buffer, sizeof buffer);
	write_sent(&writer, node, us, signature, addresses, count);
	out->id = *node;
	out->size = writer_size(&writer);
	out->bytes = malloc(out->size);
	if (!out->bytes)
		raw_die("no memory");
	memcpy(out->bytes, buffer, out->size);
}

static void make_stranger(struct info_bytes *out, bool spoil, uint64_t us,
	const struct address *addresses, size_t count)
{
	uint8_t secret[IDENTITY_SECRET_SIZE];
	struct identity stranger;

	if (RAND_bytes(secret, sizeof secret) != 1 || identity_from_secret(secret, &stranger))
		raw_die("no new node");
	make_info(out, &stranger, &stranger.id, spoil, us, addresses, count);
	identity_clear(&stranger);
}

static int compare_infos(const void *a, const void *b)
{
	return memcmp(((const struct info_bytes *)a)->id.bytes,
		((const struct info_bytes *)b)->id.bytes, ID_SIZE);
}

static void keep_nodes(struct info_bytes *infos, size_t count)
{
	uint8_t head[16], *at;
	struct writer writer;
	size_t size;

	if (++made_count == MOST_MADE)
		raw_die("too many messages");
	qsort(infos, count, sizeof *infos, compare_infos);
	writer_init(&writer, head + 4, sizeof head - 4);
	postcard_write_varint(&writer, 3); /* Nodes */
	postcard_write_varint(&writer, count);
	size = writer_size(&writer);
	for (size_t i = 0; i < count; i++)
		size += infos[i].size;
	for (int i = 0; i < 4; i++)
		head[i] = (uint8_t)(size >> (24 - 8 * i));
	at = malloc(4 + size);
	if (!at)
		raw_die("no memory");
	made[made_count].bytes = at;
	made[made_count].size = 4 + size;
	memcpy(at, head, 4 + writer_size(&writer));
	at += 4 + writer_size(&writer);
	for (size_t i = 0; i < count; i++) {
		memcpy(at, infos[i].bytes, infos[i].size);
		at += infos[i].size;
		free(infos[i].bytes);
	}
	printf("made %zu %zu\n", made_count, 4 + size);
}

static size_t parse_addresses(char *text, struct address out[MOST_ADDRESSES])
{
	size_t count = 0;
	char *rest = NULL;

	relays_count = 0;
	for (char *one = strtok_r(text, ",", &rest); one; one = strtok_r(NULL, ",", &rest))
		if (strstr(one, "://") && relays_count < MOST_RELAYS)
			relays[relays_count++] = one;
		else if (count == MOST_ADDRESSES || address_parse(one, &out[count++]))
			raw_die("no such address");
	return count;
}

void messages_make(const char *kind, size_t count, char *where, const char *argument)
{
	static struct address addresses[MOST_ADDRESSES];
	size_t addresses_count = parse_addresses(where, addresses), many = count;
	struct info_bytes *infos = calloc(count ? count : 1, sizeof *infos);
	struct id other;
	uint64_t us = unix_us();

	if (!infos)
		raw_die("no memory");
	if (strcmp(kind, "other") == 0) {
		if (hex_decode(argument, other.bytes, ID_SIZE))
			raw_die("no such node");
		make_info(infos, &raw_identity, &other, false, us, addresses, addresses_count);
		many = 1;
	} else if (strcmp(kind, "self") == 0) {
		for (size_t i = addresses_count; i < count && i < MOST_ADDRESSES; i++) {
			addresses[i] = addresses[0];
			addresses[i].port = (uint16_t)(addresses[0].port + i);
		}
		make_info(infos, &raw_identity, &raw_identity.id, false, us, addresses,
			count > addresses_count ? count : addresses_count);
		many = 1;
	} else {
		if (strcmp(kind, "late") == 0)
			us += strtoull(argument, NULL, 10) * 1000000;
		for (size_t i = 0; i < count; i++)
			make_stranger(
				&infos[i], strcmp(kind, "bad") == 0, us, addresses, addresses_count);
	}
	keep_nodes(infos, many);
	free(infos);
}

void messages_send(size_t stream, size_t number)
{
	if (number == 0 || number > made_count)
		raw_die("no such message");
	raw_send(stream, made[number].bytes, made[number].size);
}
