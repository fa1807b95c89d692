/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Limits the work that is done on behalf of others: anybody can send signatures to be verified, at
 * 0.1 to 0.3 ms each. All strangers together have one budget per second. Nodes that we have chosen
 * ourselves (configured, or dialled by us) have one more, so that strangers never keep them
 * waiting. A peer that has sent a forged signature has to wait before it may begin again, twice as
 * long each time. The wait holds for its key and for its address as well, for new keys cost
 * nothing.
 *
 * sans-IO; times are monotonic nanoseconds; one thread. A struct effort is all zeros at first.
 */
#ifndef BRIDGE_EFFORT_H
#define BRIDGE_EFFORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "allowance.h"
#include "id.h"

/* Offenders that are remembered at once; when there are more, the one whose wait ends first is
 * forgotten. */
#define EFFORT_OFFENDERS 512

#define EFFORT_WAIT_FIRST_NS UINT64_C(10000000000)
#define EFFORT_WAIT_MOST_NS  UINT64_C(640000000000)

struct offender {
	bool is_host;
	struct id key;	     /* if !is_host */
	struct address host; /* if is_host; without a port */
	uint64_t until, wait;
};

struct effort {
	struct allowance strangers, chosen;
	struct offender offenders[EFFORT_OFFENDERS];
	size_t offenders_count;
};

/* Takes one verification out of the budget; returns false if no more signatures may be verified
 * now. chosen: the sender is a node that we have chosen. */
bool effort_take(struct effort *effort, uint64_t now, bool chosen);
/* Records that this peer at this address has sent something forged. A loopback address may be
 * shared by many peers: then only the key is blamed. */
void effort_blame(
	struct effort *effort, uint64_t now, const struct id *peer, const struct address *address);
/* Tells whether this peer, or any peer at this address, still has to wait. */
bool effort_waits(const struct effort *effort, uint64_t now, const struct id *peer,
	const struct address *address);

#endif
