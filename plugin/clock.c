/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "clock.h"

#define SECOND_NS INT64_C(1000000000)
#define LEAST_NS  (2 * SECOND_NS)

int64_t clock_step(struct clock *clock, uint64_t monotonic_ns, uint64_t wall_ns)
{
	uint64_t difference = wall_ns - monotonic_ns;
	int64_t step = (int64_t)(difference - clock->difference_ns);
	bool begun = clock->begun;

	/* A step that is too small for a line is not added up either: that would be a drift. */
	clock->begun = true;
	clock->difference_ns = difference;
	if (!begun || (step < LEAST_NS && step > -LEAST_NS))
		return 0;
	return (step + (step > 0 ? SECOND_NS / 2 : -SECOND_NS / 2)) / SECOND_NS;
}
