/* fuzz_server_file.c - any bytes as wireguard-server and wireguard-client: no crash, no leak, and
 * what would be published has no byte that a shell acts on. Corpus: tests/fuzz/corpus/server_file.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/factory_server_file.h"

static void check_published(const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				    ".-:=_+/\n";
	const char *line;

	for (size_t i = 0; text[i]; i++) {
		/* Brackets only around an IPv6 address. */
		if (!strchr(plain, text[i]) && text[i] != '[' && text[i] != ']')
			abort();
	}
	for (line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, "endpoint=", 9) && strncmp(line, "server_address=", 15) &&
			strncmp(line, "address=", 8) && strncmp(line, "pubkey=", 7) &&
			strcmp(line, "enabled=0"))
			abort();
	}
}

static void check_notes(struct notes *notes)
{
	for (size_t i = 0; i < notes->n; i++) {
		for (const char *p = notes->lines[i]; *p; p++) {
			if ((unsigned char)*p < 0x20)
				abort();
		}
	}
	notes_fini(notes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct server_file server = {0}, again;
	char out[FACTORY_FILE_CHARS];
	struct wgh_error error = {""};
	struct notes notes = {0};
	struct device_file device;

	if (!server_file_parse(&server, (const char *)data, size, &notes, &error) &&
		!server_file_write(out, &server, &error)) {
		check_published(out);
		if (server_file_parse(&again, out, strlen(out), NULL, &error) ||
			!server_file_equal(&server, &again))
			abort();
	}
	if (!server_file_endpoint(&server, (const char *)data, size)) {
		server.address = (struct wgh_addr){.bytes = {10}, .family = WGH_IPV4};
		server.public_key.bytes[0] = 1;
		if (!server_file_write(out, &server, &error))
			check_published(out);
	}
	device_file_parse(&device, (const char *)data, size, &notes);
	if (!device_file_write(out, &device, &error))
		check_published(out);
	check_notes(&notes);
	return 0;
}
