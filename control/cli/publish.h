/* publish.h - this hub made known to its factory: what the commands enable, enable_run and
 * update_endpoint have in common. Everything is shown before it is done and read back afterwards.
 */
#ifndef CONTROL_PUBLISH_H
#define CONTROL_PUBLISH_H

#include "control/cli/factory_options.h"
#include "control/factory_plan.h"

enum published {
	PUBLISHED, /* the API has what it should have */
	PUBLISH_FAILED, /* it will not before somebody acts */
	PUBLISH_UNREACHABLE, /* nobody answered: later, perhaps */
	PUBLISH_USAGE,
};

struct publish_result {
	bool changed; /* the API had something else before */
	bool anew; /* see struct plan */
	bool key_is_new;
	bool no_credentials; /* published, but the daemon cannot ask the API: it was said */
	struct server_file file; /* if PUBLISHED */
};

/* Credentials, state's folder and interface's name are found already. Reads the private key, or
 * makes it. What is wrong is said. */
MUST_CHECK enum published publish(struct factory_options *options, struct publish_result *result);

#endif
