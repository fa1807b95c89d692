/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "authorities.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <string.h>
#include <utlist.h>

#include "../error.h"
#include "../memory.h"
#include "../time.h"

/* What a system trusts changes with its updates, which a broker outlives. */
#define GOOD_FOR_NS (24 * 3600 * S)

/* One reading. It belongs to the thread of the pool until on_read has it back on the loop's. */
struct reading {
	uv_work_t work;
	struct authorities *authorities;
	const char *file; /* the authorities' */
	SSL_CTX *context; /* NULL: there is trouble */
	struct trouble trouble;
};

struct authorities {
	uv_loop_t *loop;
	char *file;
	bool stopped;
	struct reading *reading; /* under way, or NULL */
	SSL_CTX *context;
	uint64_t read_at; /* uv_hrtime */
	struct authorities_query *queries;
};

int authorities_new(uv_loop_t *loop, const char *file, struct authorities **out)
{
	struct authorities *authorities = memory_zalloc(sizeof *authorities);

	if (!authorities)
		return ERROR_NOMEM;
	authorities->loop = loop;
	if (file) {
		authorities->file = memory_alloc(strlen(file) + 1);
		if (!authorities->file) {
			memory_free(authorities);
			return ERROR_NOMEM;
		}
		memcpy(authorities->file, file, strlen(file) + 1);
	}
	*out = authorities;
	return ERROR_NONE;
}

void authorities_stop(struct authorities *authorities)
{
	authorities->stopped = true;
	while (authorities->queries)
		authorities_forget(authorities->queries);
	if (authorities->reading)
		uv_cancel((uv_req_t *)&authorities->reading->work);
}

void authorities_free(struct authorities *authorities)
{
	if (!authorities)
		return;
	SSL_CTX_free(authorities->context);
	memory_free(authorities->file);
	memory_free(authorities);
}

/* ---- libuv's pool ---- */

static SSL_CTX *context_new(void)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());

	if (!context)
		return NULL;
	if (SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(context);
		return NULL;
	}
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	/* What the file names is believed, though it be no root. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
	return context;
}

static bool add_file(SSL_CTX *context, const char *file, struct trouble *trouble)
{
	FILE *readable = fopen(file, "re");

	if (!readable) {
		trouble_set(trouble, TROUBLE_AUTHORITIES, "relay_ca %.100s cannot be read: %s",
			file, strerror(errno));
		return false;
	}
	fclose(readable);
	if (SSL_CTX_load_verify_file(context, file) == 1)
		return true;
	trouble_set(trouble, TROUBLE_AUTHORITIES,
		"relay_ca %.100s has no certificate that can be read (PEM is expected)", file);
	return false;
}

static void read_all(uv_work_t *work)
{
	struct reading *reading = work->data;
	SSL_CTX *context = context_new();

	trouble_set(&reading->trouble, TROUBLE_LOCAL, "OpenSSL gives no context");
	/* A system without authorities is no trouble yet: there may be relay_ca. */
	if (context)
		SSL_CTX_set_default_verify_paths(context);
	if (context && reading->file && !add_file(context, reading->file, &reading->trouble)) {
		SSL_CTX_free(context);
		context = NULL;
	}
	reading->context = context;
	ERR_clear_error(); /* of this thread, which is not ours */
}

/* ---- the loop's thread ---- */

static void on_read(uv_work_t *work, int status)
{
	struct reading *reading = work->data;
	struct authorities *authorities = reading->authorities;
	struct authorities_query *query;
	size_t count;

	authorities->reading = NULL;
	if (reading->context) {
		SSL_CTX_free(authorities->context);
		authorities->context = reading->context;
		authorities->read_at = uv_hrtime();
	}
	DL_COUNT(authorities->queries, query, count); /* not those that are asked meanwhile */
	for (; count > 0 && (query = authorities->queries); count--) {
		authorities_forget(query);
		query->answer(query->argument, reading->context, &reading->trouble);
	}
	memory_free(reading);
}

size_t authorities_count(SSL_CTX *context)
{
	STACK_OF(X509_OBJECT) *all = X509_STORE_get1_objects(SSL_CTX_get_cert_store(context));
	size_t count = all ? (size_t)sk_X509_OBJECT_num(all) : 0;

	sk_X509_OBJECT_pop_free(all, X509_OBJECT_free);
	return count;
}

static int begin(struct authorities *authorities)
{
	struct reading *reading;

	if (authorities->reading)
		return ERROR_NONE;
	reading = memory_zalloc(sizeof *reading);
	if (!reading)
		return ERROR_NOMEM;
	reading->work.data = reading;
	reading->authorities = authorities;
	reading->file = authorities->file;
	if (uv_queue_work(authorities->loop, &reading->work, read_all, on_read) != 0) {
		memory_free(reading);
		return ERROR_NOMEM;
	}
	authorities->reading = reading;
	return ERROR_NONE;
}

static bool is_good(const struct authorities *authorities)
{
	return authorities->context && uv_hrtime() - authorities->read_at < GOOD_FOR_NS &&
	       authorities_count(authorities->context) > 0;
}

int authorities_ask(struct authorities *authorities, authorities_answer *answer, void *argument,
	struct authorities_query *query)
{
	const struct trouble none = {0};
	int error;

	if (authorities->stopped)
		return ERROR_CLOSED;
	if (is_good(authorities)) {
		answer(argument, authorities->context, &none);
		return ERROR_NONE;
	}
	error = begin(authorities);
	if (error)
		return error;
	*query = (struct authorities_query){
		.authorities = authorities, .answer = answer, .argument = argument};
	DL_APPEND(authorities->queries, query);
	return ERROR_NONE;
}

void authorities_forget(struct authorities_query *query)
{
	if (!query->authorities)
		return;
	DL_DELETE(query->authorities->queries, query);
	query->authorities = NULL;
}
