/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Everything that lives on the node's thread: pumps what happened (commands, datagrams,
 * time) into the sans-IO cores and carries out their effects. node.c puts a thread and
 * two mailboxes around it.
 *
 * One thread: the loop's. (engine_new and engine_bind may run before that thread begins.)
 */
#ifndef BRIDGE_ENGINE_ENGINE_H
#define BRIDGE_ENGINE_ENGINE_H

#include <uv.h>

#include "../node.h"

struct engine;

struct engine_owner {
	/* Takes what the event holds. */
	void (*emit)(void *context, struct node_event *event);
	/* A turn of the loop is over: nothing more is emitted before it sleeps. */
	void (*turned)(void *context);
	/* engine_stop is through: every handle is closed. */
	void (*stopped)(void *context);
	void *context;
	struct counters *counters;
	_Atomic size_t *overlays, *neighbours, *connections, *waiting;
};

/* Binds the sockets; bound must have room for config->binds_count addresses. Errors as
 * node_start. On error with *out set, engine_stop it, run the loop until
 * stopped, and free it: sockets close in the loop. */
int engine_new(const struct node_config *config, const struct engine_owner *owner, uv_loop_t *loop,
	struct address *bound, size_t *bound_count, struct engine **out,
	char reason[NODE_REASON_SIZE]);

/* First thing on the thread: looks up names. */
void engine_begin(struct engine *engine);
void engine_join(struct engine *engine, const struct id *topic);
void engine_leave(struct engine *engine, const struct id *topic);
/* Takes the reference. */
void engine_publish(struct engine *engine, const struct id *topic, struct message *message);
void engine_record(struct engine *engine, const void *key, size_t key_size, const void *value,
	size_t value_size);
/* Whether this turn of the loop has taken its time: what can wait is for the next one, after the
 * datagrams that have come meanwhile. */
bool engine_is_late(struct engine *engine);
/* Farewells, then closes; stopped follows within LIMIT_FAREWELL_MS and a little. */
void engine_stop(struct engine *engine);
/* After stopped, when the loop has ended. */
void engine_free(struct engine *engine);

#endif
