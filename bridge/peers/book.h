/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The address book: which nodes are known and where they are to be found.
 *
 * Who may overwrite whom: configured addresses are only ever replaced by a new
 * look-up of the same configured names; what a node says of itself or others say of
 * it (hearsay: peer data in gossip can be forged by anyone) never touches them, and
 * is tried after them. Hearsay is bounded per node and in all; when the book is full
 * a node without configured addresses and without a link gives way, the one that was
 * heard of longest ago first.
 *
 * sans-IO; one thread.
 */
#ifndef BRIDGE_PEERS_BOOK_H
#define BRIDGE_PEERS_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../address.h"
#include "../counters.h"
#include "../id.h"
#include "../limits.h"
#include "../random.h"

struct book;

/* At most this many places are tried for one node. */
#define BOOK_CANDIDATES (2 * LIMIT_ADDRESSES_PER_NODE + 1)

/* ERROR_NOMEM. The book draws its hash key from random. */
int book_new(const struct id *me, const struct random *random, struct counters *counters,
	size_t max_nodes, struct book **out);
void book_free(struct book *book);

/* A node from the configuration; its addresses so far (replacing earlier ones).
 * ERROR_NOMEM, ERROR_INVALID (our own id). */
int book_configure(
	struct book *book, const struct id *node, const struct address *addresses, size_t count);
bool book_is_trusted(const struct book *book, const struct id *node);

/* Somebody said that node is at these addresses. Loopback is believed only from a
 * source that is itself on loopback. Ignores our own id. ERROR_LIMIT, ERROR_NOMEM. */
int book_hear(struct book *book, uint64_t now, const struct id *node,
	const struct address *addresses, size_t count, bool source_is_loopback);

/* This address has worked: it is tried first from now on. */
void book_worked(
	struct book *book, uint64_t now, const struct id *node, const struct address *address);

/* Protects a node from giving way while there is a link to it. */
void book_set_linked(struct book *book, const struct id *node, bool linked);

/* Where to dial, in the order to be tried; returns how many. */
size_t book_candidates(
	const struct book *book, const struct id *node, struct address out[BOOK_CANDIDATES]);
size_t book_size(const struct book *book);

#endif
