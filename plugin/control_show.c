/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Times are Unix seconds, round trips milliseconds; what is not known is left out. */
#include <string.h>

#include "../bridge/bytes/hex.h"
#include "control_internal.h"

#define US_PER_S 1000000

static void add_text(cJSON *to, const char *name, const char *text)
{
	cJSON_AddStringToObject(to, name, text);
}

static void add_number(cJSON *to, const char *name, uint64_t number)
{
	cJSON_AddNumberToObject(to, name, (double)number);
}

static void add_id(cJSON *to, const char *name, const struct id *id)
{
	char text[ID_HEX_SIZE + 1];

	add_text(to, name, hex_encode(id->bytes, ID_SIZE, text));
}

static void add_time(cJSON *to, const char *name, uint64_t us)
{
	if (us > 0)
		add_number(to, name, us / US_PER_S);
}

static void add_rtt(cJSON *to, uint64_t us)
{
	if (us > 0)
		cJSON_AddNumberToObject(to, "rtt_ms", (double)us / 1000);
}

static void add_address(cJSON *to, const char *name, const struct address *address)
{
	char text[ADDRESS_TEXT_SIZE];

	if (address->family)
		add_text(to, name, address_format(address, text));
}

/* Adds a new object at the end of an array, and returns it; NULL: no memory. */
static cJSON *append(cJSON *array)
{
	cJSON *object = cJSON_CreateObject();

	if (cJSON_AddItemToArray(array, object))
		return object;
	cJSON_Delete(object);
	return NULL;
}

static const char *source_word(enum live_source source)
{
	return source == LIVE_CONFIGURED ? "configuration" : "control";
}

/* ---- status ---- */

static void add_list(cJSON *to, const char *name, const char *item, const struct live_list *list)
{
	cJSON *array = cJSON_AddArrayToObject(to, name), *one;

	for (size_t i = 0; i < list->count && (one = append(array)); i++) {
		add_id(one, item, &list->items[i].id);
		add_text(one, "source", source_word(list->items[i].source));
	}
}

static void add_relay(cJSON *to, const struct control_status *status)
{
	cJSON *relay;

	if (!status->relay_url)
		return;
	relay = cJSON_AddObjectToObject(to, "relay");
	add_text(relay, "url", status->relay_url);
	add_text(relay, "state", node_relay_word(status->relay_state));
}

cJSON *show_status(const struct control *control)
{
	struct control_status status = {0};
	cJSON *data = cJSON_CreateObject(), *addresses;
	char text[ADDRESS_TEXT_SIZE];

	control->actions.status(control->actions.context, &status);
	add_id(data, "node_id", status.me);
	add_text(data, "version", status.version);
	add_number(data, "started", status.started_s);
	addresses = cJSON_AddArrayToObject(data, "addresses");
	for (size_t i = 0; i < status.addresses_count; i++)
		cJSON_AddItemToArray(addresses,
			cJSON_CreateString(address_format(&status.addresses[i], text)));
	add_number(data, "overlays", status.overlays);
	add_number(data, "neighbours", status.neighbours);
	add_number(data, "neighbours_relayed", status.relayed);
	add_number(data, "connections", status.connections);
	add_number(data, "waiting", status.waiting);
	add_relay(data, &status);
	add_text(data, "log_level", live_log_level(control->live));
	add_list(data, "allowed", "node", live_allowed(control->live));
	add_list(data, "denied", "node", live_denied(control->live));
	return data;
}

cJSON *show_metrics(const struct counters *counters)
{
	cJSON *data = cJSON_CreateObject();

	for (size_t i = 0; i < COUNTERS; i++)
		add_number(data, counter_topic((enum counter)i),
			counters_get(counters, (enum counter)i));
	return data;
}

/* ---- topics ---- */

static void add_overlay(
	const struct control *control, cJSON *to, const struct picture_overlay *overlay)
{
	static const char *const words[] = {
		[PICTURE_JOINING] = "joining",
		[PICTURE_JOINED] = "joined",
		[PICTURE_ALONE] = "alone",
		[PICTURE_REFUSED] = "refused",
	};
	const struct live_list *fixed = live_topics(control->live);
	const char *source = "clients";

	for (size_t i = 0; i < fixed->count; i++)
		if (id_equal(&fixed->items[i].id, &overlay->topic))
			source = source_word(fixed->items[i].source);
	add_id(to, "topic", &overlay->topic);
	add_text(to, "state", words[overlay->state]);
	add_time(to, "since", overlay->since_us);
	add_text(to, "source", source);
	add_number(to, "neighbours", overlay->neighbours);
	add_number(to, "waiting", overlay->waiting);
	add_number(to, "sent", overlay->sent);
	add_number(to, "received", overlay->received);
	add_number(to, "dropped", overlay->dropped);
}

static void add_next(cJSON *to, const struct picture *picture)
{
	cJSON_AddBoolToObject(to, "more", picture->more);
	if (picture->more)
		add_number(to, "next", picture->next);
}

cJSON *show_topics(const struct control *control, const struct picture *picture)
{
	cJSON *data = cJSON_CreateObject(), *topics = cJSON_AddArrayToObject(data, "topics"), *one;

	for (size_t i = 0; i < picture->overlays_count && (one = append(topics)); i++)
		add_overlay(control, one, &picture->overlays[i]);
	add_next(data, picture);
	return data;
}

/* ---- nodes ---- */

static const char *role_word(enum picture_role role)
{
	static const char *const words[] = {
		[PICTURE_NO_ROLE] = "none",
		[PICTURE_PEER] = "peer",
		[PICTURE_BOOTSTRAP] = "bootstrap",
	};

	return words[role];
}

static void add_connection(cJSON *to, const struct picture_node *node)
{
	cJSON_AddBoolToObject(to, "connected", node->linked);
	if (!node->linked)
		return;
	add_text(to, "way", node->relayed ? "relayed" : "direct");
	add_text(to, "dialled_by", node->dialled ? "us" : "them");
	add_address(to, "address", &node->address);
	add_time(to, "connected_since", node->linked_us);
	add_rtt(to, node->rtt_us);
}

static void add_node(const struct control *control, cJSON *to, const struct picture_node *node)
{
	const struct live_node *known = live_node(control->live, &node->id);

	add_id(to, "node", &node->id);
	add_text(to, "role", role_word(node->role));
	if (known)
		add_text(to, "source", source_word(known->source));
	if (node->denied)
		cJSON_AddBoolToObject(to, "denied", true);
	add_connection(to, node);
	add_number(to, "overlays", node->overlays);
	add_time(to, "last_success", node->worked_us);
	add_time(to, "last_failure", node->failed_us);
	if (node->failure[0])
		add_text(to, "failure", node->failure);
	add_address(to, "failed_at", &node->failed_at);
	add_time(to, "next_try", node->next_us);
}

cJSON *show_topic(const struct control *control, const struct picture *picture)
{
	cJSON *data = cJSON_CreateObject(), *array, *one;

	add_overlay(control, data, &picture->overlays[0]);
	/* The list of neighbours comes in the place of their number. */
	cJSON_DeleteItemFromObjectCaseSensitive(data, "neighbours");
	array = cJSON_AddArrayToObject(data, "neighbours");
	for (size_t i = 0; i < picture->nodes_count && (one = append(array)); i++) {
		const struct picture_node *node = &picture->nodes[i];

		add_id(one, "node", &node->id);
		add_text(one, "role", role_word(node->role));
		add_time(one, "since", node->neighbour_us);
		add_number(one, "received", node->received);
		add_connection(one, node);
	}
	return data;
}

cJSON *show_nodes(const struct control *control, const struct picture *picture)
{
	cJSON *data = cJSON_CreateObject(), *nodes = cJSON_AddArrayToObject(data, "nodes"), *one;

	for (size_t i = 0; i < picture->nodes_count && (one = append(nodes)); i++)
		add_node(control, one, &picture->nodes[i]);
	add_next(data, picture);
	return data;
}

static void add_place(cJSON *to, const struct picture_place *place, const struct id *node)
{
	static const char *const words[] = {
		[PICTURE_WORKED] = "worked",
		[PICTURE_CONFIGURED] = "configured",
		[PICTURE_SIGNED] = "signed",
		[PICTURE_HEARSAY] = "hearsay",
	};

	add_address(to, "address", &place->address);
	add_text(to, "origin", words[place->origin]);
	if (place->origin == PICTURE_HEARSAY && !id_equal(&place->source, node))
		add_id(to, "from", &place->source);
}

cJSON *show_node(const struct control *control, const struct picture *picture)
{
	cJSON *data = cJSON_CreateObject(), *places, *one;

	add_node(control, data, &picture->nodes[0]);
	places = cJSON_AddArrayToObject(data, "addresses");
	for (size_t i = 0; i < picture->places_count && (one = append(places)); i++)
		add_place(one, &picture->places[i], &picture->nodes[0].id);
	return data;
}

cJSON *show_ping(const struct picture *picture)
{
	cJSON *data = cJSON_CreateObject(), *places, *one;
	size_t answered = 0;

	add_id(data, "node", &picture->question.id);
	for (size_t i = 0; i < picture->places_count; i++)
		answered += picture->places[i].answered;
	add_number(data, "answered", answered);
	places = cJSON_AddArrayToObject(data, "addresses");
	for (size_t i = 0; i < picture->places_count && (one = append(places)); i++) {
		const struct picture_place *place = &picture->places[i];

		add_place(one, place, &picture->question.id);
		cJSON_AddBoolToObject(one, "answered", place->answered);
		if (place->answered)
			add_rtt(one, place->rtt_us);
		else
			add_text(one, "failure", place->failure);
	}
	return data;
}
