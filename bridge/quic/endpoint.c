/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <errno.h>
#include <ifaddrs.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>
#include <utlist.h>

#include "../error.h"
#include "../limits.h"
#include "../memory.h"
#include "../sockaddr.h"
#include "internal.h"

static void arm_timer(struct quic_endpoint *endpoint);
static void on_idle(uv_idle_t *handle);

/* --- Datagrams in --- */

/*
 * Places for connections. Until a client has named its protocol only the bound of all connections
 * together counts; then the connection needs one of its protocol's places too. A place is free, or
 * becomes so at the next turn. First a handshake with an unproven address gives way, the oldest
 * first, for a real one would be over by then; then a connection that the owner has no use for, or
 * a handshake that takes long, of which anybody can have as many as they have keys.
 *
 * Once its key is proven an incoming connection has to be within what is not reserved and within
 * the bound of its address. A connection that exceeds this bound displaces a stranger of the same
 * address.
 */

static void note_crowded(struct quic_endpoint *endpoint, const struct address *source)
{
	counters_add(endpoint->config.counters, COUNTER_LIMIT_CONNECTIONS, 1);
	if (endpoint->config.crowded && source->family)
		endpoint->config.crowded(endpoint->config.context, source);
}

static bool make_room(struct quic_endpoint *endpoint, const struct address *source)
{
	struct quic_connection *victim = endpoint->unproven;

	if (endpoint->places < endpoint->max_connections)
		return true;
	note_crowded(endpoint, source);
	if (!victim)
		victim = endpoint->strangers;
	if (!victim)
		return false;
	connection_displace(victim);
	return true;
}

/* Makes room for one more connection of a protocol; another one gives way if need be. except: the
 * connection that is to get the place. false: no other can give way. */
static bool make_room_of(struct quic_endpoint *endpoint, size_t protocol,
	const struct quic_connection *except, const struct address *source)
{
	struct quic_connection *other;

	if (endpoint->protocol_places[protocol] <
		endpoint->config.protocols[protocol].max_connections)
		return true;
	note_crowded(endpoint, source);
	DL_FOREACH2 (endpoint->unproven, other, unproven_next)
		if (other != except && other->protocol_place && other->protocol == protocol) {
			connection_displace(other);
			return true;
		}
	DL_FOREACH2 (endpoint->strangers, other, strangers_next)
		if (other != except && other->protocol_place && other->protocol == protocol) {
			connection_displace(other);
			return true;
		}
	return false;
}

static bool is_counted(const struct quic_connection *other, size_t protocol)
{
	return other->incoming && other->state == CONNECTION_OPEN && !other->kept &&
	       other->protocol == protocol;
}

/* Ends an open stranger of the protocol; source: one of this address, NULL: any. false: there is
 * none. */
static bool displace_stranger(
	struct quic_endpoint *endpoint, size_t protocol, const struct address *source)
{
	struct quic_connection *other;

	DL_FOREACH2 (endpoint->strangers, other, strangers_next)
		if (is_counted(other, protocol) &&
			(!source || address_compare(&other->source, source) == 0)) {
			connection_displace(other);
			return true;
		}
	return false;
}

bool endpoint_admit(struct quic_endpoint *endpoint, struct quic_connection *connection)
{
	const struct quic_protocol *protocol = connection_protocol(connection);
	const struct quic_connection *other;
	size_t all = 0, of_address = 0;

	if (!connection->incoming || connection->kept)
		return true;
	DL_FOREACH (endpoint->connections, other) {
		if (!is_counted(other, connection->protocol))
			continue;
		all++;
		of_address += address_compare(&other->source, &connection->source) == 0;
	}
	if (protocol->max_per_address > 0 && of_address >= protocol->max_per_address) {
		note_crowded(endpoint, &connection->source);
		return displace_stranger(endpoint, connection->protocol, &connection->source);
	}
	if (all + protocol->reserve >= protocol->max_connections) {
		note_crowded(endpoint, &connection->source);
		return displace_stranger(endpoint, connection->protocol, NULL);
	}
	return true;
}

bool endpoint_take_place(
	struct quic_endpoint *endpoint, struct quic_connection *connection, size_t protocol)
{
	if (!make_room_of(endpoint, protocol, connection, &connection->source))
		return false;
	connection->protocol_place = true;
	endpoint->protocol_places[protocol]++;
	return true;
}

static bool is_nearly_full(size_t count, size_t max)
{
	return max > 0 && count >= max - max / QUIC_PROVEN_PART;
}

/* Tells whether an address has to prove itself before anything is kept for it (RFC 9000, 8.1.2):
 * only under load, for the proof costs a round trip. Which protocol the client wants is not known
 * yet, so load on one of them is enough: the last places of each protocol are for proven
 * addresses. */
static bool must_prove(struct quic_endpoint *endpoint)
{
	const struct quic_config *config = &endpoint->config;

	if (endpoint->unproven_count >= endpoint->max_unproven ||
		is_nearly_full(endpoint->places, endpoint->max_connections))
		return true;
	for (size_t i = 0; i < config->protocols_count; i++)
		if (is_nearly_full(
			    endpoint->protocol_places[i], config->protocols[i].max_connections))
			return true;
	return !rate_take(&endpoint->beginnings);
}

/* Tells whether a handshake may begin. A relay names the node, so a node that is not let in anyway
 * costs nothing more. */
static bool may_begin(const struct quic_endpoint *endpoint, const ngtcp2_path *path)
{
	const struct quic_config *config = &endpoint->config;

	if (!path_is_relayed(path) ||
		config->relay_accept(config->context, &relayed_of(path)->node))
		return true;
	counters_add(config->counters, COUNTER_HANDSHAKES_REFUSED, 1);
	return false;
}

/* Takes the first packet of a connection, or the first after our Retry. */
static void accept_initial(struct quic_endpoint *endpoint, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size)
{
	struct quic_connection *connection;
	ngtcp2_cid original;
	ngtcp2_pkt_hd header;
	struct address source;
	enum token token;
	bool full;

	if (endpoint->closing || ngtcp2_accept(&header, data, size) != 0 ||
		!may_begin(endpoint, path))
		return;
	token = stateless_token(endpoint, path, &header, &original);
	if (token == TOKEN_ELSEWHERE)
		return;
	if (token == TOKEN_INVALID) {
		stateless_close(endpoint, path, &header, NGTCP2_INVALID_TOKEN);
		return;
	}
	/* All places are taken by proven connections: a Retry would only put off the refusal. */
	full = endpoint->places >= endpoint->max_connections && !endpoint->unproven &&
	       !endpoint->strangers;
	if (token == TOKEN_NONE && !full && must_prove(endpoint)) {
		stateless_retry(endpoint, path, &header);
		return;
	}
	source = path_remote(path);
	if (!make_room(endpoint, &source)) {
		stateless_close(endpoint, path, &header, NGTCP2_CONNECTION_REFUSED);
		return;
	}
	if (connection_accept(
		    endpoint, path, &header, token == TOKEN_VALID ? &original : NULL, &connection))
		return;
	connection_read(connection, path, ecn, data, size);
	/* The packet was no handshake at all: nobody needs to hear of it. */
	if (connection->state == CONNECTION_ENDED && connection->farewell == FAREWELL_NONE)
		connection_free(connection);
}

void endpoint_receive(struct quic_endpoint *endpoint, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size)
{
	struct quic_connection *connection;
	ngtcp2_version_cid ids;
	int rv;

	if (size == 0 || size > QUIC_MAX_UDP_PAYLOAD)
		return;
	rv = ngtcp2_pkt_decode_version_cid(&ids, data, size, QUIC_CID_SIZE);
	if (rv == NGTCP2_ERR_VERSION_NEGOTIATION) {
		stateless_version(endpoint, path, &ids);
		return;
	}
	if (rv != 0)
		return;
	connection = cids_find(&endpoint->cids, ids.dcid, ids.dcidlen);
	if (!connection && !(data[0] & 0x80) && size >= QUIC_RESET_MIN_SIZE)
		connection =
			cids_find(&endpoint->tokens, data + size - NGTCP2_STATELESS_RESET_TOKENLEN,
				NGTCP2_STATELESS_RESET_TOKENLEN);
	if (connection)
		connection_read(connection, path, ecn, data, size);
	else if (data[0] & 0x80)
		accept_initial(endpoint, path, ecn, data, size);
	else
		stateless_reset(endpoint, path, ids.dcid, size);
}

static void on_datagram(
	void *context, const ngtcp2_path *path, uint8_t ecn, const uint8_t *data, size_t size)
{
	endpoint_receive(context, path, ecn, data, size);
}

static bool is_handshake_of_ours(const struct quic_connection *connection)
{
	return connection && connection->state == CONNECTION_HANDSHAKE && !connection->incoming;
}

/* Ends a dial whose datagram could not be sent, and reports other failures to the owner. Datagrams
 * of other connections are lost as on the way. */
static void on_failed(void *context, const struct sockaddr *local, const struct sockaddr *remote,
	int error)
{
	struct quic_endpoint *endpoint = context;
	const struct quic_connection *writing = endpoint->writing;
	struct address address = sockaddr_address(remote ? remote : local);
	bool is_probe = remote && error == error_of_system(EMSGSIZE) && writing &&
			writing->state == CONNECTION_OPEN;
	/* The datagram is sent again. */
	bool is_busy = error == error_of_system(ENOBUFS) || error == error_of_system(ENOMEM);

	if (is_probe)
		return;
	if (remote && is_handshake_of_ours(writing) && !is_busy)
		endpoint->send_error = error;
	else if (endpoint->config.failed)
		endpoint->config.failed(endpoint->config.context,
			remote ? QUIC_SENDING : QUIC_RECEIVING, &address, error);
}

/* --- Connection ids --- */

int endpoint_new_cid(struct quic_endpoint *endpoint, struct quic_connection *connection,
	ngtcp2_cid *cid, uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN])
{
	cid->datalen = QUIC_CID_SIZE;
	if (RAND_bytes(cid->data, QUIC_CID_SIZE) != 1)
		return ERROR_TLS;
	if (token) {
		int rv = stateless_reset_token(endpoint, cid, token);

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
	uv_idle_start(&endpoint->turn, on_idle);
}

void endpoint_expect(struct quic_endpoint *endpoint, struct quic_connection *connection, uint64_t at)
{
	if (connection->timer.index > 0 && connection->timer.at <= at)
		return;
	timers_set(&endpoint->timers, &connection->timer, at);
	arm_timer(endpoint);
}

static void free_endpoint(struct quic_endpoint *endpoint)
{
	udp_clear(&endpoint->udp);
	timers_clear(&endpoint->timers);
	tls_clear(&endpoint->tls);
	OPENSSL_cleanse(endpoint->reset_key, sizeof endpoint->reset_key);
	OPENSSL_cleanse(endpoint->token_key, sizeof endpoint->token_key);
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

/* Closes the sockets and handles, once all connections are reported. */
static void shut(struct quic_endpoint *endpoint)
{
	while (endpoint->lingering)
		connection_free(endpoint->lingering);
	endpoint->handles = 3 + udp_close(&endpoint->udp);
	uv_close((uv_handle_t *)&endpoint->after, on_handle_closed);
	uv_close((uv_handle_t *)&endpoint->timer, on_handle_closed);
	uv_close((uv_handle_t *)&endpoint->turn, on_handle_closed);
}

static void end_all(struct quic_endpoint *endpoint)
{
	struct closing close = {.application = true, .text = "closed by us: shutting down"};
	struct quic_connection *connection;

	DL_FOREACH (endpoint->connections, connection)
		connection_end(connection, &close, FAREWELL_APPLICATION);
}

static void turn(struct quic_endpoint *endpoint)
{
	struct quic_connection *connection, *last = NULL;
	uint64_t enough;
	bool patient = !endpoint->closing || uv_hrtime() < endpoint->close_deadline;

	if (endpoint->closing)
		end_all(endpoint);
	/* Connections that are marked meanwhile come after last: they have the next turn, after
	 * the sockets were looked at. So do the others when these have taken their time. A blocked
	 * socket pauses all; on_writable goes on. */
	if (endpoint->dirty)
		last = endpoint->dirty->dirty_prev;
	enough = uv_hrtime() + QUIC_TURN_TIME;
	while (last && !(endpoint->udp.blocked && patient) && uv_hrtime() < enough) {
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
	if (!endpoint->unread &&
		(endpoint->udp.blocked || (!endpoint->dirty && !endpoint->closing)))
		uv_idle_stop(&endpoint->turn);
	arm_timer(endpoint);
}

static void on_idle(uv_idle_t *handle)
{
	struct quic_endpoint *endpoint = handle->data;

	endpoint->unread = endpoint->unread && udp_read_on(&endpoint->udp);
	turn(endpoint);
}

static void after_poll(uv_check_t *handle)
{
	struct quic_endpoint *endpoint = handle->data;

	if (endpoint->dirty && !endpoint->udp.blocked)
		turn(endpoint);
}

static void on_unread(void *context)
{
	struct quic_endpoint *endpoint = context;

	endpoint->unread = true;
	uv_idle_start(&endpoint->turn, on_idle);
}

static void on_writable(void *context)
{
	struct quic_endpoint *endpoint = context;

	uv_idle_start(&endpoint->turn, on_idle);
}

static void on_timer(uv_timer_t *handle)
{
	struct quic_endpoint *endpoint = handle->data;
	uint64_t now = uv_hrtime(), enough = now + QUIC_TURN_TIME;
	struct timer *timer;

	while ((timer = timers_first(&endpoint->timers)) && timer->at <= now &&
		uv_hrtime() < enough)
		connection_expire(
			(struct quic_connection *)((char *)timer -
						   offsetof(struct quic_connection, timer)),
			now);
	if (endpoint->closing)
		uv_idle_start(&endpoint->turn, on_idle);
	arm_timer(endpoint);
}

/* Sets the timer to the next deadline. libuv counts in milliseconds; the timer is never too early,
 * or the loop would spin. */
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

static void set_limits(struct quic_endpoint *endpoint)
{
	/* After a pause the answers and Retries of a tenth of a second may go at once, and one
	 * more; of handshakes those of a whole second. */
	endpoint->answers = (struct rate){.interval = NGTCP2_SECONDS / QUIC_STATELESS_PER_SECOND,
		.at_once = QUIC_STATELESS_PER_SECOND / 10 + 1};
	endpoint->retries = (struct rate){.interval = NGTCP2_SECONDS / QUIC_RETRIES_PER_SECOND,
		.at_once = QUIC_RETRIES_PER_SECOND / 10 + 1};
	endpoint->beginnings = (struct rate){.interval = NGTCP2_SECONDS / QUIC_UNPROVEN_PER_SECOND,
		.at_once = QUIC_UNPROVEN_PER_SECOND + 1};
	endpoint->max_unproven = QUIC_MAX_UNPROVEN;
	endpoint->max_queued = LIMIT_QUEUES_BYTES;
	endpoint->token_lifetime = QUIC_TOKEN_LIFETIME;
	endpoint->handshake_timeout = QUIC_HANDSHAKE_TIMEOUT;
	endpoint->black_hole_time = QUIC_BLACK_HOLE_LEAST;
	endpoint->pings_from = uv_hrtime();
}

int quic_endpoint_new(const struct quic_config *config, struct quic_endpoint **out)
{
	struct quic_endpoint *endpoint = memory_zalloc(sizeof *endpoint);
	struct random random = random_system();
	int rv;

	*out = NULL;
	if (!endpoint)
		return ERROR_NOMEM;
	endpoint->config = *config;
	for (size_t i = 0; i < config->protocols_count; i++)
		endpoint->max_connections += config->protocols[i].max_connections;
	endpoint->cids.keyed = endpoint->tokens.keyed = &endpoint->keyed;
	keyed_init(&endpoint->keyed, &random);
	set_limits(endpoint);
	endpoint->udp = (struct udp){.loop = config->loop,
		.receive = on_datagram,
		.unread = on_unread,
		.writable = on_writable,
		.failed = on_failed,
		.closed = on_socket_closed,
		.context = endpoint};
	rv = udp_init(&endpoint->udp);
	/* The key is made from the identity, so that it is the same after a restart: packets of
	 * peers to connections of before are answered with resets that the peers believe. */
	if (!rv)
		rv = identity_derive(config->identity,
			"mosquitto-p2panda 2026 QUIC stateless reset", endpoint->reset_key,
			sizeof endpoint->reset_key);
	if (!rv && (RAND_bytes(endpoint->token_key, sizeof endpoint->token_key) != 1 ||
			   RAND_bytes(endpoint->relay_key, sizeof endpoint->relay_key) != 1))
		rv = ERROR_TLS;
	if (!rv)
		rv = tls_init(&endpoint->tls, config, connection_protocol_selected);
	if (rv) {
		free_endpoint(endpoint);
		return rv;
	}
	uv_timer_init(config->loop, &endpoint->timer);
	uv_idle_init(config->loop, &endpoint->turn);
	uv_check_init(config->loop, &endpoint->after);
	endpoint->timer.data = endpoint->turn.data = endpoint->after.data = endpoint;
	uv_check_start(&endpoint->after, after_poll);
	uv_unref((uv_handle_t *)&endpoint->after);
	*out = endpoint;
	return ERROR_NONE;
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
	uv_idle_start(&endpoint->turn, on_idle);
}

void quic_endpoint_relayed(struct quic_endpoint *endpoint, const struct address *relay,
	const struct id *node, const uint8_t *data, size_t size)
{
	struct relayed relayed;
	ngtcp2_path path;

	relayed_init(&relayed, endpoint, relay, node);
	path = relayed_path(&relayed);
	endpoint_receive(endpoint, &path, 0, data, size);
}

void quic_endpoint_relay_up(struct quic_endpoint *endpoint, const struct address *relay)
{
	struct quic_connection *connection;

	DL_FOREACH (endpoint->connections, connection)
		if (connection->relayed && connection->state == CONNECTION_OPEN &&
			address_compare(&connection->relayed->relay, relay) == 0) {
			connection->vigil.ping = true;
			endpoint_mark(endpoint, connection);
		}
}

/* Finds the path to an address. relayed: what a path through a relay points to, until the
 * connection has its own copy. */
static int find_path(struct quic_endpoint *endpoint, const struct id *peer,
	const struct address *address, struct relayed *relayed, ngtcp2_path_storage *out)
{
	ngtcp2_path path;

	if (!address_is_relay(address))
		return udp_route(&endpoint->udp, address, out);
	if (!endpoint->config.relay_send)
		return ERROR_NOT_FOUND;
	relayed_init(relayed, endpoint, address, peer);
	path = relayed_path(relayed);
	ngtcp2_path_storage_zero(out);
	ngtcp2_path_copy(&out->path, &path);
	return ERROR_NONE;
}

int quic_connect(struct quic_endpoint *endpoint, size_t protocol, const struct id *peer,
	const struct address *address, struct quic_connection **out)
{
	ngtcp2_path_storage path;
	struct relayed relayed;
	int rv;

	*out = NULL;
	if (endpoint->closing)
		return ERROR_CLOSED;
	rv = find_path(endpoint, peer, address, &relayed, &path);
	if (!rv && !(make_room_of(endpoint, protocol, NULL, address) &&
			   make_room(endpoint, address)))
		rv = ERROR_LIMIT;
	if (!rv)
		rv = connection_dial(endpoint, protocol, peer, &path.path, out);
	if (!rv)
		endpoint_mark(endpoint, *out);
	return rv;
}

static bool has_gone(const struct ifaddrs *own, const struct quic_connection *connection)
{
	const ngtcp2_path *path = ngtcp2_conn_get_path(connection->conn);

	return !path_is_relayed(path) && !udp_is_own(own, path->local.addr);
}

void quic_endpoint_addresses_changed(struct quic_endpoint *endpoint)
{
	struct quic_connection *connection;
	struct ifaddrs *own;

	/* Not libuv's list, which leaves out interfaces that are down for a moment: their
	 * addresses, and so the connections, may well be there again soon. */
	if (getifaddrs(&own) != 0)
		return;
	DL_FOREACH (endpoint->connections, connection)
		if (connection->state < CONNECTION_ENDED && has_gone(own, connection))
			connection_cut(connection);
	freeifaddrs(own);
}
