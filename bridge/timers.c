/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "timers.h"

#include <assert.h>

#include "error.h"
#include "memory.h"

int timers_reserve(struct timers *timers, size_t count)
{
	size_t capacity = timers->capacity ? timers->capacity : 16;
	struct timer **heap;

	if (count <= timers->capacity)
		return ERROR_NONE;
	while (capacity < count)
		capacity *= 2;
	heap = memory_realloc(timers->heap, capacity * sizeof *heap);
	if (!heap)
		return ERROR_NOMEM;
	timers->heap = heap;
	timers->capacity = capacity;
	return ERROR_NONE;
}

static void place(struct timers *timers, size_t i, struct timer *timer)
{
	timers->heap[i] = timer;
	timer->index = i + 1;
}

static void rise(struct timers *timers, size_t i, struct timer *timer)
{
	while (i > 0 && timers->heap[(i - 1) / 2]->at > timer->at) {
		place(timers, i, timers->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(timers, i, timer);
}

static void sink(struct timers *timers, size_t i, struct timer *timer)
{
	for (;;) {
		size_t child = 2 * i + 1;

		if (child + 1 < timers->count &&
			timers->heap[child + 1]->at < timers->heap[child]->at)
			child++;
		if (child >= timers->count || timers->heap[child]->at >= timer->at)
			break;
		place(timers, i, timers->heap[child]);
		i = child;
	}
	place(timers, i, timer);
}

static void settle(struct timers *timers, size_t i, struct timer *timer)
{
	if (i > 0 && timers->heap[(i - 1) / 2]->at > timer->at)
		rise(timers, i, timer);
	else
		sink(timers, i, timer);
}

void timers_set(struct timers *timers, struct timer *timer, uint64_t at)
{
	timer->at = at;
	if (at == TIMER_NEVER) {
		size_t i = timer->index;
		struct timer *last;

		if (i == 0)
			return;
		timer->index = 0;
		last = timers->heap[--timers->count];
		if (last != timer)
			settle(timers, i - 1, last);
	} else if (timer->index == 0) {
		assert(timers->count < timers->capacity);
		rise(timers, timers->count++, timer);
	} else {
		settle(timers, timer->index - 1, timer);
	}
}

struct timer *timers_first(const struct timers *timers)
{
	return timers->count ? timers->heap[0] : NULL;
}

void timers_clear(struct timers *timers)
{
	memory_free(timers->heap);
	*timers = (struct timers){0};
}
