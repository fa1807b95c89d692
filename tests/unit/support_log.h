/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The broker's log of a test: how many lines there were, and the last one. For the test's own file
 * alone, as it defines what the broker has. */
#ifndef TESTS_UNIT_SUPPORT_LOG_H
#define TESTS_UNIT_SUPPORT_LOG_H

#include <stdarg.h>
#include <stdio.h>

#include "plugin/broker.h"

static unsigned lines;
static char line[1024];

void broker_log(enum broker_level level, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	lines++;
}

#endif
