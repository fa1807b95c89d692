/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "access.h"

#include <stdlib.h>
#include <string.h>

#include "../error.h"
#include "../memory.h"

struct access {
	size_t allow_count, deny_count;
	struct id ids[]; /* the allowed ones, the denied ones, each sorted */
};

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, ID_SIZE);
}

int access_new(const struct id *allow, size_t allow_count, const struct id *deny, size_t deny_count,
	struct access **out)
{
	struct access *access =
		memory_zalloc(sizeof *access + (allow_count + deny_count) * sizeof *access->ids);

	if (!access)
		return ERROR_NOMEM;
	access->allow_count = allow_count;
	access->deny_count = deny_count;
	for (size_t i = 0; i < allow_count; i++)
		access->ids[i] = allow[i];
	for (size_t i = 0; i < deny_count; i++)
		access->ids[allow_count + i] = deny[i];
	qsort(access->ids, allow_count, sizeof *access->ids, compare);
	qsort(access->ids + allow_count, deny_count, sizeof *access->ids, compare);
	*out = access;
	return ERROR_NONE;
}

void access_free(struct access *access)
{
	memory_free(access);
}

bool access_grants(const struct access *access, const struct id *node)
{
	const struct id *denied = access->ids + access->allow_count;

	if (access->allow_count > 0 &&
		!bsearch(node, access->ids, access->allow_count, sizeof *node, compare))
		return false;
	return !bsearch(node, denied, access->deny_count, sizeof *node, compare);
}
