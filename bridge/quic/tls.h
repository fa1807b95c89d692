/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * TLS 1.3 as iroh uses it below QUIC: raw public keys (RFC 7250) both ways, Ed25519 only, one ALPN
 * per protocol, no tickets (a resumed session would skip the verification).
 *
 * The order of the calls and what must not be left out come from runs against iroh 0.98 and 1.4;
 * the comments in tls.c say which.
 */
#ifndef BRIDGE_QUIC_TLS_H
#define BRIDGE_QUIC_TLS_H

#include <ngtcp2/ngtcp2_crypto.h>
#include <ngtcp2/ngtcp2_crypto_ossl.h>
#include <openssl/types.h>
#include <stdbool.h>

#include "../id.h"
#include "../identity.h"
#include "quic.h"

struct tls {
	SSL_CTX *client, *server;
	uint8_t protocols[QUIC_PROTOCOLS][1 + ID_SIZE]; /* our ALPNs, each after its length */
	size_t protocols_count;
	/* Called when the client of a server's session has named this protocol, before the server
	 * says anything, its transport parameters included. false: the handshake fails. */
	bool (*selected)(void *user_data, size_t protocol);
	struct trace *trace; /* NULL: none */
};

/* The TLS of one connection. Must not move: OpenSSL holds its address. */
struct tls_session {
	ngtcp2_crypto_conn_ref reference; /* the first field: what SSL_get_app_data returns */
	ngtcp2_crypto_ossl_ctx *context;  /* ngtcp2's native handle */
	const struct id *expected;	  /* the node that was dialled; NULL: anybody */
	bool wrong_peer;		  /* verification met another key than expected's */
	bool own_key;			  /* and that key was ours */
};

/* Makes the contexts of client and server. tls must not move. ERROR_TLS. */
int tls_init(struct tls *tls, const struct quic_config *config,
	bool (*selected)(void *user_data, size_t protocol));
void tls_clear(struct tls *tls);

/* Prepares a client's session, with the protocol, when expected is given, else a server's.
 * get_conn and user_data are for ngtcp2's crypto helper, user_data for selected too. ERROR_TLS,
 * ERROR_NOMEM. */
int tls_session_init(struct tls_session *session, const struct tls *tls, const struct id *expected,
	size_t protocol, ngtcp2_crypto_get_conn get_conn, void *user_data);

/* Ends all callbacks, so that the ngtcp2 connection can go; tls_session_clear is to follow. */
void tls_session_detach(struct tls_session *session);
void tls_session_clear(struct tls_session *session);

/* Returns the key that the peer has proven to hold, after the handshake. ERROR_TLS. */
int tls_session_peer(const struct tls_session *session, struct id *peer);
/* Tells whether this protocol was agreed on: OpenSSL lets a client without ALPN through. */
bool tls_session_has_protocol(
	const struct tls_session *session, const struct tls *tls, size_t protocol);

#endif
