/* yaml_pairs.h - the piece of YAML that fioctl's configuration uses: "key: value" at the top, and
 * one level below "section:". Plain and quoted scalars, comments.
 *
 * Anything else is refused, because half-understood YAML is worse than none. Values are strings.
 * Changing one keeps every other byte. Threads: any; pure. Bounds: YAML_PAIRS_MAX pairs.
 */
#ifndef CONTROL_YAML_PAIRS_H
#define CONTROL_YAML_PAIRS_H

#include "control/slice.h"
#include "crypto/secret.h"
#include "wghub_device.h"

#define YAML_PAIRS_MAX 256

struct yaml_pair {
	struct slice section, key; /* section of n 0: at the top */
	struct slice raw; /* the value as it stands, with quotes; of n 0: none */
};

struct yaml_pairs {
	struct yaml_pair pairs[YAML_PAIRS_MAX]; /* point into the text */
	size_t n;
};

/* -EINVAL: *error names the line, and nothing of it. */
MUST_CHECK int yaml_parse(
	struct yaml_pairs *yaml, const char *text, size_t n, struct wgh_error *error);
/* The value, decoded; free() it after wiping. NULL: it is missing, empty or null; or -ENOMEM in
 * *err. */
MUST_CHECK char *yaml_get(
	const struct yaml_pairs *yaml, const char *section, const char *key, int *err);
/* The text with this value in a section that is there; the key is added if it is not. quote: as a
 * string. NULL: no memory, no section, or a value that is no printable ASCII. */
MUST_CHECK char *yaml_set(const char *text, size_t n, const char *section, const char *key,
	const char *value, bool quote);

#endif
