/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What drives the mesh: libuv's loop and clock, the QUIC endpoint, name look-ups, the disk and the
 * local network. The driver feeds the mesh with what happens there and carries out what the mesh
 * wants. node.c puts a thread and two mailboxes around the driver.
 *
 * One thread: the loop's. (driver_new may run before that thread begins.)
 */
#ifndef BRIDGE_IO_DRIVER_H
#define BRIDGE_IO_DRIVER_H

#include <uv.h>

#include "../node_types.h"

struct driver;

struct driver_owner {
	/* Hands an event over, and with it what the event holds. */
	void (*emit)(void *context, struct node_event *event);
	/* Whether what comes for this overlay is to be read now; else it waits, and so do its
	 * senders, until driver_read_on. */
	bool (*takes)(void *context, const struct id *topic);
	/* A turn of the loop is over: nothing more is emitted before it sleeps. */
	void (*turned)(void *context);
	/* driver_stop has done all its work: every handle is closed. */
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
	_Atomic uint64_t *overlays_changes, *nodes_changes;
};

/* Makes the driver and binds the sockets; bound must have room for config->binds_count addresses
 * and outlive the driver. Errors as node_start. After an error with *out set, call driver_stop, run
 * the loop until stopped is called, and then driver_free: sockets close in the loop. */
int driver_new(const struct node_config *config, const struct driver_owner *owner, uv_loop_t *loop,
	struct address *bound, size_t *bound_count, struct driver **out,
	char reason[NODE_REASON_SIZE]);

/* Begins to work: to be called first thing on the thread. */
void driver_begin(struct driver *driver);
/* Joins an overlay. Errors as mesh_join. */
int driver_join(struct driver *driver, const struct id *topic);
void driver_leave(struct driver *driver, const struct id *topic);
/* Publishes a message, whose reference it takes. */
void driver_publish(struct driver *driver, const struct id *topic, struct message *message);
void driver_publish_signed(
	struct driver *driver, const struct id *topic, const void *body, size_t size);
/* Tells whether the overlay's neighbours take more: as mesh_has_room. */
bool driver_has_room(struct driver *driver, const struct id *topic);
/* Goes on with what was not to be read; whether it has to be called again in the next turn. */
bool driver_read_on(struct driver *driver);
/* Tells whether anything that came is not read yet. */
bool driver_holds(const struct driver *driver);
void driver_verify(struct driver *driver, const struct id *topic, bool verify);
void driver_record(struct driver *driver, const void *key, size_t key_size, const void *value,
	size_t value_size);
/* Adds a node to the configuration, or replaces it, as mesh_set_peer, and looks its names up when
 * the mesh asks. Errors as mesh_set_peer. */
int driver_set_peer(struct driver *driver, const struct node_peer *peer, bool trusted);
void driver_remove_peer(struct driver *driver, const struct id *id);
/* Replaces the lists of who is let in. Errors as mesh_set_access. */
int driver_set_access(struct driver *driver, const struct id *allow, size_t allow_count,
	const struct id *deny, size_t deny_count);
/* Asks for a picture. Errors as mesh_ask. */
int driver_ask(struct driver *driver, const struct picture_question *question);
/* Tells whether this turn of the loop has taken its time. What can wait is then left for the next
 * turn, after the datagrams that have come meanwhile. */
bool driver_is_late(struct driver *driver);
/* Says farewell to the neighbours, then closes; stopped follows within LIMIT_FAREWELL_MS and a
 * little. */
void driver_stop(struct driver *driver);
/* Returns how many messages that wait are kept for the next start, after stopped was called and the
 * loop has ended. */
size_t driver_kept(const struct driver *driver);
/* Frees the driver, after stopped was called and the loop has ended. */
void driver_free(struct driver *driver);

#endif
