/* ring.h - a bounded queue of records from one worker to the control side: one writer, one reader,
 * no lock. A record is a few header words and bytes of any length. Full: the writer is told at
 * once.
 */
#ifndef CORE_RING_H
#define CORE_RING_H

#include "core/mem.h"

struct ring {
	uint8_t *bytes;
	uint32_t size_bytes; /* a power of two */
	_Alignas(64) _Atomic uint32_t written; /* both count bytes and wrap */
	_Atomic uint32_t n_written; /* records, for the load of the queue */
	_Alignas(64) _Atomic uint32_t read;
	_Atomic uint32_t n_read;
};

MUST_CHECK int ring_init(struct ring *ring, uint32_t size_bytes, struct mem_budget *budget);
/* Wipes what is inside: waiting packets are plaintext. */
void ring_fini(struct ring *ring);

/* One record made of two parts (tail may be empty). False: no room; nothing written. */
MUST_CHECK bool ring_push(struct ring *ring, const void *head, uint32_t head_bytes,
	const void *tail, uint32_t tail_bytes);
/* Copies the oldest record out and frees its room; 0 when empty. Records longer than room_bytes are
 * cut. */
uint32_t ring_pop(struct ring *ring, void *out, uint32_t room_bytes);
/* Bytes that are taken: of any thread's asking, so perhaps not any more. */
uint32_t ring_bytes(const struct ring *ring);
/* Records waiting. */
uint32_t ring_count(const struct ring *ring);

#endif
