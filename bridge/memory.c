/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "memory.h"

#include <stdlib.h>
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
