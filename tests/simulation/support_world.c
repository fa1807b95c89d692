/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "support_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <blake3.h>

#include <utlist.h>

#include "support_world_internal.h"

/* A node that ticks so often at one and the same time does so for ever. */
#define TICKS_AT_ONCE 10000
/* libuv's timers. */
#define TIMER_GRAIN WORLD_MS
#define CONTENT_SIZE 64

void *world_alloc(size_t size)
{
	void *block = calloc(1, size);

	if (!block) {
		fprintf(stderr, "no memory\n");
		abort();
	}
	return block;
}

static void *grow(void *block, size_t size)
{
	block = realloc(block, size);
	if (!block) {
		fprintf(stderr, "no memory\n");
		abort();
	}
	return block;
}

void world_fail(const struct world *world, const char *format, ...)
{
	va_list arguments;

	fflush(stdout);
	fprintf(stderr, "at %.6f s, seed %llu: ", (double)world_now(world) / WORLD_S,
		(unsigned long long)world->config.seed);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\n");
	if (world->config.command)
		fprintf(stderr, "FAILED: %s\n", world->config.command);
	abort();
}

void world_trace(const struct world *world, const char *format, ...)
{
	FILE *to = world->config.trace_to ? world->config.trace_to : stdout;
	va_list arguments;

	fprintf(to, "[%7llu] ", (unsigned long long)(world_now(world) / WORLD_MS));
	va_start(arguments, format);
	vfprintf(to, format, arguments);
	va_end(arguments);
	putc('\n', to);
}

#define NAMES	  8
#define NAME_SIZE 24

static char *next_name(void)
{
	static char names[NAMES][NAME_SIZE];
	static size_t next;

	return names[next++ % NAMES];
}

const char *world_name(const struct world *world, size_t node)
{
	char *name = next_name();

	if (node == NOBODY)
		return "a stranger";
	if (world->config.nodes <= 26)
		snprintf(name, NAME_SIZE, "%c", (char)('a' + node));
	else
		snprintf(name, NAME_SIZE, "%zu", node);
	return name;
}

const char *world_where(const struct world *world, size_t topic)
{
	char *name = next_name();

	if (world->config.topics == 1)
		return "";
	snprintf(name, NAME_SIZE, " (overlay %zu)", topic);
	return name;
}

void world_mix(struct world *world, uint64_t value)
{
	world->hash = (world->hash ^ world->now ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	world->hash ^= world->hash >> 29;
}

/* ---- events ---- */

static bool is_before(const struct event *a, const struct event *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

void world_event(
	struct world *world, uint64_t at, enum event_kind kind, void *object, uint32_t argument)
{
	struct event event = {at, world->events_made++, object, argument, kind};
	size_t place = world->events_count++;

	if (world->events_count > world->events_room) {
		world->events_room = 2 * world->events_count;
		world->events =
			grow(world->events, world->events_room * sizeof *world->events);
	}
	for (; place > 0 && is_before(&event, &world->events[(place - 1) / 2]);
		place = (place - 1) / 2)
		world->events[place] = world->events[(place - 1) / 2];
	world->events[place] = event;
}

static struct event take_event(struct world *world)
{
	struct event *events = world->events, first = events[0],
		     last = events[--world->events_count];
	size_t place = 0, child;

	while ((child = 2 * place + 1) < world->events_count) {
		if (child + 1 < world->events_count &&
			is_before(&events[child + 1], &events[child]))
			child++;
		if (!is_before(&events[child], &last))
			break;
		events[place] = events[child];
		place = child;
	}
	events[place] = last;
	return first;
}

/* ---- lives ---- */

bool life_is_heard(const struct life *life)
{
	return !life->killed && !life->over;
}

uint64_t world_asks(const struct counters *counters)
{
	return counters_get(counters, COUNTER_JOINS) + counters_get(counters, COUNTER_MERGES);
}

static void note_asks(struct life *life)
{
	struct world *world = life->world;
	uint64_t asks = world_asks(&life->counters);

	if (asks == life->asks)
		return;
	if (world->config.trace >= 1)
		world_trace(world, "%s asks (%llu)", world_name(world, life->node),
			(unsigned long long)(asks - life->asks));
	life->asks = asks;
	world->unrest.ask = world_now(world);
}

static void await_tick(struct life *life)
{
	if (life->due >= life->awaited)
		return; /* what is there for it comes soon enough */
	life->awaited = life->due;
	world_event(life->world, life->due, EVENT_TICK, life, 0);
}

static size_t topic_number(const struct world *world, const struct id *topic)
{
	size_t number;

	memcpy(&number, topic->bytes, sizeof number);
	return number;
}

static void neighbour_up(struct life *life, size_t topic, size_t peer)
{
	struct world *world = life->world;
	struct node *node = &world->nodes[life->node];
	struct overlay_of_node *overlay = &node->overlays[topic];

	node->figures.ups++;
	if (world->config.trace >= 1)
		world_trace(world, "%s neighbour %s is up%s", world_name(world, life->node),
			world_name(world, peer), world_where(world, topic));
	for (size_t i = 0; i < overlay->count; i++)
		if (overlay->neighbours[i] == peer)
			world_fail(world, "node %zu has neighbour %zu twice", life->node, peer);
	if (peer == life->node || overlay->count >= LIMIT_ACTIVE_VIEW)
		world_fail(world, "node %zu has itself or too many as neighbours", life->node);
	if (overlay->count == overlay->room) {
		overlay->room = 2 * (overlay->room + 3);
		overlay->neighbours = grow(
			overlay->neighbours, overlay->room * sizeof *overlay->neighbours);
	}
	overlay->neighbours[overlay->count++] = (uint32_t)peer;
}

static void neighbour_down(struct life *life, size_t topic, size_t peer)
{
	struct world *world = life->world;
	struct node *node = &world->nodes[life->node];
	struct overlay_of_node *overlay = &node->overlays[topic];
	size_t at = 0;

	node->figures.downs++;
	world->unrest.down = world_now(world);
	if (world->config.trace >= 1)
		world_trace(world, "%s neighbour %s is down%s", world_name(world, life->node),
			world_name(world, peer), world_where(world, topic));
	while (at < overlay->count && overlay->neighbours[at] != peer)
		at++;
	if (at == overlay->count)
		world_fail(world, "node %zu loses a neighbour that it had not: %zu", life->node,
			peer);
	overlay->neighbours[at] = overlay->neighbours[--overlay->count];
}

static void message_came(struct life *life, const struct message *message)
{
	struct world *world = life->world;
	size_t number;

	if (message->size != CONTENT_SIZE)
		world_fail(world, "node %zu gets what nobody has published", life->node);
	memcpy(&number, message->content, sizeof number);
	if (number >= world->messages_count)
		world_fail(world, "node %zu gets what nobody has published", life->node);
	world->nodes[life->node].figures.deliveries++;
	if (world->config.trace >= 2)
		world_trace(world, "%s gets message %zu", world_name(world, life->node), number);
	if (world->messages[number].has[life->node]++ > 0) {
		world->repeated++;
		if (world->config.trace >= 1)
			world_trace(world, "%s gets message %zu once more",
				world_name(world, life->node), number);
	}
}

static void on_event(struct life *life, struct node_event *event)
{
	struct world *world = life->world;
	struct overlay_of_node *overlay;
	size_t topic = event->type == NODE_LOG || event->type == NODE_CONFIGURED
			       ? 0
			       : topic_number(world, &event->topic);

	if (!life->killed) {
		switch (event->type) {
		case NODE_NEIGHBOUR_UP:
			neighbour_up(life, topic, world_node_of(&event->peer));
			break;
		case NODE_NEIGHBOUR_DOWN:
			neighbour_down(life, topic, world_node_of(&event->peer));
			break;
		case NODE_LEFT:
			overlay = &world->nodes[life->node].overlays[topic];
			overlay->joined = false;
			overlay->count = 0;
			break;
		case NODE_MESSAGE:
			message_came(life, event->message);
			break;
		case NODE_LOG:
			if (world->config.trace >= 3)
				world_trace(world, "%s: %s", world_name(world, life->node),
					event->text);
			break;
		case NODE_JOINED:
		case NODE_CONFIGURED:
		case NODE_DROPPED:
		case NODE_ADDRESSES:
		case NODE_PICTURE:
			break;
		}
	}
	message_unref(event->message);
	memory_free(event->text);
}

struct mesh_time life_time(const struct life *life)
{
	uint64_t now = life->world->now;

	return (struct mesh_time){.now = now, .wall = BEGINNING_WALL_US + (now - BEGINNING_NS) / 1000};
}

static void forget_row(struct node *node, const struct id *id)
{
	struct kept_row *row, *next;

	DL_FOREACH_SAFE (node->rows, row, next) {
		if (id && !id_equal(&row->id, id))
			continue;
		DL_DELETE(node->rows, row);
		free(row);
	}
}

static void keep_rows(struct life *life)
{
	static uint8_t bytes[MESH_ROW_SIZE];
	struct node *node = &life->world->nodes[life->node];
	struct kept_row *row;
	struct id id;
	size_t size;

	while (mesh_row(life->mesh, &id, bytes, &size)) {
		forget_row(node, &id);
		if (size == 0)
			continue;
		row = world_alloc(sizeof *row + size);
		row->id = id;
		row->size = size;
		memcpy(row->bytes, bytes, size);
		DL_APPEND(node->rows, row);
	}
}

static void keep_value(struct life *life, const struct mesh_effect *effect)
{
	struct node *node = &life->world->nodes[life->node];

	if (effect->size > sizeof node->value)
		world_fail(life->world, "node %zu keeps a value that is too large", life->node);
	memcpy(node->value, effect->bytes, effect->size);
	node->value_size = effect->size;
}

static void restore(struct life *life)
{
	struct node *node = &life->world->nodes[life->node];
	struct kept_row *row;

	if (node->value_size > 0)
		mesh_restore_value(life->mesh, node->value, node->value_size);
	DL_FOREACH (node->rows, row)
		mesh_restore_row(life->mesh, &row->id, row->bytes, row->size);
}

/* Look-ups are answered from the events; there is no local network. */
static void take_effects(struct life *life)
{
	struct mesh_effect effect;

	while (mesh_effect(life->mesh, &effect)) {
		if (effect.type == MESH_EVENT)
			on_event(life, &effect.event);
		else if (effect.type == MESH_LOOK_UP)
			world_event(life->world, life->world->now, EVENT_RESOLVED, life,
				(uint32_t)world_node_of(&effect.node));
		else if (effect.type == MESH_VALUE && life->world->config.keeps && !life->killed)
			keep_value(life, &effect);
	}
	if (life->world->config.keeps && !life->killed)
		keep_rows(life);
}

void life_turn(struct life *life)
{
	struct mesh_time time = life_time(life);
	uint64_t due;

	if (life->over)
		return;
	mesh_turn(life->mesh, &time);
	take_effects(life);
	if (mesh_is_over(life->mesh) && !life->closing) {
		life->closing = true;
		world_event(life->world, time.now, EVENT_OVER, life, 0);
	}
	due = mesh_deadline(life->mesh);
	if (!life->killed)
		note_asks(life);
	if (due <= time.now)
		life->due = time.now;
	else if (due == UINT64_MAX)
		life->due = UINT64_MAX;
	else
		life->due = time.now + (due - time.now + TIMER_GRAIN - 1) / TIMER_GRAIN * TIMER_GRAIN;
	await_tick(life);
}

static void tick(struct life *life, uint64_t at)
{
	struct world *world = life->world;
	struct mesh_time time = life_time(life);

	if (life->over || at != life->awaited)
		return;
	life->awaited = UINT64_MAX;
	if (life->closing)
		return;
	if (life->due > at) {
		await_tick(life);
		return;
	}
	life->ticks = life->ticked == at ? life->ticks + 1 : 0;
	life->ticked = at;
	if (life->ticks > TICKS_AT_ONCE)
		world_fail(world, "node %zu ticks for ever", life->node);
	mesh_tick(life->mesh, &time);
	life_turn(life);
}

static void on_resolved(struct life *life, uint32_t node)
{
	struct mesh_time time = life_time(life);
	struct address address = world_address(life->world, node);

	if (life->over || life->closing)
		return;
	mesh_resolved(life->mesh, &time, &machine_identity(node)->id, &address, 1, 1, "");
	life_turn(life);
}

static void on_over(struct life *life)
{
	struct node *node = &life->world->nodes[life->node];
	struct overlay_of_node *overlay;

	network_close(life);
	take_effects(life);
	life->over = true;
	mesh_free(life->mesh);
	life->mesh = NULL;
	if (node->life != life)
		return;
	node->life = NULL;
	for (size_t i = 0; i < COUNTERS; i++)
		node->figures.counters[i] += counters_get(&life->counters, (enum counter)i);
	for (size_t i = 0; i < life->world->config.topics; i++) {
		overlay = &node->overlays[i];
		overlay->joined = false;
		overlay->count = 0;
	}
}

/* ---- what is sent ---- */

static const char *const frame_names[] = {"JOIN", "FORWARD_JOIN", "SHUFFLE", "SHUFFLE_REPLY",
	"NEIGHBOR", "DISCONNECT", "GOSSIP", "PRUNE", "GRAFT", "IHAVE"};

#define TEXT_SIZE 192

/* Of the nodes in a list, by name, but for a long one. */
static void describe_nodes(
	const struct world *world, const struct wire_nodes *nodes, char text[TEXT_SIZE])
{
	size_t used = (size_t)snprintf(text, TEXT_SIZE, "%zu nodes", nodes->count);

	for (size_t i = 0; i < nodes->count && nodes->count <= 10; i++)
		used += (size_t)snprintf(text + used, TEXT_SIZE - used, "%s %s", i ? "" : ":",
			world_name(world, world_node_of(&nodes->items[i].id)));
}

/* A message by its number. */
static void describe_id(const struct world *world, const struct id *id, char text[TEXT_SIZE])
{
	snprintf(text, TEXT_SIZE, "what nobody has");
	for (size_t i = 0; i < world->messages_count; i++)
		if (id_equal(id, &world->messages[i].id))
			snprintf(text, TEXT_SIZE, "%zu", i);
}

/* The last bytes of a Gossip frame are its scope and, for the swarm, the round: a varint. */
static void describe_gossip(const struct frame *frame, char text[TEXT_SIZE])
{
	unsigned round = 0;
	size_t number;

	memcpy(&number, frame->body->content, sizeof number);
	for (size_t i = frame->tail_size; i-- > 1;)
		round = round << 7 | (frame->tail[i] & 0x7f);
	snprintf(text, TEXT_SIZE, "%zu, round %u", number, round);
}

static void trace_frame(struct world *world, size_t from, size_t to, size_t topic,
	const struct wire_message *message, const struct frame *frame)
{
	char more[TEXT_SIZE] = "", id[TEXT_SIZE];

	switch (message->type) {
	case WIRE_NEIGHBOR:
		snprintf(more, sizeof more, "%s",
			message->neighbor.priority == WIRE_HIGH ? "high" : "low");
		break;
	case WIRE_FORWARD_JOIN:
		snprintf(more, sizeof more, "of %s, ttl %u",
			world_name(world, world_node_of(&message->forward_join.peer.id)),
			message->forward_join.ttl);
		break;
	case WIRE_SHUFFLE:
		describe_nodes(world, &message->shuffle.nodes, id);
		snprintf(more, sizeof more, "of %s, ttl %u, %.100s",
			world_name(world, world_node_of(&message->shuffle.origin)),
			message->shuffle.ttl, id);
		break;
	case WIRE_SHUFFLE_REPLY:
		describe_nodes(world, &message->shuffle_reply.nodes, more);
		break;
	case WIRE_DISCONNECT:
		snprintf(more, sizeof more, "%s", message->disconnect.alive ? "alive" : "leaves");
		break;
	case WIRE_GOSSIP:
		if (world->config.trace < 2)
			return;
		describe_gossip(frame, more);
		break;
	case WIRE_IHAVE:
		if (world->config.trace < 2)
			return;
		describe_id(world, &message->ihave.items[0].id, id);
		if (message->ihave.count == 1)
			snprintf(more, sizeof more, "%.20s, round %u", id,
				message->ihave.items[0].round);
		else
			snprintf(more, sizeof more, "%zu of them", message->ihave.count);
		break;
	case WIRE_GRAFT:
		describe_id(world, &message->graft.id, id);
		snprintf(more, sizeof more, "%.20s, round %u",
			message->graft.has_id ? id : "nothing", message->graft.round);
		break;
	case WIRE_JOIN:
	case WIRE_PRUNE:
		break;
	}
	world_trace(world, "%s > %s %s%s%s%s", world_name(world, from), world_name(world, to),
		frame_names[message->type], more[0] ? " " : "", more, world_where(world, topic));
}

void world_note_frame(struct world *world, struct life *life, size_t to, const struct frame *frame,
	size_t *topic)
{
	/* Large, and only ever looked at here. */
	static struct wire_message message;
	struct world_figures *figures = &world->nodes[life->node].figures;
	uint64_t word = 0;

	figures->bytes += frame_size(frame);
	for (size_t i = 0; i + sizeof word <= frame->head_size && i < 64; i += sizeof word) {
		memcpy(&word, frame->head + i, sizeof word);
		world_mix(world, word);
	}
	world_mix(world, (uint64_t)life->node << 40 | (uint64_t)to << 16 | frame_size(frame));
	if (!frame->body && frame->head_size == 4 + ID_SIZE) {
		memcpy(topic, frame->head + 4, sizeof *topic);
		if (world->config.trace >= 2)
			world_trace(world, "%s > %s opens a stream%s",
				world_name(world, life->node), world_name(world, to),
				world_where(world, *topic));
		return;
	}
	if (frame->body) {
		message.type = WIRE_GOSSIP;
	} else if (wire_decode(frame->head + 4, frame->head_size - 4, &message) != 0) {
		if (!world->forging)
			world_fail(world, "node %zu sends what cannot be decoded", life->node);
		if (world->config.trace >= 1)
			world_trace(world, "%s > %s nonsense%s", world_name(world, life->node),
				world_name(world, to), world_where(world, *topic));
		return;
	}
	figures->frames[message.type]++;
	if (message.type == WIRE_NEIGHBOR && message.neighbor.priority == WIRE_HIGH)
		figures->high++;
	if (message.type == WIRE_PRUNE || message.type == WIRE_GRAFT)
		world->unrest.tree = world_now(world);
	if (world->config.trace >= 1)
		trace_frame(world, life->node, to, *topic, &message, frame);
}

/* ---- worlds ---- */

struct world *world_new(const struct world_config *config)
{
	struct world *world = world_alloc(sizeof *world);

	world->config = *config;
	world->now = BEGINNING_NS;
	world->random_state = config->seed;
	world->random = random_seeded(&world->random_state);
	world->nodes = world_alloc(config->nodes * sizeof *world->nodes);
	world->topics = world_alloc(config->topics * sizeof *world->topics);
	for (size_t i = 0; i < config->topics; i++) {
		memset(world->topics[i].bytes, 0xaa, ID_SIZE);
		memcpy(world->topics[i].bytes, &i, sizeof i);
	}
	for (size_t i = 0; i < config->nodes; i++) {
		world->nodes[i].identity = machine_identity(i);
		world->nodes[i].overlays =
			world_alloc(config->topics * sizeof *world->nodes[i].overlays);
	}
	return world;
}

struct address world_address(const struct world *world, size_t node)
{
	return (struct address){.family = 4,
		.ip = {10 + world->nodes[node].moves, (uint8_t)(node >> 16), (uint8_t)(node >> 8), (uint8_t)node},
		.port = WORLD_PORT};
}

size_t world_node_at(const struct world *world, const struct address *address)
{
	size_t node = (size_t)address->ip[1] << 16 | (size_t)address->ip[2] << 8 | address->ip[3];

	return address->family == 4 && address->port == WORLD_PORT && node < world->config.nodes
		       ? node
		       : NOBODY;
}

bool world_is_there(const struct world *world, const struct address *address)
{
	size_t node = world_node_at(world, address);

	return node != NOBODY && address->ip[0] == 10 + world->nodes[node].moves;
}

size_t world_node_of(const struct id *id)
{
	return machine_number(id);
}

static void add_node(uint32_t **list, size_t *count, size_t node)
{
	*list = grow(*list, (*count + 1) * sizeof **list);
	(*list)[(*count)++] = (uint32_t)node;
}

void world_peer(struct world *world, size_t node, size_t peer)
{
	add_node(&world->nodes[node].peers, &world->nodes[node].peers_count, peer);
}

void world_bootstrap(struct world *world, size_t node, size_t bootstrap)
{
	add_node(&world->nodes[node].bootstraps, &world->nodes[node].bootstraps_count, bootstrap);
}

static struct node_peer *configured(
	const struct world *world, const uint32_t *nodes, size_t count)
{
	struct node_peer *peers = world_alloc((count + 1) * sizeof *peers);
	struct address address;

	for (size_t i = 0; i < count; i++) {
		address = world_address(world, nodes[i]);
		peers[i].id = machine_identity(nodes[i])->id;
		peers[i].hosts_count = 1;
		snprintf(peers[i].hosts[0].host, sizeof peers[i].hosts[0].host, "%u.%u.%u.%u",
			address.ip[0], address.ip[1], address.ip[2], address.ip[3]);
		peers[i].hosts[0].port = address.port;
	}
	return peers;
}

/* It has not begun. */
static void miscarry(struct life *life)
{
	mesh_free(life->mesh);
	life->mesh = NULL;
	life->killed = life->closing = life->over = true;
	network_close(life);
	life->world->nodes[life->node].life = NULL;
}

bool world_start(struct world *world, size_t number)
{
	struct node *node = &world->nodes[number];
	struct life *life = world_alloc(sizeof *life);
	struct node_peer *peers = configured(world, node->peers, node->peers_count);
	struct node_peer *bootstraps = configured(world, node->bootstraps, node->bootstraps_count);
	struct address bind = world_address(world, number);
	struct node_config config = {
		.identity = node->identity,
		.network = identity_default_network,
		.binds = &bind,
		.binds_count = 1,
		.peers = peers,
		.peers_count = node->peers_count,
		.bootstraps = bootstraps,
		.bootstraps_count = node->bootstraps_count,
		.max_overlays = LIMIT_OVERLAYS,
		.queue_limit = LIMIT_WAITING,
		.queue_age_ns = LIMIT_WAITING_AGE_S * WORLD_S,
		.cache_bytes = LIMIT_CACHE_BYTES,
	};
	struct mesh_config mesh = {
		.node = &config,
		.identity = node->identity,
		.random = random_seeded(&life->random_state),
		.counters = &life->counters,
		.port = network_port(life),
	};
	struct mesh_time time;
	bool begun;

	if (node->life)
		world_fail(world, "node %zu is up already", number);
	life->world = world;
	life->node = number;
	life->awaited = UINT64_MAX;
	life->due = UINT64_MAX;
	life->random_state = random_u64(&world->random);
	life->next = world->lives;
	world->lives = life;
	node->life = life;
	for (size_t i = 0; i < world->messages_count; i++)
		world->messages[i].has[number] = 0;
	network_open(life);
	time = life_time(life);
	begun = !mesh_new(&mesh, &life->mesh);
	if (begun)
		restore(life);
	begun = begun && !mesh_begin(life->mesh, &time, &bind, 1);
	free(peers);
	free(bootstraps);
	if (!begun) {
		miscarry(life);
		return false;
	}
	if (world->config.trace >= 1)
		world_trace(world, "%s starts", world_name(world, number));
	if (node->lives++ > 0)
		network_reborn(life);
	life_turn(life);
	return true;
}

static struct life *life_of_node(const struct world *world, size_t node)
{
	if (!world->nodes[node].life)
		world_fail(world, "node %zu is down", node);
	return world->nodes[node].life;
}

void world_stop(struct world *world, size_t node)
{
	struct life *life = life_of_node(world, node);
	struct mesh_time time;

	if (world->config.trace >= 1)
		world_trace(world, "%s stops", world_name(world, node));
	time = life_time(life);
	life->stopping = true;
	mesh_stop(life->mesh, &time);
	life_turn(life);
}

void world_kill(struct world *world, size_t number)
{
	struct node *node = &world->nodes[number];
	struct life *life = life_of_node(world, number);
	struct mesh_time time;

	if (world->config.trace >= 1)
		world_trace(world, "%s is killed", world_name(world, number));
	for (size_t i = 0; i < COUNTERS; i++)
		node->figures.counters[i] += counters_get(&life->counters, (enum counter)i);
	for (size_t i = 0; i < world->config.topics; i++) {
		node->overlays[i].joined = false;
		node->overlays[i].count = 0;
	}
	life->killed = true;
	node->life = NULL;
	network_killed(life);
	/* Unheard, it ends as all do: so its memory is freed. */
	time = life_time(life);
	life->stopping = true;
	mesh_stop(life->mesh, &time);
	life_turn(life);
}

void world_forget(struct world *world, size_t node)
{
	if (world->nodes[node].life)
		world_fail(world, "node %zu is up", node);
	forget_row(&world->nodes[node], NULL);
	world->nodes[node].value_size = 0;
}

void world_move(struct world *world, size_t number)
{
	struct node *node = &world->nodes[number];
	struct address bound;
	struct mesh_time time;

	node->moves++;
	if (world->config.trace >= 1)
		world_trace(world, "%zu moves", number);
	if (!node->life)
		return;
	network_moved(node->life);
	bound = world_address(world, number);
	time = life_time(node->life);
	mesh_addresses(node->life->mesh, &time, &bound, 1);
	life_turn(node->life);
}

void world_fail_connections(struct world *world, unsigned percent)
{
	world->failing = percent;
}

void world_slow_dials(struct world *world, uint64_t most)
{
	world->slow_dials = most;
}

bool world_is_up(const struct world *world, size_t node)
{
	return world->nodes[node].life && !world->nodes[node].life->stopping;
}

bool world_join(struct world *world, size_t node, size_t topic)
{
	struct life *life = life_of_node(world, node);
	struct mesh_time time = life_time(life);
	bool joined;

	if (world->config.trace >= 1)
		world_trace(world, "%s joins%s", world_name(world, node), world_where(world, topic));
	joined = !mesh_join(life->mesh, &time, &world->topics[topic]);
	world->nodes[node].overlays[topic].joined |= joined;
	life_turn(life);
	return joined;
}

void world_leave(struct world *world, size_t node, size_t topic)
{
	struct life *life = life_of_node(world, node);
	struct mesh_time time = life_time(life);

	if (world->config.trace >= 1)
		world_trace(world, "%s leaves%s", world_name(world, node), world_where(world, topic));
	mesh_leave(life->mesh, &time, &world->topics[topic]);
	life_turn(life);
}

struct message *world_content(size_t message)
{
	uint8_t content[CONTENT_SIZE] = {0};

	memcpy(content, &message, sizeof message);
	return message_new(content, sizeof content);
}

size_t world_message(struct world *world, size_t node, size_t topic)
{
	size_t number = world->messages_count++;
	uint8_t content[CONTENT_SIZE] = {0};
	blake3_hasher hasher;

	if (number == world->messages_room) {
		world->messages_room = 2 * (number + 8);
		world->messages =
			grow(world->messages, world->messages_room * sizeof *world->messages);
	}
	world->messages[number].topic = topic;
	world->messages[number].has = world_alloc(world->config.nodes);
	world->messages[number].has[node] = 1;
	memcpy(content, &number, sizeof number);
	blake3_hasher_init(&hasher);
	blake3_hasher_update(&hasher, content, sizeof content);
	blake3_hasher_finalize(&hasher, world->messages[number].id.bytes, ID_SIZE);
	return number;
}

size_t world_publish(struct world *world, size_t node, size_t topic)
{
	struct life *life = life_of_node(world, node);
	struct mesh_time time = life_time(life);
	size_t number = world_message(world, node, topic);
	struct message *message = world_content(number);

	if (world->config.trace >= 1)
		world_trace(world, "%s publishes message %zu%s", world_name(world, node), number,
			world_where(world, topic));
	if (message)
		mesh_publish(life->mesh, &time, &world->topics[topic], message);
	else
		counters_add(&life->counters, COUNTER_DROPPED_NO_MEMORY, 1);
	life_turn(life);
	return number;
}

void world_forge(struct world *world, size_t from, size_t to, size_t topic, struct frame *frame)
{
	world->forging = true;
	if (!network_forge(life_of_node(world, from), to, topic, frame))
		world_fail(world, "node %zu has no stream to node %zu", from, to);
	world->forging = false;
}

size_t world_connections(const struct world *world, size_t node, size_t peer)
{
	return network_connections(life_of_node(world, node), peer);
}

void world_close(struct world *world, size_t node, size_t peer, enum mesh_protocol protocol,
	uint64_t code)
{
	if (!network_cut(life_of_node(world, node), peer, protocol, code))
		world_fail(world, "node %zu has no connection to node %zu", node, peer);
}

struct id world_id(size_t node)
{
	return machine_identity(node)->id;
}

struct address world_where_is(const struct world *world, size_t node)
{
	return world_address(world, node);
}

void world_set_trace(struct world *world, unsigned trace)
{
	world->config.trace = trace;
}

void world_part(struct world *world, size_t node, unsigned part)
{
	if (world->nodes[node].part == part)
		return;
	if (world->config.trace >= 1 && part != 0)
		world_trace(world, "%s is in part %u", world_name(world, node), part);
	world->nodes[node].part = part;
	world->changed = true;
}

void world_mend(struct world *world)
{
	if (world->config.trace >= 1)
		world_trace(world, "all can reach one another");
	for (size_t i = 0; i < world->config.nodes; i++)
		world_part(world, i, 0);
}

static void work_off(struct world *world, const struct event *event)
{
	world->events_done++;
	switch (event->kind) {
	case EVENT_TICK:
		tick(event->object, event->at);
		break;
	case EVENT_RESOLVED:
		on_resolved(event->object, event->argument);
		break;
	case EVENT_OVER:
		on_over(event->object);
		break;
	default:
		network_event(world, event);
	}
}

void world_run(struct world *world, uint64_t duration)
{
	uint64_t end = world->now + duration;
	struct event event;

	if (world->changed)
		network_changed(world);
	world->changed = false;
	while (world->events_count > 0 && world->events[0].at <= end) {
		event = take_event(world);
		world->now = event.at;
		work_off(world, &event);
	}
	world->now = end;
}

static void dispose(const struct event *event)
{
	switch (event->kind) {
	case EVENT_TICK:
	case EVENT_RESOLVED:
	case EVENT_OVER:
		break;
	default:
		network_dispose(event);
	}
}

void world_free(struct world *world)
{
	struct event event;
	struct life *life;

	world->config.trace = 0;
	for (size_t i = 0; i < world->config.nodes; i++)
		if (world->nodes[i].life)
			world_kill(world, i);
	world_run(world, 2 * LIMIT_FAREWELL_MS * WORLD_MS);
	while (world->events_count > 0) {
		event = take_event(world);
		dispose(&event);
	}
	network_free(world);
	while ((life = world->lives)) {
		if (!life->over)
			world_fail(world, "node %zu does not stop", life->node);
		world->lives = life->next;
		free(life);
	}
	for (size_t i = 0; i < world->config.nodes; i++) {
		for (size_t topic = 0; topic < world->config.topics; topic++)
			free(world->nodes[i].overlays[topic].neighbours);
		free(world->nodes[i].overlays);
		forget_row(&world->nodes[i], NULL);
		free(world->nodes[i].peers);
		free(world->nodes[i].bootstraps);
	}
	for (size_t i = 0; i < world->messages_count; i++)
		free(world->messages[i].has);
	free(world->messages);
	free(world->events);
	free(world->bytes);
	free(world->topics);
	free(world->nodes);
	free(world);
}

uint64_t world_now(const struct world *world)
{
	return world->now - BEGINNING_NS;
}

uint64_t world_random_below(struct world *world, uint64_t bound)
{
	return random_below(&world->random, bound);
}

/* ---- what is to be seen ---- */

void world_figures(const struct world *world, size_t number, struct world_figures *out)
{
	const struct node *node = &world->nodes[number];

	*out = node->figures;
	for (size_t i = 0; node->life && i < COUNTERS; i++)
		out->counters[i] += counters_get(&node->life->counters, (enum counter)i);
}

/* All of it are numbers of 64 bits. */
#define NUMBERS (sizeof(struct world_figures) / sizeof(uint64_t))

void world_sum(const struct world *world, struct world_figures *out)
{
	struct world_figures one;
	uint64_t *sum = (uint64_t *)out, *numbers = (uint64_t *)&one;

	memset(out, 0, sizeof *out);
	for (size_t i = 0; i < world->config.nodes; i++) {
		world_figures(world, i, &one);
		for (size_t at = 0; at < NUMBERS; at++)
			sum[at] += numbers[at];
	}
}

void world_difference(const struct world_figures *after, const struct world_figures *before,
	struct world_figures *out)
{
	for (size_t at = 0; at < NUMBERS; at++)
		((uint64_t *)out)[at] =
			((const uint64_t *)after)[at] - ((const uint64_t *)before)[at];
}

struct world_unrest world_unrest(const struct world *world)
{
	return world->unrest;
}

bool world_has(const struct world *world, size_t node, size_t message)
{
	return world->messages[message].has[node] > 0;
}

static bool is_member(const struct world *world, size_t node, size_t topic)
{
	return world_is_up(world, node) && world->nodes[node].overlays[topic].joined;
}

size_t world_reached(const struct world *world, size_t message)
{
	size_t reached = 0;

	for (size_t i = 0; i < world->config.nodes; i++)
		reached += is_member(world, i, world->messages[message].topic) &&
			   world_has(world, i, message);
	return reached;
}

uint64_t world_repeated(const struct world *world)
{
	return world->repeated;
}

size_t world_members(const struct world *world, size_t topic)
{
	size_t members = 0;

	for (size_t i = 0; i < world->config.nodes; i++)
		members += is_member(world, i, topic);
	return members;
}

static bool has_neighbour(const struct world *world, size_t node, size_t topic, size_t peer)
{
	const struct overlay_of_node *overlay = &world->nodes[node].overlays[topic];

	for (size_t i = 0; i < overlay->count; i++)
		if (overlay->neighbours[i] == peer)
			return is_member(world, node, topic);
	return false;
}

size_t world_neighbours(const struct world *world, size_t node, size_t topic)
{
	return world->nodes[node].overlays[topic].count;
}

size_t world_one_sided(const struct world *world, size_t topic)
{
	size_t one_sided = 0;

	for (size_t i = 0; i < world->config.nodes; i++) {
		const struct overlay_of_node *overlay = &world->nodes[i].overlays[topic];

		for (size_t at = 0; is_member(world, i, topic) && at < overlay->count; at++)
			one_sided += !has_neighbour(world, overlay->neighbours[at], topic, i);
	}
	return one_sided;
}

/* How many hang together with first; they are marked as seen. */
static size_t part_of(
	const struct world *world, size_t topic, size_t first, bool *seen, size_t *todo)
{
	const struct overlay_of_node *overlay;
	size_t count = 0, part = 0, node, peer;

	seen[first] = true;
	todo[count++] = first;
	while (count > 0) {
		node = todo[--count];
		part++;
		overlay = &world->nodes[node].overlays[topic];
		for (size_t at = 0; at < overlay->count; at++) {
			peer = overlay->neighbours[at];
			if (seen[peer] || !has_neighbour(world, peer, topic, node))
				continue;
			seen[peer] = true;
			todo[count++] = peer;
		}
	}
	return part;
}

size_t world_largest_part(const struct world *world, size_t topic)
{
	bool *seen = world_alloc(world->config.nodes * sizeof *seen);
	size_t *todo = world_alloc(world->config.nodes * sizeof *todo);
	size_t part, largest = 0;

	for (size_t i = 0; i < world->config.nodes; i++) {
		if (seen[i] || !is_member(world, i, topic))
			continue;
		part = part_of(world, topic, i, seen, todo);
		if (part > largest)
			largest = part;
	}
	free(seen);
	free(todo);
	return largest;
}

uint64_t world_hash(const struct world *world)
{
	return world->hash;
}

uint64_t world_events(const struct world *world)
{
	return world->events_done;
}
