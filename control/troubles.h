/* troubles.h - what is wrong with a Factory's hub at present: each trouble is logged once when it
 * begins and once when it ends, however often it is reported in between. Threads: the main thread.
 * A zeroed struct has none.
 */
#ifndef CONTROL_TROUBLES_H
#define CONTROL_TROUBLES_H

#include "crypto/secret.h"

enum trouble {
	TROUBLE_UNREACHABLE, /* the API does not answer, or not sensibly */
	TROUBLE_REFUSED, /* it answers no: credentials, rights, factory's name */
	TROUBLE_SERVER_FILE, /* no hub is published, or not readably */
	TROUBLE_OTHER_HUB, /* the published key is not ours */
	TROUBLE_SWITCHED_OFF, /* enabled=0 */
	TROUBLE_VANISHED, /* too many devices gone at once to believe it */
	TROUBLE_PORT, /* the interface or its port cannot be set up */
	TROUBLE_PEERS, /* the device does not take the peers */
	TROUBLE_CLIENTS, /* the clients file is gone or cannot be read */
	TROUBLE_STATE, /* the state cannot be written */
	TROUBLE_HOSTS, /* the hosts file cannot be written */
	N_TROUBLES,
};

#define TROUBLE_WHY_CHARS 300

struct troubles {
	uint64_t since_ns[N_TROUBLES]; /* 0: not now */
	char why[N_TROUBLES][TROUBLE_WHY_CHARS]; /* as it was reported last */
};

/* "api unreachable": for the log and `wghub status`. */
const char *trouble_name(enum trouble trouble);

/* why: one printable line. True if it is news. */
bool trouble_begin(struct troubles *troubles, enum trouble trouble, const char *why);
/* True if there was one. */
bool trouble_end(struct troubles *troubles, enum trouble trouble);
MUST_CHECK bool trouble_is(const struct troubles *troubles, enum trouble trouble);

#endif
