/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "status_nodes.h"

#include <stdio.h>
#include <string.h>

#include "../bridge/error.h"
#include "../bridge/keyed_table.h"
#include "../bridge/memory.h"
#include "broker.h"
#include "status.h"
#include "topic.h"

#define SECOND_NS UINT64_C(1000000000)
#define KEY_SIZE  (ID_SHORT_HEX_SIZE / 2)

struct row {
	struct id id;
	bool configured, here;
	size_t overlays;
	const char *published; /* NULL: nothing */
	bool again;	       /* it is published, and to be published once more */
	uint64_t over_ns;      /* when the topic is cleared; 0: not */
	UT_hash_handle hh;
};

struct status_nodes {
	struct keyed keyed;
	struct row *rows;
	bool changed;
	uint64_t over_ns; /* of the row that is the first to be cleared; 0: none */
};

int status_nodes_new(const struct random *random, struct status_nodes **out)
{
	struct status_nodes *nodes = memory_zalloc(sizeof *nodes);

	if (!nodes)
		return ERROR_NOMEM;
	keyed_init(&nodes->keyed, random);
	*out = nodes;
	return ERROR_NONE;
}

static void forget(struct status_nodes *nodes, struct row *row)
{
	HASH_DELETE(hh, nodes->rows, row);
	memory_free(row);
}

void status_nodes_free(struct status_nodes *nodes)
{
	struct row *row, *next;

	if (!nodes)
		return;
	HASH_ITER (hh, nodes->rows, row, next)
		forget(nodes, row);
	memory_free(nodes);
}

static struct row *find_short(const struct status_nodes *nodes, const struct id *id)
{
	struct row *row;

	KEYED_FIND(&nodes->keyed, nodes->rows, id, KEY_SIZE, row);
	return row;
}

static bool is_online(const struct row *row)
{
	return row->here || row->overlays > 0;
}

static void topic_of(const struct row *row, char out[STATUS_TOPIC_SIZE])
{
	snprintf(out, STATUS_TOPIC_SIZE, STATUS_PREFIX "node/%s/state",
		topic_short(&row->id).text);
}

static void clear(struct status_nodes *nodes, struct row *row)
{
	char topic[STATUS_TOPIC_SIZE];

	topic_of(row, topic);
	if (row->published)
		broker_retain(topic, NULL, 0);
	forget(nodes, row);
}

/* Finds the node that has been gone for longest; returns NULL if none is gone. */
static struct row *find_gone(const struct status_nodes *nodes)
{
	struct row *row, *next, *oldest = NULL;

	HASH_ITER (hh, nodes->rows, row, next)
		if (row->over_ns > 0 && (!oldest || row->over_ns < oldest->over_ns))
			oldest = row;
	return oldest;
}

static struct row *find_or_add(struct status_nodes *nodes, const struct id *id)
{
	struct row *row = find_short(nodes, id);

	if (row)
		return id_equal(&row->id, id) ? row : NULL;
	if (HASH_COUNT(nodes->rows) >= STATUS_NODES) {
		row = find_gone(nodes);
		if (!row)
			return NULL;
		clear(nodes, row);
	}
	row = memory_zalloc(sizeof *row);
	if (!row)
		return NULL;
	row->id = *id;
	KEYED_ADD(&nodes->keyed, nodes->rows, &row->id, KEY_SIZE, row);
	return row;
}

void status_nodes_configured(
	struct status_nodes *nodes, const struct id *node, bool configured, bool here)
{
	struct row *row = find_or_add(nodes, node);

	if (!row)
		return;
	row->configured = configured;
	row->here = configured && here;
	nodes->changed = true;
}

void status_nodes_up(struct status_nodes *nodes, const struct id *node)
{
	struct row *row = find_or_add(nodes, node);

	if (!row)
		return;
	row->overlays++;
	nodes->changed = true;
}

void status_nodes_down(struct status_nodes *nodes, const struct id *node)
{
	struct row *row = find_short(nodes, node);

	if (!row || !id_equal(&row->id, node) || row->overlays == 0)
		return;
	row->overlays--;
	nodes->changed = true;
}

static void publish(struct status_nodes *nodes, uint64_t now_ns, struct row *row)
{
	const char *state = is_online(row) ? "online" : "offline";
	char topic[STATUS_TOPIC_SIZE];

	if (is_online(row) || row->configured)
		row->over_ns = 0;
	else if (row->over_ns == 0)
		row->over_ns = now_ns + STATUS_NODE_KEPT_S * SECOND_NS;
	if (row->published && !row->again && strcmp(row->published, state) == 0)
		return;
	row->again = false;
	row->published = state;
	topic_of(row, topic);
	broker_retain(topic, state, strlen(state));
}

void status_nodes_publish(struct status_nodes *nodes, uint64_t now_ns)
{
	bool is_over = nodes->over_ns > 0 && nodes->over_ns <= now_ns;
	struct row *row, *next;

	if (!nodes->changed && !is_over)
		return;
	nodes->changed = false;
	nodes->over_ns = 0;
	HASH_ITER (hh, nodes->rows, row, next) {
		publish(nodes, now_ns, row);
		if (row->over_ns > 0 && row->over_ns <= now_ns)
			clear(nodes, row);
		else if (row->over_ns > 0 && (nodes->over_ns == 0 || row->over_ns < nodes->over_ns))
			nodes->over_ns = row->over_ns;
	}
}

void status_nodes_again(struct status_nodes *nodes)
{
	struct row *row, *next;

	nodes->changed = true;
	HASH_ITER (hh, nodes->rows, row, next)
		row->again = true;
}
