/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The pool against relays that work, fail and come back under a virtual clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/relay/frame.h"
#include "bridge/relay/relays.h"
#include "support_heap.h"
#include "support_relay.h"

#define NEVER UINT64_MAX
#define FAKES 300

enum behaviour {
	WORKS,
	REFUSES, /* the TCP connection */
	SILENT,	 /* nothing at all */
	DENIES,
	UNTRUSTED, /* its certificate */
	MUTE,	   /* answers no ping */
	FLAPS,	   /* closes when it has answered the first ping */
};

/* One relay, whose stream is in a step. */
struct fake {
	struct relay_url url;
	struct address address;
	enum behaviour behaviour;
	uint64_t stream; /* 0: none */
	bool open, upgraded;
	uint8_t in[1 << 16];
	size_t in_size;
	size_t tries, datagrams;
	bool has_token, hearsay;
};

static struct {
	uint64_t now, seed, last_stream;
	struct counters counters;
	struct identity identity;
	struct relays *relays;
	struct fake *fakes[FAKES];
	size_t fakes_count;
	char story[4096]; /* homes, ups, downs: by the first letter of the host */
	char lines[16384];
	size_t lines_count;
	enum node_log_level worst;
	size_t open_count, most_open;
	bool sends_back;
	const struct fake *sends_to; /* from within, what comes by another one */
	size_t datagrams, gones;
} world;

static struct said said;
static struct heard heard;
static uint8_t data[64 << 10];
static const struct id other = {{[0] = 7}};

static int setup(void **state)
{
	uint8_t secret[32] = {1};

	memset(&world, 0, sizeof world);
	world.now = 1000 * S;
	world.seed = 5;
	said.size = 0;
	return identity_from_secret(secret, &world.identity);
}

static int teardown(void **state)
{
	relays_free(world.relays);
	for (size_t i = 0; i < world.fakes_count; i++)
		free(world.fakes[i]);
	identity_clear(&world.identity);
	return 0;
}

static uint64_t counted(enum counter counter)
{
	return counters_get(&world.counters, counter);
}

static struct fake *fake(const char *text, enum behaviour behaviour)
{
	struct fake *made = calloc(1, sizeof *made);

	assert_non_null(made);
	assert_true(world.fakes_count < FAKES);
	assert_int_equal(relay_url_parse(text, strlen(text), &made->url), 0);
	made->address = relay_url_address(&made->url);
	made->behaviour = behaviour;
	world.fakes[world.fakes_count++] = made;
	return made;
}

static struct fake *by_stream(uint64_t stream)
{
	for (size_t i = 0; i < world.fakes_count; i++)
		if (world.fakes[i]->stream == stream)
			return world.fakes[i];
	fail_msg("unknown stream");
	return NULL;
}

static struct fake *by_address(const struct address *address)
{
	for (size_t i = 0; i < world.fakes_count; i++)
		if (address_compare(&world.fakes[i]->address, address) == 0)
			return world.fakes[i];
	fail_msg("unknown relay");
	return NULL;
}

static void tell(const char *what, const struct address *relay)
{
	size_t size = strlen(world.story);

	snprintf(world.story + size, sizeof world.story - size, "%s%s%c", size ? " " : "", what,
		by_address(relay)->url.host[0]);
}

/* What has been told since the last time. */
static void assert_story(const char *expected)
{
	assert_string_equal(world.story, expected);
	world.story[0] = '\0';
}

static void on_datagram(void *context, const struct address *relay, const struct id *from,
	const uint8_t *bytes, size_t size, size_t segment)
{
	assert_ptr_equal(context, &world);
	by_address(relay);
	world.datagrams++;
	if (world.sends_back)
		relays_send(world.relays, world.now, relay, from, bytes, size, segment);
	if (world.sends_to)
		relays_send(world.relays, world.now, &world.sends_to->address, from, bytes, size,
			segment);
}

static void on_gone(void *context, const struct address *relay, const struct id *node)
{
	assert_ptr_equal(context, &world);
	by_address(relay);
	world.gones++;
}

static int make(const char *token, bool any, size_t homes)
{
	struct relay_url urls[NODE_RELAYS];
	struct relays_config config = {.identity = &world.identity,
		.random = random_seeded(&world.seed),
		.counters = &world.counters,
		.homes = urls,
		.homes_count = homes,
		.token = token,
		.any = any,
		.port = {&world, on_datagram, on_gone}};

	for (size_t i = 0; i < homes; i++)
		urls[i] = world.fakes[i]->url;
	return relays_new(&config, &world.relays);
}

/* ---- the relays' side ---- */

static void forget_stream(struct fake *of)
{
	if (of->stream && of->open)
		world.open_count--;
	of->stream = 0;
	of->open = of->upgraded = false;
	of->in_size = 0;
}

static void close_stream(struct fake *of, enum relay_trouble trouble, const char *text)
{
	uint64_t stream = of->stream;

	forget_stream(of);
	relays_closed(world.relays, world.now, stream, trouble, text);
}

static void receive(struct fake *of)
{
	uint8_t *copy = malloc(said.size ? said.size : 1);
	size_t size = said.size;

	assert_non_null(copy);
	memcpy(copy, said.bytes, size);
	said.size = 0;
	relays_received(world.relays, world.now, of->stream, copy, size);
	free(copy);
}

static void on_open(const struct relays_effect *effect)
{
	struct fake *of = by_address(&effect->relay);

	assert_string_equal(effect->url->text, of->url.text);
	assert_int_equal(of->stream, 0);
	/* Never used again. */
	assert_true(effect->stream > world.last_stream);
	world.last_stream = of->stream = effect->stream;
	of->hearsay = effect->hearsay;
	of->tries++;
	if (of->behaviour == REFUSES) {
		close_stream(of, RELAY_UNREACHABLE, "connection refused");
		return;
	}
	if (of->behaviour == UNTRUSTED) {
		close_stream(of, RELAY_CERTIFICATE, "for another host");
		return;
	}
	of->open = true;
	world.open_count++;
	if (world.open_count > world.most_open)
		world.most_open = world.open_count;
	if (of->behaviour == SILENT)
		return;
	relays_opened(world.relays, world.now, of->stream);
}

static void upgrade(struct fake *of)
{
	if (of->in_size < 4 || memcmp(of->in + of->in_size - 4, "\r\n\r\n", 4) != 0)
		return;
	of->in[of->in_size] = '\0';
	of->has_token = strstr((char *)of->in, "Authorization: Bearer secret\r\n") != NULL;
	say_upgrade(&said, of->in, of->in_size, "iroh-relay-v2");
	say(&said, RELAY_FRAME_CHALLENGE, "0123456789abcdef", 16);
	of->in_size = 0;
	of->upgraded = true;
	receive(of);
}

static void answer(struct fake *of)
{
	switch (heard.payload[0]) {
	case RELAY_FRAME_AUTH:
		if (of->behaviour == DENIES)
			say(&said, RELAY_FRAME_DENIES, "\16not authorized", 15);
		else
			say(&said, RELAY_FRAME_CONFIRMS, NULL, 0);
		break;
	case RELAY_FRAME_PING:
		if (of->behaviour != MUTE)
			say(&said, RELAY_FRAME_PONG, heard.payload + 1, 8);
		break;
	case RELAY_FRAME_SEND:
		of->datagrams++;
		break;
	}
	receive(of);
	if (of->behaviour == FLAPS && heard.payload[0] == RELAY_FRAME_PING)
		close_stream(of, RELAY_LOST, "connection reset");
}

/* Takes what is to be written, and answers what is whole. */
static void on_write(struct fake *of)
{
	const uint8_t *bytes;
	uint64_t stream = of->stream;
	size_t size, used;

	while ((bytes = relays_output(world.relays, stream, &size))) {
		if (size > sizeof of->in - 1 - of->in_size)
			size = sizeof of->in - 1 - of->in_size;
		memcpy(of->in + of->in_size, bytes, size);
		of->in_size += size;
		relays_written(world.relays, world.now, stream, size);
		if (!of->upgraded)
			upgrade(of);
		while (of->upgraded && of->stream == stream &&
			(used = frame_heard(of->in, of->in_size, &heard))) {
			of->in_size -= used;
			memmove(of->in, of->in + used, of->in_size);
			answer(of);
		}
	}
}

static void on_line(const struct relays_effect *effect)
{
	size_t size = strlen(world.lines);

	snprintf(world.lines + size, sizeof world.lines - size, "%s\n", effect->text);
	world.lines_count++;
	if (effect->level > world.worst)
		world.worst = effect->level;
}

static void drain(void)
{
	struct relays_effect effect;
	size_t count = 0;

	while (relays_effect(world.relays, &effect)) {
		assert_true(++count < 10000);
		switch (effect.type) {
		case RELAYS_OPEN:
			on_open(&effect);
			break;
		case RELAYS_CLOSE:
			forget_stream(by_stream(effect.stream));
			break;
		case RELAYS_WRITE:
			on_write(by_stream(effect.stream));
			break;
		case RELAYS_HOME:
			assert_string_equal(effect.url->text, by_address(&effect.relay)->url.text);
			assert_ptr_equal(effect.url, relays_home(world.relays));
			tell("home ", &effect.relay);
			break;
		case RELAYS_UP:
			assert_true(relays_is_up(world.relays, &effect.relay));
			tell("up ", &effect.relay);
			break;
		case RELAYS_DOWN:
			assert_false(relays_is_up(world.relays, &effect.relay));
			tell("down ", &effect.relay);
			break;
		case RELAYS_LOG:
			on_line(&effect);
			break;
		}
	}
}

static void pass(uint64_t time)
{
	uint64_t end = world.now + time, deadline;
	size_t ticks = 0;

	while ((deadline = relays_deadline(world.relays)) <= end) {
		assert_true(++ticks < 100000);
		if (deadline > world.now)
			world.now = deadline;
		relays_tick(world.relays, world.now);
		drain();
	}
	world.now = end;
}

static void start(void)
{
	relays_start(world.relays, world.now);
	drain();
}

/* A relay goes down, with all its connections. */
static void kill(struct fake *of, enum behaviour then)
{
	of->behaviour = then;
	if (of->stream)
		close_stream(of, RELAY_LOST, NULL);
	drain();
}

static bool send_by(const struct fake *by, size_t size)
{
	bool sent = relays_send(world.relays, world.now, &by->address, &other, data, size, 0);

	drain();
	return sent;
}

static void assert_home(const struct fake *of)
{
	const struct relay_url *home = relays_home(world.relays);

	if (!of)
		assert_null(home);
	else
		assert_string_equal(home->text, of->url.text);
}

static void assert_word(const char *word)
{
	assert_string_equal(relays_state_word(relays_state(world.relays)), word);
}

/* ---- */

static void without_relays_nothing_happens(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);

	assert_int_equal(make(NULL, false, 0), 0);
	assert_word("off");
	assert_int_equal(relays_deadline(world.relays), NEVER);
	start();
	assert_word("off");
	assert_home(NULL);
	assert_int_equal(relays_deadline(world.relays), NEVER);
	pass(1000 * S);
	assert_false(send_by(a, 100));
	assert_int_equal(counted(COUNTER_RELAY_DROPPED), 1);
	assert_int_equal(a->tries, 0);
	assert_story("");
	assert_string_equal(world.lines, "");
}

static void the_first_that_works_is_home(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	struct fake *b = fake("https://b.example/", WORKS);

	assert_int_equal(make(NULL, false, 2), 0);
	assert_word("off");
	relays_start(world.relays, world.now);
	assert_word("connecting");
	assert_home(NULL);
	drain();
	assert_story("home a up a");
	assert_home(a);
	assert_word("connected");
	assert_string_equal(
		world.lines, "relay https://a.example/: connected; others find this node there\n");
	pass(3600 * S);
	assert_story("");
	assert_int_equal(a->tries, 1);
	assert_int_equal(b->tries, 0);
	assert_false(a->hearsay);
	assert_int_equal(world.lines_count, 1);
	assert_int_equal(counted(COUNTER_RELAY_CONNECTS), 1);
	/* At rest there is a ping now and then, and nothing else. */
	assert_true(relays_deadline(world.relays) > world.now);
	assert_true(relays_deadline(world.relays) <= world.now + RELAY_PING_INTERVAL);
}

static void one_that_refuses_is_passed_over_at_once(void **state)
{
	struct fake *a = fake("https://a.example/", REFUSES);
	struct fake *b = fake("https://b.example/", WORKS);

	assert_int_equal(make(NULL, false, 2), 0);
	start();
	pass(0);
	assert_story("home b up b");
	assert_home(b);
	assert_word("connected");
	assert_true(a->tries >= 1);
}

static void one_that_is_silent_gets_some_patience(void **state)
{
	struct fake *a = fake("https://a.example/", SILENT);
	struct fake *b = fake("https://b.example/", SILENT);
	struct fake *c = fake("https://c.example/", WORKS);

	assert_int_equal(make(NULL, false, 3), 0);
	start();
	pass(RELAYS_PATIENCE - 1);
	assert_int_equal(b->tries, 0);
	pass(1);
	assert_int_equal(b->tries, 1);
	pass(RELAYS_PATIENCE - 1);
	assert_int_equal(c->tries, 0);
	assert_word("connecting");
	pass(1);
	assert_story("home c up c");
	assert_int_equal(a->tries, 1);
	assert_true(a->stream);
}

/* And so on, for as long as none works. */
static void none_works_for_long(void **state)
{
	struct fake *a = fake("https://a.example/", REFUSES);
	struct fake *b = fake("https://b.example/", SILENT);
	uint64_t begin;

	assert_int_equal(make(NULL, false, 2), 0);
	start();
	pass(600 * S);
	assert_story("");
	assert_home(NULL);
	assert_word("connecting");
	assert_true(a->tries >= 600 / 5 && a->tries <= 600 / 2 + 10);
	assert_true(b->tries >= 600 / 16 && b->tries <= 600 / 10);
	/* One line each. */
	assert_int_equal(world.lines_count, 2);
	b->behaviour = WORKS;
	begin = world.now;
	while (!relays_home(world.relays) && world.now < begin + 60 * S)
		pass(100 * MS);
	/* Its silent try has to end first. */
	assert_true(world.now - begin <= RELAY_DIAL_LIMIT + RELAY_WAIT_MOST);
	assert_story("home b up b");
}

static void a_home_that_comes_back_in_time_stays_home(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	struct fake *b = fake("https://b.example/", WORKS);

	assert_int_equal(make(NULL, false, 2), 0);
	start();
	pass(60 * S);
	assert_story("home a up a");
	kill(a, REFUSES);
	assert_story("down a");
	assert_word("connecting");
	assert_home(a);
	pass(5 * S);
	a->behaviour = WORKS;
	pass(RELAYS_HOME_DOWN - 5 * S - 1);
	assert_story("up a");
	pass(60 * S);
	assert_story("");
	assert_home(a);
	assert_int_equal(b->tries, 0);
	assert_int_equal(world.lines_count, 3);
}

static void a_home_that_is_down_is_replaced(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	struct fake *b = fake("https://b.example/", REFUSES);
	struct fake *c = fake("https://c.example/", WORKS);
	uint64_t back;

	assert_int_equal(make(NULL, false, 3), 0);
	start();
	pass(60 * S);
	assert_story("home a up a");
	kill(a, REFUSES);
	assert_story("down a");
	pass(RELAYS_HOME_DOWN - 1);
	assert_int_equal(b->tries + c->tries, 0);
	pass(1);
	/* The next one refuses, so it is the one after it. */
	assert_int_equal(b->tries, 1);
	assert_story("home c up c");
	assert_home(c);
	assert_word("connected");
	/* The old one is asked now and then, and is home again when it has stood for a while. */
	pass(600 * S);
	assert_story("");
	a->tries = 0;
	pass(600 * S);
	assert_true(a->tries >= 600 / 31 && a->tries <= 600 / 30 + 1);
	a->behaviour = WORKS;
	back = world.now;
	pass(RELAYS_HOME_RETRY);
	assert_story("up a");
	pass(RELAYS_HOME_BACK);
	assert_story("home a");
	assert_true(world.now - back <= RELAYS_HOME_RETRY + RELAYS_HOME_BACK);
	/* The other one stays for those who have not heard of it, and goes. */
	pass(RELAYS_HOME_LEAVE - RELAYS_HOME_BACK);
	assert_story("");
	assert_true(c->stream);
	pass(RELAYS_HOME_BACK);
	assert_story("down c");
	assert_false(c->stream);
	pass(600 * S);
	assert_story("");
	assert_home(a);
}

/* It is not gone back to when it does not stand. */
static void a_home_that_does_not_stand_stays_away(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	struct fake *b = fake("https://b.example/", WORKS);

	assert_int_equal(make(NULL, false, 2), 0);
	start();
	pass(60 * S);
	kill(a, REFUSES);
	pass(RELAYS_HOME_DOWN);
	assert_home(b);
	pass(RELAYS_HOME_LEAVE);
	for (int i = 0; i < 20; i++) {
		a->behaviour = WORKS;
		while (!a->stream)
			pass(S);
		pass(RELAYS_HOME_BACK - 2 * S);
		assert_home(b);
		kill(a, REFUSES);
		pass(2 * S);
	}
	assert_home(b);
}

static void a_home_that_flaps_is_replaced(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	struct fake *b = fake("https://b.example/", WORKS);

	assert_int_equal(make(NULL, false, 2), 0);
	start();
	pass(60 * S);
	kill(a, FLAPS);
	pass(RELAYS_HOME_DOWN + 2 * S);
	assert_home(b);
	assert_word("connected");
	pass(3600 * S);
	assert_home(b);
	/* Its lines are few, however often it comes and goes. */
	assert_true(world.lines_count < 3600 / 30 + 20);
}

static void one_that_answers_no_ping_is_no_home(void **state)
{
	struct fake *a = fake("https://a.example/", MUTE);
	struct fake *b = fake("https://b.example/", WORKS);

	assert_int_equal(make(NULL, false, 2), 0);
	start();
	assert_home(NULL);
	pass(RELAYS_PATIENCE);
	assert_home(b);
	assert_true(a->tries > 0);
}

static void a_denied_one_says_so(void **state)
{
	struct fake *a = fake("https://a.example/", DENIES);

	assert_int_equal(make("secret", false, 1), 0);
	start();
	assert_word("denied");
	assert_true(a->has_token);
	pass(600 * S);
	assert_word("denied");
	assert_string_equal(world.lines,
		"relay https://a.example/: denies us access (not authorized): see "
		"relay_token_file, and whether its operator lets this node in\n");
	assert_true(a->tries >= 600 / 30 && a->tries <= 600 / 15 + 1);
	assert_int_equal(counted(COUNTER_RELAY_REFUSED), a->tries);
	a->behaviour = WORKS;
	pass(RELAY_WAIT_REFUSED);
	assert_word("connected");
	assert_int_equal(world.lines_count, 2);
}

static void other_troubles_say_so(void **state)
{
	struct fake *a = fake("https://a.example/", UNTRUSTED);
	struct fake *b = fake("https://b.example/", SILENT);

	assert_int_equal(make(NULL, false, 2), 0);
	start();
	pass(60 * S);
	assert_int_equal(world.lines_count, 2);
	assert_non_null(strstr(world.lines,
		"relay https://a.example/: its certificate is refused (for another host)"));
	assert_non_null(strstr(world.lines, "relay https://b.example/: no answer within 10 s"));
	assert_true(a->tries < 6);
	assert_true(b->tries < 8);
}

static void another_with_our_key(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);

	assert_int_equal(make(NULL, false, 1), 0);
	start();
	say(&said, RELAY_FRAME_STATUS, "\1", 1);
	receive(a);
	drain();
	assert_word("elsewhere");
	assert_int_equal(world.worst, NODE_LOG_ERROR);
	assert_non_null(strstr(world.lines, "another process with the key of this node"));
	/* It is no reason to leave, or the two would push each other out for ever. */
	pass(60 * S);
	assert_int_equal(a->tries, 1);
	say(&said, RELAY_FRAME_STATUS, "\0", 1);
	receive(a);
	drain();
	assert_word("connected");
	say(&said, RELAY_FRAME_STATUS, "\2", 1);
	receive(a);
	drain();
	assert_word("limited");
	assert_int_equal(world.lines_count, 4);
	pass(RELAY_LIMITED_FOR + RELAYS_LINES * RELAYS_LINE_INTERVAL);
	assert_word("connected");
	assert_int_equal(world.lines_count, 5);
}

static void words_of_a_relay_are_few(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	char text[32];

	assert_int_equal(make(NULL, false, 1), 0);
	start();
	for (int i = 0; i < 10000; i++) {
		snprintf(text, sizeof text, "no %d", i);
		say(&said, RELAY_FRAME_HEALTH, text, strlen(text));
		say(&said, RELAY_FRAME_STATUS, i % 2 ? "\0" : "\1", 1);
		receive(a);
		drain();
	}
	assert_int_equal(world.lines_count, RELAYS_LINES);
	pass(RELAYS_LINE_INTERVAL);
	/* How it is now. */
	assert_int_equal(world.lines_count, RELAYS_LINES + 1);
	assert_non_null(strstr(world.lines, "says: no 9999\n"));
	pass(600 * S);
	assert_int_equal(world.lines_count, RELAYS_LINES + 1);
}

/* ---- other relays ---- */

static void others_are_connected_to_on_demand(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	struct fake *b = fake("http://127.0.0.1:3340/", WORKS);

	assert_int_equal(make("secret", false, 1), 0);
	assert_int_equal(relays_add(world.relays, &b->url), 0);
	start();
	assert_story("home a up a");
	pass(600 * S);
	assert_int_equal(b->tries, 0);
	assert_ptr_equal(relays_url(world.relays, &b->address)->text,
		relays_url(world.relays, &b->address)->text);
	assert_string_equal(relays_url(world.relays, &b->address)->text, b->url.text);
	/* What is sent before it stands arrives. */
	assert_true(send_by(b, 100));
	assert_story("up 1");
	assert_int_equal(b->datagrams, 1);
	assert_false(b->hearsay);
	assert_true(a->has_token);
	assert_false(b->has_token);
	/* It stays as long as something is sent, and a minute. */
	for (int i = 0; i < 10; i++) {
		pass(RELAYS_LINGER - S);
		assert_true(send_by(b, 100));
	}
	assert_story("");
	pass(RELAYS_LINGER - 1);
	assert_story("");
	pass(1);
	assert_story("down 1");
	assert_false(b->stream);
	assert_int_equal(b->datagrams, 11);
	assert_int_equal(b->tries, 1);
	assert_home(a);
	/* And again. */
	assert_true(send_by(b, 100));
	assert_story("up 1");
	/* What comes by it does not keep it. */
	for (int i = 0; i < 12; i++) {
		if (b->stream) {
			say(&said, RELAY_FRAME_GONE, data, 32);
			receive(b);
		}
		pass(10 * S);
	}
	assert_false(b->stream);
	assert_int_equal(world.gones, 6);
}

/* One without an answer is tried as long as somebody sends. */
static void others_that_fail(void **state)
{
	struct fake *b = fake("https://b.example/", REFUSES);
	size_t tries;

	assert_int_equal(make(NULL, false, 0), 0);
	assert_int_equal(relays_add(world.relays, &b->url), 0);
	start();
	/* Opened and refused at once: it was queued, and is counted as dropped. */
	assert_true(send_by(b, 100));
	assert_int_equal(counted(COUNTER_RELAY_DROPPED), 1);
	assert_false(send_by(b, 100));
	assert_int_equal(counted(COUNTER_RELAY_DROPPED), 2);
	pass(RELAYS_LINGER);
	tries = b->tries;
	assert_true(tries >= 60 / 5 && tries <= 60 / 2 + 8);
	pass(600 * S);
	assert_int_equal(b->tries, tries);
	assert_int_equal(relays_deadline(world.relays), NEVER);
	assert_int_equal(world.lines_count, 1);
	assert_story("");
}

static void every_relay_of_the_candidates_can_be_sent_by(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	struct fake *b = fake("https://b.example/", WORKS);

	assert_int_equal(make("secret", false, 2), 0);
	start();
	assert_story("home a up a");
	assert_true(send_by(b, 100));
	assert_story("up b");
	assert_home(a);
	pass(RELAYS_LINGER);
	assert_story("down b");
	assert_true(send_by(a, 100));
	assert_int_equal(a->datagrams, 1);
	pass(RELAYS_LINGER * 2);
	assert_story("");
}

/* relay_dial known: only what the configuration names. */
static void hearsay_is_not_dialled(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	struct fake *b = fake("https://b.example/", WORKS);

	assert_int_equal(make(NULL, false, 1), 0);
	start();
	assert_true(relays_admit(world.relays, world.now, &a->url));
	assert_false(relays_admit(world.relays, world.now, &b->url));
	assert_null(relays_url(world.relays, &b->address));
	assert_false(send_by(b, 100));
	pass(60 * S);
	assert_int_equal(b->tries, 0);
	/* Once it is configured it is. */
	assert_int_equal(relays_add(world.relays, &b->url), 0);
	assert_true(relays_admit(world.relays, world.now, &b->url));
	assert_true(send_by(b, 100));
	assert_int_equal(b->tries, 1);
}

/* relay_dial any: what is public. */
static void hearsay_that_is_dialled(void **state)
{
	static const char *const refused[] = {"http://b.example/", "https://127.0.0.1/",
		"https://[2001:db8::1]/", "https://localhost/", "https://203.0.113.5:8443/"};
	struct fake *b = fake("https://b.example:8443/", WORKS);

	assert_int_equal(make("secret", true, 0), 0);
	start();
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
		struct relay_url url;

		assert_int_equal(relay_url_parse(refused[i], strlen(refused[i]), &url), 0);
		assert_false(relays_admit(world.relays, world.now, &url));
	}
	/* Not without a word of it. */
	assert_false(send_by(b, 100));
	assert_int_equal(b->tries, 0);
	assert_true(relays_admit(world.relays, world.now, &b->url));
	drain();
	assert_int_equal(b->tries, 0);
	assert_true(send_by(b, 100));
	assert_int_equal(b->tries, 1);
	assert_int_equal(b->datagrams, 1);
	assert_true(b->hearsay);
	assert_false(b->has_token);
	assert_word("off");
	assert_home(NULL);
}

static struct fake *learned(int i)
{
	char text[64];

	snprintf(text, sizeof text, "https://r%d.example/", i);
	return fake(text, WORKS);
}

static void hearsay_is_bounded(void **state)
{
	struct fake *first, *second;

	assert_int_equal(make(NULL, true, 0), 0);
	start();
	first = learned(0);
	second = learned(1);
	assert_true(relays_admit(world.relays, world.now, &first->url));
	assert_true(relays_admit(world.relays, world.now, &second->url));
	for (int i = 2; i < LIMIT_RELAYS_LEARNED; i++) {
		pass(S);
		assert_true(relays_admit(world.relays, world.now, &learned(i)->url));
	}
	assert_int_equal(counted(COUNTER_LIMIT_RELAYS), 0);
	/* The first is in use, so it is the second that gives way, although that has been spoken
	 * of since. */
	assert_true(send_by(first, 100));
	pass(S);
	assert_true(relays_admit(world.relays, world.now, &second->url));
	for (int i = 2; i < LIMIT_RELAYS_LEARNED; i++) {
		pass(MS);
		assert_true(relays_admit(world.relays, world.now, &world.fakes[i]->url));
	}
	assert_true(relays_admit(world.relays, world.now, &learned(1000)->url));
	assert_int_equal(counted(COUNTER_LIMIT_RELAYS), 1);
	assert_non_null(relays_url(world.relays, &first->address));
	assert_null(relays_url(world.relays, &second->address));
	assert_false(send_by(second, 100));
	/* Who is spoken of stays. */
	assert_true(relays_admit(world.relays, world.now, &world.fakes[2]->url));
	assert_true(relays_admit(world.relays, world.now, &learned(1001)->url));
	assert_non_null(relays_url(world.relays, &world.fakes[2]->address));
	assert_null(relays_url(world.relays, &world.fakes[3]->address));
}

static void few_of_them_are_connected_to(void **state)
{
	struct fake *fakes[20];

	assert_int_equal(make(NULL, true, 0), 0);
	start();
	for (int i = 0; i < 20; i++) {
		fakes[i] = learned(i);
		assert_true(relays_admit(world.relays, world.now, &fakes[i]->url));
	}
	for (int i = 0; i < 20; i++) {
		pass(MS);
		assert_int_equal(send_by(fakes[i], 100), i < LIMIT_RELAYS_LEARNED_OPEN);
	}
	assert_int_equal(world.open_count, LIMIT_RELAYS_LEARNED_OPEN);
	assert_int_equal(counted(COUNTER_LIMIT_RELAYS), 20 - LIMIT_RELAYS_LEARNED_OPEN);
	assert_int_equal(counted(COUNTER_RELAY_DROPPED), 20 - LIMIT_RELAYS_LEARNED_OPEN);
	/* When those have been quiet for a while they give way, the quietest first. */
	pass(RELAYS_YIELD - S);
	assert_true(send_by(fakes[0], 100));
	pass(S);
	assert_true(send_by(fakes[10], 100));
	assert_true(fakes[0]->stream);
	assert_false(fakes[1]->stream);
	assert_true(fakes[2]->stream);
	assert_int_equal(world.most_open, LIMIT_RELAYS_LEARNED_OPEN);
	/* And it is not to and fro. */
	for (int i = 11; i < 20; i++)
		send_by(fakes[i], 100);
	assert_true(fakes[10]->stream);
	assert_true(fakes[0]->stream);
	assert_int_equal(world.open_count, LIMIT_RELAYS_LEARNED_OPEN);
}

/* The one whose bytes are being read stays, however quiet it has been. */
static void none_gives_way_from_within(void **state)
{
	uint8_t frame[33 + 100] = {1};
	struct fake *fakes[10];

	assert_int_equal(make(NULL, true, 0), 0);
	start();
	for (int i = 0; i < 10; i++) {
		fakes[i] = learned(i);
		assert_true(relays_admit(world.relays, world.now, &fakes[i]->url));
	}
	for (int i = 0; i < LIMIT_RELAYS_LEARNED_OPEN; i++) {
		pass(MS);
		assert_true(send_by(fakes[i], 100));
	}
	pass(RELAYS_YIELD);
	world.sends_to = fakes[9];
	for (int i = 0; i < 3; i++)
		say(&said, RELAY_FRAME_DATAGRAM, frame, sizeof frame);
	receive(fakes[0]);
	drain();
	assert_int_equal(world.datagrams, 3);
	assert_true(fakes[0]->stream);
	assert_false(fakes[1]->stream);
	assert_int_equal(fakes[9]->datagrams, 3);
	assert_int_equal(world.open_count, LIMIT_RELAYS_LEARNED_OPEN);
}

/* Who has given way is not tried sooner for that. */
static void refusals_are_remembered(void **state)
{
	struct fake *fakes[9];

	assert_int_equal(make(NULL, true, 0), 0);
	start();
	for (int i = 0; i < 9; i++) {
		fakes[i] = learned(i);
		assert_true(relays_admit(world.relays, world.now, &fakes[i]->url));
	}
	fakes[0]->behaviour = UNTRUSTED;
	for (int i = 0; i < LIMIT_RELAYS_LEARNED_OPEN; i++) {
		send_by(fakes[i], 100);
		pass(MS);
	}
	pass(RELAYS_YIELD);
	assert_true(send_by(fakes[8], 100));
	assert_int_equal(fakes[0]->tries, 1);
	assert_false(send_by(fakes[0], 100));
	pass(S);
	assert_int_equal(fakes[0]->tries, 1);
	pass(RELAY_WAIT_REFUSED);
	assert_int_equal(fakes[0]->tries, 2);
}

static void configured_ones_are_bounded_too(void **state)
{
	assert_int_equal(make(NULL, true, 0), 0);
	start();
	for (int i = 0; i < 100; i++)
		assert_int_equal(relays_add(world.relays, &learned(i)->url), 0);
	for (int i = 0; i < 20; i++)
		assert_true(send_by(world.fakes[i], 100));
	/* They have places of their own. */
	for (int i = 100; i < 110; i++) {
		assert_true(relays_admit(world.relays, world.now, &learned(i)->url));
		assert_int_equal(send_by(world.fakes[i], 100), i < 100 + LIMIT_RELAYS_LEARNED_OPEN);
	}
	assert_int_equal(counted(COUNTER_LIMIT_RELAYS), 2);
	for (int i = 20; i < 100; i++)
		send_by(world.fakes[i], 100);
	assert_int_equal(world.most_open, LIMIT_RELAYS_OPEN - NODE_RELAYS);
	assert_int_equal(counted(COUNTER_LIMIT_RELAYS), 110 - world.most_open);
}

static void answers_come_from_within(void **state)
{
	uint8_t frame[33 + 100] = {1};
	struct fake *a = fake("https://a.example/", WORKS);

	assert_int_equal(make(NULL, false, 1), 0);
	start();
	world.sends_back = true;
	for (int i = 0; i < 20; i++)
		say(&said, RELAY_FRAME_DATAGRAM, frame, sizeof frame);
	receive(a);
	drain();
	assert_int_equal(world.datagrams, 20);
	assert_int_equal(a->datagrams, 20);
	assert_int_equal(counted(COUNTER_RELAY_IN), 20);
	assert_int_equal(counted(COUNTER_RELAY_OUT), 20);
}

/* ---- streams ---- */

/* RELAYS_WRITE once, until there is no more. */
static void output_is_told_of_once(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	struct relays_effect effect;
	size_t size, more;

	assert_int_equal(make(NULL, false, 1), 0);
	start();
	assert_true(relays_send(world.relays, world.now, &a->address, &other, data, 100, 0));
	assert_true(relays_effect(world.relays, &effect));
	assert_int_equal(effect.type, RELAYS_WRITE);
	assert_int_equal(effect.stream, a->stream);
	assert_false(relays_effect(world.relays, &effect));
	assert_true(relays_send(world.relays, world.now, &a->address, &other, data, 100, 0));
	assert_false(relays_effect(world.relays, &effect));
	assert_non_null(relays_output(world.relays, a->stream, &size));
	relays_written(world.relays, world.now, a->stream, 10);
	assert_false(relays_effect(world.relays, &effect));
	assert_non_null(relays_output(world.relays, a->stream, &more));
	assert_int_equal(more, size - 10);
	relays_written(world.relays, world.now, a->stream, more);
	assert_null(relays_output(world.relays, a->stream, &more));
	assert_int_equal(more, 0);
	assert_true(relays_send(world.relays, world.now, &a->address, &other, data, 100, 0));
	assert_true(relays_effect(world.relays, &effect));
	assert_int_equal(effect.type, RELAYS_WRITE);
}

static void other_streams_are_nothing(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	uint64_t old;
	size_t size;

	assert_int_equal(make(NULL, false, 1), 0);
	start();
	old = a->stream;
	kill(a, REFUSES);
	pass(S);
	a->behaviour = WORKS;
	pass(10 * S);
	assert_story("home a up a down a up a");
	for (uint64_t stream = 0; stream < world.last_stream + 5; stream++) {
		if (stream == a->stream)
			continue;
		relays_opened(world.relays, world.now, stream);
		relays_received(world.relays, world.now, stream, data, 100);
		relays_written(world.relays, world.now, stream, 100);
		assert_null(relays_output(world.relays, stream, &size));
		relays_closed(world.relays, world.now, stream, RELAY_TLS, "nothing");
	}
	drain();
	assert_true(old < a->stream);
	assert_word("connected");
	assert_story("");
}

/* A stream that nobody was told of is none. */
static void streams_that_were_not_opened(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	struct fake *b = fake("https://b.example/", WORKS);
	struct relays_effect effect;
	size_t size;

	assert_int_equal(make(NULL, false, 0), 0);
	assert_int_equal(relays_add(world.relays, &a->url), 0);
	assert_int_equal(relays_add(world.relays, &b->url), 0);
	start();
	assert_true(send_by(a, 100));
	assert_true(relays_send(world.relays, world.now, &b->address, &other, data, 100, 0));
	relays_opened(world.relays, world.now, world.last_stream + 1);
	assert_null(relays_output(world.relays, world.last_stream + 1, &size));
	relays_closed(world.relays, world.now, world.last_stream + 1, RELAY_LOST, NULL);
	/* And a line that nobody has heard is not said any more. */
	say(&said, RELAY_FRAME_STATUS, "\1", 1);
	receive(a);
	relays_stop(world.relays, world.now);
	assert_true(relays_effect(world.relays, &effect));
	assert_int_equal(effect.type, RELAYS_CLOSE);
	assert_int_equal(effect.stream, a->stream);
	assert_true(relays_effect(world.relays, &effect));
	assert_int_equal(effect.type, RELAYS_DOWN);
	assert_false(relays_effect(world.relays, &effect));
}

static void stopped_is_stopped(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	struct fake *b = fake("https://b.example/", SILENT);

	assert_int_equal(make(NULL, false, 1), 0);
	assert_int_equal(relays_add(world.relays, &b->url), 0);
	start();
	send_by(b, 100);
	assert_int_equal(world.open_count, 2);
	world.story[0] = '\0';
	relays_stop(world.relays, world.now);
	drain();
	assert_int_equal(world.open_count, 0);
	assert_story("down a");
	assert_word("off");
	assert_int_equal(relays_deadline(world.relays), NEVER);
	assert_false(send_by(a, 100));
	relays_tick(world.relays, world.now + 1000 * S);
	drain();
	relays_stop(world.relays, world.now);
	drain();
	assert_int_equal(a->tries + b->tries, 2);
	assert_story("");
}

static void the_same_url_counts_once(void **state)
{
	struct fake *a = fake("https://a.example/", REFUSES);
	struct fake *again = fake("https://A.example:443", REFUSES);
	struct fake *b = fake("https://b.example/", WORKS);

	assert_int_equal(make(NULL, false, 3), 0);
	assert_int_equal(relays_add(world.relays, &a->url), 0);
	start();
	assert_home(b);
	assert_true(a->tries > 0);
	assert_int_equal(again->tries, 0);
}

/* ---- memory ---- */

static void any_allocation_may_fail(void **state)
{
	struct fake *a = fake("https://a.example/", WORKS);
	struct fake *b = fake("https://b.example/", WORKS);
	struct fake *c = fake("https://c.example/", WORKS);
	bool failed = true;

	for (size_t n = 1; failed; n++) {
		heap_begin();
		heap_fail(n, false);
		world.relays = NULL;
		world.last_stream = 0;
		for (size_t i = 0; i < world.fakes_count; i++)
			forget_stream(world.fakes[i]);
		if (make("secret", true, 2) == 0) {
			bool added = relays_add(world.relays, &c->url) == 0;

			start();
			send_by(a, 100);
			send_by(c, 100);
			relays_admit(world.relays, world.now, &b->url);
			pass(RELAYS_PATIENCE);
			send_by(b, 100);
			kill(a, REFUSES);
			pass(RELAYS_HOME_DOWN);
			a->behaviour = WORKS;
			pass(RELAYS_LINGER);
			failed = heap_has_failed();
			/* There is memory again: it works again. */
			heap_fail(0, false);
			pass(RELAYS_HOME_RETRY + RELAY_WAIT_MOST);
			assert_non_null(relays_home(world.relays));
			assert_true(relays_is_up(world.relays, &a->address));
			if (added) {
				send_by(c, 100);
				pass(RELAY_WAIT_MOST);
				assert_true(relays_is_up(world.relays, &c->address));
			}
			relays_free(world.relays);
			world.relays = NULL;
		}
		heap_end();
		assert_true(n < 1000);
		if (!failed)
			assert_true(n > 20);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(without_relays_nothing_happens),
		TEST(the_first_that_works_is_home),
		TEST(one_that_refuses_is_passed_over_at_once),
		TEST(one_that_is_silent_gets_some_patience),
		TEST(none_works_for_long),
		TEST(a_home_that_comes_back_in_time_stays_home),
		TEST(a_home_that_is_down_is_replaced),
		TEST(a_home_that_does_not_stand_stays_away),
		TEST(a_home_that_flaps_is_replaced),
		TEST(one_that_answers_no_ping_is_no_home),
		TEST(a_denied_one_says_so),
		TEST(other_troubles_say_so),
		TEST(another_with_our_key),
		TEST(words_of_a_relay_are_few),
		TEST(others_are_connected_to_on_demand),
		TEST(others_that_fail),
		TEST(every_relay_of_the_candidates_can_be_sent_by),
		TEST(hearsay_is_not_dialled),
		TEST(hearsay_that_is_dialled),
		TEST(hearsay_is_bounded),
		TEST(few_of_them_are_connected_to),
		TEST(none_gives_way_from_within),
		TEST(refusals_are_remembered),
		TEST(configured_ones_are_bounded_too),
		TEST(answers_come_from_within),
		TEST(output_is_told_of_once),
		TEST(other_streams_are_nothing),
		TEST(streams_that_were_not_opened),
		TEST(stopped_is_stopped),
		TEST(the_same_url_counts_once),
		TEST(any_allocation_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
