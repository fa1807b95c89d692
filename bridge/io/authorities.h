/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whose certificates are believed: the system's authorities and those of one more file, in a client
 * context of OpenSSL. Read when they are first wanted, and again after a day, in libuv's pool: some
 * 150 certificates are 6 to 9 ms of work. The loop's thread.
 */
#ifndef BRIDGE_IO_AUTHORITIES_H
#define BRIDGE_IO_AUTHORITIES_H

#include <openssl/types.h>
#include <uv.h>

#include "trouble.h"

struct authorities;

/* context may be used during the call; who keeps it takes a reference. NULL: trouble says why. The
 * query is over. */
typedef void authorities_answer(
	void *argument, SSL_CTX *context, const struct trouble *trouble);

/* Part of whoever asks; zero-filled at first. Its fields are authorities.c's own. */
struct authorities_query {
	struct authorities *authorities; /* NULL: nothing is asked */
	authorities_answer *answer;
	void *argument;
	struct authorities_query *prev, *next;
};

/* file: of certificates in PEM, in addition; NULL: none; copied. Reads nothing yet. ERROR_NOMEM. */
int authorities_new(uv_loop_t *loop, const char *file, struct authorities **out);
/* No answers from now on. Before the loop's end, which waits for the reading under way. */
void authorities_stop(struct authorities *authorities);
/* When the loop has ended. NULL is fine. */
void authorities_free(struct authorities *authorities);

/* At once, or from the loop. The query must not be under way, and must not move while it is.
 * ERROR_NOMEM, ERROR_CLOSED (stopped): then there is no answer. */
int authorities_ask(struct authorities *authorities, authorities_answer *answer, void *argument,
	struct authorities_query *query);
/* How many were read; those of a folder are read one by one when a certificate names them. */
size_t authorities_count(SSL_CTX *context);
/* There will be no answer. Fine if nothing is asked. */
void authorities_forget(struct authorities_query *query);

#endif
