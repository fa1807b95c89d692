/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The local network: mDNS between the packets and the book. */
#ifndef BRIDGE_MESH_LAN_H
#define BRIDGE_MESH_LAN_H

#include "context.h"

/* Makes mDNS. ERROR_NOMEM. */
int lan_make(struct mesh *mesh, enum node_mdns mode);
/* Announces where this node is, after that has changed. */
void lan_tell(struct mesh *mesh);
/* Takes a packet from the local network; its bytes may be anybody's. */
void lan_packet(struct mesh *mesh, const uint8_t *packet, size_t size);
/* Carries out what mDNS wants. Returns whether there was anything. */
bool lan_effects(struct mesh *mesh);
uint64_t lan_deadline(const struct mesh *mesh);

#endif
