/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the files of control have in common: control.c (requests and responses, what waits),
 * control_commands.c (the table of commands and what they do), control_show.c (pictures as JSON).
 * Each file calls only those that are named behind it. cJSON: the broker's thread.
 */
#ifndef PLUGIN_CONTROL_INTERNAL_H
#define PLUGIN_CONTROL_INTERNAL_H

#include <cjson/cJSON.h>

#include "control.h"

#define CONTROL_REASON_SIZE 768
#define CONTROL_IDS	    64

struct request;

/* One command of a request, until its response is there. */
struct call {
	struct request *request;
	const struct command *command;
	cJSON *response; /* its place among the responses; the request owns it */
	uint64_t number; /* of its question; 0: it does not wait */
	uint64_t due;
};

/* The arguments that were given to a command, decoded. */
struct arguments {
	struct id id; /* topic or node */
	struct id ids[CONTROL_IDS];
	size_t ids_count;
	const char *text; /* owned by the request */
	bool flag;	  /* remove, or all */
	bool is_bootstrap;
	uint64_t count, after;
};

/* A command. run does what the command says, or asks the node: then *asks is set, and there is no
 * data yet. It returns false if the command is refused: reason says why. *data: what is told, if
 * anything; the caller's. */
struct command {
	struct control_help help;
	/* The arguments that the command takes, and those of them that have to be there: bits of
	 * enum argument. */
	unsigned takes, needs;
	bool changes; /* it changes something: said in the log */
	bool (*run)(struct control *control, const struct arguments *arguments, cJSON **data,
		struct picture_question *question, bool *asks, char reason[CONTROL_REASON_SIZE]);
	/* Makes data of the node's answer to the command's question. Returns false with a
	 * reason. */
	bool (*show)(struct control *control, const struct picture *picture, cJSON **data,
		char reason[CONTROL_REASON_SIZE]);
};

struct control {
	struct control_actions actions;
	struct live *live;
	const struct counters *counters;
	struct remarks *remarks;
	struct request *requests;
	size_t waiting;
	uint64_t number; /* of the last question */
};

/* ---- control_commands.c ---- */

/* Finds a command by its name. Returns NULL if there is no such command: reason says which there
 * are. */
const struct command *command_find(const char *name, char reason[CONTROL_REASON_SIZE]);
/* Decodes the arguments in a command's object. Returns false if they are not accepted: reason says
 * why. */
bool command_read(const struct command *command, const cJSON *object, struct arguments *out,
	char reason[CONTROL_REASON_SIZE]);

/* ---- control_show.c: each returns NULL without memory ---- */

cJSON *show_status(const struct control *control);
cJSON *show_metrics(const struct counters *counters);
cJSON *show_topics(const struct control *control, const struct picture *picture);
cJSON *show_topic(const struct control *control, const struct picture *picture);
cJSON *show_nodes(const struct control *control, const struct picture *picture);
cJSON *show_node(const struct control *control, const struct picture *picture);
cJSON *show_ping(const struct picture *picture);

#endif
