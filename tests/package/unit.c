/* unit.c - prints the unit that `wghub enable` writes for a factory acme, for a machine without
 * that Factory: deb.sh starts it there. */
#include "control/unit_file.h"

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	const char *const words[] = {"/usr/bin/wghub", "--factory=acme",
		"--oauthcreds=/etc/wireguard/acme.creds", "--privatekey=/etc/wireguard/acme.key",
		"daemon", NULL};
	const char *const writable[] = {"/etc/hosts", "/etc/wireguard", NULL};
	const struct unit unit = {.factory = "acme", .words = words, .writable = writable};
	struct wgh_error error;
	char *text;

	if (unit_text(&text, &unit, &error)) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	fputs(text, stdout);
	free(text);
	return 0;
}
