/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The address book: which nodes are known, where they are to be found, what they speak and
 * which of our topics they share.
 *
 * Who may overwrite whom: configured addresses are only ever replaced by a new look-up of the
 * same configured names; an info that the node has signed only by a newer one of the same
 * order; hearsay (peer data in gossip can be forged by anyone) replaces hearsay. All three are
 * kept side by side and tried in this order, after the one that has worked last.
 *
 * Bounded: max_nodes (LIMIT_NODES), LIMIT_TOPICS_PER_NODE, LIMIT_SHARED. Who goes when it is
 * full: the unproven node (one that we have never reached) that was heard of longest ago, else
 * the proven one that worked longest ago; never a configured or linked one. And a source that
 * has brought LIMIT_HEARSAY_PER_NODE unproven ones loses its own oldest for the next, full or
 * not. So nobody can fill it with inventions at the cost of nodes that exist. A node belongs
 * to who has spoken of it first, until it speaks for itself. Of (node, topic) pairs the one
 * that was shown longest ago goes, unless its node is configured or linked. What goes and what
 * is refused is counted (LIMIT_PEERS, LIMIT_TOPICS).
 *
 * Every call is O(1) or as long as its answer.
 *
 * What is to survive a restart is handed out as rows (book_row), opaque to whoever keeps them,
 * and taken back at start (book_restore).
 *
 * sans-IO; now: monotonic ns, wall: unix microseconds; one thread.
 */
#ifndef BRIDGE_PEERS_BOOK_H
#define BRIDGE_PEERS_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../address.h"
#include "../counters.h"
#include "../discovery/info.h"
#include "../id.h"
#include "../limits.h"
#include "../random.h"

struct book;

/* At most this many places are tried for one node. */
/* The one that has worked, those configured, a relay, those of its info, hearsay. */
#define BOOK_CANDIDATES (3 * LIMIT_ADDRESSES_PER_NODE + 2)

/* random (hash key, random order) and counters must outlive the book. ERROR_NOMEM. */
int book_new(const struct id *me, const struct random *random, struct counters *counters,
	size_t max_nodes, struct book **out);
void book_free(struct book *book);

/* ---- nodes of the configuration ---- */

enum book_role {
	BOOK_TRUSTED,	/* peer: told every topic */
	BOOK_BOOTSTRAP, /* a way in for discovery: told nothing it has not proven to share */
};

/* A node may have both roles. Its configured addresses so far (replacing earlier ones of the
 * same role). ERROR_NOMEM, ERROR_INVALID (our own id). */
int book_configure(struct book *book, const struct id *node, enum book_role role,
	const struct address *addresses, size_t count);
bool book_is_trusted(const struct book *book, const struct id *node);
bool book_is_bootstrap(const struct book *book, const struct id *node);

/* ---- what others say ---- */

/* Somebody (source) said that node is at these addresses. scope: the source's own address's;
 * addresses of a narrower one are not believed. Ignores our own id. ERROR_LIMIT, ERROR_NOMEM. */
int book_hear(struct book *book, uint64_t now, const struct id *node, const struct id *source,
	const struct address *addresses, size_t count, enum address_scope scope);

/* Whether the info is of no use, so that it need not be verified: it is known, or a newer one
 * of its order is. As long as it is not verified its order is a guess: one that is as old as
 * what is known may be the other order's, and is of use. */
bool book_has_info(const struct book *book, const struct id *node, const struct info *info);
/* A verified info; takes it, whatever is returned. true in *fresh: it was new. The source
 * (may be node itself) as above; addresses of a narrower scope in it are not tried, until
 * somebody of that scope tells the same. Counts INFOS (fresh) and BAD_INFO (ERROR_INVALID).
 * ERROR_INVALID (our own id, beyond LIMIT_FUTURE_US), ERROR_LIMIT, ERROR_NOMEM. */
int book_insert_info(struct book *book, uint64_t now, uint64_t wall, const struct id *node,
	const struct id *source, enum address_scope scope, struct info *info, bool *fresh);
/* The relay that the newest info of a node names, where it may be dialled; NULL: none. Not kept
 * over a restart, its info is. */
void book_set_relay(struct book *book, const struct id *node, const struct address *relay);
/* NULL: none of that order. Valid until the book is next changed. */
const struct info *book_info(const struct book *book, const struct id *node, enum info_order order);
/* How many there are of that order, and one of them by its number (below that) with its node, for
 * those who go through all of them bit by bit. Numbers move when infos come or go: then one may be
 * met twice or not at all. */
size_t book_infos(const struct book *book, enum info_order order);
const struct info *book_info_number(
	const struct book *book, enum info_order order, size_t number, struct id *node);

/* ---- what it shares, what it speaks ---- */

/* node has shown (discovery, being a neighbour) that it has this topic, or that it does not
 * have it any more. Adds the node where it is not known. True: that is a change. */
bool book_set_shared(struct book *book, uint64_t now, const struct id *node, const struct id *topic,
	bool shared);
bool book_shares(const struct book *book, const struct id *node, const struct id *topic);
/* Nodes that share a topic, at random, each at most once and at most BOOK_VISITS of them; stops
 * when visit returns false. */
#define BOOK_VISITS 512
/* What is called back from the book must not add anything to it or remove it. */
typedef bool book_visit(void *context, const struct id *node);
void book_each_of_topic(
	const struct book *book, const struct id *topic, book_visit *visit, void *context);

void book_set_dialect(struct book *book, const struct id *node, enum dialect dialect);
enum dialect book_dialect(const struct book *book, const struct id *node);

/* ---- what we have seen ---- */

/* This address has worked: it is tried first from now on. Makes the node a proven one. */
void book_worked(struct book *book, uint64_t now, uint64_t wall, const struct id *node,
	const struct address *address);
/* None of its addresses answered. A node that has failed three times in a row is stale until
 * it works again or says something new of itself; a configured one never is. */
void book_failed(struct book *book, uint64_t now, uint64_t wall, const struct id *node);
bool book_is_stale(const struct book *book, const struct id *node);
/* The node was lost or could not be reached, or it is here (book_worked says so too). Returns
 * whether it was the other way before. */
bool book_set_away(struct book *book, uint64_t now, const struct id *node, bool away);
bool book_is_away(const struct book *book, const struct id *node);
/* Whether it is to be asked after the others: it was lost or could not be reached, and has neither
 * been here since nor said anything new of itself. One of the configuration, which others may come
 * back through, for BOOK_DOUBT_NS at a time only. */
#define BOOK_DOUBT_NS UINT64_C(60000000000)
bool book_is_doubtful(const struct book *book, uint64_t now, const struct id *node);
/* Whether others are to be told of it: not of one that is doubtful and was not here for
 * BOOK_TOLD_NS. (Who visits us now and then may be one that we cannot reach, behind a NAT, and
 * its neighbours there can.) */
#define BOOK_TOLD_NS UINT64_C(120000000000)
bool book_is_told(const struct book *book, uint64_t now, const struct id *node);
/* A node that is away, and shares some topic, and is not trusted (those are dialled anyway): to be
 * tried once more. Each in its turn; recently: of those that have not been tried for long, else
 * of those that have. False: there is none. */
bool book_next_away(struct book *book, bool recently, struct id *node);
/* Protects a node from giving way while there is a link to it. */
void book_set_linked(struct book *book, const struct id *node, bool linked);

/* Where to dial, in the order to be tried; proven (may be NULL): how many of the first ones
 * have worked or are configured. Returns how many. */
size_t book_candidates(const struct book *book, const struct id *node,
	struct address out[BOOK_CANDIDATES], size_t *proven);
bool book_knows(const struct book *book, const struct id *node);
size_t book_size(const struct book *book);
/* Some node at random for which wanted says true (asked of at most 64); false: none was found.
 * For walks through the network. */
typedef bool book_wanted(void *context, const struct id *node);
bool book_random(struct book *book, book_wanted *wanted, void *context, struct id *out);
/* The same, but every other time one that no other node has brought (it has spoken for itself, was
 * reached, is configured or linked), and else one that the source whose turn it is has: who invents
 * nodes by the hundred is one voice among others. Of each at most 32 are asked; false does not say
 * that there is none. */
bool book_random_fair(struct book *book, book_wanted *wanted, void *context, struct id *out);

/* ---- surviving a restart ---- */

/* The longest row. */
#define BOOK_ROW_SIZE 131072

/* A node whose row is to be written (size > 0) or deleted (0), oldest change first; false:
 * none. The row is encoded into out. A node that changes often comes once. A success or a
 * failure a few minutes after the last one is no change. */
bool book_row(struct book *book, struct id *node, uint8_t out[BOOK_ROW_SIZE], size_t *size);
/* One row of earlier, in the order in which they were written; nothing gives way for it, and
 * what is known already is not overwritten. A damaged row is left out. ERROR_INVALID and
 * ERROR_LIMIT (it is of no use: delete it), ERROR_NOMEM. */
int book_restore(struct book *book, const struct id *node, const uint8_t *row, size_t size);

#endif
