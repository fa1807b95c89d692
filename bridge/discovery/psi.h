/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Private set intersection as in p2panda-discovery src/psi_hash.rs: each side shows its topics as
 * BLAKE3(topic || Alice's half || Bob's half || side), so that only a node that knows a topic
 * recognises it, and neither side can play the other's hashes back. One thread.
 */
#ifndef BRIDGE_DISCOVERY_PSI_H
#define BRIDGE_DISCOVERY_PSI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../id.h"
#include "../random.h"

#define PSI_SALT_SIZE 32 /* each side's half of the salt */

struct psi_salts {
	uint8_t alice[PSI_SALT_SIZE];
	uint8_t bob[PSI_SALT_SIZE];
};

enum psi_side { PSI_ALICE, PSI_BOB };

void psi_hash(
	const struct psi_salts *salts, enum psi_side side, const struct id *topic, struct id *hash);

/* The hashes that the other side would send for our topics. Each hash that it does send, however
 * many, is looked up among them. */
struct psi;

/* Computes the hashes. side is the other side; topics are copied. ERROR_NOMEM. */
int psi_new(const struct psi_salts *salts, enum psi_side side, const struct id *topics,
	size_t count, const struct random *random, struct psi **out);
void psi_free(struct psi *psi); /* NULL is fine */
/* Tells whether hash is one of these hashes, and comes for the first time; topic becomes its topic
 * then. */
bool psi_find(struct psi *psi, const struct id *hash, struct id *topic);

#endif
