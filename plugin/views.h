/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What reaches which topic of an overlay: a message that has come is published on the topics that
 * somebody subscribes, and what a client publishes on one of them reaches the others on this broker,
 * too. The broker's thread.
 */
#ifndef PLUGIN_VIEWS_H
#define PLUGIN_VIEWS_H

#include <stdbool.h>

#include "../bridge/limits.h"
#include "../bridge/node_types.h"
#include "codecs/codec.h"
#include "interest.h"
#include "topic.h"

/* What a payload has become for applications. */
struct views_body {
	uint8_t bytes[LIMIT_SIGNED_BODY];
	size_t size;
};

/* The codec of a view that has one. */
enum codec views_codec(enum view view);

/* Publishes an arrived message. Returns by which counter it is counted. */
enum counter views_arrived(struct interest *interest, struct counters *counters, uint8_t qos,
	const struct node_event *event);

/* A client has published this on a topic (one view). body: what a signed one is, NULL of a raw
 * one. Publishes it on the overlay's other topics that are subscribed here. */
void views_published(struct interest *interest, struct counters *counters, uint8_t qos,
	const struct topic *topic, const void *payload, size_t size, const struct views_body *body);

#endif
