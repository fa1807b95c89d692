/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two endpoints and more on loopback, in one loop. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/memory.h"
#include "bridge/quic/internal.h"
#include "support_heap.h"

#define MAX_BINDS  3
#define MAX_CLOSES 128

/* One node of the test. */
struct side {
	uv_loop_t *loop;
	struct identity identity;
	struct counters counters;
	struct quic_endpoint *endpoint;
	struct address bound[MAX_BINDS];
	size_t binds;
	size_t max_connections; /* 0: 64 */
	uint64_t idle_timeout;	/* 0: QUIC_IDLE_TIMEOUT */
	bool mute;		/* sends no pings */
	bool refuse;		/* accept says no */
	bool close_now;		/* connected closes at once */
	bool slow;		/* what comes takes a while to be looked at */
	size_t pieces;		/* of streams that have come */
	bool stop_now;		/* the first bytes of a stream make us stop it */
	bool takes;		/* what was not acknowledged, as taken is then */
	struct frame *taken;
	struct id asked;
	struct quic_connection *connection; /* the last that came about */
	size_t connected, closed, stream_closed, credit, finished;
	struct closing closes[MAX_CLOSES];
	uint64_t received;
	bool damaged, done;
};

struct test {
	uv_loop_t loop;
	uv_timer_t tick;
	struct side a, b;
};

/* --- What streams carry --- */

static uint8_t pattern(uint64_t offset)
{
	return (uint8_t)(offset * 167 ^ offset >> 8 ^ offset >> 16);
}

struct reader {
	uint64_t offset;
};

static struct frame *make_frame(uint64_t *offset, size_t size, bool droppable)
{
	size_t head = size < 20 ? size : 20, tail = size > 100 ? 3 : 0, i;
	struct frame *frame = frame_new(head);

	assert_non_null(frame);
	for (i = 0; i < head; i++)
		frame->head[i] = pattern((*offset)++);
	if (size > head) {
		uint8_t body[5000];

		for (i = 0; i < size - head - tail; i++)
			body[i] = pattern((*offset)++);
		frame->body = message_new(body, size - head - tail);
		assert_non_null(frame->body);
	}
	frame->tail_size = (uint8_t)tail;
	for (i = 0; i < tail; i++)
		frame->tail[i] = pattern((*offset)++);
	frame->droppable = droppable;
	assert_int_equal(frame_size(frame), size);
	return frame;
}

/* --- A kernel that refuses --- */

static struct {
	unsigned blocked, lost; /* one in so many calls */
	unsigned lost_next;	/* the next so many calls */
	bool always_blocked, no_gso;
	uint64_t calls, trains;
	size_t most;	/* bytes of a datagram that it takes; 0: any number */
	size_t swallowed; /* longer ones are lost on the way; 0: none are */
	uint64_t swallows;
	size_t longest; /* datagram that it took */
} kernel;

/* --- A wire that somebody sits on --- */

#define MAX_CAPTURED 500
#define MAX_DATAGRAM 1500

/* Where the token of an Initial is; NULL: it is no Initial, or too long to be one. */
static uint8_t *initial_token(uint8_t *data, size_t size, size_t *token_size)
{
	size_t at;

	if (size < NGTCP2_MAX_UDP_PAYLOAD_SIZE || size > MAX_DATAGRAM || (data[0] & 0xf0) != 0xc0)
		return NULL;
	at = 6 + (size_t)data[5];
	at += 1 + (size_t)data[at];
	*token_size = data[at] & 0x3f;
	if (data[at] & 0x40)
		*token_size = *token_size << 8 | data[++at];
	return data + at + 1;
}

static struct {
	bool all, tokens; /* takes every Initial; those with a token */
	bool swap;	  /* the first two leave in the other order */
	int flip;	  /* 1 + the byte of tokens that is changed */
	size_t count, size[MAX_CAPTURED];
	uint8_t data[MAX_CAPTURED][MAX_DATAGRAM];
} wire;

/* Whether the datagram does not get any further. */
static bool wire_takes(int fd, const struct msghdr *message)
{
	uint8_t *data = message->msg_iov[0].iov_base, *token;
	size_t size = message->msg_iov[0].iov_len, token_size = 0, i;

	token = initial_token(data, size, &token_size);
	if (!token)
		return wire.all;
	if (wire.flip && token_size > 0)
		token[wire.flip - 1] ^= 0x81;
	if (!wire.all && !(wire.tokens && token_size > 0) && !wire.swap)
		return false;
	if (wire.count < MAX_CAPTURED) {
		memcpy(wire.data[wire.count], data, size);
		wire.size[wire.count++] = size;
	}
	if (wire.swap && wire.count == 2) {
		wire.swap = false;
		for (i = 2; i-- > 0;)
			(void)sendto(fd, wire.data[i], wire.size[i], 0, message->msg_name,
				message->msg_namelen);
	}
	return true;
}

/* Takes the place of the C library's for the whole program. */
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	uint64_t call = ++kernel.calls;
	struct cmsghdr *control;
	size_t datagram;
	ssize_t size = 0;
	uint16_t segment;

	for (size_t i = 0; i < message->msg_iovlen; i++)
		size += (ssize_t)message->msg_iov[i].iov_len;
	datagram = (size_t)size;

	if (kernel.always_blocked || (kernel.blocked && call % kernel.blocked == 0)) {
		errno = EAGAIN;
		return -1;
	}
	for (control = CMSG_FIRSTHDR(message); control;
		control = CMSG_NXTHDR((struct msghdr *)message, control)) {
		if (control->cmsg_level != SOL_UDP || control->cmsg_type != UDP_SEGMENT)
			continue;
		kernel.trains++;
		memcpy(&segment, CMSG_DATA(control), sizeof segment);
		datagram = segment;
		if (kernel.no_gso) {
			errno = EIO;
			return -1;
		}
	}
	if (kernel.most > 0 && datagram > kernel.most) {
		errno = EMSGSIZE;
		return -1;
	}
	if (datagram > kernel.longest)
		kernel.longest = datagram;
	if (kernel.swallowed > 0 && datagram > kernel.swallowed) {
		kernel.swallows++;
		return size;
	}
	if (wire_takes(fd, message) || (kernel.lost && call % kernel.lost == 0) ||
		(kernel.lost_next && kernel.lost_next--))
		return size;
	return syscall(SYS_sendmsg, fd, message, flags);
}

/* --- Callbacks --- */

static void on_connected(void *context, struct quic_connection *connection)
{
	struct side *side = context;

	side->connection = connection;
	side->connected++;
	if (side->close_now)
		quic_connection_close(connection, 7);
}

static bool on_accept(void *context, const struct id *peer)
{
	struct side *side = context;

	side->asked = *peer;
	return !side->refuse;
}

static void on_closed(
	void *context, struct quic_connection *connection, const struct closing *close)
{
	struct side *side = context;

	if (connection == side->connection)
		side->connection = NULL;
	(void)quic_connection_address(connection);
	quic_connection_close(connection, 1); /* allowed, does nothing */
	if (side->closed < MAX_CLOSES)
		side->closes[side->closed] = *close;
	side->closed++;
}

static void on_stream_data(
	void *context, struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
	struct side *side = context;
	struct reader *reader = quic_stream_data(stream);

	assert_true(quic_stream_incoming(stream));
	if (!reader) {
		reader = calloc(1, sizeof *reader);
		assert_non_null(reader);
		quic_stream_set_data(stream, reader);
	}
	for (size_t i = 0; i < size; i++)
		if (data[i] != pattern(reader->offset++))
			side->damaged = true;
	side->received += size;
	side->pieces++;
	for (uint64_t end = uv_hrtime() + UDP_READ_TIME; side->slow && uv_hrtime() < end;)
		;
	side->finished += fin;
	if (side->stop_now)
		quic_stream_stop(stream, 5);
}

static void on_stream_closed(void *context, struct quic_stream *stream)
{
	struct side *side = context;

	if (quic_stream_incoming(stream))
		free(quic_stream_data(stream));
	if (side->takes)
		side->taken = quic_stream_take(stream);
	side->stream_closed++;
}

static void on_stream_credit(void *context, struct quic_connection *connection)
{
	struct side *side = context;

	side->credit++;
}

/* --- The loop --- */

static void on_tick(uv_timer_t *timer)
{
}

static bool run_until(struct test *test, bool (*condition)(struct test *), unsigned milliseconds)
{
	uint64_t end = uv_hrtime() + milliseconds * 1000000ull;

	while (!condition(test)) {
		if (uv_hrtime() > end)
			return false;
		uv_run(&test->loop, UV_RUN_ONCE);
	}
	return true;
}

static bool never(struct test *test)
{
	return false;
}

static bool both_connected(struct test *test)
{
	return test->a.connected && test->b.connected;
}

static bool a_closed(struct test *test)
{
	return test->a.closed > 0;
}

static bool both_closed(struct test *test)
{
	return test->a.closed && test->b.closed;
}

static bool both_done(struct test *test)
{
	return test->a.done && test->b.done;
}

static void on_done(void *context)
{
	struct side *side = context;

	side->done = true;
	side->endpoint = NULL;
}

static void open_side(struct test *test, struct side *side, const char *protocol)
{
	struct quic_config config = {
		.loop = &test->loop,
		.identity = &side->identity,
		.protocols_count = 1,
		.protocols = {{
			.max_connections = side->max_connections ? side->max_connections : 64,
			.max_streams = 100,
			.idle_timeout = side->idle_timeout ? side->idle_timeout : QUIC_IDLE_TIMEOUT,
			.keep_alive = !side->mute,
			.callbacks = {on_connected, on_accept, on_closed, on_stream_data,
				on_stream_closed, on_stream_credit},
		}},
		.max_queue = 16 << 20,
		.counters = &side->counters,
		.context = side,
	};

	identity_alpn(protocol, &identity_default_network, &config.protocols[0].alpn);
	side->loop = &test->loop;
	side->done = false;
	assert_int_equal(quic_endpoint_new(&config, &side->endpoint), 0);
}

static void bind_side(struct side *side, const char *text)
{
	struct address address;

	assert_int_equal(address_parse(text, &address), 0);
	assert_int_equal(
		quic_endpoint_bind(side->endpoint, &address, &side->bound[side->binds++]), 0);
	assert_int_not_equal(side->bound[side->binds - 1].port, 0);
}

static void make_identity(struct side *side, uint8_t seed)
{
	uint8_t secret[IDENTITY_SECRET_SIZE] = {seed, 1, 2, 3};

	assert_int_equal(identity_from_secret(secret, &side->identity), 0);
}

static int setup(void **state)
{
	struct test *test = calloc(1, sizeof *test);

	memset(&kernel, 0, sizeof kernel);
	memset(&wire, 0, offsetof(typeof(wire), size));
	assert_non_null(test);
	assert_int_equal(uv_loop_init(&test->loop), 0);
	uv_timer_init(&test->loop, &test->tick);
	uv_timer_start(&test->tick, on_tick, 20, 20); /* so that run_until looks at the time */
	make_identity(&test->a, 1);
	make_identity(&test->b, 2);
	*state = test;
	return 0;
}

static void close_sides(struct test *test)
{
	uint64_t start = uv_hrtime();

	test->a.done = !test->a.endpoint;
	test->b.done = !test->b.endpoint;
	if (test->a.endpoint)
		quic_endpoint_close(test->a.endpoint, on_done, &test->a);
	if (test->b.endpoint)
		quic_endpoint_close(test->b.endpoint, on_done, &test->b);
	assert_true(run_until(test, both_done, 5000));
	assert_true(uv_hrtime() - start < 100000000ull);
}

static int teardown(void **state)
{
	struct test *test = *state;

	close_sides(test);
	uv_close((uv_handle_t *)&test->tick, NULL);
	uv_run(&test->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&test->loop), 0);
	identity_clear(&test->a.identity);
	identity_clear(&test->b.identity);
	free(test);
	return 0;
}

static void open_both(struct test *test, const char *address)
{
	open_side(test, &test->a, PROTOCOL_GOSSIP);
	open_side(test, &test->b, PROTOCOL_GOSSIP);
	bind_side(&test->a, address);
	bind_side(&test->b, address);
}

static struct quic_connection *dial(struct side *from, const struct side *to)
{
	struct quic_connection *connection;

	assert_int_equal(
		quic_connect(from->endpoint, 0, &to->identity.id, &to->bound[0], &connection), 0);
	return connection;
}

static void connect_both(struct test *test)
{
	open_both(test, "127.0.0.1:0");
	dial(&test->a, &test->b);
	assert_true(run_until(test, both_connected, 3000));
}

/* --- Tests --- */

static void handshake(struct test *test, const char *address)
{
	struct address seen;
	struct quic_connection *connection;

	open_both(test, address);
	connection = dial(&test->a, &test->b);
	assert_int_equal(test->a.connected, 0); /* never from inside a call */
	assert_true(run_until(test, both_connected, 3000));
	assert_ptr_equal(test->a.connection, connection);
	assert_false(quic_connection_incoming(connection));
	assert_true(quic_connection_incoming(test->b.connection));
	assert_true(id_equal(quic_connection_peer(connection), &test->b.identity.id));
	assert_true(id_equal(quic_connection_peer(test->b.connection), &test->a.identity.id));
	assert_true(id_equal(&test->b.asked, &test->a.identity.id));
	seen = quic_connection_address(connection);
	assert_int_equal(address_compare(&seen, &test->b.bound[0]), 0);
	seen = quic_connection_address(test->b.connection);
	assert_int_equal(address_compare(&seen, &test->a.bound[0]), 0);
}

static void handshake_v4(void **state)
{
	handshake(*state, "127.0.0.1:0");
}

/* Containers often have no IPv6, not even on loopback. */
static void need_v6(void)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	int rv = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&name, sizeof name);

	if (fd >= 0)
		close(fd);
	if (rv < 0)
		skip();
}

static void handshake_v6(void **state)
{
	need_v6();
	handshake(*state, "[::1]:0");
}

static void handshakes_are_quick(void **state)
{
	struct test *test = *state;
	uint64_t start = uv_hrtime();

	connect_both(test);
	/* Two round trips, no timer in them. */
	assert_true(uv_hrtime() - start < 500000000ull);
}

static void wrong_id_is_refused(void **state)
{
	struct test *test = *state;
	struct quic_connection *connection;

	open_both(test, "127.0.0.1:0");
	assert_int_equal(quic_connect(test->a.endpoint, 0, &test->a.identity.id, &test->b.bound[0],
				 &connection),
		0);
	assert_true(run_until(test, both_closed, 3000));
	assert_int_equal(test->a.connected + test->b.connected, 0);
	assert_string_equal(test->a.closes[0].text, "peer is not the dialled node");
	assert_false(test->a.closes[0].remote);
	assert_true(test->b.closes[0].remote);
	assert_true(test->b.closes[0].refused);
	assert_false(test->a.closes[0].refused);
	assert_non_null(strstr(test->b.closes[0].text, "does not accept our key"));
	assert_int_equal(counters_get(&test->a.counters, COUNTER_HANDSHAKES_REFUSED), 1);
}

static void wrong_protocol_is_refused(void **state)
{
	struct test *test = *state;

	open_side(test, &test->a, PROTOCOL_GOSSIP);
	open_side(test, &test->b, PROTOCOL_DISCOVERY);
	bind_side(&test->a, "127.0.0.1:0");
	bind_side(&test->b, "127.0.0.1:0");
	dial(&test->a, &test->b);
	assert_true(run_until(test, both_closed, 3000));
	assert_int_equal(test->a.connected + test->b.connected, 0);
	assert_int_equal(test->a.closes[0].code, 0x178);
	assert_true(test->a.closes[0].remote);
	assert_true(test->a.closes[0].refused);
	assert_non_null(strstr(test->a.closes[0].text, "no common protocol (other network id?)"));
	assert_string_equal(test->b.closes[0].text, "no common protocol (other network id?)");
	assert_int_equal(counters_get(&test->b.counters, COUNTER_HANDSHAKES_REFUSED), 1);
}

static void accept_refuses(void **state)
{
	struct test *test = *state;

	open_both(test, "127.0.0.1:0");
	test->b.refuse = true;
	dial(&test->a, &test->b);
	assert_true(run_until(test, both_closed, 3000));
	assert_int_equal(test->b.connected, 0);
	assert_string_equal(test->b.closes[0].text, "refused: not let in");
	assert_int_equal(test->a.closes[0].code, 0x131);
	assert_true(test->a.closes[0].refused);
	assert_non_null(strstr(test->a.closes[0].text, "it does not let us in"));
	assert_int_equal(counters_get(&test->b.counters, COUNTER_HANDSHAKES_REFUSED), 1);
}

static void nobody_there(void **state)
{
	struct test *test = *state;
	uint64_t start = uv_hrtime();
	struct address address;
	struct quic_connection *connection;

	open_side(test, &test->a, PROTOCOL_GOSSIP);
	bind_side(&test->a, "127.0.0.1:0");
	assert_int_equal(address_parse("127.0.0.1:9", &address), 0);
	assert_int_equal(
		quic_connect(test->a.endpoint, 0, &test->b.identity.id, &address, &connection), 0);
	assert_true(run_until(test, a_closed, 7000));
	assert_true(uv_hrtime() - start > 4000000000ull);
	assert_true(test->a.closes[0].timeout);
	assert_false(test->a.closes[0].refused);
	assert_string_equal(test->a.closes[0].text, "handshake timed out");
}

static void no_socket_of_that_family(void **state)
{
	struct test *test = *state;
	struct quic_connection *connection;
	struct address address;

	open_side(test, &test->a, PROTOCOL_GOSSIP);
	bind_side(&test->a, "127.0.0.1:0");
	assert_int_equal(address_parse("[::1]:4242", &address), 0);
	assert_int_equal(
		quic_connect(test->a.endpoint, 0, &test->b.identity.id, &address, &connection),
		ERROR_NO_IPV6);
	assert_null(connection);
}

static void bind_errors(void **state)
{
	struct test *test = *state;
	struct address address;

	open_both(test, "127.0.0.1:0");
	assert_int_equal(quic_endpoint_bind(test->a.endpoint, &test->b.bound[0], NULL),
		ERROR_ADDRESS_IN_USE);
	assert_int_equal(address_parse("192.0.2.1:0", &address), 0);
	assert_int_equal(quic_endpoint_bind(test->a.endpoint, &address, NULL),
		error_of_system(EADDRNOTAVAIL));
}

static size_t expected_bytes;

static bool both_received(struct test *test)
{
	return test->a.received >= expected_bytes && test->b.received >= expected_bytes;
}

static bool a_to_b(struct test *test)
{
	return test->b.received >= expected_bytes;
}

static bool probed(struct test *test)
{
	return ngtcp2_conn_get_path_max_tx_udp_payload_size(test->a.connection->conn) ==
	       QUIC_MAX_UDP_PAYLOAD;
}

static void frames_both_ways(struct test *test, size_t count, size_t size)
{
	struct side *sides[] = {&test->a, &test->b};

	connect_both(test);
	expected_bytes = count * size;
	for (size_t s = 0; s < 2; s++) {
		struct quic_connection *connection = sides[s]->connection;
		struct quic_stream *stream;
		uint64_t offset = 0;

		assert_int_equal(quic_stream_open(connection, &stream), 0);
		assert_ptr_equal(quic_stream_connection(stream), connection);
		for (size_t i = 0; i < count; i++)
			assert_int_equal(
				quic_stream_send(stream, make_frame(&offset, size, true)), 0);
		assert_int_equal(quic_connection_queued(connection), expected_bytes);
		quic_stream_finish(stream);
	}
	assert_true(run_until(test, both_received, 60000));
	for (int i = 0; i < 100 && quic_connection_queued(test->a.connection) +
						   quic_connection_queued(test->b.connection) >
					   0;
		i++)
		uv_run(&test->loop, UV_RUN_ONCE);
	run_until(test, never, 50);
	for (size_t s = 0; s < 2; s++) {
		assert_false(sides[s]->damaged);
		assert_int_equal(sides[s]->received, expected_bytes);
		assert_int_equal(sides[s]->finished, 1);
		assert_int_equal(sides[s]->stream_closed, 2);
		assert_int_equal(quic_connection_queued(sides[s]->connection), 0);
	}
}

static void small_frames(void **state)
{
	frames_both_ways(*state, 20000, 200);
}

static void large_frames(void **state)
{
	frames_both_ways(*state, 1000, 4057);
}

static void tiny_frames(void **state)
{
	frames_both_ways(*state, 2000, 1);
}

static void trains_where_they_work(void **state)
{
	frames_both_ways(*state, 1000, 4057);
	assert_true(kernel.trains > 0);
	/* 8 MB in datagrams of 9 kB, which loopback takes, and the acknowledgements. */
	assert_true(kernel.calls < 3000);
}

static void datagrams_as_large_as_the_path_takes(void **state)
{
	frames_both_ways(*state, 1000, 4057);
	assert_int_equal(kernel.longest, QUIC_MAX_UDP_PAYLOAD);
}

/* Sends 100 kB and waits until they are there; returns the longest datagram. */
static size_t carried(struct test *test, struct quic_stream *stream, uint64_t *offset)
{
	kernel.longest = 0;
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(quic_stream_send(stream, make_frame(offset, 1000, true)), 0);
	expected_bytes = *offset;
	assert_true(run_until(test, a_to_b, 10000));
	return kernel.longest;
}

static void a_path_that_takes_large_ones_no_longer(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;
	uint64_t offset = 0, time;

	connect_both(test);
	assert_true(run_until(test, probed, 10000));
	test->a.endpoint->black_hole_time = 50 * NGTCP2_MILLISECONDS;
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	assert_int_equal(carried(test, stream, &offset), QUIC_MAX_UDP_PAYLOAD);
	assert_int_equal(test->a.connection->small_time, 0);
	/* They are tried again, and each time later. */
	kernel.swallowed = 1200;
	for (time = 50; time <= 800; time *= 4) {
		assert_int_equal(carried(test, stream, &offset), QUIC_MAX_UDP_PAYLOAD);
		assert_int_equal(
			test->a.connection->small_time, time * NGTCP2_MILLISECONDS);
		kernel.swallows = 0;
		assert_uint_in_range(carried(test, stream, &offset), 1100, 1200);
		assert_int_equal(kernel.swallows, 0);
		run_until(test, never, (unsigned)time);
	}
	/* Gone, as if a peer that stood still had been taken for it. */
	kernel.swallowed = 0;
	assert_int_equal(carried(test, stream, &offset), QUIC_MAX_UDP_PAYLOAD);
	run_until(test, never, 900);
	kernel.swallowed = 1200;
	carried(test, stream, &offset);
	assert_int_equal(test->a.connection->small_time, 50 * NGTCP2_MILLISECONDS);
	assert_false(test->b.damaged);
}

static bool a_acknowledged(struct test *test)
{
	return quic_connection_queued(test->a.connection) == 0;
}

/* Sends a message; returns how many ms later it is acknowledged. */
static unsigned acknowledged_after(struct test *test, struct quic_stream *stream, uint64_t *offset)
{
	uint64_t begun = uv_hrtime();

	assert_int_equal(quic_stream_send(stream, make_frame(offset, 100, true)), 0);
	assert_true(run_until(test, a_acknowledged, 1000));
	return (unsigned)((uv_hrtime() - begun) / NGTCP2_MILLISECONDS);
}

static void one_acknowledgement_for_two_messages(void **state)
{
	const unsigned wait = QUIC_ACK_WAIT / NGTCP2_MILLISECONDS;
	struct test *test = *state;
	struct quic_stream *stream;
	uint64_t offset = 0, before;
	unsigned waited = 0;

	uv_timer_start(&test->tick, on_tick, 1, 1);
	connect_both(test);
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	run_until(test, never, 200);
	/* What comes after a pause is acknowledged at once, */
	assert_true(acknowledged_after(test, stream, &offset) < wait);
	run_until(test, never, 200);
	assert_true(acknowledged_after(test, stream, &offset) < wait);
	/* of others every second one, or when its time is up. */
	for (int i = 0; i < 8; i++)
		waited += acknowledged_after(test, stream, &offset) >= wait - 1;
	assert_uint_in_range(waited, 2, 5);
	run_until(test, never, 200);
	before = kernel.calls;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(quic_stream_send(stream, make_frame(&offset, 100, true)), 0);
		run_until(test, never, 5);
	}
	/* Five are acknowledged in turn, see docs/speed.md; it would be 20 + 20 + 10. */
	assert_true(kernel.calls - before <= 20 + 10 + 5 + 6);
	assert_true(run_until(test, a_acknowledged, 1000));
	/* One is missing: that is said at once. */
	run_until(test, never, 200);
	assert_true(acknowledged_after(test, stream, &offset) < wait);
	kernel.lost_next = 1;
	assert_int_equal(quic_stream_send(stream, make_frame(&offset, 100, true)), 0);
	uv_run(&test->loop, UV_RUN_ONCE);
	assert_int_equal(kernel.lost_next, 0);
	before = kernel.calls;
	assert_int_equal(quic_stream_send(stream, make_frame(&offset, 100, true)), 0);
	run_until(test, never, 5);
	assert_true(kernel.calls - before >= 2);
	assert_true(run_until(test, a_acknowledged, 1000));
	assert_int_equal(test->b.received, offset);
	assert_false(test->b.damaged);
}

/* A long turn of the peer's loop is not to come of it. */
static void small_datagrams_for_what_is_no_message(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;
	uint64_t offset = 0;

	connect_both(test);
	assert_true(run_until(test, probed, 10000));
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	kernel.longest = 0;
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(quic_stream_send(stream, make_frame(&offset, 60, false)), 0);
	expected_bytes = offset;
	assert_true(run_until(test, a_to_b, 10000));
	assert_int_equal(kernel.longest, QUIC_MAX_CONTROL);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(quic_stream_send(stream, make_frame(&offset, 60, true)), 0);
	expected_bytes = offset;
	assert_true(run_until(test, a_to_b, 10000));
	assert_int_equal(kernel.longest, QUIC_MAX_UDP_PAYLOAD);
}

/* Ethernet: the probes that are too large come to nothing. */
static void a_path_of_1500_bytes(void **state)
{
	kernel.most = 1472;
	frames_both_ways(*state, 1000, 4057);
	assert_int_equal(kernel.longest, 1452);
}

/* What is read at once may take many milliseconds to be looked at: it is cut, and others get their
 * turn of the loop in between. */
static void long_reads_are_cut(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;
	uint64_t offset = 0;
	size_t before, turns = 0;

	kernel.most = 1472; /* many datagrams */
	connect_both(test);
	test->b.slow = true;
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	for (size_t i = 0; i < 100; i++)
		assert_int_equal(quic_stream_send(stream, make_frame(&offset, 1000, true)), 0);
	quic_stream_finish(stream);
	for (; test->b.finished == 0; turns++) {
		assert_true(turns < 10000);
		before = test->b.pieces;
		uv_run(&test->loop, UV_RUN_ONCE);
		/* One of the rest and one that has just come, 1,400 bytes each. */
		assert_true(test->b.pieces - before <= 2);
	}
	assert_true(kernel.trains > 0);
	assert_true(test->b.pieces > 60);
	assert_int_equal(test->b.received, offset);
	assert_false(test->b.damaged);
}

static void no_trains(void **state)
{
	kernel.no_gso = true;
	frames_both_ways(*state, 1000, 4057);
	assert_int_equal(kernel.trains, 2); /* one per socket to learn it */
}

static void blocked_now_and_then(void **state)
{
	kernel.blocked = 3;
	frames_both_ways(*state, 1000, 4057);
}

static void blocked_without_trains(void **state)
{
	kernel.blocked = 2;
	kernel.no_gso = true;
	frames_both_ways(*state, 1000, 4057);
}

static void lossy(void **state)
{
	kernel.lost = 10;
	frames_both_ways(*state, 3000, 200);
}

/* The end does not wait for a kernel that never gets ready. */
static void close_while_blocked(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;
	uint64_t offset = 0;

	connect_both(test);
	kernel.always_blocked = true;
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	assert_int_equal(quic_stream_send(stream, make_frame(&offset, 4000, true)), 0);
	run_until(test, never, 30);
	quic_connection_close(test->a.connection, 1);
	close_sides(test);
	assert_int_equal(test->a.closed, 1);
	assert_int_equal(test->b.closed, 1);
}

static void many_streams_at_once(void **state)
{
	struct test *test = *state;

	connect_both(test);
	expected_bytes = 0;
	for (int s = 0; s < 90; s++) {
		struct quic_stream *stream;
		uint64_t offset = 0;

		assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
		for (int i = 0; i < 100; i++)
			assert_int_equal(
				quic_stream_send(stream,
					make_frame(&offset, (size_t)(1 + i * 7 % 500), true)),
				0);
		quic_stream_finish(stream);
		expected_bytes += offset;
	}
	test->a.received = expected_bytes;
	assert_true(run_until(test, both_received, 20000));
	assert_false(test->b.damaged);
	assert_int_equal(test->b.received, expected_bytes);
	assert_int_equal(test->b.finished, 90);
}

static bool b_has_bytes(struct test *test)
{
	return test->b.received >= expected_bytes;
}

static bool a_has_credit(struct test *test)
{
	return test->a.credit > 0;
}

static void streams_beyond_the_grant(void **state)
{
	struct test *test = *state;
	struct quic_stream *streams[130] = {0};
	size_t open = 0;

	connect_both(test);
	for (; open < 130; open++) {
		uint64_t offset = 0;

		if (quic_stream_open(test->a.connection, &streams[open]) != 0)
			break;
		assert_int_equal(quic_stream_send(streams[open], make_frame(&offset, 10, true)), 0);
	}
	assert_int_equal(open, 100);
	assert_int_equal(
		quic_stream_open(test->a.connection, &streams[100]), ERROR_NO_STREAM_CREDIT);
	expected_bytes = 1000;
	assert_true(run_until(test, b_has_bytes, 3000));
	assert_int_equal(test->a.credit, 0);
	/* Thirty that end make room for thirty more. */
	for (size_t i = 0; i < 30; i++)
		quic_stream_finish(streams[i]);
	while (open < 130) {
		uint64_t offset = 0;
		int rv;

		test->a.credit = 0;
		rv = quic_stream_open(test->a.connection, &streams[open]);
		if (rv == ERROR_NO_STREAM_CREDIT) {
			assert_true(run_until(test, a_has_credit, 3000));
			continue;
		}
		assert_int_equal(rv, 0);
		assert_int_equal(
			quic_stream_send(streams[open++], make_frame(&offset, 10, true)), 0);
	}
	expected_bytes = 1300;
	assert_true(run_until(test, b_has_bytes, 3000));
	assert_int_equal(test->b.received, 1300);
}

static bool a_stream_closed(struct test *test)
{
	return test->a.stream_closed > 0;
}

static void finish_without_data(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;
	struct frame *frame;
	uint64_t offset = 0;

	connect_both(test);
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	quic_stream_finish(stream);
	quic_stream_finish(stream);
	frame = make_frame(&offset, 1, false);
	assert_int_equal(quic_stream_send(stream, frame), ERROR_CLOSED);
	frame_free(frame); /* it stayed ours */
	assert_true(run_until(test, a_stream_closed, 3000));
	assert_int_equal(test->b.finished, 1);
	assert_int_equal(test->b.received, 0);
}

static uint64_t lost_copies(const struct side *side)
{
	return counters_get(&side->counters, COUNTER_DROPPED_PEER_LOST);
}

static void peer_stops_a_stream(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;
	uint64_t offset = 0;

	connect_both(test);
	test->b.stop_now = true;
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(quic_stream_send(stream, make_frame(&offset, 4000, true)), 0);
	test->a.takes = true;
	assert_true(run_until(test, a_stream_closed, 3000));
	assert_true(test->b.received < offset);
	/* It does not want them: they do not come back, but are counted. */
	assert_null(test->a.taken);
	test->a.takes = false;
	assert_true(lost_copies(&test->a) > 0 && lost_copies(&test->a) <= 1000);
	assert_int_equal(quic_connection_queued(test->a.connection), 0);
	/* The connection is as good as before. */
	test->b.stop_now = false;
	test->b.received = 0;
	offset = 0;
	expected_bytes = 100000;
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(quic_stream_send(stream, make_frame(&offset, 1000, true)), 0);
	assert_true(run_until(test, b_has_bytes, 3000));
	assert_false(test->b.damaged);
}

/* What the peer has not acknowledged when the connection ends is the owner's again, or counted. */
static void unacknowledged(struct test *test, bool takes)
{
	struct quic_stream *stream;
	struct frame *frame;
	uint64_t offset = 0;

	connect_both(test);
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	expected_bytes = 0;
	for (int i = 0; i < 10; i++, expected_bytes += 4000)
		assert_int_equal(quic_stream_send(stream, make_frame(&offset, 4000, true)), 0);
	assert_true(run_until(test, b_has_bytes, 3000));
	for (int i = 0; i < 100 && quic_connection_queued(test->a.connection) > 0; i++)
		uv_run(&test->loop, UV_RUN_ONCE);
	assert_int_equal(quic_connection_queued(test->a.connection), 0);
	kernel.lost = 1;
	for (int i = 0; i < 10; i++)
		assert_int_equal(quic_stream_send(stream, make_frame(&offset, 4000, i > 0)), 0);
	run_until(test, never, 30);
	test->a.takes = takes;
	quic_connection_close(test->a.connection, 1);
	assert_true(run_until(test, a_stream_closed, 3000));
	offset = expected_bytes;
	for (unsigned i = 0; takes && i < 10; i++) {
		frame = test->a.taken;
		assert_non_null(frame);
		test->a.taken = frame->next;
		assert_int_equal(frame->droppable, i > 0);
		assert_int_equal(frame->head[0], pattern(offset));
		offset += frame_size(frame);
		frame_free(frame);
	}
	assert_null(test->a.taken);
	run_until(test, never, 30);
	assert_int_equal(lost_copies(&test->a), takes ? 0 : 9);
	assert_int_equal(lost_copies(&test->b), 0);
}

static void what_is_unacknowledged_at_the_end_is_taken(void **state)
{
	unacknowledged(*state, true);
}

static void what_is_not_taken_is_counted(void **state)
{
	unacknowledged(*state, false);
}

static void full_queue(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;
	struct frame *frame;
	uint64_t offset = 0;
	int rv;

	connect_both(test);
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	for (;;) {
		frame = make_frame(&offset, 4000, true);
		rv = quic_stream_send(stream, frame);
		if (rv)
			break;
	}
	assert_int_equal(rv, ERROR_FULL);
	assert_true(quic_connection_queued(test->a.connection) > (16 << 20) - 4000);
	assert_true(quic_connection_queued(test->a.connection) <= 16 << 20);
	frame->droppable = false;
	assert_int_equal(quic_stream_send(stream, frame), 0);
	expected_bytes = offset;
	assert_true(run_until(test, b_has_bytes, 60000));
	assert_false(test->b.damaged);
}

/* Control frames are not refused, but not kept without end either. */
static void peer_that_does_not_read(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;
	struct frame *frame;
	uint64_t offset = 0;
	int rv;

	connect_both(test);
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	do {
		frame = make_frame(&offset, 4000, false);
		rv = quic_stream_send(stream, frame);
	} while (rv == 0);
	frame_free(frame);
	assert_int_equal(rv, ERROR_CLOSED);
	assert_true(offset > 32 << 20 && offset < 33 << 20);
	assert_true(run_until(test, both_closed, 5000));
	assert_string_equal(test->a.closes[0].text, "peer does not read");
	assert_int_equal(test->a.stream_closed, 1);
}

static void close_code_is_seen(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;

	connect_both(test);
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	quic_connection_close(test->a.connection, 42);
	quic_connection_close(test->a.connection, 43);
	assert_int_equal(quic_stream_open(test->a.connection, &stream), ERROR_CLOSED);
	assert_int_equal(test->a.closed, 0); /* never from inside a call */
	assert_true(run_until(test, both_closed, 1000));
	assert_int_equal(test->a.stream_closed, 1);
	assert_false(test->a.closes[0].remote);
	assert_true(test->a.closes[0].application);
	assert_int_equal(test->a.closes[0].code, 42);
	assert_string_equal(test->a.closes[0].text, "closed by us: code 42");
	assert_true(test->b.closes[0].remote);
	assert_true(test->b.closes[0].application);
	assert_false(test->b.closes[0].refused);
	assert_int_equal(test->b.closes[0].code, 42);
	assert_string_equal(test->b.closes[0].text, "closed by peer: code 42");
	run_until(test, never, 50);
	assert_int_equal(test->a.closed + test->b.closed, 2);
}

static void close_from_inside_connected(void **state)
{
	struct test *test = *state;

	open_both(test, "127.0.0.1:0");
	test->b.close_now = true;
	dial(&test->a, &test->b);
	assert_true(run_until(test, both_closed, 1000));
	assert_int_equal(test->a.closes[0].code, 7);
	assert_int_equal(test->b.connected, 1);
}

static void close_before_connected(void **state)
{
	struct test *test = *state;

	open_both(test, "127.0.0.1:0");
	quic_connection_close(dial(&test->a, &test->b), 3);
	assert_true(run_until(test, a_closed, 1000));
	assert_int_equal(test->a.connected, 0);
	run_until(test, never, 50);
	assert_int_equal(test->b.connected, 0);
}

static void endpoint_close_tells_everybody(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;
	uint64_t offset = 0;

	open_both(test, "127.0.0.1:0");
	for (int i = 0; i < 40; i++)
		dial(i % 2 ? &test->a : &test->b, i % 2 ? &test->b : &test->a);
	while (test->a.connected < 40 || test->b.connected < 40)
		uv_run(&test->loop, UV_RUN_ONCE);
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(quic_stream_send(stream, make_frame(&offset, 4000, true)), 0);
	quic_endpoint_close(test->a.endpoint, on_done, &test->a);
	while (!test->a.done || test->b.closed < 40)
		uv_run(&test->loop, UV_RUN_ONCE);
	assert_int_equal(test->a.closed, 40);
	for (int i = 0; i < 40; i++) {
		assert_true(test->b.closes[i].remote && test->b.closes[i].application);
		assert_int_equal(test->b.closes[i].code, 0);
	}
}

static void connection_limit(void **state)
{
	struct test *test = *state;
	struct quic_connection *connection;

	open_both(test, "127.0.0.1:0");
	for (int i = 0; i < 64; i++)
		dial(&test->a, &test->b);
	assert_int_equal(quic_connect(test->a.endpoint, 0, &test->b.identity.id, &test->b.bound[0],
				 &connection),
		ERROR_LIMIT);
	while (test->a.connected < 64 || test->b.connected < 64)
		uv_run(&test->loop, UV_RUN_ONCE);
	/* b is full too: what comes in beside them is refused at once. */
	{
		struct side third = {0};

		make_identity(&third, 3);
		open_side(test, &third, PROTOCOL_GOSSIP);
		bind_side(&third, "127.0.0.1:0");
		dial(&third, &test->b);
		while (!third.closed)
			uv_run(&test->loop, UV_RUN_ONCE);
		assert_int_equal(third.closes[0].code, 2);
		assert_true(third.closes[0].refused);
		assert_non_null(strstr(third.closes[0].text, "connection refused"));
		quic_endpoint_close(third.endpoint, on_done, &third);
		while (!third.done)
			uv_run(&test->loop, UV_RUN_ONCE);
		identity_clear(&third.identity);
	}
	assert_true(counters_get(&test->a.counters, COUNTER_LIMIT_CONNECTIONS) == 1);
	assert_true(counters_get(&test->b.counters, COUNTER_LIMIT_CONNECTIONS) >= 1);
}

/* The answer leaves from the address that was dialled, whichever the system prefers. */
static void wildcard(void **state)
{
	static const char *const addresses[] = {"127.0.0.1", "127.0.0.2", "127.0.0.3"};
	struct test *test = *state;

	open_side(test, &test->a, PROTOCOL_GOSSIP);
	open_side(test, &test->b, PROTOCOL_GOSSIP);
	bind_side(&test->a, "0.0.0.0:0");
	bind_side(&test->b, "0.0.0.0:0");
	for (size_t i = 0; i < 3; i++) {
		struct quic_connection *connection;
		struct address address, seen;
		char text[ADDRESS_TEXT_SIZE];

		snprintf(text, sizeof text, "%s:%u", addresses[i], test->b.bound[0].port);
		assert_int_equal(address_parse(text, &address), 0);
		test->a.connected = test->b.connected = 0;
		assert_int_equal(quic_connect(test->a.endpoint, 0, &test->b.identity.id, &address,
					 &connection),
			0);
		assert_true(run_until(test, both_connected, 1000));
		seen = quic_connection_address(connection);
		assert_int_equal(address_compare(&seen, &address), 0);
	}
}

static void wildcard_v6(void **state)
{
	struct test *test = *state;
	struct quic_connection *connection;
	struct address address;
	char text[ADDRESS_TEXT_SIZE];

	need_v6();
	open_side(test, &test->a, PROTOCOL_GOSSIP);
	open_side(test, &test->b, PROTOCOL_GOSSIP);
	/* Both families on one port. */
	bind_side(&test->b, "0.0.0.0:0");
	snprintf(text, sizeof text, "[::]:%u", test->b.bound[0].port);
	bind_side(&test->b, text);
	bind_side(&test->a, "0.0.0.0:0");
	bind_side(&test->a, "[::]:0");
	snprintf(text, sizeof text, "[::1]:%u", test->b.bound[1].port);
	assert_int_equal(address_parse(text, &address), 0);
	assert_int_equal(
		quic_connect(test->a.endpoint, 0, &test->b.identity.id, &address, &connection), 0);
	assert_true(run_until(test, both_connected, 1000));
	assert_int_equal(quic_connection_address(test->b.connection).family, 6);
}

static void garbage(void **state)
{
	struct test *test = *state;
	struct sockaddr_in to = {.sin_family = AF_INET};
	uint8_t data[1500];
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint64_t seed = 1;

	connect_both(test);
	to.sin_port = htons(test->b.bound[0].port);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < 20000; i++) {
		size_t size;

		for (size_t j = 0; j < sizeof data; j += 8) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			memcpy(data + j, &seed, sizeof data - j < 8 ? sizeof data - j : 8);
		}
		size = (size_t)(seed >> 33) % (sizeof data + 1);
		if (i % 3 == 0) { /* long header, version 1 */
			data[0] |= 0xc0;
			memcpy(data + 1, "\0\0\0\1", 4);
			data[5] = (uint8_t)(i % 24);
		}
		(void)sendto(fd, data, size, 0, (struct sockaddr *)&to, sizeof to);
		if (i % 50 == 0)
			uv_run(&test->loop, UV_RUN_NOWAIT);
	}
	close(fd);
	assert_int_equal(test->a.closed + test->b.closed, 0);
	{
		struct quic_stream *stream;
		uint64_t offset = 0;

		assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
		assert_int_equal(quic_stream_send(stream, make_frame(&offset, 500, true)), 0);
		expected_bytes = 500;
		assert_true(run_until(test, b_has_bytes, 3000));
	}
}

/* b is gone without a word and comes back with the same key and address: a learns it by
 * the answer to its next packet. */
static void restart_is_noticed(void **state)
{
	struct test *test = *state;
	struct side ghost = {0};
	struct quic_stream *stream;
	uint64_t offset = 0, start;
	char text[ADDRESS_TEXT_SIZE];
	int fd;

	connect_both(test);
	/* As if the process had died: b's socket is replaced below its feet by one that
	 * receives nothing, then its port is bound again. */
	address_format(&test->b.bound[0], text);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	for (int other = 3; other < fd; other++) {
		struct sockaddr_in name;
		socklen_t size = sizeof name;

		if (getsockname(other, (struct sockaddr *)&name, &size) == 0 &&
			name.sin_family == AF_INET && ntohs(name.sin_port) == test->b.bound[0].port)
			assert_int_equal(dup2(fd, other), other);
	}
	close(fd);
	make_identity(&ghost, 2);
	open_side(test, &ghost, PROTOCOL_GOSSIP);
	bind_side(&ghost, text);
	start = uv_hrtime();
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	assert_int_equal(quic_stream_send(stream, make_frame(&offset, 1, true)), 0);
	assert_true(run_until(test, a_closed, 3000));
	assert_true(uv_hrtime() - start < 500000000ull);
	assert_true(test->a.closes[0].remote);
	assert_non_null(strstr(test->a.closes[0].text, "restarted"));
	quic_endpoint_close(ghost.endpoint, on_done, &ghost);
	while (!ghost.done)
		uv_run(&test->loop, UV_RUN_ONCE);
	identity_clear(&ghost.identity);
}

/* With it everything about quiet connections happens five times as often. */
#define SHORT_IDLE (2 * NGTCP2_SECONDS)
#define SHORT_PING (SHORT_IDLE / 2)

/* Two that agree on a short idle timeout. At the end of the handshake they have said all. */
static void connect_quiet(struct test *test)
{
	test->a.idle_timeout = test->b.idle_timeout = SHORT_IDLE;
	connect_both(test);
	run_until(test, never, SHORT_PING / NGTCP2_MILLISECONDS);
}

/* One end pings, the other answers; every other answer is acknowledged in turn. */
static void one_end_pings(void **state)
{
	struct test *test = *state;
	uint64_t before;

	connect_quiet(test);
	before = kernel.calls;
	run_until(test, never, 6 * SHORT_PING / NGTCP2_MILLISECONDS);
	assert_int_equal(test->a.closed + test->b.closed, 0);
	assert_true(kernel.calls - before >= 5 * 2 && kernel.calls - before <= 7 * 5 / 2 + 1);
}

/* Nor is it left to somebody who does not: neither the dialler nor the acceptor needs the
 * other to ping. */
static void dialler_does_not_ping(void **state)
{
	struct test *test = *state;

	test->a.mute = true;
	connect_quiet(test);
	run_until(test, never, 3 * SHORT_PING / NGTCP2_MILLISECONDS);
	assert_int_equal(test->a.closed + test->b.closed, 0);
}

static void acceptor_does_not_ping(void **state)
{
	struct test *test = *state;

	test->b.mute = true;
	connect_quiet(test);
	run_until(test, never, 3 * SHORT_PING / NGTCP2_MILLISECONDS);
	assert_int_equal(test->a.closed + test->b.closed, 0);
}

static void nobody_pings(void **state)
{
	struct test *test = *state;

	test->a.mute = test->b.mute = true;
	connect_quiet(test);
	assert_true(run_until(test, both_closed, 3 * SHORT_IDLE / NGTCP2_MILLISECONDS));
	assert_true(test->a.closes[0].timeout);
}

static void lost_pings_are_repeated(void **state)
{
	struct test *test = *state;

	connect_quiet(test);
	for (int i = 0; i < 2; i++) {
		kernel.lost_next = 3;
		run_until(test, never, SHORT_IDLE / NGTCP2_MILLISECONDS);
		assert_int_equal(kernel.lost_next, 0);
	}
	assert_int_equal(test->a.closed + test->b.closed, 0);
}

/* Counted from what has come last, not from the ping that nobody answers: that would be half
 * as long again. */
static void dead_peer_is_noticed(void **state)
{
	struct test *test = *state;
	uint64_t heard, most;

	connect_quiet(test);
	heard = test->a.connection->vigil.heard_at;
	if (heard < test->b.connection->vigil.heard_at)
		heard = test->b.connection->vigil.heard_at;
	wire.all = true;
	most = heard + SHORT_IDLE * 5 / 4;
	assert_true(run_until(
		test, both_closed, (unsigned)((most - uv_hrtime()) / NGTCP2_MILLISECONDS)));
	assert_true(uv_hrtime() >= heard + SHORT_IDLE);
	assert_true(test->a.closes[0].timeout && test->b.closes[0].timeout);
	assert_string_equal(test->a.closes[0].text, "nothing heard for 2 s");
}

static bool four_connected(struct test *test)
{
	return test->a.connected == 4 && test->b.connected == 4;
}

/* However far apart they were dialled. */
static void pings_leave_together(void **state)
{
	struct test *test = *state;
	struct quic_connection *connections[4];

	test->a.idle_timeout = test->b.idle_timeout = SHORT_IDLE;
	open_both(test, "127.0.0.1:0");
	for (int i = 0; i < 4; i++) {
		connections[i] = dial(&test->a, &test->b);
		run_until(test, never, SHORT_PING / 4 / NGTCP2_MILLISECONDS);
	}
	assert_true(run_until(test, four_connected, 3000));
	run_until(test, never, 2 * SHORT_PING / NGTCP2_MILLISECONDS);
	assert_int_equal(test->a.closed, 0);
	for (int i = 1; i < 4; i++)
		assert_int_equal(
			connections[i]->vigil.ping_at, connections[0]->vigil.ping_at);
}

/* In the turn that has read it, without a timer. */
static void acknowledged_at_once(void **state)
{
	struct test *test = *state;
	struct quic_stream *stream;
	uint64_t offset = 0, before;

	connect_both(test);
	run_until(test, never, 300);
	before = kernel.calls;
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	assert_int_equal(quic_stream_send(stream, make_frame(&offset, 1, true)), 0);
	while (test->b.received == 0)
		uv_run(&test->loop, UV_RUN_ONCE);
	assert_int_equal(kernel.calls, before + 2);
}

/* Nothing but keep-alives, and no timer that fires more often. */
static void idle_stays_open(void **state)
{
	struct test *test = *state;

	connect_both(test);
	run_until(test, never, 11500);
	assert_int_equal(test->a.closed + test->b.closed, 0);
}

/* --- Floods --- */

static uint64_t retries_of(const struct side *side)
{
	return counters_get(&side->counters, COUNTER_RETRIES);
}

/* Both ends; b asks every address to prove itself. */
static void open_strict(struct test *test, const char *address)
{
	open_both(test, address);
	test->b.endpoint->max_unproven = 0;
}

static void connect_strict(struct test *test, const char *address)
{
	uint64_t start = uv_hrtime();
	uint64_t offset = 0;
	struct quic_stream *stream;

	open_strict(test, address);
	dial(&test->a, &test->b);
	assert_true(run_until(test, both_connected, 3000));
	assert_true(uv_hrtime() - start < 500000000ull); /* three round trips, no timer */
	assert_int_equal(retries_of(&test->b), 1);
	assert_int_equal(retries_of(&test->a), 0);
	assert_int_equal(test->b.endpoint->unproven_count, 0);
	assert_int_equal(quic_stream_open(test->a.connection, &stream), 0);
	assert_int_equal(quic_stream_send(stream, make_frame(&offset, 500, true)), 0);
	expected_bytes = 500;
	assert_true(run_until(test, b_has_bytes, 3000));
}

static void retry_v4(void **state)
{
	connect_strict(*state, "127.0.0.1:0");
}

static void retry_v6(void **state)
{
	need_v6();
	connect_strict(*state, "[::1]:0");
}

/* A socket with an address of its own, from where datagrams go to side. */
static int stranger(const struct side *side, const char *source)
{
	struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, source, &from.sin_addr), 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = htons(side->bound[0].port);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
	return fd;
}

/* What came back: how many datagrams, and how many of them are Retries. */
static size_t answers(int fd, size_t *retries)
{
	uint8_t data[2048];
	size_t count = 0;

	while (recv(fd, data, sizeof data, 0) > 0) {
		count++;
		if (retries && (data[0] & 0xf0) == 0xf0)
			++*retries;
	}
	return count;
}

static bool captured_one(struct test *test)
{
	return wire.count > 0;
}

/* An iroh client sends copies by every path that it knows: they begin nothing, and end
 * nothing. */
static void token_of_another_address(void **state)
{
	struct test *test = *state;
	int fd;

	open_strict(test, "127.0.0.1:0");
	fd = stranger(&test->b, "127.0.0.9");
	wire.tokens = true;
	dial(&test->a, &test->b);
	assert_true(run_until(test, captured_one, 3000));
	wire.tokens = false;
	assert_int_equal(send(fd, wire.data[0], wire.size[0], 0), wire.size[0]);
	run_until(test, never, 60);
	assert_int_equal(answers(fd, NULL), 0);
	assert_int_equal(test->b.endpoint->count, 0);
	/* The right one comes a PTO later. */
	assert_true(run_until(test, both_connected, 3000));
	assert_int_equal(test->b.connected, 1);
	assert_int_equal(retries_of(&test->b), 1);
	close(fd);
}

/* Not of a Retry of ours: like none at all. */
static void foreign_token(void **state)
{
	struct test *test = *state;
	size_t retries = 0, token_size = 0;
	uint8_t *token;
	int fd;

	open_strict(test, "127.0.0.1:0");
	fd = stranger(&test->b, "127.0.0.9");
	wire.tokens = true;
	dial(&test->a, &test->b);
	assert_true(run_until(test, captured_one, 3000));
	token = initial_token(wire.data[0], wire.size[0], &token_size);
	assert_non_null(token);
	assert_int_equal(token_size, NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN2);
	token[0] = NGTCP2_CRYPTO_TOKEN_MAGIC_REGULAR;
	assert_int_equal(send(fd, wire.data[0], wire.size[0], 0), wire.size[0]);
	run_until(test, never, 60);
	assert_int_equal(answers(fd, &retries), 1);
	assert_int_equal(retries, 1);
	assert_int_equal(test->b.endpoint->count, 0);
	close(fd);
}

static void token_is_refused(struct test *test)
{
	dial(&test->a, &test->b);
	assert_true(run_until(test, a_closed, 3000));
	assert_int_equal(test->a.connected, 0);
	assert_true(test->a.closes[0].remote);
	assert_int_equal(test->a.closes[0].code, NGTCP2_INVALID_TOKEN);
	assert_false(test->a.closes[0].refused);
	assert_int_equal(test->b.endpoint->count + test->b.endpoint->lingering_count, 0);
	assert_int_equal(retries_of(&test->b), 1);
}

static void forged_token(void **state)
{
	struct test *test = *state;

	open_strict(test, "127.0.0.1:0");
	wire.flip = 30;
	token_is_refused(test);
}

static void expired_token(void **state)
{
	struct test *test = *state;

	open_strict(test, "127.0.0.1:0");
	test->b.endpoint->token_lifetime = 1;
	token_is_refused(test);
}

/* A ClientHello of two datagrams, the second one first: two Retries, of which the client
 * takes one, and all of it again. */
static void halves_in_the_other_order(void **state)
{
	struct test *test = *state;
	uint64_t start = uv_hrtime();

	open_strict(test, "127.0.0.1:0");
	if (SSL_CTX_set1_groups_list(test->a.endpoint->tls.client, "X25519MLKEM768:X25519") != 1)
		skip();
	kernel.no_gso = true;
	wire.swap = true;
	dial(&test->a, &test->b);
	assert_true(run_until(test, both_connected, 3000));
	assert_false(wire.swap);
	assert_true(uv_hrtime() - start < 800000000ull); /* no PTO */
	assert_int_equal(retries_of(&test->b), 2);
	assert_int_equal(test->b.endpoint->count, 1);
}

static bool captured_all(struct test *test)
{
	return wire.count >= expected_bytes;
}

/* Real Initials to b that it has not seen, in wire. */
static void make_initials(struct test *test, size_t count)
{
	struct side maker = {.max_connections = count};
	struct quic_connection *connection;

	make_identity(&maker, 77);
	open_side(test, &maker, PROTOCOL_GOSSIP);
	bind_side(&maker, "127.0.0.1:0");
	wire.all = true;
	for (size_t i = 0; i < count; i++)
		assert_int_equal(quic_connect(maker.endpoint, 0, &test->b.identity.id,
					 &test->b.bound[0], &connection),
			0);
	expected_bytes = count;
	assert_true(run_until(test, captured_all, 5000));
	quic_endpoint_close(maker.endpoint, on_done, &maker);
	while (!maker.done)
		uv_run(&test->loop, UV_RUN_ONCE);
	identity_clear(&maker.identity);
	wire.all = false;
	wire.count = count;
}

#define SOURCES		 100
#define FLOOD_PER_SECOND 4000

static void open_sources(const struct side *side, int sources[SOURCES])
{
	for (int i = 0; i < SOURCES; i++) {
		char text[32];

		snprintf(text, sizeof text, "127.0.%d.%d", 1 + i / 10, 1 + i);
		sources[i] = stranger(side, text);
	}
}

static void send_initial(const int sources[SOURCES], size_t number)
{
	size_t i = number % wire.count;

	(void)send(sources[number * 7 % SOURCES], wire.data[i], wire.size[i], 0);
}

static bool nothing_left(struct test *test)
{
	return test->b.endpoint->count + test->b.endpoint->lingering_count == 0;
}

static void flood(void **state)
{
	struct test *test = *state;
	const struct quic_endpoint *victim;
	size_t sent = 0, back = 0, retries = 0, most = 0, most_unproven = 0, blocks,
	       most_blocks = 0;
	uint64_t start, next = 0, dialled = 0, slowest = 0;
	int sources[SOURCES];

	heap_begin();
	test->b.max_connections = LIMIT_CONNECTIONS;
	open_both(test, "127.0.0.1:0");
	victim = test->b.endpoint;
	test->b.endpoint->handshake_timeout = 2 * NGTCP2_SECONDS;
	make_initials(test, 400);
	open_sources(&test->b, sources);
	blocks = heap_blocks();
	start = uv_hrtime();
	while (uv_hrtime() - start < 1500 * NGTCP2_MILLISECONDS) {
		/* No more than is answered and the sockets' buffers hold: where that is lost
		 * nobody can get in but by luck. */
		for (int i = 0;
			i < 6 && sent < (uv_hrtime() - start) / (NGTCP2_SECONDS / FLOOD_PER_SECOND);
			i++)
			send_initial(sources, sent++);
		uv_run(&test->loop, UV_RUN_NOWAIT);
		if (victim->count > most)
			most = victim->count;
		if (victim->unproven_count > most_unproven)
			most_unproven = victim->unproven_count;
		if (heap_blocks() > most_blocks)
			most_blocks = heap_blocks();
		/* Meanwhile one after the other gets in. */
		if (dialled && test->a.connected > 0) {
			if (uv_hrtime() - dialled > slowest)
				slowest = uv_hrtime() - dialled;
			dialled = 0;
		}
		if (!dialled && most_unproven == QUIC_MAX_UNPROVEN && uv_hrtime() > next) {
			test->a.connected = 0;
			dial(&test->a, &test->b);
			dialled = uv_hrtime();
			next = dialled + 50 * NGTCP2_MILLISECONDS;
		}
	}
	for (int i = 0; i < SOURCES; i++) {
		back += answers(sources[i], &retries);
		close(sources[i]);
	}
	print_message("sent %zu, answers %zu, of them Retries %zu; connected %zu, slowest %llu ms; "
		      "at most %zu connections, %zu unproven, %zu blocks\n",
		sent, back, retries, test->b.connected, (unsigned long long)slowest / 1000000, most,
		most_unproven, most_blocks - blocks);
	assert_int_equal(most_unproven, QUIC_MAX_UNPROVEN);
	assert_true(test->b.connected >= 3);
	assert_int_equal(test->a.closed, 0);
	assert_true(slowest > 0 && slowest < NGTCP2_SECONDS);
	assert_true(most <= QUIC_MAX_UNPROVEN + test->b.connected + 1);
	assert_true(retries > 200);
	/* Some 30 for each end of a connection. */
	assert_true(most_blocks - blocks < 60 * (most + test->b.connected));
	/* The others are the real ones'. */
	assert_true(retries_of(&test->b) >= retries);
	assert_true(retries_of(&test->b) - retries <= test->b.connected + 1);
	assert_int_equal(counters_get(&test->b.counters, COUNTER_LIMIT_STATELESS), 0);
	assert_int_equal(test->b.closed, 0);
	/* They end by themselves, those that connected when a goes. */
	quic_endpoint_close(test->a.endpoint, on_done, &test->a);
	assert_true(run_until(test, nothing_left, 6000));
	assert_int_equal(victim->unproven_count, 0);
	assert_null(victim->cids.table);
	close_sides(test);
	heap_end();
}

static bool thirty_connected(struct test *test)
{
	return test->a.connected == 30 && test->b.connected == 30;
}

/* Those with proven addresses get the places of those without. */
static void unproven_give_way(void **state)
{
	struct test *test = *state;
	int sources[SOURCES];

	open_both(test, "127.0.0.1:0");
	make_initials(test, 80);
	open_sources(&test->b, sources);
	for (size_t i = 0; i < 80; i++) {
		send_initial(sources, i);
		uv_run(&test->loop, UV_RUN_NOWAIT);
	}
	run_until(test, never, 50);
	assert_int_equal(test->b.endpoint->count, 64 - 64 / QUIC_PROVEN_PART);
	assert_int_equal(retries_of(&test->b), 80 - 56);
	for (int i = 0; i < 30; i++)
		dial(&test->a, &test->b);
	assert_true(run_until(test, thirty_connected, 3000));
	run_until(test, never, 30);
	assert_int_equal(test->b.endpoint->count, 64);
	assert_int_equal(test->b.endpoint->unproven_count, 34);
	assert_int_equal(test->b.closed, 22);
	assert_string_equal(test->b.closes[0].text, "gave way: its address was not proven");
	assert_int_equal(counters_get(&test->b.counters, COUNTER_LIMIT_CONNECTIONS), 22);
	/* We dial ourselves: that is wanted too. */
	dial(&test->b, &test->a);
	run_until(test, never, 100);
	assert_int_equal(test->b.connected, 31);
	assert_int_equal(test->b.endpoint->count, 64);
	for (int i = 0; i < SOURCES; i++)
		close(sources[i]);
}

/* What is no handshake ends at once, but is not let in without end either. */
static void broken_initials(void **state)
{
	struct test *test = *state;
	uint64_t start = uv_hrtime(), allowed;
	int fd;

	open_both(test, "127.0.0.1:0");
	make_initials(test, 1);
	fd = stranger(&test->b, "127.0.0.9");
	for (int i = 0; i < 400; i++) {
		wire.data[0][10]++; /* of the id, and so of the keys */
		wire.data[0][11] ^= wire.data[0][10] == 0;
		(void)send(fd, wire.data[0], wire.size[0], 0);
		uv_run(&test->loop, UV_RUN_NOWAIT);
	}
	run_until(test, never, 30);
	assert_int_equal(test->b.endpoint->count + test->b.endpoint->lingering_count, 0);
	allowed = 101 + (uv_hrtime() - start) / (NGTCP2_SECONDS / QUIC_UNPROVEN_PER_SECOND);
	assert_true(retries_of(&test->b) + allowed >= 400);
	assert_true(retries_of(&test->b) <= 300);
	close(fd);
}

static void answers_are_limited(void **state)
{
	struct test *test = *state;
	uint8_t unknown[100] = {0x40, 1, 2, 3};
	size_t retries = 0, count;
	int fd;

	open_strict(test, "127.0.0.1:0");
	make_initials(test, 1);
	fd = stranger(&test->b, "127.0.0.9");
	test->b.endpoint->retries.interval = 10 * NGTCP2_SECONDS;
	test->b.endpoint->retries.at_once = 4;
	for (int i = 0; i < 50; i++) {
		(void)send(fd, wire.data[0], wire.size[0], 0);
		uv_run(&test->loop, UV_RUN_NOWAIT);
	}
	run_until(test, never, 30);
	count = answers(fd, &retries);
	assert_int_equal(count, 4);
	assert_int_equal(retries, count);
	assert_int_equal(retries_of(&test->b), count);
	assert_int_equal(counters_get(&test->b.counters, COUNTER_LIMIT_STATELESS), 50 - count);
	/* Resets, by the real limit: what the pause has saved, and what comes meanwhile. */
	{
		uint64_t start = uv_hrtime(), allowed;

		for (int i = 0; i < 1000; i++) {
			(void)send(fd, unknown, sizeof unknown, 0);
			uv_run(&test->loop, UV_RUN_NOWAIT);
		}
		run_until(test, never, 30);
		allowed = QUIC_STATELESS_PER_SECOND / 10 + 2 +
			  (uv_hrtime() - start) / (NGTCP2_SECONDS / QUIC_STATELESS_PER_SECOND);
		retries = 0;
		count = answers(fd, &retries);
		assert_true(count >= 100);
		assert_true(count <= allowed);
		assert_int_equal(retries, 0);
	}
	close(fd);
}

/* --- No memory --- */

static size_t allocations, failing;

static void *failing_alloc(void *context, size_t size)
{
	return allocations++ == failing ? NULL : malloc(size);
}

static void *failing_realloc(void *context, void *block, size_t size)
{
	return allocations++ == failing ? NULL : realloc(block, size);
}

static void failing_free(void *context, void *block)
{
	free(block);
}

static void send_once(void *context, struct quic_connection *connection)
{
	struct side *side = context;
	struct quic_stream *stream;
	struct frame *frame;

	side->connected++;
	for (int bidi = 0; bidi < 2; bidi++) {
		if ((bidi ? quic_bidi_open(connection, &stream)
			  : quic_stream_open(connection, &stream)) != 0)
			return;
		frame = frame_new(1);
		if (!frame)
			return;
		frame->head[0] = pattern(0);
		if (quic_stream_send(stream, frame) == 0)
			quic_stream_finish(stream);
		else
			frame_free(frame);
	}
}

/* An endpoint that dials itself, with streams of each kind both ways; each allocation fails
 * in turn. */
static void no_memory(void **state)
{
	static const struct memory memory = {failing_alloc, failing_realloc, failing_free, NULL};
	struct test *test = *state;
	bool complete = false;

	memory_set(&memory);
	for (failing = 0; !complete; failing++) {
		struct quic_config config = {
			.loop = &test->loop,
			.identity = &test->a.identity,
			.protocols_count = 1,
			.protocols = {{
				.max_connections = 4,
				.max_streams = 4,
				.max_bidi_streams = 4,
				.idle_timeout = QUIC_IDLE_TIMEOUT,
				.keep_alive = true,
				.callbacks = {send_once, on_accept, on_closed, on_stream_data,
					on_stream_closed, on_stream_credit},
			}},
			.max_queue = 1000,
			.counters = &test->a.counters,
			.context = &test->a,
		};
		struct quic_endpoint *endpoint;
		struct quic_connection *connection;
		struct address address;

		allocations = 0;
		test->a.done = false;
		test->a.received = 0;
		if (quic_endpoint_new(&config, &endpoint) != 0)
			continue;
		assert_int_equal(address_parse("127.0.0.1:0", &address), 0);
		if (quic_endpoint_bind(endpoint, &address, &address) == 0)
			(void)quic_connect(
				endpoint, 0, &test->a.identity.id, &address, &connection);
		for (int i = 0; i < 40 && test->a.received < 4; i++)
			uv_run(&test->loop, UV_RUN_NOWAIT);
		complete = test->a.received == 4 && allocations <= failing;
		quic_endpoint_close(endpoint, on_done, &test->a);
		while (!test->a.done)
			uv_run(&test->loop, UV_RUN_ONCE);
	}
	memory_set(NULL);
	assert_true(failing > 50);
	assert_false(test->a.damaged);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(handshake_v4),
		TEST(handshake_v6),
		TEST(handshakes_are_quick),
		TEST(wrong_id_is_refused),
		TEST(wrong_protocol_is_refused),
		TEST(accept_refuses),
		TEST(nobody_there),
		TEST(no_socket_of_that_family),
		TEST(bind_errors),
		TEST(small_frames),
		TEST(large_frames),
		TEST(tiny_frames),
		TEST(trains_where_they_work),
		TEST(datagrams_as_large_as_the_path_takes),
		TEST(one_acknowledgement_for_two_messages),
		TEST(small_datagrams_for_what_is_no_message),
		TEST(a_path_that_takes_large_ones_no_longer),
		TEST(a_path_of_1500_bytes),
		TEST(long_reads_are_cut),
		TEST(no_trains),
		TEST(blocked_now_and_then),
		TEST(blocked_without_trains),
		TEST(lossy),
		TEST(close_while_blocked),
		TEST(many_streams_at_once),
		TEST(streams_beyond_the_grant),
		TEST(finish_without_data),
		TEST(peer_stops_a_stream),
		TEST(what_is_unacknowledged_at_the_end_is_taken),
		TEST(what_is_not_taken_is_counted),
		TEST(full_queue),
		TEST(peer_that_does_not_read),
		TEST(close_code_is_seen),
		TEST(close_from_inside_connected),
		TEST(close_before_connected),
		TEST(endpoint_close_tells_everybody),
		TEST(connection_limit),
		TEST(wildcard),
		TEST(wildcard_v6),
		TEST(garbage),
		TEST(restart_is_noticed),
		TEST(one_end_pings),
		TEST(dialler_does_not_ping),
		TEST(acceptor_does_not_ping),
		TEST(nobody_pings),
		TEST(lost_pings_are_repeated),
		TEST(dead_peer_is_noticed),
		TEST(pings_leave_together),
		TEST(acknowledged_at_once),
		TEST(idle_stays_open),
		TEST(retry_v4),
		TEST(retry_v6),
		TEST(token_of_another_address),
		TEST(foreign_token),
		TEST(forged_token),
		TEST(expired_token),
		TEST(halves_in_the_other_order),
		TEST(flood),
		TEST(unproven_give_way),
		TEST(broken_initials),
		TEST(answers_are_limited),
		TEST(no_memory),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
