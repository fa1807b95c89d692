/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the address book share: book.c (nodes: who is told, who gives way),
 * book_shared.c (which node shares which topic), book_row.c (rows for the disk).
 */
#ifndef BRIDGE_PEERS_BOOK_INTERNAL_H
#define BRIDGE_PEERS_BOOK_INTERNAL_H

#include <utlist.h>

#include "../error.h"
#include "../keyed_table.h"
#include "book.h"

#define BOOK_ROLES	    2
#define BOOK_STALE_FAILURES 3

/* The lists of nodes that may give way. Each is in the order in which the nodes were heard of or
 * worked: the head goes first. A configured or linked node is in neither list. */
enum book_list { BOOK_UNPROVEN, BOOK_PROVEN, BOOK_LISTS, BOOK_NO_LIST = BOOK_LISTS };

/* The lists of nodes that are away. Their nodes are tried in turn, the recent ones apart from
 * those that have been tried for long. */
enum book_away { BOOK_HERE, BOOK_AWAY_RECENTLY, BOOK_AWAY_LONG };
#define BOOK_AWAYS 2
/* Tries (book_next_away) after which a node has been away for long. */
#define BOOK_AWAY_TRIES 20

/* The tables in which nodes are found by number: all nodes, those that no other node has brought
 * (source is NULL), and those with an info of an order. */
enum book_table_name { BOOK_ALL, BOOK_OWN, BOOK_WITH_INFO, BOOK_TABLES = BOOK_WITH_INFO + ORDERS };

struct book_table {
	struct book_node **items;
	size_t count, room;
};

struct book_addresses {
	size_t count;
	struct address items[];
};

/* A node that has brought other nodes, which are unproven and have not spoken for themselves. */
struct book_source {
	struct id id;
	struct book_node *nodes; /* the one heard of longest ago first */
	size_t count;		 /* > 0 */
	struct book_source *prev, *next; /* book->turns */
	UT_hash_handle hh;
};

struct book_node {
	struct id id;
	bool is_configured[BOOK_ROLES];
	bool linked;
	bool has_good;		    /* good is set, and the node is proven */
	enum address_scope info_scope[ORDERS]; /* how narrow addresses in the info are believed */
	bool on_disk;		    /* there is a row on disk, or one has been handed out */
	bool changed;		    /* in book->changes */
	bool gone;	  /* not in the book any more: only its row is still to be deleted */
	uint8_t failures; /* since the node worked, BOOK_STALE_FAILURES at most */
	/* The node could not be reached or was lost, and has not been here since: on
	 * book->away[away - 1]. */
	enum book_away away;
	uint16_t away_tries;
	bool own; /* in the table of those that no other node has brought */
	bool missing;	 /* the last event of the node was a failure or a loss */
	uint64_t missed; /* monotonic ns: the last failure or loss; if missing */
	uint64_t heard;	 /* monotonic ns: when the node was here; 0: never in this run */
	enum dialect dialect;
	struct address good;			       /* the last address that worked */
	struct address relay; /* of the newest info, if it may be dialled; family 0: none */
	struct book_addresses *configured[BOOK_ROLES]; /* NULL: none */
	struct book_addresses *hearsay;		       /* likewise */
	struct info *infos[ORDERS];		       /* likewise */
	/* Wall us, 0: never; row_...: the same as the last row has them. */
	uint64_t worked, failed, row_worked, row_failed;
	struct book_share *shares; /* of this node */
	unsigned shares_count;
	unsigned at[BOOK_TABLES];
	enum book_list list;
	struct book_node *prev, *next;		       /* in that list */
	struct book_source *source;		       /* NULL: the node itself */
	struct book_node *source_prev, *source_next;   /* source->nodes */
	struct book_node *changes_prev, *changes_next; /* book->changes */
	struct book_node *away_prev, *away_next;
	UT_hash_handle hh;
};

struct book_topic {
	struct id id;
	struct book_share **shares;
	size_t count, room; /* count > 0 */
	UT_hash_handle hh;
};

/* The fact that a node has a topic. */
struct book_share {
	struct book_node *node;
	struct book_topic *topic;
	size_t at;				/* topic->shares */
	struct book_share *bucket_next;		/* book->buckets */
	struct book_share *prev, *next;		/* node->shares */
	struct book_share *all_prev, *all_next; /* book->shares */
};

struct book {
	struct id me;
	struct random random;
	struct keyed keyed;
	struct counters *counters;
	size_t max_nodes;
	struct book_node *nodes; /* by id, including the gone nodes */
	struct book_table tables[BOOK_TABLES];
	struct book_node *lists[BOOK_LISTS];
	struct book_source *sources;
	struct book_source *turns; /* the sources again, the one whose turn it is first */
	struct book_node *changes; /* oldest first */
	struct book_node *away[BOOK_AWAYS]; /* the one whose turn it is first */
	struct book_topic *topics;
	struct book_share **buckets; /* by node and topic; NULL until there is one */
	struct book_share *shares;   /* shown longest ago first */
	size_t shares_count;
};

/* Tells whether the node has to stay in the book. */
static inline bool book_is_pinned(const struct book_node *node)
{
	return node->linked || node->is_configured[BOOK_TRUSTED] ||
	       node->is_configured[BOOK_BOOTSTRAP];
}

/* Tells whether the address can be dialled at all. */
static inline bool book_is_usable(const struct address *address)
{
	return address_is_relay(address) || address_is_dialable(address);
}

/* ---- book.c ---- */

/* Finds a node; NULL: it is not in the book. */
struct book_node *book_find_node(const struct book *book, const struct id *id);
/* What a full book does for one more node or share. */
enum book_making_room {
	BOOK_ONLY_IF_ROOM, /* nothing */
	BOOK_MAKE_ROOM,	   /* lets a node go that may go */
	BOOK_ANYHOW,	   /* likewise, and grows if no node may go */
};

/* Adds a node whose id is not in the book. source: who has brought the node; NULL: the node
 * itself. ERROR_LIMIT, ERROR_NOMEM. */
int book_add_node(struct book *book, const struct id *id, const struct id *source,
	enum book_making_room making_room, struct book_node **out);
void book_forget_node(struct book *book, struct book_node *node);
/* Notes that an unproven node has been heard of: it becomes the last to go. */
void book_touch_node(struct book *book, struct book_node *node);
/* Puts a node into the list where it belongs, as the last to go. */
void book_enlist_node(struct book *book, struct book_node *node);
/* Notes that the node's row is to be written again. */
void book_note_change(struct book *book, struct book_node *node);
/* Takes the info into the book in place of the node's last one of that order. ERROR_NOMEM: the
 * info is not taken. */
int book_keep_info(struct book *book, struct book_node *node, struct info *info,
	enum address_scope scope);
/* Copies addresses; count > 0. NULL: no memory. */
struct book_addresses *book_copy_addresses(const struct address *addresses, size_t count);

/* ---- book_shared.c ---- */

/* Adds the share of a node in a topic; true in *changed: the share is new. ERROR_LIMIT,
 * ERROR_NOMEM. */
int book_add_share(struct book *book, struct book_node *node, const struct id *topic,
	enum book_making_room making_room, bool *changed);
void book_drop_shares(struct book *book, struct book_node *node);

#endif
