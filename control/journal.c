/* journal.c - see journal.h. A pipe is asked before each write whether it has room: lines are
 * shorter than PIPE_BUF, so a write never waits for who reads. */
#include "control/journal.h"

#include "control/error.h"
#include "control/json_text.h"
#include "control/log.h"
#include "control/text.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

static struct {
	int fd; /* only where open */
	bool open, failing;
	uint64_t n_lost;
	char interface[16];
} journal;

int journal_open(const char *path, struct wgh_error *error)
{
	char shown[100];

	if (!path)
		return 0;
	json_text_init();
	if (!strcmp(path, "-"))
		journal.fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	else /* O_NONBLOCK: a FIFO that nobody reads is an error, not a wait */
		journal.fd = open(path,
			O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
	if (journal.fd < 0) {
		int err = -errno;

		text_escape(shown, sizeof shown, path, strlen(path));
		error_set(error, "--events %s: %s", shown, strerror(-err));
		return err;
	}
	journal.open = true;
	return 0;
}

void journal_close(void)
{
	if (journal.open)
		close(journal.fd);
	memset(&journal, 0, sizeof journal);
}

bool journal_is_open(void)
{
	return journal.open;
}

void journal_set_interface(const char *name)
{
	snprintf(journal.interface, sizeof journal.interface, "%s", name);
}

/* ---- lines ---- */

static bool write_line(const char *line, size_t n)
{
	struct pollfd room = {.fd = journal.fd, .events = POLLOUT};
	ssize_t written = -1;

	if (poll(&room, 1, 0) == 1 && room.revents & POLLOUT)
		written = write(journal.fd, line, n);
	if (written == (ssize_t)n) {
		journal.failing = false;
		return true;
	}
	if (!journal.failing)
		log_warn("events not written why=\"%s\" note=\"the next line that is says how "
			 "many\"",
			written < 0 && errno ? strerror(errno) : "no room");
	journal.failing = true;
	return false;
}

static void now_text(char out[32])
{
	struct timespec now;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &now);
	n = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
	snprintf(out + n, 32 - n, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

/* Time, event and interface come first; members may be NULL. Takes it over. */
static void put(const char *event, json_t *peer, json_t *members)
{
	char line[LINE_MAX_BYTES], time_text[32];
	json_t *object;
	size_t n = 0;

	now_text(time_text);
	object = json_pack(
		"{s:s,s:s,s:s}", "time", time_text, "event", event, "interface", journal.interface);
	if (object && journal.n_lost)
		IGNORE_RESULT(json_object_set_new(
			object, "lost", json_integer((json_int_t)journal.n_lost)));
	if (object && peer)
		IGNORE_RESULT(json_object_update(object, peer));
	if (object && members)
		IGNORE_RESULT(json_object_update(object, members));
	if (object)
		n = json_dumpb(object, line, sizeof line - 1, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(object);
	json_decref(peer);
	json_decref(members);
	if (n && n < sizeof line) {
		line[n++] = '\n';
		if (write_line(line, n)) {
			journal.n_lost = 0;
			return;
		}
	}
	journal.n_lost++;
}

void journal_say(const char *event, const char *format, ...)
{
	va_list args;
	json_t *members;

	if (!journal.open)
		return;
	va_start(args, format);
	members = json_vpack_ex(NULL, 0, format, args);
	va_end(args);
	put(event, NULL, members);
}

static json_t *peer_members(const struct wgh_public_key *peer, struct names *names)
{
	char key[KEY_BASE64_CHARS + 1];

	key_to_base64(key, peer->bytes);
	return json_pack("{s:s,s:s*}", "peer", key, "name", names_get(names, peer));
}

void journal_peer(const char *event, const struct wgh_public_key *peer, struct names *names,
	const char *format, ...)
{
	va_list args;
	json_t *members;

	if (!journal.open)
		return;
	va_start(args, format);
	members = json_vpack_ex(NULL, 0, format, args);
	va_end(args);
	put(event, peer_members(peer, names), members);
}

/* ---- changes ---- */

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct wgh_public_key));
}

struct known {
	struct wgh_public_key key;
	bool stays;
};

static struct known *known_new(const struct wgh_snapshot *before)
{
	struct known *known = calloc(before->n_peers + 1, sizeof *known);

	for (size_t i = 0; known && i < before->n_peers; i++)
		known[i].key = before->peers[i].public_key;
	if (known)
		qsort(known, before->n_peers, sizeof *known, compare_keys);
	return known;
}

void journal_change(const char *by, const struct wgh_change *change,
	const struct wgh_snapshot *before, struct names *names)
{
	struct known *known = journal.open ? known_new(before) : NULL, *found;

	if (!known)
		return;
	if (change->flags & WGH_HAS_PRIVATE_KEY)
		journal_say("key_changed", "{s:s}", "by", by);
	if (change->flags & WGH_HAS_LISTEN_PORT)
		journal_say("port_changed", "{s:s,s:i}", "by", by, "port", change->listen_port);
	for (size_t i = 0; i < change->n_peers; i++) {
		const struct wgh_peer_change *p = &change->peers[i];
		bool removed = p->flags & WGH_PEER_REMOVE;

		found = bsearch(
			&p->public_key, known, before->n_peers, sizeof *known, compare_keys);
		if (found)
			found->stays |= !removed;
		if (found || !(p->flags & (WGH_PEER_REMOVE | WGH_PEER_UPDATE_ONLY)))
			journal_peer(removed	? "peer_removed"
					: found ? "peer_changed"
						: "peer_added",
				&p->public_key, names, "{s:s}", "by", by);
	}
	for (size_t i = 0; i < before->n_peers; i++) {
		if (change->flags & (WGH_REPLACE_PEERS | WGH_WHOLE) && !known[i].stays)
			journal_peer("peer_removed", &known[i].key, names, "{s:s}", "by", by);
	}
	free(known);
}
