/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What waits for a neighbour at a clean end is kept on disk for the next start. A row: when it has
 * waited too long (Unix time, us, as the clock was; u64), whether it is signed for applications (u8),
 * its overlay, its content. The row is deleted when it is taken up.
 */
#include <string.h>

#include "../bytes/reader.h"
#include "../bytes/writer.h"
#include "../error.h"
#include "../limits.h"
#include "internal.h"

#define HEAD_SIZE (8 + 1 + ID_SIZE)
#define US_NS	  UINT64_C(1000)

static int keep(struct driver *driver, const struct mesh_waiting *waiting, uint64_t wall)
{
	uint8_t row[HEAD_SIZE + LIMIT_CONTENT];
	struct writer writer;

	if (waiting->message->size > LIMIT_CONTENT)
		return ERROR_TOO_LARGE;
	writer_init(&writer, row, sizeof row);
	writer_u64(&writer, wall + waiting->left_ns / US_NS);
	writer_u8(&writer, waiting->message->paced);
	writer_bytes(&writer, waiting->topic.bytes, ID_SIZE);
	writer_bytes(&writer, waiting->message->content, waiting->message->size);
	return store_keep(driver->store, row, writer_size(&writer));
}

/* Hands over what waits. What the store has no room for goes with its overlay. */
void keeping_take(struct driver *driver)
{
	struct mesh_time time = clock_time(driver);
	struct mesh_waiting waiting;

	while (time.wall > 0 && store_keeps(driver->store) &&
		mesh_take_waiting(driver->mesh, &time, &waiting)) {
		if (keep(driver, &waiting, time.wall) == ERROR_NONE)
			driver->kept++;
		else
			counters_add(driver->owner.counters, COUNTER_DROPPED_LEFT, 1);
		message_unref(waiting.message);
	}
}

void keeping_restore(struct driver *driver, const void *row, size_t size)
{
	struct mesh_time time = clock_time(driver);
	struct mesh_waiting waiting = {0};
	struct reader reader;
	uint64_t expires;
	bool paced;

	reader_init(&reader, row, size);
	expires = reader_u64(&reader);
	paced = reader_u8(&reader) == 1;
	if (!reader_copy(&reader, waiting.topic.bytes, ID_SIZE) ||
		reader_left(&reader) > LIMIT_CONTENT)
		return;
	size = reader_left(&reader);
	waiting.message = message_new(reader_bytes(&reader, size), size);
	if (!waiting.message)
		return;
	waiting.message->paced = paced;
	/* A clock that was set back makes it wait no longer than if it came now. */
	if (expires > time.wall)
		waiting.left_ns = expires - time.wall < UINT64_MAX / US_NS
					  ? (expires - time.wall) * US_NS
					  : UINT64_MAX;
	driver->resumed++;
	mesh_restore_waiting(driver->mesh, &time, &waiting);
	message_unref(waiting.message);
}

void keeping_say(struct driver *driver)
{
	size_t waiting = mesh_figures(driver->mesh).waiting;

	if (driver->resumed > 0)
		mesh_log(driver->mesh, NODE_LOG_NOTICE,
			"messages that waited for a neighbour when the broker was stopped: %zu wait "
			"on, %zu are lost (older than queue_age, or over a limit)",
			waiting, driver->resumed - waiting);
}
