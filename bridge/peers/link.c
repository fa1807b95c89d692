/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "link_internal.h"

int links_new(const struct link_io *io, const struct id *me, const struct random *random,
	struct counters *counters, struct links **out)
{
	struct links *links = memory_zalloc(sizeof *links);

	if (!links)
		return ERROR_NOMEM;
	links->io = *io;
	links->me = *me;
	links->counters = counters;
	keyed_init(&links->keyed, random);
	*out = links;
	return ERROR_NONE;
}

void link_soon(struct links *links, struct link *link, uint64_t due)
{
	if (due < link->timer.at)
		timers_set(&links->timers, &link->timer, due);
}

static struct link *link_of(struct timer *timer)
{
	return (struct link *)((char *)timer - offsetof(struct link, timer));
}

struct link *links_find(const struct links *links, const struct id *peer)
{
	struct link *link;

	KEYED_FIND(&links->keyed, links->links, peer, sizeof *peer, link);
	return link;
}

struct link *links_find_or_add(struct links *links, const struct id *peer)
{
	struct link *link = links_find(links, peer);

	if (link)
		return link;
	if (timers_reserve(&links->timers, HASH_COUNT(links->links) + 1))
		return NULL;
	link = memory_zalloc(sizeof *link);
	if (!link)
		return NULL;
	link->peer = *peer;
	link->timer.at = TIMER_NEVER;
	link->lost_due = UINT64_MAX;
	link->order_due = UINT64_MAX;
	link->credit_due = UINT64_MAX;
	link->fewer_due = UINT64_MAX;
	link->kept_due = UINT64_MAX;
	link->held_due = UINT64_MAX;
	link->behind_since = UINT64_MAX;
	KEYED_ADD(&links->keyed, links->links, &link->peer, sizeof link->peer, link);
	return link;
}

static void remove_link(struct links *links, struct link *link)
{
	struct channel *channel, *next;

	HASH_ITER (hh, link->channels, channel, next)
		channel_remove(links, link, channel);
	channels_drop_parked(links, link);
	timers_set(&links->timers, &link->timer, TIMER_NEVER);
	HASH_DELETE(hh, links->links, link);
	memory_free(link);
}

void links_free(struct links *links)
{
	struct link *link, *next_link;
	struct link_connection *connection;
	struct stream_out *stream_out, *next_stream;

	if (!links)
		return;
	HASH_ITER (hh, links->links, link, next_link) {
		DL_FOREACH (link->connections, connection) {
			DL_FOREACH_SAFE (connection->streams_out, stream_out, next_stream)
				memory_free(stream_out);
			connection->link = NULL;
		}
		remove_link(links, link);
	}
	timers_clear(&links->timers);
	memory_free(links);
}

struct link_connection *link_newest(struct link *link)
{
	return link->connections && !link->connections->closing ? link->connections : NULL;
}

/* Closes an older connection before there is one more than a peer may have: best one on which
 * nothing is under way, as a peer that leaves overlays has many (an upstream node makes a new
 * connection each time); else the oldest, for a peer that was restarted in a hurry leaves several
 * connections behind that only time out. */
static void make_way(struct links *links, struct link *link)
{
	struct link_connection *connection, *victim = NULL;
	size_t open = 0;
	bool quiet;

	DL_FOREACH (link->connections, connection) {
		if (connection->closing)
			continue;
		open++;
		quiet = connection->inbound == 0 && !connection->streams_out;
		if (quiet || !victim || victim->inbound > 0 || victim->streams_out)
			victim = connection;
	}
	if (open < LIMIT_CONNECTIONS_PER_PEER)
		return;
	victim->closing = true;
	links->io.close(victim);
}

/* Updates whether the link is relayed, and the number of such links, after a change of the link's
 * connections. */
static void count_relayed(struct links *links, struct link *link)
{
	bool relayed = link->connections && link->connections->relayed;

	if (relayed != link->relayed)
		links->relayed += relayed ? 1 : (size_t)-1;
	link->relayed = relayed;
}

/* Marks the older connections as old and ends the streams on the newest of them, when connection
 * comes about, which is to be used from now on. */
static void supersede(struct links *links, uint64_t now, struct link *link, const struct link_connection *connection)
{
	struct stream_out *stream_out;
	struct link_connection *older;

	if (link->connections->next && link->connections->next->old_since == UINT64_MAX)
		link->connections->next->old_since = now;
	if (!connection->relayed)
		DL_FOREACH (link->connections, older)
			if (older->relayed && older->old_since == UINT64_MAX)
				older->old_since = now;
	DL_FOREACH (link->connections->streams_out, stream_out)
		if (stream_out->channel && !stream_out->ending)
			channel_end_stream(links, now, link, stream_out->channel);
	/* The other side may not know yet that there is a newer one. */
	link->connections->quiet_since = now;
}

/* Tells whether a new connection goes behind one that is there: the other side may send on it all
 * the same. */
static bool is_second(const struct link *link, const struct link_connection *connection)
{
	return connection->relayed && link->connections && !link->connections->relayed && !link->connections->closing;
}

static void insert_second(struct link *link, struct link_connection *connection)
{
	struct link_connection *last = link->connections;

	while (last->next && !last->next->relayed)
		last = last->next;
	DL_APPEND_ELEM(link->connections, last, connection);
}

int links_connected(struct links *links, uint64_t now, const struct id *peer,
	struct link_connection *connection, bool relayed)
{
	struct link *link = links_find_or_add(links, peer);
	struct channel *channel, *next;

	if (!link)
		return ERROR_NOMEM;
	link_soon(links, link, now);
	if (link->connections_count >= 2 * LIMIT_CONNECTIONS_PER_PEER) {
		counters_add(links->counters, COUNTER_LIMIT_CONNECTIONS, 1);
		return ERROR_LIMIT;
	}
	make_way(links, link);
	*connection = (struct link_connection){.link = link,
		.relayed = relayed,
		.quiet_since = now,
		.old_since = UINT64_MAX};
	link->connections_count++;
	if (is_second(link, connection)) {
		insert_second(link, connection);
		return ERROR_NONE;
	}
	if (link->connections) {
		supersede(links, now, link, connection);
	} else {
		link->flapped = link->told_up;
		link->held_due = now + LINK_HOLD_MS * MS;
	}
	DL_PREPEND(link->connections, connection);
	count_relayed(links, link);
	link->lost_due = UINT64_MAX;
	link->wanted = false;
	link->lost = false;
	HASH_ITER (hh, link->channels, channel, next)
		channel_flush(links, now, link, channel);
	return ERROR_NONE;
}

void links_closed(struct links *links, uint64_t now, struct link_connection *connection)
{
	struct link *link = connection->link;
	struct channel *channel, *next;

	DL_DELETE(link->connections, connection);
	link->connections_count--;
	count_relayed(links, link);
	connection->link = NULL;
	if (link->connections) {
		link->connections->old_since = UINT64_MAX; /* the one to use now */
		link->fewer = true;
		link->fewer_due = now + LINK_NOTICED_MS * MS;
		link_soon(links, link, now);
		HASH_ITER (hh, link->channels, channel, next)
			channel_flush(links, now, link, channel);
		return;
	}
	link->fewer = false;
	link->fewer_due = UINT64_MAX;
	HASH_ITER (hh, link->channels, channel, next) {
		/* Nobody is dialled for a farewell. */
		if (channel->released || (channel->last && channel->last->last))
			channel_lose(links, now, link, channel);
		else
			channel->held = channel->unseen = channel->kept != NULL;
	}
	link->held_due = UINT64_MAX;
	link->flapped = !link->told_up;
	link->wanted = link->channels != NULL;
	if (link->channels)
		link->lost_due = now + LINK_LOST_MS * MS;
	link_soon(links, link, now);
}

void links_gave_up(struct links *links, uint64_t now, const struct id *peer)
{
	struct link *link = links_find(links, peer);

	if (!link || link->connections || !link->channels)
		return;
	link->lost = true;
	link_soon(links, link, now);
}

/* Returns how long a connection without a stream stays open, ns. */
static uint64_t unused_ns(const struct links *links, const struct link *link)
{
	bool yields = id_compare(&links->me, &link->peer) > 0;

	return (LINK_UNUSED_MS + (yields ? LINK_YIELD_MS : 0)) * MS;
}

void link_note_quiet(struct links *links, uint64_t now, struct link_connection *connection)
{
	if (connection->inbound > 0 || connection->streams_out)
		return;
	connection->quiet_since = now;
	link_soon(links, connection->link, now + unused_ns(links, connection->link));
}

void links_inbound(struct links *links, uint64_t now, struct link_connection *connection, bool begun)
{
	if (begun)
		connection->inbound++;
	else if (connection->inbound > 0)
		connection->inbound--;
	link_note_quiet(links, now, connection);
}

void links_keep(struct links *links, uint64_t now, const struct id *peer, bool keep)
{
	struct link *link = links_find(links, peer);

	if (!link)
		return;
	link->keep = keep;
	link_soon(links, link, now);
}

bool links_linked(const struct links *links, const struct id *peer)
{
	struct link *link = links_find(links, peer);

	return link && link->connections;
}

bool links_relayed(const struct links *links, const struct id *peer)
{
	struct link *link = links_find(links, peer);

	return link && link->relayed;
}

size_t links_count_relayed(const struct links *links)
{
	return links->relayed;
}

struct link_connection *links_newest(const struct links *links, const struct id *peer)
{
	struct link *link = links_find(links, peer);

	return link ? link->connections : NULL;
}

bool links_sending(const struct links *links)
{
	struct link *link, *next;
	struct link_connection *connection;

	HASH_ITER (hh, links->links, link, next) {
		if (link->channels)
			return true;
		DL_FOREACH (link->connections, connection)
			if (connection->streams_out)
				return true;
	}
	return false;
}

const struct id *links_peer(const struct link_connection *connection)
{
	return &connection->link->peer;
}

uint64_t links_deadline(const struct links *links)
{
	const struct timer *first = timers_first(&links->timers);

	return first ? first->at : UINT64_MAX;
}

/* Tells whether a connection may be closed: it is old, or nothing was on it for a while and it is
 * either not the newest, or neither an overlay nor the owner wants the link. */
static bool is_unused(const struct links *links, const struct link *link, const struct link_connection *connection,
	uint64_t now)
{
	if (connection->closing || connection->streams_out)
		return false;
	if (connection->old_since != UINT64_MAX && now >= connection->old_since + LINK_OLD_MS * MS)
		return true;
	if (connection->inbound > 0)
		return false;
	if (connection == link->connections && (link->channels || link->keep))
		return false;
	return now >= connection->quiet_since + unused_ns(links, link);
}

static void tick_connections(struct links *links, uint64_t now, struct link *link, uint64_t *due)
{
	struct link_connection *connection;
	uint64_t next_due;

	DL_FOREACH (link->connections, connection) {
		if (is_unused(links, link, connection, now)) {
			connection->closing = true;
			links->io.close(connection);
			continue;
		}
		next_due = connection->old_since + LINK_OLD_MS * MS;
		if (!connection->closing && !connection->streams_out && connection->old_since != UINT64_MAX &&
			next_due < *due)
			*due = next_due;
		next_due = connection->quiet_since + unused_ns(links, link);
		if (!connection->closing && !connection->streams_out && connection->inbound == 0 && next_due > now &&
			next_due < *due)
			*due = next_due;
	}
	if (link->order_due < *due)
		*due = link->order_due;
	if (link->credit_due < *due)
		*due = link->credit_due;
	if (link->fewer_due < *due)
		*due = link->fewer_due;
	if (link->kept_due < *due)
		*due = link->kept_due;
	if (link->held_due < *due)
		*due = link->held_due;
}

/* Tells whether there is a change to be told. Of two changes that cancel out, both are told. */
static bool has_changed(struct link *link)
{
	bool is_up = link->connections != NULL;

	if (link->told_up == is_up && !link->flapped)
		return false;
	link->flapped = false;
	link->told_up = !link->told_up;
	return true;
}

/* Drops everything that is there for a lost peer but content. */
static void lose_link(struct links *links, uint64_t now, struct link *link)
{
	struct channel *channel, *next;

	HASH_ITER (hh, link->channels, channel, next)
		channel_lose(links, now, link, channel);
	if (!link->parked) {
		remove_link(links, link);
		return;
	}
	link->lost_due = UINT64_MAX;
	link->wanted = link->lost = link->keep = false;
}

/* Takes the next effect of a link that is due. False: the link has nothing more to tell for now,
 * and may be gone. */
static bool effect_of(struct links *links, uint64_t now, struct link *link, struct link_effect *out)
{
	uint64_t due = UINT64_MAX;

	out->peer = link->peer;
	channels_tick_order(links, now, link);
	channels_tick_credit(links, now, link);
	channels_tick_kept(links, now, link);
	channels_tick_held(links, now, link);
	if (link->fewer_due <= now) {
		link->fewer = true;
		link->fewer_due = UINT64_MAX;
	}
	tick_connections(links, now, link, &due);
	if (has_changed(link)) {
		out->type = link->told_up ? LINK_UP : LINK_DOWN;
		return true;
	}
	if (link->fewer) {
		link->fewer = false;
		out->type = LINK_FEWER;
		return true;
	}
	if (link->wanted && link->channels) {
		link->wanted = false;
		out->type = LINK_WANTED;
		return true;
	}
	if (!link->channels && !link->lost)
		link->lost_due = UINT64_MAX; /* nobody needs it any more */
	if (link->lost || link->lost_due <= now) {
		lose_link(links, now, link);
		out->type = LINK_LOST;
		return true;
	}
	link->wanted = false;
	if (link->lost_due < due)
		due = link->lost_due;
	timers_set(&links->timers, &link->timer, due);
	if (!link->connections && !link->channels && !link->parked && link->lost_due == UINT64_MAX)
		remove_link(links, link);
	return false;
}

bool links_effect(struct links *links, uint64_t now, struct link_effect *out)
{
	struct timer *first;

	while ((first = timers_first(&links->timers)) && first->at <= now)
		if (effect_of(links, now, link_of(first), out))
			return true;
	return false;
}
