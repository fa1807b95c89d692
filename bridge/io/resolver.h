/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Name look-ups of configured peers: where each of a peer's hosts is to be found now. Each name is
 * asked for on its own, so that one that nobody answers for holds up no other; literal addresses
 * are answered without asking anybody. One look-up per peer at a time. The loop's thread.
 */
#ifndef BRIDGE_IO_RESOLVER_H
#define BRIDGE_IO_RESOLVER_H

#include <uv.h>

#include "../node_types.h"

struct resolver;
struct resolution;

/* Takes addresses of the peer's hosts, in the order of the hosts; before a peer's first such answer
 * there may be one with the literal addresses alone, while names are looked up. all: how many
 * addresses the hosts have together. Where that is more than LIMIT_ADDRESSES_PER_NODE (less the
 * peer's relays) each answer has so many of them, first those that were in no answer for longest.
 * failure: why one of the hosts has none, naming the host, else empty. */
typedef void resolver_answer(void *context, const struct id *node, const struct address *addresses,
	size_t count, size_t all, const char *failure);

/* Makes a resolver, which calls answer from the loop. ERROR_NOMEM. */
int resolver_new(uv_loop_t *loop, resolver_answer *answer, void *context, struct resolver **out);
/* Ends all look-ups: no answer comes from now on, and nothing waits for look-ups under way. To be
 * called before the loop ends. */
void resolver_stop(struct resolver *resolver);
/* Frees the resolver and its resolutions, when the loop has ended. NULL is fine. */
void resolver_free(struct resolver *resolver);

/* Makes the look-up of a peer, without beginning it. steady: of too many addresses the same ones
 * are told each time. ERROR_NOMEM. */
int resolution_new(struct resolver *resolver, const struct node_peer *peer, bool steady,
	struct resolution **out);
/* Ends the look-up and frees it: no answer comes from now on. NULL is fine. */
void resolution_free(struct resolution *resolution);
/* Begins the look-up, unless it is under way. The answer comes from the loop. */
void resolution_start(struct resolution *resolution);

#endif
