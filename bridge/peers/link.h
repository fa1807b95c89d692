/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Links: the connections to each peer, and one outgoing stream per overlay on them.
 *
 * Two connections per pair are normal (both dial). The newest is used for sending; the
 * older ones stay open for reading, because the other side may see another one as the
 * newest, and are closed when nothing has come on them for a while. Order is kept over
 * such a change: an overlay's frames move to the new connection only when what was sent
 * on the old one is acknowledged, or LINK_ORDER_MS later (the peer may have been killed and
 * restarted: nothing is acknowledged then). Likewise after a farewell. (Upstream, src/net.rs
 * accept_conn, does not wait.)
 *
 * For an upstream node a peer is gone for all overlays when the connection that is the newest
 * there ends, whatever others there are (src/net.rs handle_connection_task_finished), and
 * nothing tells its peer, which has to remind it: LINK_FEWER.
 *
 * A connection that goes by way of a relay is used while there is no other one, and closed
 * LINK_OLD_MS after a direct one has come about.
 *
 * An ended stream or a superseded connection is not a lost peer, nor is one whose last
 * connection ends when no overlay uses it any more (upstream's DisconnectPeer tells nobody
 * either, src/net.rs): a peer is lost when an overlay that uses it has had no connection for
 * LINK_LOST_MS, or when dialling it was given up.
 *
 * Stream credit is a resource: an overlay for which the peer grants no stream waits, the
 * others go on. Content waits for LINK_CREDIT_MS only, and none is taken after that until
 * there is credit: what would arrive some day is not what a publisher means.
 *
 * What a connection had not got acknowledged when it ended comes back: it goes out first on the
 * next one, in the order in which it was given to links_send. (A receiver that has it drops it by
 * its id.) Only content does; control frames are of their time, and their protocol repeats them.
 * The peer may have been restarted, and what comes before it has joined the overlay again goes
 * nowhere. So the overlay's content waits for a sign that it has: links_resume. (A peer that has
 * joined gives it at once: it answers the Neighbor that it is reminded with.) New content waits for
 * no longer than LINK_HOLD_MS on the new connection; what came back, until LINK_KEPT_MS after it
 * first did so, also when the peer was lost in between. Bounded in bytes (LIMIT_PEER_QUEUE_BYTES,
 * LIMIT_KEPT_BYTES), the oldest of the overlay gives way; each copy that is not sent again is
 * counted as peer_lost, once. Nobody is dialled for it, and stopping does not wait for it.
 *
 * sans-IO: connections and streams are the caller's, reached through struct link_io.
 * Times are monotonic nanoseconds; one thread.
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
/* The side with the greater id waits so much longer for that: after two dials at once each side
 * may take another connection for the older one, and were both closed in the same moment there
 * would be none. More than any round trip. */
#define LINK_YIELD_MS 5000
/* One that is neither the newest nor the one before is closed this time after, with streams
 * or without: no side sends on it, but an upstream node never ends its streams there. (The
 * two newest may be in use: after two dials at once each side may see another one as the
 * newest.) */
#define LINK_OLD_MS 5000
/* Frames wait so long for what was sent before on another stream. */
#define LINK_ORDER_MS 500
/* Content waits so long for stream credit. */
#define LINK_CREDIT_MS 5000
/* Control frames that wait for it then: more would all be repetitions. */
#define LINK_STARVED 32
/* Content that came back is kept so long: as long as others keep content for those who ask again
 * (CACHE_CONTENT_NS), and with the idle timeout before well within the time for which receivers
 * remember what they have (CACHE_ID_NS). */
#define LINK_KEPT_MS 30000
/* So long after the connection is back new content waits for a sign of the peer's, where content
 * has come back. */
#define LINK_HOLD_MS 5000
/* So long after a connection has ended beside others the other side may notice it: an idle
 * timeout. */
#define LINK_NOTICED_MS 10000
/* Frames that wait for a connection, for credit or for order, per overlay and peer. */
#define LINK_WAITING 512

struct links;
struct lane;   /* one connection */
struct stream_out; /* one outgoing stream, from the first frame until it is closed */

struct link_io {
	/* Opens a stream for stream and says for which overlay it is.
	 * ERROR_NO_STREAM_CREDIT, ERROR_CLOSED, ERROR_NOMEM. */
	int (*open)(void *connection, const struct id *topic, struct stream_out *stream_out, void **stream);
	/* On success the stream owns the frame. ERROR_FULL, ERROR_CLOSED (and the stream is
	 * reported as closed soon), ERROR_NOMEM. */
	int (*send)(void *stream, struct frame *frame);
	void (*finish)(void *stream);
	void (*close)(void *connection);
};

enum link_effect_type {
	LINK_WANTED, /* there is something to send and no connection: dial */
	LINK_UP,     /* the first connection, or the first after LINK_DOWN */
	LINK_FEWER,  /* one has ended and others are left; and once more LINK_NOTICED_MS later */
	LINK_DOWN,   /* the last connection is gone (perhaps it comes back) */
	LINK_LOST,   /* and it has not come back, though it is needed */
};

struct link_effect {
	enum link_effect_type type;
	struct id peer;
};

/* ERROR_NOMEM. */
int links_new(const struct link_io *io, const struct id *me, const struct random *random,
	struct counters *counters, struct links **out);
/* Frees what waits; closes nothing. */
void links_free(struct links *links);

/* A handshake is complete: this is the newest connection to peer now. relayed: it goes by way of a
 * relay. ERROR_LIMIT (too many connections to this peer), ERROR_NOMEM: the caller closes it. */
int links_connected(struct links *links, uint64_t now, const struct id *peer, void *connection,
	bool relayed, struct lane **out);
/* The connection is over; all its streams have been reported as closed before. */
void links_closed(struct links *links, uint64_t now, struct lane *lane);
/* A dial was given up: if there is no connection, a peer that something waits for is lost at
 * once. */
void links_gave_up(struct links *links, uint64_t now, const struct id *peer);

/* Sends a frame (ownership passes in every case) on the overlay's stream; last: the
 * stream ends with it. What cannot be sent or kept is dropped and counted. */
void links_send(struct links *links, uint64_t now, const struct id *peer, const struct id *topic,
	struct frame *frame, bool last);
/* peer takes part in the overlay (again): it is a neighbour, or has opened a stream for it. What is
 * kept for it goes out. */
void links_resume(struct links *links, uint64_t now, const struct id *peer, const struct id *topic);
/* The overlay does not need peer any more: its stream ends after what waits, also for a dial. */
void links_release(
	struct links *links, uint64_t now, const struct id *peer, const struct id *topic);

/* From the streams: ours is over, and these frames (linked by next, ownership passes) were not
 * acknowledged when its connection ended; theirs has begun or ended; more may be opened. */
void links_stream_closed(
	struct links *links, uint64_t now, struct stream_out *stream_out, struct frame *unacknowledged);
void links_inbound(struct links *links, uint64_t now, struct lane *lane, bool begun);
void links_credit(struct links *links, uint64_t now, struct lane *lane);

/* Whether the link to peer, if there is one, stays open though no overlay uses it: for a
 * node that would be dialled again at once. Forgotten when the peer is lost. */
void links_keep(struct links *links, uint64_t now, const struct id *peer, bool keep);

/* Whether there is a connection: what LINK_UP and LINK_DOWN tell. */
bool links_linked(const struct links *links, const struct id *peer);
/* Whether there are connections, and all of them go by way of a relay; how many such peers there
 * are. */
bool links_relayed(const struct links *links, const struct id *peer);
size_t links_count_relayed(const struct links *links);
/* The connection to peer that is used for sending; NULL for none. */
void *links_connection(const struct links *links, const struct id *peer);
/* Whether anything is still on its way to anybody. */
bool links_sending(const struct links *links);
const struct id *links_peer(const struct lane *lane);

uint64_t links_deadline(const struct links *links);
bool links_effect(struct links *links, uint64_t now, struct link_effect *out);

#endif
