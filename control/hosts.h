/* hosts.h - a factory's block of device names in /etc/hosts.
 *
 * Everything outside the block stays byte for byte. Lines: the old Python daemon's, because people
 * and tools read them. A name is left out, with a note, where it is no host name, is localhost or
 * this host's, belongs to two devices, or stands elsewhere in the file. Threads: any; hosts_text()
 * is pure. Cost: sorts names and addresses.
 */
#ifndef CONTROL_HOSTS_H
#define CONTROL_HOSTS_H

#include "control/notes.h"
#include "wghub_device.h"

#define HOSTS_BYTES_MAX (64u << 20)

struct hosts_entry {
	struct wgh_addr address;
	const char *name; /* borrowed */
};

struct hosts_block {
	const char *factory; /* letters, digits and ._- */
	const char *own_name; /* this host's, or NULL */
	const struct hosts_entry *entries;
	size_t n_entries;
};

/* The new text; free() *out. *out is NULL where nothing changes. -EINVAL: the factory's name. */
MUST_CHECK int hosts_text(char **out, size_t *out_n, const char *text, size_t n,
	const struct hosts_block *block, struct notes *notes);
/* Reads, changes and replaces the file, under a lock on itself; *written says whether it had to.
 * -EAGAIN: somebody else holds the lock. */
MUST_CHECK int hosts_update(const char *path, const struct hosts_block *block, bool *written,
	struct notes *notes, struct wgh_error *error);

#endif
