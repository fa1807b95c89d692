/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From the broker to the overlays: what becomes of a message that a client publishes.
 * What an overlay can never carry is refused for everyone; what it cannot carry now still
 * reaches local subscribers and is counted. The broker's thread.
 */
#ifndef PLUGIN_OUTBOUND_H
#define PLUGIN_OUTBOUND_H

#include "../bridge/node.h"
#include "broker.h"
#include "interest.h"
#include "guard.h"
#include "remark.h"
#include "status_overlays.h"
#include "views.h"
#include "unreleased.h"

struct outbound {
	struct node *node;
	struct interest *interest;
	struct unreleased *unreleased;
	struct remarks *remarks;
	struct status_overlays *overlays; /* NULL: nobody counts by overlay */
	struct guard *guard; /* NULL: plain messages go out among signed ones too */
	struct codec_options codecs;
	uint8_t delivery_qos;
};

enum broker_verdict outbound_message(
	struct outbound *outbound, uint64_t now_ns, uint64_t wall_s,
	const struct broker_message *message);

#endif
