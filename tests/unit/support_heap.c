/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "support_heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "bridge/memory.h"

static struct {
	size_t blocks;
	size_t largest;
	size_t countdown; /* 0: do not fail */
	size_t failures;  /* so many follow the first one */
	bool sticky;
	bool failed;
} heap;

static bool fails(size_t size)
{
	if (size > heap.largest)
		heap.largest = size;
	if (heap.failed && heap.sticky)
		return true;
	if (heap.failed && heap.failures > 0) {
		heap.failures--;
		return true;
	}
	if (heap.countdown == 0 || --heap.countdown > 0)
		return false;
	heap.failed = true;
	return true;
}

static void *heap_alloc(void *context, size_t size)
{
	void *block = fails(size) ? NULL : malloc(size);

	(void)context;
	heap.blocks += block != NULL;
	return block;
}

static void *heap_realloc(void *context, void *block, size_t size)
{
	void *moved = fails(size) ? NULL : realloc(block, size);

	(void)context;
	heap.blocks += !block && moved;
	return moved;
}

static void heap_free(void *context, void *block)
{
	(void)context;
	heap.blocks -= block != NULL;
	free(block);
}

static const struct memory counting = {heap_alloc, heap_realloc, heap_free, NULL};

void heap_begin(void)
{
	heap.blocks = 0;
	heap.largest = 0;
	heap_fail(0, false);
	memory_set(&counting);
}

void heap_fail(size_t n, bool sticky)
{
	heap.countdown = n;
	heap.failures = 0;
	heap.sticky = sticky;
	heap.failed = false;
}

void heap_fail_some(size_t n, size_t failures)
{
	heap_fail(n, false);
	heap.failures = failures - 1;
}

bool heap_has_failed(void)
{
	return heap.failed;
}

size_t heap_blocks(void)
{
	return heap.blocks;
}

size_t heap_largest(void)
{
	return heap.largest;
}

void heap_end(void)
{
	memory_set(NULL);
	assert_int_equal(heap.blocks, 0);
}
