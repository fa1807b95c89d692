/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The vigil over quiet connections: pings keep those that live, and those of dead peers end.
 *
 * A node that keeps N connections that way, each pinged by both ends, pays for little else when
 * idle but for being woken. So one end pings, the one that has dialled; and it pings all
 * connections that are quiet at the same moments, its grid, waking once. The other end waits
 * longer, so that it pings only when the first end does not. (A Rust peer pings what has been
 * quiet for 5 s, whoever has dialled; the ping that comes first puts off the other.)
 *
 * A ping that is lost is sent again by its PTO. ngtcp2's own idle timer starts anew with the first
 * packet that is not answered (RFC 9000, 10.1), and the ping is such a packet: that timer would
 * notice a dead peer 10 s after the ping. The vigil notices 10 s after the last packet that has
 * come, which is 5 to 10 s after the peer's death. So an outage of that length is survived too,
 * and no longer one.
 */
#include "internal.h"

static bool is_kept(const struct quic_connection *connection)
{
	return connection->state == CONNECTION_OPEN && connection_protocol(connection)->keep_alive;
}

/* Returns the time between two pings, ns. */
static uint64_t interval(const struct quic_connection *connection)
{
	uint64_t half = connection_idle_timeout(connection) / 2;

	return half && half < QUIC_KEEP_ALIVE ? half : QUIC_KEEP_ALIVE;
}

/* Returns how long a connection is quiet at most before a ping, ns. With less than the interval
 * added, a connection that was not quiet for a while before a moment of the grid would be pinged
 * at that moment. */
static uint64_t patience(const struct quic_connection *connection)
{
	uint64_t ns = interval(connection);

	return connection->incoming ? ns + ns / 2 : ns + ns / 5;
}

/* Puts off the next ping, because something was sent or has come. */
static void put_off(struct quic_connection *connection, uint64_t now)
{
	uint64_t from = connection->endpoint->pings_from, at = now + patience(connection);

	if (!connection->incoming)
		at -= (at - from) % interval(connection);
	connection->vigil.ping_at = at;
	connection->vigil.ping = false;
}

void vigil_start(struct quic_connection *connection, uint64_t now)
{
	connection->vigil = (struct vigil){.heard_at = now, .ping_at = TIMER_NEVER};
	if (is_kept(connection))
		put_off(connection, now);
}

void vigil_read(struct quic_connection *connection, uint64_t now)
{
	struct vigil *vigil = &connection->vigil;
	ngtcp2_conn_info info;

	if (!is_kept(connection))
		return;
	/* A datagram that is not the peer's changes nothing. */
	ngtcp2_conn_get_conn_info(connection->conn, &info);
	if (info.pkt_recv == vigil->packets)
		return;
	vigil->packets = info.pkt_recv;
	vigil->heard_at = now;
	put_off(connection, now);
}

/* Returns when the peer is given up if nothing comes: after the idle timeout, but on a slow path
 * not before a ping has had the time to be repeated and answered. */
static uint64_t lost_at(const struct quic_connection *connection)
{
	uint64_t idle = connection_idle_timeout(connection);
	uint64_t answered = patience(connection) + 3 * ngtcp2_conn_get_pto(connection->conn);

	if (idle == 0)
		return TIMER_NEVER;
	return connection->vigil.heard_at + (idle > answered ? idle : answered);
}

void vigil_expire(struct quic_connection *connection, uint64_t now)
{
	struct vigil *vigil = &connection->vigil;

	if (!is_kept(connection))
		return;
	if (lost_at(connection) <= now) {
		connection_lose(connection);
	} else if (vigil->ping_at <= now) {
		vigil->ping_at = TIMER_NEVER;
		vigil->ping = true;
	}
}

/* Lets a keep-alive timer expire at once if a ping is due: so ngtcp2 is told to send a ping. */
void vigil_write(struct quic_connection *connection)
{
	if (connection->vigil.ping)
		ngtcp2_conn_set_keep_alive_timeout(connection->conn, 1);
}

void vigil_written(struct quic_connection *connection, uint64_t now, bool sent)
{
	ngtcp2_conn_set_keep_alive_timeout(connection->conn, 0);
	if (!sent)
		return;
	/* quic_endpoint_relay_up has connections pinged that are not kept, too. */
	connection->vigil.ping = false;
	if (is_kept(connection))
		put_off(connection, now);
}

uint64_t vigil_deadline(const struct quic_connection *connection)
{
	uint64_t ping_at = connection->vigil.ping_at, lost;

	if (!is_kept(connection))
		return TIMER_NEVER;
	lost = lost_at(connection);
	return ping_at < lost ? ping_at : lost;
}
