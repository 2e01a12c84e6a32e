/* hosts.c - see hosts.h: finding the block and replacing it. Which names are in it is decided in
 * hosts_names.c. */
#include "control/hosts.h"
#include "control/hosts_names.h"

#include "control/array.h"
#include "control/error.h"
#include "control/file.h"
#include "control/slice.h"
#include "control/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define START_FORMAT "## Factory(%s) VPN Lookups"
#define END_FORMAT "## END Factory(%s) VPN Lookups"
#define FACTORY_CHARS_MAX 128
#define MARKER_CHARS (FACTORY_CHARS_MAX + 32)
#define LOCK_TRIES 100
#define LOCK_RETRY_NS 10000000 /* 10 ms */

/* ---- where the blocks are ---- */

struct range {
	size_t from, to;
};

struct blocks {
	struct range *ranges;
	size_t n, cap;
};

/* "address TAB name" and nothing else: what we would have written. */
static bool has_our_shape(struct slice line)
{
	const char *tab = line.n ? memchr(line.at, '\t', line.n) : NULL;
	size_t address_n = tab ? (size_t)(tab - line.at) : 0;
	struct wgh_addr addr;

	return tab && !text_addr(&addr, line.at, address_n) &&
		hosts_name_is_valid((struct slice){tab + 1, line.n - address_n - 1});
}

static int add_range(struct blocks *blocks, size_t from, size_t to)
{
	void *bigger;

	if (blocks->n == blocks->cap) {
		bigger = array_grow(blocks->ranges, &blocks->cap, sizeof *blocks->ranges);
		if (!bigger)
			return -ENOMEM;
		blocks->ranges = bigger;
	}
	blocks->ranges[blocks->n++] = (struct range){from, to};
	return 0;
}

/* A block reaches from its first marker to its last one. Where another block begins before that, or
 * the text ends, the last one is missing, and only the lines that are surely ours belong to it. */
static int find_blocks(
	struct blocks *blocks, const char *text, size_t n, const char *start, const char *end)
{
	struct slice rest = {text, n}, line;
	size_t from = 0, ours_to = 0;
	bool inside = false, still_ours = false;
	int err = 0;

	while (!err && slice_line(&rest, &line, NULL)) {
		size_t line_from = (size_t)(line.at - text), line_to = (size_t)(rest.at - text);

		while (line.n && slice_is_blank(line.at[line.n - 1]))
			line.n--;
		if (slice_is(line, start)) {
			if (inside)
				err = add_range(blocks, from, ours_to);
			from = line_from;
			ours_to = line_to;
			inside = still_ours = true;
		} else if (inside && slice_is(line, end)) {
			err = add_range(blocks, from, line_to);
			inside = false;
		} else if (inside && still_ours && has_our_shape(line)) {
			ours_to = line_to;
		} else {
			still_ours = false;
		}
	}
	if (!err && inside)
		err = add_range(blocks, from, ours_to);
	return err;
}

/* ---- the new text ---- */

/* The text without blocks, and where the first one was in it (n if there was none). */
static char *without_blocks(
	size_t *out_n, size_t *place, const char *text, size_t n, const struct blocks *blocks)
{
	char *out = malloc(n + 1);
	size_t at = 0;

	*out_n = 0;
	*place = SIZE_MAX;
	for (size_t i = 0; out && i < blocks->n; i++) {
		memcpy(out + *out_n, text + at, blocks->ranges[i].from - at);
		*out_n += blocks->ranges[i].from - at;
		at = blocks->ranges[i].to;
		if (i == 0)
			*place = *out_n;
	}
	if (out && n > at) {
		memcpy(out + *out_n, text + at, n - at);
		*out_n += n - at;
	}
	if (*place == SIZE_MAX)
		*place = *out_n;
	return out;
}

static char *render_block(const struct hosts_entry *entries, size_t n, const char *start,
	const char *end, size_t *len)
{
	size_t room = 2 * MARKER_CHARS;
	char *out, *at;

	for (size_t i = 0; i < n; i++)
		room += TEXT_ADDR_CHARS + strlen(entries[i].name) + 2;
	out = at = malloc(room);
	if (!out)
		return NULL;
	at += sprintf(at, "%s\n", start);
	for (size_t i = 0; i < n; i++) {
		char address[TEXT_ADDR_CHARS];

		text_from_addr(address, &entries[i].address);
		at += sprintf(at, "%s\t%s\n", address, entries[i].name);
	}
	at += sprintf(at, "%s\n", end);
	*len = (size_t)(at - out);
	return out;
}

/* before[0..place], what sets a new block apart, the block, the rest. */
static char *assemble(size_t *out_n, const char *before, size_t before_n, size_t place,
	const char *block, size_t block_n, bool is_new)
{
	const char *gap = place && before[place - 1] != '\n' ? (is_new ? "\n\n" : "\n")
		: is_new && place			     ? "\n"
							     : "";
	size_t gap_n = strlen(gap);
	char *out = malloc(before_n + gap_n + block_n + 1), *at = out;

	if (!out)
		return NULL;
	at = mempcpy(at, before, place);
	at = mempcpy(at, gap, gap_n);
	at = mempcpy(at, block, block_n);
	at = mempcpy(at, before + place, before_n - place);
	*out_n = (size_t)(at - out);
	return out;
}

static bool is_factory_name(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++) {
		if (!hosts_is_name_char(name[i]))
			return false;
	}
	return n > 0 && n <= FACTORY_CHARS_MAX;
}

int hosts_text(char **out, size_t *out_n, const char *text, size_t n,
	const struct hosts_block *block, struct notes *notes)
{
	char start[MARKER_CHARS], end[MARKER_CHARS];
	char *others = NULL, *lines = NULL, *made = NULL;
	size_t others_n, place, lines_n, made_n = 0, n_entries;
	struct hosts_entry *entries = NULL;
	struct blocks blocks = {0};
	int err = -ENOMEM;

	*out = NULL;
	*out_n = 0;
	if (!is_factory_name(block->factory))
		return -EINVAL;
	snprintf(start, sizeof start, START_FORMAT, block->factory);
	snprintf(end, sizeof end, END_FORMAT, block->factory);
	if (find_blocks(&blocks, text, n, start, end))
		goto out;
	others = without_blocks(&others_n, &place, text, n, &blocks);
	if (!others || hosts_choose(&entries, &n_entries, block, others, others_n, notes))
		goto out;
	err = 0;
	if (n_entries == 0 && blocks.n == 0)
		goto out;
	err = -ENOMEM;
	lines = render_block(entries, n_entries, start, end, &lines_n);
	if (lines)
		made = assemble(&made_n, others, others_n, place, lines, lines_n, blocks.n == 0);
	if (!made)
		goto out;
	err = 0;
	if (made_n == n && !memcmp(made, text, n))
		goto out;
	*out = made;
	*out_n = made_n;
	made = NULL;
out:
	free(made);
	free(lines);
	free(entries);
	free(others);
	free(blocks.ranges);
	return err;
}

/* ---- the file ---- */

/* Locks what path is now: by rename it may become another file meanwhile. -1 in *fd: there is no
 * file, so nobody to wait for. */
static int lock_itself(int *fd, uint64_t *inode, const char *path)
{
	const struct timespec pause = {.tv_nsec = LOCK_RETRY_NS};
	struct stat now, locked;

	for (unsigned tries = 0; tries < LOCK_TRIES; tries++) {
		*fd = file_open(path);
		if (*fd < 0)
			return *fd == -ENOENT ? 0 : *fd;
		if (flock(*fd, LOCK_EX | LOCK_NB) == 0 && fstat(*fd, &locked) == 0 &&
			file_stat(path, &now) == 0 && now.st_ino == locked.st_ino &&
			now.st_dev == locked.st_dev) {
			*inode = locked.st_ino;
			return 0;
		}
		close(*fd);
		nanosleep(&pause, NULL);
	}
	*fd = -1;
	return -EAGAIN;
}

static int update(const char *path, uint64_t inode, bool there, const struct hosts_block *block,
	bool *written, struct notes *notes, struct wgh_error *error)
{
	struct file_text file = {0};
	char *out = NULL;
	size_t out_n;
	int err = there ? file_read(&file, path, HOSTS_BYTES_MAX, error) : 0;

	if (err)
		return err;
	if (there && file.inode != inode) {
		error_set(error, "%.100s: somebody who does not lock it is replacing it", path);
		err = -EAGAIN;
	}
	if (!err) {
		err = hosts_text(&out, &out_n, file.bytes, file.n, block, notes);
		if (err)
			error_set(error,
				err == -EINVAL ? "a factory's name has letters, digits and ._-"
					       : "out of memory");
	}
	if (!err && out) {
		err = file_replace(
			path, out, out_n, 0644, FILE_LIKE_BEFORE | FILE_IN_PLACE_OK, error);
		*written = !err;
	}
	free(out);
	file_text_fini(&file);
	return err;
}

int hosts_update(const char *path, const struct hosts_block *block, bool *written,
	struct notes *notes, struct wgh_error *error)
{
	uint64_t inode = 0;
	int fd, err = lock_itself(&fd, &inode, path);

	*written = false;
	if (err) {
		error_set(error, "%.100s: cannot be locked: %s", path, strerror(-err));
		return err;
	}
	err = update(path, inode, fd >= 0, block, written, notes, error);
	if (fd >= 0)
		close(fd);
	return err;
}
