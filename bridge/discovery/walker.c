/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "walker.h"

#include <string.h>

#include "../error.h"
#include "../keyed_table.h"
#include "../limits.h"
#include "../time.h"

/* The time between two steps, however eager. */
#define STEP_NS	      (100 * MS)
/* The time after a look at the book that has found no node: looking at a large book takes half a
 * millisecond, and reasons to do so may come by the thousand. */
#define VAIN_NS	      (20 * MS)
#define SLOWER_MIN_NS (1000 * MS)
#define SLOWER_MAX_NS (5000 * MS)
#define SLOWEST_NS    (30000 * MS)
#define SLOWEST_LONELY_NS (5000 * MS)
/* A session that lasts longer does not hold up other sessions any more. */
#define PATIENCE_NS (1000 * MS)
/* The chance of a new walk at each step, in percent. */
#define RESTART_CHANCE 2

struct visit {
	struct id node;
	UT_hash_handle hh;
};

struct walker {
	struct random random;
	struct keyed keyed;
	struct walker_nodes nodes;
	struct id *configured;
	size_t configured_count;
	struct visit *visited; /* in this walk */
	struct running {
		struct id node;
		uint64_t begun;
		bool doubtful; /* when the session was begun */
	} running[WALKER_MOST];
	size_t running_count;
	struct id prompted[WALKER_PROMPTED];
	size_t prompted_count;
	uint64_t last; /* when the last step was begun */
	uint64_t vain; /* when no node was found the last time */
	uint64_t due;
	uint64_t pace;
	unsigned eager;
	bool rested; /* the last step was not quick: if all nodes are visited, begin again */
	bool searching;
	unsigned quick; /* steps of the search that follow quickly */
	bool lonely; /* no session has succeeded since the last change */
};

int walker_new(const struct random *random, const struct walker_nodes *nodes,
	const struct id *configured, size_t configured_count, struct walker **out)
{
	struct walker *walker = memory_zalloc(sizeof *walker);

	if (!walker)
		return ERROR_NOMEM;
	walker->random = *random;
	walker->nodes = *nodes;
	walker->due = UINT64_MAX;
	keyed_init(&walker->keyed, random);
	walker->configured = memory_alloc((configured_count + 1) * sizeof *walker->configured);
	if (!walker->configured) {
		memory_free(walker);
		return ERROR_NOMEM;
	}
	if (configured_count > 0)
		memcpy(walker->configured, configured, configured_count * sizeof *configured);
	walker->configured_count = configured_count;
	*out = walker;
	return ERROR_NONE;
}

int walker_configure(struct walker *walker, uint64_t now, const struct id *configured,
	size_t configured_count)
{
	struct id *copy = memory_alloc((configured_count + 1) * sizeof *copy);

	if (!copy)
		return ERROR_NOMEM;
	if (configured_count > 0)
		memcpy(copy, configured, configured_count * sizeof *configured);
	memory_free(walker->configured);
	walker->configured = copy;
	walker->configured_count = configured_count;
	walker_found(walker, now);
	return ERROR_NONE;
}

static struct visit *find(const struct walker *walker, const struct id *node)
{
	struct visit *visit;

	KEYED_FIND(&walker->keyed, walker->visited, node, sizeof *node, visit);
	return visit;
}

static void forget_visits(struct walker *walker)
{
	struct visit *visit, *next;

	HASH_ITER (hh, walker->visited, visit, next) {
		HASH_DELETE(hh, walker->visited, visit);
		memory_free(visit);
	}
}

void walker_free(struct walker *walker)
{
	if (!walker)
		return;
	forget_visits(walker);
	memory_free(walker->configured);
	memory_free(walker);
}

/* Notes that this walk has visited a node. Without memory the node is visited again: no harm. */
static void note_visit(struct walker *walker, const struct id *node)
{
	struct visit *visit;

	if (find(walker, node) || HASH_COUNT(walker->visited) >= LIMIT_NODES)
		return;
	visit = memory_zalloc(sizeof *visit);
	if (!visit)
		return;
	visit->node = *node;
	KEYED_ADD(&walker->keyed, walker->visited, &visit->node, sizeof visit->node, visit);
}

static void sooner(struct walker *walker, uint64_t now, uint64_t due)
{
	uint64_t earliest = walker->last ? walker->last + STEP_NS : now;

	if (walker->vain && earliest < walker->vain + VAIN_NS)
		earliest = walker->vain + VAIN_NS;
	if (due < earliest)
		due = earliest;
	if (due < walker->due)
		walker->due = due;
}

void walker_reset(struct walker *walker, uint64_t now)
{
	forget_visits(walker);
	walker->pace = 0;
	walker->eager = WALKER_EAGER;
	walker->quick = WALKER_QUICK;
	walker->lonely = true;
	sooner(walker, now, now);
}

void walker_search(struct walker *walker, uint64_t now, bool searching, bool anew)
{
	bool begins = searching && walker->visited && (anew || !walker->searching);

	walker->searching = searching;
	if (anew) {
		walker->quick = WALKER_QUICK;
		forget_visits(walker);
	}
	if (begins && walker->quick > 0)
		sooner(walker, now, now);
}

void walker_prompt(struct walker *walker, uint64_t now, const struct id *node)
{
	for (size_t i = 0; i < walker->prompted_count; i++)
		if (id_equal(&walker->prompted[i], node))
			return;
	if (walker->prompted_count == WALKER_PROMPTED)
		return;
	walker->prompted[walker->prompted_count++] = *node;
	sooner(walker, now, now);
}

void walker_found(struct walker *walker, uint64_t now)
{
	if (walker->searching && walker->quick > 0)
		sooner(walker, now, now);
	else if (walker->due == UINT64_MAX)
		sooner(walker, now, now + walker->pace);
}

static bool is_running(const struct walker *walker, const struct id *node)
{
	for (size_t i = 0; i < walker->running_count; i++)
		if (id_equal(&walker->running[i].node, node))
			return true;
	return false;
}

void walker_ended(struct walker *walker, uint64_t now, const struct id *node, enum walk walk)
{
	for (size_t i = 0; i < walker->running_count; i++) {
		if (!id_equal(&walker->running[i].node, node))
			continue;
		walker->running_count--;
		memmove(&walker->running[i], &walker->running[i + 1],
			(walker->running_count - i) * sizeof walker->running[0]);
		break;
	}
	walker->lonely = walk == WALK_FAILED && walker->lonely;
	if (walk == WALK_BROUGHT_NEWS) {
		walker->pace = 0;
		if (walker->eager == 0)
			walker->eager = 1;
		sooner(walker, now, now);
	} else {
		/* A place is free now for a step that is due. */
		sooner(walker, now, walker->last + walker->pace);
	}
}

static bool may_visit(const struct walker *walker, const struct id *node)
{
	return !is_running(walker, node) && walker->nodes.may_visit(walker->nodes.context, node);
}

static bool is_doubtful(const struct walker *walker, const struct id *node)
{
	return walker->nodes.is_doubtful(walker->nodes.context, node);
}

static bool has_room_for_doubtful(const struct walker *walker)
{
	size_t doubtful = 0;

	for (size_t i = 0; i < walker->running_count; i++)
		doubtful += walker->running[i].doubtful;
	return doubtful < WALKER_DOUBTFUL;
}

/* A choice among nodes that this walk has not visited. Of those that probably cannot be reached
 * only the first is kept, for the case that there is no other node. */
struct choice {
	struct walker *walker;
	bool has_doubtful;
	struct id doubtful;
};

static bool is_unvisited(void *context, const struct id *node)
{
	struct choice *choice = context;
	const struct walker *walker = choice->walker;

	if (find(walker, node) || !may_visit(walker, node))
		return false;
	if (!is_doubtful(walker, node))
		return true;
	if (!choice->has_doubtful)
		choice->doubtful = *node;
	choice->has_doubtful = true;
	return false;
}

static bool take_prompted(struct walker *walker, struct id *out)
{
	for (size_t i = 0; i < walker->prompted_count; i++) {
		if (!may_visit(walker, &walker->prompted[i]))
			continue;
		*out = walker->prompted[i];
		walker->prompted_count--;
		memmove(&walker->prompted[i], &walker->prompted[i + 1],
			(walker->prompted_count - i) * sizeof *out);
		return true;
	}
	walker->prompted_count = 0; /* none of these nodes may be visited now */
	return false;
}

/* Takes a configured node that this walk has not visited, beginning with a random one. */
static bool take_configured(struct choice *choice, struct id *out)
{
	struct walker *walker = choice->walker;
	size_t count = walker->configured_count, first;

	if (count == 0)
		return false;
	first = (size_t)random_below(&walker->random, count);
	for (size_t i = 0; i < count; i++) {
		*out = walker->configured[(first + i) % count];
		if (is_unvisited(choice, out))
			return true;
	}
	return false;
}

static bool take_unvisited(struct walker *walker, struct id *out)
{
	struct choice choice = {.walker = walker};

	if (take_configured(&choice, out) ||
		walker->nodes.random(walker->nodes.context, is_unvisited, &choice, out))
		return true;
	if (!choice.has_doubtful || !has_room_for_doubtful(walker))
		return false;
	*out = choice.doubtful;
	return true;
}

static bool choose(struct walker *walker, struct id *out)
{
	if (take_prompted(walker, out))
		return true;
	if (random_below(&walker->random, 100) < RESTART_CHANCE)
		forget_visits(walker);
	for (int walk = 0; walk < 2; walk++) {
		if (take_unvisited(walker, out))
			return true;
		/* All nodes were visited: a new walk begins, but at the pace of a walk. */
		if (!walker->visited || !walker->rested)
			break;
		forget_visits(walker);
	}
	return false;
}

static void slow_down(struct walker *walker)
{
	walker->rested = true; /* when the next step comes */
	walker->pace += SLOWER_MIN_NS +
			random_below(&walker->random, SLOWER_MAX_NS - SLOWER_MIN_NS + 1);
	if (walker->pace > (walker->lonely ? SLOWEST_LONELY_NS : SLOWEST_NS))
		walker->pace = walker->lonely ? SLOWEST_LONELY_NS : SLOWEST_NS;
}

/* Sets the pace after a step; returns how long to wait for the next step. */
static uint64_t keep_pace(struct walker *walker)
{
	walker->rested = false;
	if (walker->eager > 0) {
		walker->eager--;
		walker->pace = 0;
	} else if (walker->searching && walker->quick > 0) {
		/* Quick steps do not change the pace of further walks. */
		walker->quick--;
		return STEP_NS;
	} else {
		slow_down(walker);
	}
	return walker->pace > STEP_NS ? walker->pace : STEP_NS;
}

/* Returns when there is a place for one more session; 0: now. The running sessions are in the order
 * in which they were begun. */
static uint64_t next_place(const struct walker *walker)
{
	if (walker->running_count < WALKER_AT_ONCE)
		return 0;
	if (walker->running_count == WALKER_MOST)
		return UINT64_MAX;
	return walker->running[walker->running_count - WALKER_AT_ONCE].begun + PATIENCE_NS;
}

uint64_t walker_deadline(const struct walker *walker)
{
	uint64_t place = next_place(walker);

	return walker->due > place ? walker->due : place;
}

bool walker_effect(struct walker *walker, uint64_t now, struct id *node)
{
	if (now < walker_deadline(walker))
		return false;
	if (!choose(walker, node)) {
		bool idle = !walker->visited && walker->running_count == 0;

		/* If no node at all is known, walker_found wakes us; otherwise the walker looks
		 * again in a while. */
		walker->eager = 0;
		walker->vain = now;
		slow_down(walker);
		walker->due = idle ? UINT64_MAX : now + walker->pace;
		return false;
	}
	note_visit(walker, node);
	walker->running[walker->running_count++] =
		(struct running){*node, now, is_doubtful(walker, node)};
	walker->last = now;
	walker->due = now + keep_pace(walker);
	return true;
}
