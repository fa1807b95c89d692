/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "status_overlays.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "../bridge/error.h"
#include "../bridge/keyed_table.h"
#include "../bridge/limits.h"
#include "../bridge/memory.h"
#include "broker.h"
#include "status.h"
#include "topic.h"

#define KEY_SIZE (ID_SHORT_HEX_SIZE / 2)
/* How many topics one overlay has. */
#define TOPICS (2 + STATUS_NUMBERS)

/* What is published together, and is due at a time of its own. */
enum kind { WORDS, FIGURES, KINDS };

/* In which list a row is: nothing is to be published; something is, at the next time for it;
 * something is, now. */
enum due { DUE_NEVER, DUE_LATER, DUE_NOW };

struct row {
	struct id topic;
	bool shown;
	bool new;  /* all of it is to be published */
	bool is_published;
	bool left; /* what is published is to be cleared */
	bool was_joined;
	size_t count;
	struct id neighbours[LIMIT_ACTIVE_VIEW];
	uint64_t numbers[STATUS_NUMBERS];
	struct {
		const char *state;
		size_t count;
		uint64_t numbers[STATUS_NUMBERS];
	} published;
	struct {
		enum due due;
		struct row *prev, *next; /* with WORDS: or in the list of rows not shown */
	} listed[KINDS];
	UT_hash_handle hh;
};

struct status_overlays {
	struct keyed keyed;
	struct status_nodes *nodes;
	struct row *rows;
	size_t shown, joined, joining, left;
	struct row *hidden;
	struct row *later[KINDS], *now[KINDS];
};

int status_overlays_new(
	struct status_nodes *nodes, const struct random *random, struct status_overlays **out)
{
	struct status_overlays *overlays = memory_zalloc(sizeof *overlays);

	if (!overlays)
		return ERROR_NOMEM;
	keyed_init(&overlays->keyed, random);
	overlays->nodes = nodes;
	*out = overlays;
	return ERROR_NONE;
}

void status_overlays_free(struct status_overlays *overlays)
{
	struct row *row, *next;

	if (!overlays)
		return;
	HASH_ITER (hh, overlays->rows, row, next) {
		HASH_DELETE(hh, overlays->rows, row);
		memory_free(row);
	}
	memory_free(overlays);
}

/* ---- lists ---- */

static void changed(struct status_overlays *overlays, struct row *row, enum kind kind)
{
	if (!row->shown || row->listed[kind].due != DUE_NEVER)
		return;
	row->listed[kind].due = DUE_LATER;
	DL_APPEND2(overlays->later[kind], row, listed[kind].prev, listed[kind].next);
}

static void unlist(struct status_overlays *overlays, struct row *row, enum kind kind)
{
	if (row->listed[kind].due == DUE_LATER)
		DL_DELETE2(overlays->later[kind], row, listed[kind].prev, listed[kind].next);
	else if (row->listed[kind].due == DUE_NOW)
		DL_DELETE2(overlays->now[kind], row, listed[kind].prev, listed[kind].next);
	row->listed[kind].due = DUE_NEVER;
}

static void make_due(struct status_overlays *overlays, enum kind kind)
{
	struct row *row;

	for (row = overlays->later[kind]; row; row = row->listed[kind].next)
		row->listed[kind].due = DUE_NOW;
	DL_CONCAT2(overlays->now[kind], overlays->later[kind], listed[kind].prev,
		listed[kind].next);
	overlays->later[kind] = NULL;
}

static void hide(struct status_overlays *overlays, struct row *row)
{
	DL_APPEND2(overlays->hidden, row, listed[WORDS].prev, listed[WORDS].next);
}

static void unhide(struct status_overlays *overlays, struct row *row)
{
	DL_DELETE2(overlays->hidden, row, listed[WORDS].prev, listed[WORDS].next);
}

static void show(struct status_overlays *overlays, struct row *row)
{
	row->shown = row->new = true;
	overlays->shown++;
	changed(overlays, row, WORDS);
}

static void forget(struct status_overlays *overlays, struct row *row)
{
	struct row *next;

	if (row->left)
		overlays->left--;
	if (row->shown)
		overlays->shown--;
	else
		unhide(overlays, row);
	unlist(overlays, row, WORDS);
	unlist(overlays, row, FIGURES);
	HASH_DELETE(hh, overlays->rows, row);
	memory_free(row);
	next = overlays->hidden;
	if (!next || overlays->shown >= STATUS_OVERLAYS)
		return;
	unhide(overlays, next);
	show(overlays, next);
}

/* ---- what happens ---- */

static struct row *find_short(const struct status_overlays *overlays, const struct id *topic)
{
	struct row *row;

	KEYED_FIND(&overlays->keyed, overlays->rows, topic, KEY_SIZE, row);
	return row;
}

/* Finds the row of an overlay; returns NULL as well for an overlay that is left. */
static struct row *find(const struct status_overlays *overlays, const struct id *topic)
{
	struct row *row = find_short(overlays, topic);

	return row && !row->left && id_equal(&row->topic, topic) ? row : NULL;
}

static struct row *add(struct status_overlays *overlays, const struct id *topic)
{
	struct row *row = memory_zalloc(sizeof *row);

	if (!row)
		return NULL;
	row->topic = *topic;
	KEYED_ADD(&overlays->keyed, overlays->rows, &row->topic, KEY_SIZE, row);
	if (!row)
		return NULL;
	if (overlays->shown < STATUS_OVERLAYS)
		show(overlays, row);
	else
		hide(overlays, row);
	return row;
}

static void begin(struct status_overlays *overlays, struct row *row)
{
	row->was_joined = false;
	row->count = 0;
	overlays->joining++;
	changed(overlays, row, WORDS);
}

/* Takes an overlay, with its neighbours, out of the sums. */
static void end(struct status_overlays *overlays, struct row *row)
{
	for (size_t i = 0; i < row->count; i++)
		status_nodes_down(overlays->nodes, &row->neighbours[i]);
	if (row->count > 0)
		overlays->joined--;
	else if (!row->was_joined)
		overlays->joining--;
}

void status_overlays_join(struct status_overlays *overlays, const struct id *topic)
{
	struct row *row = find_short(overlays, topic);

	if (row && !row->left)
		return;
	if (row) {
		/* The overlay begins anew before the end of its earlier life was published. */
		row->topic = *topic;
		row->left = false;
		overlays->left--;
		memset(row->numbers, 0, sizeof row->numbers);
		changed(overlays, row, FIGURES);
	} else {
		row = add(overlays, topic);
	}
	if (row)
		begin(overlays, row);
}

void status_overlays_leave(struct status_overlays *overlays, const struct id *topic)
{
	struct row *row = find(overlays, topic);

	if (!row)
		return;
	end(overlays, row);
	row->left = true;
	overlays->left++;
	if (!row->is_published)
		forget(overlays, row);
	else
		changed(overlays, row, WORDS);
}

void status_overlays_up(
	struct status_overlays *overlays, const struct id *topic, const struct id *peer)
{
	struct row *row = find(overlays, topic);

	if (!row || row->count == LIMIT_ACTIVE_VIEW)
		return;
	if (row->count == 0) {
		overlays->joined++;
		if (!row->was_joined)
			overlays->joining--;
	}
	row->was_joined = true;
	row->neighbours[row->count++] = *peer;
	status_nodes_up(overlays->nodes, peer);
	changed(overlays, row, WORDS);
}

void status_overlays_down(
	struct status_overlays *overlays, const struct id *topic, const struct id *peer)
{
	struct row *row = find(overlays, topic);
	size_t i = 0;

	while (row && i < row->count && !id_equal(&row->neighbours[i], peer))
		i++;
	if (!row || i == row->count)
		return;
	row->neighbours[i] = row->neighbours[--row->count];
	if (row->count == 0)
		overlays->joined--;
	status_nodes_down(overlays->nodes, peer);
	changed(overlays, row, WORDS);
}

void status_overlays_left(struct status_overlays *overlays, const struct id *topic)
{
	struct row *row = find(overlays, topic);

	/* If the overlay was joined again meanwhile, what the node has said since then is of the
	 * life before. */
	if (!row)
		return;
	end(overlays, row);
	begin(overlays, row);
}

void status_overlays_count(struct status_overlays *overlays, const struct id *topic,
	enum status_number number, uint64_t n)
{
	struct row *row = find(overlays, topic);

	if (!row)
		return;
	row->numbers[number] += n;
	changed(overlays, row, FIGURES);
}

const char *status_overlays_word(const struct status_overlays *overlays)
{
	size_t all = HASH_COUNT(overlays->rows) - overlays->left;

	if (all == 0)
		return "idle";
	if (overlays->joined == all)
		return "joined";
	if (overlays->joined > 0)
		return "partly";
	return overlays->joining == all ? "joining" : "alone";
}

/* ---- publishing ---- */

static void topic_of(const struct row *row, const char *name, char out[STATUS_TOPIC_SIZE])
{
	snprintf(out, STATUS_TOPIC_SIZE, STATUS_PREFIX "overlay/%s/%s",
		topic_short(&row->topic).text, name);
}

static void publish_number(const struct row *row, const char *name, uint64_t number)
{
	char topic[STATUS_TOPIC_SIZE], text[24];

	topic_of(row, name, topic);
	snprintf(text, sizeof text, "%" PRIu64, number);
	broker_retain(topic, text, strlen(text));
}

static const char *const number_names[] = {
	[STATUS_IN] = "in",
	[STATUS_OUT] = "out",
	[STATUS_DROPPED] = "dropped",
};

static size_t publish_words(struct row *row)
{
	const char *state = row->count > 0 ? "joined" : row->was_joined ? "alone" : "joining";
	char topic[STATUS_TOPIC_SIZE];
	size_t published = 0;

	if (row->new || strcmp(row->published.state, state) != 0) {
		topic_of(row, "state", topic);
		broker_retain(topic, state, strlen(state));
		published++;
	}
	if (row->new || row->published.count != row->count) {
		publish_number(row, "neighbours", row->count);
		published++;
	}
	row->published.state = state;
	row->published.count = row->count;
	return published;
}

static size_t publish_figures(struct row *row)
{
	size_t published = 0;

	for (size_t i = 0; i < STATUS_NUMBERS; i++) {
		if (!row->new && row->published.numbers[i] == row->numbers[i])
			continue;
		publish_number(row, number_names[i], row->numbers[i]);
		row->published.numbers[i] = row->numbers[i];
		published++;
	}
	return published;
}

static void clear(const struct row *row)
{
	char topic[STATUS_TOPIC_SIZE];

	topic_of(row, "state", topic);
	broker_retain(topic, NULL, 0);
	topic_of(row, "neighbours", topic);
	broker_retain(topic, NULL, 0);
	for (size_t i = 0; i < STATUS_NUMBERS; i++) {
		topic_of(row, number_names[i], topic);
		broker_retain(topic, NULL, 0);
	}
}

void status_overlays_words_due(struct status_overlays *overlays)
{
	make_due(overlays, WORDS);
}

void status_overlays_numbers_due(struct status_overlays *overlays)
{
	make_due(overlays, FIGURES);
}

void status_overlays_again(struct status_overlays *overlays)
{
	struct row *row, *next;

	HASH_ITER (hh, overlays->rows, row, next) {
		if (!row->shown || row->left)
			continue;
		row->new = true;
		changed(overlays, row, WORDS);
	}
	status_overlays_words_due(overlays);
}

static size_t take(size_t room, size_t published)
{
	return published < room ? room - published : 0;
}

static void publish_row(struct status_overlays *overlays, struct row *row, size_t *room)
{
	if (row->left) {
		clear(row);
		*room = take(*room, TOPICS);
		forget(overlays, row);
		return;
	}
	*room = take(*room, publish_words(row));
	if (row->new) {
		*room = take(*room, publish_figures(row));
		unlist(overlays, row, FIGURES);
	}
	row->new = false;
	row->is_published = true;
	unlist(overlays, row, WORDS);
}

void status_overlays_publish(struct status_overlays *overlays, size_t *room)
{
	struct row *row;

	while (*room > 0 && overlays->now[WORDS])
		publish_row(overlays, overlays->now[WORDS], room);
	while (*room > 0 && overlays->now[FIGURES]) {
		row = overlays->now[FIGURES];
		/* Nothing of an overlay that is to be cleared, or of which all is to be
		 * published. */
		if (!row->left && !row->new)
			*room = take(*room, publish_figures(row));
		unlist(overlays, row, FIGURES);
	}
}
