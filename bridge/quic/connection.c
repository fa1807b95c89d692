/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <openssl/rand.h>
#include <string.h>
#include <utlist.h>

#include "../error.h"
#include "../memory.h"
#include "internal.h"
#include "trace.h"

/* Vectors for one packet: frames of 200 bytes have two parts. */
#define VECTORS 32

const struct quic_protocol *connection_protocol(const struct quic_connection *connection)
{
	return &connection->endpoint->config.protocols[connection->protocol];
}

/* --- Making and freeing --- */

static struct quic_connection *connection_new(struct quic_endpoint *endpoint)
{
	struct quic_connection *connection;

	if (timers_reserve(&endpoint->timers, endpoint->count + endpoint->lingering_count + 1))
		return NULL;
	connection = memory_zalloc(sizeof *connection);
	if (!connection)
		return NULL;
	connection->endpoint = endpoint;
	DL_APPEND(endpoint->connections, connection);
	endpoint->count++;
	connection->place = true;
	endpoint->places++;
	return connection;
}

/* Takes the connection out of those that are there, with its window and its places. */
static void uncount(struct quic_connection *connection)
{
	DL_DELETE(connection->endpoint->connections, connection);
	connection->endpoint->count--;
	connection->endpoint->windows -= connection->window;
	connection->window = 0;
	connection_release_places(connection);
}

static void free_streams(struct quic_connection *connection)
{
	while (connection->streams)
		stream_free(connection->streams);
}

/* Frees what a lingering connection does not need. */
static void strip(struct quic_connection *connection)
{
	free_streams(connection);
	cids_remove_all(&connection->endpoint->tokens, &connection->tokens);
	tls_session_detach(&connection->tls);
	if (connection->conn)
		ngtcp2_conn_del(connection->conn);
	connection->conn = NULL;
	qlog_end(connection->qlog);
	connection->qlog = NULL;
	tls_session_clear(&connection->tls);
}

void connection_free(struct quic_connection *connection)
{
	struct quic_endpoint *endpoint = connection->endpoint;

	if (connection->state == CONNECTION_LINGERING) {
		DL_DELETE(endpoint->lingering, connection);
		endpoint->lingering_count--;
	} else {
		uncount(connection);
	}
	if (connection->dirty)
		DL_DELETE2(endpoint->dirty, connection, dirty_prev, dirty_next);
	connection_settle(connection);
	quic_connection_set_stranger(connection, false);
	strip(connection);
	timers_set(&endpoint->timers, &connection->timer, TIMER_NEVER);
	cids_remove_all(&endpoint->cids, &connection->cids);
	memory_free(connection->packet);
	memory_free(connection->relayed);
	memory_free(connection);
}

/* Sets the transport parameters that depend on the protocol. */
static void set_protocol(ngtcp2_transport_params *parameters, const struct quic_protocol *protocol)
{
	parameters->initial_max_streams_uni = protocol->max_streams;
	parameters->initial_max_streams_bidi = protocol->max_bidi_streams;
	parameters->max_idle_timeout = protocol->idle_timeout;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t take_window(struct quic_connection *connection)
{
	struct quic_endpoint *endpoint = connection->endpoint;
	uint64_t left = endpoint->windows < QUIC_WINDOWS ? QUIC_WINDOWS - endpoint->windows : 0;

	connection->window = smaller(left / 8, QUIC_MAX_WINDOW);
	if (connection->window < QUIC_MIN_WINDOW)
		connection->window = QUIC_MIN_WINDOW;
	endpoint->windows += connection->window;
	return connection->window;
}

static void on_qlog(void *user_data, uint32_t flags, const void *data, size_t size)
{
	struct quic_connection *connection = user_data;

	if (connection->qlog)
		qlog_write(connection->qlog, data, size);
}

/* Sets what is the same for all protocols. first: the connection id that the client has chosen for
 * the server first. */
static void set_defaults(struct quic_connection *connection, const ngtcp2_cid *first,
	ngtcp2_settings *settings, ngtcp2_transport_params *parameters)
{
	static const uint16_t probes[] = QUIC_PROBES;
	uint64_t window = take_window(connection);
	uint64_t of_stream = smaller(window, QUIC_STREAM_WINDOW);

	ngtcp2_settings_default(settings);
	connection->qlog = qlog_begin(connection->endpoint->tls.trace, first->data, first->datalen,
		connection->incoming);
	if (connection->qlog)
		settings->qlog_write = on_qlog;
	settings->initial_ts = uv_hrtime();
	settings->max_tx_udp_payload_size = QUIC_MAX_UDP_PAYLOAD;
	settings->pmtud_probes = probes;
	settings->pmtud_probeslen = sizeof probes / sizeof *probes;
	/* A relay takes larger datagrams, but an iroh node silently drops those that are longer
	 * than its buffer. */
	settings->no_pmtud = connection->relayed != NULL;
	settings->max_window = window;
	settings->max_stream_window = window;
	/* Packets are acknowledged in the turn that has read them, or when ack_waits allows. A timer of
	 * ngtcp2's would cost one more wake for each ping and each message, and packets that arrive quickly
	 * are read many at a time anyway. */
	settings->ack_thresh = 1;

	ngtcp2_transport_params_default(parameters);
	parameters->initial_max_data = smaller(window, QUIC_CONNECTION_WINDOW);
	parameters->initial_max_stream_data_uni = of_stream;
	parameters->initial_max_stream_data_bidi_local = of_stream;
	parameters->initial_max_stream_data_bidi_remote = of_stream;
	parameters->max_idle_timeout = QUIC_IDLE_TIMEOUT;
	parameters->active_connection_id_limit = 4;
	parameters->max_udp_payload_size = QUIC_MAX_UDP_PAYLOAD;
}

/* Applies the protocol that the client has named. OpenSSL asks for the protocol when it has read
 * the ClientHello and before it answers. Our transport parameters go into EncryptedExtensions:
 * ngtcp2's crypto helper encodes them, and they come into force, when it gets the handshake's
 * write key. Until then a server may change them (ngtcp2_conn_set_local_transport_params). So each
 * protocol's limits are simply those that its peers are told and ngtcp2 enforces. */
bool connection_protocol_selected(void *user_data, size_t protocol)
{
	struct quic_connection *connection = user_data;
	struct quic_endpoint *endpoint = connection->endpoint;
	struct closing close = {.code = NGTCP2_CONNECTION_REFUSED};
	ngtcp2_transport_params parameters;

	if (connection->state != CONNECTION_HANDSHAKE)
		return false;
	if (connection->protocol_place)
		return connection->protocol == protocol;
	connection->protocol = protocol;
	if (!endpoint_take_place(endpoint, connection, protocol)) {
		ending_text(&close, "refused: limit of connections");
		connection_end(connection, &close, FAREWELL_TRANSPORT);
		return false;
	}
	parameters = *ngtcp2_conn_get_local_transport_params(connection->conn);
	set_protocol(&parameters, connection_protocol(connection));
	return ngtcp2_conn_set_local_transport_params(connection->conn, &parameters) == 0;
}

/* Makes the connection's own copy of a relayed path, where the given path points to a caller's
 * struct: ngtcp2 keeps what the path's user_data points to. */
static int own_path(
	struct quic_connection *connection, const ngtcp2_path *path, ngtcp2_path *own)
{
	*own = *path;
	if (!path_is_relayed(path))
		return ERROR_NONE;
	connection->relayed = relayed_copy(relayed_of(path));
	if (!connection->relayed)
		return ERROR_NOMEM;
	*own = relayed_path(connection->relayed);
	return ERROR_NONE;
}

static int from_liberr(int error)
{
	return error == NGTCP2_ERR_NOMEM ? ERROR_NOMEM : ERROR_QUIC;
}

int connection_dial(struct quic_endpoint *endpoint, size_t protocol, const struct id *peer,
	const ngtcp2_path *path, struct quic_connection **out)
{
	struct quic_connection *connection = connection_new(endpoint);
	ngtcp2_transport_params parameters;
	ngtcp2_settings settings;
	ngtcp2_cid dcid, scid;
	ngtcp2_path own;
	int rv;

	if (!connection)
		return ERROR_NOMEM;
	connection->peer = *peer;
	connection->protocol = protocol;
	dcid.datalen = 16;
	rv = endpoint_take_place(endpoint, connection, protocol) ? 0 : ERROR_LIMIT;
	if (!rv)
		rv = own_path(connection, path, &own);
	if (!rv)
		rv = RAND_bytes(dcid.data, (int)dcid.datalen) == 1 ? 0 : ERROR_TLS;
	if (!rv)
		rv = endpoint_new_cid(endpoint, connection, &scid, NULL);
	if (rv)
		goto fail;
	rv = tls_session_init(&connection->tls, &endpoint->tls, &connection->peer, protocol,
		connection_get_conn, connection);
	if (rv)
		goto fail;
	set_defaults(connection, &dcid, &settings, &parameters);
	set_protocol(&parameters, connection_protocol(connection));
	settings.handshake_timeout = QUIC_DIAL_TIMEOUT;
	rv = ngtcp2_conn_client_new(&connection->conn, &dcid, &scid, &own, NGTCP2_PROTO_VER_V1,
		&connection_callbacks, &settings, &parameters, &connection_mem, connection);
	if (rv) {
		rv = from_liberr(rv);
		goto fail;
	}
	ngtcp2_conn_set_tls_native_handle(connection->conn, connection->tls.context);
	*out = connection;
	return ERROR_NONE;
fail:
	connection_free(connection);
	return rv;
}

int connection_accept(struct quic_endpoint *endpoint, const ngtcp2_path *path,
	const ngtcp2_pkt_hd *header, const ngtcp2_cid *original, struct quic_connection **out)
{
	struct quic_connection *connection = connection_new(endpoint);
	ngtcp2_transport_params parameters;
	ngtcp2_settings settings;
	struct address remote;
	ngtcp2_path own;
	ngtcp2_cid scid;
	int rv;

	if (!connection)
		return ERROR_NOMEM;
	connection->incoming = true;
	remote = path_remote(path);
	connection->source = address_host(&remote);
	quic_connection_set_stranger(connection, true);
	rv = own_path(connection, path, &own);
	if (rv)
		goto fail;
	/* The protocol's part is still missing, see connection_protocol_selected. */
	set_defaults(connection, original ? original : &header->dcid, &settings, &parameters);
	settings.handshake_timeout = endpoint->handshake_timeout;
	parameters.original_dcid = original ? *original : header->dcid;
	parameters.original_dcid_present = 1;
	if (original) {
		/* This shows the client that the Retry was ours (RFC 9000, 7.3). */
		parameters.retry_scid = header->dcid;
		parameters.retry_scid_present = 1;
		settings.token = header->token;
		settings.tokenlen = header->tokenlen;
		settings.token_type = NGTCP2_TOKEN_TYPE_RETRY;
	} else {
		connection->unproven = true;
		DL_APPEND2(endpoint->unproven, connection, unproven_prev, unproven_next);
		endpoint->unproven_count++;
	}
	parameters.stateless_reset_token_present = 1;
	rv = endpoint_new_cid(endpoint, connection, &scid, parameters.stateless_reset_token);
	if (rv)
		goto fail;
	/* The id of the client's own choice leads here too, for as long as we know the connection:
	 * the client's first datagrams come again, late, and by way of our other addresses, and
	 * must not make further connections. */
	rv = cids_add(&endpoint->cids, &connection->cids, connection, header->dcid.data,
		header->dcid.datalen);
	if (!rv && original)
		rv = cids_add(&endpoint->cids, &connection->cids, connection, original->data,
			original->datalen);
	if (rv)
		goto fail;
	rv = tls_session_init(
		&connection->tls, &endpoint->tls, NULL, 0, connection_get_conn, connection);
	if (rv)
		goto fail;
	rv = ngtcp2_conn_server_new(&connection->conn, &header->scid, &scid, &own, header->version,
		&connection_callbacks, &settings, &parameters, &connection_mem, connection);
	if (rv) {
		rv = from_liberr(rv);
		goto fail;
	}
	ngtcp2_conn_set_tls_native_handle(connection->conn, connection->tls.context);
	*out = connection;
	return ERROR_NONE;
fail:
	connection_free(connection);
	return rv;
}

/* --- Datagrams in --- */

/* Answers what still comes in the closing period (RFC 9000, 10.2.1) with the close packet again,
 * ever more rarely. */
static void linger_read(struct quic_connection *connection)
{
	unsigned heard = ++connection->heard;

	if (connection->packet && (heard & (heard - 1)) == 0)
		(void)path_send(&connection->path.path, 0, connection->packet,
			connection->packet_size, connection->packet_size);
}

/* Tells whether the acknowledgement of the packet that was read waits for the next one, see
 * QUIC_ACK_WAIT. Not while there is anything to be sent or acknowledged on our side, nor when a packet
 * is missing, for then nothing comes to a stream. */
static bool ack_waits(struct quic_connection *connection, uint64_t now)
{
	bool is_soon = now - connection->data_read_at < QUIC_ACK_WAIT;

	if (!connection->data_read)
		return false;
	connection->data_read_at = now;
	return is_soon && !connection->owes_ack && !connection->dirty && connection->queued == 0 &&
	       connection->state == CONNECTION_OPEN;
}

void connection_read(struct quic_connection *connection, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size)
{
	ngtcp2_pkt_info info = {.ecn = ecn};
	ngtcp2_path own = *path;
	uint64_t now;
	int rv;

	/* No connection moves to a relay, nor from one relay to another: copies of a client's
	 * first datagrams come by all its ways, and anything else that comes so is not from our
	 * peer. */
	if (path_is_relayed(path)) {
		if (!connection->relayed ||
			!relayed_equal(connection->relayed, relayed_of(path)))
			return;
		own = relayed_path(connection->relayed);
	}
	if (connection->state == CONNECTION_LINGERING) {
		linger_read(connection);
		return;
	}
	if (connection->state == CONNECTION_ENDED)
		return;
	now = uv_hrtime();
	connection->data_read = false;
	rv = ngtcp2_conn_read_pkt(connection->conn, &own, &info, data, size, now);
	if (rv != 0)
		connection_fail(connection, rv);
	vigil_read(connection, now);
	connection->owes_ack = ack_waits(connection, now);
	if (!connection->owes_ack)
		endpoint_mark(connection->endpoint, connection);
	else
		endpoint_expect(connection->endpoint, connection, now + QUIC_ACK_WAIT);
}

void connection_expire(struct quic_connection *connection, uint64_t now)
{
	int rv;

	if (connection->state == CONNECTION_LINGERING) {
		connection_free(connection);
		return;
	}
	timers_set(&connection->endpoint->timers, &connection->timer, TIMER_NEVER);
	if (connection->state != CONNECTION_ENDED) {
		rv = ngtcp2_conn_handle_expiry(connection->conn, now);
		if (rv != 0)
			connection_fail(connection, rv);
		vigil_expire(connection, now);
	}
	endpoint_mark(connection->endpoint, connection);
}

/* --- Datagrams out --- */

/* Returns how large the next datagram may be, given the path's limit. */
static size_t datagram_limit(const struct quic_connection *connection, size_t path)
{
	const struct quic_stream *stream = connection->ready;

	if (connection->small)
		return smaller(path, NGTCP2_MAX_UDP_PAYLOAD_SIZE);
	if (stream && !(stream->unsent && stream->unsent->droppable))
		return smaller(path, QUIC_MAX_CONTROL);
	return path;
}

/* Fills one packet from the streams that are ready, in turns. */
static ngtcp2_ssize write_packet(ngtcp2_conn *conn, ngtcp2_path *path, ngtcp2_pkt_info *info,
	uint8_t *out, size_t capacity, ngtcp2_tstamp now, void *user_data)
{
	struct quic_connection *connection = user_data;

	capacity = datagram_limit(connection, capacity);
	for (;;) {
		struct quic_stream *stream = connection->ready;
		uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_NONE;
		ngtcp2_vec vectors[VECTORS];
		ngtcp2_ssize taken = -1, n;
		size_t count = 0;
		bool fin = false;

		if (stream) {
			/* With more to come the packet is as good as full when ngtcp2 ends it:
			 * padding makes it as long as its neighbours, for GSO. */
			flags = NGTCP2_WRITE_STREAM_FLAG_MORE | NGTCP2_WRITE_STREAM_FLAG_PADDING;
			count = stream_vectors(stream, vectors, VECTORS, capacity, &fin);
			if (fin)
				flags |= NGTCP2_WRITE_STREAM_FLAG_FIN;
		}
		n = ngtcp2_conn_writev_stream(conn, path, info, out, capacity, &taken, flags,
			stream ? stream->id : -1, vectors, count, now);
		if (taken >= 0 && stream) {
			stream_sent(stream, (size_t)taken, fin);
			/* The next packet begins with another stream. */
			if (stream->ready && n != NGTCP2_ERR_WRITE_MORE) {
				stream_unready(stream);
				stream_ready(stream);
			}
		}
		switch (n) {
		case NGTCP2_ERR_WRITE_MORE:
			continue;
		case NGTCP2_ERR_STREAM_DATA_BLOCKED:
			stream->blocked = true;
			stream_unready(stream);
			continue;
		case NGTCP2_ERR_STREAM_SHUT_WR:
		case NGTCP2_ERR_STREAM_NOT_FOUND:
			stream_shut(stream);
			continue;
		default:
			return n;
		}
	}
}

/* Returns for how long datagrams are small now that large ones seem to be lost. */
static uint64_t small_time(const struct quic_connection *connection)
{
	uint64_t before = connection->small_time;

	/* For as long as they were small, large ones have not been lost since. */
	if (before == 0 || connection->acked_at > connection->small_until + before)
		return connection->endpoint->black_hole_time;
	return smaller(4 * before, QUIC_BLACK_HOLE_MOST);
}

/* Decides how large datagrams may be, see QUIC_BLACK_HOLE_LEAST. */
static void look_for_black_hole(struct quic_connection *connection, uint64_t now)
{
	ngtcp2_conn_info info;
	ngtcp2_duration pto;

	connection->small = now < connection->small_until;
	if (connection->small || connection->queued == 0)
		return;
	pto = ngtcp2_conn_get_pto(connection->conn);
	if (now < connection->acked_at + pto / 2)
		return;
	if (connection->missed_at <= connection->acked_at)
		connection->missed_at = now;
	if (now < connection->missed_at + pto + pto / 2)
		return;
	/* Without bytes in flight it is only the peer that does not let us send. */
	ngtcp2_conn_get_conn_info(connection->conn, &info);
	if (info.bytes_in_flight == 0)
		return;
	connection->small = true;
	connection->small_time = small_time(connection);
	connection->small_until = now + connection->small_time;
}

uint64_t quic_connection_rtt(struct quic_connection *connection)
{
	ngtcp2_conn_info info;

	if (!connection->conn)
		return 0;
	ngtcp2_conn_get_conn_info(connection->conn, &info);
	return info.min_rtt == UINT64_MAX ? 0 : info.smoothed_rtt / 1000;
}

/* Sends what is in endpoint->tx, and returns what path_send returns. Ends a dial that cannot be
 * sent: there may be another address. */
static bool send_packets(struct quic_connection *connection, const ngtcp2_path *path, uint8_t ecn,
	size_t size, size_t segment)
{
	struct quic_endpoint *endpoint = connection->endpoint;
	bool taken;

	endpoint->writing = connection;
	endpoint->send_error = ERROR_NONE;
	taken = path_send(path, ecn, endpoint->tx, size, segment);
	endpoint->writing = NULL;
	if (endpoint->send_error)
		connection_unsent(connection, endpoint->send_error);
	return taken;
}

static void connection_write(struct quic_connection *connection)
{
	struct quic_endpoint *endpoint = connection->endpoint;
	uint64_t now = uv_hrtime(), due;
	bool sent = false;
	unsigned round;

	connection->owes_ack = false;
	vigil_write(connection);
	look_for_black_hole(connection, now);
	for (round = 0; round < QUIC_WRITE_ROUNDS; round++) {
		ngtcp2_path_storage path;
		ngtcp2_pkt_info info = {0};
		size_t segment = 0;
		ngtcp2_ssize n;

		ngtcp2_path_storage_zero(&path);
		n = ngtcp2_conn_write_aggregate_pkt2(connection->conn, &path.path, &info,
			endpoint->tx, sizeof endpoint->tx, &segment, write_packet, 0, now);
		if (n < 0) {
			connection_fail(connection, (int)n);
			return;
		}
		if (n == 0)
			break;
		sent = true;
		if (!send_packets(connection, &path.path, info.ecn, (size_t)n, segment)) {
			round = QUIC_WRITE_ROUNDS;
			break;
		}
		if (connection->state == CONNECTION_ENDED)
			return;
	}
	/* Before ngtcp2 sets the time of the next packet's pace: all that may go now has gone, and what
	 * comes before that time finds it set. On a path with a round trip of more than a few ms a timer
	 * would wake for nothing after each message. */
	due = ngtcp2_conn_get_expiry(connection->conn);
	ngtcp2_conn_update_pkt_tx_time(connection->conn, now);
	vigil_written(connection, now, sent);
	if (vigil_deadline(connection) < due)
		due = vigil_deadline(connection);
	timers_set(&endpoint->timers, &connection->timer, due);
	if (round >= QUIC_WRITE_ROUNDS)
		endpoint_mark(endpoint, connection); /* there may be more */
}

/* Sends CONNECTION_CLOSE. Returns the length of the packet, which is in endpoint->tx. */
static size_t write_close(struct quic_connection *connection)
{
	struct quic_endpoint *endpoint = connection->endpoint;
	const struct closing *close = &connection->close;
	ngtcp2_pkt_info info = {0};
	ngtcp2_ccerr error;
	ngtcp2_ssize n;

	if (connection->farewell == FAREWELL_APPLICATION)
		ngtcp2_ccerr_set_application_error(&error, close->code,
			(const uint8_t *)connection->reason,
			connection->reason ? strlen(connection->reason) : 0);
	else if (connection->farewell == FAREWELL_TRANSPORT)
		ngtcp2_ccerr_set_transport_error(
			&error, close->code, (const uint8_t *)close->text, strlen(close->text));
	else
		return 0;
	n = ngtcp2_conn_write_connection_close(connection->conn, &connection->path.path, &info,
		endpoint->tx, QUIC_MAX_UDP_PAYLOAD, &error, uv_hrtime());
	if (n <= 0)
		return 0;
	(void)path_send(&connection->path.path, info.ecn, endpoint->tx, (size_t)n, (size_t)n);
	return (size_t)n;
}

static void report(struct quic_connection *connection)
{
	const struct quic_callbacks *owner = connection_owner(connection);
	struct quic_stream *stream, *next;

	/* What has come and is acknowledged counts, unless we have given the peer up. */
	if (connection->farewell != FAREWELL_APPLICATION)
		DL_FOREACH (connection->streams, stream)
			holding_end(stream);
	DL_FOREACH_SAFE (connection->streams, stream, next)
		owner->stream_closed(connection_context(connection), stream);
	owner->closed(connection_context(connection), connection, &connection->close);
}

static void finish(struct quic_connection *connection)
{
	struct quic_endpoint *endpoint = connection->endpoint;
	ngtcp2_duration pto = ngtcp2_conn_get_pto(connection->conn);
	size_t packet_size;

	ngtcp2_path_storage_zero(&connection->path);
	packet_size = write_close(connection);
	/* The callbacks may not use endpoint->tx: they send nothing at once. */
	report(connection);
	if (endpoint->closing || endpoint->lingering_count >= endpoint->max_connections ||
		(packet_size == 0 && connection->farewell != FAREWELL_DRAIN)) {
		connection_free(connection);
		return;
	}
	strip(connection);
	if (packet_size > 0) {
		connection->packet = memory_alloc(packet_size);
		if (connection->packet) {
			memcpy(connection->packet, endpoint->tx, packet_size);
			connection->packet_size = packet_size;
		}
	}
	uncount(connection);
	DL_APPEND(endpoint->lingering, connection);
	endpoint->lingering_count++;
	connection->state = CONNECTION_LINGERING;
	timers_set(&endpoint->timers, &connection->timer, uv_hrtime() + 3 * pto);
}

void connection_turn(struct quic_connection *connection)
{
	if (connection->state < CONNECTION_ENDED)
		connection_write(connection);
	if (connection->state == CONNECTION_ENDED)
		finish(connection);
}

/* --- The rest of quic.h --- */

size_t quic_connection_protocol(const struct quic_connection *connection)
{
	return connection->protocol;
}

const struct id *quic_connection_peer(const struct quic_connection *connection)
{
	return &connection->peer;
}

bool quic_connection_incoming(const struct quic_connection *connection)
{
	return connection->incoming;
}

struct address quic_connection_address(const struct quic_connection *connection)
{
	return path_remote(ngtcp2_conn_get_path(connection->conn));
}

void quic_connection_set_data(struct quic_connection *connection, void *data)
{
	connection->data = data;
}

void *quic_connection_data(const struct quic_connection *connection)
{
	return connection->data;
}

size_t quic_connection_queued(const struct quic_connection *connection)
{
	return connection->queued;
}
