/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Datagrams of a stranger to an endpoint: each input is a train of them, a length (two
 * bytes, big-endian) before each; what has no such length is one datagram. Half of them
 * come from a second address. The endpoint knows one connection that is being dialled,
 * so that ids lead somewhere. Load comes and goes: every third and fourth datagram finds
 * that an address has to prove itself by a Retry's token; the key of tokens is known and
 * they do not age, so that the corpus may have valid ones.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/error.h"
#include "bridge/quic/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_connection(void *context, struct quic_connection *connection)
{
}

static bool on_accept(void *context, const struct id *peer)
{
	return true;
}

static void on_closed(
	void *context, struct quic_connection *connection, const struct closing *close)
{
}

static void on_stream_data(
	void *context, struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
}

static void on_stream_closed(void *context, struct quic_stream *stream)
{
}

static void set_path(ngtcp2_path_storage *path, uint16_t port)
{
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_port = htons(2022)};
	struct sockaddr_in remote = {.sin_family = AF_INET, .sin_port = htons(port)};

	local.sin_addr.s_addr = remote.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ngtcp2_path_storage_init(path, (struct sockaddr *)&local, sizeof local,
		(struct sockaddr *)&remote, sizeof remote, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t secret[IDENTITY_SECRET_SIZE] = {1}, other[IDENTITY_SECRET_SIZE] = {2};
	static struct identity identity, peer;
	struct counters counters = {0};
	struct quic_endpoint *endpoint;
	struct quic_connection *dialled;
	ngtcp2_path_storage paths[2];
	uv_loop_t loop;
	size_t count = 0;
	const struct quic_protocol protocol = {
		.max_connections = 4,
		.max_streams = 8,
		.max_bidi_streams = 2,
		.idle_timeout = QUIC_IDLE_TIMEOUT,
		.keep_alive = true,
		.callbacks = {.connected = on_connection,
			.accept = on_accept,
			.closed = on_closed,
			.stream_data = on_stream_data,
			.stream_closed = on_stream_closed,
			.stream_credit = on_connection},
	};
	struct quic_config config = {
		.loop = &loop,
		.identity = &identity,
		.protocols_count = 2,
		.max_queue = 1000,
		.counters = &counters,
	};

	if (!identity.key &&
		(identity_from_secret(secret, &identity) || identity_from_secret(other, &peer)))
		abort();
	config.protocols[0] = config.protocols[1] = protocol;
	config.protocols[1].idle_timeout = 3 * NGTCP2_SECONDS;
	identity_alpn(PROTOCOL_GOSSIP, &identity_default_network, &config.protocols[0].alpn);
	identity_alpn(PROTOCOL_DISCOVERY, &identity_default_network, &config.protocols[1].alpn);
	if (uv_loop_init(&loop) || quic_endpoint_new(&config, &endpoint))
		abort();
	memset(endpoint->token_key, 7, sizeof endpoint->token_key);
	endpoint->token_lifetime = UINT64_MAX;
	set_path(&paths[0], 1);
	set_path(&paths[1], 2);
	if (connection_dial(endpoint, 1, &peer.id, &paths[0].path, &dialled))
		abort();
	endpoint_mark(endpoint, dialled);
	uv_run(&loop, UV_RUN_NOWAIT);
	while (size > 0 && count < 64) {
		size_t length = size;

		if (size > 2 && ((size_t)data[0] << 8 | data[1]) <= size - 2) {
			length = (size_t)data[0] << 8 | data[1];
			data += 2;
			size -= 2;
		}
		endpoint->max_unproven = count & 2 ? 0 : QUIC_MAX_UNPROVEN;
		endpoint_receive(endpoint, &paths[count++ % 2].path, 0, data, length);
		uv_run(&loop, UV_RUN_NOWAIT);
		data += length;
		size -= length;
	}
	quic_endpoint_close(endpoint, NULL, NULL);
	uv_run(&loop, UV_RUN_DEFAULT);
	if (uv_loop_close(&loop))
		abort();
	return 0;
}
