/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "keys.h"

#include <stdlib.h>
#include <string.h>

#include "../../bridge/error.h"
#include "../../bridge/memory.h"

#define KEYS_FIRST 16

int keys_push(struct keys *keys, const struct key *key)
{
	if (keys->count == keys->room) {
		size_t room = keys->room ? 2 * keys->room : KEYS_FIRST;
		struct key *list = memory_realloc(keys->list, room * sizeof *list);

		if (!list)
			return ERROR_NOMEM;
		keys->list = list;
		keys->room = room;
	}
	keys->list[keys->count++] = *key;
	return ERROR_NONE;
}

void keys_drop(struct keys *keys, size_t first)
{
	keys->count = first;
}

void keys_clear(struct keys *keys)
{
	memory_free(keys->list);
	*keys = (struct keys){0};
}

static int compare(const void *left, const void *right)
{
	const struct key *a = left, *b = right;
	size_t size = a->size < b->size ? a->size : b->size;
	int order = memcmp(a->at, b->at, size);

	return order ? order : (a->size > b->size) - (a->size < b->size);
}

bool keys_ascend(const struct keys *keys, size_t first)
{
	for (size_t i = first + 1; i < keys->count; i++)
		if (compare(&keys->list[i - 1], &keys->list[i]) >= 0)
			return false;
	return true;
}

bool keys_sort(struct keys *keys, size_t first)
{
	if (keys->count - first > 1)
		qsort(keys->list + first, keys->count - first, sizeof *keys->list, compare);
	return keys_ascend(keys, first);
}
