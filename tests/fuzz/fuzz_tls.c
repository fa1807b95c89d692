/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A client's handshake with our server, without QUIC below it. The first byte says what follows:
 *
 *   bit 0      the list of protocols that a client offers, which is ours otherwise; else records
 *              as they come from the network
 *   bit 1      the protocol that was named is refused
 *   bit 2      the client has dialled another node
 */
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/quic/tls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OFFER = 1, REFUSE = 2, ANOTHER = 4 };

static struct tls tls;
static struct identity identity;
static const struct id another = {{1}};

struct side {
	struct tls_session session;
	SSL *ssl;
	bool done;
};

struct choice {
	bool refuses, was_asked;
	size_t protocol;
};

static void require(bool condition)
{
	if (!condition)
		abort();
}

static bool on_selected(void *user_data, size_t protocol)
{
	struct choice *choice = user_data;

	require(protocol < 2);
	choice->was_asked = true;
	choice->protocol = protocol;
	return !choice->refuses;
}

static void set_up(void)
{
	static const uint8_t secret[IDENTITY_SECRET_SIZE] = {1};
	struct quic_config config = {.identity = &identity, .protocols_count = 2};

	if (tls.server)
		return;
	identity_alpn(PROTOCOL_GOSSIP, &identity_default_network, &config.protocols[0].alpn);
	identity_alpn(PROTOCOL_DISCOVERY, &identity_default_network, &config.protocols[1].alpn);
	require(identity_from_secret(secret, &identity) == 0);
	require(tls_init(&tls, &config, on_selected) == 0);
}

static void begin(struct side *side, SSL_CTX *context, const struct id *expected, void *user_data)
{
	*side = (struct side){.ssl = SSL_new(context)};
	require(side->ssl && ngtcp2_crypto_ossl_ctx_new(&side->session.context, side->ssl) == 0);
	side->session.expected = expected;
	side->session.reference.user_data = user_data;
	SSL_set_app_data(side->ssl, &side->session);
	SSL_set_bio(side->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
}

static void end(struct side *side)
{
	ngtcp2_crypto_ossl_ctx_del(side->session.context);
	SSL_free(side->ssl);
}

static void step(struct side *side)
{
	side->done = SSL_do_handshake(side->ssl) == 1;
}

static void pass(const struct side *from, const struct side *to)
{
	char *bytes;
	long size = BIO_get_mem_data(SSL_get_wbio(from->ssl), &bytes);

	require(size == 0 || BIO_write(SSL_get_rbio(to->ssl), bytes, (int)size) == size);
	(void)BIO_reset(SSL_get_wbio(from->ssl));
}

/* The first one of ours in a list that OpenSSL takes; 2: none. */
static size_t first_of(const uint8_t *list, size_t size)
{
	for (size_t at = 0; at < size; at += 1 + list[at])
		for (size_t i = 0; i < 2; i++)
			if (memcmp(list + at, tls.protocols[i],
				    list[at] == ID_SIZE ? 1 + ID_SIZE : 1) == 0 &&
				list[at] == ID_SIZE)
				return i;
	return 2;
}

static void offer(uint8_t mode, const uint8_t *list, size_t size)
{
	struct choice choice = {.refuses = mode & REFUSE};
	struct side client, server;
	size_t wanted;
	bool well;
	struct id peer;

	begin(&client, tls.client, mode & ANOTHER ? &another : &identity.id, NULL);
	begin(&server, tls.server, NULL, &choice);
	SSL_set_connect_state(client.ssl);
	SSL_set_accept_state(server.ssl);
	if (size > 0 && SSL_set_alpn_protos(client.ssl, list, (unsigned)size) != 0)
		goto out;
	for (unsigned i = 0; i < 3; i++) {
		step(&client);
		pass(&client, &server);
		step(&server);
		pass(&server, &client);
	}
	wanted = first_of(list, size);
	require(choice.was_asked == (wanted < 2));
	require(wanted == 2 || choice.protocol == wanted);
	/* Who names none is let in by OpenSSL: tls_session_has_protocol is for that. */
	well = (size == 0 || (wanted < 2 && !choice.refuses)) && !(mode & ANOTHER);
	require(client.done >= well && server.done == well);
	if (well) {
		require(tls_session_peer(&server.session, &peer) == 0);
		require(id_equal(&peer, &identity.id));
		for (size_t i = 0; i < 2; i++)
			require(tls_session_has_protocol(&server.session, &tls, i) ==
				(i == wanted));
	}
	require(client.session.wrong_peer == client.session.own_key);
	require(well || size == 0 || wanted == 2 || choice.refuses || client.session.wrong_peer);
out:
	end(&client);
	end(&server);
}

static void receive(uint8_t mode, const uint8_t *records, size_t size)
{
	struct choice choice = {.refuses = mode & REFUSE};
	struct side server;

	begin(&server, tls.server, NULL, &choice);
	SSL_set_accept_state(server.ssl);
	require(BIO_write(SSL_get_rbio(server.ssl), records, (int)size) == (int)size);
	step(&server);
	require(!server.done); /* without the client's key */
	if (choice.was_asked)
		require(memmem(records, size, tls.protocols[choice.protocol], 1 + ID_SIZE));
	end(&server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	set_up();
	((data[0] & OFFER) ? offer : receive)(data[0], data + 1, size - 1);
	return 0;
}
