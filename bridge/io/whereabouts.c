/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Where this machine is to be found, and its local network. */
#include <string.h>

#include "../discovery/mdns.h"
#include "../error.h"
#include "internal.h"

size_t whereabouts_addresses(const struct driver *driver, struct address *out)
{
	return interfaces_addresses(
		driver->sockets, driver->sockets_count, out, LIMIT_ADDRESSES_PER_NODE);
}

static void on_interfaces(void *context)
{
	struct driver *driver = context;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	struct mesh_time time = clock_time(driver);

	if (driver->closing)
		return;
	if (driver->multicast)
		multicast_interfaces(driver->multicast);
	quic_endpoint_addresses_changed(driver->endpoint);
	mesh_addresses(driver->mesh, &time, addresses, whereabouts_addresses(driver, addresses));
	driver_drain(driver);
}

void whereabouts_watch(struct driver *driver)
{
	if (interfaces_watch_start(driver->loop, on_interfaces, driver, &driver->watch))
		mesh_log(driver->mesh, NODE_LOG_WARNING,
			"changes of this machine's addresses are not seen: %s",
			error_text(ERROR_SYSTEM));
}

static void on_packet(void *context, const uint8_t *packet, size_t size)
{
	struct driver *driver = context;
	struct mesh_time time = clock_time(driver);

	mesh_packet(driver->mesh, &time, packet, size);
	driver_drain(driver);
}

int whereabouts_lan(struct driver *driver, enum node_mdns mode)
{
	int error;

	if (mode == NODE_MDNS_OFF)
		return ERROR_NONE;
	error = multicast_open(driver->loop, on_packet, driver, &driver->multicast);
	if (error == ERROR_NOMEM)
		return error;
	if (!error)
		return mesh_use_lan(driver->mesh, mode);
	mesh_log(driver->mesh, NODE_LOG_WARNING, "mdns: UDP port %d cannot be used: %s", MDNS_PORT,
		error_text(error));
	return ERROR_NONE;
}

unsigned whereabouts_stop(struct driver *driver)
{
	unsigned handles = (driver->multicast != NULL) + (driver->watch != NULL);

	if (driver->multicast)
		multicast_close(driver->multicast, start_part_closed, driver);
	if (driver->watch)
		interfaces_watch_stop(driver->watch, start_part_closed, driver);
	return handles;
}
