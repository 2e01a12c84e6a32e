/* origin.h - who asked for a peer. Nobody changes or removes another's. */
#ifndef CONTROL_ORIGIN_H
#define CONTROL_ORIGIN_H

enum origin {
	ORIGIN_FACTORY, /* an enabled device, from the API */
	ORIGIN_CLIENTS, /* an engineer, from factory-clients.conf */
	ORIGIN_CONF, /* the configuration file of `wghub up` */
	ORIGIN_WG, /* by hand, over the UAPI: everything that nobody else asked for */
	N_ORIGINS,
};

#define ORIGIN_BIT(origin) (1u << (origin))

/* "factory", "clients", "conf", "wg": for status, logs and the state file. */
const char *origin_name(enum origin origin);

#endif
