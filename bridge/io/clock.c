/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The driver on libuv's clock: the one file of it that knows what time it is and when the loop
 * turns. (tests/simulation puts virtual time in its place.)
 */
#include "../time.h"
#include "internal.h"


/* Returns Unix time in us; 0 if the clock cannot be read. The mesh takes 0 for a clock that stands
 * still, and goes on numbering the infos. */
static uint64_t wall_us(void)
{
	uv_timespec64_t now;

	if (uv_clock_gettime(UV_CLOCK_REALTIME, &now) != 0 || now.tv_sec < 0)
		return 0;
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The wall clock is read once in so many ns, and goes on with the other one meanwhile. */
#define WALL_NS MS

struct mesh_time clock_time(struct driver *driver)
{
	uint64_t now = uv_hrtime();

	if (driver->wall == 0 || now - driver->wall_read >= WALL_NS) {
		driver->wall = wall_us();
		driver->wall_read = now;
	}
	return (struct mesh_time){.now = now,
		.wall = driver->wall > 0 ? driver->wall + (now - driver->wall_read) / 1000 : 0};
}

/* How long one turn of the loop works before it leaves for the next one what can wait. Together
 * with what cannot (datagrams that were read, packets that are due) a turn stays below 5 ms. */
#define TURN_NS MS

bool driver_is_late(struct driver *driver)
{
	uint64_t now = uv_hrtime();

	if (driver->turn_began == 0)
		driver->turn_began = now;
	return now - driver->turn_began >= TURN_NS;
}

static void on_timer(uv_timer_t *timer)
{
	driver_tick(timer->data);
}

/* Ends the turn, once per turn of the loop, before the loop sleeps, and sets the one timer to the
 * deadline of the cores. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct driver *driver = prepare->data;
	uint64_t due = driver_turn(driver), now;

	driver->turn_began = 0;
	if (driver->closing)
		return;
	if (due == UINT64_MAX) {
		uv_timer_stop(&driver->timer);
		return;
	}
	now = uv_hrtime();
	uv_timer_start(&driver->timer, on_timer, due <= now ? 0 : (due - now + MS - 1) / MS, 0);
}

/* Wakes the owner after what has come was read, before the answers are written. (libuv calls the
 * check handle that was started last first; the endpoint's is older.) */
static void on_check(uv_check_t *check)
{
	struct driver *driver = check->data;

	driver->owner.turned(driver->owner.context);
}

void clock_start(struct driver *driver)
{
	uv_timer_init(driver->loop, &driver->timer);
	driver->timer.data = driver;
	uv_prepare_init(driver->loop, &driver->prepare);
	driver->prepare.data = driver;
	uv_prepare_start(&driver->prepare, on_prepare);
	uv_check_init(driver->loop, &driver->check);
	driver->check.data = driver;
	uv_check_start(&driver->check, on_check);
	driver->handles_ready = true;
}

static void on_handle_closed(uv_handle_t *handle)
{
	start_part_closed(handle->data);
}

void clock_stop(struct driver *driver)
{
	uv_close((uv_handle_t *)&driver->timer, on_handle_closed);
	uv_close((uv_handle_t *)&driver->prepare, on_handle_closed);
	uv_close((uv_handle_t *)&driver->check, on_handle_closed);
}
