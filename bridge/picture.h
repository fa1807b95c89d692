/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a node tells of itself when it is asked (node_ask): its overlays with their neighbours, the
 * nodes that it knows, and how far away one of these nodes is. A picture shows one moment; it
 * belongs to its holder, and changes no more. Plain values; any thread.
 *
 * Topics in a picture are whole: whoever shows them to others decides what they may see
 * (ID_SHORT_HEX_SIZE).
 */
#ifndef BRIDGE_PICTURE_H
#define BRIDGE_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "address.h"
#include "id.h"

/* Overlays or nodes in one picture: 100 to 500 bytes each. */
#define PICTURE_MOST 1000
/* Places (addresses) of one node: BOOK_CANDIDATES, and each of them from several sources. */
#define PICTURE_PLACES	  64
#define PICTURE_TEXT_SIZE 96

enum picture_subject {
	PICTURE_OVERLAYS, /* the overlays that are joined, without their neighbours */
	PICTURE_OVERLAY,  /* one overlay, with its neighbours (nodes) */
	PICTURE_NODES,	  /* nodes: the configured, then the connected, then the book's */
	PICTURE_NODE,	  /* one node, with its places */
	PICTURE_PING,	  /* a handshake with a node, at each of its places; takes up to 6 s */
};

struct picture_question {
	enum picture_subject subject;
	struct id id;	 /* OVERLAY: the topic. NODE and PING: the node */
	/* OVERLAYS: only overlays that have changed since the picture with this 'next'; 0: all.
	 * NODES: only nodes from this one on, the 'next' of the picture before; 0: from the
	 * first. */
	uint64_t after;
	size_t most;	 /* OVERLAYS, NODES: so many at most; 0: PICTURE_MOST */
	bool book;	 /* NODES: also nodes that are only known by hearsay */
	uint64_t number; /* the asker's own, returned in the picture */
};

enum picture_state {
	PICTURE_JOINING, /* the overlay has not had a neighbour yet */
	PICTURE_JOINED,
	PICTURE_ALONE,	 /* the last neighbour is gone */
	PICTURE_REFUSED, /* over max_overlays: nothing is carried */
};

struct picture_overlay {
	struct id topic;
	enum picture_state state;
	uint64_t since_us; /* Unix time since when the state holds; 0: the clock was not set */
	uint64_t change;   /* greater than the number of any change before */
	size_t neighbours, waiting;
	/* Messages since the overlay was joined: handed to a neighbour, arrived, not carried
	 * (NODE_DROPPED). */
	uint64_t sent, received, dropped;
};

enum picture_role { PICTURE_NO_ROLE, PICTURE_PEER, PICTURE_BOOTSTRAP };

struct picture_node {
	struct id id;
	enum picture_role role; /* of the configuration or node_set_peer */
	bool denied;		/* allow_node or deny_node shut it out */
	/* Whether there is a connection for gossip; if so, whether by a relay, whether we have
	 * dialled, its address, since when it exists (Unix time), and how long a round trip takes
	 * (0: not known). */
	bool linked, relayed, dialled;
	struct address address;
	uint64_t linked_us, rtt_us;
	size_t overlays; /* number of overlays in which it is a neighbour */
	/* The times of the last success and the last failure (0: none known), and the address and
	 * text of that failure; the text is empty if the failure was before the start. */
	uint64_t worked_us, failed_us;
	struct address failed_at;
	char failure[PICTURE_TEXT_SIZE];
	uint64_t next_us; /* when the node is dialled again; 0: not for now */
	/* PICTURE_OVERLAY: since when the node is a neighbour in the overlay, and how many messages
	 * arrived from it. */
	uint64_t neighbour_us, received;
};

enum picture_origin {
	PICTURE_WORKED,	    /* the last address that worked */
	PICTURE_CONFIGURED, /* peer, bootstrap, or node_set_peer */
	PICTURE_SIGNED,	    /* named by the node itself, signed */
	PICTURE_HEARSAY,    /* named by source */
};

struct picture_place {
	struct address address;
	enum picture_origin origin;
	struct id source; /* the node that named the address; the node itself also if unknown */
	/* PICTURE_PING: whether the node has answered at this address, and the round-trip time; if
	 * not, why. */
	bool answered;
	uint64_t rtt_us;
	char failure[PICTURE_TEXT_SIZE];
};

struct picture {
	struct picture_question question;
	bool found;	/* OVERLAY: is joined; NODE, PING: is known */
	bool more;	/* OVERLAYS, NODES: there are more; ask after next */
	uint64_t next;
	size_t overlays_count, nodes_count, places_count;
	struct picture_overlay *overlays;
	struct picture_node *nodes;
	struct picture_place *places;
};

/* Returns a picture with room for so many overlays, nodes and places; NULL when there is no
 * memory. */
struct picture *picture_new(const struct picture_question *question, size_t overlays, size_t nodes,
	size_t places);
void picture_free(struct picture *picture); /* NULL is fine */
/* Returns the memory that a picture takes, in bytes. */
size_t picture_size(const struct picture *picture);

#endif
