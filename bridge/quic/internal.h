/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of this room know of one another.
 *
 * Everything that sends or calls back is done from the loop: datagrams and deadlines
 * put connections onto the endpoint's dirty list, and so does every call of quic.h; the
 * turn (an idle handle, armed only while that list is not empty) writes for each of
 * them what it has to send and reports those that have ended.
 */
#ifndef BRIDGE_QUIC_INTERNAL_H
#define BRIDGE_QUIC_INTERNAL_H

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>

#include "../allowance.h"
#include "../timers.h"
#include "cids.h"
#include "quic.h"
#include "relayed.h"
#include "tls.h"
#include "udp.h"

/* Length of our connection ids. */
#define QUIC_CID_SIZE 8

/* An address that has not led to a handshake by then is given up, so that the dialler
 * gets to the next one: four Initials (the PTO is 1 s at first) have gone unanswered. */
#define QUIC_DIAL_TIMEOUT (5 * NGTCP2_SECONDS)
/* A peer that dialled us may take longer: it is the one who waits. */
#define QUIC_HANDSHAKE_TIMEOUT (10 * NGTCP2_SECONDS)

/* ns: for writing, and for what is due, in one turn of the loop; the rest is for the next one. */
#define QUIC_TURN_TIME UINT64_C(500000)

/* Flow control: as much as a peer may send before we have read it. It grows for those
 * that fill it. */
#define QUIC_STREAM_WINDOW     (256u << 10)
#define QUIC_CONNECTION_WINDOW (1u << 20)
#define QUIC_MAX_WINDOW	       (16u << 20)
/* But what a peer leaves out keeps all that comes after it here, up to the window, so that all
 * windows together are bounded: a connection's grows to an eighth of what is left of
 * QUIC_WINDOWS when it begins, and no less than QUIC_MIN_WINDOW. The first one may have the most,
 * the fortieth the least. */
#define QUIC_WINDOWS	(128u << 20)
#define QUIC_MIN_WINDOW (128u << 10)

/* What is left for the payload of 1500-byte Ethernet under IPv6. */
#define QUIC_MAX_UDP_PAYLOAD 1452

/* A path that takes large datagrams no longer (its MTU has shrunk: a VPN, another route) is a black
 * hole: nothing says so, and what is lost is sent again as large as before (RFC 8899, 4.3). When
 * the second probe is sent (PTOs 1 and 3 after the data) and nothing on any stream has been
 * acknowledged since before the first, datagrams are of the size that every path takes (RFC 9000,
 * 14), for as long as RFC 8899, 5.1.1 waits before it tries larger ones. (Not by the time since the
 * last acknowledgement alone: a process that stood still has not read them yet.) A wrong guess costs
 * a fifth more datagrams meanwhile, each in a call of its own. */
#define QUIC_BLACK_HOLE_TIME (600 * NGTCP2_SECONDS)

/* Aggregates of up to UDP_SEND_SIZE that one connection sends before the next has its
 * turn. */
#define QUIC_WRITE_ROUNDS 2

/* Datagrams answered without a connection (stateless reset, version negotiation,
 * refusals), per second: a flood is not to cost more than reading it. */
#define QUIC_STATELESS_PER_SECOND 1000
/* Retries have a share of their own, for no new peer gets in without one during a flood:
 * what else is answered must not use it up. Each is 10 us of work and 129 bytes, a ninth
 * of what asked for it. Beyond it, luck decides who gets in. */
#define QUIC_RETRIES_PER_SECOND 10000

/* Incoming handshakes at once whose address is not proven: about 100 kB each, held for
 * up to QUIC_HANDSHAKE_TIMEOUT by a single datagram with a false source. Peers that start
 * together are rarely more; those that are pay one round trip. */
#define QUIC_MAX_UNPROVEN 64
/* And how many are begun per second, for what ends at once (what is no handshake, or of
 * another protocol) is not there to be counted, but costs up to 1 ms. */
#define QUIC_UNPROVEN_PER_SECOND 100
/* Of the places for connections this part (an eighth) is only for proven addresses. */
#define QUIC_PROVEN_PART 8

/* A client that was sent a Retry comes back at once, or, when that was lost, after
 * its PTOs of 1, 2 and 4 s. */
#define QUIC_TOKEN_LIFETIME (10 * NGTCP2_SECONDS)

/* The shortest packet that can be a stateless reset (RFC 9000, 10.3). */
#define QUIC_RESET_MIN_SIZE 21

/* The endpoint's close gives the kernel this long to take every CONNECTION_CLOSE. */
#define QUIC_CLOSE_PATIENCE (80 * NGTCP2_MILLISECONDS)

struct quic_stream {
	struct quic_connection *connection;
	struct quic_stream *prev, *next;	     /* of the connection */
	struct quic_stream *ready_prev, *ready_next; /* those with something to send */
	int64_t id;
	void *data;
	bool incoming, bidi;
	bool ready;
	bool blocked; /* by the peer's flow control, until extend_max_stream_data */
	bool shut;    /* what we send on it: the peer does not want it, or we give it up */
	bool stopped; /* what the peer sends on it: we do not want it */
	bool ended;   /* the same: its end was told */
	bool finish;  /* quic_stream_finish was called */
	bool fin_sent;
	struct frame *first, *last; /* not yet acknowledged */
	uint64_t first_acked;	    /* bytes of first that are */
	struct frame *unsent;	    /* in that list; NULL: all is sent */
	size_t unsent_at;	    /* bytes of it that are */
};

enum connection_state {
	CONNECTION_HANDSHAKE,
	CONNECTION_OPEN,
	CONNECTION_ENDED,    /* how is known; it is reported at the next turn */
	CONNECTION_LINGERING /* reported; only the close packet and the ids are left */
};

/* What CONNECTION_CLOSE is to say, if one is to be sent. */
enum farewell { FAREWELL_NONE, FAREWELL_DRAIN, FAREWELL_APPLICATION, FAREWELL_TRANSPORT };

/* A connection with keep_alive while it is open: see vigil.c. Times in ns. */
struct vigil {
	uint64_t packets;  /* of the peer's, that ngtcp2 has taken for such */
	uint64_t heard_at; /* when the last of them came */
	uint64_t ping_at;  /* TIMER_NEVER: no ping is due, or ping is set */
	bool ping;	   /* one is to be sent with the next write */
};

struct quic_connection {
	struct quic_endpoint *endpoint;
	struct quic_connection *prev, *next;
	struct quic_connection *dirty_prev, *dirty_next;
	bool dirty, incoming;
	/* A stream (unidirectional, bidirectional) could not be opened: stream_credit is due. */
	bool starved, starved_bidi;
	bool reset;    /* by a stateless reset */
	bool unproven; /* incoming, and nothing yet says that its address is not a false one */
	struct quic_connection *unproven_prev, *unproven_next;
	bool stranger; /* gives way */
	struct quic_connection *strangers_prev, *strangers_next;
	uint64_t window;       /* its part of the endpoint's windows */
	bool kept;	       /* incoming, of a peer that has a reserved place */
	struct address source; /* incoming: what bounds per address go by */
	struct relayed *relayed; /* begun by way of a relay; NULL: directly */
	size_t protocol;     /* index; 0 until the client has named it */
	bool place;	     /* has one of all places for connections */
	bool protocol_place; /* and one of its protocol's, which is known then */
	enum connection_state state;
	ngtcp2_conn *conn; /* NULL when lingering */
	struct tls_session tls;
	struct id peer;
	struct cid *cids, *tokens;
	struct timer timer;
	struct vigil vigil;
	struct quic_stream *streams, *ready;
	size_t queued;
	/* When something of queued was acknowledged last, or since when there is something. */
	uint64_t acked_at;
	/* After acked_at: the first time that an acknowledgement was missed. */
	uint64_t missed_at;
	uint64_t small_until; /* datagrams are small, see QUIC_BLACK_HOLE_TIME */
	bool small;
	void *data;

	struct closing close;
	enum farewell farewell;
	const char *reason; /* FAREWELL_APPLICATION: words that go along, or NULL */

	/* Lingering. */
	ngtcp2_path_storage path;
	uint8_t *packet;
	size_t packet_size;
	unsigned heard; /* datagrams since */
};

struct rate {
	uint64_t interval; /* ns */
	uint64_t at_once;
	struct allowance allowance;
};

struct quic_endpoint {
	struct quic_config config;
	struct tls tls;
	uint8_t reset_key[32];
	uint8_t token_key[32]; /* of Retry tokens: random, they need not outlive us */
	uint8_t relay_key[32]; /* of the addresses that relayed.c invents */
	struct keyed keyed;
	struct cids cids;   /* our connection ids */
	struct cids tokens; /* the peers' stateless reset tokens */
	struct timers timers;
	struct udp udp;
	uv_timer_t timer;
	uv_idle_t turn;
	bool unread; /* udp_read_on is wanted */
	uv_check_t after; /* turns too, at once: what came is answered in the same round */
	struct quic_connection *connections; /* those that have not been reported as closed */
	struct quic_connection *lingering;
	struct quic_connection *dirty;
	struct quic_connection *unproven; /* of connections, the oldest first */
	struct quic_connection *strangers; /* likewise, the longest such first */
	size_t count, lingering_count, unproven_count, handles;
	/* Of count: those that have a place, those that have one of a protocol's. */
	size_t places, protocol_places[QUIC_PROTOCOLS];
	size_t max_connections; /* of all protocols together */
	uint64_t windows;	/* what all peers together may send that is not read */
	size_t queued;		/* of all connections, see quic_connection_queued */
	/* From the constants above; tests set others. */
	struct rate answers, retries, beginnings;
	size_t max_unproven;
	size_t max_queued;
	uint64_t token_lifetime, handshake_timeout;
	uint64_t pings_from; /* ns: a moment of its grid of pings, see vigil.c */
	bool closing;
	uint64_t close_deadline;
	void (*done)(void *context);
	void *done_context;
	uint8_t tx[UDP_SEND_SIZE];
};

/* endpoint.c */

/* One datagram from path (path->user_data: the socket, NULL: answers are lost): apart
 * from sockets, so that a fuzzer can come in here. */
void endpoint_receive(struct quic_endpoint *endpoint, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size);
void endpoint_mark(struct quic_endpoint *endpoint, struct quic_connection *connection);
/* Takes one of its protocol's places for connection, which has none yet. A handshake with
 * an unproven address gives way if need be. false: there is none. */
bool endpoint_take_place(
	struct quic_endpoint *endpoint, struct quic_connection *connection, size_t protocol);
/* Whether an incoming connection, whose peer is proven now, may stay: within what is not
 * reserved, and within the bound per address. A stranger gives way to it if need be. */
bool endpoint_admit(struct quic_endpoint *endpoint, struct quic_connection *connection);
/* A new random id that leads to connection. ERROR_NOMEM. */
int endpoint_new_cid(struct quic_endpoint *endpoint, struct quic_connection *connection,
	ngtcp2_cid *cid, uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN]);

/* stateless.c: datagrams that are answered without a connection. */

enum token {
	TOKEN_NONE,	/* nothing is proven: no token, or not one of a Retry */
	TOKEN_VALID,	/* *original: the id that the client chose before our Retry */
	TOKEN_INVALID,	/* forged or expired: say so, the client has no other way out */
	TOKEN_ELSEWHERE /* ours, but for another address: no word about it */
};

bool rate_take(struct rate *rate);
void stateless_version(
	struct quic_endpoint *endpoint, const ngtcp2_path *path, const ngtcp2_version_cid *ids);
/* Answers a packet of size bytes of a connection that we do not know (any more). */
void stateless_reset(
	struct quic_endpoint *endpoint, const ngtcp2_path *path, const uint8_t *dcid, size_t size);
void stateless_close(struct quic_endpoint *endpoint, const ngtcp2_path *path,
	const ngtcp2_pkt_hd *header, uint64_t code);
void stateless_retry(
	struct quic_endpoint *endpoint, const ngtcp2_path *path, const ngtcp2_pkt_hd *header);
enum token stateless_token(const struct quic_endpoint *endpoint, const ngtcp2_path *path,
	const ngtcp2_pkt_hd *header, ngtcp2_cid *original);
/* ERROR_TLS. */
int stateless_reset_token(const struct quic_endpoint *endpoint, const ngtcp2_cid *cid,
	uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN]);

/* callbacks.c: what ngtcp2 calls. */

extern const ngtcp2_mem connection_mem;
extern const ngtcp2_callbacks connection_callbacks;
ngtcp2_conn *connection_get_conn(ngtcp2_crypto_conn_ref *reference);
/* What the owner of its protocol wants to be told, and with what. */
const struct quic_callbacks *connection_owner(const struct quic_connection *connection);
void *connection_context(const struct quic_connection *connection);

/* ending.c */

/* It is over for this reason: reported, and the farewell sent, at the next turn. The first
 * end counts. */
void connection_end(
	struct quic_connection *connection, const struct closing *close, enum farewell farewell);
/* Likewise, because a call of ngtcp2 has failed with error. */
void connection_fail(struct quic_connection *connection, int error);
/* Likewise, with a TLS alert. */
void connection_refuse(struct quic_connection *connection, unsigned alert, const char *text);
/* Ends one whose place others need: an unproven handshake without a word. */
void connection_displace(struct quic_connection *connection);
/* Ends it without a word: nothing can come to it any more. */
void connection_cut(struct quic_connection *connection);
/* Likewise: nothing has come for too long. */
void connection_lose(struct quic_connection *connection);
/* What both sides have agreed on, ns; 0: none. */
uint64_t connection_idle_timeout(const struct quic_connection *connection);
/* Its address is proven, or it is over. */
void connection_settle(struct quic_connection *connection);
void connection_release_places(struct quic_connection *connection);
__attribute__((format(printf, 2, 3))) void ending_text(
	struct closing *close, const char *format, ...);

/* connection.c */

/* What the TLS of the endpoint is to call. */
bool connection_protocol_selected(void *user_data, size_t protocol);
/* ERROR_LIMIT, ERROR_NOMEM, ERROR_TLS, ERROR_QUIC. */
int connection_dial(struct quic_endpoint *endpoint, size_t protocol, const struct id *peer,
	const ngtcp2_path *path, struct quic_connection **out);
/* original: what the token of header proves, NULL: there is none. */
int connection_accept(struct quic_endpoint *endpoint, const ngtcp2_path *path,
	const ngtcp2_pkt_hd *header, const ngtcp2_cid *original, struct quic_connection **out);
void connection_read(struct quic_connection *connection, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size);
void connection_expire(struct quic_connection *connection, uint64_t now);
/* Writes what there is to send, or reports the end. */
void connection_turn(struct quic_connection *connection);
const struct quic_protocol *connection_protocol(const struct quic_connection *connection);
/* Frees it with its streams, without a word. */
void connection_free(struct quic_connection *connection);

/* vigil.c: quiet connections are kept, dead ones noticed. */

/* Begins it, at the handshake's end. */
void vigil_start(struct quic_connection *connection, uint64_t now);
/* Notes what has come; after each datagram that was read. */
void vigil_read(struct quic_connection *connection, uint64_t now);
/* Its deadline may have come: a ping is due, or the connection ends. */
void vigil_expire(struct quic_connection *connection, uint64_t now);
/* Around a write: has ngtcp2 write the ping that is due. sent: whether anything was. */
void vigil_write(struct quic_connection *connection);
void vigil_written(struct quic_connection *connection, uint64_t now, bool sent);
/* When vigil_expire is to be called; TIMER_NEVER. */
uint64_t vigil_deadline(const struct quic_connection *connection);

/* stream.c */

struct quic_stream *stream_new(
	struct quic_connection *connection, int64_t id, bool incoming, bool bidi);
/* Takes it from the connection and frees it with its frames; content among them is lost, and
 * counted. */
void stream_free(struct quic_stream *stream);
void stream_unready(struct quic_stream *stream);
/* There is something to send, nothing is in the way: onto the ready list. */
void stream_ready(struct quic_stream *stream);
/* What is to be sent next, up to limit bytes (and somewhat more); fin: all of it. */
size_t stream_vectors(const struct quic_stream *stream, ngtcp2_vec *vectors, size_t capacity,
	size_t limit, bool *fin);
void stream_sent(struct quic_stream *stream, size_t size, bool fin);
void stream_acked(struct quic_stream *stream, uint64_t size);
/* The peer does not want it: drops (and counts) what was not sent. */
void stream_shut(struct quic_stream *stream);

#endif
