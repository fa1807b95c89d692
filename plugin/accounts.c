/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "accounts.h"

#include <stdio.h>
#include <string.h>

#include "../bridge/address.h"
#include "../bridge/error.h"
#include "../bridge/keyed_table.h"

struct account {
	enum account_kind kind;
	size_t clients;	 /* that have taken the account */
	size_t overlays; /* that the clients hold, each counted once */
	UT_hash_handle hh;
	size_t size;
	char name[]; /* the kind, then the user name or the address */
};

/* An overlay that an account holds. */
struct tenure {
	struct {
		const struct account *account;
		const void *overlay;
	} key;
	size_t reasons;
	UT_hash_handle hh;
};

struct accounts {
	size_t limits[ACCOUNT_KINDS];
	struct keyed keyed;
	struct account *all;
	struct tenure *tenures;
};

int accounts_new(
	const size_t limits[ACCOUNT_KINDS], const struct random *random, struct accounts **out)
{
	struct accounts *accounts = memory_zalloc(sizeof *accounts);

	if (!accounts)
		return ERROR_NOMEM;
	memcpy(accounts->limits, limits, sizeof accounts->limits);
	keyed_init(&accounts->keyed, random);
	*out = accounts;
	return ERROR_NONE;
}

void accounts_free(struct accounts *accounts)
{
	struct account *account, *next_account;
	struct tenure *tenure, *next_tenure;

	if (!accounts)
		return;
	HASH_ITER (hh, accounts->tenures, tenure, next_tenure) {
		HASH_DELETE(hh, accounts->tenures, tenure);
		memory_free(tenure);
	}
	HASH_ITER (hh, accounts->all, account, next_account) {
		HASH_DELETE(hh, accounts->all, account);
		memory_free(account);
	}
	memory_free(accounts);
}

/* Finds the host of an address: the address without its port, and of IPv6 only the /64, as whoever
 * has one address there has 2^64 of them. Leaves a name that is no address (a Unix socket's path)
 * as it is. Returns the size of *bytes. */
static size_t host_of(const char *name, struct address *host, const void **bytes)
{
	char text[ADDRESS_TEXT_SIZE];
	struct address address;
	int length = snprintf(text, sizeof text, strchr(name, ':') ? "[%s]:0" : "%s:0", name);

	*bytes = name;
	if (length < 0 || (size_t)length >= sizeof text || address_parse(text, &address))
		return strlen(name);
	*host = address_host(&address);
	*bytes = host->ip;
	return sizeof host->ip;
}

struct account *accounts_take(struct accounts *accounts, enum account_kind kind, const char *name)
{
	struct account *account, *found;
	struct address host;
	const void *bytes = name;
	size_t size;

	if (!name || !name[0])
		return NULL;
	size = kind == ACCOUNT_ADDRESS ? host_of(name, &host, &bytes) : strlen(name);
	account = memory_zalloc(sizeof *account + 1 + size);
	if (!account)
		return NULL;
	account->kind = kind;
	account->size = 1 + size;
	account->name[0] = (char)kind;
	memcpy(account->name + 1, bytes, size);
	KEYED_FIND(&accounts->keyed, accounts->all, account->name, account->size, found);
	if (found) {
		memory_free(account);
		found->clients++;
		return found;
	}
	KEYED_ADD(&accounts->keyed, accounts->all, account->name, account->size, account);
	if (!account)
		return NULL;
	account->clients = 1;
	return account;
}

void accounts_give_back(struct accounts *accounts, struct account *account)
{
	if (!account || --account->clients > 0)
		return;
	HASH_DELETE(hh, accounts->all, account);
	memory_free(account);
}

static struct tenure *find(
	const struct accounts *accounts, const struct account *account, const void *overlay)
{
	struct tenure *tenure, wanted = {.key = {account, overlay}};

	KEYED_FIND(&accounts->keyed, accounts->tenures, &wanted.key, sizeof wanted.key, tenure);
	return tenure;
}

bool accounts_is_full(
	const struct accounts *accounts, const struct account *account, const void *overlay)
{
	return account && account->overlays >= accounts->limits[account->kind] &&
	       !find(accounts, account, overlay);
}

void accounts_hold(struct accounts *accounts, struct account *account, const void *overlay)
{
	struct tenure *tenure = account ? find(accounts, account, overlay) : NULL;

	if (!account)
		return;
	if (tenure) {
		tenure->reasons++;
		return;
	}
	tenure = memory_zalloc(sizeof *tenure);
	if (!tenure)
		return;
	tenure->key.account = account;
	tenure->key.overlay = overlay;
	tenure->reasons = 1;
	KEYED_ADD(&accounts->keyed, accounts->tenures, &tenure->key, sizeof tenure->key, tenure);
	if (!tenure)
		return;
	account->overlays++;
}

void accounts_let_go(struct accounts *accounts, struct account *account, const void *overlay)
{
	struct tenure *tenure = account ? find(accounts, account, overlay) : NULL;

	if (!tenure || --tenure->reasons > 0)
		return;
	account->overlays--;
	HASH_DELETE(hh, accounts->tenures, tenure);
	memory_free(tenure);
}
