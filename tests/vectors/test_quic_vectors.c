/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The first datagram of real iroh clients: our server goes on with their handshake at
 * once (no HelloRetryRequest, which they do not survive), or says that it does not
 * speak their protocol. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bridge/error.h"
#include "bridge/quic/quic.h"
#include "support_json.h"

static const char *const generations[] = {"06", "07", "071"};

struct server {
	uv_loop_t loop;
	struct identity identity;
	struct counters counters;
	struct quic_endpoint *endpoint;
	struct address bound;
	int fd; /* the client's socket */
	bool done;
	struct closing close;
	unsigned closed;
};

static void on_connection(void *context, struct quic_connection *connection)
{
}

static void on_closed(
	void *context, struct quic_connection *connection, const struct closing *close)
{
	struct server *server = context;

	server->close = *close;
	server->closed++;
}

static void on_stream_data(
	void *context, struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
}

static void on_stream_closed(void *context, struct quic_stream *stream)
{
}

static void on_done(void *context)
{
	((struct server *)context)->done = true;
}

static void server_start(struct server *server, const char *protocol)
{
	uint8_t secret[IDENTITY_SECRET_SIZE] = {9};
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct quic_config config = {
		.loop = &server->loop,
		.identity = &server->identity,
		.protocols_count = 1,
		.protocols = {{
			.max_connections = 8,
			.max_streams = 8,
			.idle_timeout = QUIC_IDLE_TIMEOUT,
			.callbacks = {on_connection, NULL, on_closed, on_stream_data,
				on_stream_closed, on_connection},
		}},
		.max_queue = 1000,
		.counters = &server->counters,
		.context = server,
	};

	assert_int_equal(uv_loop_init(&server->loop), 0);
	assert_int_equal(identity_from_secret(secret, &server->identity), 0);
	identity_alpn(protocol, &identity_default_network, &config.protocols[0].alpn);
	assert_int_equal(quic_endpoint_new(&config, &server->endpoint), 0);
	assert_int_equal(address_parse("127.0.0.1:0", &server->bound), 0);
	assert_int_equal(quic_endpoint_bind(server->endpoint, &server->bound, &server->bound), 0);
	server->fd = socket(AF_INET, SOCK_DGRAM, 0);
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	to.sin_port = htons(server->bound.port);
	assert_int_equal(connect(server->fd, (struct sockaddr *)&to, sizeof to), 0);
}

static void server_stop(struct server *server)
{
	close(server->fd);
	quic_endpoint_close(server->endpoint, on_done, server);
	uv_run(&server->loop, UV_RUN_DEFAULT);
	assert_true(server->done);
	assert_int_equal(uv_loop_close(&server->loop), 0);
	identity_clear(&server->identity);
}

/* Sends the recorded datagrams count times; returns the bytes that came back. */
static size_t exchange(struct server *server, const char *generation, int count)
{
	cJSON *vectors = json_load("clienthello.json");
	const cJSON *datagram;
	uint8_t answer[65536];
	size_t total = 0;
	ssize_t n;

	while (count-- > 0) {
		cJSON_ArrayForEach(
			datagram, json_get(cJSON_GetObjectItemCaseSensitive(vectors, generation),
					  "datagrams"))
		{
			size_t size;
			uint8_t *bytes = json_bytes(datagram, "", &size);

			assert_int_equal(send(server->fd, bytes, size, 0), size);
			free(bytes);
		}
		for (int i = 0; i < 4; i++)
			uv_run(&server->loop, UV_RUN_NOWAIT);
	}
	while ((n = recv(server->fd, answer, sizeof answer, MSG_DONTWAIT)) > 0) {
		assert_true(answer[0] & 0x80); /* Initial, Handshake */
		total += (size_t)n;
	}
	cJSON_Delete(vectors);
	return total;
}

static void goes_on(void **state)
{
	for (size_t i = 0; i < 3; i++) {
		struct server server = {0};

		server_start(&server, PROTOCOL_DISCOVERY);
		/* ServerHello, the key, the signature of the transcript, Finished: not to be had
		 * in the 100 bytes of a HelloRetryRequest or a close, but padded all the same. */
		assert_true(exchange(&server, generations[i], 1) >= 1200);
		assert_int_equal(server.closed, 0);
		server_stop(&server);
		assert_int_equal(server.closed, 1);
	}
}

/* An iroh client sends them to every address that it knows of us. */
static void copies_are_one_connection(void **state)
{
	struct server server = {0};

	server_start(&server, PROTOCOL_DISCOVERY);
	assert_true(exchange(&server, "071", 5) >= 1200);
	server_stop(&server);
	assert_int_equal(server.closed, 1);
}

static void another_protocol(void **state)
{
	for (size_t i = 0; i < 3; i++) {
		struct server server = {0};

		server_start(&server, PROTOCOL_GOSSIP);
		assert_true(exchange(&server, generations[i], 1) > 0);
		assert_int_equal(server.closed, 1);
		assert_int_equal(server.close.code, 0x178);
		assert_int_equal(counters_get(&server.counters, COUNTER_HANDSHAKES_REFUSED), 1);
		server_stop(&server);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(goes_on),
		cmocka_unit_test(copies_are_one_connection),
		cmocka_unit_test(another_protocol),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
