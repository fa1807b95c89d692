/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How connections end: the reason in words for the log, and what the other side is told. */
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "../error.h"
#include "internal.h"

void connection_release_places(struct quic_connection *connection)
{
	struct quic_endpoint *endpoint = connection->endpoint;

	endpoint->places -= connection->place;
	endpoint->protocol_places[connection->protocol] -= connection->protocol_place;
	connection->place = connection->protocol_place = false;
}

void connection_settle(struct quic_connection *connection)
{
	struct quic_endpoint *endpoint = connection->endpoint;

	if (!connection->unproven)
		return;
	connection->unproven = false;
	DL_DELETE2(endpoint->unproven, connection, unproven_prev, unproven_next);
	endpoint->unproven_count--;
}

void quic_connection_set_stranger(struct quic_connection *connection, bool stranger)
{
	struct quic_endpoint *endpoint = connection->endpoint;

	if (connection->stranger == stranger || (stranger && connection->state >= CONNECTION_ENDED))
		return;
	connection->stranger = stranger;
	if (stranger)
		DL_APPEND2(endpoint->strangers, connection, strangers_prev, strangers_next);
	else
		DL_DELETE2(endpoint->strangers, connection, strangers_prev, strangers_next);
}

void connection_end(
	struct quic_connection *connection, const struct closing *close, enum farewell farewell)
{
	if (connection->state >= CONNECTION_ENDED)
		return;
	if (connection->state == CONNECTION_HANDSHAKE && !close->remote &&
		farewell == FAREWELL_TRANSPORT && (close->code & ~0xffull) == NGTCP2_CRYPTO_ERROR)
		counters_add(connection->endpoint->config.counters, COUNTER_HANDSHAKES_REFUSED, 1);
	connection_settle(connection);
	quic_connection_set_stranger(connection, false);
	connection->close = *close;
	connection->farewell = farewell;
	connection->state = CONNECTION_ENDED;
	endpoint_mark(connection->endpoint, connection);
}

void ending_text(struct closing *close, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(close->text, sizeof close->text, format, arguments);
	va_end(arguments);
}

void connection_displace(struct quic_connection *connection)
{
	struct closing close = {0};

	if (connection->unproven) {
		ending_text(&close, "gave way: its address was not proven");
		connection_end(connection, &close, FAREWELL_NONE);
	} else if (connection->state == CONNECTION_HANDSHAKE) {
		close.code = NGTCP2_CONNECTION_REFUSED;
		ending_text(&close, "gave way: the handshake was not over");
		connection_end(connection, &close, FAREWELL_TRANSPORT);
	} else {
		quic_connection_close_with(connection, 0, "no place: gave way to others");
	}
	connection_release_places(connection); /* at once: the places are what others need */
}

void connection_cut(struct quic_connection *connection)
{
	struct closing close = {.timeout = true};

	ending_text(&close, "own address is gone");
	connection_end(connection, &close, FAREWELL_NONE);
}

void connection_unsent(struct quic_connection *connection, int error)
{
	struct closing close = {0};

	ending_text(&close, "cannot be sent to: %s", error_text(error));
	connection_end(connection, &close, FAREWELL_NONE);
}

uint64_t connection_idle_timeout(const struct quic_connection *connection)
{
	const ngtcp2_transport_params *remote =
		ngtcp2_conn_get_remote_transport_params(connection->conn);
	uint64_t ours = connection_protocol(connection)->idle_timeout;
	uint64_t theirs = remote ? remote->max_idle_timeout : 0;

	return theirs && (theirs < ours || !ours) ? theirs : ours;
}

void connection_lose(struct quic_connection *connection)
{
	struct closing close = {.timeout = true};

	ending_text(&close, "nothing heard for %g s",
		(double)connection_idle_timeout(connection) / NGTCP2_SECONDS);
	connection_end(connection, &close, FAREWELL_NONE);
}

/* Copies the peer's reason for our log: the first characters, with those that cannot be printed
 * replaced. */
static void printable(char *out, size_t capacity, const uint8_t *text, size_t size)
{
	size_t i;

	for (i = 0; i < size && i + 1 < capacity; i++)
		out[i] = text[i] >= 0x20 && text[i] < 0x7f ? (char)text[i] : '?';
	out[i] = '\0';
}

static void describe_remote(struct quic_connection *connection, struct closing *close)
{
	const ngtcp2_ccerr *error = ngtcp2_conn_get_ccerr(connection->conn);
	unsigned long long code = error->error_code;
	const char *meaning = "", *open, *shut;
	char reason[48];

	close->remote = true;
	if (connection->reset) {
		ending_text(close, "reset by peer: it knows no such connection (restarted?)");
		return;
	}
	close->code = code;
	close->application = error->type == NGTCP2_CCERR_TYPE_APPLICATION;
	printable(reason, sizeof reason, error->reason, error->reasonlen);
	open = reason[0] ? " (" : "";
	shut = reason[0] ? ")" : "";
	if (close->application) {
		ending_text(close, "closed by peer: code %llu%s%s%s", code, open, reason, shut);
		return;
	}
	close->refused = (code & ~0xffull) == NGTCP2_CRYPTO_ERROR ||
			 code == NGTCP2_CONNECTION_REFUSED || code == NGTCP2_APPLICATION_ERROR;
	if (code == NGTCP2_CRYPTO_ERROR + SSL_AD_NO_APPLICATION_PROTOCOL)
		meaning = ", no common protocol (other network id?)";
	else if (code == NGTCP2_CRYPTO_ERROR + SSL_AD_ACCESS_DENIED)
		meaning = ", it does not let us in";
	else if (code == NGTCP2_CRYPTO_ERROR + SSL_AD_UNKNOWN_CA ||
		 code == NGTCP2_CRYPTO_ERROR + SSL_AD_CERTIFICATE_UNKNOWN ||
		 code == NGTCP2_CRYPTO_ERROR + SSL_AD_BAD_CERTIFICATE)
		meaning = ", it does not accept our key";
	else if (code == NGTCP2_CONNECTION_REFUSED)
		meaning = ", connection refused";
	else if (code == NGTCP2_INVALID_TOKEN)
		meaning = ", our proof of address was too late or meant for another";
	else if (code == NGTCP2_APPLICATION_ERROR)
		meaning = ", closed by its application during the handshake";
	ending_text(close, "%s by peer: transport code %#llx%s%s%s%s",
		close->refused ? "refused" : "closed", code, meaning, open, reason, shut);
}

void connection_fail(struct quic_connection *connection, int error)
{
	struct closing close = {0};
	enum farewell farewell = FAREWELL_TRANSPORT;
	unsigned alert;

	if (connection->state >= CONNECTION_ENDED)
		return; /* one of our callbacks has ended it, and knew more */
	switch (error) {
	case NGTCP2_ERR_DRAINING:
		describe_remote(connection, &close);
		farewell = FAREWELL_DRAIN;
		break;
	case NGTCP2_ERR_IDLE_CLOSE:
	case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
		if (connection->state == CONNECTION_OPEN) {
			connection_lose(connection);
			return;
		}
		close.timeout = true;
		ending_text(&close, "handshake timed out");
		farewell = FAREWELL_NONE;
		break;
	case NGTCP2_ERR_DROP_CONN:
	case NGTCP2_ERR_RETRY: /* not the first part of a ClientHello: that is about to come */
		ending_text(&close, "dropped: not a handshake");
		farewell = FAREWELL_NONE;
		break;
	case NGTCP2_ERR_RECV_VERSION_NEGOTIATION:
		close.remote = true;
		ending_text(&close, "peer does not speak QUIC version 1");
		farewell = FAREWELL_NONE;
		break;
	case NGTCP2_ERR_CRYPTO:
		alert = ngtcp2_conn_get_tls_alert(connection->conn);
		close.code = NGTCP2_CRYPTO_ERROR | alert;
		close.own_key = connection->tls.own_key;
		close.other_network = alert == SSL_AD_NO_APPLICATION_PROTOCOL;
		if (connection->tls.wrong_peer)
			ending_text(&close, "peer is not the dialled node");
		else if (alert == SSL_AD_NO_APPLICATION_PROTOCOL)
			ending_text(&close, "no common protocol (other network id?)");
		else
			ending_text(&close, "TLS: %s", SSL_alert_desc_string_long((int)alert));
		break;
	default:
		close.code = ngtcp2_err_infer_quic_transport_error_code(error);
		ending_text(&close, "QUIC: %s", ngtcp2_strerror(error));
		break;
	}
	connection_end(connection, &close, farewell);
}

void connection_refuse(struct quic_connection *connection, unsigned alert, const char *text)
{
	struct closing close = {.code = NGTCP2_CRYPTO_ERROR | alert};

	ending_text(&close, "%s", text);
	connection_end(connection, &close, FAREWELL_TRANSPORT);
}

void quic_connection_close_with(
	struct quic_connection *connection, uint64_t code, const char *reason)
{
	struct closing close = {.application = true, .code = code};

	if (connection->state >= CONNECTION_ENDED)
		return;
	connection->reason = reason;
	ending_text(&close, "closed by us: code %llu%s%s%s", (unsigned long long)code,
		reason ? " (" : "", reason ? reason : "", reason ? ")" : "");
	connection_end(connection, &close, FAREWELL_APPLICATION);
}

void quic_connection_close(struct quic_connection *connection, uint64_t code)
{
	quic_connection_close_with(connection, code, NULL);
}
