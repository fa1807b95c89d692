/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The packets of mDNS: DNS messages (RFC 1035, RFC 6762) with a service's records (RFC 6763), as
 * far as upstream uses them (crate swarm-discovery, src/receiver.rs and src/sender.rs; for the
 * attribute user-data see info.h). Internal to discovery. This of upstream's behaviour matters
 * here:
 *
 * - It takes SRV and TXT from the answers, A and AAAA from the additional records, and joins
 *   them where an address's name is a SRV's target: every such pair is an address of the node.
 *   An info is valid only with exactly these addresses, so each port has a target of its own.
 * - Of a packet with a question for the service it reads nothing else. It reads 1472 bytes.
 * - It refuses records whose class has mDNS's cache-flush bit, so we never set this bit.
 *
 * The caller owns a packet that was made, and frees its bytes (memory_free). The parsed contents
 * point into the packet and allocate nothing; a struct mdns_contents is of a fixed size (some
 * 40 kB, for the stack), and contents beyond its limits are left out and marked. Packets that are
 * made have at most MDNS_PACKET_SIZE bytes, longer ones are not parsed. Any thread.
 */
#ifndef BRIDGE_DISCOVERY_MDNS_PACKET_H
#define BRIDGE_DISCOVERY_MDNS_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../address.h"
#include "../id.h"
#include "../limits.h"
#include "info.h"

#define MDNS_NAME_SIZE 256

struct mdns_packet {
	uint8_t *bytes;
	size_t size;
};

/* Makes the question for all nodes. ERROR_NOMEM; after an error out must not be used. */
int mdns_packet_make_query(struct mdns_packet *out);
/* Makes the answer with me's info. ERROR_INVALID, ERROR_TOO_LARGE (info_encode_text; or the
 * packet), ERROR_NOMEM; after an error out must not be used, and holds nothing to be freed. */
int mdns_packet_make_answer(const struct id *me, const struct info *info, struct mdns_packet *out);

struct mdns_record {
	uint16_t type;
	size_t instance;	   /* of SRV */
	struct address address;	   /* of A and AAAA; the port of SRV */
	char name[MDNS_NAME_SIZE]; /* of A and AAAA; the target of SRV */
};

struct mdns_instance {
	struct id id;
	const char *text; /* the value of user-data, within the packet; NULL: none */
	size_t text_size;
};

/* The contents of a packet: a query asks, an answer has instances. */
struct mdns_contents {
	bool asked;  /* there is a question for all nodes or for me */
	bool bad;    /* a part of the service could not be understood */
	bool excess; /* a part of the service was beyond a limit */
	size_t records_count, instances_count;
	struct mdns_record records[LIMIT_MDNS_RECORDS];
	struct mdns_instance instances[LIMIT_MDNS_INSTANCES];
};

/* Parses a packet. me: the node whose instance may be asked for. A packet that cannot be parsed has
 * no instances, and is bad only if it names the service: packets of other services are neither bad
 * nor excess. */
void mdns_packet_parse(
	const uint8_t *packet, size_t size, const struct id *me, struct mdns_contents *out);
/* Makes the info of an instance, which the caller owns; its signature is NOT verified. *out is
 * NULL, without an error, if there is no address or no user-data. ERROR_LIMIT (more addresses than
 * LIMIT_MDNS_ADDRESSES), ERROR_INVALID, ERROR_TOO_LARGE, ERROR_NOMEM. */
int mdns_packet_decode_info(const struct mdns_contents *contents, size_t at, struct info **out);

#endif
