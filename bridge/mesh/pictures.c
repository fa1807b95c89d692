/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "pictures.h"

#include <string.h>
#include <utlist.h>

#include "connections.h"
#include "overlays.h"
#include "presence.h"

void pictures_give(struct mesh *mesh, struct picture *picture)
{
	const struct node_event event = {.type = NODE_PICTURE, .picture = picture};

	mesh_emit(mesh, &event);
}

static size_t most_of(const struct picture_question *question)
{
	return question->most == 0 || question->most > PICTURE_MOST ? PICTURE_MOST : question->most;
}

/* ---- overlays ---- */

static enum picture_state state_of(const struct overlay *overlay)
{
	if (overlay->refused)
		return PICTURE_REFUSED;
	if (overlay->joined)
		return PICTURE_JOINED;
	return overlay->was_joined ? PICTURE_ALONE : PICTURE_JOINING;
}

static void show_overlay(
	const struct mesh *mesh, const struct overlay *overlay, struct picture_overlay *out)
{
	out->topic = overlay->topic;
	out->state = state_of(overlay);
	out->since_us = mesh_wall_of(mesh, overlay->since);
	out->change = overlay->change;
	out->neighbours = overlay->refused ? 0 : gossip_neighbours(mesh->gossip, &overlay->topic);
	out->waiting = overlay->waiting.count + overlay->paced.count;
	out->sent = overlay->sent;
	out->received = overlay->received;
	out->dropped = overlay->dropped;
}

/* Returns the first overlay that has changed after a change; all behind it have as well. NULL: none
 * has. */
static const struct overlay *first_after(const struct mesh *mesh, uint64_t after)
{
	const struct overlay *overlay = mesh->by_change ? mesh->by_change->change_prev : NULL;

	if (!overlay || overlay->change <= after)
		return NULL;
	while (overlay != mesh->by_change && overlay->change_prev->change > after)
		overlay = overlay->change_prev;
	return overlay;
}

static struct picture *take_overlays(
	const struct mesh *mesh, const struct picture_question *question)
{
	size_t most = most_of(question), count = HASH_COUNT(mesh->overlays);
	struct picture *picture = picture_new(question, count < most ? count : most, 0, 0);
	const struct overlay *overlay = first_after(mesh, question->after);

	if (!picture)
		return NULL;
	picture->next = question->after;
	for (; overlay && picture->overlays_count < most; overlay = overlay->change_next) {
		show_overlay(mesh, overlay, &picture->overlays[picture->overlays_count++]);
		picture->next = overlay->change;
	}
	picture->more = overlay != NULL;
	return picture;
}

/* ---- nodes ---- */

static void show_connection(
	const struct mesh *mesh, const struct id *id, struct picture_node *out)
{
	const struct connection *connection = connections_to(mesh, id);

	if (!connection)
		return;
	out->linked = true;
	out->relayed = links_relayed(mesh->links, id);
	out->dialled = connection->dialled;
	out->address = connection->address;
	out->linked_us = mesh_wall_of(mesh, connection->made);
	if (mesh->port.rtt)
		out->rtt_us = mesh->port.rtt(connection->handle);
}

static void show_failure(const struct mesh *mesh, const struct id *id, struct picture_node *out)
{
	const struct report *report = presence_report(mesh, id);
	uint64_t due = dialer_due(mesh->dialer, id), explored = dialer_due(mesh->explorer, id);

	if (report) {
		out->failed_us = report->wall;
		out->failed_at = report->address;
		memcpy(out->failure, report->text, sizeof out->failure);
	}
	if (explored < due)
		due = explored;
	if (due != UINT64_MAX)
		out->next_us = mesh_wall_of(mesh, due);
}

static void show_node(struct mesh *mesh, const struct id *id, const struct book_account *account,
	struct picture_node *out)
{
	const struct configured *configured = mesh_configured(mesh, id);

	out->id = *id;
	if (configured)
		out->role = configured->trusted ? PICTURE_PEER : PICTURE_BOOTSTRAP;
	out->denied = !access_grants(mesh->access, id);
	out->overlays = presence_overlays(mesh, id);
	out->worked_us = account->worked;
	out->failed_us = account->failed;
	show_connection(mesh, id, out);
	show_failure(mesh, id, out);
}

static void add_node(struct mesh *mesh, struct picture *picture, const struct id *id)
{
	struct book_account account = {0};

	(void)book_describe(mesh->book, id, &account);
	show_node(mesh, id, &account, &picture->nodes[picture->nodes_count++]);
}

static struct picture *take_overlay(struct mesh *mesh, const struct picture_question *question)
{
	const struct overlay *overlay = overlay_find(mesh, &question->id);
	struct picture *picture =
		picture_new(question, overlay != NULL, overlay ? overlay->here_count : 0, 0);

	if (!picture || !overlay)
		return picture;
	picture->found = true;
	show_overlay(mesh, overlay, picture->overlays);
	picture->overlays_count = 1;
	for (size_t i = 0; i < overlay->here_count; i++) {
		add_node(mesh, picture, &overlay->here[i].id);
		picture->nodes[i].neighbour_us = mesh_wall_of(mesh, overlay->here[i].since);
		picture->nodes[i].received = overlay->here[i].received;
	}
	return picture;
}

/* A list of nodes, in this order: the configured ones, the others that are connected, those that
 * are only heard of. */
struct listing {
	struct mesh *mesh;
	struct picture *picture;
	size_t most;
	uint64_t number;
	bool full;
};

static void visit(struct listing *walk, const struct id *id)
{
	uint64_t number = walk->number++;

	if (number < walk->picture->question.after || walk->full)
		return;
	if (walk->picture->nodes_count == walk->most) {
		walk->full = walk->picture->more = true;
		walk->picture->next = number;
		return;
	}
	add_node(walk->mesh, walk->picture, id);
}

static struct picture *take_nodes(struct mesh *mesh, const struct picture_question *question)
{
	size_t most = most_of(question);
	size_t all = mesh->configured_count + HASH_COUNT(mesh->guests) +
		     (question->book ? book_size(mesh->book) : 0);
	struct picture *picture = picture_new(question, 0, all < most ? all : most, 0);
	struct listing walk = {mesh, picture, most, 0, false};
	struct guest *guest, *next;
	struct id id;

	if (!picture)
		return NULL;
	for (size_t i = 0; i < mesh->configured_count; i++)
		visit(&walk, &mesh->configured[i].id);
	HASH_ITER (hh, mesh->guests, guest, next)
		if (!mesh_configured(mesh, &guest->peer))
			visit(&walk, &guest->peer);
	for (size_t i = 0; question->book && !walk.full && i < book_size(mesh->book); i++) {
		book_number(mesh->book, i, &id);
		if (!mesh_configured(mesh, &id) && !connections_guest(mesh, &id))
			visit(&walk, &id);
	}
	return picture;
}

static struct picture *take_node(struct mesh *mesh, const struct picture_question *question)
{
	const struct id *id = &question->id;
	struct book_account account = {0};
	bool found = book_describe(mesh->book, id, &account);
	struct picture *picture;

	found = found || mesh_configured(mesh, id) || connections_guest(mesh, id);
	picture = picture_new(question, 0, found, account.places_count);
	if (!picture || !found)
		return picture;
	picture->found = true;
	picture->nodes_count = 1;
	show_node(mesh, id, &account, picture->nodes);
	for (size_t i = 0; i < account.places_count; i++) {
		picture->places[i].address = account.places[i].address;
		picture->places[i].origin = (enum picture_origin)account.places[i].origin;
		picture->places[i].source = account.places[i].source;
	}
	picture->places_count = account.places_count;
	return picture;
}

struct picture *pictures_take(struct mesh *mesh, const struct picture_question *question)
{
	switch (question->subject) {
	case PICTURE_OVERLAYS:
		return take_overlays(mesh, question);
	case PICTURE_OVERLAY:
		return take_overlay(mesh, question);
	case PICTURE_NODES:
		return take_nodes(mesh, question);
	case PICTURE_NODE:
		return take_node(mesh, question);
	case PICTURE_PING:
		break;
	}
	return NULL;
}
