/* factory_save.c - see factory_save.h. A pass has its own copy of everything, so the pool's thread
 * shares nothing with the main loop. */
#include "control/factory_save.h"

#include "control/error.h"
#include "control/hosts.h"
#include "control/note_once.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

struct factory_save {
	uv_loop_t *loop;
	struct troubles *troubles;
	char *state_path, *hosts_path;
	char host_name[256];
	/* waits for its turn */
	bool waiting, waiting_hosts;
	struct state next;
	/* the pass under way, the pool's meanwhile */
	bool busy;
	uv_work_t work;
	struct state state;
	bool with_hosts;
	int state_err, hosts_err;
	struct wgh_error state_error, hosts_error;
	struct notes notes;
	struct note_once said;
};

static int update_hosts(struct factory_save *save)
{
	const struct state *state = &save->state;
	struct hosts_entry *entries = calloc(state->n_peers + 1, sizeof *entries);
	struct hosts_block block = {
		.factory = state->factory, .own_name = save->host_name, .entries = entries};
	bool written;
	int err;

	if (!entries) {
		error_set(&save->hosts_error, "out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < state->n_peers; i++) {
		const struct state_peer *peer = &state->peers[i];

		if (peer->origin == ORIGIN_FACTORY && !peer->reserved && peer->name && *peer->name)
			entries[block.n_entries++] =
				(struct hosts_entry){peer->address, peer->name};
	}
	err = hosts_update(save->hosts_path, &block, &written, &save->notes, &save->hosts_error);
	free(entries);
	return err;
}

static void work(uv_work_t *request)
{
	struct factory_save *save = request->data;

	save->state_err = save->hosts_err = 0;
	if (save->state_path)
		save->state_err = state_save(&save->state, save->state_path, &save->state_error);
	if (save->with_hosts && save->hosts_path)
		save->hosts_err = update_hosts(save);
}

static void begin(struct factory_save *save);

static void on_done(uv_work_t *request, int status)
{
	struct factory_save *save = request->data;

	(void)status; /* nobody cancels it */
	save->busy = false;
	if (save->state_err)
		trouble_begin(save->troubles, TROUBLE_STATE, save->state_error.text);
	else
		trouble_end(save->troubles, TROUBLE_STATE);
	if (save->hosts_err)
		trouble_begin(save->troubles, TROUBLE_HOSTS, save->hosts_error.text);
	else if (save->with_hosts)
		trouble_end(save->troubles, TROUBLE_HOSTS);
	if (save->with_hosts)
		note_once_log(&save->said, "hosts", &save->notes);
	notes_fini(&save->notes);
	state_fini(&save->state);
	if (save->waiting)
		begin(save);
}

static void begin(struct factory_save *save)
{
	/* What failed before is tried again with every pass. */
	save->with_hosts = save->waiting_hosts || trouble_is(save->troubles, TROUBLE_HOSTS);
	save->state = save->next;
	save->next = (struct state){0};
	save->waiting = save->waiting_hosts = false;
	save->work.data = save;
	save->busy = !uv_queue_work(save->loop, &save->work, work, on_done);
	if (!save->busy)
		state_fini(&save->state);
}

void factory_save(struct factory_save *save, struct state *state, bool with_hosts)
{
	state_fini(&save->next);
	save->next = *state;
	*state = (struct state){0};
	save->waiting = true;
	save->waiting_hosts |= with_hosts;
	if (!save->busy)
		begin(save);
}

void factory_save_wait(struct factory_save *save)
{
	while (save->busy)
		uv_run(save->loop, UV_RUN_ONCE);
}

struct factory_save *factory_save_new(
	uv_loop_t *loop, const char *state_path, const char *hosts_path, struct troubles *troubles)
{
	struct factory_save *save = calloc(1, sizeof *save);

	if (!save)
		return NULL;
	save->loop = loop;
	save->troubles = troubles;
	if (state_path)
		save->state_path = strdup(state_path);
	if (hosts_path)
		save->hosts_path = strdup(hosts_path);
	gethostname(save->host_name, sizeof save->host_name - 1);
	if ((state_path && !save->state_path) || (hosts_path && !save->hosts_path)) {
		factory_save_free(save);
		return NULL;
	}
	return save;
}

void factory_save_free(struct factory_save *save)
{
	if (!save)
		return;
	state_fini(&save->next);
	free(save->state_path);
	free(save->hosts_path);
	free(save);
}
