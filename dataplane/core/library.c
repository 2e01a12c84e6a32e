/* library.c - what wghub.h offers besides the hub: words for errors, keys, names. Stateless. */
#include "core/library.h"

#include "crypto/aead.h"
#include "crypto/key_text.h"
#include "crypto/x25519.h"

#include <errno.h>
#include <string.h>

bool library_options(void *to, size_t to_bytes, const void *from, size_t from_bytes)
{
	const uint8_t *bytes = from;

	if (from_bytes < to_bytes)
		return false; /* none of the structs was ever shorter than it is */
	for (size_t i = to_bytes; i < from_bytes; i++)
		if (bytes[i])
			return false;
	memcpy(to, from, to_bytes);
	return true;
}

const char *wgh_strerror(int err)
{
	switch (err < 0 ? -err : err) {
	case 0:
		return "no error";
	case EINVAL:
		return "an argument, option or flag is not valid";
	case E2BIG:
		return "more packets than one call takes";
	case ENOMEM:
		return "not enough memory, or the memory budget is used up";
	case EEXIST:
		return "the change set has conflicts";
	case ENOENT:
		return "no such AEAD back end, file or device on this machine";
	case EIO:
		return "a self-test failed, or the system gives no randomness";
	case EPERM:
	case EACCES:
		return "no permission";
	case EADDRINUSE:
		return "the address or port is in use";
	case EADDRNOTAVAIL:
		return "the address is not there";
	case EAFNOSUPPORT:
		return "the system has no such address family";
	case EBUSY:
		return "in use by somebody else";
	case ENODEV:
	case ENXIO:
		return "the device is not there";
	case EMFILE:
	case ENFILE:
		return "too many open files";
	case ENOBUFS:
		return "no room in a buffer of the system";
	default:
		return "an error of the system: see errno(3) for its number";
	}
}

bool wgh_memory_locked(void)
{
	return secret_memory_locked();
}

const char *wgh_version(void)
{
	return WGHUB_VERSION;
}

const char *const *wgh_aead_names(void)
{
	return aead_names();
}

int wgh_key_new(uint8_t private_key[WGH_KEY_BYTES])
{
	struct x25519_secret secret;
	uint8_t random[32];
	int err = secret_init();

	if (err)
		return err;
	secret_random(random, sizeof random);
	x25519_secret_from_random(&secret, random);
	memcpy(private_key, secret.bytes, sizeof secret.bytes);
	secret_wipe(random, sizeof random);
	secret_wipe(&secret, sizeof secret);
	return 0;
}

bool wgh_key_public(struct wgh_public_key *public_key, const uint8_t private_key[WGH_KEY_BYTES])
{
	struct x25519_public computed = {0};
	struct x25519_secret secret;
	bool ok;

	memcpy(secret.bytes, private_key, sizeof secret.bytes);
	ok = x25519_public_from_secret(&computed, &secret);
	memcpy(public_key->bytes, computed.bytes, sizeof public_key->bytes);
	secret_wipe(&secret, sizeof secret);
	return ok;
}

void wgh_key_to_text(char text[WGH_KEY_TEXT_BYTES], const uint8_t key[WGH_KEY_BYTES])
{
	_Static_assert(KEY_BASE64_CHARS + 1 == WGH_KEY_TEXT_BYTES, "the same text");
	key_to_base64(text, key);
}

bool wgh_key_from_text(uint8_t key[WGH_KEY_BYTES], const char *text)
{
	return key_from_base64(key, text, strlen(text));
}
