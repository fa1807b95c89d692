/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <utlist.h>

#include "../bytes/hex.h"

/* p2panda-net src/discovery/actors/manager.rs, MAX_IDLE_TIMEOUT. */
#define DISCOVERY_IDLE_NS (3000 * MS)
/* Lines about what others can bring about as often as they like. */
#define REMARK_EVERY_NS (10000 * MS)

uint64_t engine_now(const struct engine *engine)
{
	(void)engine;
	return uv_hrtime();
}

uint64_t engine_wall(void)
{
	uv_timespec64_t now;

	/* A clock that cannot be read is one that stands still: infos are numbered on. */
	if (uv_clock_gettime(UV_CLOCK_REALTIME, &now) != 0 || now.tv_sec < 0)
		return 0;
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct short_id short_id(const struct id *id)
{
	struct short_id out;

	hex_encode(id->bytes, ID_SHORT_HEX_SIZE / 2, out.text);
	return out;
}

void engine_log(struct engine *engine, enum node_log_level level, const char *format, ...)
{
	struct node_event event = {.type = NODE_LOG, .level = level};
	va_list arguments;

	event.text = memory_alloc(NODE_REASON_SIZE);
	if (!event.text)
		return;
	va_start(arguments, format);
	vsnprintf(event.text, NODE_REASON_SIZE, format, arguments);
	va_end(arguments);
	engine->owner.emit(engine->owner.context, &event);
}

bool engine_is_news(char last[FAILURE_SIZE], const char *failure)
{
	if (strncmp(last, failure, FAILURE_SIZE - 1) == 0)
		return false;
	snprintf(last, FAILURE_SIZE, "%s", failure);
	return true;
}

void engine_emit(struct engine *engine, enum node_event_type type, const struct id *topic,
	const struct id *peer, struct message *message)
{
	struct node_event event = {.type = type, .topic = *topic, .message = message};

	if (peer)
		event.peer = *peer;
	engine->owner.emit(engine->owner.context, &event);
}

void engine_count(struct engine *engine, enum counter counter)
{
	counters_add(engine->owner.counters, counter, 1);
}

/* Whether the line may be said now; unsaid: how many were not since the last one. */
static bool may_remark(struct engine *engine, struct remark *remark, uint64_t *unsaid)
{
	uint64_t now = engine_now(engine);

	if (now < remark->not_before) {
		remark->unsaid++;
		return false;
	}
	*unsaid = remark->unsaid;
	*remark = (struct remark){.not_before = now + REMARK_EVERY_NS};
	return true;
}

void engine_remark_denied(struct engine *engine, const struct id *peer, const char *what)
{
	uint64_t unsaid;

	if (may_remark(engine, &engine->denied, &unsaid))
		engine_log(engine, NODE_LOG_NOTICE,
			"peer %s: %s: shut out by allow_node or deny_node (%llu more since the "
			"last such line)",
			short_id(peer).text, what, (unsigned long long)unsaid);
}

void engine_remark_own_id(struct engine *engine, const char *where)
{
	uint64_t unsaid;

	if (may_remark(engine, &engine->own_id, &unsaid))
		engine_log(engine, NODE_LOG_ERROR,
			"a peer%s shows our own node id: two nodes must not share an identity file "
			"(was a volume cloned?)",
			where);
}

bool engine_may_dial(struct engine *engine, const struct id *peer)
{
	if (access_grants(engine->access, peer))
		return true;
	engine_count(engine, COUNTER_NOT_DIALLED);
	engine_remark_denied(engine, peer, "not dialled");
	return false;
}

struct overlay *engine_overlay(const struct engine *engine, const struct id *topic)
{
	struct overlay *overlay;

	HASH_FIND_BYHASHVALUE(hh, engine->overlays, topic, sizeof *topic,
		keyed_hash(&engine->keyed, topic, sizeof *topic), overlay);
	return overlay;
}

struct configured *engine_configured(struct engine *engine, const struct id *id)
{
	for (size_t i = 0; i < engine->configured_count; i++)
		if (id_equal(&engine->configured[i].id, id))
			return &engine->configured[i];
	return NULL;
}

struct configured *engine_trusted(struct engine *engine, const struct id *id)
{
	struct configured *configured = engine_configured(engine, id);

	return configured && configured->trusted ? configured : NULL;
}

/* ---- messages out ---- */

static void tell_dropped(struct engine *engine)
{
	if (engine->dropped.count > 0)
		engine->owner.emit(engine->owner.context, &engine->dropped);
	engine->dropped.count = 0;
}

/* Says what was not carried (it is counted already), one event for a row of the same. */
static void note_dropped(
	struct engine *engine, const struct id *topic, enum counter reason, uint64_t n)
{
	struct node_event *dropped = &engine->dropped;

	if (n == 0)
		return;
	if (dropped->reason != reason || !id_equal(&dropped->topic, topic))
		tell_dropped(engine);
	dropped->type = NODE_DROPPED;
	dropped->topic = *topic;
	dropped->reason = reason;
	dropped->count += n;
}

static void drop(struct engine *engine, const struct id *topic, enum counter reason)
{
	engine_count(engine, reason);
	note_dropped(engine, topic, reason, 1);
}

static void engine_broadcast(struct engine *engine, const struct id *topic, struct message *message)
{
	size_t neighbours = 0;

	switch (gossip_publish(engine->gossip, engine_now(engine), topic, message, &neighbours)) {
	case ERROR_NONE:
		engine_count(engine, COUNTER_SENT);
		break;
	case ERROR_REPEATED:
		drop(engine, topic, COUNTER_DROPPED_REPEATED);
		break;
	case ERROR_TOO_LARGE:
		drop(engine, topic, COUNTER_DROPPED_TOO_LARGE);
		break;
	case ERROR_NOT_JOINED:
		drop(engine, topic, COUNTER_DROPPED_LEFT);
		break;
	default:
		drop(engine, topic, COUNTER_DROPPED_NO_MEMORY);
		break;
	}
}

void engine_send_waiting(struct engine *engine, const struct id *topic)
{
	struct overlay *overlay = engine_overlay(engine, topic);
	struct message *message;

	while (overlay && (message = waiting_pop(&engine->room, &overlay->waiting))) {
		engine_broadcast(engine, topic, message);
		message_unref(message);
	}
}

static void expire_waiting(struct engine *engine, uint64_t now)
{
	struct overlay *overlay, *next;
	uint64_t due;
	size_t before;

	if (now < engine->waiting_due)
		return;
	engine->waiting_due = UINT64_MAX;
	HASH_ITER (hh, engine->overlays, overlay, next) {
		before = overlay->waiting.count;
		due = waiting_expire(&engine->room, &overlay->waiting, now);
		note_dropped(engine, &overlay->topic, COUNTER_DROPPED_QUEUE_AGE,
			before - overlay->waiting.count);
		if (due < engine->waiting_due)
			engine->waiting_due = due;
	}
}

/* ---- the pump ---- */

static void close_endpoint(struct engine *engine);

void engine_pump(struct engine *engine)
{
	bool any;

	if (engine->closing)
		return;
	do {
		any = effects_gossip(engine);
		any = effects_links(engine) || any;
		any = effects_dialer(engine) || any;
		any = effects_joiner(engine) || any;
		any = effects_explorer(engine) || any;
		any = effects_walker(engine) || any;
		any = effects_mdns(engine) || any;
	} while (any);
	if (engine->stopping &&
		(!links_sending(engine->links) || engine_now(engine) >= engine->stop_due))
		close_endpoint(engine);
}

/* ---- time ---- */

static uint64_t deadline(const struct engine *engine)
{
	uint64_t due = gossip_deadline(engine->gossip);

	if (links_deadline(engine->links) < due)
		due = links_deadline(engine->links);
	if (engine->stopping)
		return engine->stop_due < due ? engine->stop_due : due;
	if (dialer_deadline(engine->dialer) < due)
		due = dialer_deadline(engine->dialer);
	if (joiner_deadline(engine->joiner) < due)
		due = joiner_deadline(engine->joiner);
	if (dialer_deadline(engine->explorer) < due)
		due = dialer_deadline(engine->explorer);
	if (walker_deadline(engine->walker) < due)
		due = walker_deadline(engine->walker);
	if (explore_deadline(engine) < due)
		due = explore_deadline(engine);
	if (engine->mdns && mdns_deadline(engine->mdns) < due)
		due = mdns_deadline(engine->mdns);
	if (engine->waiting_due < due)
		due = engine->waiting_due;
	if (engine->heal_due < due)
		due = engine->heal_due;
	if (engine->advertise.due < due)
		due = engine->advertise.due;
	return due;
}

static void on_timer(uv_timer_t *timer)
{
	struct engine *engine = timer->data;
	uint64_t now = engine_now(engine);

	if (now >= gossip_deadline(engine->gossip))
		gossip_tick(engine->gossip, now);
	expire_waiting(engine, now);
	explore_expire(engine, now);
	if (!engine->stopping)
		nodes_heal(engine, now);
	if (now >= engine->advertise.due) {
		engine->advertise.due = UINT64_MAX;
		resolution_start(engine->advertise.resolution);
	}
	engine_pump(engine);
}

/* Once per turn of the loop, before it sleeps: the one timer follows the cores. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct engine *engine = prepare->data;
	uint64_t due, now;

	if (engine->closing)
		return;
	engine_pump(engine);
	tell_dropped(engine);
	effects_rows(engine);
	if (engine->closing)
		return;
	atomic_store(engine->owner.waiting, engine->room.count);
	due = deadline(engine);
	if (due == UINT64_MAX) {
		uv_timer_stop(&engine->timer);
		return;
	}
	now = engine_now(engine);
	uv_timer_start(&engine->timer, on_timer, due <= now ? 0 : (due - now + MS - 1) / MS, 0);
}

/* ---- commands ---- */

void engine_join(struct engine *engine, const struct id *topic)
{
	struct overlay *overlay = engine_overlay(engine, topic);
	int error;

	if (overlay || engine->stopping)
		return;
	overlay = memory_zalloc(sizeof *overlay);
	if (!overlay)
		return;
	overlay->topic = *topic;
	overlay->heal_due = UINT64_MAX;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, engine->overlays, &overlay->topic, sizeof overlay->topic,
		keyed_hash(&engine->keyed, topic, sizeof *topic), overlay);
	if (!overlay->hh.tbl) {
		memory_free(overlay);
		return;
	}
	error = gossip_join(engine->gossip, engine_now(engine), topic);
	if (error) {
		overlay->refused = true;
		engine_log(engine, NODE_LOG_WARNING, "overlay %s: not joined: %s",
			short_id(topic).text,
			error == ERROR_LIMIT ? "max_overlays is reached" : error_text(error));
		return;
	}
	atomic_fetch_add(engine->owner.overlays, 1);
	nodes_join(engine, overlay);
	explore_anew(engine);
	engine_pump(engine);
}

static void leave(struct engine *engine, struct overlay *overlay)
{
	struct id topic = overlay->topic;

	note_dropped(engine, &topic, COUNTER_DROPPED_LEFT,
		waiting_drop(&engine->room, &overlay->waiting, COUNTER_DROPPED_LEFT));
	HASH_DELETE(hh, engine->overlays, overlay);
	if (!overlay->refused) {
		atomic_fetch_sub(engine->owner.overlays, 1);
		joiner_remove_topic(engine->joiner, &topic);
		/* The cores do not report neighbours of an overlay that is left. */
		atomic_fetch_sub(
			engine->owner.neighbours, gossip_neighbours(engine->gossip, &topic));
		gossip_leave(engine->gossip, engine_now(engine), &topic);
	}
	memory_free(overlay);
	engine_emit(engine, NODE_LEFT, &topic, NULL, NULL);
	for (size_t i = 0; !engine->overlays && i < engine->configured_count; i++) {
		dialer_unwant(engine->dialer, &engine->configured[i].id);
		links_keep(engine->links, engine_now(engine), &engine->configured[i].id, false);
	}
}

void engine_leave(struct engine *engine, const struct id *topic)
{
	struct overlay *overlay = engine_overlay(engine, topic);

	if (!overlay || engine->stopping)
		return;
	leave(engine, overlay);
	engine_pump(engine);
}

static void wait_for_neighbour(
	struct engine *engine, struct overlay *overlay, uint64_t now, struct message *message)
{
	struct waiting *waiting = &overlay->waiting;
	size_t before = waiting->count;
	int error = waiting_push(&engine->room, waiting, now, message);

	if (error == ERROR_NOMEM)
		note_dropped(engine, &overlay->topic, COUNTER_DROPPED_NO_MEMORY, 1);
	else
		note_dropped(engine, &overlay->topic, COUNTER_DROPPED_QUEUE_LIMIT,
			before + 1 - waiting->count);
	if (!error && now + engine->room.age_ns < engine->waiting_due)
		engine->waiting_due = now + engine->room.age_ns;
}

void engine_publish(struct engine *engine, const struct id *topic, struct message *message)
{
	struct overlay *overlay = engine_overlay(engine, topic);
	uint64_t now = engine_now(engine);

	if (!overlay) {
		drop(engine, topic, COUNTER_DROPPED_LEFT);
	} else if (overlay->refused) {
		drop(engine, topic, COUNTER_DROPPED_MAX_OVERLAYS);
	} else if (gossip_neighbours(engine->gossip, topic) > 0) {
		engine_broadcast(engine, topic, message);
		engine_pump(engine);
	} else {
		wait_for_neighbour(engine, overlay, now, message);
	}
	message_unref(message);
}

void engine_record(struct engine *engine, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	store_record(engine->store, key, key_size, value, value_size);
}

/* ---- beginning and end ---- */

static bool has_moved(
	struct configured *configured, const struct address *addresses, size_t count)
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

static void on_part_closed(void *context)
{
	struct engine *engine = context;

	if (--engine->handles == 0)
		engine->owner.stopped(engine->owner.context);
}

static void on_handle_closed(uv_handle_t *handle)
{
	on_part_closed(handle->data);
}

static void on_endpoint_closed(void *context)
{
	struct engine *engine = context;

	engine->endpoint = NULL;
	if (!engine->handles_ready) {
		engine->owner.stopped(engine->owner.context);
		return;
	}
	engine->handles = 2 + (engine->multicast != NULL) + (engine->advertise.watch != NULL);
	uv_close((uv_handle_t *)&engine->timer, on_handle_closed);
	uv_close((uv_handle_t *)&engine->prepare, on_handle_closed);
	if (engine->multicast)
		multicast_close(engine->multicast, on_part_closed, engine);
	if (engine->advertise.watch)
		interfaces_watch_stop(engine->advertise.watch, on_part_closed, engine);
}

static void close_endpoint(struct engine *engine)
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
			close_endpoint(engine);
		else
			engine->owner.stopped(engine->owner.context);
		return;
	}
	engine->stop_due = engine_now(engine) + LIMIT_FAREWELL_MS * MS;
	HASH_ITER (hh, engine->overlays, overlay, next)
		leave(engine, overlay);
	engine_pump(engine);
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
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
			error = resolution_new(engine->resolver, &nodes[i], &configured->resolution);
		if (error)
			return error;
		engine->configured_count++;
	}
	return ERROR_NONE;
}

static int configure_all(struct engine *engine, const struct node_config *config)
{
	int error;

	engine->configured = memory_zalloc((config->peers_count + config->bootstraps_count + 1) *
					   sizeof *engine->configured);
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
				.max_streams = config->max_overlays,
				.idle_timeout = QUIC_IDLE_TIMEOUT,
				.keep_alive = true,
				.callbacks = route_callbacks,
			},
		.protocols[DISCOVERY] =
			{
				.max_connections = 2 * LIMIT_SESSIONS,
				.max_bidi_streams = 1,
				.idle_timeout = DISCOVERY_IDLE_NS,
				.callbacks = explore_callbacks,
			},
		.max_queue = LIMIT_PEER_QUEUE_BYTES,
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

	if (strcmp(name, ADVERTISE_TIME) == 0 && size == sizeof engine->advertise.time.us)
		memcpy(&engine->advertise.time.us, bytes, size);
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
	book_hear(engine->book, now, node, node, addresses, count, true);
	if (count > 0)
		book_worked(engine->book, now, engine_wall(), node, &addresses[0]);
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
	engine->waiting_due = engine->heal_due = UINT64_MAX;
	engine->advertise.due = UINT64_MAX;
	engine->room = (struct waiting_room){
		.limit = config->queue_limit,
		.age_ns = config->queue_age_ns,
		.max_bytes = LIMIT_WAITING_BYTES,
		.counters = owner->counters,
	};
	keyed_init(&engine->keyed, &engine->random);
	*out = engine;
	error = book_new(
		&engine->me, &engine->random, owner->counters, LIMIT_NODES, &engine->book);
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
	uv_timer_init(loop, &engine->timer);
	engine->timer.data = engine;
	uv_prepare_init(loop, &engine->prepare);
	engine->prepare.data = engine;
	uv_prepare_start(&engine->prepare, on_prepare);
	engine->handles_ready = true;
	error = local_make(engine, config->mdns);
	if (error)
		snprintf(reason, NODE_REASON_SIZE, "%s", error_text(error));
	return error;
}
