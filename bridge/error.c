/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "error.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Returns the system's text for an errno, beginning in lower case so that it can be a part of a log
 * line: "no route to host". */
static const char *words_of_system(int number)
{
	static _Thread_local char words[96];

	snprintf(words, sizeof words, "%s", strerror(number));
	if (!isupper((unsigned char)words[1]))
		words[0] = (char)tolower((unsigned char)words[0]);
	return words;
}

const char *error_name(int error)
{
	switch (error) {
	case ERROR_NONE:
		return "NONE";
#define X(name, value, text) \
	case value: \
		return #name;
		ERROR_TABLE(X)
#undef X
	default:
		return error < ERROR_OF_SYSTEM ? "SYSTEM" : "UNKNOWN";
	}
}

const char *error_text(int error)
{
	switch (error) {
	case ERROR_NONE:
		return "no error";
#define X(name, value, text) \
	case value: \
		return text;
		ERROR_TABLE(X)
#undef X
	default:
		return error < ERROR_OF_SYSTEM ? words_of_system(ERROR_OF_SYSTEM - error)
					       : "unknown error";
	}
}
