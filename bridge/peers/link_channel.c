/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "link_internal.h"

static struct channel *channel_find(struct links *links, struct link *link, const struct id *topic)
{
	struct channel *channel;

	HASH_FIND_BYHASHVALUE(hh, link->channels, topic, sizeof *topic,
		keyed_hash(&links->keyed, topic, sizeof *topic), channel);
	return channel;
}

static struct channel *channel_find_or_add(
	struct links *links, struct link *link, const struct id *topic)
{
	struct channel *channel = channel_find(links, link, topic);

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

void channel_remove(struct links *links, struct link *link, struct channel *channel)
{
	drop_waiting(links, channel, COUNTER_DROPPED_PEER_LOST);
	HASH_DELETE(hh, link->channels, channel);
	memory_free(channel);
	link_soon(links, link, 0); /* it may not be needed any more */
}

static int open_outlet(struct links *links, struct link *link, struct channel *channel)
{
	struct outlet *outlet;
	int error;

	outlet = memory_zalloc(sizeof *outlet);
	if (!outlet)
		return ERROR_NOMEM;
	outlet->link = link;
	outlet->lane = link_newest(link);
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

void channel_end_outlet(
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
	link_soon(links, link, link->order_due);
}

static void remove_if_done(struct links *links, struct link *link, struct channel *channel)
{
	if (channel->released && !channel->first && !channel->outlet && channel->endings == 0)
		channel_remove(links, link, channel);
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
		channel_end_outlet(links, now, link, channel);
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
		link_soon(links, link, link->credit_due);
	}
	channel->no_credit = lacking;
}

void channel_flush(struct links *links, uint64_t now, struct link *link, struct channel *channel)
{
	int error;

	while (channel->first && channel->endings == 0 && link_newest(link)) {
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

void links_send(struct links *links, uint64_t now, const struct id *peer, const struct id *topic,
	struct frame *frame, bool last)
{
	struct link *link = last ? links_find(links, peer) : links_find_or_add(links, peer);
	struct channel *channel;

	frame->last = last;
	if (last && !(link && link->lanes)) {
		/* Nobody is dialled for a farewell. */
		channel = link ? channel_find(links, link, topic) : NULL;
		if (channel)
			channel_remove(links, link, channel);
		drop(links, frame, COUNTER_DROPPED_PEER_LOST);
		return;
	}
	channel = link ? channel_find_or_add(links, link, topic) : NULL;
	if (!channel) {
		if (link)
			link_soon(links, link, now); /* without a use it is forgotten */
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
		link_soon(links, link, now);
	}
	channel_flush(links, now, link, channel);
}

void links_release(struct links *links, uint64_t now, const struct id *peer, const struct id *topic)
{
	struct link *link = links_find(links, peer);
	struct channel *channel = link ? channel_find(links, link, topic) : NULL;

	if (!channel)
		return;
	channel->released = true;
	link_soon(links, link, now);
	/* What waits for a dial is brought by it: the answer to a Shuffle, to a node that we have
	 * nothing else to do with; a question that HyParView gave up after 500 ms is answered all
	 * the same. */
	if (!link->lanes && !channel->last)
		channel_remove(links, link, channel);
	else if (channel->last)
		channel->last->last = true; /* what waits is sent, and ends the stream */
	else if (channel->outlet)
		channel_end_outlet(links, now, link, channel);
	else
		remove_if_done(links, link, channel);
}

void links_stream_closed(struct links *links, uint64_t now, struct outlet *outlet)
{
	struct channel *channel = outlet->channel;
	struct link *link = outlet->link;
	struct lane *lane = outlet->lane;
	bool ending = outlet->ending;

	DL_DELETE(lane->outlets, outlet);
	memory_free(outlet);
	lane_note_quiet(links, now, lane);
	if (!channel)
		return;
	if (ending)
		channel->endings--;
	else
		channel->outlet = NULL;
	channel_flush(links, now, link, channel);
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
			channel_flush(links, now, link, channel);
		else
			channel->no_credit = false; /* the next frame will tell */
	}
}

void channels_tick_order(struct links *links, uint64_t now, struct link *link)
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
				channel_flush(links, now, link, channel);
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

void channels_tick_credit(struct links *links, uint64_t now, struct link *link)
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
