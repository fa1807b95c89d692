/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "driver.h"

#include <stdatomic.h>

#include "internal.h"

/* ---- what the mesh wants ---- */

static void look_up(struct driver *driver, const struct id *node)
{
	for (size_t i = 0; i < driver->looked_up_count; i++)
		if (id_equal(&driver->looked_up[i].node, node))
			resolution_start(driver->looked_up[i].resolution);
}

static void carry_out(struct driver *driver, struct mesh_effect *effect)
{
	switch (effect->type) {
	case MESH_EVENT:
		driver->owner.emit(driver->owner.context, &effect->event);
		break;
	case MESH_LOOK_UP:
		if (!driver->closing)
			look_up(driver, &effect->node);
		break;
	case MESH_VALUE:
		store_put_value(driver->store, MESH_VALUE_TIME, effect->bytes, effect->size);
		break;
	case MESH_PACKET:
		if (driver->multicast && !driver->closing)
			multicast_send(driver->multicast, effect->bytes, effect->size);
		break;
	}
}

static void tell_figures(const struct driver *driver)
{
	const struct mesh_figures figures = mesh_figures(driver->mesh);
	const struct driver_owner *owner = &driver->owner;

	atomic_store_explicit(owner->overlays, figures.overlays, memory_order_relaxed);
	atomic_store_explicit(owner->neighbours, figures.neighbours, memory_order_relaxed);
	atomic_store_explicit(owner->connections, figures.connections, memory_order_relaxed);
	atomic_store_explicit(owner->waiting, figures.waiting, memory_order_relaxed);
	atomic_store_explicit(owner->relayed, figures.relayed, memory_order_relaxed);
}

void driver_drain(struct driver *driver)
{
	struct mesh_effect effect;

	tell_figures(driver); /* before the events that speak of them */
	while (mesh_effect(driver->mesh, &effect))
		carry_out(driver, &effect);
}

/* Rows of the address book, as long as the disk keeps up. */
static void write_rows(struct driver *driver)
{
	struct id node;
	size_t size;

	driver->rows_left = false;
	while (store_has_room(driver->store) &&
		mesh_row(driver->mesh, &node, driver->row, &size)) {
		/* Without memory it is not written now, but when next it changes. */
		if (size > 0)
			(void)store_put_node(driver->store, &node, driver->row, size);
		else
			(void)store_delete_node(driver->store, &node);
		driver->rows_left = driver_is_late(driver);
		if (driver->rows_left)
			break;
	}
}

/* ---- turns ---- */

void driver_tick(struct driver *driver)
{
	struct mesh_time time = clock_time(driver);

	store_tick(driver->store);
	mesh_tick(driver->mesh, &time);
	driver_drain(driver);
}

static uint64_t deadline(const struct driver *driver)
{
	uint64_t due = mesh_deadline(driver->mesh), store_due = store_deadline(driver->store);

	if (driver->rows_left)
		return 0;
	return store_due < due ? store_due : due;
}

uint64_t driver_turn(struct driver *driver)
{
	struct mesh_time time = clock_time(driver);

	if (!driver->closing) {
		mesh_turn(driver->mesh, &time);
		driver_drain(driver);
		write_rows(driver);
		if (mesh_is_over(driver->mesh))
			start_close(driver);
	}
	driver->owner.turned(driver->owner.context);
	return driver->closing ? UINT64_MAX : deadline(driver);
}

/* ---- commands ---- */

int driver_join(struct driver *driver, const struct id *topic)
{
	struct mesh_time time = clock_time(driver);
	int error = mesh_join(driver->mesh, &time, topic);

	driver_drain(driver);
	return error;
}

void driver_leave(struct driver *driver, const struct id *topic)
{
	struct mesh_time time = clock_time(driver);

	mesh_leave(driver->mesh, &time, topic);
	driver_drain(driver);
}

void driver_publish(struct driver *driver, const struct id *topic, struct message *message)
{
	struct mesh_time time = clock_time(driver);

	mesh_publish(driver->mesh, &time, topic, message);
	driver_drain(driver);
}

void driver_publish_signed(
	struct driver *driver, const struct id *topic, const void *body, size_t size)
{
	struct mesh_time time = clock_time(driver);

	mesh_publish_signed(driver->mesh, &time, topic, body, size);
	driver_drain(driver);
}

void driver_verify(struct driver *driver, const struct id *topic, bool verify)
{
	mesh_verify(driver->mesh, topic, verify);
}

void driver_record(struct driver *driver, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	store_record(driver->store, key, key_size, value, value_size);
}
