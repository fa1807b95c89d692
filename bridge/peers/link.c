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

	HASH_FIND_BYHASHVALUE(hh, links->links, peer, sizeof *peer,
		keyed_hash(&links->keyed, peer, sizeof *peer), link);
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
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, links->links, &link->peer, sizeof link->peer,
		keyed_hash(&links->keyed, peer, sizeof *peer), link);
	if (!link->hh.tbl) {
		memory_free(link);
		return NULL;
	}
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
	struct lane *lane, *next_lane;
	struct stream_out *stream_out, *next_outlet;
	struct lane *lanes;

	if (!links)
		return;
	HASH_ITER (hh, links->links, link, next_link) {
		lanes = link->lanes;
		remove_link(links, link);
		DL_FOREACH_SAFE (lanes, lane, next_lane) {
			DL_FOREACH_SAFE (lane->streams_out, stream_out, next_outlet)
				memory_free(stream_out);
			memory_free(lane);
		}
	}
	timers_clear(&links->timers);
	memory_free(links);
}

struct lane *link_newest(struct link *link)
{
	return link->lanes && !link->lanes->closing ? link->lanes : NULL;
}

/* Before one more connection than a peer may have, an older one is closed: best one on
 * which nothing is under way, which there are many of with a peer that leaves overlays (an
 * upstream node makes a new connection each time); else the oldest, for a peer that was
 * restarted in a hurry leaves several behind that only time out. */
static void make_way(struct links *links, struct link *link)
{
	struct lane *lane, *victim = NULL;
	size_t open = 0;
	bool quiet;

	DL_FOREACH (link->lanes, lane) {
		if (lane->closing)
			continue;
		open++;
		quiet = lane->inbound == 0 && !lane->streams_out;
		if (quiet || !victim || victim->inbound > 0 || victim->streams_out)
			victim = lane;
	}
	if (open < LIMIT_CONNECTIONS_PER_PEER)
		return;
	victim->closing = true;
	links->io.close(victim->connection);
}

/* After its lanes have changed. */
static void count_relayed(struct links *links, struct link *link)
{
	bool relayed = link->lanes && link->lanes->relayed;

	if (relayed != link->relayed)
		links->relayed += relayed ? 1 : (size_t)-1;
	link->relayed = relayed;
}

/* What older connections there are when lane, which is to be used from now on, comes about. */
static void supersede(struct links *links, uint64_t now, struct link *link, const struct lane *lane)
{
	struct stream_out *stream_out;
	struct lane *older;

	if (link->lanes->next && link->lanes->next->old_since == UINT64_MAX)
		link->lanes->next->old_since = now;
	if (!lane->relayed)
		DL_FOREACH (link->lanes, older)
			if (older->relayed && older->old_since == UINT64_MAX)
				older->old_since = now;
	DL_FOREACH (link->lanes->streams_out, stream_out)
		if (stream_out->channel && !stream_out->ending)
			channel_end_stream(links, now, link, stream_out->channel);
	/* The other side may not know yet that there is a newer one. */
	link->lanes->quiet_since = now;
}

/* Whether lane, which is new, goes behind one that is there: the other side may send on it all the
 * same. */
static bool is_second(const struct link *link, const struct lane *lane)
{
	return lane->relayed && link->lanes && !link->lanes->relayed && !link->lanes->closing;
}

static void insert_second(struct link *link, struct lane *lane)
{
	struct lane *last = link->lanes;

	while (last->next && !last->next->relayed)
		last = last->next;
	DL_APPEND_ELEM(link->lanes, last, lane);
}

int links_connected(struct links *links, uint64_t now, const struct id *peer, void *connection,
	bool relayed, struct lane **out)
{
	struct link *link = links_find_or_add(links, peer);
	struct channel *channel, *next;
	struct lane *lane;

	if (!link)
		return ERROR_NOMEM;
	link_soon(links, link, now);
	if (link->lanes_count >= 2 * LIMIT_CONNECTIONS_PER_PEER) {
		counters_add(links->counters, COUNTER_LIMIT_CONNECTIONS, 1);
		return ERROR_LIMIT;
	}
	make_way(links, link);
	lane = memory_zalloc(sizeof *lane);
	if (!lane)
		return ERROR_NOMEM;
	lane->link = link;
	lane->connection = connection;
	lane->relayed = relayed;
	lane->quiet_since = now;
	lane->old_since = UINT64_MAX;
	*out = lane;
	link->lanes_count++;
	if (is_second(link, lane)) {
		insert_second(link, lane);
		return ERROR_NONE;
	}
	if (link->lanes) {
		supersede(links, now, link, lane);
	} else {
		link->flapped = link->told_up;
		link->held_due = now + LINK_HOLD_MS * MS;
	}
	DL_PREPEND(link->lanes, lane);
	count_relayed(links, link);
	link->lost_due = UINT64_MAX;
	link->wanted = false;
	link->lost = false;
	HASH_ITER (hh, link->channels, channel, next)
		channel_flush(links, now, link, channel);
	return ERROR_NONE;
}

void links_closed(struct links *links, uint64_t now, struct lane *lane)
{
	struct link *link = lane->link;
	struct channel *channel, *next;

	DL_DELETE(link->lanes, lane);
	link->lanes_count--;
	count_relayed(links, link);
	memory_free(lane);
	if (link->lanes) {
		link->lanes->old_since = UINT64_MAX; /* it is what there is now */
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

	if (!link || link->lanes || !link->channels)
		return;
	link->lost = true;
	link_soon(links, link, now);
}

/* How long a connection without a stream stays, ns. */
static uint64_t unused_ns(const struct links *links, const struct link *link)
{
	bool yields = id_compare(&links->me, &link->peer) > 0;

	return (LINK_UNUSED_MS + (yields ? LINK_YIELD_MS : 0)) * MS;
}

void lane_note_quiet(struct links *links, uint64_t now, struct lane *lane)
{
	if (lane->inbound > 0 || lane->streams_out)
		return;
	lane->quiet_since = now;
	link_soon(links, lane->link, now + unused_ns(links, lane->link));
}

void links_inbound(struct links *links, uint64_t now, struct lane *lane, bool begun)
{
	if (begun)
		lane->inbound++;
	else if (lane->inbound > 0)
		lane->inbound--;
	lane_note_quiet(links, now, lane);
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

	return link && link->lanes;
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

void *links_connection(const struct links *links, const struct id *peer)
{
	struct link *link = links_find(links, peer);

	return link && link->lanes ? link->lanes->connection : NULL;
}

bool links_sending(const struct links *links)
{
	struct link *link, *next;
	struct lane *lane;

	HASH_ITER (hh, links->links, link, next) {
		if (link->channels)
			return true;
		DL_FOREACH (link->lanes, lane)
			if (lane->streams_out)
				return true;
	}
	return false;
}

const struct id *links_peer(const struct lane *lane)
{
	return &lane->link->peer;
}

uint64_t links_deadline(const struct links *links)
{
	const struct timer *first = timers_first(&links->timers);

	return first ? first->at : UINT64_MAX;
}

/* Whether a lane may be closed: nothing on it for a while, and it is either not the
 * newest or neither an overlay nor the owner wants the link. */
static bool is_unused(const struct links *links, const struct link *link, const struct lane *lane,
	uint64_t now)
{
	if (lane->closing || lane->streams_out)
		return false;
	if (lane->old_since != UINT64_MAX && now >= lane->old_since + LINK_OLD_MS * MS)
		return true;
	if (lane->inbound > 0)
		return false;
	if (lane == link->lanes && (link->channels || link->keep))
		return false;
	return now >= lane->quiet_since + unused_ns(links, link);
}

static void tick_lanes(struct links *links, uint64_t now, struct link *link, uint64_t *due)
{
	struct lane *lane;
	uint64_t lane_due;

	DL_FOREACH (link->lanes, lane) {
		if (is_unused(links, link, lane, now)) {
			lane->closing = true;
			links->io.close(lane->connection);
			continue;
		}
		lane_due = lane->old_since + LINK_OLD_MS * MS;
		if (!lane->closing && !lane->streams_out && lane->old_since != UINT64_MAX &&
			lane_due < *due)
			*due = lane_due;
		lane_due = lane->quiet_since + unused_ns(links, link);
		if (!lane->closing && !lane->streams_out && lane->inbound == 0 && lane_due > now &&
			lane_due < *due)
			*due = lane_due;
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

/* Whether there is a change to be told: of two that cancel out, both are. */
static bool has_changed(struct link *link)
{
	bool is_up = link->lanes != NULL;

	if (link->told_up == is_up && !link->flapped)
		return false;
	link->flapped = false;
	link->told_up = !link->told_up;
	return true;
}

/* Of what is there for a peer that is lost only content stays. */
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

/* The next thing to be told of a link that is due. False: it is done for now, and may be gone. */
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
	tick_lanes(links, now, link, &due);
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
	if (!link->lanes && !link->channels && !link->parked && link->lost_due == UINT64_MAX)
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
