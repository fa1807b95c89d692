/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Names of hosts, and which addresses they have now. Each name is looked up on its own, so that one
 * that nobody answers for holds up no other. Who asks for a name that is being looked up already
 * gets the answer of that look-up. Literal addresses are answered without asking anybody. The
 * loop's thread.
 */
#ifndef BRIDGE_IO_NAMES_H
#define BRIDGE_IO_NAMES_H

#include <uv.h>

#include "../address.h"
#include "../node_types.h"

struct names;
struct name_look_up;

/* Takes the answer to a query, which is over then. The ports of the addresses are 0. failure: why
 * there is no address, without the name; else empty. */
typedef void names_answer(
	void *context, const struct address *addresses, size_t count, const char *failure);

/* One query, a part of whoever asks; zero-filled at first. Its fields are names.c's own. */
struct name_query {
	struct names *names; /* NULL: nothing is asked */
	names_answer *answer;
	void *context;
	struct name_look_up *look_up; /* NULL: answered in this turn or the next */
	struct address literal;	      /* the answer then; family 0: none, but the failure */
	const char *failure;
	struct name_query *prev, *next;
};

/* Makes names, without any handle before something is asked. ERROR_NOMEM. */
int names_new(uv_loop_t *loop, struct names **out);
/* Ends all queries: no answer comes from now on, and nothing waits for look-ups under way. To be
 * called before the loop ends. */
void names_stop(struct names *names);
/* Frees names, when the loop has ended. NULL is fine. */
void names_free(struct names *names);

/* Asks for the addresses of a name. The answer comes from the loop. An empty name has no address,
 * which is no failure. The query must not be under way, and must not move while it is. ERROR_NOMEM,
 * ERROR_CLOSED (stopped): then there is no answer. */
int names_ask(struct names *names, const char *name, names_answer *answer, void *context,
	struct name_query *query);
/* Ends the query without an answer. Fine if nothing is asked. */
void names_forget(struct name_query *query);

#endif
