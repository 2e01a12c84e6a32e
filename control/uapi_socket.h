/* uapi_socket.h - the file NAME.sock that wg(8) looks for: made, probed, watched for removal,
 * connected to. Threads: the main thread; making one changes the process's umask for a moment.
 */
#ifndef CONTROL_UAPI_SOCKET_H
#define CONTROL_UAPI_SOCKET_H

#include "crypto/secret.h"
#include "wghub_device.h"

#include <sys/types.h>
#include <sys/un.h>

/* Where the sockets are unless --socket-dir says otherwise: wg(8)'s /var/run/wireguard for root,
 * $XDG_RUNTIME_DIR/wireguard for others. NULL: not root and no such variable. Valid until the next
 * call. */
const char *uapi_socket_default_dir(void);

struct uapi_socket {
	int fd; /* listening, close-on-exec; the caller closes it */
	char path[sizeof((struct sockaddr_un *)0)->sun_path];
	/* Which file it is, for another may take its path. The number is not given to another file
	 * while fd is open. */
	dev_t dev;
	ino_t ino;
	bool is_lent; /* somebody else made the file and removes it */
};

/* Makes the directory (0755) and the socket (0600). A file left over from a program that ended is
 * replaced. -EADDRINUSE: a hub of that name runs. */
MUST_CHECK int uapi_socket_make(
	struct uapi_socket *s, const char *dir, const char *ifname, struct wgh_error *error);
/* Takes over a listening socket that a parent process made (WG_UAPI_FD). */
MUST_CHECK int uapi_socket_adopt(struct uapi_socket *s, int fd, struct wgh_error *error);
/* False once somebody removed or replaced the file. */
bool uapi_socket_is_there(const struct uapi_socket *s);
/* Removes the file if it is still there and not lent. */
void uapi_socket_remove(const struct uapi_socket *s);

/* DIR/NAME.sock; -ENAMETOOLONG. */
MUST_CHECK int uapi_socket_path(
	struct sockaddr_un *addr, const char *dir, const char *ifname, struct wgh_error *error);
/* How long a hub with as many waiting as it has room for is waited for. */
#define UAPI_CONNECT_S 5
/* A connected descriptor or a negative errno: -ENOENT and -ECONNREFUSED when no hub of that name
 * runs, -EAGAIN when one does but lets nobody in. */
MUST_CHECK int uapi_socket_connect(const struct sockaddr_un *addr);

#endif
