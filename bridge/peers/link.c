/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "link.h"

#include "../error.h"
#include "../keyed.h"
#include "../limits.h"

#include <utlist.h>

#define MS UINT64_C(1000000)

struct outlet {
	struct link *link;
	struct lane *lane;
	struct channel *channel; /* NULL: the overlay has said farewell on it */
	void *stream;
	bool ending;		    /* finished, and the channel waits for its end */
	uint64_t ending_due;	    /* but not longer than until then */
	struct outlet *prev, *next; /* of the lane */
};

/* One overlay's way to one peer. */
struct channel {
	struct id topic;
	struct outlet *outlet; /* where frames go; NULL: none yet */
	unsigned endings;      /* earlier outlets that are not closed yet */
	bool released;	       /* the overlay does not need it: gone when all is sent */
	bool no_credit;
	uint64_t credit_due; /* no_credit: content is dropped from then on */
	struct frame *first, *last;
	size_t waiting;
	UT_hash_handle hh;
};

struct lane {
	struct link *link;
	void *connection;
	struct outlet *outlets;
	size_t inbound;
	bool closing;
	uint64_t quiet_since; /* no stream on it since then */
	uint64_t old_since;   /* there have been two newer ones since then; else UINT64_MAX */
	struct lane *prev, *next;
};

struct link {
	struct id peer;
	struct lane *lanes; /* newest first */
	size_t lanes_count;
	struct channel *channels;
	uint64_t lost_due;	  /* UINT64_MAX: not about to be lost */
	uint64_t order_due;	  /* when the first ending outlet is not waited for any more */
	uint64_t credit_due;	  /* when the first channel has waited too long for credit */
	uint64_t fewer_due;	  /* when LINK_FEWER is told again */
	bool told_up;		  /* the last of LINK_UP and LINK_DOWN that was taken */
	bool flapped;		  /* changed since then, and changed back */
	bool wanted, fewer, lost; /* effects not taken yet */
	bool keep;		  /* stays open though no overlay uses it */
	UT_hash_handle hh;
};

struct links {
	struct link_io io;
	struct keyed keyed;
	struct counters *counters;
	struct link *links;
	uint64_t due; /* nothing is to be done before; may be too early */
};

int links_new(const struct link_io *io, const struct random *random, struct counters *counters,
	struct links **out)
{
	struct links *links = memory_zalloc(sizeof *links);

	if (!links)
		return ERROR_NOMEM;
	links->io = *io;
	links->counters = counters;
	links->due = UINT64_MAX;
	keyed_init(&links->keyed, random);
	*out = links;
	return ERROR_NONE;
}

static void soon(struct links *links, uint64_t due)
{
	if (due < links->due)
		links->due = due;
}

static struct link *find(const struct links *links, const struct id *peer)
{
	struct link *link;

	HASH_FIND_BYHASHVALUE(hh, links->links, peer, sizeof *peer,
		keyed_hash(&links->keyed, peer, sizeof *peer), link);
	return link;
}

static struct link *find_or_add(struct links *links, const struct id *peer)
{
	struct link *link = find(links, peer);

	if (link)
		return link;
	link = memory_zalloc(sizeof *link);
	if (!link)
		return NULL;
	link->peer = *peer;
	link->lost_due = UINT64_MAX;
	link->order_due = UINT64_MAX;
	link->credit_due = UINT64_MAX;
	link->fewer_due = UINT64_MAX;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, links->links, &link->peer, sizeof link->peer,
		keyed_hash(&links->keyed, peer, sizeof *peer), link);
	if (!link->hh.tbl) {
		memory_free(link);
		return NULL;
	}
	return link;
}

static struct channel *find_channel(struct links *links, struct link *link, const struct id *topic)
{
	struct channel *channel;

	HASH_FIND_BYHASHVALUE(hh, link->channels, topic, sizeof *topic,
		keyed_hash(&links->keyed, topic, sizeof *topic), channel);
	return channel;
}

static struct channel *find_or_add_channel(
	struct links *links, struct link *link, const struct id *topic)
{
	struct channel *channel = find_channel(links, link, topic);

	if (channel)
		return channel;
	channel = memory_zalloc(sizeof *channel);
	if (!channel)
		return NULL;
	channel->topic = *topic;
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, link->channels, &channel->topic, sizeof channel->topic,
		keyed_hash(&links->keyed, topic, sizeof *topic), channel);
	if (!channel->hh.tbl) {
		memory_free(channel);
		return NULL;
	}
	return channel;
}

static void drop(struct links *links, struct frame *frame, enum counter reason)
{
	if (frame->droppable)
		counters_add(links->counters, reason, 1);
	frame_free(frame);
}

static struct frame *take_waiting(struct channel *channel)
{
	struct frame *frame = channel->first;

	if (frame) {
		channel->first = frame->next;
		if (!channel->first)
			channel->last = NULL;
		channel->waiting--;
		frame->next = NULL;
	}
	return frame;
}

static void put_waiting(struct channel *channel, struct frame *frame)
{
	frame->next = NULL;
	if (channel->last)
		channel->last->next = frame;
	else
		channel->first = frame;
	channel->last = frame;
	channel->waiting++;
}

static void put_back(struct channel *channel, struct frame *frame)
{
	frame->next = channel->first;
	channel->first = frame;
	if (!channel->last)
		channel->last = frame;
	channel->waiting++;
}

static void drop_waiting(struct links *links, struct channel *channel, enum counter reason)
{
	struct frame *frame;

	while ((frame = take_waiting(channel)))
		drop(links, frame, reason);
}

/* It has no outlet any more, or the link has no connection. */
static void remove_channel(struct links *links, struct link *link, struct channel *channel)
{
	drop_waiting(links, channel, COUNTER_DROPPED_PEER_LOST);
	HASH_DELETE(hh, link->channels, channel);
	memory_free(channel);
}

static void remove_link(struct links *links, struct link *link)
{
	struct channel *channel, *next;

	HASH_ITER (hh, link->channels, channel, next)
		remove_channel(links, link, channel);
	HASH_DELETE(hh, links->links, link);
	memory_free(link);
}

void links_free(struct links *links)
{
	struct link *link, *next_link;
	struct lane *lane, *next_lane;
	struct outlet *outlet, *next_outlet;
	struct lane *lanes;

	if (!links)
		return;
	HASH_ITER (hh, links->links, link, next_link) {
		lanes = link->lanes;
		remove_link(links, link);
		DL_FOREACH_SAFE (lanes, lane, next_lane) {
			DL_FOREACH_SAFE (lane->outlets, outlet, next_outlet)
				memory_free(outlet);
			memory_free(lane);
		}
	}
	memory_free(links);
}

static struct lane *newest(struct link *link)
{
	return link->lanes && !link->lanes->closing ? link->lanes : NULL;
}

static int open_outlet(struct links *links, struct link *link, struct channel *channel)
{
	struct outlet *outlet;
	int error;

	outlet = memory_zalloc(sizeof *outlet);
	if (!outlet)
		return ERROR_NOMEM;
	outlet->link = link;
	outlet->lane = newest(link);
	outlet->channel = channel;
	error = links->io.open(outlet->lane->connection, &channel->topic, outlet, &outlet->stream);
	if (error) {
		memory_free(outlet);
		return error;
	}
	DL_APPEND(outlet->lane->outlets, outlet);
	channel->outlet = outlet;
	return ERROR_NONE;
}

/* The channel's outlet ends after what it holds. What comes later waits for its end,
 * because streams keep no order among each other; but only so long: one whose peer was
 * killed never ends before the connection times out. */
static void end_outlet(
	struct links *links, uint64_t now, struct link *link, struct channel *channel)
{
	struct outlet *outlet = channel->outlet;

	links->io.finish(outlet->stream);
	outlet->ending = true;
	outlet->ending_due = now + LINK_ORDER_MS * MS;
	channel->endings++;
	channel->outlet = NULL;
	if (outlet->ending_due < link->order_due)
		link->order_due = outlet->ending_due;
	soon(links, link->order_due);
}

static void remove_if_done(struct links *links, struct link *link, struct channel *channel)
{
	if (channel->released && !channel->first && !channel->outlet && channel->endings == 0)
		remove_channel(links, link, channel);
}

/* ERROR_CLOSED: the stream or its connection is over, which will be reported; the frame
 * waits for another one. */
static int send_one(struct links *links, uint64_t now, struct link *link, struct channel *channel)
{
	struct frame *frame = take_waiting(channel);
	bool last = frame->last;
	int error = links->io.send(channel->outlet->stream, frame);

	if (error == ERROR_CLOSED) {
		put_back(channel, frame);
		return error;
	}
	if (error)
		drop(links, frame,
			error == ERROR_NOMEM ? COUNTER_DROPPED_NO_MEMORY_COPY
					     : COUNTER_DROPPED_PEER_SLOW);
	if (last) {
		end_outlet(links, now, link, channel);
		channel->released = !channel->first;
	}
	return ERROR_NONE;
}

static void note_credit(
	struct links *links, uint64_t now, struct link *link, struct channel *channel, bool lacking)
{
	if (lacking && !channel->no_credit) {
		channel->credit_due = now + LINK_CREDIT_MS * MS;
		if (channel->credit_due < link->credit_due)
			link->credit_due = channel->credit_due;
		soon(links, link->credit_due);
	}
	channel->no_credit = lacking;
}

/* Sends what waits, as far as there is a connection, credit, and nothing of an older
 * stream under way. The channel may be gone afterwards. */
static void flush(struct links *links, uint64_t now, struct link *link, struct channel *channel)
{
	int error;

	while (channel->first && channel->endings == 0 && newest(link)) {
		if (!channel->outlet) {
			error = open_outlet(links, link, channel);
			note_credit(links, now, link, channel, error == ERROR_NO_STREAM_CREDIT);
			if (error)
				return;
		}
		if (send_one(links, now, link, channel))
			return;
	}
	remove_if_done(links, link, channel);
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
		quiet = lane->inbound == 0 && !lane->outlets;
		if (quiet || !victim || victim->inbound > 0 || victim->outlets)
			victim = lane;
	}
	if (open < LIMIT_CONNECTIONS_PER_PEER)
		return;
	victim->closing = true;
	links->io.close(victim->connection);
}

int links_connected(struct links *links, uint64_t now, const struct id *peer, void *connection,
	struct lane **out)
{
	struct link *link = find_or_add(links, peer);
	struct channel *channel, *next;
	struct outlet *outlet;
	struct lane *lane;

	if (!link)
		return ERROR_NOMEM;
	soon(links, now);
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
	lane->quiet_since = now;
	lane->old_since = UINT64_MAX;
	if (link->lanes && link->lanes->next && link->lanes->next->old_since == UINT64_MAX)
		link->lanes->next->old_since = now;
	if (link->lanes) {
		DL_FOREACH (link->lanes->outlets, outlet)
			if (outlet->channel && !outlet->ending)
				end_outlet(links, now, link, outlet->channel);
		/* The other side may not know yet that there is a newer one. */
		link->lanes->quiet_since = now;
	} else {
		link->flapped = link->told_up;
	}
	DL_PREPEND(link->lanes, lane);
	link->lanes_count++;
	link->lost_due = UINT64_MAX;
	link->wanted = false;
	link->lost = false;
	HASH_ITER (hh, link->channels, channel, next)
		flush(links, now, link, channel);
	*out = lane;
	return ERROR_NONE;
}

void links_closed(struct links *links, uint64_t now, struct lane *lane)
{
	struct link *link = lane->link;
	struct channel *channel, *next;

	DL_DELETE(link->lanes, lane);
	link->lanes_count--;
	memory_free(lane);
	if (link->lanes) {
		link->fewer = true;
		link->fewer_due = now + LINK_NOTICED_MS * MS;
		soon(links, now);
		HASH_ITER (hh, link->channels, channel, next)
			flush(links, now, link, channel);
		return;
	}
	link->fewer = false;
	link->fewer_due = UINT64_MAX;
	HASH_ITER (hh, link->channels, channel, next) {
		/* Nobody is dialled for a farewell. */
		if (channel->released || (channel->last && channel->last->last))
			remove_channel(links, link, channel);
	}
	link->flapped = !link->told_up;
	link->wanted = link->channels != NULL;
	link->lost_due = now + LINK_LOST_MS * MS;
	soon(links, now);
}

void links_gave_up(struct links *links, uint64_t now, const struct id *peer)
{
	struct link *link = find(links, peer);

	if (!link || link->lanes)
		return;
	link->lost = true;
	soon(links, now);
}

void links_send(struct links *links, uint64_t now, const struct id *peer, const struct id *topic,
	struct frame *frame, bool last)
{
	struct link *link = last ? find(links, peer) : find_or_add(links, peer);
	struct channel *channel;

	frame->last = last;
	if (last && !(link && link->lanes)) {
		/* Nobody is dialled for a farewell. */
		channel = link ? find_channel(links, link, topic) : NULL;
		if (channel)
			remove_channel(links, link, channel);
		drop(links, frame, COUNTER_DROPPED_PEER_LOST);
		return;
	}
	channel = link ? find_or_add_channel(links, link, topic) : NULL;
	if (!channel) {
		soon(links, now); /* a link without a use is forgotten */
		drop(links, frame, COUNTER_DROPPED_NO_MEMORY_COPY);
		return;
	}
	if (channel->no_credit && now >= channel->credit_due && !last &&
		(frame->droppable || channel->waiting >= LINK_STARVED)) {
		drop(links, frame, COUNTER_DROPPED_NO_STREAM_CREDIT);
		return;
	}
	if (channel->waiting >= LINK_WAITING && frame->droppable) {
		drop(links, frame,
			channel->no_credit ? COUNTER_DROPPED_NO_STREAM_CREDIT
					   : COUNTER_DROPPED_PEER_SLOW);
		return;
	}
	if (channel->waiting >= 2 * LINK_WAITING) {
		/* Control messages are repeated by their protocol; but the farewell ends
		 * the stream. */
		if (last)
			drop_waiting(links, channel, COUNTER_DROPPED_PEER_SLOW);
		else {
			drop(links, frame, COUNTER_DROPPED_PEER_SLOW);
			return;
		}
	}
	put_waiting(channel, frame);
	channel->released = false;
	if (!link->lanes) {
		link->wanted = true;
		soon(links, now);
	}
	flush(links, now, link, channel);
}

void links_release(struct links *links, uint64_t now, const struct id *peer, const struct id *topic)
{
	struct link *link = find(links, peer);
	struct channel *channel = link ? find_channel(links, link, topic) : NULL;

	if (!channel)
		return;
	channel->released = true;
	soon(links, now);
	if (!link->lanes)
		remove_channel(links, link, channel);
	else if (channel->last)
		channel->last->last = true; /* what waits is sent, and ends the stream */
	else if (channel->outlet)
		end_outlet(links, now, link, channel);
	else
		remove_if_done(links, link, channel);
}

static void note_quiet(struct links *links, uint64_t now, struct lane *lane)
{
	if (lane->inbound > 0 || lane->outlets)
		return;
	lane->quiet_since = now;
	soon(links, now + LINK_UNUSED_MS * MS);
}

void links_stream_closed(struct links *links, uint64_t now, struct outlet *outlet)
{
	struct channel *channel = outlet->channel;
	struct link *link = outlet->link;
	struct lane *lane = outlet->lane;
	bool ending = outlet->ending;

	DL_DELETE(lane->outlets, outlet);
	memory_free(outlet);
	note_quiet(links, now, lane);
	if (!channel)
		return;
	if (ending)
		channel->endings--;
	else
		channel->outlet = NULL;
	flush(links, now, link, channel);
}

void links_inbound(struct links *links, uint64_t now, struct lane *lane, bool begun)
{
	if (begun)
		lane->inbound++;
	else if (lane->inbound > 0)
		lane->inbound--;
	note_quiet(links, now, lane);
}

void links_credit(struct links *links, uint64_t now, struct lane *lane)
{
	struct link *link = lane->link;
	struct channel *channel, *next;

	if (lane != link->lanes)
		return;
	HASH_ITER (hh, link->channels, channel, next) {
		if (!channel->no_credit)
			continue;
		if (channel->first)
			flush(links, now, link, channel);
		else
			channel->no_credit = false; /* the next frame will tell */
	}
}

void links_keep(struct links *links, uint64_t now, const struct id *peer, bool keep)
{
	struct link *link = find(links, peer);

	if (!link)
		return;
	link->keep = keep;
	soon(links, now);
}

bool links_linked(const struct links *links, const struct id *peer)
{
	struct link *link = find(links, peer);

	return link && link->lanes;
}

void *links_connection(const struct links *links, const struct id *peer)
{
	struct link *link = find(links, peer);

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
			if (lane->outlets)
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
	return links->due;
}

/* Whether a lane may be closed: nothing on it for a while, and it is either not the
 * newest or neither an overlay nor the owner wants the link. */
static bool is_unused(const struct link *link, const struct lane *lane, uint64_t now)
{
	if (lane->closing || lane->outlets)
		return false;
	if (lane->old_since != UINT64_MAX && now >= lane->old_since + LINK_OLD_MS * MS)
		return true;
	if (lane->inbound > 0)
		return false;
	if (lane == link->lanes && (link->channels || link->keep))
		return false;
	return now >= lane->quiet_since + LINK_UNUSED_MS * MS;
}

/* Gives up waiting for outlets that should have ended long ago. */
static void tick_order(struct links *links, uint64_t now, struct link *link)
{
	struct channel *channel;
	struct outlet *outlet;
	struct lane *lane;

	if (now < link->order_due)
		return;
	link->order_due = UINT64_MAX;
	DL_FOREACH (link->lanes, lane)
		DL_FOREACH (lane->outlets, outlet) {
			channel = outlet->channel;
			if (!channel || !outlet->ending)
				continue;
			if (outlet->ending_due <= now) {
				outlet->channel = NULL;
				channel->endings--;
				flush(links, now, link, channel);
			} else if (outlet->ending_due < link->order_due) {
				link->order_due = outlet->ending_due;
			}
		}
}

/* Drops the content that waits, and nothing else. The end of a stream moves on to what was
 * sent before; a stream that never was needs none. */
static void drop_content(struct links *links, struct channel *channel)
{
	struct frame *frame, *frames = channel->first, *kept = NULL;

	channel->first = channel->last = NULL;
	channel->waiting = 0;
	while ((frame = frames)) {
		frames = frame->next;
		if (!frame->droppable) {
			put_waiting(channel, frame);
			kept = frame;
			continue;
		}
		if (frame->last && kept)
			kept->last = true;
		else if (frame->last)
			channel->released = true;
		drop(links, frame, COUNTER_DROPPED_NO_STREAM_CREDIT);
	}
	if (channel->first)
		channel->released = false;
}

/* Content does not wait for stream credit for ever. */
static void tick_credit(struct links *links, uint64_t now, struct link *link)
{
	struct channel *channel, *next;

	if (now < link->credit_due)
		return;
	link->credit_due = UINT64_MAX;
	HASH_ITER (hh, link->channels, channel, next) {
		if (!channel->no_credit)
			continue;
		if (channel->credit_due <= now) {
			drop_content(links, channel);
			remove_if_done(links, link, channel);
		} else if (channel->credit_due < link->credit_due) {
			link->credit_due = channel->credit_due;
		}
	}
}

static void tick_lanes(struct links *links, uint64_t now, struct link *link, uint64_t *due)
{
	struct lane *lane;
	uint64_t lane_due;

	DL_FOREACH (link->lanes, lane) {
		if (is_unused(link, lane, now)) {
			lane->closing = true;
			links->io.close(lane->connection);
			continue;
		}
		lane_due = lane->old_since + LINK_OLD_MS * MS;
		if (!lane->closing && !lane->outlets && lane->old_since != UINT64_MAX &&
			lane_due < *due)
			*due = lane_due;
		lane_due = lane->quiet_since + LINK_UNUSED_MS * MS;
		if (!lane->closing && !lane->outlets && lane->inbound == 0 && lane_due > now &&
			lane_due < *due)
			*due = lane_due;
	}
	if (link->order_due < *due)
		*due = link->order_due;
	if (link->credit_due < *due)
		*due = link->credit_due;
	if (link->fewer_due < *due)
		*due = link->fewer_due;
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

static bool effect_of(struct links *links, uint64_t now, struct link *link, uint64_t *due,
	struct link_effect *out)
{
	out->peer = link->peer;
	tick_order(links, now, link);
	tick_credit(links, now, link);
	if (link->fewer_due <= now) {
		link->fewer = true;
		link->fewer_due = UINT64_MAX;
	}
	tick_lanes(links, now, link, due);
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
	if (link->lost || link->lost_due <= now) {
		remove_link(links, link);
		out->type = LINK_LOST;
		return true;
	}
	link->wanted = false;
	if (link->lost_due < *due)
		*due = link->lost_due;
	if (!link->lanes && !link->channels && link->lost_due == UINT64_MAX)
		remove_link(links, link);
	return false;
}

bool links_effect(struct links *links, uint64_t now, struct link_effect *out)
{
	struct link *link, *next;
	uint64_t due = UINT64_MAX;

	if (now < links->due)
		return false;
	HASH_ITER (hh, links->links, link, next) {
		if (effect_of(links, now, link, &due, out))
			return true;
	}
	links->due = due;
	return false;
}
