/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How far peers have fallen behind with what is sent to them, and whether the publishers are to
 * wait for them. */
#include "link_internal.h"

/* In 256ths of what may be on its way to a peer. */
#define HIGH 64
#define LOW  32

/* Returns how much is on its way to the peer on its connection, or waits for one (or for a stream,
 * or its turn). */
static size_t level_of(struct links *links, struct link *link, const struct id *topic)
{
	const struct channel *channel = channel_find(links, link, topic);
	struct link_connection *connection = link_newest(link);
	size_t level = channel ? channel->waiting * 256 / LINK_WAITING : 0;
	size_t queued, limit;

	if (!connection || !links->io.queued)
		return level;
	queued = links->io.queued(connection, &limit);
	queued = queued * 256 / limit;
	return queued > level ? queued : level;
}

/* Tells whether one waits for this link, too, at this level. */
static bool is_waited_for(struct link *link, uint64_t now, size_t level, size_t fastest)
{
	if (level <= LOW) {
		link->behind_since = UINT64_MAX;
		link->slow = false;
	}
	if (level < HIGH || link->slow)
		return false;
	if (fastest > LOW)
		link->behind_since = UINT64_MAX;
	else if (link->behind_since > now)
		link->behind_since = now;
	else
		link->slow = now - link->behind_since >= LIMIT_BEHIND_MS * MS;
	return !link->slow;
}

bool links_have_room(struct links *links, uint64_t now, const struct id *topic,
	const struct id *peers, size_t count)
{
	struct link *found[LIMIT_ACTIVE_VIEW];
	size_t levels[LIMIT_ACTIVE_VIEW], fastest = SIZE_MAX;
	bool room = true;

	if (count > LIMIT_ACTIVE_VIEW)
		count = LIMIT_ACTIVE_VIEW;
	for (size_t i = 0; i < count; i++) {
		found[i] = links_find(links, &peers[i]);
		levels[i] = found[i] ? level_of(links, found[i], topic) : 0;
		if (levels[i] < fastest)
			fastest = levels[i];
	}
	if (count > 0 && fastest >= HIGH)
		return false;
	/* Each of them, for the time of those that are behind goes on. */
	for (size_t i = 0; i < count; i++)
		if (found[i] && is_waited_for(found[i], now, levels[i], fastest))
			room = false;
	return room;
}
