/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * TLS towards a server of the web (quic/tls.h is the one below QUIC), without a socket: bytes from
 * the network in, bytes for the network out. TLS 1.2 or 1.3; the certificate must be of the host
 * and of an authority in the context; we show none; ALPN http/1.1. The loop's thread.
 */
#ifndef BRIDGE_IO_SECURE_H
#define BRIDGE_IO_SECURE_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trouble.h"

/* What a record of TLS adds to its bytes at most, and how many bytes are in a record at most. */
#define SECURE_OVERHEAD 256
#define SECURE_RECORD	16384

struct secure;

/* Makes a TLS session. context: of authorities.h. host: a name, whose dot at the end does not
 * count, or an IP address; at most 255 bytes. ERROR_NOMEM, ERROR_TLS. */
int secure_new(SSL_CTX *context, const char *host, struct secure **out);
/* Frees the session. NULL is fine. */
void secure_free(struct secure *secure);

/* Carries the handshake as far as it goes; the first call begins it. ERROR_NONE: done.
 * ERROR_TRUNCATED: more must come first. ERROR_TLS: failed; there may be output (an alert). */
int secure_handshake(struct secure *secure, struct trouble *trouble);
/* Takes bytes that have come from the network. ERROR_NOMEM, ERROR_TLS (the bytes are not TLS). */
int secure_feed(
	struct secure *secure, const void *bytes, size_t size, struct trouble *trouble);
/* Reads what was sent to us, after the handshake. *size: in, how much room there is; out, how many
 * bytes were read. ERROR_NONE; ERROR_TRUNCATED: more must come first; ERROR_CLOSED: the server has
 * ended the session; ERROR_TLS. */
int secure_read(struct secure *secure, void *out, size_t *size, struct trouble *trouble);
/* Encrypts bytes for the server, after the handshake. ERROR_TLS (also without memory). */
int secure_write(
	struct secure *secure, const void *bytes, size_t size, struct trouble *trouble);
/* Tells the server that the session ends, if there is one. */
void secure_finish(struct secure *secure);

/* Returns how many bytes are to go to the network, and points *bytes to them, until secure_sent; 0:
 * none. */
size_t secure_output(const struct secure *secure, const uint8_t **bytes);
/* Drops the output: the network has it. */
void secure_sent(struct secure *secure);

#endif
