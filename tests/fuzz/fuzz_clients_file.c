/* fuzz_clients_file.c - any bytes as factory-clients.conf: no crash, no leak; no key and no address
 * twice; adding a client keeps every byte, and removing it again gives them back. Corpus:
 * tests/fuzz/corpus/clients_file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/clients_file.h"

static void check(const struct clients *c)
{
	for (size_t i = 0; i < c->errors.n; i++) {
		if (strncmp(c->errors.lines[i], "f:", 2))
			abort();
	}
	for (size_t i = 0; i < c->n; i++) {
		for (const char *p = c->items[i].name; *p; p++) {
			if ((unsigned char)*p < 0x20)
				abort();
		}
		for (size_t j = 0; j < i && i < 50; j++) {
			if (!memcmp(&c->items[i].public_key, &c->items[j].public_key, 32) ||
				!memcmp(&c->items[i].address, &c->items[j].address,
					sizeof c->items[i].address))
				abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client newcomer = {.public_key.bytes = {0xfe, 0xdc},
		.address = {.bytes = {10, 254, 253, 252}, .family = WGH_IPV4},
		.name = "new one"};
	const char *text = (const char *)data;
	size_t added_n, removed_n, gap;
	struct wgh_error error = {""};
	struct clients before, after;
	char *added, *removed;

	if (clients_parse(&before, "f", text, size))
		abort();
	check(&before);
	if (!clients_text_add(&added, &added_n, text, size, &newcomer, &error)) {
		if (added_n < size || (size && memcmp(added, text, size)) ||
			clients_parse(&after, "f", added, added_n))
			abort();
		check(&after);
		/* One more, unless the list is full. */
		if (after.n != before.n + 1 && before.n < CLIENTS_MAX)
			abort();
		clients_fini(&after);
		if (clients_text_remove(
			    &removed, &removed_n, added, added_n, &newcomer.public_key, &error))
			abort();
		gap = size && text[size - 1] != '\n'; /* the line's end that was missing */
		if (removed_n != size + gap || (size && memcmp(removed, text, size)))
			abort();
		free(removed);
	}
	free(added);
	clients_fini(&before);
	return 0;
}
