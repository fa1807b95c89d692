/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The network of the world: the port of each mesh. What it keeps of QUIC, as a mesh sees it:
 *
 *   The dialler is connected after one round trip, the acceptor half a round trip later, and
 *   only then says whether it lets the dialler in. An Initial that is lost is sent again after
 *   1 and 3 s, as the PTO has it; a dial is given up after QUIC_DIAL_TIMEOUT. Who answers
 *   under another key than was dialled is not connected.
 *   Streams are ordered, and granted as far as the other side's configuration says. What is
 *   sent on one in the same turn arrives in one piece, one latency later. A stream is over for
 *   its sender once it knows that the end has arrived. Losses come from parts and deaths alone;
 *   windows, congestion and bandwidth are left out.
 *   A connection that is closed takes with it what was sent in the same turn; the other side
 *   hears of it one latency later.
 *   When nothing comes any more, a side closes (timeout) after its idle_timeout, counted from the
 *   last that it heard; without keep_alive, from the first that it has sent since (RFC 9000,
 *   10.1). Pings are no events: that connections live is taken for granted while both sides are
 *   there and no cut is between them.
 *   Who sends something on a connection that the other side does not know (any more) is told so
 *   by a stateless reset; without traffic that is the next ping, within KEEP_ALIVE.
 *
 * The two sides of a connection are one block of memory, its wire, which lives until both are
 * reported as closed and no event is left.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "support_world_internal.h"

/* As in bridge/quic/internal.h. */
#define DIAL_TIMEOUT	  (5 * WORLD_S)
#define HANDSHAKE_TIMEOUT (10 * WORLD_S)

/* As in bridge/io/start.c. */
static const struct protocol {
	const char *name;
	size_t max_connections, max_streams, max_bidi_streams;
	uint64_t idle_timeout;
	bool keep_alive;
} protocols[MESH_PROTOCOLS] = {
	[MESH_GOSSIP] = {"gossip", LIMIT_CONNECTIONS, LIMIT_OVERLAYS, 0, 10 * WORLD_S, true},
	[MESH_DISCOVERY] = {"discovery", 2 * LIMIT_SESSIONS, 0, 1, 3 * WORLD_S, false},
};
#define KEEP_ALIVE (5 * WORLD_S)
/* A connection that is to break does so within this. */
#define MOST_DOOMED (60 * WORLD_S)
/* Bytes queued per connection. */
#define MAX_QUEUE LIMIT_PEER_QUEUE_BYTES

enum side_state { SIDE_NONE, SIDE_HANDSHAKE, SIDE_OPEN, SIDE_ENDED, SIDE_GONE };

enum ending {
	ENDING_OURS, /* codes with these two */
	ENDING_THEIRS,
	ENDING_IDLE,
	ENDING_HANDSHAKE,
	ENDING_RESET,
	ENDING_WRONG_PEER,
	ENDING_OWN_KEY,
	ENDING_NOT_LET_IN, /* by us */
	ENDING_REFUSED,	   /* by them: does not let us in */
	ENDING_FULL,	   /* by them: limit of connections */
};

/* How a side has ended, as one number. */
#define ENDING(ending, code) ((uint32_t)(code) << 8 | (ending))

struct flight;

/* One side of a connection. */
struct side {
	struct endpoint *endpoint;
	struct side *prev, *next; /* of the endpoint */
	void *data;
	struct end *streams;
	struct flight *flights; /* on their way or lost, and ends of streams not acknowledged */
	uint64_t heard;		/* when something came last */
	uint64_t arrival;	/* of what was sent last, if there is jitter */
	uint64_t unanswered;	/* what was sent first and has not arrived; 0: all has */
	uint32_t queued;
	uint32_t opened[2]; /* streams of ours that are not over there; [1]: bidirectional */
	uint32_t ending;
	uint8_t state;
	bool incoming;
	bool connected; /* it was open */
	bool starved[2];
	bool stalled; /* flights are lost: what follows waits for them */
	bool told;    /* the other side hears, or has said, that it is over */
};

struct wire {
	struct side sides[2]; /* the dialler's, the acceptor's; first */
	uint64_t broken; /* since then nothing passes; 0: all does */
	uint32_t latency;
	uint32_t references;
	uint32_t nodes[2]; /* the second: whose key was dialled */
	uint32_t target;   /* whose address was dialled */
	uint8_t protocol, tries;
	bool cut; /* nothing passes, ever again */
};

struct end {
	struct pipe *pipe;
	struct side *connection; /* NULL: not known there yet */
	struct end *prev, *next;    /* of the connection */
	void *data;
	bool incoming, bidi;
	bool finish; /* we have ended it */
	bool acked;  /* and that is known to have arrived */
	bool shut;   /* the peer does not want what we send */
	bool stopped; /* we do not want what it sends */
	bool ended;   /* it has ended it */
	bool closed;
};

/* A stream: its ends at the opener and at the other side. */
struct pipe {
	struct end ends[2];
	size_t topic; /* of gossip */
	unsigned references; /* ends that are not over, flights */
};

enum flight_state { FLYING, LOST, ARRIVED };

/* What was sent on one stream in one turn. */
struct flight {
	struct flight *prev, *next; /* of the side that has sent it */
	struct side *from;
	struct pipe *pipe;
	struct frame *first, *last;
	uint64_t sent_at;
	uint8_t end; /* of the pipe: the sender's */
	uint8_t state;
	bool fin;
	bool unread;	/* the peer has stopped it: it is told the end and nothing else */
	bool abandoned; /* its side is gone */
	bool ack_lost;
	bool recalled; /* it never leaves */
};

struct endpoint {
	struct endpoint *next; /* of the world */
	struct life *life;
	struct side *connections;
	size_t places[MESH_PROTOCOLS];
	bool closing;
};

/* ---- wires ---- */

static struct wire *wire_of(const struct side *side)
{
	return (struct wire *)(side - side->incoming);
}

static struct side *other_of(const struct side *side)
{
	return &wire_of(side)->sides[!side->incoming];
}

static struct world *world_of(const struct side *side)
{
	return side->endpoint->life->world;
}

static size_t node_of(const struct side *side)
{
	return wire_of(side)->nodes[side->incoming];
}

static void wire_release(struct wire *wire)
{
	if (--wire->references == 0)
		free(wire);
}

static void side_event(
	struct side *side, uint64_t at, enum event_kind kind, uint32_t argument)
{
	struct wire *wire = wire_of(side);

	wire->references++;
	world_event(wire->sides[0].endpoint->life->world, at, kind, side, argument);
}

/* Whether there is a way between the two nodes. */
static bool is_way(const struct world *world, const struct wire *wire)
{
	return !wire->cut &&
	       world->nodes[wire->nodes[0]].part == world->nodes[wire->target].part;
}

static const struct protocol *protocol_of(const struct side *side)
{
	return &protocols[wire_of(side)->protocol];
}

static struct mesh *mesh_of(const struct side *side)
{
	return side->endpoint->life->mesh;
}

static enum mesh_protocol number_of(const struct side *side)
{
	return (enum mesh_protocol)wire_of(side)->protocol;
}

static const char *protocol_name(const struct wire *wire)
{
	return protocols[wire->protocol].name;
}

static const struct id *peer_of(const struct side *side)
{
	return &machine_identity(wire_of(side)->nodes[!side->incoming])->id;
}

static struct address address_of(const struct side *side)
{
	const struct wire *wire = wire_of(side);

	return world_address(world_of(side), side->incoming ? wire->nodes[0] : wire->target);
}

/* Constant for a pair, whatever else the seed brings about. */
static uint32_t latency_of(const struct world *world, size_t a, size_t b)
{
	uint64_t state = world->config.seed ^ (uint64_t)(a < b ? a : b) << 40 ^
			 (uint64_t)(a < b ? b : a) << 16;
	struct random random = random_seeded(&state);

	random_u64(&random);
	return (uint32_t)(world->config.least_latency +
			  random_below(&random, world->config.most_latency -
							world->config.least_latency + 1));
}

/* When what a side sends now is at the other side. */
static uint64_t arrival_of(struct side *side)
{
	struct world *world = world_of(side);
	uint64_t arrival = world->now + wire_of(side)->latency;

	if (world->config.jitter == 0)
		return arrival;
	arrival += random_below(&world->random, world->config.jitter);
	if (arrival > side->arrival)
		side->arrival = arrival;
	return side->arrival;
}

static void side_init(
	struct wire *wire, struct endpoint *endpoint, bool incoming, uint64_t timeout)
{
	struct side *side = &wire->sides[incoming];
	struct world *world = endpoint->life->world;

	side->endpoint = endpoint;
	side->incoming = incoming;
	side->state = SIDE_HANDSHAKE;
	side->heard = world->now;
	wire->references++;
	DL_APPEND(endpoint->connections, side);
	endpoint->places[wire->protocol]++;
	if (protocol_of(side)->idle_timeout < timeout)
		timeout = protocol_of(side)->idle_timeout;
	side_event(side, world->now + timeout, EVENT_HANDSHAKE_OVER, 0);
}

/* ---- endings ---- */

static void flight_free(struct flight *flight)
{
	struct frame *frame;
	struct pipe *pipe = flight->pipe;
	struct wire *wire = wire_of(flight->from);

	while ((frame = flight->first)) {
		flight->first = frame->next;
		if (!flight->abandoned)
			flight->from->queued -= (uint32_t)frame_size(frame);
		frame_free(frame);
	}
	if (!flight->abandoned)
		DL_DELETE(flight->from->flights, flight);
	if (--pipe->references == 0)
		free(pipe);
	free(flight);
	wire_release(wire);
}

/* The first end counts. */
static void side_end(struct side *side, uint32_t ending)
{
	if (side->state != SIDE_HANDSHAKE && side->state != SIDE_OPEN)
		return;
	side->state = SIDE_ENDED;
	side->ending = ending;
	side_event(side, world_of(side)->now, EVENT_REPORT, 0);
}

/* A packet goes to the other side that ends it there. */
static void send_close(struct side *side, uint32_t ending)
{
	if (side->endpoint->life->killed || !is_way(world_of(side), wire_of(side)))
		return;
	side->told = true;
	side_event(other_of(side), arrival_of(side), EVENT_CLOSE, ending);
}

/* The other side does not know this connection, and answers a packet of ours. */
static void send_reset(struct side *side, uint64_t delay)
{
	struct side *other = other_of(side);

	if (other->told)
		return;
	other->told = true;
	side_event(side, world_of(side)->now + delay, EVENT_CLOSE, ENDING(ENDING_RESET, 0));
}

static void describe(uint32_t ending, struct closing *out)
{
	unsigned code = ending >> 8;

	*out = (struct closing){.code = code};
	switch ((enum ending)(ending & 0xff)) {
	case ENDING_OURS:
		out->application = true;
		snprintf(out->text, sizeof out->text, "closed by us: code %u", code);
		break;
	case ENDING_THEIRS:
		out->application = out->remote = true;
		snprintf(out->text, sizeof out->text, "closed by peer: code %u", code);
		break;
	case ENDING_IDLE:
		out->timeout = true;
		snprintf(out->text, sizeof out->text, "nothing heard");
		break;
	case ENDING_HANDSHAKE:
		out->timeout = true;
		snprintf(out->text, sizeof out->text, "handshake timed out");
		break;
	case ENDING_RESET:
		out->remote = true;
		snprintf(out->text, sizeof out->text,
			"reset by peer: it knows no such connection (restarted?)");
		break;
	case ENDING_WRONG_PEER:
	case ENDING_OWN_KEY:
		out->code = 0x12a;
		out->own_key = (ending & 0xff) == ENDING_OWN_KEY;
		snprintf(out->text, sizeof out->text, "peer is not the dialled node");
		break;
	case ENDING_NOT_LET_IN:
		out->code = 0x131;
		snprintf(out->text, sizeof out->text, "refused: not let in");
		break;
	case ENDING_REFUSED:
		out->remote = out->refused = true;
		out->code = 0x131;
		snprintf(out->text, sizeof out->text, "closed by peer: it does not let us in");
		break;
	case ENDING_FULL:
		out->remote = out->refused = true;
		out->code = 0x2;
		snprintf(out->text, sizeof out->text, "closed by peer: connection refused");
		break;
	}
}

/* Takes an end from its connection and tells the owner. */
static void stream_close(struct end *end)
{
	struct side *side = end->connection, *other = other_of(side);
	struct pipe *pipe = end->pipe;
	struct mesh_time time;

	end->closed = true;
	if (end->incoming) {
		other->opened[end->bidi]--;
		if (other->state == SIDE_OPEN && other->starved[end->bidi]) {
			other->starved[end->bidi] = false;
			side_event(other, world_of(side)->now + wire_of(side)->latency,
				EVENT_CREDIT, end->bidi);
		}
	}
	time = life_time(side->endpoint->life);
	/* What is under way when a connection ends is lost here: a harder network than the real
	 * one. */
	if (side->data)
		mesh_stream_closed(mesh_of(side), &time, number_of(side), side->data, end, end->data,
			end->incoming, NULL);
	DL_DELETE(side->streams, end);
	if (--pipe->references == 0)
		free(pipe);
}

static void stream_close_if_over(struct end *end)
{
	bool sends = !end->incoming || end->bidi, receives = end->incoming || end->bidi;

	if ((!sends || end->acked) && (!receives || end->ended))
		stream_close(end);
}

static void forget_flights(struct side *side)
{
	struct flight *flight, *next;

	DL_FOREACH_SAFE (side->flights, flight, next) {
		if (flight->state == LOST || flight->ack_lost) {
			flight_free(flight);
			continue;
		}
		/* Its event finds it. */
		DL_DELETE(side->flights, flight);
		flight->abandoned = true;
	}
}

static void side_report(struct side *side)
{
	struct wire *wire = wire_of(side);
	struct endpoint *endpoint = side->endpoint;
	struct life *life = endpoint->life;
	struct end *end, *next;
	struct closing close;
	struct mesh_time time;

	describe(side->ending, &close);
	if (life->world->config.trace >= 1 && !life->killed)
		world_trace(life->world, "%s - %s %s: %s", world_name(life->world, node_of(side)),
			world_name(life->world, wire->nodes[!side->incoming]), protocol_name(wire),
			close.text);
	if (wire->protocol == MESH_GOSSIP && side->connected && !life->killed)
		life->world->nodes[life->node].figures.ends++;
	DL_FOREACH_SAFE (side->streams, end, next)
		stream_close(end);
	time = life_time(life);
	if (side->data)
		mesh_closed(life->mesh, &time, number_of(side), side->data, &close);
	forget_flights(side);
	DL_DELETE(endpoint->connections, side);
	endpoint->places[wire->protocol]--;
	side->state = SIDE_GONE;
	wire_release(wire);
}

/* What this turn has sent has not left yet, and never will. */
static void recall_flights(struct side *side)
{
	struct world *world = world_of(side);
	struct flight *flight;

	DL_FOREACH (side->flights, flight)
		if (flight->sent_at == world->now && flight->state == FLYING)
			flight->recalled = true;
}

static void close_side(struct side *side, uint64_t code)
{
	if (side->state != SIDE_HANDSHAKE && side->state != SIDE_OPEN)
		return;
	recall_flights(side);
	send_close(side, ENDING(ENDING_THEIRS, code));
	side_end(side, ENDING(ENDING_OURS, code));
}

/* ---- time-outs ---- */

/* When a side will have heard nothing for too long, if it hears nothing from now on. */
static uint64_t idle_deadline(const struct side *side)
{
	const struct protocol *protocol = protocol_of(side);
	const struct wire *wire = wire_of(side);
	uint64_t from = side->heard;

	/* The pings that were answered. */
	if (protocol->keep_alive && wire->broken > from)
		from += (wire->broken - from) / KEEP_ALIVE * KEEP_ALIVE;
	else if (!protocol->keep_alive && side->unanswered > from)
		from = side->unanswered;
	return from + protocol->idle_timeout;
}

static void idle_check(struct side *side)
{
	uint64_t due;

	if (side->state != SIDE_OPEN || (!wire_of(side)->broken && protocol_of(side)->keep_alive))
		return;
	due = idle_deadline(side);
	if (due <= world_of(side)->now)
		side_end(side, ENDING(ENDING_IDLE, 0));
	else
		side_event(side, due, EVENT_IDLE, 0);
}

static void note_heard(struct side *side, uint64_t at)
{
	if (at > side->heard)
		side->heard = at;
	side->unanswered = 0;
}

/* ---- handshakes ---- */

static void cut(struct wire *wire)
{
	struct world *world = world_of(&wire->sides[0]);

	wire->cut = true;
	if (!wire->broken)
		wire->broken = world->now;
	for (int i = 0; i < 2; i++)
		if (wire->sides[i].endpoint)
			idle_check(&wire->sides[i]);
}

static bool is_listening(const struct endpoint *endpoint)
{
	return !endpoint->closing && life_is_heard(endpoint->life);
}

static void try_again(struct wire *wire)
{
	static const uint64_t delays[] = {WORLD_S, 2 * WORLD_S};
	struct side *side = &wire->sides[0];

	if (wire->tries < sizeof delays / sizeof delays[0])
		side_event(side, world_of(side)->now + delays[wire->tries++], EVENT_INITIAL, 0);
}

/* side: the dialler's. */
static void on_initial(struct world *world, struct side *side)
{
	struct wire *wire = wire_of(side);
	struct life *life = world->nodes[wire->target].life;
	struct endpoint *endpoint = life ? life->endpoint : NULL;
	uint64_t back = world->now + wire->latency;
	uint32_t refused = 0;

	if (side->state != SIDE_HANDSHAKE || side->endpoint->life->killed)
		return;
	if (!endpoint || !is_listening(endpoint) || !is_way(world, wire)) {
		try_again(wire);
		return;
	}
	if (wire->target == wire->nodes[0])
		refused = ENDING(ENDING_OWN_KEY, 0);
	else if (wire->target != wire->nodes[1])
		refused = ENDING(ENDING_WRONG_PEER, 0);
	else if (endpoint->places[wire->protocol] >=
		 protocols[wire->protocol].max_connections)
		refused = ENDING(ENDING_FULL, 0);
	if (refused) {
		if (refused == ENDING(ENDING_FULL, 0))
			counters_add(&endpoint->life->counters, COUNTER_LIMIT_CONNECTIONS, 1);
		side_event(side, back, EVENT_CLOSE, refused);
		return;
	}
	side_init(wire, endpoint, true, HANDSHAKE_TIMEOUT);
	side_event(side, back, EVENT_HELLO, 0);
}

static void open_side(struct side *side)
{
	struct life *life = side->endpoint->life;
	struct wire *wire = wire_of(side);
	struct mesh_time time = life_time(life);
	struct address address = address_of(side);

	side->state = SIDE_OPEN;
	side->connected = true;
	note_heard(side, life->world->now);
	idle_check(side);
	if (wire->protocol == MESH_GOSSIP && !life->killed)
		life->world->nodes[life->node].figures.connections++;
	if (life->world->config.trace >= 1 && !life->killed)
		world_trace(life->world, "%s - %s %s: connected (%s)",
			world_name(life->world, node_of(side)),
			world_name(life->world, wire->nodes[!side->incoming]), protocol_name(wire),
			side->incoming ? "incoming" : "dialled");
	mesh_connected(life->mesh, &time, number_of(side), side, side->data, peer_of(side), &address);
	life_turn(life);
}

static void on_hello(struct world *world, struct side *side)
{
	struct wire *wire = wire_of(side);

	if (side->state != SIDE_HANDSHAKE || !is_way(world, wire) || side->endpoint->life->killed)
		return;
	side_event(other_of(side), world->now + wire->latency, EVENT_FINISHED, 0);
	open_side(side);
}

static void on_finished(struct world *world, struct side *side)
{
	struct wire *wire = wire_of(side);
	struct mesh_time time = life_time(side->endpoint->life);

	if (side->state != SIDE_HANDSHAKE || !is_way(world, wire) || side->endpoint->life->killed)
		return;
	if (!mesh_lets_in(mesh_of(side), &time, peer_of(side))) {
		counters_add(&side->endpoint->life->counters, COUNTER_HANDSHAKES_REFUSED, 1);
		send_close(side, ENDING(ENDING_REFUSED, 0));
		side_end(side, ENDING(ENDING_NOT_LET_IN, 0));
		life_turn(side->endpoint->life);
		return;
	}
	open_side(side);
}

/* ---- flights ---- */

static struct end *end_of(const struct flight *flight)
{
	return &flight->pipe->ends[flight->end];
}

static struct flight *flight_new(struct end *end)
{
	struct side *side = end->connection;
	struct world *world = world_of(side);
	struct flight *flight = world_alloc(sizeof *flight);

	flight->from = side;
	flight->pipe = end->pipe;
	flight->end = end->incoming;
	flight->sent_at = world->now;
	flight->pipe->references++;
	wire_of(side)->references++;
	DL_APPEND(side->flights, flight);
	if (!side->unanswered)
		side->unanswered = world->now;
	if (side->stalled)
		flight->state = LOST;
	else
		world_event(world, arrival_of(side), EVENT_FLIGHT, flight, 0);
	return flight;
}

/* The flight with which what is sent now goes along. */
static struct flight *flight_of_turn(struct end *end)
{
	struct side *side = end->connection;
	struct flight *last = side->flights ? side->flights->prev : NULL;

	if (last && last->pipe == end->pipe && last->end == end->incoming &&
		last->sent_at == world_of(side)->now && last->state != ARRIVED && !last->fin)
		return last;
	return flight_new(end);
}

/* The bytes of its frames in one piece. */
static const uint8_t *bytes_of(struct world *world, const struct flight *flight, size_t *size)
{
	const struct frame *frame;
	uint8_t *at;

	*size = 0;
	for (frame = flight->first; frame; frame = frame->next)
		*size += frame_size(frame);
	if (flight->first && !flight->first->next && !flight->first->body)
		return flight->first->head;
	if (*size > world->bytes_room) {
		free(world->bytes);
		world->bytes_room = 2 * *size;
		world->bytes = world_alloc(world->bytes_room);
	}
	at = world->bytes;
	for (frame = flight->first; frame; frame = frame->next) {
		memcpy(at, frame->head, frame->head_size);
		at += frame->head_size;
		if (frame->body) {
			memcpy(at, frame->body->content, frame->body->size);
			at += frame->body->size;
		}
		memcpy(at, frame->tail, frame->tail_size);
		at += frame->tail_size;
	}
	return world->bytes;
}

/* To the owner of the other side, which is open. */
static void hand_over(struct world *world, struct flight *flight)
{
	struct side *side = other_of(flight->from);
	struct end *end = &flight->pipe->ends[!flight->end];
	struct mesh_time time = life_time(side->endpoint->life);
	const uint8_t *bytes;
	size_t size;

	if (end->closed)
		return;
	if (!end->connection) {
		end->connection = side;
		flight->pipe->references++;
		DL_APPEND(side->streams, end);
	}
	if (flight->fin)
		end->ended = true;
	if (!end->stopped && !flight->unread) {
		bytes = bytes_of(world, flight, &size);
		if (side->data)
			mesh_data(mesh_of(side), &time, number_of(side), side->data, end, end->data,
				end->bidi, bytes, size, flight->fin);
	}
	if (end->ended && !end->closed && side->state == SIDE_OPEN)
		stream_close_if_over(end);
}

static void flight_lost(struct flight *flight)
{
	if (flight->abandoned) {
		flight_free(flight);
		return;
	}
	flight->state = LOST;
	flight->from->stalled = true;
}

/* Its bytes are with the other side, which says so. */
static void flight_arrived(struct world *world, struct flight *flight)
{
	struct side *from = flight->from, *to = other_of(from);
	uint64_t back = world->now + wire_of(from)->latency;
	struct life *life = to->endpoint->life;
	struct frame *frame;

	flight->state = ARRIVED;
	note_heard(to, world->now);
	if (from->state == SIDE_OPEN)
		note_heard(from, back);
	hand_over(world, flight);
	life_turn(life);
	if (!flight->fin || flight->abandoned) {
		flight_free(flight);
		return;
	}
	while ((frame = flight->first)) {
		flight->first = frame->next;
		from->queued -= (uint32_t)frame_size(frame);
		frame_free(frame);
	}
	world_event(world, back, EVENT_ACKED, flight, 0);
}

static void on_flight(struct world *world, struct flight *flight)
{
	struct side *from = flight->from, *to = other_of(from);
	const struct wire *wire = wire_of(from);
	const struct life *reborn = world->nodes[node_of(to)].life;

	if (flight->recalled) {
		flight_free(flight);
		return;
	}
	if (is_way(world, wire) && !(from->stalled && !flight->abandoned) &&
		to->state == SIDE_OPEN && !to->endpoint->life->killed) {
		flight_arrived(world, flight);
		return;
	}
	if (is_way(world, wire) && from->state == SIDE_OPEN && reborn &&
		(to->state >= SIDE_ENDED || to->endpoint->life->killed))
		send_reset(from, wire->latency);
	flight_lost(flight);
}

static void on_acked(struct world *world, struct flight *flight)
{
	struct side *from = flight->from;
	struct end *end = end_of(flight);

	if (!flight->abandoned && from->state == SIDE_OPEN) {
		if (!is_way(world, wire_of(from))) {
			flight->ack_lost = true;
			return;
		}
		end->acked = true;
		stream_close_if_over(end);
		life_turn(from->endpoint->life);
	}
	flight_free(flight);
}

/* There is a way again: what was lost is sent again, in order. */
static void on_resume(struct world *world, struct side *side)
{
	struct side *to = other_of(side);
	struct flight *flight, *next;

	if (side->state != SIDE_OPEN || to->state != SIDE_OPEN || !is_way(world, wire_of(side)) ||
		to->endpoint->life->killed)
		return;
	side->stalled = false;
	DL_FOREACH_SAFE (side->flights, flight, next) {
		if (flight->ack_lost) {
			flight->ack_lost = false;
			world_event(world, world->now, EVENT_ACKED, flight, 0);
		} else if (flight->state == LOST) {
			flight->state = FLYING;
			world_event(world, world->now, EVENT_FLIGHT, flight, 0);
		}
	}
}

/* The peer has stopped it: its end is all that is still sent. */
static void on_stopped(struct end *end)
{
	struct pipe *pipe = end->pipe;
	struct flight *flight;

	if (!end->closed && end->connection->state == SIDE_OPEN && !end->shut) {
		end->shut = true;
		if (!end->finish) {
			flight = flight_new(end);
			flight->fin = flight->unread = true;
		}
		end->finish = true;
	}
	if (--pipe->references == 0)
		free(pipe);
}

/* ---- events ---- */

static void on_side_event(struct world *world, const struct event *event)
{
	struct side *side = event->object;
	struct life *life = side->endpoint ? side->endpoint->life : NULL;
	struct mesh_time time;

	switch (event->kind) {
	case EVENT_CUT:
		cut(wire_of(side));
		break;
	case EVENT_INITIAL:
		on_initial(world, side);
		break;
	case EVENT_HELLO:
		on_hello(world, side);
		break;
	case EVENT_FINISHED:
		on_finished(world, side);
		break;
	case EVENT_HANDSHAKE_OVER:
		if (side->state == SIDE_HANDSHAKE)
			side_end(side, ENDING(ENDING_HANDSHAKE, 0));
		break;
	case EVENT_IDLE:
		idle_check(side);
		break;
	case EVENT_CLOSE:
		if (side->state != SIDE_NONE && is_way(world, wire_of(side)) && !life->killed) {
			side->told = true;
			side_end(side, event->argument);
		}
		break;
	case EVENT_REPORT:
		if (side->state != SIDE_ENDED)
			break;
		side_report(side);
		life_turn(life);
		break;
	case EVENT_CREDIT:
		if (side->state != SIDE_OPEN)
			break;
		if (side->data) {
			time = life_time(life);
			mesh_credit(life->mesh, &time, number_of(side), side->data);
		}
		life_turn(life);
		break;
	default: /* EVENT_RESUME */
		on_resume(world, side);
		break;
	}
	wire_release(wire_of(side));
}

void network_close(struct life *life)
{
	struct endpoint *endpoint = life->endpoint;
	struct side *side, *next;

	endpoint->closing = true;
	DL_FOREACH_SAFE (endpoint->connections, side, next) {
		close_side(side, 0);
		side_report(side);
	}
}

void network_event(struct world *world, const struct event *event)
{
	switch (event->kind) {
	case EVENT_FLIGHT:
		on_flight(world, event->object);
		break;
	case EVENT_ACKED:
		on_acked(world, event->object);
		break;
	case EVENT_STOPPED:
		on_stopped(event->object);
		break;
	default:
		on_side_event(world, event);
		break;
	}
}

void network_dispose(const struct event *event)
{
	struct pipe *pipe;

	switch (event->kind) {
	case EVENT_FLIGHT:
	case EVENT_ACKED:
		flight_free(event->object);
		break;
	case EVENT_STOPPED:
		pipe = ((struct end *)event->object)->pipe;
		if (--pipe->references == 0)
			free(pipe);
		break;
	default:
		wire_release(wire_of(event->object));
		break;
	}
}

void network_free(struct world *world)
{
	struct endpoint *endpoint;

	while ((endpoint = world->endpoints)) {
		world->endpoints = endpoint->next;
		free(endpoint);
	}
}

void network_killed(struct life *life)
{
	struct side *side;

	DL_FOREACH (life->endpoint->connections, side) {
		if (!wire_of(side)->broken)
			wire_of(side)->broken = life->world->now;
		idle_check(other_of(side));
	}
}

void network_moved(struct life *life)
{
	struct side *side;

	DL_FOREACH (life->endpoint->connections, side)
		cut(wire_of(side));
}

/* Until its next ping, at the most. */
static void reset_soon(struct world *world, struct side *side)
{
	if (protocol_of(side)->keep_alive)
		send_reset(side, random_below(&world->random, KEEP_ALIVE));
}

void network_reborn(struct life *life)
{
	struct world *world = life->world;
	struct endpoint *endpoint;
	struct side *side, *other;

	for (endpoint = world->endpoints; endpoint; endpoint = endpoint->next) {
		DL_FOREACH (endpoint->connections, side) {
			other = other_of(side);
			if (side->state == SIDE_OPEN && !endpoint->life->killed &&
				node_of(other) == life->node && other->endpoint &&
				other->endpoint->life->killed && is_way(world, wire_of(side)))
				reset_soon(world, side);
		}
	}
}

static void side_changed(struct world *world, struct side *side)
{
	struct side *other = other_of(side);
	struct wire *wire = wire_of(side);

	if (!is_way(world, wire)) {
		if (!wire->broken)
			wire->broken = world->now;
		idle_check(side);
		return;
	}
	if (!other->endpoint || other->endpoint->life->killed)
		return;
	if (other->state >= SIDE_ENDED && !side->told && side->state == SIDE_OPEN) {
		/* It has closed while there was no way: it has nothing more to say but this. */
		other->told = false;
		reset_soon(world, side);
		return;
	}
	if (!wire->broken)
		return;
	note_heard(side, world->now);
	if (other->state == SIDE_OPEN)
		note_heard(other, world->now);
	side_event(side, world->now + wire->latency, EVENT_RESUME, 0);
	side_event(other, world->now + wire->latency, EVENT_RESUME, 0);
	wire->broken = 0;
}

void network_changed(struct world *world)
{
	struct endpoint *endpoint;
	struct side *side;

	for (endpoint = world->endpoints; endpoint; endpoint = endpoint->next)
		if (!endpoint->life->killed)
			DL_FOREACH (endpoint->connections, side)
				side_changed(world, side);
}

/* ---- the port ---- */

void network_open(struct life *life)
{
	struct endpoint *endpoint = world_alloc(sizeof *endpoint);

	endpoint->life = life;
	endpoint->next = life->world->endpoints;
	life->world->endpoints = endpoint;
	life->endpoint = endpoint;
}

/* Some of those that are dialled now fail. */
static void doom(struct world *world, struct wire *wire)
{
	if (random_below(&world->random, 100) >= world->failing)
		return;
	if (random_below(&world->random, 2) == 0)
		wire->cut = true;
	else
		side_event(&wire->sides[0],
			world->now + random_below(&world->random, MOST_DOOMED), EVENT_CUT, 0);
}

static int port_dial(void *context, enum mesh_protocol protocol, const struct id *peer,
	const struct address *address, void *ours, void **out)
{
	struct life *life = context;
	struct world *world = life->world;
	struct endpoint *endpoint = life->endpoint;
	size_t target = world_node_at(world, address), node = world_node_of(peer);
	uint64_t delay = 0;
	struct wire *wire;

	if (endpoint->closing)
		return ERROR_CLOSED;
	if (target == NOBODY || node == NOBODY)
		return ERROR_NOT_FOUND;
	if (endpoint->places[protocol] >= protocols[protocol].max_connections) {
		counters_add(&life->counters, COUNTER_LIMIT_CONNECTIONS, 1);
		return ERROR_LIMIT;
	}
	wire = world_alloc(sizeof *wire);
	wire->protocol = (uint8_t)protocol;
	wire->nodes[0] = (uint32_t)life->node;
	wire->nodes[1] = (uint32_t)node;
	wire->target = (uint32_t)target;
	wire->latency = latency_of(world, life->node, target);
	wire->sides[0].data = ours;
	wire->sides[1].incoming = true;
	side_init(wire, endpoint, false, DIAL_TIMEOUT);
	wire->cut = !world_is_there(world, address);
	if (world->failing > 0)
		doom(world, wire);
	if (world->slow_dials > 0)
		delay = random_below(&world->random, world->slow_dials);
	side_event(&wire->sides[0], world->now + wire->latency + delay, EVENT_INITIAL, 0);
	world_mix(world, life->node << 32 | node << 8 | protocol);
	if (world->config.trace >= 1 && !life->killed)
		world_trace(world, "%s - %s %s: dial", world_name(world, life->node),
			world_name(world, node), protocol_name(wire));
	*out = &wire->sides[0];
	return ERROR_NONE;
}

static void port_own_connection(void *side, void *ours)
{
	((struct side *)side)->data = ours;
}

static void port_close(void *side, uint64_t code, const char *reason)
{
	close_side(side, code);
}

/* Here is a place for everybody. */
static void port_set_stranger(void *side, bool stranger)
{
}

static int port_open(void *connection, bool bidi, void **out)
{
	struct side *side = connection;
	const struct protocol *protocol;
	struct pipe *pipe;

	if (side->state != SIDE_OPEN)
		return ERROR_CLOSED;
	protocol = protocol_of(other_of(side));
	if (side->opened[bidi] >= (bidi ? protocol->max_bidi_streams : protocol->max_streams)) {
		side->starved[bidi] = true;
		return ERROR_NO_STREAM_CREDIT;
	}
	side->opened[bidi]++;
	pipe = world_alloc(sizeof *pipe);
	pipe->references = 1;
	for (int i = 0; i < 2; i++) {
		pipe->ends[i].pipe = pipe;
		pipe->ends[i].incoming = i;
		pipe->ends[i].bidi = bidi;
	}
	pipe->ends[0].connection = side;
	DL_APPEND(side->streams, &pipe->ends[0]);
	*out = &pipe->ends[0];
	return ERROR_NONE;
}

static void port_own_stream(void *end, void *ours)
{
	((struct end *)end)->data = ours;
}

static int port_send(void *stream, struct frame *frame)
{
	struct end *end = stream;
	struct side *side = end->connection;
	struct life *life = side->endpoint->life;
	size_t size = frame_size(frame), limit = MAX_QUEUE;
	struct flight *flight;

	if (side->state != SIDE_OPEN || (end->incoming && !end->bidi) || end->shut || end->finish)
		return ERROR_CLOSED;
	if (life->killed) {
		frame_free(frame);
		return ERROR_NONE;
	}
	if (frame->droppable && side->queued + size > limit)
		return ERROR_FULL;
	if (side->queued / 2 > limit) {
		close_side(side, 0);
		return ERROR_CLOSED;
	}
	if (wire_of(side)->protocol == MESH_GOSSIP)
		world_note_frame(life->world, life, wire_of(side)->nodes[!side->incoming], frame,
			&end->pipe->topic);
	flight = flight_of_turn(end);
	frame->next = NULL;
	if (flight->last)
		flight->last->next = frame;
	else
		flight->first = frame;
	flight->last = frame;
	side->queued += (uint32_t)size;
	return ERROR_NONE;
}

static void port_finish(void *stream)
{
	struct end *end = stream;
	struct side *side = end->connection;

	if ((end->incoming && !end->bidi) || end->finish || side->state != SIDE_OPEN)
		return;
	end->finish = true;
	if (side->endpoint->life->killed)
		return;
	if (world_of(side)->config.trace >= 2 && wire_of(side)->protocol == MESH_GOSSIP)
		world_trace(world_of(side), "%s > %s ends its stream%s",
			world_name(world_of(side), node_of(side)),
			world_name(world_of(side), wire_of(side)->nodes[!side->incoming]),
			world_where(world_of(side), end->pipe->topic));
	flight_of_turn(end)->fin = true;
}

static void port_stop(void *stream, uint64_t code)
{
	struct end *end = stream;
	struct side *side = end->connection;
	struct world *world = world_of(side);

	if ((!end->incoming && !end->bidi) || end->stopped || side->state != SIDE_OPEN)
		return;
	end->stopped = true;
	if (side->endpoint->life->killed)
		return;
	end->pipe->references++;
	world_event(world, arrival_of(side), EVENT_STOPPED,
		&end->pipe->ends[!end->incoming], 0);
}

bool network_forge(struct life *life, size_t to, size_t topic, struct frame *frame)
{
	struct side *side;
	struct end *end, *stream = NULL;

	DL_FOREACH (life->endpoint->connections, side) {
		if (side->state != SIDE_OPEN || wire_of(side)->protocol != MESH_GOSSIP ||
			wire_of(side)->nodes[!side->incoming] != to)
			continue;
		DL_FOREACH (side->streams, end)
			if (!end->incoming && !end->finish && end->pipe->topic == topic)
				stream = end;
	}
	return stream && !port_send(stream, frame);
}

size_t network_connections(const struct life *life, size_t to)
{
	const struct side *side;
	size_t count = 0;

	DL_FOREACH (life->endpoint->connections, side)
		count += side->state == SIDE_OPEN && wire_of(side)->protocol == MESH_GOSSIP &&
			 wire_of(side)->nodes[!side->incoming] == to;
	return count;
}

bool network_cut(struct life *life, size_t to, enum mesh_protocol protocol, uint64_t code)
{
	struct side *side;

	DL_FOREACH (life->endpoint->connections, side) {
		if (side->state != SIDE_OPEN || wire_of(side)->protocol != protocol ||
			wire_of(side)->nodes[!side->incoming] != to)
			continue;
		close_side(side, code);
		return true;
	}
	return false;
}

/* Time does not pass within a turn. */
static bool port_is_late(void *context)
{
	return false;
}

struct mesh_port network_port(struct life *life)
{
	return (struct mesh_port){life, port_dial, port_own_connection, port_close,
		port_set_stranger, port_open, port_own_stream, port_send, port_finish, port_stop,
		port_is_late, NULL, NULL, NULL};
}
