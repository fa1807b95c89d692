/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * MQTT topic names and overlays. "p2panda/" and exactly 64 lower-case hex digits is an
 * overlay; "$share/<group>/" before it makes no difference. Plain functions.
 */
#ifndef PLUGIN_TOPIC_H
#define PLUGIN_TOPIC_H

#include "../bridge/id.h"

#define TOPIC_PREFIX "p2panda/"
#define TOPIC_SIZE   (sizeof TOPIC_PREFIX + ID_HEX_SIZE) /* with the closing zero */

enum topic_kind {
	TOPIC_FOREIGN,	 /* not below p2panda/ */
	TOPIC_OVERLAY,	 /* an overlay: *out is set */
	TOPIC_WILDCARD,	 /* a filter below p2panda/ with + or # */
	TOPIC_MALFORMED, /* below p2panda/, but no overlay (also the reserved names) */
};

/* Of a topic name or a filter. */
enum topic_kind topic_parse(const char *topic, struct id *out);

/* Writes "p2panda/<64 hex digits>"; returns out. */
char *topic_name(const struct id *id, char out[TOPIC_SIZE]);

/* What logs and the status show of a topic: its first 10 digits. */
struct topic_short {
	char text[ID_SHORT_HEX_SIZE + 1];
};
struct topic_short topic_short(const struct id *id);

#endif
