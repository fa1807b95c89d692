/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How a connection ended: what the transport tells of it. */
#ifndef BRIDGE_CLOSING_H
#define BRIDGE_CLOSING_H

#include <stdbool.h>
#include <stdint.h>

/* Why a connection ended. */
struct closing {
	bool remote;	  /* the other side closed it */
	bool application; /* code is an application code, else a transport code */
	bool timeout;	  /* idle or handshake time-out: code means nothing */
	/* The other side will not have us (code: its TLS alert + 0x100, 0x131 when it does
	 * not let us in; 0x2 or 0xc: it takes no connection now). May come after connected:
	 * the side that dials has its handshake done before the other has seen its key. */
	bool refused;
	uint64_t code;
	char text[96]; /* for the log: what happened, in words */
	bool other_network; /* we have no protocol of those that it named */
	bool own_key;  /* we have dialled, and were shown our own key */
};

#endif
