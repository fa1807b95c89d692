/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctrl.h"

/* What of mosquitto_ctrl's own options comes before the request. Their values are of no interest
 * here, but the room that they take is. */
struct options {
	char *id;
	int protocol_version, keepalive;
	char *host;
	int port, qos;
	char *bind_address;
	bool debug, quiet;
	char *username, *password, *options_file;
	char *cafile, *capath, *certfile, *keyfile, *ciphers;
	bool insecure;
	char *tls_alpn, *tls_version, *tls_engine, *tls_engine_kpass_sha1;
	/* From here on it is 2.1's. */
	bool tls_use_os_certs;
	char *keyform, *psk, *psk_identity;
	bool verbose;
	unsigned int timeout;
	char *socks5_host;
	int socks5_port;
	char *socks5_username, *socks5_password;
	char *data_file;
	bool no_colour;
};

int mosquitto_lib_version(int *major, int *minor, int *revision);

/* Tells whether a program has such an option: the string is in its file then. */
static bool has(const uint8_t *program, size_t size, const char *option)
{
	return memmem(program, size, option, strlen(option) + 1) != NULL;
}

/* Returns how much comes before the request in 2.0, where that depends on how mosquitto_ctrl was
 * built: on three macros, each of which brings an option with it. */
static size_t options_size_20(const uint8_t *program, size_t size)
{
	bool has_psk = has(program, size, "--psk-identity");
	size_t pointers = 1; /* keyform */

	if (has_psk)
		pointers += 2 + has(program, size, "--tls-use-os-certs"); /* and its padding */
	if (has(program, size, "--proxy"))
		pointers += 4;
	/* The bool beside "verbose" takes no room without the pointers between them. */
	return offsetof(struct options, tls_use_os_certs) + pointers * sizeof(char *) +
	       2 * sizeof(unsigned int);
}

/* Returns 0 if that cannot be found out. */
static size_t options_size_here(void)
{
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct stat status;
	void *program = MAP_FAILED;
	size_t size = 0;

	if (file >= 0 && fstat(file, &status) == 0)
		program = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
	if (program != MAP_FAILED) {
		size = options_size_20(program, (size_t)status.st_size);
		munmap(program, (size_t)status.st_size);
	}
	if (file >= 0)
		close(file);
	return size;
}

struct ctrl_request *ctrl_request_of(struct mosq_ctrl *ctrl)
{
	int major = 0, minor = 0, revision;
	size_t size = 0;

	mosquitto_lib_version(&major, &minor, &revision);
	if (major == 2)
		size = minor > 0 ? sizeof(struct options) : options_size_here();
	return size > 0 ? (struct ctrl_request *)(void *)((char *)ctrl + size) : NULL;
}
