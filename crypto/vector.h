/* vector.h - what the vector back ends have in common: how the compiler is told, and which elements
 * of ChaCha20's state meet.
 */
#ifndef CRYPTO_VECTOR_H
#define CRYPTO_VECTOR_H

#define INLINE static inline __attribute__((always_inline))
/* Written before it is read: not zeroed as -ftrivial-auto-var-init=zero has it. */
#if __has_attribute(uninitialized)
#define UNSET __attribute__((uninitialized))
#else
#define UNSET
#endif
#define UNROLL _Pragma("GCC unroll 16")

/* The state is a 4x4 matrix x[0..15]; column i of a quarter round takes its element of each row i
 * places further on by turn, 2 * turn and 3 * turn: turn 0 are the columns, turn 1 the diagonals.
 */
#define ROW_A(i) (i)
#define ROW_B(i) (4 + (((i) + turn) & 3))
#define ROW_C(i) (8 + (((i) + 2 * turn) & 3))
#define ROW_D(i) (12 + (((i) + 3 * turn) & 3))

#endif
