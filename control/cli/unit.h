/* unit.h - the service of a Factory's hub on this host: its file written, and systemd told, where
 * it runs.
 */
#ifndef CONTROL_UNIT_H
#define CONTROL_UNIT_H

#include "control/cli/factory_options.h"

/* 0 or the exit code; all of it is said. A hub that runs with this unit already goes on, because a
 * restart costs every session, unless it has to begin anew. *restarted: it was not left alone. */
MUST_CHECK int unit_install(
	const struct factory_options *options, uint16_t port, bool anew, bool *restarted);

#endif
