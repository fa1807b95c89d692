/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../bridge/bytes/hex.h"
#include "broker.h"

#define SECOND_NS UINT64_C(1000000000)
#define PREFIX	  "$SYS/broker/p2panda/"

static void publish_text(const char *topic, const char *text)
{
	broker_retain(topic, text, strlen(text));
}

static void publish_number(const char *topic, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof text, "%" PRIu64, number);
	publish_text(topic, text);
}

static void publish_addresses(struct node *node)
{
	char text[16 * (ADDRESS_TEXT_SIZE + 1)] = "", one[ADDRESS_TEXT_SIZE];
	size_t count, used;
	const struct address *addresses = node_addresses(node, &count);

	for (size_t i = 0; i < count; i++) {
		used = strlen(text);
		snprintf(text + used, sizeof text - used, "%s%s", i ? "," : "",
			address_format(&addresses[i], one));
	}
	publish_text(PREFIX "addresses", text);
}

static void publish_gauge(const char *topic, size_t *last, size_t now, bool always)
{
	if (*last == now && !always)
		return;
	*last = now;
	publish_number(topic, now);
}

/* Nothing without relays. */
static void publish_relay(struct status *status, bool always)
{
	static const char *const words[] = {
		[NODE_RELAY_OFF] = "off",
		[NODE_RELAY_CONNECTING] = "connecting",
		[NODE_RELAY_CONNECTED] = "connected",
		[NODE_RELAY_DENIED] = "denied",
		[NODE_RELAY_ELSEWHERE] = "elsewhere",
		[NODE_RELAY_LIMITED] = "limited",
	};
	const char *url;
	enum node_relay_state state = node_relay(status->node, &url);

	if (!url)
		return;
	if (url != status->relay_url || always)
		publish_text(PREFIX "relay/url", url);
	if (state != status->relay_state || always)
		publish_text(PREFIX "relay/state", words[state]);
	status->relay_url = url;
	status->relay_state = state;
}

static void publish_changes(struct status *status, bool all)
{
	struct node *node = status->node;
	char topic[64];
	uint64_t value;

	publish_gauge(PREFIX "overlays", &status->overlays, node_overlays(node), all);
	publish_gauge(PREFIX "neighbours", &status->neighbours, node_neighbours(node), all);
	publish_gauge(PREFIX "neighbours/relayed", &status->relayed, node_relayed(node), all);
	publish_gauge(PREFIX "connections", &status->connections, node_connections(node), all);
	publish_gauge(PREFIX "waiting", &status->waiting, node_waiting(node), all);
	publish_relay(status, all);
	for (size_t i = 0; i < COUNTERS; i++) {
		value = counters_get(node_counters(node), (enum counter)i);
		if (value == status->counters[i] && !all)
			continue;
		status->counters[i] = value;
		snprintf(topic, sizeof topic, PREFIX "%s", counter_topic((enum counter)i));
		publish_number(topic, value);
	}
}

void status_begin(struct status *status, struct node *node, const struct id *me)
{
	char id[ID_HEX_SIZE + 1];

	memset(status, 0, sizeof *status);
	status->node = node;
	publish_text(PREFIX "node_id", hex_encode(me->bytes, ID_SIZE, id));
	publish_addresses(node);
	publish_changes(status, true);
}

void status_tick(struct status *status, uint64_t now_ns)
{
	if (now_ns < status->next_ns)
		return;
	status->next_ns = now_ns + SECOND_NS;
	publish_changes(status, false);
}
