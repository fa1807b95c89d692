/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Looking for others: discovery sessions over QUIC, one connection each, and what they bring
 * into the book.
 */
#include <stdlib.h>
#include <utlist.h>

#include "internal.h"

/* From the dial or the handshake: however slowly the other side speaks, it is not longer. */
#define SESSION_MOST_NS (10000 * MS)
/* The code with which a session beyond the limit is closed: upstream ends all its sessions with
 * others, so that one of ours does not take us for a node that has not understood it. */
#define BUSY 2
/* Infos that are gathered at a time: well below a millisecond. */
#define GATHER_STEP 32

/* An info that waits to be verified. */
struct unverified {
	struct unverified *prev, *next;
	struct id node;
	struct info *info;
};

struct talk {
	struct engine *engine;
	struct talk *prev, *next; /* of all */
	struct quic_connection *connection; /* NULL: over, but for what is unverified */
	struct quic_stream *stream;
	struct session *session;
	bool more; /* the session has more effects */
	struct unverified *unverified; /* oldest first */
	size_t gathered, gather_first; /* infos of the book: how many so far, and from which on */
	struct id peer;
	struct address address;
	enum dialect dialect; /* of the session; Bob: UNKNOWN until it shows */
	uint64_t due; /* when it is ended */
	bool dialled;
	bool connected;
	bool walked; /* the walker waits for its end */
	bool second; /* the other codec has been tried before */
	bool done, fresh;
	struct verifying verifying; /* verified, or to be */
	bool condemned; /* for what it has forged: it is being closed */
	struct id *topics; /* ours, when the session began; sorted */
	bool *shared;	   /* which of them are */
	size_t topics_count;
};

/* ---- what comes out of a session ---- */

/* Everybody is told everybody's, so that our own comes back. One that is newer than ours is of
 * an earlier life, whose state is lost, unless it is a lie. */
static void take_own(struct engine *engine, struct info *info, struct verifying *verifying)
{
	if (info->time.us > engine_wall(engine) + LIMIT_FUTURE_US) {
		engine_count(engine, COUNTER_BAD_INFO);
	} else if (info_verify(info, &engine->me, info->order) != ERROR_NONE) {
		engine_count(engine, COUNTER_BAD_INFO);
		verifying->forged++;
	} else if (info_time_compare(info->time, engine->advertise.time) > 0) {
		advertise_newer(engine, info->time);
	}
	info_free(info);
}

/* Whether it may bring anything, so that it has to be verified, which takes 0.1 to 0.3 ms, and
 * whether there is effort left for that; counts those on this source's behalf. */
static bool is_worth_verifying(struct engine *engine, const struct id *node,
	const struct info *info, struct verifying *verifying)
{
	bool is_own = id_equal(node, &engine->me);

	if (is_own && info_time_compare(info->time, engine->advertise.time) <= 0)
		return false;
	if (!is_own && (!access_grants(engine->access, node) ||
			       book_has_info(engine->book, node, info)))
		return false;
	if (verifying->verified >= LIMIT_INFOS_VERIFIED ||
		!effort_take(&engine->effort, engine_now(engine), verifying->chosen)) {
		engine_count(engine, COUNTER_LIMIT_INFOS);
		return false;
	}
	verifying->verified++;
	return true;
}

/* Verifies it and takes it. Whether it was new and is believed. */
static bool take_info(struct engine *engine, const struct id *node, const struct id *source,
	enum address_scope scope, struct info *info, struct verifying *verifying)
{
	uint64_t now = engine_now(engine);
	bool fresh = false;

	if (id_equal(node, &engine->me)) {
		take_own(engine, info, verifying);
		return false;
	}
	if (info_verify(info, node, info->order) != ERROR_NONE) {
		engine_count(engine, COUNTER_BAD_INFO);
		verifying->forged++;
		info_free(info);
		return false;
	}
	/* What it refuses it counts. */
	if (book_insert_info(engine->book, now, engine_wall(engine), node, source, scope, info,
		    &fresh) != ERROR_NONE ||
		!fresh)
		return false;
	dialer_addresses(engine->dialer, now, node);
	walker_found(engine->walker, now);
	return true;
}

bool explore_info(struct engine *engine, const struct id *node, const struct id *source,
	enum address_scope scope, struct info *info, struct verifying *verifying)
{
	if (is_worth_verifying(engine, node, info, verifying))
		return take_info(engine, node, source, scope, info, verifying);
	info_free(info);
	return false;
}

/* Hundreds of them may come at once: they are verified bit by bit (go_on). */
static void on_info(struct talk *talk, const struct id *node, struct info *info)
{
	struct unverified *unverified = NULL;

	if (!talk->condemned &&
		is_worth_verifying(talk->engine, node, info, &talk->verifying))
		unverified = memory_alloc(sizeof *unverified);
	if (!unverified) {
		info_free(info);
		return;
	}
	unverified->node = *node;
	unverified->info = info;
	DL_APPEND(talk->unverified, unverified);
}

static struct info *take_unverified(struct talk *talk, struct id *node)
{
	struct unverified *first = talk->unverified;
	struct info *info = first->info;

	*node = first->node;
	DL_DELETE(talk->unverified, first);
	memory_free(first);
	return info;
}

static int compare_ids(const void *a, const void *b)
{
	return id_compare(a, b);
}

static void on_shared(struct talk *talk, const struct id *topic)
{
	const struct id *ours = bsearch(topic, talk->topics, talk->topics_count,
		sizeof *talk->topics, compare_ids);

	if (ours)
		talk->shared[ours - talk->topics] = true;
	nodes_shared(talk->engine, &talk->peer, topic, true);
}

static void on_dialect(struct talk *talk, enum dialect dialect)
{
	struct engine *engine = talk->engine;
	/* Bob did not know what Alice believes, and has not told her where he is. */
	bool told = talk->dialled || dialect == DIALECT_06 || talk->dialect == dialect;

	talk->dialect = dialect;
	book_set_dialect(engine->book, &talk->peer, dialect);
	if (!told)
		walker_prompt(engine->walker, engine_now(engine), &talk->peer);
}

/* The walker goes on when the session is over and what it has brought is known. */
static void walk_on(struct talk *talk)
{
	if (talk->unverified)
		return;
	if (talk->walked)
		walker_ended(talk->engine->walker, engine_now(talk->engine), &talk->peer,
			!talk->done	 ? WALK_FAILED
			: talk->fresh ? WALK_BROUGHT_NEWS
				      : WALK_BROUGHT_NOTHING);
	talk->walked = false;
}

static void on_done(struct talk *talk)
{
	struct engine *engine = talk->engine;

	talk->done = true;
	engine_count(engine, COUNTER_DISCOVERED);
	for (size_t i = 0; i < talk->topics_count; i++)
		/* A neighbour there has it, whatever it says. */
		if (!talk->shared[i] && book_shares(engine->book, &talk->peer, &talk->topics[i]) &&
			!gossip_is_neighbour(engine->gossip, &talk->topics[i], &talk->peer))
			nodes_shared(engine, &talk->peer, &talk->topics[i], false);
	if (talk->dialled)
		walk_on(talk); /* it is Bob who closes */
	else
		quic_connection_close_with(talk->connection, 0, "done");
}

static void on_effect(struct talk *talk, const struct session_effect *effect)
{
	switch (effect->type) {
	case SESSION_SEND:
		if (!talk->stream || quic_stream_send(talk->stream, effect->frame)) {
			frame_free(effect->frame);
			quic_connection_close(talk->connection, 1);
		}
		break;
	case SESSION_SHARED:
		on_shared(talk, &effect->id);
		break;
	case SESSION_INFO:
		on_info(talk, &effect->id, effect->info);
		break;
	case SESSION_DIALECT:
		on_dialect(talk, effect->dialect);
		break;
	case SESSION_BUSY:
		break;
	case SESSION_DONE:
		on_done(talk);
		break;
	case SESSION_FAILED:
		engine_log(talk->engine, NODE_LOG_DEBUG, "peer %s: discovery failed: %s",
			short_id(&talk->peer).text, error_text(effect->error));
		quic_connection_close(talk->connection, 1);
		break;
	}
}

/* What the session wants; when the turn has taken its time the rest is left. */
static void take_effects(struct talk *talk)
{
	struct session_effect effect;

	for (talk->more = false; !talk->more && session_effect(talk->session, &effect);) {
		on_effect(talk, &effect);
		/* Infos are not left: there may be very many. */
		talk->more = (effect.type == SESSION_SHARED || effect.type == SESSION_BUSY) &&
			     engine_is_late(talk->engine);
	}
}

static bool is_busy(const struct talk *talk)
{
	return talk->more || talk->unverified;
}

static void talk_free(struct talk *talk)
{
	struct engine *engine = talk->engine;
	struct id node;

	DL_DELETE(engine->talks, talk);
	if (talk->dialled)
		engine->talks_dialled--;
	else
		engine->talks_accepted--;
	while (talk->unverified)
		info_free(take_unverified(talk, &node));
	session_free(talk->session);
	memory_free(talk->topics);
	memory_free(talk->shared);
	memory_free(talk);
}

/* One forged info may be an accident; three are an attack, or a node that verifies nothing: what
 * is left of them is not looked at, and it waits before it may begin again. */
static void condemn(struct talk *talk)
{
	struct engine *engine = talk->engine;
	struct id node;

	talk->condemned = true;
	while (talk->unverified)
		info_free(take_unverified(talk, &node));
	engine_log(engine, NODE_LOG_DEBUG, "peer %s: discovery ended: its infos are forged",
		short_id(&talk->peer).text);
	if (!engine_configured(engine, &talk->peer))
		effort_blame(&engine->effort, engine_now(engine), &talk->peer, &talk->address);
	if (talk->connection)
		quic_connection_close(talk->connection, 1);
}

/* A bit of what is left of it. The talk may be gone afterwards. */
static void go_on(struct talk *talk)
{
	enum address_scope scope = address_scope(&talk->address);
	struct info *info;
	struct id node;

	if (talk->more)
		take_effects(talk);
	if (talk->unverified) {
		info = take_unverified(talk, &node);
		talk->fresh |= take_info(
			talk->engine, &node, &talk->peer, scope, info, &talk->verifying);
		if (talk->verifying.forged >= LIMIT_FORGED && !talk->condemned)
			condemn(talk);
	}
	if (talk->unverified)
		return;
	if (talk->done || !talk->connection)
		walk_on(talk);
	if (!talk->connection)
		talk_free(talk);
}

static void carry_out(struct talk *talk)
{
	take_effects(talk);
	while (is_busy(talk) && !engine_is_late(talk->engine))
		go_on(talk);
}

/* ---- sessions ---- */

static bool gather(void *context, enum info_order order, session_emit_info *emit, void *emitter)
{
	struct talk *talk = context;
	struct engine *engine = talk->engine;
	size_t count = book_infos(engine->book, order);
	const struct info *info;
	struct id node;

	if (talk->gathered == 0) {
		talk->gather_first = count > 0 ? random_below(&engine->random, count) : 0;
		if (engine->advertise.infos[order])
			emit(emitter, &engine->me, engine->advertise.infos[order]);
	}
	for (size_t i = 0; i < GATHER_STEP && talk->gathered < count; i++, talk->gathered++) {
		info = book_info_number(engine->book, order,
			(talk->gather_first + talk->gathered) % count, &node);
		if (access_grants(engine->access, &node) && !emit(emitter, &node, info))
			return false;
	}
	return talk->gathered < count;
}

static int take_topics(struct talk *talk)
{
	struct engine *engine = talk->engine;
	struct overlay *overlay, *next;
	size_t count = HASH_COUNT(engine->overlays);

	talk->topics = memory_alloc((count + 1) * sizeof *talk->topics);
	talk->shared = memory_zalloc((count + 1) * sizeof *talk->shared);
	if (!talk->topics || !talk->shared)
		return ERROR_NOMEM;
	HASH_ITER (hh, engine->overlays, overlay, next)
		if (!overlay->refused)
			talk->topics[talk->topics_count++] = overlay->topic;
	qsort(talk->topics, talk->topics_count, sizeof *talk->topics, compare_ids);
	return ERROR_NONE;
}

static int begin_session(struct talk *talk, struct quic_stream *stream)
{
	struct engine *engine = talk->engine;
	struct session_config config = {
		.role = talk->dialled ? SESSION_ALICE : SESSION_BOB,
		.remote = &talk->peer,
		.dialect = talk->dialect,
		.random = engine->random,
		.counters = engine->owner.counters,
		.gather = gather,
		.context = talk,
	};
	int error = take_topics(talk);

	config.topics = talk->topics;
	config.topics_count = talk->topics_count;
	if (!error)
		error = session_new(&config, &talk->session);
	if (error)
		return error;
	talk->stream = stream;
	return ERROR_NONE;
}

static struct talk *talk_new(
	struct engine *engine, const struct id *peer, const struct address *address, bool dialled)
{
	struct talk *talk = memory_zalloc(sizeof *talk);

	if (!talk)
		return NULL;
	talk->engine = engine;
	talk->peer = *peer;
	talk->address = *address;
	talk->dialled = dialled;
	talk->verifying.chosen = dialled || engine_configured(engine, peer);
	talk->due = engine_now(engine) + SESSION_MOST_NS;
	talk->dialect = book_dialect(engine->book, peer);
	if (dialled)
		engine->talks_dialled++;
	else
		engine->talks_accepted++;
	DL_APPEND(engine->talks, talk);
	return talk;
}

/* ---- dialling ---- */

/* Applications of today speak it. */
static enum dialect first_guess(enum dialect known)
{
	return known == DIALECT_UNKNOWN ? DIALECT_071 : known;
}

static int dial(struct engine *engine, const struct id *node, const struct address *address,
	enum dialect dialect, bool second)
{
	struct talk *talk = talk_new(engine, node, address, true);
	int error;

	if (!talk)
		return ERROR_NOMEM;
	talk->dialect = dialect;
	talk->second = second;
	error = quic_connect(engine->endpoint, DISCOVERY, node, address, &talk->connection);
	if (error) {
		talk_free(talk);
		return error;
	}
	engine_count(engine, COUNTER_DISCOVERY_DIALS);
	quic_connection_set_data(talk->connection, talk);
	return ERROR_NONE;
}

void explore_dial(struct engine *engine, const struct id *node, const struct address *address)
{
	if (dial(engine, node, address, first_guess(book_dialect(engine->book, node)), false))
		dialer_failed(engine->explorer, engine_now(engine), node, address);
}

/* The first of several dials to one node has come about: the others are not needed. */
static void close_other_dials(struct engine *engine, const struct talk *talk)
{
	struct talk *other;

	DL_FOREACH (engine->talks, other)
		if (other != talk && other->dialled && !other->connected &&
			id_equal(&other->peer, &talk->peer))
			quic_connection_close(other->connection, 0);
}

/* A peer that ends the session before it has said anything has not understood us. */
static bool try_other_codec(struct talk *talk, const struct quic_close *close)
{
	enum dialect other = talk->dialect == DIALECT_06 ? DIALECT_071 : DIALECT_06;
	bool was_busy = close->application && close->code == BUSY;

	return talk->session && !talk->second && !was_busy && !talk->engine->stopping &&
	       !session_was_answered(talk->session) &&
	       dial(talk->engine, &talk->peer, &talk->address, other, true) == ERROR_NONE;
}

/* ---- what quic tells ---- */

static void on_connected(void *context, struct quic_connection *connection)
{
	struct engine *engine = context;
	struct talk *talk = quic_connection_data(connection);
	struct address address = quic_connection_address(connection);
	struct quic_stream *stream;

	if (!talk) {
		if (engine->stopping || engine->talks_accepted >= LIMIT_SESSIONS ||
			effort_waits(&engine->effort, engine_now(engine),
				quic_connection_peer(connection), &address)) {
			engine_count(engine, COUNTER_LIMIT_SESSIONS);
			quic_connection_close_with(connection, BUSY, "busy");
			return;
		}
		talk = talk_new(engine, quic_connection_peer(connection), &address, false);
		if (!talk) {
			quic_connection_close(connection, 1);
			return;
		}
		talk->connection = connection;
		quic_connection_set_data(connection, talk);
	}
	talk->connected = true;
	nodes_reached(engine, &talk->peer);
	if (!talk->dialled) {
		/* Alice opens the stream. That she has dialled us proves nothing else. */
		book_hear(engine->book, engine_now(engine), &talk->peer, &talk->peer, &address, 1,
			ADDRESS_LOOPBACK);
		return;
	}
	book_worked(engine->book, engine_now(engine), engine_wall(engine), &talk->peer, &address);
	dialer_worked(engine->explorer, &address);
	dialer_linked(engine->explorer, &talk->peer);
	close_other_dials(engine, talk);
	talk->walked = true;
	if (quic_bidi_open(connection, &stream) || begin_session(talk, stream))
		quic_connection_close(connection, 1);
	else
		carry_out(talk);
	engine_pump(engine);
}

static void on_stream_data(
	void *context, struct quic_stream *stream, const uint8_t *data, size_t size, bool fin)
{
	struct engine *engine = context;
	struct talk *talk = quic_connection_data(quic_stream_connection(stream));

	if (!talk || talk->done)
		return;
	if (!talk->session && !talk->dialled && quic_stream_is_bidi(stream) &&
		begin_session(talk, stream)) {
		quic_connection_close(talk->connection, 1);
		return;
	}
	if (!talk->session || stream != talk->stream) {
		quic_stream_stop(stream, 1);
		return;
	}
	session_receive(talk->session, data, size, fin);
	carry_out(talk);
	engine_pump(engine);
}

static void on_stream_closed(void *context, struct quic_stream *stream)
{
	struct talk *talk = quic_connection_data(quic_stream_connection(stream));

	(void)context;
	if (!talk || talk->stream != stream)
		return;
	talk->stream = NULL;
	if (!talk->done)
		quic_connection_close(talk->connection, 1);
}

static void on_stream_credit(void *context, struct quic_connection *connection)
{
	(void)context;
	(void)connection;
}

/* The session is over, however it has ended; what it has brought is still to be verified. */
static void detach(struct talk *talk)
{
	session_free(talk->session);
	talk->session = NULL;
	talk->more = false;
	talk->connection = NULL;
	talk->due = UINT64_MAX;
}

static void on_closed(
	void *context, struct quic_connection *connection, const struct quic_close *close)
{
	struct engine *engine = context;
	struct talk *talk = quic_connection_data(connection);
	uint64_t now = engine_now(engine);

	if (!talk)
		return;
	if (!talk->connected) {
		/* A dial. */
		if (!talk->second) {
			if (!links_linked(engine->links, &talk->peer))
				route_note_failure(
					engine, &talk->peer, &talk->address, close->text);
			dialer_failed(engine->explorer, now, &talk->peer, &talk->address);
		} else {
			talk->walked = true;
		}
	} else if (!talk->done && try_other_codec(talk, close)) {
		/* It goes on, in the other talk: neither a failure nor the end for the walker. */
		talk_free(talk);
		engine_pump(engine);
		return;
	}
	if (talk->done)
		neighbours_reached(engine, &talk->peer, &talk->address);
	if (talk->connected && !talk->done) {
		engine_count(engine, COUNTER_DISCOVERY_FAILED);
		engine_log(engine, NODE_LOG_DEBUG, "peer %s: discovery ended early: %s",
			short_id(&talk->peer).text, close->text);
	}
	if (talk->unverified && !engine->stopping) {
		detach(talk);
	} else {
		walk_on(talk);
		talk_free(talk);
	}
	engine_pump(engine);
}

const struct quic_callbacks explore_callbacks = {
	.connected = on_connected,
	.accept = route_accept,
	.keep = route_keep,
	.closed = on_closed,
	.stream_data = on_stream_data,
	.stream_closed = on_stream_closed,
	.stream_credit = on_stream_credit,
};

uint64_t explore_deadline(const struct engine *engine)
{
	uint64_t due = UINT64_MAX;
	struct talk *talk;

	DL_FOREACH (engine->talks, talk) {
		if (is_busy(talk))
			return 0;
		if (talk->due < due)
			due = talk->due;
	}
	return due;
}

void explore_tick(struct engine *engine, uint64_t now)
{
	struct talk *talk, *next;
	bool any = !engine->stopping;

	DL_FOREACH (engine->talks, talk) {
		if (talk->due > now)
			continue;
		talk->due = UINT64_MAX; /* closed follows */
		quic_connection_close(talk->connection, 1);
	}
	/* A bit of each in turn. */
	while (any) {
		any = false;
		DL_FOREACH_SAFE (engine->talks, talk, next) {
			if (!is_busy(talk))
				continue;
			any = true;
			go_on(talk);
			if (engine_is_late(engine))
				return;
		}
	}
}

void explore_free(struct engine *engine)
{
	while (engine->talks)
		talk_free(engine->talks);
}

/* ---- walking ---- */

static bool random_node(void *context, bool (*wanted)(void *walker, const struct id *node),
	void *walker, struct id *out)
{
	struct engine *engine = context;

	return book_random_fair(engine->book, wanted, walker, out) ||
	       book_random(engine->book, wanted, walker, out);
}

static bool may_visit(void *context, const struct id *node)
{
	struct engine *engine = context;
	struct address candidates[BOOK_CANDIDATES];

	/* A configured one that cannot be looked up is tried all the same: so it is looked up
	 * again. */
	return !book_is_stale(engine->book, node) && access_grants(engine->access, node) &&
	       (engine_configured(engine, node) ||
		       book_candidates(engine->book, node, candidates, NULL) > 0);
}

int explore_make(struct engine *engine)
{
	struct walker_nodes nodes = {random_node, may_visit, engine};
	struct id *configured = memory_alloc((engine->configured_count + 1) * sizeof *configured);
	int error;

	if (!configured)
		return ERROR_NOMEM;
	for (size_t i = 0; i < engine->configured_count; i++)
		configured[i] = engine->configured[i].id;
	error = walker_new(&engine->random, &nodes, configured, engine->configured_count,
		&engine->walker);
	memory_free(configured);
	return error;
}

void explore_anew(struct engine *engine)
{
	walker_reset(engine->walker, engine_now(engine));
}

bool effects_walker(struct engine *engine)
{
	uint64_t now = engine_now(engine);
	struct id node;
	bool any = false;

	while (!engine->stopping && !(any && engine_is_late(engine)) &&
		walker_effect(engine->walker, now, &node)) {
		any = true;
		if (dialer_want(engine->explorer, now, &node, false))
			walker_ended(engine->walker, now, &node, WALK_FAILED);
	}
	return any;
}

bool effects_explorer(struct engine *engine)
{
	uint64_t now = engine_now(engine);
	struct address candidates[BOOK_CANDIDATES];
	struct dialer_effect effect;
	struct configured *configured;
	bool any = false;

	while (!engine->stopping && !(any && engine_is_late(engine)) &&
		dialer_effect(engine->explorer, now, &effect)) {
		any = true;
		if (effect.type == DIALER_DIAL) {
			explore_dial(engine, &effect.node, &effect.address);
			continue;
		}
		/* Where to dial may not be known yet: that is no session. */
		if (book_candidates(engine->book, &effect.node, candidates, NULL) > 0)
			engine_count(engine, COUNTER_DISCOVERY_FAILED);
		walker_ended(engine->walker, now, &effect.node, WALK_FAILED);
		/* There are nodes that only gossip. */
		if (links_linked(engine->links, &effect.node))
			continue;
		book_failed(engine->book, now, engine_wall(engine), &effect.node);
		configured = engine_configured(engine, &effect.node);
		if (configured)
			resolution_start(configured->resolution);
	}
	return any;
}
