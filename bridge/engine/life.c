/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The engine's beginning and end: its cores, its sockets, what it knew before. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* p2panda-net src/discovery/actors/manager.rs, MAX_IDLE_TIMEOUT. */
#define DISCOVERY_IDLE_NS (3000 * MS)

static bool has_moved(struct configured *configured, const struct address *addresses, size_t count)
{
	size_t size = count * sizeof *addresses;

	if (count == configured->found_count && memcmp(addresses, configured->found, size) == 0)
		return false;
	memcpy(configured->found, addresses, size);
	configured->found_count = count;
	return true;
}

static void on_resolved(void *context, const struct id *node, const struct address *addresses,
	size_t addresses_count, const char *failure)
{
	struct engine *engine = context;
	struct configured *configured = engine_configured(engine, node);

	if (engine->stopping)
		return;
	if (id_equal(node, &engine->me))
		advertise_resolved(engine, addresses, addresses_count, failure);
	if (!configured)
		return;
	if (addresses_count == 0) {
		if (engine_is_news(configured->failure, failure))
			engine_log(engine, NODE_LOG_NOTICE, "%s %s: %s",
				configured->trusted ? "peer" : "bootstrap", short_id(node).text,
				failure);
		return;
	}
	if (book_configure(engine->book, node, configured->trusted ? BOOK_TRUSTED : BOOK_BOOTSTRAP,
		    addresses, addresses_count) == ERROR_NONE) {
		dialer_addresses(engine->dialer, engine_now(engine), node);
		if (has_moved(configured, addresses, addresses_count))
			walker_prompt(engine->walker, engine_now(engine), node);
	}
	engine_pump(engine);
}

void engine_begin(struct engine *engine)
{
	/* Before the peers' names, so that what the peers are told is complete. */
	advertise_begin(engine);
	for (size_t i = 0; i < engine->configured_count; i++)
		resolution_start(engine->configured[i].resolution);
	explore_anew(engine);
}

void life_part_closed(void *context)
{
	struct engine *engine = context;

	if (--engine->handles == 0)
		engine->owner.stopped(engine->owner.context);
}

static void on_endpoint_closed(void *context)
{
	struct engine *engine = context;

	engine->endpoint = NULL;
	if (!engine->handles_ready) {
		engine->owner.stopped(engine->owner.context);
		return;
	}
	engine->handles = CLOCK_HANDLES + (engine->multicast != NULL) + (engine->advertise.watch != NULL);
	clock_stop(engine);
	if (engine->multicast)
		multicast_close(engine->multicast, life_part_closed, engine);
	if (engine->advertise.watch)
		interfaces_watch_stop(engine->advertise.watch, life_part_closed, engine);
}

void life_close(struct engine *engine)
{
	engine->closing = true;
	if (engine->resolver)
		resolver_stop(engine->resolver);
	quic_endpoint_close(engine->endpoint, on_endpoint_closed, engine);
}

void engine_stop(struct engine *engine)
{
	struct overlay *overlay, *next;

	if (engine->stopping)
		return;
	engine->stopping = true;
	if (!engine->handles_ready) {
		/* engine_new has failed half-way. */
		if (engine->endpoint)
			life_close(engine);
		else
			engine->owner.stopped(engine->owner.context);
		return;
	}
	engine->stop_due = engine_now(engine) + LIMIT_FAREWELL_MS * MS;
	HASH_ITER (hh, engine->overlays, overlay, next)
		engine_drop(engine, overlay);
	engine_pump(engine);
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
	explore_free(engine);
	gossip_free(engine->gossip);
	links_free(engine->links);
	dialer_free(engine->dialer);
	dialer_free(engine->explorer);
	joiner_free(engine->joiner);
	walker_free(engine->walker);
	mdns_free(engine->mdns);
	advertise_free(engine);
	book_free(engine->book);
	access_free(engine->access);
	resolver_free(engine->resolver);
	store_free(engine->store);
	memory_free(engine->configured);
	memory_free(engine);
}

static int configure(
	struct engine *engine, const struct node_peer *nodes, size_t count, enum book_role role)
{
	struct configured *configured;
	int error;

	for (size_t i = 0; i < count; i++) {
		configured = &engine->configured[engine->configured_count];
		configured->id = nodes[i].id;
		configured->trusted = role == BOOK_TRUSTED;
		error = book_configure(engine->book, &configured->id, role, NULL, 0);
		if (!error)
			error = resolution_new(
				engine->resolver, &nodes[i], &configured->resolution);
		if (error)
			return error;
		engine->configured_count++;
	}
	return ERROR_NONE;
}

static int configure_all(struct engine *engine, const struct node_config *config)
{
	int error;

	engine->configured = memory_zalloc(
		(config->peers_count + config->bootstraps_count + 1) * sizeof *engine->configured);
	if (!engine->configured)
		return ERROR_NOMEM;
	error = configure(engine, config->peers, config->peers_count, BOOK_TRUSTED);
	if (!error)
		error = configure(
			engine, config->bootstraps, config->bootstraps_count, BOOK_BOOTSTRAP);
	return error;
}

static int make_cores(struct engine *engine, const struct node_config *config)
{
	struct gossip_config gossip = {
		.me = engine->me,
		.random = engine->random,
		.counters = engine->owner.counters,
		.max_overlays = config->max_overlays,
		.cache_bytes = config->cache_bytes,
		.is_key = identity_is_node,
	};
	int error;

	error = gossip_new(&gossip, &engine->gossip);
	if (!error)
		error = links_new(
			&route_io, &engine->random, engine->owner.counters, &engine->links);
	if (!error)
		error = access_new(config->allow, config->allow_count, config->deny,
			config->deny_count, &engine->access);
	if (!error)
		error = dialer_new(&engine->random, engine->book, &engine->budget,
			engine->owner.counters, &engine->dialer);
	if (!error)
		error = dialer_new(&engine->random, engine->book, &engine->budget,
			engine->owner.counters, &engine->explorer);
	if (!error)
		error = joiner_new(&engine->random, engine->owner.counters, &engine->joiner);
	if (!error)
		error = resolver_new(engine->loop, on_resolved, engine, &engine->resolver);
	if (!error)
		error = configure_all(engine, config);
	if (!error)
		error = explore_make(engine);
	return error;
}

static int bind_all(struct engine *engine, const struct node_config *config, struct address *bound,
	size_t *bound_count, char reason[NODE_REASON_SIZE])
{
	char text[ADDRESS_TEXT_SIZE];
	int error, first_error = ERROR_NONE;

	*bound_count = 0;
	for (size_t i = 0; i < config->binds_count; i++) {
		error = quic_endpoint_bind(
			engine->endpoint, &config->binds[i], &bound[*bound_count]);
		if (!error) {
			(*bound_count)++;
			continue;
		}
		if (!first_error) {
			first_error = error;
			snprintf(reason, NODE_REASON_SIZE, "cannot bind UDP %s: %s",
				address_format(&config->binds[i], text),
				error == ERROR_SYSTEM ? strerror(errno) : error_text(error));
		}
		if (config->binds_all)
			return error;
	}
	return *bound_count > 0 ? ERROR_NONE : first_error;
}

static int make_endpoint(struct engine *engine, const struct node_config *config)
{
	struct quic_config quic = {
		.loop = engine->loop,
		.identity = config->identity,
		.protocols_count = PROTOCOLS,
		.protocols[GOSSIP] =
			{
				.max_connections = LIMIT_CONNECTIONS,
				.reserve = LIMIT_CONNECTIONS_RESERVE,
				.max_per_address = LIMIT_CONNECTIONS_PER_ADDRESS,
				.max_streams = config->max_overlays,
				.idle_timeout = QUIC_IDLE_TIMEOUT,
				.keep_alive = true,
				.callbacks = route_callbacks,
			},
		.protocols[DISCOVERY] =
			{
				.max_connections = 2 * LIMIT_SESSIONS,
				.reserve = LIMIT_SESSIONS / 2,
				.max_bidi_streams = 1,
				.idle_timeout = DISCOVERY_IDLE_NS,
				.callbacks = explore_callbacks,
			},
		.max_queue = LIMIT_PEER_QUEUE_BYTES,
		.crowded = route_crowded,
		.counters = engine->owner.counters,
		.context = engine,
	};

	identity_alpn(PROTOCOL_GOSSIP, &config->network, &quic.protocols[GOSSIP].alpn);
	identity_alpn(PROTOCOL_DISCOVERY, &config->network, &quic.protocols[DISCOVERY].alpn);
	return quic_endpoint_new(&quic, &engine->endpoint);
}

/* ---- what was known before ---- */

static void on_value(void *context, const char *name, const void *bytes, size_t size)
{
	struct engine *engine = context;
	struct reader reader;

	if (strcmp(name, ADVERTISE_TIME) != 0)
		return;
	reader_init(&reader, bytes, size);
	engine->advertise.time.us = reader_u64(&reader);
}

static void on_node(void *context, const struct id *node, const uint8_t *row, size_t size)
{
	struct engine *engine = context;

	/* One that means nothing to us is left out, and written anew once the node is known
	 * again. */
	(void)book_restore(engine->book, node, row, size);
}

static void on_old_neighbour(void *context, const struct id *topic, const struct id *node,
	const struct address *addresses, size_t count)
{
	struct engine *engine = context;
	uint64_t now = engine_now(engine);

	if (id_equal(node, &engine->me))
		return;
	book_set_shared(engine->book, now, node, topic, true);
	/* They have worked, loopback or not. */
	book_hear(engine->book, now, node, node, addresses, count, ADDRESS_LOOPBACK);
	if (count > 0)
		book_worked(engine->book, now, engine_wall(engine), node, &addresses[0]);
}

static void on_record(
	void *context, const void *key, size_t key_size, const void *value, size_t value_size)
{
	const struct node_config *config = ((struct engine *)context)->starting;

	if (config->record)
		config->record(config->record_context, key, key_size, value, value_size);
}

static int open_store(struct engine *engine, const struct node_config *config)
{
	const struct store_visitor visitor = {
		.context = engine,
		.record = on_record,
		.value = on_value,
		.node = on_node,
		.neighbour = on_old_neighbour,
	};
	char remark[STORE_REASON_SIZE];
	int error;

	engine->starting = config;
	error = store_open(config->state_dir, engine->loop, &visitor, &engine->store, remark);
	engine->starting = NULL;
	if (!error && remark[0])
		engine_log(engine, NODE_LOG_WARNING, "%s", remark);
	return error;
}

int engine_new(const struct node_config *config, const struct engine_owner *owner, uv_loop_t *loop,
	struct address *bound, size_t *bound_count, struct engine **out,
	char reason[NODE_REASON_SIZE])
{
	struct engine *engine = memory_zalloc(sizeof *engine);
	int error = ERROR_NOMEM;

	snprintf(reason, NODE_REASON_SIZE, "%s", error_text(ERROR_NOMEM));
	if (!engine)
		return error;
	engine->owner = *owner;
	engine->loop = loop;
	engine->identity = config->identity;
	engine->me = config->identity->id;
	engine->random = random_system();
	engine->waiting_due = engine->heal_due = engine->away_due = UINT64_MAX;
	engine->advertise.due = UINT64_MAX;
	engine->room = (struct waiting_room){
		.limit = config->queue_limit,
		.age_ns = config->queue_age_ns,
		.max_bytes = LIMIT_WAITING_BYTES,
		.counters = owner->counters,
	};
	keyed_init(&engine->keyed, &engine->random);
	*out = engine;
	error = book_new(&engine->me, &engine->random, owner->counters, LIMIT_NODES, &engine->book);
	if (!error)
		error = open_store(engine, config);
	if (!error)
		error = make_cores(engine, config);
	if (!error)
		error = make_endpoint(engine, config);
	if (error) {
		snprintf(reason, NODE_REASON_SIZE, "%s", error_text(error));
		return error;
	}
	error = bind_all(engine, config, bound, bound_count, reason);
	if (error)
		return error;
	error = advertise_make(engine, config, bound, *bound_count);
	if (error) {
		snprintf(reason, NODE_REASON_SIZE, "%s", error_text(error));
		return error;
	}
	clock_start(engine);
	error = local_make(engine, config->mdns);
	if (error)
		snprintf(reason, NODE_REASON_SIZE, "%s", error_text(error));
	return error;
}
