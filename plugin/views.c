/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "views.h"

#include <stdio.h>
#include <string.h>

#include "../bridge/bytes/hex.h"
#include "../bridge/error.h"
#include "../bridge/memory.h"
#include "broker.h"

enum codec views_codec(enum view view)
{
	static const enum codec codecs[VIEWS] = {
		[VIEW_JSON] = CODEC_JSON,
		[VIEW_TEXT] = CODEC_TEXT,
		[VIEW_BYTES] = CODEC_BYTES,
		[VIEW_CBOR] = CODEC_CBOR,
	};

	return codecs[view];
}

/* One message on its way to the topics of its overlay. */
struct handing_out {
	const struct id *overlay;
	const struct interest_faces *faces;
	struct counters *counters;
	uint8_t qos;
	const struct broker_property *properties;
	size_t properties_count;
	size_t taken, refused; /* by the broker */
};

/* Publishes on the view's topic by digits and by name, as far as they are wanted. */
static void hand_out(struct handing_out *out, enum view view, bool by_digits, bool by_name,
	const void *payload, size_t size)
{
	const struct interest_faces *faces = out->faces;
	char topic[TOPIC_SIZE];

	for (int i = 0; i < 2; i++) {
		if (!(i ? by_name : by_digits))
			continue;
		topic_text(out->overlay, i ? faces->name : NULL, faces->name_size, view, topic);
		if (broker_publish(topic, payload, size, out->qos, out->properties,
			    out->properties_count))
			out->taken++;
		else
			out->refused++;
	}
}

static bool has(unsigned views, enum view view)
{
	return (views & VIEW_BIT(view)) != 0;
}

/* Publishes a body on the topics of one codec; only counts a body that this codec cannot show. */
static void show(struct handing_out *out, enum view view, bool by_digits, bool by_name,
	const uint8_t *body, size_t body_size)
{
	char *payload;
	size_t size;

	if (!by_digits && !by_name)
		return;
	if (codec_decode(views_codec(view), body, body_size, &payload, &size)) {
		counters_add(out->counters, COUNTER_UNSHOWN, 1);
		return;
	}
	hand_out(out, view, by_digits, by_name, payload, size);
	memory_free(payload);
}

/* ---- arriving ---- */

/* Who has signed a message, and when. */
struct origin {
	char author[ID_HEX_SIZE + 1];
	char time[24];
	struct broker_property properties[2];
};

static void describe(const struct node_event *event, struct origin *out)
{
	hex_encode(event->author.bytes, ID_SIZE, out->author);
	snprintf(out->time, sizeof out->time, "%llu", (unsigned long long)event->time_us);
	out->properties[0] = (struct broker_property){"p2panda-author", out->author};
	out->properties[1] = (struct broker_property){"p2panda-time", out->time};
}

static void show_all(struct handing_out *out, const struct node_event *event)
{
	struct origin origin;

	describe(event, &origin);
	out->properties = origin.properties;
	out->properties_count = sizeof origin.properties / sizeof *origin.properties;
	for (enum view view = VIEW_JSON; view < VIEWS; view++)
		show(out, view, has(out->faces->by_digits, view), has(out->faces->by_name, view),
			event->body, event->body_size);
	out->properties_count = 0;
}

enum counter views_arrived(struct interest *interest, struct counters *counters, uint8_t qos,
	const struct node_event *event)
{
	const struct message *message = event->message;
	struct interest_faces faces = interest_faces(interest, &event->topic);
	struct handing_out out = {.overlay = &event->topic,
		.faces = &faces,
		.counters = counters,
		.qos = qos};
	unsigned subscribed = faces.by_digits | faces.by_name;
	/* The topic by digits is also for filters with wildcards, of which nobody tells the plugin.
	 * It is left out only if those who are known to have subscribed want a signed message
	 * decoded. */
	bool is_raw = has(faces.by_digits, VIEW_RAW) ||
		      !(event->is_signed && subscribed & ~VIEW_BIT(VIEW_RAW));

	hand_out(&out, VIEW_RAW, is_raw, has(faces.by_name, VIEW_RAW), message->content,
		message->size);
	if (event->is_signed)
		show_all(&out, event);
	if (out.taken > 0)
		return COUNTER_OUT;
	return out.refused > 0 ? COUNTER_DROPPED_BROKER : COUNTER_DROPPED_UNSUITED;
}

/* ---- published here ---- */

void views_published(struct interest *interest, struct counters *counters, uint8_t qos,
	const struct topic *topic, const void *payload, size_t size, const struct views_body *body)
{
	struct interest_faces faces = interest_faces(interest, &topic->overlay);
	struct handing_out out = {.overlay = &topic->overlay,
		.faces = &faces,
		.counters = counters,
		.qos = qos};

	for (enum view view = VIEW_RAW; view < VIEWS; view++) {
		bool is_own = has(topic->views, view);
		/* The broker itself serves the topic that it was published on. */
		bool by_digits = has(faces.by_digits, view) && !(is_own && !topic->name);
		bool by_name = has(faces.by_name, view) && !(is_own && topic->name);

		if (is_own)
			hand_out(&out, view, by_digits, by_name, payload, size);
		else if (body && view != VIEW_RAW)
			show(&out, view, by_digits, by_name, body->bytes, body->size);
	}
}
