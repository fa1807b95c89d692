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

/* Uses this allocator from now on; NULL means the C library's. Call it before the first allocation,
 * and not while a node runs. The struct must live as long as the allocator is used. Only tests call it. */
void memory_set(const struct memory *memory);

/* Allocates a block, or returns NULL when there is no memory. memory_zalloc fills the block with
 * zeros. */
void *memory_alloc(size_t size);
void *memory_zalloc(size_t size);
void *memory_realloc(void *block, size_t size);
void memory_free(void *block);

/* Reserves address space for at least so many bytes of the calling thread's heap, at most
 * MEMORY_AHEAD_MOST, at once, without keeping it in memory. Otherwise glibc, in all threads but the
 * first, asks the system for its heap page by page each time the heap is longer than ever before;
 * with this a heap that fills for half a minute costs no system calls. Does nothing with other C
 * libraries, and with sanitizers, which have allocators of their own. */
#define MEMORY_AHEAD_MOST ((size_t)56 << 20)
void memory_ahead(size_t bytes);
/* Gives the pages that are free within the heaps of all threads back to the system, for glibc keeps
 * them where something behind them is in use. Takes some 0.1 ms for each MiB. Does nothing with
 * other C libraries, and with sanitizers. */
void memory_give_back(void);

#endif
