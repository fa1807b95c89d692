/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the links share: link.c (peers and their connections, what is to be told),
 * link_channel.c (what one overlay sends to one peer: streams, their order, their credit).
 */
#ifndef BRIDGE_PEERS_LINK_INTERNAL_H
#define BRIDGE_PEERS_LINK_INTERNAL_H

#include <utlist.h>

#include "../error.h"
#include "../keyed.h"
#include "../limits.h"
#include "../time.h"
#include "../timers.h"
#include "link.h"


struct stream_out {
	struct link *link;
	struct lane *lane;
	struct id topic;
	struct channel *channel; /* NULL: the overlay has said farewell on it */
	void *stream;
	bool ending;		    /* finished, and the channel waits for its end */
	uint64_t ending_due;	    /* but not longer than until then */
	struct stream_out *prev, *next; /* of the lane */
};

/* One overlay's way to one peer. */
struct channel {
	struct id topic;
	struct stream_out *stream_out; /* where frames go; NULL: none yet */
	unsigned endings;      /* earlier streams_out that are not closed yet */
	bool released;	       /* the overlay does not need it: gone when all is sent */
	bool held;	       /* control frames only, until the peer is seen in the overlay */
	bool unseen;	       /* likewise, but longer: nothing of what is kept */
	bool no_credit;
	uint64_t credit_due; /* no_credit: content is dropped from then on */
	struct frame *kept;    /* content that came back, in order, before all that waits */
	struct frame *first, *last;
	size_t waiting; /* without the kept ones */
	UT_hash_handle hh;
};

struct lane {
	struct link *link;
	void *connection;
	struct stream_out *streams_out;
	size_t inbound;
	bool relayed;
	bool closing;
	uint64_t quiet_since; /* no stream on it since then */
	/* There have been two newer ones since then, or a direct one where this is relayed; else
	 * UINT64_MAX. */
	uint64_t old_since;
	struct lane *prev, *next;
};

struct link {
	struct id peer;
	struct lane *lanes; /* newest first, but relayed ones after the others */
	bool relayed;	    /* all of them are, and there are some */
	size_t lanes_count;
	struct channel *channels;
	struct channel *parked; /* of a lost peer: they have kept content and nothing else */
	size_t kept_bytes;
	uint64_t held_due;	  /* when nothing is held any longer */
	uint64_t kept_due;	  /* when the first kept copy is too old */
	struct timer timer;	  /* when it is to be looked at; may be too early */
	uint64_t lost_due;	  /* UINT64_MAX: not about to be lost */
	uint64_t order_due;	  /* when the first ending stream_out is not waited for any more */
	uint64_t credit_due;	  /* when the first channel has waited too long for credit */
	uint64_t fewer_due;	  /* when LINK_FEWER is told again */
	bool told_up;		  /* the last of LINK_UP and LINK_DOWN that was taken */
	bool flapped;		  /* changed since then, and changed back */
	bool wanted, fewer, lost; /* effects not taken yet */
	bool keep;		  /* stays open though no overlay uses it */
	UT_hash_handle hh;
};

struct links {
	struct link_io io;
	struct id me;
	struct keyed keyed;
	struct counters *counters;
	struct link *links;
	struct timers timers; /* of all links: only those that are due are looked at */
	size_t kept_bytes;
	size_t relayed; /* links that are */
	uint64_t number; /* of the last frame */
};

/* link.c */

/* Something is due then. 0: at once. */
void link_soon(struct links *links, struct link *link, uint64_t due);
struct link *links_find(const struct links *links, const struct id *peer);
/* NULL: no memory. */
struct link *links_find_or_add(struct links *links, const struct id *peer);
/* The connection to send on; NULL: there is none. */
struct lane *link_newest(struct link *link);
void lane_note_quiet(struct links *links, uint64_t now, struct lane *lane);

/* link_channel.c */

/* Drops what waits and what is kept. It has no stream any more, or the link has no connection. */
void channel_remove(struct links *links, struct link *link, struct channel *channel);
/* The same, but content stays, parked: there is no connection. */
void channel_lose(struct links *links, uint64_t now, struct link *link, struct channel *channel);
/* Drops all that is parked. */
void channels_drop_parked(struct links *links, struct link *link);
/* The channel's stream ends after what it holds. What comes later waits for its end,
 * because streams keep no order among each other; but only so long: one whose peer was
 * killed never ends before the connection times out. */
void channel_end_stream(
	struct links *links, uint64_t now, struct link *link, struct channel *channel);
/* Sends what waits, as far as there is a connection, credit, and nothing of an older
 * stream under way. The channel may be gone afterwards. */
void channel_flush(struct links *links, uint64_t now, struct link *link, struct channel *channel);
/* Gives up waiting for streams that should have ended long ago. */
void channels_tick_order(struct links *links, uint64_t now, struct link *link);
/* Nothing is held without end. */
void channels_tick_held(struct links *links, uint64_t now, struct link *link);
/* Drops kept content that is too old. */
void channels_tick_kept(struct links *links, uint64_t now, struct link *link);
/* Content does not wait for stream credit for ever. */
void channels_tick_credit(struct links *links, uint64_t now, struct link *link);

#endif
