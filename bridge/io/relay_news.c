/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Between the relays and the rest of the node. The mesh hears of what changes at the end of a turn:
 * the relays tell it while they are asked for something, which the mesh itself may have done.
 */
#include "../error.h"
#include "internal.h"

static void on_datagram(void *context, const struct address *relay, const struct id *from,
	const uint8_t *data, size_t size, size_t segment)
{
	struct driver *driver = context;
	size_t n;

	if (!driver->endpoint)
		return;
	for (; size > 0; data += n, size -= n) {
		n = segment > 0 && segment < size ? segment : size;
		quic_endpoint_relayed(driver->endpoint, relay, from, data, n);
	}
}

static void on_gone(void *context, const struct address *relay, const struct id *node)
{
	/* A relay may say that anybody is gone: QUIC finds out who is. */
}

static void on_home(void *context, const struct relay_url *url)
{
	((struct driver *)context)->relay_moved = true;
}

static void on_changed(void *context, const struct address *relay, bool up)
{
	struct driver *driver = context;

	driver->relay_up = driver->relay_up || up;
	if (up && driver->endpoint)
		quic_endpoint_relay_up(driver->endpoint, relay);
}

static void on_log(void *context, enum node_log_level level, const char *text)
{
	mesh_log(((struct driver *)context)->mesh, level, "%s", text);
}

static size_t count_named(const struct node_peer *peers, size_t count)
{
	size_t named = 0;

	for (size_t i = 0; i < count; i++)
		named += peers[i].relays_count;
	return named;
}

static int add_named(struct driver *driver, const struct node_peer *peers, size_t count)
{
	int error = ERROR_NONE;

	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; !error && j < peers[i].relays_count; j++)
			error = relaying_add(driver->relaying, &peers[i].relays[j]);
	return error;
}

int relay_news_new(struct driver *driver, const struct node_config *config)
{
	const struct relaying_config relaying = {
		.loop = driver->loop,
		.identity = config->identity,
		.random = random_system(),
		.counters = driver->owner.counters,
		.relays = config->relays,
		.relays_count = config->relays_count,
		.token = config->relay_token,
		.ca = config->relay_ca,
		.any = config->relay_any,
		.callbacks = {on_datagram, on_gone, on_home, on_changed, on_log, driver},
	};
	int error;

	if (config->relays_count == 0 && !config->relay_any &&
		count_named(config->peers, config->peers_count) == 0 &&
		count_named(config->bootstraps, config->bootstraps_count) == 0)
		return ERROR_NONE;
	error = relaying_new(&relaying, &driver->relaying);
	if (!error)
		error = add_named(driver, config->peers, config->peers_count);
	if (!error)
		error = add_named(driver, config->bootstraps, config->bootstraps_count);
	return error;
}

int relay_news_name(struct driver *driver, const struct node_peer *peer)
{
	if (peer->relays_count == 0)
		return ERROR_NONE;
	if (driver->relaying)
		return add_named(driver, peer, 1);
	mesh_log(driver->mesh, NODE_LOG_WARNING,
		"a node that was added is at a relay, which is not used before a restart: nothing "
		"that the broker was started with names one");
	return ERROR_NONE;
}

void relay_news_send(void *context, const struct address *relay, const struct id *node,
	const uint8_t *data, size_t size, size_t segment)
{
	struct driver *driver = context;

	(void)relaying_send(driver->relaying, uv_hrtime(), relay, node, data, size, segment);
}

static void tell_mesh(struct driver *driver)
{
	struct mesh_time time = clock_time(driver);

	if (driver->relay_moved)
		mesh_relay(driver->mesh, &time, relaying_home(driver->relaying));
	if (driver->relay_up)
		mesh_relay_up(driver->mesh, &time);
	driver->relay_moved = driver->relay_up = false;
	driver_drain(driver);
}

void relay_news_turn(struct driver *driver)
{
	const struct driver_owner *owner = &driver->owner;

	if (!driver->relaying)
		return;
	if (!driver->closing) {
		tell_mesh(driver);
		owner->relay(owner->context, relaying_home(driver->relaying),
			(enum node_relay_state)relaying_state(driver->relaying));
	}
	relaying_turn(driver->relaying, uv_hrtime());
}
