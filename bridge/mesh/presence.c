/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "presence.h"

#include <stdio.h>
#include <string.h>

#include "../error.h"

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

	/* Lines about nodes that the administrator has named are not limited: there are only so
	 * many. */
	if (!mesh_configured(mesh, &companion->id) && !mesh_may_say(mesh, &mesh->comings, "neighbours"))
		return;
	mesh_log(mesh, NODE_LOG_INFO, "neighbour %s at %s: %s (%s)",
		short_id(&companion->id).text,
		companion->address.family ? address_format(&companion->address, text) : "?", what,
		companion->dialled ? "dialled" : "incoming");
}

static struct companion *find(const struct mesh *mesh, const struct id *peer)
{
	struct companion *companion;

	KEYED_FIND(&mesh->keyed, mesh->companions, peer, sizeof *peer, companion);
	return companion;
}

size_t presence_overlays(const struct mesh *mesh, const struct id *peer)
{
	const struct companion *companion = find(mesh, peer);

	return companion ? companion->overlays : 0;
}

static struct companion *add(struct mesh *mesh, const struct id *peer)
{
	struct companion *companion = memory_zalloc(sizeof *companion);

	if (!companion)
		return NULL;
	companion->id = *peer;
	KEYED_ADD(&mesh->keyed, mesh->companions, &companion->id, sizeof companion->id, companion);
	return companion;
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

/* ---- how nodes fail ---- */

static struct report *find_report(const struct mesh *mesh, const struct id *peer)
{
	struct report *report;

	KEYED_FIND(&mesh->keyed, mesh->reports, peer, sizeof *peer, report);
	return report;
}

const struct report *presence_report(const struct mesh *mesh, const struct id *peer)
{
	return find_report(mesh, peer);
}

static void forget_report(struct mesh *mesh, struct report *report)
{
	HASH_DELETE(hh, mesh->reports, report);
	memory_free(report);
}

/* Keeps a failure for whoever asks. Without memory nobody is told why. */
static void note(struct mesh *mesh, const struct id *peer, const struct address *address,
	const char *text)
{
	struct report *report = find_report(mesh, peer);

	if (report)
		forget_report(mesh, report); /* it is the newest from now on */
	else if (HASH_COUNT(mesh->reports) >= LIMIT_REPORTS)
		forget_report(mesh, mesh->reports);
	report = memory_zalloc(sizeof *report);
	if (!report)
		return;
	report->id = *peer;
	report->wall = mesh->wall;
	if (address)
		report->address = *address;
	snprintf(report->text, sizeof report->text, "%s", text);
	KEYED_ADD(&mesh->keyed, mesh->reports, &report->id, sizeof report->id, report);
	mesh_nodes_changed(mesh);
}

/* ---- nodes of the configuration ---- */

/* Tells whether this failure is another one than those before, and keeps it. */
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

/* Tells the owner whether a configured node is here, unless the owner knows. */
static void tell(struct mesh *mesh, struct configured *configured)
{
	struct node_event event = {
		.type = NODE_CONFIGURED, .peer = configured->id, .configured = true};

	event.here = configured->linked || configured->visited;
	if (event.here == configured->here)
		return;
	configured->here = event.here;
	mesh_emit(mesh, &event);
}

void presence_configured(struct mesh *mesh, struct configured *configured)
{
	struct node_event event = {
		.type = NODE_CONFIGURED, .peer = configured->id, .configured = true};

	configured->linked = links_linked(mesh->links, &configured->id);
	event.here = configured->here = configured->linked;
	mesh_emit(mesh, &event);
}

void presence_unconfigured(struct mesh *mesh, const struct id *peer)
{
	const struct node_event event = {.type = NODE_CONFIGURED, .peer = *peer};

	mesh_emit(mesh, &event);
}

void presence_linked(struct mesh *mesh, const struct id *peer, bool linked)
{
	struct configured *configured = mesh_configured(mesh, peer);

	if (!configured)
		return;
	configured->linked = linked;
	tell(mesh, configured);
}

static void note_visit(struct mesh *mesh, struct configured *configured, bool visited)
{
	configured->visited = visited;
	tell(mesh, configured);
}

void presence_lost(struct mesh *mesh, const struct id *peer)
{
	struct configured *configured = mesh_configured(mesh, peer);

	if (configured)
		note_visit(mesh, configured, false);
}

static const char *role_of(const struct configured *configured)
{
	return configured && !configured->trusted ? "bootstrap" : "peer";
}

void presence_not_found(struct mesh *mesh, struct configured *configured, const char *failure)
{
	note(mesh, &configured->id, NULL, failure);
	note_visit(mesh, configured, false);
	if (is_news(configured, failure))
		mesh_log(mesh, NODE_LOG_NOTICE, "%s %s: %s", role_of(configured),
			short_id(&configured->id).text, failure);
}

void presence_many(struct mesh *mesh, struct configured *configured, size_t count, size_t all)
{
	if (configured->many == all)
		return;
	configured->many = all;
	mesh_log(mesh, NODE_LOG_NOTICE,
		"%s %s: its names lead to %zu addresses: they are tried %zu at a time",
		role_of(configured), short_id(&configured->id).text, all, count);
}

/* Returns what an administrator may look at after a failure; empty: nothing in particular. Each
 * entry begins with what the transport says. */
static const char *hint(const char *failure)
{
	static const struct {
		const char *begins, *hint;
	} hints[] = {
		{"handshake timed out", ": nobody answers there (is it running, is its UDP port "
					"open, is the address right?)"},
		{"peer is not the dialled node", ": another node has this address (its id is in "
						 "its log, after 'node id')"},
		{"peer does not speak QUIC", ": something else has this address"},
		{"refused by peer: transport code 0x131",
			" (see allow_node and deny_node there)"},
	};

	for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
		if (strncmp(failure, hints[i].begins, strlen(hints[i].begins)) == 0)
			return hints[i].hint;
	return "";
}

void presence_failed(struct mesh *mesh, const struct id *peer, const struct address *address,
	const char *text)
{
	struct configured *configured = mesh_configured(mesh, peer);
	char buffer[ADDRESS_TEXT_SIZE];

	note(mesh, peer, address, text);
	if (configured)
		note_visit(mesh, configured, false);
	if (configured && !is_news(configured, text))
		return;
	mesh_log(mesh, configured ? NODE_LOG_NOTICE : NODE_LOG_DEBUG, "%s %s at %s: %s%s",
		role_of(configured), short_id(peer).text, address_format(address, buffer), text,
		hint(text));
}

void presence_not_begun(
	struct mesh *mesh, const struct id *peer, const struct address *address, int error)
{
	char text[FAILURE_SIZE];

	if (links_linked(mesh->links, peer))
		return;
	snprintf(text, sizeof text, "cannot be dialled: %s", error_text(error));
	presence_failed(mesh, peer, address, text);
}

void presence_reached(struct mesh *mesh, const struct id *peer, const struct address *address)
{
	struct configured *configured = mesh_configured(mesh, peer);
	char text[ADDRESS_TEXT_SIZE];

	if (!configured)
		return;
	presence_succeeded(configured);
	note_visit(mesh, configured, true);
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

void presence_free(struct mesh *mesh)
{
	struct companion *companion, *next;

	HASH_ITER (hh, mesh->companions, companion, next) {
		HASH_DELETE(hh, mesh->companions, companion);
		memory_free(companion);
	}
	while (mesh->reports)
		forget_report(mesh, mesh->reports);
}
