/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Transport info: the addresses of a node, signed by the node (p2panda-net src/addrs.rs,
 * AuthenticatedTransportInfo). The signed bytes are CBOR in every generation; the order of the two
 * signed keys differs, so that an info of one order is invalid in the other. On the wire an info is
 * CBOR in 0.6 and postcard in 0.7.
 *
 * An info is immutable once made, and has one owner, who calls info_free. Threads: any, one at a
 * time.
 */
#ifndef BRIDGE_DISCOVERY_INFO_H
#define BRIDGE_DISCOVERY_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../address.h"
#include "../bytes/reader.h"
#include "../bytes/writer.h"
#include "../id.h"
#include "../identity.h"
#include "../limits.h"
#include "../relay_url.h"

/* The dialect of a peer: the codec of its sessions and the order of its signatures. */
enum dialect {
	DIALECT_UNKNOWN,
	DIALECT_06,  /* CBOR; timestamp, addresses. 0.5 speaks it, too (dialect_cbor.c) */
	DIALECT_07,  /* postcard; timestamp, addresses */
	DIALECT_071, /* postcard; addresses, timestamp */
};

/* The order of the signed keys. */
enum info_order {
	ORDER_TIMESTAMP_FIRST, /* p2panda-core 0.6.1, 0.7.0 */
	ORDER_ADDRESSES_FIRST, /* p2panda-core 0.7.1 */
	ORDERS
};

/* Returns the order of the signatures of a known dialect. */
static inline enum info_order dialect_order(enum dialect dialect)
{
	return dialect == DIALECT_071 ? ORDER_ADDRESSES_FIRST : ORDER_TIMESTAMP_FIRST;
}

/* Unix microseconds and the logical counter (HybridTimestamp), compared in this order. */
struct info_time {
	uint64_t us;
	uint64_t logical;
};

static inline int info_time_compare(struct info_time a, struct info_time b)
{
	if (a.us != b.us)
		return a.us < b.us ? -1 : 1;
	return a.logical < b.logical ? -1 : a.logical > b.logical;
}

/* The most bytes that the addresses of one info may take in CBOR; a longer info is refused
 * (ERROR_TOO_LARGE). 16 addresses and a relay or two fit several times. */
#define INFO_ADDRESSES_SIZE 2048

struct info {
	struct info_time time;
	/* Set by info_verify, info_sign and info_copy; before that, what the bytes suggest: the
	 * order of the keys in CBOR, otherwise ORDER_TIMESTAMP_FIRST. */
	enum info_order order;
	uint8_t signature[IDENTITY_SIGNATURE_SIZE];
	/* The addresses in CBOR, as they are signed: an array of TransportAddress, with relays and
	 * other transports that we cannot use, so that the info can be passed on. Whatever the form
	 * in which the addresses came, they are kept as p2panda would write them: sorted, without
	 * duplicates, shortest integers. */
	size_t size;
	uint8_t addresses[];
};

/* Makes a new info of ours, signed, over the relay that we are at (NULL: none) and at most
 * LIMIT_ADDRESSES_PER_NODE of these addresses. They are sorted and made free of duplicates as in a
 * BTreeSet<TransportAddr>. ERROR_NOMEM, ERROR_TLS. */
int info_sign(const struct identity *identity, struct info_time time, enum info_order order,
	const struct relay_url *relay, const struct address *addresses, size_t count,
	struct info **out);

struct info *info_copy(const struct info *info); /* NULL when there is no memory */
void info_free(struct info *info);		 /* NULL is fine */
/* Tells whether two infos have the same time, addresses and signature. */
bool info_equal(const struct info *a, const struct info *b);

/* Tells whether a peer that speaks dialect (a known one) certainly accepts node's verified info: a
 * single info that the peer cannot decode or verify costs the whole session, and an info may be
 * made for just that. These are not sent: an info of the other order; one that names other nodes;
 * one with a relay that p2panda might spell in another way; one with a custom transport, which iroh
 * writes in another way since 1.1, and 0.7 may have any iroh 1.x. */
bool info_suits(const struct info *info, const struct id *node, enum dialect dialect);

/* Verifies that node has signed the info: tries the order first, then the other one, and sets
 * info->order to the one that is valid. ERROR_INVALID (neither is valid), ERROR_TLS. Takes about
 * 0.1 ms. */
int info_verify(struct info *info, const struct id *node, enum info_order first);

/* Writes to out the IP addresses that the info has for node (an info may only name its own node:
 * other nodes' addresses are left out); returns how many, at most LIMIT_ADDRESSES_PER_NODE. */
size_t info_addresses(const struct info *info, const struct id *node,
	struct address out[LIMIT_ADDRESSES_PER_NODE]);

/* Returns the URL of the relay at which node says that it is, the first one in the info: a view
 * into the info, of bytes that are not checked. NULL: there is none. */
const char *info_relay(const struct info *info, const struct id *node, size_t *size);

/* Reads one AuthenticatedTransportInfo, the form on the wire (an info may also be kept on disk in
 * it). Takes exactly one info and leaves the reader behind it. ERROR_TRUNCATED (more bytes are
 * needed), ERROR_INVALID, ERROR_TOO_LARGE, ERROR_NOMEM. */
int info_decode_cbor(struct reader *reader, struct info **out);
int info_decode_postcard(struct reader *reader, struct info **out);
/* Writes one AuthenticatedTransportInfo; the writer's error says whether it fitted. info_suits says
 * to which peers the info can be sent. */
void info_encode_cbor(const struct info *info, struct writer *writer);
void info_encode_postcard(const struct info *info, struct writer *writer);

/* Writes or reads the value of the attribute "user-data" in an mDNS TXT record, without the key:
 * <signature hex>|<us>/<logical>[|<relay url>]. The addresses come from other records.
 * ERROR_INVALID, ERROR_TOO_LARGE, ERROR_NOMEM. */
int info_encode_text(const struct info *info, char *out, size_t size);
int info_decode_text(const char *text, size_t text_size, const struct id *node,
	const struct address *addresses, size_t count, struct info **out);

#endif
