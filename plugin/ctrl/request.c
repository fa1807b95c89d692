/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Checks how many arguments there are and where they stand. The plugin says what is wrong with
 * their values, as it has to for whoever sends a request. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctrl.h"

static bool refuse(char reason[CTRL_REASON_SIZE], const char *what)
{
	snprintf(reason, CTRL_REASON_SIZE, "%s", what);
	return false;
}

bool ctrl_no_arguments(int count, char *const *given, cJSON *object, char reason[CTRL_REASON_SIZE])
{
	return count == 0 || refuse(reason, "it takes no arguments");
}

static bool one_argument(int count, char *const *given, cJSON *object, const char *name,
	char reason[CTRL_REASON_SIZE])
{
	if (count != 1)
		return refuse(reason, "it takes one argument");
	cJSON_AddStringToObject(object, name, given[0]);
	return true;
}

bool ctrl_topic_argument(
	int count, char *const *given, cJSON *object, char reason[CTRL_REASON_SIZE])
{
	return one_argument(count, given, object, "topic", reason);
}

bool ctrl_node_argument(
	int count, char *const *given, cJSON *object, char reason[CTRL_REASON_SIZE])
{
	return one_argument(count, given, object, "node", reason);
}

bool ctrl_level_argument(
	int count, char *const *given, cJSON *object, char reason[CTRL_REASON_SIZE])
{
	return one_argument(count, given, object, "level", reason);
}

static bool add_number(cJSON *object, const char *name, const char *text)
{
	char *rest;
	double number;

	if (text[0] < '0' || text[0] > '9')
		return false;
	errno = 0;
	number = (double)strtoull(text, &rest, 10);
	if (errno || *rest)
		return false;
	cJSON_AddNumberToObject(object, name, number);
	return true;
}

bool ctrl_list_arguments(
	int count, char *const *given, cJSON *object, char reason[CTRL_REASON_SIZE])
{
	static const char *const names[] = {"count", "start"};
	size_t numbers = 0;

	for (int i = 0; i < count; i++) {
		if (strcmp(given[i], "--all") == 0)
			cJSON_AddTrueToObject(object, "all");
		else if (numbers == 2 || !add_number(object, names[numbers++], given[i]))
			return refuse(reason, "it takes how many are wanted, and from which on");
	}
	return true;
}

bool ctrl_add_arguments(
	int count, char *const *given, cJSON *object, char reason[CTRL_REASON_SIZE])
{
	if (count < 1 || count > 2)
		return refuse(reason, "it takes a node with its addresses, and what it is");
	cJSON_AddStringToObject(object, "node", given[0]);
	if (count == 2)
		cJSON_AddStringToObject(object, "role", given[1]);
	return true;
}

bool ctrl_access_arguments(
	int count, char *const *given, cJSON *object, char reason[CTRL_REASON_SIZE])
{
	cJSON *nodes = cJSON_AddArrayToObject(object, "node");

	for (int i = 0; i < count; i++) {
		if (strcmp(given[i], "--remove") == 0)
			cJSON_AddTrueToObject(object, "remove");
		else
			cJSON_AddItemToArray(nodes, cJSON_CreateString(given[i]));
	}
	return cJSON_GetArraySize(nodes) > 0 || refuse(reason, "it takes one node id or several");
}
