/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "cids.h"

#include <string.h>

#include "../error.h"

static struct cid *find(const struct cids *cids, const uint8_t *bytes, size_t size, unsigned hash)
{
	struct cid *cid;

	HASH_FIND_BYHASHVALUE(hh, cids->table, bytes, size, hash, cid);
	return cid;
}

int cids_add(struct cids *cids, struct cid **list, struct quic_connection *connection,
	const uint8_t *bytes, size_t size)
{
	unsigned hash = keyed_hash(cids->keyed, bytes, size);
	struct cid *cid;

	if (size > CID_MAX_SIZE || find(cids, bytes, size, hash))
		return ERROR_NONE;
	cid = memory_zalloc(sizeof *cid);
	if (!cid)
		return ERROR_NOMEM;
	cid->connection = connection;
	cid->size = (uint8_t)size;
	memcpy(cid->bytes, bytes, size);
	HASH_ADD_BYHASHVALUE(hh, cids->table, bytes, size, hash, cid);
	if (!cid->hh.tbl) {
		memory_free(cid);
		return ERROR_NOMEM;
	}
	cid->next = *list;
	*list = cid;
	return ERROR_NONE;
}

static void drop(struct cids *cids, struct cid **at)
{
	struct cid *cid = *at;

	*at = cid->next;
	HASH_DELETE(hh, cids->table, cid);
	memory_free(cid);
}

void cids_remove(struct cids *cids, struct cid **list, const uint8_t *bytes, size_t size)
{
	for (; *list; list = &(*list)->next) {
		if ((*list)->size == size && memcmp((*list)->bytes, bytes, size) == 0) {
			drop(cids, list);
			return;
		}
	}
}

void cids_remove_all(struct cids *cids, struct cid **list)
{
	while (*list)
		drop(cids, list);
}

struct quic_connection *cids_find(const struct cids *cids, const uint8_t *bytes, size_t size)
{
	struct cid *cid = find(cids, bytes, size, keyed_hash(cids->keyed, bytes, size));

	return cid ? cid->connection : NULL;
}
