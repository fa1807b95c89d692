/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "book_internal.h"

/* Each bucket holds four shares when the book is full of shares. */
#define BUCKETS (LIMIT_SHARED / 4)
/* How many shares are looked at to find one that may give way: the shares of nodes that have to
 * stay are seldom the oldest, for they are shown again and again. */
#define GIVE_WAY_TRIES 16

static struct book_topic *find_topic(const struct book *book, const struct id *id)
{
	struct book_topic *topic;

	KEYED_FIND(&book->keyed, book->topics, id, sizeof *id, topic);
	return topic;
}

static int find_or_add_topic(struct book *book, const struct id *id, struct book_topic **out)
{
	struct book_topic *topic = find_topic(book, id);

	if (!topic) {
		topic = memory_zalloc(sizeof *topic);
		if (!topic)
			return ERROR_NOMEM;
		topic->id = *id;
		KEYED_ADD(&book->keyed, book->topics, &topic->id, sizeof topic->id, topic);
		if (!topic)
			return ERROR_NOMEM;
	}
	*out = topic;
	return ERROR_NONE;
}

static void free_topic_if_unused(struct book *book, struct book_topic *topic)
{
	if (topic->count > 0)
		return;
	HASH_DELETE(hh, book->topics, topic);
	memory_free(topic->shares);
	memory_free(topic);
}

static bool has_room(struct book_topic *topic)
{
	struct book_share **shares;
	size_t room = topic->room ? 2 * topic->room : 4;

	if (topic->count < topic->room)
		return true;
	shares = memory_realloc(topic->shares, room * sizeof *shares);
	if (!shares)
		return false;
	topic->shares = shares;
	topic->room = room;
	return true;
}

/* Returns the bucket of a node and a topic. The hashes of both are keyed already. */
static struct book_share **bucket_of(
	const struct book *book, const struct book_node *node, const struct book_topic *topic)
{
	return &book->buckets[(node->hh.hashv * 31 + topic->hh.hashv) % BUCKETS];
}

static struct book_share *find_share(
	const struct book *book, const struct book_node *node, const struct id *topic_id)
{
	const struct book_topic *topic = find_topic(book, topic_id);
	struct book_share *share;

	if (!topic)
		return NULL;
	for (share = *bucket_of(book, node, topic); share; share = share->bucket_next)
		if (share->node == node && share->topic == topic)
			return share;
	return NULL;
}

static void set_place(struct book_topic *topic, size_t at, struct book_share *share)
{
	topic->shares[at] = share;
	share->at = at;
}

static void remove_share(struct book *book, struct book_share *share)
{
	struct book_topic *topic = share->topic;
	struct book_share **in_bucket = bucket_of(book, share->node, topic);

	while (*in_bucket != share)
		in_bucket = &(*in_bucket)->bucket_next;
	*in_bucket = share->bucket_next;
	set_place(topic, share->at, topic->shares[--topic->count]);
	DL_DELETE(share->node->shares, share);
	share->node->shares_count--;
	DL_DELETE2(book->shares, share, all_prev, all_next);
	book->shares_count--;
	free_topic_if_unused(book, topic);
	memory_free(share);
}

void book_drop_shares(struct book *book, struct book_node *node)
{
	while (node->shares)
		remove_share(book, node->shares);
}

static bool give_way(struct book *book)
{
	struct book_share *share = book->shares;

	for (size_t i = 0; share && i < GIVE_WAY_TRIES; i++, share = share->all_next) {
		if (book_is_pinned(share->node))
			continue;
		book_note_change(book, share->node);
		remove_share(book, share);
		return true;
	}
	return false;
}

static int insert_share(struct book *book, struct book_node *node, struct book_topic *topic)
{
	struct book_share *share, **bucket;

	if (!has_room(topic))
		return ERROR_NOMEM;
	share = memory_zalloc(sizeof *share);
	if (!share)
		return ERROR_NOMEM;
	share->node = node;
	share->topic = topic;
	set_place(topic, topic->count++, share);
	bucket = bucket_of(book, node, topic);
	share->bucket_next = *bucket;
	*bucket = share;
	DL_APPEND(node->shares, share);
	node->shares_count++;
	DL_APPEND2(book->shares, share, all_prev, all_next);
	book->shares_count++;
	return ERROR_NONE;
}

int book_add_share(struct book *book, struct book_node *node, const struct id *topic_id,
	enum book_making_room making_room, bool *changed)
{
	struct book_share *share = find_share(book, node, topic_id);
	struct book_topic *topic;
	int error;

	*changed = false;
	if (share) {
		DL_DELETE2(book->shares, share, all_prev, all_next);
		DL_APPEND2(book->shares, share, all_prev, all_next);
		return ERROR_NONE;
	}
	if (node->shares_count >= LIMIT_TOPICS_PER_NODE || book->shares_count >= LIMIT_SHARED) {
		counters_add(book->counters, COUNTER_LIMIT_TOPICS, 1);
		if (node->shares_count >= LIMIT_TOPICS_PER_NODE ||
			making_room == BOOK_ONLY_IF_ROOM || !give_way(book))
			return ERROR_LIMIT;
	}
	if (!book->buckets)
		book->buckets = memory_zalloc(BUCKETS * sizeof(struct book_share *));
	if (!book->buckets)
		return ERROR_NOMEM;
	error = find_or_add_topic(book, topic_id, &topic);
	if (error)
		return error;
	error = insert_share(book, node, topic);
	free_topic_if_unused(book, topic);
	*changed = !error;
	return error;
}

bool book_set_shared(
	struct book *book, uint64_t now, const struct id *id, const struct id *topic, bool shared)
{
	struct book_node *node = book_find_node(book, id);
	struct book_share *share;
	bool changed = false;

	if (id_equal(id, &book->me))
		return false;
	if (shared) {
		if (!node && book_add_node(book, id, NULL, BOOK_MAKE_ROOM, &node) != ERROR_NONE)
			return false;
		book_touch_node(book, node);
		book_add_share(book, node, topic, BOOK_MAKE_ROOM, &changed);
	} else {
		share = node ? find_share(book, node, topic) : NULL;
		changed = share != NULL;
		if (share)
			remove_share(book, share);
	}
	if (changed)
		book_note_change(book, node);
	return changed;
}

bool book_shares(const struct book *book, const struct id *id, const struct id *topic)
{
	const struct book_node *node = book_find_node(book, id);

	return node && find_share(book, node, topic);
}

void book_each_of_topic(
	const struct book *book, const struct id *id, book_visit *visit, void *context)
{
	struct book_topic *topic = find_topic(book, id);

	/* A shuffle (Fisher and Yates) that goes only as far as visit wants nodes. */
	for (size_t i = 0; topic && i < topic->count && i < BOOK_VISITS; i++) {
		size_t other = i + random_below(&book->random, topic->count - i);
		struct book_share *share = topic->shares[other];

		set_place(topic, other, topic->shares[i]);
		set_place(topic, i, share);
		if (!visit(context, &share->node->id))
			return;
	}
}
