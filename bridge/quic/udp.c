/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "udp.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../error.h"
#include "../memory.h"
#include "../sockaddr.h"
#include "poller.h"

/* With GRO one slot may hold 64 KiB. There is one recvmmsg per readiness: then the loop turns, and
 * what came is answered. */
#define RX_SLOTS     8
#define RX_SLOT_SIZE 65536

/* A burst of a few ms at a gigabit; the kernel caps the size at its own limit. */
#define SOCKET_BUFFER (2 << 20)

union control {
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(int)) +
		      CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

/* What came at once: one datagram, or a train of equal ones (GRO). */
struct train {
	ngtcp2_sockaddr_union local, remote;
	uint8_t ecn;
	const uint8_t *data; /* the bytes that were not given out yet */
	size_t size, segment;
};

/* The datagrams of one read. */
struct udp_read {
	struct udp_socket *socket;
	size_t next, count; /* trains[next] is the first that was not given out */
	struct train trains[RX_SLOTS];
	uint8_t bytes[RX_SLOTS][RX_SLOT_SIZE];
};

/* Datagrams that the kernel would not take yet. */
struct kept {
	ngtcp2_path_storage path;
	uint8_t ecn;
	size_t at, size, segment;
	uint8_t data[UDP_SEND_SIZE];
};

struct udp_socket {
	struct sender sender; /* the first: a path's user_data points to it */
	struct poller poller;
	struct udp *udp;
	struct udp_socket *next;
	int fd;
	bool wildcard, gso;
	ngtcp2_sockaddr_union local;
	struct kept *kept; /* allocated when first needed */
	bool blocked;
};

static socklen_t sockaddr_size(const struct sockaddr *sa)
{
	return sa->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

bool udp_is_own(const struct ifaddrs *own, const struct sockaddr *sa)
{
	static const struct address none;
	struct address address = sockaddr_address(sa), other;

	if (address_is_loopback(&address) || memcmp(address.ip, none.ip, sizeof address.ip) == 0)
		return true;
	for (; own; own = own->ifa_next) {
		if (!own->ifa_addr || own->ifa_addr->sa_family != sa->sa_family)
			continue;
		other = sockaddr_address(own->ifa_addr);
		if (memcmp(address.ip, other.ip, sizeof address.ip) == 0)
			return true;
	}
	return false;
}

static void to_sockaddr(const struct address *address, ngtcp2_sockaddr_union *out)
{
	struct sockaddr_storage storage;

	sockaddr_from(address, &storage);
	memcpy(out, &storage, sizeof *out);
}

int udp_init(struct udp *udp)
{
	udp->sockets = NULL;
	udp->blocked = 0;
	udp->singly = false;
	udp->read = memory_alloc(sizeof *udp->read);
	if (!udp->read)
		return ERROR_NOMEM;
	udp->read->next = udp->read->count = 0;
	return ERROR_NONE;
}

void udp_clear(struct udp *udp)
{
	memory_free(udp->read);
	udp->read = NULL;
}

/* Reads where a datagram was sent to, its ECN bits, and the size of GRO's segments. */
static void read_control(struct msghdr *message, ngtcp2_sockaddr_union *local, bool wildcard,
	uint8_t *ecn, size_t *segment)
{
	struct cmsghdr *control;

	for (control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
		const void *data = CMSG_DATA(control);

		if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, data, sizeof info);
			if (wildcard)
				local->in.sin_addr = info.ipi_addr;
		} else if (control->cmsg_level == IPPROTO_IPV6 &&
			   control->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, data, sizeof info);
			if (wildcard) {
				local->in6.sin6_addr = info.ipi6_addr;
				if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
					local->in6.sin6_scope_id = info.ipi6_ifindex;
			}
		} else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS) {
			*ecn = *(const uint8_t *)data & NGTCP2_ECN_MASK;
		} else if (control->cmsg_level == IPPROTO_IPV6 &&
			   control->cmsg_type == IPV6_TCLASS) {
			int class;

			memcpy(&class, data, sizeof class);
			*ecn = (uint8_t)class & NGTCP2_ECN_MASK;
		} else if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
			int size;

			memcpy(&size, data, sizeof size);
			if (size > 0)
				*segment = (size_t)size;
		}
	}
}

bool udp_read_on(struct udp *udp)
{
	struct udp_read *read = udp->read;
	uint64_t enough = uv_hrtime() + UDP_READ_TIME;

	while (read->next < read->count) {
		struct train *train = &read->trains[read->next];
		size_t n = train->size < train->segment ? train->size : train->segment;
		const uint8_t *data = train->data;
		ngtcp2_path path = {
			.local = {&train->local.sa, sockaddr_size(&train->local.sa)},
			.remote = {&train->remote.sa, sockaddr_size(&train->remote.sa)},
			.user_data = &read->socket->sender,
		};

		train->data += n;
		train->size -= n;
		if (train->size == 0)
			read->next++;
		udp->receive(udp->context, &path, train->ecn, data, n);
		if (uv_hrtime() >= enough)
			break;
	}
	return read->next < read->count;
}

/* Reads messages like recvmmsg, which not every sandbox knows. */
static int read_messages(struct udp *udp, int fd, struct mmsghdr *messages)
{
	int count;
	ssize_t n;

	if (!udp->singly) {
		count = recvmmsg(fd, messages, RX_SLOTS, 0, NULL);
		if (count >= 0 || (errno != ENOSYS && errno != EPERM && errno != EACCES))
			return count;
		udp->singly = true;
	}
	for (count = 0; count < RX_SLOTS; count++) {
		n = recvmsg(fd, &messages[count].msg_hdr, 0);
		if (n < 0)
			return count > 0 ? count : -1;
		messages[count].msg_len = (unsigned)n;
	}
	return count;
}

static void note_read(struct udp_socket *socket, int count)
{
	struct udp *udp = socket->udp;

	if (count >= 0) {
		poller_worked(&socket->poller);
	} else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
		udp->failed(udp->context, &socket->local.sa, NULL, error_of_system(errno));
		poller_failed(&socket->poller);
	}
}

static void receive(struct udp_socket *socket)
{
	struct udp *udp = socket->udp;
	struct udp_read *read = udp->read;
	struct mmsghdr messages[RX_SLOTS];
	struct iovec vectors[RX_SLOTS];
	union control controls[RX_SLOTS];
	int i, count;

	if (read->next < read->count)
		return; /* first the datagrams that came before */
	memset(messages, 0, sizeof messages);
	for (i = 0; i < RX_SLOTS; i++) {
		vectors[i].iov_base = read->bytes[i];
		vectors[i].iov_len = RX_SLOT_SIZE;
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
		messages[i].msg_hdr.msg_name = &read->trains[i].remote;
		messages[i].msg_hdr.msg_namelen = sizeof read->trains[i].remote;
		messages[i].msg_hdr.msg_control = &controls[i];
		messages[i].msg_hdr.msg_controllen = sizeof controls[i];
	}
	count = read_messages(udp, socket->fd, messages);
	note_read(socket, count);
	read->socket = socket;
	read->next = read->count = 0;
	for (i = 0; i < count; i++) {
		struct msghdr *message = &messages[i].msg_hdr;
		struct train *train = &read->trains[read->count];

		if (message->msg_flags & (MSG_TRUNC | MSG_CTRUNC) || messages[i].msg_len == 0)
			continue;
		train->remote = read->trains[i].remote;
		train->local = socket->local;
		train->ecn = 0;
		train->data = read->bytes[i];
		train->size = train->segment = messages[i].msg_len;
		read_control(
			message, &train->local, socket->wildcard, &train->ecn, &train->segment);
		read->count++;
	}
	if (udp_read_on(udp))
		udp->unread(udp->context);
}

/* Adds IP_PKTINFO or IPV6_PKTINFO with the source address, unless the system is to choose. Returns
 * the place for the next control message. */
static void *add_source(
	struct msghdr *message, struct cmsghdr *control, const struct sockaddr *local)
{
	if (local->sa_family == AF_INET) {
		struct in_pktinfo info = {
			.ipi_spec_dst = ((const struct sockaddr_in *)local)->sin_addr};

		if (info.ipi_spec_dst.s_addr == INADDR_ANY)
			return control;
		control->cmsg_level = IPPROTO_IP;
		control->cmsg_type = IP_PKTINFO;
		control->cmsg_len = CMSG_LEN(sizeof info);
		memcpy(CMSG_DATA(control), &info, sizeof info);
		message->msg_controllen += CMSG_SPACE(sizeof info);
	} else {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)local;
		struct in6_pktinfo info = {
			.ipi6_addr = in6->sin6_addr, .ipi6_ifindex = in6->sin6_scope_id};

		if (IN6_IS_ADDR_UNSPECIFIED(&info.ipi6_addr))
			return control;
		control->cmsg_level = IPPROTO_IPV6;
		control->cmsg_type = IPV6_PKTINFO;
		control->cmsg_len = CMSG_LEN(sizeof info);
		memcpy(CMSG_DATA(control), &info, sizeof info);
		message->msg_controllen += CMSG_SPACE(sizeof info);
	}
	return (uint8_t *)message->msg_control + message->msg_controllen;
}

static ssize_t send_once(const struct udp_socket *socket, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size, size_t segment)
{
	union control controls;
	struct iovec vector = {(void *)data, size};
	struct msghdr message = {0};
	struct cmsghdr *control = &controls.align;
	ssize_t n;

	memset(&controls, 0, sizeof controls);
	message.msg_name = path->remote.addr;
	message.msg_namelen = path->remote.addrlen;
	message.msg_iov = &vector;
	message.msg_iovlen = 1;
	message.msg_control = &controls;
	if (socket->wildcard)
		control = add_source(&message, control, path->local.addr);
	if (ecn) {
		int class = ecn;
		bool v4 = path->remote.addr->sa_family == AF_INET;

		control->cmsg_level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
		control->cmsg_type = v4 ? IP_TOS : IPV6_TCLASS;
		control->cmsg_len = CMSG_LEN(sizeof class);
		memcpy(CMSG_DATA(control), &class, sizeof class);
		message.msg_controllen += CMSG_SPACE(sizeof class);
		control = (void *)(controls.bytes + message.msg_controllen);
	}
	if (size > segment) {
		uint16_t value = (uint16_t)segment;

		control->cmsg_level = SOL_UDP;
		control->cmsg_type = UDP_SEGMENT;
		control->cmsg_len = CMSG_LEN(sizeof value);
		memcpy(CMSG_DATA(control), &value, sizeof value);
		message.msg_controllen += CMSG_SPACE(sizeof value);
	}
	if (message.msg_controllen == 0)
		message.msg_control = NULL;
	do
		n = sendmsg(socket->fd, &message, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

/* Sends as much as the kernel takes. Returns how many bytes are done with: sent, or lost because
 * the kernel refused them. Less than size: the kernel takes no more now. */
static size_t send_some(struct udp_socket *socket, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size, size_t segment)
{
	struct udp *udp = socket->udp;
	bool gso = socket->gso;
	size_t done = 0;

	while (done < size) {
		size_t left = size - done;
		size_t n = gso || left < segment ? left : segment;

		if (send_once(socket, path, ecn, data + done, n, segment) < 0) {
			if (errno == EAGAIN || errno == EWOULDBLOCK)
				break;
			if (n > segment) {
				/* EIO: this device cannot checksum segments, ever. Others (EINVAL,
				 * EMSGSIZE: segment and path do not fit) are for this train only.
				 */
				if (errno == EIO)
					socket->gso = false;
				gso = false;
				continue;
			}
			/* EMSGSIZE is what a probe for a larger MTU gets. Other errors are no
			 * route, no buffer, a firewall: the datagram is lost as on the way, but
			 * this is reported. */
			udp->failed(udp->context, path->local.addr, path->remote.addr,
				error_of_system(errno));
		}
		done += n;
	}
	return done;
}

static bool send_datagrams(struct sender *sender, const ngtcp2_path *path, uint8_t ecn,
	const uint8_t *data, size_t size, size_t segment)
{
	struct udp_socket *socket = (struct udp_socket *)sender;
	struct kept *kept;
	size_t done;

	if (socket->blocked)
		return false;
	done = send_some(socket, path, ecn, data, size, segment);
	if (done == size)
		return true;
	if (!socket->kept)
		socket->kept = memory_alloc(sizeof *socket->kept);
	kept = socket->kept;
	if (!kept)
		return true; /* lost */
	ngtcp2_path_storage_zero(&kept->path);
	ngtcp2_path_copy(&kept->path.path, path);
	kept->ecn = ecn;
	kept->at = 0;
	kept->size = size - done;
	kept->segment = segment;
	memcpy(kept->data, data + done, size - done);
	socket->blocked = true;
	socket->udp->blocked++;
	poller_writable(&socket->poller, true);
	return false;
}

static void send_kept(struct udp_socket *socket)
{
	struct kept *kept = socket->kept;

	kept->at += send_some(socket, &kept->path.path, kept->ecn, kept->data + kept->at,
		kept->size - kept->at, kept->segment);
	if (kept->at < kept->size)
		return;
	socket->blocked = false;
	poller_writable(&socket->poller, false);
	if (--socket->udp->blocked == 0)
		socket->udp->writable(socket->udp->context);
}

/* Returns the socket that the poller is part of. */
static struct udp_socket *socket_of(struct poller *poller)
{
	return (struct udp_socket *)((char *)poller - offsetof(struct udp_socket, poller));
}

static void on_ready(struct poller *poller, int events)
{
	struct udp_socket *socket = socket_of(poller);

	if (events & UV_READABLE)
		receive(socket);
	if (events & UV_WRITABLE && socket->blocked)
		send_kept(socket);
}

static int system_error(int error)
{
	switch (error) {
	case EADDRINUSE:
		return ERROR_ADDRESS_IN_USE;
	case EACCES:
	case EPERM:
		return ERROR_PERMISSION;
	case ENOMEM:
	case ENOBUFS:
		return ERROR_NOMEM;
	default:
		return error_of_system(error);
	}
}

static void enable(int fd, int level, int option, int value)
{
	(void)setsockopt(fd, level, option, &value, sizeof value);
}

static void configure(struct udp_socket *socket)
{
	int fd = socket->fd, zero = 0;

	enable(fd, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER);
	enable(fd, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER);
	if (socket->local.sa.sa_family == AF_INET) {
		enable(fd, IPPROTO_IP, IP_PKTINFO, 1);
		enable(fd, IPPROTO_IP, IP_RECVTOS, 1);
		/* Datagrams are never fragmented, and larger probes go out: ngtcp2 finds the
		 * MTU. */
		enable(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
	} else {
		enable(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
		enable(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
		enable(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
	}
	enable(fd, SOL_UDP, UDP_GRO, 1);
	socket->gso = setsockopt(fd, SOL_UDP, UDP_SEGMENT, &zero, sizeof zero) == 0;
}

static void free_socket(struct poller *poller)
{
	struct udp_socket *socket = socket_of(poller);
	struct udp *udp = socket->udp;

	close(socket->fd);
	memory_free(socket->kept);
	memory_free(socket);
	if (udp)
		udp->closed(udp->context);
}

int udp_open(struct udp *udp, const struct address *address, struct address *bound)
{
	struct udp_socket *s = memory_zalloc(sizeof *s);
	socklen_t size = sizeof s->local;
	bool opened;
	int rv;

	if (!s)
		return ERROR_NOMEM;
	s->sender.send = send_datagrams;
	to_sockaddr(address, &s->local);
	s->fd = socket(s->local.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0) {
		rv = system_error(errno);
		memory_free(s);
		return rv;
	}
	/* The IPv4 socket beside it has the same port. */
	if (s->local.sa.sa_family == AF_INET6)
		enable(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (bind(s->fd, &s->local.sa, sockaddr_size(&s->local.sa)) < 0 ||
		getsockname(s->fd, &s->local.sa, &size) < 0) {
		int error = errno;

		close(s->fd);
		memory_free(s);
		return system_error(error);
	}
	configure(s);
	s->wildcard = s->local.sa.sa_family == AF_INET
			      ? s->local.in.sin_addr.s_addr == INADDR_ANY
			      : IN6_IS_ADDR_UNSPECIFIED(&s->local.in6.sin6_addr);
	s->poller.ready = on_ready;
	rv = poller_open(&s->poller, udp->loop, s->fd, &opened);
	if (!opened) {
		close(s->fd);
		memory_free(s);
		return system_error(-rv);
	}
	if (rv < 0) {
		poller_close(&s->poller, free_socket);
		return system_error(-rv);
	}
	s->udp = udp;
	s->next = udp->sockets;
	udp->sockets = s;
	if (bound)
		*bound = sockaddr_address(&s->local.sa);
	return ERROR_NONE;
}

size_t udp_close(struct udp *udp)
{
	size_t count = 0;

	while (udp->sockets) {
		struct udp_socket *socket = udp->sockets;

		udp->sockets = socket->next;
		poller_close(&socket->poller, free_socket);
		count++;
	}
	udp->blocked = 0;
	udp->read->next = udp->read->count;
	return count;
}

/* Finds the address of ours that the system would send from, by asking a socket that sends
 * nothing. */
static int source_for(const ngtcp2_sockaddr_union *remote, ngtcp2_sockaddr_union *source)
{
	socklen_t size = sizeof *source;
	int fd = socket(remote->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rv = 0;

	memset(source, 0, sizeof *source);
	if (fd < 0)
		return error_of_system(errno);
	if (connect(fd, &remote->sa, sockaddr_size(&remote->sa)) < 0 ||
		getsockname(fd, &source->sa, &size) < 0)
		rv = error_of_system(errno);
	close(fd);
	return rv;
}

/* Rates how well a socket suits for sending from source; 0: not at all. */
static int suits(const struct udp_socket *socket, const ngtcp2_sockaddr_union *source)
{
	struct address ours, wanted;

	if (socket->local.sa.sa_family != source->sa.sa_family)
		return 0;
	ours = sockaddr_address(&socket->local.sa);
	wanted = sockaddr_address(&source->sa);
	if (memcmp(ours.ip, wanted.ip, sizeof ours.ip) == 0)
		return 3;
	if (socket->wildcard)
		return 2;
	return address_is_loopback(&ours) == address_is_loopback(&wanted);
}

static bool has_family(const struct udp *udp, sa_family_t family)
{
	const struct udp_socket *socket = udp->sockets;

	while (socket && socket->local.sa.sa_family != family)
		socket = socket->next;
	return socket != NULL;
}

int udp_route(const struct udp *udp, const struct address *remote, ngtcp2_path_storage *path)
{
	ngtcp2_sockaddr_union to, source;
	struct udp_socket *socket, *best = NULL;
	int rv;

	to_sockaddr(remote, &to);
	if (!has_family(udp, to.sa.sa_family))
		return to.sa.sa_family == AF_INET ? ERROR_NO_IPV4 : ERROR_NO_IPV6;
	rv = source_for(&to, &source);
	if (rv)
		return rv;
	for (socket = udp->sockets; socket; socket = socket->next)
		if (suits(socket, &source) > (best ? suits(best, &source) : 0))
			best = socket;
	if (!best)
		return ERROR_NO_SOCKET;
	if (!best->wildcard)
		source = best->local;
	else if (source.sa.sa_family == AF_INET)
		source.in.sin_port = best->local.in.sin_port;
	else
		source.in6.sin6_port = best->local.in6.sin6_port;
	ngtcp2_path_storage_init(
		path, &source.sa, sockaddr_size(&source.sa), &to.sa, sockaddr_size(&to.sa), &best->sender);
	return ERROR_NONE;
}
