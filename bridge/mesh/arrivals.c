/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "arrivals.h"

#include "overlays.h"
#include "unverified.h"

/* How often a signed message is verified on an overlay of which nobody wants them verified, because
 * it is of interest that there are applications; and how soon another one if that one was false. */
#define SAMPLE_NS	(60 * S)
#define SAMPLE_AGAIN_NS (100 * MS)

/* Tells whether a message begins like a signed one of version 1. Taking it apart is for the budget,
 * too: a message may be made so that this takes nearly as long as verifying its signature. */
static bool may_be_signed(const struct message *message)
{
	return message->size > 2 && message->content[0] == 0x86 && message->content[1] == 0x01;
}

/* Tells whether this is a signed message whose signature holds. */
static bool holds(struct mesh *mesh, struct overlay *overlay, const struct message *message,
	struct signed_message *out)
{
	overlay->signed_due = mesh->now + SAMPLE_AGAIN_NS;
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

/* Tells the owner of a message. signed_message: what was verified of the message; NULL: nothing. */
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

static void verify(struct mesh *mesh, struct overlay *overlay, const struct id *neighbour,
	struct message *message)
{
	struct signed_message signed_message;

	if (holds(mesh, overlay, message, &signed_message))
		tell(mesh, &overlay->topic, neighbour, message, &signed_message);
	else
		tell(mesh, &overlay->topic, neighbour, message, NULL);
}

static bool may_sample(struct mesh *mesh, const struct overlay *overlay)
{
	return mesh->now >= overlay->signed_due &&
	       allowance_take(&mesh->sampled, mesh->now, S / LIMIT_SIGNED_SAMPLED,
		       LIMIT_SIGNED_SAMPLED / 10);
}

void arrival(struct mesh *mesh, const struct id *topic, const struct id *neighbour,
	struct message *message)
{
	struct overlay *overlay = overlay_joined(mesh, topic);

	if (!overlay || !may_be_signed(message)) {
		tell(mesh, topic, neighbour, message, NULL);
	} else if (!overlay->verify) {
		if (may_sample(mesh, overlay))
			verify(mesh, overlay, neighbour, message);
		else
			tell(mesh, topic, neighbour, message, NULL);
	} else if (!unverified_put(mesh, topic, neighbour, message)) {
		mesh_count(mesh, COUNTER_LIMIT_VERIFIED);
		tell(mesh, topic, neighbour, message, NULL);
	}
}

bool arrivals_verify(struct mesh *mesh)
{
	struct id topic, neighbour;
	struct message *message;
	bool any = false;

	/* Not even one message when the turn is late: there are many entries in a turn. */
	while (!mesh_is_late(mesh) && (message = unverified_take(mesh, &topic, &neighbour))) {
		any = true;
		/* What waits for an overlay is told before it is left. */
		verify(mesh, overlay_joined(mesh, &topic), &neighbour, message);
	}
	return any;
}

void arrivals_leave(struct mesh *mesh, const struct id *topic)
{
	struct id neighbour;
	struct message *message;

	while ((message = unverified_take_of(mesh, topic, &neighbour)))
		tell(mesh, topic, &neighbour, message, NULL);
}
