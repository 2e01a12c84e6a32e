/* doctor.h - what `wghub doctor` looks at: each check gives one finding, with what it means and
 * what to do. Checks change nothing on the machine. Threads: main. Cost: all of them well under a
 * second.
 */
#ifndef CONTROL_DOCTOR_H
#define CONTROL_DOCTOR_H

#include "crypto/secret.h"

enum finding_state {
	FINDING_OK,
	FINDING_NOTE, /* a hub works, but slower or without something */
	FINDING_BAD, /* a hub does not work, or peers do not reach it */
};

struct finding {
	enum finding_state state;
	char found[160];
	/* Empty where all is well. */
	const char *meaning, *remedy;
};

struct doctor_options {
	uint16_t port; /* the hub's, to be */
	const char *socket_dir; /* where hubs that run are looked for; or NULL */
};

typedef void doctor_check(struct finding *finding, const struct doctor_options *options);

/* Segments go through loopback as one buffer and come back as one: doctor_offload.c. */
doctor_check doctor_offload;

#endif
