/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>
#include <utlist.h>

#include "../error.h"
#include "../memory.h"
#include "internal.h"

/* A stateless reset of 38 bytes looks like any short packet; the shortest that can be
 * one has 21 (RFC 9000, 10.3). Ours is always shorter than what it answers, so that two
 * endpoints that both know nothing fall silent. */
#define RESET_SIZE     38
#define RESET_MIN_SIZE 21

static void arm_timer(struct quic_endpoint *endpoint);
static void on_turn(uv_idle_t *handle);

/* --- Datagrams without a connection --- */

static bool may_answer(struct quic_endpoint *endpoint)
{
	uint64_t second = uv_hrtime() / NGTCP2_SECONDS;

	if (endpoint->stateless_second != second) {
		endpoint->stateless_second = second;
		endpoint->stateless_count = 0;
	}
	return endpoint->stateless_count++ < QUIC_STATELESS_PER_SECOND;
}

static void answer(const ngtcp2_path *path, const uint8_t *packet, ngtcp2_ssize size)
{
	if (size > 0)
		(void)udp_send(path, 0, packet, (size_t)size, (size_t)size);
}

static void negotiate_version(
	struct quic_endpoint *endpoint, const ngtcp2_path *path, const ngtcp2_version_cid *ids)
{
	uint32_t versions[2] = {NGTCP2_RESERVED_VERSION_MASK, NGTCP2_PROTO_VER_V1};
	uint8_t packet[600], unused; /* ids may have 255 bytes each */

	if (!may_answer(endpoint) || RAND_bytes(&unused, 1) != 1)
		return;
	answer(path, packet,
		ngtcp2_pkt_write_version_negotiation(packet, sizeof packet, unused, ids->scid,
			ids->scidlen, ids->dcid, ids->dcidlen, versions, 2));
}

static int reset_token(const struct quic_endpoint *endpoint, const ngtcp2_cid *cid,
	uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN])
{
	return ngtcp2_crypto_generate_stateless_reset_token(
		       token, endpoint->reset_key, sizeof endpoint->reset_key, cid) == 0
		       ? 0
		       : ERROR_TLS;
}

/* A packet of a connection that we do not know (any more: we were restarted). */
static void send_reset(
	struct quic_endpoint *endpoint, const ngtcp2_path *path, const uint8_t *dcid, size_t size)
{
	uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN], packet[RESET_SIZE], noise[RESET_SIZE];
	size_t length = size - 1 < RESET_SIZE ? size - 1 : RESET_SIZE;
	ngtcp2_cid cid;

	if (size <= RESET_MIN_SIZE || !may_answer(endpoint))
		return;
	ngtcp2_cid_init(&cid, dcid, QUIC_CID_SIZE);
	if (reset_token(endpoint, &cid, token) || RAND_bytes(noise, sizeof noise) != 1)
		return;
	answer(path, packet,
		ngtcp2_pkt_write_stateless_reset(
			packet, length, token, noise, length - sizeof token));
}

static void refuse_connection(
	struct quic_endpoint *endpoint, const ngtcp2_path *path, const ngtcp2_pkt_hd *header)
{
	uint8_t packet[NGTCP2_MAX_UDP_PAYLOAD_SIZE];

	counters_add(endpoint->config.counters, COUNTER_LIMIT_CONNECTIONS, 1);
	if (!may_answer(endpoint))
		return;
	answer(path, packet,
		ngtcp2_crypto_write_connection_close(packet, sizeof packet, header->version,
			&header->scid, &header->dcid, NGTCP2_CONNECTION_REFUSED, NULL, 0));
}

/* The first packet of a connection. Here is the place for asking an address to prove
 * itself by a Retry before anything is kept for it. */
static void accept_initial(struct quic_endpoint *endpoint, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size)
{
	struct quic_connection *connection;
	ngtcp2_pkt_hd header;

	if (endpoint->closing || ngtcp2_accept(&header, data, size) != 0)
		return;
	if (endpoint->count >= endpoint->config.max_connections) {
		refuse_connection(endpoint, path, &header);
		return;
	}
	if (connection_accept(endpoint, path, &header, &connection))
		return;
	connection_read(connection, path, ecn, data, size);
	/* Not a handshake at all: nobody needs to hear of it. */
	if (connection->state == CONNECTION_ENDED && connection->farewell == FAREWELL_NONE)
		connection_free(connection);
}

void endpoint_receive(struct quic_endpoint *endpoint, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size)
{
	struct quic_connection *connection;
	ngtcp2_version_cid ids;
	int rv;

	if (size == 0)
		return;
	rv = ngtcp2_pkt_decode_version_cid(&ids, data, size, QUIC_CID_SIZE);
	if (rv == NGTCP2_ERR_VERSION_NEGOTIATION) {
		negotiate_version(endpoint, path, &ids);
		return;
	}
	if (rv != 0)
		return;
	connection = cids_find(&endpoint->cids, ids.dcid, ids.dcidlen);
	if (!connection && !(data[0] & 0x80) && size >= RESET_MIN_SIZE)
		connection =
			cids_find(&endpoint->tokens, data + size - NGTCP2_STATELESS_RESET_TOKENLEN,
				NGTCP2_STATELESS_RESET_TOKENLEN);
	if (connection)
		connection_read(connection, path, ecn, data, size);
	else if (data[0] & 0x80)
		accept_initial(endpoint, path, ecn, data, size);
	else
		send_reset(endpoint, path, ids.dcid, size);
}

static void on_datagram(
	void *context, const ngtcp2_path *path, uint8_t ecn, const uint8_t *data, size_t size)
{
	endpoint_receive(context, path, ecn, data, size);
}

/* --- Connection ids --- */

int endpoint_new_cid(struct quic_endpoint *endpoint, struct quic_connection *connection,
	ngtcp2_cid *cid, uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN])
{
	cid->datalen = QUIC_CID_SIZE;
	if (RAND_bytes(cid->data, QUIC_CID_SIZE) != 1)
		return ERROR_TLS;
	if (token) {
		int rv = reset_token(endpoint, cid, token);

		if (rv)
			return rv;
	}
	return cids_add(&endpoint->cids, &connection->cids, connection, cid->data, cid->datalen);
}

/* --- The turn --- */

void endpoint_mark(struct quic_endpoint *endpoint, struct quic_connection *connection)
{
	if (connection->dirty)
		return;
	connection->dirty = true;
	DL_APPEND2(endpoint->dirty, connection, dirty_prev, dirty_next);
	uv_idle_start(&endpoint->turn, on_turn);
}

static void free_endpoint(struct quic_endpoint *endpoint)
{
	udp_clear(&endpoint->udp);
	timers_clear(&endpoint->timers);
	tls_clear(&endpoint->tls);
	OPENSSL_cleanse(endpoint->reset_key, sizeof endpoint->reset_key);
	memory_free(endpoint);
}

static void handle_closed(struct quic_endpoint *endpoint)
{
	void (*done)(void *) = endpoint->done;
	void *context = endpoint->done_context;

	if (--endpoint->handles > 0)
		return;
	free_endpoint(endpoint);
	if (done)
		done(context);
}

static void on_socket_closed(void *context)
{
	handle_closed(context);
}

static void on_handle_closed(uv_handle_t *handle)
{
	handle_closed(handle->data);
}

/* All connections are reported: nothing is left but handles. */
static void shut(struct quic_endpoint *endpoint)
{
	while (endpoint->lingering)
		connection_free(endpoint->lingering);
	endpoint->handles = 2 + udp_close(&endpoint->udp);
	uv_close((uv_handle_t *)&endpoint->timer, on_handle_closed);
	uv_close((uv_handle_t *)&endpoint->turn, on_handle_closed);
}

static void end_all(struct quic_endpoint *endpoint)
{
	struct quic_close close = {.application = true, .text = "closed by us: shutting down"};
	struct quic_connection *connection;

	DL_FOREACH(endpoint->connections, connection)
	connection_end(connection, &close, FAREWELL_APPLICATION);
}

static void on_turn(uv_idle_t *handle)
{
	struct quic_endpoint *endpoint = handle->data;
	struct quic_connection *connection, *last = NULL;
	bool patient = !endpoint->closing || uv_hrtime() < endpoint->close_deadline;

	if (endpoint->closing)
		end_all(endpoint);
	/* Those that are marked meanwhile come after last: next turn, after the sockets were
	 * looked at. A blocked socket pauses all; on_writable goes on. */
	if (endpoint->dirty)
		last = endpoint->dirty->dirty_prev;
	while (last && !(endpoint->udp.blocked && patient)) {
		connection = endpoint->dirty;
		DL_DELETE2(endpoint->dirty, connection, dirty_prev, dirty_next);
		connection->dirty = false;
		if (connection == last)
			last = NULL;
		connection_turn(connection);
	}
	if (endpoint->closing && !endpoint->connections) {
		shut(endpoint);
		return;
	}
	if (endpoint->udp.blocked || (!endpoint->dirty && !endpoint->closing))
		uv_idle_stop(handle);
	arm_timer(endpoint);
}

static void on_writable(void *context)
{
	struct quic_endpoint *endpoint = context;

	uv_idle_start(&endpoint->turn, on_turn);
}

static void on_timer(uv_timer_t *handle)
{
	struct quic_endpoint *endpoint = handle->data;
	uint64_t now = uv_hrtime();
	struct timer *timer;

	while ((timer = timers_first(&endpoint->timers)) && timer->at <= now)
		connection_expire(
			(struct quic_connection *)((char *)timer -
						   offsetof(struct quic_connection, timer)),
			now);
	if (endpoint->closing)
		uv_idle_start(&endpoint->turn, on_turn);
	arm_timer(endpoint);
}

/* libuv counts in milliseconds; never too early, or the loop would spin. */
static void arm_timer(struct quic_endpoint *endpoint)
{
	struct timer *timer = timers_first(&endpoint->timers);
	uint64_t at = timer ? timer->at : TIMER_NEVER, now = uv_hrtime();

	if (endpoint->closing && endpoint->close_deadline < at)
		at = endpoint->close_deadline;
	if (at == TIMER_NEVER)
		uv_timer_stop(&endpoint->timer);
	else
		uv_timer_start(&endpoint->timer, on_timer,
			at > now ? (at - now + NGTCP2_MILLISECONDS - 1) / NGTCP2_MILLISECONDS : 0,
			0);
}

/* --- quic.h --- */

int quic_endpoint_new(const struct quic_config *config, struct quic_endpoint **out)
{
	struct quic_endpoint *endpoint = memory_zalloc(sizeof *endpoint);
	struct random random = random_system();
	int rv;

	*out = NULL;
	if (!endpoint)
		return ERROR_NOMEM;
	endpoint->config = *config;
	endpoint->cids.keyed = endpoint->tokens.keyed = &endpoint->keyed;
	keyed_init(&endpoint->keyed, &random);
	endpoint->udp = (struct udp){.loop = config->loop,
		.receive = on_datagram,
		.writable = on_writable,
		.closed = on_socket_closed,
		.context = endpoint};
	rv = udp_init(&endpoint->udp);
	/* From the identity, so that it is the same after a restart: the peers' packets to
	 * connections of before are answered with resets that they believe. */
	if (!rv)
		rv = identity_derive(config->identity,
			"mosquitto-p2panda 2026 QUIC stateless reset", endpoint->reset_key,
			sizeof endpoint->reset_key);
	if (!rv)
		rv = tls_init(&endpoint->tls, config->identity, &config->alpn);
	if (rv) {
		free_endpoint(endpoint);
		return rv;
	}
	uv_timer_init(config->loop, &endpoint->timer);
	uv_idle_init(config->loop, &endpoint->turn);
	endpoint->timer.data = endpoint->turn.data = endpoint;
	*out = endpoint;
	return 0;
}

int quic_endpoint_bind(
	struct quic_endpoint *endpoint, const struct address *address, struct address *bound)
{
	return udp_open(&endpoint->udp, address, bound);
}

void quic_endpoint_close(struct quic_endpoint *endpoint, void (*done)(void *context), void *context)
{
	if (endpoint->closing)
		return;
	endpoint->closing = true;
	endpoint->close_deadline = uv_hrtime() + QUIC_CLOSE_PATIENCE;
	endpoint->done = done;
	endpoint->done_context = context;
	uv_idle_start(&endpoint->turn, on_turn);
}

int quic_connect(struct quic_endpoint *endpoint, const struct id *peer,
	const struct address *address, struct quic_connection **out)
{
	ngtcp2_path_storage path;
	int rv;

	*out = NULL;
	if (endpoint->closing)
		return ERROR_CLOSED;
	if (endpoint->count >= endpoint->config.max_connections) {
		counters_add(endpoint->config.counters, COUNTER_LIMIT_CONNECTIONS, 1);
		return ERROR_LIMIT;
	}
	rv = udp_route(&endpoint->udp, address, &path);
	if (!rv)
		rv = connection_dial(endpoint, peer, &path.path, out);
	if (!rv)
		endpoint_mark(endpoint, *out);
	return rv;
}
