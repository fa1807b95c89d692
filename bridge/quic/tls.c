/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>
#include <string.h>

#include "../error.h"
#include "trace.h"

static pthread_once_t crypto_once = PTHREAD_ONCE_INIT;
static int crypto_result;

static void crypto_init(void)
{
	crypto_result = ngtcp2_crypto_ossl_init();
}

static int key_id(EVP_PKEY *key, struct id *id)
{
	size_t size = sizeof id->bytes;

	if (!key || EVP_PKEY_get_id(key) != EVP_PKEY_ED25519 ||
		EVP_PKEY_get_raw_public_key(key, id->bytes, &size) != 1 || size != sizeof id->bytes)
		return ERROR_TLS;
	return ERROR_NONE;
}

/* Checks the key that the peer has shown. The peer has not yet proven to hold the key: only what
 * can be said of the key itself is checked here. */
static int verify(X509_STORE_CTX *store, void *argument)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_session *session = SSL_get_app_data(ssl);
	struct id id, own;
	bool has_id = key_id(X509_STORE_CTX_get0_rpk(store), &id) == 0;

	if (session && has_id && (!session->expected || id_equal(session->expected, &id)))
		return 1;
	if (session && session->expected) {
		session->wrong_peer = true;
		session->own_key =
			has_id && key_id(SSL_get_privatekey(ssl), &own) == 0 && id_equal(&id, &own);
	}
	X509_STORE_CTX_set_error(store, X509_V_ERR_RPK_UNTRUSTED);
	return 0;
}

static int select_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
	const unsigned char *offered, unsigned offered_size, void *argument)
{
	const struct tls *tls = argument;
	const struct tls_session *session = SSL_get_app_data(ssl);
	size_t at = 0;

	while (at < offered_size) {
		size_t size = offered[at], i;

		if (size > offered_size - at - 1)
			break;
		for (i = 0; size == ID_SIZE && i < tls->protocols_count; i++) {
			if (memcmp(offered + at, tls->protocols[i], 1 + ID_SIZE) != 0)
				continue;
			if (!session || !tls->selected(session->reference.user_data, i))
				return SSL_TLSEXT_ERR_ALERT_FATAL;
			*out = offered + at + 1;
			*out_size = ID_SIZE;
			return SSL_TLSEXT_ERR_OK;
		}
		at += 1 + size;
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL; /* alert 120, no_application_protocol */
}

static void on_key(const SSL *ssl, const char *line)
{
	const struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

	trace_key(tls->trace, line);
}

static void log_keys(struct tls *tls, SSL_CTX *context)
{
	SSL_CTX_set_app_data(context, tls);
	SSL_CTX_set_keylog_callback(context, on_key);
}

static SSL_CTX *context_new(const struct identity *identity, const SSL_METHOD *method)
{
	static const unsigned char raw_public_key[] = {TLSEXT_cert_type_rpk};
	SSL_CTX *context = SSL_CTX_new(method);

	if (!context)
		return NULL;
	/* A system's policy for other certificates does not suit iroh's keys, which are of one
	 * kind: Ed25519 has 128 bits, level 3 at most. */
	SSL_CTX_set_security_level(context, 3);
	/* X25519 first: the ClientHello has to carry its share, for iroh answers a
	 * HelloRetryRequest with "No ALPN available". No larger share beside it: the
	 * ClientHello is to fit one datagram. */
	if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
						  "TLS_CHACHA20_POLY1305_SHA256") != 1 ||
		SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") != 1 ||
		SSL_CTX_set1_sigalgs_list(context, "ed25519") != 1 ||
		SSL_CTX_set1_client_sigalgs_list(context, "ed25519") != 1 ||
		SSL_CTX_use_PrivateKey(context, identity->key) != 1 ||
		SSL_CTX_set1_client_cert_type(context, raw_public_key, sizeof raw_public_key) !=
			1 ||
		SSL_CTX_set1_server_cert_type(context, raw_public_key, sizeof raw_public_key) !=
			1) {
		SSL_CTX_free(context);
		return NULL;
	}
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(context, verify, NULL);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	return context;
}

int tls_init(struct tls *tls, const struct quic_config *config,
	bool (*selected)(void *user_data, size_t protocol))
{
	const struct identity *identity = config->identity;

	pthread_once(&crypto_once, crypto_init);
	for (size_t i = 0; i < config->protocols_count; i++) {
		tls->protocols[i][0] = ID_SIZE;
		memcpy(tls->protocols[i] + 1, config->protocols[i].alpn.bytes, ID_SIZE);
	}
	tls->protocols_count = config->protocols_count;
	tls->selected = selected;
	tls->client = crypto_result == 0 ? context_new(identity, TLS_client_method()) : NULL;
	tls->server = crypto_result == 0 ? context_new(identity, TLS_server_method()) : NULL;
	if (!tls->client || !tls->server || SSL_CTX_set_num_tickets(tls->server, 0) != 1) {
		tls_clear(tls);
		return ERROR_TLS;
	}
	tls->trace = config->trace;
	if (trace_has_keys(tls->trace)) {
		log_keys(tls, tls->client);
		log_keys(tls, tls->server);
	}
	SSL_CTX_set_options(tls->server, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_alpn_select_cb(tls->server, select_protocol, tls);
	return ERROR_NONE;
}

void tls_clear(struct tls *tls)
{
	SSL_CTX_free(tls->client);
	SSL_CTX_free(tls->server);
	tls->client = tls->server = NULL;
	ERR_clear_error();
}

int tls_session_init(struct tls_session *session, const struct tls *tls, const struct id *expected,
	size_t protocol, ngtcp2_crypto_get_conn get_conn, void *user_data)
{
	SSL *ssl = SSL_new(expected ? tls->client : tls->server);
	char sni[IDENTITY_SNI_SIZE];
	int rv;

	*session = (struct tls_session){0};
	if (!ssl) {
		ERR_clear_error();
		return ERROR_NOMEM;
	}
	if (ngtcp2_crypto_ossl_ctx_new(&session->context, NULL) != 0) {
		SSL_free(ssl);
		return ERROR_NOMEM;
	}
	ngtcp2_crypto_ossl_ctx_set_ssl(session->context, ssl);
	session->reference.get_conn = get_conn;
	session->reference.user_data = user_data;
	session->expected = expected;
	rv = expected ? ngtcp2_crypto_ossl_configure_client_session(ssl)
		      : ngtcp2_crypto_ossl_configure_server_session(ssl);
	SSL_set_app_data(ssl, session);
	if (rv != 0)
		goto fail;
	if (!expected) {
		SSL_set_accept_state(ssl);
		return ERROR_NONE;
	}
	SSL_set_connect_state(ssl);
	identity_sni(expected, sni);
	/* SSL_set_alpn_protos is the one that returns 0 on success. */
	if (SSL_set_tlsext_host_name(ssl, sni) != 1 ||
		SSL_set_alpn_protos(
			ssl, tls->protocols[protocol], sizeof tls->protocols[protocol]) != 0)
		goto fail;
	return ERROR_NONE;
fail:
	ERR_clear_error();
	tls_session_detach(session);
	tls_session_clear(session);
	return ERROR_TLS;
}

void tls_session_detach(struct tls_session *session)
{
	if (session->context)
		SSL_set_app_data(ngtcp2_crypto_ossl_ctx_get_ssl(session->context), NULL);
}

void tls_session_clear(struct tls_session *session)
{
	SSL *ssl;

	if (!session->context)
		return;
	ssl = ngtcp2_crypto_ossl_ctx_get_ssl(session->context);
	ngtcp2_crypto_ossl_ctx_del(session->context);
	SSL_free(ssl);
	session->context = NULL;
	ERR_clear_error();
}

int tls_session_peer(const struct tls_session *session, struct id *peer)
{
	return key_id(SSL_get0_peer_rpk(ngtcp2_crypto_ossl_ctx_get_ssl(session->context)), peer);
}

bool tls_session_has_protocol(
	const struct tls_session *session, const struct tls *tls, size_t protocol)
{
	const unsigned char *alpn;
	unsigned size;

	SSL_get0_alpn_selected(ngtcp2_crypto_ossl_ctx_get_ssl(session->context), &alpn, &size);
	return size == ID_SIZE && memcmp(alpn, tls->protocols[protocol] + 1, ID_SIZE) == 0;
}
