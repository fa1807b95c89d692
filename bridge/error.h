/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Errors are values: every call that can fail returns one of these as an int,
 * zero for success, negative otherwise. A header's comment lists which ones a
 * call returns. Bytes from the network lead to an error, never to an assertion.
 */
#ifndef BRIDGE_ERROR_H
#define BRIDGE_ERROR_H

/* name, value, text for logs */
#define ERROR_TABLE(X) \
	X(NOMEM, -1, "out of memory") \
	X(TRUNCATED, -2, "input ended too early") \
	X(INVALID, -3, "malformed input") \
	X(TOO_LARGE, -4, "too large") \
	X(LIMIT, -5, "a limit is reached") \
	X(NOT_JOINED, -6, "overlay is not joined") \
	X(REPEATED, -7, "same content within the retention time") \
	X(NO_STREAM_CREDIT, -8, "peer grants no further stream") \
	X(CLOSED, -9, "closed") \
	X(SYSTEM, -10, "system call failed") \
	X(TLS, -11, "TLS failure") \
	X(QUIC, -12, "QUIC failure") \
	X(ADDRESS_IN_USE, -13, "address is in use") \
	X(PERMISSION, -14, "permission denied") \
	X(NOT_FOUND, -15, "not found") \
	X(FULL, -16, "queue is full") \
	X(NOT_SIGNED, -17, "not a signed message") \
	X(VERSION, -18, "another version") \
	X(NOT_DETERMINISTIC, -19, "not deterministic CBOR") \
	X(TOO_DEEP, -20, "nested too deeply") \
	X(TRAILING, -21, "bytes follow the end") \
	X(TAGGED_SIMPLE, -22, "a tag around a simple value") \
	X(SIGNATURE, -23, "the signature does not fit") \
	X(UNFIT, -24, "cannot be shown in this form") \
	X(NO_IPV4, -25, "no IPv4 address is bound") \
	X(NO_IPV6, -26, "no IPv6 address is bound") \
	X(NO_SOCKET, -27, "no bound address leads there")

enum error {
	ERROR_NONE = 0,
#define X(name, value, text) ERROR_##name = value,
	ERROR_TABLE(X)
#undef X
};

/* A system error is such a value, too: the errno, counted downwards from this value. */
#define ERROR_OF_SYSTEM -10000

static inline int error_of_system(int number)
{
	return ERROR_OF_SYSTEM - number;
}

/* Returns the name of an error ("NOMEM"; "SYSTEM" for any system error) and its text; never NULL.
 * The text of a system error is valid until the next call on this thread. Any thread. Only tests
 * call error_name. */
const char *error_name(int error);
const char *error_text(int error);

#endif
