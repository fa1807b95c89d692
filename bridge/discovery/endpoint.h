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
	/* The same as iroh before 1.1 writes it (n0-computer/iroh#4465): how it keeps the data in
	 * memory shows. Of use to nobody else, so it is kept as it is, in CBOR. */
	TRANSPORT_CUSTOM_OLD,
};

struct transport {
	enum transport_type type;
	struct address address; /* IP */
	uint64_t custom;	/* CUSTOM: which transport */
	const uint8_t *data;	/* RELAY: URL, CUSTOM: address, CUSTOM_OLD: a CBOR map. A view */
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
/* postcard: without CUSTOM_OLD. */
void endpoint_write_cbor(const struct endpoint *endpoint, struct writer *writer);
void endpoint_write_postcard(const struct endpoint *endpoint, struct writer *writer);

/* Whether the crate url, which reads it and writes it again before the signature is checked,
 * certainly leaves it as it is: http or https, an ordinary host name or IPv4 address, a port
 * that is not the scheme's own, a simple path. Relays do look like this. */
bool endpoint_relay_is_plain(const uint8_t *url, size_t size);

#endif
