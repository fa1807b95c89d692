/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * MQTT topic names and overlays:
 *
 *   p2panda/<64 lower-case hex digits>   an overlay, its messages as they are
 *   p2panda/name/<name>                  the overlay BLAKE3(name); name: one level, 1 to 200 bytes
 *   <either>/ephemeral/<codec>           the same overlay's signed messages, as applications of the
 *                                        crate p2panda send them; codec: json, text, bytes, cbor
 *
 * "$share/<group>/" before a filter makes no difference. Plain functions, for one
 * thread: the overlay that was read or written last is remembered.
 */
#ifndef PLUGIN_TOPIC_H
#define PLUGIN_TOPIC_H

#include <stdbool.h>
#include <stddef.h>

#include "../bridge/id.h"

/* How an overlay's messages are seen: as they are, or by a codec. */
enum view { VIEW_RAW, VIEW_JSON, VIEW_TEXT, VIEW_BYTES, VIEW_CBOR, VIEWS };

#define VIEW_BIT(view)	 (1U << (view))
#define TOPIC_NAME_SIZE	 200
#define TOPIC_PREFIX	 "p2panda/"
#define TOPIC_NAMES	 "name/"
#define TOPIC_SIGNED	 "/ephemeral/"
#define TOPIC_CODEC_SIZE 5
/* With the closing zero. */
#define TOPIC_SIZE                                                                               \
	(sizeof TOPIC_PREFIX TOPIC_NAMES TOPIC_SIGNED + TOPIC_NAME_SIZE + TOPIC_CODEC_SIZE)

enum topic_kind {
	TOPIC_FOREIGN,	 /* not below p2panda/ */
	TOPIC_OVERLAY,	 /* an overlay, or views of one: *out is set */
	TOPIC_WILDCARD,	 /* a filter below p2panda/ with + or #, of no certain overlay */
	TOPIC_MALFORMED, /* below p2panda/, but no overlay (also the reserved names) */
};

struct topic {
	struct id overlay;
	/* A bit for each view that is meant. A topic name means one. A filter with a wildcard means
	 * those that it matches, where a wildcard in the place of the codec stands for json. */
	unsigned views;
	const char *name; /* within the text; NULL: the overlay is told by its digits */
	size_t name_size;
};

/* Parses a topic name or a filter. */
enum topic_kind topic_parse(const char *text, struct topic *out);

/* Tells whether a filter is one of a $share group. */
bool topic_is_shared(const char *filter);

/* Finds a topic or a filter that ends like an overlay's, but begins otherwise: as those of the
 * clients of a listener with a mount_point do. Returns where "p2panda/" begins in the text; NULL if
 * it is no such topic. */
const char *topic_elsewhere(const char *text);

/* Returns the view that a topic name means; of a filter, the first of its views. topic: an
 * overlay's. */
enum view topic_view(const struct topic *topic);

/* What topic_parse accepts, for a log. */
#define TOPIC_ACCEPTED                                                                           \
	"p2panda/<64 lower-case hex digits> or p2panda/name/<1 to 200 bytes>, both as they are "  \
	"or with /ephemeral/<json, text, bytes or cbor> behind it"

/* Writes the name of a view's topic, by the overlay's name or (name NULL) by its digits; returns
 * out. */
char *topic_text(const struct id *overlay, const char *name, size_t name_size, enum view view,
	char out[TOPIC_SIZE]);

/* What logs and the status show of a topic: its first 10 digits. */
struct topic_short {
	char text[ID_SHORT_HEX_SIZE + 1];
};
struct topic_short topic_short(const struct id *id);

#endif
