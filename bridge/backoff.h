/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Waiting longer each time, so that what does not answer costs little. ns. */
#ifndef BRIDGE_BACKOFF_H
#define BRIDGE_BACKOFF_H

#include <stdint.h>

#include "random.h"

/* Makes *wait twice as long, at most most. */
void backoff_double(uint64_t *wait, uint64_t most);
/* Returns how long to wait now: at random between half of *wait and the whole, so that those who
 * began together do not go on together. Then makes *wait twice as long, at most most. */
uint64_t backoff_next(const struct random *random, uint64_t *wait, uint64_t most);

#endif
