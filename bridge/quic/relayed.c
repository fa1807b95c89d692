/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "relayed.h"

#include <blake3.h>
#include <netinet/in.h>
#include <string.h>

#include "../memory.h"
#include "../sockaddr.h"
#include "internal.h"

static bool send_relayed(struct sender *sender, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size, size_t segment)
{
	struct relayed *relayed = (struct relayed *)sender;
	const struct quic_config *config = &relayed->endpoint->config;

	/* Datagrams that the relay's queue does not take are lost, as they would be on the way. */
	config->relay_send(config->context, &relayed->relay, &relayed->node, data, size, segment);
	return true;
}

static void invent(ngtcp2_sockaddr_union *out, const uint8_t *host, size_t size)
{
	memset(out, 0, sizeof *out);
	out->in6.sin6_family = AF_INET6;
	out->in6.sin6_addr.s6_addr[0] = 0xfd;
	memcpy(&out->in6.sin6_addr.s6_addr[1], host, size);
}

void relayed_init(struct relayed *relayed, struct quic_endpoint *endpoint,
	const struct address *relay, const struct id *node)
{
	static const uint8_t here[15] = {[14] = 1};
	uint8_t hash[sizeof here];
	blake3_hasher hasher;

	relayed->sender = (struct sender){send_relayed, true};
	relayed->endpoint = endpoint;
	relayed->relay = *relay;
	relayed->node = *node;
	blake3_hasher_init_keyed(&hasher, endpoint->relay_key);
	blake3_hasher_update(&hasher, relay->ip, sizeof relay->ip);
	blake3_hasher_update(&hasher, node, sizeof *node);
	blake3_hasher_finalize(&hasher, hash, sizeof hash);
	invent(&relayed->local, here, sizeof here);
	invent(&relayed->remote, hash, sizeof hash);
}

ngtcp2_path relayed_path(struct relayed *relayed)
{
	return (ngtcp2_path){
		.local = {&relayed->local.sa, sizeof relayed->local.in6},
		.remote = {&relayed->remote.sa, sizeof relayed->remote.in6},
		.user_data = &relayed->sender,
	};
}

struct relayed *relayed_of(const ngtcp2_path *path)
{
	return path->user_data;
}

struct relayed *relayed_copy(const struct relayed *relayed)
{
	struct relayed *copy = memory_alloc(sizeof *copy);

	if (copy)
		*copy = *relayed;
	return copy;
}

bool relayed_equal(const struct relayed *a, const struct relayed *b)
{
	return id_equal(&a->node, &b->node) && address_compare(&a->relay, &b->relay) == 0;
}

struct address path_remote(const ngtcp2_path *path)
{
	return path_is_relayed(path) ? relayed_of(path)->relay
				     : sockaddr_address(path->remote.addr);
}
