/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What reaches which topic of an overlay: a message that has arrived is published on the topics
 * that somebody subscribes, and what a client publishes on one of these topics reaches the others
 * on this broker, too. The broker's thread.
 */
#ifndef PLUGIN_VIEWS_H
#define PLUGIN_VIEWS_H

#include <stdbool.h>

#include "../bridge/limits.h"
#include "../bridge/node_types.h"
#include "codecs/codec.h"
#include "interest.h"
#include "topic.h"

/* The body that a payload has become for applications. */
struct views_body {
	uint8_t bytes[LIMIT_SIGNED_BODY];
	size_t size;
};

/* Returns the codec of a view that has one. */
enum codec views_codec(enum view view);

/* Publishes an arrived message. Returns by which counter it is counted. */
enum counter views_arrived(struct interest *interest, struct counters *counters, uint8_t qos,
	const struct node_event *event);

/* Publishes what a client has published on a topic (one view) on those other topics of the overlay
 * that are subscribed here. body: what a signed message is on the overlay; NULL for a raw one. */
void views_published(struct interest *interest, struct counters *counters, uint8_t qos,
	const struct topic *topic, const void *payload, size_t size, const struct views_body *body);

#endif
