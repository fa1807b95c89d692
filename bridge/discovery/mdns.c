/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What upstream does is in the crate swarm-discovery (src/receiver.rs, src/sender.rs) and in
 * iroh's mDNS address look-up. What of it matters here:
 *
 * - It takes SRV and TXT from the answers, A and AAAA from the additional records, and joins
 *   them where an address's name is a SRV's target: every such pair is an address of the node.
 *   An info is valid only with exactly these, so each port has a target of its own.
 * - Of a packet with a question for the service it reads nothing else. It reads 1472 bytes.
 * - It refuses records whose class has mDNS's cache-flush bit, so we set none.
 * - Of several TXT records of a node in one packet the first counts. But every packet counts
 *   anew, so two packets in turn tell both signatures: the one that is invalid for it costs
 *   the receiver a line in its log ("found invalid transport info"). So a signature of an
 *   order is told as long as somebody around may need it, not longer: wanted_orders.
 * - It asks every 0.7 to 0.9 s for ever, and all nodes together are to answer some three times
 *   a second: who has heard two answers keeps quiet. We keep our share of that by answering
 *   the less often the more nodes there are: gap.
 *
 * The C library's resolver takes packets apart (ns_parserr) and compresses names (dn_comp).
 * c-ares' parser refuses what mDNS is made of: answers without a question, several questions,
 * classes with the top bit set, compressed SRV targets.
 */
#include "mdns.h"

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
#include "../keyed.h"

#define MS UINT64_C(1000000)

#define SERVICE	   "_p2pandav1._udp.local"
#define USER_DATA  "user-data="
#define LABEL_SIZE BASE32_SIZE(ID_SIZE)
#define TTL	   120 /* s; RFC 6762 10 */
#define CLASS_MASK 0x7fff /* the top bit is cache-flush or QU: RFC 6762 10.2, 5.4 */

#define JITTER_LEAST (20 * MS) /* RFC 6762 6 */
#define JITTER_MOST  (120 * MS)
#define GAP_LEAST    (1000 * MS) /* between two answers of ours */
#define GAP_PER_NODE (500 * MS)
#define GAP_MOST     (10000 * MS)
#define QUERY_FIRST  (700 * MS) /* upstream's cadence */
#define QUERY_MOST   (30000 * MS)
#define QUERIES_FAST 3 /* after news, before the interval doubles */
#define ANNOUNCEMENTS 2 /* RFC 6762 8.3 */

#define REPORT_AGAIN (60000 * MS)  /* the same info of the same node */
#define FORGET	     (150000 * MS) /* more than two reports */

#define NAME_SIZE 256

struct seen {
	struct info *info;
	uint64_t reported; /* when */
};

struct node {
	struct id id;
	uint64_t heard;
	/* The newest first; a node that tells both orders has two at a time. */
	struct seen seen[ORDERS];
	uint64_t verified[ORDERS]; /* when; 0: never */
	UT_hash_handle hh;
};

struct found {
	struct id node;
	struct info *info;
};

struct packet {
	uint8_t *bytes;
	size_t size;
};

struct mdns {
	struct id me;
	enum mdns_mode mode;
	struct random random;
	struct counters *counters;
	struct keyed keyed;
	struct node *nodes; /* the one known longest first */

	struct info *infos[ORDERS];
	struct packet answers[ORDERS];
	struct packet query;

	uint64_t answer_due;
	uint64_t answered; /* when */
	bool has_answered;
	bool put_off;	   /* the answer is later than it would be without the gap */
	bool news;	   /* since the last answer: somebody may wait for it */
	unsigned announce; /* unsolicited answers still to be sent, all orders */
	unsigned sending;  /* the orders that are due now, one bit each */

	uint64_t query_due;
	unsigned queries; /* since the last news */

	struct found found[LIMIT_MDNS_INSTANCES];
	size_t found_at, found_count;
	uint64_t second; /* since when found_in_second is counted */
	unsigned found_in_second;
};

/* --- making packets --- */

struct maker {
	struct writer writer;
	uint8_t bytes[MDNS_PACKET_SIZE];
	/* Where names begin, for those that follow: dn_comp's list. */
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

/* As upstream has it: in full, but others may point to it. */
static void maker_full_name(struct maker *maker, const char *name)
{
	size_t names = 0;
	int size;

	if (maker->writer.error)
		return;
	size = dn_comp(name, maker->writer.at, (int)(maker->writer.end - maker->writer.at), NULL,
		NULL);
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

static int maker_end(const struct maker *maker, struct packet *out)
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

static int make_query(struct packet *out)
{
	struct maker maker;

	maker_begin(&maker, 0, 1, 0, 0);
	maker_name(&maker, SERVICE);
	writer_u16(&maker.writer, ns_t_ptr);
	writer_u16(&maker.writer, ns_c_in);
	return maker_end(&maker, out);
}

/* Whether an address before it has the same port. */
static bool port_is_known(const struct address *addresses, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (addresses[i].port == addresses[at].port)
			return true;
	return false;
}

static void make_addresses(struct maker *maker, const char *target,
	const struct address *addresses, size_t count, uint16_t port)
{
	for (size_t i = 0; i < count; i++) {
		if (addresses[i].port != port)
			continue;
		maker_record(maker, target, addresses[i].family == 4 ? ns_t_a : ns_t_aaaa);
		writer_bytes(&maker->writer, addresses[i].ip, addresses[i].family == 4 ? 4 : 16);
		maker_record_end(maker);
	}
}

/* PTR first, then SRV and TXT, as upstream since 0.7; 0.6 does not mind the PTR. */
static int make_answer(const struct id *me, const struct info *info, struct packet *out)
{
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	size_t count = info_addresses(info, me, addresses);
	char label[LABEL_SIZE + 1], instance[NAME_SIZE], target[NAME_SIZE];
	char text[UINT8_MAX + 1] = USER_DATA;
	struct maker maker;
	uint16_t ports = 0;
	int error;

	error = info_encode_text(
		info, text + strlen(USER_DATA), sizeof text - strlen(USER_DATA));
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

struct record {
	uint16_t type;
	size_t instance;	/* of SRV */
	struct address address; /* of A and AAAA; the port of SRV */
	char name[NAME_SIZE];	/* of A and AAAA; the target of SRV */
};

struct instance {
	struct id id;
	const char *text; /* user-data's value; NULL: there was none */
	size_t text_size;
};

struct parser {
	ns_msg message;
	bool bad;    /* something of the service could not be understood */
	bool excess; /* or was beyond a limit */
	size_t records_count, instances_count;
	struct record records[LIMIT_MDNS_RECORDS];
	struct instance instances[LIMIT_MDNS_INSTANCES];
};

/* Whether name is <52 characters>.SERVICE, and whose; *bad if these are no node's id. */
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

/* LIMIT_MDNS_INSTANCES: no room. */
static size_t instance_of(struct parser *parser, const struct id *id)
{
	size_t at = 0;

	while (at < parser->instances_count && !id_equal(&parser->instances[at].id, id))
		at++;
	if (at == LIMIT_MDNS_INSTANCES)
		parser->excess = true;
	else if (at == parser->instances_count)
		parser->instances[parser->instances_count++] = (struct instance){.id = *id};
	return at;
}

static struct record *new_record(struct parser *parser, uint16_t type)
{
	struct record *record;

	if (parser->records_count == LIMIT_MDNS_RECORDS) {
		parser->excess = true;
		return NULL;
	}
	record = &parser->records[parser->records_count++];
	memset(record, 0, offsetof(struct record, name));
	record->type = type;
	return record;
}

static void parse_srv(struct parser *parser, const ns_rr *rr, size_t instance)
{
	struct record *record;

	if (ns_rr_rdlen(*rr) < 7) {
		parser->bad = true;
		return;
	}
	record = new_record(parser, ns_t_srv);
	if (!record)
		return;
	record->instance = instance;
	record->address.port = (uint16_t)ns_get16(ns_rr_rdata(*rr) + 4);
	/* The target ends with the record. */
	if (ns_name_uncompress(ns_msg_base(parser->message), ns_rr_rdata(*rr) + ns_rr_rdlen(*rr),
		    ns_rr_rdata(*rr) + 6, record->name, sizeof record->name) < 0) {
		parser->records_count--;
		parser->bad = true;
	}
}

static void parse_txt(struct parser *parser, const ns_rr *rr, struct instance *instance)
{
	struct reader reader;
	const uint8_t *string;
	uint8_t size;

	reader_init(&reader, ns_rr_rdata(*rr), ns_rr_rdlen(*rr));
	while (reader_left(&reader)) {
		size = reader_u8(&reader);
		string = reader_bytes(&reader, size);
		if (!string && size) {
			parser->bad = true;
			return;
		}
		/* RFC 6763 6.4: the first of a key counts, its case does not matter. */
		if (!instance->text && size >= strlen(USER_DATA) &&
			strncasecmp((const char *)string, USER_DATA, strlen(USER_DATA)) == 0) {
			instance->text = (const char *)string + strlen(USER_DATA);
			instance->text_size = size - strlen(USER_DATA);
		}
	}
}

static void parse_address(struct parser *parser, const ns_rr *rr)
{
	size_t size = ns_rr_type(*rr) == ns_t_a ? 4 : 16;
	struct record *record;

	/* Targets that are longer are in no SRV of ours either. */
	if (ns_rr_rdlen(*rr) != size || strlen(ns_rr_name(*rr)) >= NAME_SIZE)
		return;
	record = new_record(parser, ns_t_a);
	if (!record)
		return;
	record->address.family = size == 4 ? 4 : 6;
	memcpy(record->address.ip, ns_rr_rdata(*rr), size);
	strcpy(record->name, ns_rr_name(*rr));
}

static void parse_record(struct parser *parser, const ns_rr *rr)
{
	struct id id;
	size_t instance;

	if ((ns_rr_class(*rr) & CLASS_MASK) != ns_c_in)
		return;
	switch (ns_rr_type(*rr)) {
	case ns_t_a:
	case ns_t_aaaa:
		parse_address(parser, rr);
		break;
	case ns_t_srv:
	case ns_t_txt:
		if (!is_instance(ns_rr_name(*rr), &id, &parser->bad))
			break;
		instance = instance_of(parser, &id);
		if (instance == LIMIT_MDNS_INSTANCES)
			break;
		if (ns_rr_type(*rr) == ns_t_srv)
			parse_srv(parser, rr, instance);
		else
			parse_txt(parser, rr, &parser->instances[instance]);
		break;
	default:
		break;
	}
}

/* False: it cannot be taken apart. */
static bool parse_answer(struct parser *parser)
{
	static const ns_sect sections[] = {ns_s_an, ns_s_ar};
	ns_rr rr;

	for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
		for (int at = 0; at < ns_msg_count(parser->message, sections[i]); at++) {
			if (ns_parserr(&parser->message, sections[i], at, &rr) < 0)
				return false;
			parse_record(parser, &rr);
		}
	}
	return true;
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

/* Where an instance is: each address whose name is the target of one of its SRV records, with
 * its port; sorted. False: too many (then the info could not be valid). */
static bool addresses_of(const struct parser *parser, size_t instance, struct address *out,
	size_t *count)
{
	const struct record *srv, *record;
	struct address address;

	*count = 0;
	for (size_t i = 0; i < parser->records_count; i++) {
		srv = &parser->records[i];
		if (srv->type != ns_t_srv || srv->instance != instance)
			continue;
		for (size_t j = 0; j < parser->records_count; j++) {
			record = &parser->records[j];
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

/* --- nodes --- */

static void forget(struct mdns *mdns, struct node *node)
{
	HASH_DELETE(hh, mdns->nodes, node);
	for (size_t i = 0; i < ORDERS; i++)
		info_free(node->seen[i].info);
	memory_free(node);
}

static struct node *find_node(const struct mdns *mdns, const struct id *id)
{
	struct node *node;

	HASH_FIND_BYHASHVALUE(
		hh, mdns->nodes, id, sizeof *id, keyed_hash(&mdns->keyed, id, sizeof *id), node);
	return node;
}

/* NULL: no memory. */
static struct node *new_node(struct mdns *mdns, const struct id *id)
{
	struct node *node;

	if (HASH_COUNT(mdns->nodes) >= LIMIT_MDNS_NODES)
		forget(mdns, mdns->nodes);
	node = memory_zalloc(sizeof *node);
	if (!node)
		return NULL;
	node->id = *id;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, mdns->nodes, &node->id, sizeof node->id,
		keyed_hash(&mdns->keyed, &node->id, sizeof node->id), node);
	if (!node->hh.tbl) {
		memory_free(node);
		return NULL;
	}
	mdns->news = true;
	mdns->queries = 0;
	return node;
}

static bool was_verified(const struct node *node, enum info_order order, uint64_t now)
{
	return node->verified[order] && now - node->verified[order] < FORGET;
}

/* Which orders to tell, one bit each: those of nodes that tell one order themselves, thus
 * understand no other. A node that tells both is one of us and takes either. Before any is
 * known, both. */
static unsigned wanted_orders(const struct mdns *mdns, uint64_t now)
{
	const unsigned all = (1u << ORDERS) - 1;
	unsigned wanted = 0, orders;

	for (const struct node *node = mdns->nodes; node; node = node->hh.next) {
		orders = 0;
		for (unsigned i = 0; i < ORDERS; i++)
			orders |= (unsigned)was_verified(node, i, now) << i;
		if (orders != all)
			wanted |= orders;
	}
	return wanted && !mdns->announce ? wanted : all;
}

static void forget_old(struct mdns *mdns, uint64_t now)
{
	struct node *node, *next;

	HASH_ITER (hh, mdns->nodes, node, next)
		if (now - node->heard >= FORGET)
			forget(mdns, node);
}

/* --- life --- */

int mdns_new(const struct id *me, enum mdns_mode mode, const struct random *random,
	struct counters *counters, struct mdns **out)
{
	struct mdns *mdns = memory_zalloc(sizeof *mdns);
	int error;

	if (!mdns)
		return ERROR_NOMEM;
	mdns->me = *me;
	mdns->mode = mode;
	mdns->random = *random;
	mdns->counters = counters;
	mdns->answer_due = UINT64_MAX;
	mdns->query_due = mode == MDNS_ACTIVE ? 0 : UINT64_MAX;
	keyed_init(&mdns->keyed, random);
	error = make_query(&mdns->query);
	if (error)
		mdns_free(mdns);
	else
		*out = mdns;
	return error;
}

void mdns_free(struct mdns *mdns)
{
	struct node *node, *next;

	if (!mdns)
		return;
	HASH_ITER (hh, mdns->nodes, node, next)
		forget(mdns, node);
	for (size_t i = 0; i < ORDERS; i++) {
		info_free(mdns->infos[i]);
		memory_free(mdns->answers[i].bytes);
	}
	while (mdns->found_at < mdns->found_count)
		info_free(mdns->found[mdns->found_at++].info);
	memory_free(mdns->query.bytes);
	memory_free(mdns);
}

static bool same(const struct info *a, const struct info *b)
{
	return a && b ? info_equal(a, b) : a == b;
}

static bool has_answers(const struct mdns *mdns)
{
	for (size_t i = 0; i < ORDERS; i++)
		if (mdns->answers[i].bytes)
			return true;
	return false;
}

/* How long to be quiet after an answer. */
static uint64_t gap(const struct mdns *mdns)
{
	uint64_t gap = HASH_COUNT(mdns->nodes) * GAP_PER_NODE;

	if (mdns->news || gap < GAP_LEAST)
		return GAP_LEAST;
	return gap > GAP_MOST ? GAP_MOST : gap;
}

static void set_answer(struct mdns *mdns, uint64_t wish)
{
	uint64_t due = wish;

	if (mdns->has_answered && mdns->answered + gap(mdns) > due)
		due = mdns->answered + gap(mdns);
	if (due >= mdns->answer_due)
		return;
	mdns->answer_due = due;
	mdns->put_off = due > wish;
}

int mdns_set_infos(struct mdns *mdns, uint64_t now, const struct info *const infos[ORDERS])
{
	struct info *copies[ORDERS] = {NULL};
	struct packet answers[ORDERS] = {{NULL, 0}};
	bool changed = false;
	int error = ERROR_NONE;

	for (size_t i = 0; i < ORDERS; i++)
		changed |= !same(mdns->infos[i], infos[i]);
	if (!changed)
		return ERROR_NONE;
	for (size_t i = 0; i < ORDERS && !error; i++) {
		if (!infos[i])
			continue;
		copies[i] = info_copy(infos[i]);
		error = copies[i] ? make_answer(&mdns->me, infos[i], &answers[i]) : ERROR_NOMEM;
	}
	for (size_t i = 0; i < ORDERS; i++) {
		info_free(error ? copies[i] : mdns->infos[i]);
		memory_free(error ? answers[i].bytes : mdns->answers[i].bytes);
		if (error)
			continue;
		mdns->infos[i] = copies[i];
		mdns->answers[i] = answers[i];
	}
	if (error)
		return error;
	mdns->sending = 0;
	mdns->announce = 0;
	if (!has_answers(mdns))
		mdns->answer_due = UINT64_MAX;
	mdns->news = true;
	if (!has_answers(mdns) || mdns->mode != MDNS_ACTIVE)
		return ERROR_NONE;
	mdns->announce = ANNOUNCEMENTS;
	set_answer(mdns, now);
	mdns->queries = 0;
	if (now + QUERY_FIRST < mdns->query_due)
		mdns->query_due = now + QUERY_FIRST;
	return ERROR_NONE;
}

/* --- hearing --- */

static void asked(struct mdns *mdns, uint64_t now)
{
	if (!has_answers(mdns))
		return;
	if (mdns->answer_due != UINT64_MAX && mdns->put_off)
		counters_add(mdns->counters, COUNTER_LIMIT_MDNS, 1);
	set_answer(mdns,
		now + JITTER_LEAST + random_below(&mdns->random, JITTER_MOST - JITTER_LEAST));
}

static bool is_our_question(const struct mdns *mdns, const ns_rr *rr)
{
	bool bad = false;
	struct id id;

	if ((ns_rr_class(*rr) & CLASS_MASK) != ns_c_in &&
		(ns_rr_class(*rr) & CLASS_MASK) != ns_c_any)
		return false;
	if (strcasecmp(ns_rr_name(*rr), SERVICE) == 0)
		return ns_rr_type(*rr) == ns_t_ptr || ns_rr_type(*rr) == ns_t_any;
	return is_instance(ns_rr_name(*rr), &id, &bad) && id_equal(&id, &mdns->me);
}

/* False: it cannot be taken apart. */
static bool receive_query(struct mdns *mdns, uint64_t now, ns_msg *message)
{
	int count = ns_msg_count(*message, ns_s_qd);
	ns_rr rr;

	for (int i = 0; i < count && i < LIMIT_MDNS_RECORDS; i++) {
		if (ns_parserr(message, ns_s_qd, i, &rr) < 0)
			return false;
		if (is_our_question(mdns, &rr)) {
			asked(mdns, now);
			break;
		}
	}
	return true;
}

/* Whether this info is not to be reported again yet. */
static bool is_known(const struct node *node, const struct info *info, uint64_t now)
{
	for (size_t i = 0; i < ORDERS; i++)
		if (same(node->seen[i].info, info))
			return now - node->seen[i].reported < REPORT_AGAIN;
	return false;
}

static void remember(struct node *node, const struct info *info, uint64_t now)
{
	size_t at = 0;

	while (at < ORDERS - 1 && !same(node->seen[at].info, info))
		at++;
	info_free(node->seen[at].info);
	memmove(&node->seen[1], &node->seen[0], at * sizeof node->seen[0]);
	/* Without memory it is reported again, no more. */
	node->seen[0] = (struct seen){.info = info_copy(info), .reported = now};
}

/* Forged announcements are cheap to make, and what is reported is verified. */
static bool may_report(struct mdns *mdns, uint64_t now)
{
	if (now - mdns->second >= 1000 * MS) {
		mdns->second = now;
		mdns->found_in_second = 0;
	}
	if (mdns->found_count == LIMIT_MDNS_INSTANCES && mdns->found_at > 0) {
		mdns->found_count -= mdns->found_at;
		memmove(mdns->found, mdns->found + mdns->found_at,
			mdns->found_count * sizeof *mdns->found);
		mdns->found_at = 0;
	}
	return mdns->found_count < LIMIT_MDNS_INSTANCES &&
	       mdns->found_in_second < LIMIT_MDNS_FOUND;
}

/* Takes the info. */
static void found(struct mdns *mdns, uint64_t now, const struct id *id, struct info *info)
{
	struct node *node = find_node(mdns, id);

	if (!node)
		node = new_node(mdns, id);
	if (node)
		node->heard = now;
	if (node && is_known(node, info, now)) {
		info_free(info);
		return;
	}
	if (!may_report(mdns, now)) {
		counters_add(mdns->counters, COUNTER_LIMIT_INFOS, 1);
		info_free(info);
		return;
	}
	if (node)
		remember(node, info, now);
	mdns->found_in_second++;
	mdns->found[mdns->found_count++] = (struct found){*id, info};
}

static void receive_instance(struct mdns *mdns, uint64_t now, struct parser *parser, size_t at)
{
	const struct instance *instance = &parser->instances[at];
	struct address addresses[LIMIT_MDNS_ADDRESSES];
	struct info *info;
	size_t count;
	int error;

	/* Without user-data it is none of p2panda. */
	if (id_equal(&instance->id, &mdns->me) || !instance->text)
		return;
	if (!addresses_of(parser, at, addresses, &count)) {
		parser->excess = true;
		return;
	}
	if (count == 0)
		return;
	error = info_decode_text(
		instance->text, instance->text_size, &instance->id, addresses, count, &info);
	if (!error)
		found(mdns, now, &instance->id, info);
	else if (error != ERROR_NOMEM)
		parser->bad = true;
}

/* The group carries everybody's packets: only those of the service are worth a count. */
static bool names_service(const uint8_t *packet, size_t size)
{
	static const char label[] = "_p2pandav1";

	return memmem(packet, size, label, strlen(label)) != NULL;
}

void mdns_receive(struct mdns *mdns, uint64_t now, const uint8_t *packet, size_t size)
{
	struct parser parser;
	bool good;

	parser.bad = parser.excess = false;
	parser.records_count = parser.instances_count = 0;
	good = size <= MDNS_PACKET_SIZE &&
	       ns_initparse(packet, (int)size, &parser.message) == 0;
	if (good && !ns_msg_getflag(parser.message, ns_f_qr)) {
		good = receive_query(mdns, now, &parser.message);
	} else if (good) {
		good = parse_answer(&parser);
		for (size_t i = 0; good && i < parser.instances_count; i++)
			receive_instance(mdns, now, &parser, i);
	}
	if (parser.bad || (!good && names_service(packet, size)))
		counters_add(mdns->counters, COUNTER_BAD_PACKET, 1);
	if (parser.excess && parser.instances_count > 0)
		counters_add(mdns->counters, COUNTER_LIMIT_INFOS, 1);
}

void mdns_verified(
	struct mdns *mdns, uint64_t now, const struct id *id, enum info_order order)
{
	struct node *node = find_node(mdns, id);

	if (!node)
		return;
	if (!was_verified(node, order, now))
		mdns->news = true;
	node->verified[order] = now ? now : 1;
}

/* --- telling --- */

static uint64_t query_interval(struct mdns *mdns)
{
	uint64_t interval = QUERY_FIRST;

	for (unsigned i = QUERIES_FAST; i < mdns->queries && interval < QUERY_MOST; i++)
		interval *= 2;
	if (interval > QUERY_MOST)
		interval = QUERY_MOST;
	return interval + random_below(&mdns->random, interval / 10);
}

uint64_t mdns_deadline(const struct mdns *mdns)
{
	if (mdns->sending || mdns->found_at < mdns->found_count)
		return 0;
	return mdns->answer_due < mdns->query_due ? mdns->answer_due : mdns->query_due;
}

static bool take_found(struct mdns *mdns, struct mdns_effect *out)
{
	struct found *found;

	if (mdns->found_at == mdns->found_count)
		return false;
	found = &mdns->found[mdns->found_at++];
	*out = (struct mdns_effect){
		.type = MDNS_FOUND, .node = found->node, .info = found->info};
	if (mdns->found_at == mdns->found_count)
		mdns->found_at = mdns->found_count = 0;
	counters_add(mdns->counters, COUNTER_MDNS_FOUND, 1);
	return true;
}

static void begin_answer(struct mdns *mdns, uint64_t now)
{
	forget_old(mdns, now);
	for (unsigned i = 0; i < ORDERS; i++)
		if (mdns->answers[i].bytes)
			mdns->sending |= 1u << i & wanted_orders(mdns, now);
	mdns->answer_due = UINT64_MAX;
	mdns->put_off = false;
	mdns->news = false;
	mdns->answered = now;
	mdns->has_answered = true;
	if (mdns->announce && --mdns->announce) {
		mdns->news = true;
		set_answer(mdns, now);
	}
}

static bool send_packet(const struct packet *packet, struct mdns_effect *out)
{
	*out = (struct mdns_effect){
		.type = MDNS_SEND, .packet = packet->bytes, .size = packet->size};
	return true;
}

bool mdns_effect(struct mdns *mdns, uint64_t now, struct mdns_effect *out)
{
	unsigned order = 0;

	if (take_found(mdns, out))
		return true;
	if (!mdns->sending && mdns->answer_due <= now)
		begin_answer(mdns, now);
	if (mdns->sending) {
		while (!(mdns->sending >> order & 1))
			order++;
		mdns->sending &= ~(1u << order);
		return send_packet(&mdns->answers[order], out);
	}
	if (mdns->query_due > now)
		return false;
	mdns->query_due = now + query_interval(mdns);
	mdns->queries++;
	/* Who asks is there. Also so that it does not matter whether we hear ourselves. */
	asked(mdns, now);
	return send_packet(&mdns->query, out);
}
