/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The module of mosquitto_ctrl: "mosquitto_ctrl p2panda <command>" loads mosquitto_ctrl_p2panda.so
 * and calls ctrl_main. ctrl_main returns 0 to have its request sent and its call-back called with
 * the response, a negative number if all is done, MOSQ_ERR_UNKNOWN if it has failed and said so.
 * The response makes no difference to the exit status of mosquitto_ctrl: so module.c sets the exit
 * status when mosquitto_ctrl exits.
 *
 * No installed header has the interface (it is apps/mosquitto_ctrl/mosquitto_ctrl.h of Mosquitto
 * 2.0 and 2.1); the interface of 2.0 depends on how mosquitto_ctrl was built (layout.c).
 *
 * module.c: the entry and the table of commands. layout.c: where a request goes. request.c: from
 * arguments to a request. show.c: from a response to what a person reads. offline.c: what needs no
 * broker.
 */
#ifndef PLUGIN_CTRL_CTRL_H
#define PLUGIN_CTRL_CTRL_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

struct mosq_ctrl; /* mosquitto_ctrl's own */

/* What mosquitto_ctrl is to send, and whom it calls with the response. */
struct ctrl_request {
	char *request_topic, *response_topic, *payload; /* of malloc; freed by mosquitto_ctrl */
	void (*payload_callback)(struct mosq_ctrl *ctrl, long size, const void *payload);
	void *userdata;
};

/* Exit statuses. */
#define CTRL_DONE   0
#define CTRL_FAILED 1 /* refused, no answer, a ping that nobody answers */
#define CTRL_USAGE  2

#define CTRL_REASON_SIZE 256

/* ---- layout.c ---- */

/* Returns where this mosquitto_ctrl takes its request from. NULL: that is not known of it. */
struct ctrl_request *ctrl_request_of(struct mosq_ctrl *ctrl);

/* ---- request.c ---- */

/* Adds the given arguments to a command's object. Returns false if they are not accepted: reason
 * says what is. */
typedef bool ctrl_arguments(
	int count, char *const *given, cJSON *object, char reason[CTRL_REASON_SIZE]);
ctrl_arguments ctrl_no_arguments, ctrl_list_arguments, ctrl_topic_argument, ctrl_node_argument,
	ctrl_add_arguments, ctrl_access_arguments, ctrl_level_argument;

/* ---- show.c ---- */

/* Shows the data of a response to a person. columns: those of its tables; NULL: all. */
void ctrl_show(const cJSON *data, const char *const *columns);

/* ---- offline.c: each returns the exit status ---- */

int ctrl_identity(int count, char *const *given, bool as_json);
int ctrl_topic(int count, char *const *given, bool as_json);

#endif
