/* fuzz_conf.c - any bytes as a configuration file: no crash, no leak; an error is one printable
 * line, and what is accepted keeps its promises. Corpus: tests/fuzz/corpus/conf. */
#include <stdint.h>
#include <stdlib.h>

#include "control/conf.h"

static void check_line(const char *text)
{
	if (!*text)
		abort();
	for (; *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wgh_error error = {""};
	struct conf *conf;

	if (conf_parse(&conf, "fuzz.conf", (const char *)data, size, &error)) {
		check_line(error.text);
		return 0;
	}
	for (size_t i = 0; i < conf->n_peers; i++) {
		const struct conf_peer *peer = &conf->peers[i];

		if (peer->name)
			check_line(peer->name);
		if (peer->endpoint_host && (peer->endpoint.family || !peer->endpoint_port))
			abort();
		for (size_t j = 0; j < peer->n_allowed_ips; j++) {
			if (peer->allowed_lines[j] <= peer->line)
				abort();
		}
	}
	for (size_t i = 0; i < conf->n_notes; i++)
		check_line(conf->notes[i]);
	conf_free(conf);
	return 0;
}
