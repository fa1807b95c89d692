/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What we tell about where we are. */
#include <stdio.h>

#include "internal.h"

/* Looking up our own names: backoff after a failure, and where they may have moved. */
#define ADVERTISE_FIRST_NS (1000 * MS)
#define ADVERTISE_MOST_NS  (60000 * MS)
#define ADVERTISE_AGAIN_NS (600000 * MS)

/* A clock before 2025 has not been set: it tells nothing of other times. */
#define CLOCK_IS_SET_US UINT64_C(1735689600000000)
/* The wall clock was set if it has gone so much faster or slower than the monotonic one. */
#define CLOCK_STEP_US UINT64_C(5000000)

/* Newer than whatever others may have of ours, though this machine may have no clock. But others
 * believe nothing that is far ahead of their clocks: of what was signed while ours was wrong none
 * of them has anything. */
static struct info_time next_time(struct engine *engine)
{
	struct advertise *advertise = &engine->advertise;
	struct info_time time = {.us = engine_wall(engine)};

	if (time.us >= CLOCK_IS_SET_US && advertise->time.us > time.us + LIMIT_FUTURE_US) {
		engine_log(engine, NODE_LOG_WARNING,
			"what this node has said of itself before is from %llu s in the future, "
			"when its clock was wrong: it is forgotten",
			(unsigned long long)((advertise->time.us - time.us) / 1000000));
		advertise->time = (struct info_time){0};
	}
	if (time.us <= advertise->time.us)
		time.us = advertise->time.us + 1;
	return time;
}

static void sign(struct engine *engine, const struct address *addresses, size_t count)
{
	struct advertise *advertise = &engine->advertise;
	struct info_time time = next_time(engine);
	struct writer writer;
	struct info *info;
	uint8_t bytes[sizeof time.us];

	for (size_t i = 0; i < ORDERS; i++) {
		/* Without a new one the old one is better than none. */
		if (info_sign(engine->identity, time, (enum info_order)i, addresses, count, &info))
			continue;
		info_free(advertise->infos[i]);
		advertise->infos[i] = info;
	}
	twin_signed(&engine->twin, advertise->time, time);
	advertise->time = time;
	writer_init(&writer, bytes, sizeof bytes);
	writer_u64(&writer, time.us);
	store_put_value(engine->store, ADVERTISE_TIME, bytes, sizeof bytes);
}

static void tell_addresses(struct engine *engine)
{
	const struct advertise *advertise = &engine->advertise;
	struct address addresses[2 * LIMIT_ADDRESSES_PER_NODE];
	size_t count = advertise->told_count + advertise->bound_count;

	memcpy(addresses, advertise->told, advertise->told_count * sizeof *addresses);
	memcpy(addresses + advertise->told_count, advertise->bound,
		advertise->bound_count * sizeof *addresses);
	gossip_set_addresses(engine->gossip, addresses, count);
	sign(engine, addresses, count);
	local_tell(engine);
	explore_anew(engine);
}

/* How far the wall clock is ahead of the monotonic one, us; unsigned, it may wrap. */
static uint64_t clock_offset(const struct engine *engine)
{
	return engine_wall(engine) - engine_now(engine) / 1000;
}

void advertise_clock(struct engine *engine)
{
	struct advertise *advertise = &engine->advertise;
	uint64_t ahead = clock_offset(engine) - advertise->clock;

	if (ahead + CLOCK_STEP_US <= 2 * CLOCK_STEP_US)
		return;
	advertise->clock += ahead;
	engine_log(engine, NODE_LOG_NOTICE, "the clock was set: addresses are told anew");
	tell_addresses(engine);
}

void advertise_newer(struct engine *engine, struct info_time time)
{
	engine->advertise.time = time;
	tell_addresses(engine);
}

static void log_advertised(struct engine *engine)
{
	const struct advertise *advertise = &engine->advertise;
	char line[NODE_REASON_SIZE - 32] = "", text[ADDRESS_TEXT_SIZE];
	size_t used = 0;

	for (size_t i = 0; i < advertise->told_count && sizeof line - used > sizeof text; i++)
		used += (size_t)snprintf(line + used, sizeof line - used, "%s%s", i ? ", " : "",
			address_format(&advertise->told[i], text));
	engine_log(engine, NODE_LOG_INFO, "advertised to peers: %s", line);
}

/* Name servers change the order of their answers, which means nothing. */
static bool is_new(const struct advertise *advertise, const struct address *addresses, size_t count)
{
	size_t at;

	for (size_t i = 0; i < count; i++) {
		for (at = 0; at < advertise->told_count; at++)
			if (address_compare(&addresses[i], &advertise->told[at]) == 0)
				break;
		if (at == advertise->told_count)
			return true;
	}
	return count != advertise->told_count;
}

void advertise_resolved(struct engine *engine, const struct address *addresses,
	size_t addresses_count, const char *failure)
{
	struct advertise *advertise = &engine->advertise;
	uint64_t now = engine_now(engine);

	if (failure[0]) {
		advertise->due = now + advertise->backoff;
		advertise->backoff = advertise->backoff * 2 > ADVERTISE_MOST_NS
					     ? ADVERTISE_MOST_NS
					     : advertise->backoff * 2;
	} else {
		advertise->due = advertise->has_names ? now + ADVERTISE_AGAIN_NS : UINT64_MAX;
		advertise->backoff = ADVERTISE_FIRST_NS;
	}
	/* Success is kept as well, so that the next failure is news. */
	if (engine_is_news(advertise->failure, failure) && failure[0])
		engine_log(engine, NODE_LOG_NOTICE, "advertise: %s", failure);
	/* What was found before is better than nothing. */
	if (addresses_count == 0 || !is_new(advertise, addresses, addresses_count))
		return;
	memcpy(advertise->told, addresses, addresses_count * sizeof *addresses);
	advertise->told_count = addresses_count;
	tell_addresses(engine);
	log_advertised(engine);
}

static void on_interfaces(void *context)
{
	struct engine *engine = context;
	struct advertise *advertise = &engine->advertise;
	struct address bound[LIMIT_ADDRESSES_PER_NODE];
	size_t count;

	if (engine->stopping)
		return;
	if (engine->multicast)
		multicast_interfaces(engine->multicast);
	quic_endpoint_addresses_changed(engine->endpoint);
	count = interfaces_addresses(advertise->sockets, advertise->sockets_count, bound,
		LIMIT_ADDRESSES_PER_NODE);
	if (count != advertise->bound_count ||
		memcmp(bound, advertise->bound, count * sizeof *bound) != 0) {
		memcpy(advertise->bound, bound, count * sizeof *bound);
		advertise->bound_count = count;
		tell_addresses(engine);
	}
	/* Even with the same addresses: there may be a way now where there was none. */
	nodes_again(engine);
	engine_pump(engine);
}

/* Literal addresses are told from the very first, names as soon as they are found. */
int advertise_make(struct engine *engine, const struct node_config *config,
	const struct address *bound, size_t n)
{
	struct advertise *advertise = &engine->advertise;
	struct node_peer self = {.id = engine->me, .hosts_count = config->advertise_count};
	struct address address;

	advertise->clock = clock_offset(engine);
	advertise->backoff = ADVERTISE_FIRST_NS;
	advertise->sockets = bound;
	advertise->sockets_count = n;
	advertise->bound_count =
		interfaces_addresses(bound, n, advertise->bound, LIMIT_ADDRESSES_PER_NODE);
	for (size_t i = 0; i < config->advertise_count; i++) {
		self.hosts[i] = config->advertise[i];
		if (resolver_literal(&self.hosts[i], &address))
			advertise->told[advertise->told_count++] = address;
		else
			advertise->has_names = true;
	}
	tell_addresses(engine);
	if (advertise->told_count > 0)
		log_advertised(engine);
	if (!advertise->has_names)
		return ERROR_NONE;
	return resolution_new(engine->resolver, &self, &advertise->resolution);
}

void advertise_begin(struct engine *engine)
{
	struct advertise *advertise = &engine->advertise;

	if (advertise->resolution)
		resolution_start(advertise->resolution);
	if (interfaces_watch_start(engine->loop, on_interfaces, engine, &advertise->watch))
		engine_log(engine, NODE_LOG_WARNING,
			"changes of this machine's addresses are not seen: %s",
			error_text(ERROR_SYSTEM));
}

void advertise_free(struct engine *engine)
{
	for (size_t i = 0; i < ORDERS; i++)
		info_free(engine->advertise.infos[i]);
}
