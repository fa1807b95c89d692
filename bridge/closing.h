/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How a connection ended, as the transport reports it. */
#ifndef BRIDGE_CLOSING_H
#define BRIDGE_CLOSING_H

#include <stdbool.h>
#include <stdint.h>

/* Why a connection ended. */
struct closing {
	bool remote;	  /* the other side closed it */
	bool application; /* code is an application code, else a transport code */
	bool timeout;	  /* idle or handshake time-out: code means nothing */
	/* The other side refuses us (code: its TLS alert + 0x100, 0x131 when it does not let us in;
	 * 0x2 or 0xc: it takes no connection now). The refusal may come after the connection was
	 * reported as connected: the side that dials has its handshake done before the other side
	 * has seen its key. */
	bool refused;
	uint64_t code;
	char text[96]; /* for the log: what happened, in words */
	bool other_network; /* we speak none of the protocols that the other side named */
	bool own_key;  /* we have dialled, and the other side showed our own key */
};

#endif
