/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A network namespace of the test's own, so that it may add and remove interfaces. Needs
 * CAP_SYS_ADMIN, or the right to make user namespaces; without either the test fails.
 */
#ifndef TESTS_UNIT_SUPPORT_NETNS_H
#define TESTS_UNIT_SUPPORT_NETNS_H

/* From here on this process (it has one thread) is in a namespace with nothing but a
 * loopback interface that is up. There is no way back. */
void netns_enter(void);
/* Runs "ip <arguments>". */
void netns_ip(const char *arguments);

#endif
