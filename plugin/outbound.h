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
#include "remark.h"
#include "unreleased.h"

struct outbound {
	struct node *node;
	struct interest *interest;
	struct unreleased *unreleased;
	struct remarks *remarks;
};

enum broker_verdict outbound_message(
	struct outbound *outbound, uint64_t now_ns, const struct broker_message *message);

#endif
