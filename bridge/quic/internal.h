/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of this folder know of one another.
 *
 * Everything that sends or calls back is done from the loop. Datagrams, deadlines and every call
 * of quic.h put connections onto the endpoint's dirty list. The turn (an idle handle, armed only
 * while that list is not empty) writes what each of these connections has to send, and reports
 * those that have ended.
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

/* A dial whose address has not led to a handshake by then is given up, so that the dialler gets to
 * the next address: four Initials (the PTO is 1 s at first) have gone unanswered. */
#define QUIC_DIAL_TIMEOUT (5 * NGTCP2_SECONDS)
/* A peer that dialled us may take longer: the peer is the side that waits. */
#define QUIC_HANDSHAKE_TIMEOUT (10 * NGTCP2_SECONDS)

/* ns: the time for writing, and for timers that are due, in one turn of the loop; the rest is for
 * the next turn. */
#define QUIC_TURN_TIME UINT64_C(500000)

/* Flow control: how much a peer may send before we have read it. The windows grow for peers that
 * fill them. */
#define QUIC_STREAM_WINDOW     (256u << 10)
#define QUIC_CONNECTION_WINDOW (1u << 20)
#define QUIC_MAX_WINDOW	       (16u << 20)
/* A gap that a peer leaves keeps all that comes after it here, up to the window. So all windows
 * together are bounded: a connection's grows to an eighth of what is left of QUIC_WINDOWS when the
 * connection begins, and no less than QUIC_MIN_WINDOW. The first connection may have the most, the
 * fortieth the least. */
#define QUIC_WINDOWS	(128u << 20)
#define QUIC_MIN_WINDOW (128u << 10)

/* Sizes of datagrams that are tried for a path, in this order; a path that does not take one is not
 * tried with larger ones. IPv6 leaves the first of Ethernet's 1500 bytes; the second holds the largest
 * message whole, where frames are jumbo ones (and on loopback); the others, of Ethernet with a tunnel,
 * are ngtcp2's. A node of p2panda-net takes no more than 1472 and says so; this one takes
 * QUIC_MAX_UDP_PAYLOAD, for what is in a datagram is looked at in one go. */
#define QUIC_PROBES	     {1452, 8952, 1406, 1342, 1232}
#define QUIC_MAX_UDP_PAYLOAD 8952
/* Only messages go in datagrams larger than this: two hundred streams' worth of joining and leaving
 * overlays would make a long turn of the loop. */
#define QUIC_MAX_CONTROL 1452

/* A path that takes large datagrams no longer (its MTU has shrunk: a VPN, another route) is a
 * black hole: nothing tells us so, and what is lost is sent again as large as before (RFC 8899,
 * 4.3). When the second probe is sent (PTOs 1 and 3 after the data) and nothing on any stream has
 * been acknowledged since before the first, datagrams get the size that every path takes (RFC
 * 9000, 14). (The time since the last acknowledgement alone is no sign: a process that stood still
 * has not read the acknowledgements yet.) The guess may be wrong, for the peer may have stood still, and
 * costs up to seven times the datagrams, each in a call of its own. So large ones are tried again soon, but
 * four times as late each time that they are lost again, up to what RFC 8899, 5.1.1 has. */
#define QUIC_BLACK_HOLE_LEAST (2 * NGTCP2_SECONDS)
#define QUIC_BLACK_HOLE_MOST  (600 * NGTCP2_SECONDS)

/* A peer whose messages come one by one, each within this time of the last, gets one acknowledgement for
 * two of them (RFC 9000, 13.2.2): it costs both sides as much as half a message. It is less than the
 * max_ack_delay of 25 ms that peers reckon with. */
#define QUIC_ACK_WAIT (20 * NGTCP2_MILLISECONDS)

/* Aggregates of up to UDP_SEND_SIZE that one connection sends before the next has its
 * turn. */
#define QUIC_WRITE_ROUNDS 2

/* Datagrams answered without a connection (stateless reset, version negotiation,
 * refusals), per second: a flood is not to cost more than reading it. */
#define QUIC_STATELESS_PER_SECOND 1000
/* Retries per second. They have a share of their own, for no new peer gets in without a Retry
 * during a flood: other answers must not use it up. Each Retry is 10 us of work and 129 bytes, a
 * ninth of what asked for it. Beyond the limit, luck decides who gets in. */
#define QUIC_RETRIES_PER_SECOND 10000

/* Incoming handshakes at once whose address is not proven: about 100 kB each, held for up to
 * QUIC_HANDSHAKE_TIMEOUT by a single datagram with a false source. Peers that start together are
 * rarely more; peers beyond the limit pay one round trip. */
#define QUIC_MAX_UNPROVEN 64
/* How many such handshakes are begun per second: one that ends at once (it is no handshake, or of
 * another protocol) is not there to be counted, but costs up to 1 ms. */
#define QUIC_UNPROVEN_PER_SECOND 100
/* This part (an eighth) of the places for connections is only for proven addresses. */
#define QUIC_PROVEN_PART 8

/* How long a Retry's token is valid: a client that was sent a Retry comes back at once, or, when
 * its answer was lost, after its PTOs of 1, 2 and 4 s. */
#define QUIC_TOKEN_LIFETIME (10 * NGTCP2_SECONDS)

/* The shortest packet that can be a stateless reset (RFC 9000, 10.3). */
#define QUIC_RESET_MIN_SIZE 21

/* The endpoint's close gives the kernel this long to take every CONNECTION_CLOSE. */
#define QUIC_CLOSE_PATIENCE (80 * NGTCP2_MILLISECONDS)

/* Bytes of a stream that its owner does not take yet. */
struct held {
	struct held *next;
	size_t size;
	bool fin;     /* the stream's last ones */
	bool granted; /* the peer may send as much again, on other streams */
	uint8_t data[];
};

struct quic_stream {
	struct quic_connection *connection;
	struct quic_stream *prev, *next;	     /* on the list of the connection */
	struct quic_stream *ready_prev, *ready_next; /* on the list of those with data to send */
	int64_t id;
	void *data;
	bool incoming, bidi;
	bool ready;
	bool blocked; /* by the peer's flow control, until extend_max_stream_data */
	bool shut;    /* our sending is over: the peer does not want it, or we give it up */
	bool stopped; /* we do not want what the peer sends on the stream */
	bool ended;   /* the end of what the peer sends was told */
	bool finish;  /* quic_stream_finish was called */
	bool fin_sent;
	struct frame *first, *last; /* not yet acknowledged */
	uint64_t first_acked;	    /* how many bytes of first are acknowledged */
	struct frame *unsent;	    /* in that list, the first not fully sent; NULL: all is sent */
	size_t unsent_at;	    /* how many bytes of unsent are sent */
	struct held *held, *held_last;
	struct quic_stream *holding_prev, *holding_next; /* on the list of the endpoint: those with held */
};

enum connection_state {
	CONNECTION_HANDSHAKE,
	CONNECTION_OPEN,
	CONNECTION_ENDED,    /* close is set, and reported at the next turn */
	CONNECTION_LINGERING /* reported; only the close packet and the ids are left */
};

/* What CONNECTION_CLOSE is to say, if one is to be sent. */
enum farewell { FAREWELL_NONE, FAREWELL_DRAIN, FAREWELL_APPLICATION, FAREWELL_TRANSPORT };

/* A connection with keep_alive while it is open: see vigil.c. Times in ns. */
struct vigil {
	uint64_t packets;  /* how many packets ngtcp2 has taken for the peer's */
	uint64_t heard_at; /* when the last of them came */
	uint64_t ping_at;  /* TIMER_NEVER: no ping is due, or ping is set */
	bool ping;	   /* a ping is to be sent with the next write */
};

struct quic_connection {
	struct quic_endpoint *endpoint;
	struct qlog *qlog; /* NULL: none */
	struct quic_connection *prev, *next;
	struct quic_connection *dirty_prev, *dirty_next;
	bool dirty, incoming;
	/* A stream (unidirectional, bidirectional) could not be opened: stream_credit is due. */
	bool starved, starved_bidi;
	bool reset;    /* the peer has sent a stateless reset */
	bool unproven; /* incoming, and its address may still be a false one */
	struct quic_connection *unproven_prev, *unproven_next;
	bool stranger; /* gives way to others, see quic_connection_set_stranger */
	struct quic_connection *strangers_prev, *strangers_next;
	uint64_t window;       /* the connection's part of the endpoint's windows */
	bool kept;	       /* incoming, of a peer that has a reserved place */
	struct address source; /* incoming: the address that bounds per address count */
	struct relayed *relayed; /* the relayed path of its beginning; NULL: direct */
	size_t protocol;     /* an index; 0 until the client has named the protocol */
	bool place;	     /* has one of the endpoint's places for connections */
	bool protocol_place; /* has one of its protocol's too, which is known then */
	enum connection_state state;
	ngtcp2_conn *conn; /* NULL when lingering */
	struct tls_session tls;
	struct id peer;
	struct cid *cids, *tokens;
	struct timer timer;
	struct vigil vigil;
	struct quic_stream *streams, *ready;
	size_t queued;
	size_t held; /* bytes that are granted, see struct held */
	/* When bytes of queued were acknowledged last, or since when there are any. */
	uint64_t acked_at;
	/* After acked_at: the first time that an acknowledgement was missed. */
	uint64_t missed_at;
	bool data_read;		/* the packet that is being read had bytes for a stream's owner */
	bool owes_ack;		/* for one packet, which may wait for the next one */
	uint64_t data_read_at;
	uint64_t small_until; /* datagrams are small, see QUIC_BLACK_HOLE_LEAST */
	uint64_t small_time;  /* for how long they were; 0: they never were */
	bool small;
	void *data;

	struct closing close;
	enum farewell farewell;
	const char *reason; /* FAREWELL_APPLICATION: words that go along, or NULL */

	/* Lingering. */
	ngtcp2_path_storage path;
	uint8_t *packet;
	size_t packet_size;
	unsigned heard; /* datagrams that have come since the end */
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
	uint8_t token_key[32]; /* of Retry tokens: random, for tokens need not outlive us */
	uint8_t relay_key[32]; /* of the addresses that relayed.c invents */
	struct keyed keyed;
	struct cids cids;   /* our connection ids */
	struct cids tokens; /* the peers' stateless reset tokens */
	struct timers timers;
	struct udp udp;
	uv_timer_t timer;
	uv_idle_t turn;
	bool unread; /* udp_read_on is wanted */
	/* The connection that is writing now (NULL: none), and the error if the system took
	 * nothing. */
	struct quic_connection *writing;
	int send_error;
	uv_check_t after; /* has a turn after reading: answers leave in the same round */
	struct quic_connection *connections; /* not reported as closed yet */
	struct quic_connection *lingering;
	struct quic_connection *dirty;
	struct quic_connection *unproven; /* among connections, the oldest first */
	struct quic_connection *strangers; /* likewise, the longest such first */
	struct quic_stream *holding;
	size_t count, lingering_count, unproven_count, handles;
	/* How many of count have a place, and how many have one of each protocol's places. */
	size_t places, protocol_places[QUIC_PROTOCOLS];
	size_t max_connections; /* of all protocols together */
	uint64_t windows;	/* what all peers together may send before we read it */
	size_t queued;		/* of all connections, see quic_connection_queued */
	/* Set from the constants above; tests set other values. */
	struct rate answers, retries, beginnings;
	size_t max_unproven;
	size_t max_queued;
	uint64_t token_lifetime, handshake_timeout, black_hole_time;
	uint64_t pings_from; /* ns: a moment of the grid of pings, see vigil.c */
	bool closing;
	uint64_t close_deadline;
	void (*done)(void *context);
	void *done_context;
	uint8_t tx[UDP_SEND_SIZE];
};

/* endpoint.c */

/* Takes one datagram that has come by path (path->user_data: the sender; NULL: answers are lost).
 * Apart from the sockets, so that a fuzzer can come in here. */
void endpoint_receive(struct quic_endpoint *endpoint, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size);
/* Puts the connection onto the dirty list: it has a turn soon. */
void endpoint_mark(struct quic_endpoint *endpoint, struct quic_connection *connection);
/* Lets the connection's timer expire at that time (ns), if not earlier. */
void endpoint_expect(struct quic_endpoint *endpoint, struct quic_connection *connection, uint64_t at);
/* Takes one of the protocol's places for connection, which has none yet. Another connection, best
 * a handshake with an unproven address, gives way if need be. false: there is no place. */
bool endpoint_take_place(
	struct quic_endpoint *endpoint, struct quic_connection *connection, size_t protocol);
/* Tells whether an incoming connection, whose peer is proven now, may stay: within what is not
 * reserved, and within the bound per address. A stranger gives way to the connection if need
 * be. */
bool endpoint_admit(struct quic_endpoint *endpoint, struct quic_connection *connection);
/* Makes a new random id that leads to connection; token: its reset token, may be NULL.
 * ERROR_NOMEM, ERROR_TLS. */
int endpoint_new_cid(struct quic_endpoint *endpoint, struct quic_connection *connection,
	ngtcp2_cid *cid, uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN]);

/* stateless.c: datagrams that are answered without a connection. */

enum token {
	TOKEN_NONE,	/* nothing is proven: no token, or not one of a Retry */
	TOKEN_VALID,	/* *original: the id that the client chose before our Retry */
	TOKEN_INVALID,	/* forged or expired: say so, the client has no other way out */
	TOKEN_ELSEWHERE /* ours, but for another address: not answered at all */
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
/* Derives the stateless reset token of a connection id. ERROR_TLS. */
int stateless_reset_token(const struct quic_endpoint *endpoint, const ngtcp2_cid *cid,
	uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN]);

/* callbacks.c: what ngtcp2 calls. */

extern const ngtcp2_mem connection_mem;
extern const ngtcp2_callbacks connection_callbacks;
ngtcp2_conn *connection_get_conn(ngtcp2_crypto_conn_ref *reference);
/* Returns the callbacks of the connection's protocol; connection_context is their context. */
const struct quic_callbacks *connection_owner(const struct quic_connection *connection);
void *connection_context(const struct quic_connection *connection);

/* ending.c */

/* Ends the connection for the reason in close. The end is reported, and the farewell sent, at the
 * next turn. Only the first end counts. */
void connection_end(
	struct quic_connection *connection, const struct closing *close, enum farewell farewell);
/* Ends the connection because a call of ngtcp2 has failed with error. */
void connection_fail(struct quic_connection *connection, int error);
/* Ends the connection with a TLS alert. */
void connection_refuse(struct quic_connection *connection, unsigned alert, const char *text);
/* Ends a connection whose place others need; an unproven handshake without a word to the peer. */
void connection_displace(struct quic_connection *connection);
/* Ends the connection without a word: its own address is gone, so nothing can come to it any
 * more. */
void connection_cut(struct quic_connection *connection);
/* Ends the connection without a word: this machine does not let it send. */
void connection_unsent(struct quic_connection *connection, int error);
/* Ends the connection without a word: nothing has come for too long. */
void connection_lose(struct quic_connection *connection);
/* Returns the idle timeout that both sides have agreed on, ns; 0: none. */
uint64_t connection_idle_timeout(const struct quic_connection *connection);
/* Takes the connection from the unproven ones: its address is proven, or the connection is over. */
void connection_settle(struct quic_connection *connection);
void connection_release_places(struct quic_connection *connection);
__attribute__((format(printf, 2, 3))) void ending_text(
	struct closing *close, const char *format, ...);

/* connection.c */

/* Takes a place of the protocol that a client has named; the endpoint's TLS calls it. false: the
 * handshake fails. */
bool connection_protocol_selected(void *user_data, size_t protocol);
/* Begins a handshake with peer by path. ERROR_LIMIT, ERROR_NOMEM, ERROR_TLS, ERROR_QUIC. */
int connection_dial(struct quic_endpoint *endpoint, size_t protocol, const struct id *peer,
	const ngtcp2_path *path, struct quic_connection **out);
/* Begins an incoming handshake. original: the id that the token of header proves; NULL: there is
 * no token. ERROR_NOMEM, ERROR_TLS, ERROR_QUIC. */
int connection_accept(struct quic_endpoint *endpoint, const ngtcp2_path *path,
	const ngtcp2_pkt_hd *header, const ngtcp2_cid *original, struct quic_connection **out);
void connection_read(struct quic_connection *connection, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size);
void connection_expire(struct quic_connection *connection, uint64_t now);
/* Writes what the connection has to send, or reports its end. */
void connection_turn(struct quic_connection *connection);
const struct quic_protocol *connection_protocol(const struct quic_connection *connection);
/* Frees the connection with its streams, without a word to peer or owner. */
void connection_free(struct quic_connection *connection);

/* vigil.c: quiet connections are kept, dead ones noticed. */

/* Begins the vigil, at the handshake's end. */
void vigil_start(struct quic_connection *connection, uint64_t now);
/* Notes whether packets of the peer's have come; after each datagram that was read. */
void vigil_read(struct quic_connection *connection, uint64_t now);
/* Lets a ping be sent that is due, or ends a connection whose peer is lost. */
void vigil_expire(struct quic_connection *connection, uint64_t now);
/* Makes ngtcp2 write the ping that is due; before a write. */
void vigil_write(struct quic_connection *connection);
/* Puts off the next ping if anything was sent; after the write. */
void vigil_written(struct quic_connection *connection, uint64_t now, bool sent);
/* Returns when vigil_expire is to be called; TIMER_NEVER: not at all. */
uint64_t vigil_deadline(const struct quic_connection *connection);

/* holding.c: what the owner does not take yet. */

/* Hands over what has come, or keeps it. ERROR_CLOSED: ngtcp2 has failed. */
int holding_data(struct quic_stream *stream, const uint8_t *data, size_t size, bool fin);
/* Hands over all that is kept: the stream is over. */
void holding_end(struct quic_stream *stream);
/* Drops it. */
void holding_drop(struct quic_stream *stream);

/* stream.c */

struct quic_stream *stream_new(
	struct quic_connection *connection, int64_t id, bool incoming, bool bidi);
/* Takes the stream from its connection and frees it with its frames. Content among the frames is
 * lost, and counted. */
void stream_free(struct quic_stream *stream);
void stream_unready(struct quic_stream *stream);
/* Puts the stream onto the ready list if it has something to send and nothing is in the way. */
void stream_ready(struct quic_stream *stream);
/* Collects what is to be sent next, up to limit bytes (and somewhat more). fin: with these bytes
 * the stream is at its end. */
size_t stream_vectors(const struct quic_stream *stream, ngtcp2_vec *vectors, size_t capacity,
	size_t limit, bool *fin);
void stream_sent(struct quic_stream *stream, size_t size, bool fin);
void stream_acked(struct quic_stream *stream, uint64_t size);
/* Drops (and counts) what was not sent: the peer does not want the stream, or we give it up. */
void stream_shut(struct quic_stream *stream);

#endif
