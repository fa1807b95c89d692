/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The state that all overlays of one node share. Private to gossip/. */
#ifndef BRIDGE_GOSSIP_CORE_H
#define BRIDGE_GOSSIP_CORE_H

#include "../counters.h"
#include "../id.h"
#include "../keyed_table.h"
#include "../random.h"
#include "../time.h"
#include "addr_info.h"
#include "cache.h"
#include "effects.h"


struct core {
	struct id me;
	struct random random;
	struct counters *counters;
	struct keyed keyed;
	struct effects effects;
	struct contents contents;
	struct census census;
	size_t missing; /* missing messages, over all overlays */
	size_t lazy;	/* queued announcements, over all overlays */
	/* Our own peer data. */
	size_t data_size;
	uint8_t data[ADDR_INFO_SIZE];
};

#endif
