/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Streams against servers that are real: threads with sockets, and `openssl s_server`. All of it in
 * a network of its own, in which some addresses answer nothing and others have no route.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/io/dial.h"
#include "bridge/io/stream.h"
#include "support_heap.h"
#include "support_name_server.h"
#include "support_netns.h"

#define SILENT_V4 "192.0.2.9" /* behind an interface that swallows everything */
#define SILENT_V6 "2001:db8::9"
#define PUBLIC_V4 "9.9.9.9"
#define NOBODY	  "02:00:00:00:00:09"
#define NO_ROUTE  "198.51.100.1"

/* ---- names: in place of the C library's ---- */

static const struct {
	const char *name, *v4, *v6; /* IPv4 comes first in the answer */
} names[] = {
	{"both.test", "127.0.0.1", "::1"},
	{"relay.test", "127.0.0.1", NULL},
	{"relay.test.", "127.0.0.1", NULL},
	{"silent6.test", "127.0.0.1", SILENT_V6},
	{"noroute6.test", "127.0.0.1", "2001:db8:1::1"},
	{"two-silent.invalid", SILENT_V4, SILENT_V6},
	{"dead.test", NO_ROUTE, SILENT_V6},
	{"refusing.test", "127.0.0.1", "2001:db8:1::1"},
	{"inside.test", "10.0.0.7", "::1"},
	{"half-inside.test", PUBLIC_V4, "fd00::7"},
};

static int own_names(const char *host, const char *service, const struct addrinfo *hints,
	struct addrinfo **out)
{
	if (strcmp(host, "nowhere.test") == 0)
		return EAI_NONAME; /* there is no name server here that could say so */
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (strcmp(names[i].name, host) != 0)
			continue;
		*out = NULL;
		name_server_append(out, names[i].v4, service, hints);
		if (names[i].v6)
			name_server_append(out, names[i].v6, service, hints);
		return 0;
	}
	return name_server_next(host, service, hints, out);
}

/* ---- servers ---- */

/* Static ones, so that what a failed test leaves can be stopped. */
struct server {
	struct server *next; /* of those that run */
	pthread_t thread;
	int listener;
	uint16_t port;
	void (*serve)(struct server *server, int fd);
	SSL_CTX *tls; /* NULL: plain */
	SSL *ssl;     /* of the connection */
	atomic_uint accepted;
	atomic_size_t received; /* bytes */
	atomic_bool may_read, may_end;
	char sni[64], alpn[16];
};

static struct server *running;

static void *serve_all(void *argument)
{
	struct server *server = argument;
	int fd;

	while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
		server->accepted++;
		server->serve(server, fd);
		close(fd);
	}
	return NULL;
}

static void start_server(struct server *server, const char *ip, uint16_t port,
	void (*serve)(struct server *server, int fd))
{
	struct sockaddr_storage storage = {0};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
	socklen_t size = strchr(ip, ':') ? sizeof *v6 : sizeof *v4;
	const int on = 1;

	storage.ss_family = strchr(ip, ':') ? AF_INET6 : AF_INET;
	if (storage.ss_family == AF_INET6) {
		assert_int_equal(inet_pton(AF_INET6, ip, &v6->sin6_addr), 1);
		v6->sin6_port = htons(port);
	} else {
		assert_int_equal(inet_pton(AF_INET, ip, &v4->sin_addr), 1);
		v4->sin_port = htons(port);
	}
	server->serve = serve;
	server->listener = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(server->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	assert_int_equal(bind(server->listener, (struct sockaddr *)&storage, size), 0);
	assert_int_equal(listen(server->listener, 16), 0);
	assert_int_equal(getsockname(server->listener, (struct sockaddr *)&storage, &size), 0);
	server->port = ntohs(v4->sin_port); /* where v6 has it, too */
	assert_int_equal(pthread_create(&server->thread, NULL, serve_all, server), 0);
	server->next = running;
	running = server;
}

static void stop_server(struct server *server)
{
	struct server **at;

	for (at = &running; *at != server; at = &(*at)->next)
		;
	*at = server->next;
	server->may_read = server->may_end = true;
	shutdown(server->listener, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->listener);
	SSL_CTX_free(server->tls);
}

static bool send_all(struct server *server, int fd, const void *bytes, size_t size)
{
	const char *at = bytes;
	ssize_t sent;

	for (; size > 0; at += sent, size -= (size_t)sent) {
		sent = server->ssl ? SSL_write(server->ssl, at, (int)size) : write(fd, at, size);
		if (sent <= 0)
			return false;
	}
	return true;
}

static ssize_t receive(struct server *server, int fd, void *out, size_t size)
{
	ssize_t got = server->ssl ? SSL_read(server->ssl, out, (int)size) : read(fd, out, size);

	if (got > 0)
		server->received += (size_t)got;
	return got;
}

static void wait_for(const atomic_bool *what)
{
	while (!*what)
		poll(NULL, 0, 1);
}

static void echo(struct server *server, int fd)
{
	char bytes[30000];
	ssize_t size;

	while ((size = receive(server, fd, bytes, sizeof bytes)) > 0)
		if (!send_all(server, fd, bytes, (size_t)size))
			break;
}

static void read_late(struct server *server, int fd)
{
	char bytes[30000];

	wait_for(&server->may_read);
	while (receive(server, fd, bytes, sizeof bytes) > 0)
		;
}

/* Until the other side ends it, or the test. */
static void never_answer(struct server *server, int fd)
{
	struct pollfd end = {.fd = fd, .events = POLLRDHUP};

	while (!server->may_end && poll(&end, 1, 1) == 0)
		;
}

static void close_at_once(struct server *server, int fd)
{
}

static void reset(struct server *server, int fd)
{
	const struct linger at_once = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static void say_http(struct server *server, int fd)
{
	send_all(server, fd, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
	never_answer(server, fd);
}

/* Says all it has to say, then only listens. */
static void close_half(struct server *server, int fd)
{
	char bytes[1000];

	send_all(server, fd, "bye", 3);
	if (server->ssl)
		SSL_shutdown(server->ssl);
	else
		shutdown(fd, SHUT_WR);
	while (receive(server, fd, bytes, sizeof bytes) > 0)
		;
	never_answer(server, fd);
}

#define FLOOD (8u << 20)

static void flood(struct server *server, int fd)
{
	static const char bytes[65536];

	for (size_t sent = 0; sent < FLOOD; sent += sizeof bytes)
		if (!send_all(server, fd, bytes, sizeof bytes))
			return;
	never_answer(server, fd);
}

/* Each asks for an answer, none is read. */
static void ask_for_keys(struct server *server, int fd)
{
	for (int i = 0; i < 100000; i++) {
		if (SSL_key_update(server->ssl, SSL_KEY_UPDATE_REQUESTED) != 1 ||
			SSL_do_handshake(server->ssl) != 1 ||
			!send_all(server, fd, "x", 1))
			return;
	}
	never_answer(server, fd);
}

/* ---- the same by TLS ---- */

static char folder[64];

static const char *in_folder(const char *file)
{
	static char paths[4][128];
	static unsigned n;
	char *path = paths[n++ % 4];

	snprintf(path, sizeof paths[0], "%s/%s", folder, file);
	return path;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_size,
	const unsigned char *offered, unsigned offered_size, void *argument)
{
	struct server *server = argument;

	snprintf(server->alpn, sizeof server->alpn, "%.*s", (int)offered[0], offered + 1);
	assert_int_equal(offered_size, 1u + offered[0]);
	*out = offered + 1;
	*out_size = offered[0];
	return SSL_TLSEXT_ERR_OK;
}

static void serve_tls(struct server *server, int fd,
	void (*serve)(struct server *server, int fd))
{
	const char *sni;

	server->ssl = SSL_new(server->tls);
	SSL_set_fd(server->ssl, fd);
	if (SSL_accept(server->ssl) == 1) {
		sni = SSL_get_servername(server->ssl, TLSEXT_NAMETYPE_host_name);
		snprintf(server->sni, sizeof server->sni, "%s", sni ? sni : "");
		serve(server, fd);
	}
	SSL_free(server->ssl);
	server->ssl = NULL;
	ERR_clear_error();
}

static void tls_echo(struct server *server, int fd)
{
	serve_tls(server, fd, echo);
}

static void tls_close_half(struct server *server, int fd)
{
	serve_tls(server, fd, close_half);
}

static void tls_flood(struct server *server, int fd)
{
	serve_tls(server, fd, flood);
}

static void tls_ask_for_keys(struct server *server, int fd)
{
	serve_tls(server, fd, ask_for_keys);
}

static void start_tls(struct server *server, const char *ip, const char *certificate,
	void (*serve)(struct server *server, int fd))
{
	char file[64];

	server->tls = SSL_CTX_new(TLS_server_method());
	snprintf(file, sizeof file, "%s.pem", certificate);
	assert_int_equal(
		SSL_CTX_use_certificate_file(server->tls, in_folder(file), SSL_FILETYPE_PEM), 1);
	snprintf(file, sizeof file, "%s.key", certificate);
	assert_int_equal(
		SSL_CTX_use_PrivateKey_file(server->tls, in_folder(file), SSL_FILETYPE_PEM), 1);
	SSL_CTX_set_alpn_select_cb(server->tls, on_alpn, server);
	start_server(server, ip, 0, serve);
}

/* ---- openssl ---- */

static void openssl(const char *format, ...)
{
	char command[1024] = "openssl ";
	size_t used = strlen(command);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command + used, sizeof command - used, format, arguments);
	va_end(arguments);
	strcat(command, " 2>/dev/null >/dev/null");
	if (system(command) != 0)
		fail_msg("%s failed", command);
}

#define KEY "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

static void make_authority(const char *name)
{
	openssl("req -x509 " KEY " -keyout %s/%s.key -out %s/%s.pem -days 9 -subj '/CN=The %s'",
		folder, name, folder, name, name);
}

static void make_certificate(
	const char *name, const char *authority, const char *hosts, const char *more)
{
	openssl("req -x509 " KEY " -keyout %s/%s.key -out %s/%s.pem -CA %s/%s.pem -CAkey "
		"%s/%s.key -subj /CN=%s -addext basicConstraints=critical,CA:FALSE -addext "
		"subjectAltName=%s %s",
		folder, name, folder, name, folder, authority, folder, authority, name, hosts,
		more);
}

static int make_certificates(void **state)
{
	FILE *file;

	strcpy(folder, "/tmp/test_stream.XXXXXX");
	assert_non_null(mkdtemp(folder));
	make_authority("authority");
	make_authority("stranger");
	make_certificate("good", "authority",
		"DNS:both.test,DNS:silent6.test,DNS:relay.test,IP:127.0.0.1,IP:0:0:0:0:0:0:0:1",
		"-days 9");
	make_certificate("other", "authority",
		"DNS:a.example,DNS:b.example,IP:192.0.2.1,DNS:d.example", "-days 9");
	make_certificate("foreign", "stranger", "DNS:relay.test", "-days 9");
	make_certificate("old", "authority", "DNS:relay.test",
		"-not_before 20200101000000Z -not_after 20210203000000Z");
	make_certificate("young", "authority", "DNS:relay.test",
		"-not_before 21000401000000Z -not_after 21010101000000Z");
	openssl("req -x509 " KEY " -keyout %s/alone.key -out %s/alone.pem -days 9 -subj "
		"/CN=relay.test -addext subjectAltName=DNS:relay.test",
		folder, folder);
	openssl("req -x509 " KEY " -keyout %s/bytes.key -out %s/bytes.pem -days 9 -CA "
		"%s/authority.pem -CAkey %s/authority.key -subj \"$(printf '/CN=\\033[31mred')\"",
		folder, folder, folder, folder);
	file = fopen(in_folder("garbage.pem"), "w");
	fputs("this is no certificate\n", file);
	fclose(file);
	return 0;
}

static int remove_certificates(void **state)
{
	char command[96];

	snprintf(command, sizeof command, "rm -r %s", folder);
	return system(command);
}

struct child {
	pid_t pid;
	FILE *output;
	uint16_t port;
};

/* openssl s_server with a certificate of the folder, on a port of the system's choice. */
static void start_openssl(
	struct child *child, const char *ip, const char *certificate, const char *more)
{
	char command[512], line[256];
	unsigned port = 0;
	const char *colon;
	int ends[2];

	snprintf(command, sizeof command,
		"exec openssl s_server -accept '%s:0' -rev -cert %s/%s.pem -key %s/%s.key %s 2>&1",
		ip, folder, certificate, folder, certificate, more);
	assert_int_equal(pipe(ends), 0);
	child->pid = fork();
	if (child->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	close(ends[1]);
	child->output = fdopen(ends[0], "r");
	while (port == 0 && fgets(line, sizeof line, child->output))
		if (strncmp(line, "ACCEPT", 6) == 0 && (colon = strrchr(line, ':')))
			port = (unsigned)atoi(colon + 1);
	if (port == 0)
		fail_msg("%s does not start", command);
	child->port = (uint16_t)port;
}

static void stop_openssl(struct child *child)
{
	kill(child->pid, SIGKILL);
	waitpid(child->pid, NULL, 0);
	fclose(child->output);
}

/* ---- our side ---- */

static struct {
	uv_loop_t loop;
	struct stream_io io;
	struct stream *stream;
	bool opened, ended, closed, late;
	unsigned opens, ends;
	struct trouble trouble;
	size_t received, wrong; /* bytes, and those that are not what was sent */
	char text[64];		/* the first of them */
	bool closes;		/* within data */
	bool ends_loop;
	/* What is to be sent: a pattern. */
	size_t to_send, sent;
	bool checks;
	unsigned writables;
	uint64_t began;
	uv_prepare_t prepare;
	size_t in_turn, longest; /* bytes in one turn */
} world;

static char pattern(size_t at)
{
	return (char)(at * 7 + at / 251);
}

static void send_more(void)
{
	char bytes[50000];
	size_t size = world.to_send - world.sent, taken;

	while (size > 0) {
		if (size > sizeof bytes)
			size = sizeof bytes;
		for (size_t i = 0; i < size; i++)
			bytes[i] = pattern(world.sent + i);
		taken = stream_write(world.stream, bytes, size);
		assert_true(taken <= size);
		/* What is with the stream itself is bounded. */
		assert_true(stream_unsent(world.stream) <= STREAM_WRITE_AT_ONCE + 512);
		world.sent += taken;
		if (taken < size)
			break;
		size = world.to_send - world.sent;
	}
}

static void on_opened(void *context)
{
	assert_ptr_equal(context, &world);
	world.opens++;
	world.opened = true;
	send_more();
}

static void on_data(void *context, const uint8_t *data, size_t size)
{
	assert_true(world.opened);
	assert_false(world.ended);
	assert_false(world.closes && world.received > 0); /* closed before */
	for (size_t i = 0; world.checks && i < size; i++)
		world.wrong += (char)data[i] != pattern(world.received + i);
	if (world.received < sizeof world.text)
		for (size_t i = 0; i < size && world.received + i < sizeof world.text - 1; i++)
			world.text[world.received + i] = (char)data[i];
	world.received += size;
	world.in_turn += size;
	if (world.in_turn > world.longest)
		world.longest = world.in_turn;
	if (world.closes) {
		stream_close(world.stream, NULL, NULL);
		world.stream = NULL;
	}
}

static void on_writable(void *context)
{
	world.writables++;
	send_more();
}

static void on_ended(void *context, const struct trouble *trouble)
{
	world.ends++;
	world.ended = true;
	world.trouble = *trouble;
	assert_string_not_equal(trouble->text, "");
}

static void on_closed(void *context)
{
	*(bool *)context = true;
}

static const struct stream_callbacks callbacks = {
	.opened = on_opened, .data = on_data, .writable = on_writable, .ended = on_ended};

static void on_prepare(uv_prepare_t *prepare)
{
	world.in_turn = 0;
}

static void make_world(const char *relay_ca)
{
	memset(&world, 0, sizeof world);
	assert_int_equal(uv_loop_init(&world.loop), 0);
	world.io.loop = &world.loop;
	assert_int_equal(names_new(&world.loop, &world.io.names), 0);
	assert_int_equal(authorities_new(&world.loop, relay_ca ? in_folder(relay_ca) : NULL,
				 &world.io.authorities),
		0);
	uv_prepare_init(&world.loop, &world.prepare);
	uv_prepare_start(&world.prepare, on_prepare);
	uv_unref((uv_handle_t *)&world.prepare);
	world.began = uv_hrtime();
}

static void end_world(void)
{
	if (world.stream) /* the test has failed */
		stream_close(world.stream, NULL, NULL);
	names_stop(world.io.names);
	authorities_stop(world.io.authorities);
	uv_close((uv_handle_t *)&world.prepare, NULL);
	uv_run(&world.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&world.loop), 0);
	names_free(world.io.names);
	authorities_free(world.io.authorities);
	world.io.names = NULL;
}

static int setup(void **state)
{
	name_server_begin(own_names);
	heap_begin();
	make_world("authority.pem");
	return 0;
}

static int teardown(void **state)
{
	if (world.io.names)
		end_world();
	while (running)
		stop_server(running);
	heap_end();
	return 0;
}

static void remake_world(const char *relay_ca)
{
	end_world();
	make_world(relay_ca);
}

static unsigned ms_gone(void)
{
	return (unsigned)((uv_hrtime() - world.began) / 1000000);
}

static void on_late(uv_timer_t *timer)
{
	world.late = true;
}

/* Runs the loop until it is so, or for a minute: the machine may be busy. */
#define RUN_UNTIL(condition) \
	do { \
		uv_timer_t limit; \
		world.late = false; \
		uv_timer_init(&world.loop, &limit); \
		uv_timer_start(&limit, on_late, 60000, 0); \
		while (!(condition) && !world.late) \
			uv_run(&world.loop, UV_RUN_ONCE); \
		uv_close((uv_handle_t *)&limit, NULL); \
		uv_run(&world.loop, UV_RUN_NOWAIT); \
		if (world.late) \
			fail_msg("waited in vain for: " #condition); \
	} while (0)

static void begin(const char *host, uint16_t port, bool tls)
{
	const struct stream_target target = {.host = host, .port = port, .tls = tls};

	world.began = uv_hrtime();
	assert_int_equal(stream_open(&world.io, &target, &callbacks, &world, &world.stream), 0);
	assert_false(world.opened || world.ended);
}

static void finish(void)
{
	bool closed = false;

	stream_close(world.stream, on_closed, &closed);
	assert_false(closed);
	assert_int_equal(stream_write(world.stream, "x", 1), 0);
	world.stream = NULL;
	RUN_UNTIL(closed);
	assert_true(world.opens <= 1 && world.ends <= 1);
}

static void is_within(size_t value, size_t least, size_t most)
{
	if (value < least || value > most)
		fail_msg("%zu is not within %zu and %zu", value, least, most);
}

/* It does not come about, for a reason of this kind, in words with this among them. */
static void fails(const char *host, uint16_t port, bool tls, enum trouble_kind kind,
	const char *words)
{
	begin(host, port, tls);
	RUN_UNTIL(world.ended);
	if (world.trouble.kind != kind || !strstr(world.trouble.text, words))
		fail_msg("trouble is %d: %s", world.trouble.kind, world.trouble.text);
	print_message("     %s\n", world.trouble.text);
	assert_false(world.opened);
	finish();
	world.ended = false;
	world.ends = 0;
}

/* ---- TCP ---- */

static void echoed(const char *host, uint16_t port, bool tls, size_t size)
{
	world.checks = true;
	world.to_send = size;
	begin(host, port, tls);
	RUN_UNTIL(world.received >= size || world.ended);
	assert_false(world.ended);
	assert_int_equal(world.received, size);
	assert_int_equal(world.wrong, 0);
	assert_int_equal(stream_unsent(world.stream), 0);
	assert_string_equal(stream_doing(world.stream), "connected");
	finish();
}

static void plain_echo(void **state)
{
	static struct server server;

	start_server(&server, "127.0.0.1", 0, echo);
	echoed("127.0.0.1", server.port, false, 4u << 20);
	stop_server(&server);
}

static void count_active(uv_handle_t *handle, void *argument)
{
	*(unsigned *)argument += uv_is_active(handle) && uv_has_ref(handle);
}

/* Once it is open there is the socket, and nothing else that wakes anybody. */
static void idle(void **state)
{
	static struct server server;
	unsigned active = 0;

	start_server(&server, "127.0.0.1", 0, never_answer);
	begin("both.test", server.port, false);
	RUN_UNTIL(world.opened);
	for (int i = 0; i < 3; i++)
		uv_run(&world.loop, UV_RUN_NOWAIT);
	uv_walk(&world.loop, count_active, &active);
	assert_int_equal(active, 1);
	finish();
	stop_server(&server);
}

static void read_in_turns(const char *host, uint16_t port, bool tls)
{
	begin(host, port, tls);
	RUN_UNTIL(world.received >= FLOOD || world.ended);
	assert_int_equal(world.received, FLOOD);
	/* The last read may go beyond it. */
	is_within(world.longest, 1, STREAM_READ_AT_ONCE + 16384);
	finish();
}

static void reading_is_bounded(void **state)
{
	static struct server server;

	start_server(&server, "127.0.0.1", 0, flood);
	read_in_turns("127.0.0.1", server.port, false);
	stop_server(&server);
}

/* A server that does not read: little is taken, and all of that arrives in the end. */
static void writing_is_bounded(void **state)
{
	static struct server server;
	size_t stuck;

	start_server(&server, "127.0.0.1", 0, read_late);
	world.to_send = 64u << 20;
	begin("127.0.0.1", server.port, false);
	RUN_UNTIL(world.opened);
	do {
		stuck = world.sent;
		for (int i = 0; i < 100; i++) {
			uv_run(&world.loop, UV_RUN_NOWAIT);
			poll(NULL, 0, 1);
		}
	} while (world.sent != stuck);
	is_within(stuck, 1, 32u << 20);
	assert_true(stream_unsent(world.stream) > 0);
	print_message("     %zu bytes are taken\n", stuck);
	server.may_read = true;
	RUN_UNTIL(world.sent == world.to_send);
	assert_true(world.writables > 0);
	RUN_UNTIL(stream_unsent(world.stream) == 0);
	finish();
	stop_server(&server);
	assert_int_equal(server.received, world.to_send);
}

static void nobody_listens(void **state)
{
	static struct server server;

	start_server(&server, "127.0.0.1", 0, echo);
	stop_server(&server);
	fails("127.0.0.1", server.port, false, TROUBLE_REFUSED, "refuses");
	fails("::1", server.port, false, TROUBLE_REFUSED, "[::1]:");
	/* Of two addresses the one that tells more. */
	fails("refusing.test", server.port, false, TROUBLE_REFUSED, "127.0.0.1:");
	is_within(ms_gone(), 0, 1000);
}

static void no_route(void **state)
{
	fails(NO_ROUTE, 80, false, TROUBLE_NO_ROUTE, "no way to " NO_ROUTE ":80");
	is_within(ms_gone(), 0, 1000);
}

static void nobody_answers(void **state)
{
	fails(SILENT_V4, 80, false, TROUBLE_TIMED_OUT, "does not answer");
	is_within(ms_gone(), DIAL_ADDRESS_MS - 20, DIAL_ADDRESS_MS + 1000);
	fails("dead.test", 80, false, TROUBLE_TIMED_OUT, "[" SILENT_V6 "]:80");
	is_within(ms_gone(), DIAL_ADDRESS_MS - 20, DIAL_ADDRESS_MS + 1000);
}

static void no_such_name(void **state)
{
	fails("nowhere.test", 80, true, TROUBLE_NAME, "Name or service not known");
}

static void silent_name_server(void **state)
{
	fails("silent.invalid", 80, false, TROUBLE_NAME, "no name server");
	is_within(ms_gone(), DIAL_NAME_MS - 20, DIAL_NAME_MS + 1000);
	/* Asking on takes no further thread. */
	fails("silent.invalid", 80, false, TROUBLE_NAME, "no name server");
	name_server_wake(false);
	assert_int_equal(name_server_answered(), 1);
}

static unsigned opened_after(const char *host, uint16_t port)
{
	unsigned ms;

	world.opened = false;
	world.opens = 0;
	begin(host, port, false);
	RUN_UNTIL(world.opened || world.ended);
	assert_true(world.opened);
	ms = ms_gone();
	finish();
	return ms;
}

/* The fastest of three: this machine may be busy. */
static unsigned opens_in(const char *host, uint16_t port)
{
	unsigned ms, fastest = UINT32_MAX;

	for (int i = 0; i < 3; i++) {
		ms = opened_after(host, port);
		fastest = ms < fastest ? ms : fastest;
	}
	return fastest;
}

static void happy_eyeballs(void **state)
{
	static struct server v4, v6;

	start_server(&v4, "127.0.0.1", 0, never_answer);
	/* A silent IPv6 costs 250 ms, one without a route nothing. */
	is_within(opens_in("silent6.test", v4.port), DIAL_NEXT_MS - 20, DIAL_ADDRESS_MS - 20);
	is_within(opens_in("noroute6.test", v4.port), 0, DIAL_NEXT_MS - 20);
	is_within(opens_in("both.test", v4.port), 0, DIAL_NEXT_MS - 20);
	while (v4.accepted < 9)
		poll(NULL, 0, 1);
	stop_server(&v4);
	/* IPv6 is first though the system names IPv4 first. */
	v4 = (struct server){0};
	start_server(&v6, "::1", 0, never_answer);
	start_server(&v4, "127.0.0.1", v6.port, never_answer);
	is_within(opens_in("both.test", v6.port), 0, DIAL_NEXT_MS - 20);
	while (v6.accepted < 3)
		poll(NULL, 0, 1);
	stop_server(&v4);
	stop_server(&v6);
	assert_int_equal(v4.accepted, 0);
}

static void public_addresses(void **state)
{
	static const char *const inside[] = {"127.0.0.1", "10.1.2.3", "172.31.255.255",
		"192.168.1.1", "169.254.169.254", "100.64.0.1", "100.127.255.255", "0.0.0.0",
		"198.18.0.1", "198.19.255.255", "192.0.2.1", "224.0.0.1", "255.255.255.255", "::",
		"::1", "fd00::1", "fe80::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1",
		"::ffff:100.64.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::",
		"2002:c0a8:101::1", "2001:db8::1", "::127.0.0.1", "64:ff9b:1::1"};
	static const char *const outside[] = {"1.1.1.1", "9.9.9.9", "100.63.255.255",
		"100.128.0.1", "172.32.0.1", "198.17.255.255", "198.20.0.1", "192.0.1.1",
		"2a00:1450::1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808",
		"2002:808:808::1", "2001:db7::1"};
	struct address address;

	for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
		assert_true(address_literal(inside[i], 443, &address));
		if (dial_is_public(&address))
			fail_msg("%s is public", inside[i]);
	}
	for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
		assert_true(address_literal(outside[i], 443, &address));
		if (!dial_is_public(&address))
			fail_msg("%s is not public", outside[i]);
	}
	assert_true(address_literal("1.1.1.1", 0, &address));
	assert_false(dial_is_public(&address));
}

static void fails_in_public(
	const char *host, uint16_t port, enum trouble_kind kind, const char *words)
{
	const struct stream_target target = {.host = host, .port = port, .public_only = true};

	assert_int_equal(stream_open(&world.io, &target, &callbacks, &world, &world.stream), 0);
	RUN_UNTIL(world.ended || world.opened);
	if (world.opened || world.trouble.kind != kind || !strstr(world.trouble.text, words))
		fail_msg("trouble is %d: %s", world.trouble.kind, world.trouble.text);
	print_message("     %s\n", world.trouble.text);
	finish();
	world.ended = false;
	world.ends = 0;
}

static void public_only(void **state)
{
	static struct server server;

	start_server(&server, "127.0.0.1", 0, never_answer);
	fails_in_public("127.0.0.1", server.port, TROUBLE_NOT_PUBLIC, "127.0.0.1");
	fails_in_public("relay.test", server.port, TROUBLE_NOT_PUBLIC, "it leads to 127.0.0.1:");
	fails_in_public("inside.test", server.port, TROUBLE_NOT_PUBLIC, "10.0.0.7");
	/* Of two addresses the public one alone. */
	fails_in_public("half-inside.test", server.port, TROUBLE_TIMED_OUT, PUBLIC_V4);
	stop_server(&server);
	assert_int_equal(server.accepted, 0);
}

/* ---- servers that misbehave ---- */

static void ends(uint16_t port, enum trouble_kind kind, const char *words)
{
	world.opened = false;
	world.opens = 0;
	begin("127.0.0.1", port, false);
	RUN_UNTIL(world.ended);
	assert_true(world.opened);
	if (world.trouble.kind != kind || !strstr(world.trouble.text, words))
		fail_msg("trouble is %d: %s", world.trouble.kind, world.trouble.text);
	finish();
	world.ended = false;
	world.ends = 0;
}

static void closes_at_once(void **state)
{
	static struct server server;

	start_server(&server, "127.0.0.1", 0, close_at_once);
	ends(server.port, TROUBLE_CLOSED, "closed");
	world.opened = false;
	world.opens = 0;
	fails("127.0.0.1", server.port, true, TROUBLE_TLS, "closed instead");
	stop_server(&server);
	server = (struct server){0};
	start_server(&server, "127.0.0.1", 0, reset);
	ends(server.port, TROUBLE_CLOSED, "reset");
	stop_server(&server);
}

static void is_http(void **state)
{
	static struct server server;

	start_server(&server, "127.0.0.1", 0, say_http);
	fails("127.0.0.1", server.port, true, TROUBLE_NO_TLS, "is no TLS");
	stop_server(&server);
}

static void never_answers(void **state)
{
	static struct server server;

	start_server(&server, "127.0.0.1", 0, never_answer);
	begin("relay.test", server.port, true);
	assert_string_equal(stream_doing(world.stream), "reading whom to trust");
	RUN_UNTIL(strcmp(stream_doing(world.stream), "waiting for TLS") == 0);
	while (server.accepted == 0)
		poll(NULL, 0, 1);
	assert_int_equal(stream_write(world.stream, "x", 1), 0);
	assert_false(world.opened || world.ended);
	finish();
	stop_server(&server);
}

/* The server says no more but would still listen: that is the end, after what it has said. */
static void half_closed(void **state)
{
	static struct server server;

	start_server(&server, "127.0.0.1", 0, close_half);
	begin("127.0.0.1", server.port, false);
	RUN_UNTIL(world.ended);
	assert_int_equal(world.trouble.kind, TROUBLE_CLOSED);
	assert_string_equal(world.text, "bye");
	finish();
	stop_server(&server);
	server = (struct server){0};
	remake_world("authority.pem");
	start_tls(&server, "127.0.0.1", "good", tls_close_half);
	begin("127.0.0.1", server.port, true);
	RUN_UNTIL(world.ended);
	assert_int_equal(world.trouble.kind, TROUBLE_CLOSED);
	assert_string_equal(world.text, "bye");
	finish();
	stop_server(&server);
}

/* ---- TLS ---- */

static void reversed(const char *host, uint16_t port)
{
	world.opened = false;
	world.opens = 0;
	world.received = 0;
	begin(host, port, true);
	RUN_UNTIL(world.opened || world.ended);
	if (!world.opened)
		fail_msg("%s: %s", host, world.trouble.text);
	assert_int_equal(stream_write(world.stream, "hello relay\n", 12), 12);
	RUN_UNTIL(world.received >= 12);
	assert_memory_equal(world.text, "yaler olleh\n", 12);
	finish();
}

static void right_host(void **state)
{
	struct child child;

	start_openssl(&child, "127.0.0.1", "good", "-tls1_3");
	reversed("relay.test", child.port);
	reversed("relay.test.", child.port);
	reversed("127.0.0.1", child.port);
	stop_openssl(&child);
	start_openssl(&child, "127.0.0.1", "good", "-tls1_2");
	reversed("relay.test", child.port);
	stop_openssl(&child);
	start_openssl(&child, "[::1]", "good", "");
	reversed("::1", child.port);
	stop_openssl(&child);
}

static void wrong_host(void **state)
{
	struct child child;

	start_openssl(&child, "127.0.0.1", "other", "");
	fails("relay.test", child.port, true, TROUBLE_OTHER_HOST,
		"another host: a.example, b.example, 192.0.2.1, ...");
	fails("127.0.0.1", child.port, true, TROUBLE_OTHER_HOST, "another host");
	stop_openssl(&child);
	/* Without alternative names; what is shown of it is harmless. */
	start_openssl(&child, "127.0.0.1", "bytes", "");
	fails("relay.test", child.port, true, TROUBLE_OTHER_HOST, "another host: ?[31mred");
	stop_openssl(&child);
}

static void unknown_authority(void **state)
{
	struct child child;

	start_openssl(&child, "127.0.0.1", "foreign", "");
	fails("relay.test", child.port, true, TROUBLE_UNTRUSTED, "relay_ca");
	assert_non_null(strstr(world.trouble.text, "The stranger"));
	stop_openssl(&child);
	start_openssl(&child, "127.0.0.1", "alone", "");
	fails("relay.test", child.port, true, TROUBLE_UNTRUSTED, "self-signed");
	assert_non_null(strstr(world.trouble.text, "relay_ca"));
	stop_openssl(&child);
	/* Without the option the system's alone are believed. */
	remake_world(NULL);
	start_openssl(&child, "127.0.0.1", "good", "");
	fails("relay.test", child.port, true, TROUBLE_UNTRUSTED, "The authority");
	stop_openssl(&child);
}

static void named_itself(void **state)
{
	struct child child;

	/* A certificate that stands in the file itself, self-signed or not. */
	remake_world("alone.pem");
	start_openssl(&child, "127.0.0.1", "alone", "");
	reversed("relay.test", child.port);
	stop_openssl(&child);
	remake_world("foreign.pem");
	start_openssl(&child, "127.0.0.1", "foreign", "");
	reversed("relay.test", child.port);
	stop_openssl(&child);
}

static void no_authorities(void **state)
{
	struct child child;

	setenv("SSL_CERT_FILE", "/nonexistent", 1);
	setenv("SSL_CERT_DIR", "/nonexistent", 1);
	remake_world(NULL);
	start_openssl(&child, "127.0.0.1", "good", "");
	fails("relay.test", child.port, true, TROUBLE_UNTRUSTED,
		"the system has none: no ca-certificates?");
	stop_openssl(&child);
	unsetenv("SSL_CERT_FILE");
	unsetenv("SSL_CERT_DIR");
}

static void out_of_time(void **state)
{
	struct child child;

	start_openssl(&child, "127.0.0.1", "old", "");
	fails("relay.test", child.port, true, TROUBLE_EXPIRED, "expired on 2021-02-03");
	stop_openssl(&child);
	start_openssl(&child, "127.0.0.1", "young", "");
	fails("relay.test", child.port, true, TROUBLE_EXPIRED, "not valid before 2100-04-01");
	stop_openssl(&child);
}

static void old_tls(void **state)
{
	struct child child;

	start_openssl(&child, "127.0.0.1", "good", "-tls1_1 -cipher ALL:@SECLEVEL=0");
	fails("relay.test", child.port, true, TROUBLE_TLS, "handshake: ");
	stop_openssl(&child);
}

static void bad_relay_ca(void **state)
{
	remake_world("nothing.pem");
	fails("relay.test", 1, true, TROUBLE_AUTHORITIES, "No such file");
	/* And when it is there it is read. */
	remake_world("garbage.pem");
	fails("relay.test", 1, true, TROUBLE_AUTHORITIES, "garbage.pem has no certificate");
}

static void tls_both_ways(void **state)
{
	static struct server server;

	start_tls(&server, "127.0.0.1", "good", tls_echo);
	echoed("relay.test.", server.port, true, 4u << 20);
	stop_server(&server);
	assert_string_equal(server.sni, "relay.test");
	assert_string_equal(server.alpn, "http/1.1");
	/* No name for an address. */
	remake_world("authority.pem");
	server = (struct server){0};
	start_tls(&server, "127.0.0.1", "good", tls_echo);
	echoed("127.0.0.1", server.port, true, 1);
	stop_server(&server);
	assert_string_equal(server.sni, "");
}

static void tls_reading_is_bounded(void **state)
{
	static struct server server;

	start_tls(&server, "127.0.0.1", "good", tls_flood);
	read_in_turns("127.0.0.1", server.port, true);
	stop_server(&server);
}

static void key_updates_are_bounded(void **state)
{
	static struct server server;

	start_tls(&server, "127.0.0.1", "good", tls_ask_for_keys);
	begin("127.0.0.1", server.port, true);
	RUN_UNTIL(world.received >= 100000 || world.ended);
	print_message("     %zu bytes, %s\n", world.received,
		world.ended ? world.trouble.text : "nothing has ended");
	assert_true(stream_unsent(world.stream) <= 2 * 65536);
	finish();
	stop_server(&server);
}

/* ---- closing ---- */

static void closed_within_data(void **state)
{
	static struct server server;

	world.closes = true;
	start_server(&server, "127.0.0.1", 0, flood);
	begin("127.0.0.1", server.port, false);
	RUN_UNTIL(world.received > 0);
	stop_server(&server);
	remake_world("authority.pem");
	server = (struct server){0};
	world.closes = true;
	start_tls(&server, "127.0.0.1", "good", tls_flood);
	begin("127.0.0.1", server.port, true);
	RUN_UNTIL(world.received > 0);
	stop_server(&server);
	assert_false(world.ended);
}

static void closed_in_each_phase(void **state)
{
	static const char *const phases[] = {"reading whom to trust", "looking up its name",
		"connecting", "waiting for TLS", "connected"};
	static struct server server;

	start_tls(&server, "127.0.0.1", "good", tls_echo);
	for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
		remake_world("authority.pem");
		world.to_send = 10u << 20;
		begin("silent6.test", server.port, true);
		RUN_UNTIL(strcmp(stream_doing(world.stream), phases[i]) == 0);
		assert_false(world.ended);
		finish();
	}
	/* While much is on the way, both ways. */
	remake_world("authority.pem");
	world.to_send = 10u << 20;
	begin("relay.test", server.port, true);
	RUN_UNTIL(world.received > 1u << 20);
	finish();
	stop_server(&server);
}

static void on_enough(uv_timer_t *timer)
{
	stream_close(world.stream, NULL, NULL);
	world.stream = NULL;
	uv_close((uv_handle_t *)timer, NULL);
}

/* While two addresses are tried. */
static void closed_between_addresses(void **state)
{
	uv_timer_t enough;

	begin("two-silent.invalid", 1, false);
	uv_timer_init(&world.loop, &enough);
	uv_timer_start(&enough, on_enough, DIAL_NEXT_MS + 100, 0);
	RUN_UNTIL(!world.stream);
	assert_false(world.ended);
}

/* The loop's end comes while everything is under way. */
static void stopped(void **state)
{
	begin("silent.invalid", 1, false);
	uv_run(&world.loop, UV_RUN_NOWAIT);
	name_server_wait_asked(name_server_answered() + 1);
	stream_close(world.stream, NULL, NULL);
	begin("relay.test", 1, true);
	end_world();
	name_server_wake(false);
}

static void each_allocation_fails(void **state)
{
	const struct stream_target target = {.host = "relay.test", .tls = true};
	struct stream_target there = target;
	static struct server server;
	bool failed = true;
	int error;

	start_tls(&server, "127.0.0.1", "good", tls_echo);
	there.port = server.port;
	for (size_t n = 1; failed; n++) {
		remake_world("authority.pem");
		world.to_send = 300000;
		heap_fail(n, false);
		error = stream_open(&world.io, &there, &callbacks, &world, &world.stream);
		if (!error) {
			RUN_UNTIL(world.ended || world.received >= world.to_send);
			finish();
		} else {
			assert_int_equal(error, ERROR_NOMEM);
		}
		failed = heap_has_failed();
		if (!failed)
			assert_int_equal(world.received, world.to_send);
		heap_fail(0, false);
	}
	stop_server(&server);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(plain_echo),
		TEST(idle),
		TEST(reading_is_bounded),
		TEST(writing_is_bounded),
		TEST(nobody_listens),
		TEST(no_route),
		TEST(nobody_answers),
		TEST(no_such_name),
		TEST(silent_name_server),
		TEST(happy_eyeballs),
		TEST(public_addresses),
		TEST(public_only),
		TEST(closes_at_once),
		TEST(is_http),
		TEST(never_answers),
		TEST(half_closed),
		TEST(right_host),
		TEST(wrong_host),
		TEST(unknown_authority),
		TEST(named_itself),
		TEST(no_authorities),
		TEST(out_of_time),
		TEST(old_tls),
		TEST(bad_relay_ca),
		TEST(tls_both_ways),
		TEST(tls_reading_is_bounded),
		TEST(key_updates_are_bounded),
		TEST(closed_within_data),
		TEST(closed_in_each_phase),
		TEST(closed_between_addresses),
		TEST(stopped),
		TEST(each_allocation_fails),
	};

	signal(SIGPIPE, SIG_IGN); /* as in the node's thread */
	netns_enter();
	/* An interface that swallows everything: nobody has that Ethernet address. */
	netns_ip("link add silent type veth peer name other");
	netns_ip("link set silent up");
	netns_ip("link set other up");
	netns_ip("addr add 192.0.2.1/24 dev silent");
	netns_ip("addr add 2001:db8::1/64 dev silent nodad");
	netns_ip("neigh add " SILENT_V4 " lladdr " NOBODY " dev silent");
	netns_ip("neigh add " SILENT_V6 " lladdr " NOBODY " dev silent");
	netns_ip("route add " PUBLIC_V4 "/32 via " SILENT_V4);
	return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
