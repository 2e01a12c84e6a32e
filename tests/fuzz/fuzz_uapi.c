/* fuzz_uapi.c - any bytes as a UAPI connection: no crash, no leak, and the same result in one piece
 * as byte by byte. Corpus: tests/fuzz/corpus/uapi. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/uapi.h"

#define EVENTS_MAX 64

struct result {
	enum uapi_event event;
	int error;
	size_t n_peers, n_allowed_ips, n_params;
};

static size_t run(const char *bytes, size_t n, size_t step, struct result *results)
{
	struct uapi_parser *p = uapi_parser_new();
	size_t n_results = 0, at = 0, used;

	while (p && at < n && n_results < EVENTS_MAX) {
		enum uapi_event event =
			uapi_parse(p, bytes + at, n - at < step ? n - at : step, &used);
		struct result *r = &results[n_results];

		if (used == 0 || used > n - at)
			abort();
		at += used;
		if (event == UAPI_MORE)
			continue;
		*r = (struct result){.event = event, .error = uapi_error(p)};
		n_results++;
		if (event == UAPI_CLOSE)
			break;
		if (event == UAPI_SET && !r->error) {
			const struct wgh_change *c = uapi_change(p);

			r->n_peers = c->n_peers;
			for (size_t i = 0; i < c->n_peers; i++) {
				for (size_t j = 0; j < c->peers[i].n_allowed_ips; j++) {
					const struct wgh_prefix *ip =
						&c->peers[i].allowed_ips[j].prefix;

					if (ip->bits > (ip->addr.family == WGH_IPV4 ? 32 : 128))
						abort();
				}
				r->n_allowed_ips += c->peers[i].n_allowed_ips;
			}
		}
		if (event == UAPI_OWN && !r->error) {
			const struct uapi_request *request = uapi_request(p);

			r->n_params = request->n_params;
			if (!*request->verb || strlen(request->verb) > UAPI_REQUEST_BYTES)
				abort();
			for (size_t i = 0; i < request->n_params; i++) {
				const char *key = request->params[i].key;

				if (!*key || uapi_param(request, key) != request->params[i].value)
					abort();
			}
		}
		uapi_parser_reset(p);
	}
	uapi_parser_free(p);
	return n_results;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct result whole[EVENTS_MAX], split[EVENTS_MAX];
	size_t n = run((const char *)data, size, SIZE_MAX, whole);

	if (run((const char *)data, size, 1, split) != n || memcmp(whole, split, n * sizeof *whole))
		abort();
	return 0;
}
