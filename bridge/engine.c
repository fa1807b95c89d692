/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "engine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <utlist.h>

#include "bytes/hex.h"
#include "gossip/frame.h"
#include "gossip/gossip.h"
#include "interfaces.h"
#include "keyed.h"
#include "peers/access.h"
#include "peers/book.h"
#include "peers/dialer.h"
#include "peers/joiner.h"
#include "peers/link.h"
#include "quic/quic.h"
#include "resolver.h"
#include "store.h"
#include "waiting.h"

#define MS UINT64_C(1000000)

/* Lines about what others can bring about as often as they like. */
#define REMARK_EVERY_NS (10000 * MS)
/* Looking up our own names: backoff after a failure, and where they may have moved. */
#define ADVERTISE_FIRST_NS (1000 * MS)
#define ADVERTISE_MOST_NS  (60000 * MS)
#define ADVERTISE_AGAIN_NS (600000 * MS)

/* One overlay that is joined. */
struct overlay {
	struct id topic;
	bool refused; /* over max_overlays: kept so that a leave finds it */
	struct waiting waiting;
	UT_hash_handle hh;
};

/* One connection, from the dial or the handshake to its end. */
struct route {
	struct engine *engine;
	struct quic_connection *connection;
	struct id peer;
	struct address address;
	struct lane *lane; /* NULL until the handshake is complete */
	bool dialled;
	bool dialling;		   /* on the engine's list of dials under way */
	struct route *prev, *next; /* of that list */
};

/* One stream that a peer opened. */
struct inlet {
	struct route *route;
	struct frame_reader reader;
	bool has_topic;
	struct id topic;
	struct inlet *prev, *next; /* of all of the engine */
};

struct trusted {
	struct id id;
	struct resolution *resolution;
	char failure[96]; /* the last one that was logged */
};

/* A line that is not to fill the log. */
struct remark {
	uint64_t not_before;
	uint64_t unsaid; /* since the last one */
};

/* What we tell about where we are: first what is configured, then what is bound. */
struct advertise {
	struct resolution *resolution; /* NULL: nothing is configured */
	bool has_names;		       /* not only literal addresses */
	uint64_t due, backoff;
	char failure[96]; /* the last one that was logged */
	struct address told[LIMIT_ADDRESSES_PER_NODE];
	size_t told_count; /* of those configured */
	struct address bound[LIMIT_ADDRESSES_PER_NODE];
	size_t bound_count;
};

struct engine {
	struct engine_owner owner;
	uv_loop_t *loop;
	uv_timer_t timer;
	uv_prepare_t prepare;
	struct id me;
	struct random random;
	struct keyed keyed;
	struct gossip *gossip;
	struct links *links;
	struct dialer *dialer;
	struct joiner *joiner;
	struct book *book;
	struct access *access;
	struct advertise advertise;
	struct remark denied, own_id;
	struct quic_endpoint *endpoint;
	struct resolver *resolver;
	struct store *store;
	struct overlay *overlays;
	struct waiting_room room;
	uint64_t waiting_due;
	struct route *dials;
	struct inlet *inlets; /* bounded by the streams we grant */
	struct trusted *trusted;
	size_t trusted_count;
	bool handles_ready;
	bool stopping, closing;
	uint64_t stop_due;
	unsigned handles; /* of ours, still open */
};

static uint64_t now_ns(const struct engine *engine)
{
	(void)engine;
	return uv_hrtime();
}

/* What becomes of a node's id in the log. */
struct short_id {
	char text[ID_SHORT_HEX_SIZE + 1];
};

static struct short_id short_id(const struct id *id)
{
	struct short_id out;

	hex_encode(id->bytes, ID_SHORT_HEX_SIZE / 2, out.text);
	return out;
}

__attribute__((format(printf, 3, 4))) static void log_line(
	struct engine *engine, enum node_log_level level, const char *format, ...)
{
	struct node_event event = {.type = NODE_LOG, .level = level};
	va_list arguments;

	event.text = memory_alloc(NODE_REASON_SIZE);
	if (!event.text)
		return;
	va_start(arguments, format);
	vsnprintf(event.text, NODE_REASON_SIZE, format, arguments);
	va_end(arguments);
	engine->owner.emit(engine->owner.context, &event);
}

static void emit(struct engine *engine, enum node_event_type type, const struct id *topic,
	const struct id *peer, struct message *message)
{
	struct node_event event = {.type = type, .topic = *topic, .message = message};

	if (peer)
		event.peer = *peer;
	engine->owner.emit(engine->owner.context, &event);
}

static void count(struct engine *engine, enum counter counter)
{
	counters_add(engine->owner.counters, counter, 1);
}

/* Whether the line may be said now; unsaid: how many were not since the last one. */
static bool may_remark(struct engine *engine, struct remark *remark, uint64_t *unsaid)
{
	uint64_t now = now_ns(engine);

	if (now < remark->not_before) {
		remark->unsaid++;
		return false;
	}
	*unsaid = remark->unsaid;
	*remark = (struct remark){.not_before = now + REMARK_EVERY_NS};
	return true;
}

static void remark_denied(struct engine *engine, const struct id *peer, const char *what)
{
	uint64_t unsaid;

	if (may_remark(engine, &engine->denied, &unsaid))
		log_line(engine, NODE_LOG_NOTICE,
			"peer %s: %s: shut out by allow_node or deny_node (%llu more since the "
			"last such line)",
			short_id(peer).text, what, (unsigned long long)unsaid);
}

static void remark_own_id(struct engine *engine, const char *where)
{
	uint64_t unsaid;

	if (may_remark(engine, &engine->own_id, &unsaid))
		log_line(engine, NODE_LOG_ERROR,
			"a peer%s shows our own node id: two nodes must not share an identity file "
			"(was a volume cloned?)",
			where);
}

/* Whether this node may be dialled; a dial that is not made is counted. */
static bool may_dial(struct engine *engine, const struct id *peer)
{
	if (access_grants(engine->access, peer))
		return true;
	count(engine, COUNTER_NOT_DIALLED);
	remark_denied(engine, peer, "not dialled");
	return false;
}

static struct overlay *find_overlay(const struct engine *engine, const struct id *topic)
{
	struct overlay *overlay;

	HASH_FIND_BYHASHVALUE(hh, engine->overlays, topic, sizeof *topic,
		keyed_hash(&engine->keyed, topic, sizeof *topic), overlay);
	return overlay;
}

static struct trusted *find_trusted(struct engine *engine, const struct id *id)
{
	for (size_t i = 0; i < engine->trusted_count; i++)
		if (id_equal(&engine->trusted[i].id, id))
			return &engine->trusted[i];
	return NULL;
}

/* ---- messages out ---- */

static void broadcast(struct engine *engine, const struct id *topic, struct message *message)
{
	size_t neighbours = 0;

	switch (gossip_publish(engine->gossip, now_ns(engine), topic, message, &neighbours)) {
	case ERROR_NONE:
		count(engine, COUNTER_SENT);
		break;
	case ERROR_REPEATED:
		count(engine, COUNTER_DROPPED_REPEATED);
		break;
	case ERROR_TOO_LARGE:
		count(engine, COUNTER_DROPPED_TOO_LARGE);
		break;
	case ERROR_NOT_JOINED:
		count(engine, COUNTER_DROPPED_LEFT);
		break;
	default:
		count(engine, COUNTER_DROPPED_NO_MEMORY);
		break;
	}
}

static void send_waiting(struct engine *engine, const struct id *topic)
{
	struct overlay *overlay = find_overlay(engine, topic);
	struct message *message;

	while (overlay && (message = waiting_pop(&engine->room, &overlay->waiting))) {
		broadcast(engine, topic, message);
		message_unref(message);
	}
}

static void expire_waiting(struct engine *engine, uint64_t now)
{
	struct overlay *overlay, *next;
	uint64_t due;

	if (now < engine->waiting_due)
		return;
	engine->waiting_due = UINT64_MAX;
	HASH_ITER(hh, engine->overlays, overlay, next)
	{
		due = waiting_expire(&engine->room, &overlay->waiting, now);
		if (due < engine->waiting_due)
			engine->waiting_due = due;
	}
}

/* ---- effects of the cores ---- */

/* For the time after a crash. */
static void remember(struct engine *engine, const struct id *topic, const struct id *peer)
{
	struct address addresses[BOOK_CANDIDATES];

	store_remember(engine->store, topic, peer, addresses,
		book_candidates(engine->book, peer, addresses));
}

static void on_neighbour_up(struct engine *engine, const struct id *topic, const struct id *peer)
{
	struct trusted *trusted = find_trusted(engine, peer);

	/* Should it fail again, that is news. */
	if (trusted)
		trusted->failure[0] = 0;
	joiner_answered(engine->joiner, topic, peer);
	atomic_fetch_add(engine->owner.neighbours, 1);
	if (gossip_neighbours(engine->gossip, topic) == 1)
		emit(engine, NODE_JOINED, topic, NULL, NULL);
	emit(engine, NODE_NEIGHBOUR_UP, topic, peer, NULL);
	log_line(engine, NODE_LOG_DEBUG, "overlay %s: neighbour %s is up", short_id(topic).text,
		short_id(peer).text);
	remember(engine, topic, peer);
	send_waiting(engine, topic);
}

static void on_neighbour_down(struct engine *engine, const struct id *topic, const struct id *peer)
{
	joiner_lost(engine->joiner, now_ns(engine), topic, peer);
	atomic_fetch_sub(engine->owner.neighbours, 1);
	emit(engine, NODE_NEIGHBOUR_DOWN, topic, peer, NULL);
	log_line(engine, NODE_LOG_DEBUG, "overlay %s: neighbour %s is down", short_id(topic).text,
		short_id(peer).text);
}

static void on_peer_addresses(struct engine *engine, const struct gossip_effect *effect)
{
	struct quic_connection *source = links_connection(engine->links, &effect->source);
	struct overlay *overlay, *next;
	struct address address;
	bool loopback = false;

	/* One that is never dialled needs no place in the book. */
	if (!access_grants(engine->access, &effect->peer))
		return;
	if (source) {
		address = quic_connection_address(source);
		loopback = address_is_loopback(&address);
	}
	book_hear(engine->book, now_ns(engine), &effect->peer, effect->addresses,
		effect->addresses_count, loopback);
	HASH_ITER(hh, engine->overlays, overlay, next)
	{
		if (gossip_is_neighbour(engine->gossip, &overlay->topic, &effect->peer))
			remember(engine, &overlay->topic, &effect->peer);
	}
}

static bool gossip_effects(struct engine *engine)
{
	struct gossip_effect effect;
	bool any = false;

	while (gossip_effect(engine->gossip, &effect)) {
		any = true;
		switch (effect.type) {
		case GOSSIP_SEND:
			links_send(engine->links, now_ns(engine), &effect.peer, &effect.topic,
				effect.frame, effect.last);
			break;
		case GOSSIP_DELIVER:
			emit(engine, NODE_MESSAGE, &effect.topic, &effect.peer, effect.message);
			break;
		case GOSSIP_NEIGHBOUR_UP:
			on_neighbour_up(engine, &effect.topic, &effect.peer);
			break;
		case GOSSIP_NEIGHBOUR_DOWN:
			on_neighbour_down(engine, &effect.topic, &effect.peer);
			break;
		case GOSSIP_RELEASE:
			links_release(engine->links, now_ns(engine), &effect.peer, &effect.topic);
			break;
		case GOSSIP_PEER_ADDRESSES:
			on_peer_addresses(engine, &effect);
			break;
		}
	}
	return any;
}

/* A link that was regained: the other side may have been restarted and know nothing of
 * our being neighbours. */
static void renew_neighbours(struct engine *engine, const struct id *peer)
{
	struct overlay *overlay, *next;

	HASH_ITER(hh, engine->overlays, overlay, next)
	{
		if (gossip_is_neighbour(engine->gossip, &overlay->topic, peer))
			gossip_ask(engine->gossip, now_ns(engine), &overlay->topic, peer);
	}
}

static bool links_effects(struct engine *engine)
{
	uint64_t now = now_ns(engine);
	struct link_effect effect;
	bool any = false;

	while (links_effect(engine->links, now, &effect)) {
		any = true;
		switch (effect.type) {
		case LINK_WANTED:
			if (!may_dial(engine, &effect.peer) ||
				dialer_want(engine->dialer, now, &effect.peer, false))
				links_gave_up(engine->links, now, &effect.peer);
			break;
		case LINK_UP:
			dialer_linked(engine->dialer, &effect.peer);
			joiner_linked(engine->joiner, now, &effect.peer);
			book_set_linked(engine->book, &effect.peer, true);
			links_keep(engine->links, now, &effect.peer,
				engine->overlays && find_trusted(engine, &effect.peer));
			renew_neighbours(engine, &effect.peer);
			break;
		case LINK_DOWN:
			dialer_unlinked(engine->dialer, now, &effect.peer);
			joiner_unlinked(engine->joiner, &effect.peer);
			book_set_linked(engine->book, &effect.peer, false);
			break;
		case LINK_LOST:
			gossip_peer_lost(engine->gossip, now, &effect.peer);
			break;
		}
	}
	return any;
}

static void dial(struct engine *engine, const struct id *peer, const struct address *address)
{
	struct route *route = memory_zalloc(sizeof *route);
	int error = ERROR_NOMEM;

	if (route) {
		route->engine = engine;
		route->peer = *peer;
		route->address = *address;
		route->dialled = true;
		error = quic_connect(engine->endpoint, peer, address, &route->connection);
	}
	if (error) {
		log_line(engine, NODE_LOG_DEBUG, "peer %s: cannot be dialled: %s",
			short_id(peer).text, error_text(error));
		memory_free(route);
		count(engine, COUNTER_DIALS_FAILED);
		dialer_failed(engine->dialer, now_ns(engine), peer, address);
		return;
	}
	count(engine, COUNTER_DIALS);
	quic_connection_set_data(route->connection, route);
	DL_APPEND(engine->dials, route);
	route->dialling = true;
}

static void dial_is_over(struct engine *engine, struct route *route)
{
	if (!route->dialling)
		return;
	DL_DELETE(engine->dials, route);
	route->dialling = false;
}

static bool dialer_effects(struct engine *engine)
{
	uint64_t now = now_ns(engine);
	struct dialer_effect effect;
	struct trusted *trusted;
	bool any = false;

	while (!engine->stopping && dialer_effect(engine->dialer, now, &effect)) {
		any = true;
		switch (effect.type) {
		case DIALER_DIAL:
			dial(engine, &effect.node, &effect.address);
			break;
		case DIALER_GAVE_UP:
			links_gave_up(engine->links, now, &effect.node);
			break;
		case DIALER_LOOK_UP:
			links_gave_up(engine->links, now, &effect.node);
			trusted = find_trusted(engine, &effect.node);
			if (trusted)
				resolution_start(trusted->resolution);
			break;
		}
	}
	return any;
}

static bool joiner_effects(struct engine *engine)
{
	uint64_t now = now_ns(engine);
	struct id topic, peer;
	bool any = false;

	while (!engine->stopping && joiner_effect(engine->joiner, now, &topic, &peer)) {
		any = true;
		/* A full view needs nobody; it is looked at again after the backoff. */
		if (gossip_neighbours(engine->gossip, &topic) < LIMIT_ACTIVE_VIEW)
			gossip_ask(engine->gossip, now, &topic, &peer);
	}
	return any;
}

static void close_endpoint(struct engine *engine);

/* Carries out what the cores want until they want nothing more now. */
static void pump(struct engine *engine)
{
	bool any;

	if (engine->closing)
		return;
	do {
		any = gossip_effects(engine);
		any = links_effects(engine) || any;
		any = dialer_effects(engine) || any;
		any = joiner_effects(engine) || any;
	} while (any);
	if (engine->stopping &&
		(!links_sending(engine->links) || now_ns(engine) >= engine->stop_due))
		close_endpoint(engine);
}

/* ---- time ---- */

static uint64_t deadline(const struct engine *engine)
{
	uint64_t due = gossip_deadline(engine->gossip);

	if (links_deadline(engine->links) < due)
		due = links_deadline(engine->links);
	if (engine->stopping)
		return engine->stop_due < due ? engine->stop_due : due;
	if (dialer_deadline(engine->dialer) < due)
		due = dialer_deadline(engine->dialer);
	if (joiner_deadline(engine->joiner) < due)
		due = joiner_deadline(engine->joiner);
	if (engine->waiting_due < due)
		due = engine->waiting_due;
	if (engine->advertise.due < due)
		due = engine->advertise.due;
	return due;
}

static void on_timer(uv_timer_t *timer)
{
	struct engine *engine = timer->data;
	uint64_t now = now_ns(engine);

	if (now >= gossip_deadline(engine->gossip))
		gossip_tick(engine->gossip, now);
	expire_waiting(engine, now);
	if (now >= engine->advertise.due) {
		engine->advertise.due = UINT64_MAX;
		resolution_start(engine->advertise.resolution);
	}
	pump(engine);
}

/* Once per turn of the loop, before it sleeps: the one timer follows the cores. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct engine *engine = prepare->data;
	uint64_t due, now;

	if (engine->closing)
		return;
	pump(engine);
	if (engine->closing)
		return;
	atomic_store(engine->owner.waiting, engine->room.count);
	due = deadline(engine);
	if (due == UINT64_MAX) {
		uv_timer_stop(&engine->timer);
		return;
	}
	now = now_ns(engine);
	uv_timer_start(&engine->timer, on_timer, due <= now ? 0 : (due - now + MS - 1) / MS, 0);
}

/* ---- connections and streams ---- */

static void note_failure(struct engine *engine, const struct route *route, const char *text)
{
	struct trusted *trusted = find_trusted(engine, &route->peer);
	char address[ADDRESS_TEXT_SIZE];

	if (trusted && strncmp(trusted->failure, text, sizeof trusted->failure - 1) == 0)
		return;
	if (trusted)
		snprintf(trusted->failure, sizeof trusted->failure, "%s", text);
	log_line(engine, trusted ? NODE_LOG_NOTICE : NODE_LOG_DEBUG, "peer %s at %s: %s",
		short_id(&route->peer).text, address_format(&route->address, address), text);
}

/* The first of several dials to one node has come about: the others are not needed. */
static void close_other_dials(struct engine *engine, const struct id *peer)
{
	struct route *route;

	DL_FOREACH(engine->dials, route)
	if (id_equal(&route->peer, peer))
		quic_connection_close(route->connection, 0);
}

static struct route *adopt(struct engine *engine, struct quic_connection *connection)
{
	struct route *route = memory_zalloc(sizeof *route);

	if (!route)
		return NULL;
	route->engine = engine;
	route->connection = connection;
	route->peer = *quic_connection_peer(connection);
	route->address = quic_connection_address(connection);
	quic_connection_set_data(connection, route);
	return route;
}

static void on_connected(void *context, struct quic_connection *connection)
{
	struct engine *engine = context;
	struct route *route = quic_connection_data(connection);
	struct trusted *trusted;
	char address[ADDRESS_TEXT_SIZE];

	if (route)
		dial_is_over(engine, route);
	else
		route = adopt(engine, connection);
	if (!route || links_connected(engine->links, now_ns(engine), &route->peer, connection,
			      &route->lane)) {
		quic_connection_close(connection, 0);
		return;
	}
	atomic_fetch_add(engine->owner.connections, 1);
	book_worked(engine->book, now_ns(engine), &route->peer, &route->address);
	trusted = find_trusted(engine, &route->peer);
	log_line(engine, trusted ? NODE_LOG_INFO : NODE_LOG_DEBUG, "peer %s at %s: connected (%s)",
		short_id(&route->peer).text, address_format(&route->address, address),
		route->dialled ? "dialled" : "incoming");
	if (route->dialled)
		close_other_dials(engine, &route->peer);
	pump(engine);
}

#define AT_ADDRESS_SIZE (4 + ADDRESS_TEXT_SIZE)

static const char *at_address(const struct address *address, char out[AT_ADDRESS_SIZE])
{
	char text[ADDRESS_TEXT_SIZE];

	snprintf(out, AT_ADDRESS_SIZE, " at %s", address_format(address, text));
	return out;
}

/* What others say of where a node is may be true for us too: two containers on two machines
 * often have the same address. */
static bool is_ourselves(const struct engine *engine, const struct address *address)
{
	const struct advertise *own = &engine->advertise;

	for (size_t i = 0; i < own->told_count; i++)
		if (address_compare(address, &own->told[i]) == 0)
			return true;
	for (size_t i = 0; i < own->bound_count; i++)
		if (address_compare(address, &own->bound[i]) == 0 ||
			(address_is_loopback(address) && address->port == own->bound[i].port))
			return true;
	return false;
}

static bool on_accept(void *context, const struct id *peer)
{
	struct engine *engine = context;

	if (id_equal(peer, &engine->me)) {
		remark_own_id(engine, "");
		return false;
	}
	if (!access_grants(engine->access, peer)) {
		remark_denied(engine, peer, "refused");
		return false;
	}
	return true;
}

static void on_closed(
	void *context, struct quic_connection *connection, const struct quic_close *close)
{
	struct engine *engine = context;
	struct route *route = quic_connection_data(connection);
	char at[AT_ADDRESS_SIZE];

	if (!route)
		return; /* refused before it was ours */
	if (route->lane) {
		atomic_fetch_sub(engine->owner.connections, 1);
		/* A dialler is through before the other side has decided. */
		if (close->refused)
			note_failure(engine, route, close->text);
		else
			log_line(engine, NODE_LOG_DEBUG, "peer %s: connection closed: %s",
				short_id(&route->peer).text, close->text);
		links_closed(engine->links, now_ns(engine), route->lane);
	} else if (route->dialled) {
		dial_is_over(engine, route);
		count(engine, COUNTER_DIALS_FAILED);
		if (close->own_key && !is_ourselves(engine, &route->address))
			remark_own_id(engine, at_address(&route->address, at));
		if (!links_linked(engine->links, &route->peer))
			note_failure(engine, route, close->text);
		dialer_failed(engine->dialer, now_ns(engine), &route->peer, &route->address);
	}
	memory_free(route);
	pump(engine);
}

static struct inlet *inlet_of(struct engine *engine, struct quic_stream *stream)
{
	struct inlet *inlet = quic_stream_data(stream);

	if (inlet)
		return inlet;
	inlet = memory_zalloc(sizeof *inlet);
	if (!inlet)
		return NULL;
	inlet->route = quic_connection_data(quic_stream_connection(stream));
	frame_reader_init(&inlet->reader);
	quic_stream_set_data(stream, inlet);
	DL_APPEND(engine->inlets, inlet);
	links_inbound(engine->links, now_ns(engine), inlet->route->lane, true);
	return inlet;
}

/* What cannot be decoded ends the stream; running out of memory does not. */
static int on_frame(struct engine *engine, struct inlet *inlet, const uint8_t *body, size_t size)
{
	int error;

	if (inlet->has_topic) {
		error = gossip_receive(engine->gossip, now_ns(engine), &inlet->route->peer,
			&inlet->topic, body, size);
		return error == ERROR_NOMEM ? ERROR_NONE : error;
	}
	error = frame_decode_header(body, size, &inlet->topic);
	if (error)
		count(engine, COUNTER_BAD_FRAME);
	inlet->has_topic = !error;
	return error;
}

static int on_bytes(
	struct engine *engine, struct quic_stream *stream, const uint8_t *data, size_t size)
{
	struct inlet *inlet = inlet_of(engine, stream);
	const uint8_t *body;
	size_t body_size;
	int error, frames;

	if (!inlet)
		return ERROR_NOMEM;
	while ((frames = frame_reader_next(&inlet->reader, &data, &size, &body, &body_size)) == 1) {
		error = on_frame(engine, inlet, body, body_size);
		if (error)
			return error;
		gossip_effects(engine);
	}
	if (frames == ERROR_TOO_LARGE)
		count(engine, COUNTER_BAD_FRAME);
	return frames;
}

static void on_stream_data(
	void *context, struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
	struct engine *engine = context;
	struct route *route = quic_connection_data(quic_stream_connection(stream));
	int error;

	(void)fin;
	if (!route || !route->lane)
		return; /* being closed */
	error = on_bytes(engine, stream, data, size);
	if (error) {
		log_line(engine, NODE_LOG_DEBUG, "peer %s: stream stopped: %s",
			short_id(&route->peer).text, error_text(error));
		quic_stream_stop(stream, 1);
	}
	pump(engine);
}

static void on_stream_closed(void *context, struct quic_stream *stream)
{
	struct engine *engine = context;
	struct inlet *inlet;
	struct outlet *outlet;

	if (!quic_stream_incoming(stream)) {
		outlet = quic_stream_data(stream);
		if (outlet)
			links_stream_closed(engine->links, now_ns(engine), outlet);
		pump(engine);
		return;
	}
	inlet = quic_stream_data(stream);
	if (!inlet)
		return;
	links_inbound(engine->links, now_ns(engine), inlet->route->lane, false);
	DL_DELETE(engine->inlets, inlet);
	frame_reader_clear(&inlet->reader);
	memory_free(inlet);
}

static void on_stream_credit(void *context, struct quic_connection *connection)
{
	struct engine *engine = context;
	struct route *route = quic_connection_data(connection);

	if (route && route->lane)
		links_credit(engine->links, now_ns(engine), route->lane);
}

static int io_open(void *connection, const struct id *topic, struct outlet *outlet, void **stream)
{
	struct quic_stream *opened;
	struct frame *header;
	int error = frame_encode_header(topic, &header);

	if (error)
		return error;
	error = quic_stream_open(connection, &opened);
	if (!error) {
		error = quic_stream_send(opened, header);
		if (error)
			quic_stream_finish(opened); /* nobody will miss it */
	}
	if (error) {
		frame_free(header);
		return error;
	}
	quic_stream_set_data(opened, outlet);
	*stream = opened;
	return ERROR_NONE;
}

static int io_send(void *stream, struct frame *frame)
{
	return quic_stream_send(stream, frame);
}

static void io_finish(void *stream)
{
	quic_stream_finish(stream);
}

static void io_close(void *connection)
{
	quic_connection_close(connection, 0);
}

/* ---- commands ---- */

static void want_trusted(struct engine *engine, const struct id *topic)
{
	uint64_t now = now_ns(engine);
	struct trusted *trusted;
	bool linked;

	for (size_t i = 0; i < engine->trusted_count; i++) {
		trusted = &engine->trusted[i];
		linked = links_linked(engine->links, &trusted->id);
		joiner_add(engine->joiner, now, topic, &trusted->id, linked);
		dialer_want(engine->dialer, now, &trusted->id, true);
		links_keep(engine->links, now, &trusted->id, true);
		if (linked)
			dialer_linked(engine->dialer, &trusted->id);
	}
}

/* Those who are on this overlay and have told us so when we were not: their Join went
 * unheard, and upstream does not repeat it. */
static void want_early_ones(struct engine *engine, const struct id *topic)
{
	struct inlet *inlet;

	DL_FOREACH(engine->inlets, inlet)
	if (inlet->has_topic && id_equal(&inlet->topic, topic))
		joiner_add(engine->joiner, now_ns(engine), topic, &inlet->route->peer, true);
}

struct recall {
	struct engine *engine;
	const struct id *topic;
};

static void recall(void *context, const struct id *node, const struct address *addresses,
	size_t addresses_count)
{
	struct recall *recall = context;
	struct engine *engine = recall->engine;
	uint64_t now = now_ns(engine);
	bool linked = links_linked(engine->links, node);

	if (!may_dial(engine, node))
		return;
	/* It was a neighbour here, so that this topic is no secret to it. Its addresses
	 * have worked, loopback or not. */
	book_hear(engine->book, now, node, addresses, addresses_count, true);
	joiner_add(engine->joiner, now, recall->topic, node, linked);
	if (!linked)
		dialer_want(engine->dialer, now, node, false);
}

void engine_join(struct engine *engine, const struct id *topic)
{
	struct overlay *overlay = find_overlay(engine, topic);
	int error;

	if (overlay || engine->stopping)
		return;
	overlay = memory_zalloc(sizeof *overlay);
	if (!overlay)
		return;
	overlay->topic = *topic;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, engine->overlays, &overlay->topic, sizeof overlay->topic,
		keyed_hash(&engine->keyed, topic, sizeof *topic), overlay);
	if (!overlay->hh.tbl) {
		memory_free(overlay);
		return;
	}
	error = gossip_join(engine->gossip, now_ns(engine), topic);
	if (error) {
		overlay->refused = true;
		log_line(engine, NODE_LOG_WARNING, "overlay %s: not joined: %s",
			short_id(topic).text,
			error == ERROR_LIMIT ? "max_overlays is reached" : error_text(error));
		return;
	}
	atomic_fetch_add(engine->owner.overlays, 1);
	want_trusted(engine, topic);
	want_early_ones(engine, topic);
	store_each(engine->store, topic, recall, &(struct recall){engine, topic});
	pump(engine);
}

static void leave(struct engine *engine, struct overlay *overlay)
{
	struct id topic = overlay->topic;

	waiting_drop(&engine->room, &overlay->waiting, COUNTER_DROPPED_LEFT);
	HASH_DELETE(hh, engine->overlays, overlay);
	if (!overlay->refused) {
		atomic_fetch_sub(engine->owner.overlays, 1);
		joiner_remove_topic(engine->joiner, &topic);
		/* The cores do not report neighbours of an overlay that is left. */
		atomic_fetch_sub(
			engine->owner.neighbours, gossip_neighbours(engine->gossip, &topic));
		gossip_leave(engine->gossip, now_ns(engine), &topic);
	}
	memory_free(overlay);
	emit(engine, NODE_LEFT, &topic, NULL, NULL);
	for (size_t i = 0; !engine->overlays && i < engine->trusted_count; i++) {
		dialer_unwant(engine->dialer, &engine->trusted[i].id);
		links_keep(engine->links, now_ns(engine), &engine->trusted[i].id, false);
	}
}

void engine_leave(struct engine *engine, const struct id *topic)
{
	struct overlay *overlay = find_overlay(engine, topic);

	if (!overlay || engine->stopping)
		return;
	leave(engine, overlay);
	pump(engine);
}

void engine_publish(struct engine *engine, const struct id *topic, struct message *message)
{
	struct overlay *overlay = find_overlay(engine, topic);
	uint64_t now = now_ns(engine);

	if (!overlay) {
		count(engine, COUNTER_DROPPED_LEFT);
	} else if (overlay->refused) {
		count(engine, COUNTER_DROPPED_MAX_OVERLAYS);
	} else if (gossip_neighbours(engine->gossip, topic) > 0) {
		broadcast(engine, topic, message);
		pump(engine);
	} else if (waiting_push(&engine->room, &overlay->waiting, now, message) == ERROR_NONE) {
		if (now + engine->room.age_ns < engine->waiting_due)
			engine->waiting_due = now + engine->room.age_ns;
	}
	message_unref(message);
}

void engine_record(struct engine *engine, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	store_record(engine->store, key, key_size, value, value_size);
}

/* ---- where we are ---- */

static void tell_addresses(struct engine *engine)
{
	const struct advertise *advertise = &engine->advertise;
	struct address addresses[2 * LIMIT_ADDRESSES_PER_NODE];

	memcpy(addresses, advertise->told, advertise->told_count * sizeof *addresses);
	memcpy(addresses + advertise->told_count, advertise->bound,
		advertise->bound_count * sizeof *addresses);
	gossip_set_addresses(
		engine->gossip, addresses, advertise->told_count + advertise->bound_count);
}

static void log_advertised(struct engine *engine)
{
	const struct advertise *advertise = &engine->advertise;
	char line[NODE_REASON_SIZE - 32] = "", text[ADDRESS_TEXT_SIZE];
	size_t used = 0;

	for (size_t i = 0; i < advertise->told_count && sizeof line - used > sizeof text; i++)
		used += (size_t)snprintf(line + used, sizeof line - used, "%s%s", i ? ", " : "",
			address_format(&advertise->told[i], text));
	log_line(engine, NODE_LOG_INFO, "advertised to peers: %s", line);
}

/* Name servers change the order of their answers, which means nothing. */
static bool is_new(const struct advertise *advertise, const struct address *addresses, size_t count)
{
	size_t at;

	for (size_t i = 0; i < count; i++) {
		for (at = 0; at < advertise->told_count; at++)
			if (address_compare(&addresses[i], &advertise->told[at]) == 0)
				break;
		if (at == advertise->told_count)
			return true;
	}
	return count != advertise->told_count;
}

static void on_advertise_resolved(struct engine *engine, const struct address *addresses,
	size_t addresses_count, const char *failure)
{
	struct advertise *advertise = &engine->advertise;
	uint64_t now = now_ns(engine);

	if (failure[0]) {
		advertise->due = now + advertise->backoff;
		advertise->backoff = advertise->backoff * 2 > ADVERTISE_MOST_NS
					     ? ADVERTISE_MOST_NS
					     : advertise->backoff * 2;
	} else {
		advertise->due = advertise->has_names ? now + ADVERTISE_AGAIN_NS : UINT64_MAX;
		advertise->backoff = ADVERTISE_FIRST_NS;
	}
	if (strncmp(advertise->failure, failure, sizeof advertise->failure - 1) != 0) {
		snprintf(advertise->failure, sizeof advertise->failure, "%s", failure);
		if (failure[0])
			log_line(engine, NODE_LOG_NOTICE, "advertise: %s", failure);
	}
	/* What was found before is better than nothing. */
	if (addresses_count == 0 || !is_new(advertise, addresses, addresses_count))
		return;
	memcpy(advertise->told, addresses, addresses_count * sizeof *addresses);
	advertise->told_count = addresses_count;
	tell_addresses(engine);
	log_advertised(engine);
}

/* Literal addresses are told from the very first, names as soon as they are found. */
static int make_advertise(struct engine *engine, const struct node_config *config,
	const struct address *bound, size_t n)
{
	struct advertise *advertise = &engine->advertise;
	struct node_peer self = {.id = engine->me, .hosts_count = config->advertise_count};
	struct address address;

	advertise->due = UINT64_MAX;
	advertise->backoff = ADVERTISE_FIRST_NS;
	advertise->bound_count =
		interfaces_addresses(bound, n, advertise->bound, LIMIT_ADDRESSES_PER_NODE);
	for (size_t i = 0; i < config->advertise_count; i++) {
		self.hosts[i] = config->advertise[i];
		if (resolver_literal(&self.hosts[i], &address))
			advertise->told[advertise->told_count++] = address;
		else
			advertise->has_names = true;
	}
	tell_addresses(engine);
	if (advertise->told_count > 0)
		log_advertised(engine);
	if (!advertise->has_names)
		return ERROR_NONE;
	return resolution_new(engine->resolver, &self, &advertise->resolution);
}

/* ---- beginning and end ---- */

static void on_resolved(void *context, const struct id *node, const struct address *addresses,
	size_t addresses_count, const char *failure)
{
	struct engine *engine = context;
	struct trusted *trusted = find_trusted(engine, node);

	if (engine->stopping)
		return;
	if (id_equal(node, &engine->me))
		on_advertise_resolved(engine, addresses, addresses_count, failure);
	if (!trusted)
		return;
	if (addresses_count == 0) {
		if (strncmp(trusted->failure, failure, sizeof trusted->failure - 1) != 0) {
			snprintf(trusted->failure, sizeof trusted->failure, "%s", failure);
			log_line(engine, NODE_LOG_NOTICE, "peer %s: %s", short_id(node).text,
				failure);
		}
		return;
	}
	if (book_configure(engine->book, node, addresses, addresses_count) == ERROR_NONE)
		dialer_addresses(engine->dialer, now_ns(engine), node);
	pump(engine);
}

void engine_begin(struct engine *engine)
{
	/* Before the peers' names, so that what the peers are told is complete. */
	if (engine->advertise.resolution)
		resolution_start(engine->advertise.resolution);
	for (size_t i = 0; i < engine->trusted_count; i++)
		resolution_start(engine->trusted[i].resolution);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct engine *engine = handle->data;

	if (--engine->handles == 0)
		engine->owner.stopped(engine->owner.context);
}

static void on_endpoint_closed(void *context)
{
	struct engine *engine = context;

	engine->endpoint = NULL;
	if (!engine->handles_ready) {
		engine->owner.stopped(engine->owner.context);
		return;
	}
	engine->handles = 2;
	uv_close((uv_handle_t *)&engine->timer, on_handle_closed);
	uv_close((uv_handle_t *)&engine->prepare, on_handle_closed);
}

static void close_endpoint(struct engine *engine)
{
	engine->closing = true;
	if (engine->resolver)
		resolver_stop(engine->resolver);
	quic_endpoint_close(engine->endpoint, on_endpoint_closed, engine);
}

void engine_stop(struct engine *engine)
{
	struct overlay *overlay, *next;

	if (engine->stopping)
		return;
	engine->stopping = true;
	if (!engine->handles_ready) {
		/* engine_new has failed half-way. */
		if (engine->endpoint)
			close_endpoint(engine);
		else
			engine->owner.stopped(engine->owner.context);
		return;
	}
	engine->stop_due = now_ns(engine) + LIMIT_FAREWELL_MS * MS;
	HASH_ITER(hh, engine->overlays, overlay, next)
	leave(engine, overlay);
	pump(engine);
}

void engine_free(struct engine *engine)
{
	if (!engine)
		return;
	gossip_free(engine->gossip);
	links_free(engine->links);
	dialer_free(engine->dialer);
	joiner_free(engine->joiner);
	book_free(engine->book);
	access_free(engine->access);
	resolver_free(engine->resolver);
	store_free(engine->store);
	memory_free(engine->trusted);
	memory_free(engine);
}

static int trust(struct engine *engine, const struct node_config *config)
{
	struct trusted *trusted;
	int error;

	engine->trusted = memory_zalloc((config->peers_count + 1) * sizeof *engine->trusted);
	if (!engine->trusted)
		return ERROR_NOMEM;
	for (size_t i = 0; i < config->peers_count; i++) {
		trusted = &engine->trusted[i];
		trusted->id = config->peers[i].id;
		error = book_configure(engine->book, &trusted->id, NULL, 0);
		if (!error)
			error = resolution_new(
				engine->resolver, &config->peers[i], &trusted->resolution);
		if (error)
			return error;
		engine->trusted_count++;
	}
	return ERROR_NONE;
}

static int make_cores(struct engine *engine, const struct node_config *config)
{
	struct gossip_config gossip = {
		.me = engine->me,
		.random = engine->random,
		.counters = engine->owner.counters,
		.max_overlays = config->max_overlays,
		.cache_bytes = config->cache_bytes,
		.is_key = identity_is_node,
	};
	struct link_io io = {io_open, io_send, io_finish, io_close};
	int error;

	error = gossip_new(&gossip, &engine->gossip);
	if (!error)
		error = links_new(&io, &engine->random, engine->owner.counters, &engine->links);
	if (!error)
		error = book_new(&engine->me, &engine->random, engine->owner.counters, LIMIT_PEERS,
			&engine->book);
	if (!error)
		error = access_new(config->allow, config->allow_count, config->deny,
			config->deny_count, &engine->access);
	if (!error)
		error = dialer_new(&engine->random, engine->book, &engine->dialer);
	if (!error)
		error = joiner_new(&engine->random, &engine->joiner);
	if (!error)
		error = resolver_new(engine->loop, on_resolved, engine, &engine->resolver);
	if (!error)
		error = trust(engine, config);
	return error;
}

static int bind_all(struct engine *engine, const struct node_config *config, struct address *bound,
	size_t *bound_count, char reason[NODE_REASON_SIZE])
{
	char text[ADDRESS_TEXT_SIZE];
	int error, first_error = ERROR_NONE;

	*bound_count = 0;
	for (size_t i = 0; i < config->binds_count; i++) {
		error = quic_endpoint_bind(
			engine->endpoint, &config->binds[i], &bound[*bound_count]);
		if (!error) {
			(*bound_count)++;
			continue;
		}
		if (!first_error) {
			first_error = error;
			snprintf(reason, NODE_REASON_SIZE, "cannot bind UDP %s: %s",
				address_format(&config->binds[i], text),
				error == ERROR_SYSTEM ? strerror(errno) : error_text(error));
		}
		if (config->binds_all)
			return error;
	}
	return *bound_count > 0 ? ERROR_NONE : first_error;
}

static int make_endpoint(struct engine *engine, const struct node_config *config)
{
	struct quic_config quic = {
		.loop = engine->loop,
		.identity = config->identity,
		.max_connections = LIMIT_CONNECTIONS,
		.max_streams = config->max_overlays,
		.max_queue = LIMIT_PEER_QUEUE_BYTES,
		.counters = engine->owner.counters,
		.callbacks = {on_connected, on_accept, on_closed, on_stream_data, on_stream_closed,
			on_stream_credit},
		.context = engine,
	};

	identity_alpn(PROTOCOL_GOSSIP, &config->network, &quic.alpn);
	return quic_endpoint_new(&quic, &engine->endpoint);
}

int engine_new(const struct node_config *config, const struct engine_owner *owner, uv_loop_t *loop,
	struct address *bound, size_t *bound_count, struct engine **out,
	char reason[NODE_REASON_SIZE])
{
	struct engine *engine = memory_zalloc(sizeof *engine);
	char remark[STORE_REASON_SIZE];
	int error = ERROR_NOMEM;

	snprintf(reason, NODE_REASON_SIZE, "%s", error_text(ERROR_NOMEM));
	if (!engine)
		return error;
	engine->owner = *owner;
	engine->loop = loop;
	engine->me = config->identity->id;
	engine->random = random_system();
	engine->waiting_due = UINT64_MAX;
	engine->room = (struct waiting_room){
		.limit = config->queue_limit,
		.age_ns = config->queue_age_ns,
		.max_bytes = LIMIT_WAITING_BYTES,
		.counters = owner->counters,
	};
	keyed_init(&engine->keyed, &engine->random);
	*out = engine;
	error = store_open(config->state_dir, loop, config->record, config->record_context,
		&engine->store, remark);
	if (!error && remark[0])
		log_line(engine, NODE_LOG_WARNING, "%s", remark);
	if (!error)
		error = make_cores(engine, config);
	if (!error)
		error = make_endpoint(engine, config);
	if (error) {
		snprintf(reason, NODE_REASON_SIZE, "%s", error_text(error));
		return error;
	}
	error = bind_all(engine, config, bound, bound_count, reason);
	if (error)
		return error;
	error = make_advertise(engine, config, bound, *bound_count);
	if (error) {
		snprintf(reason, NODE_REASON_SIZE, "%s", error_text(error));
		return error;
	}
	uv_timer_init(loop, &engine->timer);
	engine->timer.data = engine;
	uv_prepare_init(loop, &engine->prepare);
	engine->prepare.data = engine;
	uv_prepare_start(&engine->prepare, on_prepare);
	engine->handles_ready = true;
	return ERROR_NONE;
}
