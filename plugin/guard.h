/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Overlays on which applications speak: one plain message there, and each application on it hears
 * nothing more until it is restarted (facts: the crate p2panda, all versions). So for a day after a
 * valid signed message was seen, plain ones are not let out. Known after a restart. The broker's
 * thread.
 */
#ifndef PLUGIN_GUARD_H
#define PLUGIN_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "../bridge/id.h"
#include "../bridge/random.h"

struct node;
struct guard;

#define GUARD_S (24 * 3600)

/* ERROR_NOMEM. */
int guard_new(const struct random *random, struct guard **out);
void guard_free(struct guard *guard);

/* A signed message of this overlay was verified. wall_s: Unix time. */
void guard_seen(struct guard *guard, struct node *node, const struct id *topic, uint64_t wall_s);
/* Whether one was within GUARD_S. */
bool guard_holds(const struct guard *guard, const struct id *topic, uint64_t wall_s);

/* A record as the node read it (node_record); false: it is none of the guard's. */
bool guard_restore(struct guard *guard, const void *key, size_t key_size, const void *value,
	size_t value_size);

#endif
