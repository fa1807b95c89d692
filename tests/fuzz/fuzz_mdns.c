/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Datagrams to an mDNS node under virtual time: a byte for its mode, then for each datagram
 * its size (u16), a delay (u8, of 20 ms) and its bytes. Whatever is found is announced by its
 * node and found again, the same.
 */
#include <stdlib.h>
#include <string.h>

#include "bridge/bytes/reader.h"
#include "bridge/discovery/mdns.h"

#define MS UINT64_C(1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct counters counters;

static struct mdns *new_mdns(const struct id *me, enum mdns_mode mode)
{
	static uint64_t seed = 1;
	struct random random = random_seeded(&seed);
	struct mdns *mdns;

	if (mdns_new(me, mode, &random, &counters, &mdns))
		abort();
	return mdns;
}

static void check_again(const struct id *node, const struct info *info)
{
	const struct info *const infos[ORDERS] = {info, info};
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	struct id somebody = {{0xaa}};
	struct mdns *there, *here;
	struct mdns_effect told, found;

	if (info_addresses(info, node, addresses) == LIMIT_ADDRESSES_PER_NODE ||
		id_equal(node, &somebody))
		return;
	there = new_mdns(node, MDNS_ACTIVE);
	here = new_mdns(&somebody, MDNS_PASSIVE);
	if (mdns_set_infos(there, MS, infos) == 0) {
		if (!mdns_effect(there, MS, &told) || told.type != MDNS_SEND)
			abort();
		mdns_receive(here, MS, told.packet, told.size);
		if (!mdns_effect(here, MS, &found) || found.type != MDNS_FOUND ||
			!id_equal(&found.node, node) || !info_equal(found.info, info))
			abort();
		info_free(found.info);
	}
	mdns_free(there);
	mdns_free(here);
}

static void take_effects(struct mdns *mdns, uint64_t now)
{
	struct mdns_effect effect;

	while (mdns_effect(mdns, now, &effect)) {
		if (effect.type == MDNS_SEND)
			continue;
		mdns_verified(mdns, now, &effect.node, effect.info->time.us % ORDERS);
		check_again(&effect.node, effect.info);
		info_free(effect.info);
	}
	if (mdns_deadline(mdns) <= now)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[IDENTITY_SECRET_SIZE] = {1};
	static struct identity identity;
	static struct info *info;
	struct address address = {.family = 4, .ip = {10, 0, 0, 1}, .port = 2022};
	uint64_t now = 1000 * MS, seed = 1;
	struct random random = random_seeded(&seed);
	struct reader reader;
	struct mdns *mdns;

	if (!info && (identity_from_secret(secret, &identity) ||
			     info_sign(&identity, (struct info_time){1, 0}, 0, NULL, &address, 1, &info)))
		abort();
	reader_init(&reader, data, size);
	if (mdns_new(&identity.id, reader_u8(&reader) & 1 ? MDNS_ACTIVE : MDNS_PASSIVE, &random,
		    &counters, &mdns) ||
		mdns_set_infos(mdns, now, (const struct info *const[]){info, info}))
		abort();
	while (reader_left(&reader) > 3) {
		size_t packet_size = reader_u16(&reader);
		uint64_t delay = reader_u8(&reader);
		const uint8_t *bytes;
		uint8_t *packet;

		if (packet_size > reader_left(&reader))
			packet_size = reader_left(&reader);
		bytes = reader_bytes(&reader, packet_size);
		packet = malloc(packet_size ? packet_size : 1);
		if (!packet)
			abort();
		if (packet_size)
			memcpy(packet, bytes, packet_size);
		now += delay * 20 * MS;
		mdns_receive(mdns, now, packet, packet_size);
		free(packet);
		take_effects(mdns, now);
	}
	mdns_free(mdns);
	return 0;
}
