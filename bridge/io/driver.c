/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "driver.h"

#include <stdatomic.h>

#include "../memory.h"
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
	atomic_store_explicit(
		owner->overlays_changes, figures.overlays_changes, memory_order_relaxed);
	atomic_store_explicit(owner->nodes_changes, figures.nodes_changes, memory_order_relaxed);
}

void driver_drain(struct driver *driver)
{
	struct mesh_effect effect;

	tell_figures(driver); /* before the events that speak of them */
	while (mesh_effect(driver->mesh, &effect))
		carry_out(driver, &effect);
}

/* Writes rows of the address book, as long as the disk keeps up and the turn has time. */
static void write_rows(struct driver *driver)
{
	struct id node;
	size_t size;

	driver->rows_left = false;
	while (store_has_room(driver->store) &&
		mesh_row(driver->mesh, &node, driver->row, &size)) {
		/* Without memory the row is not written now, but when next it changes. */
		if (size > 0)
			(void)store_put_node(driver->store, &node, driver->row, size);
		else
			(void)store_delete_node(driver->store, &node);
		driver->rows_left = driver_is_late(driver);
		if (driver->rows_left)
			break;
	}
}

/* Memory is given back when so many bytes of messages are no longer remembered, or seven eighths of
 * them, if there were as many as to matter: the last ones may hold tables for all that were there. */
#define GIVE_BACK_BYTES	      ((size_t)8 << 20)
#define GIVE_BACK_LEAST_BYTES ((size_t)64 << 10)

/* Gives memory back after a burst, as its messages are forgotten. */
static void give_back(struct driver *driver)
{
	size_t held = mesh_held(driver->mesh), most = driver->most_held;

	if (held >= most) {
		driver->most_held = held;
		return;
	}
	if (most - held < GIVE_BACK_BYTES && (most < GIVE_BACK_LEAST_BYTES || held > most / 8))
		return;
	driver->most_held = held;
	memory_give_back();
}

/* ---- turns ---- */

void driver_tick(struct driver *driver)
{
	struct mesh_time time = clock_time(driver);

	store_tick(driver->store);
	relaying_tick(driver->relaying, uv_hrtime());
	mesh_tick(driver->mesh, &time);
	driver_drain(driver);
}

static uint64_t deadline(const struct driver *driver)
{
	const uint64_t others[] = {
		store_deadline(driver->store), relaying_deadline(driver->relaying)};
	uint64_t due = driver->rows_left ? 0 : mesh_deadline(driver->mesh);

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (others[i] < due)
			due = others[i];
	return due;
}

uint64_t driver_turn(struct driver *driver)
{
	struct mesh_time time = clock_time(driver);

	if (!driver->closing) {
		mesh_turn(driver->mesh, &time);
		driver_drain(driver);
		write_rows(driver);
		give_back(driver);
		if (mesh_is_over(driver->mesh))
			start_close(driver);
	}
	relay_news_turn(driver);
	whereabouts_turn(driver);
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

bool driver_has_room(struct driver *driver, const struct id *topic)
{
	struct mesh_time time = clock_time(driver);

	return mesh_has_room(driver->mesh, &time, topic);
}

bool driver_read_on(struct driver *driver)
{
	return !driver->closing && quic_endpoint_read_on(driver->endpoint);
}

bool driver_holds(const struct driver *driver)
{
	return !driver->closing && quic_endpoint_holds(driver->endpoint);
}

void driver_verify(struct driver *driver, const struct id *topic, bool verify)
{
	mesh_verify(driver->mesh, topic, verify);
}

int driver_set_peer(struct driver *driver, const struct node_peer *peer, bool trusted)
{
	struct mesh_time time = clock_time(driver);
	int error = start_look_for(driver, peer);

	if (!error)
		error = mesh_set_peer(driver->mesh, &time, peer, trusted);
	driver_drain(driver);
	return error;
}

void driver_remove_peer(struct driver *driver, const struct id *id)
{
	struct mesh_time time = clock_time(driver);

	start_look_no_more(driver, id);
	mesh_remove_peer(driver->mesh, &time, id);
	driver_drain(driver);
}

int driver_set_access(struct driver *driver, const struct id *allow, size_t allow_count,
	const struct id *deny, size_t deny_count)
{
	struct mesh_time time = clock_time(driver);
	int error = mesh_set_access(
		driver->mesh, &time, allow, allow_count, deny, deny_count);

	driver_drain(driver);
	return error;
}

int driver_ask(struct driver *driver, const struct picture_question *question)
{
	struct mesh_time time = clock_time(driver);
	int error = mesh_ask(driver->mesh, &time, question);

	driver_drain(driver);
	return error;
}

void driver_record(struct driver *driver, const void *key, size_t key_size, const void *value,
	size_t value_size)
{
	store_record(driver->store, key, key_size, value, value_size);
}
