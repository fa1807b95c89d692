/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Links: the connections to each peer, and one outgoing stream per overlay on them.
 *
 * Two connections per pair are normal (both sides dial). The newest is used for sending. The older
 * ones stay open for reading, because the other side may take another connection for the newest,
 * and are closed when nothing has come on them for a while. The order of frames is kept over a
 * change of connection: an overlay's frames move to the new connection only when what was sent on
 * the old one is acknowledged, or LINK_ORDER_MS later (the peer may have been killed and
 * restarted: nothing is acknowledged then). The same holds after a farewell. (Upstream, src/net.rs
 * accept_conn, does not wait.)
 *
 * An upstream node takes a peer for gone from all overlays when the connection ends that is the
 * newest there, whatever other connections there are (src/net.rs handle_connection_task_finished).
 * Nothing tells the peer so, and the peer has to remind the upstream node: LINK_FEWER.
 *
 * A connection that goes by way of a relay is used while there is no other one, and closed
 * LINK_OLD_MS after a direct one has come about.
 *
 * An ended stream or a superseded connection is not a lost peer. Nor is a peer lost whose last
 * connection ends when no overlay uses it any more (upstream's DisconnectPeer tells nobody either,
 * src/net.rs). A peer is lost when an overlay that uses it has had no connection for LINK_LOST_MS,
 * or when dialling the peer was given up.
 *
 * Stream credit is a resource: an overlay for which the peer grants no stream waits, the other
 * overlays go on. Content waits for LINK_CREDIT_MS only, and no content is taken after that until
 * there is credit: a publisher does not mean what would arrive some day.
 *
 * Content that was not acknowledged when its connection ended comes back: it goes out first on the
 * next connection, in the order in which it was given to links_send. (A receiver that has a
 * message already drops the copy by its id.) Control frames do not come back: they are of their
 * time, and their protocol repeats them. The peer may have been restarted, and what comes before
 * the peer has joined the overlay again goes nowhere. So the overlay's content waits for a sign
 * that the peer has joined: links_resume. (A peer that has joined gives the sign at once: it
 * answers the Neighbor that we remind it with.) New content waits for no longer than LINK_HOLD_MS
 * on the new connection. Content that came back waits until LINK_KEPT_MS after it first did so,
 * also when the peer was lost in between. The content kept is bounded in bytes
 * (LIMIT_PEER_QUEUE_BYTES, LIMIT_KEPT_BYTES), and the oldest of the overlay gives way; each copy
 * that is not sent again is counted as peer_lost, once. Nobody is dialled for content that is
 * kept, and stopping does not wait for it.
 *
 * sans-IO: connections and streams are the caller's, reached through struct link_io. Times are
 * monotonic nanoseconds; one thread.
 */
#ifndef BRIDGE_PEERS_LINK_H
#define BRIDGE_PEERS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../counters.h"
#include "../id.h"
#include "../message.h"
#include "../random.h"

#define LINK_LOST_MS 1000
/* An older connection, or one that no overlay uses, is closed after this time without a
 * stream on it. */
#define LINK_UNUSED_MS 10000
/* The side with the greater id waits this much longer than LINK_UNUSED_MS: after two dials at once
 * each side may take another connection for the older one, and if both connections were closed in
 * the same moment none would be left. More than any round trip. */
#define LINK_YIELD_MS 5000
/* A connection that is neither the newest nor the one before is closed after this time, whether
 * the peer has streams on it or not: no side sends on it, but an upstream node never ends its
 * streams there. (The two newest may be in use: after two dials at once each side may take another
 * one for the newest.) */
#define LINK_OLD_MS 5000
/* Frames wait at most so long for what was sent before on another stream. */
#define LINK_ORDER_MS 500
/* Content waits at most so long for stream credit. */
#define LINK_CREDIT_MS 5000
/* How many control frames may wait for credit after that time: more would all be repetitions. */
#define LINK_STARVED 32
/* Content that came back is kept so long: as long as other nodes keep content for those who ask
 * again (CACHE_CONTENT_NS). With the idle timeout that is well within the time for which receivers
 * remember which messages they have (CACHE_ID_NS). */
#define LINK_KEPT_MS 30000
/* Where content has come back, new content waits at most so long on the new connection for a sign
 * that the peer is in the overlay. */
#define LINK_HOLD_MS 5000
/* How long the other side may take to notice that one of several connections has ended: an idle
 * timeout. */
#define LINK_NOTICED_MS 10000
/* Frames that wait for a connection, for credit or for order, per overlay and peer. */
#define LINK_WAITING 512

struct links;
struct link;
struct stream_out; /* one outgoing stream, from the first frame until it is closed */

/* One connection: a part of its owner's struct for it. The fields are the links' own; link is NULL
 * while the links do not have the connection. */
struct link_connection {
	struct link *link;
	struct stream_out *streams_out;
	size_t inbound; /* streams that the peer has opened */
	bool relayed;
	bool closing;
	uint64_t quiet_since; /* since when there is no stream on it */
	/* Since when there have been two newer connections, or a direct one where this one is
	 * relayed; UINT64_MAX: there are none. */
	uint64_t old_since;
	struct link_connection *prev, *next;
};

struct link_io {
	/* Opens a stream for stream_out and tells the peer which overlay the stream is for. */
	int (*open)(struct link_connection *connection, const struct id *topic,
		struct stream_out *stream_out, void **stream);
	/* On success the stream owns the frame. ERROR_FULL, ERROR_CLOSED (and the stream is
	 * reported as closed soon), ERROR_NOMEM. */
	int (*send)(void *stream, struct frame *frame);
	void (*finish)(void *stream);
	void (*close)(struct link_connection *connection);
	/* Bytes on the connection that are not acknowledged, and at how many send says FULL. NULL:
	 * it is never full. */
	size_t (*queued)(struct link_connection *connection, size_t *limit);
};

enum link_effect_type {
	LINK_WANTED, /* there is something to send and no connection: dial */
	LINK_UP,     /* the first connection, or the first after LINK_DOWN */
	LINK_FEWER,  /* a connection has ended, others are left; told again LINK_NOTICED_MS later */
	LINK_DOWN,   /* the last connection is gone (another may come) */
	LINK_LOST,   /* no connection has come again, though one is needed */
};

struct link_effect {
	enum link_effect_type type;
	struct id peer;
};

/* Makes links without any connection; counters must outlive them. ERROR_NOMEM. */
int links_new(const struct link_io *io, const struct id *me, const struct random *random,
	struct counters *counters, struct links **out);
/* Frees the links and the frames that wait. Closes no connection: the caller has them still. */
void links_free(struct links *links);

/* Adds a connection whose handshake is complete: it is the newest one to peer now. relayed: it
 * goes by way of a relay, and comes behind a direct one that is there. The links have the
 * connection until links_closed. ERROR_LIMIT (too many connections to this peer), ERROR_NOMEM: the
 * caller closes the connection. */
int links_connected(struct links *links, uint64_t now, const struct id *peer,
	struct link_connection *connection, bool relayed);
/* Removes a connection that is over; all its streams have been reported as closed before. The
 * links do not have the connection any more. */
void links_closed(struct links *links, uint64_t now, struct link_connection *connection);
/* Notes that a dial was given up: if there is no connection, a peer that an overlay uses is lost
 * at once. */
void links_gave_up(struct links *links, uint64_t now, const struct id *peer);

/* Sends a frame (ownership passes in every case) on the overlay's stream. last: the stream ends
 * with the frame. A frame that cannot be sent or kept is dropped and counted. Returns false if this
 * one was dropped because the peer is slow. */
bool links_send(struct links *links, uint64_t now, const struct id *peer, const struct id *topic,
	struct frame *frame, bool last);
/* Notes that peer takes part in the overlay (again): it is a neighbour, or has opened a stream for
 * the overlay. The content that is kept for the peer goes out. */
void links_resume(struct links *links, uint64_t now, const struct id *peer, const struct id *topic);
/* Notes that the overlay does not need peer any more: its stream ends after the frames that wait,
 * including those that wait for a dial. */
void links_release(
	struct links *links, uint64_t now, const struct id *peer, const struct id *topic);

/* Tells whether more content is to be sent on this overlay to these peers, its neighbours, now. Not
 * while a quarter of what the fastest of them may have on its way to it is taken; nor while so much
 * is on its way to another one, unless that one has been behind (its quarter taken, the fastest's
 * eighth free) for LIMIT_BEHIND_MS: then it is slow, and loses what has no room, until it has
 * caught up. */
bool links_have_room(struct links *links, uint64_t now, const struct id *topic,
	const struct id *peers, size_t count);

/* Notes that our stream is over. unacknowledged: the frames (linked by next, ownership passes)
 * that were not acknowledged when the stream's connection ended. */
void links_stream_closed(
	struct links *links, uint64_t now, struct stream_out *stream_out, struct frame *unacknowledged);
/* Notes that a stream of the peer's has begun or ended. */
void links_inbound(struct links *links, uint64_t now, struct link_connection *connection, bool begun);
/* Notes that more streams may be opened on the connection. */
void links_credit(struct links *links, uint64_t now, struct link_connection *connection);

/* Keeps the link to peer, if there is one, open though no overlay uses it, or does so no longer:
 * for a node that would be dialled again at once. Forgotten when the peer is lost. */
void links_keep(struct links *links, uint64_t now, const struct id *peer, bool keep);

/* Tells whether there is a connection to peer, which is what LINK_UP and LINK_DOWN tell. */
bool links_linked(const struct links *links, const struct id *peer);
/* Tells whether there are connections to peer, and all used ones go by way of a relay. */
bool links_relayed(const struct links *links, const struct id *peer);
/* Counts the peers for which links_relayed is true. */
size_t links_count_relayed(const struct links *links);
/* Returns the first connection to peer, which is used for sending unless it is closing; NULL:
 * none. */
struct link_connection *links_newest(const struct links *links, const struct id *peer);
/* Tells whether any overlay still uses a link or any frame is still under way to a peer. */
bool links_sending(const struct links *links);
/* Returns the node at the other end of a connection; only tests call it. */
const struct id *links_peer(const struct link_connection *connection);

uint64_t links_deadline(const struct links *links);
bool links_effect(struct links *links, uint64_t now, struct link_effect *out);

#endif
