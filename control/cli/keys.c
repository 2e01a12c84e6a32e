/* keys.c - `wghub genkey`, `genpsk` and `pubkey`: keys as wg(8) makes them. */
#include "control/cli/cli.h"
#include "crypto/key_text.h"
#include "crypto/x25519.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int print_key(const uint8_t key[32], const char *what)
{
	char text[KEY_BASE64_CHARS + 1];
	struct stat st;
	int err;

	if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IRWXO))
		fprintf(stderr,
			"wghub: warning: others can read the file this %s goes to; type: chmod 600 "
			"it\n",
			what);
	key_to_base64(text, key);
	err = puts(text) < 0 || fflush(stdout) != 0;
	secret_wipe(text, sizeof text);
	if (err)
		say_error("cannot write the key: %s", strerror(errno));
	return err ? EXIT_FAILED : 0;
}

static int genkey(int argc, char **argv)
{
	struct {
		uint8_t random[32];
		struct x25519_secret secret;
	} s;
	int code;

	(void)argv;
	if (argc > 1)
		return say_usage(&command_genkey, "it takes no arguments");
	secret_random(s.random, sizeof s.random);
	x25519_secret_from_random(&s.secret, s.random);
	code = print_key(s.secret.bytes, "private key");
	secret_wipe(&s, sizeof s);
	return code;
}

static int genpsk(int argc, char **argv)
{
	uint8_t key[32];
	int code;

	(void)argv;
	if (argc > 1)
		return say_usage(&command_genpsk, "it takes no arguments");
	secret_random(key, sizeof key);
	code = print_key(key, "preshared key");
	secret_wipe(key, sizeof key);
	return code;
}

/* The one line of standard input, without the buffer of stdio, which nobody would wipe. */
static size_t read_line(char *text, size_t size)
{
	size_t n = 0;
	ssize_t got;

	while (n < size && (got = read(STDIN_FILENO, text + n, size - n)) > 0)
		n += (size_t)got;
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r' || text[n - 1] == ' '))
		n--;
	return n;
}

static int pubkey(int argc, char **argv)
{
	struct {
		char text[128];
		struct x25519_secret secret;
	} s;
	char text[KEY_BASE64_CHARS + 1];
	struct x25519_public public;
	int code = EXIT_FAILED;
	size_t n;

	(void)argv;
	if (argc > 1)
		return say_usage(&command_pubkey,
			"it takes no arguments: a key given as one is seen by others");
	n = read_line(s.text, sizeof s.text);
	if (!key_from_base64(s.secret.bytes, s.text, n)) {
		say_error("pubkey: standard input is not a private key (44 base64 characters)");
	} else if (!x25519_public_from_secret(&public, &s.secret)) {
		say_error("pubkey: an all-zero key is no key");
	} else {
		key_to_base64(text, public.bytes);
		code = puts(text) < 0 || fflush(stdout) ? EXIT_FAILED : 0;
	}
	secret_wipe(&s, sizeof s);
	return code;
}

const struct command command_genkey = {"genkey", genkey, "make a private key: wghub genkey > key",
	"Usage: wghub genkey\n"
	"\n"
	"Prints a new private key. Keep it from others: (umask 077; wghub genkey > key)\n"};

const struct command command_genpsk = {"genpsk", genpsk, "make a preshared key",
	"Usage: wghub genpsk\n"
	"\n"
	"Prints a new preshared key, for both ends of one hub and peer: a second lock beside the "
	"keys.\n"};

const struct command command_pubkey = {"pubkey", pubkey,
	"the public key of a private one: wghub pubkey < key",
	"Usage: wghub pubkey < PRIVATE-KEY\n"
	"\n"
	"Reads a private key from standard input and prints its public key.\n"};
