/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Looks up and adds items in hash tables that use the keyed hash of keyed.h. (uthash's macros have
 * the hash more than once, so it is computed before them.) */
#ifndef BRIDGE_KEYED_TABLE_H
#define BRIDGE_KEYED_TABLE_H

#include "keyed.h"

/* Finds the item with this key; item becomes that item, or NULL. The items' hash handle is called
 * hh. */
#define KEYED_FIND(keyed, table, data, data_size, item)                          \
	do {                                                                     \
		unsigned keyed_find_hash = keyed_hash(keyed, data, data_size);   \
		HASH_FIND_BYHASHVALUE(                                           \
			hh, table, data, data_size, keyed_find_hash, item);      \
	} while (0)
/* Adds an item whose key (data) is a part of the item. If there is no memory item->hh.tbl is NULL. */
#define KEYED_PUT(keyed, table, data, data_size, item)                           \
	do {                                                                     \
		unsigned keyed_put_hash = keyed_hash(keyed, data, data_size);    \
		HASH_ADD_KEYPTR_BYHASHVALUE(                                     \
			hh, table, data, data_size, keyed_put_hash, item);       \
	} while (0)
/* Likewise; but if there is no memory the item is freed, and item becomes NULL. */
#define KEYED_ADD(keyed, table, data, data_size, item)                           \
	do {                                                                     \
		KEYED_PUT(keyed, table, data, data_size, item);                  \
		if (!(item)->hh.tbl) {                                           \
			memory_free(item);                                       \
			(item) = NULL;                                           \
		}                                                                \
	} while (0)

#endif
