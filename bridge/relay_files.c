/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "relay_files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "memory.h"

/* The largest size of a token's file, and of a file of authorities: all authorities that Mozilla
 * trusts are 230 kB. */
#define TOKEN_FILE_SIZE 4096
#define CA_FILE_SIZE	(4u << 20)

#define TOKEN_ACCEPTED "one line of printable characters, without blanks at its ends, at most %zu"
#define CA_ACCEPTED    "certificates in PEM (-----BEGIN CERTIFICATE-----), at least one"

__attribute__((format(printf, 3, 4))) static int fail(
	char reason[RELAY_FILES_REASON_SIZE], int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, RELAY_FILES_REASON_SIZE, format, arguments);
	va_end(arguments);
	ERR_clear_error();
	return error;
}

/* ---- the token ---- */

static bool is_token(const char *text, size_t size, size_t most)
{
	if (size == 0 || size > most || text[0] == ' ' || text[size - 1] == ' ')
		return false;
	for (size_t i = 0; i < size; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return true;
}

int relay_files_read_token(
	const char *path, char *out, size_t size, char reason[RELAY_FILES_REASON_SIZE])
{
	char text[TOKEN_FILE_SIZE], accepted[128];
	const struct secret_file file = {"relay_token_file", path, accepted};
	int fd = secret_file_open(path), error;
	size_t read = 0;

	snprintf(accepted, sizeof accepted, TOKEN_ACCEPTED, size - 1);
	reason[0] = 0;
	if (fd < 0)
		return secret_file_unopened(&file, reason);
	error = secret_file_read(fd, &file, text, sizeof text, &read, reason);
	close(fd);
	if (!error) {
		if (read > 0 && text[read - 1] == '\n')
			read--;
		if (read > 0 && text[read - 1] == '\r')
			read--;
		if (is_token(text, read, size - 1)) {
			memcpy(out, text, read);
			out[read] = 0;
		} else {
			/* The reason does not quote the file: its content is a secret. */
			error = fail(reason, ERROR_INVALID,
				"relay_token_file %s is not a token; accepted: %s", path, accepted);
		}
	}
	OPENSSL_cleanse(text, sizeof text);
	return error;
}

/* ---- authorities ---- */

/* Returns the beginning of the first block of PEM from at on; NULL when there is none. Adds the
 * number of lines before the block to *line. */
static const char *find_block(const char *at, size_t *line)
{
	static const char begin[] = "-----BEGIN ";

	while (strncmp(at, begin, sizeof begin - 1) != 0) {
		at = strchr(at, '\n');
		if (!at)
			return NULL;
		at++;
		++*line;
	}
	return at;
}

static bool is_certificate(const char *name)
{
	return strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0;
}

/* Checks that the block of PEM at text is a certificate. */
static int check_block(
	const char *path, const char *text, size_t line, char reason[RELAY_FILES_REASON_SIZE])
{
	BIO *bio = BIO_new_mem_buf(text, -1);
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	const unsigned char *at;
	X509 *certificate = NULL;
	long der_size = 0;
	int error = ERROR_NONE;

	if (!bio)
		return fail(reason, ERROR_NOMEM, "relay_ca %s: out of memory", path);
	if (PEM_read_bio(bio, &name, &header, &der, &der_size) != 1) {
		error = fail(reason, ERROR_INVALID,
			"relay_ca %s, line %zu: a damaged PEM block; accepted: " CA_ACCEPTED, path,
			line);
		goto done;
	}
	if (!is_certificate(name)) {
		error = fail(reason, ERROR_INVALID,
			"relay_ca %s, line %zu: a PEM block '%.40s'; accepted: " CA_ACCEPTED, path,
			line, name);
		goto done;
	}
	at = der;
	certificate = d2i_X509(NULL, &at, der_size);
	if (!certificate || at != der + der_size)
		error = fail(reason, ERROR_INVALID,
			"relay_ca %s, line %zu: a damaged certificate; accepted: " CA_ACCEPTED,
			path, line);
done:
	X509_free(certificate);
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_free(der);
	BIO_free(bio);
	return error;
}

static int check_all(const char *path, const char *text, char reason[RELAY_FILES_REASON_SIZE])
{
	size_t line = 1, blocks = 0;
	int error = ERROR_NONE;

	while (!error && (text = find_block(text, &line))) {
		error = check_block(path, text, line, reason);
		blocks++;
		text++; /* so that the next block is found, not this one again */
	}
	if (!error && blocks == 0)
		error = fail(reason, ERROR_INVALID,
			"relay_ca %s holds no certificate; accepted: " CA_ACCEPTED, path);
	return error;
}

static int fail_unread(const char *path, char reason[RELAY_FILES_REASON_SIZE])
{
	return fail(reason, errno == EACCES || errno == EPERM ? ERROR_PERMISSION : ERROR_SYSTEM,
		"relay_ca %s cannot be read: %s", path, strerror(errno));
}

static int check_file(FILE *file, const char *path, char reason[RELAY_FILES_REASON_SIZE])
{
	struct stat status;
	size_t size;
	char *text;
	int error;

	if (fstat(fileno(file), &status) < 0)
		return fail_unread(path, reason);
	if (!S_ISREG(status.st_mode))
		return fail(reason, ERROR_INVALID,
			"relay_ca %s is not a regular file; accepted: a regular file", path);
	if (status.st_size > CA_FILE_SIZE)
		return fail(reason, ERROR_INVALID,
			"relay_ca %s is too long; accepted: at most %u bytes", path, CA_FILE_SIZE);
	text = memory_alloc((size_t)status.st_size + 1);
	if (!text)
		return fail(reason, ERROR_NOMEM, "relay_ca %s: out of memory", path);
	size = fread(text, 1, (size_t)status.st_size, file);
	text[size] = 0;
	error = ferror(file) ? fail_unread(path, reason) : check_all(path, text, reason);
	memory_free(text);
	return error;
}

int relay_files_check_ca(const char *path, char reason[RELAY_FILES_REASON_SIZE])
{
	/* O_NONBLOCK: a FIFO in the file's place must not hang the start. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error;
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;

	reason[0] = 0;
	if (!file) {
		error = fail_unread(path, reason);
		if (fd >= 0)
			close(fd);
		return error;
	}
	error = check_file(file, path, reason);
	fclose(file);
	return error;
}
