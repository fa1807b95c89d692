/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the address book share: book.c (nodes: who is told, who gives way),
 * book_shared.c (which node shares which topic), book_row.c (rows for the disk).
 */
#ifndef BRIDGE_PEERS_BOOK_INTERNAL_H
#define BRIDGE_PEERS_BOOK_INTERNAL_H

#include <utlist.h>

#include "../error.h"
#include "../keyed.h"
#include "book.h"

#define BOOK_ROLES	    2
#define BOOK_STALE_FAILURES 3

/* In the order of the calls, which is the order of time: the head is the first to go. A node
 * that is configured or linked is in neither. */
enum book_list { BOOK_UNPROVEN, BOOK_PROVEN, BOOK_LISTS, BOOK_NO_LIST = BOOK_LISTS };

/* Nodes that are away: they are tried in turn, and the recent ones apart from those that have been
 * tried for long. */
enum book_away { BOOK_HERE, BOOK_AWAY_RECENTLY, BOOK_AWAY_LONG };
#define BOOK_AWAYS 2
/* Tries (book_next_away) after which a node has been away for long. */
#define BOOK_AWAY_TRIES 20

/* Where nodes are to be found by number: all of them, those that no other node has brought (source
 * is NULL), and those with an info of an order. */
enum book_table_name { BOOK_ALL, BOOK_OWN, BOOK_WITH_INFO, BOOK_TABLES = BOOK_WITH_INFO + ORDERS };

struct book_table {
	struct book_node **items;
	size_t count, room;
};

struct book_addresses {
	size_t count;
	struct address items[];
};

/* Who has brought unproven nodes that it does not speak for itself. */
struct book_source {
	struct id id;
	struct book_node *nodes; /* heard of longest ago first */
	size_t count;		 /* > 0 */
	struct book_source *prev, *next; /* book->turns */
	UT_hash_handle hh;
};

struct book_node {
	struct id id;
	bool is_configured[BOOK_ROLES];
	bool linked;
	bool has_good;		    /* and so is proven */
	enum address_scope info_scope[ORDERS]; /* whose addresses in it are believed */
	bool on_disk;		    /* there is a row, or one has been handed out */
	bool changed;		    /* in book->changes */
	bool gone;	  /* only its row is still to be deleted: not in the book any more */
	uint8_t failures; /* since it worked, BOOK_STALE_FAILURES at most */
	/* Could not be reached, and has not been there since: on book->away[away - 1]. */
	enum book_away away;
	uint16_t away_tries;
	bool own; /* in the table of those that no other node has brought */
	bool missing;	 /* a failure or a loss was the last that was seen of it */
	uint64_t missed; /* monotonic ns: the last of these; if missing */
	uint64_t heard;	 /* monotonic ns: it was here; 0: never in this life */
	enum dialect dialect;
	struct address good;			       /* the last one that worked */
	struct address relay; /* that its newest info names, if it may be dialled; family 0: none */
	struct book_addresses *configured[BOOK_ROLES]; /* NULL: none */
	struct book_addresses *hearsay;		       /* likewise */
	struct info *infos[ORDERS];		       /* likewise */
	/* Wall us, 0: never; and as the last row has them. */
	uint64_t worked, failed, row_worked, row_failed;
	struct book_share *shares; /* of this node */
	unsigned shares_count;
	unsigned at[BOOK_TABLES];
	enum book_list list;
	struct book_node *prev, *next;		       /* in that list */
	struct book_source *source;		       /* NULL: itself */
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

/* A node has a topic. */
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
	struct book_node *nodes; /* by id, the gone ones too */
	struct book_table tables[BOOK_TABLES];
	struct book_node *lists[BOOK_LISTS];
	struct book_source *sources;
	struct book_source *turns; /* the same, the one whose turn it is first */
	struct book_node *changes; /* oldest first */
	struct book_node *away[BOOK_AWAYS]; /* the one whose turn it is first */
	struct book_topic *topics;
	struct book_share **buckets; /* by node and topic; NULL until there is one */
	struct book_share *shares;   /* shown longest ago first */
	size_t shares_count;
};

/* Whether it has to stay. */
static inline bool book_is_pinned(const struct book_node *node)
{
	return node->linked || node->is_configured[BOOK_TRUSTED] ||
	       node->is_configured[BOOK_BOOTSTRAP];
}

/* Whether it can be dialled at all. */
static inline bool book_is_usable(const struct address *address)
{
	return address_is_relay(address) || address_is_dialable(address);
}

/* ---- book.c ---- */

/* NULL: not in the book. */
struct book_node *book_find_node(const struct book *book, const struct id *id);
/* What a full book does for one more. */
enum book_making_room {
	BOOK_ONLY_IF_ROOM, /* nothing */
	BOOK_MAKE_ROOM,	   /* lets somebody go who may */
	BOOK_ANYHOW,	   /* that, and grows if there is nobody */
};

/* An id that is not in the book; source NULL: itself. ERROR_LIMIT, ERROR_NOMEM. */
int book_add_node(struct book *book, const struct id *id, const struct id *source,
	enum book_making_room making_room, struct book_node **out);
void book_forget_node(struct book *book, struct book_node *node);
/* It has been heard of. */
void book_touch_node(struct book *book, struct book_node *node);
/* Puts it into the list that it belongs to, as the last to go. */
void book_enlist_node(struct book *book, struct book_node *node);
/* Its row is to be written again. */
void book_note_change(struct book *book, struct book_node *node);
/* Takes the info. ERROR_NOMEM: it is not taken. */
int book_keep_info(struct book *book, struct book_node *node, struct info *info,
	enum address_scope scope);
/* NULL: no memory. count > 0. */
struct book_addresses *book_copy_addresses(const struct address *addresses, size_t count);

/* ---- book_shared.c ---- */

/* true in *changed: that is new. ERROR_LIMIT, ERROR_NOMEM. */
int book_add_share(struct book *book, struct book_node *node, const struct id *topic,
	enum book_making_room making_room, bool *changed);
void book_drop_shares(struct book *book, struct book_node *node);

#endif
