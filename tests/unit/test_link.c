/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bridge/error.h"
#include "bridge/limits.h"
#include "bridge/peers/link_internal.h"
#include "support_heap.h"

#define MS     UINT64_C(1000000)
#define S      (1000 * MS)
#define PEERS  5
#define TOPICS 6

/* What struct link_io is made of here: connections and streams that do as they are told. */
struct stream {
	struct connection *connection;
	struct stream_out *stream_out;
	size_t topic;
	bool finished, closed;
	uint64_t finished_at;
	unsigned frames;
	struct frame *unacknowledged; /* newest last */
	struct stream *next;
};

struct connection {
	struct link_connection linked; /* first: see connection_of */
	size_t peer;
	bool ended;	   /* over, but that has not been reported */
	unsigned credit, inbound;
	uint64_t used; /* the last time that anything was on it, or it was the newest */
	struct stream *streams;
	struct connection *next;
};

static struct {
	struct links *links;
	struct counters counters;
	uint64_t now, seed;
	struct random random;
	struct connection *connections; /* newest first */
	int send_error;			/* what send says from now on */
	bool holds;			/* streams keep frames until they are acknowledged */
	unsigned opened, finished, closed;
	/* Frames, numbered per overlay and peer. */
	unsigned made, handed;
	struct frame *spare; /* made before the memory runs out */
	unsigned next_number[PEERS][TOPICS], last_handed[PEERS][TOPICS];
	struct connection *handed_to; /* the last one */
	/* What the effects have said. */
	unsigned wanted[PEERS], ups[PEERS], downs[PEERS], losts[PEERS], fewer[PEERS];
	unsigned losts_before[PEERS]; /* when the last connection was closed */
	uint64_t gone_since[PEERS]; /* 0: never, or no overlay has needed it since */
	enum link_effect_type last_effects[4]; /* newest last */
} world;

static struct id peer_id(size_t peer)
{
	struct id id;

	memset(id.bytes, 0x10 + (int)peer, ID_SIZE);
	return id;
}

static struct id topic_id(size_t topic)
{
	struct id id;

	memset(id.bytes, 0x80 + (int)topic, ID_SIZE);
	return id;
}

static struct connection *connection_of(struct link_connection *linked)
{
	return (struct connection *)linked;
}

static int io_open(struct link_connection *linked, const struct id *topic,
	struct stream_out *stream_out, void **stream)
{
	struct connection *connection = connection_of(linked);
	struct stream *made;

	assert_non_null(stream_out);
	if (connection->ended)
		return ERROR_CLOSED;
	if (connection->credit == 0)
		return ERROR_NO_STREAM_CREDIT;
	connection->credit--;
	made = calloc(1, sizeof *made);
	assert_non_null(made);
	made->connection = connection;
	made->stream_out = stream_out;
	made->topic = topic->bytes[0] - 0x80u;
	made->next = connection->streams;
	connection->streams = made;
	world.opened++;
	*stream = made;
	return ERROR_NONE;
}

/* No frame may be handed over while an earlier one of the same overlay is under way to the
 * same peer elsewhere, unless that has been so for long. */
static void check_order(const struct stream *to, unsigned number)
{
	size_t peer = to->connection->peer;
	struct connection *connection;
	struct stream *stream;

	assert_true(number > world.last_handed[peer][to->topic]);
	world.last_handed[peer][to->topic] = number;
	for (connection = world.connections; connection; connection = connection->next) {
		for (stream = connection->streams; stream; stream = stream->next) {
			if (stream == to || stream->closed || connection->peer != peer ||
				stream->topic != to->topic)
				continue;
			assert_true(stream->finished);
			assert_true(world.now >= stream->finished_at + LINK_ORDER_MS * MS);
		}
	}
}

static int io_send(void *context, struct frame *frame)
{
	struct stream *stream = context;
	unsigned number;

	assert_false(stream->closed);
	assert_false(stream->finished);
	if (stream->connection->ended)
		return ERROR_CLOSED;
	if (world.send_error)
		return world.send_error;
	memcpy(&number, frame->head, sizeof number);
	/* Content that came back follows the control frames by which they are neighbours again. */
	if (frame->droppable)
		check_order(stream, number);
	stream->frames++;
	world.handed++;
	world.handed_to = stream->connection;
	if (world.holds)
		LL_APPEND(stream->unacknowledged, frame);
	else
		frame_free(frame);
	return ERROR_NONE;
}

/* The peer has got the oldest frames on it. */
static void acknowledge(struct stream *stream, unsigned count)
{
	struct frame *frame;

	for (; count > 0 && (frame = stream->unacknowledged); count--) {
		stream->unacknowledged = frame->next;
		frame_free(frame);
	}
}

static void free_streams(struct connection *connection)
{
	struct stream *stream;

	while ((stream = connection->streams)) {
		acknowledge(stream, UINT_MAX);
		connection->streams = stream->next;
		free(stream);
	}
}

static void io_finish(void *context)
{
	struct stream *stream = context;

	assert_false(stream->closed);
	assert_false(stream->finished);
	stream->finished = true;
	stream->finished_at = world.now;
	world.finished++;
}

static void io_close(struct link_connection *linked)
{
	struct connection *connection = connection_of(linked);

	assert_non_null(connection->linked.link);
	connection->ended = true;
	world.closed++;
}

/* Our own id: smaller than all others. */
static const struct id nobody;

static int setup(void **state)
{
	static const struct link_io io = {io_open, io_send, io_finish, io_close, NULL};

	memset(&world, 0, sizeof world);
	world.now = 1000 * S;
	world.seed = 1;
	world.random = random_seeded(&world.seed);
	heap_begin();
	assert_int_equal(
		links_new(&io, &nobody, &world.random, &world.counters, &world.links), 0);
	return 0;
}

static int teardown(void **state)
{
	struct connection *connection;
	struct frame *frame;

	links_free(world.links);
	while ((frame = world.spare)) {
		world.spare = frame->next;
		frame_free(frame);
	}
	while ((connection = world.connections)) {
		free_streams(connection);
		world.connections = connection->next;
		free(connection);
	}
	heap_end();
	return 0;
}

static unsigned counted(enum counter counter)
{
	return (unsigned)counters_get(&world.counters, counter);
}

static unsigned dropped(void)
{
	return counted(COUNTER_DROPPED_PEER_LOST) + counted(COUNTER_DROPPED_PEER_SLOW) +
	       counted(COUNTER_DROPPED_NO_STREAM_CREDIT) + counted(COUNTER_DROPPED_NO_MEMORY_COPY);
}

/* Frames that are still waiting: all are droppable, so that none is lost uncounted. */
static unsigned waiting(void)
{
	return world.made - world.handed - dropped();
}

static void note_effect(const struct link_effect *effect)
{
	size_t peer = effect->peer.bytes[0] - 0x10u;

	assert_true(peer < PEERS);
	switch (effect->type) {
	case LINK_WANTED:
		world.wanted[peer]++;
		break;
	case LINK_UP:
		world.ups[peer]++;
		break;
	case LINK_FEWER:
		world.fewer[peer]++;
		assert_true(links_linked(world.links, &effect->peer));
		break;
	case LINK_DOWN:
		world.downs[peer]++;
		break;
	case LINK_LOST:
		world.losts[peer]++;
		assert_false(links_linked(world.links, &effect->peer));
		break;
	}
	memmove(world.last_effects, world.last_effects + 1, sizeof world.last_effects[0] * 3);
	world.last_effects[3] = effect->type;
}

/* Takes the effects; returns how many. */
static unsigned take(void)
{
	struct link_effect effect;
	unsigned count = 0;

	while (links_effect(world.links, world.now, &effect)) {
		note_effect(&effect);
		/* Up, down, up, wanted and lost: what can be due for a peer at one time. */
		assert_true(++count <= 5 * PEERS);
	}
	/* Nothing is due any more, or the caller would never sleep. */
	assert_true(links_deadline(world.links) > world.now);
	return count;
}

/* Lets time pass as an event loop does: effects are taken when their time has come. */
static void pass(uint64_t duration)
{
	uint64_t end = world.now + duration;
	unsigned wakes = 0;

	take();
	while (links_deadline(world.links) <= end) {
		world.now = links_deadline(world.links);
		take();
		assert_true(++wakes <= 1000);
	}
	world.now = end;
}

static struct frame *make_frame(size_t peer, size_t topic)
{
	struct frame *frame = world.spare ? world.spare : frame_new(sizeof(unsigned));
	unsigned number = ++world.next_number[peer][topic];

	assert_non_null(frame);
	if (world.spare)
		world.spare = frame->next;
	memcpy(frame->head, &number, sizeof number);
	frame->droppable = true;
	world.made++;
	return frame;
}

/* Whether an overlay uses the link. */
static void note_needed(size_t peer)
{
	struct id id = peer_id(peer);
	struct link *link = links_find(world.links, &id);

	if (!link || !link->channels)
		world.gone_since[peer] = 0;
}

/* The overlay has it as its neighbour. */
static void resume(size_t peer, size_t topic)
{
	struct id to = peer_id(peer), overlay = topic_id(topic);

	links_resume(world.links, world.now, &to, &overlay);
	note_needed(peer);
}

/* Returns false if the frame was dropped because the peer is slow. */
static bool send_frame(size_t peer, size_t topic, bool last)
{
	struct id to = peer_id(peer), overlay = topic_id(topic);
	bool taken = links_send(
		world.links, world.now, &to, &overlay, make_frame(peer, topic), last);

	note_needed(peer);
	return taken;
}

static void release(size_t peer, size_t topic)
{
	struct id to = peer_id(peer), overlay = topic_id(topic);

	links_release(world.links, world.now, &to, &overlay);
	note_needed(peer);
}

static struct connection *connect_how(size_t peer, unsigned credit, bool relayed, int expected)
{
	struct connection *connection = calloc(1, sizeof *connection), *older;
	struct id id = peer_id(peer);

	for (older = world.connections; older; older = older->next)
		if (older->peer == peer)
			older->used = world.now;
	assert_non_null(connection);
	connection->peer = peer;
	connection->credit = credit;
	connection->used = world.now;
	connection->next = world.connections;
	world.connections = connection;
	assert_int_equal(
		links_connected(world.links, world.now, &id, &connection->linked, relayed),
		expected);
	if (expected) {
		world.connections = connection->next;
		free(connection);
		return NULL;
	}
	assert_true(id_equal(links_peer(&connection->linked), &id));
	return connection;
}

static struct connection *connect_with(size_t peer, unsigned credit, int expected)
{
	return connect_how(peer, credit, false, expected);
}

static struct connection *relay_to(size_t peer)
{
	return connect_how(peer, 100, true, ERROR_NONE);
}

static struct connection *connect_to(size_t peer)
{
	return connect_with(peer, 100, ERROR_NONE);
}

static void end_stream(struct stream *stream, struct frame *unacknowledged)
{
	stream->closed = true;
	stream->connection->used = world.now;
	links_stream_closed(world.links, world.now, stream->stream_out, unacknowledged);
}

/* All on it is acknowledged. */
static void close_stream(struct stream *stream)
{
	acknowledge(stream, UINT_MAX);
	end_stream(stream, NULL);
}

/* Its connection is over: what was not acknowledged comes back, to be handed over again. */
static void cut_stream(struct stream *stream)
{
	struct frame *frames = stream->unacknowledged, *frame;
	unsigned *last = &world.last_handed[stream->connection->peer][stream->topic], number;

	stream->unacknowledged = NULL;
	LL_FOREACH (frames, frame) {
		memcpy(&number, frame->head, sizeof number);
		if (number <= *last)
			*last = number - 1;
		world.handed--;
		world.made -= !frame->droppable;
	}
	end_stream(stream, frames);
}

/* As quic.h has it: the streams first. */
static void close_connection(struct connection *connection)
{
	struct stream *stream;

	connection->ended = true;
	world.losts_before[connection->peer] = world.losts[connection->peer];
	world.gone_since[connection->peer] = world.now;
	for (stream = connection->streams; stream; stream = stream->next)
		if (!stream->closed)
			cut_stream(stream);
	for (; connection->inbound > 0; connection->inbound--)
		links_inbound(world.links, world.now, &connection->linked, false);
	links_closed(world.links, world.now, &connection->linked);
	note_needed(connection->peer);
}

static struct stream *stream_of(struct connection *connection, size_t topic)
{
	struct stream *stream;

	for (stream = connection->streams; stream; stream = stream->next)
		if (stream->topic == topic && !stream->closed)
			return stream;
	return NULL;
}

static bool is_linked(size_t peer)
{
	struct id id = peer_id(peer);

	return links_linked(world.links, &id);
}

/* ---- one thing at a time ---- */

static void nothing_to_do(void **state)
{
	assert_true(links_deadline(world.links) == UINT64_MAX);
	assert_int_equal(take(), 0);
	assert_false(links_sending(world.links));
	assert_false(is_linked(0));
}

static void a_frame_wants_a_connection(void **state)
{
	struct connection *connection;

	send_frame(0, 0, false);
	assert_true(links_deadline(world.links) <= world.now);
	assert_int_equal(take(), 1);
	assert_int_equal(world.wanted[0], 1);
	assert_true(links_sending(world.links));
	pass(100 * S); /* it waits for the dial, however long that takes */
	assert_int_equal(waiting(), 1);
	assert_int_equal(world.losts[0], 0);

	connection = connect_to(0);
	assert_int_equal(world.handed, 1);
	assert_ptr_equal(world.handed_to, connection);
	assert_int_equal(take(), 1);
	assert_int_equal(world.ups[0], 1);
	assert_true(is_linked(0));
	send_frame(0, 0, false);
	assert_int_equal(world.handed, 2);
	assert_int_equal(world.opened, 1);
	send_frame(0, 1, false);
	assert_int_equal(world.opened, 2);
	assert_int_equal(world.wanted[0], 1);
}

static void links_are_apart(void **state)
{
	struct connection *first = connect_to(0);

	send_frame(1, 0, false);
	take();
	assert_int_equal(world.wanted[0], 0);
	assert_int_equal(world.wanted[1], 1);
	assert_false(is_linked(1));
	send_frame(0, 0, false);
	close_connection(first);
	connect_to(1);
	pass(2 * S);
	assert_int_equal(world.losts[0], 1);
	assert_int_equal(world.losts[1], 0);
	assert_int_equal(world.handed, 2);
}

static void the_newest_wins(void **state)
{
	struct connection *first = connect_to(0), *second;
	struct id id = peer_id(0);

	send_frame(0, 0, false);
	send_frame(0, 1, false);
	second = connect_to(0);
	assert_ptr_equal(links_newest(world.links, &id), &second->linked);
	/* The old streams end after what they hold. */
	assert_int_equal(world.finished, 2);
	close_stream(stream_of(first, 0));
	send_frame(0, 0, false);
	assert_ptr_equal(world.handed_to, second);
	/* The other overlay is on its own. */
	send_frame(0, 1, false);
	assert_int_equal(world.handed, 3);
	close_stream(stream_of(first, 1));
	assert_int_equal(world.handed, 4);
	assert_ptr_equal(world.handed_to, second);
	/* One link, whatever becomes of its connections. */
	take();
	close_connection(first);
	take();
	assert_int_equal(world.ups[0], 1);
	assert_int_equal(world.downs[0], 0);
}

static void fewer_are_told_twice(void **state)
{
	struct connection *first = connect_to(0), *second = connect_to(0), *third = connect_to(0);

	take();
	close_connection(first);
	assert_int_equal(take(), 1);
	assert_int_equal(world.fewer[0], 1);
	pass(LINK_NOTICED_MS * MS - 1);
	assert_int_equal(world.fewer[0], 1);
	pass(1);
	assert_int_equal(world.fewer[0], 2);
	pass(60 * S);
	assert_int_equal(world.fewer[0], 2);
	/* When none is left that is another matter, though it was about to be told. */
	close_connection(third);
	close_connection(second);
	pass(100 * MS);
	assert_int_equal(world.fewer[0], 2);
	assert_int_equal(world.downs[0], 1);
	connect_to(0);
	pass(60 * S);
	assert_int_equal(world.fewer[0], 2);
	assert_int_equal(world.ups[0], 2);
}

static void order_is_kept_over_two_supersedes(void **state)
{
	struct connection *connections[3];

	connections[0] = connect_to(0);
	send_frame(0, 0, false);
	connections[1] = connect_to(0);
	send_frame(0, 0, false);
	connections[2] = connect_to(0);
	send_frame(0, 0, false);
	send_frame(0, 0, false);
	assert_int_equal(world.handed, 1);
	close_stream(stream_of(connections[0], 0));
	assert_int_equal(world.handed, 4);
	assert_ptr_equal(world.handed_to, connections[2]);
	assert_int_equal(waiting(), 0);
}

static void the_newest_goes_first(void **state)
{
	struct connection *first = connect_to(0), *second;

	send_frame(0, 0, false);
	second = connect_to(0);
	close_stream(stream_of(first, 0));
	send_frame(0, 0, false);
	take();
	/* What is older takes over again. */
	close_connection(second);
	assert_int_equal(take(), 1);
	assert_int_equal(world.fewer[0], 1);
	assert_true(is_linked(0));
	send_frame(0, 0, false);
	assert_ptr_equal(world.handed_to, first);
	assert_int_equal(world.handed, 3);
}

static bool is_relayed(size_t peer)
{
	struct id id = peer_id(peer);

	return links_relayed(world.links, &id);
}

/* It is used while there is nothing else, and goes when there is. */
static void a_relayed_one_gives_way(void **state)
{
	struct connection *relayed = relay_to(0), *direct;

	assert_true(is_relayed(0));
	assert_int_equal(links_count_relayed(world.links), 1);
	send_frame(0, 0, false);
	assert_ptr_equal(world.handed_to, relayed);
	links_inbound(world.links, world.now, &relayed->linked, true);
	pass(20 * S);
	direct = connect_to(0);
	assert_false(is_relayed(0));
	assert_int_equal(links_count_relayed(world.links), 0);
	close_stream(stream_of(relayed, 0));
	send_frame(0, 0, false);
	assert_ptr_equal(world.handed_to, direct);
	/* Though the other side has a stream on it: an upstream node never ends that. */
	pass(LINK_OLD_MS * MS - 1);
	assert_int_equal(world.closed, 0);
	pass(1);
	assert_int_equal(world.closed, 1);
	assert_true(relayed->ended);
	close_connection(relayed);
	close_stream(stream_of(direct, 0));
	close_connection(direct);
	assert_false(is_relayed(0));
}

/* The other side may send on it. */
static void a_relayed_one_comes_second(void **state)
{
	struct connection *direct = connect_to(0), *relayed;

	send_frame(0, 0, false);
	relayed = relay_to(0);
	assert_false(is_relayed(0));
	send_frame(0, 0, false);
	assert_ptr_equal(world.handed_to, direct);
	links_inbound(world.links, world.now, &relayed->linked, true);
	pass(100 * S);
	assert_int_equal(world.closed, 0);
	/* It is all there is now. */
	close_stream(stream_of(direct, 0));
	close_connection(direct);
	assert_true(is_relayed(0));
	assert_true(is_linked(0));
	send_frame(0, 0, false);
	assert_ptr_equal(world.handed_to, relayed);
	/* One that was about to be let go is kept, too. */
	direct = connect_to(0);
	pass(LINK_OLD_MS * MS / 2);
	close_connection(direct);
	pass(100 * S);
	assert_int_equal(world.closed, 0);
	assert_int_equal(links_count_relayed(world.links), 1);
}

static void a_killed_peer_does_not_hold_up(void **state)
{
	struct connection *first = connect_to(0), *second;

	send_frame(0, 0, false);
	send_frame(0, 1, false);
	pass(20 * S);
	second = connect_to(0);
	send_frame(0, 0, false);
	send_frame(0, 1, false);
	pass(LINK_ORDER_MS * MS - 1);
	assert_int_equal(world.handed, 2);
	pass(1);
	assert_int_equal(world.handed, 4);
	assert_ptr_equal(world.handed_to, second);
	/* Its streams and itself time out much later. */
	pass(5 * S);
	close_stream(stream_of(first, 1));
	close_connection(first);
	send_frame(0, 0, false);
	assert_int_equal(world.handed, 5);
}

static void lost_after_a_second(void **state)
{
	struct connection *connection = connect_to(0);

	send_frame(0, 0, false);
	take();
	close_connection(connection);
	assert_int_equal(take(), 2);
	assert_int_equal(world.last_effects[2], LINK_DOWN);
	assert_int_equal(world.last_effects[3], LINK_WANTED); /* the overlay needs it */
	assert_false(is_linked(0));
	send_frame(0, 0, false);
	send_frame(0, 1, false);
	pass(LINK_LOST_MS * MS - 1);
	assert_int_equal(world.losts[0], 0);
	pass(1);
	assert_int_equal(world.losts[0], 1);
	assert_false(links_sending(world.links));
	/* It may come back for them yet. */
	assert_int_equal(waiting(), 2);
	pass(100 * S);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 2);
	assert_int_equal(waiting(), 0);
	assert_int_equal(world.losts[0], 1);
}

/* Its peer lives on, for all that we know, and passive views keep it. */
static void a_link_that_nobody_uses_is_not_lost(void **state)
{
	struct connection *connection = connect_to(0);

	take();
	close_connection(connection);
	assert_int_equal(take(), 1);
	assert_int_equal(world.wanted[0], 0);
	pass(2 * LINK_LOST_MS * MS);
	assert_int_equal(world.losts[0], 0);
	assert_int_equal(world.downs[0], 1);
	assert_true(links_deadline(world.links) == UINT64_MAX);
	/* Not even when it was used before, or until a moment ago. */
	connection = connect_to(0);
	send_frame(0, 0, false);
	take();
	close_connection(connection);
	take();
	release(0, 0);
	pass(2 * LINK_LOST_MS * MS);
	assert_int_equal(world.losts[0], 0);
	assert_true(links_deadline(world.links) == UINT64_MAX);
}

/* A node that we have nothing else to do with: the answer to a Shuffle. */
static void what_is_released_at_once_is_brought_all_the_same(void **state)
{
	send_frame(0, 0, false);
	release(0, 0);
	take();
	assert_int_equal(world.wanted[0], 1);
	connect_to(0);
	assert_int_equal(world.handed, 1);
	take();
	assert_false(links_sending(world.links) && waiting() > 0);
	pass(2 * LINK_LOST_MS * MS);
	assert_int_equal(world.losts[0], 0);
}

static void back_in_time(void **state)
{
	struct connection *connection = connect_to(0);

	send_frame(0, 0, false);
	close_connection(connection);
	pass(LINK_LOST_MS * MS - 1);
	send_frame(0, 0, false);
	assert_int_equal(waiting(), 1);
	connection = connect_to(0);
	assert_int_equal(waiting(), 0);
	assert_ptr_equal(world.handed_to, connection);
	pass(5 * S);
	assert_int_equal(world.losts[0], 0);
	assert_int_equal(world.ups[0], 2);
	assert_int_equal(world.downs[0], 1);
}

static void something_to_send_just_after_the_end(void **state)
{
	struct connection *connection = connect_to(0);

	take();
	close_connection(connection); /* no overlay needed it */
	take();
	assert_int_equal(world.wanted[0], 0);
	send_frame(0, 0, false);
	take();
	assert_int_equal(world.wanted[0], 1);
	connect_to(0);
	assert_int_equal(world.handed, 1);
}

static void each_change_is_told(void **state)
{
	struct connection *connection = connect_to(0);

	close_connection(connection);
	assert_int_equal(take(), 2);
	assert_int_equal(world.last_effects[2], LINK_UP);
	assert_int_equal(world.last_effects[3], LINK_DOWN);
	connection = connect_to(0);
	take();
	close_connection(connection);
	connect_to(0);
	assert_int_equal(take(), 2);
	assert_int_equal(world.last_effects[2], LINK_DOWN);
	assert_int_equal(world.last_effects[3], LINK_UP);
}

static void giving_up(void **state)
{
	struct id id = peer_id(0);
	struct connection *connection;

	links_gave_up(world.links, world.now, &id);
	assert_int_equal(take(), 0);
	send_frame(0, 0, false);
	take();
	links_gave_up(world.links, world.now, &id);
	take();
	assert_int_equal(world.losts[0], 1);
	assert_int_equal(waiting(), 1);
	pass(LINK_KEPT_MS * MS);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 1);
	/* Within the second, too. */
	connection = connect_to(0);
	send_frame(0, 0, false);
	take();
	close_connection(connection);
	take();
	links_gave_up(world.links, world.now, &id);
	take();
	assert_int_equal(world.losts[0], 2);
	/* But not while there is a connection: the other side has dialled. */
	connect_to(0);
	links_gave_up(world.links, world.now, &id);
	pass(2 * S);
	assert_int_equal(world.losts[0], 2);
	assert_true(is_linked(0));
}

static void gave_up_but_connected_before_it_is_told(void **state)
{
	struct id id = peer_id(0);

	send_frame(0, 0, false);
	links_gave_up(world.links, world.now, &id);
	connect_to(0);
	take();
	assert_int_equal(world.losts[0], 0);
	assert_int_equal(world.handed, 1);
}

/* ---- credit and bounds ---- */

static void no_credit_for_one_does_not_stall_others(void **state)
{
	struct connection *connection = connect_with(0, 2, ERROR_NONE);

	for (int round = 0; round < 3; round++)
		for (size_t topic = 0; topic < 4; topic++)
			send_frame(0, topic, false);
	assert_int_equal(world.handed, 6);
	assert_int_equal(waiting(), 6);
	connection->credit = 1;
	links_credit(world.links, world.now, &connection->linked);
	assert_int_equal(world.handed, 9);
	send_frame(0, 2, false);
	send_frame(0, 3, false);
	connection->credit = 1;
	links_credit(world.links, world.now, &connection->linked);
	assert_int_equal(waiting(), 0);
	assert_int_equal(world.opened, 4);
	take();
}

static void credit_on_an_old_connection(void **state)
{
	struct connection *first = connect_with(0, 0, ERROR_NONE), *second;

	send_frame(0, 0, false);
	second = connect_with(0, 0, ERROR_NONE);
	first->credit = 1;
	links_credit(world.links, world.now, &first->linked);
	assert_int_equal(world.handed, 0);
	second->credit = 1;
	links_credit(world.links, world.now, &second->linked);
	assert_int_equal(world.handed, 1);
	/* The credit of the old one is found when it is the newest again. */
	send_frame(0, 1, false);
	close_connection(second);
	assert_int_equal(world.handed, 2);
	assert_ptr_equal(world.handed_to, first);
}

static void waiting_is_bounded(void **state)
{
	for (unsigned i = 0; i < LINK_WAITING + 7; i++)
		assert_int_equal(send_frame(0, 0, false), i < LINK_WAITING);
	assert_int_equal(waiting(), LINK_WAITING);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_SLOW), 7);
	/* Another overlay has its own. */
	send_frame(0, 1, false);
	assert_int_equal(waiting(), LINK_WAITING + 1);
	connect_with(0, 1, ERROR_NONE);
	assert_true(world.handed == LINK_WAITING || world.handed == 1);
	for (unsigned i = 0; i < LINK_WAITING + 7; i++) {
		send_frame(0, 0, false);
		send_frame(0, 1, false);
	}
	assert_true(counted(COUNTER_DROPPED_NO_STREAM_CREDIT) >= 7);
	assert_true(waiting() == LINK_WAITING);
	take();
}

static void control_frames_have_more_room(void **state)
{
	struct id to = peer_id(0), overlay = topic_id(0);
	struct connection *connection;
	struct frame *frame;

	for (unsigned i = 0; i < 2 * LINK_WAITING + 5; i++) {
		frame = make_frame(0, 0);
		frame->droppable = false;
		links_send(world.links, world.now, &to, &overlay, frame, false);
	}
	assert_int_equal(dropped(), 0); /* they are repeated by their protocol */
	connection = connect_to(0);
	assert_int_equal(world.handed, 2 * LINK_WAITING);
	/* The farewell finds room always. */
	close_connection(connection);
	connection = connect_with(0, 0, ERROR_NONE);
	for (unsigned i = 0; i < 2 * LINK_WAITING; i++) {
		frame = make_frame(0, 0);
		frame->droppable = false;
		links_send(world.links, world.now, &to, &overlay, frame, false);
	}
	frame = make_frame(0, 0);
	frame->droppable = false;
	links_send(world.links, world.now, &to, &overlay, frame, true);
	connection->credit = 1;
	links_credit(world.links, world.now, &connection->linked);
	assert_int_equal(world.handed, 2 * LINK_WAITING + 1);
	assert_int_equal(world.finished, 1);
	take();
}

static void slow_peers(void **state)
{
	connect_to(0);
	assert_true(send_frame(0, 0, false));
	world.send_error = ERROR_FULL;
	assert_false(send_frame(0, 0, false));
	assert_int_equal(counted(COUNTER_DROPPED_PEER_SLOW), 1);
	world.send_error = ERROR_NOMEM;
	assert_true(send_frame(0, 0, false));
	assert_int_equal(counted(COUNTER_DROPPED_NO_MEMORY_COPY), 1);
	world.send_error = 0;
	send_frame(0, 0, false);
	assert_int_equal(world.handed, 2);
	/* A farewell ends the stream even so. */
	world.send_error = ERROR_FULL;
	send_frame(0, 0, true);
	assert_int_equal(world.finished, 1);
	assert_int_equal(waiting(), 0);
	take();
}

static void a_stream_that_the_peer_stops(void **state)
{
	struct connection *connection = connect_to(0);

	send_frame(0, 0, false);
	/* Stopped, but not closed yet: the next ones wait for another stream. */
	world.send_error = ERROR_CLOSED;
	send_frame(0, 0, false);
	send_frame(0, 0, false);
	assert_int_equal(waiting(), 2);
	world.send_error = 0;
	close_stream(stream_of(connection, 0));
	assert_int_equal(world.handed, 3);
	assert_int_equal(world.opened, 2);
	/* With nothing to send no new one is opened. */
	close_stream(stream_of(connection, 0));
	assert_int_equal(world.opened, 2);
	take();
}

/* ---- farewell and release ---- */

static void a_farewell_ends_the_stream(void **state)
{
	struct connection *connection = connect_to(0);

	send_frame(0, 0, false);
	send_frame(0, 0, true);
	assert_int_equal(world.finished, 1);
	release(0, 0);
	assert_int_equal(world.finished, 1);
	assert_true(links_sending(world.links));
	close_stream(stream_of(connection, 0));
	assert_false(links_sending(world.links));
	assert_int_equal(world.handed, 2);
}

static void joined_again_just_after_the_farewell(void **state)
{
	struct connection *connection = connect_to(0);

	send_frame(0, 0, false);
	send_frame(0, 0, true);
	release(0, 0);
	send_frame(0, 0, false);
	assert_int_equal(world.handed, 2); /* or it might overtake the farewell */
	close_stream(stream_of(connection, 0));
	assert_int_equal(world.handed, 3);
	assert_int_equal(world.opened, 2);
	take();
	assert_non_null(stream_of(connection, 0));
	assert_false(stream_of(connection, 0)->finished);
}

static void a_farewell_without_a_release(void **state)
{
	struct connection *connection = connect_to(0);

	send_frame(0, 0, true);
	close_stream(stream_of(connection, 0));
	assert_false(links_sending(world.links));
	pass(LINK_UNUSED_MS * MS);
	assert_int_equal(world.closed, 1);
}

static void an_endless_farewell_does_not_hold_up(void **state)
{
	connect_to(0);
	take();
	send_frame(0, 0, true);
	send_frame(0, 0, false);
	pass(200 * MS);
	send_frame(0, 1, true);
	send_frame(0, 1, false);
	pass((LINK_ORDER_MS - 200) * MS - 1);
	assert_int_equal(world.handed, 2);
	pass(1);
	assert_int_equal(world.handed, 3);
	pass(200 * MS - 1);
	assert_int_equal(world.handed, 3);
	pass(1);
	assert_int_equal(world.handed, 4);
	assert_int_equal(world.opened, 4);
}

static void needed_again_before_the_farewell_is_sent(void **state)
{
	struct connection *connection = connect_with(0, 0, ERROR_NONE);

	send_frame(0, 0, true);
	send_frame(0, 0, false);
	connection->credit = 2;
	links_credit(world.links, world.now, &connection->linked);
	close_stream(stream_of(connection, 0));
	assert_int_equal(world.handed, 2);
	/* It is a stream like any other, so its connection is dialled again. */
	close_stream(stream_of(connection, 0));
	close_connection(connection);
	take();
	assert_int_equal(world.wanted[0], 1);
}

static void a_farewell_finds_no_connection(void **state)
{
	struct connection *connection;

	send_frame(0, 0, true); /* to a peer that is not known at all */
	assert_int_equal(take(), 0);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 1);
	send_frame(0, 0, false);
	send_frame(0, 0, true);
	assert_int_equal(take(), 0);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 2);
	assert_false(links_sending(world.links));
	pass(LINK_KEPT_MS * MS);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 3);
	/* One that waited for credit when its connection ended. */
	connection = connect_with(0, 0, ERROR_NONE);
	send_frame(0, 0, true);
	close_connection(connection);
	take();
	assert_int_equal(world.wanted[0], 0);
	assert_false(links_sending(world.links));
	pass(LINK_KEPT_MS * MS);
	assert_int_equal(waiting(), 0);
}

static void a_farewell_that_waits(void **state)
{
	struct connection *connection = connect_with(0, 0, ERROR_NONE);

	send_frame(0, 0, false);
	send_frame(0, 0, true);
	release(0, 0);
	assert_int_equal(waiting(), 2);
	connection->credit = 1;
	links_credit(world.links, world.now, &connection->linked);
	assert_int_equal(world.handed, 2);
	assert_int_equal(world.finished, 1);
	close_stream(stream_of(connection, 0));
	assert_false(links_sending(world.links));
}

static void released(void **state)
{
	struct connection *connection = connect_to(0);

	release(0, 0);
	send_frame(0, 0, false);
	send_frame(0, 1, false);
	release(0, 0);
	release(0, 0);
	assert_int_equal(world.finished, 1);
	close_stream(stream_of(connection, 0));
	assert_true(links_sending(world.links));
	release(0, 1);
	close_stream(stream_of(connection, 1));
	assert_false(links_sending(world.links));
	assert_int_equal(dropped(), 0);
	pass(LINK_UNUSED_MS * MS);
	assert_int_equal(world.closed, 1);
}

static void released_while_something_waits(void **state)
{
	struct connection *connection = connect_to(0);

	send_frame(0, 0, false);
	connect_to(0);
	send_frame(0, 0, false);
	release(0, 0);
	assert_int_equal(waiting(), 1);
	close_stream(stream_of(connection, 0));
	assert_int_equal(world.handed, 2);
	assert_int_equal(world.finished, 2);
	close_stream(stream_of(world.connections, 0));
	assert_false(links_sending(world.links));
}

static void released_while_it_is_dialled(void **state)
{
	struct id id = peer_id(1);

	send_frame(0, 0, false);
	send_frame(1, 0, false);
	take();
	release(0, 0);
	release(1, 0);
	assert_int_equal(waiting(), 2);
	pass(3 * S);
	connect_to(0);
	assert_int_equal(world.handed, 1);
	assert_int_equal(world.finished, 1);
	close_stream(stream_of(world.connections, 0));
	links_gave_up(world.links, world.now, &id);
	take();
	assert_int_equal(world.losts[1], 1);
	pass(LINK_KEPT_MS * MS);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 1);
	assert_false(links_sending(world.links));
	assert_int_equal(world.wanted[0] + world.wanted[1], 2);
}

static void released_and_needed_again(void **state)
{
	struct connection *connection = connect_to(0);

	send_frame(0, 0, false);
	release(0, 0);
	send_frame(0, 0, false);
	close_stream(stream_of(connection, 0));
	assert_int_equal(world.handed, 2);
	close_stream(stream_of(connection, 0));
	/* It is needed, so a lost connection is dialled again. */
	close_connection(connection);
	take();
	assert_int_equal(world.wanted[0], 1);
}

/* ---- connections ---- */

static void unused_ones_are_closed(void **state)
{
	struct connection *connection = connect_to(0);

	pass(LINK_UNUSED_MS * MS - 1);
	assert_int_equal(world.closed, 0);
	pass(1);
	assert_int_equal(world.closed, 1);
	assert_true(is_linked(0)); /* until that is reported */
	/* What is to be sent just then needs another one. */
	send_frame(0, 0, false);
	assert_int_equal(waiting(), 1);
	take();
	close_connection(connection);
	take();
	assert_int_equal(world.wanted[0], 1);
	connect_to(0);
	assert_int_equal(waiting(), 0);
}

static void kept_ones_are_not_closed(void **state)
{
	struct connection *older = connect_to(0), *newer = connect_to(0);
	struct id id = peer_id(0);

	links_keep(world.links, world.now, &id, true);
	pass(100 * S);
	assert_int_equal(world.closed, 1);
	assert_true(older->ended);
	assert_false(newer->ended);
	links_keep(world.links, world.now, &id, false);
	pass(1);
	assert_true(newer->ended);
}

static void used_ones_are_not_closed(void **state)
{
	struct connection *sending = connect_to(0), *receiving = connect_to(1);

	send_frame(0, 0, false);
	links_inbound(world.links, world.now, &receiving->linked, true);
	pass(100 * S);
	assert_int_equal(world.closed, 0);
	/* An overlay that is quiet is in use all the same. */
	close_stream(stream_of(sending, 0));
	pass(100 * S);
	assert_int_equal(world.closed, 0);
	links_inbound(world.links, world.now, &receiving->linked, false);
	pass(LINK_UNUSED_MS * MS - 1);
	assert_int_equal(world.closed, 0);
	pass(1);
	assert_int_equal(world.closed, 1);
	assert_true(receiving->ended);
}

static void superseded_ones_are_closed_when_quiet(void **state)
{
	struct connection *first = connect_to(0);

	send_frame(0, 0, false);
	links_inbound(world.links, world.now, &first->linked, true);
	pass(100 * S);
	connect_to(0);
	close_stream(stream_of(first, 0));
	pass(100 * S);
	assert_int_equal(world.closed, 0); /* the other side still sends on it */
	links_inbound(world.links, world.now, &first->linked, false);
	pass(LINK_UNUSED_MS * MS);
	assert_int_equal(world.closed, 1);
	assert_true(first->ended);
	close_connection(first);
	pass(100 * S);
	assert_int_equal(world.closed, 1);
	assert_true(is_linked(0));
}

static void a_quiet_one_is_not_closed_when_it_is_superseded(void **state)
{
	struct connection *first = connect_to(0);

	send_frame(0, 0, false);
	close_stream(stream_of(first, 0));
	pass(100 * S);
	connect_to(0);
	/* The other side may be about to send on it. */
	pass(LINK_UNUSED_MS * MS - 1);
	assert_int_equal(world.closed, 0);
	pass(1);
	assert_int_equal(world.closed, 1);
}

/* Of two sides that each take another connection for the older one, one is slower. */
static void the_greater_id_closes_later(void **state)
{
	struct links *links = world.links;
	struct id greater;

	memset(greater.bytes, 0xff, ID_SIZE);
	links->me = greater;
	connect_to(0);
	connect_to(0);
	pass(LINK_UNUSED_MS * MS + LINK_YIELD_MS * MS - 1);
	assert_int_equal(world.closed, 0);
	pass(1);
	assert_int_equal(world.closed, 2);
}

static void old_ones_are_closed_with_their_streams(void **state)
{
	struct connection *first = connect_to(0), *second, *third;

	links_inbound(world.links, world.now, &first->linked, true);
	second = connect_to(0);
	links_inbound(world.links, world.now, &second->linked, true);
	pass(100 * S);
	assert_int_equal(world.closed, 0); /* the other side may send on it */
	third = connect_to(0);
	send_frame(0, 0, false);
	assert_ptr_equal(world.handed_to, third);
	pass(LINK_OLD_MS * MS - 1);
	assert_int_equal(world.closed, 0);
	pass(1);
	assert_true(first->ended);
	pass(100 * S);
	assert_false(second->ended);
	assert_false(third->ended);
}

static void content_does_not_wait_for_credit_for_ever(void **state)
{
	struct connection *connection = connect_with(0, 0, ERROR_NONE);

	send_frame(0, 0, false);
	pass(LINK_CREDIT_MS * MS - 1);
	send_frame(0, 0, false);
	assert_int_equal(waiting(), 2);
	pass(1);
	assert_int_equal(counted(COUNTER_DROPPED_NO_STREAM_CREDIT), 2);
	/* From now on none is taken, until there is credit. */
	send_frame(0, 0, false);
	assert_int_equal(counted(COUNTER_DROPPED_NO_STREAM_CREDIT), 3);
	connection->credit = 1;
	links_credit(world.links, world.now, &connection->linked);
	send_frame(0, 0, false);
	assert_int_equal(world.handed, 1);
	assert_int_equal(dropped(), 3);
}

static void too_many_connections(void **state)
{
	struct connection *connections[2 * LIMIT_CONNECTIONS_PER_PEER];
	const size_t limit = LIMIT_CONNECTIONS_PER_PEER;

	/* One with nothing under way gives way first, then the oldest. */
	for (size_t i = 0; i < limit; i++)
		connections[i] = connect_to(0);
	assert_int_equal(world.closed, 0);
	for (size_t i = 0; i < limit; i++)
		if (i != 2)
			links_inbound(world.links, world.now, &connections[i]->linked, true);
	connections[limit] = connect_to(0);
	assert_int_equal(world.closed, 1);
	assert_true(connections[2]->ended);
	links_inbound(world.links, world.now, &connections[limit]->linked, true);
	connections[limit + 1] = connect_to(0);
	assert_true(connections[0]->ended);
	/* While too many are closing there is no room for another. */
	for (size_t i = limit + 2; i < 2 * limit; i++)
		connections[i] = connect_to(0);
	connect_with(0, 0, ERROR_LIMIT);
	assert_int_equal(counted(COUNTER_LIMIT_CONNECTIONS), 1);
	connect_to(1);
	take();
	close_connection(connections[0]);
	send_frame(0, 0, false);
	assert_ptr_equal(world.handed_to, connections[2 * limit - 1]);
	/* Only closing ones are left: nothing can be sent on them. */
	for (size_t i = 2 * limit - 1; i >= 1; i--)
		if (!connections[i]->ended)
			close_connection(connections[i]);
	send_frame(0, 0, false);
	assert_int_equal(waiting(), 1);
	assert_true(is_linked(0)); /* until their end is reported */
}

static void freed_with_everything_open(void **state)
{
	struct connection *connection = connect_with(0, 2, ERROR_NONE);

	send_frame(0, 0, false);
	send_frame(0, 1, false);
	send_frame(0, 2, false);
	send_frame(0, 0, true);
	connect_with(0, 0, ERROR_NONE);
	send_frame(0, 0, false);
	send_frame(1, 0, false);
	assert_non_null(stream_of(connection, 1));
	/* teardown frees it and looks for leaks */
}

/* ---- what comes back ---- */

static void send_control(size_t peer, size_t topic)
{
	struct id to = peer_id(peer), overlay = topic_id(topic);
	struct frame *frame = make_frame(peer, topic);

	frame->droppable = false;
	links_send(world.links, world.now, &to, &overlay, frame, false);
}

static void what_was_not_acknowledged_goes_out_again(void **state)
{
	struct connection *connection = connect_to(0);
	struct stream *stream;

	world.holds = true;
	send_control(0, 0);
	for (int i = 0; i < 3; i++)
		send_frame(0, 0, false);
	send_control(0, 0);
	send_frame(0, 0, false);
	send_frame(0, 1, false);
	assert_int_equal(world.handed, 7);
	acknowledge(stream_of(connection, 0), 2);
	close_connection(connection);
	/* Of seven one was acknowledged, one was a control frame. */
	send_frame(0, 0, false);
	assert_int_equal(waiting(), 5);
	pass(LINK_LOST_MS * MS - 1);
	connection = connect_to(0);
	resume(0, 0);
	resume(0, 1);
	assert_int_equal(waiting(), 0);
	stream = stream_of(connection, 0);
	assert_int_equal(stream->frames, 4); /* in order, as io_send has seen */
	assert_int_equal(stream_of(connection, 1)->frames, 1);
	close_stream(stream);
	assert_int_equal(dropped(), 0);
}

/* It may have been restarted, and take its time to join again: what came back waits for that. */
static void it_waits_for_a_sign(void **state)
{
	struct connection *connection = connect_to(0);

	world.holds = true;
	for (int i = 0; i < 3; i++)
		send_frame(0, 0, false);
	close_connection(connection);
	connection = connect_to(0);
	send_control(0, 0);
	pass((LINK_HOLD_MS + 3000) * MS);
	assert_int_equal(waiting(), 3);
	assert_int_equal(stream_of(connection, 0)->frames, 1);
	/* Another one that comes and goes is no sign. */
	close_connection(connect_to(0));
	pass(1 * S);
	assert_int_equal(waiting(), 3);
	assert_int_equal(world.handed, 1); /* the control frame */
	resume(0, 0);
	assert_int_equal(world.handed, 4);
	send_frame(0, 0, false);
	assert_int_equal(waiting(), 0);
	/* And from now on nothing is held. */
	close_connection(connection);
	connection = connect_to(0);
	resume(0, 0);
	assert_int_equal(stream_of(connection, 0)->frames, 4);
	assert_int_equal(dropped(), 0);
}

static void it_waits_for_a_sign_but_not_for_ever(void **state)
{
	struct connection *connection = connect_to(0);

	world.holds = true;
	send_frame(0, 0, false);
	close_connection(connection);
	send_frame(0, 0, false);
	send_control(0, 0);
	connection = connect_to(0);
	assert_int_equal(stream_of(connection, 0)->frames, 1);
	send_frame(0, 0, false);
	send_control(0, 0);
	send_frame(0, 1, false); /* nothing of this overlay has come back */
	assert_int_equal(stream_of(connection, 0)->frames, 2);
	assert_int_equal(stream_of(connection, 1)->frames, 1);
	pass(LINK_HOLD_MS * MS - 1);
	assert_int_equal(waiting(), 3);
	/* What is new goes, as long as it can be that the sign alone is missing. */
	pass(1);
	assert_int_equal(stream_of(connection, 0)->frames, 4);
	send_frame(0, 0, false);
	assert_int_equal(stream_of(connection, 0)->frames, 5);
	assert_int_equal(waiting(), 1);
	pass((LINK_KEPT_MS - LINK_HOLD_MS) * MS - 1);
	assert_int_equal(dropped(), 0);
	pass(1);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 1);
	assert_int_equal(waiting(), 0);
	/* Nor for a farewell, which it goes before. */
	close_connection(connection);
	connection = connect_to(0);
	assert_null(connection->streams);
	send_frame(0, 0, true);
	release(0, 1);
	assert_int_equal(stream_of(connection, 0)->frames, 4);
	assert_int_equal(stream_of(connection, 1)->frames, 1);
	close_stream(stream_of(connection, 0));
	close_stream(stream_of(connection, 1));
	assert_false(links_sending(world.links));
	assert_int_equal(dropped(), 1);
}

static void for_a_lost_peer_it_waits_until_that_is_a_neighbour(void **state)
{
	struct connection *connection = connect_to(0);

	world.holds = true;
	for (int i = 0; i < 3; i++)
		send_frame(0, 0, false);
	send_frame(0, 1, false);
	close_connection(connection);
	send_frame(0, 0, false);
	pass(LINK_LOST_MS * MS);
	assert_int_equal(world.losts[0], 1);
	assert_int_equal(world.wanted[0], 1);
	assert_false(links_sending(world.links));
	pass((LINK_KEPT_MS - LINK_LOST_MS) * MS - 1);
	assert_int_equal(world.losts[0], 1);
	connection = connect_to(0);
	take();
	assert_null(connection->streams);
	send_control(0, 0);
	resume(0, 0);
	resume(0, 0);
	resume(0, 2);
	send_frame(0, 0, false);
	/* A new stream: its frames are in order there, the control frame is not of them. */
	assert_int_equal(stream_of(connection, 0)->frames, 1 + 4 + 1);
	assert_null(stream_of(connection, 1));
	pass(1);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 1); /* of the other overlay */
	assert_int_equal(waiting(), 0);
}

static void what_comes_back_is_not_kept_for_ever(void **state)
{
	struct connection *connection = connect_to(0);

	world.holds = true;
	for (int i = 0; i < 3; i++)
		send_frame(0, 0, false);
	close_connection(connection);
	/* To and fro does not make it younger. */
	pass(20 * S);
	connection = connect_to(0);
	resume(0, 0);
	send_frame(0, 0, false);
	assert_int_equal(stream_of(connection, 0)->frames, 4);
	pass(5 * S);
	close_connection(connection);
	pass(5 * S - 1);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 0);
	pass(1);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 3);
	pass(25 * S - 1);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 3);
	pass(1);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 4);
	assert_true(links_deadline(world.links) == UINT64_MAX);
	/* When it is too old already, it is not kept at all. */
	connection = connect_to(0);
	send_frame(0, 0, false);
	close_connection(connection);
	connection = connect_to(0);
	pass(LINK_KEPT_MS * MS);
	close_connection(connection);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 5);
}

/* The peer was restarted and has dialled: its old connection ends when new content is out. */
static void what_comes_back_from_an_older_connection(void **state)
{
	struct connection *first = connect_to(0), *second;

	world.holds = true;
	for (int i = 0; i < 3; i++)
		send_frame(0, 0, false);
	second = connect_to(0);
	send_frame(0, 0, false);
	pass(LINK_ORDER_MS * MS);
	assert_int_equal(stream_of(second, 0)->frames, 1);
	close_connection(first);
	assert_int_equal(stream_of(second, 0)->frames, 4);
	/* Both streams end with one connection: all is in order again. */
	close_connection(second);
	assert_int_equal(waiting(), 4);
	second = connect_to(0);
	resume(0, 0);
	assert_int_equal(stream_of(second, 0)->frames, 4);
	assert_int_equal(dropped(), 0);
}

/* Left, or not a neighbour any more: what was sent before is still meant. */
static void what_comes_back_when_nobody_needs_the_link(void **state)
{
	struct connection *connection = connect_to(0);

	world.holds = true;
	send_frame(0, 0, false);
	send_control(0, 0);
	release(0, 0);
	close_connection(connection);
	take();
	assert_int_equal(world.wanted[0], 0);
	assert_int_equal(world.losts[0], 0);
	assert_int_equal(waiting(), 1);
	connection = connect_to(0);
	resume(0, 0);
	assert_int_equal(stream_of(connection, 0)->frames, 1);
	/* An old stream that was given up meanwhile: it comes back to no channel. */
	release(0, 0);
	connect_to(0);
	send_frame(0, 0, false);
	pass(LINK_ORDER_MS * MS);
	assert_int_equal(world.handed, 2);
	release(0, 0);
	close_stream(stream_of(world.connections, 0));
	assert_true(links_sending(world.links)); /* the old stream */
	close_connection(connection);
	/* It goes out on a stream of its own, which ends with it. */
	assert_int_equal(stream_of(world.connections, 0)->frames, 1);
	assert_true(stream_of(world.connections, 0)->finished);
	close_stream(stream_of(world.connections, 0));
	assert_false(links_sending(world.links));
	assert_int_equal(dropped(), 0);
}

/* Frames with a body of this size. */
static void send_large(size_t peer, struct message *body)
{
	struct id to = peer_id(peer), overlay = topic_id(0);
	struct frame *frame = make_frame(peer, 0);

	frame->body = message_ref(body);
	links_send(world.links, world.now, &to, &overlay, frame, false);
}

static void what_is_kept_is_bounded(void **state)
{
	static const uint8_t content[1 << 20];
	struct message *body = message_new(content, sizeof content - sizeof(unsigned));
	const unsigned room = LIMIT_PEER_QUEUE_BYTES / sizeof content;
	const unsigned rooms = LIMIT_KEPT_BYTES / LIMIT_PEER_QUEUE_BYTES;
	struct connection *connections[PEERS];

	assert_non_null(body);
	assert_true(rooms < PEERS);
	world.holds = true;
	for (size_t peer = 0; peer <= rooms; peer++) {
		connections[peer] = connect_to(peer);
		for (unsigned i = 0; i < room + 2; i++)
			send_large(peer, body);
	}
	for (size_t peer = 0; peer < rooms; peer++) {
		close_connection(connections[peer]);
		assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 2 * (peer + 1));
	}
	/* In sum: for one more there is no room at all. */
	close_connection(connections[rooms]);
	assert_int_equal(counted(COUNTER_DROPPED_PEER_LOST), 2 * rooms + room + 2);
	/* The oldest have given way. */
	connections[0] = connect_to(0);
	resume(0, 0);
	assert_int_equal(stream_of(connections[0], 0)->frames, room);
	/* So there is room again, and after the time for all. */
	send_large(rooms, body);
	assert_int_equal(waiting(), (rooms - 1) * room + 1);
	pass(LINK_KEPT_MS * MS + LINK_LOST_MS * MS);
	assert_int_equal(waiting(), 0);
	message_unref(body);
}

/* ---- without memory ---- */

static void a_bit_of_everything(void)
{
	struct link_effect effect;
	struct id to = peer_id(0);
	struct connection *connections[2] = {0};
	struct stream *stream;
	int error;

	for (size_t i = 0; i < 2; i++) {
		for (size_t topic = 0; topic < 2; topic++)
			send_frame(0, topic, false);
		connections[i] = calloc(1, sizeof **connections);
		assert_non_null(connections[i]);
		connections[i]->credit = 5;
		connections[i]->next = world.connections;
		world.connections = connections[i];
		error = links_connected(
			world.links, world.now, &to, &connections[i]->linked, false);
		if (error) {
			assert_int_equal(error, ERROR_NOMEM);
			assert_null(connections[i]->linked.link);
		}
		for (size_t topic = 0; topic < 2; topic++)
			send_frame(0, topic, topic == 1);
		while (links_effect(world.links, world.now, &effect))
			;
		assert_true(links_deadline(world.links) > world.now);
	}
	for (size_t i = 0; i < 2; i++) {
		if (!connections[i]->linked.link)
			continue;
		for (stream = connections[i]->streams; stream; stream = stream->next)
			if (stream->finished && !stream->closed)
				close_stream(stream);
		close_connection(connections[i]);
	}
	while (links_effect(world.links, world.now, &effect))
		;
	world.now += 10 * S;
	while (links_effect(world.links, world.now, &effect))
		;
}

static void make_spare_frames(size_t count)
{
	struct frame *frame;

	for (size_t i = 0; i < count; i++) {
		frame = frame_new(sizeof(unsigned));
		assert_non_null(frame);
		frame->next = world.spare;
		world.spare = frame;
	}
}

static void each_allocation_fails(void **state)
{
	struct links *links = NULL;
	struct link_io io = {0};
	bool failed = true;

	heap_fail(1, false);
	assert_int_equal(links_new(&io, &nobody, &world.random, &world.counters, &links),
		ERROR_NOMEM);
	heap_fail(0, false);
	for (size_t n = 1; failed; n++) {
		for (int sticky = 0; sticky < 2; sticky++) {
			teardown(NULL);
			setup(NULL);
			world.holds = n % 2;
			make_spare_frames(8);
			heap_fail(n, sticky);
			a_bit_of_everything();
			failed = heap_has_failed();
			heap_fail(0, false);
		}
		assert_true(n < 200);
	}
	assert_int_equal(waiting(), 0);
}

/* ---- anything in any order ---- */

static struct connection *random_connection(void)
{
	struct connection *connection, *found = NULL;
	uint64_t count = 0;

	for (connection = world.connections; connection; connection = connection->next)
		if (connection->linked.link && random_below(&world.random, ++count) == 0)
			found = connection;
	return found;
}

static struct stream *random_stream(bool finished)
{
	struct connection *connection;
	struct stream *stream, *found = NULL;
	uint64_t count = 0;

	for (connection = world.connections; connection; connection = connection->next)
		for (stream = connection->streams; stream; stream = stream->next)
			if (!stream->closed && stream->finished == finished &&
				random_below(&world.random, ++count) == 0)
				found = stream;
	return found;
}

static void random_connect(size_t peer)
{
	struct connection *connection;
	struct id id = peer_id(peer);
	size_t linked = 0, ended = 0;

	for (connection = world.connections; connection; connection = connection->next) {
		linked += connection->linked.link && connection->peer == peer;
		ended += connection->linked.link && connection->peer == peer && connection->ended;
	}
	if (linked >= LIMIT_CONNECTIONS_PER_PEER && ended > 0)
		return; /* it may be refused */
	connect_with(peer, (unsigned)random_below(&world.random, 2 * TOPICS), ERROR_NONE);
	assert_non_null(links_newest(world.links, &id));
}

static void random_inbound(struct connection *connection)
{
	bool begun = connection->inbound == 0 || random_below(&world.random, 2);

	if (connection->ended)
		return;
	connection->used = world.now;
	connection->inbound += begun ? 1 : (unsigned)-1;
	links_inbound(world.links, world.now, &connection->linked, begun);
}

static void random_event(void)
{
	size_t peer = random_below(&world.random, PEERS);
	size_t topic = random_below(&world.random, TOPICS);
	struct connection *connection = random_connection();
	struct stream *stream;
	struct id id = peer_id(peer);

	/* What is sent is sent to neighbours. */
	resume(peer, topic);
	switch (random_below(&world.random, 24)) {
	case 0:
		random_connect(peer);
		break;
	case 1:
		if (connection)
			close_connection(connection);
		break;
	case 2:
		links_gave_up(world.links, world.now, &id);
		break;
	case 3:
		if (connection && !connection->ended) {
			connection->credit += (unsigned)random_below(&world.random, 4);
			links_credit(world.links, world.now, &connection->linked);
		}
		break;
	case 4:
		if (connection)
			random_inbound(connection);
		break;
	case 5:
		stream = random_stream(false); /* stopped by the peer */
		if (stream)
			close_stream(stream);
		break;
	case 6:
	case 7:
	case 8:
		stream = random_stream(true); /* acknowledged */
		if (stream)
			close_stream(stream);
		break;
	case 9:
		send_frame(peer, topic, true);
		break;
	case 10:
		release(peer, topic);
		break;
	case 11:
		send_frame(peer, topic, true);
		release(peer, topic);
		break;
	case 12:
		world.send_error = ERROR_FULL;
		send_frame(peer, topic, false);
		world.send_error = 0;
		break;
	case 13:
		pass(random_below(&world.random, 3 * LINK_UNUSED_MS) * MS);
		break;
	case 14:
	case 15:
	case 16:
		pass(random_below(&world.random, LINK_LOST_MS) * MS);
		break;
	default:
		send_frame(peer, topic, false);
		break;
	}
}

/* What is closed by the links is reported as closed some time later. */
static void report_ended(bool all)
{
	struct connection *connection;

	for (connection = world.connections; connection; connection = connection->next)
		if (connection->linked.link && connection->ended &&
			(all || random_below(&world.random, 3) == 0))
			close_connection(connection);
}

static bool is_in_use(const struct connection *connection)
{
	const struct stream *stream;

	for (stream = connection->streams; stream; stream = stream->next)
		if (!stream->closed)
			return true;
	return connection->inbound > 0;
}

static void check_peers(void)
{
	struct connection *connection;
	bool open[PEERS] = {false};

	for (connection = world.connections; connection; connection = connection->next) {
		if (!connection->linked.link)
			continue;
		if (!open[connection->peer] || is_in_use(connection))
			connection->used = world.now;
		/* One that is not the newest is closed in time. */
		assert_true(connection->ended ||
			    world.now <= connection->used + (LINK_UNUSED_MS + 1) * MS);
		open[connection->peer] = true;
	}
	for (size_t peer = 0; peer < PEERS; peer++) {
		/* Ups and downs take turns, and the last one says how it is. */
		assert_int_equal(world.ups[peer], world.downs[peer] + open[peer]);
		assert_int_equal(is_linked(peer), open[peer]);
		if (open[peer] || world.gone_since[peer] == 0)
			continue;
		if (world.now >= world.gone_since[peer] + LINK_LOST_MS * MS)
			assert_true(world.losts[peer] > world.losts_before[peer]);
	}
}

/* Whoever still waits gets a connection, credit and acknowledgements. */
static void settle(void)
{
	struct stream *stream;

	report_ended(true);
	for (size_t peer = 0; peer < PEERS; peer++) {
		connect_with(peer, 100000, ERROR_NONE);
		for (size_t topic = 0; topic < TOPICS; topic++)
			resume(peer, topic);
	}
	while ((stream = random_stream(true)))
		close_stream(stream);
	assert_int_equal(waiting(), 0);
	for (size_t peer = 0; peer < PEERS; peer++)
		for (size_t topic = 0; topic < TOPICS; topic++)
			release(peer, topic);
	while ((stream = random_stream(true)))
		close_stream(stream);
	assert_false(links_sending(world.links));
	take();
}

static void free_the_gone(void)
{
	struct connection **at = &world.connections, *connection;

	while ((connection = *at)) {
		if (connection->linked.link) {
			at = &connection->next;
			continue;
		}
		*at = connection->next;
		free_streams(connection);
		free(connection);
	}
}

static void anything_in_any_order(void **state)
{
	for (unsigned seed = 1; seed <= 300; seed++) {
		teardown(NULL);
		setup(NULL);
		world.seed = seed;
		world.holds = seed % 2;
		for (int i = 0; i < 400; i++) {
			random_event();
			report_ended(false);
			/* As the engine does after each event, nearly always. */
			if (random_below(&world.random, 10) > 0)
				take();
			if (i % 10 == 0) {
				take();
				check_peers();
			}
			if (i % 100 == 99)
				settle();
			free_the_gone();
		}
	}
}

/* However many links there are, those that have something to tell do so in the order in which it
 * was due, each at its own time. */
static void many_links_are_told_of_in_order(void **state)
{
	static struct connection connections[1000];
	const size_t n = sizeof connections / sizeof *connections;
	struct id topic = topic_id(0), id = {{0}};
	struct link_effect effect;

	for (uint16_t i = 0; i < n; i++) {
		memcpy(id.bytes, &i, sizeof i);
		connections[i].credit = 2;
		assert_int_equal(links_connected(world.links, world.now, &id,
					 &connections[i].linked, false),
			ERROR_NONE);
		links_send(world.links, world.now, &id, &topic, make_frame(0, 0), false);
	}
	for (size_t i = 0; i < n; i++) {
		assert_true(links_effect(world.links, world.now, &effect));
		assert_int_equal(effect.type, LINK_UP);
	}
	assert_false(links_effect(world.links, world.now, &effect));
	/* The last one that came is the first one to go. */
	for (uint16_t i = n; i-- > 0; world.now += MS / 2) {
		memcpy(id.bytes, &i, sizeof i);
		connections[i].streams->closed = true;
		links_stream_closed(
			world.links, world.now, connections[i].linked.streams_out, NULL);
		links_closed(world.links, world.now, &connections[i].linked);
		assert_true(links_effect(world.links, world.now, &effect));
		assert_int_equal(effect.type, LINK_DOWN);
		assert_true(id_equal(&effect.peer, &id));
		links_send(world.links, world.now, &id, &topic, make_frame(0, 0), false);
		assert_true(links_effect(world.links, world.now, &effect));
		assert_int_equal(effect.type, LINK_WANTED);
		assert_false(links_effect(world.links, world.now, &effect));
	}
	/* By now all are lost. */
	world.now += S;
	for (uint16_t i = n; i-- > 0;) {
		memcpy(id.bytes, &i, sizeof i);
		assert_true(links_effect(world.links, world.now, &effect));
		assert_int_equal(effect.type, LINK_LOST);
		assert_true(id_equal(&effect.peer, &id));
	}
	/* What was for them is kept for a while. */
	world.now += 100 * S;
	assert_false(links_effect(world.links, world.now, &effect));
	assert_true(links_deadline(world.links) == UINT64_MAX);
	for (size_t i = 0; i < n; i++)
		free_streams(&connections[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_to_do),
		TEST(a_frame_wants_a_connection),
		TEST(links_are_apart),
		TEST(the_newest_wins),
		TEST(fewer_are_told_twice),
		TEST(order_is_kept_over_two_supersedes),
		TEST(the_newest_goes_first),
		TEST(a_relayed_one_gives_way),
		TEST(a_relayed_one_comes_second),
		TEST(a_killed_peer_does_not_hold_up),
		TEST(lost_after_a_second),
		TEST(a_link_that_nobody_uses_is_not_lost),
		TEST(what_is_released_at_once_is_brought_all_the_same),
		TEST(back_in_time),
		TEST(something_to_send_just_after_the_end),
		TEST(each_change_is_told),
		TEST(giving_up),
		TEST(gave_up_but_connected_before_it_is_told),
		TEST(no_credit_for_one_does_not_stall_others),
		TEST(credit_on_an_old_connection),
		TEST(waiting_is_bounded),
		TEST(control_frames_have_more_room),
		TEST(slow_peers),
		TEST(a_stream_that_the_peer_stops),
		TEST(a_farewell_ends_the_stream),
		TEST(joined_again_just_after_the_farewell),
		TEST(a_farewell_without_a_release),
		TEST(an_endless_farewell_does_not_hold_up),
		TEST(needed_again_before_the_farewell_is_sent),
		TEST(a_farewell_finds_no_connection),
		TEST(a_farewell_that_waits),
		TEST(released),
		TEST(released_while_something_waits),
		TEST(released_while_it_is_dialled),
		TEST(released_and_needed_again),
		TEST(unused_ones_are_closed),
		TEST(kept_ones_are_not_closed),
		TEST(used_ones_are_not_closed),
		TEST(superseded_ones_are_closed_when_quiet),
		TEST(a_quiet_one_is_not_closed_when_it_is_superseded),
		TEST(the_greater_id_closes_later),
		TEST(old_ones_are_closed_with_their_streams),
		TEST(content_does_not_wait_for_credit_for_ever),
		TEST(too_many_connections),
		TEST(many_links_are_told_of_in_order),
		TEST(freed_with_everything_open),
		TEST(what_was_not_acknowledged_goes_out_again),
		TEST(it_waits_for_a_sign),
		TEST(it_waits_for_a_sign_but_not_for_ever),
		TEST(for_a_lost_peer_it_waits_until_that_is_a_neighbour),
		TEST(what_comes_back_is_not_kept_for_ever),
		TEST(what_comes_back_from_an_older_connection),
		TEST(what_comes_back_when_nobody_needs_the_link),
		TEST(what_is_kept_is_bounded),
		TEST(each_allocation_fails),
		TEST(anything_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
