/* udp.c - opens and prepares the outer sockets; endpoints to and from the system's form.
 *
 * Receiving is in udp_receive.c, sending in udp_send.c. Costs: about twenty system calls when a
 * socket opens, none later. Fails: what changes who can be reached (address family, port, mark) is
 * an error; what only costs speed or comfort (offloads, buffers, packet info) is left out where the
 * system refuses it.
 */
#include "io/udp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	BUFFER_BYTES = 7 << 20,
	SEND_WAIT_US = 100 * 1000,
};

static int option_set(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof value) < 0 ? -errno : 0;
}

/* Receive offload had faults that corrupted lengths before 5.12; wireguard-go keeps it off there
 * too. */
static bool kernel_has_good_gro(void)
{
	struct utsname name;
	unsigned major, minor;

	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return false;
	return major > 5 || (major == 5 && minor >= 12);
}

static void buffers_enlarge(int fd)
{
	/* The FORCE variants pass net.core.?mem_max, and need CAP_NET_ADMIN. */
	if (option_set(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES) < 0)
		(void)option_set(fd, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
	if (option_set(fd, SOL_SOCKET, SO_SNDBUFFORCE, BUFFER_BYTES) < 0)
		(void)option_set(fd, SOL_SOCKET, SO_SNDBUF, BUFFER_BYTES);
}

/* Ancillary data in, fragmentation allowed out. Without one of them the tunnel still works. */
static void ancillary_enable(int fd, enum wgh_family family)
{
	struct timeval wait = {.tv_usec = SEND_WAIT_US};

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
	if (family == WGH_IPV4) {
		(void)option_set(fd, IPPROTO_IP, IP_PKTINFO, 1);
		(void)option_set(fd, IPPROTO_IP, IP_RECVTOS, 1);
		(void)option_set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT);
		return;
	}
	(void)option_set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	(void)option_set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	(void)option_set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DONT);
}

static int any_address_bind(int fd, enum wgh_family family, uint16_t *port)
{
	struct wgh_endpoint any = {.family = family, .port = *port};
	struct sockaddr_storage sa;
	socklen_t len = udp_endpoint_to_sockaddr(&sa, &any);

	if (bind(fd, (struct sockaddr *)&sa, len) < 0) {
		/* IPv6 compiled in but disabled. */
		return errno == EADDRNOTAVAIL ? -EAFNOSUPPORT : -errno;
	}
	len = sizeof sa;
	if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	if (!udp_endpoint_from_sockaddr(&any, &sa))
		return -EAFNOSUPPORT;
	*port = any.port;
	return 0;
}

/* All that can be set before or after binding. */
static void prepare(
	struct udp_socket *s, int fd, enum wgh_family family, const struct udp_options *options)
{
	int value;
	socklen_t len = sizeof value;

	ancillary_enable(fd, family);
	buffers_enlarge(fd);
	s->family = family;
	s->gro = !options->no_gro && kernel_has_good_gro() &&
		option_set(fd, IPPROTO_UDP, UDP_GRO, 1) == 0;
	atomic_store_explicit(&s->gso,
		!options->no_gso && getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &value, &len) == 0,
		memory_order_relaxed);
}

int udp_open(struct udp_socket *s, enum wgh_family family, const struct udp_options *options,
	uint16_t *port)
{
	uint16_t bound = options->port;
	int af = family == WGH_IPV4 ? AF_INET : AF_INET6, err = 0;
	int fd = socket(af, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP);

	s->fd = -1;
	if (fd < 0)
		return -errno;
	if (family == WGH_IPV6)
		err = option_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	if (!err && options->reuseport)
		err = option_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (!err && options->fwmark)
		err = option_set(fd, SOL_SOCKET, SO_MARK, (int)options->fwmark);
	if (err)
		goto out;
	prepare(s, fd, family, options);
	/* Last: from here on datagrams arrive, and they shall come with all of the above. */
	err = any_address_bind(fd, family, &bound);
	if (err)
		goto out;
	s->fd = fd;
	*port = bound;
	return 0;
out:
	close(fd);
	return err;
}

bool udp_describe(int fd, enum wgh_family *family, uint16_t *port)
{
	struct sockaddr_storage sa;
	struct wgh_endpoint bound;
	int type = 0, v6only = 1;
	socklen_t sa_len = sizeof sa, type_len = sizeof type, v6only_len = sizeof v6only;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 || type != SOCK_DGRAM ||
		getsockname(fd, (struct sockaddr *)&sa, &sa_len) < 0 ||
		!udp_endpoint_from_sockaddr(&bound, &sa) || !bound.port)
		return false;
	if (sa.ss_family == AF_INET6 &&
		(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &v6only_len) < 0 || !v6only))
		return false;
	*family = sa.ss_family == AF_INET ? WGH_IPV4 : WGH_IPV6;
	*port = bound.port;
	return true;
}

int udp_adopt(struct udp_socket *s, int fd, const struct udp_options *options)
{
	enum wgh_family family;
	uint16_t port;
	int err = 0;

	s->fd = -1;
	if (!udp_describe(fd, &family, &port))
		return -EINVAL;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	s->fd = fd;
	err = udp_set_fwmark(s, options->fwmark);
	if (err)
		udp_close(s);
	else
		prepare(s, fd, family, options);
	return err;
}

void udp_close(struct udp_socket *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

int udp_set_fwmark(struct udp_socket *s, uint32_t fwmark)
{
	uint32_t now;
	socklen_t len = sizeof now;

	/* A change to the same value needs no right. */
	if (getsockopt(s->fd, SOL_SOCKET, SO_MARK, &now, &len) == 0 && now == fwmark)
		return 0;
	return option_set(s->fd, SOL_SOCKET, SO_MARK, (int)fwmark);
}

bool udp_endpoint_from_sockaddr(struct wgh_endpoint *out, const struct sockaddr_storage *from)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;

	*out = (struct wgh_endpoint){0};
	if (from->ss_family == AF_INET) {
		out->family = WGH_IPV4;
		out->port = ntohs(v4->sin_port);
		memcpy(out->addr, &v4->sin_addr, 4);
		return true;
	}
	if (from->ss_family != AF_INET6)
		return false;
	out->port = ntohs(v6->sin6_port);
	if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
		out->family = WGH_IPV4;
		memcpy(out->addr, v6->sin6_addr.s6_addr + 12, 4);
		return true;
	}
	out->family = WGH_IPV6;
	out->scope_id = v6->sin6_scope_id;
	memcpy(out->addr, &v6->sin6_addr, 16);
	return true;
}

unsigned udp_endpoint_to_sockaddr(struct sockaddr_storage *out, const struct wgh_endpoint *endpoint)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	if (endpoint->family == WGH_IPV4) {
		*v4 = (struct sockaddr_in){
			.sin_family = AF_INET, .sin_port = htons(endpoint->port)};
		memcpy(&v4->sin_addr, endpoint->addr, 4);
		return sizeof *v4;
	}
	*v6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
		.sin6_port = htons(endpoint->port),
		.sin6_scope_id = endpoint->scope_id};
	memcpy(&v6->sin6_addr, endpoint->addr, 16);
	return sizeof *v6;
}

void udp_add_queue(
	const struct udp_socket *s, uint64_t *bytes, uint64_t *max_bytes, uint64_t *n_lost)
{
	uint32_t info[SK_MEMINFO_VARS] = {0};
	socklen_t len = sizeof info;

	if (s->fd < 0 || getsockopt(s->fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0)
		return;
	*bytes += info[SK_MEMINFO_RMEM_ALLOC];
	*max_bytes += info[SK_MEMINFO_RCVBUF];
	*n_lost += info[SK_MEMINFO_DROPS];
}
