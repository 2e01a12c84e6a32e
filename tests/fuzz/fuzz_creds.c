/* fuzz_creds.c - any bytes as credentials, and as the answer to a refresh: no crash, no leak; what
 * is accepted makes a header of one line, and what a refresh makes of it can be read again. Corpus:
 * tests/fuzz/corpus/creds. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/creds.h"

#define NOW_S 1772439400.0

static const char answer[] =
	"{\"access_token\": \"new\", \"refresh_token\": \"next\", \"expires_in\": 7200}";

static void check_line(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			abort();
	}
}

static void check(const struct creds *c)
{
	static char value[CREDS_HEADER_CHARS];
	struct creds_request request;
	const char *name;

	if (!c->access_token && !creds_can_refresh(c))
		abort();
	if (!creds_header_text(c, &name, value))
		check_line(value);
	for (unsigned i = 0; i < 4; i++) {
		if (!creds_refresh_request(&request, c, i))
			check_line(request.body);
		creds_request_fini(&request);
	}
	if (isnan(creds_refresh_at_s(c)))
		abort();
}

static void as_credentials(const char *text, size_t n)
{
	struct wgh_error error = {""};
	struct creds *c, *again;

	if (creds_parse(&c, text, n, NOW_S, &error)) {
		check_line(error.text);
		return;
	}
	check(c);
	if (!creds_merge(c, answer, strlen(answer), NOW_S, &error)) {
		if (strcmp(c->access_token, "new") || strcmp(c->refresh_token, "next") ||
			creds_parse(&again, c->text, c->text_bytes, NOW_S, &error) ||
			!creds_same_token(c, again))
			abort();
		creds_free(again);
	}
	creds_free(c);
}

static void as_answer(const char *body, size_t n)
{
	static const char *const texts[] = {"{\"access_token\": \"a\", \"refresh_token\": \"r\", "
					    "\"created\": 5, \"expires_in\": 9}",
		"clientcredentials:\n  access_token: a\n  client_id: c\n  client_secret: s\n"};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct wgh_error error = {""};
		struct creds *c;

		if (creds_parse(&c, texts[i], strlen(texts[i]), NOW_S, &error))
			abort();
		if (creds_merge(c, body, n, NOW_S, &error) && strcmp(c->access_token, "a"))
			abort();
		check(c);
		creds_free(c);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	as_credentials((const char *)data, size);
	as_answer((const char *)data, size);
	return 0;
}
