/* conf_read.c - reads a configuration file and refuses one that others can read. */
#include "control/conf.h"

#include "control/error.h"
#include "control/file.h"
#include "control/text.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int conf_read(struct conf **conf, const char *path, struct wgh_error *error)
{
	struct file_text file;
	char shown[100];
	int err = file_read(&file, path, CONF_BYTES_MAX, error);

	text_escape(shown, sizeof shown, path, strlen(path));
	if (err == -ENOENT)
		error_set(error, "%s: there is no such file", shown);
	else if (err == -EFBIG)
		error_set(error, "%s: larger than 64 MiB; is this a configuration file?", shown);
	else if (err == -EINVAL)
		error_set(error, "%s: not a plain file; give a configuration file", shown);
	if (err)
		return err;
	/* A link may lead to the file (as in /etc), so the rights that count are those of what was
	 * opened. */
	if (file.mode & S_IRWXO) {
		error_set(error,
			"%s: others can use this file and it holds a private key; type: chmod 600 "
			"%s",
			shown, shown);
		err = -EPERM;
	} else {
		err = conf_parse(conf, path, file.bytes, file.n, error);
	}
	file_text_fini(&file);
	return err;
}
