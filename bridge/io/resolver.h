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

/* All addresses of all the peer's hosts; before its first such answer there may be one with the
 * literal addresses alone, while names are looked up. failure: why one of them has none, naming the
 * host, else empty. */
typedef void resolver_answer(void *context, const struct id *node, const struct address *addresses,
	size_t count, const char *failure);

/* ERROR_NOMEM. */
int resolver_new(uv_loop_t *loop, resolver_answer *answer, void *context, struct resolver **out);
/* No answers from now on; nothing waits for look-ups under way. Before the loop's end. */
void resolver_stop(struct resolver *resolver);
/* When the loop has ended. Frees the resolutions too. NULL is fine. */
void resolver_free(struct resolver *resolver);

/* The peer's look-up, not begun. ERROR_NOMEM. */
int resolution_new(
	struct resolver *resolver, const struct node_peer *peer, struct resolution **out);
/* Nothing if it is under way. The answer comes from the loop. */
void resolution_start(struct resolution *resolution);

#endif
