/* clients_file.c - see clients_file.h. Duplicates are found by sorting, so that a file of 100,000
 * lines takes no longer than reading it. */
#include "control/clients_file.h"

#include "control/array.h"
#include "control/error.h"
#include "control/file.h"
#include "control/slice.h"
#include "control/text.h"
#include "crypto/key_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCK_WAIT_MS 3000

/* ---- one line ---- */

/* NULL, or what is wrong. An empty line or a comment leaves key_text empty. */
static const char *read_line(
	struct client *c, struct slice *key_text, struct slice *name, struct slice line)
{
	struct slice address;
	const char *why;

	line = slice_trim(line);
	*key_text = *name = (struct slice){line.at, 0};
	if (line.n == 0 || line.at[0] == '#')
		return NULL;
	*key_text = slice_word(&line);
	address = slice_word(&line);
	*name = slice_trim(line);
	if (!key_from_base64(c->public_key.bytes, key_text->at, key_text->n))
		return "the first word must be a public key, 44 base64 characters";
	if (address.n == 0)
		return "after the key comes an address, as 10.42.42.254";
	why = text_peer_addr(&c->address, address.at, address.n);
	return why ? "the second word must be one IPv4 address, as 10.42.42.254" : NULL;
}

static int add_client(struct clients *clients, const struct client *c, struct slice name)
{
	char shown[CLIENT_NAME_BYTES + 1];
	void *bigger;

	if (clients->n == clients->cap) {
		bigger = array_grow(clients->items, &clients->cap, sizeof *clients->items);
		if (!bigger)
			return -ENOMEM;
		clients->items = bigger;
	}
	text_escape(shown, sizeof shown, name.at, name.n);
	clients->items[clients->n] = *c;
	clients->items[clients->n].name = strdup(shown);
	if (!clients->items[clients->n].name)
		return -ENOMEM;
	clients->n++;
	return 0;
}

/* ---- given twice ---- */

static int by_key(const void *a, const void *b)
{
	const struct client *const *x = a, *const *y = b;
	int order = memcmp(&(*x)->public_key, &(*y)->public_key, sizeof(*x)->public_key);

	return order ? order : (*x)->line < (*y)->line ? -1 : (*x)->line > (*y)->line;
}

static int by_address(const void *a, const void *b)
{
	const struct client *const *x = a, *const *y = b;
	int order = memcmp(&(*x)->address, &(*y)->address, sizeof(*x)->address);

	return order ? order : (*x)->line < (*y)->line ? -1 : (*x)->line > (*y)->line;
}

/* Marks with line 0 what repeats an earlier line, and says so. */
static void mark_repeats(struct clients *clients, struct client **sorted, size_t n,
	int (*order)(const void *, const void *), const char *path, const char *what)
{
	const struct client *first = NULL;

	qsort(sorted, n, sizeof *sorted, order);
	for (size_t i = 0; i < n; i++) {
		struct client *c = sorted[i];
		bool same = first &&
			(order == by_key
					? !memcmp(&first->public_key, &c->public_key,
						  sizeof c->public_key)
					: !memcmp(&first->address, &c->address, sizeof c->address));

		if (!same) {
			first = c;
			continue;
		}
		notes_add(&clients->errors,
			"%s:%u: this %s is already in line %u; the first counts", path, c->line,
			what, first->line);
		c->line = 0;
	}
}

static int drop_repeats(struct clients *clients, const char *path)
{
	struct client **sorted = calloc(clients->n + 1, sizeof *sorted);
	size_t n = 0, kept = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < clients->n; i++)
		sorted[i] = &clients->items[i];
	mark_repeats(clients, sorted, clients->n, by_key, path, "key");
	/* A line that does not count takes no address away from others. */
	for (size_t i = 0; i < clients->n; i++) {
		if (clients->items[i].line)
			sorted[n++] = &clients->items[i];
	}
	mark_repeats(clients, sorted, n, by_address, path, "address");
	free(sorted);
	for (size_t i = 0; i < clients->n; i++) {
		if (clients->items[i].line)
			clients->items[kept++] = clients->items[i];
		else
			free(clients->items[i].name);
	}
	clients->n = kept;
	return 0;
}

/* ---- the file ---- */

int clients_parse(struct clients *clients, const char *path, const char *text, size_t n)
{
	struct slice rest = {text, n}, line, key_text, name;
	struct clients c = {0};
	unsigned number = 0;
	char shown[120];
	int err = 0;

	text_escape(shown, sizeof shown, path, strlen(path));
	while (!err && slice_line(&rest, &line, NULL)) {
		struct client client = {.line = ++number};
		const char *why = read_line(&client, &key_text, &name, line);

		if (why)
			notes_add(&c.errors, "%s:%u: %s", shown, number, why);
		else if (key_text.n && c.n == CLIENTS_MAX)
			notes_add(&c.errors, "%s:%u: more than %u clients", shown, number,
				CLIENTS_MAX);
		else if (key_text.n)
			err = add_client(&c, &client, name);
	}
	if (!err)
		err = drop_repeats(&c, shown);
	if (err)
		clients_fini(&c);
	*clients = c;
	return err;
}

int clients_read(struct clients *clients, const char *path, struct wgh_error *error)
{
	struct file_text file;
	int err = file_read(&file, path, CLIENTS_BYTES_MAX, error);

	*clients = (struct clients){0};
	if (err)
		return err;
	err = clients_parse(clients, path, file.bytes, file.n);
	if (err)
		error_set(error, "out of memory");
	file_text_fini(&file);
	return err;
}

void clients_fini(struct clients *clients)
{
	for (size_t i = 0; i < clients->n; i++)
		free(clients->items[i].name);
	free(clients->items);
	notes_fini(&clients->errors);
	*clients = (struct clients){0};
}

/* ---- changing it ---- */

static int check_new(
	const char *text, size_t n, const struct client *client, struct wgh_error *error)
{
	struct slice rest = {text, n}, line, key_text, name;
	unsigned number = 0;

	if (client->address.family != WGH_IPV4 ||
		!text_is_line(client->name, strlen(client->name)) ||
		strlen(client->name) > CLIENT_NAME_BYTES) {
		error_set(error, "a client's name is one line of up to %u bytes, its address IPv4",
			CLIENT_NAME_BYTES);
		return -EINVAL;
	}
	while (slice_line(&rest, &line, NULL)) {
		struct client other = {0};

		number++;
		if (read_line(&other, &key_text, &name, line) || key_text.n == 0)
			continue;
		if (!memcmp(&other.public_key, &client->public_key, sizeof other.public_key)) {
			error_set(error, "this key is already in line %u", number);
			return -EEXIST;
		}
		if (!memcmp(&other.address, &client->address, sizeof other.address)) {
			error_set(error, "this address is already in line %u", number);
			return -EADDRINUSE;
		}
	}
	return 0;
}

int clients_text_add(char **out, size_t *out_n, const char *text, size_t n,
	const struct client *client, struct wgh_error *error)
{
	char key[KEY_BASE64_CHARS + 1], address[TEXT_ADDR_CHARS];
	int len, err = check_new(text, n, client, error);

	*out = NULL;
	if (err)
		return err;
	key_to_base64(key, client->public_key.bytes);
	text_from_addr(address, &client->address);
	*out = malloc(n + KEY_BASE64_CHARS + TEXT_ADDR_CHARS + CLIENT_NAME_BYTES + 8);
	if (!*out) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	if (n)
		memcpy(*out, text, n);
	/* An editor may have left the last line without its end. */
	len = sprintf(*out + n, "%s%s %s%s%s\n", n && text[n - 1] != '\n' ? "\n" : "", key, address,
		*client->name ? " " : "", client->name);
	*out_n = n + (size_t)len;
	return 0;
}

int clients_text_remove(char **out, size_t *out_n, const char *text, size_t n,
	const struct wgh_public_key *key, struct wgh_error *error)
{
	struct slice rest = {text, n}, line, raw, key_text, name;
	bool found = false;

	*out = malloc(n + 1);
	*out_n = 0;
	if (!*out) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	while (slice_line(&rest, &line, &raw)) {
		struct client other = {0};

		/* Every line with this key: also one whose address is wrong. */
		read_line(&other, &key_text, &name, line);
		if (key_text.n && !memcmp(&other.public_key, key, sizeof *key)) {
			found = true;
			continue;
		}
		memcpy(*out + *out_n, raw.at, raw.n);
		*out_n += raw.n;
	}
	if (found)
		return 0;
	error_set(error, "no client has this key");
	free(*out);
	*out = NULL;
	return -ENOENT;
}

enum file_change { CHANGE_REMOVE, CHANGE_REPLACE };

static int change_text(char **out, size_t *out_n, const struct file_text *file,
	enum file_change kind, const struct client *client, struct wgh_error *error)
{
	char *without = NULL;
	size_t n;
	int err;

	err = clients_text_remove(&without, &n, file->bytes, file->n, &client->public_key, error);
	if (kind == CHANGE_REMOVE) {
		*out = without;
		*out_n = n;
		return err;
	}
	if (err == -ENOENT)
		return clients_text_add(out, out_n, file->bytes, file->n, client, error);
	if (!err)
		err = clients_text_add(out, out_n, without, n, client, error);
	free(without);
	return err;
}

/* Of client, CHANGE_REMOVE needs the key only. */
static int change_file(const char *path, enum file_change kind, const struct client *client,
	struct wgh_error *error)
{
	struct file_text file = {0};
	size_t out_n = 0;
	char *out = NULL;
	int lock, err = file_lock(&lock, path, LOCK_WAIT_MS, error);

	if (err)
		return err;
	err = file_read(&file, path, CLIENTS_BYTES_MAX, error);
	if (err == -ENOENT && kind != CHANGE_REMOVE)
		err = 0;
	if (!err)
		err = change_text(&out, &out_n, &file, kind, client, error);
	if (!err)
		err = file_replace(
			path, out, out_n, 0600, FILE_LIKE_BEFORE | FILE_IN_PLACE_OK, error);
	free(out);
	file_text_fini(&file);
	file_unlock(lock);
	return err;
}

int clients_remove(const char *path, const struct wgh_public_key *key, struct wgh_error *error)
{
	const struct client client = {.public_key = *key};

	return change_file(path, CHANGE_REMOVE, &client, error);
}

int clients_replace(const char *path, const struct client *client, struct wgh_error *error)
{
	return change_file(path, CHANGE_REPLACE, client, error);
}
