/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Answers that keep nothing: to packets of connections that we do not know, to other versions,
 * refusals, and Retries (RFC 9000, 8.1.2), by which an address proves that it is not a false one.
 * All of them are limited, for the sources may be false.
 */
#include <openssl/rand.h>

#include "../error.h"
#include "internal.h"

/* The size of a stateless reset, which looks like any short packet. Ours is always shorter than
 * what it answers, so that two endpoints that both know nothing fall silent (RFC 9000, 10.3.3). */
#define RESET_SIZE 38

bool rate_take(struct rate *rate)
{
	return allowance_take(&rate->allowance, uv_hrtime(), rate->interval, rate->at_once);
}

static bool may_answer(struct quic_endpoint *endpoint, struct rate *rate)
{
	if (rate_take(rate))
		return true;
	counters_add(endpoint->config.counters, COUNTER_LIMIT_STATELESS, 1);
	return false;
}

static void answer(const ngtcp2_path *path, const uint8_t *packet, ngtcp2_ssize size)
{
	if (size > 0)
		(void)path_send(path, 0, packet, (size_t)size, (size_t)size);
}

void stateless_version(
	struct quic_endpoint *endpoint, const ngtcp2_path *path, const ngtcp2_version_cid *ids)
{
	uint32_t versions[2] = {NGTCP2_RESERVED_VERSION_MASK, NGTCP2_PROTO_VER_V1};
	uint8_t packet[600], unused; /* ids may have 255 bytes each */

	if (!may_answer(endpoint, &endpoint->answers) || RAND_bytes(&unused, 1) != 1)
		return;
	answer(path, packet,
		ngtcp2_pkt_write_version_negotiation(packet, sizeof packet, unused, ids->scid,
			ids->scidlen, ids->dcid, ids->dcidlen, versions, 2));
}

int stateless_reset_token(const struct quic_endpoint *endpoint, const ngtcp2_cid *cid,
	uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN])
{
	return ngtcp2_crypto_generate_stateless_reset_token(
		       token, endpoint->reset_key, sizeof endpoint->reset_key, cid) == 0
		       ? 0
		       : ERROR_TLS;
}

void stateless_reset(
	struct quic_endpoint *endpoint, const ngtcp2_path *path, const uint8_t *dcid, size_t size)
{
	uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN], packet[RESET_SIZE], noise[RESET_SIZE];
	size_t length = size - 1 < RESET_SIZE ? size - 1 : RESET_SIZE;
	ngtcp2_cid cid;

	if (size <= QUIC_RESET_MIN_SIZE || !may_answer(endpoint, &endpoint->answers))
		return;
	ngtcp2_cid_init(&cid, dcid, QUIC_CID_SIZE);
	if (stateless_reset_token(endpoint, &cid, token) || RAND_bytes(noise, sizeof noise) != 1)
		return;
	answer(path, packet,
		ngtcp2_pkt_write_stateless_reset(
			packet, length, token, noise, length - sizeof token));
}

void stateless_close(struct quic_endpoint *endpoint, const ngtcp2_path *path,
	const ngtcp2_pkt_hd *header, uint64_t code)
{
	uint8_t packet[NGTCP2_MAX_UDP_PAYLOAD_SIZE];

	if (!may_answer(endpoint, &endpoint->answers))
		return;
	answer(path, packet,
		ngtcp2_crypto_write_connection_close(packet, sizeof packet, header->version,
			&header->scid, &header->dcid, code, NULL, 0));
}

void stateless_retry(
	struct quic_endpoint *endpoint, const ngtcp2_path *path, const ngtcp2_pkt_hd *header)
{
	uint8_t packet[NGTCP2_MAX_UDP_PAYLOAD_SIZE], token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN2];
	ngtcp2_cid scid = {.datalen = QUIC_CID_SIZE};
	ngtcp2_ssize size;

	if (!may_answer(endpoint, &endpoint->retries) || RAND_bytes(scid.data, QUIC_CID_SIZE) != 1)
		return;
	size = ngtcp2_crypto_generate_retry_token2(token, endpoint->token_key,
		sizeof endpoint->token_key, header->version, path->remote.addr,
		path->remote.addrlen, &scid, &header->dcid, uv_hrtime());
	if (size < 0)
		return;
	counters_add(endpoint->config.counters, COUNTER_RETRIES, 1);
	answer(path, packet,
		ngtcp2_crypto_write_retry(packet, sizeof packet, header->version, &header->scid,
			&scid, &header->dcid, token, (size_t)size));
}

static int verify(const struct quic_endpoint *endpoint, const ngtcp2_path *path,
	const ngtcp2_pkt_hd *header, uint64_t lifetime, ngtcp2_cid *original)
{
	return ngtcp2_crypto_verify_retry_token2(original, header->token, header->tokenlen,
		endpoint->token_key, sizeof endpoint->token_key, header->version, path->remote.addr,
		path->remote.addrlen, &header->dcid, lifetime, uv_hrtime());
}

enum token stateless_token(const struct quic_endpoint *endpoint, const ngtcp2_path *path,
	const ngtcp2_pkt_hd *header, ngtcp2_cid *original)
{
	/* We give out tokens in Retries only. Other tokens are from a server that had our address
	 * before us, and as good as none (RFC 9000, 8.1.3). */
	if (header->tokenlen == 0 || header->token[0] != NGTCP2_CRYPTO_TOKEN_MAGIC_RETRY2)
		return header->dcid.datalen < NGTCP2_MIN_INITIAL_DCIDLEN ? TOKEN_ELSEWHERE
									 : TOKEN_NONE;
	switch (verify(endpoint, path, header, endpoint->token_lifetime, original)) {
	case 0:
		return TOKEN_VALID;
	case NGTCP2_CRYPTO_ERR_UNREADABLE_TOKEN:
		return TOKEN_INVALID;
	case NGTCP2_CRYPTO_ERR_VERIFY_TOKEN:
		/* An iroh client sends copies of its Initial by all the paths that it knows, after
		 * a Retry too. A copy that comes from another address than the token was given to
		 * must not end the handshake that the right copy is about to begin. */
		return verify(endpoint, path, header, UINT64_MAX, original) == 0 ? TOKEN_INVALID
										 : TOKEN_ELSEWHERE;
	default:
		return TOKEN_ELSEWHERE; /* no memory */
	}
}
