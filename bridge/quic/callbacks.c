/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The callbacks of ngtcp2: arrived data goes to the owner, and ngtcp2 gets what it needs. */
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <string.h>
#include <utlist.h>

#include "../error.h"
#include "../memory.h"
#include "internal.h"

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

const struct quic_callbacks *connection_owner(const struct quic_connection *connection)
{
	return &connection_protocol(connection)->callbacks;
}

void *connection_context(const struct quic_connection *connection)
{
	return connection->endpoint->config.context;
}

ngtcp2_conn *connection_get_conn(ngtcp2_crypto_conn_ref *reference)
{
	struct quic_connection *connection = reference->user_data;

	return connection->conn;
}

static void on_rand(uint8_t *out, size_t size, const ngtcp2_rand_ctx *context)
{
	/* This callback cannot fail; secrets (ids, keys, path challenges) do not come from here. */
	if (RAND_bytes(out, (int)size) != 1)
		memset(out, 0, size);
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
	connection_settle(connection);
	/* Only now the peer has proven to hold the key. */
	if (tls_session_peer(&connection->tls, &peer)) {
		connection_refuse(
			connection, SSL_AD_BAD_CERTIFICATE, "peer has shown no Ed25519 key");
		return NGTCP2_ERR_CALLBACK_FAILURE;
	}
	connection->peer = peer;
	/* The node that the relay names was let in or not before the handshake. */
	if (connection->relayed && !id_equal(&connection->relayed->node, &peer)) {
		connection_refuse(connection, SSL_AD_BAD_CERTIFICATE,
			"peer is not the node that the relay names");
		return NGTCP2_ERR_CALLBACK_FAILURE;
	}
	if (!connection->protocol_place ||
		!tls_session_has_protocol(&connection->tls, &endpoint->tls, connection->protocol)) {
		connection_refuse(
			connection, SSL_AD_NO_APPLICATION_PROTOCOL, "peer has named no protocol");
		return NGTCP2_ERR_CALLBACK_FAILURE;
	}
	if (connection->incoming && protocol->callbacks.accept &&
		!protocol->callbacks.accept(context, &connection->peer)) {
		connection_refuse(connection, SSL_AD_ACCESS_DENIED, "refused: not let in");
		return NGTCP2_ERR_CALLBACK_FAILURE;
	}
	connection->kept = connection->incoming && protocol->callbacks.keep &&
			   protocol->callbacks.keep(context, &connection->peer);
	if (!endpoint_admit(endpoint, connection)) {
		struct closing close = {.code = NGTCP2_CONNECTION_REFUSED};

		ending_text(&close, "refused: limit of connections");
		connection_end(connection, &close, FAREWELL_TRANSPORT);
		return NGTCP2_ERR_CALLBACK_FAILURE;
	}
	quic_connection_set_stranger(connection, false);
	connection->state = CONNECTION_OPEN;
	vigil_start(connection, uv_hrtime());
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
	connection->data_read = true;
	if (stream && flags & NGTCP2_STREAM_DATA_FLAG_FIN)
		stream->ended = true;
	if (stream && !stream->stopped)
		return holding_data(stream, data, size, flags & NGTCP2_STREAM_DATA_FLAG_FIN) == 0
			       ? 0
			       : NGTCP2_ERR_CALLBACK_FAILURE;
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
	holding_end(stream);
	connection_owner(connection)->stream_closed(connection_context(connection), stream);
	/* No write is under way that could hold the stream: streams close while reading. */
	stream_free(stream);
	return 0;
}

/* Gives up our half of a bidirectional stream when the peer gives up what it sends. The peer will
 * not read to the end either, unless it resets because we have stopped it: the owner would wait
 * for the stream's end in vain. */
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

/* Tells the owner of more streams if it waits for them (*starved). */
static int tell_credit(struct quic_connection *connection, bool *starved)
{
	if (connection->state != CONNECTION_OPEN || !*starved)
		return 0;
	*starved = false;
	connection_owner(connection)->stream_credit(connection_context(connection), connection);
	return 0;
}

static int on_more_streams(ngtcp2_conn *conn, uint64_t max_streams, void *user_data)
{
	struct quic_connection *connection = user_data;

	return tell_credit(connection, &connection->starved);
}

static int on_more_bidi_streams(ngtcp2_conn *conn, uint64_t max_streams, void *user_data)
{
	struct quic_connection *connection = user_data;

	return tell_credit(connection, &connection->starved_bidi);
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

/* Keeps the peer's stateless reset tokens up to date. A stateless reset looks like any packet with
 * an id that we do not know, but for the token at its end. */
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

const ngtcp2_callbacks connection_callbacks = {
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
