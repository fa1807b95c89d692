/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "effort.h"

#include "limits.h"
#include "time.h"

/* Takes one turn of an allowance of per_second turns a second; after a pause as many can be taken
 * at once. */
static bool take(struct allowance *allowance, uint64_t now, unsigned per_second)
{
	return allowance_take(allowance, now, S / per_second, per_second);
}

bool effort_take(struct effort *effort, uint64_t now, bool chosen)
{
	return (chosen && take(&effort->chosen, now, LIMIT_VERIFIED_CHOSEN)) ||
	       take(&effort->strangers, now, LIMIT_VERIFIED_STRANGERS);
}

static bool is_same(const struct offender *a, const struct offender *b)
{
	return a->is_host == b->is_host && (a->is_host ? address_compare(&a->host, &b->host) == 0
						       : id_equal(&a->key, &b->key));
}

static void blame(struct effort *effort, uint64_t now, const struct offender *who)
{
	struct offender *found = NULL, *first = NULL, *one;

	for (size_t i = 0; i < effort->offenders_count && !found; i++) {
		one = &effort->offenders[i];
		if (is_same(one, who))
			found = one;
		if (!first || one->until < first->until)
			first = one;
	}
	if (!found) {
		found = effort->offenders_count < EFFORT_OFFENDERS
				? &effort->offenders[effort->offenders_count++]
				: first;
		*found = *who;
	}
	/* An offender that has behaved for as long as it had to wait begins anew. */
	if (found->wait == 0 || now > found->until + found->wait)
		found->wait = EFFORT_WAIT_FIRST_NS;
	else if (found->wait < EFFORT_WAIT_MOST_NS)
		found->wait *= 2;
	found->until = now + found->wait;
}

void effort_blame(
	struct effort *effort, uint64_t now, const struct id *peer, const struct address *address)
{
	struct offender key = {.key = *peer};
	struct offender host = {.is_host = true, .host = address_host(address)};

	blame(effort, now, &key);
	if (!address_is_loopback(address))
		blame(effort, now, &host);
}

bool effort_waits(const struct effort *effort, uint64_t now, const struct id *peer,
	const struct address *address)
{
	struct offender key = {.key = *peer};
	struct offender host = {.is_host = true, .host = address_host(address)};

	for (size_t i = 0; i < effort->offenders_count; i++) {
		const struct offender *one = &effort->offenders[i];

		if (one->until > now && (is_same(one, &key) || is_same(one, &host)))
			return true;
	}
	return false;
}
