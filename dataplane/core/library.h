/* library.h - how options come over the library's border. Threads: any; no state. */
#ifndef CORE_LIBRARY_H
#define CORE_LIBRARY_H

#include "wghub.h"

/* Options of a program that may be built with another version's header, from_bytes long. False: it
 * is too short, or asks for something that this version does not know. */
bool library_options(void *to, size_t to_bytes, const void *from, size_t from_bytes);

#endif
