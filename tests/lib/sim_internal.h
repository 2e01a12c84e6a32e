/* sim_internal.h - what sim.c and sim_hub.c share. */
#ifndef TESTS_LIB_SIM_INTERNAL_H
#define TESTS_LIB_SIM_INTERNAL_H

#include "tests/lib/sim.h"

/* Puts a datagram of that hub on the wire. */
void sim_transmit(struct sim_hub *from, const struct wgh_endpoint *to, const void *bytes,
	uint32_t len_bytes, uint8_t ecn, uint8_t tos);

#endif
