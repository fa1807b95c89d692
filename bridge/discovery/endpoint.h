/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One address of a transport info: TransportAddress::Iroh(EndpointAddr{id, addrs}) (p2panda-net
 * src/addrs.rs, iroh-base src/endpoint_addr.rs), in both codecs. addrs is a BTreeSet: the
 * transports that are read are sorted and made free of duplicates, as in the nodes that check the
 * signature over them. Internal to discovery. Any thread.
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

/* The most transports of one address. Nearly as many fit into INFO_ADDRESSES_SIZE: the shortest
 * take 15 bytes. */
#define ENDPOINT_TRANSPORTS 128

/* The types of TransportAddr, in the order of the Rust enum. */
enum transport_type {
	TRANSPORT_RELAY,
	TRANSPORT_IP,
	TRANSPORT_CUSTOM,
	/* A custom transport as iroh before 1.1 writes it (n0-computer/iroh#4465): the encoding
	 * shows how iroh keeps the data in memory. No other node can use such a transport, so it is
	 * kept as it is, in CBOR. */
	TRANSPORT_CUSTOM_OLD,
};

struct transport {
	enum transport_type type;
	struct address address; /* IP */
	uint64_t custom;	/* CUSTOM: the number of the transport */
	const uint8_t *data;	/* RELAY: URL, CUSTOM: address, CUSTOM_OLD: a CBOR map. A view */
	size_t size;
};

struct endpoint {
	struct id id;
	size_t count;
	struct transport transports[ENDPOINT_TRANSPORTS];
};

/* Adds a transport at its place in the order, unless it is there already; returns false when there
 * is no room. */
bool endpoint_add(struct endpoint *endpoint, const struct transport *transport);

/* Reads an address. On failure the reader has ERROR_TRUNCATED, ERROR_INVALID or ERROR_TOO_LARGE. */
void endpoint_read_cbor(struct reader *reader, struct endpoint *endpoint);
void endpoint_read_postcard(struct reader *reader, struct endpoint *endpoint);
/* Writes an address; postcard without the transports of type TRANSPORT_CUSTOM_OLD. */
void endpoint_write_cbor(const struct endpoint *endpoint, struct writer *writer);
void endpoint_write_postcard(const struct endpoint *endpoint, struct writer *writer);

/* Tells whether the Rust crate url certainly leaves the URL of a relay as it is; other nodes read
 * and write the URL with that crate before they check the signature. Such a URL has http or https,
 * an ordinary host name or IPv4 address, a port that is not the scheme's own, and a simple path.
 * Relays do have such URLs. */
bool endpoint_relay_is_plain(const uint8_t *url, size_t size);

#endif
