/* journal.c - see journal.h. Nothing that is written to waits; standard output, which might, is
 * asked before whether it has room: lines are shorter than PIPE_BUF, so a pipe that has some takes
 * them whole. */
#include "control/journal.h"

#include "control/error.h"
#include "control/file.h"
#include "control/hook.h"
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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4095 /* with one more PIPE_BUF, which a pipe takes whole or not at all */

/* Where lines go; each counts what it has lost. */
struct sink {
	int fd; /* only where open */
	bool open, failing;
	bool waits; /* a write may: standard output is not ours to change */
	bool cut; /* the disk was full in the middle of a line */
	uint64_t n_lines, n_lost, n_untold; /* lost ones that no line has told yet */
};

static struct {
	struct sink sinks[N_JOURNAL_SINKS];
	char *path; /* what may be opened again; or NULL */
	bool asked; /* by uid, what is told now */
	uid_t uid;
	/* Of lines that peers can cause. */
	double room;
	struct timespec room_at; /* zero: at the start, when it is full anyway */
	char interface[16];
} journal;

static const char *const sink_names[N_JOURNAL_SINKS] = {
	[JOURNAL_FILE] = "file", [JOURNAL_COMMAND] = "command"};

/* ---- opening ---- */

/* O_NONBLOCK: a FIFO that nobody reads is an error, not a wait. */
static int open_file(const char *path)
{
	int fd = !strcmp(path, "-")
		? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
		: open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
			  0600);
	struct stat st;

	if (fd < 0)
		return -errno;
	/* Where a link leads is settled now: later it could lead elsewhere. */
	if (*path == '/' && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		journal.path = realpath(path, NULL);
	return fd;
}

int journal_open(const char *path, int command_fd, struct wgh_error *error)
{
	char shown[100];
	int fd = path ? open_file(path) : -1;

	json_text_init();
	journal.room = JOURNAL_AT_ONCE;
	if (path && fd < 0) {
		text_escape(shown, sizeof shown, path, strlen(path));
		error_set(error, "--events %s: %s", shown, strerror(-fd));
		return fd;
	}
	journal.sinks[JOURNAL_FILE] =
		(struct sink){.fd = fd, .open = fd >= 0, .waits = path && !strcmp(path, "-")};
	journal.sinks[JOURNAL_COMMAND] = (struct sink){.fd = command_fd, .open = command_fd >= 0};
	return 0;
}

const char *journal_path(void)
{
	return journal.path;
}

void journal_open_again(void)
{
	struct sink *file = &journal.sinks[JOURNAL_FILE];
	int fd = journal.path ? file_open_append(journal.path) : -1;

	if (!journal.path)
		return;
	if (fd < 0) {
		log_warn("events file not opened again why=\"%s\" note=\"the old one stays\"",
			strerror(-fd));
		return;
	}
	close(file->fd);
	file->fd = fd;
	file->cut = false;
}

void journal_close(void)
{
	if (journal.sinks[JOURNAL_FILE].open)
		close(journal.sinks[JOURNAL_FILE].fd);
	free(journal.path);
	memset(&journal, 0, sizeof journal);
}

bool journal_is_open(void)
{
	return journal.sinks[JOURNAL_FILE].open || journal.sinks[JOURNAL_COMMAND].open;
}

void journal_set_interface(const char *name)
{
	snprintf(journal.interface, sizeof journal.interface, "%s", name);
}

void journal_asked_by(const uid_t *uid)
{
	journal.asked = uid != NULL;
	journal.uid = uid ? *uid : 0;
}

bool journal_numbers(enum journal_sink which, struct journal_numbers *numbers)
{
	const struct sink *sink = &journal.sinks[which];

	*numbers = (struct journal_numbers){sink_names[which], sink->n_lines, sink->n_lost};
	return sink->open;
}

/* ---- lines ---- */

/* line: a newline, and the line after it. */
static bool write_line(struct sink *sink, const char *line, size_t n)
{
	struct pollfd room = {.fd = sink->fd, .events = POLLOUT};
	size_t skip = sink->cut ? 0 : 1;
	ssize_t written = -1;

	errno = EAGAIN;
	if (!sink->waits || (poll(&room, 1, 0) == 1 && room.revents))
		written = write(sink->fd, line + skip, n - skip);
	if (written > 0)
		sink->cut = written < (ssize_t)(n - skip);
	if (written == (ssize_t)(n - skip)) {
		sink->failing = false;
		sink->n_lines++;
		return true;
	}
	if (!sink->failing)
		log_warn("events not written to=%s why=\"%s\" note=\"the next line that is says "
			 "how many\"",
			sink_names[sink - journal.sinks],
			written >= 0		  ? "no space"
				: errno == EAGAIN ? "no room"
						  : strerror(errno));
	sink->failing = true;
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

/* Time, event and interface come first; members may be NULL. Takes them over. 0: it is too long. */
static size_t make_line(
	char line[LINE_MAX_BYTES + 1], const char *event, json_t *peer, json_t *members)
{
	char time_text[32];
	json_t *object;
	size_t n = 0;

	now_text(time_text);
	object = json_pack(
		"{s:s,s:s,s:s}", "time", time_text, "event", event, "interface", journal.interface);
	if (object && peer)
		IGNORE_RESULT(json_object_update(object, peer));
	if (object && members)
		IGNORE_RESULT(json_object_update(object, members));
	if (object && journal.asked && json_object_get(object, "by"))
		IGNORE_RESULT(
			json_object_set_new(object, "uid", json_integer((json_int_t)journal.uid)));
	if (object)
		n = json_dumpb(
			object, line + 1, LINE_MAX_BYTES - 1, JSON_COMPACT | JSON_PRESERVE_ORDER);
	json_decref(object);
	json_decref(peer);
	json_decref(members);
	if (!n || n > LINE_MAX_BYTES - 1)
		return 0;
	line[0] = line[n + 1] = '\n';
	return n + 2;
}

/* What was lost before comes before. */
static void tell_lost(struct sink *sink)
{
	char line[LINE_MAX_BYTES + 1];
	uint64_t n = sink->n_untold;

	if (!n)
		return;
	n = make_line(line, "events_lost", NULL, json_pack("{s:I}", "n", (json_int_t)n));
	if (n && write_line(sink, line, n))
		sink->n_untold = 0;
}

static void lost(struct sink *sink, uint64_t n)
{
	sink->n_lost += n;
	sink->n_untold += n;
}

/* A peer that comes and goes, or roams, as fast as it can must not fill a disk. Who asks for
 * changes has better ways to. */
static bool has_room(const char *event, const json_t *members)
{
	struct timespec now;

	if (json_object_get(members, "by") || !strncmp(event, "hub_", 4))
		return true;
	clock_gettime(CLOCK_MONOTONIC, &now);
	journal.room += JOURNAL_PER_S *
		((double)(now.tv_sec - journal.room_at.tv_sec) +
			(double)(now.tv_nsec - journal.room_at.tv_nsec) / 1e9);
	if (journal.room > JOURNAL_AT_ONCE)
		journal.room = JOURNAL_AT_ONCE;
	journal.room_at = now;
	if (journal.room < 1)
		return false;
	journal.room--;
	return true;
}

static void put(const char *event, json_t *peer, json_t *members)
{
	bool room = has_room(event, members);
	char line[LINE_MAX_BYTES + 1];
	size_t n = make_line(line, event, peer, members);

	lost(&journal.sinks[JOURNAL_COMMAND], hook_take_given_up());
	for (unsigned i = 0; i < N_JOURNAL_SINKS; i++) {
		struct sink *sink = &journal.sinks[i];

		if (!sink->open)
			continue;
		if (room)
			tell_lost(sink);
		if (!room || !n || sink->n_untold || !write_line(sink, line, n))
			lost(sink, 1);
	}
}

void journal_say(const char *event, const char *format, ...)
{
	va_list args;
	json_t *members;

	if (!journal_is_open())
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

	if (!journal_is_open())
		return;
	va_start(args, format);
	members = json_vpack_ex(NULL, 0, format, args);
	va_end(args);
	put(event, peer_members(peer, names), members);
}
