/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "backoff.h"

void backoff_double(uint64_t *wait, uint64_t most)
{
	*wait = *wait > most / 2 ? most : 2 * *wait;
}

uint64_t backoff_next(const struct random *random, uint64_t *wait, uint64_t most)
{
	uint64_t half = *wait / 2;
	uint64_t chosen = half + random_below(random, half + 1);

	backoff_double(wait, most);
	return chosen;
}
