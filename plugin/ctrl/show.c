/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Shows single values one below the other, and lists as tables behind them. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "ctrl.h"

#define CELL_SIZE    160
#define COLUMNS_MOST 24

static bool is_time(const char *name)
{
	static const char *const names[] = {"since", "started", "connected_since", "last_success",
		"last_failure", "next_try"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Writes a single value as text; "-" if there is none. Control characters do not get to the
 * terminal. */
static void format(const cJSON *value, char out[CELL_SIZE])
{
	time_t seconds;
	struct tm local;

	snprintf(out, CELL_SIZE, "-");
	if (cJSON_IsString(value))
		snprintf(out, CELL_SIZE, "%s", value->valuestring);
	else if (cJSON_IsBool(value))
		snprintf(out, CELL_SIZE, "%s", cJSON_IsTrue(value) ? "yes" : "no");
	else if (cJSON_IsNumber(value) && value->string && is_time(value->string)) {
		seconds = (time_t)value->valuedouble;
		if (localtime_r(&seconds, &local))
			strftime(out, CELL_SIZE, "%Y-%m-%d %H:%M:%S", &local);
	} else if (cJSON_IsNumber(value)) {
		snprintf(out, CELL_SIZE, "%.15g", value->valuedouble);
	}
	for (char *at = out; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
}

static size_t add_column(const char **names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return count;
	if (count < COLUMNS_MOST)
		names[count++] = name;
	return count;
}

/* Finds the columns of a table: those that are wanted, or (NULL) all that any row has. Returns how
 * many there are. */
static size_t find_columns(
	const cJSON *rows, const char *const *wanted, const char *names[COLUMNS_MOST])
{
	const cJSON *row, *value;
	size_t count = 0;

	for (size_t i = 0; wanted && wanted[i]; i++)
		count = add_column(names, count, wanted[i]);
	cJSON_ArrayForEach(row, rows)
		if (!wanted)
			cJSON_ArrayForEach(value, row)
				count = add_column(names, count, value->string);
	return count;
}

static void show_row(const cJSON *row, const char **names, const size_t *widths, size_t count)
{
	char cell[CELL_SIZE];

	for (size_t i = 0; i < count; i++) {
		if (row)
			format(cJSON_GetObjectItemCaseSensitive(row, names[i]), cell);
		else
			snprintf(cell, sizeof cell, "%s", names[i]);
		if (i + 1 < count)
			printf("%-*s  ", (int)widths[i], cell);
		else
			printf("%s\n", cell);
	}
}

static void show_table(const cJSON *rows, const char *const *wanted)
{
	const char *names[COLUMNS_MOST];
	size_t widths[COLUMNS_MOST], count = find_columns(rows, wanted, names);
	char cell[CELL_SIZE];
	const cJSON *row;

	for (size_t i = 0; i < count; i++) {
		widths[i] = strlen(names[i]);
		cJSON_ArrayForEach(row, rows)
		{
			format(cJSON_GetObjectItemCaseSensitive(row, names[i]), cell);
			if (strlen(cell) > widths[i])
				widths[i] = strlen(cell);
		}
	}
	show_row(NULL, names, widths, count);
	cJSON_ArrayForEach(row, rows)
		show_row(row, names, widths, count);
}

static void show_strings(const cJSON *items)
{
	const cJSON *item;
	char cell[CELL_SIZE];

	cJSON_ArrayForEach(item, items)
	{
		format(item, cell);
		printf("%s\n", cell);
	}
}

static void show_list(const cJSON *list, const char *const *columns, bool alone)
{
	if (!alone)
		printf("\n%s:%s\n", list->string, list->child ? "" : " none");
	else if (!list->child)
		printf("none\n");
	if (cJSON_IsObject(list->child))
		show_table(list, columns);
	else
		show_strings(list);
}

static void show_single(const cJSON *value, const char *within, size_t width)
{
	char cell[CELL_SIZE], name[CELL_SIZE];

	format(value, cell);
	snprintf(name, sizeof name, "%s%s%s", within, within[0] ? " " : "", value->string);
	printf("%-*s  %s\n", (int)width, name, cell);
}

static size_t width_of(const cJSON *data)
{
	const cJSON *value;
	size_t width = 0;

	cJSON_ArrayForEach(value, data)
		if (!cJSON_IsArray(value) && strlen(value->string) > width)
			width = strlen(value->string);
	return width;
}

void ctrl_show(const cJSON *data, const char *const *columns)
{
	/* A list alone has no heading. */
	bool alone = cJSON_IsArray(data->child);
	const cJSON *value, *inner, *more = cJSON_GetObjectItemCaseSensitive(data, "more");
	size_t width = width_of(data);

	cJSON_ArrayForEach(value, data)
	{
		if (value == more)
			continue;
		if (cJSON_IsObject(value))
			cJSON_ArrayForEach(inner, value)
				show_single(inner, value->string, width);
		else if (!cJSON_IsArray(value))
			show_single(value, "", width);
	}
	cJSON_ArrayForEach(value, data)
		if (cJSON_IsArray(value))
			show_list(value, columns, alone);
}
