/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "joiner.h"

#include <utlist.h>

#include "../backoff.h"
#include "../error.h"
#include "../keyed_table.h"
#include "../limits.h"
#include "../time.h"


#define ASK_FIRST_NS (500 * MS)
#define ASK_MOST_NS  (8000 * MS)
/* The most backoff for a trusted node that has never shown that it has the topic: the node may get
 * the topic some day, and says so then by itself (discovery, a stream that names it). */
#define UNSHOWN_MOST_NS (64000 * MS)

/* An overlay that is alone asks so many nodes at a time, and waits so long for one of them to
 * answer: a node that is asked has to make room. */
#define ASKS_AT_A_TIME 2
#define ANSWER_NS      (250 * MS)

#define APART_NS	(1000 * MS)
#define NEW_FIRST_NS	(2000 * MS)
#define NEW_FACTOR	4
#define NEW_MOST_NS	(120000 * MS)
#define NEW_CALM_NS	(600000 * MS)
/* How long an answer to JOINER_MERGE or JOINER_PROBE may take: a dial and a round trip. */
#define MERGE_NS (10000 * MS)

enum news { NO_NEWS, IS_NEW, IS_APART };

/* A node that is wanted in an overlay. */
struct wish {
	struct topic *topic;
	struct peer *peer;
	enum joiner_reason reason;
	bool shown;    /* the peer has shown that it has the topic */
	bool answered; /* the peer is a neighbour */
	bool merging;  /* asked or probed because of news, until due; an answer ends all news */
	enum news news;
	unsigned asked; /* asks without an answer */
	uint64_t due; /* when to ask again, where we are alone */
	uint64_t backoff;
	struct wish *topic_prev, *topic_next; /* topic->wishes */
	struct wish *peer_prev, *peer_next;   /* peer->wishes */
};

struct topic {
	struct id id;
	/* The wishes for trusted nodes; where we are alone, for at most LIMIT_JOINS_PER_TOPIC
	 * others (which the caller sees to); elsewhere for others that have news, or had until a
	 * moment ago, and for neighbours. */
	struct wish *wishes;
	size_t news;	     /* how many wishes have news */
	bool alone;
	unsigned asking;      /* how many were asked since answer_due was set */
	uint64_t answer_due;  /* while enough are asked nobody else is asked before this */
	uint64_t news_due;    /* when one with news is asked or probed; UINT64_MAX: there is none */
	uint64_t new_backoff; /* how long the next new node waits */
	uint64_t new_at;      /* when a new node was last told of */
	uint64_t due;
	size_t place; /* in the heap */
	UT_hash_handle hh;
};

struct peer {
	struct id id;
	bool linked;
	struct wish *wishes; /* not empty */
	UT_hash_handle hh;
};

struct joiner {
	struct random random;
	struct keyed keyed;
	struct counters *counters;
	struct topic *topics;
	struct peer *peers;
	/* A binary heap of all topics by due. */
	struct topic **heap;
	size_t heap_count, heap_room;
	uint64_t window_start; /* the second in which 'spent' nodes were asked */
	unsigned spent;
};

int joiner_new(const struct random *random, struct counters *counters, struct joiner **out)
{
	struct joiner *joiner = memory_zalloc(sizeof *joiner);

	if (!joiner)
		return ERROR_NOMEM;
	joiner->random = *random;
	joiner->counters = counters;
	keyed_init(&joiner->keyed, random);
	*out = joiner;
	return ERROR_NONE;
}

/* ---- topics by due ---- */

static void put(struct joiner *joiner, struct topic *topic, size_t place)
{
	joiner->heap[place] = topic;
	topic->place = place;
}

/* Moves a topic to where its due time belongs. */
static void sift(struct joiner *joiner, struct topic *topic)
{
	size_t place = topic->place, other;

	while (place > 0 && joiner->heap[(place - 1) / 2]->due > topic->due) {
		put(joiner, joiner->heap[(place - 1) / 2], place);
		place = (place - 1) / 2;
	}
	while ((other = 2 * place + 1) < joiner->heap_count) {
		if (other + 1 < joiner->heap_count &&
			joiner->heap[other + 1]->due < joiner->heap[other]->due)
			other++;
		if (joiner->heap[other]->due >= topic->due)
			break;
		put(joiner, joiner->heap[other], place);
		place = other;
	}
	put(joiner, topic, place);
}

static int heap_add(struct joiner *joiner, struct topic *topic)
{
	size_t room = joiner->heap_room ? 2 * joiner->heap_room : 16;
	struct topic **heap;

	if (joiner->heap_count == joiner->heap_room) {
		heap = memory_realloc(joiner->heap, room * sizeof *heap);
		if (!heap)
			return ERROR_NOMEM;
		joiner->heap = heap;
		joiner->heap_room = room;
	}
	put(joiner, topic, joiner->heap_count++);
	sift(joiner, topic);
	return ERROR_NONE;
}

static void heap_remove(struct joiner *joiner, struct topic *topic)
{
	struct topic *last = joiner->heap[--joiner->heap_count];

	if (last == topic)
		return;
	put(joiner, last, topic->place);
	sift(joiner, last);
}

static bool may_ask(const struct wish *wish)
{
	return wish->peer->linked && !wish->answered;
}

/* Sets when the topic next has something to do. */
static void schedule(struct joiner *joiner, struct topic *topic)
{
	struct wish *wish;

	topic->due = topic->alone ? UINT64_MAX : topic->news_due;
	if (topic->alone)
		DL_FOREACH2 (topic->wishes, wish, topic_next)
			if (may_ask(wish) && wish->due < topic->due)
				topic->due = wish->due;
	if (topic->alone && topic->asking >= ASKS_AT_A_TIME && topic->due < topic->answer_due)
		topic->due = topic->answer_due;
	sift(joiner, topic);
}

/* ---- wishes ---- */

static struct topic *find_topic(const struct joiner *joiner, const struct id *id)
{
	struct topic *topic;

	KEYED_FIND(&joiner->keyed, joiner->topics, id, sizeof *id, topic);
	return topic;
}

static struct peer *find_peer(const struct joiner *joiner, const struct id *id)
{
	struct peer *peer;

	KEYED_FIND(&joiner->keyed, joiner->peers, id, sizeof *id, peer);
	return peer;
}

static struct wish *find_wish(struct topic *topic, const struct id *peer)
{
	struct wish *wish;

	DL_FOREACH2 (topic->wishes, wish, topic_next)
		if (id_equal(&wish->peer->id, peer))
			return wish;
	return NULL;
}

static struct topic *topic_find_or_add(struct joiner *joiner, const struct id *id)
{
	struct topic *topic = find_topic(joiner, id);

	if (topic)
		return topic;
	topic = memory_zalloc(sizeof *topic);
	if (!topic)
		return NULL;
	topic->id = *id;
	topic->alone = true;
	topic->news_due = topic->due = UINT64_MAX;
	topic->new_backoff = NEW_FIRST_NS;
	if (heap_add(joiner, topic)) {
		memory_free(topic);
		return NULL;
	}
	KEYED_PUT(&joiner->keyed, joiner->topics, &topic->id, sizeof topic->id, topic);
	if (!topic->hh.tbl) {
		heap_remove(joiner, topic);
		memory_free(topic);
		return NULL;
	}
	return topic;
}

static struct peer *peer_find_or_add(struct joiner *joiner, const struct id *id)
{
	struct peer *peer = find_peer(joiner, id);

	if (peer)
		return peer;
	peer = memory_zalloc(sizeof *peer);
	if (!peer)
		return NULL;
	peer->id = *id;
	KEYED_ADD(&joiner->keyed, joiner->peers, &peer->id, sizeof peer->id, peer);
	return peer;
}

static void forget_peer_if_unused(struct joiner *joiner, struct peer *peer)
{
	if (peer->wishes)
		return;
	HASH_DELETE(hh, joiner->peers, peer);
	memory_free(peer);
}

static void set_news(struct wish *wish, enum news news)
{
	wish->topic->news += (news != NO_NEWS) - (size_t)(wish->news != NO_NEWS);
	wish->news = news;
}

static void forget_wish(struct joiner *joiner, struct wish *wish)
{
	set_news(wish, NO_NEWS);
	DL_DELETE2(wish->topic->wishes, wish, topic_prev, topic_next);
	DL_DELETE2(wish->peer->wishes, wish, peer_prev, peer_next);
	forget_peer_if_unused(joiner, wish->peer);
	memory_free(wish);
}

static void forget_topic(struct joiner *joiner, struct topic *topic)
{
	while (topic->wishes)
		forget_wish(joiner, topic->wishes);
	heap_remove(joiner, topic);
	HASH_DELETE(hh, joiner->topics, topic);
	memory_free(topic);
}

void joiner_free(struct joiner *joiner)
{
	struct topic *topic, *next;

	if (!joiner)
		return;
	HASH_ITER (hh, joiner->topics, topic, next)
		forget_topic(joiner, topic);
	memory_free(joiner->heap);
	memory_free(joiner);
}

static int find_or_add(struct joiner *joiner, uint64_t now, const struct id *topic_id,
	const struct id *peer_id, bool linked, struct wish **out)
{
	struct topic *topic = topic_find_or_add(joiner, topic_id);
	struct peer *peer;
	struct wish *wish;

	if (!topic)
		return ERROR_NOMEM;
	*out = find_wish(topic, peer_id);
	if (*out)
		return ERROR_NONE;
	peer = peer_find_or_add(joiner, peer_id);
	if (!peer)
		return ERROR_NOMEM;
	wish = memory_zalloc(sizeof *wish);
	if (!wish) {
		forget_peer_if_unused(joiner, peer);
		return ERROR_NOMEM;
	}
	peer->linked = linked;
	wish->topic = topic;
	wish->peer = peer;
	wish->due = now;
	wish->backoff = ASK_FIRST_NS;
	DL_APPEND2(topic->wishes, wish, topic_prev, topic_next);
	DL_APPEND2(peer->wishes, wish, peer_prev, peer_next);
	*out = wish;
	return ERROR_NONE;
}

int joiner_add(struct joiner *joiner, uint64_t now, const struct id *topic, const struct id *peer,
	bool linked, enum joiner_reason reason, bool shown)
{
	struct wish *wish;
	int error = find_or_add(joiner, now, topic, peer, linked, &wish);

	if (error)
		return error;
	if (reason > wish->reason)
		wish->reason = reason;
	if (shown && !wish->shown) {
		/* What the node did not answer before does not count: it had not joined yet. */
		wish->shown = true;
		wish->due = now;
		wish->backoff = ASK_FIRST_NS;
	}
	schedule(joiner, wish->topic);
	return ERROR_NONE;
}

/* Returns a random time between three quarters and five quarters of duration. */
static uint64_t jittered(struct joiner *joiner, uint64_t duration)
{
	return duration - duration / 4 + random_below(&joiner->random, duration / 2 + 1);
}

/* Sets when one of the nodes that have news is asked or probed, at the latest. */
static void schedule_news(struct joiner *joiner, uint64_t now, struct topic *topic, enum news news)
{
	uint64_t due = topic->news_due;

	if (news == IS_APART) {
		due = now + random_below(&joiner->random, APART_NS);
	} else if (due == UINT64_MAX) {
		due = now + jittered(joiner, topic->new_backoff);
		topic->new_backoff = topic->new_backoff * NEW_FACTOR > NEW_MOST_NS
					     ? NEW_MOST_NS
					     : topic->new_backoff * NEW_FACTOR;
	}
	if (due < topic->news_due)
		topic->news_due = due;
}

static size_t count_others(const struct topic *topic)
{
	const struct wish *wish;
	size_t count = 0;

	DL_FOREACH2 (topic->wishes, wish, topic_next)
		count += wish->reason == JOINER_NODE;
	return count;
}

int joiner_tell(struct joiner *joiner, uint64_t now, const struct id *topic_id,
	const struct id *peer, bool linked, enum joiner_news news)
{
	struct topic *topic = find_topic(joiner, topic_id);
	enum news what = news == JOINER_APART ? IS_APART : IS_NEW;
	struct wish *wish;
	int error;

	if (!topic || topic->alone || count_others(topic) >= 2 * LIMIT_JOINS_PER_TOPIC)
		return ERROR_NONE;
	error = find_or_add(joiner, now, topic_id, peer, linked, &wish);
	if (error)
		return error;
	wish->shown = true;
	if (wish->answered)
		return ERROR_NONE;
	if (what > wish->news)
		set_news(wish, what);
	if (now - topic->new_at >= NEW_CALM_NS)
		topic->new_backoff = NEW_FIRST_NS;
	if (what == IS_NEW)
		topic->new_at = now;
	schedule_news(joiner, now, topic, what);
	schedule(joiner, topic);
	return ERROR_NONE;
}

void joiner_remove_topic(struct joiner *joiner, const struct id *id)
{
	struct topic *topic = find_topic(joiner, id);

	if (topic)
		forget_topic(joiner, topic);
}

size_t joiner_prune(struct joiner *joiner, const struct id *id)
{
	struct topic *topic = find_topic(joiner, id);
	struct wish *wish, *next;
	size_t left = 0;

	if (!topic)
		return 0;
	DL_FOREACH_SAFE2 (topic->wishes, wish, next, topic_next) {
		if (wish->peer->linked || wish->answered || wish->reason == JOINER_TRUSTED)
			left++;
		else
			forget_wish(joiner, wish);
	}
	schedule(joiner, topic);
	return left;
}

void joiner_distrust(struct joiner *joiner, const struct id *id)
{
	struct peer *peer = find_peer(joiner, id);
	struct wish *wish, *next;
	struct topic *topic;

	if (!peer)
		return;
	/* The peer is freed with the last of its wishes. */
	DL_FOREACH_SAFE2 (peer->wishes, wish, next, peer_next) {
		topic = wish->topic;
		wish->reason = JOINER_NODE;
		if (!wish->answered)
			forget_wish(joiner, wish);
		schedule(joiner, topic);
	}
}

void joiner_linked(struct joiner *joiner, uint64_t now, const struct id *id)
{
	struct peer *peer = find_peer(joiner, id);
	struct wish *wish;

	if (!peer)
		return;
	peer->linked = true;
	DL_FOREACH2 (peer->wishes, wish, peer_next) {
		wish->backoff = ASK_FIRST_NS;
		wish->due = now;
		schedule(joiner, wish->topic);
	}
}

void joiner_unlinked(struct joiner *joiner, const struct id *id)
{
	struct peer *peer = find_peer(joiner, id);
	struct wish *wish;

	if (!peer)
		return;
	peer->linked = false;
	DL_FOREACH2 (peer->wishes, wish, peer_next)
		schedule(joiner, wish->topic);
}

/* Forgets, where we have a neighbour, the nodes that are kept only because they share the topic:
 * the book knows them. */
static void tidy(struct joiner *joiner, struct topic *topic)
{
	struct wish *wish, *next;

	DL_FOREACH_SAFE2 (topic->wishes, wish, next, topic_next)
		if (!topic->alone && wish->reason == JOINER_NODE && !wish->answered &&
			!wish->merging && wish->news == NO_NEWS)
			forget_wish(joiner, wish);
}

static void clear_news(struct topic *topic)
{
	struct wish *wish;

	DL_FOREACH2 (topic->wishes, wish, topic_next) {
		set_news(wish, NO_NEWS);
		wish->merging = false;
	}
	topic->news_due = UINT64_MAX;
}

void joiner_up(struct joiner *joiner, const struct id *topic_id, const struct id *peer)
{
	struct topic *topic = topic_find_or_add(joiner, topic_id);
	struct wish *wish = topic ? find_wish(topic, peer) : NULL;

	if (!topic)
		return; /* no memory: then there is nothing to ask about either */
	topic->alone = false;
	topic->asking = 0;
	if (wish) {
		wish->answered = true;
		wish->asked = 0;
		if (wish->merging || wish->news != NO_NEWS)
			clear_news(topic);
	}
	tidy(joiner, topic);
	schedule(joiner, topic);
}

void joiner_down(struct joiner *joiner, uint64_t now, const struct id *topic_id,
	const struct id *peer, size_t neighbours)
{
	struct topic *topic = find_topic(joiner, topic_id);
	struct wish *wish = topic ? find_wish(topic, peer) : NULL;

	if (!topic)
		return;
	if (wish)
		wish->answered = false;
	topic->alone = neighbours == 0;
	if (topic->alone) {
		clear_news(topic);
		DL_FOREACH2 (topic->wishes, wish, topic_next) {
			wish->backoff = ASK_FIRST_NS;
			wish->due = now + ASK_FIRST_NS +
				    random_below(&joiner->random, ASK_FIRST_NS);
		}
	}
	tidy(joiner, topic);
	schedule(joiner, topic);
}

/* ---- what is due ---- */

uint64_t joiner_deadline(const struct joiner *joiner)
{
	uint64_t next_second = joiner->window_start + S;
	uint64_t due = joiner->heap_count > 0 ? joiner->heap[0]->due : UINT64_MAX;

	return joiner->spent >= LIMIT_JOINS_PER_SECOND && due < next_second ? next_second : due;
}

static void spend(struct joiner *joiner)
{
	if (++joiner->spent == LIMIT_JOINS_PER_SECOND)
		counters_add(joiner->counters, COUNTER_LIMIT_JOINS, 1);
}

static bool goes_first(const struct wish *wish, const struct wish *other)
{
	if (wish->shown != other->shown)
		return wish->shown;
	if (wish->asked != other->asked)
		return wish->asked < other->asked;
	return wish->due < other->due;
}

/* Chooses a wish that is due in a topic where we are alone: best a node that is known to share the
 * topic. NULL: none is due. */
static struct wish *choose(struct topic *topic, uint64_t now)
{
	struct wish *wish, *best = NULL;

	DL_FOREACH2 (topic->wishes, wish, topic_next)
		if (may_ask(wish) && wish->due <= now && (!best || goes_first(wish, best)))
			best = wish;
	return best;
}

static void ask_again_later(struct joiner *joiner, uint64_t now, struct wish *wish)
{
	wish->asked++;
	wish->due = now + backoff_next(&joiner->random, &wish->backoff,
				  wish->shown ? ASK_MOST_NS : UNSHOWN_MOST_NS);
}

static void ask(struct joiner *joiner, uint64_t now, struct topic *topic, struct wish *wish,
	struct joiner_effect *out)
{
	if (wish->reason == JOINER_NODE && wish->asked >= JOINER_ASKS) {
		out->type = JOINER_GAVE_UP;
		forget_wish(joiner, wish);
		return;
	}
	out->type = JOINER_ASK;
	if (topic->asking >= ASKS_AT_A_TIME)
		topic->asking = 0;
	if (topic->asking++ == 0)
		topic->answer_due = now + ANSWER_NS;
	ask_again_later(joiner, now, wish);
	spend(joiner);
}

/* Chooses a random node that has news, one that is apart if there is any. NULL: there is none. */
static struct wish *choose_news(struct joiner *joiner, struct topic *topic)
{
	struct wish *wish, *chosen = NULL;
	enum news best = NO_NEWS;
	size_t seen = 0;

	DL_FOREACH2 (topic->wishes, wish, topic_next) {
		if (wish->answered || wish->news == NO_NEWS || wish->news < best)
			continue;
		if (wish->news > best)
			seen = 0;
		best = wish->news;
		if (random_below(&joiner->random, ++seen) == 0)
			chosen = wish;
	}
	return chosen;
}

/* Asks or probes one of the nodes that have news; NULL: there is none. The next one's turn comes
 * later, if this one does not answer. */
static struct wish *follow_news(
	struct joiner *joiner, uint64_t now, struct topic *topic, struct joiner_effect *out)
{
	struct wish *wish;

	DL_FOREACH2 (topic->wishes, wish, topic_next)
		wish->merging = wish->merging && wish->due > now;
	tidy(joiner, topic);
	topic->news_due = UINT64_MAX;
	wish = choose_news(joiner, topic);
	if (!wish)
		return NULL;
	out->type = wish->news == IS_APART ? JOINER_MERGE : JOINER_PROBE;
	wish->merging = true;
	wish->due = now + MERGE_NS;
	if (topic->news > 1)
		schedule_news(joiner, now + APART_NS, topic, wish->news);
	set_news(wish, NO_NEWS);
	spend(joiner);
	return wish;
}

bool joiner_effect(struct joiner *joiner, uint64_t now, struct joiner_effect *out)
{
	struct topic *topic;
	struct wish *wish;

	if (now >= joiner->window_start + S) {
		joiner->window_start = now;
		joiner->spent = 0;
	}
	while (joiner_deadline(joiner) <= now) {
		topic = joiner->heap[0];
		out->topic = topic->id;
		wish = topic->alone ? choose(topic, now) : follow_news(joiner, now, topic, out);
		if (wish)
			out->peer = wish->peer->id;
		if (wish && topic->alone)
			ask(joiner, now, topic, wish, out);
		schedule(joiner, topic);
		if (wish)
			return true;
	}
	return false;
}
