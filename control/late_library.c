/* late_library.c - see late_library.h. */
#include "control/late_library.h"

#include "control/error.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

/* False: dlerror() says why. */
static bool find_all(const struct late_library *library, void *handle)
{
	for (size_t i = 0; i < library->n; i++) {
		void *function = dlsym(handle, library->names[i]);

		if (!function)
			return false;
		memcpy((char *)library->functions + i * sizeof function, &function,
			sizeof function);
	}
	return true;
}

int late_library_load(struct late_library *library, struct wgh_error *error)
{
	void *handle;

	if (library->is_loaded)
		return 0;
	handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
	if (!handle || !find_all(library, handle)) {
		error_set(error, "a library is missing: %s; on Debian: apt-get install %s",
			dlerror(), library->package);
		if (handle)
			dlclose(handle);
		return -ENOENT;
	}
	library->is_loaded = true;
	return 0;
}
