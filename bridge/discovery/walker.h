/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The walker decides with which node a discovery session is begun next, and when (p2panda-discovery
 * src/random_walk.rs, p2panda-net src/discovery/{backoff.rs,actors/walker.rs}).
 *
 * A walk begins at the configured nodes and goes on with random nodes of the address book that it
 * has not visited; when there is none left, or by chance (2 % at each step), a new walk begins.
 * After a session that brought nothing new the next step waits 1..5 s longer, up to 30 s (5 s as
 * long as no session succeeds); a session that brought news resets the pace. When something changes
 * here (a topic, our addresses) the next steps follow quickly. So do up to WALKER_QUICK steps while
 * nodes are searched for (an overlay lacks neighbours), as long as this walk has not been to every
 * node.
 *
 * Upstream's walker waits for its session to end. Here steps do not wait for one another: up to
 * WALKER_AT_ONCE sessions run side by side, so that a node that is dead, slow or lying delays no
 * other. A session that has not ended after a second does not count any more, up to WALKER_MOST
 * sessions in all. Nodes that failed when they were last tried come after all others, and at most
 * WALKER_DOUBTFUL of them at once: places are left for nodes that answer.
 *
 * sans-IO; times are monotonic nanoseconds; one thread.
 */
#ifndef BRIDGE_DISCOVERY_WALKER_H
#define BRIDGE_DISCOVERY_WALKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../id.h"
#include "../random.h"

#define WALKER_AT_ONCE 4
#define WALKER_MOST	12
#define WALKER_DOUBTFUL 2
/* Steps that follow quickly after a change. */
#define WALKER_EAGER 8
/* Steps that follow quickly during a search, since something has changed or the search was begun
 * anew. */
#define WALKER_QUICK 64
/* Nodes that are to be visited out of turn; further ones are left to the walk. */
#define WALKER_PROMPTED 64

struct walker;

/* The address book, as far as the walker needs it. */
struct walker_nodes {
	/* Finds a random node for which wanted returns true; returns false if none was found. */
	bool (*random)(void *context, bool (*wanted)(void *choice, const struct id *node),
		void *choice, struct id *out);
	/* Tells whether a node may be visited now (not denied, not stale). */
	bool (*may_visit)(void *context, const struct id *node);
	/* Tells whether a node probably cannot be reached. */
	bool (*is_doubtful)(void *context, const struct id *node);
	void *context;
};

/* Makes a walker. configured: the nodes at which walks begin; copied. ERROR_NOMEM. */
int walker_new(const struct random *random, const struct walker_nodes *nodes,
	const struct id *configured, size_t configured_count, struct walker **out);
void walker_free(struct walker *walker); /* NULL is fine */
/* Replaces the configured nodes; copied. ERROR_NOMEM: nothing has changed. */
int walker_configure(struct walker *walker, uint64_t now, const struct id *configured,
	size_t configured_count);

/* Begins a new walk, and walks quickly, because something has changed here. Fine to call often. */
void walker_reset(struct walker *walker, uint64_t now);
/* Sets whether nodes are searched for. anew: the search counts as begun now. Fine to call often. */
void walker_search(struct walker *walker, uint64_t now, bool searching, bool anew);
/* Asks for a visit of this node soon, whether or not this walk has been there. */
void walker_prompt(struct walker *walker, uint64_t now, const struct id *node);
/* Reports that a node has turned up: wakes the walker if it had nobody to visit, or if it
 * searches. */
void walker_found(struct walker *walker, uint64_t now);
/* How a session ended. walker_ended reports the end of a session that was begun by
 * walker_effect. */
enum walk { WALK_FAILED, WALK_BROUGHT_NOTHING, WALK_BROUGHT_NEWS };
void walker_ended(struct walker *walker, uint64_t now, const struct id *node, enum walk walk);

uint64_t walker_deadline(const struct walker *walker); /* UINT64_MAX: never */
/* Returns true if a session with node is to be begun now; false when there is none. */
bool walker_effect(struct walker *walker, uint64_t now, struct id *node);

#endif
