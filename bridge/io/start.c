/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The driver's beginning and end: the mesh, its sockets, what it knew before. */
#include <stdio.h>
#include <string.h>

#include "../error.h"
#include "../memory.h"
#include "internal.h"

/* p2panda-net src/discovery/actors/manager.rs, MAX_IDLE_TIMEOUT. */
#define DISCOVERY_IDLE_NS UINT64_C(3000000000)

static void on_resolved(void *context, const struct id *node, const struct address *addresses,
	size_t count, size_t all, const char *failure)
{
	struct driver *driver = context;
	struct mesh_time time = clock_time(driver);

	mesh_resolved(driver->mesh, &time, node, addresses, count, all, failure);
	driver_drain(driver);
	/* Not the addresses of this node itself that the configuration has. */
	if (!id_equal(node, &driver->me))
		whereabouts_towards(driver, addresses, count);
}

void driver_begin(struct driver *driver)
{
	whereabouts_watch(driver);
	if (driver->relaying)
		relaying_start(driver->relaying, uv_hrtime());
	driver_drain(driver);
}

void start_part_closed(void *context)
{
	struct driver *driver = context;

	if (--driver->handles == 0)
		driver->owner.stopped(driver->owner.context);
}

static void on_endpoint_closed(void *context)
{
	struct driver *driver = context;

	driver->endpoint = NULL;
	if (!driver->handles_ready) {
		driver->owner.stopped(driver->owner.context);
		return;
	}
	/* No handle is closed before the loop turns. */
	driver->handles = CLOCK_HANDLES + whereabouts_stop(driver);
	/* The last words are written. */
	relaying_turn(driver->relaying, uv_hrtime());
	driver->handles += relaying_stop(
		driver->relaying, uv_hrtime(), start_part_closed, driver);
	clock_stop(driver);
}

void start_close(struct driver *driver)
{
	driver->closing = true;
	if (driver->resolver)
		resolver_stop(driver->resolver);
	if (driver->store)
		store_write_now(driver->store);
	quic_endpoint_close(driver->endpoint, on_endpoint_closed, driver);
}

void driver_stop(struct driver *driver)
{
	struct mesh_time time = clock_time(driver);

	if (driver->closing)
		return;
	if (driver->handles_ready) {
		keeping_take(driver);
		mesh_stop(driver->mesh, &time);
		driver_drain(driver);
	} else if (driver->endpoint) {
		start_close(driver); /* driver_new has failed half-way */
	} else {
		driver->owner.stopped(driver->owner.context);
	}
}

size_t driver_kept(const struct driver *driver)
{
	return driver->store ? store_kept(driver->store) : 0;
}

void driver_free(struct driver *driver)
{
	if (!driver)
		return;
	/* The disk was full, or the like. */
	if (driver->store)
		counters_add(driver->owner.counters, COUNTER_DROPPED_LEFT,
			driver->kept - store_kept(driver->store));
	mesh_free(driver->mesh);
	relaying_free(driver->relaying);
	trace_free(driver->trace);
	resolver_free(driver->resolver);
	store_free(driver->store);
	memory_free(driver->looked_up);
	memory_free(driver);
}

/* ---- look-ups ---- */

static int add_look_up(struct driver *driver, const struct node_peer *peer, bool is_self)
{
	struct address address;
	struct looked_up *looked_up = &driver->looked_up[driver->looked_up_count];
	int error = resolution_new(driver->resolver, peer, is_self, &looked_up->resolution);

	if (error)
		return error;
	looked_up->node = peer->id;
	driver->looked_up_count++;
	for (size_t i = 0; i < peer->hosts_count && !is_self; i++)
		if (address_literal(peer->hosts[i].host, peer->hosts[i].port, &address))
			whereabouts_towards(driver, &address, 1);
	return ERROR_NONE;
}

static int add_all(struct driver *driver, const struct node_peer *peers, size_t count)
{
	int error = ERROR_NONE;

	for (size_t i = 0; !error && i < count; i++)
		error = add_look_up(driver, &peers[i], false);
	return error;
}

static int make_look_ups(struct driver *driver, const struct node_config *config)
{
	struct node_peer self = {.id = config->identity->id, .hosts_count = config->advertise_count};
	size_t count = config->peers_count + config->bootstraps_count + 1;
	int error = resolver_new(driver->loop, on_resolved, driver, &driver->resolver);

	if (error)
		return error;
	driver->looked_up = memory_zalloc(count * sizeof *driver->looked_up);
	if (!driver->looked_up)
		return ERROR_NOMEM;
	for (size_t i = 0; i < config->advertise_count; i++)
		self.hosts[i] = config->advertise[i];
	if (config->advertise_count > 0)
		error = add_look_up(driver, &self, true);
	if (!error)
		error = add_all(driver, config->peers, config->peers_count);
	if (!error)
		error = add_all(driver, config->bootstraps, config->bootstraps_count);
	return error;
}

void start_look_no_more(struct driver *driver, const struct id *node)
{
	for (size_t i = 0; i < driver->looked_up_count; i++) {
		if (!id_equal(&driver->looked_up[i].node, node) ||
			id_equal(node, &driver->me))
			continue;
		resolution_free(driver->looked_up[i].resolution);
		driver->looked_up[i] = driver->looked_up[--driver->looked_up_count];
		return;
	}
}

int start_look_for(struct driver *driver, const struct node_peer *peer)
{
	struct looked_up *grown;
	int error = relay_news_name(driver, peer);

	if (error)
		return error;
	start_look_no_more(driver, &peer->id);
	grown = memory_realloc(
		driver->looked_up, (driver->looked_up_count + 2) * sizeof *driver->looked_up);
	if (!grown)
		return ERROR_NOMEM;
	driver->looked_up = grown;
	return add_look_up(driver, peer, false);
}

/* ---- sockets ---- */

/* Notes that one of several addresses could not be bound; the others are enough. */
static void note_unbound(struct driver *driver, const struct address *address, int error)
{
	struct mesh_time time = clock_time(driver);

	mesh_unable(driver->mesh, &time,
		address->family == 4 ? "cannot be bound, so this node has no IPv4"
				     : "cannot be bound, so this node has no IPv6",
		address, error);
}

static int bind_all(struct driver *driver, const struct node_config *config, struct address *bound,
	size_t *bound_count, char reason[NODE_REASON_SIZE])
{
	char text[ADDRESS_TEXT_SIZE];
	int error, first_error = ERROR_NONE;

	*bound_count = 0;
	for (size_t i = 0; i < config->binds_count; i++) {
		error = quic_endpoint_bind(
			driver->endpoint, &config->binds[i], &bound[*bound_count]);
		if (!error) {
			(*bound_count)++;
			continue;
		}
		if (!first_error) {
			first_error = error;
			snprintf(reason, NODE_REASON_SIZE, "cannot bind UDP %s: %s",
				address_format(&config->binds[i], text), error_text(error));
		}
		if (config->binds_all)
			return error;
		note_unbound(driver, &config->binds[i], error);
	}
	return *bound_count > 0 ? ERROR_NONE : first_error;
}

static int make_endpoint(struct driver *driver, const struct node_config *config)
{
	struct quic_config quic = {
		.loop = driver->loop,
		.identity = config->identity,
		.protocols_count = MESH_PROTOCOLS,
		.protocols[MESH_GOSSIP] =
			{
				.max_connections = LIMIT_CONNECTIONS,
				.reserve = LIMIT_CONNECTIONS_RESERVE,
				.max_per_address = LIMIT_CONNECTIONS_PER_ADDRESS,
				.max_streams = config->max_overlays,
				.idle_timeout = QUIC_IDLE_TIMEOUT,
				.keep_alive = true,
				.callbacks = mesh_quic_callbacks,
			},
		.protocols[MESH_DISCOVERY] =
			{
				.max_connections = 2 * LIMIT_SESSIONS,
				.reserve = LIMIT_SESSIONS / 2,
				.max_bidi_streams = 1,
				.idle_timeout = DISCOVERY_IDLE_NS,
				.callbacks = mesh_quic_callbacks,
			},
		.max_queue = LIMIT_PEER_QUEUE_BYTES,
		.crowded = mesh_quic_crowded,
		.failed = mesh_quic_failed,
		.relay_send = driver->relaying ? relay_news_send : NULL,
		.relay_accept = mesh_quic_accepts,
		.counters = driver->owner.counters,
		.trace = driver->trace,
		.context = driver,
	};

	identity_alpn(PROTOCOL_GOSSIP, &config->network, &quic.protocols[MESH_GOSSIP].alpn);
	identity_alpn(PROTOCOL_DISCOVERY, &config->network, &quic.protocols[MESH_DISCOVERY].alpn);
	return quic_endpoint_new(&quic, &driver->endpoint);
}

/* ---- what was known before ---- */

static void on_value(void *context, const char *name, const void *bytes, size_t size)
{
	if (strcmp(name, MESH_VALUE_TIME) == 0)
		mesh_restore_value(((struct driver *)context)->mesh, bytes, size);
}

static void on_node(void *context, const struct id *node, const uint8_t *row, size_t size)
{
	mesh_restore_row(((struct driver *)context)->mesh, node, row, size);
}

static void on_kept(void *context, const void *row, size_t size)
{
	keeping_restore(context, row, size);
}

static void on_old_neighbour(void *context, const struct id *topic, const struct id *node,
	const struct address *addresses, size_t count)
{
	struct driver *driver = context;
	struct mesh_time time = clock_time(driver);

	mesh_restore_neighbour(driver->mesh, &time, topic, node, addresses, count);
}

static void on_record(
	void *context, const void *key, size_t key_size, const void *value, size_t value_size)
{
	const struct node_config *config = ((struct driver *)context)->starting;

	if (config->record)
		config->record(config->record_context, key, key_size, value, value_size);
}

/* Logs how writing the store goes, but news only: a disk that stays full is said once, and when it
 * is not full any more. */
static void on_wrote(void *context, const char *failure, size_t lost)
{
	struct driver *driver = context;

	if (!failure) {
		driver->store_failure[0] = 0;
		mesh_log(driver->mesh, NODE_LOG_NOTICE,
			"state_dir: what had to wait is written now");
		return;
	}
	counters_add(driver->owner.counters, COUNTER_STORE_FAILED, 1);
	counters_add(driver->owner.counters, COUNTER_STORE_LOST, lost);
	if (strncmp(driver->store_failure, failure, sizeof driver->store_failure - 1) == 0)
		return;
	snprintf(driver->store_failure, sizeof driver->store_failure, "%s", failure);
	mesh_log(driver->mesh, NODE_LOG_WARNING,
		"state_dir cannot be written (%s): what changes, such as what is "
		"subscribed, is not known after a restart; it is tried again",
		failure);
}

static int open_store(struct driver *driver, const struct node_config *config)
{
	const struct store_visitor visitor = {
		.context = driver,
		.record = on_record,
		.value = on_value,
		.node = on_node,
		.neighbour = on_old_neighbour,
		.kept = on_kept,
	};
	const struct store_owner owner = {.context = driver, .wrote = on_wrote};
	char remark[STORE_REASON_SIZE];
	bool anew;
	int error;

	driver->starting = config;
	error = store_open(config->state_dir, driver->loop, &visitor, &owner, &driver->store, &anew,
		remark);
	driver->starting = NULL;
	keeping_say(driver);
	if (!error && remark[0])
		mesh_log(driver->mesh, NODE_LOG_WARNING, "%s", remark);
	else if (!error && anew && !config->first_start)
		mesh_log(driver->mesh, NODE_LOG_WARNING,
			"%.100s/p2panda.db was not there, or empty: " STORE_FORGOTTEN,
			config->state_dir);
	return error;
}

static int make_mesh(struct driver *driver, const struct node_config *config)
{
	const struct mesh_config mesh = {
		.node = config,
		.identity = config->identity,
		.random = random_system(),
		.counters = driver->owner.counters,
		.port = mesh_quic_port(driver),
	};

	return mesh_new(&mesh, &driver->mesh);
}

/* Begins the mesh and its time, once all sockets are bound. */
static int begin(struct driver *driver, const struct node_config *config)
{
	struct mesh_time time = clock_time(driver);
	int error;

	clock_start(driver);
	whereabouts_look(driver);
	error = whereabouts_lan(driver, config->mdns);
	if (!error)
		error = mesh_begin(driver->mesh, &time, driver->told, driver->told_count);
	return error;
}

int driver_new(const struct node_config *config, const struct driver_owner *owner, uv_loop_t *loop,
	struct address *bound, size_t *bound_count, struct driver **out,
	char reason[NODE_REASON_SIZE])
{
	struct driver *driver = memory_zalloc(sizeof *driver);
	int error = ERROR_NOMEM;

	snprintf(reason, NODE_REASON_SIZE, "%s", error_text(ERROR_NOMEM));
	if (!driver)
		return error;
	driver->owner = *owner;
	driver->loop = loop;
	driver->sockets = bound;
	driver->me = config->identity->id;
	driver->is_advertised = config->advertise_count > 0;
	*out = driver;
	error = relay_news_new(driver, config);
	if (!error)
		error = make_mesh(driver, config);
	if (!error)
		error = open_store(driver, config);
	if (!error)
		error = make_look_ups(driver, config);
	if (!error) {
		error = trace_new(loop, config->qlog_dir, config->keylog_file, owner->counters,
			&driver->trace, reason);
		if (error == ERROR_SYSTEM)
			return error;
	}
	if (!error)
		error = make_endpoint(driver, config);
	if (error) {
		snprintf(reason, NODE_REASON_SIZE, "%s", error_text(error));
		return error;
	}
	error = bind_all(driver, config, bound, bound_count, reason);
	if (error)
		return error;
	driver->sockets_count = *bound_count;
	error = begin(driver, config);
	if (error)
		snprintf(reason, NODE_REASON_SIZE, "%s", error_text(error));
	return error;
}
