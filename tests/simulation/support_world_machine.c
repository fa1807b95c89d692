/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The nodes' keys, which are made once for all worlds. (The linker's --wrap.) What was verified once
 * needs no verifying again, for a thousand nodes that tell one another where they are would do
 * little else.
 */
#include <stdlib.h>
#include <string.h>
#include <blake3.h>

#include "support_world_internal.h"

int __real_identity_verify(const struct id *node, const void *data, size_t size,
	const uint8_t signature[IDENTITY_SIGNATURE_SIZE]);
int __wrap_identity_verify(const struct id *node, const void *data, size_t size,
	const uint8_t signature[IDENTITY_SIGNATURE_SIZE]);
bool __real_identity_is_node(const struct id *id);
bool __wrap_identity_is_node(const struct id *id);

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
