/* array.h - arrays that grow by doubling and leave nothing behind: outgrown memory is wiped.
 * Threads: any; no state.
 */
#ifndef CONTROL_ARRAY_H
#define CONTROL_ARRAY_H

#include "crypto/secret.h"

/* Twice the room (8 elements at first), the new part zeroed; *cap is updated. NULL: no memory,
 * nothing has changed. */
MUST_CHECK void *array_grow(void *array, size_t *cap, size_t element_bytes);
/* Wipes and frees; NULL is fine. */
void array_free(void *array, size_t cap, size_t element_bytes);

#endif
