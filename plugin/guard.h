/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Protects overlays on which applications speak. After one plain message there, each application on
 * the overlay hears nothing more until it is restarted (facts: the crate p2panda, all versions). So
 * for a day after a valid signed message was seen, plain messages are not let out. This is known
 * after a restart, too. The broker's thread.
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

/* Makes a guard. Returns 0 or ERROR_NOMEM. */
int guard_new(const struct random *random, struct guard **out);
void guard_free(struct guard *guard);

/* Notes that a signed message of this overlay was verified. wall_s: Unix time. */
void guard_seen(struct guard *guard, struct node *node, const struct id *topic, uint64_t wall_s);
/* Tells whether a signed message of this overlay was verified within the last GUARD_S seconds. */
bool guard_holds(const struct guard *guard, const struct id *topic, uint64_t wall_s);

/* Takes a record as the node has read it (node_record). Returns false if the record is none of the
 * guard's. */
bool guard_restore(struct guard *guard, const void *key, size_t key_size, const void *value,
	size_t value_size);

#endif
