/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Upstream's side is in the crate swarm-discovery (src/receiver.rs, src/sender.rs) and in iroh's
 * mDNS address look-up. This of its behaviour matters here:
 *
 * - Of several TXT records of a node in one packet the first counts. But every packet counts
 *   anew, so two packets in turn carry both signatures. A signature that is invalid for the
 *   receiver costs it a line in its log ("found invalid transport info"). So infos of an order
 *   are sent only as long as a node nearby may need them: see wanted_orders.
 * - Upstream asks every 0.7 to 0.9 s for ever, and all nodes together are to answer some three
 *   times a second: a node that has heard two answers keeps quiet. We keep our share of the
 *   answers by answering the less often the more nodes there are: see gap.
 */
#include "mdns.h"

#include <stdlib.h>
#include <string.h>

#include "../error.h"
#include "../keyed_table.h"
#include "../time.h"
#include "mdns_packet.h"


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

struct seen {
	struct info *info;
	uint64_t reported; /* when */
};

struct node {
	struct id id;
	uint64_t heard;
	/* The newest first; a node that announces both orders has two infos at a time. */
	struct seen seen[ORDERS];
	uint64_t verified[ORDERS]; /* time of the last success; 0: never */
	UT_hash_handle hh;
};

struct found {
	struct id node;
	struct info *info;
};

struct mdns {
	struct id me;
	enum mdns_mode mode;
	struct random random;
	struct counters *counters;
	struct keyed keyed;
	struct node *nodes; /* a table by id; the oldest entry first */

	struct info *infos[ORDERS];
	struct mdns_packet answers[ORDERS];
	struct mdns_packet query;

	uint64_t answer_due;
	uint64_t answered; /* when */
	bool has_answered;
	bool put_off;	   /* the gap has delayed the answer */
	bool news;	   /* there is news since the last answer: a node may wait for us */
	unsigned announce; /* unsolicited answers still to be sent, all orders */
	unsigned sending;  /* the orders that are due now, one bit each */

	uint64_t query_due;
	unsigned queries; /* since the last news */

	struct found found[LIMIT_MDNS_INSTANCES];
	size_t found_at, found_count;
	uint64_t second; /* since when found_in_second is counted */
	unsigned found_in_second;
};
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

	KEYED_FIND(&mdns->keyed, mdns->nodes, id, sizeof *id, node);
	return node;
}

/* Adds a node, and forgets the oldest one if there are too many; NULL: no memory. */
static struct node *new_node(struct mdns *mdns, const struct id *id)
{
	struct node *node;

	if (HASH_COUNT(mdns->nodes) >= LIMIT_MDNS_NODES)
		forget(mdns, mdns->nodes);
	node = memory_zalloc(sizeof *node);
	if (!node)
		return NULL;
	node->id = *id;
	KEYED_ADD(&mdns->keyed, mdns->nodes, &node->id, sizeof node->id, node);
	if (!node)
		return NULL;
	mdns->news = true;
	mdns->queries = 0;
	return node;
}

static bool was_verified(const struct node *node, enum info_order order, uint64_t now)
{
	return node->verified[order] && now - node->verified[order] < FORGET;
}

/* Returns the orders to announce, one bit each. A node that announces one order itself understands
 * no other, so its order is wanted. A node that announces both is of our kind and accepts either.
 * Both orders are wanted as long as no node of one order is known, and for announcements that
 * nobody has asked for. */
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
	error = mdns_packet_make_query(&mdns->query);
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

/* Returns how long to be quiet after an answer. */
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
	struct mdns_packet answers[ORDERS] = {{NULL, 0}};
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
		error = copies[i] ? mdns_packet_make_answer(&mdns->me, infos[i], &answers[i])
				  : ERROR_NOMEM;
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

/* Tells whether this info has been reported lately, and is not to be reported again yet. */
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
	/* Without memory the info is reported again, no worse. */
	node->seen[0] = (struct seen){.info = info_copy(info), .reported = now};
}

/* Tells whether one more info may be reported now. Forged announcements are cheap to make, and each
 * reported info is verified. */
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

/* Reports an info of a node, unless it is known or too many come; takes the info over. */
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

static void receive_instance(
	struct mdns *mdns, uint64_t now, struct mdns_contents *contents, size_t at)
{
	const struct id *id = &contents->instances[at].id;
	struct info *info;
	int error;

	if (id_equal(id, &mdns->me))
		return;
	error = mdns_packet_decode_info(contents, at, &info);
	if (error == ERROR_LIMIT)
		contents->excess = true;
	else if (error && error != ERROR_NOMEM)
		contents->bad = true;
	else if (!error && info)
		found(mdns, now, id, info);
}

void mdns_receive(struct mdns *mdns, uint64_t now, const uint8_t *packet, size_t size)
{
	struct mdns_contents contents;

	mdns_packet_parse(packet, size, &mdns->me, &contents);
	if (contents.asked)
		asked(mdns, now);
	for (size_t i = 0; i < contents.instances_count; i++)
		receive_instance(mdns, now, &contents, i);
	if (contents.bad)
		counters_add(mdns->counters, COUNTER_BAD_PACKET, 1);
	if (contents.excess)
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

static bool send_packet(const struct mdns_packet *packet, struct mdns_effect *out)
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
	/* We answer our own question, too, to show that we are here. So it does not matter whether
	 * we hear ourselves. */
	asked(mdns, now);
	return send_packet(&mdns->query, out);
}
