/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How much of something that all have together one of them may have. Any thread. */
#ifndef BRIDGE_SHARE_H
#define BRIDGE_SHARE_H

#include <stddef.h>

/* Returns what the others leave of all. used: what everybody has, own included. (While other threads
 * count, used may be less than own for a moment.) */
static inline size_t share_left(size_t all, size_t used, size_t own)
{
	size_t others = used > own ? used - own : 0;

	return all > others ? all - others : 0;
}

/* Returns half of what the others leave, and no less than least. */
static inline size_t share_of(size_t all, size_t used, size_t own, size_t least)
{
	size_t half = share_left(all, used, own) / 2;

	return half > least ? half : least;
}

#endif
