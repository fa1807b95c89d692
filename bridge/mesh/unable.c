/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "unable.h"

#include <errno.h>
#include <string.h>

#include "../error.h"
#include "../time.h"
#include "context.h"

#define AGAIN_NS (600 * S)

bool unable_is_news(
	struct unable *unable, uint64_t now, const char *what, uint8_t family, int error)
{
	size_t i = 0;

	while (i < UNABLE_KINDS - 1 && unable->kinds[i].what &&
		(strcmp(unable->kinds[i].what, what) != 0 || unable->kinds[i].family != family))
		i++;
	if (unable->kinds[i].what && unable->kinds[i].error == error && now < unable->kinds[i].until)
		return false;
	unable->kinds[i].what = what;
	unable->kinds[i].family = family;
	unable->kinds[i].error = error;
	unable->kinds[i].until = now + AGAIN_NS;
	return true;
}

void mesh_unable(struct mesh *mesh, const struct mesh_time *time, const char *what,
	const struct address *address, int error)
{
	char text[ADDRESS_TEXT_SIZE];
	/* A machine without IPv6 needs no warning of it. */
	bool is_absent = error == error_of_system(EAFNOSUPPORT) ||
			 error == error_of_system(EADDRNOTAVAIL);

	if (!unable_is_news(
		    &mesh->unable, time->now, what, address ? address->family : 0, error))
		return;
	mesh_log(mesh, is_absent ? NODE_LOG_INFO : NODE_LOG_WARNING, "%s%s%s: %s",
		address ? address_format(address, text) : "", address ? ": " : "", what,
		error_text(error));
}
