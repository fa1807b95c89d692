/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Two endpoints without a socket, which know each other by a relay that is a queue in this process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/quic/internal.h"

#define QUEUE 4096

static const struct address relay = {.family = ADDRESS_RELAY, .ip = {1, 2, 3}};
static const struct address other_relay = {.family = ADDRESS_RELAY, .ip = {4, 5, 6}};

struct side {
	struct test *test;
	struct identity identity;
	struct counters counters;
	struct quic_endpoint *endpoint;
	struct quic_connection *connection;
	size_t connected, closed, asked;
	uint64_t received;
	struct closing closing;
	bool refuses;
};

struct datagram {
	struct side *to;
	struct address relay;
	struct id from;
	size_t size;
	uint8_t data[1500];
};

struct test {
	uv_loop_t loop;
	uv_prepare_t deliver;
	uv_idle_t awake; /* the loop does not sleep while something is in the queue */
	struct side a, b;
	const struct id *lies; /* what the relay says of whom b hears */
	const struct address *by; /* the relay by which that comes */
	unsigned lost;		  /* one in so many */
	size_t largest, sent, ended;
	size_t first, count;
	struct datagram queue[QUEUE];
};

static void on_awake(uv_idle_t *idle)
{
}

static void relay_send(void *context, const struct address *at, const struct id *node,
	const uint8_t *data, size_t size, size_t segment)
{
	struct side *side = context;
	struct test *test = side->test;
	struct datagram *datagram;
	size_t n;

	assert_true(address_is_relay(at));
	for (; size > 0; data += n, size -= n) {
		n = size < segment ? size : segment;
		if (n > test->largest)
			test->largest = n;
		test->sent++;
		if (test->lost && test->sent % test->lost == 0)
			continue;
		assert_true(test->count < QUEUE && n <= sizeof datagram->data);
		datagram = &test->queue[(test->first + test->count++) % QUEUE];
		datagram->to = side == &test->a ? &test->b : &test->a;
		assert_true(test->lies || id_equal(node, &datagram->to->identity.id));
		datagram->relay = *at;
		datagram->from = side->identity.id;
		if (datagram->to == &test->b && test->lies)
			datagram->from = *test->lies;
		if (datagram->to == &test->b && test->by)
			datagram->relay = *test->by;
		datagram->size = n;
		memcpy(datagram->data, data, n);
		uv_idle_start(&test->awake, on_awake);
	}
}

static void on_deliver(uv_prepare_t *prepare)
{
	struct test *test = prepare->data;
	struct datagram *datagram;

	for (size_t count = test->count; count > 0; count--) {
		datagram = &test->queue[test->first];
		test->first = (test->first + 1) % QUEUE;
		test->count--;
		if (datagram->to->endpoint)
			quic_endpoint_relayed(datagram->to->endpoint, &datagram->relay,
				&datagram->from, datagram->data, datagram->size);
	}
	if (test->count == 0)
		uv_idle_stop(&test->awake);
}

static bool relay_accept(void *context, const struct id *node)
{
	struct side *side = context;

	side->asked++;
	return !side->refuses;
}

static void on_connected(void *context, struct quic_connection *connection)
{
	struct side *side = context;

	side->connection = connection;
	side->connected++;
}

static void on_closed(void *context, struct quic_connection *connection, const struct closing *closing)
{
	struct side *side = context;

	if (side->connection == connection)
		side->connection = NULL;
	side->closing = *closing;
	side->closed++;
}

static void on_stream_data(
	void *context, struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
	struct side *side = context;

	for (size_t i = 0; i < size; i++)
		assert_int_equal(data[i], (uint8_t)(side->received + i));
	side->received += size;
}

static void on_stream_closed(void *context, struct quic_stream *stream)
{
}

static void on_credit(void *context, struct quic_connection *connection)
{
}

static void open_side(struct test *test, struct side *side, uint8_t seed)
{
	uint8_t secret[IDENTITY_SECRET_SIZE] = {seed, 1, 2, 3};
	struct quic_config config = {
		.loop = &test->loop,
		.identity = &side->identity,
		.protocols_count = 1,
		.protocols = {{
			.max_connections = 64,
			.max_streams = 100,
			.idle_timeout = QUIC_IDLE_TIMEOUT,
			.keep_alive = true,
			.callbacks = {.connected = on_connected,
				.closed = on_closed,
				.stream_data = on_stream_data,
				.stream_closed = on_stream_closed,
				.stream_credit = on_credit},
		}},
		.max_queue = 16 << 20,
		.relay_send = relay_send,
		.relay_accept = relay_accept,
		.counters = &side->counters,
		.context = side,
	};

	side->test = test;
	assert_int_equal(identity_from_secret(secret, &side->identity), 0);
	identity_alpn(PROTOCOL_GOSSIP, &identity_default_network, &config.protocols[0].alpn);
	assert_int_equal(quic_endpoint_new(&config, &side->endpoint), 0);
}

static int setup(void **state)
{
	struct test *test = calloc(1, sizeof *test);

	assert_non_null(test);
	assert_int_equal(uv_loop_init(&test->loop), 0);
	uv_prepare_init(&test->loop, &test->deliver);
	uv_idle_init(&test->loop, &test->awake);
	test->deliver.data = test;
	uv_prepare_start(&test->deliver, on_deliver);
	open_side(test, &test->a, 1);
	open_side(test, &test->b, 2);
	*state = test;
	return 0;
}

static void on_end(void *context)
{
	struct test *test = context;

	test->ended++;
}

static int teardown(void **state)
{
	struct test *test = *state;
	struct quic_endpoint *a = test->a.endpoint, *b = test->b.endpoint;

	quic_endpoint_close(a, on_end, test);
	quic_endpoint_close(b, on_end, test);
	test->a.endpoint = test->b.endpoint = NULL;
	while (test->ended < 2)
		uv_run(&test->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&test->deliver, NULL);
	uv_close((uv_handle_t *)&test->awake, NULL);
	uv_run(&test->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&test->loop), 0);
	identity_clear(&test->a.identity);
	identity_clear(&test->b.identity);
	free(test);
	return 0;
}

static struct quic_connection *dial(struct test *test)
{
	struct quic_connection *connection;

	assert_int_equal(
		quic_connect(test->a.endpoint, 0, &test->b.identity.id, &relay, &connection), 0);
	return connection;
}

static void run_until_connected(struct test *test)
{
	while (!test->a.connected || !test->b.connected)
		uv_run(&test->loop, UV_RUN_ONCE);
}

static void exchange(struct test *test)
{
	struct side *sides[] = {&test->a, &test->b};
	struct quic_stream *stream;
	struct frame *frame;
	uint8_t sent;

	for (size_t i = 0; i < 2; i++) {
		sent = 0;
		assert_int_equal(quic_stream_open(sides[i]->connection, &stream), 0);
		for (size_t j = 0; j < 300; j++) {
			frame = frame_new(100);
			assert_non_null(frame);
			for (size_t k = 0; k < 100; k++)
				frame->head[k] = sent++;
			assert_int_equal(quic_stream_send(stream, frame), 0);
		}
	}
	while (test->a.received < 30000 || test->b.received < 30000)
		uv_run(&test->loop, UV_RUN_ONCE);
}

static void both_ways(void **state)
{
	struct test *test = *state;
	struct address address;

	dial(test);
	run_until_connected(test);
	assert_true(id_equal(quic_connection_peer(test->b.connection), &test->a.identity.id));
	address = quic_connection_address(test->a.connection);
	assert_int_equal(address_compare(&address, &relay), 0);
	address = quic_connection_address(test->b.connection);
	assert_int_equal(address_compare(&address, &relay), 0);
	exchange(test);
	assert_int_equal(test->largest, 1200);
	/* They have no address that could be gone. */
	quic_endpoint_addresses_changed(test->a.endpoint);
	assert_int_equal(test->a.closed, 0);
}

static void what_is_lost_comes_again(void **state)
{
	struct test *test = *state;

	test->lost = 5;
	dial(test);
	run_until_connected(test);
	exchange(test);
}

/* A relay that names another than the one that proves to be there. */
static void a_relay_that_lies(void **state)
{
	struct test *test = *state;
	struct id mallory = {{9}};

	test->lies = &mallory;
	dial(test);
	while (!test->a.closed || !test->b.closed)
		uv_run(&test->loop, UV_RUN_ONCE);
	assert_int_equal(test->b.connected, 0);
	assert_string_equal(test->b.closing.text, "peer is not the node that the relay names");
	assert_true(test->a.closing.refused);
}

static void who_is_not_let_in_costs_nothing(void **state)
{
	struct test *test = *state;

	test->b.refuses = true;
	dial(test);
	while (test->b.asked < 3)
		uv_run(&test->loop, UV_RUN_ONCE);
	assert_int_equal(test->b.endpoint->count, 0);
	assert_int_equal(test->b.endpoint->lingering_count, 0);
	assert_null(test->b.endpoint->dirty);
	assert_true(counters_get(&test->b.counters, COUNTER_HANDSHAKES_REFUSED) >= 3);
}

/* A connection stays with the relay and the node that it has begun with. */
static void by_another_relay(void **state)
{
	struct test *test = *state;
	size_t connections;

	dial(test);
	run_until_connected(test);
	connections = test->b.endpoint->count;
	test->by = &other_relay;
	dial(test); /* a second one, which comes by the other */
	for (unsigned i = 0; i < 2000 && test->b.endpoint->count == connections; i++)
		uv_run(&test->loop, UV_RUN_NOWAIT);
	assert_int_equal(test->b.endpoint->count, connections + 1);
	/* What belongs to the first one now comes by the other relay as well, and is not heard:
	 * it ends as if nothing came. */
	while (test->b.closed == 0)
		uv_run(&test->loop, UV_RUN_ONCE);
	assert_true(test->b.closing.timeout);
}

static void on_time(uv_timer_t *timer)
{
	bool *over = timer->data;

	*over = true;
}

static void run_for(struct test *test, uint64_t ms)
{
	bool over = false;
	uv_timer_t timer = {.data = &over};

	uv_timer_init(&test->loop, &timer);
	uv_timer_start(&timer, on_time, ms, 0);
	while (!over)
		uv_run(&test->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&timer, NULL);
	uv_run(&test->loop, UV_RUN_NOWAIT);
}

/* Who is asked whether the connection still is there is asked once, be it one that is pinged when
 * it is quiet or not. */
static void a_relay_that_is_back(void **state)
{
	struct test *test = *state;
	size_t before;

	for (unsigned keep_alive = 0; keep_alive < 2; keep_alive++) {
		test->a.endpoint->config.protocols[0].keep_alive = keep_alive;
		test->a.connected = test->b.connected = 0;
		dial(test);
		run_until_connected(test);
		run_for(test, 200);
		before = test->sent;
		quic_endpoint_relay_up(test->a.endpoint, &relay);
		run_for(test, 200);
		assert_true(test->sent - before >= 2 && test->sent - before <= 8);
	}
}

static void without_relays(void **state)
{
	struct test *test = *state;
	struct quic_connection *connection;

	test->a.endpoint->config.relay_send = NULL;
	assert_int_equal(
		quic_connect(test->a.endpoint, 0, &test->b.identity.id, &relay, &connection),
		ERROR_NOT_FOUND);
	assert_null(connection);
	test->a.endpoint->config.relay_send = relay_send;
}

static void rubbish(void **state)
{
	struct test *test = *state;
	struct random random = random_system();
	uint8_t data[1500];

	for (unsigned i = 0; i < 20000; i++) {
		size_t size = random_below(&random, sizeof data);

		random.fill(random.context, data, size);
		quic_endpoint_relayed(
			test->b.endpoint, &relay, &test->a.identity.id, data, size);
		test->count = 0;
	}
	assert_int_equal(test->b.endpoint->count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(both_ways),
		TEST(what_is_lost_comes_again),
		TEST(a_relay_that_lies),
		TEST(who_is_not_let_in_costs_nothing),
		TEST(by_another_relay),
		TEST(a_relay_that_is_back),
		TEST(without_relays),
		TEST(rubbish),
	};

	return cmocka_run_group_tests_name("relayed", tests, NULL, NULL);
}
