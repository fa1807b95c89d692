/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "overlays.h"

#include <utlist.h>

#include "../error.h"
#include "kept.h"

struct overlay *overlay_find(const struct mesh *mesh, const struct id *topic)
{
	struct overlay *overlay;

	KEYED_FIND(&mesh->keyed, mesh->overlays, topic, sizeof *topic, overlay);
	return overlay;
}

struct overlay *overlay_joined(const struct mesh *mesh, const struct id *topic)
{
	struct overlay *overlay = overlay_find(mesh, topic);

	return overlay && !overlay->refused ? overlay : NULL;
}

/* ---- for pictures ---- */

/* Moves the overlay to the end of the list, which is in the order of the changes: what has changed
 * since some moment is at the end. */
void overlay_changed(struct mesh *mesh, struct overlay *overlay)
{
	overlay->change = ++mesh->figures.overlays_changes;
	if (!overlay->change_next && overlay->change_prev)
		return; /* it is the last one */
	if (overlay->change_prev)
		DL_DELETE2(mesh->by_change, overlay, change_prev, change_next);
	DL_APPEND2(mesh->by_change, overlay, change_prev, change_next);
}

static struct overlay_neighbour *find_here(struct overlay *overlay, const struct id *peer)
{
	for (size_t i = 0; i < overlay->here_count; i++)
		if (id_equal(&overlay->here[i].id, peer))
			return &overlay->here[i];
	return NULL;
}

void overlay_received(struct mesh *mesh, const struct id *topic, const struct id *neighbour)
{
	struct overlay *overlay = overlay_find(mesh, topic);
	struct overlay_neighbour *here;

	if (!overlay)
		return;
	overlay->received++;
	here = find_here(overlay, neighbour);
	if (here)
		here->received++;
	overlay_changed(mesh, overlay);
}

void overlay_neighbour_up(struct mesh *mesh, struct overlay *overlay, const struct id *peer)
{
	/* There may be one more than there are places while one gives way to another. */
	if (!find_here(overlay, peer) && overlay->here_count <= LIMIT_ACTIVE_VIEW)
		overlay->here[overlay->here_count++] =
			(struct overlay_neighbour){.id = *peer, .since = mesh->now};
	if (!overlay->joined)
		overlay->since = mesh->now;
	overlay->joined = overlay->was_joined = true;
	overlay_changed(mesh, overlay);
	mesh_nodes_changed(mesh);
}

void overlay_neighbour_down(
	struct mesh *mesh, struct overlay *overlay, const struct id *peer, size_t left)
{
	struct overlay_neighbour *here = find_here(overlay, peer);

	if (here)
		*here = overlay->here[--overlay->here_count];
	if (overlay->joined && left == 0)
		overlay->since = mesh->now;
	overlay->joined = left > 0;
	overlay_changed(mesh, overlay);
	mesh_nodes_changed(mesh);
}

/* ---- messages ---- */

void overlays_tell_dropped(struct mesh *mesh)
{
	if (mesh->dropped.count > 0)
		mesh_emit(mesh, &mesh->dropped);
	mesh->dropped.count = 0;
}

/* Notes messages that were not carried (they are counted already) for the owner: one event for a
 * row with the same topic and reason. */
static void note_dropped(
	struct mesh *mesh, const struct id *topic, enum counter reason, uint64_t n)
{
	struct node_event *dropped = &mesh->dropped;
	struct overlay *overlay;

	if (n == 0)
		return;
	if (dropped->reason != reason || !id_equal(&dropped->topic, topic))
		overlays_tell_dropped(mesh);
	dropped->type = NODE_DROPPED;
	dropped->topic = *topic;
	dropped->reason = reason;
	dropped->count += n;
	overlay = overlay_find(mesh, topic);
	if (!overlay)
		return;
	overlay->dropped += n;
	overlay_changed(mesh, overlay);
}

static void drop(struct mesh *mesh, const struct id *topic, enum counter reason)
{
	mesh_count(mesh, reason);
	note_dropped(mesh, topic, reason, 1);
}

static void broadcast(struct mesh *mesh, struct overlay *overlay, struct message *message)
{
	const struct id *topic = &overlay->topic;
	size_t neighbours = 0;

	switch (gossip_publish(mesh->gossip, mesh->now, topic, message, &neighbours)) {
	case ERROR_NONE:
		mesh_count(mesh, COUNTER_SENT);
		overlay->sent++;
		overlay_changed(mesh, overlay);
		if (message->paced)
			mesh_count(mesh, COUNTER_SIGNED);
		break;
	case ERROR_REPEATED:
		drop(mesh, topic, COUNTER_DROPPED_REPEATED);
		break;
	case ERROR_TOO_LARGE:
		drop(mesh, topic, COUNTER_DROPPED_TOO_LARGE);
		break;
	case ERROR_NOT_JOINED:
		drop(mesh, topic, COUNTER_DROPPED_LEFT);
		break;
	default:
		drop(mesh, topic, COUNTER_DROPPED_NO_MEMORY);
		break;
	}
}

/* Lets a message wait in one of the overlay's queues; tells whether it does. The owner is told of
 * what does not wait, or gives way (that is counted already). */
static bool let_wait(struct mesh *mesh, struct overlay *overlay, struct waiting_room *room,
	struct waiting *waiting, struct message *message)
{
	size_t before = waiting->count;
	int error = waiting_push(room, waiting, mesh->now, message);

	overlay_changed(mesh, overlay);
	if (error == ERROR_NOMEM)
		note_dropped(mesh, &overlay->topic, COUNTER_DROPPED_NO_MEMORY, 1);
	else
		note_dropped(mesh, &overlay->topic, COUNTER_DROPPED_QUEUE_LIMIT,
			before + 1 - waiting->count);
	return !error;
}

void overlay_gave_way(void *context, struct waiting *waiting)
{
	note_dropped(context, waiting->owner, COUNTER_DROPPED_QUEUE_LIMIT, 1);
}

static void wait_for_neighbour(struct mesh *mesh, struct overlay *overlay, struct message *message)
{
	if (let_wait(mesh, overlay, &mesh->room, &overlay->waiting, message) &&
		mesh->now + mesh->room.age_ns < mesh->waiting_due)
		mesh->waiting_due = mesh->now + mesh->room.age_ns;
}

/* ---- signed messages in their turn ---- */

static uint64_t pace_interval(const struct mesh *mesh)
{
	return S / mesh->signed_rate;
}

/* Tells whether one more signed message may leave now: at most LIMIT_SIGNED_BURST at once, and
 * signed_rate per second. */
static bool take_turn(const struct mesh *mesh, struct overlay *overlay)
{
	return mesh->signed_rate == 0 ||
	       allowance_take(&overlay->pace, mesh->now, pace_interval(mesh), LIMIT_SIGNED_BURST);
}

/* Sets the time when overlays_pace is wanted: the first message that waits in this overlay has its
 * turn then. */
static void pace_by(struct mesh *mesh, const struct overlay *overlay)
{
	uint64_t due = allowance_due(&overlay->pace, pace_interval(mesh), LIMIT_SIGNED_BURST);

	if (due < mesh->pace_due)
		mesh->pace_due = due;
}

static void wait_for_turn(struct mesh *mesh, struct overlay *overlay, struct message *message)
{
	if (overlay->paced.count == 0 &&
		mesh_may_say(mesh, &mesh->slow, "signed messages that wait"))
		mesh_log(mesh, NODE_LOG_NOTICE,
			"overlay %s: signed messages come faster than signed_rate (%u a second): "
			"they wait for their turn",
			short_id(&overlay->topic).text, mesh->signed_rate);
	if (!let_wait(mesh, overlay, &mesh->paced, &overlay->paced, message))
		return;
	mesh_count(mesh, COUNTER_PACED);
	pace_by(mesh, overlay);
}

/* Sends a message on an overlay that has a neighbour, or lets it wait for its turn. */
static void send(struct mesh *mesh, struct overlay *overlay, struct message *message)
{
	if (message->paced && (overlay->paced.count > 0 || !take_turn(mesh, overlay)))
		wait_for_turn(mesh, overlay, message);
	else
		broadcast(mesh, overlay, message);
}

/* Sends the signed messages whose turn it is; without a neighbour they wait for one. */
static void pace(struct mesh *mesh, struct overlay *overlay)
{
	bool is_alone = gossip_neighbours(mesh->gossip, &overlay->topic) == 0;
	struct message *message;

	while (overlay->paced.count > 0 && (is_alone || take_turn(mesh, overlay))) {
		message = waiting_pop(&mesh->paced, &overlay->paced);
		if (is_alone)
			wait_for_neighbour(mesh, overlay, message);
		else
			broadcast(mesh, overlay, message);
		message_unref(message);
	}
	if (overlay->paced.count > 0)
		pace_by(mesh, overlay);
}

void overlays_pace(struct mesh *mesh)
{
	struct overlay *overlay, *next;

	if (mesh->now < mesh->pace_due)
		return;
	mesh->pace_due = UINT64_MAX;
	HASH_ITER (hh, mesh->overlays, overlay, next)
		if (overlay->paced.count > 0)
			pace(mesh, overlay);
}

/* ---- out ---- */

void overlay_send_waiting(struct mesh *mesh, const struct id *topic)
{
	struct overlay *overlay = overlay_find(mesh, topic);
	struct message *message;

	if (overlay && overlay->waiting.count > 0)
		overlay_changed(mesh, overlay);
	while (overlay && (message = waiting_pop(&mesh->room, &overlay->waiting))) {
		send(mesh, overlay, message);
		message_unref(message);
	}
}

void overlays_expire_waiting(struct mesh *mesh)
{
	uint64_t now = mesh->now;
	struct overlay *overlay, *next;
	uint64_t due;
	size_t before;

	if (now < mesh->waiting_due)
		return;
	mesh->waiting_due = kept_expire(mesh);
	HASH_ITER (hh, mesh->overlays, overlay, next) {
		before = overlay->waiting.count;
		due = waiting_expire(&mesh->room, &overlay->waiting, now);
		note_dropped(mesh, &overlay->topic, COUNTER_DROPPED_QUEUE_AGE,
			before - overlay->waiting.count);
		if (due < mesh->waiting_due)
			mesh->waiting_due = due;
		/* The next turn begins with the first overlay again: that this one and those before
		 * it have nothing left is soon seen. */
		if (overlay->waiting.count < before && mesh_is_late(mesh)) {
			mesh->waiting_due = now;
			return;
		}
	}
}

void overlay_publish(struct mesh *mesh, const struct id *topic, struct message *message)
{
	struct overlay *overlay = overlay_find(mesh, topic);

	if (!overlay) {
		drop(mesh, topic, COUNTER_DROPPED_LEFT);
	} else if (overlay->refused) {
		drop(mesh, topic, COUNTER_DROPPED_MAX_OVERLAYS);
	} else if (gossip_neighbours(mesh->gossip, topic) > 0) {
		/* The neighbour may be so new that the pump has not come to it. */
		overlay_send_waiting(mesh, topic);
		send(mesh, overlay, message);
	} else {
		wait_for_neighbour(mesh, overlay, message);
	}
	message_unref(message);
}

void overlay_publish_signed(
	struct mesh *mesh, const struct id *topic, const void *body, size_t size)
{
	struct message *message;
	int error;

	signed_clock_next(&mesh->clock, mesh->wall);
	error = signed_encode(mesh->identity, mesh->clock.time_us, mesh->clock.counter, body, size,
		&message);
	if (error) {
		drop(mesh, topic, error == ERROR_NOMEM ? COUNTER_DROPPED_NO_MEMORY
						       : COUNTER_DROPPED_ENCODING);
		return;
	}
	message->paced = true;
	overlay_publish(mesh, topic, message);
}

uint64_t overlays_deadline(const struct mesh *mesh)
{
	return mesh->waiting_due < mesh->pace_due ? mesh->waiting_due : mesh->pace_due;
}

/* ---- joining and leaving ---- */

static void forget(struct mesh *mesh, struct overlay *overlay)
{
	if (overlay->change_prev)
		DL_DELETE2(mesh->by_change, overlay, change_prev, change_next);
	mesh->figures.overlays_changes++;
	HASH_DELETE(hh, mesh->overlays, overlay);
	memory_free(overlay);
}

int overlay_join(struct mesh *mesh, const struct id *topic, struct overlay **out)
{
	struct overlay *overlay = overlay_find(mesh, topic);
	int error;

	*out = NULL;
	if (overlay)
		return ERROR_NONE;
	overlay = memory_zalloc(sizeof *overlay);
	if (!overlay)
		return ERROR_NOMEM;
	overlay->topic = *topic;
	overlay->waiting.owner = overlay->paced.owner = overlay;
	overlay->heal_due = overlay->settle_due = UINT64_MAX;
	KEYED_ADD(&mesh->keyed, mesh->overlays, &overlay->topic, sizeof overlay->topic, overlay);
	if (!overlay)
		return ERROR_NOMEM;
	error = gossip_join(mesh->gossip, mesh->now, topic);
	if (error == ERROR_NOMEM) {
		forget(mesh, overlay);
		return ERROR_NOMEM;
	}
	if (error) {
		overlay->refused = true;
		overlay->since = mesh->now;
		overlay_changed(mesh, overlay);
		mesh_log(mesh, NODE_LOG_WARNING, "overlay %s: not joined: %s", short_id(topic).text,
			error == ERROR_LIMIT ? "max_overlays is reached" : error_text(error));
		return ERROR_NONE;
	}
	mesh->figures.overlays++;
	overlay->since = mesh->now;
	kept_join(mesh, overlay);
	overlay_changed(mesh, overlay);
	*out = overlay;
	return ERROR_NONE;
}

void overlay_leave(struct mesh *mesh, struct overlay *overlay)
{
	struct id topic = overlay->topic;

	pace(mesh, overlay);
	note_dropped(mesh, &topic, COUNTER_DROPPED_LEFT,
		waiting_drop(&mesh->room, &overlay->waiting, COUNTER_DROPPED_LEFT) +
			waiting_drop(&mesh->paced, &overlay->paced, COUNTER_DROPPED_LEFT));
	if (!overlay->refused) {
		mesh->figures.overlays--;
		if (overlay->lacking)
			mesh->lacking--;
		joiner_remove_topic(mesh->joiner, &topic);
		mesh->figures.neighbours -= gossip_neighbours(mesh->gossip, &topic);
		gossip_leave(mesh->gossip, mesh->now, &topic);
	}
	forget(mesh, overlay);
	mesh_tell(mesh, NODE_LEFT, &topic, NULL, NULL);
}

void overlays_free(struct mesh *mesh)
{
	struct overlay *overlay, *next;

	HASH_ITER (hh, mesh->overlays, overlay, next) {
		waiting_drop(&mesh->room, &overlay->waiting, COUNTER_DROPPED_LEFT);
		waiting_drop(&mesh->paced, &overlay->paced, COUNTER_DROPPED_LEFT);
		forget(mesh, overlay);
	}
}
