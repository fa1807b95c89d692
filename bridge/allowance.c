/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "allowance.h"

uint64_t allowance_due(const struct allowance *allowance, uint64_t interval, uint64_t at_once)
{
	uint64_t before = (at_once - 1) * interval;

	return allowance->next > before ? allowance->next - before : 0;
}

bool allowance_take(struct allowance *allowance, uint64_t now, uint64_t interval, uint64_t at_once)
{
	if (allowance_due(allowance, interval, at_once) > now)
		return false;
	if (allowance->next < now)
		allowance->next = now;
	allowance->next += interval;
	return true;
}
