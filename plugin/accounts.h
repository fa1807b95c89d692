/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Counts the overlays that the clients of one user name hold together, and those of one address (of
 * IPv6: of one /64). Client ids cost nothing, so a limit for each client id alone limits nobody.
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

/* Makes the accounts, without any. limits: overlays of each account, by its kind. Returns 0 or
 * ERROR_NOMEM. */
int accounts_new(
	const size_t limits[ACCOUNT_KINDS], const struct random *random, struct accounts **out);
void accounts_free(struct accounts *accounts);

/* Finds or makes the account of a user name or an address, which the caller gives back. name: as
 * the broker shows it. Returns NULL without a name (then there is no such limit for the client), or
 * without memory. */
struct account *accounts_take(struct accounts *accounts, enum account_kind kind, const char *name);
/* Gives an account back. account may be NULL, here and below: then nothing happens, and there is
 * always room. */
void accounts_give_back(struct accounts *accounts, struct account *account);

/* Tells whether one more overlay would be over the account's limit; an overlay that the account
 * holds already is not one more. overlay is only compared. */
bool accounts_is_full(
	const struct accounts *accounts, const struct account *account, const void *overlay);
/* Adds a reason for the account to hold the overlay; each reason is to be let go once. Without
 * memory the overlay is not counted. */
void accounts_hold(struct accounts *accounts, struct account *account, const void *overlay);
void accounts_let_go(struct accounts *accounts, struct account *account, const void *overlay);

#endif
