/* conf_read.c - opens a configuration file and refuses one that others can read. The file's text is
 * kept in one buffer that is wiped before conf_read() returns. */
#include "control/conf.h"

#include "control/error.h"
#include "control/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A link may lead to the file (as in /etc), so the rights that count are those of what was opened.
 */
static int check_file(int fd, const char *shown, size_t *size_bytes, struct wgh_error *error)
{
	struct stat st;

	if (fstat(fd, &st) < 0) {
		error_set(error, "%s: %s", shown, strerror(errno));
		return -errno;
	}
	if (!S_ISREG(st.st_mode)) {
		error_set(error, "%s: not a plain file; give a configuration file", shown);
		return -EINVAL;
	}
	if (st.st_mode & S_IRWXO) {
		error_set(error,
			"%s: others can use this file and it holds a private key; type: chmod 600 "
			"%s",
			shown, shown);
		return -EPERM;
	}
	if (st.st_size > CONF_BYTES_MAX) {
		error_set(error, "%s: larger than 64 MiB; is this a configuration file?", shown);
		return -EFBIG;
	}
	*size_bytes = (size_t)st.st_size;
	return 0;
}

int conf_read(struct conf **conf, const char *path, struct wgh_error *error)
{
	size_t size_bytes, n = 0;
	char shown[100], *text = NULL;
	int err, fd;

	text_escape(shown, sizeof shown, path, strlen(path));
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		err = -errno;
		if (err == -ENOENT)
			error_set(error, "%s: there is no such file", shown);
		else
			error_set(error, "%s: cannot be opened: %s", shown, strerror(-err));
		return err;
	}
	err = check_file(fd, shown, &size_bytes, error);
	if (err)
		goto out;
	text = malloc(size_bytes + 1);
	if (!text) {
		err = -ENOMEM;
		error_set(error, "%s: out of memory", shown);
		goto out;
	}
	while (n < size_bytes) {
		ssize_t got = read(fd, text + n, size_bytes - n);

		if (got < 0) {
			err = -errno;
			error_set(error, "%s: cannot be read: %s", shown, strerror(-err));
			goto out;
		}
		if (got == 0)
			break; /* it became shorter meanwhile: what is there decides */
		n += (size_t)got;
	}
	err = conf_parse(conf, path, text, n, error);
out:
	if (text)
		secret_wipe(text, size_bytes);
	free(text);
	close(fd);
	return err;
}
