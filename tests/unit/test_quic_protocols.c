/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Several protocols on one endpoint, their limits, and bidirectional streams. What does not
 * depend on the protocol is in test_quic.c. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utlist.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/quic/internal.h"

#define MILLISECONDS NGTCP2_MILLISECONDS
#define MAX_CLOSES   16

enum { GOSSIP, DISCOVERY };

/* One node of the test. */
struct side {
	struct identity identity;
	struct counters counters;
	struct quic_config config;
	struct quic_endpoint *endpoint;
	struct address bound;
	struct quic_connection *connection[QUIC_PROTOCOLS]; /* the last of each */
	size_t connected[QUIC_PROTOCOLS], closed[QUIC_PROTOCOLS];
	struct closing closes[MAX_CLOSES];
	size_t closes_count;
	bool answer;		    /* sends back what comes on a bidirectional stream */
	bool stop;		    /* the first bytes of a stream make us stop it */
	struct quic_stream *stream; /* the last that brought bytes */
	size_t received, finished, stream_closed, credit;
	bool damaged, done;
	bool keeps; /* gives whoever comes a reserved place */
	size_t crowded;
	struct address crowd; /* where the last one came from that made it so */
};

struct test {
	uv_loop_t loop;
	uv_timer_t tick;
	struct side a, b, c;
};

/* What is known of a stream: its data pointer. */
struct track {
	uint64_t sent, received;
};

/* --- The system, in the place of the C library's for the whole program --- */

static uint16_t silenced; /* nothing gets to this port */
static enum { OWN_REAL, OWN_NONE, OWN_ERROR } own_addresses;

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	const struct sockaddr_in *to = message->msg_name;

	if (to && silenced && to->sin_family == AF_INET && ntohs(to->sin_port) == silenced)
		return (ssize_t)message->msg_iov[0].iov_len;
	return syscall(SYS_sendmsg, fd, message, flags);
}

int getifaddrs(struct ifaddrs **out)
{
	int (*real)(struct ifaddrs **) = (int (*)(struct ifaddrs **))dlsym(RTLD_NEXT, "getifaddrs");

	*out = NULL;
	if (own_addresses == OWN_REAL)
		return real(out);
	errno = ENOMEM;
	return own_addresses == OWN_NONE ? 0 : -1;
}

/* --- What streams carry --- */

static uint8_t pattern(uint64_t offset)
{
	return (uint8_t)(offset * 167 ^ offset >> 8 ^ offset >> 16);
}

static struct track *track_of(struct quic_stream *stream)
{
	if (!quic_stream_data(stream)) {
		quic_stream_set_data(stream, calloc(1, sizeof(struct track)));
		assert_non_null(quic_stream_data(stream));
	}
	return quic_stream_data(stream);
}

static int send_frame(struct quic_stream *stream, size_t size, bool droppable)
{
	struct track *track = track_of(stream);
	struct frame *frame = frame_new(size);
	int rv;

	assert_non_null(frame);
	frame->droppable = droppable;
	for (size_t i = 0; i < size; i++)
		frame->head[i] = pattern(track->sent + i);
	rv = quic_stream_send(stream, frame);
	if (rv)
		frame_free(frame);
	else
		track->sent += size;
	return rv;
}

static int send_bytes(struct quic_stream *stream, size_t size)
{
	return send_frame(stream, size, false);
}

/* --- Callbacks --- */

static void on_connected(struct side *side, struct quic_connection *connection, size_t protocol)
{
	assert_int_equal(quic_connection_protocol(connection), protocol);
	side->connection[protocol] = connection;
	side->connected[protocol]++;
}

static void on_connected_0(void *context, struct quic_connection *connection)
{
	on_connected(context, connection, 0);
}

static void on_connected_1(void *context, struct quic_connection *connection)
{
	on_connected(context, connection, 1);
}

static bool on_accept(void *context, const struct id *peer)
{
	return true;
}

static void on_closed(struct side *side, struct quic_connection *connection,
	const struct closing *close, size_t protocol)
{
	assert_int_equal(quic_connection_protocol(connection), protocol);
	if (side->connection[protocol] == connection)
		side->connection[protocol] = NULL;
	side->closed[protocol]++;
	if (side->closes_count < MAX_CLOSES)
		side->closes[side->closes_count++] = *close;
}

static void on_closed_0(
	void *context, struct quic_connection *connection, const struct closing *close)
{
	on_closed(context, connection, close, 0);
}

static void on_closed_1(
	void *context, struct quic_connection *connection, const struct closing *close)
{
	on_closed(context, connection, close, 1);
}

static void on_stream_data(
	void *context, struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
	struct side *side = context;
	struct track *track = track_of(stream);

	for (size_t i = 0; i < size; i++)
		if (data[i] != pattern(track->received++))
			side->damaged = true;
	side->stream = stream;
	side->received += size;
	side->finished += fin;
	if (side->stop)
		quic_stream_stop(stream, 5);
	if (!side->answer || !quic_stream_is_bidi(stream))
		return;
	if (size > 0)
		assert_int_equal(send_bytes(stream, size), 0);
	if (fin)
		quic_stream_finish(stream);
}

static void on_stream_closed(void *context, struct quic_stream *stream)
{
	struct side *side = context;

	free(quic_stream_data(stream));
	if (side->stream == stream)
		side->stream = NULL;
	side->stream_closed++;
}

static void on_stream_credit(void *context, struct quic_connection *connection)
{
	struct side *side = context;

	side->credit++;
}

static bool on_keep(void *context, const struct id *peer)
{
	const struct side *side = context;

	return side->keeps;
}

static void on_crowded(void *context, const struct address *source)
{
	struct side *side = context;

	side->crowded++;
	side->crowd = *source;
}

static const struct quic_callbacks callbacks[QUIC_PROTOCOLS] = {
	{on_connected_0, on_accept, on_closed_0, on_stream_data, on_stream_closed,
		on_stream_credit, on_keep, NULL},
	{on_connected_1, on_accept, on_closed_1, on_stream_data, on_stream_closed,
		on_stream_credit, on_keep, NULL},
};

/* --- The loop --- */

static void on_tick(uv_timer_t *timer)
{
}

static void on_done(void *context)
{
	struct side *side = context;

	side->done = true;
	side->endpoint = NULL;
}

/* Whether condition, which may use test, a and b, comes true in time. */
#define comes(condition, milliseconds) \
	({ \
		uint64_t end = uv_hrtime() + (milliseconds) * MILLISECONDS; \
		while (!(condition) && uv_hrtime() < end) \
			uv_run(&test->loop, UV_RUN_ONCE); \
		(condition); \
	})

static void wait_for(struct test *test, unsigned milliseconds)
{
	(void)comes(false, milliseconds);
}

static void make_side(struct test *test, struct side *side, uint8_t seed)
{
	static const char *const names[] = {PROTOCOL_GOSSIP, PROTOCOL_DISCOVERY};
	uint8_t secret[IDENTITY_SECRET_SIZE] = {seed, 1, 2, 3};

	assert_int_equal(identity_from_secret(secret, &side->identity), 0);
	side->config = (struct quic_config){.loop = &test->loop,
		.identity = &side->identity,
		.protocols_count = QUIC_PROTOCOLS,
		.max_queue = 16 << 20,
		.crowded = on_crowded,
		.counters = &side->counters,
		.context = side};
	for (size_t i = 0; i < QUIC_PROTOCOLS; i++) {
		struct quic_protocol *protocol = &side->config.protocols[i];

		*protocol = (struct quic_protocol){.max_connections = 16,
			.max_streams = 8,
			.max_bidi_streams = 4,
			.idle_timeout = QUIC_IDLE_TIMEOUT,
			.callbacks = callbacks[i]};
		identity_alpn(names[i], &identity_default_network, &protocol->alpn);
	}
}

static int setup(void **state)
{
	struct test *test = calloc(1, sizeof *test);

	silenced = 0;
	own_addresses = OWN_REAL;
	assert_non_null(test);
	assert_int_equal(uv_loop_init(&test->loop), 0);
	uv_timer_init(&test->loop, &test->tick);
	uv_timer_start(&test->tick, on_tick, 10, 10); /* so that the time is looked at */
	make_side(test, &test->a, 1);
	make_side(test, &test->b, 2);
	make_side(test, &test->c, 3);
	*state = test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;
	struct side *sides[] = {&test->a, &test->b, &test->c};

	for (size_t i = 0; i < 3; i++) {
		if (sides[i]->endpoint)
			quic_endpoint_close(sides[i]->endpoint, on_done, sides[i]);
		assert_true(comes(!sides[i]->endpoint, 5000));
		identity_clear(&sides[i]->identity);
	}
	uv_close((uv_handle_t *)&test->tick, NULL);
	uv_run(&test->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&test->loop), 0);
	free(test);
	return 0;
}

static void open_side(struct side *side, const char *address)
{
	assert_int_equal(quic_endpoint_new(&side->config, &side->endpoint), 0);
	assert_int_equal(address_parse(address, &side->bound), 0);
	assert_int_equal(quic_endpoint_bind(side->endpoint, &side->bound, &side->bound), 0);
}

static struct quic_connection *dial(struct side *from, const struct side *to, size_t protocol)
{
	struct quic_connection *connection;

	assert_int_equal(
		quic_connect(from->endpoint, protocol, &to->identity.id, &to->bound, &connection),
		0);
	assert_int_equal(quic_connection_protocol(connection), protocol);
	return connection;
}

static void open_both(struct test *test)
{
	open_side(&test->a, "127.0.0.1:0");
	open_side(&test->b, "127.0.0.1:0");
}

/* a dials b. */
static void connect_both(struct test *test, size_t protocol)
{
	size_t before = test->b.connected[protocol];

	if (!test->a.endpoint)
		open_both(test);
	dial(&test->a, &test->b, protocol);
	assert_true(comes(test->b.connected[protocol] > before, 3000));
	assert_non_null(test->a.connection[protocol]);
}

/* --- Protocols --- */

static void two_protocols(void **state)
{
	struct test *test = *state;

	connect_both(test, GOSSIP);
	connect_both(test, DISCOVERY);
	for (size_t i = 0; i < QUIC_PROTOCOLS; i++) {
		assert_int_equal(test->a.connected[i], 1);
		assert_int_equal(test->b.connected[i], 1);
		assert_int_equal(quic_connection_protocol(test->a.connection[i]), i);
		assert_int_equal(quic_connection_protocol(test->b.connection[i]), i);
		assert_int_equal(test->b.endpoint->protocol_places[i], 1);
	}
	quic_connection_close(test->a.connection[DISCOVERY], 0);
	assert_true(comes(test->a.closed[DISCOVERY] && test->b.closed[DISCOVERY], 1000));
	assert_int_equal(test->a.closed[GOSSIP] + test->b.closed[GOSSIP], 0);
	assert_int_equal(test->b.endpoint->protocol_places[DISCOVERY], 0);
	assert_int_equal(test->b.endpoint->places, 1);
}

/* The index is each side's own matter. */
static void the_other_way_round(void **state)
{
	struct test *test = *state;
	struct id alpn = test->b.config.protocols[0].alpn;

	test->b.config.protocols[0].alpn = test->b.config.protocols[1].alpn;
	test->b.config.protocols[1].alpn = alpn;
	open_both(test);
	dial(&test->a, &test->b, GOSSIP);
	assert_true(comes(test->a.connected[0] && test->b.connected[1], 3000));
	assert_int_equal(test->b.connected[0], 0);
}

static void another_protocol_is_refused(void **state)
{
	struct test *test = *state;

	memset(test->b.config.protocols[1].alpn.bytes, 9, ID_SIZE);
	open_both(test);
	dial(&test->a, &test->b, DISCOVERY);
	assert_true(comes(test->a.closed[DISCOVERY] && test->b.closed[0], 3000));
	assert_int_equal(test->a.closes[0].code, 0x178);
	assert_true(test->a.closes[0].remote && test->a.closes[0].refused);
	assert_string_equal(test->b.closes[0].text, "no common protocol (other network id?)");
	assert_int_equal(test->b.closed[1], 0);
	assert_int_equal(counters_get(&test->b.counters, COUNTER_HANDSHAKES_REFUSED), 1);
	/* The one that both speak goes on. */
	connect_both(test, GOSSIP);
}

static void only_one_protocol(void **state)
{
	struct test *test = *state;

	test->b.config.protocols_count = 1;
	open_both(test);
	dial(&test->a, &test->b, DISCOVERY);
	assert_true(comes(test->a.closed[DISCOVERY], 3000));
	assert_int_equal(test->a.closes[0].code, 0x178);
}

static void each_has_its_limit_of_connections(void **state)
{
	struct test *test = *state;
	struct quic_connection *connection;

	test->b.config.protocols[GOSSIP].max_connections = 2;
	test->b.config.protocols[DISCOVERY].max_connections = 3;
	connect_both(test, GOSSIP);
	connect_both(test, GOSSIP);
	assert_int_equal(counters_get(&test->b.counters, COUNTER_LIMIT_CONNECTIONS), 0);
	dial(&test->a, &test->b, GOSSIP);
	assert_true(comes(test->a.closed[GOSSIP], 3000));
	assert_int_equal(test->a.closes[0].code, NGTCP2_CONNECTION_REFUSED);
	assert_true(test->a.closes[0].refused && !test->a.closes[0].application);
	assert_string_equal(test->b.closes[0].text, "refused: limit of connections");
	assert_int_equal(test->b.closed[GOSSIP], 1);
	assert_int_equal(counters_get(&test->b.counters, COUNTER_LIMIT_CONNECTIONS), 1);
	assert_int_equal(quic_connect(test->b.endpoint, GOSSIP, &test->a.identity.id,
				 &test->a.bound, &connection),
		ERROR_LIMIT);
	assert_null(connection);
	/* The other one's places are not touched. */
	for (int i = 0; i < 3; i++)
		connect_both(test, DISCOVERY);
	assert_int_equal(test->b.connected[GOSSIP], 2);
	/* Full of all: said without a look at what is wanted. */
	dial(&test->a, &test->b, DISCOVERY);
	assert_true(comes(test->a.closed[DISCOVERY], 3000));
	assert_int_equal(test->a.closes[1].code, NGTCP2_CONNECTION_REFUSED);
	/* One that goes makes room. */
	quic_connection_close(test->b.connection[GOSSIP], 0);
	assert_true(comes(test->b.closed[GOSSIP] == 2, 1000));
	connect_both(test, GOSSIP);
	assert_int_equal(test->b.endpoint->protocol_places[GOSSIP], 2);
	assert_int_equal(test->b.endpoint->protocol_places[DISCOVERY], 3);
}

/* Handshakes with unproven addresses hold their protocol's places only until somebody real
 * wants them, and never the other's. */
static void unproven_give_way(void **state)
{
	struct test *test = *state;
	const struct quic_endpoint *b;

	test->b.config.protocols[GOSSIP].max_connections = 4;
	test->b.config.protocols[DISCOVERY].max_connections = 4;
	open_both(test);
	open_side(&test->c, "127.0.0.1:0");
	b = test->b.endpoint;
	silenced = test->c.bound.port;
	for (int i = 0; i < 4; i++)
		dial(&test->c, &test->b, GOSSIP);
	assert_true(comes(b->protocol_places[GOSSIP] == 4, 500));
	assert_int_equal(b->unproven_count, 4);
	connect_both(test, DISCOVERY);
	assert_int_equal(test->b.closed[GOSSIP], 0);
	assert_int_equal(counters_get(&test->b.counters, COUNTER_RETRIES), 1);
	connect_both(test, GOSSIP);
	assert_true(comes(test->b.closed[GOSSIP] == 1, 500));
	assert_string_equal(test->b.closes[0].text, "gave way: its address was not proven");
	/* We dial ourselves: that is wanted too. */
	dial(&test->b, &test->a, GOSSIP);
	assert_true(comes(test->b.connected[GOSSIP] == 2, 3000));
	assert_int_equal(test->b.closed[GOSSIP], 2);
	assert_int_equal(b->protocol_places[GOSSIP], 4);
	assert_int_equal(b->unproven_count, 2);
	assert_int_equal(b->places, 5);
	assert_int_equal(counters_get(&test->b.counters, COUNTER_LIMIT_CONNECTIONS), 2);
}

/* a connects to b, who has no use for it, or has one. */
static struct quic_connection *connect_of_use(struct test *test, bool use)
{
	connect_both(test, GOSSIP);
	quic_connection_set_stranger(test->b.connection[GOSSIP], !use);
	return test->b.connection[GOSSIP];
}

/* Those that are of no use, the longest such first; what is reserved is for dials and for those
 * that are kept. */
static void strangers_give_way(void **state)
{
	struct test *test = *state;
	struct quic_connection *second;

	test->b.config.protocols[GOSSIP].max_connections = 6;
	test->b.config.protocols[GOSSIP].reserve = 2;
	open_both(test);
	connect_of_use(test, false);
	second = connect_of_use(test, false);
	connect_of_use(test, true);
	connect_of_use(test, true);
	assert_int_equal(test->b.crowded, 0);
	connect_of_use(test, true);
	assert_int_equal(test->b.crowded, 1);
	assert_int_equal(address_compare(&test->b.crowd,
				 &(struct address){.family = 4, .ip = {127, 0, 0, 1}}),
		0);
	assert_true(comes(test->a.closed[GOSSIP] == 1, 1000));
	assert_string_equal(test->b.closes[0].text,
		"closed by us: code 0 (no place: gave way to others)");
	/* Found to be of use after all: nobody gives way any more. */
	quic_connection_set_stranger(second, false);
	dial(&test->a, &test->b, GOSSIP);
	assert_true(comes(test->b.closed[GOSSIP] == 2, 1000));
	assert_string_equal(test->b.closes[1].text, "refused: limit of connections");
	test->b.keeps = true;
	connect_both(test, GOSSIP);
	connect_both(test, GOSSIP);
	assert_int_equal(test->b.endpoint->protocol_places[GOSSIP], 6);
	/* Our own dial needs a place: the stranger's. */
	quic_connection_set_stranger(second, true);
	dial(&test->b, &test->a, GOSSIP);
	assert_true(comes(test->b.closed[GOSSIP] == 3, 1000));
	assert_int_equal(test->b.endpoint->protocol_places[GOSSIP], 6);
}

/* Nor has one address more than its share, unless the peers are kept. */
static void an_address_has_its_share(void **state)
{
	struct test *test = *state;

	test->b.config.protocols[GOSSIP].max_per_address = 2;
	open_both(test);
	open_side(&test->c, "127.0.0.2:0");
	connect_of_use(test, false);
	connect_of_use(test, true);
	connect_of_use(test, true); /* in the place of the first one */
	assert_true(comes(test->b.closed[GOSSIP] == 1, 1000));
	dial(&test->a, &test->b, GOSSIP);
	assert_true(comes(test->b.closed[GOSSIP] == 2, 1000));
	assert_string_equal(test->b.closes[1].text, "refused: limit of connections");
	dial(&test->c, &test->b, GOSSIP);
	assert_true(comes(test->c.connected[GOSSIP] == 1, 1000));
	test->b.keeps = true;
	dial(&test->a, &test->b, GOSSIP);
	assert_true(comes(test->b.endpoint->protocol_places[GOSSIP] == 4, 1000));
	assert_int_equal(test->b.closed[GOSSIP], 2);
}

/* What is left out keeps what comes after it: not for everybody as much as for the first. */
static void windows_are_bounded_in_sum(void **state)
{
	struct test *test = *state;
	const struct quic_connection *connection;
	uint64_t sum = 0;

	test->b.config.protocols[GOSSIP].max_connections = 100;
	test->a.config.protocols[GOSSIP].max_connections = 100;
	for (int i = 0; i < 100; i++)
		connect_both(test, GOSSIP);
	DL_FOREACH (test->b.endpoint->connections, connection)
		sum += connection->window;
	assert_int_equal(sum, test->b.endpoint->windows);
	assert_true(sum < QUIC_WINDOWS + 100 * QUIC_MIN_WINDOW);
	assert_int_equal(test->b.endpoint->connections->window, QUIC_MAX_WINDOW);
	assert_int_equal(test->b.connection[GOSSIP]->window, QUIC_MIN_WINDOW);
	quic_endpoint_close(test->a.endpoint, on_done, &test->a);
	assert_true(comes(test->b.closed[GOSSIP] == 100, 3000));
	assert_true(comes(test->b.endpoint->windows == 0, 3000));
}

/* As many frames as are taken; returns why the next one was not. */
static int fill(struct quic_connection *connection, bool droppable)
{
	struct quic_stream *stream;
	int rv;

	assert_int_equal(quic_stream_open(connection, &stream), 0);
	do
		rv = send_frame(stream, 4096, droppable);
	while (rv == 0);
	return rv;
}

/* Peers that stand still leave others less and less room, but always some. Whoever makes us answer
 * in such times and does not read goes sooner. */
static void queues_are_bounded_in_sum(void **state)
{
	const size_t all = 4 << 20, least = LIMIT_QUEUE_LEAST_BYTES;
	struct test *test = *state;
	struct quic_connection *connection, *last = NULL;
	struct quic_stream *stream;
	size_t part, sum = 0;

	for (int i = 0; i < 12; i++)
		connect_both(test, GOSSIP);
	test->a.endpoint->max_queued = all;
	/* The loop does not run, so nothing leaves. */
	DL_FOREACH (test->a.endpoint->connections, connection) {
		assert_int_equal(fill(connection, true), ERROR_FULL);
		part = sum < all ? (all - sum) / 3 : 0;
		if (part < least)
			part = least;
		assert_true(quic_connection_queued(connection) <= part + 4096);
		assert_true(quic_connection_queued(connection) > part - 2 * 4096);
		sum += quic_connection_queued(connection);
		assert_int_equal(test->a.endpoint->queued, sum);
		last = connection;
	}
	assert_true(sum < all + 12 * least);
	assert_int_equal(fill(last, false), ERROR_CLOSED);
	assert_uint_in_range(test->a.endpoint->queued, 2 * all, 2 * all + 8192);
	assert_int_equal(quic_stream_open(last->prev, &stream), 0);
	assert_int_equal(send_bytes(stream, 4096), 0);
	assert_true(comes(test->a.endpoint->queued == 0, 20000));
	assert_int_equal(test->a.closed[GOSSIP], 1);
	assert_string_equal(test->a.closes[0].text, "peer does not read");
	assert_true(test->b.received > sum - 2 * least && !test->b.damaged);
}

/* The lower time-out of both sides counts, for each protocol of its own. */
static void idle_timeouts(void **state)
{
	struct test *test = *state;
	uint64_t start;

	test->b.config.protocols[DISCOVERY].idle_timeout = 400 * MILLISECONDS;
	connect_both(test, GOSSIP);
	connect_both(test, DISCOVERY);
	start = uv_hrtime();
	assert_true(comes(test->a.closed[DISCOVERY] && test->b.closed[DISCOVERY], 3000));
	assert_true(uv_hrtime() - start > 300 * MILLISECONDS);
	assert_true(uv_hrtime() - start < 2000 * MILLISECONDS);
	for (size_t i = 0; i < 2; i++) {
		const struct closing *close = i ? &test->b.closes[0] : &test->a.closes[0];

		assert_true(close->timeout && !close->remote);
		assert_string_equal(close->text, "nothing heard for 0.4 s");
	}
	wait_for(test, 300);
	assert_int_equal(test->a.closed[GOSSIP] + test->b.closed[GOSSIP], 0);
}

static void kept_alive(void **state)
{
	struct test *test = *state;

	for (size_t i = 0; i < QUIC_PROTOCOLS; i++) {
		test->a.config.protocols[i].idle_timeout = 600 * MILLISECONDS;
		test->a.config.protocols[i].keep_alive = i == GOSSIP;
	}
	connect_both(test, GOSSIP);
	connect_both(test, DISCOVERY);
	assert_true(comes(test->a.closed[DISCOVERY] && test->b.closed[DISCOVERY], 3000));
	wait_for(test, 1500);
	assert_int_equal(test->a.closed[GOSSIP] + test->b.closed[GOSSIP], 0);
}

/* A dialler with a short one does not wait longer for its handshake either. */
static void idle_handshake(void **state)
{
	struct test *test = *state;

	test->a.config.protocols[DISCOVERY].idle_timeout = 500 * MILLISECONDS;
	open_both(test);
	silenced = test->b.bound.port;
	dial(&test->a, &test->b, DISCOVERY);
	assert_true(comes(test->a.closed[DISCOVERY], 4500));
	assert_true(test->a.closes[0].timeout);
	assert_string_equal(test->a.closes[0].text, "handshake timed out");
}

static void last_words(void **state)
{
	struct test *test = *state;

	connect_both(test, DISCOVERY);
	quic_connection_close_with(test->b.connection[DISCOVERY], 0, "done");
	quic_connection_close_with(test->b.connection[DISCOVERY], 1, "not done");
	assert_true(comes(test->a.closed[DISCOVERY] && test->b.closed[DISCOVERY], 1000));
	assert_true(test->a.closes[0].remote && test->a.closes[0].application);
	assert_int_equal(test->a.closes[0].code, 0);
	assert_string_equal(test->a.closes[0].text, "closed by peer: code 0 (done)");
	assert_string_equal(test->b.closes[0].text, "closed by us: code 0 (done)");
}

/* --- Bidirectional streams --- */

static struct quic_stream *open_bidi(struct quic_connection *connection)
{
	struct quic_stream *stream;

	assert_int_equal(quic_bidi_open(connection, &stream), 0);
	assert_true(quic_stream_is_bidi(stream));
	assert_false(quic_stream_incoming(stream));
	assert_ptr_equal(quic_stream_connection(stream), connection);
	return stream;
}

/* from opens, to answers. */
static void question_and_answer(struct test *test, struct side *from, struct side *to)
{
	struct quic_stream *stream;

	connect_both(test, DISCOVERY);
	to->answer = true;
	stream = open_bidi(from->connection[DISCOVERY]);
	assert_int_equal(send_bytes(stream, 1000), 0);
	assert_true(comes(from->received == 1000, 3000));
	assert_int_equal(to->received, 1000);
	assert_ptr_equal(from->stream, stream);
	assert_true(quic_stream_incoming(to->stream));
	assert_true(quic_stream_is_bidi(to->stream));
	/* Once more on the same one, and the end. */
	assert_int_equal(send_bytes(stream, 500), 0);
	quic_stream_finish(stream);
	assert_int_equal(send_bytes(stream, 1), ERROR_CLOSED);
	assert_true(comes(from->stream_closed && to->stream_closed, 3000));
	wait_for(test, 50);
	for (size_t i = 0; i < 2; i++) {
		const struct side *side = i ? to : from;

		assert_int_equal(side->received, 1500);
		assert_int_equal(side->finished, 1);
		assert_int_equal(side->stream_closed, 1);
		assert_false(side->damaged);
		assert_int_equal(quic_connection_queued(side->connection[DISCOVERY]), 0);
	}
}

static void the_dialler_asks(void **state)
{
	struct test *test = *state;

	question_and_answer(test, &test->a, &test->b);
}

static void the_dialled_asks(void **state)
{
	struct test *test = *state;

	question_and_answer(test, &test->b, &test->a);
}

static void send_much(struct quic_stream *stream)
{
	for (int i = 0; i < 256; i++)
		assert_int_equal(send_bytes(stream, 4096), 0);
	quic_stream_finish(stream);
}

/* 1 MB each way at the same time: four times the window of a stream. */
static void much_both_ways(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;

	connect_both(test, DISCOVERY);
	stream = open_bidi(test->a.connection[DISCOVERY]);
	assert_int_equal(send_bytes(stream, 1), 0);
	assert_true(comes(test->b.stream, 3000));
	send_much(stream);
	send_much(test->b.stream);
	assert_true(comes(test->a.stream_closed && test->b.stream_closed, 20000));
	assert_int_equal(test->a.received, 1 << 20);
	assert_int_equal(test->b.received, (1 << 20) + 1);
	assert_int_equal(test->a.finished, 1);
	assert_int_equal(test->b.finished, 1);
	assert_false(test->a.damaged || test->b.damaged);
}

static void much_back(void **state)
{
	struct test *test = *state;

	connect_both(test, DISCOVERY);
	test->b.answer = true;
	for (int i = 0; i < 3; i++)
		send_much(open_bidi(test->a.connection[DISCOVERY]));
	assert_true(comes(test->a.stream_closed == 3 && test->b.stream_closed == 3, 20000));
	assert_int_equal(test->a.received, 3 << 20);
	assert_int_equal(test->a.finished, 3);
	assert_false(test->a.damaged || test->b.damaged);
}

/* Each end closes when it likes, with nothing sent at all too. */
static void ends_without_bytes(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;

	connect_both(test, DISCOVERY);
	stream = open_bidi(test->a.connection[DISCOVERY]);
	quic_stream_finish(stream);
	assert_true(comes(test->b.finished, 3000));
	wait_for(test, 50);
	assert_int_equal(test->a.stream_closed + test->b.stream_closed, 0);
	quic_stream_finish(test->b.stream);
	assert_true(comes(test->a.stream_closed && test->b.stream_closed, 3000));
	assert_int_equal(test->a.finished, 1);
	assert_int_equal(test->a.received + test->b.received, 0);
}

static size_t grants(struct quic_connection *connection, bool bidi)
{
	struct quic_stream *stream;
	size_t count = 0;
	int rv;

	while ((rv = bidi ? quic_bidi_open(connection, &stream)
			  : quic_stream_open(connection, &stream)) == 0)
		count++;
	assert_int_equal(rv, ERROR_NO_STREAM_CREDIT);
	assert_null(stream);
	return count;
}

/* What one side grants is what the other may open, on the side that was dialled too, where
 * the protocol is not known at first. */
static void each_has_its_limits_of_streams(void **state)
{
	struct test *test = *state;
	struct side *sides[] = {&test->a, &test->b};

	for (size_t i = 0; i < 2; i++) {
		sides[i]->config.protocols[GOSSIP].max_streams = 30 + i;
		sides[i]->config.protocols[GOSSIP].max_bidi_streams = 0;
		sides[i]->config.protocols[DISCOVERY].max_streams = 0;
		sides[i]->config.protocols[DISCOVERY].max_bidi_streams = 2 + i;
	}
	connect_both(test, GOSSIP);
	connect_both(test, DISCOVERY);
	assert_int_equal(grants(test->a.connection[GOSSIP], false), 31);
	assert_int_equal(grants(test->a.connection[GOSSIP], true), 0);
	assert_int_equal(grants(test->a.connection[DISCOVERY], false), 0);
	assert_int_equal(grants(test->a.connection[DISCOVERY], true), 3);
	assert_int_equal(grants(test->b.connection[GOSSIP], false), 30);
	assert_int_equal(grants(test->b.connection[GOSSIP], true), 0);
	assert_int_equal(grants(test->b.connection[DISCOVERY], false), 0);
	assert_int_equal(grants(test->b.connection[DISCOVERY], true), 2);
}

static void bidi_streams_beyond_the_grant(void **state)
{
	struct test *test = *state;
	struct quic_connection *connection;
	struct quic_stream *streams[4], *more;

	connect_both(test, DISCOVERY);
	test->b.answer = true;
	connection = test->a.connection[DISCOVERY];
	for (size_t i = 0; i < 4; i++) {
		streams[i] = open_bidi(connection);
		assert_int_equal(send_bytes(streams[i], 10), 0);
	}
	assert_int_equal(quic_bidi_open(connection, &more), ERROR_NO_STREAM_CREDIT);
	/* The other kind has its own. */
	assert_int_equal(quic_stream_open(connection, &more), 0);
	assert_int_equal(send_bytes(more, 10), 0);
	assert_true(comes(test->b.received == 50 && test->a.received == 40, 3000));
	assert_int_equal(test->a.credit, 0);
	/* Those that are over in both directions make room for as many. */
	quic_stream_finish(streams[0]);
	quic_stream_finish(streams[1]);
	assert_true(comes(test->a.credit && test->a.stream_closed == 2, 3000));
	assert_int_equal(send_bytes(open_bidi(connection), 10), 0);
	wait_for(test, 50);
	assert_int_equal(test->a.credit, 1);
	assert_int_equal(test->b.received, 60);
	assert_false(test->a.damaged || test->b.damaged);
}

/* b does not want what comes and answers all the same. */
static void one_half_is_stopped(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;

	connect_both(test, DISCOVERY);
	test->b.stop = true;
	stream = open_bidi(test->a.connection[DISCOVERY]);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(send_bytes(stream, 4000), 0);
	assert_true(comes(test->b.received, 3000));
	assert_true(comes(stream->shut, 3000));
	assert_true(test->b.received < 4000000);
	assert_int_equal(send_bytes(stream, 1), ERROR_CLOSED);
	quic_stream_finish(stream); /* of no consequence */
	wait_for(test, 50);
	assert_int_equal(test->a.stream_closed + test->b.stream_closed, 0);
	assert_int_equal(send_bytes(test->b.stream, 2000), 0);
	quic_stream_finish(test->b.stream);
	assert_true(comes(test->a.stream_closed && test->b.stream_closed, 3000));
	assert_int_equal(test->a.received, 2000);
	assert_int_equal(test->a.finished, 1);
	assert_false(test->a.damaged);
	assert_int_equal(quic_connection_queued(test->a.connection[DISCOVERY]), 0);
}

static void the_asker_stops_the_answer(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;

	connect_both(test, DISCOVERY);
	test->a.stop = true;
	stream = open_bidi(test->a.connection[DISCOVERY]);
	assert_int_equal(send_bytes(stream, 10), 0);
	assert_true(comes(test->b.received == 10, 3000));
	for (int i = 0; i < 1000; i++)
		assert_int_equal(send_bytes(test->b.stream, 4000), 0);
	assert_true(comes(test->b.stream->shut, 3000));
	assert_true(test->a.received < 4000000);
	assert_int_equal(send_bytes(test->b.stream, 1), ERROR_CLOSED);
	assert_int_equal(send_bytes(stream, 100000), 0);
	quic_stream_finish(stream);
	assert_true(comes(test->a.stream_closed && test->b.stream_closed, 3000));
	assert_int_equal(test->b.received, 100010);
	assert_int_equal(test->b.finished, 1);
	assert_int_equal(quic_connection_queued(test->b.connection[DISCOVERY]), 0);
}

/* What no call of ours does, but a peer may. */
static void reset(struct quic_stream *stream)
{
	struct quic_connection *connection = quic_stream_connection(stream);

	stream_shut(stream);
	assert_int_equal(ngtcp2_conn_shutdown_stream_write(connection->conn, 0, stream->id, 6), 0);
	endpoint_mark(connection->endpoint, connection);
}

/* The one that waits for the end is told. */
static void one_half_is_reset(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;

	connect_both(test, DISCOVERY);
	stream = open_bidi(test->a.connection[DISCOVERY]);
	assert_int_equal(send_bytes(stream, 10), 0);
	assert_true(comes(test->b.received == 10, 3000));
	assert_int_equal(send_bytes(test->b.stream, 10), 0);
	assert_true(comes(test->a.received == 10, 3000));
	reset(stream);
	assert_true(comes(test->a.stream_closed && test->b.stream_closed, 3000));
	assert_int_equal(test->a.finished + test->b.finished, 0);
	assert_int_equal(quic_connection_queued(test->b.connection[DISCOVERY]), 0);
	/* The connection is as good as before. */
	test->b.answer = true;
	assert_int_equal(send_bytes(open_bidi(test->a.connection[DISCOVERY]), 10), 0);
	assert_true(comes(test->a.received == 20, 3000));
}

/* What has been finished still gets there. */
static void reset_after_the_end(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;

	connect_both(test, DISCOVERY);
	stream = open_bidi(test->a.connection[DISCOVERY]);
	assert_int_equal(send_bytes(stream, 10), 0);
	assert_true(comes(test->b.received == 10, 3000));
	send_much(test->b.stream);
	reset(stream);
	assert_true(comes(test->a.stream_closed && test->b.stream_closed, 20000));
	assert_int_equal(test->a.received, 1 << 20);
	assert_int_equal(test->a.finished, 1);
	assert_false(test->a.damaged);
}

static void open_streams_end_with_the_connection(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;

	connect_both(test, DISCOVERY);
	for (int i = 0; i < 3; i++)
		assert_int_equal(send_bytes(open_bidi(test->a.connection[DISCOVERY]), 100000), 0);
	assert_true(comes(test->b.received > 0, 3000));
	stream = test->b.stream;
	assert_int_equal(send_bytes(stream, 100000), 0);
	quic_connection_close(test->b.connection[DISCOVERY], 0);
	assert_int_equal(send_bytes(stream, 1), ERROR_CLOSED);
	quic_stream_finish(stream);
	quic_stream_stop(stream, 0);
	assert_int_equal(quic_bidi_open(test->b.connection[DISCOVERY], &stream), ERROR_CLOSED);
	assert_true(comes(test->a.closed[DISCOVERY] && test->b.closed[DISCOVERY], 1000));
	assert_int_equal(test->a.stream_closed, 3);
	assert_true(test->b.stream_closed >= 1 && test->b.stream_closed <= 3);
}

/* --- Addresses --- */

/* An address of this machine that is not loopback. */
static bool find_address(char text[INET_ADDRSTRLEN + 8])
{
	struct ifaddrs *all, *one;
	bool found = false;

	assert_int_equal(getifaddrs(&all), 0);
	for (one = all; one && !found; one = one->ifa_next) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)one->ifa_addr;

		if (!in || in->sin_family != AF_INET ||
			ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET)
			continue;
		assert_non_null(inet_ntop(AF_INET, &in->sin_addr, text, INET_ADDRSTRLEN));
		found = true;
	}
	freeifaddrs(all);
	return found;
}

static void addresses_change(void **state)
{
	struct test *test = *state;
	char text[INET_ADDRSTRLEN + 8];
	struct address loopback;
	struct quic_connection *connection;

	if (!find_address(text))
		skip();
	strcat(text, ":0");
	/* a has every address, of which it uses one for each connection; b has one. */
	open_side(&test->a, "0.0.0.0:0");
	open_side(&test->b, text);
	open_side(&test->c, "127.0.0.1:0");
	connect_both(test, GOSSIP);
	loopback = test->c.bound;
	assert_int_equal(quic_connect(test->a.endpoint, DISCOVERY, &test->c.identity.id, &loopback,
				 &connection),
		0);
	assert_true(comes(test->a.connected[DISCOVERY] && test->c.connected[DISCOVERY], 3000));
	quic_endpoint_addresses_changed(test->a.endpoint);
	quic_endpoint_addresses_changed(test->b.endpoint);
	own_addresses = OWN_ERROR;
	quic_endpoint_addresses_changed(test->a.endpoint);
	wait_for(test, 50);
	assert_int_equal(test->a.closes_count + test->b.closes_count, 0);
	own_addresses = OWN_NONE;
	quic_endpoint_addresses_changed(test->a.endpoint);
	assert_int_equal(test->a.closes_count, 0); /* never from inside a call */
	assert_true(comes(test->a.closed[GOSSIP], 500));
	assert_true(test->a.closes[0].timeout);
	assert_false(test->a.closes[0].remote || test->a.closes[0].refused);
	assert_string_equal(test->a.closes[0].text, "own address is gone");
	wait_for(test, 50);
	/* Not loopback; and nobody was told, for how should they be. */
	assert_int_equal(test->a.closed[DISCOVERY] + test->c.closed[DISCOVERY], 0);
	assert_int_equal(test->b.closes_count, 0);
	quic_endpoint_addresses_changed(test->b.endpoint);
	assert_true(comes(test->b.closed[GOSSIP], 500));
	/* It comes back. */
	own_addresses = OWN_REAL;
	connect_both(test, GOSSIP);
	quic_endpoint_addresses_changed(test->a.endpoint);
	wait_for(test, 50);
	assert_int_equal(test->a.closed[GOSSIP], 1);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(two_protocols),
		TEST(the_other_way_round),
		TEST(another_protocol_is_refused),
		TEST(only_one_protocol),
		TEST(each_has_its_limit_of_connections),
		TEST(unproven_give_way),
		TEST(strangers_give_way),
		TEST(an_address_has_its_share),
		TEST(windows_are_bounded_in_sum),
		TEST(queues_are_bounded_in_sum),
		TEST(idle_timeouts),
		TEST(kept_alive),
		TEST(idle_handshake),
		TEST(last_words),
		TEST(the_dialler_asks),
		TEST(the_dialled_asks),
		TEST(much_both_ways),
		TEST(much_back),
		TEST(ends_without_bytes),
		TEST(each_has_its_limits_of_streams),
		TEST(bidi_streams_beyond_the_grant),
		TEST(one_half_is_stopped),
		TEST(the_asker_stops_the_answer),
		TEST(one_half_is_reset),
		TEST(reset_after_the_end),
		TEST(open_streams_end_with_the_connection),
		TEST(addresses_change),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
