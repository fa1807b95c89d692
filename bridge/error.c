/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "error.h"

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
		return "UNKNOWN";
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
		return "unknown error";
	}
}
