/* factory_plan.h - what publishing this hub would change, and whether that may be: decided before
 * anything is sent, because every write makes every device take its tunnel down and up.
 *
 * The text comes from server_file_write(), so it has the strict shape. Lines of a published file
 * that are none of the four keys are lost with a write, and a line of the plan says so; a file that
 * already says what is wanted is left as it is, with all its lines. Threads: any; pure.
 */
#ifndef CONTROL_FACTORY_PLAN_H
#define CONTROL_FACTORY_PLAN_H

#include "control/factory_json.h"

#define FACTORY_PORT_DEFAULT 5555
#define FACTORY_ADDRESS_DEFAULT "10.42.42.1"

struct plan_wish {
	bool endpoint_only; /* update_endpoint: what is published must be ours already */
	bool take_over; /* also when another hub's key is published */
	const char *host; /* name or address, IPv6 with or without brackets; NULL: as published */
	uint16_t port; /* 0: as published, else the default */
	struct wgh_addr address; /* WGH_UNSPEC: as published, else the default */
	struct wgh_public_key public_key; /* of our private key */
};

struct plan {
	bool change; /* false: what is published says all this already */
	bool anew; /* with another key or inner address: a hub that runs has to begin anew */
	struct server_file file; /* as it is to be */
	char text[FACTORY_FILE_CHARS]; /* to be sent, if change */
	struct notes lines; /* what changes, and what a person should know */
};

/* published: of factory_file_find(); value NULL: there is none. -EPERM: another hub's, or one
 * nobody can read; -EDESTADDRREQ: nobody said where devices reach the hub; -ENOENT: there is
 * nothing to update; -EINVAL: a wish that cannot be. */
MUST_CHECK int plan_make(struct plan *plan, const struct plan_wish *wish,
	const struct factory_file *published, struct wgh_error *error);
void plan_fini(struct plan *plan);
/* After the write: does the API have what the plan wanted? -EINVAL: no, and what it has instead. */
MUST_CHECK int plan_compare(
	const struct plan *plan, const struct factory_file *published, struct wgh_error *error);

/* May this be the hub's own inner address? NULL, or why not. */
const char *plan_address(struct wgh_addr *address, const char *text);

#endif
