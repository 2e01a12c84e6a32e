/* netns.h - a network namespace of the test's own: nothing of the machine is touched, nothing is
 * left behind. Threads: the calling thread moves; sockets and devices it opens stay in the
 * namespace where they were opened. Needs root; without it the test fails and says so.
 */
#ifndef TESTS_NETNS_H
#define TESTS_NETNS_H

#include <stdbool.h>

/* Moves into a fresh namespace with lo up. The result goes to netns_leave(). */
int netns_enter(void);
/* Back to where we came from. */
void netns_leave(int before);

/* 0 or negative errno. */
int netns_link_set(const char *name, bool up, int mtu_bytes);
/* IPv4 only, in dotted text. */
int netns_address_set(const char *name, const char *addr, const char *mask);

#endif
