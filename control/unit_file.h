/* unit_file.h - the systemd unit that keeps a Factory's hub running.
 *
 * Its name is the Python daemon's, so that `systemctl restart factory-vpn-F` of old instructions
 * works. No secret is in it: who can log in can read it. Paths are absolute, because a unit has
 * another working directory than the shell it was made in. It starts as root, and wghub gives that
 * up by itself, but for files. Threads: any; pure.
 */
#ifndef CONTROL_UNIT_FILE_H
#define CONTROL_UNIT_FILE_H

#include "crypto/secret.h"
#include "wghub_device.h"

#define UNIT_DIR "/etc/systemd/system"
#define UNIT_NAME_CHARS 100

struct unit {
	const char *factory; /* letters, digits and ._- */
	const char *const
		*words; /* ExecStart: the program's path and its arguments, NULL at the end */
	const char *token_path; /* becomes the credential "apitoken"; or NULL */
	const char *state_dir; /* NULL: systemd's own, /var/lib/wghub */
	const char *const
		*writable; /* paths, NULL at the end; those that are not there are no error */
	bool low_port; /* below 1024 */
	bool no_tun;
};

/* "factory-vpn-F.service" */
void unit_name(char out[UNIT_NAME_CHARS], const char *factory);
/* free() it. NULL: -EINVAL (a path no unit can hold; error says which) or -ENOMEM. */
MUST_CHECK int unit_text(char **text, const struct unit *unit, struct wgh_error *error);

#endif
