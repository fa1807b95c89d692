/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * QUIC as iroh speaks it: TLS 1.3 with raw public keys (RFC 7250) both ways, the Ed25519 key being
 * the node id, one ALPN per protocol and network. ngtcp2 does the protocol, OpenSSL the TLS, our
 * own sockets on the libuv loop the datagrams (recvmmsg with GRO, GSO where the kernel has it,
 * PKTINFO: the reasons are in udp.h).
 *
 * Everything here belongs to the thread of the loop. Callbacks are made from the loop, never from
 * inside a call of this interface; inside a callback every call is allowed, quic_connection_close
 * of the same connection included.
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
struct trace;

struct quic_callbacks {
	/* The handshake is complete and the peer's identity proven. A connection that
	 * we dialled has proven to be the node that was dialled. */
	void (*connected)(void *context, struct quic_connection *connection);
	/* Asked while an incoming handshake runs, with the peer's proven id: false
	 * refuses it. NULL: everybody is let in. */
	bool (*accept)(void *context, const struct id *peer);
	/* The connection is over; also for one that never came to connected. Its pointer and those
	 * of its streams are invalid after this callback returns. An incoming connection that has
	 * named none of our protocols is reported to the first protocol. */
	void (*closed)(
		void *context, struct quic_connection *connection, const struct closing *close);
	/* Bytes of a stream that the peer opened or of a bidirectional one, in order; fin: the last
	 * bytes (size may be 0). The bytes are valid during the call. Flow control is renewed when
	 * the call returns (see stream_takes). No fin comes for a stream that the peer resets. */
	void (*stream_data)(void *context, struct quic_stream *stream, const uint8_t *data,
		size_t size, bool fin);
	/* The stream is over. Ours: all is acknowledged, or it was reset or stopped by the peer.
	 * The peer's: ended or reset. A bidirectional one: both halves are over, so it stays until
	 * quic_stream_finish; but when the peer resets its half without having been stopped, our
	 * half is given up with it unless it is finished already. The pointer is invalid after
	 * this callback returns. Called once for each stream, also for every open stream before
	 * closed. */
	void (*stream_closed)(void *context, struct quic_stream *stream);
	/* The peer grants further streams of a kind of which it granted no more when we wanted to
	 * open one. */
	void (*stream_credit)(void *context, struct quic_connection *connection);
	/* Asked after accept: whether this peer has one of the reserved places. NULL: no peer
	 * has. */
	bool (*keep)(void *context, const struct id *peer);
	/* Asked before stream_data: whether the owner takes what comes on this stream now. What it
	 * does not take is kept, and the peer, who may send no more than the stream's window,
	 * stops; until quic_endpoint_read_on, or until the stream or the connection is over: then
	 * all of it comes. Other streams are read meanwhile. NULL: it takes everything. */
	bool (*stream_takes)(void *context, struct quic_stream *stream);
};

/* One protocol, that is one ALPN: a connection is of one protocol for its life. */
struct quic_protocol {
	struct id alpn;
	size_t max_connections;	 /* of this protocol; connections beyond it are refused */
	/* How many of max_connections are only for dials, for peers that are kept, and for
	 * handshakes, so that strangers cannot take them all. */
	size_t reserve;
	/* The most incoming connections of one source address (IPv6: of one /64) whose peers are
	 * not kept; 0: no such bound. */
	size_t max_per_address;
	size_t max_streams;	 /* unidirectional streams granted per connection */
	size_t max_bidi_streams; /* bidirectional streams granted per connection */
	/* ns: our max_idle_timeout; the lower one of both sides counts. It ends handshakes too, if
	 * it is shorter than their own timeout. */
	uint64_t idle_timeout;
	bool keep_alive; /* ping, so that idle connections live on */
	struct quic_callbacks callbacks;
};

#define QUIC_PROTOCOLS 2

/* What this machine has failed to do for us. */
enum quic_failed { QUIC_SENDING, QUIC_RECEIVING };

/* The timeouts of iroh's gossip, ns. A quiet connection with keep_alive is pinged every
 * QUIC_KEEP_ALIVE, or every half of the idle timeout that both sides have agreed on if that is
 * less. The connection is closed (timeout) when nothing has been heard for that idle timeout. */
#define QUIC_IDLE_TIMEOUT UINT64_C(10000000000)
#define QUIC_KEEP_ALIVE	  UINT64_C(5000000000)

struct quic_config {
	uv_loop_t *loop;
	const struct identity *identity;		/* must outlive the endpoint */
	size_t protocols_count;				/* at least 1 */
	struct quic_protocol protocols[QUIC_PROTOCOLS]; /* other ALPNs get alert 120 */
	/* Sends datagrams of segment bytes (the last may be shorter) to a node behind a relay, an
	 * address of family ADDRESS_RELAY; datagrams that the relay's queue does not take are
	 * lost. NULL: there are no relays. */
	void (*relay_send)(void *context, const struct address *relay, const struct id *node,
		const uint8_t *data, size_t size, size_t segment);
	/* Tells whether a node may begin a handshake, of which a relay says that it has proven its
	 * id: asked before anything is kept for the node. NULL with relay_send. */
	bool (*relay_accept)(void *context, const struct id *node);
	/* Bytes queued per connection before quic_stream_send returns ERROR_FULL; fewer when much
	 * is queued on all connections together (LIMIT_QUEUES_BYTES). */
	size_t max_queue;
	/* A connection from source was refused, or another one gave way to it: there is no place
	 * left. The callback must not call this interface. NULL: not wanted. */
	void (*crowded)(void *context, const struct address *source);
	/* This machine did not let us send to address, or read what has come to address (a bound
	 * one). error_text(error) has the words. Called again with each datagram, as long as the
	 * failure lasts; not for a dial of ours, whose closed tells of it. The callback must not
	 * call this interface. NULL: not wanted. */
	void (*failed)(void *context, enum quic_failed what, const struct address *address,
		int error);
	struct counters *counters;
	struct trace *trace; /* trace.h; NULL: not wanted. Must outlive the loop */
	void *context;
};

/* Makes an endpoint without sockets. ERROR_NOMEM, ERROR_TLS. */
int quic_endpoint_new(const struct quic_config *config, struct quic_endpoint **out);

/* Binds one more socket (port 0: the system chooses); several may be bound, of both
 * families. *bound (may be NULL) = the address with its real port.
 * ERROR_ADDRESS_IN_USE, ERROR_PERMISSION, ERROR_NOMEM, or the system's (error_of_system). */
int quic_endpoint_bind(
	struct quic_endpoint *endpoint, const struct address *address, struct address *bound);

/* Closes every connection with application code 0 (one CONNECTION_CLOSE each), the
 * sockets and handles, calls closed for each, and frees the endpoint once libuv has
 * closed its handles; then calls done(context). */
void quic_endpoint_close(
	struct quic_endpoint *endpoint, void (*done)(void *context), void *context);

/* Takes one datagram that a relay has delivered from a node behind it. From the loop. */
void quic_endpoint_relayed(struct quic_endpoint *endpoint, const struct address *relay,
	const struct id *node, const uint8_t *data, size_t size);

/* Notes that a relay is back after it was away for a while. Pings the connections that go by way
 * of the relay, so that what was lost is sent again without waiting for a timer that has grown
 * meanwhile. */
void quic_endpoint_relay_up(struct quic_endpoint *endpoint, const struct address *relay);

/* Dials with protocols[protocol], at a relay too. connected or closed follows. ERROR_LIMIT,
 * ERROR_NO_IPV4, ERROR_NO_IPV6, ERROR_NO_SOCKET (no bound socket can reach the address), the
 * system's (error_of_system: no route), ERROR_NOT_FOUND (there are no relays), ERROR_CLOSED (the
 * endpoint is closing), ERROR_NOMEM, ERROR_TLS, ERROR_QUIC. */
int quic_connect(struct quic_endpoint *endpoint, size_t protocol, const struct id *peer,
	const struct address *address, struct quic_connection **out);

/* Ends (closed, timeout) the connections whose own address the machine has lost, for nothing more
 * can come to them; they can be dialled again at once. Handshakes too. Connections over loopback
 * stay, and so do all when the system does not tell its addresses. */
void quic_endpoint_addresses_changed(struct quic_endpoint *endpoint);

/* Asks again whether what is kept of streams is taken, and hands it over. From the loop, and not
 * from within a callback: it makes some. True: there is more, in the next turn. */
bool quic_endpoint_read_on(struct quic_endpoint *endpoint);
/* Tells whether anything is kept. */
bool quic_endpoint_holds(const struct quic_endpoint *endpoint);

/* Ends the connection with an application code. What is queued is not sent, and what was sent and
 * is lost on the way is not sent again: a caller whose last words matter waits for stream_closed,
 * for quic_connection_queued to be 0, or for an answer. closed follows from the loop. Fine to call
 * twice. */
void quic_connection_close(struct quic_connection *connection, uint64_t code);
/* Ends the connection like quic_connection_close, with words for the peer's log. reason: a
 * constant, it is not copied. */
void quic_connection_close_with(
	struct quic_connection *connection, uint64_t code, const char *reason);

const struct id *quic_connection_peer(const struct quic_connection *connection);
bool quic_connection_incoming(const struct quic_connection *connection);
/* Returns the peer's address; of family ADDRESS_RELAY while the connection goes by way of a
 * relay. */
struct address quic_connection_address(const struct quic_connection *connection);
/* Returns the index of the protocol that the connection speaks; valid once connected, or
 * dialled. */
size_t quic_connection_protocol(const struct quic_connection *connection);
/* Sets a pointer for the owner's use. */
void quic_connection_set_data(struct quic_connection *connection, void *data);
void *quic_connection_data(const struct quic_connection *connection);
/* Tells the endpoint whether the owner has no use for the connection: such a stranger gives way to
 * others when there is no place left, the one that has been a stranger for longest first. An
 * incoming connection is a stranger until it is connected. */
void quic_connection_set_stranger(struct quic_connection *connection, bool stranger);
/* Counts the bytes that are not yet acknowledged; of a stream that the peer has stopped: the bytes
 * that were on their way, until the stream is over. */
size_t quic_connection_queued(const struct quic_connection *connection);
/* Returns how long a round trip takes, smoothed, in us; 0: none was measured yet. */
uint64_t quic_connection_rtt(struct quic_connection *connection);
/* Returns at how many of these bytes quic_stream_send says FULL now. */
size_t quic_connection_queue_limit(const struct quic_connection *connection);

/* Opens a unidirectional stream. ERROR_NO_STREAM_CREDIT (stream_credit follows),
 * ERROR_CLOSED, ERROR_NOMEM. */
int quic_stream_open(struct quic_connection *connection, struct quic_stream **out);

/* Opens a bidirectional stream: what the peer sends on the stream comes as stream_data, as it does
 * on a stream that the peer has opened; quic_stream_send works on both. The peer knows of the
 * stream with the first bytes or the end. Errors as quic_stream_open. */
int quic_bidi_open(struct quic_connection *connection, struct quic_stream **out);

/* Queues one frame; on success the stream owns the frame until it is acknowledged. On an error the
 * frame stays the caller's: ERROR_FULL (droppable frames only), ERROR_CLOSED (the stream is
 * finished, the peer does not want it, the connection is over, or the stream is a unidirectional
 * one of the peer's). */
int quic_stream_send(struct quic_stream *stream, struct frame *frame);
/* Takes the frames that were not acknowledged, in order, linked by next; they are the caller's
 * from now on. Only within stream_closed, when the whole connection is over. (The peer may have
 * got some of the frames all the same.) NULL: there are none, or the peer did not want this
 * stream. Frames that are not taken are dropped, and content among them is counted as
 * peer_lost. */
struct frame *quic_stream_take(struct quic_stream *stream);
/* Ends our stream, or our half of a bidirectional one, after what is queued. */
void quic_stream_finish(struct quic_stream *stream);
/* Tells the peer to stop sending on its stream, or on its half of a bidirectional one, and ignores
 * what still comes. */
void quic_stream_stop(struct quic_stream *stream, uint64_t code);

struct quic_connection *quic_stream_connection(const struct quic_stream *stream);
/* Tells whether the peer has opened the stream. */
bool quic_stream_incoming(const struct quic_stream *stream);
bool quic_stream_is_bidi(const struct quic_stream *stream);
void quic_stream_set_data(struct quic_stream *stream, void *data);
void *quic_stream_data(const struct quic_stream *stream);

#endif
