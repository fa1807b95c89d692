/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "arrivals.h"

#include <utlist.h>

#include "../error.h"
#include "connections.h"
#include "overlays.h"

/* So often one is verified of an overlay of which nobody wants them verified: that there are
 * applications is of interest. */
#define SAMPLE_NS (60 * S)

/* A message whose signature is looked at in its turn, so that what others bring does not wait for a
 * crowd of them. */
struct unverified {
	struct unverified *prev, *next; /* oldest first */
	struct id topic, neighbour;
	struct message *message;
};

/* After a pause a quarter of a second's at once. */
static bool take_part(const struct mesh *mesh, struct allowance *allowance, unsigned per_second)
{
	return allowance_take(allowance, mesh->now, S / per_second, per_second / 4);
}

/* Whether there is time for one more signature. A neighbour that brings more than its part keeps
 * nobody else's waiting. */
static bool may_verify(struct mesh *mesh, struct guest *guest)
{
	return (!guest || take_part(mesh, &guest->verified, LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR)) &&
	       take_part(mesh, &mesh->verified, LIMIT_SIGNED_VERIFIED);
}

/* Whether it begins like one of version 1. Taking it apart is for the budget, too: it may be made so
 * that it takes nearly as long as its signature. */
static bool may_be_signed(const struct message *message)
{
	return message->size > 2 && message->content[0] == 0x86 && message->content[1] == 0x01;
}

/* Whether this is a signed message whose signature holds. */
static bool is_verified(struct mesh *mesh, struct overlay *overlay, struct guest *guest,
	const struct message *message, struct signed_message *out)
{
	if (!may_verify(mesh, guest)) {
		mesh_count(mesh, COUNTER_LIMIT_VERIFIED);
		return false;
	}
	if (signed_decode(message->content, message->size, out)) {
		mesh_count(mesh, COUNTER_BAD_SIGNED);
		return false;
	}
	if (signed_verify(message->content, message->size, out)) {
		mesh_count(mesh, COUNTER_BAD_SIGNATURE);
		return false;
	}
	overlay->signed_due = mesh->now + SAMPLE_NS;
	return true;
}

/* Tells the owner of a message. signed_message: what was verified of it; NULL: nothing. */
static void tell(struct mesh *mesh, const struct id *topic, const struct id *neighbour,
	struct message *message, const struct signed_message *signed_message)
{
	struct node_event event = {
		.type = NODE_MESSAGE, .topic = *topic, .peer = *neighbour, .message = message};

	event.is_signed = signed_message != NULL;
	if (event.is_signed) {
		event.author = signed_message->author;
		event.time_us = signed_message->time_us;
		event.body = signed_message->body;
		event.body_size = signed_message->body_size;
	}
	mesh_emit(mesh, &event);
}

/* It has no place among those that wait. */
static bool is_crowded(const struct mesh *mesh, const struct guest *guest)
{
	return mesh->unverified_count >= LIMIT_SIGNED_WAITING ||
	       (guest && guest->unverified >= LIMIT_SIGNED_WAITING_PER_NEIGHBOUR);
}

void arrival(struct mesh *mesh, const struct id *topic, const struct id *neighbour,
	struct message *message)
{
	struct overlay *overlay = overlay_joined(mesh, topic);
	struct guest *guest = connections_guest(mesh, neighbour);
	struct unverified *unverified = NULL;

	if (!overlay || !(overlay->verify || mesh->now >= overlay->signed_due) ||
		!may_be_signed(message)) {
		tell(mesh, topic, neighbour, message, NULL);
		return;
	}
	if (!is_crowded(mesh, guest))
		unverified = memory_alloc(sizeof *unverified);
	if (!unverified) {
		mesh_count(mesh, COUNTER_LIMIT_VERIFIED);
		tell(mesh, topic, neighbour, message, NULL);
		return;
	}
	unverified->topic = *topic;
	unverified->neighbour = *neighbour;
	unverified->message = message;
	DL_APPEND(mesh->unverified, unverified);
	mesh->unverified_count++;
	if (guest)
		guest->unverified++;
}

static void take(struct mesh *mesh, struct unverified *unverified, struct guest *guest)
{
	DL_DELETE(mesh->unverified, unverified);
	mesh->unverified_count--;
	/* It may be another one than then, if its connections have ended meanwhile. */
	if (guest && guest->unverified > 0)
		guest->unverified--;
}

bool arrivals_verify(struct mesh *mesh)
{
	struct unverified *unverified;
	struct signed_message signed_message;
	struct overlay *overlay;
	struct guest *guest;
	bool any = false, holds;

	/* Not even one when it is late: there are many entries in a turn. */
	while ((unverified = mesh->unverified) && !mesh_is_late(mesh)) {
		any = true;
		overlay = overlay_joined(mesh, &unverified->topic);
		guest = connections_guest(mesh, &unverified->neighbour);
		take(mesh, unverified, guest);
		holds = overlay &&
			is_verified(mesh, overlay, guest, unverified->message, &signed_message);
		tell(mesh, &unverified->topic, &unverified->neighbour, unverified->message,
			holds ? &signed_message : NULL);
		memory_free(unverified);
	}
	return any;
}

void arrivals_leave(struct mesh *mesh, const struct id *topic)
{
	struct unverified *unverified, *next;

	DL_FOREACH_SAFE (mesh->unverified, unverified, next) {
		if (!id_equal(&unverified->topic, topic))
			continue;
		take(mesh, unverified, connections_guest(mesh, &unverified->neighbour));
		tell(mesh, topic, &unverified->neighbour, unverified->message, NULL);
		memory_free(unverified);
	}
}

void arrivals_free(struct mesh *mesh)
{
	struct unverified *unverified;

	while ((unverified = mesh->unverified)) {
		DL_DELETE(mesh->unverified, unverified);
		message_unref(unverified->message);
		memory_free(unverified);
	}
}
