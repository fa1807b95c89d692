/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bridge/error.h"
#include "bridge/relay_files.h"
#include "support_heap.h"

#define TOKEN_SIZE 32

static char folder[] = "/tmp/test_relay_files_XXXXXX";
static char path[128], reason[RELAY_FILES_REASON_SIZE], token[TOKEN_SIZE];
/* Certificates and a key, in PEM. */
static char one[4096], two[4096], key[4096];

static void make(char pem[4096], char pem_of_key[4096])
{
	EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509 *certificate = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());

	assert_non_null(pair);
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
	X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
	X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
	X509_set_pubkey(certificate, pair);
	assert_true(X509_sign(certificate, pair, NULL) > 0);
	assert_int_equal(PEM_write_bio_X509(bio, certificate), 1);
	assert_true(BIO_read(bio, pem, 4095) > 0);
	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pair, NULL, NULL, 0, NULL, NULL), 1);
	assert_true(BIO_read(bio, pem_of_key, 4095) > 0);
	BIO_free(bio);
	X509_free(certificate);
	EVP_PKEY_free(pair);
}

static int group_setup(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/file", folder);
	make(one, key);
	make(two, key);
	return 0;
}

static int group_teardown(void **state)
{
	return rmdir(folder);
}

static int setup(void **state)
{
	heap_begin();
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	rmdir(path);
	heap_end();
	return 0;
}

static void write_bytes(const char *bytes, size_t size, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
}

static void write_text(const char *text)
{
	write_bytes(text, strlen(text), 0600);
}

/* One line that names the file. */
static void check_reason(const char *option, const char *wrong, const char *accepted)
{
	if (!strstr(reason, option) || !strstr(reason, path) || !strstr(reason, wrong) ||
		!strstr(reason, accepted) || strchr(reason, '\n'))
		fail_msg("%s", reason);
}

static void a_token(void **state)
{
	static const char *const texts[] = {
		"s3cret", "s3cret\n", "s3cret\r\n"};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		write_text(texts[i]);
		assert_int_equal(relay_files_read_token(path, token, TOKEN_SIZE, reason), 0);
		assert_string_equal(token, "s3cret");
	}
	write_text("two words ~!");
	assert_int_equal(relay_files_read_token(path, token, TOKEN_SIZE, reason), 0);
	assert_string_equal(token, "two words ~!");
	write_bytes("x", 1, 0400);
	assert_int_equal(relay_files_read_token(path, token, TOKEN_SIZE, reason), 0);
}

static void no_token(void **state)
{
	static const char *const texts[] = {"", "\n", "\r\n", " x", "x ", "x\n\n", "x\ny", "x\ry",
		"x\ty", "x\x7f", "\xc3\xa9", "x\r\nHost: y\r\n"};
	char text[TOKEN_SIZE + 1] = "";

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		write_text(texts[i]);
		if (relay_files_read_token(path, token, TOKEN_SIZE, reason) != ERROR_INVALID)
			fail_msg("'%s' is a token", texts[i]);
		check_reason("relay_token_file", "is not a token", "one line of printable");
	}
	write_bytes("a\0b", 3, 0600);
	assert_int_equal(
		relay_files_read_token(path, token, TOKEN_SIZE, reason), ERROR_INVALID);
	/* As long as there is room for, and one longer. */
	memset(text, 'x', TOKEN_SIZE - 1);
	write_text(text);
	assert_int_equal(relay_files_read_token(path, token, TOKEN_SIZE, reason), 0);
	assert_string_equal(token, text);
	memset(text, 'x', TOKEN_SIZE);
	write_text(text);
	assert_int_equal(
		relay_files_read_token(path, token, TOKEN_SIZE, reason), ERROR_INVALID);
	check_reason("relay_token_file", "is not a token", "at most 31");
	assert_null(strstr(reason, text));
}

static void a_token_that_others_can_read(void **state)
{
	static const mode_t modes[] = {0604, 0620, 0602, 0610, 0644};

	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		write_bytes("x", 1, modes[i]);
		assert_int_equal(relay_files_read_token(path, token, TOKEN_SIZE, reason),
			ERROR_PERMISSION);
		check_reason("relay_token_file", "others may use it", "0600 or 0400");
	}
}

static void no_file_of_a_token(void **state)
{
	char other[160];

	assert_int_equal(relay_files_read_token(path, token, TOKEN_SIZE, reason), ERROR_SYSTEM);
	check_reason("relay_token_file", "cannot be read", "No such file");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(relay_files_read_token(path, token, TOKEN_SIZE, reason), ERROR_INVALID);
	check_reason("relay_token_file", "not a regular file", "a regular file");
	rmdir(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(relay_files_read_token(path, token, TOKEN_SIZE, reason), ERROR_INVALID);
	unlink(path);
	snprintf(other, sizeof other, "%s.other", path);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(
		relay_files_read_token(path, token, TOKEN_SIZE, reason), ERROR_PERMISSION);
	check_reason("relay_token_file", "a symbolic link", "a regular file");
}

static void a_long_file_of_a_token(void **state)
{
	char text[5000];

	memset(text, 'x', sizeof text);
	write_bytes(text, sizeof text, 0600);
	assert_int_equal(relay_files_read_token(path, token, TOKEN_SIZE, reason), ERROR_INVALID);
	check_reason("relay_token_file", "too long", "one line");
}

static void authorities(void **state)
{
	char text[16384];

	write_text(one);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(relay_files_check_ca(path, reason), 0);
	assert_string_equal(reason, "");
	snprintf(text, sizeof text, "# the first\n%s\n\nand the other\n%s", one, two);
	write_text(text);
	assert_int_equal(relay_files_check_ca(path, reason), 0);
	/* As Windows writes it. */
	for (char *from = one, *to = text; (*to++ = *from); from++)
		if (from[1] == '\n')
			*to++ = '\r';
	write_text(text);
	assert_int_equal(relay_files_check_ca(path, reason), 0);
}

static void no_authorities(void **state)
{
	static const char *const texts[] = {"", "hello\n", "\n\n", "-----END CERTIFICATE-----\n",
		" -----BEGIN CERTIFICATE-----\n"};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		write_text(texts[i]);
		assert_int_equal(relay_files_check_ca(path, reason), ERROR_INVALID);
		check_reason("relay_ca", "holds no certificate", "-----BEGIN CERTIFICATE-----");
	}
	write_bytes("\x30\x82\x00\xff", 4, 0600); /* DER */
	assert_int_equal(relay_files_check_ca(path, reason), ERROR_INVALID);
	check_reason("relay_ca", "holds no certificate", "PEM");
}

/* The reason names the line at which the block begins. */
static void damaged_authorities(void **state)
{
	char text[16384], line[32], damaged[4096];
	size_t lines = 1;

	for (const char *at = one; *at; at++)
		lines += *at == '\n';
	snprintf(line, sizeof line, ", line %zu: ", lines + 2);
	/* A key between them, as in a server's own file. */
	snprintf(text, sizeof text, "%s\n# key\n%s%s", one, key, two);
	write_text(text);
	assert_int_equal(relay_files_check_ca(path, reason), ERROR_INVALID);
	check_reason(line, "'PRIVATE KEY'", "certificates in PEM");
	/* Cut off; characters that are not base64; base64 that is no certificate. */
	snprintf(text, sizeof text, "%s\n\n%.100s", one, two);
	write_text(text);
	assert_int_equal(relay_files_check_ca(path, reason), ERROR_INVALID);
	check_reason(line, "a damaged PEM block", "certificates in PEM");
	strcpy(damaged, two);
	damaged[60] = '*';
	snprintf(text, sizeof text, "%s\n\n%s", one, damaged);
	write_text(text);
	assert_int_equal(relay_files_check_ca(path, reason), ERROR_INVALID);
	check_reason(line, "a damaged PEM block", "certificates in PEM");
	snprintf(text, sizeof text,
		"%s\n\n-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", one);
	write_text(text);
	assert_int_equal(relay_files_check_ca(path, reason), ERROR_INVALID);
	check_reason(line, "a damaged certificate", "certificates in PEM");
}

static void no_file_of_authorities(void **state)
{
	assert_int_equal(relay_files_check_ca(path, reason), ERROR_SYSTEM);
	check_reason("relay_ca", "cannot be read", "No such file");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(relay_files_check_ca(path, reason), ERROR_INVALID);
	check_reason("relay_ca", "not a regular file", "a regular file");
	rmdir(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(relay_files_check_ca(path, reason), ERROR_INVALID);
	unlink(path);
	write_text("");
	assert_int_equal(truncate(path, (5 << 20)), 0);
	assert_int_equal(relay_files_check_ca(path, reason), ERROR_INVALID);
	check_reason("relay_ca", "too long", "at most");
}

static void without_memory(void **state)
{
	write_text(one);
	heap_fail(1, false);
	assert_int_equal(relay_files_check_ca(path, reason), ERROR_NOMEM);
	heap_fail(0, false);
	check_reason("relay_ca", "out of memory", "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_token),
		TEST(no_token),
		TEST(a_token_that_others_can_read),
		TEST(no_file_of_a_token),
		TEST(a_long_file_of_a_token),
		TEST(authorities),
		TEST(no_authorities),
		TEST(damaged_authorities),
		TEST(no_file_of_authorities),
		TEST(without_memory),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
