/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "status.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "../bridge/bytes/hex.h"
#include "../bridge/memory.h"
#include "broker.h"

#define SECOND_NS UINT64_C(1000000000)
/* How many topics are published in one turn: the broker drops what is more than max_queued_messages
 * (1000) for a subscriber. */
#define TOPICS_PER_TURN 200
/* Clients whose ids are longer are not asked. */
#define CLIENT_SIZE 256

/* What is waited for, once a client has subscribed the status: that the client is sent what is
 * retained, then that it is sent what is published next. */
enum asking { ASKING_NOBODY, ASKING_RETAINED, ASKING_NEXT };

struct status {
	struct node *node; /* NULL: status_begin was not called */
	uint64_t interval_ns;
	uint64_t words_ns, numbers_ns; /* when they may be published */
	size_t overlays, neighbours, relayed, connections, waiting;
	char *told; /* where the node is, NULL: it has not said */
	size_t left_out;
	const char *word;
	const char *relay_url; /* NULL: none is configured; the node's */
	enum node_relay_state relay_state;
	uint64_t counters[COUNTERS];
	struct id me;
	struct status_overlays *each;
	struct status_nodes *nodes;
	struct events events;

	enum status_retained retained;
	bool again;	   /* all of it is published each interval */
	uint64_t again_ns; /* when it may be published again */
	enum asking asking;
	bool was_sent;
	char asked[CLIENT_SIZE];
};

/* ---- the node's ---- */

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
	publish_text(STATUS_PREFIX "addresses", text);
}

static void publish_told(const struct status *status)
{
	if (!status->told)
		return;
	publish_text(STATUS_PREFIX "addresses/told", status->told);
	publish_number(STATUS_PREFIX "addresses/left_out", status->left_out);
}

/* Notes which addresses other nodes are told. Without memory the note stays as it was. */
static void note_told(struct status *status, const struct node_event *event)
{
	size_t size = strlen(event->text) + 1;
	char *told = memory_alloc(size);

	if (!told)
		return;
	memory_free(status->told);
	status->told = memcpy(told, event->text, size);
	status->left_out = event->count;
	if (status->node && status->interval_ns > 0)
		publish_told(status);
}

static void publish_gauge(const char *topic, size_t *last, size_t now, bool always)
{
	if (*last == now && !always)
		return;
	*last = now;
	publish_number(topic, now);
}

/* Publishes the relay and its state; nothing without relays. */
static void publish_relay(struct status *status, bool always)
{
	const char *url;
	enum node_relay_state state = node_relay(status->node, &url);

	if (!url)
		return;
	if (url != status->relay_url || always)
		publish_text(STATUS_PREFIX "relay/url", url);
	if (state != status->relay_state || always)
		publish_text(STATUS_PREFIX "relay/state", node_relay_word(state));
	status->relay_url = url;
	status->relay_state = state;
}

static void publish_word(struct status *status, bool always)
{
	const char *word = status_overlays_word(status->each);

	if (word != status->word || always)
		publish_text(STATUS_PREFIX "state", word);
	status->word = word;
}

static void counter_of(enum counter counter, char out[STATUS_TOPIC_SIZE])
{
	snprintf(out, STATUS_TOPIC_SIZE, STATUS_PREFIX "%s", counter_topic(counter));
}

static void publish_changes(struct status *status, bool all)
{
	struct node *node = status->node;
	char topic[STATUS_TOPIC_SIZE];
	uint64_t value;

	publish_word(status, all);
	publish_gauge(STATUS_PREFIX "overlays", &status->overlays, node_overlays(node), all);
	publish_gauge(STATUS_PREFIX "neighbours", &status->neighbours, node_neighbours(node), all);
	publish_gauge(STATUS_PREFIX "neighbours/relayed", &status->relayed, node_relayed(node), all);
	publish_gauge(
		STATUS_PREFIX "connections", &status->connections, node_connections(node), all);
	publish_gauge(STATUS_PREFIX "waiting", &status->waiting, node_waiting(node), all);
	publish_relay(status, all);
	for (size_t i = 0; i < COUNTERS; i++) {
		value = counters_get(node_counters(node), (enum counter)i);
		if (value == status->counters[i] && !all)
			continue;
		status->counters[i] = value;
		counter_of((enum counter)i, topic);
		publish_number(topic, value);
	}
}

static void publish_all(struct status *status)
{
	char id[ID_HEX_SIZE + 1];

	publish_text(STATUS_PREFIX "node_id", hex_encode(status->me.bytes, ID_SIZE, id));
	publish_addresses(status->node);
	publish_told(status);
	publish_changes(status, true);
}

/* ---- whether the broker keeps retained messages ---- */

/* Tells whether a filter matches a topic; both are below $SYS. */
static bool matches(const char *filter, const char *topic)
{
	while (*filter && *filter != '#') {
		if (*filter == '+') {
			topic += strcspn(topic, "/");
			filter++;
		} else if (*filter++ != *topic++) {
			return false;
		}
	}
	return *filter == '#' || !*topic;
}

/* Tells whether the filter matches a topic that is there all the time. */
static bool matches_any(const char *filter)
{
	static const char *const topics[] = {
		STATUS_PREFIX "node_id",
		STATUS_PREFIX "addresses",
		STATUS_PREFIX "state",
		STATUS_PREFIX "overlays",
		STATUS_PREFIX "neighbours",
		STATUS_PREFIX "neighbours/relayed",
		STATUS_PREFIX "connections",
		STATUS_PREFIX "waiting",
	};
	char topic[STATUS_TOPIC_SIZE];

	for (size_t i = 0; i < sizeof topics / sizeof *topics; i++)
		if (matches(filter, topics[i]))
			return true;
	for (size_t i = 0; i < COUNTERS; i++) {
		counter_of((enum counter)i, topic);
		if (matches(filter, topic))
			return true;
	}
	return false;
}

void status_wanted(struct status *status, const char *client, const char *filter)
{
	if (status->retained != STATUS_RETAINED_FOUND_OUT || !status->node ||
		status->interval_ns == 0 || status->asking != ASKING_NOBODY ||
		strlen(client) >= CLIENT_SIZE || strncmp(filter, "$SYS/", 5) != 0 ||
		!matches_any(filter))
		return;
	strcpy(status->asked, client);
	status->asking = ASKING_RETAINED;
	status->was_sent = false;
}

void status_sent(struct status *status, const char *client, const char *topic)
{
	if (status->asking != ASKING_NOBODY && topic[0] == '$' &&
		strncmp(topic, STATUS_PREFIX, sizeof STATUS_PREFIX - 1) == 0 &&
		strcmp(client, status->asked) == 0)
		status->was_sent = true;
}

/* Finds out whether the broker keeps retained messages: by what the client was sent since it
 * subscribed, or since the last time. */
static void ask(struct status *status, uint64_t now_ns)
{
	if (status->asking == ASKING_NOBODY)
		return;
	if (status->asking == ASKING_NEXT) {
		/* A client that may not read the status says nothing about other clients. */
		status->again = status->was_sent;
		if (status->again)
			broker_log(BROKER_NOTICE,
				"this broker keeps no retained messages (retain_available): all of "
				"the status is published each %llu s (option sys_interval)",
				(unsigned long long)(status->interval_ns / SECOND_NS));
		status->asking = ASKING_NOBODY;
		return;
	}
	if (status->was_sent)
		status->again = false;
	if (status->was_sent || status->again || now_ns < status->again_ns) {
		status->asking = ASKING_NOBODY;
		return;
	}
	status->asking = ASKING_NEXT;
	status->again_ns = now_ns;
}

/* ---- */

int status_new(uint64_t interval_s, enum status_retained retained, struct status **out)
{
	struct random random = random_system();
	struct status *status = memory_zalloc(sizeof *status);
	int error = status ? status_nodes_new(&random, &status->nodes) : ERROR_NOMEM;

	if (!error)
		error = status_overlays_new(status->nodes, &random, &status->each);
	if (error) {
		status_free(status);
		return error;
	}
	status->interval_ns = interval_s * SECOND_NS;
	status->retained = retained;
	status->again = retained == STATUS_NOT_RETAINED;
	*out = status;
	return ERROR_NONE;
}

void status_free(struct status *status)
{
	if (!status)
		return;
	status_overlays_free(status->each);
	status_nodes_free(status->nodes);
	memory_free(status->told);
	memory_free(status);
}

void status_begin(struct status *status, struct node *node, const struct id *me)
{
	status->node = node;
	status->me = *me;
	if (status->interval_ns > 0)
		publish_all(status);
}

static void publish_again(struct status *status, uint64_t now_ns)
{
	status->again_ns = now_ns + status->interval_ns;
	publish_all(status);
	status_overlays_again(status->each);
	status_nodes_again(status->nodes);
}

void status_tick(struct status *status, uint64_t now_ns)
{
	size_t room = TOPICS_PER_TURN;

	if (status->interval_ns == 0)
		return;
	ask(status, now_ns);
	if (now_ns >= status->again_ns && (status->again || status->asking == ASKING_NEXT))
		publish_again(status, now_ns);
	if (now_ns >= status->words_ns) {
		status->words_ns = now_ns + SECOND_NS;
		publish_changes(status, false);
		status_overlays_words_due(status->each);
		status_nodes_publish(status->nodes, now_ns);
	}
	if (now_ns >= status->numbers_ns) {
		status->numbers_ns = now_ns + status->interval_ns;
		status_overlays_numbers_due(status->each);
	}
	status_overlays_publish(status->each, &room);
}

struct status_overlays *status_overlays(struct status *status)
{
	return status->each;
}

static uint64_t wall_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void status_event(struct status *status, uint64_t now_ns, const struct node_event *event)
{
	switch (event->type) {
	case NODE_NEIGHBOUR_UP:
		status_overlays_up(status->each, &event->topic, &event->peer);
		break;
	case NODE_NEIGHBOUR_DOWN:
		status_overlays_down(status->each, &event->topic, &event->peer);
		break;
	case NODE_LEFT:
		status_overlays_left(status->each, &event->topic);
		break;
	case NODE_DROPPED:
		status_overlays_count(
			status->each, &event->topic, STATUS_DROPPED, event->count);
		break;
	case NODE_CONFIGURED:
		status_nodes_configured(
			status->nodes, &event->peer, event->configured, event->here);
		return;
	case NODE_JOINED:
		break;
	case NODE_ADDRESSES:
		note_told(status, event);
		return;
	case NODE_MESSAGE:
	case NODE_LOG:
	case NODE_PICTURE:
		return;
	}
	if (status->interval_ns > 0)
		events_publish(&status->events, now_ns, wall_ms(), event);
}
