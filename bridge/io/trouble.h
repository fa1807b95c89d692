/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Why a connection to a server did not come about, or ended: a kind for programs, words for people.
 * Any thread. */
#ifndef BRIDGE_IO_TROUBLE_H
#define BRIDGE_IO_TROUBLE_H

#include <stdarg.h>
#include <stdio.h>

#define TROUBLE_SIZE 192

/* In order: of the kinds of several addresses that were tried, the last in this list tells most. */
enum trouble_kind {
	TROUBLE_NONE,
	TROUBLE_LOCAL,	    /* this machine: memory, descriptors */
	TROUBLE_NAME,	    /* the name was not found, or nobody has answered */
	TROUBLE_NOT_PUBLIC, /* its name leads to no address that strangers may send us to */
	TROUBLE_FORBIDDEN,  /* this machine does not allow it, perhaps a firewall */
	TROUBLE_NO_ROUTE,
	TROUBLE_TIMED_OUT,
	TROUBLE_REFUSED,
	TROUBLE_AUTHORITIES, /* the file of relay_ca cannot be used */
	TROUBLE_NO_TLS,
	TROUBLE_TLS,	    /* any other failure of TLS */
	TROUBLE_UNTRUSTED,  /* a certificate of an authority that is not believed */
	TROUBLE_OTHER_HOST, /* a certificate of another host */
	TROUBLE_EXPIRED,    /* a certificate out of its time */
	TROUBLE_CLOSED,	    /* by the server, or by what is between */
};

/* text: what the kind does not say, a few words fit for brackets, without the server's name.
 * Whatever of the text has come from the network is printable ASCII. */
struct trouble {
	enum trouble_kind kind;
	char text[TROUBLE_SIZE];
};

__attribute__((format(printf, 3, 4))) static inline void trouble_set(
	struct trouble *trouble, enum trouble_kind kind, const char *format, ...)
{
	va_list arguments;

	trouble->kind = kind;
	va_start(arguments, format);
	vsnprintf(trouble->text, sizeof trouble->text, format, arguments);
	va_end(arguments);
}

#endif
