/* clients_watch.c - see clients_watch.h. A look is one stat(), which costs less than to find out
 * whether inotify works where the file lies (bind mounts, network file systems, a folder that does
 * not exist yet). */
#include "control/clients_watch.h"

#include "control/file.h"
#include "control/log.h"
#include "control/note_once.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct look {
	int err; /* of file_stat() */
	struct timespec mtime, ctime;
	ino_t inode;
	dev_t device;
	off_t bytes;
};

struct clients_watch {
	uv_timer_t timer;
	char *path;
	struct troubles *troubles;
	clients_changed_fn *changed;
	void *arg;
	struct look read, last; /* when it was read; when it was last looked at */
	bool had_file;
	struct note_once said;
};

static struct look look_at(const char *path)
{
	struct look look;
	struct stat st;

	memset(&look, 0, sizeof look); /* it is compared as bytes */
	look.err = file_stat(path, &st);
	if (look.err)
		return look;
	look.mtime = st.st_mtim;
	look.ctime = st.st_ctim;
	look.inode = st.st_ino;
	look.device = st.st_dev;
	look.bytes = st.st_size;
	return look;
}

static void take(struct clients_watch *watch, const struct clients *clients)
{
	bool is_new = note_once_is_new(&watch->said, &clients->errors);

	for (size_t i = 0; is_new && i < clients->errors.n; i++)
		log_error("client left out why=\"%s\"", clients->errors.lines[i]);
	if (is_new && clients->errors.n_left_out)
		log_error("clients left out more=%zu", clients->errors.n_left_out);
	watch->changed(watch->arg, clients);
}

static void read_it(struct clients_watch *watch)
{
	struct wgh_error error = {""};
	struct clients clients = {0};
	int err;

	watch->read = watch->last = look_at(watch->path);
	err = clients_read(&clients, watch->path, &error);
	if (err == -ENOENT && !watch->had_file) {
		clients = (struct clients){0};
		take(watch, &clients);
		return;
	}
	watch->had_file = true;
	if (err) {
		trouble_begin(watch->troubles, TROUBLE_CLIENTS, error.text);
		return;
	}
	trouble_end(watch->troubles, TROUBLE_CLIENTS);
	take(watch, &clients);
	clients_fini(&clients);
}

static void on_timer(uv_timer_t *timer)
{
	struct clients_watch *watch = timer->data;
	struct look look = look_at(watch->path);
	bool steady = !memcmp(&look, &watch->last, sizeof look);

	watch->last = look;
	if (steady && memcmp(&look, &watch->read, sizeof look))
		read_it(watch);
}

struct clients_watch *clients_watch_new(uv_loop_t *loop, const char *path,
	struct troubles *troubles, clients_changed_fn *changed, void *arg)
{
	struct clients_watch *watch = calloc(1, sizeof *watch);

	if (watch)
		watch->path = strdup(path);
	if (!watch || !watch->path) {
		free(watch);
		return NULL;
	}
	watch->troubles = troubles;
	watch->changed = changed;
	watch->arg = arg;
	uv_timer_init(loop, &watch->timer);
	watch->timer.data = watch;
	uv_timer_start(&watch->timer, on_timer, CLIENTS_LOOK_MS, CLIENTS_LOOK_MS);
	read_it(watch);
	return watch;
}

void clients_watch_now(struct clients_watch *watch)
{
	read_it(watch);
}

static void on_closed(uv_handle_t *handle)
{
	struct clients_watch *watch = handle->data;

	free(watch->path);
	free(watch);
}

void clients_watch_free(struct clients_watch *watch)
{
	if (watch)
		uv_close((uv_handle_t *)&watch->timer, on_closed);
}
