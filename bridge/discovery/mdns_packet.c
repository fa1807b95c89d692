/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Packets are parsed with the C library's resolver (ns_parserr), which also compresses names
 * (dn_comp). c-ares' parser refuses what is normal in mDNS: answers without a question, several
 * questions, classes with the top bit set, compressed SRV targets.
 */
#include "mdns_packet.h"

#include <arpa/nameser.h>
#include <ctype.h>
#include <netinet/in.h>
#include <resolv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../bytes/base32.h"
#include "../error.h"
#include "../memory.h"
#include "mdns.h"

#define SERVICE	   "_p2pandav1._udp.local"
#define USER_DATA  "user-data="
#define RELAY	   "relay="
#define LABEL_SIZE BASE32_SIZE(ID_SIZE)
#define TTL	   120	  /* s; RFC 6762 10 */
#define CLASS_MASK 0x7fff /* the top bit is cache-flush or QU: RFC 6762 10.2, 5.4 */

/* --- making packets --- */

struct maker {
	struct writer writer;
	uint8_t bytes[MDNS_PACKET_SIZE];
	/* Where names begin, to which later names may point: dn_comp's list. */
	unsigned char *names[2 * LIMIT_ADDRESSES_PER_NODE + 4];
	uint8_t *length; /* of the record that is being written */
};

static void maker_begin(struct maker *maker, uint16_t flags, uint16_t questions, uint16_t answers,
	uint16_t additional)
{
	writer_init(&maker->writer, maker->bytes, sizeof maker->bytes);
	memset(maker->names, 0, sizeof maker->names);
	maker->names[0] = maker->bytes;
	writer_u16(&maker->writer, 0);
	writer_u16(&maker->writer, flags);
	writer_u16(&maker->writer, questions);
	writer_u16(&maker->writer, answers);
	writer_u16(&maker->writer, 0);
	writer_u16(&maker->writer, additional);
}

static void maker_name(struct maker *maker, const char *name)
{
	unsigned char **end = maker->names + sizeof maker->names / sizeof *maker->names;
	int size;

	if (maker->writer.error)
		return;
	size = dn_comp(name, maker->writer.at, (int)(maker->writer.end - maker->writer.at),
		maker->names, end);
	if (size < 0)
		maker->writer.error = ERROR_TOO_LARGE;
	else
		maker->writer.at += size;
}

/* Writes a name in full, as upstream does, but lets later names point to it. */
static void maker_full_name(struct maker *maker, const char *name)
{
	size_t names = 0;
	int size;

	if (maker->writer.error)
		return;
	size = dn_comp(
		name, maker->writer.at, (int)(maker->writer.end - maker->writer.at), NULL, NULL);
	while (maker->names[names])
		names++;
	if (size < 0 || names + 1 == sizeof maker->names / sizeof *maker->names) {
		maker->writer.error = ERROR_TOO_LARGE;
		return;
	}
	maker->names[names] = maker->writer.at;
	maker->writer.at += size;
}

static void maker_record(struct maker *maker, const char *name, uint16_t type)
{
	maker_name(maker, name);
	writer_u16(&maker->writer, type);
	writer_u16(&maker->writer, ns_c_in);
	writer_u32(&maker->writer, TTL);
	maker->length = maker->writer.at;
	writer_u16(&maker->writer, 0);
}

static void maker_record_end(struct maker *maker)
{
	size_t size = (size_t)(maker->writer.at - maker->length) - 2;

	if (maker->writer.error)
		return;
	maker->length[0] = (uint8_t)(size >> 8);
	maker->length[1] = (uint8_t)size;
}

static int maker_end(const struct maker *maker, struct mdns_packet *out)
{
	if (maker->writer.error)
		return maker->writer.error;
	out->size = writer_size(&maker->writer);
	out->bytes = memory_alloc(out->size);
	if (!out->bytes)
		return ERROR_NOMEM;
	memcpy(out->bytes, maker->bytes, out->size);
	return ERROR_NONE;
}

int mdns_packet_make_query(struct mdns_packet *out)
{
	struct maker maker;

	maker_begin(&maker, 0, 1, 0, 0);
	maker_name(&maker, SERVICE);
	writer_u16(&maker.writer, ns_t_ptr);
	writer_u16(&maker.writer, ns_c_in);
	return maker_end(&maker, out);
}

/* Tells whether an earlier address has the same port. */
static bool port_is_known(const struct address *addresses, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (addresses[i].port == addresses[at].port)
			return true;
	return false;
}

static void make_addresses(struct maker *maker, const char *target, const struct address *addresses,
	size_t count, uint16_t port)
{
	for (size_t i = 0; i < count; i++) {
		if (addresses[i].port != port)
			continue;
		maker_record(maker, target, addresses[i].family == 4 ? ns_t_a : ns_t_aaaa);
		writer_bytes(&maker->writer, addresses[i].ip, addresses[i].family == 4 ? 4 : 16);
		maker_record_end(maker);
	}
}

/* Writes iroh's own attribute for a relay (iroh src/address_lookup/mdns.rs). The relay is also in
 * user-data, for the signature. */
static void make_relay(struct maker *maker, const struct id *me, const struct info *info)
{
	size_t size, name = strlen(RELAY);
	const char *relay = info_relay(info, me, &size);

	if (!relay || name + size > UINT8_MAX)
		return;
	writer_u8(&maker->writer, (uint8_t)(name + size));
	writer_bytes(&maker->writer, RELAY, name);
	writer_bytes(&maker->writer, relay, size);
}

/* Writes PTR first, then SRV and TXT, as upstream does since 0.7; 0.6 does not mind the PTR. */
int mdns_packet_make_answer(const struct id *me, const struct info *info, struct mdns_packet *out)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t count = info_addresses(info, me, addresses);
	char label[LABEL_SIZE + 1], instance[MDNS_NAME_SIZE], target[MDNS_NAME_SIZE];
	char text[UINT8_MAX + 1] = USER_DATA;
	struct maker maker;
	uint16_t ports = 0;
	int error;

	error = info_encode_text(info, text + strlen(USER_DATA), sizeof text - strlen(USER_DATA));
	if (error)
		return error;
	for (size_t i = 0; i < count; i++)
		ports += !port_is_known(addresses, i);
	base32_encode(me->bytes, ID_SIZE, label);
	snprintf(instance, sizeof instance, "%s." SERVICE, label);
	maker_begin(&maker, 0x8400, 0, ports + 2, (uint16_t)count);
	maker_record(&maker, SERVICE, ns_t_ptr);
	maker_name(&maker, instance);
	maker_record_end(&maker);
	for (size_t i = 0; i < count; i++) {
		if (port_is_known(addresses, i))
			continue;
		snprintf(target, sizeof target, "%s-%u.local", label, addresses[i].port);
		maker_record(&maker, instance, ns_t_srv);
		writer_u32(&maker.writer, 0); /* priority, weight */
		writer_u16(&maker.writer, addresses[i].port);
		maker_full_name(&maker, target);
		maker_record_end(&maker);
	}
	maker_record(&maker, instance, ns_t_txt);
	make_relay(&maker, me, info);
	writer_u8(&maker.writer, (uint8_t)strlen(text));
	writer_bytes(&maker.writer, text, strlen(text));
	maker_record_end(&maker);
	for (size_t i = 0; i < count; i++) {
		if (port_is_known(addresses, i))
			continue;
		snprintf(target, sizeof target, "%s-%u.local", label, addresses[i].port);
		make_addresses(&maker, target, addresses, count, addresses[i].port);
	}
	return maker_end(&maker, out);
}

/* --- taking packets apart --- */

/* Tells whether name is <52 characters>.SERVICE; out is the node's id then. *bad becomes true if
 * the characters are not the id of a node. */
static bool is_instance(const char *name, struct id *out, bool *bad)
{
	char label[LABEL_SIZE];
	size_t size = strlen(name);

	if (size < strlen("." SERVICE) ||
		strcasecmp(name + size - strlen("." SERVICE), "." SERVICE) != 0)
		return false;
	size -= strlen("." SERVICE);
	for (size_t i = 0; i < size && i < LABEL_SIZE; i++)
		label[i] = (char)tolower((unsigned char)name[i]);
	if (size == LABEL_SIZE && base32_decode(label, out->bytes, ID_SIZE) == 0)
		return true;
	*bad = true;
	return false;
}

/* Returns the index of the instance with this id, which is added if it is new;
 * LIMIT_MDNS_INSTANCES: no room. */
static size_t instance_of(struct mdns_contents *contents, const struct id *id)
{
	size_t at = 0;

	while (at < contents->instances_count && !id_equal(&contents->instances[at].id, id))
		at++;
	if (at == LIMIT_MDNS_INSTANCES)
		contents->excess = true;
	else if (at == contents->instances_count)
		contents->instances[contents->instances_count++] =
			(struct mdns_instance){.id = *id};
	return at;
}

static struct mdns_record *new_record(struct mdns_contents *contents, uint16_t type)
{
	struct mdns_record *record;

	if (contents->records_count == LIMIT_MDNS_RECORDS) {
		contents->excess = true;
		return NULL;
	}
	record = &contents->records[contents->records_count++];
	memset(record, 0, offsetof(struct mdns_record, name));
	record->type = type;
	return record;
}

static void parse_srv(
	struct mdns_contents *contents, const ns_msg *message, const ns_rr *rr, size_t instance)
{
	struct mdns_record *record;

	if (ns_rr_rdlen(*rr) < 7) {
		contents->bad = true;
		return;
	}
	record = new_record(contents, ns_t_srv);
	if (!record)
		return;
	record->instance = instance;
	record->address.port = (uint16_t)ns_get16(ns_rr_rdata(*rr) + 4);
	/* The target ends with the record. */
	if (ns_name_uncompress(ns_msg_base(*message), ns_rr_rdata(*rr) + ns_rr_rdlen(*rr),
		    ns_rr_rdata(*rr) + 6, record->name, sizeof record->name) < 0) {
		contents->records_count--;
		contents->bad = true;
	}
}

static void parse_txt(
	struct mdns_contents *contents, const ns_rr *rr, struct mdns_instance *instance)
{
	struct reader reader;
	const uint8_t *string;
	uint8_t size;

	reader_init(&reader, ns_rr_rdata(*rr), ns_rr_rdlen(*rr));
	while (reader_left(&reader)) {
		size = reader_u8(&reader);
		string = reader_bytes(&reader, size);
		if (!string && size) {
			contents->bad = true;
			return;
		}
		/* RFC 6763 6.4: the first value of a key counts, the case of the key does not
		 * matter. */
		if (!instance->text && size >= strlen(USER_DATA) &&
			strncasecmp((const char *)string, USER_DATA, strlen(USER_DATA)) == 0) {
			instance->text = (const char *)string + strlen(USER_DATA);
			instance->text_size = size - strlen(USER_DATA);
		}
	}
}

static void parse_address(struct mdns_contents *contents, const ns_rr *rr)
{
	size_t size = ns_rr_type(*rr) == ns_t_a ? 4 : 16;
	struct mdns_record *record;

	/* No SRV record of ours has a longer target either. */
	if (ns_rr_rdlen(*rr) != size || strlen(ns_rr_name(*rr)) >= MDNS_NAME_SIZE)
		return;
	record = new_record(contents, ns_t_a);
	if (!record)
		return;
	record->address.family = size == 4 ? 4 : 6;
	memcpy(record->address.ip, ns_rr_rdata(*rr), size);
	strcpy(record->name, ns_rr_name(*rr));
}

static void parse_record(struct mdns_contents *contents, const ns_msg *message, const ns_rr *rr)
{
	struct id id;
	size_t instance;

	if ((ns_rr_class(*rr) & CLASS_MASK) != ns_c_in)
		return;
	switch (ns_rr_type(*rr)) {
	case ns_t_a:
	case ns_t_aaaa:
		parse_address(contents, rr);
		break;
	case ns_t_srv:
	case ns_t_txt:
		if (!is_instance(ns_rr_name(*rr), &id, &contents->bad))
			break;
		instance = instance_of(contents, &id);
		if (instance == LIMIT_MDNS_INSTANCES)
			break;
		if (ns_rr_type(*rr) == ns_t_srv)
			parse_srv(contents, message, rr, instance);
		else
			parse_txt(contents, rr, &contents->instances[instance]);
		break;
	default:
		break;
	}
}

/* Parses the records of an answer; returns false if the packet cannot be parsed. */
static bool parse_answer(struct mdns_contents *contents, ns_msg *message)
{
	static const ns_sect sections[] = {ns_s_an, ns_s_ar};
	ns_rr rr;

	for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
		for (int at = 0; at < ns_msg_count(*message, sections[i]); at++) {
			if (ns_parserr(message, sections[i], at, &rr) < 0)
				return false;
			parse_record(contents, message, &rr);
		}
	}
	return true;
}

static bool is_our_question(const struct id *me, const ns_rr *rr)
{
	bool bad = false;
	struct id id;

	if ((ns_rr_class(*rr) & CLASS_MASK) != ns_c_in &&
		(ns_rr_class(*rr) & CLASS_MASK) != ns_c_any)
		return false;
	if (strcasecmp(ns_rr_name(*rr), SERVICE) == 0)
		return ns_rr_type(*rr) == ns_t_ptr || ns_rr_type(*rr) == ns_t_any;
	return is_instance(ns_rr_name(*rr), &id, &bad) && id_equal(&id, me);
}

/* Parses the questions of a query; returns false if the packet cannot be parsed. */
static bool parse_query(struct mdns_contents *contents, ns_msg *message, const struct id *me)
{
	int count = ns_msg_count(*message, ns_s_qd);
	ns_rr rr;

	for (int i = 0; i < count && i < LIMIT_MDNS_RECORDS; i++) {
		if (ns_parserr(message, ns_s_qd, i, &rr) < 0)
			return false;
		if (is_our_question(me, &rr)) {
			contents->asked = true;
			break;
		}
	}
	return true;
}

/* Tells whether a packet names the service. The multicast group carries packets of all services:
 * only those of ours are worth a count. */
static bool names_service(const uint8_t *packet, size_t size)
{
	static const char label[] = "_p2pandav1";

	return memmem(packet, size, label, strlen(label)) != NULL;
}

void mdns_packet_parse(
	const uint8_t *packet, size_t size, const struct id *me, struct mdns_contents *out)
{
	ns_msg message;
	bool good;

	out->asked = out->bad = out->excess = false;
	out->records_count = out->instances_count = 0;
	good = size <= MDNS_PACKET_SIZE && ns_initparse(packet, (int)size, &message) == 0;
	if (good && !ns_msg_getflag(message, ns_f_qr))
		good = parse_query(out, &message, me);
	else if (good)
		good = parse_answer(out, &message);
	out->bad |= !good && names_service(packet, size);
	out->excess &= out->instances_count > 0;
	if (!good)
		out->instances_count = 0;
}

static bool insert(struct address *addresses, size_t *count, const struct address *address)
{
	size_t at = 0;

	while (at < *count && address_compare(&addresses[at], address) < 0)
		at++;
	if (at < *count && address_compare(&addresses[at], address) == 0)
		return true;
	if (*count == LIMIT_MDNS_ADDRESSES)
		return false;
	memmove(&addresses[at + 1], &addresses[at], (*count - at) * sizeof *addresses);
	addresses[at] = *address;
	++*count;
	return true;
}

/* Collects the addresses of an instance: each address whose name is the target of one of its SRV
 * records, with the port of that record; sorted. Returns false if there are too many (then the info
 * could not be valid). */
static bool addresses_of(
	const struct mdns_contents *contents, size_t instance, struct address *out, size_t *count)
{
	const struct mdns_record *srv, *record;
	struct address address;

	*count = 0;
	for (size_t i = 0; i < contents->records_count; i++) {
		srv = &contents->records[i];
		if (srv->type != ns_t_srv || srv->instance != instance)
			continue;
		for (size_t j = 0; j < contents->records_count; j++) {
			record = &contents->records[j];
			if (record->type == ns_t_srv || strcasecmp(record->name, srv->name) != 0)
				continue;
			address = record->address;
			address.port = srv->address.port;
			if (!insert(out, count, &address))
				return false;
		}
	}
	return true;
}

int mdns_packet_decode_info(const struct mdns_contents *contents, size_t at, struct info **out)
{
	const struct mdns_instance *instance = &contents->instances[at];
	struct address addresses[LIMIT_MDNS_ADDRESSES];
	size_t count;

	*out = NULL;
	/* An instance without user-data is none of p2panda. */
	if (!instance->text)
		return ERROR_NONE;
	if (!addresses_of(contents, at, addresses, &count))
		return ERROR_LIMIT;
	if (count == 0)
		return ERROR_NONE;
	return info_decode_text(
		instance->text, instance->text_size, &instance->id, addresses, count, out);
}
