/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Control by MQTT: requests on $CONTROL/p2panda/v1 in Mosquitto's generic form,
 *
 *   {"commands": [{"command": "getTopic", "topic": "...", "correlationData": "..."}, ...]}
 *
 * and one response for each request, to the client that has sent it, below CONTROL_RESPONSE:
 *
 *   {"responses": [{"command": "getTopic", "correlationData": "...", "data": {...}}, ...]}
 *
 * or "error" in the place of "data": what was wrong, and what is accepted. The responses are in the
 * order of the commands, and come when all of them are there: some wait for the node's thread.
 * docs/control.md describes each command.
 *
 * Who may write to that topic is for the broker's access control to say; a client that has no user
 * name is refused in any case. Topics are whole in responses, for whoever controls the node may
 * know them. The broker's thread.
 */
#ifndef PLUGIN_CONTROL_H
#define PLUGIN_CONTROL_H

#include "../bridge/node.h"
#include "control_topics.h"
#include "live.h"
#include "remark.h"

/* Limits: bytes of a request; commands in one request; commands that wait for their answers. */
#define CONTROL_REQUEST_SIZE 65536
#define CONTROL_COMMANDS     32
#define CONTROL_WAITING	     64

/* What the broker's thread knows of the node without asking it. */
struct control_status {
	const struct id *me;
	const char *version;
	uint64_t started_s; /* Unix time */
	const struct address *addresses;
	size_t addresses_count;
	size_t overlays, neighbours, relayed, connections, waiting;
	const char *relay_url; /* NULL: none is configured */
	enum node_relay_state relay_state;
};

struct control_actions {
	/* Calls node_ask, and returns its errors. */
	int (*ask)(void *context, const struct picture_question *question);
	void (*status)(void *context, struct control_status *out);
	/* Sends a response to one client. text stays the caller's. */
	void (*reply)(void *context, const char *client, const char *text, size_t size);
	void *context;
};

struct control;

/* Makes the control. live, counters and remarks must outlive it. Returns 0 or ERROR_NOMEM. */
int control_new(const struct control_actions *actions, struct live *live,
	const struct counters *counters, struct remarks *remarks, struct control **out);
void control_free(struct control *control); /* NULL is fine */

/* Handles a request that a client has sent. user: NULL if the client is anonymous. */
void control_request(struct control *control, uint64_t now_ns, const char *client, const char *user,
	const void *payload, size_t size);
/* Takes a picture that the node has sent. Returns false if it answers no question of control. */
bool control_pictured(struct control *control, const struct picture *picture);
/* Answers commands that have waited for the node for too long. */
void control_tick(struct control *control, uint64_t now_ns);

/* A command, for help and for what is compared with it. control_help returns the commands in their
 * order, and NULL beyond the last. */
struct control_help {
	const char *name, *arguments, *help;
};
const struct control_help *control_help(size_t number);

#endif
