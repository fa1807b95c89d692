/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "memory.h"

#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <string.h>

static void *system_alloc(void *context, size_t size)
{
	(void)context;
	return malloc(size);
}

static void *system_realloc(void *context, void *block, size_t size)
{
	(void)context;
	return realloc(block, size);
}

static void system_free(void *context, void *block)
{
	(void)context;
	free(block);
}

static const struct memory system_memory = {system_alloc, system_realloc, system_free, NULL};
static const struct memory *current = &system_memory;

void memory_set(const struct memory *memory)
{
	current = memory ? memory : &system_memory;
}

void *memory_alloc(size_t size)
{
	return current->alloc(current->context, size);
}

void *memory_zalloc(size_t size)
{
	void *block = current->alloc(current->context, size);

	if (block)
		memset(block, 0, size);
	return block;
}

void *memory_realloc(void *block, size_t size)
{
	return current->realloc(current->context, block, size);
}

void memory_free(void *block)
{
	current->free(current->context, block);
}

#if defined __GLIBC__ && __SIZEOF_POINTER__ == 8 && !defined __SANITIZE_ADDRESS__ &&                \
	!defined __SANITIZE_THREAD__
/* Smaller than the size from which glibc gives each block a mapping of its own. */
#define AHEAD_BLOCK ((size_t)64 << 10)

void memory_ahead(size_t bytes)
{
	void *first = NULL, **last = &first, *block;

	if (bytes > MEMORY_AHEAD_MOST)
		bytes = MEMORY_AHEAD_MOST;
	/* Of each block only the page that holds the list's pointer is touched. */
	for (size_t got = 0; got < bytes; got += AHEAD_BLOCK) {
		block = malloc(AHEAD_BLOCK);
		if (!block)
			break;
		*last = block;
		last = block;
		*last = NULL;
	}
	/* Frees the oldest block first: when the last block, at the end of the heap, is freed,
	 * glibc gives all of them back at once. */
	while ((block = first)) {
		first = *(void **)block;
		free(block);
	}
}

void memory_give_back(void)
{
	malloc_trim(0);
}
#else
void memory_ahead(size_t bytes)
{
	(void)bytes;
}

void memory_give_back(void)
{
}
#endif
