/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the log says of neighbours: once per node, however many overlays it is one in. */
#include <stdio.h>

#include "internal.h"

/* Others bring these lines about, as often as they like: so many of them in so long, of each kind. */
#define LINES	     16
#define LINES_EVERY_NS (10000 * MS)

/* One node that is a neighbour in at least one overlay. */
struct companion {
	struct id id;
	struct address address; /* family 0: not known */
	bool dialled;
	size_t overlays;
	UT_hash_handle hh;
};

/* Whether one more line of this kind may be said. */
static bool may_say(struct engine *engine, struct quota *quota)
{
	uint64_t now = engine_now(engine), unsaid = quota->unsaid;

	if (now >= quota->until) {
		*quota = (struct quota){.until = now + LINES_EVERY_NS};
		if (unsaid > 0)
			engine_log(engine, NODE_LOG_INFO, "%llu more lines about %s not shown",
				(unsigned long long)unsaid,
				quota == &engine->alone ? "overlays" : "neighbours");
	}
	if (quota->said == LINES) {
		quota->unsaid++;
		return false;
	}
	quota->said++;
	return true;
}

static void say(struct engine *engine, const struct companion *companion, const char *what)
{
	char text[ADDRESS_TEXT_SIZE];

	/* Of those that the administrator has named there are only so many. */
	if (!engine_configured(engine, &companion->id) && !may_say(engine, &engine->comings))
		return;
	engine_log(engine, NODE_LOG_INFO, "neighbour %s at %s: %s (%s)",
		short_id(&companion->id).text,
		companion->address.family ? address_format(&companion->address, text) : "?", what,
		companion->dialled ? "dialled" : "incoming");
}

static struct companion *find(struct engine *engine, const struct id *peer)
{
	struct companion *companion;

	HASH_FIND_BYHASHVALUE(hh, engine->companions, peer, sizeof *peer,
		keyed_hash(&engine->keyed, peer, sizeof *peer), companion);
	return companion;
}

static struct companion *add(struct engine *engine, const struct id *peer)
{
	struct companion *companion = memory_zalloc(sizeof *companion);

	if (!companion)
		return NULL;
	companion->id = *peer;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, engine->companions, &companion->id, sizeof companion->id,
		keyed_hash(&engine->keyed, peer, sizeof *peer), companion);
	if (companion->hh.tbl)
		return companion;
	memory_free(companion);
	return NULL;
}

void neighbours_up(struct engine *engine, const struct id *peer)
{
	struct companion *companion = find(engine, peer);
	struct quic_connection *connection;
	struct route *route;

	if (!companion) {
		companion = add(engine, peer);
		if (!companion)
			return; /* it is only about the log */
		connection = links_connection(engine->links, peer);
		route = connection ? quic_connection_data(connection) : NULL;
		if (route) {
			companion->address = quic_connection_address(connection);
			companion->dialled = route->dialled;
		}
		say(engine, companion, "here");
	}
	companion->overlays++;
}

static void less(struct engine *engine, struct companion *companion)
{
	if (--companion->overlays > 0)
		return;
	say(engine, companion, "gone");
	HASH_DELETE(hh, engine->companions, companion);
	memory_free(companion);
}

void neighbours_down(struct engine *engine, const struct id *topic, const struct id *peer)
{
	struct companion *companion = find(engine, peer);
	const struct overlay *overlay = engine_overlay(engine, topic);

	if (companion)
		less(engine, companion);
	if (overlay && gossip_neighbours(engine->gossip, topic) == 0 && !engine->stopping &&
		may_say(engine, &engine->alone))
		engine_log(engine, NODE_LOG_INFO, "overlay %s: alone, its last neighbour is gone",
			short_id(topic).text);
}

void neighbours_left(struct engine *engine, const struct id *topic)
{
	struct companion *companion, *next;

	HASH_ITER (hh, engine->companions, companion, next)
		if (gossip_is_neighbour(engine->gossip, topic, &companion->id))
			less(engine, companion);
}

void neighbours_free(struct engine *engine)
{
	struct companion *companion, *next;

	HASH_ITER (hh, engine->companions, companion, next) {
		HASH_DELETE(hh, engine->companions, companion);
		memory_free(companion);
	}
}

void neighbours_reached(struct engine *engine, const struct id *peer, const struct address *address)
{
	struct configured *configured = engine_configured(engine, peer);
	char text[ADDRESS_TEXT_SIZE];

	if (!configured)
		return;
	configured_succeeded(configured);
	if (configured->reached)
		return;
	configured->reached = true;
	engine_log(engine, NODE_LOG_INFO, "%s %s at %s: reached",
		configured->trusted ? "peer" : "bootstrap", short_id(peer).text,
		address_format(address, text));
}

void neighbours_named(struct engine *engine, const struct id *peer, const struct id *topic)
{
	struct unjoined *unjoined = NULL;

	if (engine_overlay(engine, topic))
		return;
	for (size_t i = 0; i < engine->unjoined_count && !unjoined; i++)
		if (id_equal(&engine->unjoined[i].topic, topic))
			unjoined = &engine->unjoined[i];
	if (!unjoined) {
		if (engine->unjoined_count < UNJOINED)
			engine->unjoined[engine->unjoined_count++] =
				(struct unjoined){.topic = *topic, .node = *peer};
		return;
	}
	if (unjoined->said || id_equal(&unjoined->node, peer))
		return;
	unjoined->said = true;
	engine_log(engine, NODE_LOG_NOTICE,
		"overlay %s: peers %s and %s have it, and this broker has not joined it: they do "
		"not hear each other through it (option topic)",
		short_id(topic).text, short_id(&unjoined->node).text, short_id(peer).text);
}

void neighbours_stranger(struct engine *engine, const struct address *address, const char *why)
{
	char text[ADDRESS_TEXT_SIZE];

	if (may_say(engine, &engine->foreigners))
		engine_log(engine, NODE_LOG_NOTICE, "refused a node at %s: %s",
			address_format(address, text), why);
}
