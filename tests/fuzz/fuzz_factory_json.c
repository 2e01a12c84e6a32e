/* fuzz_factory_json.c - any bytes as every kind of answer that the Factory's API gives, and as our
 * own state file: no crash, no leak; what is said is printable; what is accepted keeps its
 * promises, also as a set of wanted peers. Corpus: tests/fuzz/corpus/factory_json. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/wanted.h"

static void check_line(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			abort();
	}
}

static void check_notes(struct notes *notes)
{
	for (size_t i = 0; i < notes->n; i++)
		check_line(notes->lines[i]);
	notes_fini(notes);
}

static void check_set(struct wanted *w)
{
	size_t n, n_refusals;
	const struct wanted_peer *p = wanted_peers(w, &n);
	const struct wanted_refusal *r = wanted_refusals(w, &n_refusals);
	char text[REFUSAL_CHARS];

	for (size_t i = 0; i < n; i++) {
		if (p[i].n_prefixes != 1 || p[i].prefixes->bits != 32 ||
			p[i].prefixes->addr.bytes[0] != 10 ||
			wanted_find_addr(w, &p[i].prefixes->addr) != &p[i] ||
			wanted_find(w, &p[i].public_key) != &p[i])
			abort();
	}
	for (size_t i = 0; i < n_refusals; i++) {
		wanted_refusal_text(text, &r[i]);
		check_line(text);
	}
}

static struct wanted *new_wanted(void)
{
	struct wanted *w = wanted_new();
	struct wanted_rules rules = {.hub = {.bytes = {10, 42, 42, 1}, .family = WGH_IPV4}};

	if (!w || wanted_set_rules(w, &rules))
		abort();
	return w;
}

static void as_peers(const char *body, size_t n)
{
	struct factory_peers peers = {0};
	struct vanish_guard guard = {0};
	struct wgh_error error = {""};
	struct notes notes = {0};
	struct wanted *w;

	if (factory_peers_add(&peers, body, n, &notes, &error)) {
		check_line(error.text);
		check_notes(&notes);
		return;
	}
	for (size_t i = 0; i < peers.n; i++) {
		const struct factory_peer *p = &peers.items[i];

		check_line(p->name);
		if (p->enabled && !p->refused &&
			(!p->has_key || p->address.family != WGH_IPV4 || !*p->name))
			abort();
	}
	w = new_wanted();
	if (!vanish_guard_accepts(&guard, w, &peers, 0, 60) || wanted_claim_factory(w, &peers) ||
		wanted_resolve(w))
		abort();
	check_set(w);
	check_notes(&notes);
	factory_peers_fini(&peers);
	wanted_free(w);
}

static void as_config(const char *body, size_t n)
{
	struct server_file server, again;
	char text[FACTORY_FILE_CHARS];
	struct wgh_error error = {""};
	struct notes notes = {0};

	if (factory_server_find(&server, body, n, &notes, &error))
		check_line(error.text);
	else if (!server_file_write(text, &server, &error) &&
		(server_file_parse(&again, text, strlen(text), NULL, &error) ||
			!server_file_equal(&server, &again)))
		abort();
	check_notes(&notes);
}

/* Where a token would go: there or nowhere. */
static void as_next_url(const char *body, size_t n)
{
	char *next = strndup(body, n), *url;

	if (next && !factory_next_url(&url, "https://api.example.net", next)) {
		if (strncasecmp(url, "https://api.example.net", 23) ||
			(url[23] && !strchr("/?#:", url[23])))
			abort();
		free(url);
	}
	free(next);
}

static void as_error_and_grant(const char *body, size_t n)
{
	struct wgh_error error = {""};
	struct factory_grant grant;
	struct factory_error e;

	factory_error_parse(&e, body, n, NULL);
	check_line(e.text);
	check_line(e.code);
	if (!factory_grant_parse(&grant, body, n, &error)) {
		check_line(grant.user_code);
		check_line(grant.verification_uri);
	}
	factory_grant_fini(&grant);
}

static void as_state(const char *body, size_t n)
{
	struct wgh_error error = {""};
	struct notes notes = {0};
	struct state state, again;
	struct wanted *w;
	size_t text_n;
	char *text;

	if (state_parse(&state, body, n, &notes, &error)) {
		check_line(error.text);
		check_notes(&notes);
		return;
	}
	if (state_to_text(&text, &text_n, &state) ||
		state_parse(&again, text, text_n, NULL, &error) || again.n_peers != state.n_peers)
		abort();
	w = new_wanted();
	if (wanted_restore(w, &again) || wanted_resolve(w))
		abort();
	check_set(w);
	wanted_free(w);
	free(text);
	state_fini(&again);
	state_fini(&state);
	check_notes(&notes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *body = (const char *)data;

	as_peers(body, size);
	as_config(body, size);
	as_next_url(body, size);
	as_error_and_grant(body, size);
	as_state(body, size);
	return 0;
}
