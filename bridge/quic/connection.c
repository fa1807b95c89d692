/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "../error.h"
#include "../memory.h"
#include "internal.h"

/* Vectors for one packet: frames of 200 bytes have two parts. */
#define VECTORS 32

/* TLS alerts (RFC 8446, 6) that say why a handshake is refused. */
#define ALERT_ACCESS_DENIED	      49
#define ALERT_NO_APPLICATION_PROTOCOL 120

static void *mem_malloc(size_t size, void *user_data)
{
	return memory_alloc(size);
}

static void mem_free(void *block, void *user_data)
{
	memory_free(block);
}

static void *mem_calloc(size_t count, size_t size, void *user_data)
{
	return size && count > SIZE_MAX / size ? NULL : memory_zalloc(count * size);
}

static void *mem_realloc(void *block, size_t size, void *user_data)
{
	return memory_realloc(block, size);
}

const ngtcp2_mem connection_mem = {NULL, mem_malloc, mem_free, mem_calloc, mem_realloc};

const struct quic_protocol *connection_protocol(const struct quic_connection *connection)
{
	return &connection->endpoint->config.protocols[connection->protocol];
}

/* --- How it ended --- */

static void release_places(struct quic_connection *connection)
{
	struct quic_endpoint *endpoint = connection->endpoint;

	endpoint->places -= connection->place;
	endpoint->protocol_places[connection->protocol] -= connection->protocol_place;
	connection->place = connection->protocol_place = false;
}

/* Its address is proven, or it is over. */
static void settle(struct quic_connection *connection)
{
	struct quic_endpoint *endpoint = connection->endpoint;

	if (!connection->unproven)
		return;
	connection->unproven = false;
	DL_DELETE2(endpoint->unproven, connection, unproven_prev, unproven_next);
	endpoint->unproven_count--;
}

void connection_end(
	struct quic_connection *connection, const struct quic_close *close, enum farewell farewell)
{
	if (connection->state >= CONNECTION_ENDED)
		return;
	if (connection->state == CONNECTION_HANDSHAKE && !close->remote &&
		farewell == FAREWELL_TRANSPORT && (close->code & ~0xffull) == NGTCP2_CRYPTO_ERROR)
		counters_add(connection->endpoint->config.counters, COUNTER_HANDSHAKES_REFUSED, 1);
	settle(connection);
	connection->close = *close;
	connection->farewell = farewell;
	connection->state = CONNECTION_ENDED;
	endpoint_mark(connection->endpoint, connection);
}

__attribute__((format(printf, 2, 3))) static void set_text(
	struct quic_close *close, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(close->text, sizeof close->text, format, arguments);
	va_end(arguments);
}

void connection_displace(struct quic_connection *connection)
{
	struct quic_close close = {0};

	set_text(&close, "gave way: its address was not proven");
	connection_end(connection, &close, FAREWELL_NONE);
	release_places(connection); /* at once: they are what it is about */
}

void connection_cut(struct quic_connection *connection)
{
	struct quic_close close = {.timeout = true};

	set_text(&close, "own address is gone");
	connection_end(connection, &close, FAREWELL_NONE);
}

/* What both sides have agreed on, ns. */
static uint64_t idle_timeout(const struct quic_connection *connection)
{
	const ngtcp2_transport_params *remote =
		ngtcp2_conn_get_remote_transport_params(connection->conn);
	uint64_t ours = connection_protocol(connection)->idle_timeout;
	uint64_t theirs = remote ? remote->max_idle_timeout : 0;

	return theirs && (theirs < ours || !ours) ? theirs : ours;
}

/* The peer's reason is for our log: only what can be printed, and not all of it. */
static void printable(char *out, size_t capacity, const uint8_t *text, size_t size)
{
	size_t i;

	for (i = 0; i < size && i + 1 < capacity; i++)
		out[i] = text[i] >= 0x20 && text[i] < 0x7f ? (char)text[i] : '?';
	out[i] = '\0';
}

static void describe_remote(struct quic_connection *connection, struct quic_close *close)
{
	const ngtcp2_ccerr *error = ngtcp2_conn_get_ccerr(connection->conn);
	unsigned long long code = error->error_code;
	const char *meaning = "", *open, *shut;
	char reason[48];

	close->remote = true;
	if (connection->reset) {
		set_text(close, "reset by peer: it knows no such connection (restarted?)");
		return;
	}
	close->code = code;
	close->application = error->type == NGTCP2_CCERR_TYPE_APPLICATION;
	printable(reason, sizeof reason, error->reason, error->reasonlen);
	open = reason[0] ? " (" : "";
	shut = reason[0] ? ")" : "";
	if (close->application) {
		set_text(close, "closed by peer: code %llu%s%s%s", code, open, reason, shut);
		return;
	}
	close->refused = (code & ~0xffull) == NGTCP2_CRYPTO_ERROR ||
			 code == NGTCP2_CONNECTION_REFUSED || code == NGTCP2_APPLICATION_ERROR;
	if (code == NGTCP2_CRYPTO_ERROR + ALERT_NO_APPLICATION_PROTOCOL)
		meaning = ", no common protocol (other network id?)";
	else if (code == NGTCP2_CRYPTO_ERROR + ALERT_ACCESS_DENIED)
		meaning = ", it does not let us in";
	else if (code == NGTCP2_CRYPTO_ERROR + SSL_AD_UNKNOWN_CA ||
		 code == NGTCP2_CRYPTO_ERROR + SSL_AD_CERTIFICATE_UNKNOWN ||
		 code == NGTCP2_CRYPTO_ERROR + SSL_AD_BAD_CERTIFICATE)
		meaning = ", it does not accept our key";
	else if (code == NGTCP2_CONNECTION_REFUSED)
		meaning = ", connection refused";
	else if (code == NGTCP2_INVALID_TOKEN)
		meaning = ", our proof of address was too late or meant for another";
	else if (code == NGTCP2_APPLICATION_ERROR)
		meaning = ", closed by its application during the handshake";
	set_text(close, "closed by peer: transport code %#llx%s%s%s%s", code, meaning, open, reason,
		shut);
}

/* Ends the connection because a call of ngtcp2 has failed with error. */
static void fail(struct quic_connection *connection, int error)
{
	struct quic_close close = {0};
	enum farewell farewell = FAREWELL_TRANSPORT;
	unsigned alert;

	if (connection->state >= CONNECTION_ENDED)
		return; /* by one of our callbacks, which knew more */
	switch (error) {
	case NGTCP2_ERR_DRAINING:
		describe_remote(connection, &close);
		farewell = FAREWELL_DRAIN;
		break;
	case NGTCP2_ERR_IDLE_CLOSE:
	case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
		close.timeout = true;
		if (connection->state == CONNECTION_OPEN)
			set_text(&close, "nothing heard for %g s",
				(double)idle_timeout(connection) / NGTCP2_SECONDS);
		else
			set_text(&close, "handshake timed out");
		farewell = FAREWELL_NONE;
		break;
	case NGTCP2_ERR_DROP_CONN:
	case NGTCP2_ERR_RETRY: /* not the first part of a ClientHello: that is about to come */
		set_text(&close, "dropped: not a handshake");
		farewell = FAREWELL_NONE;
		break;
	case NGTCP2_ERR_RECV_VERSION_NEGOTIATION:
		close.remote = true;
		set_text(&close, "peer does not speak QUIC version 1");
		farewell = FAREWELL_NONE;
		break;
	case NGTCP2_ERR_CRYPTO:
		alert = ngtcp2_conn_get_tls_alert(connection->conn);
		close.code = NGTCP2_CRYPTO_ERROR | alert;
		close.own_key = connection->tls.own_key;
		if (connection->tls.wrong_peer)
			set_text(&close, "peer is not the dialled node");
		else if (alert == ALERT_NO_APPLICATION_PROTOCOL)
			set_text(&close, "no common protocol (other network id?)");
		else
			set_text(&close, "TLS: %s", SSL_alert_desc_string_long((int)alert));
		break;
	default:
		close.code = ngtcp2_err_infer_quic_transport_error_code(error);
		set_text(&close, "QUIC: %s", ngtcp2_strerror(error));
		break;
	}
	connection_end(connection, &close, farewell);
}

static void refuse(struct quic_connection *connection, unsigned alert, const char *text)
{
	struct quic_close close = {.code = NGTCP2_CRYPTO_ERROR | alert};

	set_text(&close, "%s", text);
	connection_end(connection, &close, FAREWELL_TRANSPORT);
}

void quic_connection_close_with(
	struct quic_connection *connection, uint64_t code, const char *reason)
{
	struct quic_close close = {.application = true, .code = code};

	if (connection->state >= CONNECTION_ENDED)
		return;
	connection->reason = reason;
	set_text(&close, "closed by us: code %llu%s%s%s", (unsigned long long)code,
		reason ? " (" : "", reason ? reason : "", reason ? ")" : "");
	connection_end(connection, &close, FAREWELL_APPLICATION);
}

void quic_connection_close(struct quic_connection *connection, uint64_t code)
{
	quic_connection_close_with(connection, code, NULL);
}

/* --- ngtcp2's callbacks --- */

static const struct quic_callbacks *callbacks_of(const struct quic_connection *connection)
{
	return &connection_protocol(connection)->callbacks;
}

static void *context_of(const struct quic_connection *connection)
{
	return connection->endpoint->config.context;
}

static ngtcp2_conn *get_conn(ngtcp2_crypto_conn_ref *reference)
{
	struct quic_connection *connection = reference->user_data;

	return connection->conn;
}

static void on_rand(uint8_t *out, size_t size, const ngtcp2_rand_ctx *context)
{
	/* Cannot fail; what is secret (ids, keys, path challenges) does not come from here. */
	if (RAND_bytes(out, (int)size) != 1)
		memset(out, 0, size);
}

static uint64_t keep_alive(const struct quic_protocol *protocol)
{
	uint64_t half = protocol->idle_timeout / 2;

	return half && half < QUIC_KEEP_ALIVE ? half : QUIC_KEEP_ALIVE;
}

static int on_handshake_completed(ngtcp2_conn *conn, void *user_data)
{
	struct quic_connection *connection = user_data;
	const struct quic_protocol *protocol = connection_protocol(connection);
	struct quic_endpoint *endpoint = connection->endpoint;
	void *context = endpoint->config.context;
	struct id peer;

	if (connection->state != CONNECTION_HANDSHAKE)
		return 0;
	settle(connection);
	/* Only now the peer has proven to hold the key. */
	if (tls_session_peer(&connection->tls, &peer)) {
		refuse(connection, SSL_AD_BAD_CERTIFICATE, "peer has shown no Ed25519 key");
		return NGTCP2_ERR_CALLBACK_FAILURE;
	}
	connection->peer = peer;
	if (!connection->protocol_place ||
		!tls_session_has_protocol(&connection->tls, &endpoint->tls, connection->protocol)) {
		refuse(connection, ALERT_NO_APPLICATION_PROTOCOL, "peer has named no protocol");
		return NGTCP2_ERR_CALLBACK_FAILURE;
	}
	if (connection->incoming && protocol->callbacks.accept &&
		!protocol->callbacks.accept(context, &connection->peer)) {
		refuse(connection, ALERT_ACCESS_DENIED, "refused: not let in");
		return NGTCP2_ERR_CALLBACK_FAILURE;
	}
	if (protocol->keep_alive)
		ngtcp2_conn_set_keep_alive_timeout(conn, keep_alive(protocol));
	connection->state = CONNECTION_OPEN;
	protocol->callbacks.connected(context, connection);
	return 0;
}

static int on_stream_open(ngtcp2_conn *conn, int64_t id, void *user_data)
{
	struct quic_connection *connection = user_data;
	struct quic_stream *stream = stream_new(connection, id, true, ngtcp2_is_bidi_stream(id));

	if (!stream || ngtcp2_conn_set_stream_user_data(conn, id, stream) != 0)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static int on_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t offset,
	const uint8_t *data, size_t size, void *user_data, void *stream_user_data)
{
	struct quic_connection *connection = user_data;
	struct quic_stream *stream = stream_user_data;

	if (connection->state != CONNECTION_OPEN)
		return 0;
	if (stream && flags & NGTCP2_STREAM_DATA_FLAG_FIN)
		stream->ended = true;
	if (stream && !stream->stopped)
		callbacks_of(connection)
			->stream_data(context_of(connection), stream, data, size,
				flags & NGTCP2_STREAM_DATA_FLAG_FIN);
	if (connection->state != CONNECTION_OPEN)
		return 0;
	ngtcp2_conn_extend_max_offset(conn, size);
	return ngtcp2_conn_extend_max_stream_offset(conn, id, size) == 0
		       ? 0
		       : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int on_acked(ngtcp2_conn *conn, int64_t id, uint64_t offset, uint64_t size, void *user_data,
	void *stream_user_data)
{
	struct quic_stream *stream = stream_user_data;

	if (stream)
		stream_acked(stream, size);
	return 0;
}

static int on_stream_close(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t code,
	void *user_data, void *stream_user_data)
{
	struct quic_connection *connection = user_data;
	struct quic_stream *stream = stream_user_data;

	if (!ngtcp2_conn_is_local_stream(conn, id) && ngtcp2_is_bidi_stream(id))
		ngtcp2_conn_extend_max_streams_bidi(conn, 1);
	else if (!ngtcp2_conn_is_local_stream(conn, id))
		ngtcp2_conn_extend_max_streams_uni(conn, 1);
	if (!stream)
		return 0;
	callbacks_of(connection)->stream_closed(context_of(connection), stream);
	/* No write is under way that could hold it: streams close while reading. */
	stream_free(stream);
	return 0;
}

/* The peer gives up what it sends. It will not read to the end either, unless it does so
 * because we have stopped it: the owner would wait for the end of a bidirectional stream
 * in vain. */
static int on_stream_reset(ngtcp2_conn *conn, int64_t id, uint64_t final_size, uint64_t code,
	void *user_data, void *stream_user_data)
{
	struct quic_stream *stream = stream_user_data;

	if (!stream || !stream->bidi || stream->stopped || stream->ended || stream->finish)
		return 0;
	stream_shut(stream);
	return ngtcp2_conn_shutdown_stream_write(conn, 0, id, code) == 0
		       ? 0
		       : NGTCP2_ERR_CALLBACK_FAILURE;
}

#ifdef NGTCP2_CALLBACKS_V4 /* ngtcp2 1.24; before it, the next write tells */
static int on_stop_sending(
	ngtcp2_conn *conn, int64_t id, uint64_t code, void *user_data, void *stream_user_data)
{
	struct quic_stream *stream = stream_user_data;

	if (stream)
		stream_shut(stream);
	return 0;
}
#endif

static int on_more_streams(ngtcp2_conn *conn, uint64_t max_streams, void *user_data)
{
	struct quic_connection *connection = user_data;

	if (connection->state != CONNECTION_OPEN || !connection->starved)
		return 0;
	connection->starved = false;
	callbacks_of(connection)->stream_credit(context_of(connection), connection);
	return 0;
}

static int on_more_bidi_streams(ngtcp2_conn *conn, uint64_t max_streams, void *user_data)
{
	struct quic_connection *connection = user_data;

	if (connection->state != CONNECTION_OPEN || !connection->starved_bidi)
		return 0;
	connection->starved_bidi = false;
	callbacks_of(connection)->stream_credit(context_of(connection), connection);
	return 0;
}

static int on_more_stream_data(
	ngtcp2_conn *conn, int64_t id, uint64_t max_data, void *user_data, void *stream_user_data)
{
	struct quic_stream *stream = stream_user_data;

	if (stream) {
		stream->blocked = false;
		stream_ready(stream);
	}
	return 0;
}

static int on_new_cid(
	ngtcp2_conn *conn, ngtcp2_cid *cid, uint8_t *token, size_t size, void *user_data)
{
	struct quic_connection *connection = user_data;

	return endpoint_new_cid(connection->endpoint, connection, cid, token) == 0
		       ? 0
		       : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int on_remove_cid(ngtcp2_conn *conn, const ngtcp2_cid *cid, void *user_data)
{
	struct quic_connection *connection = user_data;

	cids_remove(&connection->endpoint->cids, &connection->cids, cid->data, cid->datalen);
	return 0;
}

/* A stateless reset looks like any packet with an id that we do not know, but for the
 * token at its end. */
static int on_dcid_status(ngtcp2_conn *conn, ngtcp2_connection_id_status_type type, uint64_t seq,
	const ngtcp2_cid *cid, const uint8_t *token, void *user_data)
{
	struct quic_connection *connection = user_data;
	struct cids *tokens = &connection->endpoint->tokens;

	if (!token)
		return 0;
	if (type == NGTCP2_CONNECTION_ID_STATUS_TYPE_DEACTIVATE)
		cids_remove(tokens, &connection->tokens, token, NGTCP2_STATELESS_RESET_TOKENLEN);
	else if (cids_add(tokens, &connection->tokens, connection, token,
			 NGTCP2_STATELESS_RESET_TOKENLEN))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static int on_stateless_reset(
	ngtcp2_conn *conn, const ngtcp2_pkt_stateless_reset *reset, void *user_data)
{
	struct quic_connection *connection = user_data;

	connection->reset = true;
	return 0;
}

static const ngtcp2_callbacks callbacks = {
	.client_initial = ngtcp2_crypto_client_initial_cb,
	.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb,
	.recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
	.encrypt = ngtcp2_crypto_encrypt_cb,
	.decrypt = ngtcp2_crypto_decrypt_cb,
	.hp_mask = ngtcp2_crypto_hp_mask_cb,
	.recv_retry = ngtcp2_crypto_recv_retry_cb,
	.update_key = ngtcp2_crypto_update_key_cb,
	.delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
	.delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
	.get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
	.version_negotiation = ngtcp2_crypto_version_negotiation_cb,
	.rand = on_rand,
	.handshake_completed = on_handshake_completed,
	.stream_open = on_stream_open,
	.recv_stream_data = on_stream_data,
	.acked_stream_data_offset = on_acked,
	.stream_close = on_stream_close,
	.stream_reset = on_stream_reset,
#ifdef NGTCP2_CALLBACKS_V4
	.recv_stop_sending = on_stop_sending,
#endif
	.extend_max_local_streams_uni = on_more_streams,
	.extend_max_local_streams_bidi = on_more_bidi_streams,
	.extend_max_stream_data = on_more_stream_data,
	.get_new_connection_id = on_new_cid,
	.remove_connection_id = on_remove_cid,
	.dcid_status = on_dcid_status,
	.recv_stateless_reset = on_stateless_reset,
};

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

/* No longer one of those that are there. */
static void uncount(struct quic_connection *connection)
{
	DL_DELETE(connection->endpoint->connections, connection);
	connection->endpoint->count--;
	release_places(connection);
}

static void free_streams(struct quic_connection *connection)
{
	while (connection->streams)
		stream_free(connection->streams);
}

/* What a lingering connection does not need. */
static void strip(struct quic_connection *connection)
{
	free_streams(connection);
	cids_remove_all(&connection->endpoint->tokens, &connection->tokens);
	tls_session_detach(&connection->tls);
	if (connection->conn)
		ngtcp2_conn_del(connection->conn);
	connection->conn = NULL;
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
	settle(connection);
	strip(connection);
	timers_set(&endpoint->timers, &connection->timer, TIMER_NEVER);
	cids_remove_all(&endpoint->cids, &connection->cids);
	memory_free(connection->packet);
	memory_free(connection);
}

/* What of it the protocol says. */
static void set_protocol(ngtcp2_transport_params *parameters, const struct quic_protocol *protocol)
{
	parameters->initial_max_streams_uni = protocol->max_streams;
	parameters->initial_max_streams_bidi = protocol->max_bidi_streams;
	parameters->max_idle_timeout = protocol->idle_timeout;
}

static void set_defaults(ngtcp2_settings *settings, ngtcp2_transport_params *parameters)
{
	ngtcp2_settings_default(settings);
	settings->initial_ts = uv_hrtime();
	settings->max_tx_udp_payload_size = QUIC_MAX_UDP_PAYLOAD;
	settings->max_window = QUIC_MAX_WINDOW;
	settings->max_stream_window = QUIC_MAX_WINDOW;

	ngtcp2_transport_params_default(parameters);
	parameters->initial_max_data = QUIC_CONNECTION_WINDOW;
	parameters->initial_max_stream_data_uni = QUIC_STREAM_WINDOW;
	parameters->initial_max_stream_data_bidi_local = QUIC_STREAM_WINDOW;
	parameters->initial_max_stream_data_bidi_remote = QUIC_STREAM_WINDOW;
	parameters->max_idle_timeout = QUIC_IDLE_TIMEOUT;
	parameters->active_connection_id_limit = 4;
}

/* The client has named its protocol. OpenSSL asks for it when it has read the ClientHello
 * and before it answers. Our transport parameters go into EncryptedExtensions, for which
 * ngtcp2's crypto helper encodes them, and by which they come into force, when it gets the
 * handshake's write key: until then a server may change them
 * (ngtcp2_conn_set_local_transport_params). So each protocol's limits are simply those that
 * its peers are told and ngtcp2 enforces. */
bool connection_protocol_selected(void *user_data, size_t protocol)
{
	struct quic_connection *connection = user_data;
	struct quic_endpoint *endpoint = connection->endpoint;
	struct quic_close close = {.code = NGTCP2_CONNECTION_REFUSED};
	ngtcp2_transport_params parameters;

	if (connection->state != CONNECTION_HANDSHAKE)
		return false;
	if (connection->protocol_place)
		return connection->protocol == protocol;
	connection->protocol = protocol;
	if (!endpoint_take_place(endpoint, connection, protocol)) {
		set_text(&close, "refused: limit of connections");
		connection_end(connection, &close, FAREWELL_TRANSPORT);
		return false;
	}
	parameters = *ngtcp2_conn_get_local_transport_params(connection->conn);
	set_protocol(&parameters, connection_protocol(connection));
	return ngtcp2_conn_set_local_transport_params(connection->conn, &parameters) == 0;
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
	int rv;

	if (!connection)
		return ERROR_NOMEM;
	connection->peer = *peer;
	connection->protocol = protocol;
	dcid.datalen = 16;
	rv = endpoint_take_place(endpoint, connection, protocol) ? 0 : ERROR_LIMIT;
	if (!rv)
		rv = RAND_bytes(dcid.data, (int)dcid.datalen) == 1 ? 0 : ERROR_TLS;
	if (!rv)
		rv = endpoint_new_cid(endpoint, connection, &scid, NULL);
	if (rv)
		goto fail;
	rv = tls_session_init(&connection->tls, &endpoint->tls, &connection->peer, protocol,
		get_conn, connection);
	if (rv)
		goto fail;
	set_defaults(&settings, &parameters);
	set_protocol(&parameters, connection_protocol(connection));
	settings.handshake_timeout = QUIC_DIAL_TIMEOUT;
	rv = ngtcp2_conn_client_new(&connection->conn, &dcid, &scid, path, NGTCP2_PROTO_VER_V1,
		&callbacks, &settings, &parameters, &connection_mem, connection);
	if (rv) {
		rv = from_liberr(rv);
		goto fail;
	}
	ngtcp2_conn_set_tls_native_handle(connection->conn, connection->tls.context);
	*out = connection;
	return 0;
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
	ngtcp2_cid scid;
	int rv;

	if (!connection)
		return ERROR_NOMEM;
	connection->incoming = true;
	/* Without a protocol's part, see connection_protocol_selected. */
	set_defaults(&settings, &parameters);
	settings.handshake_timeout = endpoint->handshake_timeout;
	parameters.original_dcid = original ? *original : header->dcid;
	parameters.original_dcid_present = 1;
	if (original) {
		/* So that the client knows that the Retry was ours (RFC 9000, 7.3). */
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
	/* The client's own choice leads here too, for as long as we know the connection: its
	 * first datagrams come again, late, and by way of our other addresses, and must not
	 * make further connections. */
	rv = cids_add(&endpoint->cids, &connection->cids, connection, header->dcid.data,
		header->dcid.datalen);
	if (!rv && original)
		rv = cids_add(&endpoint->cids, &connection->cids, connection, original->data,
			original->datalen);
	if (rv)
		goto fail;
	rv = tls_session_init(&connection->tls, &endpoint->tls, NULL, 0, get_conn, connection);
	if (rv)
		goto fail;
	rv = ngtcp2_conn_server_new(&connection->conn, &header->scid, &scid, path, header->version,
		&callbacks, &settings, &parameters, &connection_mem, connection);
	if (rv) {
		rv = from_liberr(rv);
		goto fail;
	}
	ngtcp2_conn_set_tls_native_handle(connection->conn, connection->tls.context);
	*out = connection;
	return 0;
fail:
	connection_free(connection);
	return rv;
}

/* --- Datagrams in --- */

/* The closing period (RFC 9000, 10.2.1): what still comes is answered with the close
 * packet again, ever more rarely. */
static void linger_read(struct quic_connection *connection)
{
	unsigned heard = ++connection->heard;

	if (connection->packet && (heard & (heard - 1)) == 0)
		(void)udp_send(&connection->path.path, 0, connection->packet,
			connection->packet_size, connection->packet_size);
}

void connection_read(struct quic_connection *connection, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size)
{
	ngtcp2_pkt_info info = {.ecn = ecn};
	int rv;

	if (connection->state == CONNECTION_LINGERING) {
		linger_read(connection);
		return;
	}
	if (connection->state == CONNECTION_ENDED)
		return;
	rv = ngtcp2_conn_read_pkt(connection->conn, path, &info, data, size, uv_hrtime());
	if (rv != 0)
		fail(connection, rv);
	endpoint_mark(connection->endpoint, connection);
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
			fail(connection, rv);
	}
	endpoint_mark(connection->endpoint, connection);
}

/* --- Datagrams out --- */

/* Fills one packet from the streams that are ready, in turns. */
static ngtcp2_ssize write_packet(ngtcp2_conn *conn, ngtcp2_path *path, ngtcp2_pkt_info *info,
	uint8_t *out, size_t capacity, ngtcp2_tstamp now, void *user_data)
{
	struct quic_connection *connection = user_data;

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

static void connection_write(struct quic_connection *connection)
{
	struct quic_endpoint *endpoint = connection->endpoint;
	uint64_t now = uv_hrtime();
	unsigned round;

	for (round = 0; round < QUIC_WRITE_ROUNDS; round++) {
		ngtcp2_path_storage path;
		ngtcp2_pkt_info info = {0};
		size_t segment = 0;
		ngtcp2_ssize n;

		ngtcp2_path_storage_zero(&path);
		n = ngtcp2_conn_write_aggregate_pkt2(connection->conn, &path.path, &info,
			endpoint->tx, sizeof endpoint->tx, &segment, write_packet, 0, now);
		if (n < 0) {
			fail(connection, (int)n);
			return;
		}
		if (n == 0)
			break;
		if (!udp_send(&path.path, info.ecn, endpoint->tx, (size_t)n, segment)) {
			round = QUIC_WRITE_ROUNDS;
			break;
		}
	}
	ngtcp2_conn_update_pkt_tx_time(connection->conn, now);
	timers_set(&endpoint->timers, &connection->timer, ngtcp2_conn_get_expiry(connection->conn));
	if (round >= QUIC_WRITE_ROUNDS)
		endpoint_mark(endpoint, connection); /* there may be more */
}

/* Sends CONNECTION_CLOSE. Returns the length of the packet, which is in endpoint->tx. */
static size_t write_close(struct quic_connection *connection)
{
	struct quic_endpoint *endpoint = connection->endpoint;
	const struct quic_close *close = &connection->close;
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
	(void)udp_send(&connection->path.path, info.ecn, endpoint->tx, (size_t)n, (size_t)n);
	return (size_t)n;
}

static void report(struct quic_connection *connection)
{
	const struct quic_callbacks *owner = callbacks_of(connection);
	struct quic_stream *stream, *next;

	DL_FOREACH_SAFE (connection->streams, stream, next)
		owner->stream_closed(context_of(connection), stream);
	owner->closed(context_of(connection), connection, &connection->close);
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
	return udp_address(ngtcp2_conn_get_path(connection->conn)->remote.addr);
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
