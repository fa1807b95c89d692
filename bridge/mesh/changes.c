/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "changes.h"

#include <string.h>

#include "../error.h"
#include "connections.h"
#include "neighbours.h"
#include "presence.h"
#include "sessions.h"

/* ---- nodes of the configuration ---- */

static int tell_walker(struct mesh *mesh)
{
	struct id *ids = memory_alloc((mesh->configured_count + 1) * sizeof *ids);
	int error;

	if (!ids)
		return ERROR_NOMEM;
	for (size_t i = 0; i < mesh->configured_count; i++)
		ids[i] = mesh->configured[i].id;
	error = walker_configure(mesh->walker, mesh->now, ids, mesh->configured_count);
	memory_free(ids);
	return error;
}

static void drop(struct mesh *mesh, struct configured *configured)
{
	size_t at = (size_t)(configured - mesh->configured);

	mesh->configured_count--;
	memmove(configured, configured + 1, (mesh->configured_count - at) * sizeof *configured);
}

void changes_remove_peer(struct mesh *mesh, const struct id *id)
{
	struct configured *configured = mesh_configured(mesh, id);
	struct id copy = *id;
	bool trusted;

	if (!configured)
		return;
	trusted = configured->trusted;
	drop(mesh, configured);
	book_unconfigure(mesh->book, &copy, trusted ? BOOK_TRUSTED : BOOK_BOOTSTRAP);
	if (trusted)
		neighbours_distrust(mesh, &copy);
	/* Without memory the walker goes on visiting the node, as one of many. */
	(void)tell_walker(mesh);
	connections_judge(mesh, &copy);
	presence_unconfigured(mesh, &copy);
	mesh_nodes_changed(mesh);
}

static int add(struct mesh *mesh, const struct node_peer *peer, bool trusted)
{
	struct configured *grown, *configured;
	int error;

	grown = memory_realloc(
		mesh->configured, (mesh->configured_count + 2) * sizeof *mesh->configured);
	if (!grown)
		return ERROR_NOMEM;
	mesh->configured = grown;
	configured = &grown[mesh->configured_count++];
	memset(configured, 0, sizeof *configured);
	configured->id = peer->id;
	configured->trusted = trusted;
	configured->has_hosts = peer->hosts_count > 0;
	for (size_t i = 0; i < peer->relays_count; i++)
		configured->relays[configured->relays_count++] =
			relay_url_address(&peer->relays[i]);
	error = book_configure(mesh->book, &peer->id, trusted ? BOOK_TRUSTED : BOOK_BOOTSTRAP,
		configured->relays, configured->relays_count);
	if (!error)
		error = tell_walker(mesh);
	if (!error)
		presence_configured(mesh, configured);
	return error;
}

int changes_set_peer(struct mesh *mesh, const struct node_peer *peer, bool trusted)
{
	int error;

	/* What was known of the node as a configured one counts no more: it may be elsewhere. */
	changes_remove_peer(mesh, &peer->id);
	error = add(mesh, peer, trusted);
	if (error) {
		changes_remove_peer(mesh, &peer->id);
		return error;
	}
	mesh_look_up(mesh, &peer->id);
	connections_judge(mesh, &peer->id);
	if (trusted)
		neighbours_trust(mesh, &peer->id);
	walker_prompt(mesh->walker, mesh->now, &peer->id);
	mesh_nodes_changed(mesh);
	return ERROR_NONE;
}

/* ---- who is let in ---- */

/* Wants as neighbours the trusted nodes that were shut out until now, and no more those that are
 * shut out now. before: the lists as they were. */
static void want_configured(struct mesh *mesh, const struct access *before)
{
	for (size_t i = 0; i < mesh->configured_count; i++) {
		const struct configured *configured = &mesh->configured[i];
		bool was = access_grants(before, &configured->id);
		bool is = access_grants(mesh->access, &configured->id);

		if (was && !is && configured->trusted)
			neighbours_distrust(mesh, &configured->id);
		else if (is && !was && configured->trusted)
			neighbours_trust(mesh, &configured->id);
	}
}

int changes_set_access(struct mesh *mesh, const struct id *allow, size_t allow_count,
	const struct id *deny, size_t deny_count)
{
	struct access *before = mesh->access, *access;
	int error = access_new(allow, allow_count, deny, deny_count, &access);

	if (error)
		return error;
	mesh->access = access;
	connections_shut_out(mesh);
	sessions_shut_out(mesh);
	want_configured(mesh, before);
	access_free(before);
	/* Somebody may be let in now whom overlays lack. */
	neighbours_again(mesh);
	walker_reset(mesh->walker, mesh->now);
	mesh_nodes_changed(mesh);
	return ERROR_NONE;
}
