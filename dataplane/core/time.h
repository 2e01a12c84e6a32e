/* time.h - comparing times. now_ns counts from any start and never from the wall clock. */
#ifndef CORE_TIME_H
#define CORE_TIME_H

#include <stdbool.h>
#include <stdint.h>

#define TIME_NEVER UINT64_MAX

/* The only way to compare: true from the deadline on, never for TIME_NEVER, right if now is before it. */
static inline bool time_reached(uint64_t now_ns, uint64_t deadline_ns)
{
	return deadline_ns != TIME_NEVER && now_ns >= deadline_ns;
}

/* How long ago; 0 if since lies in the future (a clock that stepped back). */
static inline uint64_t time_since(uint64_t now_ns, uint64_t since_ns)
{
	return now_ns > since_ns ? now_ns - since_ns : 0;
}

static inline uint64_t time_earlier(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

#endif
