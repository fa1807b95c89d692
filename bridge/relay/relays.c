/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "relays.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "../error.h"
#include "../keyed_table.h"
#include "../limits.h"
#include "../memory.h"
#include "lines.h"

#define NEVER UINT64_MAX

enum kind { HOME, KNOWN, LEARNED };

struct relay {
	struct relay_url url;
	struct address address;
	enum kind kind;
	size_t order; /* the place of a candidate for home */
	struct relays *relays;
	UT_hash_handle hh;

	/* Only while the relay is in use: then it is in the list active, too. */
	struct relay_client *client;
	struct relay *prev, *next;
	uint64_t seen; /* the client's changes that were taken */

	/* Towards the stream's owner. */
	uint64_t stream; /* there is, or is to be opened; 0: none */
	bool opens;	 /* RELAYS_OPEN is to be told */
	uint64_t closes; /* the stream for which RELAYS_CLOSE is to be told */
	bool told_of_output;
	bool up, told_up;

	uint64_t used;	 /* when it was last sent by, or named */
	uint64_t sent;	 /* when something was last sent by it; 0: never */
	uint64_t proven; /* since when it is connected and answers; 0: it is not */
	uint64_t leave;	 /* a former home stays until then */
	uint64_t retry;	 /* a candidate before home is tried then */
	bool searched;	 /* a candidate: it is tried in a search */
	uint64_t search; /* when that search tried it first */

	struct situation said;
	struct line_budget lines;
	bool says; /* the line for said is to be handed out */
};

struct relays {
	struct relays_config config;
	char *token; /* owned */
	struct keyed keyed;
	struct relay *table; /* all of them, by address */
	size_t learned_count;
	struct relay *active; /* those with a client */
	struct relay *homes[NODE_RELAYS];
	size_t homes_count;

	bool started, stopped;
	struct relay *busy; /* the relay whose bytes are being read: the port may call back */
	bool reviews;	    /* review when the bytes are read */
	uint64_t due;	    /* the next time for a review, without the clients' deadlines */
	uint64_t last_stream;

	struct relay *home;
	bool tells_home;
	uint64_t lost; /* since when home, or the first candidate, fails; NEVER: it works */

	char line[RELAYS_LINE_SIZE];
};

static void review(struct relays *relays, uint64_t now);

/* ---- which there are ---- */

static void free_client(struct relay *relay)
{
	if (!relay->client)
		return;
	relay_client_free(relay->client);
	relay->client = NULL;
	DL_DELETE(relay->relays->active, relay);
}

static void forget(struct relay *relay)
{
	struct relays *relays = relay->relays;

	free_client(relay);
	HASH_DEL(relays->table, relay);
	if (relay->kind == LEARNED)
		relays->learned_count--;
	memory_free(relay);
}

static struct relay *find(const struct relays *relays, const struct address *address)
{
	struct relays *mine = (struct relays *)relays; /* the hash remembers what was hashed */
	struct relay *relay = NULL;

	if (!address_is_relay(address))
		return NULL;
	KEYED_FIND(&mine->keyed, relays->table, address->ip, sizeof address->ip, relay);
	return relay;
}

static struct relay *add(struct relays *relays, const struct relay_url *url, enum kind kind)
{
	struct address address = relay_url_address(url);
	struct relay *relay = find(relays, &address);

	if (relay) {
		/* A relay of hearsay turns out to be configured. */
		if (relay->kind == LEARNED && kind != LEARNED) {
			relays->learned_count--;
			relay->kind = kind;
		}
		return relay;
	}
	relay = memory_zalloc(sizeof *relay);
	if (!relay)
		return NULL;
	*relay = (struct relay){.url = *url, .address = address, .kind = kind, .relays = relays};
	KEYED_ADD(&relays->keyed, relays->table, relay->address.ip, sizeof relay->address.ip,
		relay);
	if (!relay)
		return NULL;
	relays->learned_count += kind == LEARNED;
	return relay;
}

static int add_homes(struct relays *relays)
{
	for (size_t i = 0; i < relays->config.homes_count && i < NODE_RELAYS; i++) {
		const struct relay_url *url = &relays->config.homes[i];
		struct address address = relay_url_address(url);
		struct relay *relay;

		if (find(relays, &address))
			continue;
		relay = add(relays, url, HOME);
		if (!relay)
			return ERROR_NOMEM;
		relay->order = relays->homes_count;
		relays->homes[relays->homes_count++] = relay;
	}
	return ERROR_NONE;
}

static int copy_token(struct relays *relays, const char *token)
{
	size_t size = token ? strlen(token) + 1 : 0;

	if (!token)
		return ERROR_NONE;
	relays->token = memory_alloc(size);
	if (!relays->token)
		return ERROR_NOMEM;
	memcpy(relays->token, token, size);
	return ERROR_NONE;
}

int relays_new(const struct relays_config *config, struct relays **out)
{
	struct relays *relays = memory_zalloc(sizeof *relays);

	if (!relays)
		return ERROR_NOMEM;
	relays->config = *config;
	relays->due = NEVER;
	relays->lost = NEVER;
	keyed_init(&relays->keyed, &relays->config.random);
	if (copy_token(relays, config->token) || add_homes(relays)) {
		relays_free(relays);
		return ERROR_NOMEM;
	}
	*out = relays;
	return ERROR_NONE;
}

void relays_free(struct relays *relays)
{
	struct relay *relay, *next;

	if (!relays)
		return;
	HASH_ITER (hh, relays->table, relay, next)
		forget(relay);
	memory_free(relays->token);
	memory_free(relays);
}

int relays_add(struct relays *relays, const struct relay_url *url)
{
	return add(relays, url, KNOWN) ? ERROR_NONE : ERROR_NOMEM;
}

/* Finds the relay of hearsay that is not in use and was named longest ago; NULL: none. */
static struct relay *least_used(struct relays *relays)
{
	struct relay *relay, *next, *least = NULL;

	HASH_ITER (hh, relays->table, relay, next)
		if (relay->kind == LEARNED && !relay->client &&
			(!least || relay->used < least->used))
			least = relay;
	return least;
}

bool relays_admit(struct relays *relays, uint64_t now, const struct relay_url *url)
{
	struct address address = relay_url_address(url);
	struct relay *relay = find(relays, &address);

	if (!relay && (!relays->config.any || !relay_url_is_public(url)))
		return false;
	if (!relay && relays->learned_count >= LIMIT_RELAYS_LEARNED) {
		struct relay *least = least_used(relays);

		counters_add(relays->config.counters, COUNTER_LIMIT_RELAYS, 1);
		if (!least)
			return false;
		forget(least);
	}
	if (!relay)
		relay = add(relays, url, LEARNED);
	if (!relay)
		return false;
	relay->used = now;
	return true;
}

const struct relay_url *relays_url(const struct relays *relays, const struct address *relay)
{
	const struct relay *found = find(relays, relay);

	return found ? &found->url : NULL;
}

/* ---- one connection ---- */

static void on_datagram(
	void *context, const struct id *from, const uint8_t *data, size_t size, size_t segment)
{
	const struct relay *relay = context;
	const struct relays_port *port = &relay->relays->config.port;

	port->datagram(port->context, &relay->address, from, data, size, segment);
}

static void on_gone(void *context, const struct id *node)
{
	const struct relay *relay = context;
	const struct relays_port *port = &relay->relays->config.port;

	port->gone(port->context, &relay->address, node);
}

/* Makes the relay's client if there is none. ERROR_NOMEM. */
static int make_client(struct relay *relay)
{
	struct relays *relays = relay->relays;
	struct relay_client_config config = {.url = &relay->url,
		.identity = relays->config.identity,
		.random = &relays->config.random,
		.counters = relays->config.counters,
		.token = relay->kind == HOME ? relays->token : NULL,
		.datagram = on_datagram,
		.gone = on_gone,
		.context = relay};

	if (relay->client)
		return ERROR_NONE;
	if (relay_client_new(&config, &relay->client))
		return ERROR_NOMEM;
	relay->seen = 0;
	DL_APPEND(relays->active, relay);
	return ERROR_NONE;
}

/* Takes from the client what it wants of the stream's owner. */
static void take_wishes(struct relay *relay)
{
	if (relay_client_wants_close(relay->client)) {
		/* A stream of which the owner has not heard yet needs no close. */
		if (!relay->opens)
			relay->closes = relay->stream;
		relay->opens = false;
		relay->stream = 0;
	}
	if (relay_client_wants_open(relay->client)) {
		relay->stream = ++relay->relays->last_stream;
		relay->opens = true;
		relay->told_of_output = false;
	}
}

static void take_changes(struct relay *relay, uint64_t now)
{
	struct relay_view view = relay_client_view(relay->client);

	relay->seen = view.changes;
	relay->up = view.state == RELAY_CONNECTED;
	if (!relay->up || !view.proven)
		relay->proven = 0;
	else if (!relay->proven)
		relay->proven = now;
}

/* Takes the client's wishes and changes, and reviews if anything changed; after each call of the
 * client. */
static void settle(struct relay *relay, uint64_t now)
{
	struct relays *relays = relay->relays;

	take_wishes(relay);
	if (relay_client_view(relay->client).changes == relay->seen)
		return;
	take_changes(relay, now);
	if (relays->busy)
		relays->reviews = true;
	else
		review(relays, now);
}

static void want(struct relay *relay, uint64_t now, bool wanted)
{
	if (!relay->client && (!wanted || make_client(relay)))
		return;
	relay_client_want(relay->client, now, wanted);
	take_wishes(relay);
	take_changes(relay, now);
}

static bool is_candidate(const struct relay *relay)
{
	return relay->kind == HOME;
}

static bool is_open(const struct relay *relay)
{
	return relay->client && relay_client_view(relay->client).state != RELAY_IDLE;
}

/* Tells whether one more relay that is no candidate may be connected to. Another one gives way if
 * need be. */
static bool make_place(struct relays *relays, uint64_t now, const struct relay *for_whom)
{
	bool learned = for_whom->kind == LEARNED;
	size_t most = learned ? LIMIT_RELAYS_LEARNED_OPEN : LIMIT_RELAYS_OPEN - NODE_RELAYS;
	struct relay *relay, *least = NULL;
	size_t count = 0;

	DL_FOREACH (relays->active, relay) {
		if (is_candidate(relay) || !is_open(relay) || (learned && relay->kind != LEARNED))
			continue;
		count++;
		if (relay != relays->busy && relay->sent + RELAYS_YIELD <= now &&
			(!least || relay->sent < least->sent))
			least = relay;
	}
	if (count < most)
		return true;
	counters_add(relays->config.counters, COUNTER_LIMIT_RELAYS, 1);
	if (!least)
		return false;
	want(least, now, false);
	return true;
}

static void count_dropped(struct relays *relays, size_t size, size_t segment)
{
	counters_add(relays->config.counters, COUNTER_RELAY_DROPPED,
		segment && size > segment ? (size + segment - 1) / segment : 1);
}

/* Connects to a relay, if that is not under way already. False: the relay may not be connected
 * to. */
static bool demand(struct relays *relays, uint64_t now, struct relay *relay)
{
	if (is_open(relay))
		return true;
	if (!is_candidate(relay) && !make_place(relays, now, relay))
		return false;
	want(relay, now, true);
	/* A review sets when the connection is no longer wanted. */
	if (relays->busy)
		relays->reviews = true;
	else
		review(relays, now);
	return relay->client != NULL;
}

bool relays_send(struct relays *relays, uint64_t now, const struct address *address,
	const struct id *to, const uint8_t *data, size_t size, size_t segment)
{
	struct relay *relay = find(relays, address);

	if (!relay || !relays->started || relays->stopped) {
		count_dropped(relays, size, segment);
		return false;
	}
	relay->sent = relay->used = now;
	if (!demand(relays, now, relay)) {
		count_dropped(relays, size, segment);
		return false;
	}
	return relay_client_send(relay->client, now, to, data, size, segment);
}

/* ---- home ---- */

static void set_home(struct relays *relays, uint64_t now, struct relay *relay)
{
	if (relays->home == relay)
		return;
	if (relays->home)
		relays->home->leave = now + RELAYS_HOME_LEAVE;
	relays->home = relay;
	relays->tells_home = true;
}

static void due(struct relays *relays, uint64_t when)
{
	if (when < relays->due)
		relays->due = when;
}

static bool has_trouble(const struct relay *relay)
{
	return relay->client && !relay->up &&
	       relay_client_view(relay->client).trouble != RELAY_NO_TROUBLE;
}

/* Makes the first candidate that works home. If none works, has one more tried when those before
 * have failed or had their time. */
static void search(struct relays *relays, uint64_t now)
{
	for (size_t i = 0; i < relays->homes_count; i++) {
		if (!relays->homes[i]->proven)
			continue;
		set_home(relays, now, relays->homes[i]);
		return;
	}
	for (size_t i = 0; i < relays->homes_count; i++) {
		struct relay *relay = relays->homes[i];

		if (!relay->searched) {
			relay->searched = true;
			relay->search = now;
			want(relay, now, true);
		}
		if (!has_trouble(relay) && now < relay->search + RELAYS_PATIENCE) {
			due(relays, relay->search + RELAYS_PATIENCE);
			return;
		}
	}
}

/* Goes back to a candidate that comes before home, when it has worked for long enough. */
static void go_back(struct relays *relays, uint64_t now)
{
	for (size_t i = 0; i < relays->home->order; i++) {
		struct relay *relay = relays->homes[i];

		if (!relay->proven)
			continue;
		if (now >= relay->proven + RELAYS_HOME_BACK) {
			set_home(relays, now, relay);
			return;
		}
		due(relays, relay->proven + RELAYS_HOME_BACK);
	}
}

/* Ends the search, once home works. */
static void end_search(struct relays *relays, uint64_t now)
{
	uint64_t well = relays->home->proven + RELAYS_HOME_DOWN;

	if (relays->lost != NEVER && now < well)
		due(relays, well);
	else
		relays->lost = NEVER;
	for (size_t i = 0; i < relays->homes_count; i++)
		relays->homes[i]->searched = false;
}

static void review_home(struct relays *relays, uint64_t now)
{
	if (relays->homes_count == 0)
		return;
	if (relays->home && relays->home->proven) {
		end_search(relays, now);
		go_back(relays, now);
		return;
	}
	if (relays->lost == NEVER)
		relays->lost = now;
	if (relays->home && now < relays->lost + RELAYS_HOME_DOWN) {
		due(relays, relays->lost + RELAYS_HOME_DOWN);
		return;
	}
	search(relays, now);
	if (relays->home && relays->home->proven)
		end_search(relays, now);
}

/* Tells whether a candidate before home is due to be tried again, and notes when it will be. */
static bool is_tried_again(struct relay *relay, uint64_t now)
{
	struct relays *relays = relay->relays;

	if (!relays->home || relay->order >= relays->home->order)
		return false;
	if (has_trouble(relay) && relay_client_view(relay->client).state == RELAY_WAITING)
		relay->retry = now + RELAYS_HOME_RETRY;
	if (now >= relay->retry)
		return true;
	due(relays, relay->retry);
	return false;
}

static bool is_wanted(struct relay *relay, uint64_t now)
{
	struct relays *relays = relay->relays;
	bool wanted = false;

	if (is_candidate(relay) &&
		(relay == relays->home || relay->searched || is_tried_again(relay, now)))
		return true;
	if (now < relay->leave) {
		due(relays, relay->leave);
		wanted = true;
	}
	if (relay->sent && now < relay->sent + RELAYS_LINGER) {
		due(relays, relay->sent + RELAYS_LINGER);
		wanted = true;
	}
	return wanted;
}

/* ---- lines ---- */

static void review_line(struct relay *relay, uint64_t now)
{
	struct relay_view view = relay_client_view(relay->client);
	struct situation situation;

	situation_of(&view, relay == relay->relays->home, &situation);
	if (situation.type == SITUATION_NONE || situation_equal(&situation, &relay->said))
		return;
	if (!line_budget_take(&relay->lines, now)) {
		due(relay->relays, line_budget_due(&relay->lines));
		return;
	}
	relay->said = situation;
	relay->says = true;
}

/* ---- policy ---- */

/* Frees the client of an idle relay, when the owner has been told of its end and a new try may
 * begin at any time. */
static void release(struct relay *relay, uint64_t now)
{
	uint64_t may_be_tried = relay_client_view(relay->client).due;

	if (is_open(relay) || relay->closes || relay->up || relay->told_up || relay->says)
		return;
	if (now >= may_be_tried)
		free_client(relay);
	else
		due(relay->relays, may_be_tried);
}

/* Decides anew what time or a change may have led to: which relay is home, which relays are
 * wanted, which lines are due. */
static void review(struct relays *relays, uint64_t now)
{
	struct relay *relay, *next;

	if (!relays->started || relays->stopped)
		return;
	relays->due = NEVER;
	review_home(relays, now);
	for (size_t i = 0; i < relays->homes_count; i++)
		if (is_wanted(relays->homes[i], now))
			want(relays->homes[i], now, true);
	DL_FOREACH_SAFE (relays->active, relay, next) {
		if (!is_wanted(relay, now))
			want(relay, now, false);
		review_line(relay, now);
		release(relay, now);
	}
}

void relays_start(struct relays *relays, uint64_t now)
{
	relays->started = true;
	review(relays, now);
}

void relays_stop(struct relays *relays, uint64_t now)
{
	struct relay *relay;

	DL_FOREACH (relays->active, relay) {
		want(relay, now, false);
		relay->says = false;
	}
	relays->stopped = true;
	relays->tells_home = false;
	relays->due = NEVER;
}

/* ---- streams ---- */

static struct relay *by_stream(const struct relays *relays, uint64_t stream)
{
	struct relay *relay;

	DL_FOREACH (relays->active, relay) {
		if (relay->stream == stream && !relay->opens)
			return relay;
	}
	return NULL;
}

void relays_opened(struct relays *relays, uint64_t now, uint64_t stream)
{
	struct relay *relay = stream ? by_stream(relays, stream) : NULL;

	if (!relay)
		return;
	relay_client_opened(relay->client, now);
	settle(relay, now);
}

void relays_received(
	struct relays *relays, uint64_t now, uint64_t stream, const uint8_t *data, size_t size)
{
	struct relay *relay = stream ? by_stream(relays, stream) : NULL;

	if (!relay)
		return;
	relays->busy = relay;
	relay_client_received(relay->client, now, data, size);
	settle(relay, now);
	relays->busy = NULL;
	if (relays->reviews)
		review(relays, now);
	relays->reviews = false;
}

void relays_closed(struct relays *relays, uint64_t now, uint64_t stream, enum relay_trouble trouble,
	const char *text)
{
	struct relay *relay = stream ? by_stream(relays, stream) : NULL;

	if (!relay)
		return;
	relay->stream = 0;
	relay_client_closed(relay->client, now, trouble, text);
	settle(relay, now);
}

const uint8_t *relays_output(struct relays *relays, uint64_t stream, size_t *size)
{
	struct relay *relay = stream ? by_stream(relays, stream) : NULL;
	const uint8_t *bytes;

	*size = 0;
	if (!relay)
		return NULL;
	bytes = relay_client_output(relay->client, size);
	if (!bytes)
		relay->told_of_output = false;
	return bytes;
}

void relays_written(struct relays *relays, uint64_t now, uint64_t stream, size_t size)
{
	struct relay *relay = stream ? by_stream(relays, stream) : NULL;

	if (!relay)
		return;
	relay_client_written(relay->client, now, size);
	settle(relay, now);
}

/* ---- time ---- */

void relays_tick(struct relays *relays, uint64_t now)
{
	struct relay *relay, *next;

	/* The review may free clients, so it comes after all clients were asked in turn. */
	DL_FOREACH_SAFE (relays->active, relay, next) {
		relay_client_tick(relay->client, now);
		take_wishes(relay);
		take_changes(relay, now);
	}
	review(relays, now);
}

uint64_t relays_deadline(const struct relays *relays)
{
	uint64_t deadline = relays->due;
	struct relay *relay;

	DL_FOREACH (relays->active, relay) {
		uint64_t one = relay_client_deadline(relay->client);

		if (one < deadline)
			deadline = one;
	}
	return deadline;
}

/* ---- what is wanted, and how it is ---- */

static bool stream_effect(struct relay *relay, struct relays_effect *out)
{
	size_t size;

	if (relay->closes) {
		*out = (struct relays_effect){.type = RELAYS_CLOSE, .stream = relay->closes};
		relay->closes = 0;
		return true;
	}
	if (relay->opens) {
		*out = (struct relays_effect){.type = RELAYS_OPEN,
			.stream = relay->stream,
			.url = &relay->url,
			.relay = relay->address,
			.hearsay = relay->kind == LEARNED};
		relay->opens = false;
		return true;
	}
	if (relay->told_of_output || !relay->stream)
		return false;
	if (!relay_client_output(relay->client, &size))
		return false;
	relay->told_of_output = true;
	*out = (struct relays_effect){.type = RELAYS_WRITE, .stream = relay->stream};
	return true;
}

static bool relay_effect(struct relay *relay, struct relays_effect *out)
{
	struct relays *relays = relay->relays;

	if (stream_effect(relay, out))
		return true;
	if (relay->up != relay->told_up) {
		relay->told_up = relay->up;
		*out = (struct relays_effect){
			.type = relay->up ? RELAYS_UP : RELAYS_DOWN, .relay = relay->address};
		return true;
	}
	if (!relay->says)
		return false;
	relay->says = false;
	*out = (struct relays_effect){.type = RELAYS_LOG, .text = relays->line};
	out->level = situation_format(&relay->said, &relay->url, relay->kind == LEARNED,
		relays->line, sizeof relays->line);
	return true;
}

bool relays_effect(struct relays *relays, struct relays_effect *out)
{
	struct relay *relay;

	if (relays->tells_home) {
		relays->tells_home = false;
		*out = (struct relays_effect){.type = RELAYS_HOME,
			.url = &relays->home->url,
			.relay = relays->home->address};
		return true;
	}
	DL_FOREACH (relays->active, relay) {
		if (relay_effect(relay, out))
			return true;
	}
	return false;
}

const struct relay_url *relays_home(const struct relays *relays)
{
	return relays->home ? &relays->home->url : NULL;
}

enum relays_state relays_state(const struct relays *relays)
{
	const struct relay *relay = relays->home;
	struct relay_view view;

	if (!relays->started || relays->stopped || relays->homes_count == 0)
		return RELAYS_OFF;
	if (!relay)
		relay = relays->homes[0];
	if (!relay->client)
		return RELAYS_CONNECTING;
	view = relay_client_view(relay->client);
	if (view.state == RELAY_CONNECTED)
		return view.status == RELAY_ELSEWHERE ? RELAYS_ELSEWHERE
		       : view.status == RELAY_LIMITED ? RELAYS_LIMITED
						      : RELAYS_CONNECTED;
	return view.trouble == RELAY_DENIED || view.trouble == RELAY_REFUSED ? RELAYS_DENIED
									     : RELAYS_CONNECTING;
}

const char *relays_state_word(enum relays_state state)
{
	static const char *const words[] = {
		[RELAYS_OFF] = "off",
		[RELAYS_CONNECTING] = "connecting",
		[RELAYS_CONNECTED] = "connected",
		[RELAYS_DENIED] = "denied",
		[RELAYS_ELSEWHERE] = "elsewhere",
		[RELAYS_LIMITED] = "limited",
	};

	return words[state];
}

bool relays_is_up(const struct relays *relays, const struct address *relay)
{
	const struct relay *found = find(relays, relay);

	return found && found->up;
}
