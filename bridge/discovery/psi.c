/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "psi.h"

#include <blake3.h>

#include "../error.h"
#include "../keyed.h"

struct expected {
	struct id hash, topic;
	bool found;
	UT_hash_handle hh;
};

struct psi {
	struct keyed keyed;
	struct expected *table;
	size_t count;
	struct expected items[];
};

void psi_hash(
	const struct psi_salts *salts, enum psi_side side, const struct id *topic, struct id *hash)
{
	uint8_t side_byte = (uint8_t)side;
	blake3_hasher hasher;

	blake3_hasher_init(&hasher);
	blake3_hasher_update(&hasher, topic->bytes, ID_SIZE);
	blake3_hasher_update(&hasher, salts->alice, sizeof salts->alice);
	blake3_hasher_update(&hasher, salts->bob, sizeof salts->bob);
	blake3_hasher_update(&hasher, &side_byte, 1);
	blake3_hasher_finalize(&hasher, hash->bytes, ID_SIZE);
}

static struct expected *find(const struct psi *psi, const struct id *hash, unsigned value)
{
	struct expected *item;

	HASH_FIND_BYHASHVALUE(hh, psi->table, hash, sizeof *hash, value, item);
	return item;
}

static int add(struct psi *psi, struct expected *item)
{
	unsigned value = keyed_hash(&psi->keyed, &item->hash, sizeof item->hash);

	if (find(psi, &item->hash, value))
		return ERROR_NONE; /* a topic that was given twice */
	HASH_ADD_KEYPTR_BYHASHVALUE(hh, psi->table, &item->hash, sizeof item->hash, value, item);
	return item->hh.tbl ? 0 : ERROR_NOMEM;
}

int psi_new(const struct psi_salts *salts, enum psi_side side, const struct id *topics,
	size_t count, const struct random *random, struct psi **out)
{
	struct psi *psi = NULL;
	int error = 0;

	*out = NULL;
	if (count <= (SIZE_MAX - sizeof *psi) / sizeof *psi->items)
		psi = memory_zalloc(sizeof *psi + count * sizeof *psi->items);
	if (!psi)
		return ERROR_NOMEM;
	keyed_init(&psi->keyed, random);
	psi->count = count;
	for (size_t i = 0; i < count && !error; i++) {
		psi->items[i].topic = topics[i];
		psi_hash(salts, side, &topics[i], &psi->items[i].hash);
		error = add(psi, &psi->items[i]);
	}
	if (error) {
		psi_free(psi);
		psi = NULL;
	}
	*out = psi;
	return error;
}

void psi_free(struct psi *psi)
{
	if (!psi)
		return;
	HASH_CLEAR(hh, psi->table);
	memory_free(psi);
}

bool psi_find(struct psi *psi, const struct id *hash, struct id *topic)
{
	struct expected *item = find(psi, hash, keyed_hash(&psi->keyed, hash, sizeof *hash));

	if (!item || item->found)
		return false;
	item->found = true;
	*topic = item->topic;
	return true;
}
