/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How many overlays the clients of one user name hold together, and those of one address (of
 * IPv6: one /64): client ids cost nothing, so a limit for each of them alone limits nobody.
 * The broker's thread.
 */
#ifndef PLUGIN_ACCOUNTS_H
#define PLUGIN_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>

#include "../bridge/random.h"

enum account_kind { ACCOUNT_USER, ACCOUNT_ADDRESS, ACCOUNT_KINDS };

struct accounts;
struct account;

/* limits: overlays of each account, by its kind. ERROR_NOMEM. */
int accounts_new(
	const size_t limits[ACCOUNT_KINDS], const struct random *random, struct accounts **out);
void accounts_free(struct accounts *accounts);

/* Finds or makes it; to be given back. name: as the broker shows it. NULL without a name (then
 * there is no such limit for the client), or without memory. */
struct account *accounts_take(struct accounts *accounts, enum account_kind kind, const char *name);
/* account may be NULL, here and below: nothing happens, and it has room. */
void accounts_give_back(struct accounts *accounts, struct account *account);

/* Whether one more overlay would be over the limit; not if it is this one's already. overlay is
 * only compared. */
bool accounts_is_full(
	const struct accounts *accounts, const struct account *account, const void *overlay);
/* One more reason to hold the overlay; each is to be let go once. What there is no memory for is
 * not counted. */
void accounts_hold(struct accounts *accounts, struct account *account, const void *overlay);
void accounts_let_go(struct accounts *accounts, struct account *account, const void *overlay);

#endif
