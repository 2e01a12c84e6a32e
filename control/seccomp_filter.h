/* seccomp_filter.h - which system calls a thread, and those it starts afterwards, can still make:
 * lists of what is needed, for libseccomp. Everything else answers EPERM, as libc's and other
 * libraries' attempts at comfort must not end a hub. Needs no_new_privs. Threads: the calling one.
 */
#ifndef CONTROL_SECCOMP_FILTER_H
#define CONTROL_SECCOMP_FILTER_H

#include "crypto/secret.h"

enum seccomp_for {
	/* Packets only: no files, no sockets, no threads, no memory to execute. To start a program
	   ends the process. Also forbidden, but answered by EPERM: open(), as malloc() may look how
	   many processors there are. */
	SECCOMP_FOR_DATA_PATH,
	/* Files, sockets and threads; no programs, no other processes, no change of what the system
	   is. */
	SECCOMP_FOR_MAIN,
	SECCOMP_FOR_KEEPER, /* files only */
};

/* 0 or negative errno. */
MUST_CHECK int seccomp_filter_enter(enum seccomp_for kind);

#endif
