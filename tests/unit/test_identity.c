/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bridge/error.h"
#include "bridge/identity.h"

static char folder[] = "/tmp/test_identity_XXXXXX";
static char path[128];

static int group_setup(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof path, "%s/key.pem", folder);
	return 0;
}

static int group_teardown(void **state)
{
	return rmdir(folder);
}

static int teardown(void **state)
{
	unlink(path);
	rmdir(path);
	return 0;
}

static void write_text(const char *text, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, mode), 0);
}

/* Writes a key of any type as PKCS#8 PEM, with a passphrase if one is given. */
static void write_key(EVP_PKEY *key, const char *passphrase)
{
	FILE *file = fopen(path, "w");

	assert_non_null(key);
	assert_non_null(file);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(PEM_write_PKCS8PrivateKey(file, key, passphrase ? EVP_aes_256_cbc() : NULL,
				 passphrase, passphrase ? (int)strlen(passphrase) : 0, NULL, NULL),
		1);
	fclose(file);
	EVP_PKEY_free(key);
}

/* The reason is one line that names the file and has both parts. */
static void refused(int error, const char *wrong, const char *accepted)
{
	char reason[IDENTITY_REASON_SIZE];
	struct identity identity;

	assert_int_equal(identity_load(path, &identity, reason), error);
	if (!strstr(reason, path) || !strstr(reason, wrong) || !strstr(reason, accepted))
		fail_msg("reason: %s", reason);
	assert_null(strchr(reason, '\n'));
	assert_null(identity.key);
}

static void made_once_and_read_again(void **state)
{
	char reason[IDENTITY_REASON_SIZE];
	struct identity first, second;
	struct stat status;

	assert_int_equal(identity_load(path, &first, reason), 0);
	assert_string_equal(reason, "");
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(identity_load(path, &second, reason), 0);
	assert_true(id_equal(&first.id, &second.id));
	identity_clear(&first);
	identity_clear(&second);
	assert_null(first.key);
}

static void two_keys_differ(void **state)
{
	char reason[IDENTITY_REASON_SIZE];
	struct identity first, second;

	assert_int_equal(identity_load(path, &first, reason), 0);
	unlink(path);
	assert_int_equal(identity_load(path, &second, reason), 0);
	assert_false(id_equal(&first.id, &second.id));
	identity_clear(&first);
	identity_clear(&second);
}

static void read_only_is_fine(void **state)
{
	char reason[IDENTITY_REASON_SIZE];
	struct identity identity;

	assert_int_equal(identity_load(path, &identity, reason), 0);
	identity_clear(&identity);
	assert_int_equal(chmod(path, 0400), 0);
	assert_int_equal(identity_load(path, &identity, reason), 0);
	identity_clear(&identity);
}

static void others_may_not_use_it(void **state)
{
	static const mode_t modes[] = {0604, 0660, 0610, 0602};

	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		char text[8];

		write_text("", modes[i]);
		snprintf(text, sizeof text, "%04o", (unsigned)modes[i]);
		refused(ERROR_PERMISSION, text, "accepted: 0600");
	}
}

static void another_owner(void **state)
{
	char reason[IDENTITY_REASON_SIZE];
	struct identity identity;

	if (geteuid() != 0)
		skip();
	write_text("", 0600);
	assert_int_equal(chown(path, 12345, 12345), 0);
	assert_int_equal(identity_load(path, &identity, reason), ERROR_PERMISSION);
	assert_non_null(strstr(reason, "owned by user 12345"));
}

static void no_symlink(void **state)
{
	char target[160];

	snprintf(target, sizeof target, "%s.target", path);
	assert_int_equal(symlink(target, path), 0);
	refused(ERROR_PERMISSION, "symbolic link", "accepted: a regular file");
	/* Not made through the link either. */
	assert_int_not_equal(access(target, F_OK), 0);
}

static void no_folder_and_no_fifo(void **state)
{
	assert_int_equal(mkdir(path, 0700), 0);
	refused(ERROR_INVALID, "not a regular file", "accepted: a regular file");
	rmdir(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(ERROR_INVALID, "not a regular file", "accepted: a regular file");
}

static void no_such_folder(void **state)
{
	char reason[IDENTITY_REASON_SIZE];
	struct identity identity;

	assert_int_equal(identity_load("/nowhere/at/all/key.pem", &identity, reason), ERROR_SYSTEM);
	assert_non_null(strstr(reason, "cannot be made: No such file"));
}

static void garbage(void **state)
{
	char *long_text;

	write_text("", 0600);
	refused(ERROR_INVALID, "not a PEM file", "Ed25519");
	write_text("hello\n", 0600);
	refused(ERROR_INVALID, "not a PEM file", "Ed25519");
	write_text("-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n", 0600);
	refused(ERROR_INVALID, "not a PEM file", "Ed25519");
	write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 0600);
	refused(ERROR_INVALID, "damaged", "Ed25519");
	write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0600);
	refused(ERROR_INVALID, "'CERTIFICATE'", "Ed25519");
	long_text = calloc(1, 100001);
	assert_non_null(long_text);
	memset(long_text, 'x', 100000);
	write_text(long_text, 0600);
	free(long_text);
	refused(ERROR_INVALID, "too long", "Ed25519");
}

static void another_type(void **state)
{
	write_key(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), NULL);
	refused(ERROR_INVALID, "type X25519", "Ed25519");
	write_key(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), NULL);
	refused(ERROR_INVALID, "type EC", "Ed25519");
}

static void with_a_passphrase(void **state)
{
	write_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "secret");
	refused(ERROR_INVALID, "'ENCRYPTED PRIVATE KEY'", "without a passphrase");
}

static void long_path(void **state)
{
	char reason[IDENTITY_REASON_SIZE], name[600];
	struct identity identity;

	memset(name, 'a', sizeof name - 1);
	name[0] = '/';
	name[sizeof name - 1] = '\0';
	assert_int_equal(identity_load(name, &identity, reason), ERROR_SYSTEM);
	assert_true(strlen(reason) < sizeof reason);
}

static void derived_secrets(void **state)
{
	uint8_t secret[IDENTITY_SECRET_SIZE] = {1}, other[IDENTITY_SECRET_SIZE] = {2};
	uint8_t a[32], b[32];
	struct identity one, two;

	assert_int_equal(identity_from_secret(secret, &one), 0);
	assert_int_equal(identity_from_secret(other, &two), 0);
	assert_int_equal(identity_derive(&one, "purpose", a, sizeof a), 0);
	assert_int_equal(identity_derive(&one, "purpose", b, sizeof b), 0);
	assert_memory_equal(a, b, sizeof a);
	assert_int_equal(identity_derive(&one, "another", b, sizeof b), 0);
	assert_memory_not_equal(a, b, sizeof a);
	assert_int_equal(identity_derive(&two, "purpose", b, sizeof b), 0);
	assert_memory_not_equal(a, b, sizeof a);
	identity_clear(&one);
	identity_clear(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(made_once_and_read_again, teardown),
		cmocka_unit_test_teardown(two_keys_differ, teardown),
		cmocka_unit_test_teardown(read_only_is_fine, teardown),
		cmocka_unit_test_teardown(others_may_not_use_it, teardown),
		cmocka_unit_test_teardown(another_owner, teardown),
		cmocka_unit_test_teardown(no_symlink, teardown),
		cmocka_unit_test_teardown(no_folder_and_no_fifo, teardown),
		cmocka_unit_test_teardown(no_such_folder, teardown),
		cmocka_unit_test_teardown(garbage, teardown),
		cmocka_unit_test_teardown(another_type, teardown),
		cmocka_unit_test_teardown(with_a_passphrase, teardown),
		cmocka_unit_test_teardown(long_path, teardown),
		cmocka_unit_test_teardown(derived_secrets, teardown),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
