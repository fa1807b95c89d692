/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The messages of a session (PsiHashMessage) in the two codecs, read piece by piece: a message may
 * be of any size, the reader keeps one hash or one info of it. Internal to discovery. One thread.
 */
#ifndef BRIDGE_DISCOVERY_DIALECT_H
#define BRIDGE_DISCOVERY_DIALECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../bytes/cbor.h"
#include "../bytes/writer.h"
#include "../id.h"
#include "info.h"
#include "psi.h"

/* The messages in the order in which they are sent, which gives their numbers in postcard. */
enum psi_message {
	PSI_ALICE_SALT_HALF,
	PSI_BOB_SALT_HALF_AND_HASHED_DATA,
	PSI_ALICE_HASHED_DATA,
	PSI_NODES,
	PSI_MESSAGES
};

static inline bool psi_message_has_salt(enum psi_message message)
{
	return message <= PSI_BOB_SALT_HALF_AND_HASHED_DATA;
}

/* The largest element that is kept: an info in CBOR, its keys, time and signature included. */
#define DIALECT_ELEMENT_SIZE (INFO_ADDRESSES_SIZE + 256)

enum piece_type {
	PIECE_SALT,    /* salt */
	PIECE_HASH,    /* id */
	PIECE_INFO,    /* id, info (owned by the receiver) */
	PIECE_SKIPPED, /* id: its info is too large for us, or was to be skipped */
	PIECE_END,     /* the message ends */
};

struct piece {
	enum piece_type type;
	uint8_t salt[PSI_SALT_SIZE];
	struct id id;
	struct info *info;
};

struct dialect_reader {
	enum psi_message message;
	bool skip_infos; /* infos are reported as skipped, without being decoded */
	unsigned step;
	uint64_t elements; /* elements of the set or map that are missing */
	struct id node;
	/* CBOR */
	struct cbor_scan scan;
	/* postcard */
	uint64_t left;	     /* bytes missing of a part of known length */
	uint64_t frame_left; /* bytes missing of the frame */
	uint64_t value;	     /* the value of a varint so far */
	unsigned shift;
	uint64_t addresses;  /* addresses of an info that are missing */
	uint64_t transports; /* transports of an address that are missing */
	/* The element so far */
	bool too_large;
	size_t size;
	uint8_t element[DIALECT_ELEMENT_SIZE];
};

struct dialect_codec {
	/* Prepares for the next message; only this type of message is accepted. */
	void (*begin)(struct dialect_reader *reader, enum psi_message message);
	/* Takes bytes off data. Returns 1: out is the next piece (after PIECE_END begin the next
	 * message); 0: all bytes were taken, and more are needed; ERROR_INVALID, ERROR_LIMIT,
	 * ERROR_NOMEM. */
	int (*read)(struct dialect_reader *reader, const uint8_t **data, size_t *size,
		struct piece *out);
	/* Writes the part of a message before its elements: the salt if the message has one, and
	 * the number of elements; size is their size together, in bytes. */
	void (*write_head)(struct writer *writer, enum psi_message message, const uint8_t *salt,
		uint64_t count, uint64_t size);
	void (*write_hash)(struct writer *writer, const struct id *hash);
	void (*write_node)(struct writer *writer, const struct id *node, const struct info *info);
};

/* Enough for any message's head. */
#define DIALECT_HEAD_SIZE 192
#define DIALECT_HASH_SIZE (2 + ID_SIZE)

extern const struct dialect_codec dialect_cbor, dialect_postcard;

/* Adds bytes to the element, as far as they fit. For the codecs. */
void dialect_keep(struct dialect_reader *reader, const uint8_t *data, size_t size);
/* Decodes the element, which is the info of reader->node, and makes it the piece. Returns 1 or an
 * error, as read does. For the codecs. */
int dialect_decode(struct dialect_reader *reader,
	int (*decode)(struct reader *reader, struct info **out), struct piece *out);

#endif
