/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How much work is done on others' behalf: signatures to be verified, 0.1 to 0.3 ms each, that
 * anybody can send. One budget per second for all strangers together, and one more for those whom
 * we have chosen ourselves (configured, or dialled by us), who are never kept waiting by the
 * others. Who has sent what is forged waits before it may begin again, twice as long each time:
 * the key, and the address, for keys cost nothing.
 *
 * sans-IO; times are monotonic nanoseconds; one thread. Zeros at first.
 */
#ifndef BRIDGE_EFFORT_H
#define BRIDGE_EFFORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "allowance.h"
#include "id.h"

/* Who waits, at once; of more those whose time is next over are forgotten. */
#define EFFORT_OFFENDERS 512

#define EFFORT_WAIT_FIRST_NS UINT64_C(10000000000)
#define EFFORT_WAIT_MOST_NS  UINT64_C(640000000000)

struct offender {
	bool is_host;
	struct id key;	     /* or */
	struct address host; /* without a port */
	uint64_t until, wait;
};

struct effort {
	struct allowance strangers, chosen;
	struct offender offenders[EFFORT_OFFENDERS];
	size_t offenders_count;
};

/* Whether one more may be verified now. */
bool effort_take(struct effort *effort, uint64_t now, bool chosen);
/* This peer at this address has sent what is forged. Loopback is everybody's: only the key. */
void effort_blame(
	struct effort *effort, uint64_t now, const struct id *peer, const struct address *address);
/* Whether this peer, or whoever is at this address, still has to wait. */
bool effort_waits(const struct effort *effort, uint64_t now, const struct id *peer,
	const struct address *address);

#endif
