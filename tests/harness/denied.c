/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Runs a program to which system calls are denied, as sandboxes do it (seccomp, the
 * RestrictAddressFamilies and SystemCallFilter of systemd):
 *
 *   denied sendmsg=EPERM socket:16=EAFNOSUPPORT -- program argument...
 *
 * call=error: that call always fails so; call:number=error: where its first argument is that number
 * (16: AF_NETLINK). The filter stays for whatever the program starts.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST 64

static const struct {
	const char *name;
	unsigned value;
} calls[] = {
	{"bind", SYS_bind},
	{"connect", SYS_connect},
	{"eventfd2", SYS_eventfd2},
	{"recvmmsg", SYS_recvmmsg},
	{"recvmsg", SYS_recvmsg},
	{"sendmmsg", SYS_sendmmsg},
	{"sendmsg", SYS_sendmsg},
	{"setsockopt", SYS_setsockopt},
	{"socket", SYS_socket},
	{"timer_create", SYS_timer_create},
}, errors[] = {
	{"EACCES", EACCES},
	{"EADDRINUSE", EADDRINUSE},
	{"EAFNOSUPPORT", EAFNOSUPPORT},
	{"EINVAL", EINVAL},
	{"EMFILE", EMFILE},
	{"ENOBUFS", ENOBUFS},
	{"ENOSYS", ENOSYS},
	{"EPERM", EPERM},
};

static void bad(const char *what)
{
	fprintf(stderr, "denied: %s\n", what);
	exit(2);
}

static unsigned call_of(const char *name, size_t size)
{
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
		if (strlen(calls[i].name) == size && memcmp(calls[i].name, name, size) == 0)
			return calls[i].value;
	bad(name);
	return 0;
}

static unsigned error_of(const char *name)
{
	for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
		if (strcmp(errors[i].name, name) == 0)
			return errors[i].value;
	bad(name);
	return 0;
}

/* The rule's instructions: loads the number of the call, and skips the rest if it is another. */
static size_t add(struct sock_filter *out, const char *rule)
{
	const struct sock_filter load_call = BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	const struct sock_filter load_first = BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args));
	const char *error = strchr(rule, '='), *number;
	size_t count = 0;
	unsigned call, number_value;

	if (!error)
		bad(rule);
	number = memchr(rule, ':', (size_t)(error - rule));
	call = call_of(rule, (size_t)((number ? number : error) - rule));
	out[count++] = load_call;
	out[count++] = (struct sock_filter)BPF_JUMP(
		BPF_JMP | BPF_JEQ | BPF_K, call, 0, number ? 3 : 1);
	if (number) {
		number_value = (unsigned)strtoul(number + 1, NULL, 10);
		out[count++] = load_first;
		out[count++] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, number_value, 0, 1);
	}
	out[count++] = (struct sock_filter)BPF_STMT(
		BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error_of(error + 1));
	return count;
}

int main(int argc, char **argv)
{
	struct sock_filter filter[5 * MOST + 1];
	struct sock_fprog program = {.filter = filter};
	size_t count = 0;
	int at = 1;

	for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
		if (at > MOST)
			bad("too many rules");
		count += add(filter + count, argv[at]);
	}
	if (at + 1 >= argc)
		bad("no program");
	filter[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = (unsigned short)count;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		bad(strerror(errno));
	execvp(argv[at + 1], argv + at + 1);
	bad(strerror(errno));
}
