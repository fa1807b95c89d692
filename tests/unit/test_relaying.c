/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Relaying on a loop of its own, driven as the node's driver does it, against servers on the same
 * loop. (Against iroh's own relay it is run in tests/interop.)
 */
#include <dlfcn.h>
#include <netdb.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/io/relaying.h"
#include "bridge/limits.h"
#include "support_heap.h"
#include "support_relay.h"

/* In place of the C library's: a name that leads to this machine, for relays that others name. */
int getaddrinfo(
	const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
		(int (*)(const char *, const char *, const struct addrinfo *,
			struct addrinfo **))dlsym(RTLD_NEXT, "getaddrinfo");

	return next(strcmp(host, "inside.test") == 0 ? "127.0.0.1" : host, service, hints, out);
}

/* ---- servers ---- */

enum behaviour {
	RELAY,
	EAGER, /* a relay that has a datagram for us at once */
	DENY,
	NOT_FOUND,
	CLOSE,	 /* at once */
	SILENT,	 /* takes all, says nothing */
	STUCK,	 /* a relay that reads nothing more once it has let us in */
	NO_TLS,
};

struct server;

struct guest {
	uv_tcp_t tcp; /* first */
	struct server *server;
	struct guest *next;
	enum { REQUEST, AUTH, INSIDE } phase;
	uint8_t *bytes; /* not understood yet */
	size_t size;
};

static struct server {
	uv_tcp_t listener;
	bool runs;
	enum behaviour behaviour;
	uint16_t port;
	unsigned accepted;
	struct guest *guests;
	size_t datagrams, batches; /* frames that came */
	uint8_t last[2048];
	size_t last_size;
} servers[2];

static struct heard heard;

static const struct id someone = {{7, 7, 7}};

static void on_guest_closed(uv_handle_t *handle)
{
	struct guest *guest = (struct guest *)handle, **at;

	for (at = &guest->server->guests; *at != guest; at = &(*at)->next)
		;
	*at = guest->next;
	free(guest->bytes);
	free(guest);
}

static void close_guest(struct guest *guest)
{
	if (!uv_is_closing((uv_handle_t *)&guest->tcp))
		uv_close((uv_handle_t *)&guest->tcp, on_guest_closed);
}

struct speech {
	uv_write_t request; /* first */
	struct said said;
};

static void on_spoken(uv_write_t *request, int status)
{
	free(request);
}

static void speak(struct guest *guest, struct speech *speech)
{
	uv_buf_t buffer = uv_buf_init((char *)speech->said.bytes, (unsigned)speech->said.size);

	assert_int_equal(
		uv_write(&speech->request, (uv_stream_t *)&guest->tcp, &buffer, 1, on_spoken), 0);
}

static struct speech *speech_new(void)
{
	return calloc(1, sizeof(struct speech));
}

static void speak_text(struct guest *guest, const char *text)
{
	struct speech *speech = speech_new();

	speech->said.size = strlen(text);
	memcpy(speech->said.bytes, text, speech->said.size);
	speak(guest, speech);
}

/* A datagram from someone. */
static void say_datagram(struct said *said, const void *data, size_t size)
{
	uint8_t payload[2048] = {0};

	memcpy(payload, someone.bytes, ID_SIZE);
	memcpy(payload + ID_SIZE + 1, data, size);
	say(said, 0x06, payload, ID_SIZE + 1 + size);
}

static void take_request(struct guest *guest)
{
	struct speech *speech;

	if (!memmem(guest->bytes, guest->size, "\r\n\r\n", 4))
		return;
	assert_memory_equal(guest->bytes, "GET /relay HTTP/1.1\r\n", 21);
	speech = speech_new();
	say_upgrade(&speech->said, guest->bytes, guest->size, "iroh-relay-v2");
	say(&speech->said, 0x00, "0123456789abcdef", 16);
	speak(guest, speech);
	guest->size = 0;
	guest->phase = AUTH;
}

static void take_auth(struct guest *guest)
{
	struct speech *speech = speech_new();

	assert_int_equal(heard.payload[0], 0x01);
	if (guest->server->behaviour == DENY) {
		say(&speech->said, 0x03, "\x05go on", 6);
	} else {
		say(&speech->said, 0x02, "", 0);
		if (guest->server->behaviour == EAGER)
			say_datagram(&speech->said, "early", 5);
		guest->phase = INSIDE;
	}
	speak(guest, speech);
}

static void take_frame(struct guest *guest)
{
	struct server *server = guest->server;
	struct speech *speech;

	switch (heard.payload[0]) {
	case 0x04:
		server->datagrams++;
		server->last_size = heard.size - 1 - ID_SIZE - 1;
		memcpy(server->last, heard.payload + 1 + ID_SIZE + 1, server->last_size);
		break;
	case 0x05:
		server->batches++;
		break;
	case 0x09:
		speech = speech_new();
		say(&speech->said, 0x0a, heard.payload + 1, heard.size - 1);
		speak(guest, speech);
		break;
	}
}

static void take_frames(struct guest *guest)
{
	size_t used = 0, one;

	while ((one = frame_heard(guest->bytes + used, guest->size - used, &heard)) > 0) {
		used += one;
		if ((heard.opcode & 0xf) == 8)
			continue; /* a Close */
		if (guest->phase == AUTH)
			take_auth(guest);
		else
			take_frame(guest);
	}
	guest->size -= used;
	memmove(guest->bytes, guest->bytes + used, guest->size);
}

static void on_guest_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
	static char bytes[65536];

	*out = uv_buf_init(bytes, sizeof bytes);
}

static void on_guest_read(uv_stream_t *tcp, ssize_t size, const uv_buf_t *buffer)
{
	struct guest *guest = (struct guest *)tcp;
	enum behaviour behaviour = guest->server->behaviour;

	if (size < 0) {
		close_guest(guest);
		return;
	}
	if (behaviour == SILENT)
		return;
	if (behaviour == NOT_FOUND || behaviour == NO_TLS) {
		speak_text(guest, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
		return;
	}
	guest->bytes = realloc(guest->bytes, guest->size + (size_t)size);
	memcpy(guest->bytes + guest->size, buffer->base, (size_t)size);
	guest->size += (size_t)size;
	if (guest->phase == REQUEST)
		take_request(guest);
	else
		take_frames(guest);
	if (behaviour == STUCK && guest->phase == INSIDE)
		uv_read_stop(tcp);
}

static void on_guest(uv_stream_t *listener, int status)
{
	struct server *server = listener->data;
	struct guest *guest = calloc(1, sizeof *guest);

	server->accepted++;
	guest->server = server;
	guest->next = server->guests;
	server->guests = guest;
	uv_tcp_init(listener->loop, &guest->tcp);
	assert_int_equal(uv_accept(listener, (uv_stream_t *)&guest->tcp), 0);
	if (server->behaviour == CLOSE)
		close_guest(guest);
	else
		uv_read_start((uv_stream_t *)&guest->tcp, on_guest_alloc, on_guest_read);
}

/* port 0: one that the system chooses. */
static void start_server(
	struct server *server, uv_loop_t *loop, enum behaviour behaviour, uint16_t port)
{
	struct sockaddr_in address;
	int size = sizeof address;

	memset(server, 0, sizeof *server);
	server->behaviour = behaviour;
	uv_tcp_init(loop, &server->listener);
	server->runs = true;
	server->listener.data = server;
	uv_ip4_addr("127.0.0.1", port, &address);
	assert_int_equal(
		uv_tcp_bind(&server->listener, (const struct sockaddr *)&address, 0), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&server->listener, 16, on_guest), 0);
	uv_tcp_getsockname(&server->listener, (struct sockaddr *)&address, &size);
	server->port = ntohs(address.sin_port);
}

static void on_listener_closed(uv_handle_t *handle)
{
	((struct server *)handle->data)->runs = false;
}

static void end_server(struct server *server)
{
	if (!server->runs)
		return;
	for (struct guest *guest = server->guests; guest; guest = guest->next)
		close_guest(guest);
	uv_close((uv_handle_t *)&server->listener, on_listener_closed);
	while (server->guests || server->runs)
		uv_run(server->listener.loop, UV_RUN_NOWAIT);
}

/* ---- our side, driven as io/driver.c does it ---- */

static struct {
	uv_loop_t loop;
	uv_prepare_t prepare;
	uv_timer_t timer;
	struct identity identity;
	struct counters counters;
	struct relaying *relaying;
	struct relay_url urls[2];
	struct address relays[2];
	/* What it tells. */
	unsigned ups, downs, homes, lines;
	char home[RELAY_URL_SIZE], line[RELAYS_LINE_SIZE];
	size_t datagrams, bytes, goners;
	struct id from;
	bool answers; /* each datagram, at once */
	bool inside;  /* of that */
	unsigned closed;
	bool late;
} world;

static void on_datagram(void *context, const struct address *relay, const struct id *from,
	const uint8_t *data, size_t size, size_t segment)
{
	assert_ptr_equal(context, &world);
	world.datagrams++;
	world.bytes += size;
	world.from = *from;
	world.inside = true;
	if (world.answers)
		assert_true(relaying_send(
			world.relaying, uv_hrtime(), relay, from, data, size, segment));
	world.inside = false;
}

static void on_gone(void *context, const struct address *relay, const struct id *node)
{
	world.goners++;
}

static void on_home(void *context, const struct relay_url *url)
{
	world.homes++;
	snprintf(world.home, sizeof world.home, "%s", url ? url->text : "");
}

static void on_changed(void *context, const struct address *relay, bool up)
{
	assert_false(world.inside);
	world.ups += up;
	world.downs += !up;
	assert_int_equal(relaying_is_up(world.relaying, relay), up);
	/* Who waits for a relay sends at once. */
	if (up)
		assert_true(relaying_send(
			world.relaying, uv_hrtime(), relay, &someone, (const uint8_t *)"up", 2, 0));
}

static void on_log(void *context, enum node_log_level level, const char *text)
{
	world.lines++;
	snprintf(world.line, sizeof world.line, "%s", text);
	print_message("     %s\n", text);
}

static void on_timer(uv_timer_t *timer)
{
	relaying_tick(world.relaying, uv_hrtime());
}

static void on_prepare(uv_prepare_t *prepare)
{
	uint64_t due, now = uv_hrtime();

	relaying_turn(world.relaying, now);
	due = relaying_deadline(world.relaying);
	if (due == UINT64_MAX)
		uv_timer_stop(&world.timer);
	else
		uv_timer_start(&world.timer, on_timer,
			due <= now ? 0 : (due - now + 999999) / 1000000, 0);
}

static void on_closed(void *context)
{
	assert_ptr_equal(context, &world);
	world.closed++;
}

static int setup(void **state)
{
	static const uint8_t secret[IDENTITY_SECRET_SIZE] = {1, 2, 3};

	memset(&world, 0, sizeof world);
	heap_begin();
	assert_int_equal(identity_from_secret(secret, &world.identity), 0);
	assert_int_equal(uv_loop_init(&world.loop), 0);
	uv_prepare_init(&world.loop, &world.prepare);
	uv_prepare_start(&world.prepare, on_prepare);
	uv_unref((uv_handle_t *)&world.prepare);
	uv_timer_init(&world.loop, &world.timer);
	return 0;
}

static int teardown(void **state)
{
	/* If the test has failed they are still there. */
	for (size_t i = 0; i < sizeof servers / sizeof *servers; i++)
		end_server(&servers[i]);
	relaying_stop(world.relaying, uv_hrtime(), NULL, NULL);
	uv_close((uv_handle_t *)&world.prepare, NULL);
	uv_close((uv_handle_t *)&world.timer, NULL);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world.loop), 0);
	relaying_free(world.relaying);
	identity_clear(&world.identity);
	heap_end();
	return 0;
}

static void name_relay(size_t n, const char *text)
{
	assert_int_equal(relay_url_parse(text, strlen(text), &world.urls[n]), 0);
	world.relays[n] = relay_url_address(&world.urls[n]);
}

static int make(size_t homes, bool any)
{
	const struct relaying_config config = {
		.loop = &world.loop,
		.identity = &world.identity,
		.random = random_system(),
		.counters = &world.counters,
		.relays = world.urls,
		.relays_count = homes,
		.any = any,
		.callbacks =
			{
				.datagram = on_datagram,
				.gone = on_gone,
				.home = on_home,
				.changed = on_changed,
				.log = on_log,
				.context = &world,
			},
	};

	return relaying_new(&config, &world.relaying);
}

static void remake(size_t homes, bool any)
{
	relaying_stop(world.relaying, uv_hrtime(), NULL, NULL);
	uv_run(&world.loop, UV_RUN_NOWAIT);
	relaying_free(world.relaying);
	assert_int_equal(make(homes, any), 0);
	relaying_start(world.relaying, uv_hrtime());
}

/* Names the server as the n-th relay. */
static void name_server(size_t n, const struct server *server)
{
	char text[64];

	snprintf(text, sizeof text, "%s://127.0.0.1:%u",
		server->behaviour == NO_TLS ? "https" : "http", server->port);
	name_relay(n, text);
}

static void begin(const struct server *server)
{
	name_server(0, server);
	assert_int_equal(make(1, false), 0);
	relaying_start(world.relaying, uv_hrtime());
}

static void on_late(uv_timer_t *timer)
{
	world.late = true;
}

/* Runs the loop until it is so, or for some seconds. */
#define RUN_UNTIL_IN(condition, seconds) \
	do { \
		uv_timer_t limit; \
		world.late = false; \
		uv_timer_init(&world.loop, &limit); \
		uv_timer_start(&limit, on_late, 1000 * (seconds), 0); \
		while (!(condition) && !world.late) \
			uv_run(&world.loop, UV_RUN_ONCE); \
		uv_close((uv_handle_t *)&limit, NULL); \
		uv_run(&world.loop, UV_RUN_NOWAIT); \
	} while (0)

#define RUN_UNTIL(condition) \
	do { \
		RUN_UNTIL_IN(condition, 10); \
		if (world.late) \
			fail_msg("waited in vain for: " #condition); \
	} while (0)

static uint64_t count(enum counter counter)
{
	return counters_get(&world.counters, counter);
}

static bool send_text(const char *text)
{
	return relaying_send(world.relaying, uv_hrtime(), &world.relays[0], &someone,
		(const uint8_t *)text, strlen(text), 0);
}

static void count_handles(uv_handle_t *handle, void *argument)
{
	*(unsigned *)argument += 1;
}

static unsigned handles(void)
{
	unsigned count = 0;

	uv_walk(&world.loop, count_handles, &count);
	return count;
}

/* ---- tests ---- */

/* Neither a relay in the configuration nor one that anybody has named: there is nothing. */
static void without_relays(void **state)
{
	const unsigned before = handles();

	assert_int_equal(make(0, false), 0);
	relaying_start(world.relaying, uv_hrtime());
	assert_int_equal(relaying_deadline(world.relaying), UINT64_MAX);
	for (int i = 0; i < 10; i++)
		uv_run(&world.loop, UV_RUN_NOWAIT);
	relaying_tick(world.relaying, uv_hrtime());
	assert_false(uv_is_active((uv_handle_t *)&world.timer));
	assert_int_equal(handles(), before);
	assert_false(uv_loop_alive(&world.loop));
	assert_int_equal(relaying_state(world.relaying), RELAYS_OFF);
	assert_null(relaying_home(world.relaying));
	/* Somebody's word is not enough. */
	name_relay(0, "https://relay.example.org");
	assert_false(relaying_admit(world.relaying, uv_hrtime(), &world.urls[0]));
	assert_false(send_text("x"));
	assert_int_equal(handles(), before);
	assert_int_equal(relaying_deadline(world.relaying), UINT64_MAX);
	assert_int_equal(relaying_stop(world.relaying, uv_hrtime(), on_closed, &world), 0);
	assert_int_equal(
		world.homes + world.ups + world.downs + world.lines + world.closed, 0);
	/* Nor is there more to it where there is not even this. */
	assert_int_equal(relaying_stop(NULL, 0, NULL, NULL), 0);
	assert_int_equal(relaying_deadline(NULL), UINT64_MAX);
	relaying_tick(NULL, 0);
	relaying_turn(NULL, 0);
	relaying_free(NULL);
}

/* A relay that only a peer is known to have: no connection before something is sent. */
static void not_before_it_is_used(void **state)
{
	const unsigned before = handles();
	struct server *server = &servers[0];

	start_server(server, &world.loop, RELAY, 0);
	name_server(0, server);
	assert_int_equal(make(0, false), 0);
	relaying_start(world.relaying, uv_hrtime());
	assert_int_equal(relaying_add(world.relaying, &world.urls[0]), 0);
	assert_string_equal(
		relaying_url(world.relaying, &world.relays[0])->text, world.urls[0].text);
	RUN_UNTIL_IN(server->accepted > 0, 1);
	assert_int_equal(server->accepted, 0);
	assert_int_equal(handles(), before + 1); /* the server's */
	assert_true(send_text("hello"));
	RUN_UNTIL(server->datagrams == 2);
	assert_int_equal(server->accepted, 1);
	assert_int_equal(world.ups, 1);
	assert_int_equal(world.homes, 0);
	end_server(server);
}

static void datagrams_both_ways(void **state)
{
	struct server *server = &servers[0];
	struct speech *speech = speech_new();
	uint8_t data[3000];

	start_server(server, &world.loop, RELAY, 0);
	begin(server);
	RUN_UNTIL(server->datagrams == 1); /* sent by on_changed */
	assert_int_equal(world.homes, 1);
	assert_string_equal(world.home, world.urls[0].text);
	assert_string_equal(relaying_home(world.relaying)->text, world.home);
	assert_memory_equal(server->last, "up", 2);
	/* In one turn, more than is written at once. */
	memset(data, 'x', sizeof data);
	for (int i = 0; i < 100; i++) {
		data[0] = (uint8_t)i;
		assert_true(relaying_send(world.relaying, uv_hrtime(), &world.relays[0], &someone,
			data, 1200, 0));
	}
	assert_true(relaying_send(
		world.relaying, uv_hrtime(), &world.relays[0], &someone, data, 2500, 1200));
	RUN_UNTIL(server->datagrams == 101 && server->batches == 1);
	assert_int_equal(server->last_size, 1200);
	assert_int_equal(server->last[0], 99);
	assert_int_equal(count(COUNTER_RELAY_OUT), 104);
	/* And back; each is answered from within. */
	world.answers = true;
	for (int i = 0; i < 300; i++)
		say_datagram(&speech->said, data, 1200);
	speak(server->guests, speech);
	RUN_UNTIL(world.datagrams == 300);
	assert_true(id_equal(&world.from, &someone));
	assert_int_equal(world.bytes, 300 * 1200);
	RUN_UNTIL(server->datagrams == 101 + 300 - count(COUNTER_RELAY_DROPPED));
	assert_int_equal(count(COUNTER_RELAY_DROPPED), 0);
	end_server(server);
}

/* What is to be told is told when the relay's bytes are taken in, not in the middle of them. */
static void nothing_within_a_datagram(void **state)
{
	struct server *server = &servers[0];

	world.answers = true;
	start_server(server, &world.loop, EAGER, 0);
	begin(server);
	RUN_UNTIL(server->datagrams == 2);
	assert_int_equal(world.datagrams, 1);
	assert_int_equal(world.ups, 1);
	end_server(server);
}

/* What is due is written, though the owner has no turn of the loop to offer. */
static void written_by_tick(void **state)
{
	struct server *server = &servers[0];

	start_server(server, &world.loop, RELAY, 0);
	begin(server);
	RUN_UNTIL(server->datagrams == 1);
	uv_prepare_stop(&world.prepare);
	assert_true(send_text("hello"));
	assert_true(relaying_deadline(world.relaying) <= uv_hrtime());
	relaying_tick(world.relaying, uv_hrtime());
	assert_true(relaying_deadline(world.relaying) > uv_hrtime());
	RUN_UNTIL(server->datagrams == 2);
	assert_memory_equal(server->last, "hello", 5);
	end_server(server);
}

/* A relay that reads nothing: all is bounded, what is beyond is dropped and counted. */
static void a_stuck_relay(void **state)
{
	static uint8_t data[1200];
	const size_t sent = 100000;
	struct server *server = &servers[0];
	size_t taken = 0;

	start_server(server, &world.loop, STUCK, 0);
	begin(server);
	RUN_UNTIL(world.ups == 1);
	for (size_t i = 0; i < sent; i++) {
		taken += relaying_send(world.relaying, uv_hrtime(), &world.relays[0], &someone,
			data, sizeof data, 0);
		if (i % 100 == 0)
			uv_run(&world.loop, UV_RUN_NOWAIT);
	}
	assert_true(taken < sent);
	assert_int_equal(count(COUNTER_RELAY_DROPPED), sent - taken);
	assert_int_equal(count(COUNTER_RELAY_OUT), taken + 1);
	/* The kernel has its buffers (some MB), we have ours. */
	assert_true(taken < 20000);
	assert_true(heap_largest() <= 2 * LIMIT_RELAY_QUEUE + 65536);
	/* It reads again: all that was taken arrives. */
	server->behaviour = RELAY;
	uv_read_start((uv_stream_t *)&server->guests->tcp, on_guest_alloc, on_guest_read);
	RUN_UNTIL(server->datagrams == taken + 1);
	assert_true(send_text("again"));
	RUN_UNTIL(server->datagrams == taken + 2);
	assert_memory_equal(server->last, "again", 5);
	end_server(server);
}

static void fails_with(enum behaviour behaviour, const char *words)
{
	struct server *server = &servers[0];

	start_server(server, &world.loop, behaviour, 0);
	begin(server);
	RUN_UNTIL(world.lines > 0);
	if (!strstr(world.line, words) || !strstr(world.line, world.urls[0].text))
		fail_msg("the line is: %s", world.line);
	assert_int_equal(world.ups, 0);
	assert_true(count(COUNTER_RELAY_FAILED) > 0);
	/* It is tried again, but neither at once nor for ever as often. */
	RUN_UNTIL_IN(server->accepted >= 10, 2);
	assert_true(server->accepted < 10);
	assert_true(relaying_deadline(world.relaying) != UINT64_MAX);
	assert_int_equal(world.lines, 1);
	end_server(server);
}

static void not_found(void **state)
{
	fails_with(NOT_FOUND, "404");
}

static void closes(void **state)
{
	fails_with(CLOSE, "the connection has ended (");
}

static void no_tls(void **state)
{
	fails_with(NO_TLS, "TLS fails (what it says is no TLS");
}

static void denied(void **state)
{
	fails_with(DENY, "denies us access (go on)");
	assert_int_equal(relaying_state(world.relaying), RELAYS_DENIED);
}

static void refused(void **state)
{
	struct server *server = &servers[0];

	start_server(server, &world.loop, RELAY, 0);
	end_server(server);
	uv_run(&world.loop, UV_RUN_NOWAIT);
	begin(server);
	RUN_UNTIL(world.lines > 0);
	assert_non_null(strstr(world.line, "refuses the connection)"));
}

static void no_such_name(void **state)
{
	name_relay(0, "http://no-such-host.invalid");
	assert_int_equal(make(1, false), 0);
	relaying_start(world.relaying, uv_hrtime());
	RUN_UNTIL(world.lines > 0);
	assert_non_null(strstr(world.line, "its name was not found ("));
}

static void no_file(void **state)
{
	struct relaying_config config = {
		.loop = &world.loop,
		.identity = &world.identity,
		.random = random_system(),
		.counters = &world.counters,
		.relays = world.urls,
		.relays_count = 1,
		.ca = "/nonexistent/ca.pem",
		.callbacks = {on_datagram, on_gone, on_home, on_changed, on_log, &world},
	};

	name_relay(0, "https://127.0.0.1:1");
	assert_int_equal(relaying_new(&config, &world.relaying), 0);
	relaying_start(world.relaying, uv_hrtime());
	RUN_UNTIL(world.lines > 0);
	assert_non_null(strstr(world.line, "relay_ca /nonexistent/ca.pem cannot be read"));
}

/* The first relay is none, so the second is home. */
static void the_second_works(void **state)
{
	struct server *bad = &servers[0], *good = &servers[1];

	start_server(bad, &world.loop, NOT_FOUND, 0);
	start_server(good, &world.loop, RELAY, 0);
	name_server(0, bad);
	name_server(1, good);
	assert_int_equal(make(2, false), 0);
	relaying_start(world.relaying, uv_hrtime());
	RUN_UNTIL(world.homes > 0);
	assert_string_equal(world.home, world.urls[1].text);
	end_server(bad);
	end_server(good);
}

/* A relay that goes and comes back is the same one. */
static void comes_back(void **state)
{
	struct server *server = &servers[0], *again = &servers[1];

	start_server(server, &world.loop, RELAY, 0);
	begin(server);
	RUN_UNTIL(world.ups == 1 && server->datagrams == 1);
	end_server(server);
	RUN_UNTIL(world.downs == 1 && count(COUNTER_RELAY_FAILED) >= 2);
	start_server(again, &world.loop, RELAY, server->port);
	RUN_UNTIL(world.ups == 2 && again->datagrams == 1);
	assert_int_equal(world.homes, 1);
	assert_int_equal(count(COUNTER_RELAY_CONNECTS), 2);
	end_server(again);
}

/* What only others have named: no connection into our own house. */
static void hearsay(void **state)
{
	struct server *server = &servers[0];
	char text[64];

	start_server(server, &world.loop, RELAY, 0);
	assert_int_equal(make(0, true), 0);
	relaying_start(world.relaying, uv_hrtime());
	snprintf(text, sizeof text, "https://127.0.0.1:%u", server->port);
	name_relay(0, text);
	assert_false(relaying_admit(world.relaying, uv_hrtime(), &world.urls[0]));
	snprintf(text, sizeof text, "https://inside.test:%u", server->port);
	name_relay(0, text);
	assert_true(relaying_admit(world.relaying, uv_hrtime(), &world.urls[0]));
	send_text("hello");
	RUN_UNTIL(world.lines > 0);
	assert_non_null(strstr(world.line, "no public address"));
	assert_int_equal(server->accepted, 0);
	/* The same name is good enough from the configuration. */
	remake(0, true);
	assert_int_equal(relaying_add(world.relaying, &world.urls[0]), 0);
	send_text("hello");
	RUN_UNTIL(server->accepted > 0);
	end_server(server);
}

static void stop_now(unsigned streams)
{
	uint64_t began = uv_hrtime();

	assert_int_equal(
		relaying_stop(world.relaying, uv_hrtime(), on_closed, &world), streams);
	assert_int_equal(world.closed, 0);
	assert_int_equal(relaying_stop(world.relaying, uv_hrtime(), on_closed, &world), 0);
	assert_int_equal(relaying_deadline(world.relaying), UINT64_MAX);
	assert_false(send_text("x"));
	RUN_UNTIL(world.closed == streams);
	assert_true(uv_hrtime() - began < LIMIT_FAREWELL_MS * UINT64_C(1000000));
}

static void stopped_while_connected(void **state)
{
	struct server *server = &servers[0];

	start_server(server, &world.loop, RELAY, 0);
	begin(server);
	RUN_UNTIL(server->datagrams == 1);
	send_text("on its way");
	stop_now(1);
	assert_int_equal(world.downs, 0);
	end_server(server);
}

static void stopped_while_it_connects(void **state)
{
	struct server *server = &servers[0];

	start_server(server, &world.loop, SILENT, 0);
	begin(server);
	stop_now(1); /* its name is not looked up yet */
	world.closed = 0;
	remake(1, false);
	RUN_UNTIL(server->accepted == 1);
	stop_now(1);
	end_server(server);
}

static void stopped_while_it_waits(void **state)
{
	struct server *server = &servers[0];

	start_server(server, &world.loop, NOT_FOUND, 0);
	begin(server);
	RUN_UNTIL(world.lines > 0 && !server->guests);
	stop_now(0);
	end_server(server);
}

/* Wherever memory is missing: nothing leaks, and it works as soon as there is some again. */
static void each_allocation_fails(void **state)
{
	struct server *server = &servers[0];
	bool failed = true;

	start_server(server, &world.loop, RELAY, 0);
	name_server(0, server);
	for (size_t n = 1; failed; n++) {
		heap_fail(n, false);
		server->datagrams = 0;
		if (make(1, false) == ERROR_NONE) {
			relaying_start(world.relaying, uv_hrtime());
			RUN_UNTIL(relaying_is_up(world.relaying, &world.relays[0]));
			while (server->datagrams == 0) {
				relaying_send(world.relaying, uv_hrtime(), &world.relays[0],
					&someone, (const uint8_t *)"x", 1, 0);
				uv_run(&world.loop, UV_RUN_NOWAIT);
			}
			world.closed = 0;
			assert_int_equal(relaying_stop(world.relaying, uv_hrtime(), on_closed,
						 &world),
				1);
			RUN_UNTIL(world.closed == 1);
			relaying_free(world.relaying);
		}
		world.relaying = NULL;
		failed = heap_has_failed();
	}
	heap_fail(0, false);
	end_server(server);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(without_relays),
		TEST(not_before_it_is_used),
		TEST(datagrams_both_ways),
		TEST(nothing_within_a_datagram),
		TEST(written_by_tick),
		TEST(a_stuck_relay),
		TEST(not_found),
		TEST(closes),
		TEST(no_tls),
		TEST(denied),
		TEST(refused),
		TEST(no_such_name),
		TEST(no_file),
		TEST(the_second_works),
		TEST(comes_back),
		TEST(hearsay),
		TEST(stopped_while_connected),
		TEST(stopped_while_it_connects),
		TEST(stopped_while_it_waits),
		TEST(each_allocation_fails),
	};

	signal(SIGPIPE, SIG_IGN); /* as in the node's thread */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
