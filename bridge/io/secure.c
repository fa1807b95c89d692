/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "secure.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "../address.h"
#include "../error.h"
#include "../memory.h"
#include "authorities.h"

/* Names of a certificate that are shown. */
#define NAMES	  3
#define NAME_SIZE 64

struct secure {
	SSL *ssl;
	BIO *in, *out; /* the SSL's */
	char host[256];
	struct address literal; /* family 0: the host is a name */
	bool done; /* the handshake is */
	size_t fed;		 /* so many bytes have come, up to 2 */
	struct trouble verified; /* why the certificate is not believed */
};

/* ---- certificates, in words ---- */

/* Copies foreign bytes as text, with '?' for what cannot be shown, cut off at NAME_SIZE. */
static void show(char out[NAME_SIZE], const void *bytes, int size)
{
	const uint8_t *from = bytes;
	size_t count = 0;

	for (int i = 0; i < size && count < NAME_SIZE - 1; i++)
		out[count++] = from[i] >= ' ' && from[i] < 0x7f ? (char)from[i] : '?';
	out[count] = '\0';
}

static void show_string(char out[NAME_SIZE], const ASN1_STRING *string)
{
	show(out, ASN1_STRING_get0_data(string), ASN1_STRING_length(string));
}

/* Shows the common name, or the organization. Returns false if the name has neither. */
static bool show_name(char out[NAME_SIZE], const X509_NAME *name)
{
	static const int fields[] = {NID_commonName, NID_organizationName};

	out[0] = '\0';
	for (size_t i = 0; i < sizeof fields / sizeof *fields && !out[0]; i++) {
		int at = X509_NAME_get_index_by_NID(name, fields[i], -1);

		if (at >= 0)
			show_string(out,
				X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	}
	return out[0] != '\0';
}

static bool show_general(char out[NAME_SIZE], const GENERAL_NAME *name)
{
	struct address address = {0};
	char text[ADDRESS_TEXT_SIZE];
	const ASN1_OCTET_STRING *ip;
	int size;

	if (name->type == GEN_DNS) {
		show_string(out, name->d.dNSName);
		return true;
	}
	if (name->type != GEN_IPADD)
		return false;
	ip = name->d.iPAddress;
	size = ASN1_STRING_length(ip);
	if (size != 4 && size != 16)
		return false;
	address.family = size == 4 ? 4 : 6;
	memcpy(address.ip, ASN1_STRING_get0_data(ip), (size_t)size);
	address_format(&address, text);
	*strrchr(text, ':') = '\0'; /* no port */
	snprintf(out, NAME_SIZE, "%s", text);
	return true;
}

/* Shows for which hosts a certificate is, such as "a.example, b.example, ...". */
static void show_hosts(char *out, size_t size, X509 *certificate)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	char name[NAME_SIZE];
	size_t shown = 0, used = 0;

	out[0] = '\0';
	for (int i = 0; all && i < sk_GENERAL_NAME_num(all) && used < size; i++) {
		if (!show_general(name, sk_GENERAL_NAME_value(all, i)))
			continue;
		used += (size_t)snprintf(out + used, size - used, "%s%s", shown ? ", " : "",
			shown < NAMES ? name : "...");
		if (shown++ == NAMES)
			break;
	}
	GENERAL_NAMES_free(all);
	if (shown == 0)
		snprintf(out, size, "%s",
			show_name(name, X509_get_subject_name(certificate)) ? name
									    : "nobody");
}

static void show_time(char *out, size_t size, const ASN1_TIME *time)
{
	struct tm date;

	if (ASN1_TIME_to_tm(time, &date) != 1 || strftime(out, size, "%Y-%m-%d", &date) == 0)
		snprintf(out, size, "a time that is none");
}

static void say_untrusted(struct secure *secure, X509 *certificate, int error)
{
	char issuer[NAME_SIZE];

	if (error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT)
		trouble_set(&secure->verified, TROUBLE_UNTRUSTED,
			"self-signed, and relay_ca does not name it");
	else
		trouble_set(&secure->verified, TROUBLE_UNTRUSTED,
			"its authority, %s, is none of the system's or of relay_ca%s",
			show_name(issuer, X509_get_issuer_name(certificate)) ? issuer : "nameless",
			authorities_count(SSL_get_SSL_CTX(secure->ssl)) > 0
				? ""
				: "; the system has none: no ca-certificates?");
}

static void say_dates(struct secure *secure, const X509 *certificate, bool expired)
{
	char text[32];

	show_time(text, sizeof text,
		expired ? X509_get0_notAfter(certificate) : X509_get0_notBefore(certificate));
	trouble_set(&secure->verified, TROUBLE_EXPIRED,
		expired ? "expired on %s, or this machine's clock is wrong"
			: "not valid before %s, or this machine's clock is wrong",
		text);
}

static void say_other_host(struct secure *secure, X509 *certificate)
{
	char text[128];

	show_hosts(text, sizeof text, certificate);
	trouble_set(&secure->verified, TROUBLE_OTHER_HOST, "it is for another host: %s", text);
}

/* Keeps why a certificate is not believed. Called for each thing that is wrong with the chain: the
 * first one is the reason. */
static int on_verify(int good, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct secure *secure = SSL_get_app_data(ssl);
	X509 *certificate = X509_STORE_CTX_get_current_cert(store);
	int error = X509_STORE_CTX_get_error(store);

	if (good || secure->verified.kind != TROUBLE_NONE)
		return good;
	if (!certificate)
		certificate = X509_STORE_CTX_get0_cert(store);
	switch (error) {
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_CERT_UNTRUSTED:
		say_untrusted(secure, certificate, error);
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		say_other_host(secure, X509_STORE_CTX_get0_cert(store));
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		say_dates(secure, certificate, error == X509_V_ERR_CERT_HAS_EXPIRED);
		break;
	default:
		trouble_set(&secure->verified, TROUBLE_UNTRUSTED, "%s",
			X509_verify_cert_error_string(error));
	}
	return 0;
}

/* ---- a session ---- */

static int set_host(struct secure *secure)
{
	X509_VERIFY_PARAM *check = SSL_get0_param(secure->ssl);
	size_t size = strlen(secure->host);

	if (address_literal(secure->host, 0, &secure->literal))
		return X509_VERIFY_PARAM_set1_ip_asc(check, secure->host) == 1 ? ERROR_NONE
									       : ERROR_TLS;
	if (size > 1 && secure->host[size - 1] == '.')
		secure->host[size - 1] = '\0';
	X509_VERIFY_PARAM_set_hostflags(check, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (X509_VERIFY_PARAM_set1_host(check, secure->host, 0) != 1 ||
		SSL_set_tlsext_host_name(secure->ssl, secure->host) != 1)
		return ERROR_TLS;
	return ERROR_NONE;
}

static int prepare(struct secure *secure, SSL_CTX *context)
{
	static const uint8_t http[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

	secure->ssl = SSL_new(context);
	if (!secure->ssl)
		return ERROR_NOMEM;
	secure->in = BIO_new(BIO_s_mem());
	secure->out = BIO_new(BIO_s_mem());
	if (!secure->in || !secure->out) {
		BIO_free(secure->in);
		BIO_free(secure->out);
		return ERROR_NOMEM;
	}
	SSL_set_bio(secure->ssl, secure->in, secure->out);
	SSL_set_app_data(secure->ssl, secure);
	SSL_set_connect_state(secure->ssl);
	SSL_set_verify(secure->ssl, SSL_VERIFY_PEER, on_verify);
	/* SSL_set_alpn_protos is the one that returns 0 on success. */
	if (SSL_set_alpn_protos(secure->ssl, http, sizeof http) != 0)
		return ERROR_TLS;
	return set_host(secure);
}

int secure_new(SSL_CTX *context, const char *host, struct secure **out)
{
	struct secure *secure = memory_zalloc(sizeof *secure);
	int error;

	if (!secure)
		return ERROR_NOMEM;
	snprintf(secure->host, sizeof secure->host, "%s", host);
	error = prepare(secure, context);
	ERR_clear_error();
	if (error) {
		secure_free(secure);
		return error;
	}
	*out = secure;
	return ERROR_NONE;
}

void secure_free(struct secure *secure)
{
	if (!secure)
		return;
	SSL_free(secure->ssl);
	memory_free(secure);
	ERR_clear_error();
}

/* Says why TLS has failed: why the certificate is not believed, else in OpenSSL's own words, in
 * which there is nothing that has come from the network. */
static void say_failure(struct secure *secure, const char *what, struct trouble *trouble)
{
	unsigned long error = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(error);

	if (secure->verified.kind != TROUBLE_NONE)
		*trouble = secure->verified;
	else
		trouble_set(trouble, TROUBLE_TLS, "%s: %s", what,
			reason ? reason : "OpenSSL does not say why");
}

int secure_handshake(struct secure *secure, struct trouble *trouble)
{
	int status, why, error = ERROR_TLS;

	ERR_clear_error();
	status = SSL_do_handshake(secure->ssl);
	why = SSL_get_error(secure->ssl, status);
	if (status == 1) {
		secure->done = true;
		error = ERROR_NONE;
	} else if (why == SSL_ERROR_WANT_READ) {
		error = ERROR_TRUNCATED;
	} else {
		say_failure(secure, "handshake", trouble);
	}
	ERR_clear_error();
	return error;
}

/* Tells whether the first two bytes may be of TLS: its records begin with their type, of which
 * there are few, and a 3. */
static bool begins_as_tls(struct secure *secure, const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size && secure->fed < 2; i++, secure->fed++)
		if (secure->fed == 0 ? bytes[i] < 0x14 || bytes[i] > 0x17 : bytes[i] != 3)
			return false;
	return true;
}

int secure_feed(struct secure *secure, const void *bytes, size_t size, struct trouble *trouble)
{
	if (!begins_as_tls(secure, bytes, size)) {
		trouble_set(trouble, TROUBLE_NO_TLS,
			"what it says is no TLS: perhaps it is http");
		return ERROR_TLS;
	}
	/* A BIO in memory takes all. */
	if (size > INT32_MAX || BIO_write(secure->in, bytes, (int)size) != (int)size) {
		trouble_set(trouble, TROUBLE_LOCAL, "%s", error_text(ERROR_NOMEM));
		ERR_clear_error();
		return ERROR_NOMEM;
	}
	return ERROR_NONE;
}

int secure_read(struct secure *secure, void *out, size_t *size, struct trouble *trouble)
{
	size_t room = *size;
	int status, why, error = ERROR_TLS;

	*size = 0;
	ERR_clear_error();
	status = SSL_read_ex(secure->ssl, out, room, size);
	why = SSL_get_error(secure->ssl, status);
	if (status == 1)
		error = ERROR_NONE;
	else if (why == SSL_ERROR_WANT_READ)
		error = ERROR_TRUNCATED;
	else if (why == SSL_ERROR_ZERO_RETURN)
		error = ERROR_CLOSED;
	else
		say_failure(secure, "what it sends", trouble);
	ERR_clear_error();
	return error;
}

int secure_write(struct secure *secure, const void *bytes, size_t size, struct trouble *trouble)
{
	size_t written;
	int status;

	if (size == 0)
		return ERROR_NONE;
	ERR_clear_error();
	/* All of it goes into the BIO: there is nothing to wait for. */
	status = SSL_write_ex(secure->ssl, bytes, size, &written);
	if (status != 1)
		say_failure(secure, "encryption", trouble);
	ERR_clear_error();
	return status == 1 ? ERROR_NONE : ERROR_TLS;
}

void secure_finish(struct secure *secure)
{
	if (secure->done)
		SSL_shutdown(secure->ssl);
	ERR_clear_error();
}

size_t secure_output(const struct secure *secure, const uint8_t **bytes)
{
	char *data;
	long size = BIO_get_mem_data(secure->out, &data);

	*bytes = (const uint8_t *)data;
	return size > 0 ? (size_t)size : 0;
}

void secure_sent(struct secure *secure)
{
	(void)BIO_reset(secure->out);
}
