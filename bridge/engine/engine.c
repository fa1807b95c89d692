/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <utlist.h>

#include "../bytes/hex.h"

/* Lines about what others can bring about as often as they like. */
#define REMARK_EVERY_NS	   (10000 * MS)
#define TWIN_SAID_EVERY_NS (600000 * MS)

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

bool configured_is_news(struct configured *configured, const char *failure)
{
	size_t count = configured->failures_count < FAILURES ? configured->failures_count : FAILURES;

	configured->reached = false;
	for (size_t i = 0; i < count; i++)
		if (strncmp(configured->failures[i], failure, FAILURE_SIZE - 1) == 0)
			return false;
	snprintf(configured->failures[configured->failures_count++ % FAILURES], FAILURE_SIZE, "%s",
		failure);
	return true;
}

void configured_succeeded(struct configured *configured)
{
	configured->failures_count = 0;
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

void engine_remark_twin(struct engine *engine, const struct id *source)
{
	uint64_t unsaid;

	if (!may_remark(engine, &engine->twin_said, &unsaid))
		return;
	/* It goes on until somebody does something about it. */
	engine->twin_said.not_before = engine_now(engine) + TWIN_SAID_EVERY_NS;
	engine_log(engine, NODE_LOG_ERROR,
		"another node has this node's id, and its key (peer %s knows it): each of the two "
		"gets only some of what is sent. Give one of them an identity file of its own: "
		"stop it, delete the copied one, and start it again (was a volume cloned?)",
		short_id(source).text);
}

void engine_remark_crowded(struct engine *engine, const struct address *source)
{
	char text[ADDRESS_TEXT_SIZE];
	uint64_t unsaid;

	if (may_remark(engine, &engine->crowded, &unsaid))
		engine_log(engine, NODE_LOG_WARNING,
			"no place left for connections (%d in all, %d of one address): those that "
			"share no overlay with us give way, others are refused; last: %s (%llu "
			"more since the last such line)",
			LIMIT_CONNECTIONS, LIMIT_CONNECTIONS_PER_ADDRESS,
			address_format(source, text), (unsigned long long)unsaid);
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
		/* From the start in the next turn: that these have none left is soon seen. */
		if (overlay->waiting.count < before && engine_is_late(engine)) {
			engine->waiting_due = now;
			return;
		}
	}
}

/* ---- the pump ---- */

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
	} while (any && !engine_is_late(engine));
	engine->unfinished = any;
	if (engine->stopping && ((!any && !links_sending(engine->links)) ||
					engine_now(engine) >= engine->stop_due))
		life_close(engine);
}

/* ---- time ---- */

static uint64_t deadline(const struct engine *engine)
{
	uint64_t due = engine->unfinished ? 0 : gossip_deadline(engine->gossip);

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
	if (routes_deadline(engine) < due)
		due = routes_deadline(engine);
	if (engine->mdns && mdns_deadline(engine->mdns) < due)
		due = mdns_deadline(engine->mdns);
	if (engine->waiting_due < due)
		due = engine->waiting_due;
	if (engine->heal_due < due)
		due = engine->heal_due;
	if (engine->away_due < due)
		due = engine->away_due;
	if (engine->advertise.due < due)
		due = engine->advertise.due;
	if (twin_deadline(&engine->twin) < due)
		due = twin_deadline(&engine->twin);
	if (store_deadline(engine->store) < due)
		due = store_deadline(engine->store);
	return due;
}

void engine_tick(struct engine *engine)
{
	uint64_t now = engine_now(engine);

	while (now >= gossip_deadline(engine->gossip)) {
		gossip_step(engine->gossip, now);
		effects_gossip(engine);
		if (engine_is_late(engine))
			break;
	}
	expire_waiting(engine, now);
	store_tick(engine->store);
	explore_tick(engine, now);
	routes_expire(engine, now);
	if (!engine->stopping)
		nodes_heal(engine, now);
	twins_tick(engine, now);
	if (now >= engine->advertise.due) {
		engine->advertise.due = UINT64_MAX;
		resolution_start(engine->advertise.resolution);
	}
	engine_pump(engine);
}

uint64_t engine_turn(struct engine *engine)
{
	if (!engine->closing) {
		if (!engine->stopping)
			advertise_clock(engine);
		engine_pump(engine);
		tell_dropped(engine);
		effects_rows(engine);
	}
	engine->owner.turned(engine->owner.context);
	if (engine->closing)
		return UINT64_MAX;
	atomic_store(engine->owner.waiting, engine->room.count);
	return deadline(engine);
}

/* ---- commands ---- */

int engine_join(struct engine *engine, const struct id *topic)
{
	struct overlay *overlay = engine_overlay(engine, topic);
	int error;

	if (overlay || engine->stopping)
		return ERROR_NONE;
	overlay = memory_zalloc(sizeof *overlay);
	if (!overlay)
		return ERROR_NOMEM;
	overlay->topic = *topic;
	overlay->heal_due = overlay->settle_due = UINT64_MAX;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, engine->overlays, &overlay->topic, sizeof overlay->topic,
		keyed_hash(&engine->keyed, topic, sizeof *topic), overlay);
	if (!overlay->hh.tbl) {
		memory_free(overlay);
		return ERROR_NOMEM;
	}
	error = gossip_join(engine->gossip, engine_now(engine), topic);
	if (error == ERROR_NOMEM) {
		HASH_DELETE(hh, engine->overlays, overlay);
		memory_free(overlay);
		return ERROR_NOMEM;
	}
	if (error) {
		overlay->refused = true;
		engine_log(engine, NODE_LOG_WARNING, "overlay %s: not joined: %s",
			short_id(topic).text,
			error == ERROR_LIMIT ? "max_overlays is reached" : error_text(error));
		return ERROR_NONE;
	}
	atomic_fetch_add(engine->owner.overlays, 1);
	routes_joined(engine, topic, true);
	nodes_join(engine, overlay);
	explore_anew(engine);
	engine_pump(engine);
	return ERROR_NONE;
}

void engine_drop(struct engine *engine, struct overlay *overlay)
{
	struct id topic = overlay->topic;

	/* What its neighbours have brought about is of before. */
	while (effects_gossip(engine))
		;
	note_dropped(engine, &topic, COUNTER_DROPPED_LEFT,
		waiting_drop(&engine->room, &overlay->waiting, COUNTER_DROPPED_LEFT));
	HASH_DELETE(hh, engine->overlays, overlay);
	if (!overlay->refused) {
		atomic_fetch_sub(engine->owner.overlays, 1);
		routes_joined(engine, &topic, false);
		if (overlay->lacking)
			engine->lacking--;
		joiner_remove_topic(engine->joiner, &topic);
		/* The cores do not report neighbours of an overlay that is left. */
		neighbours_left(engine, &topic);
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
	engine_drop(engine, overlay);
	engine_pump(engine);
}

void engine_gave_way(void *context, struct waiting *waiting)
{
	const struct overlay *overlay = (const struct overlay *)((const char *)waiting -
		offsetof(struct overlay, waiting));

	note_dropped(context, &overlay->topic, COUNTER_DROPPED_QUEUE_LIMIT, 1);
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
		/* The neighbour may be so new that the pump has not come to it. */
		engine_send_waiting(engine, topic);
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
