/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Waiting longer after each failure, so that a node that does not answer costs little. Times in
 * ns. */
#ifndef BRIDGE_BACKOFF_H
#define BRIDGE_BACKOFF_H

#include <stdint.h>

#include "random.h"

/* Doubles *wait, up to most. */
void backoff_double(uint64_t *wait, uint64_t most);
/* Returns how long to wait now: a random time between half of *wait and the whole, so that nodes
 * that began together do not go on together. Then doubles *wait, up to most. */
uint64_t backoff_next(const struct random *random, uint64_t *wait, uint64_t most);

#endif
