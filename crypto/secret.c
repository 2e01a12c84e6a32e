/* secret.c - wiping, constant-time comparison, randomness and locked pages for everyone.
 *
 * Owns one flag: whether a lock of memory was ever refused. All work is libsodium's and the
 * kernel's. Costs: secret_alloc() is three to five system calls and whole pages. Fails only for
 * lack of memory; a refused lock or advice is no failure, because a hub without swap protection
 * still beats no hub.
 */
#include "crypto/secret.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <sodium.h>

static atomic_bool lock_refused;

int secret_init(void)
{
	return sodium_init() < 0 ? -EIO : 0;
}

void secret_wipe(void *p, size_t len_bytes)
{
	sodium_memzero(p, len_bytes);
}

bool ct_equal(const void *a, const void *b, size_t len_bytes)
{
	return sodium_memcmp(a, b, len_bytes) == 0;
}

bool ct_is_zero(const void *p, size_t len_bytes)
{
	return sodium_is_zero(p, len_bytes) == 1;
}

void secret_random(void *p, size_t len_bytes)
{
	randombytes_buf(p, len_bytes);
}

/* Whole pages for len_bytes, at least one; 0 if that does not fit a size_t. */
static size_t pages_bytes(size_t len_bytes)
{
	size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

	if (len_bytes > SIZE_MAX - page_bytes)
		return 0;
	if (!len_bytes)
		return page_bytes;
	return (len_bytes + page_bytes - 1) & ~(page_bytes - 1);
}

void *secret_alloc(size_t len_bytes)
{
	size_t size_bytes = pages_bytes(len_bytes);
	void *p;

	if (!size_bytes)
		return NULL;
	p = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
		/* Both kinds of advice only take something away; an older kernel that knows neither
		 * is fine. */
#ifdef MADV_DONTDUMP
	(void)madvise(p, size_bytes, MADV_DONTDUMP);
#endif
#ifdef MADV_WIPEONFORK
	(void)madvise(p, size_bytes, MADV_WIPEONFORK);
#endif
	if (mlock(p, size_bytes))
		atomic_store_explicit(&lock_refused, true, memory_order_relaxed);
	return p;
}

void secret_free(void *p, size_t len_bytes)
{
	size_t size_bytes = pages_bytes(len_bytes);

	if (!p)
		return;
	secret_wipe(p, size_bytes);
	munmap(p, size_bytes); /* unlocks as well */
}

bool secret_memory_locked(void)
{
	return !atomic_load_explicit(&lock_refused, memory_order_relaxed);
}
