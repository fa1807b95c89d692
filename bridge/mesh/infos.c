/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "infos.h"

#include "../error.h"

/* Tells whether an info of this node's own is newer than all that it knows of. */
static bool is_newer(const struct mesh *mesh, const struct info *info)
{
	return info_time_compare(info->time, mesh->self.time) > 0 &&
	       info_time_compare(info->time, mesh->self.newer) > 0;
}

/* Takes an info of this node's own. Everybody is told everybody's infos, so that its own come back.
 * One that is newer than what this node has signed is of an earlier life, whose state is lost, or
 * of another node with the same key, unless it is a lie. */
static void take_own(struct mesh *mesh, const struct id *source, struct info *info,
	struct verifying *verifying)
{
	if (info->time.us > mesh->wall + LIMIT_FUTURE_US) {
		mesh_count(mesh, COUNTER_BAD_INFO);
	} else if (info_verify(info, &mesh->me, info->order) != ERROR_NONE) {
		mesh_count(mesh, COUNTER_BAD_INFO);
		verifying->forged++;
	} else if (is_newer(mesh, info)) {
		if (twin_verified(&mesh->twin, mesh->now, source, info->time)) {
			mesh_count(mesh, COUNTER_TWIN);
			mesh_remark_twin(mesh, source);
		}
		if (twin_answer(&mesh->twin, mesh->now))
			mesh->self.newer = info->time;
	}
	info_free(info);
}

bool infos_find_relay(
	const struct mesh *mesh, const char *url, size_t size, struct address *address)
{
	struct relay_url parsed;

	return mesh->port.relay && size > 0 &&
	       relay_url_parse(url, size, &parsed) == ERROR_NONE &&
	       mesh->port.relay(mesh->port.context, &parsed, address);
}

void infos_note_relay(struct mesh *mesh, const struct id *node)
{
	const struct info *info, *newest = NULL;
	struct address address;
	const char *url = NULL;
	size_t size = 0;

	for (size_t i = 0; i < ORDERS; i++) {
		info = book_info(mesh->book, node, (enum info_order)i);
		if (info && (!newest || info_time_compare(info->time, newest->time) > 0))
			newest = info;
	}
	if (newest)
		url = info_relay(newest, node, &size);
	book_set_relay(mesh->book, node,
		infos_find_relay(mesh, url, size, &address) ? &address : NULL);
}

bool infos_are_worth_it(struct mesh *mesh, const struct id *node, const struct id *source,
	const struct info *info, struct verifying *verifying)
{
	bool is_own = id_equal(node, &mesh->me);

	if (is_own)
		twin_heard(&mesh->twin, mesh->now, source, info->time);
	if (is_own && !is_newer(mesh, info))
		return false;
	if (!is_own && (!access_grants(mesh->access, node) ||
			       book_has_info(mesh->book, node, info)))
		return false;
	if (verifying->verified >= LIMIT_INFOS_VERIFIED ||
		!effort_take(&mesh->effort, mesh->now, verifying->chosen)) {
		mesh_count(mesh, COUNTER_LIMIT_INFOS);
		return false;
	}
	verifying->verified++;
	return true;
}

bool infos_verify(struct mesh *mesh, const struct id *node, const struct id *source,
	enum address_scope scope, struct info *info, struct verifying *verifying)
{
	uint64_t now = mesh->now;
	bool fresh = false;

	if (id_equal(node, &mesh->me)) {
		take_own(mesh, source, info, verifying);
		return false;
	}
	if (info_verify(info, node, info->order) != ERROR_NONE) {
		mesh_count(mesh, COUNTER_BAD_INFO);
		verifying->forged++;
		info_free(info);
		return false;
	}
	/* The book counts what it refuses. */
	if (book_insert_info(mesh->book, now, mesh->wall, node, source, scope, info,
		    &fresh) != ERROR_NONE ||
		!fresh)
		return false;
	infos_note_relay(mesh, node);
	dialer_addresses(mesh->dialer, now, node);
	walker_found(mesh->walker, now);
	return true;
}

bool infos_take(struct mesh *mesh, const struct id *node, const struct id *source,
	enum address_scope scope, struct info *info, struct verifying *verifying)
{
	if (infos_are_worth_it(mesh, node, source, info, verifying))
		return infos_verify(mesh, node, source, scope, info, verifying);
	info_free(info);
	return false;
}
