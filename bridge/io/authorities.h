/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whose certificates are believed: the system's authorities and those of one more file, in a client
 * context of OpenSSL. The authorities are read when they are first wanted, and again after a day,
 * in libuv's pool: some 150 certificates are 6 to 9 ms of work. The loop's thread.
 */
#ifndef BRIDGE_IO_AUTHORITIES_H
#define BRIDGE_IO_AUTHORITIES_H

#include <openssl/types.h>
#include <uv.h>

#include "trouble.h"

struct authorities;

/* Takes the answer to a query, which is over then. context may be used during the call; whoever
 * keeps the context takes a reference. context NULL: trouble says why there is none. */
typedef void authorities_answer(
	void *argument, SSL_CTX *context, const struct trouble *trouble);

/* One query, a part of whoever asks; zero-filled at first. Its fields are authorities.c's own. */
struct authorities_query {
	struct authorities *authorities; /* NULL: nothing is asked */
	authorities_answer *answer;
	void *argument;
	struct authorities_query *prev, *next;
};

/* Makes the authorities, and reads none of them yet. file: certificates in PEM that are believed in
 * addition to the system's; the name is copied; NULL: none. ERROR_NOMEM. */
int authorities_new(uv_loop_t *loop, const char *file, struct authorities **out);
/* Ends all queries: no answer comes from now on. To be called before the loop ends, which waits for
 * the reading under way. */
void authorities_stop(struct authorities *authorities);
/* Frees the authorities, when the loop has ended. NULL is fine. */
void authorities_free(struct authorities *authorities);

/* Asks for the context. The answer comes at once, from within this call, or later from the loop.
 * The query must not be under way, and must not move while it is. ERROR_NOMEM, ERROR_CLOSED
 * (stopped): then there is no answer. */
int authorities_ask(struct authorities *authorities, authorities_answer *answer, void *argument,
	struct authorities_query *query);
/* Returns how many authorities are in the context. Those of a folder are not counted until a
 * certificate names them: only then are they read, one by one. */
size_t authorities_count(SSL_CTX *context);
/* Ends the query without an answer. Fine if nothing is asked. */
void authorities_forget(struct authorities_query *query);

#endif
