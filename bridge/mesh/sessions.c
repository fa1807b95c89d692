/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "sessions.h"

#include <stdlib.h>
#include <utlist.h>

#include "../discovery/session.h"
#include "../error.h"
#include "infos.h"
#include "neighbours.h"
#include "overlays.h"
#include "presence.h"

/* How long a session takes at most, from the dial or the handshake, however slowly the other side
 * speaks. */
#define SESSION_MOST_NS (10000 * MS)
/* The code with which a session beyond the limit is closed. Upstream ends all its sessions with
 * other codes, so that a node of our kind does not take us for one that has not understood it. */
#define BUSY 2
/* Infos that are gathered at a time: well below a millisecond. */
#define GATHER_STEP 32

/* An info that waits to be verified. */
struct unverified {
	struct unverified *prev, *next;
	struct id node;
	struct info *info;
};

/* One state follows the other; from each of them the connection may end (handle is NULL). */
enum state {
	DIALLING,
	OPEN, /* the handshake is complete */
	DONE, /* all is said: a success */
};

/* One connection for one session. */
struct discovery {
	struct mesh *mesh;
	struct discovery *prev, *next; /* of all */
	void *handle; /* NULL: the connection is over, and only infos wait to be verified */
	void *stream;
	struct session *session;
	bool more; /* the session has more effects */
	struct unverified *unverified; /* oldest first */
	size_t gathered, gather_first; /* infos of the book: how many so far, and from which on */
	struct id peer;
	struct address address;
	enum dialect dialect; /* of the session; Bob: UNKNOWN until it shows */
	uint64_t due; /* when it is ended */
	enum state state;
	bool dialled;
	bool walked; /* the walker waits for its end */
	bool second; /* the other codec has been tried before */
	bool fresh;  /* the session has brought something new */
	struct verifying verifying; /* infos that are verified, or to be */
	bool condemned; /* for forged infos: the connection is being closed */
	probe_ended *probe; /* who wants to know how a probe went; NULL when that was said */
	bool is_probe;
	uint64_t began;
	void *probe_context;
	struct id *topics; /* ours, when the session began; sorted */
	bool *shared;	   /* which of the topics the peer has, too */
	size_t topics_count;
};

/* ---- what comes out of a session ---- */

/* Takes an info that is worth verifying. Hundreds of infos may come at once: they are verified bit
 * by bit (go_on). */
static void on_info(struct discovery *discovery, const struct id *node, struct info *info)
{
	struct unverified *unverified = NULL;

	if (!discovery->condemned &&
		infos_are_worth_it(
			discovery->mesh, node, &discovery->peer, info, &discovery->verifying))
		unverified = memory_alloc(sizeof *unverified);
	if (!unverified) {
		info_free(info);
		return;
	}
	unverified->node = *node;
	unverified->info = info;
	DL_APPEND(discovery->unverified, unverified);
}

static struct info *take_unverified(struct discovery *discovery, struct id *node)
{
	struct unverified *first = discovery->unverified;
	struct info *info = first->info;

	*node = first->node;
	DL_DELETE(discovery->unverified, first);
	memory_free(first);
	return info;
}

static int compare_ids(const void *a, const void *b)
{
	return id_compare(a, b);
}

static void on_shared(struct discovery *discovery, const struct id *topic)
{
	const struct id *ours = bsearch(topic, discovery->topics, discovery->topics_count,
		sizeof *discovery->topics, compare_ids);

	if (ours)
		discovery->shared[ours - discovery->topics] = true;
	neighbours_shared(discovery->mesh, &discovery->peer, topic, true);
}

static void on_dialect(struct discovery *discovery, enum dialect dialect)
{
	struct mesh *mesh = discovery->mesh;
	/* Bob did not know what Alice believes, and has not told her where he is. */
	bool told = discovery->dialled || dialect == DIALECT_06 || discovery->dialect == dialect;

	discovery->dialect = dialect;
	book_set_dialect(mesh->book, &discovery->peer, dialect);
	if (!told)
		walker_prompt(mesh->walker, mesh->now, &discovery->peer);
}

/* Lets the walker go on when the session is over and what it has brought is known. */
static void walk_on(struct discovery *discovery)
{
	if (discovery->unverified)
		return;
	if (discovery->walked)
		walker_ended(discovery->mesh->walker, discovery->mesh->now, &discovery->peer,
			discovery->state != DONE	 ? WALK_FAILED
			: discovery->fresh ? WALK_BROUGHT_NEWS
				      : WALK_BROUGHT_NOTHING);
	discovery->walked = false;
}

static void on_done(struct discovery *discovery)
{
	struct mesh *mesh = discovery->mesh;

	discovery->state = DONE;
	mesh_count(mesh, COUNTER_DISCOVERED);
	for (size_t i = 0; i < discovery->topics_count; i++)
		/* A neighbour has the overlay, whatever it says. */
		if (!discovery->shared[i] && book_shares(mesh->book, &discovery->peer, &discovery->topics[i]) &&
			!gossip_is_neighbour(mesh->gossip, &discovery->topics[i], &discovery->peer))
			neighbours_shared(mesh, &discovery->peer, &discovery->topics[i], false);
	if (discovery->dialled)
		walk_on(discovery); /* it is Bob who closes */
	else
		mesh->port.close(discovery->handle, 0, "done");
}

static void on_effect(struct discovery *discovery, const struct session_effect *effect)
{
	struct mesh *mesh = discovery->mesh;

	switch (effect->type) {
	case SESSION_SEND:
		if (!discovery->stream || mesh->port.send(discovery->stream, effect->frame)) {
			frame_free(effect->frame);
			mesh->port.close(discovery->handle, 1, NULL);
		}
		break;
	case SESSION_SHARED:
		on_shared(discovery, &effect->id);
		break;
	case SESSION_INFO:
		on_info(discovery, &effect->id, effect->info);
		break;
	case SESSION_DIALECT:
		on_dialect(discovery, effect->dialect);
		break;
	case SESSION_BUSY:
		break;
	case SESSION_DONE:
		on_done(discovery);
		break;
	case SESSION_FAILED:
		mesh_log(mesh, NODE_LOG_DEBUG, "peer %s: discovery failed: %s",
			short_id(&discovery->peer).text, error_text(effect->error));
		mesh->port.close(discovery->handle, 1, NULL);
		break;
	}
}

/* Carries out what the session wants; when the turn has taken its time the rest is left. */
static void take_effects(struct discovery *discovery)
{
	struct session_effect effect;

	for (discovery->more = false; !discovery->more && session_effect(discovery->session, &effect);) {
		on_effect(discovery, &effect);
		/* Infos are not left: there may be very many. */
		discovery->more = (effect.type == SESSION_SHARED || effect.type == SESSION_BUSY) &&
			     mesh_is_late(discovery->mesh);
	}
}

static bool is_busy(const struct discovery *discovery)
{
	return discovery->more || discovery->unverified;
}

static void discovery_free(struct discovery *discovery)
{
	struct mesh *mesh = discovery->mesh;
	struct id node;

	DL_DELETE(mesh->discoveries, discovery);
	if (discovery->dialled)
		mesh->discoveries_dialled--;
	else
		mesh->discoveries_accepted--;
	while (discovery->unverified)
		info_free(take_unverified(discovery, &node));
	session_free(discovery->session);
	memory_free(discovery->topics);
	memory_free(discovery->shared);
	memory_free(discovery);
}

/* Ends a session that has brought forged infos. One may be an accident; three are an attack, or a
 * node that verifies nothing: the infos that are left are not looked at, and the node waits before
 * it may begin again. */
static void condemn(struct discovery *discovery)
{
	struct mesh *mesh = discovery->mesh;
	struct id node;

	discovery->condemned = true;
	while (discovery->unverified)
		info_free(take_unverified(discovery, &node));
	mesh_log(mesh, NODE_LOG_DEBUG, "peer %s: discovery ended: its infos are forged",
		short_id(&discovery->peer).text);
	if (!mesh_configured(mesh, &discovery->peer))
		effort_blame(&mesh->effort, mesh->now, &discovery->peer, &discovery->address);
	if (discovery->handle)
		mesh->port.close(discovery->handle, 1, NULL);
}

/* Carries on a bit with what is left of a session, also of one that is over. The discovery may be
 * gone afterwards. */
static void go_on(struct discovery *discovery)
{
	enum address_scope scope = address_scope(&discovery->address);
	struct info *info;
	struct id node;

	if (discovery->more)
		take_effects(discovery);
	if (discovery->unverified) {
		info = take_unverified(discovery, &node);
		discovery->fresh |= infos_verify(
			discovery->mesh, &node, &discovery->peer, scope, info, &discovery->verifying);
		if (discovery->verifying.forged >= LIMIT_FORGED && !discovery->condemned)
			condemn(discovery);
	}
	if (discovery->unverified)
		return;
	if (discovery->state == DONE || !discovery->handle)
		walk_on(discovery);
	if (!discovery->handle)
		discovery_free(discovery);
}

static void carry_out(struct discovery *discovery)
{
	take_effects(discovery);
	while (is_busy(discovery) && !mesh_is_late(discovery->mesh))
		go_on(discovery);
}

/* ---- sessions ---- */

static bool gather(void *context, enum info_order order, session_emit_info *emit, void *emitter)
{
	struct discovery *discovery = context;
	struct mesh *mesh = discovery->mesh;
	size_t count = book_infos(mesh->book, order);
	const struct info *info;
	struct id node;

	if (discovery->gathered == 0) {
		discovery->gather_first = count > 0 ? random_below(&mesh->random, count) : 0;
		if (mesh->self.infos[order])
			emit(emitter, &mesh->me, mesh->self.infos[order]);
	}
	for (size_t i = 0; i < GATHER_STEP && discovery->gathered < count; i++, discovery->gathered++) {
		info = book_info_number(mesh->book, order,
			(discovery->gather_first + discovery->gathered) % count, &node);
		/* Told of dead nodes, others would lose the time that we have lost. */
		if (access_grants(mesh->access, &node) &&
			book_is_told(mesh->book, mesh->now, &node) && !emit(emitter, &node, info))
			return false;
	}
	return discovery->gathered < count;
}

static int take_topics(struct discovery *discovery)
{
	struct mesh *mesh = discovery->mesh;
	struct overlay *overlay, *next;
	size_t count = HASH_COUNT(mesh->overlays);

	discovery->topics = memory_alloc((count + 1) * sizeof *discovery->topics);
	discovery->shared = memory_zalloc((count + 1) * sizeof *discovery->shared);
	if (!discovery->topics || !discovery->shared)
		return ERROR_NOMEM;
	HASH_ITER (hh, mesh->overlays, overlay, next)
		if (!overlay->refused)
			discovery->topics[discovery->topics_count++] = overlay->topic;
	qsort(discovery->topics, discovery->topics_count, sizeof *discovery->topics, compare_ids);
	return ERROR_NONE;
}

static int begin_session(struct discovery *discovery, void *stream)
{
	struct mesh *mesh = discovery->mesh;
	struct session_config config = {
		.role = discovery->dialled ? SESSION_ALICE : SESSION_BOB,
		.remote = &discovery->peer,
		.dialect = discovery->dialect,
		.random = mesh->random,
		.counters = mesh->counters,
		.gather = gather,
		.context = discovery,
	};
	int error = take_topics(discovery);

	config.topics = discovery->topics;
	config.topics_count = discovery->topics_count;
	if (!error)
		error = session_new(&config, &discovery->session);
	if (error)
		return error;
	discovery->stream = stream;
	return ERROR_NONE;
}

static struct discovery *discovery_new(
	struct mesh *mesh, const struct id *peer, const struct address *address, bool dialled)
{
	struct discovery *discovery = memory_zalloc(sizeof *discovery);

	if (!discovery)
		return NULL;
	discovery->mesh = mesh;
	discovery->peer = *peer;
	discovery->address = *address;
	discovery->dialled = dialled;
	discovery->verifying.chosen = dialled || mesh_configured(mesh, peer);
	discovery->due = mesh->now + SESSION_MOST_NS;
	discovery->dialect = book_dialect(mesh->book, peer);
	if (dialled)
		mesh->discoveries_dialled++;
	else
		mesh->discoveries_accepted++;
	DL_APPEND(mesh->discoveries, discovery);
	return discovery;
}

/* ---- dialling ---- */

/* Returns the dialect to begin with: the known one, else that of applications of today. */
static enum dialect first_guess(enum dialect known)
{
	return known == DIALECT_UNKNOWN ? DIALECT_071 : known;
}

static int dial(struct mesh *mesh, const struct id *node, const struct address *address,
	enum dialect dialect, bool second)
{
	struct discovery *discovery = discovery_new(mesh, node, address, true);
	int error;

	if (!discovery)
		return ERROR_NOMEM;
	discovery->dialect = dialect;
	discovery->second = second;
	error = mesh->port.dial(mesh->port.context, MESH_DISCOVERY, node, address, discovery,
		&discovery->handle);
	mesh_count(mesh, COUNTER_DISCOVERY_DIALS);
	if (error) {
		presence_not_begun(mesh, node, address, error);
		discovery_free(discovery);
	}
	return error;
}

/* Tells whether a node is linked directly: then it is found directly, too. */
static bool needs_no_relay(const struct mesh *mesh, const struct id *node)
{
	return links_linked(mesh->links, node) && !links_relayed(mesh->links, node);
}

static void dial_first(struct mesh *mesh, const struct id *node, const struct address *address)
{
	if ((address_is_relay(address) && needs_no_relay(mesh, node)) ||
		dial(mesh, node, address, first_guess(book_dialect(mesh->book, node)), false))
		dialer_failed(mesh->explorer, mesh->now, node, address);
}

/* Closes the other dials to a node when the first of several has come about: they are not
 * needed. */
static void close_other_dials(struct mesh *mesh, const struct discovery *discovery)
{
	struct discovery *other;

	DL_FOREACH (mesh->discoveries, other)
		if (other != discovery && other->dialled && other->state == DIALLING &&
			!other->is_probe &&
			id_equal(&other->peer, &discovery->peer))
			mesh->port.close(other->handle, 0, NULL);
}

/* Dials again with the other codec if the peer has ended the session before it has said anything:
 * such a peer has not understood us. Returns whether it dials. */
static bool try_other_codec(struct discovery *discovery, const struct closing *close)
{
	enum dialect other = discovery->dialect == DIALECT_06 ? DIALECT_071 : DIALECT_06;
	bool was_busy = close->application && close->code == BUSY;

	return discovery->session && !discovery->second && !was_busy && !discovery->mesh->stopping &&
	       !session_was_answered(discovery->session) &&
	       dial(discovery->mesh, &discovery->peer, &discovery->address, other, true) == ERROR_NONE;
}

/* ---- probes ---- */

int sessions_probe(struct mesh *mesh, const struct id *node, const struct address *address,
	probe_ended *ended, void *context)
{
	struct discovery *discovery = discovery_new(mesh, node, address, true);
	int error;

	if (!discovery)
		return ERROR_NOMEM;
	discovery->is_probe = true;
	discovery->began = mesh->now;
	error = mesh->port.dial(mesh->port.context, MESH_DISCOVERY, node, address, discovery,
		&discovery->handle);
	if (error) {
		discovery_free(discovery);
		return error;
	}
	discovery->probe = ended;
	discovery->probe_context = context;
	return ERROR_NONE;
}

static void end_probe(struct discovery *discovery, const struct probe *probe)
{
	probe_ended *ended = discovery->probe;

	discovery->probe = NULL;
	if (ended)
		ended(discovery->probe_context, probe);
}

static void probe_answered(struct discovery *discovery, const struct address *address)
{
	struct mesh *mesh = discovery->mesh;
	uint64_t rtt = mesh->port.rtt ? mesh->port.rtt(discovery->handle) : 0;

	book_worked(mesh->book, mesh->now, mesh->wall, &discovery->peer, address);
	dialer_worked(mesh->explorer, address);
	end_probe(discovery,
		&(struct probe){true, rtt > 0 ? rtt : (mesh->now - discovery->began) / 1000, ""});
	mesh->port.close(discovery->handle, 0, "ping");
}

/* ---- what the port tells ---- */

/* Takes a connection that somebody else has dialled. NULL: it is closed. */
static struct discovery *adopt(struct mesh *mesh, void *handle, const struct id *peer,
	const struct address *address)
{
	struct discovery *discovery;

	if (mesh->stopping || mesh->discoveries_accepted >= LIMIT_SESSIONS ||
		effort_waits(&mesh->effort, mesh->now, peer, address)) {
		mesh_count(mesh, COUNTER_LIMIT_SESSIONS);
		mesh->port.close(handle, BUSY, "busy");
		return NULL;
	}
	discovery = discovery_new(mesh, peer, address, false);
	if (!discovery) {
		mesh->port.close(handle, 1, NULL);
		return NULL;
	}
	discovery->handle = handle;
	mesh->port.own_connection(handle, discovery);
	return discovery;
}

void discovery_made(struct mesh *mesh, void *handle, struct discovery *discovery,
	const struct id *peer, const struct address *address)
{
	void *stream;

	if (!discovery)
		discovery = adopt(mesh, handle, peer, address);
	if (!discovery)
		return;
	discovery->state = OPEN;
	if (discovery->is_probe) {
		probe_answered(discovery, address);
		return;
	}
	neighbours_reached(mesh, peer);
	if (!discovery->dialled) {
		/* Alice opens the stream. That she has dialled us proves nothing else. */
		if (!address_is_relay(address))
			book_hear(mesh->book, mesh->now, peer, peer, address, 1, ADDRESS_LOOPBACK);
		return;
	}
	book_worked(mesh->book, mesh->now, mesh->wall, peer, address);
	dialer_worked(mesh->explorer, address);
	dialer_linked(mesh->explorer, peer);
	close_other_dials(mesh, discovery);
	discovery->walked = true;
	if (mesh->port.open(handle, true, &stream) || begin_session(discovery, stream))
		mesh->port.close(handle, 1, NULL);
	else
		carry_out(discovery);
}

void discovery_data(struct discovery *discovery, void *stream, bool bidi, const uint8_t *data,
	size_t size, bool fin)
{
	const struct mesh_port *port = &discovery->mesh->port;

	if (discovery->state == DONE)
		return;
	if (!discovery->session && !discovery->dialled && bidi &&
		begin_session(discovery, stream)) {
		port->close(discovery->handle, 1, NULL);
		return;
	}
	if (!discovery->session || stream != discovery->stream) {
		port->stop(stream, 1);
		return;
	}
	session_receive(discovery->session, data, size, fin);
	carry_out(discovery);
}

void discovery_stream_closed(struct discovery *discovery, void *stream)
{
	if (discovery->stream != stream)
		return;
	discovery->stream = NULL;
	if (discovery->state != DONE)
		discovery->mesh->port.close(discovery->handle, 1, NULL);
}

/* Ends a session whose connection is over, however it has ended; what the session has brought is
 * still to be verified. */
static void detach(struct discovery *discovery)
{
	session_free(discovery->session);
	discovery->session = NULL;
	discovery->more = false;
	discovery->handle = NULL;
	discovery->due = UINT64_MAX;
}

/* Notes that a dial has failed. */
static void note_failure(struct discovery *discovery, const struct closing *closing)
{
	struct mesh *mesh = discovery->mesh;

	if (discovery->second) {
		discovery->walked = true;
		return;
	}
	/* A dial that was not needed any more has not failed. */
	if (!links_linked(mesh->links, &discovery->peer) &&
		!(closing->application && !closing->remote))
		presence_failed(mesh, &discovery->peer, &discovery->address, closing->text);
	dialer_failed(mesh->explorer, mesh->now, &discovery->peer, &discovery->address);
}

void discovery_closed(struct discovery *discovery, const struct closing *closing)
{
	struct mesh *mesh = discovery->mesh;

	if (discovery->is_probe) {
		end_probe(discovery, &(struct probe){false, 0, closing->text});
		discovery_free(discovery);
		return;
	}
	if (discovery->state == DIALLING) {
		note_failure(discovery, closing);
	} else if (discovery->state != DONE && try_other_codec(discovery, closing)) {
		/* The other codec is tried: neither a failure nor the end for the walker. */
		discovery_free(discovery);
		return;
	}
	if (discovery->state == DONE)
		presence_reached(mesh, &discovery->peer, &discovery->address);
	if (discovery->state == OPEN) {
		mesh_count(mesh, COUNTER_DISCOVERY_FAILED);
		mesh_log(mesh, NODE_LOG_DEBUG, "peer %s: discovery ended early: %s",
			short_id(&discovery->peer).text, closing->text);
	}
	if (discovery->unverified && !mesh->stopping) {
		detach(discovery);
	} else {
		walk_on(discovery);
		discovery_free(discovery);
	}
}

/* ---- time ---- */

uint64_t sessions_deadline(const struct mesh *mesh)
{
	uint64_t due = UINT64_MAX;
	struct discovery *discovery;

	DL_FOREACH (mesh->discoveries, discovery) {
		if (is_busy(discovery))
			return 0;
		if (discovery->due < due)
			due = discovery->due;
	}
	return due;
}

void sessions_tick(struct mesh *mesh)
{
	struct discovery *discovery, *next;
	bool any = !mesh->stopping;

	DL_FOREACH (mesh->discoveries, discovery) {
		if (discovery->due > mesh->now)
			continue;
		discovery->due = UINT64_MAX; /* closed follows */
		mesh->port.close(discovery->handle, 1, NULL);
	}
	/* A bit of each session in turn. */
	while (any) {
		any = false;
		DL_FOREACH_SAFE (mesh->discoveries, discovery, next) {
			if (!is_busy(discovery))
				continue;
			any = true;
			go_on(discovery);
			if (mesh_is_late(mesh))
				return;
		}
	}
}

void sessions_shut_out(struct mesh *mesh)
{
	struct discovery *discovery;

	DL_FOREACH (mesh->discoveries, discovery)
		if (discovery->handle && !access_grants(mesh->access, &discovery->peer))
			mesh->port.close(discovery->handle, 0, "shut out");
}

void sessions_free(struct mesh *mesh)
{
	while (mesh->discoveries)
		discovery_free(mesh->discoveries);
}

/* ---- walking ---- */

static bool random_node(void *context, bool (*wanted)(void *walker, const struct id *node),
	void *walker, struct id *out)
{
	struct mesh *mesh = context;

	return book_random_fair(mesh->book, wanted, walker, out) ||
	       book_random(mesh->book, wanted, walker, out);
}

static bool may_visit(void *context, const struct id *node)
{
	struct mesh *mesh = context;
	struct address candidates[BOOK_CANDIDATES];

	/* A configured node whose address is not known is tried all the same: so it is looked up
	 * again. */
	return !book_is_stale(mesh->book, node) && access_grants(mesh->access, node) &&
	       (mesh_configured(mesh, node) ||
		       book_candidates(mesh->book, node, candidates, NULL) > 0);
}

static bool is_doubtful(void *context, const struct id *node)
{
	const struct mesh *mesh = context;

	return book_is_doubtful(mesh->book, mesh->now, node);
}

int sessions_make(struct mesh *mesh)
{
	struct walker_nodes nodes = {random_node, may_visit, is_doubtful, mesh};
	struct id *configured = memory_alloc((mesh->configured_count + 1) * sizeof *configured);
	int error;

	if (!configured)
		return ERROR_NOMEM;
	for (size_t i = 0; i < mesh->configured_count; i++)
		configured[i] = mesh->configured[i].id;
	error = walker_new(&mesh->random, &nodes, configured, mesh->configured_count,
		&mesh->walker);
	memory_free(configured);
	return error;
}

bool sessions_walk(struct mesh *mesh)
{
	uint64_t now = mesh->now;
	struct id node;
	bool any = false;

	while (!mesh->stopping && !(any && mesh_is_late(mesh)) &&
		walker_effect(mesh->walker, now, &node)) {
		any = true;
		if (dialer_want(mesh->explorer, now, &node, false))
			walker_ended(mesh->walker, now, &node, WALK_FAILED);
	}
	return any;
}

bool sessions_dial(struct mesh *mesh)
{
	uint64_t now = mesh->now;
	struct address candidates[BOOK_CANDIDATES];
	struct dialer_effect effect;
	bool any = false;

	while (!mesh->stopping && !(any && mesh_is_late(mesh)) &&
		dialer_effect(mesh->explorer, now, &effect)) {
		any = true;
		if (effect.type == DIALER_DIAL && !access_grants(mesh->access, &effect.node)) {
			dialer_failed(mesh->explorer, now, &effect.node, &effect.address);
			continue;
		}
		if (effect.type == DIALER_DIAL) {
			dial_first(mesh, &effect.node, &effect.address);
			continue;
		}
		/* Where to dial may not be known yet: that is no session. */
		if (book_candidates(mesh->book, &effect.node, candidates, NULL) > 0)
			mesh_count(mesh, COUNTER_DISCOVERY_FAILED);
		walker_ended(mesh->walker, now, &effect.node, WALK_FAILED);
		/* There are nodes that only gossip. */
		if (links_linked(mesh->links, &effect.node))
			continue;
		book_failed(mesh->book, now, mesh->wall, &effect.node);
		mesh_look_up(mesh, &effect.node);
	}
	return any;
}
