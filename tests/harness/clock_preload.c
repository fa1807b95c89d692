/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Preloaded into a broker: its wall clock is so many seconds off as the file TEST_CLOCK says (a
 * 64 bit number in the machine's byte order, looked at each time). Only the wall clock is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int clock_gettime_function(clockid_t clock, struct timespec *out);

static const volatile int64_t *offset;
static clock_gettime_function *next;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("TEST_CLOCK");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *map = file < 0 ? MAP_FAILED
			     : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, file, 0);

	if (map != MAP_FAILED)
		offset = map;
	if (file >= 0)
		close(file);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
	int status;

	if (!next)
		next = (clock_gettime_function *)dlsym(RTLD_NEXT, "clock_gettime");
	status = next(clock, out);
	if (status == 0 && clock == CLOCK_REALTIME && offset)
		out->tv_sec += *offset;
	return status;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	out->tv_sec = now.tv_sec;
	out->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out)
		*out = now.tv_sec;
	return now.tv_sec;
}
