/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The walker: with whom a discovery session is begun next, and when (p2panda-discovery
 * src/random_walk.rs, p2panda-net src/discovery/{backoff.rs,actors/walker.rs}).
 *
 * A walk begins at the configured nodes and goes on with random ones of the address book that
 * it has not visited; when there is none left, or by chance (2 % at each step), a new walk
 * begins. After a session that brought nothing new the next step waits 1..5 s longer, up to
 * 30 s (5 s as long as none succeeds); one that did sets the pace back. When something changes
 * here (a topic, our addresses) the next steps follow quickly; and so do up to WALKER_QUICK of
 * them while somebody is looked for (an overlay lacks neighbours), as long as this walk has not
 * been to everybody.
 *
 * Other than upstream, where a walker waits for its session, steps do not wait for one
 * another: up to WALKER_AT_ONCE sessions run side by side, so that a node that is dead, slow
 * or lying delays nobody else; and one that has not ended after a second does not count any more, up
 * to WALKER_MOST in all. Nodes that failed when they were last tried come after all others,
 * and at most WALKER_DOUBTFUL of them at once: places are left for those that answer.
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
/* The same for a search, since something has changed or it was begun anew. */
#define WALKER_QUICK 64
/* Nodes that are to be visited out of turn; further ones are left to the walk. */
#define WALKER_PROMPTED 64

struct walker;

/* The address book, as far as the walker needs it. */
struct walker_nodes {
	/* Some node at random for which wanted says true; false: none was found. */
	bool (*random)(void *context, bool (*wanted)(void *choice, const struct id *node),
		void *choice, struct id *out);
	/* Whether it may be visited now (not denied, not stale). */
	bool (*may_visit)(void *context, const struct id *node);
	/* Whether it is probably not there. */
	bool (*is_doubtful)(void *context, const struct id *node);
	void *context;
};

/* configured: where walks begin; copied. ERROR_NOMEM. */
int walker_new(const struct random *random, const struct walker_nodes *nodes,
	const struct id *configured, size_t configured_count, struct walker **out);
void walker_free(struct walker *walker); /* NULL is fine */

/* Something has changed here: walk anew, and quickly. Fine to call often. */
void walker_reset(struct walker *walker, uint64_t now);
/* Whether somebody is looked for; anew: as if it had begun now. Fine to call often. */
void walker_search(struct walker *walker, uint64_t now, bool searching, bool anew);
/* Visit this node soon, whether or not this walk has been there. */
void walker_prompt(struct walker *walker, uint64_t now, const struct id *node);
/* A node has turned up: a walker that has nobody to visit wakes up, and one that searches. */
void walker_found(struct walker *walker, uint64_t now);
/* A session begun by walker_effect is over. */
enum walk { WALK_FAILED, WALK_BROUGHT_NOTHING, WALK_BROUGHT_NEWS };
void walker_ended(struct walker *walker, uint64_t now, const struct id *node, enum walk walk);

uint64_t walker_deadline(const struct walker *walker); /* UINT64_MAX: never */
/* The node to begin a session with now; false when there is none. */
bool walker_effect(struct walker *walker, uint64_t now, struct id *node);

#endif
