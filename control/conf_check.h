/* conf_check.h - the last step of conf_parse(): checks that need the whole file. Errors name both
 * lines.
 */
#ifndef CONTROL_CONF_CHECK_H
#define CONTROL_CONF_CHECK_H

#include "control/conf.h"

/* path: printable. interface_line: of [Interface], 0 if there is none. -EINVAL, -ENOMEM. */
MUST_CHECK int conf_check(const struct conf *conf, const char *path, unsigned interface_line,
	struct wgh_error *error);

#endif
