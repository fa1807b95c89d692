/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What drives the mesh: libuv's loop and clock, the QUIC endpoint, name look-ups, the disk and the
 * local network. Feeds the mesh with what happens there and carries out what it wants. node.c puts
 * a thread and two mailboxes around it.
 *
 * One thread: the loop's. (driver_new may run before that thread begins.)
 */
#ifndef BRIDGE_IO_DRIVER_H
#define BRIDGE_IO_DRIVER_H

#include <uv.h>

#include "../node_types.h"

struct driver;

struct driver_owner {
	/* Takes what the event holds. */
	void (*emit)(void *context, struct node_event *event);
	/* A turn of the loop is over: nothing more is emitted before it sleeps. */
	void (*turned)(void *context);
	/* driver_stop is through: every handle is closed. */
	void (*stopped)(void *context);
	/* The home relay or its state has changed. home: as relays_home has it, NULL for none yet
	 * (what stands for it then is the first of the configuration); nothing of it is kept. Call
	 * it whenever either may have changed, for instance after each RELAYS_HOME, RELAYS_UP,
	 * RELAYS_DOWN, RELAYS_LOG, or once per turn: saying the same again costs nothing. */
	void (*relay)(void *context, const struct relay_url *home, enum node_relay_state state);
	void *context;
	struct counters *counters;
	/* Told with each turn; relayed: those of the neighbours whose only connections go by a
	 * relay (mesh_figures.relayed). */
	_Atomic size_t *overlays, *neighbours, *connections, *waiting, *relayed;
};

/* Binds the sockets; bound must have room for config->binds_count addresses and outlive the driver.
 * Errors as node_start. On error with *out set, driver_stop it, run the loop until stopped, and free
 * it: sockets close in the loop. */
int driver_new(const struct node_config *config, const struct driver_owner *owner, uv_loop_t *loop,
	struct address *bound, size_t *bound_count, struct driver **out,
	char reason[NODE_REASON_SIZE]);

/* First thing on the thread. */
void driver_begin(struct driver *driver);
/* Errors as mesh_join. */
int driver_join(struct driver *driver, const struct id *topic);
void driver_leave(struct driver *driver, const struct id *topic);
/* Takes the reference. */
void driver_publish(struct driver *driver, const struct id *topic, struct message *message);
void driver_publish_signed(
	struct driver *driver, const struct id *topic, const void *body, size_t size);
void driver_verify(struct driver *driver, const struct id *topic, bool verify);
void driver_record(struct driver *driver, const void *key, size_t key_size, const void *value,
	size_t value_size);
/* Whether this turn of the loop has taken its time: what can wait is for the next one, after the
 * datagrams that have come meanwhile. */
bool driver_is_late(struct driver *driver);
/* Farewells, then closes; stopped follows within LIMIT_FAREWELL_MS and a little. */
void driver_stop(struct driver *driver);
/* After stopped, when the loop has ended. */
void driver_free(struct driver *driver);

#endif
