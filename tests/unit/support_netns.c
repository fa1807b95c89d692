/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "support_netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail_msg("cannot write %s: %s", path, strerror(errno));
	close(fd);
}

/* Root of its own user namespace, or ip would lose the capabilities. */
static void map_ids(uid_t uid, gid_t gid)
{
	char text[64];

	write_file("/proc/self/setgroups", "deny");
	snprintf(text, sizeof text, "0 %u 1", (unsigned)uid);
	write_file("/proc/self/uid_map", text);
	snprintf(text, sizeof text, "0 %u 1", (unsigned)gid);
	write_file("/proc/self/gid_map", text);
}

void netns_enter(void)
{
	uid_t uid = getuid();
	gid_t gid = getgid();

	if (unshare(CLONE_NEWNET) != 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
			fail_msg("this test needs a network namespace of its own: CAP_SYS_ADMIN or "
				 "user namespaces (unshare: %s)",
				strerror(errno));
		map_ids(uid, gid);
	}
	netns_ip("link set lo up");
}

void netns_ip(const char *arguments)
{
	char command[256];

	snprintf(command, sizeof command, "PATH=$PATH:/usr/sbin:/sbin exec ip %s", arguments);
	if (system(command) != 0)
		fail_msg("ip %s failed (iproute2 is needed, and CAP_NET_ADMIN)", arguments);
}
