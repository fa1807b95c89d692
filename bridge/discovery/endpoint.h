/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One address of a transport info: TransportAddress::Iroh(EndpointAddr{id, addrs})
 * (p2panda-net src/addrs.rs, iroh-base src/endpoint_addr.rs), in both codecs. addrs is a
 * BTreeSet: what is read is sorted and without duplicates, as it is in whoever checks the
 * signature over it. Internal to discovery. Any thread.
 */
#ifndef BRIDGE_DISCOVERY_ENDPOINT_H
#define BRIDGE_DISCOVERY_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../address.h"
#include "../bytes/reader.h"
#include "../bytes/writer.h"
#include "../id.h"

/* As many fit into INFO_ADDRESSES_SIZE, nearly: the shortest take 15 bytes. */
#define ENDPOINT_TRANSPORTS 128

/* TransportAddr, in its order. */
enum transport_type {
	TRANSPORT_RELAY,
	TRANSPORT_IP,
	TRANSPORT_CUSTOM,
	/* The same as iroh 0.98 writes it in CBOR: how it keeps the data in memory shows. Only
	 * its own generation can read it, so it is kept as it is. */
	TRANSPORT_CUSTOM_06,
};

struct transport {
	enum transport_type type;
	struct address address; /* IP */
	uint64_t custom;	/* CUSTOM: which transport */
	const uint8_t *data;	/* RELAY: URL, CUSTOM: address, CUSTOM_06: a CBOR map. A view */
	size_t size;
};

struct endpoint {
	struct id id;
	size_t count;
	struct transport transports[ENDPOINT_TRANSPORTS];
};

/* False: no room. */
bool endpoint_add(struct endpoint *endpoint, const struct transport *transport);

/* The reader's error: ERROR_TRUNCATED, ERROR_INVALID, ERROR_TOO_LARGE. */
void endpoint_read_cbor(struct reader *reader, struct endpoint *endpoint);
void endpoint_read_postcard(struct reader *reader, struct endpoint *endpoint);
/* Without CUSTOM_06, which postcard has no way to say: ask endpoint_has first. */
void endpoint_write_cbor(const struct endpoint *endpoint, struct writer *writer);
void endpoint_write_postcard(const struct endpoint *endpoint, struct writer *writer);

bool endpoint_has(const struct endpoint *endpoint, enum transport_type type);

/* Whether the crate url, which reads it and writes it again before the signature is checked,
 * certainly leaves it as it is: http or https, an ordinary host name or IPv4 address, a port
 * that is not the scheme's own, a simple path. Relays do look like this. */
bool endpoint_relay_is_plain(const uint8_t *url, size_t size);

#endif
