/* origin.c - see origin.h. */
#include "control/origin.h"

const char *origin_name(enum origin origin)
{
	static const char *const names[N_ORIGINS] = {"factory", "clients", "conf", "wg"};

	return (unsigned)origin < N_ORIGINS ? names[origin] : "?";
}
