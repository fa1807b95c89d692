/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "arrivals.h"

#include "../error.h"
#include "connections.h"
#include "overlays.h"

/* So often one is verified of an overlay of which nobody wants them verified: that there are
 * applications is of interest. */
#define SAMPLE_NS (60 * S)

/* Of what may be verified in a second so much at once, after a pause: what others bring meanwhile
 * waits behind it. */
#define AT_ONCE_NS (S / 20)

static bool take(struct mesh *mesh, struct allowance *allowance, unsigned per_second)
{
	return allowance->next < mesh->now + AT_ONCE_NS &&
	       allowance_take(allowance, mesh->now, per_second);
}

/* Whether there is time for one more signature. A neighbour that brings more than its part keeps
 * nobody else's waiting. */
static bool may_verify(struct mesh *mesh, const struct id *neighbour)
{
	struct guest *guest = connections_guest(mesh, neighbour);

	return guest && take(mesh, &guest->verified, LIMIT_SIGNED_VERIFIED_PER_NEIGHBOUR) &&
	       take(mesh, &mesh->verified, LIMIT_SIGNED_VERIFIED);
}

/* Whether it begins like one of version 1. Taking it apart is for the budget, too: it may be made so
 * that it takes nearly as long as its signature. */
static bool may_be_signed(const struct message *message)
{
	return message->size > 2 && message->content[0] == 0x86 && message->content[1] == 0x01;
}

/* Whether this is a signed message whose signature holds; it is looked at only where that is
 * wanted. */
static bool is_verified(struct mesh *mesh, struct overlay *overlay, const struct id *neighbour,
	const struct message *message, struct signed_message *out)
{
	if (!overlay || !(overlay->verify || mesh->now >= overlay->signed_due) ||
		!may_be_signed(message))
		return false;
	if (!may_verify(mesh, neighbour)) {
		mesh_count(mesh, COUNTER_LIMIT_VERIFIED);
		return false;
	}
	if (signed_decode(message->content, message->size, out))
		return false;
	if (signed_verify(message->content, message->size, out)) {
		mesh_count(mesh, COUNTER_BAD_SIGNATURE);
		return false;
	}
	overlay->signed_due = mesh->now + SAMPLE_NS;
	return true;
}

void arrival(struct mesh *mesh, const struct id *topic, const struct id *neighbour,
	struct message *message)
{
	struct node_event event = {
		.type = NODE_MESSAGE, .topic = *topic, .peer = *neighbour, .message = message};
	struct signed_message signed_message;

	event.is_signed = is_verified(
		mesh, overlay_joined(mesh, topic), neighbour, message, &signed_message);
	if (event.is_signed) {
		event.author = signed_message.author;
		event.time_us = signed_message.time_us;
		event.body = signed_message.body;
		event.body_size = signed_message.body_size;
	}
	mesh_emit(mesh, &event);
}
