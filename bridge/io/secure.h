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

/* What a record of TLS adds to its bytes at most, and how many bytes are in one. */
#define SECURE_OVERHEAD 256
#define SECURE_RECORD	16384

struct secure;

/* context: of authorities.h. host: a name, whose dot at the end does not count, or an IP address;
 * at most 255 bytes. ERROR_NOMEM, ERROR_TLS. */
int secure_new(SSL_CTX *context, const char *host, struct secure **out);
/* NULL is fine. */
void secure_free(struct secure *secure);

/* The handshake as far as it goes; begins it, too. ERROR_NONE: done. ERROR_TRUNCATED: more must
 * come first. ERROR_TLS: failed; there may be output (an alert). */
int secure_handshake(struct secure *secure, struct trouble *trouble);
/* What has come from the network. ERROR_NOMEM, ERROR_TLS (that is not TLS). */
int secure_feed(
	struct secure *secure, const void *bytes, size_t size, struct trouble *trouble);
/* After the handshake. Takes what was sent to us: *size in and out. ERROR_NONE; ERROR_TRUNCATED:
 * more must come first; ERROR_CLOSED: the server has ended it; ERROR_TLS. */
int secure_read(struct secure *secure, void *out, size_t *size, struct trouble *trouble);
/* After the handshake. ERROR_TLS (memory among its reasons). */
int secure_write(
	struct secure *secure, const void *bytes, size_t size, struct trouble *trouble);
/* Says the end to the server, if there is a session. */
void secure_finish(struct secure *secure);

/* What is to go to the network, until secure_sent; 0: nothing. */
size_t secure_output(const struct secure *secure, const uint8_t **bytes);
void secure_sent(struct secure *secure);

#endif
