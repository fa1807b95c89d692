/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two endpoints on loopback, of which one does not take all that comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/quic/internal.h"

#define PIECE 4000
#define PATIENCE UINT64_C(20000000000)

struct side {
	struct identity identity;
	struct counters counters;
	struct quic_endpoint *endpoint;
	struct quic_connection *connection;
	bool done;
};

/* What has come on one of the streams, which begin with their number. */
struct inlet {
	bool full; /* nothing is taken of it */
	uint64_t got;
	bool fin, closed, disordered;
};

static struct {
	uv_loop_t loop;
	uv_timer_t tick;
	struct side a, b;
	struct inlet inlets[2];
	bool stop; /* b stops each stream at its next bytes */
	bool connection_closed;
} test;

static uint8_t pattern(uint64_t at)
{
	return (uint8_t)(at * 31 ^ at >> 9);
}

static void on_connected(void *context, struct quic_connection *connection)
{
	((struct side *)context)->connection = connection;
}

static void on_closed(void *context, struct quic_connection *connection, const struct closing *close)
{
	((struct side *)context)->connection = NULL;
	test.connection_closed = true;
}

static bool on_takes(void *context, struct quic_stream *stream)
{
	const struct inlet *inlet = quic_stream_data(stream);

	return !inlet || !inlet->full;
}

static void on_stream_data(
	void *context, struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
	struct inlet *inlet = quic_stream_data(stream);

	if (!inlet) {
		assert_true(size > 0 && data[0] < 2);
		inlet = &test.inlets[data[0]];
		quic_stream_set_data(stream, inlet);
		inlet->got = 1;
		data++, size--;
	}
	assert_false(inlet->fin);
	for (; size > 0; size--)
		inlet->disordered |= *data++ != pattern(inlet->got++);
	inlet->fin = fin;
	if (test.stop)
		quic_stream_stop(stream, 3);
}

static void on_stream_closed(void *context, struct quic_stream *stream)
{
	struct inlet *inlet = quic_stream_incoming(stream) ? quic_stream_data(stream) : NULL;

	if (inlet)
		inlet->closed = true;
}

static void on_tick(uv_timer_t *timer)
{
}

#define until(condition) \
	do { \
		uint64_t begun_ = uv_hrtime(); \
		while (!(condition)) { \
			assert_true(uv_hrtime() - begun_ < PATIENCE); \
			uv_run(&test.loop, UV_RUN_ONCE); \
		} \
	} while (0)

static void open_side(struct side *side, uint8_t seed)
{
	uint8_t secret[IDENTITY_SECRET_SIZE] = {seed};
	struct address address = {.family = 4, .ip = {127, 0, 0, 1}};
	struct quic_config config = {
		.loop = &test.loop,
		.identity = &side->identity,
		.protocols_count = 1,
		.protocols = {{
			.max_connections = 8,
			.max_streams = 100,
			.idle_timeout = QUIC_IDLE_TIMEOUT,
			.keep_alive = true,
			.callbacks = {.connected = on_connected,
				.closed = on_closed,
				.stream_takes = on_takes,
				.stream_data = on_stream_data,
				.stream_closed = on_stream_closed},
		}},
		.max_queue = 64 << 20,
		.counters = &side->counters,
		.context = side,
	};

	assert_int_equal(identity_from_secret(secret, &side->identity), 0);
	identity_alpn(PROTOCOL_GOSSIP, &identity_default_network, &config.protocols[0].alpn);
	assert_int_equal(quic_endpoint_new(&config, &side->endpoint), 0);
	assert_int_equal(quic_endpoint_bind(side->endpoint, &address, &address), 0);
	if (side == &test.a)
		return;
	assert_int_equal(quic_connect(test.a.endpoint, 0, &side->identity.id, &address,
				 &test.a.connection),
		0);
}

static int setup(void **state)
{
	memset(&test, 0, sizeof test);
	assert_int_equal(uv_loop_init(&test.loop), 0);
	uv_timer_init(&test.loop, &test.tick);
	uv_timer_start(&test.tick, on_tick, 10, 10); /* until looks at the time */
	open_side(&test.a, 1);
	open_side(&test.b, 2);
	until(test.b.connection);
	return 0;
}

static void on_done(void *context)
{
	((struct side *)context)->done = true;
}

static int teardown(void **state)
{
	quic_endpoint_close(test.a.endpoint, on_done, &test.a);
	quic_endpoint_close(test.b.endpoint, on_done, &test.b);
	until(test.a.done && test.b.done);
	uv_close((uv_handle_t *)&test.tick, NULL);
	uv_run(&test.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&test.loop), 0);
	identity_clear(&test.a.identity);
	identity_clear(&test.b.identity);
	return 0;
}

/* A stream that begins with its number, which has arrived. */
static struct quic_stream *open_stream(uint8_t number)
{
	struct quic_stream *stream;
	struct frame *frame = frame_new(1);

	assert_non_null(frame);
	frame->head[0] = number;
	assert_int_equal(quic_stream_open(test.a.connection, &stream), 0);
	assert_int_equal(quic_stream_send(stream, frame), 0);
	until(test.inlets[number].got == 1);
	return stream;
}

/* Sends so many pieces; at: where the stream is. */
static void send_pieces(struct quic_stream *stream, uint64_t *at, size_t count)
{
	struct frame *frame;

	for (; count > 0; count--) {
		frame = frame_new(PIECE);
		assert_non_null(frame);
		for (size_t i = 0; i < PIECE; i++)
			frame->head[i] = pattern((*at)++);
		assert_int_equal(quic_stream_send(stream, frame), 0);
	}
}

/* Nothing more comes for a while. */
static void rest(void)
{
	uint64_t begun = uv_hrtime();

	until(uv_hrtime() - begun > UINT64_C(200000000));
}

static void the_sender_stops_and_goes_on(void **state)
{
	struct quic_stream *stream = open_stream(0);
	uint64_t at = 1;
	size_t queued;

	test.inlets[0].full = true;
	send_pieces(stream, &at, 5000); /* more than any window */
	until(quic_endpoint_holds(test.b.endpoint));
	rest();
	assert_int_equal(test.inlets[0].got, 1);
	queued = quic_connection_queued(test.a.connection);
	assert_true(queued > 0);
	assert_false(quic_endpoint_read_on(test.b.endpoint)); /* still full */
	rest();
	assert_int_equal(quic_connection_queued(test.a.connection), queued);
	assert_int_equal(counters_get(&test.b.counters, COUNTER_UNREAD), 1);
	test.inlets[0].full = false;
	while (test.inlets[0].got < at) {
		quic_endpoint_read_on(test.b.endpoint);
		uv_run(&test.loop, UV_RUN_ONCE);
	}
	assert_false(test.inlets[0].disordered);
	assert_false(quic_endpoint_holds(test.b.endpoint));
	assert_int_equal(test.b.connection->held, 0);
	until(quic_connection_queued(test.a.connection) == 0);
}

static void others_are_read_meanwhile(void **state)
{
	struct quic_stream *full = open_stream(0), *other = open_stream(1);
	uint64_t at_full = 1, at_other = 1;

	test.inlets[0].full = true;
	send_pieces(full, &at_full, 5000);
	rest();
	/* More than the connection's window has been at any time. */
	send_pieces(other, &at_other, 6000);
	until(test.inlets[1].got == at_other);
	assert_false(test.inlets[1].disordered);
	assert_int_equal(test.inlets[0].got, 1);
	assert_true(test.b.connection->held <= test.b.connection->window / 2);
}

static void all_of_it_when_the_stream_ends(void **state)
{
	struct quic_stream *stream = open_stream(0);
	uint64_t at = 1;

	test.inlets[0].full = true;
	send_pieces(stream, &at, 10);
	quic_stream_finish(stream);
	until(test.inlets[0].closed);
	assert_int_equal(test.inlets[0].got, at);
	assert_true(test.inlets[0].fin);
	assert_false(test.inlets[0].disordered);
}

static void all_of_it_when_the_peer_goes(void **state)
{
	struct quic_stream *stream = open_stream(0);
	uint64_t at = 1;

	test.inlets[0].full = true;
	send_pieces(stream, &at, 10);
	until(quic_connection_queued(test.a.connection) == 0); /* acknowledged */
	assert_int_equal(test.inlets[0].got, 1);
	quic_connection_close(test.a.connection, 0);
	until(test.connection_closed && !test.b.connection);
	assert_int_equal(test.inlets[0].got, at);
	assert_false(test.inlets[0].disordered);
}

static void nothing_after_we_have_closed(void **state)
{
	struct quic_stream *stream = open_stream(0);
	uint64_t at = 1;

	test.inlets[0].full = true;
	send_pieces(stream, &at, 10);
	until(quic_endpoint_holds(test.b.endpoint));
	quic_connection_close(test.b.connection, 1);
	until(!test.b.connection);
	assert_int_equal(test.inlets[0].got, 1);
	assert_false(quic_endpoint_holds(test.b.endpoint));
}

static void stopped_while_it_is_full(void **state)
{
	struct quic_stream *stream = open_stream(0);
	uint64_t at = 1;

	test.inlets[0].full = true;
	send_pieces(stream, &at, 100);
	until(quic_endpoint_holds(test.b.endpoint));
	rest();
	test.inlets[0].full = false;
	test.stop = true;
	quic_endpoint_read_on(test.b.endpoint);
	assert_false(quic_endpoint_holds(test.b.endpoint));
	assert_true(test.inlets[0].got > 1 && test.inlets[0].got < at);
	assert_int_equal(test.b.connection->held, 0);
	until(test.inlets[0].closed);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_sender_stops_and_goes_on),
		TEST(others_are_read_meanwhile),
		TEST(all_of_it_when_the_stream_ends),
		TEST(all_of_it_when_the_peer_goes),
		TEST(nothing_after_we_have_closed),
		TEST(stopped_while_it_is_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
