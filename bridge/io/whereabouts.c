/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Where this machine is to be found, and its local network. */
#include <stdio.h>
#include <string.h>

#include "../discovery/mdns.h"
#include "../error.h"
#include "../memory.h"
#include "internal.h"

static void note_left_out(struct driver *driver, size_t left_out)
{
	if (left_out != driver->left_out && left_out > 0)
		mesh_log(driver->mesh, NODE_LOG_NOTICE,
			"%zu addresses of this machine are not told to other nodes, which take %d: "
			"those of bridges first, see the options bind and advertise",
			left_out, LIMIT_ADDRESSES_PER_NODE);
	driver->left_out = left_out;
}

bool whereabouts_look(struct driver *driver)
{
	struct address now[LIMIT_ADDRESSES_PER_NODE];
	size_t left_out, count = interfaces_addresses(driver->sockets, driver->sockets_count,
				 driver->towards, driver->towards_count, now,
				 LIMIT_ADDRESSES_PER_NODE, &left_out);
	bool is_news = count != driver->told_count ||
		       memcmp(now, driver->told, count * sizeof *now) != 0;

	driver->told_news = driver->told_news || is_news || left_out != driver->left_out;
	note_left_out(driver, left_out);
	memcpy(driver->told, now, count * sizeof *now);
	driver->told_count = count;
	return is_news;
}

#define TOLD_SIZE (LIMIT_ADDRESSES_PER_NODE * (ADDRESS_TEXT_SIZE + 1))

/* Tells the addresses if they have changed. Without memory this is tried again in the next turn. */
void whereabouts_turn(struct driver *driver)
{
	struct node_event event = {.type = NODE_ADDRESSES, .count = driver->left_out};
	char one[ADDRESS_TEXT_SIZE];
	size_t used = 0;

	if (!driver->told_news)
		return;
	event.text = memory_zalloc(TOLD_SIZE);
	if (!event.text)
		return;
	for (size_t i = 0; i < driver->told_count; i++)
		used += (size_t)snprintf(event.text + used, TOLD_SIZE - used, "%s%s", i ? "," : "",
			address_format(&driver->told[i], one));
	driver->told_news = false;
	driver->owner.emit(driver->owner.context, &event);
}

static void tell(struct driver *driver)
{
	struct mesh_time time = clock_time(driver);

	mesh_addresses(driver->mesh, &time, driver->told, driver->told_count);
	driver_drain(driver);
}

static bool is_known(const struct driver *driver, const struct address *address)
{
	for (size_t i = 0; i < driver->towards_count; i++)
		if (address_compare(&driver->towards[i], address) == 0)
			return true;
	return false;
}

void whereabouts_towards(struct driver *driver, const struct address *addresses, size_t count)
{
	size_t before = driver->towards_count;

	for (size_t i = 0; i < count && driver->towards_count < WHEREABOUTS_TOWARDS; i++)
		if (!is_known(driver, &addresses[i]))
			driver->towards[driver->towards_count++] = addresses[i];
	if (driver->towards_count > before && driver->handles_ready && !driver->closing &&
		whereabouts_look(driver))
		tell(driver);
}

static void on_interfaces(void *context)
{
	struct driver *driver = context;

	if (driver->closing)
		return;
	if (driver->multicast)
		multicast_interfaces(driver->multicast);
	quic_endpoint_addresses_changed(driver->endpoint);
	whereabouts_look(driver);
	/* Even with the same addresses: there may be a way now where there was none. */
	tell(driver);
}

void whereabouts_watch(struct driver *driver)
{
	int error = interfaces_watch_start(driver->loop, on_interfaces, driver, &driver->watch);

	if (error)
		mesh_log(driver->mesh, NODE_LOG_WARNING,
			"this machine's addresses cannot be listed, nor their changes seen: %s "
			"(AF_NETLINK is denied?); other nodes are told those that packets to "
			"configured nodes leave from",
			error_text(error));
	if (driver->told_count == 0 && !driver->is_advertised)
		mesh_log(driver->mesh, NODE_LOG_WARNING,
			"no address of this machine is known, so other nodes do not learn where it "
			"is: name one by the option advertise");
}

static void on_packet(void *context, const uint8_t *packet, size_t size)
{
	struct driver *driver = context;
	struct mesh_time time = clock_time(driver);

	mesh_packet(driver->mesh, &time, packet, size);
	driver_drain(driver);
}

static void on_lan_failed(void *context, const char *what, int error)
{
	struct driver *driver = context;
	struct mesh_time time = clock_time(driver);

	mesh_unable(driver->mesh, &time, what, NULL, error);
}

int whereabouts_lan(struct driver *driver, enum node_mdns mode)
{
	int error;

	if (mode == NODE_MDNS_OFF)
		return ERROR_NONE;
	error = multicast_open(driver->loop, on_packet, on_lan_failed, driver, &driver->multicast);
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
