/* hosts_names.h - which names may stand in the block of hosts.c. For nobody else. */
#ifndef CONTROL_HOSTS_NAMES_H
#define CONTROL_HOSTS_NAMES_H

#include "control/hosts.h"
#include "control/slice.h"

#define HOSTS_NAME_BYTES 253

bool hosts_is_name_char(char c);
bool hosts_name_is_valid(struct slice name);
/* Copies the entries that may stand there, sorted by address; free() *out, names stay borrowed.
 * others: the rest of the file. -ENOMEM. */
MUST_CHECK int hosts_choose(struct hosts_entry **out, size_t *n, const struct hosts_block *block,
	const char *others, size_t others_n, struct notes *notes);

#endif
