/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of the links share: link.c (peers and their connections, what is to be told),
 * link_channel.c (what one overlay sends to one peer: streams, their order, their credit),
 * link_room.c (who takes how much).
 */
#ifndef BRIDGE_PEERS_LINK_INTERNAL_H
#define BRIDGE_PEERS_LINK_INTERNAL_H

#include <utlist.h>

#include "../error.h"
#include "../keyed_table.h"
#include "../limits.h"
#include "../time.h"
#include "../timers.h"
#include "link.h"


struct stream_out {
	struct link *link;
	struct link_connection *connection;
	struct id topic;
	struct channel *channel; /* NULL: the channel does not wait for the stream any more */
	void *stream;
	bool ending;		    /* finished, and the channel waits for the stream's end */
	uint64_t ending_due;	    /* until when the channel waits at most */
	struct stream_out *prev, *next; /* on the list of the connection */
};

/* One overlay's way to one peer. */
struct channel {
	struct id topic;
	struct stream_out *stream_out; /* where frames go; NULL: none yet */
	unsigned endings;      /* earlier streams_out that are not closed yet */
	bool released;	       /* the overlay does not need the channel: removed when all is sent */
	bool held;	       /* only control frames go out until the peer is seen there */
	bool unseen;	       /* no kept content goes out until the peer is seen there */
	bool no_credit;
	uint64_t credit_due; /* if no_credit: from when content is dropped */
	struct frame *kept;    /* content that came back, in order, before all that waits */
	struct frame *first, *last;
	size_t waiting; /* how many frames, without the kept ones */
	UT_hash_handle hh;
};

struct link {
	struct id peer;
	struct link_connection *connections; /* newest first, but relayed ones after the others */
	bool relayed;	    /* there are connections, and the first is relayed */
	size_t connections_count;
	struct channel *channels;
	struct channel *parked; /* the channels of a lost peer: kept content only */
	size_t kept_bytes;
	uint64_t held_due;	  /* when all channels stop being held */
	uint64_t kept_due;	  /* when the first kept copy is too old */
	struct timer timer;	  /* when the link is to be looked at; may be too early */
	uint64_t lost_due;	  /* UINT64_MAX: not about to be lost */
	uint64_t order_due;	  /* when the first ending stream_out is not waited for any more */
	uint64_t credit_due;	  /* when the first channel has waited too long for credit */
	uint64_t fewer_due;	  /* when LINK_FEWER is told again */
	bool told_up;		  /* the last of LINK_UP and LINK_DOWN that was taken */
	bool flapped;		  /* changed since that was taken, and changed back */
	bool wanted, fewer, lost; /* effects not taken yet */
	bool keep;		  /* the link stays open though no overlay uses it */
	uint64_t behind_since;	  /* since when it is behind another one; UINT64_MAX: it is not */
	bool slow;		  /* that was for long */
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
	size_t relayed; /* how many links are relayed */
	uint64_t number;  /* the number of the last frame */
	uint64_t refused; /* the number of the last frame that was dropped for a slow peer */
};

/* link.c */

/* Sets the link to be looked at by due; 0: at once. */
void link_soon(struct links *links, struct link *link, uint64_t due);
struct link *links_find(const struct links *links, const struct id *peer);
/* Finds the link to peer, or adds one. NULL: no memory. */
struct link *links_find_or_add(struct links *links, const struct id *peer);
/* Returns the connection to send on; NULL: there is none. */
struct link_connection *link_newest(struct link *link);
void link_note_quiet(struct links *links, uint64_t now, struct link_connection *connection);

/* link_channel.c */

/* Finds the channel of an overlay; NULL: there is none. */
struct channel *channel_find(struct links *links, struct link *link, const struct id *topic);
/* Drops what waits and what is kept, and frees the channel. The channel must have no stream any
 * more, or the link no connection. */
void channel_remove(struct links *links, struct link *link, struct channel *channel);
/* Drops what is not content; the content is kept, and the channel parked with it. The link must
 * have no connection. */
void channel_lose(struct links *links, uint64_t now, struct link *link, struct channel *channel);
/* Drops all parked channels and their content. */
void channels_drop_parked(struct links *links, struct link *link);
/* Ends the channel's stream after what it holds. Frames that come later wait for the stream's end,
 * because streams keep no order among each other; but only for LINK_ORDER_MS: a stream whose peer
 * was killed never ends before the connection times out. */
void channel_end_stream(
	struct links *links, uint64_t now, struct link *link, struct channel *channel);
/* Sends the frames that wait, as far as there is a connection and credit, and nothing of an older
 * stream is under way. The channel may be gone afterwards. */
void channel_flush(struct links *links, uint64_t now, struct link *link, struct channel *channel);
/* Gives up waiting for streams that should have ended long ago. */
void channels_tick_order(struct links *links, uint64_t now, struct link *link);
/* Ends the holding of channels when its time is over. */
void channels_tick_held(struct links *links, uint64_t now, struct link *link);
/* Drops kept content that is too old. */
void channels_tick_kept(struct links *links, uint64_t now, struct link *link);
/* Drops content that has waited too long for stream credit. */
void channels_tick_credit(struct links *links, uint64_t now, struct link *link);

#endif
