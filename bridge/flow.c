/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "flow.h"

#include <string.h>
#include <utlist.h>

#include "keyed_table.h"
#include "limits.h"
#include "share.h"

/* Parcels of one flow before the next has its turn. */
#define TURN 32

/* Flows that nothing is under way of are kept up to so many, for most are soon of use again. */
#define KEPT 1024

void flows_init(struct flows *flows, size_t max_items, size_t max_bytes, bool shared,
	const struct random *random)
{
	memset(flows, 0, sizeof *flows);
	flows->max_items = max_items;
	flows->max_bytes = max_bytes;
	flows->shared = shared;
	flows->prune_at = KEPT;
	keyed_init(&flows->keyed, random);
}

static void forget(struct flows *flows, struct flow *flow)
{
	if (flows->newest == flow)
		flows->newest = NULL;
	HASH_DELETE(hh, flows->table, flow);
	memory_free(flow);
}

void flows_clear(struct flows *flows)
{
	struct flow *flow, *next;

	HASH_ITER (hh, flows->table, flow, next)
		forget(flows, flow);
}

/* ---- the giver ---- */

/* Forgets the flows of which nothing is under way. (The last that the taker does with a flow is to
 * count down its items.) */
static void prune(struct flows *flows)
{
	struct flow *flow, *next;

	HASH_ITER (hh, flows->table, flow, next)
		if (atomic_load(&flow->items) == 0)
			forget(flows, flow);
	flows->prune_at = 2 * HASH_COUNT(flows->table);
	if (flows->prune_at < KEPT)
		flows->prune_at = KEPT;
}

struct flow *flows_of(struct flows *flows, const struct id *topic)
{
	struct flow *flow = flows->newest;

	if (!topic)
		return &flows->rest;
	if (flow && id_equal(&flow->topic, topic))
		return flow;
	KEYED_FIND(&flows->keyed, flows->table, topic, sizeof *topic, flow);
	if (!flow) {
		if (HASH_COUNT(flows->table) >= flows->prune_at)
			prune(flows);
		flow = memory_zalloc(sizeof *flow);
		if (!flow)
			return NULL;
		flow->topic = *topic;
		KEYED_ADD(&flows->keyed, flows->table, &flow->topic, sizeof flow->topic, flow);
		if (!flow)
			return NULL;
	}
	flows->newest = flow;
	return flow;
}

/* Returns how much one flow may have: of all, what the others leave (or half of that), and always a
 * little. */
static size_t part(const struct flows *flows, size_t all, size_t used, size_t own, size_t least)
{
	return flows->shared ? share_of(all, used, own, least) : share_left(all, used, own);
}

static size_t item_limit(const struct flows *flows, const struct flow *flow)
{
	return part(flows, flows->max_items, flows->items, flow->items, LIMIT_FLOW_LEAST_ITEMS);
}

static size_t byte_limit(const struct flows *flows, const struct flow *flow)
{
	return part(flows, flows->max_bytes, flows->bytes, flow->bytes, LIMIT_FLOW_LEAST_BYTES);
}

bool flows_admit(struct flows *flows, struct parcel *parcel, struct flow *flow, bool forced)
{
	size_t bytes = parcel->mail.bytes;

	if (!forced && (flow->items + 1 > item_limit(flows, flow) ||
			       flow->bytes + bytes > byte_limit(flows, flow)))
		return false;
	parcel->flow = flow;
	atomic_fetch_add(&flow->items, 1);
	atomic_fetch_add(&flow->bytes, bytes);
	atomic_fetch_add(&flows->items, 1);
	atomic_fetch_add(&flows->bytes, bytes);
	return true;
}

static unsigned fill(size_t used, size_t limit)
{
	return limit > 0 ? (unsigned)(used * 256 / limit) : 256;
}

unsigned flows_fill(const struct flows *flows, const struct flow *flow)
{
	unsigned items = fill(flow->items, item_limit(flows, flow));
	unsigned bytes = fill(flow->bytes, byte_limit(flows, flow));

	return items > bytes ? items : bytes;
}

bool flow_is_high(const struct flow *flow)
{
	return flow->items >= LIMIT_FLOW_HIGH_ITEMS || flow->bytes >= LIMIT_FLOW_HIGH_BYTES;
}

static bool is_low(size_t items, size_t bytes)
{
	return items <= LIMIT_FLOW_HIGH_ITEMS / 2 && bytes <= LIMIT_FLOW_HIGH_BYTES / 2;
}

bool flow_is_low(const struct flow *flow)
{
	return is_low(flow->items, flow->bytes);
}

uint64_t flow_stands_for(struct flow *flow, uint64_t now)
{
	uint64_t done = flow->done;

	if (flow->seen_at == 0 || flow->seen_done != done) {
		flow->seen_done = done;
		flow->seen_at = now;
	}
	return now - flow->seen_at;
}

/* ---- the taker ---- */

void flow_go_on(struct flows *flows, struct flow *flow)
{
	if (!flow->standing)
		return;
	flow->standing = false;
	DL_DELETE(flows->stand, flow);
	DL_APPEND(flows->ring, flow);
}

void flow_stand(struct flows *flows, struct flow *flow)
{
	if (!flow->queued || flow->standing)
		return;
	if (flows->ring == flow)
		flows->taken = 0;
	flow->standing = true;
	DL_DELETE(flows->ring, flow);
	DL_APPEND(flows->stand, flow);
}

static void put(struct flows *flows, struct parcel *parcel)
{
	struct flow *flow = parcel->flow;

	parcel->mail.next = NULL;
	if (flow->last)
		flow->last->next = &parcel->mail;
	else
		flow->first = &parcel->mail;
	flow->last = &parcel->mail;
	if (!flow->queued)
		DL_APPEND(flows->ring, flow);
	flow->queued = true;
	if (!parcel->urgent)
		return;
	flow->urgent++;
	flow_go_on(flows, flow);
}

void flows_put(struct flows *flows, struct mail *mail)
{
	struct mail *next;

	for (; mail; mail = next) {
		next = mail->next;
		put(flows, (struct parcel *)mail);
	}
}

struct flow *flows_turn(struct flows *flows)
{
	struct flow *flow = flows->ring;

	if (flow && flows->taken >= TURN) {
		flows->taken = 0;
		DL_DELETE(flows->ring, flow);
		DL_APPEND(flows->ring, flow);
	}
	return flows->ring;
}

struct parcel *flow_pop(struct flows *flows, struct flow *flow)
{
	struct parcel *parcel = (struct parcel *)flow->first;

	if (!parcel)
		return NULL;
	flow->first = parcel->mail.next;
	if (parcel->urgent)
		flow->urgent--;
	if (flows->ring == flow)
		flows->taken++;
	if (flow->first)
		return parcel;
	flow->last = NULL;
	if (flows->ring == flow)
		flows->taken = 0;
	flow_go_on(flows, flow);
	DL_DELETE(flows->ring, flow);
	flow->queued = false;
	return parcel;
}

bool flows_done(struct flows *flows, struct flow *flow, size_t bytes)
{
	bool is_awaited;

	atomic_fetch_sub(&flows->items, 1);
	atomic_fetch_sub(&flows->bytes, bytes);
	atomic_fetch_sub(&flow->bytes, bytes);
	atomic_fetch_add(&flow->done, 1);
	is_awaited = is_low(flow->items - 1, flow->bytes) && flow->awaited &&
		     atomic_exchange(&flow->awaited, false);
	atomic_fetch_sub(&flow->items, 1); /* the last: it may be forgotten now */
	return is_awaited;
}
