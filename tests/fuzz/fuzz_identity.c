/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A file in the place of the node's key: it is one that can sign, or the reason why not is one
 * line. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bridge/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

static char path[64];

static void remove_file(void)
{
	unlink(path);
}

static int file(void)
{
	static int fd = -1;

	if (fd < 0) {
		snprintf(path, sizeof path, "/tmp/p2panda-fuzz-%ld.pem", (long)getpid());
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		require(fd >= 0);
		atexit(remove_file);
	}
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char text[] = "signed";
	char reason[IDENTITY_REASON_SIZE] = "";
	uint8_t signature[IDENTITY_SIGNATURE_SIZE];
	struct identity identity;

	require(ftruncate(file(), 0) == 0 && pwrite(file(), data, size, 0) == (ssize_t)size);
	if (identity_load(path, &identity, reason)) {
		require(reason[0] && !strchr(reason, '\n'));
		return 0;
	}
	require(identity_sign(&identity, text, sizeof text, signature) == 0);
	require(identity_verify(&identity.id, text, sizeof text, signature) == 0);
	identity_clear(&identity);
	return 0;
}
