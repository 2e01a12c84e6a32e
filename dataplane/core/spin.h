/* spin.h - a lock held for a few dozen instructions between workers: never across a call that may
 * wait. */
#ifndef CORE_SPIN_H
#define CORE_SPIN_H

#include <stdatomic.h>

struct spin {
	atomic_flag held;
};

static inline void spin_lock(struct spin *spin)
{
	while (atomic_flag_test_and_set_explicit(&spin->held, memory_order_acquire)) {
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#elif defined(__aarch64__)
		__asm__ volatile("yield");
#endif
	}
}

static inline void spin_unlock(struct spin *spin)
{
	atomic_flag_clear_explicit(&spin->held, memory_order_release);
}

/* Plain loads and stores of words that several threads touch, where no order matters. */
#define relaxed_get(p) atomic_load_explicit((p), memory_order_relaxed)
#define relaxed_set(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define relaxed_add(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
/* For counters that one thread writes and others read: no locked instruction. */
#define owner_add(p, v) relaxed_set((p), relaxed_get(p) + (v))

#endif
