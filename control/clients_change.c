/* clients_change.c - see clients_change.h. The one under way belongs to the pool's thread until it
 * is done; those behind it to the main thread. */
#include "control/clients_change.h"

#include "control/log.h"
#include "control/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct change {
	struct change *next;
	struct client client;
	bool remove;
	clients_change_fn *done;
	void *arg;
	int err;
	struct wgh_error error;
};

struct clients_change {
	uv_loop_t *loop;
	uv_work_t work;
	char *path;
	struct change *first, **end; /* the first is under way while busy */
	size_t n;
	bool busy;
};

struct clients_change *clients_change_new(uv_loop_t *loop, const char *path)
{
	struct clients_change *changes = calloc(1, sizeof *changes);

	if (changes)
		changes->path = strdup(path);
	if (!changes || !changes->path) {
		free(changes);
		return NULL;
	}
	changes->loop = loop;
	changes->end = &changes->first;
	return changes;
}

void clients_change_wait(struct clients_change *changes)
{
	while (changes->busy)
		uv_run(changes->loop, UV_RUN_ONCE);
}

static void change_free(struct change *change)
{
	free(change->client.name);
	free(change);
}

void clients_change_free(struct clients_change *changes)
{
	if (!changes)
		return;
	free(changes->path);
	free(changes);
}

static void work(uv_work_t *request)
{
	struct clients_change *changes = request->data;
	struct change *change = changes->first;

	change->err = change->remove
		? clients_remove(changes->path, &change->client.public_key, &change->error)
		: clients_replace(changes->path, &change->client, &change->error);
}

static void begin(struct clients_change *changes);

static void report(const struct clients_change *changes, const struct change *change)
{
	char peer[TEXT_PEER_CHARS], shown[120];

	if (change->done) {
		change->done(change->arg, change->err, change->error.text);
	} else if (change->err) {
		text_from_peer(peer, &change->client.public_key);
		text_escape(shown, sizeof shown, changes->path, strlen(changes->path));
		log_error("clients file not changed file=\"%s\" peer=%s why=\"%s\"", shown, peer,
			change->error.text);
	}
}

static void take_first(struct clients_change *changes)
{
	struct change *change = changes->first;

	changes->first = change->next;
	if (!changes->first)
		changes->end = &changes->first;
	changes->n--;
}

static void on_done(uv_work_t *request, int status)
{
	struct clients_change *changes = request->data;
	struct change *change = changes->first;

	(void)status; /* nobody cancels it */
	take_first(changes);
	changes->busy = false;
	begin(changes);
	report(changes, change);
	change_free(change);
}

static void begin(struct clients_change *changes)
{
	if (changes->busy || !changes->first)
		return;
	changes->work.data = changes;
	changes->busy = !uv_queue_work(changes->loop, &changes->work, work, on_done);
}

static int put(struct clients_change *changes, const struct change *wanted, const char *name)
{
	struct change *change = changes->n < CLIENTS_CHANGES_MAX ? malloc(sizeof *change) : NULL;

	if (changes->n >= CLIENTS_CHANGES_MAX)
		return -EBUSY;
	if (!change)
		return -ENOMEM;
	*change = *wanted;
	change->client.name = strdup(name);
	if (!change->client.name) {
		free(change);
		return -ENOMEM;
	}
	*changes->end = change;
	changes->end = &change->next;
	changes->n++;
	begin(changes);
	return 0;
}

int clients_change_put(struct clients_change *changes, const struct client *client,
	clients_change_fn *done, void *arg)
{
	const struct change change = {.client = *client, .done = done, .arg = arg};

	return put(changes, &change, client->name);
}

int clients_change_remove(struct clients_change *changes, const struct wgh_public_key *key,
	clients_change_fn *done, void *arg)
{
	const struct change change = {
		.client.public_key = *key, .remove = true, .done = done, .arg = arg};

	return put(changes, &change, "");
}
