/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "dial.h"

#include <string.h>

#include "../error.h"
#include "../limits.h"
#include "../memory.h"
#include "../sockaddr.h"

/* One address that is tried. */
struct attempt {
	struct dial *dial;
	uv_tcp_t *tcp; /* NULL: not begun, or over */
	uv_connect_t request;
	uint64_t began; /* uv_now, ms */
};

struct dial {
	uv_loop_t *loop;
	struct dial_callbacks callbacks;
	void *context;
	struct name_query query;
	uv_timer_t timer;
	unsigned handles;
	bool over, public_only;
	uint16_t port;
	struct address addresses[LIMIT_ADDRESSES_PER_NODE];
	struct attempt attempts[LIMIT_ADDRESSES_PER_NODE];
	size_t count, begun, running;
	struct trouble trouble; /* what is told if nothing works */
};

/* ---- addresses ---- */

/* Tells whether an IPv6 address is one behind which a gateway connects to an IPv4 address: of NAT64
 * (RFC 6052) or 6to4 (RFC 3056). Puts that IPv4 address into inner. */
static bool is_gateway(const struct address *address, struct address *inner)
{
	static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};
	size_t at;

	if (address->family != 6)
		return false;
	if (memcmp(address->ip, nat64, sizeof nat64) == 0)
		at = 12;
	else if (address->ip[0] == 0x20 && address->ip[1] == 0x02)
		at = 2;
	else
		return false;
	*inner = (struct address){.family = 4, .port = address->port};
	memcpy(inner->ip, address->ip + at, 4);
	return true;
}

/* Tells whether an address is not of the Internet, though of no private network either (RFC 6890):
 * those of a provider's own network, of protocols, of measurements, for documentation. */
static bool is_special(const struct address *address)
{
	static const struct {
		uint8_t ip[4], bits;
	} v4[] = {
		{{100, 64}, 10},
		{{192, 0, 0}, 24},
		{{192, 0, 2}, 24},
		{{198, 18}, 15},
		{{198, 51, 100}, 24},
		{{203, 0, 113}, 24},
	};
	static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
	const uint8_t *ip = address->ip;

	if (address->family == 6 && memcmp(ip, mapped, sizeof mapped) == 0)
		ip += sizeof mapped;
	else if (address->family == 6)
		/* Of the Internet is 2000::/3, but 2001:db8::/32. */
		return ip[0] >> 5 != 1 ||
		       (ip[0] == 0x20 && ip[1] == 0x01 && ip[2] == 0x0d && ip[3] == 0xb8);
	for (size_t i = 0; i < sizeof v4 / sizeof *v4; i++) {
		uint32_t mask = UINT32_MAX << (32 - v4[i].bits);
		uint32_t all = (uint32_t)ip[0] << 24 | ip[1] << 16 | ip[2] << 8 | ip[3];
		uint32_t net = (uint32_t)v4[i].ip[0] << 24 | v4[i].ip[1] << 16 | v4[i].ip[2] << 8;

		if ((all & mask) == net)
			return true;
	}
	return false;
}

bool dial_is_public(const struct address *address)
{
	struct address inner;

	if (is_gateway(address, &inner))
		address = &inner;
	return address_is_dialable(address) && address_scope(address) == ADDRESS_GLOBAL &&
	       !is_special(address);
}

/* ---- the end ---- */

static void close_part(struct dial *dial)
{
	if (--dial->handles > 0)
		return;
	dial->callbacks.gone(dial->context);
	memory_free(dial);
}

static void on_timer_closed(uv_handle_t *handle)
{
	close_part(handle->data);
}

static void on_tcp_closed(uv_handle_t *handle)
{
	struct dial *dial = handle->data;

	memory_free(handle);
	close_part(dial);
}

static void give_up(struct attempt *attempt)
{
	if (!attempt->tcp)
		return;
	uv_close((uv_handle_t *)attempt->tcp, on_tcp_closed);
	attempt->tcp = NULL;
	attempt->dial->running--;
}

void dial_cancel(struct dial *dial)
{
	if (dial->over)
		return;
	dial->over = true;
	names_forget(&dial->query);
	for (size_t i = 0; i < dial->begun; i++)
		give_up(&dial->attempts[i]);
	uv_close((uv_handle_t *)&dial->timer, on_timer_closed);
}

static void fail(struct dial *dial)
{
	dial_cancel(dial);
	dial->callbacks.done(dial->context, NULL, &dial->trouble);
}

/* ---- addresses are tried ---- */

static void step(struct dial *dial);

static enum trouble_kind kind_of(int error)
{
	switch (error) {
	case UV_ECONNREFUSED:
		return TROUBLE_REFUSED;
	case UV_ETIMEDOUT:
		return TROUBLE_TIMED_OUT;
	case UV_EACCES:
	case UV_EPERM:
		return TROUBLE_FORBIDDEN;
	case UV_EMFILE:
	case UV_ENFILE:
	case UV_ENOMEM:
	case UV_ENOBUFS:
		return TROUBLE_LOCAL;
	case UV_ECONNRESET:
		return TROUBLE_CLOSED;
	default:
		return TROUBLE_NO_ROUTE;
	}
}

/* Keeps the failure of an address if it tells more than those of the addresses before. */
static void remember(struct attempt *attempt, int error)
{
	struct dial *dial = attempt->dial;
	enum trouble_kind kind = kind_of(error);
	char text[ADDRESS_TEXT_SIZE];

	if (kind <= dial->trouble.kind)
		return;
	address_format(&dial->addresses[attempt - dial->attempts], text);
	switch (kind) {
	case TROUBLE_REFUSED:
		trouble_set(&dial->trouble, kind, "%s refuses the connection", text);
		break;
	case TROUBLE_TIMED_OUT:
		trouble_set(&dial->trouble, kind, "%s does not answer", text);
		break;
	case TROUBLE_FORBIDDEN:
		trouble_set(&dial->trouble, kind,
			"this machine does not allow it, to %s: a firewall?", text);
		break;
	case TROUBLE_NO_ROUTE:
		trouble_set(&dial->trouble, kind, "no way to %s from here: %s", text,
			uv_strerror(error));
		break;
	default:
		trouble_set(&dial->trouble, kind, "%s: %s", text, uv_strerror(error));
	}
}

static void on_connect(uv_connect_t *request, int status)
{
	struct attempt *attempt = request->data;
	struct dial *dial = attempt->dial;
	uv_tcp_t *tcp = attempt->tcp;

	if (!tcp)
		return; /* given up */
	if (status < 0) {
		remember(attempt, status);
		give_up(attempt);
		step(dial);
		return;
	}
	attempt->tcp = NULL;
	dial->running--;
	dial->handles--; /* the timer is left at least */
	dial_cancel(dial);
	dial->callbacks.done(dial->context, tcp, NULL);
}

/* Begins to connect to one address. Returns 0, or libuv's error: then the attempt is over. */
static int begin(struct attempt *attempt, const struct address *address)
{
	struct dial *dial = attempt->dial;
	struct sockaddr_storage storage;
	int error;

	attempt->began = uv_now(dial->loop);
	attempt->tcp = memory_alloc(sizeof *attempt->tcp);
	if (!attempt->tcp)
		return UV_ENOMEM;
	error = uv_tcp_init(dial->loop, attempt->tcp);
	if (error) {
		memory_free(attempt->tcp);
		attempt->tcp = NULL;
		return error;
	}
	attempt->tcp->data = dial;
	attempt->request.data = attempt;
	dial->handles++;
	dial->running++;
	sockaddr_from(address, &storage);
	error = uv_tcp_connect(
		&attempt->request, attempt->tcp, (const struct sockaddr *)&storage, on_connect);
	if (error)
		give_up(attempt);
	return error;
}

static void begin_next(struct dial *dial)
{
	struct attempt *attempt = &dial->attempts[dial->begun];
	int error;

	attempt->dial = dial;
	error = begin(attempt, &dial->addresses[dial->begun++]);
	if (error)
		remember(attempt, error);
}

static void on_timer(uv_timer_t *timer)
{
	struct dial *dial = timer->data;

	if (dial->query.names) {
		names_forget(&dial->query);
		trouble_set(&dial->trouble, TROUBLE_NAME,
			"no name server has answered within %d s", DIAL_NAME_MS / 1000);
		fail(dial);
		return;
	}
	step(dial);
}

/* Ends the attempts that have taken too long. Returns when the oldest one left will have;
 * UINT64_MAX: none is left. */
static uint64_t end_old(struct dial *dial, uint64_t now)
{
	for (size_t i = 0; i < dial->begun; i++) {
		struct attempt *attempt = &dial->attempts[i];

		if (!attempt->tcp)
			continue;
		if (now < attempt->began + DIAL_ADDRESS_MS)
			return attempt->began + DIAL_ADDRESS_MS;
		remember(attempt, UV_ETIMEDOUT);
		give_up(attempt);
	}
	return UINT64_MAX;
}

/* Begins and ends the attempts that are due now, once the addresses are known, and sets the timer
 * to when the next one is. */
static void step(struct dial *dial)
{
	uint64_t now = uv_now(dial->loop), due = end_old(dial, now), next;

	while (dial->begun < dial->count &&
		(dial->running == 0 || now >= dial->attempts[dial->begun - 1].began + DIAL_NEXT_MS))
		begin_next(dial);
	if (dial->running == 0) {
		fail(dial);
		return;
	}
	if (due == UINT64_MAX)
		due = now + DIAL_ADDRESS_MS;
	next = dial->attempts[dial->begun - 1].began + DIAL_NEXT_MS;
	if (dial->begun < dial->count && next < due)
		due = next;
	uv_timer_start(&dial->timer, on_timer, due > now ? due - now : 0, 0);
}

/* ---- the name ---- */

/* Takes the addresses to be tried: IPv6 first, then the families by turns, each family in the order
 * of the system (RFC 6724). */
static void take_addresses(struct dial *dial, const struct address *addresses, size_t count)
{
	size_t at[2] = {0, 0};
	unsigned side = 0;

	while ((at[0] < count || at[1] < count) && dial->count < LIMIT_ADDRESSES_PER_NODE) {
		const uint8_t family = side == 0 ? 6 : 4;

		while (at[side] < count && addresses[at[side]].family != family)
			at[side]++;
		if (at[side] < count) {
			dial->addresses[dial->count] = addresses[at[side]++];
			dial->addresses[dial->count].port = dial->port;
			dial->count += !dial->public_only ||
				       dial_is_public(&dial->addresses[dial->count]);
		}
		side = !side;
	}
}

static void on_name(
	void *context, const struct address *addresses, size_t count, const char *failure)
{
	struct dial *dial = context;
	struct address other;
	char text[ADDRESS_TEXT_SIZE];

	take_addresses(dial, addresses, count);
	if (dial->count > 0) {
		step(dial);
		return;
	}
	if (count > 0) {
		other = addresses[0];
		other.port = dial->port;
		trouble_set(&dial->trouble, TROUBLE_NOT_PUBLIC,
			"it leads to %s, and only others have named it",
			address_format(&other, text));
	} else {
		trouble_set(&dial->trouble, TROUBLE_NAME, "%s",
			failure[0] ? failure : "it has no address");
	}
	fail(dial);
}

int dial_start(uv_loop_t *loop, struct names *names, const char *host, uint16_t port,
	bool public_only, const struct dial_callbacks *callbacks, void *context, struct dial **out)
{
	struct dial *dial = memory_zalloc(sizeof *dial);

	if (!dial)
		return ERROR_NOMEM;
	dial->loop = loop;
	dial->callbacks = *callbacks;
	dial->context = context;
	dial->port = port;
	dial->public_only = public_only;
	if (names_ask(names, host, on_name, dial, &dial->query)) {
		memory_free(dial);
		return ERROR_NOMEM;
	}
	uv_timer_init(loop, &dial->timer);
	dial->timer.data = dial;
	dial->handles = 1;
	uv_timer_start(&dial->timer, on_timer, DIAL_NAME_MS, 0);
	*out = dial;
	return ERROR_NONE;
}

const char *dial_doing(const struct dial *dial)
{
	return dial->query.names ? "looking up its name" : "connecting";
}
