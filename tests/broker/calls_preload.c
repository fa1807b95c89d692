/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Preloaded into a broker: counts calls of the C library in a file that is mapped, TEST_CALLS (if it is
 * set): 64 bits for each, in the order of enum call. (A tracer would count them as well, but make each so
 * slow that timers fire meanwhile.) A wait that a signal has ended is an INTERRUPTED besides.
 * TEST_NO_BELL hides what descriptors the process has, so that the broker's epoll set is not found.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum call {
	EPOLL_WAIT,
	EPOLL_PWAIT,
	INTERRUPTED,
	TIMER_SETTIME,
	TIMERFD_SETTIME,
	SENDMSG,
	RECVMMSG,
	CALLS
};

struct counts {
	_Atomic uint64_t of[CALLS];
};

static struct counts *counts;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("TEST_CALLS");
	int file = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
	void *mapped = MAP_FAILED;

	if (!path)
		return;
	if (file >= 0 && ftruncate(file, sizeof *counts) == 0)
		mapped = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (mapped == MAP_FAILED)
		abort();
	close(file);
	counts = mapped;
}

static void count(enum call call)
{
	if (counts)
		atomic_fetch_add_explicit(&counts->of[call], 1, memory_order_relaxed);
}

/* The C library's own, of this type. */
#define NEXT(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

static int waited(int ready)
{
	if (ready < 0 && errno == EINTR)
		count(INTERRUPTED);
	return ready;
}

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout)
{
	static __typeof__(&epoll_wait) next;

	if (!next)
		next = NEXT(epoll_wait);
	count(EPOLL_WAIT);
	return waited(next(fd, events, most, timeout));
}

int epoll_pwait(
	int fd, struct epoll_event *events, int most, int timeout, const sigset_t *mask)
{
	static __typeof__(&epoll_pwait) next;

	if (!next)
		next = NEXT(epoll_pwait);
	count(EPOLL_PWAIT);
	return waited(next(fd, events, most, timeout, mask));
}

int timer_settime(
	timer_t timer, int flags, const struct itimerspec *value, struct itimerspec *before)
{
	static __typeof__(&timer_settime) next;

	if (!next)
		next = NEXT(timer_settime);
	count(TIMER_SETTIME);
	return next(timer, flags, value, before);
}

int timerfd_settime(
	int fd, int flags, const struct itimerspec *value, struct itimerspec *before)
{
	static __typeof__(&timerfd_settime) next;

	if (!next)
		next = NEXT(timerfd_settime);
	count(TIMERFD_SETTIME);
	return next(fd, flags, value, before);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	static __typeof__(&sendmsg) next;

	if (!next)
		next = NEXT(sendmsg);
	count(SENDMSG);
	return next(fd, message, flags);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned size, int flags, struct timespec *timeout)
{
	static __typeof__(&recvmmsg) next;

	if (!next)
		next = NEXT(recvmmsg);
	count(RECVMMSG);
	return next(fd, messages, size, flags, timeout);
}

DIR *opendir(const char *path)
{
	static __typeof__(&opendir) next;

	if (!next)
		next = NEXT(opendir);
	if (getenv("TEST_NO_BELL") && strcmp(path, "/proc/self/fd") == 0) {
		errno = EACCES;
		return NULL;
	}
	return next(path);
}
