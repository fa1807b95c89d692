/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The address book: which nodes are known, at which addresses, which dialect they speak and which
 * of our topics they share.
 *
 * Who may overwrite whom: configured addresses are only ever replaced by a new look-up of the same
 * configured names. An info that a node has signed is only replaced by a newer one of the same
 * order. Hearsay (anyone can forge peer data in gossip) replaces hearsay. The book keeps all three
 * side by side and offers them in this order, after the address that has worked last.
 *
 * Bounded: max_nodes (LIMIT_NODES), LIMIT_TOPICS_PER_NODE, LIMIT_SHARED. A full book lets the
 * unproven node go (one that we have never reached) that was heard of longest ago, or else the
 * proven node that worked longest ago; never a configured or linked one. And a source that has
 * brought LIMIT_HEARSAY_PER_NODE unproven nodes loses the oldest of those nodes for the next one,
 * whether the book is full or not. So nobody can fill the book with inventions at the cost of
 * nodes that exist. A node belongs to the source that has spoken of it first, until the node
 * speaks for itself. Of the (node, topic) pairs the one that was shown longest ago goes, unless
 * its node is configured or linked. Nodes and pairs that go or are refused are counted
 * (LIMIT_PEERS, LIMIT_TOPICS).
 *
 * Every call takes constant time, or time in proportion to its answer.
 *
 * What is to survive a restart is handed out as rows (book_row), opaque to the caller that keeps
 * them, and taken back at start (book_restore).
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

/* At most this many addresses are tried for one node: the one that has worked, the configured
 * ones, a relay, those of the node's info, hearsay. */
#define BOOK_CANDIDATES (3 * LIMIT_ADDRESSES_PER_NODE + 2)

/* Makes an empty book. random (hash key, random order) and counters must outlive the book.
 * ERROR_NOMEM. */
int book_new(const struct id *me, const struct random *random, struct counters *counters,
	size_t max_nodes, struct book **out);
void book_free(struct book *book);

/* ---- nodes of the configuration ---- */

enum book_role {
	BOOK_TRUSTED,	/* peer: told every topic */
	BOOK_BOOTSTRAP, /* a way in for discovery: told nothing it has not proven to share */
};

/* Gives a node a role; a node may have both. addresses replace the earlier configured ones of the
 * same role. ERROR_NOMEM, ERROR_INVALID (our own id). */
int book_configure(struct book *book, const struct id *node, enum book_role role,
	const struct address *addresses, size_t count);
/* Takes a role from a node and forgets the addresses that were configured for the role. */
void book_unconfigure(struct book *book, const struct id *node, enum book_role role);
/* Tells whether a node has the role; only tests call these two. */
bool book_is_trusted(const struct book *book, const struct id *node);
bool book_is_bootstrap(const struct book *book, const struct id *node);

/* ---- what others say ---- */

/* Takes the word of source that node is at these addresses. scope: the scope of the source's own
 * address; addresses of a narrower scope are not believed. Ignores our own id. ERROR_LIMIT,
 * ERROR_NOMEM. */
int book_hear(struct book *book, uint64_t now, const struct id *node, const struct id *source,
	const struct address *addresses, size_t count, enum address_scope scope);

/* Tells whether the info is of no use, so that it need not be verified: the book has the info, or
 * a newer one of the same order. Until an info is verified its order is a guess: an info that is
 * as old as the known one may be of the other order, and is of use then. */
bool book_has_info(const struct book *book, const struct id *node, const struct info *info);
/* Inserts a verified info; takes the info in every case. true in *fresh: the info was new.
 * source (may be node itself) and scope as for book_hear; addresses of a narrower scope in the
 * info are not tried until a source of that scope tells the same info. Counts INFOS (fresh) and
 * BAD_INFO (ERROR_INVALID). ERROR_INVALID (our own id, beyond LIMIT_FUTURE_US), ERROR_LIMIT,
 * ERROR_NOMEM. */
int book_insert_info(struct book *book, uint64_t now, uint64_t wall, const struct id *node,
	const struct id *source, enum address_scope scope, struct info *info, bool *fresh);
/* Sets the relay that the newest info of a node names, if nodes may be dialled there; NULL: none.
 * The relay is not kept over a restart, the info is. */
void book_set_relay(struct book *book, const struct id *node, const struct address *relay);
/* Returns the node's info of that order; NULL: there is none. Valid until the next change of the
 * book. */
const struct info *book_info(const struct book *book, const struct id *node, enum info_order order);
/* Counts the infos of an order. */
size_t book_infos(const struct book *book, enum info_order order);
/* Returns an info by its number (below book_infos), and its node, for a caller that goes through
 * all infos bit by bit. Numbers move when infos come or go: then an info may be met twice or not
 * at all. */
const struct info *book_info_number(
	const struct book *book, enum info_order order, size_t number, struct id *node);

/* ---- what a node shares, what it speaks ---- */

/* Notes that node has shown (by discovery, or as a neighbour) that it has a topic, or that it has
 * it no more. Adds a node that is not in the book. True: that is a change. */
bool book_set_shared(struct book *book, uint64_t now, const struct id *node, const struct id *topic,
	bool shared);
bool book_shares(const struct book *book, const struct id *node, const struct id *topic);
/* The most nodes that book_each_of_topic visits. */
#define BOOK_VISITS 512
/* Takes one node of an answer. A callback of the book must not add to the book or remove from it.
 * False: stop. */
typedef bool book_visit(void *context, const struct id *node);
/* Visits nodes that share a topic, in random order, each at most once and at most BOOK_VISITS of
 * them; stops when visit returns false. */
void book_each_of_topic(
	const struct book *book, const struct id *topic, book_visit *visit, void *context);

void book_set_dialect(struct book *book, const struct id *node, enum dialect dialect);
enum dialect book_dialect(const struct book *book, const struct id *node);

/* ---- what we have seen ---- */

/* Notes that this address of the node has worked: it is tried first from now on. Makes the node a
 * proven one. */
void book_worked(struct book *book, uint64_t now, uint64_t wall, const struct id *node,
	const struct address *address);
/* Notes that none of the node's addresses answered. A node that has failed three times in a row is
 * stale until it works again or says something new of itself; a configured node never is. */
void book_failed(struct book *book, uint64_t now, uint64_t wall, const struct id *node);
bool book_is_stale(const struct book *book, const struct id *node);
/* Notes that the node was lost or could not be reached (away), or that it is here (book_worked
 * notes this too). Returns whether the node was the other way before. */
bool book_set_away(struct book *book, uint64_t now, const struct id *node, bool away);
bool book_is_away(const struct book *book, const struct id *node);
/* How long a configured node is doubtful after a failure or a loss. */
#define BOOK_DOUBT_NS UINT64_C(60000000000)
/* Tells whether a node is asked only after the others: it was lost or could not be reached, and
 * has neither been here since nor said anything new of itself. A configured node, through which
 * others may come back, is doubtful for BOOK_DOUBT_NS only. */
bool book_is_doubtful(const struct book *book, uint64_t now, const struct id *node);
/* How long after its last presence a doubtful node is still told to others. */
#define BOOK_TOLD_NS UINT64_C(120000000000)
/* Tells whether we tell others of a node: not of a doubtful node that was not here for
 * BOOK_TOLD_NS. (A node that visits us now and then may be behind a NAT: we cannot reach it, but
 * its neighbours there can.) */
bool book_is_told(const struct book *book, uint64_t now, const struct id *node);
/* Finds a node to be tried once more: it is away, shares some topic, and is not trusted (trusted
 * nodes are dialled anyway). Each node has its turn. recently: among the nodes that were tried a
 * few times only, else among those that were tried often. False: there is none. */
bool book_next_away(struct book *book, bool recently, struct id *node);
/* Protects a node from giving way while there is a link to it. */
void book_set_linked(struct book *book, const struct id *node, bool linked);

/* Lists the addresses to dial, in the order to be tried; proven (may be NULL): how many of the
 * first ones have worked, are configured or are a relay. Returns how many addresses there are. */
size_t book_candidates(const struct book *book, const struct id *node,
	struct address out[BOOK_CANDIDATES], size_t *proven);
/* Tells whether a node is in the book; only tests call it. */
bool book_knows(const struct book *book, const struct id *node);
/* What is known of a node, for display: when the node worked and failed last (Unix time, us; 0:
 * never), and which addresses it has from whom. An address that is known in several ways comes
 * several times. */
enum book_origin { BOOK_ITS_LAST, BOOK_ITS_CONFIGURED, BOOK_ITS_INFO, BOOK_ITS_HEARSAY };
struct book_place {
	struct address address;
	enum book_origin origin;
	struct id source; /* who has brought the address, or of hearsay the node */
};
struct book_account {
	uint64_t worked, failed;
	bool away;
	size_t places_count;
	struct book_place places[3 * LIMIT_ADDRESSES_PER_NODE + 2 * LIMIT_ADDRESSES_PER_NODE + 2];
};
/* Describes what the book knows of a node. False: the node is not in the book. */
bool book_describe(const struct book *book, const struct id *node, struct book_account *out);
/* Finds a node by its number (below book_size). Numbers move when nodes come or go. */
void book_number(const struct book *book, size_t number, struct id *node);
size_t book_size(const struct book *book);
/* Tells whether a random node is one that the caller can use. */
typedef bool book_wanted(void *context, const struct id *node);
/* Finds a random node for which wanted returns true, for walks through the network. Asks wanted of
 * at most 64 nodes. False: none of them was wanted. */
bool book_random(struct book *book, book_wanted *wanted, void *context, struct id *out);
/* Finds a random node like book_random, but fairly: every other time a node that no other node has
 * brought (it has spoken for itself, was reached, is configured or linked), else a node of the
 * source whose turn it is. So a node that invents others by the hundred is one voice among others.
 * Asks wanted of at most 32 of each kind; false does not mean that there is no wanted node. */
bool book_random_fair(struct book *book, book_wanted *wanted, void *context, struct id *out);

/* ---- surviving a restart ---- */

/* The longest row. */
#define BOOK_ROW_SIZE 131072

/* Takes out a node whose row is to be written (size > 0) or deleted (0), oldest change first;
 * false: there is none. The row is encoded into out. A node that changes often is handed out once.
 * A success or a failure a few minutes after the last one is no change. */
bool book_row(struct book *book, struct id *node, uint8_t out[BOOK_ROW_SIZE], size_t *size);
/* Takes back one row of an earlier run, in the order in which the rows were written. No node gives
 * way for the row, and what the book knows already is not overwritten. A damaged row is left out.
 * ERROR_INVALID and ERROR_LIMIT (the row is of no use: delete it), ERROR_NOMEM. */
int book_restore(struct book *book, const struct id *node, const uint8_t *row, size_t size);

#endif
