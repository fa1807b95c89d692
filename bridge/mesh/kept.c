/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "kept.h"

#include "../error.h"
#include "../keyed_table.h"

static struct kept *find(const struct mesh *mesh, const struct id *topic)
{
	struct kept *kept;

	KEYED_FIND(&mesh->keyed, mesh->kept, topic, sizeof *topic, kept);
	return kept;
}

static struct kept *find_or_add(struct mesh *mesh, const struct id *topic)
{
	struct kept *kept = find(mesh, topic);

	if (kept)
		return kept;
	kept = memory_zalloc(sizeof *kept);
	if (!kept)
		return NULL;
	kept->topic = *topic;
	kept->waiting.owner = kept;
	KEYED_ADD(&mesh->keyed, mesh->kept, &kept->topic, sizeof kept->topic, kept);
	return kept;
}

static void forget(struct mesh *mesh, struct kept *kept)
{
	HASH_DELETE(hh, mesh->kept, kept);
	memory_free(kept);
}

void kept_put(struct mesh *mesh, const struct id *topic, struct message *message, uint64_t expires)
{
	struct kept *kept = find_or_add(mesh, topic);

	if (!kept) {
		mesh_count(mesh, COUNTER_DROPPED_NO_MEMORY);
		return;
	}
	if (waiting_put(&mesh->room, &kept->waiting, expires, message) == ERROR_NONE &&
		expires < mesh->waiting_due)
		mesh->waiting_due = expires;
	if (kept->waiting.count == 0)
		forget(mesh, kept);
}

void kept_join(struct mesh *mesh, struct overlay *overlay)
{
	struct kept *kept = find(mesh, &overlay->topic);

	if (!kept)
		return;
	waiting_move(&mesh->room, &kept->waiting, &overlay->waiting);
	forget(mesh, kept);
}

uint64_t kept_expire(struct mesh *mesh)
{
	uint64_t first = UINT64_MAX, due;
	struct kept *kept, *next;

	HASH_ITER (hh, mesh->kept, kept, next) {
		due = waiting_expire(&mesh->room, &kept->waiting, mesh->now);
		if (due < first)
			first = due;
		if (kept->waiting.count == 0)
			forget(mesh, kept);
	}
	return first;
}

void kept_free(struct mesh *mesh)
{
	struct kept *kept, *next;

	HASH_ITER (hh, mesh->kept, kept, next) {
		waiting_drop(&mesh->room, &kept->waiting, COUNTER_DROPPED_LEFT);
		forget(mesh, kept);
	}
}

/* ---- entry points ---- */

/* Takes the messages of both rooms' queues, one queue after the other, each from its oldest
 * message on. */
static bool take(const struct mesh *mesh, struct waiting_room *room, struct mesh_waiting *out)
{
	struct waiting *queue = room->queues;
	uint64_t expires;

	if (!queue)
		return false;
	expires = waiting_due(queue);
	out->topic = *(const struct id *)queue->owner;
	out->left_ns = expires > mesh->now ? expires - mesh->now : 0;
	if (out->left_ns > mesh->room.age_ns)
		out->left_ns = mesh->room.age_ns;
	out->message = waiting_pop(room, queue);
	return true;
}

bool mesh_take_waiting(
	struct mesh *mesh, const struct mesh_time *time, struct mesh_waiting *out)
{
	mesh->now = time->now;
	return take(mesh, &mesh->room, out) || take(mesh, &mesh->paced, out);
}

void mesh_restore_waiting(
	struct mesh *mesh, const struct mesh_time *time, const struct mesh_waiting *waiting)
{
	uint64_t left = waiting->left_ns < mesh->room.age_ns ? waiting->left_ns : mesh->room.age_ns;

	mesh->now = time->now;
	mesh_count(mesh, COUNTER_RESUMED);
	if (left > 0)
		kept_put(mesh, &waiting->topic, waiting->message, mesh->now + left);
	else
		mesh_count(mesh, COUNTER_DROPPED_QUEUE_AGE);
}
