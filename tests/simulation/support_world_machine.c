/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a node has of its machine, in place of bridge/engine/clock.c, bridge/resolver.c,
 * bridge/interfaces.c and bridge/multicast.c: virtual time, look-ups that are answered from the
 * events, one address that never changes, no local network. And its randomness and its keys (the
 * linker's --wrap): a seed for each life; keys that are made once for all worlds; and what was
 * verified once needs no verifying again, for a thousand nodes that tell one another where they
 * are would do little else.
 */
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <blake3.h>

#include "support_world_internal.h"

struct random __wrap_random_system(void);
int __real_identity_verify(const struct id *node, const void *data, size_t size,
	const uint8_t signature[IDENTITY_SIGNATURE_SIZE]);
int __wrap_identity_verify(const struct id *node, const void *data, size_t size,
	const uint8_t signature[IDENTITY_SIGNATURE_SIZE]);
bool __real_identity_is_node(const struct id *id);
bool __wrap_identity_is_node(const struct id *id);

/* ---- randomness ---- */

static struct life *newborn;

void machine_birth(struct life *life)
{
	newborn = life;
}

struct random __wrap_random_system(void)
{
	return random_seeded(&newborn->random_state);
}

/* ---- keys ---- */

/* A set of ids, each with a number; open addressing. The ids are as good as random. */
struct table {
	size_t count, room;
	struct id *ids;
	size_t *numbers; /* NOBODY: the place is free */
};

static size_t *place_of(const struct table *table, const struct id *id)
{
	uint64_t at;

	memcpy(&at, id->bytes, sizeof at);
	for (at &= table->room - 1; table->numbers[at] != NOBODY; at = (at + 1) & (table->room - 1))
		if (id_equal(&table->ids[at], id))
			break;
	return &table->numbers[at];
}

static size_t table_find(const struct table *table, const struct id *id)
{
	return table->room ? *place_of(table, id) : NOBODY;
}

static void table_make(struct table *table, size_t room)
{
	table->room = room;
	table->ids = world_alloc(room * sizeof *table->ids);
	table->numbers = world_alloc(room * sizeof *table->numbers);
	for (size_t i = 0; i < room; i++)
		table->numbers[i] = NOBODY;
}

static void table_add(struct table *table, const struct id *id, size_t number)
{
	struct table old = *table;
	size_t *place;

	if (2 * (table->count + 1) > table->room) {
		table_make(table, old.room ? 2 * old.room : 1024);
		for (size_t i = 0; i < old.room; i++) {
			if (old.numbers[i] == NOBODY)
				continue;
			place = place_of(table, &old.ids[i]);
			*place = old.numbers[i];
			table->ids[place - table->numbers] = old.ids[i];
		}
		free(old.ids);
		free(old.numbers);
	}
	place = place_of(table, id);
	*place = number;
	table->ids[place - table->numbers] = *id;
	table->count++;
}

static struct table keys;
static struct identity **identities;

const struct identity *machine_identity(size_t number)
{
	uint8_t secret[IDENTITY_SECRET_SIZE] = "a node of the simulated world";

	while (number >= keys.count) {
		size_t made = keys.count;
		struct identity *identity = world_alloc(sizeof *identity);

		if ((made & (made - 1)) == 0) {
			identities = realloc(identities, 2 * (made + 1) * sizeof *identities);
			if (!identities)
				abort();
		}
		memcpy(secret + sizeof secret - sizeof made, &made, sizeof made);
		if (identity_from_secret(secret, identity) != 0)
			abort();
		identities[made] = identity;
		table_add(&keys, &identity->id, made);
	}
	return identities[number];
}

size_t machine_number(const struct id *id)
{
	return table_find(&keys, id);
}

bool __wrap_identity_is_node(const struct id *id)
{
	return machine_number(id) != NOBODY || __real_identity_is_node(id);
}

int __wrap_identity_verify(const struct id *node, const void *data, size_t size,
	const uint8_t signature[IDENTITY_SIGNATURE_SIZE])
{
	static struct table verified;
	blake3_hasher hasher;
	struct id all;
	int error;

	blake3_hasher_init(&hasher);
	blake3_hasher_update(&hasher, node, sizeof *node);
	blake3_hasher_update(&hasher, signature, IDENTITY_SIGNATURE_SIZE);
	blake3_hasher_update(&hasher, data, size);
	blake3_hasher_finalize(&hasher, all.bytes, sizeof all.bytes);
	if (table_find(&verified, &all) != NOBODY)
		return ERROR_NONE;
	error = __real_identity_verify(node, data, size, signature);
	if (!error)
		table_add(&verified, &all, 0);
	return error;
}

/* ---- clock.c ---- */

static struct life *life_of(const uv_loop_t *loop)
{
	return loop->data;
}

uint64_t engine_now(const struct engine *engine)
{
	return life_of(engine->loop)->world->now;
}

uint64_t engine_wall(const struct engine *engine)
{
	return BEGINNING_WALL_US + (engine_now(engine) - BEGINNING_NS) / 1000;
}

/* Time does not pass within a turn. */
bool engine_is_late(struct engine *engine)
{
	return false;
}

void clock_start(struct engine *engine)
{
	engine->handles_ready = true;
}

void clock_stop(struct engine *engine)
{
	struct life *life = life_of(engine->loop);

	world_event(life->world, life->world->now, EVENT_CLOCK_STOPPED, life, 0);
}

/* ---- resolver.c ---- */

struct resolver {
	struct life *life;
	resolver_answer *answer;
	void *context;
	bool stopped;
	struct resolution *resolutions;
};

struct resolution {
	struct resolver *resolver; /* NULL: it is freed, this is left for the event */
	struct resolution *next;
	struct id id;
	bool pending;
	size_t count;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
};

int resolver_new(uv_loop_t *loop, resolver_answer *answer, void *context, struct resolver **out)
{
	*out = world_alloc(sizeof **out);
	(*out)->life = life_of(loop);
	(*out)->answer = answer;
	(*out)->context = context;
	return ERROR_NONE;
}

void resolver_stop(struct resolver *resolver)
{
	resolver->stopped = true;
}

void resolver_free(struct resolver *resolver)
{
	struct resolution *resolution;

	while (resolver && (resolution = resolver->resolutions)) {
		resolver->resolutions = resolution->next;
		resolution->resolver = NULL;
		if (!resolution->pending)
			free(resolution);
	}
	free(resolver);
}

bool resolver_literal(const struct node_host *host, struct address *out)
{
	*out = (struct address){.port = host->port, .family = 4};
	return inet_pton(AF_INET, host->host, out->ip) == 1;
}

int resolution_new(struct resolver *resolver, const struct node_peer *peer, struct resolution **out)
{
	struct resolution *resolution = world_alloc(sizeof *resolution);

	resolution->resolver = resolver;
	resolution->id = peer->id;
	for (size_t i = 0; i < peer->hosts_count; i++)
		if (resolver_literal(&peer->hosts[i], &resolution->addresses[resolution->count]))
			resolution->count++;
	resolution->next = resolver->resolutions;
	resolver->resolutions = resolution;
	*out = resolution;
	return ERROR_NONE;
}

void resolution_start(struct resolution *resolution)
{
	struct world *world = resolution->resolver->life->world;

	if (resolution->pending || resolution->resolver->stopped)
		return;
	resolution->pending = true;
	world_event(world, world->now, EVENT_RESOLVED, resolution, 0);
}

void machine_resolved(void *object)
{
	struct resolution *resolution = object;
	struct resolver *resolver = resolution->resolver;

	if (!resolver) {
		free(resolution);
		return;
	}
	resolution->pending = false;
	if (resolver->stopped)
		return;
	resolver->answer(resolver->context, &resolution->id, resolution->addresses,
		resolution->count, "");
	life_turn(resolver->life);
}

void machine_dispose(void *object)
{
	struct resolution *resolution = object;

	if (!resolution->resolver)
		free(resolution);
}

/* ---- interfaces.c ---- */

size_t interfaces_addresses(
	const struct address *bound, size_t bound_count, struct address *out, size_t size)
{
	size_t count = bound_count < size ? bound_count : size;

	memcpy(out, bound, count * sizeof *out);
	return count;
}

/* Nothing ever changes: there is nothing to be closed either. */
int interfaces_watch_start(uv_loop_t *loop, void (*changed)(void *context), void *context,
	struct interfaces_watch **out)
{
	*out = NULL;
	return ERROR_NONE;
}

void interfaces_watch_stop(
	struct interfaces_watch *watch, void (*closed)(void *context), void *context)
{
	abort();
}

/* ---- multicast.c: mdns is off ---- */

int multicast_open(
	uv_loop_t *loop, multicast_received *received, void *context, struct multicast **out)
{
	return ERROR_SYSTEM;
}

size_t multicast_joined(const struct multicast *multicast)
{
	return 0;
}

void multicast_send(struct multicast *multicast, const uint8_t *packet, size_t size)
{
}

void multicast_interfaces(struct multicast *multicast)
{
}

void multicast_close(struct multicast *multicast, void (*closed)(void *context), void *context)
{
	abort();
}
