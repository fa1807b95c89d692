/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "identity.h"

#include <blake3.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bytes/base32.h"
#include "error.h"
#include "secret_file.h"

/* An Ed25519 key in PKCS#8 PEM is 119 bytes; attributes and a comment may add some. */
#define KEY_FILE_SIZE 4096

#define KEY_ACCEPTED "an Ed25519 private key in PKCS#8 PEM, without a passphrase"
#define ACCEPTED     "; accepted: " KEY_ACCEPTED

const struct id identity_default_network = {{0xf7, 0x45, 0xf8, 0xf2, 0x84, 0x78, 0x9f, 0xe6, 0x62,
	0x64, 0xd6, 0xc8, 0x4e, 0x28, 0x4f, 0x5e, 0xae, 0x08, 0x0c, 0x1b, 0x54, 0xc3, 0xf6, 0x9f,
	0x84, 0xf0, 0x4f, 0xd0, 0x01, 0x2b, 0x84, 0x76}};

__attribute__((format(printf, 3, 4))) static int fail(
	char reason[IDENTITY_REASON_SIZE], int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, IDENTITY_REASON_SIZE, format, arguments);
	va_end(arguments);
	ERR_clear_error();
	return error;
}

/* Makes an identity of the key, which belongs to this function from here on, also on an error. */
static int identity_from_key(EVP_PKEY *key, struct identity *out)
{
	size_t size = sizeof out->id.bytes;

	if (EVP_PKEY_get_raw_public_key(key, out->id.bytes, &size) != 1 ||
		size != sizeof out->id.bytes) {
		EVP_PKEY_free(key);
		ERR_clear_error();
		return ERROR_TLS;
	}
	out->key = key;
	return ERROR_NONE;
}

int identity_from_secret(const uint8_t secret[IDENTITY_SECRET_SIZE], struct identity *out)
{
	EVP_PKEY *key =
		EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, IDENTITY_SECRET_SIZE);

	*out = (struct identity){0};
	if (!key) {
		ERR_clear_error();
		return ERROR_TLS;
	}
	return identity_from_key(key, out);
}

void identity_clear(struct identity *identity)
{
	EVP_PKEY_free(identity->key);
	*identity = (struct identity){0};
}

static int decode(const char *path, const char *text, size_t size, struct identity *out,
	char reason[IDENTITY_REASON_SIZE])
{
	BIO *bio = BIO_new_mem_buf(text, (int)size);
	PKCS8_PRIV_KEY_INFO *info = NULL;
	EVP_PKEY *key = NULL;
	char *name = NULL, *header = NULL;
	unsigned char *der = NULL;
	const unsigned char *at;
	long der_size = 0;
	int rv = 0;

	if (!bio)
		return fail(reason, ERROR_NOMEM, "identity_file %s: out of memory", path);
	/* Reads block by block instead of with PEM_read_bio_PrivateKey, which would accept other
	 * formats, and ask for a passphrase on the terminal. */
	if (PEM_read_bio(bio, &name, &header, &der, &der_size) != 1) {
		rv = fail(
			reason, ERROR_INVALID, "identity_file %s is not a PEM file" ACCEPTED, path);
		goto done;
	}
	if (strcmp(name, PEM_STRING_PKCS8INF) != 0) {
		rv = fail(reason, ERROR_INVALID,
			"identity_file %s holds a PEM block '%.40s'" ACCEPTED, path, name);
		goto done;
	}
	at = der;
	info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, der_size);
	key = info ? EVP_PKCS82PKEY(info) : NULL;
	if (!key) {
		rv = fail(reason, ERROR_INVALID, "identity_file %s holds a damaged key" ACCEPTED,
			path);
		goto done;
	}
	if (EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
		const char *type = EVP_PKEY_get0_type_name(key);

		rv = fail(reason, ERROR_INVALID, "identity_file %s holds a key of type %s" ACCEPTED,
			path, type ? type : "unknown");
		goto done;
	}
	rv = identity_from_key(key, out);
	key = NULL;
	if (rv)
		fail(reason, rv, "identity_file %s: OpenSSL cannot use the key", path);
done:
	EVP_PKEY_free(key);
	PKCS8_PRIV_KEY_INFO_free(info);
	if (der)
		OPENSSL_clear_free(der, (size_t)der_size);
	OPENSSL_free(name);
	OPENSSL_free(header);
	BIO_free(bio);
	return rv;
}

static int load(int fd, const struct secret_file *file, struct identity *out,
	char reason[IDENTITY_REASON_SIZE])
{
	char text[KEY_FILE_SIZE];
	size_t size = 0;
	int rv = secret_file_read(fd, file, text, sizeof text, &size, reason);

	if (!rv)
		rv = decode(file->path, text, size, out, reason);
	OPENSSL_cleanse(text, sizeof text);
	return rv;
}

static int write_file(int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ERROR_SYSTEM;
		text += n;
		size -= (size_t)n;
	}
	return fsync(fd) < 0 ? ERROR_SYSTEM : 0;
}

/* Syncs the folder of the file at path, so that the new file name outlives a crash too. Says
 * nothing if the file system cannot sync a folder. */
static void sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[4096] = ".";
	int fd;

	if (slash) {
		size_t size = slash == path ? 1 : (size_t)(slash - path);

		if (size >= sizeof folder)
			return;
		memcpy(folder, path, size);
		folder[size] = '\0';
	}
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		(void)fsync(fd);
		close(fd);
	}
}

static int create(int fd, const char *path, struct identity *out, char reason[IDENTITY_REASON_SIZE])
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = BIO_new(BIO_s_secmem());
	char *text = NULL;
	long size;
	int rv;

	if (!key || !bio ||
		PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
		rv = fail(reason, ERROR_TLS, "identity_file %s: OpenSSL cannot make a key", path);
		goto done;
	}
	size = BIO_get_mem_data(bio, &text);
	if (write_file(fd, text, (size_t)size)) {
		rv = fail(reason, ERROR_SYSTEM, "identity_file %s cannot be written: %s", path,
			strerror(errno));
		goto done;
	}
	rv = identity_from_key(key, out);
	key = NULL;
	if (rv)
		fail(reason, rv, "identity_file %s: OpenSSL cannot use the key", path);
done:
	BIO_free(bio);
	EVP_PKEY_free(key);
	return rv;
}

int identity_load(const char *path, struct identity *out, char reason[IDENTITY_REASON_SIZE])
{
	const struct secret_file file = {"identity_file", path, KEY_ACCEPTED};
	int fd, tries, rv;

	*out = (struct identity){0};
	reason[0] = '\0';
	/* Twice round at most: another process may make the file between the two calls. */
	for (tries = 0; tries < 2; tries++) {
		fd = secret_file_open(path);
		if (fd >= 0) {
			rv = load(fd, &file, out, reason);
			close(fd);
			return rv;
		}
		if (errno != ENOENT)
			break;
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd >= 0) {
			rv = create(fd, path, out, reason);
			if (close(fd) < 0 && rv == 0) {
				identity_clear(out);
				rv = fail(reason, ERROR_SYSTEM,
					"identity_file %s cannot be written: %s", path,
					strerror(errno));
			}
			if (rv == 0)
				sync_folder(path);
			else
				unlink(path);
			return rv;
		}
		if (errno != EEXIST)
			return fail(reason,
				errno == EACCES || errno == EPERM || errno == EROFS
					? ERROR_PERMISSION
					: ERROR_SYSTEM,
				"identity_file %s cannot be made: %s", path, strerror(errno));
	}
	return secret_file_unopened(&file, reason);
}

int identity_sign(const struct identity *identity, const void *data, size_t size,
	uint8_t signature[IDENTITY_SIGNATURE_SIZE])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	size_t length = IDENTITY_SIGNATURE_SIZE;
	int rv = ERROR_TLS;

	if (context &&
		EVP_DigestSignInit_ex(context, NULL, NULL, NULL, NULL, identity->key, NULL) == 1 &&
		EVP_DigestSign(context, signature, &length, data, size) == 1 &&
		length == IDENTITY_SIGNATURE_SIZE)
		rv = 0;
	EVP_MD_CTX_free(context);
	if (rv)
		ERR_clear_error();
	return rv;
}

/* Tells whether a point is of small order, by its y: those of the points of order 1, 2, 4 and 8,
 * with p and p + 1 for 0 and 1 among them (the list of libsodium's ge25519_has_small_order). */
static bool is_small_order(const uint8_t point[ID_SIZE])
{
	static const uint8_t small[][ID_SIZE] = {
		{0},
		{1},
		{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef,
			0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38,
			0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
		{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10,
			0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7,
			0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
	};
	uint8_t y[ID_SIZE];

	memcpy(y, point, ID_SIZE);
	y[ID_SIZE - 1] &= 0x7f; /* the sign of x */
	for (size_t i = 0; i < sizeof small / sizeof *small; i++) {
		if (memcmp(y, small[i], ID_SIZE) == 0)
			return true;
	}
	/* p - 1, p, p + 1 */
	if (y[0] < 0xec || y[0] > 0xee || y[ID_SIZE - 1] != 0x7f)
		return false;
	for (size_t i = 1; i < ID_SIZE - 1; i++) {
		if (y[i] != 0xff)
			return false;
	}
	return true;
}

int identity_verify(const struct id *node, const void *data, size_t size,
	const uint8_t signature[IDENTITY_SIGNATURE_SIZE])
{
	EVP_PKEY *key = NULL;
	EVP_MD_CTX *context = NULL;
	int error = ERROR_TLS;

	if (is_small_order(node->bytes) || is_small_order(signature))
		return ERROR_INVALID;
	key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, node->bytes, ID_SIZE);
	context = EVP_MD_CTX_new();
	if (key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1)
		error = EVP_DigestVerify(context, signature, IDENTITY_SIGNATURE_SIZE, data, size) ==
				1
			? 0
			: ERROR_INVALID;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	ERR_clear_error();
	return error;
}

int identity_derive(const struct identity *identity, const char *purpose, uint8_t *out, size_t size)
{
	uint8_t secret[IDENTITY_SECRET_SIZE];
	size_t length = sizeof secret;
	blake3_hasher hasher;

	if (EVP_PKEY_get_raw_private_key(identity->key, secret, &length) != 1 ||
		length != sizeof secret) {
		ERR_clear_error();
		return ERROR_TLS;
	}
	blake3_hasher_init_derive_key(&hasher, purpose);
	blake3_hasher_update(&hasher, secret, sizeof secret);
	blake3_hasher_finalize(&hasher, out, size);
	OPENSSL_cleanse(&hasher, sizeof hasher);
	OPENSSL_cleanse(secret, sizeof secret);
	return ERROR_NONE;
}

/* Tests whether y is that of a point of the curve: below 0 means no, or no memory. -x^2 + y^2 = 1 +
 * d x^2 y^2, so x^2 = (y^2 - 1) / (d y^2 + 1); the quotient of two numbers is a square when their
 * product is. */
static int is_point(BIGNUM *y, BIGNUM *p, BIGNUM *d, BN_CTX *context)
{
	BIGNUM *u = BN_CTX_get(context), *v = BN_CTX_get(context);

	if (!v || !BN_mod_sqr(y, y, p, context) || !BN_mod_sub(u, y, BN_value_one(), p, context) ||
		!BN_mod_mul(v, y, d, p, context) || !BN_mod_add(v, v, BN_value_one(), p, context) ||
		!BN_mod_mul(u, u, v, p, context))
		return -1;
	return BN_kronecker(u, p, context);
}

bool identity_is_node(const struct id *id)
{
	static const char p_hex[] =
		"7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffed";
	static const char d_hex[] =
		"52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3";
	BN_CTX *context = BN_CTX_new();
	BIGNUM *p = NULL, *d = NULL, *y = BN_lebin2bn(id->bytes, sizeof id->bytes, NULL);
	bool is_node = false;

	if (context && y && BN_hex2bn(&p, p_hex) && BN_hex2bn(&d, d_hex)) {
		BN_CTX_start(context);
		BN_mask_bits(y, 255); /* the top bit is the sign of x */
		is_node = is_point(y, p, d, context) >= 0;
		BN_CTX_end(context);
	}
	BN_free(y);
	BN_free(d);
	BN_free(p);
	BN_CTX_free(context);
	return is_node;
}

bool identity_is_key(const struct id *id)
{
	return !is_small_order(id->bytes) && identity_is_node(id);
}

void identity_sni(const struct id *node, char sni[IDENTITY_SNI_SIZE])
{
	static const char suffix[] = ".iroh.invalid";

	_Static_assert(BASE32_SIZE(ID_SIZE) + sizeof suffix <= IDENTITY_SNI_SIZE, "SNI fits");
	base32hex_encode(node->bytes, sizeof node->bytes, sni);
	memcpy(sni + BASE32_SIZE(ID_SIZE), suffix, sizeof suffix);
}

void identity_alpn(const char *protocol, const struct id *network, struct id *alpn)
{
	blake3_hasher hasher;

	blake3_hasher_init(&hasher);
	blake3_hasher_update(&hasher, protocol, strlen(protocol));
	blake3_hasher_update(&hasher, network->bytes, sizeof network->bytes);
	blake3_hasher_finalize(&hasher, alpn->bytes, sizeof alpn->bytes);
}
