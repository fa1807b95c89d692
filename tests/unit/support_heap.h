/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An allocator that fails at the n-th allocation, and from then on if sticky, and
 * counts what is not freed: the model is cowsql/raft's test heap.
 */
#ifndef TESTS_UNIT_SUPPORT_HEAP_H
#define TESTS_UNIT_SUPPORT_HEAP_H

#include <stdbool.h>
#include <stddef.h>

/* Uses the counting allocator until heap_end. */
void heap_begin(void);
/* Fails the n-th allocation from now (1 is the next); 0: none. */
void heap_fail(size_t n, bool sticky);
/* Fails the n-th and those that follow it, so many in all. */
void heap_fail_some(size_t n, size_t failures);
/* Whether the first allocation that is to fail has come. */
bool heap_has_failed(void);
/* Blocks that are allocated now. */
size_t heap_blocks(void);
/* The largest one that was asked for since heap_begin. */
size_t heap_largest(void);
/* Back to the C library's; fails the test when a block has been leaked. */
void heap_end(void);

#endif
