/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "presence.h"

#include <stdio.h>
#include <string.h>

/* One node that is a neighbour in at least one overlay. */
struct companion {
	struct id id;
	struct address address; /* family 0: not known */
	bool dialled;
	size_t overlays;
	UT_hash_handle hh;
};

static void say(struct mesh *mesh, const struct companion *companion, const char *what)
{
	char text[ADDRESS_TEXT_SIZE];

	/* Of those that the administrator has named there are only so many. */
	if (!mesh_configured(mesh, &companion->id) && !mesh_may_say(mesh, &mesh->comings, "neighbours"))
		return;
	mesh_log(mesh, NODE_LOG_INFO, "neighbour %s at %s: %s (%s)",
		short_id(&companion->id).text,
		companion->address.family ? address_format(&companion->address, text) : "?", what,
		companion->dialled ? "dialled" : "incoming");
}

static struct companion *find(struct mesh *mesh, const struct id *peer)
{
	struct companion *companion;

	HASH_FIND_BYHASHVALUE(hh, mesh->companions, peer, sizeof *peer,
		keyed_hash(&mesh->keyed, peer, sizeof *peer), companion);
	return companion;
}

static struct companion *add(struct mesh *mesh, const struct id *peer)
{
	struct companion *companion = memory_zalloc(sizeof *companion);

	if (!companion)
		return NULL;
	companion->id = *peer;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, mesh->companions, &companion->id, sizeof companion->id,
		keyed_hash(&mesh->keyed, peer, sizeof *peer), companion);
	if (companion->hh.tbl)
		return companion;
	memory_free(companion);
	return NULL;
}

void presence_up(
	struct mesh *mesh, const struct id *peer, const struct address *address, bool dialled)
{
	struct companion *companion = find(mesh, peer);

	if (!companion) {
		companion = add(mesh, peer);
		if (!companion)
			return; /* it is only about the log */
		if (address)
			companion->address = *address;
		companion->dialled = dialled;
		say(mesh, companion, "here");
	}
	companion->overlays++;
}

static void less(struct mesh *mesh, struct companion *companion)
{
	if (--companion->overlays > 0)
		return;
	say(mesh, companion, "gone");
	HASH_DELETE(hh, mesh->companions, companion);
	memory_free(companion);
}

void presence_down(
	struct mesh *mesh, const struct id *topic, const struct id *peer, size_t left)
{
	struct companion *companion = find(mesh, peer);

	if (companion)
		less(mesh, companion);
	if (left == 0 && !mesh->stopping && mesh_may_say(mesh, &mesh->alone, "overlays"))
		mesh_log(mesh, NODE_LOG_INFO, "overlay %s: alone, its last neighbour is gone",
			short_id(topic).text);
}

void presence_left(struct mesh *mesh, const struct id *topic)
{
	struct companion *companion, *next;

	HASH_ITER (hh, mesh->companions, companion, next)
		if (gossip_is_neighbour(mesh->gossip, topic, &companion->id))
			less(mesh, companion);
}

void presence_free(struct mesh *mesh)
{
	struct companion *companion, *next;

	HASH_ITER (hh, mesh->companions, companion, next) {
		HASH_DELETE(hh, mesh->companions, companion);
		memory_free(companion);
	}
}

/* ---- nodes of the configuration ---- */

/* Whether this failure is another one than those before; keeps it. */
static bool is_news(struct configured *configured, const char *failure)
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

void presence_succeeded(struct configured *configured)
{
	configured->failures_count = 0;
}

static const char *role_of(const struct configured *configured)
{
	return configured && !configured->trusted ? "bootstrap" : "peer";
}

void presence_not_found(struct mesh *mesh, struct configured *configured, const char *failure)
{
	if (is_news(configured, failure))
		mesh_log(mesh, NODE_LOG_NOTICE, "%s %s: %s", role_of(configured),
			short_id(&configured->id).text, failure);
}

void presence_failed(struct mesh *mesh, const struct id *peer, const struct address *address,
	const char *text)
{
	struct configured *configured = mesh_configured(mesh, peer);
	char buffer[ADDRESS_TEXT_SIZE];

	if (configured && !is_news(configured, text))
		return;
	mesh_log(mesh, configured ? NODE_LOG_NOTICE : NODE_LOG_DEBUG, "%s %s at %s: %s",
		role_of(configured), short_id(peer).text, address_format(address, buffer), text);
}

void presence_reached(struct mesh *mesh, const struct id *peer, const struct address *address)
{
	struct configured *configured = mesh_configured(mesh, peer);
	char text[ADDRESS_TEXT_SIZE];

	if (!configured)
		return;
	presence_succeeded(configured);
	if (configured->reached)
		return;
	configured->reached = true;
	mesh_log(mesh, NODE_LOG_INFO, "%s %s at %s: reached",
		role_of(configured), short_id(peer).text, address_format(address, text));
}

void presence_named(struct mesh *mesh, const struct id *peer, const struct id *topic)
{
	struct unjoined *unjoined = NULL;

	for (size_t i = 0; i < mesh->unjoined_count && !unjoined; i++)
		if (id_equal(&mesh->unjoined[i].topic, topic))
			unjoined = &mesh->unjoined[i];
	if (!unjoined) {
		if (mesh->unjoined_count < UNJOINED)
			mesh->unjoined[mesh->unjoined_count++] =
				(struct unjoined){.topic = *topic, .node = *peer};
		return;
	}
	if (unjoined->said || id_equal(&unjoined->node, peer))
		return;
	unjoined->said = true;
	mesh_log(mesh, NODE_LOG_NOTICE,
		"overlay %s: peers %s and %s have it, and this broker has not joined it: they do "
		"not hear each other through it (option topic)",
		short_id(topic).text, short_id(&unjoined->node).text, short_id(peer).text);
}

void presence_stranger(struct mesh *mesh, const struct address *address, const char *why)
{
	char text[ADDRESS_TEXT_SIZE];

	if (mesh_may_say(mesh, &mesh->foreigners, "nodes refused"))
		mesh_log(mesh, NODE_LOG_NOTICE, "refused a node at %s: %s",
			address_format(address, text), why);
}
