/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "link_internal.h"

struct channel *channel_find(struct links *links, struct link *link, const struct id *topic)
{
	struct channel *channel;

	KEYED_FIND(&links->keyed, link->channels, topic, sizeof *topic, channel);
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
	KEYED_ADD(&links->keyed, link->channels, &channel->topic, sizeof channel->topic, channel);
	return channel;
}

static void drop(struct links *links, struct frame *frame, enum counter reason)
{
	if (frame->droppable)
		counters_add(links->counters, reason, 1);
	if (reason == COUNTER_DROPPED_PEER_SLOW)
		links->refused = frame->number;
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

/* Takes the first control frame out of those that wait; NULL: none does. */
static struct frame *take_control(struct channel *channel)
{
	struct frame **at = &channel->first, *frame, *before = NULL;

	while ((frame = *at) && frame->droppable) {
		before = frame;
		at = &frame->next;
	}
	if (!frame)
		return NULL;
	*at = frame->next;
	if (!frame->next)
		channel->last = before;
	channel->waiting--;
	frame->next = NULL;
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

/* ---- content that came back ---- */

static struct frame *take_kept(struct links *links, struct link *link, struct channel *channel)
{
	struct frame *frame = channel->kept;

	if (frame) {
		channel->kept = frame->next;
		link->kept_bytes -= frame_size(frame);
		links->kept_bytes -= frame_size(frame);
		frame->next = NULL;
	}
	return frame;
}

/* Puts a frame before the frame that at points to. */
static void put_kept(
	struct links *links, struct link *link, struct frame **at, struct frame *frame)
{
	frame->next = *at;
	*at = frame;
	link->kept_bytes += frame_size(frame);
	links->kept_bytes += frame_size(frame);
}

static void drop_kept(struct links *links, struct link *link, struct channel *channel)
{
	struct frame *frame;

	while ((frame = take_kept(links, link, channel)))
		drop(links, frame, COUNTER_DROPPED_PEER_LOST);
}

/* Keeps the content among frames and frees the rest. The frames are in order as a rule, so each
 * frame's place is looked for behind the last one. But the content that is kept already may be
 * older or newer (streams of one overlay end in any order), and so may be content that had come
 * back before and was sent again. */
static void keep(struct links *links, uint64_t now, struct link *link, struct channel *channel,
	struct frame *frames)
{
	struct frame **at = &channel->kept, *frame;
	uint64_t before = 0;

	while ((frame = frames)) {
		frames = frame->next;
		if (!frame->expires)
			frame->expires = now + LINK_KEPT_MS * MS;
		if (!frame->droppable || frame->expires <= now) {
			drop(links, frame, COUNTER_DROPPED_PEER_LOST);
			continue;
		}
		if (frame->number < before)
			at = &channel->kept;
		before = frame->number;
		while (*at && (*at)->number < frame->number)
			at = &(*at)->next;
		frame->last = false; /* that was for the stream that has ended */
		put_kept(links, link, at, frame);
		at = &frame->next;
		if (frame->expires < link->kept_due)
			link->kept_due = frame->expires;
	}
	link_soon(links, link, link->kept_due);
	while (link->kept_bytes > LIMIT_PEER_QUEUE_BYTES || links->kept_bytes > LIMIT_KEPT_BYTES) {
		frame = take_kept(links, link, channel);
		if (!frame)
			break;
		drop(links, frame, COUNTER_DROPPED_PEER_LOST);
	}
}

/* Moves the kept content of one channel to another one. */
static void move_kept(struct links *links, uint64_t now, struct link *link, struct channel *from,
	struct channel *to)
{
	struct frame *frames = from->kept, *frame;

	from->kept = NULL;
	for (frame = frames; frame; frame = frame->next) {
		link->kept_bytes -= frame_size(frame);
		links->kept_bytes -= frame_size(frame);
	}
	keep(links, now, link, to, frames);
}

static struct channel *parked_find(struct links *links, struct link *link, const struct id *topic)
{
	struct channel *channel;

	KEYED_FIND(&links->keyed, link->parked, topic, sizeof *topic, channel);
	return channel;
}

static void parked_remove(struct links *links, struct link *link, struct channel *channel)
{
	drop_kept(links, link, channel);
	HASH_DELETE(hh, link->parked, channel);
	memory_free(channel);
}

void channels_drop_parked(struct links *links, struct link *link)
{
	struct channel *channel, *next;

	HASH_ITER (hh, link->parked, channel, next)
		parked_remove(links, link, channel);
}

void channel_remove(struct links *links, struct link *link, struct channel *channel)
{
	drop_kept(links, link, channel);
	drop_waiting(links, channel, COUNTER_DROPPED_PEER_LOST);
	HASH_DELETE(hh, link->channels, channel);
	memory_free(channel);
	link_soon(links, link, 0); /* the link may not be needed any more */
}

void channel_lose(struct links *links, uint64_t now, struct link *link, struct channel *channel)
{
	struct frame *frames = channel->first;
	struct channel *parked;

	channel->first = channel->last = NULL;
	channel->waiting = 0;
	keep(links, now, link, channel, frames);
	parked = parked_find(links, link, &channel->topic);
	if (parked)
		move_kept(links, now, link, channel, parked);
	if (!channel->kept) {
		channel_remove(links, link, channel);
		return;
	}
	HASH_DELETE(hh, link->channels, channel);
	KEYED_PUT(&links->keyed, link->parked, &channel->topic, sizeof channel->topic, channel);
	if (!channel->hh.tbl) {
		drop_kept(links, link, channel);
		memory_free(channel);
	}
}

static bool expire_kept(
	struct links *links, uint64_t now, struct link *link, struct channel *channel)
{
	struct frame **at = &channel->kept, *frame;

	while ((frame = *at)) {
		if (frame->expires > now) {
			if (frame->expires < link->kept_due)
				link->kept_due = frame->expires;
			at = &frame->next;
			continue;
		}
		*at = frame->next;
		link->kept_bytes -= frame_size(frame);
		links->kept_bytes -= frame_size(frame);
		drop(links, frame, COUNTER_DROPPED_PEER_LOST);
	}
	return channel->kept == NULL;
}

static int open_stream(struct links *links, struct link *link, struct channel *channel)
{
	struct stream_out *stream_out;
	int error;

	stream_out = memory_zalloc(sizeof *stream_out);
	if (!stream_out)
		return ERROR_NOMEM;
	stream_out->link = link;
	stream_out->connection = link_newest(link);
	stream_out->channel = channel;
	stream_out->topic = channel->topic;
	error = links->io.open(stream_out->connection, &channel->topic, stream_out, &stream_out->stream);
	if (error) {
		memory_free(stream_out);
		return error;
	}
	DL_APPEND(stream_out->connection->streams_out, stream_out);
	channel->stream_out = stream_out;
	return ERROR_NONE;
}

void channel_end_stream(
	struct links *links, uint64_t now, struct link *link, struct channel *channel)
{
	struct stream_out *stream_out = channel->stream_out;

	links->io.finish(stream_out->stream);
	stream_out->ending = true;
	stream_out->ending_due = now + LINK_ORDER_MS * MS;
	channel->endings++;
	channel->stream_out = NULL;
	if (stream_out->ending_due < link->order_due)
		link->order_due = stream_out->ending_due;
	link_soon(links, link, link->order_due);
}

static void remove_if_done(struct links *links, struct link *link, struct channel *channel)
{
	if (channel->released && !channel->kept && !channel->first && !channel->stream_out &&
		channel->endings == 0)
		channel_remove(links, link, channel);
}

/* Tells whether the channel has kept content to send, which goes before all else. */
static bool sends_kept(const struct channel *channel)
{
	return channel->kept && !channel->held && !channel->unseen;
}

/* Tells whether the channel has anything that may be sent now. */
static bool has_sendable(const struct channel *channel)
{
	const struct frame *frame = channel->first;

	if (!channel->held)
		return sends_kept(channel) || frame;
	while (frame && frame->droppable)
		frame = frame->next;
	return frame != NULL;
}

/* Sends the channel's next frame on its stream. ERROR_CLOSED: the stream or its connection is
 * over, which will be reported; the frame waits for another stream. */
static int send_one(struct links *links, uint64_t now, struct link *link, struct channel *channel)
{
	bool again = sends_kept(channel);
	struct frame *frame;
	bool last;
	int error;

	if (channel->held)
		frame = take_control(channel);
	else
		frame = again ? take_kept(links, link, channel) : take_waiting(channel);
	last = frame->last;
	error = links->io.send(channel->stream_out->stream, frame);
	if (error == ERROR_CLOSED) {
		if (again)
			put_kept(links, link, &channel->kept, frame);
		else
			put_back(channel, frame);
		return error;
	}
	if (error)
		drop(links, frame,
			error == ERROR_NOMEM ? COUNTER_DROPPED_NO_MEMORY_COPY
					     : COUNTER_DROPPED_PEER_SLOW);
	if (last) {
		channel_end_stream(links, now, link, channel);
		channel->released = !channel->first;
	} else if (again && channel->released && !channel->kept && !channel->first) {
		channel_end_stream(links, now, link, channel);
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

	while (has_sendable(channel) && channel->endings == 0 && link_newest(link)) {
		if (!channel->stream_out) {
			error = open_stream(links, link, channel);
			note_credit(links, now, link, channel, error == ERROR_NO_STREAM_CREDIT);
			if (error)
				return;
		}
		if (send_one(links, now, link, channel))
			return;
	}
	remove_if_done(links, link, channel);
}

/* Returns the counter under which a frame is dropped because too much waits or the frame would
 * wait in vain; COUNTERS: the frame is taken. Control messages are repeated by their protocol, so
 * they have room for longer; a farewell is always taken, for it ends the stream. */
static enum counter admit(const struct channel *channel, uint64_t now, const struct frame *frame)
{
	bool is_starved = channel->no_credit && now >= channel->credit_due;

	if (frame->last)
		return COUNTERS;
	if (is_starved && (frame->droppable || channel->waiting >= LINK_STARVED))
		return COUNTER_DROPPED_NO_STREAM_CREDIT;
	if (frame->droppable && channel->waiting >= LINK_WAITING)
		return channel->no_credit ? COUNTER_DROPPED_NO_STREAM_CREDIT
					  : COUNTER_DROPPED_PEER_SLOW;
	return channel->waiting >= 2 * LINK_WAITING ? COUNTER_DROPPED_PEER_SLOW : COUNTERS;
}

bool links_send(struct links *links, uint64_t now, const struct id *peer, const struct id *topic,
	struct frame *frame, bool last)
{
	struct link *link = last ? links_find(links, peer) : links_find_or_add(links, peer);
	uint64_t number = ++links->number;
	struct channel *channel;
	enum counter reason;

	frame->last = last;
	frame->number = number;
	if (last && !(link && link->connections)) {
		/* Nobody is dialled for a farewell. */
		channel = link ? channel_find(links, link, topic) : NULL;
		if (channel)
			channel_lose(links, now, link, channel);
		drop(links, frame, COUNTER_DROPPED_PEER_LOST);
		return true;
	}
	channel = link ? channel_find_or_add(links, link, topic) : NULL;
	if (!channel) {
		if (link)
			link_soon(links, link, now); /* a link without a use is forgotten */
		drop(links, frame, COUNTER_DROPPED_NO_MEMORY_COPY);
		return true;
	}
	reason = admit(channel, now, frame);
	if (reason != COUNTERS) {
		drop(links, frame, reason);
		return reason != COUNTER_DROPPED_PEER_SLOW;
	}
	if (channel->waiting >= 2 * LINK_WAITING)
		drop_waiting(links, channel, COUNTER_DROPPED_PEER_SLOW); /* for the farewell */
	put_waiting(channel, frame);
	channel->released = false;
	if (last)
		channel->held = channel->unseen = false; /* the farewell comes after the content */
	if (!link->connections) {
		link->wanted = true;
		link_soon(links, link, now);
	}
	channel_flush(links, now, link, channel);
	return links->refused != number;
}

void links_resume(struct links *links, uint64_t now, const struct id *peer, const struct id *topic)
{
	struct link *link = links_find(links, peer);
	struct channel *parked = link ? parked_find(links, link, topic) : NULL;
	struct channel *channel = link ? channel_find(links, link, topic) : NULL;

	if (!parked && !(channel && (channel->held || channel->unseen)))
		return;
	if (!channel)
		channel = channel_find_or_add(links, link, topic);
	if (parked && channel)
		move_kept(links, now, link, parked, channel);
	if (parked)
		parked_remove(links, link, parked);
	link_soon(links, link, now);
	if (!channel)
		return;
	channel->held = channel->unseen = false;
	link->wanted = !link->connections;
	channel_flush(links, now, link, channel);
}

void links_release(struct links *links, uint64_t now, const struct id *peer, const struct id *topic)
{
	struct link *link = links_find(links, peer);
	struct channel *channel = link ? channel_find(links, link, topic) : NULL;

	if (!channel)
		return;
	if (channel->held || channel->unseen) { /* such a channel was not released before */
		channel->held = channel->unseen = false;
		channel_flush(links, now, link, channel);
	}
	channel->released = true;
	link_soon(links, link, now);
	/* Frames that wait for a dial go out when it succeeds: for instance the answer to a
	 * Shuffle, to a node that we have nothing else to do with. A question that HyParView gave
	 * up after 500 ms is answered all the same. */
	if (!link->connections && !channel->last)
		channel_lose(links, now, link, channel);
	else if (channel->last)
		channel->last->last = true; /* what waits is sent, and ends the stream */
	else if (channel->stream_out)
		channel_end_stream(links, now, link, channel);
	else
		remove_if_done(links, link, channel);
}

/* Finds or adds the channel for content that comes back from an old stream: one that its channel
 * does not wait for any more, or that has outlived its channel. NULL: no memory. */
static struct channel *channel_of_old(
	struct links *links, struct link *link, const struct id *topic)
{
	struct channel *channel = channel_find(links, link, topic);

	if (channel)
		return channel;
	channel = channel_find_or_add(links, link, topic);
	if (channel)
		channel->released = true;
	return channel;
}

static struct frame *drop_control(struct frame *frames)
{
	struct frame **at = &frames, *frame;

	while ((frame = *at)) {
		if (frame->droppable) {
			at = &frame->next;
			continue;
		}
		*at = frame->next;
		frame_free(frame);
	}
	return frames;
}

void links_stream_closed(
	struct links *links, uint64_t now, struct stream_out *stream_out, struct frame *unacknowledged)
{
	struct frame *content = drop_control(unacknowledged), *frame;
	struct channel *channel = stream_out->channel;
	struct link *link = stream_out->link;
	struct link_connection *connection = stream_out->connection;

	if (channel && stream_out->ending)
		channel->endings--;
	else if (channel)
		channel->stream_out = NULL;
	else if (content)
		channel = channel_of_old(links, link, &stream_out->topic);
	DL_DELETE(connection->streams_out, stream_out);
	memory_free(stream_out);
	link_note_quiet(links, now, connection);
	if (!channel) {
		while ((frame = content)) {
			content = frame->next;
			drop(links, frame, COUNTER_DROPPED_PEER_LOST);
		}
		return;
	}
	keep(links, now, link, channel, content);
	channel_flush(links, now, link, channel);
}

void links_credit(struct links *links, uint64_t now, struct link_connection *connection)
{
	struct link *link = connection->link;
	struct channel *channel, *next;

	if (connection != link->connections)
		return;
	HASH_ITER (hh, link->channels, channel, next) {
		if (!channel->no_credit)
			continue;
		if (channel->kept || channel->first)
			channel_flush(links, now, link, channel);
		else
			channel->no_credit = false; /* the next frame will tell */
	}
}

void channels_tick_order(struct links *links, uint64_t now, struct link *link)
{
	struct channel *channel;
	struct stream_out *stream_out;
	struct link_connection *connection;

	if (now < link->order_due)
		return;
	link->order_due = UINT64_MAX;
	DL_FOREACH (link->connections, connection)
		DL_FOREACH (connection->streams_out, stream_out) {
			channel = stream_out->channel;
			if (!channel || !stream_out->ending)
				continue;
			if (stream_out->ending_due <= now) {
				stream_out->channel = NULL;
				channel->endings--;
				channel_flush(links, now, link, channel);
			} else if (stream_out->ending_due < link->order_due) {
				link->order_due = stream_out->ending_due;
			}
		}
}

void channels_tick_held(struct links *links, uint64_t now, struct link *link)
{
	struct channel *channel, *next;

	if (now < link->held_due)
		return;
	link->held_due = UINT64_MAX;
	HASH_ITER (hh, link->channels, channel, next) {
		if (!channel->held)
			continue;
		channel->held = false;
		channel_flush(links, now, link, channel);
	}
}

void channels_tick_kept(struct links *links, uint64_t now, struct link *link)
{
	struct channel *channel, *next;

	if (now < link->kept_due)
		return;
	link->kept_due = UINT64_MAX;
	HASH_ITER (hh, link->channels, channel, next) {
		if (expire_kept(links, now, link, channel))
			channel->unseen = false;
		remove_if_done(links, link, channel);
	}
	HASH_ITER (hh, link->parked, channel, next)
		if (expire_kept(links, now, link, channel))
			parked_remove(links, link, channel);
}

/* Drops the content that waits, and nothing else. The end of a stream moves on to the frame that
 * was sent before; a stream that never was needs no end. */
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
