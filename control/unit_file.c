/* unit_file.c - see unit_file.h. Quoting: systemd.syntax(7) and systemd.service(5), "Command
 * lines". */
#include "control/unit_file.h"

#include "control/error.h"
#include "control/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void unit_name(char out[UNIT_NAME_CHARS], const char *factory)
{
	snprintf(out, UNIT_NAME_CHARS, "factory-vpn-%.64s.service", factory);
}

static bool is_plain(const char *word)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				    "-_./=:@,+";

	return *word && strspn(word, plain) == strlen(word);
}

/* %: specifiers, everywhere. $: variables, in commands only. */
static void put_word(FILE *out, const char *word, bool command)
{
	if (is_plain(word)) {
		fputs(word, out);
		return;
	}
	fputc('"', out);
	for (; *word; word++) {
		if (*word == '"' || *word == '\\')
			fputc('\\', out);
		if (*word == '%' || (command && *word == '$'))
			fputc(*word, out);
		fputc(*word, out);
	}
	fputc('"', out);
}

/* LoadCredential's value is one word whose path is taken as it is, but for specifiers. */
static void put_path(FILE *out, const char *path)
{
	for (; *path; path++) {
		if (*path == '%')
			fputc('%', out);
		fputc(*path, out);
	}
}

static int check_word(const char *word, struct wgh_error *error)
{
	char shown[100];

	if (text_is_line(word, strlen(word)))
		return 0;
	text_escape(shown, sizeof shown, word, strlen(word));
	error_set(error, "%s: control characters cannot be in a systemd unit", shown);
	return -EINVAL;
}

static int check(const struct unit *unit, struct wgh_error *error)
{
	int err = 0;

	for (size_t i = 0; unit->words[i] && !err; i++)
		err = check_word(unit->words[i], error);
	for (size_t i = 0; unit->writable[i] && !err; i++)
		err = check_word(unit->writable[i], error);
	if (!err && unit->token_path)
		err = check_word(unit->token_path, error);
	if (!err && unit->state_dir)
		err = check_word(unit->state_dir, error);
	return err;
}

static void put_service(FILE *out, const struct unit *unit)
{
	fputs("[Service]\nType=notify\nExecStart=", out);
	for (size_t i = 0; unit->words[i]; i++) {
		if (i)
			fputc(' ', out);
		put_word(out, unit->words[i], true);
	}
	/* +: the hub is another user by then, and CAP_KILL is not among the rights here. */
	fputs("\nExecReload=+/bin/kill -HUP $MAINPID\n", out);
	if (unit->token_path) {
		fputs("LoadCredential=apitoken:", out);
		put_path(out, unit->token_path);
		fputc('\n', out);
	}
	/* After any failure, for ever: a hub that stays away needs somebody's journey. */
	fputs("Restart=on-failure\nRestartSec=2\n", out);
	/* Only while every thread of the data path answers. */
	fputs("WatchdogSec=30\nTimeoutStopSec=10\n", out);
}

static void put_limits(FILE *out, const struct unit *unit)
{
	/* What the hub needs to become another user by itself, with a keeper for root's files. */
	fprintf(out,
		"CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_SETPCAP CAP_DAC_OVERRIDE "
		"CAP_DAC_READ_SEARCH CAP_FOWNER CAP_CHOWN%s%s\n",
		unit->no_tun ? "" : " CAP_NET_ADMIN",
		unit->low_port ? " CAP_NET_BIND_SERVICE" : "");
	fputs("NoNewPrivileges=yes\n"
	      "ProtectSystem=strict\n"
	      "ProtectHome=read-only\n"
	      "ProtectClock=yes\n"
	      "ProtectControlGroups=yes\n"
	      "ProtectHostname=yes\n"
	      "ProtectKernelLogs=yes\n"
	      "ProtectKernelModules=yes\n"
	      "ProtectKernelTunables=yes\n"
	      "MemoryDenyWriteExecute=yes\n"
	      "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n"
	      "RestrictNamespaces=yes\n"
	      "RestrictRealtime=yes\n"
	      "RestrictSUIDSGID=yes\n"
	      "LockPersonality=yes\n"
	      "SystemCallArchitectures=native\n"
	      "SystemCallFilter=@system-service seccomp landlock_create_ruleset "
	      "landlock_add_rule landlock_restrict_self\n"
	      "SystemCallErrorNumber=EPERM\n"
	      "LimitMEMLOCK=64M\n"
	      "UMask=0077\n"
	      "RuntimeDirectory=wireguard\n"
	      "RuntimeDirectoryMode=0755\n"
	      "RuntimeDirectoryPreserve=yes\n"
	      "LogsDirectory=factory-vpn\n"
	      "LogsDirectoryMode=0750\n",
		out);
	/* ProtectClock= alone would forbid all devices. */
	fputs(unit->no_tun ? "PrivateDevices=yes\n"
			   : "DevicePolicy=closed\nDeviceAllow=/dev/net/tun rw\n",
		out);
	if (!unit->state_dir)
		fputs("StateDirectory=wghub\nStateDirectoryMode=0700\n", out);
	fputs("ReadWritePaths=", out);
	for (size_t i = 0; unit->writable[i]; i++) {
		char *optional;

		if (asprintf(&optional, "-%s", unit->writable[i]) < 0)
			continue;
		if (i)
			fputc(' ', out);
		put_word(out, optional, false);
		free(optional);
	}
	fputc('\n', out);
}

int unit_text(char **text, const struct unit *unit, struct wgh_error *error)
{
	size_t n;
	FILE *out;
	int err = check(unit, error);

	*text = NULL;
	if (err)
		return err;
	out = open_memstream(text, &n);
	if (!out) {
		error_set(error, "out of memory");
		return -ENOMEM;
	}
	fprintf(out,
		"# Written by `wghub enable`, which writes it again; changes of your own: "
		"systemctl "
		"edit.\n"
		"[Unit]\n"
		"Description=VPN hub of the factory %s (wghub)\n"
		"Wants=network-online.target\n"
		"After=network-online.target\n"
		"StartLimitIntervalSec=0\n"
		"\n",
		unit->factory);
	put_service(out, unit);
	put_limits(out, unit);
	fputs("\n[Install]\nWantedBy=multi-user.target\n", out);
	if (fclose(out) == 0)
		return 0;
	free(*text);
	*text = NULL;
	error_set(error, "out of memory");
	return -ENOMEM;
}
