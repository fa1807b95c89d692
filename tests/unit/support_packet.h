/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * mDNS packets by hand, right and wrong ones: nothing is compressed, and nobody minds what
 * does not fit together. The writer's error says whether all of it fitted.
 */
#ifndef TESTS_UNIT_SUPPORT_PACKET_H
#define TESTS_UNIT_SUPPORT_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include "bridge/bytes/writer.h"
#include "bridge/discovery/mdns.h"
#include "bridge/id.h"

#define SERVICE "_p2pandav1._udp.local"

struct packet {
	struct writer writer;
	uint8_t bytes[MDNS_PACKET_SIZE];
};

/* The counts are what the header says. */
void packet_begin(struct packet *packet, unsigned flags, unsigned questions, unsigned answers,
	unsigned additional);
void packet_name(struct packet *packet, const char *name);
void packet_question(struct packet *packet, const char *name, unsigned type, unsigned class);
void packet_record(struct packet *packet, const char *name, unsigned type, unsigned class,
	const void *data, size_t size);
void packet_srv(
	struct packet *packet, const char *name, unsigned class, unsigned port, const char *target);
/* Two strings: the first as it is, then text as user-data. */
void packet_txt(struct packet *packet, const char *name, unsigned class, const char *first,
	const char *text);

/* The name of a node's SRV and TXT. */
void packet_instance_name(const struct id *id, char name[128]);

#endif
