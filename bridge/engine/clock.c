/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The engine on libuv's clock: the one file of the engine that knows what time it is and when the
 * loop turns. (tests/simulation puts virtual time in its place.)
 */
#include "internal.h"

uint64_t engine_now(const struct engine *engine)
{
	(void)engine;
	return uv_hrtime();
}

uint64_t engine_wall(const struct engine *engine)
{
	uv_timespec64_t now;

	(void)engine;
	/* A clock that cannot be read is one that stands still: infos are numbered on. */
	if (uv_clock_gettime(UV_CLOCK_REALTIME, &now) != 0 || now.tv_sec < 0)
		return 0;
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* In one turn, of what can wait for the next one. Together with what cannot (datagrams that were
 * read, packets that are due) a turn stays below 5 ms. */
#define TURN_NS MS

bool engine_is_late(struct engine *engine)
{
	uint64_t now = engine_now(engine);

	if (engine->turn_began == 0)
		engine->turn_began = now;
	return now - engine->turn_began >= TURN_NS;
}

static void on_timer(uv_timer_t *timer)
{
	engine_tick(timer->data);
}

/* Once per turn of the loop, before it sleeps: the one timer follows the cores. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct engine *engine = prepare->data;
	uint64_t due = engine_turn(engine), now;

	engine->turn_began = 0;
	if (engine->closing)
		return;
	if (due == UINT64_MAX) {
		uv_timer_stop(&engine->timer);
		return;
	}
	now = engine_now(engine);
	uv_timer_start(&engine->timer, on_timer, due <= now ? 0 : (due - now + MS - 1) / MS, 0);
}

/* After what came was read: the owner is woken before the answers are written. (libuv calls
 * the check that was started last first; the endpoint's is older.) */
static void on_check(uv_check_t *check)
{
	struct engine *engine = check->data;

	engine->owner.turned(engine->owner.context);
}

void clock_start(struct engine *engine)
{
	uv_timer_init(engine->loop, &engine->timer);
	engine->timer.data = engine;
	uv_prepare_init(engine->loop, &engine->prepare);
	engine->prepare.data = engine;
	uv_prepare_start(&engine->prepare, on_prepare);
	uv_check_init(engine->loop, &engine->check);
	engine->check.data = engine;
	uv_check_start(&engine->check, on_check);
	engine->handles_ready = true;
}

static void on_handle_closed(uv_handle_t *handle)
{
	life_part_closed(handle->data);
}

void clock_stop(struct engine *engine)
{
	uv_close((uv_handle_t *)&engine->timer, on_handle_closed);
	uv_close((uv_handle_t *)&engine->prepare, on_handle_closed);
	uv_close((uv_handle_t *)&engine->check, on_handle_closed);
}
