/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * All allocation of the library goes through here, so that a test can make each
 * allocation fail in turn (the model is raft_heap of cowsql/raft).
 * Any thread. A freshly allocated block is owned by the caller.
 */
#ifndef BRIDGE_MEMORY_H
#define BRIDGE_MEMORY_H

#include <stddef.h>

struct memory {
	void *(*alloc)(void *context, size_t size);
	void *(*realloc)(void *context, void *block, size_t size);
	void (*free)(void *context, void *block);
	void *context;
};

/* Uses this allocator from now on; NULL means the C library's. Not while a node
 * runs: set it before the first allocation. The struct must outlive its use. */
void memory_set(const struct memory *memory);

/* NULL when there is no memory. memory_zalloc fills with zeros. */
void *memory_alloc(size_t size);
void *memory_zalloc(size_t size);
void *memory_realloc(void *block, size_t size);
void memory_free(void *block);

#endif
