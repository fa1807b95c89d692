/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * QUIC as iroh speaks it: TLS 1.3 with raw public keys (RFC 7250) both ways, the
 * Ed25519 key being the node id, one ALPN per protocol and network. ngtcp2 does
 * the protocol, OpenSSL the TLS, our own sockets on the libuv loop the datagrams
 * (recvmmsg with GRO, GSO where the kernel has it, PKTINFO: the reasons are in
 * quic/README or udp.h).
 *
 * Everything here belongs to the thread of the loop. Callbacks are made from the
 * loop, never from inside a call of this interface; inside a callback every call
 * is allowed, quic_connection_close of the same connection included.
 */
#ifndef BRIDGE_QUIC_QUIC_H
#define BRIDGE_QUIC_QUIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "../address.h"
#include "../closing.h"
#include "../counters.h"
#include "../id.h"
#include "../identity.h"
#include "../message.h"

struct quic_endpoint;
struct quic_connection;
struct quic_stream;

struct quic_callbacks {
	/* The handshake is complete and the peer's identity proven. A connection that
	 * we dialled has proven to be the node that was dialled. */
	void (*connected)(void *context, struct quic_connection *connection);
	/* Asked while an incoming handshake runs, with the peer's proven id: false
	 * refuses it. NULL: everybody is let in. */
	bool (*accept)(void *context, const struct id *peer);
	/* The connection is over; also for one that never came to connected. Its
	 * pointer and those of its streams are invalid after this returns. An incoming one
	 * that has named none of our protocols is the first one's. */
	void (*closed)(
		void *context, struct quic_connection *connection, const struct closing *close);
	/* Bytes of a stream that the peer opened or of a bidirectional one, in order; fin: the
	 * last ones (size may be 0). The bytes are valid during the call. Flow control
	 * is renewed when the call returns. No fin comes of a stream that the peer resets. */
	void (*stream_data)(void *context, struct quic_stream *stream, const uint8_t *data,
		size_t size, bool fin);
	/* The stream is over (ours: all acknowledged or reset or stopped by the peer;
	 * theirs: ended or reset; a bidirectional one: both, so it stays until
	 * quic_stream_finish. But when the peer resets its half of one without having been
	 * stopped, ours is given up with it unless it is finished already). The pointer is
	 * invalid after this returns. Once for each, also for every open stream before
	 * closed. */
	void (*stream_closed)(void *context, struct quic_stream *stream);
	/* The peer grants further streams of a kind that it had granted no more of when we
	 * wanted to open one. */
	void (*stream_credit)(void *context, struct quic_connection *connection);
	/* Asked after accept: whether this peer has one of the reserved places. NULL: nobody. */
	bool (*keep)(void *context, const struct id *peer);
};

/* One protocol, that is one ALPN: a connection is of one protocol for its life. */
struct quic_protocol {
	struct id alpn;
	size_t max_connections;	 /* of this protocol; those beyond it are refused */
	/* Of these: only for dials, for peers that are kept, and for handshakes, so that
	 * strangers cannot take them all. */
	size_t reserve;
	/* Incoming ones of one source address (IPv6: of one /64) whose peers are not kept; 0:
	 * no such bound. */
	size_t max_per_address;
	size_t max_streams;	 /* unidirectional streams granted per connection */
	size_t max_bidi_streams; /* bidirectional ones */
	/* ns: our max_idle_timeout; the lower one of both sides counts. Handshakes end by it
	 * too, should it be shorter than what they are given. */
	uint64_t idle_timeout;
	bool keep_alive; /* ping, so that idle connections live on */
	struct quic_callbacks callbacks;
};

#define QUIC_PROTOCOLS 2

/* Of iroh's gossip, ns. A connection with keep_alive that is quiet is pinged every
 * QUIC_KEEP_ALIVE, or half the idle timeout that both sides have agreed on if that is less. It
 * is closed (timeout) when nothing has been heard for that idle timeout. */
#define QUIC_IDLE_TIMEOUT UINT64_C(10000000000)
#define QUIC_KEEP_ALIVE	  UINT64_C(5000000000)

struct quic_config {
	uv_loop_t *loop;
	const struct identity *identity;		/* must outlive the endpoint */
	size_t protocols_count;				/* at least 1 */
	struct quic_protocol protocols[QUIC_PROTOCOLS]; /* other ALPNs get alert 120 */
	/* Sends datagrams of segment bytes (the last may be shorter) to a node behind a relay, an
	 * address of family ADDRESS_RELAY; what it does not take is lost. NULL: there are none. */
	void (*relay_send)(void *context, const struct address *relay, const struct id *node,
		const uint8_t *data, size_t size, size_t segment);
	/* Whether a node of which a relay says that it has proven its id may begin a handshake:
	 * asked before anything is kept for it. NULL with relay_send. */
	bool (*relay_accept)(void *context, const struct id *node);
	/* Bytes queued per connection before quic_stream_send says FULL; fewer when much is
	 * queued on all of them together (LIMIT_QUEUES_BYTES). */
	size_t max_queue;
	/* A connection from source was refused, or another gave way to it: there is no place
	 * left. Calls nothing of this interface. NULL: nobody wants to know. */
	void (*crowded)(void *context, const struct address *source);
	struct counters *counters;
	void *context;
};

/* ERROR_NOMEM, ERROR_TLS. */
int quic_endpoint_new(const struct quic_config *config, struct quic_endpoint **out);

/* Binds one more socket (port 0: the system chooses); several may be bound, of both
 * families. *bound (may be NULL) = the address with its real port.
 * ERROR_ADDRESS_IN_USE, ERROR_PERMISSION, ERROR_SYSTEM (errno), ERROR_NOMEM. */
int quic_endpoint_bind(
	struct quic_endpoint *endpoint, const struct address *address, struct address *bound);

/* Closes every connection with application code 0 (one CONNECTION_CLOSE each), the
 * sockets and handles, calls closed for each, and frees the endpoint once libuv has
 * closed its handles; then calls done(context). */
void quic_endpoint_close(
	struct quic_endpoint *endpoint, void (*done)(void *context), void *context);

/* One datagram of a node behind a relay. From the loop. */
void quic_endpoint_relayed(struct quic_endpoint *endpoint, const struct address *relay,
	const struct id *node, const uint8_t *data, size_t size);

/* A relay was away for a while and is back: what goes by it is pinged, so that what was lost is sent
 * again without waiting for a timer that has grown meanwhile. */
void quic_endpoint_relay_up(struct quic_endpoint *endpoint, const struct address *relay);

/* Dials with protocols[protocol]; at a relay, too. connected or closed follows. ERROR_LIMIT, ERROR_NOT_FOUND
 * (no socket of that family, or no route), ERROR_CLOSED (the endpoint is closing),
 * ERROR_NOMEM, ERROR_TLS, ERROR_QUIC. */
int quic_connect(struct quic_endpoint *endpoint, size_t protocol, const struct id *peer,
	const struct address *address, struct quic_connection **out);

/* The machine's addresses have changed: ends (closed, timeout) the connections whose own
 * address is gone, for nothing more can come to them; they can be dialled again at once.
 * Handshakes too. Loopback stays; so does everything when the system does not tell. */
void quic_endpoint_addresses_changed(struct quic_endpoint *endpoint);

/* Ends it with an application code; what is queued is not sent, and what was sent and is
 * lost on the way is not sent again: whose last words matter waits for stream_closed, for
 * quic_connection_queued to be 0, or for an answer. closed follows from the loop. Fine to
 * call twice. */
void quic_connection_close(struct quic_connection *connection, uint64_t code);
/* The same with words for the peer's log. reason: a constant, it is not copied. */
void quic_connection_close_with(
	struct quic_connection *connection, uint64_t code, const char *reason);

const struct id *quic_connection_peer(const struct quic_connection *connection);
bool quic_connection_incoming(const struct quic_connection *connection);
/* Where the peer is; of family ADDRESS_RELAY while it goes by way of a relay. */
struct address quic_connection_address(const struct quic_connection *connection);
/* Which of the protocols it speaks, an index; valid once connected, or dialled. */
size_t quic_connection_protocol(const struct quic_connection *connection);
/* For the owner's use. */
void quic_connection_set_data(struct quic_connection *connection, void *data);
void *quic_connection_data(const struct quic_connection *connection);
/* Whether the owner has no use for it: a stranger gives way to others when there is no place
 * left, the longest such first. An incoming connection is one until it is connected. */
void quic_connection_set_stranger(struct quic_connection *connection, bool stranger);
/* Bytes not yet acknowledged; of a stream that the peer has stopped: what was on its way,
 * until the stream is over. */
size_t quic_connection_queued(const struct quic_connection *connection);

/* Opens a unidirectional stream. ERROR_NO_STREAM_CREDIT (stream_credit follows),
 * ERROR_CLOSED, ERROR_NOMEM. */
int quic_stream_open(struct quic_connection *connection, struct quic_stream **out);

/* Opens a bidirectional stream: what the peer sends on it comes as stream_data, like what
 * comes on one that the peer has opened; quic_stream_send works on both. The peer knows of
 * it with the first bytes or the end. Errors as quic_stream_open. */
int quic_bidi_open(struct quic_connection *connection, struct quic_stream **out);

/* Queues one frame; on success the stream owns it until it is acknowledged.
 * ERROR_FULL (droppable frames only), ERROR_CLOSED (finished, the peer does not want it,
 * the connection is over, or it is the peer's unidirectional one), ERROR_NOMEM: then the
 * frame stays the caller's. */
int quic_stream_send(struct quic_stream *stream, struct frame *frame);
/* Within stream_closed, when the whole connection is over: the frames that were not acknowledged,
 * in order, linked by next, the caller's from now on. (The peer may have got some of them all the
 * same.) NULL: none, or the peer did not want this stream: what is not taken is dropped, and
 * content among it counted as peer_lost. */
struct frame *quic_stream_take(struct quic_stream *stream);
/* Ends our stream, or our half of a bidirectional one, after what is queued. */
void quic_stream_finish(struct quic_stream *stream);
/* Tells the peer to stop sending on its stream, or its half of a bidirectional one, and
 * ignores what still comes. */
void quic_stream_stop(struct quic_stream *stream, uint64_t code);

struct quic_connection *quic_stream_connection(const struct quic_stream *stream);
/* Whether the peer has opened it. */
bool quic_stream_incoming(const struct quic_stream *stream);
bool quic_stream_is_bidi(const struct quic_stream *stream);
void quic_stream_set_data(struct quic_stream *stream, void *data);
void *quic_stream_data(const struct quic_stream *stream);

#endif
