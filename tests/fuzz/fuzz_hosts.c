/* fuzz_hosts.c - any bytes as /etc/hosts: no crash, no leak; what is made is stable, and without a
 * marker of ours in it every byte is kept. Corpus: tests/fuzz/corpus/hosts. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/hosts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct hosts_entry entries[] = {
		{{.bytes = {10, 42, 42, 2}, .family = WGH_IPV4}, "press-line-07"},
		{{.bytes = {10, 42, 42, 3}, .family = WGH_IPV4}, "twin"},
		{{.bytes = {10, 42, 42, 4}, .family = WGH_IPV4}, "twin"}};
	const struct hosts_block block = {
		.factory = "acme", .own_name = "hub", .entries = entries, .n_entries = 3};
	const char *text = (const char *)data;
	char *once, *twice;
	size_t once_n, twice_n;

	if (hosts_text(&once, &once_n, text, size, &block, NULL))
		abort();
	if (!once)
		return 0;
	if (!memmem(text, size, "## Factory(acme)", 16) &&
		(once_n < size || (size && memcmp(once, text, size))))
		abort();
	if (hosts_text(&twice, &twice_n, once, once_n, &block, NULL) || twice)
		abort();
	free(once);
	return 0;
}
