/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The identity of this node: one Ed25519 key, kept as PKCS#8 PEM, and what is derived from it.
 * facts: node id = raw public key; SNI = base32hex (lower case, no padding) of the id +
 * ".iroh.invalid"; ALPN = BLAKE3(protocol id || network id). Plain values once loaded; any thread
 * may read them.
 */
#ifndef BRIDGE_IDENTITY_H
#define BRIDGE_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/types.h>

#include "id.h"

#define IDENTITY_SECRET_SIZE	32
#define IDENTITY_SIGNATURE_SIZE 64
#define IDENTITY_SNI_SIZE	80 /* with the closing zero */
#define IDENTITY_REASON_SIZE	256

#define PROTOCOL_GOSSIP	   "/iroh-gossip/1"
#define PROTOCOL_DISCOVERY "p2panda/confidential_discovery/v1"

struct identity {
	struct id id;
	EVP_PKEY *key; /* owned */
};

/* p2panda-net's default network id. */
extern const struct id identity_default_network;

/* Loads the key at path, or makes a new one there (O_CREAT | O_EXCL, 0600) if nothing is there.
 * Follows a symlink in the last component only where secret_file_open does, and no link when it
 * makes a key. Refuses a file that others may use (see secret_file_read), and anything that is not
 * an Ed25519 private key in PKCS#8 PEM. On error reason says in one line what is wrong and what is
 * accepted. ERROR_PERMISSION, ERROR_INVALID, ERROR_SYSTEM, ERROR_TLS, ERROR_NOMEM. */
int identity_load(const char *path, struct identity *out, char reason[IDENTITY_REASON_SIZE]);

/* Makes an identity from the 32 secret bytes (for tests and vectors). ERROR_TLS. */
int identity_from_secret(const uint8_t secret[IDENTITY_SECRET_SIZE], struct identity *out);
void identity_clear(struct identity *identity);

/* Signs data with our key. ERROR_TLS. */
int identity_sign(const struct identity *identity, const void *data, size_t size,
	uint8_t signature[IDENTITY_SIGNATURE_SIZE]);

/* Verifies that node has signed data, as strictly as p2panda-core (ed25519-dalek's verify_strict):
 * also refuses a node id of small order, for which anybody can make a signature, and a signature
 * whose R is of small order, which the signer can make once for all data. ERROR_INVALID (the
 * signature is not node's), ERROR_TLS. Takes about 0.1 ms. */
int identity_verify(const struct id *node, const void *data, size_t size,
	const uint8_t signature[IDENTITY_SIGNATURE_SIZE]);

/* Derives from our key a secret for one purpose (stateless reset, address tokens), so that the
 * secret is the same after a restart: BLAKE3 keyed derivation with purpose as the context string.
 * ERROR_TLS. */
int identity_derive(
	const struct identity *identity, const char *purpose, uint8_t *out, size_t size);

/* Tells whether an id can be a node's at all: it is the encoding of a point of Ed25519 (RFC 8032,
 * 5.1.3). iroh requires such an encoding for each node id it decodes (iroh-base key.rs) and ends
 * the stream on any other id, so other ids must never be passed on. As in iroh, an unreduced y and
 * the wrong sign of x = 0 are accepted. Returns false also when there is no memory. */
bool identity_is_node(const struct id *id);
/* Tells whether an id can belong to a node that proves who it is: the id is a point, and not one of
 * small order, for which anybody can make signatures. Returns false also when there is no
 * memory. */
bool identity_is_key(const struct id *id);

void identity_sni(const struct id *node, char sni[IDENTITY_SNI_SIZE]);
void identity_alpn(const char *protocol, const struct id *network, struct id *alpn);

#endif
