/* array.c - see array.h. For lists that come from files and requests: peers, prefixes. */
#include "control/array.h"

#include <stdlib.h>
#include <string.h>

void *array_grow(void *array, size_t *cap, size_t element_bytes)
{
	size_t new_cap = *cap ? *cap * 2 : 8;
	void *bigger = calloc(new_cap, element_bytes);

	if (!bigger)
		return NULL;
	if (array)
		memcpy(bigger, array, *cap * element_bytes);
	array_free(array, *cap, element_bytes);
	*cap = new_cap;
	return bigger;
}

void array_free(void *array, size_t cap, size_t element_bytes)
{
	if (array)
		secret_wipe(array, cap * element_bytes);
	free(array);
}
