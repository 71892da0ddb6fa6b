/*
 * vector -- the widest vectors of the family that a file is compiled for: the compiler's own, of
 * any width, on any machine; no intrinsics.
 */
#pragma once

#include <stddef.h>

#include "core/base/real.h"

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

typedef real Lanes __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

enum { LANES = VECTOR_BYTES / sizeof(real) };

/* The loops of a kernel are written once and compiled for each of their variants. */
#define INLINE static inline __attribute__((always_inline))

INLINE Lanes lanes_load(const real *at)
{
    return *(const Lanes *)at;
}

INLINE void lanes_store(real *at, Lanes value)
{
    *(Lanes *)at = value;
}

/* Two vectors interleaved: their first halves, a[0], b[0], a[1], ..., or their second ones. */
#ifdef LEASED_REAL64
#define VECTOR_LANES (VECTOR_BYTES / 8)
#else
#define VECTOR_LANES (VECTOR_BYTES / 4)
#endif
#define LANES_PAIR(i, n) (i), (n) + (i)
#define LANES_PAIRS2(i, n) LANES_PAIR(i, n), LANES_PAIR((i) + 1, n)
#define LANES_PAIRS4(i, n) LANES_PAIRS2(i, n), LANES_PAIRS2((i) + 2, n)
#define LANES_PAIRS8(i, n) LANES_PAIRS4(i, n), LANES_PAIRS4((i) + 4, n)
#if VECTOR_LANES == 16
#define LANES_HALF(i) LANES_PAIRS8(i, 16)
#elif VECTOR_LANES == 8
#define LANES_HALF(i) LANES_PAIRS4(i, 8)
#elif VECTOR_LANES == 4
#define LANES_HALF(i) LANES_PAIRS2(i, 4)
#else
#define LANES_HALF(i) LANES_PAIR(i, 2)
#endif

INLINE Lanes lanes_first(Lanes a, Lanes b)
{
    return __builtin_shufflevector(a, b, LANES_HALF(0));
}

INLINE Lanes lanes_second(Lanes a, Lanes b)
{
    return __builtin_shufflevector(a, b, LANES_HALF(VECTOR_LANES / 2));
}

/* Neighbours, pairs of them or fours exchange their places: number i is that of place i ^ apart. */
#define LANES_AWAY(i, apart) (i) ^ ((apart) % VECTOR_LANES), ((i) + 1) ^ ((apart) % VECTOR_LANES)
#define LANES_AWAY4(i, apart) LANES_AWAY(i, apart), LANES_AWAY((i) + 2, apart)
#define LANES_AWAY8(i, apart) LANES_AWAY4(i, apart), LANES_AWAY4((i) + 4, apart)
#if VECTOR_LANES == 16
#define LANES_ALL_AWAY(apart) LANES_AWAY8(0, apart), LANES_AWAY8(8, apart)
#elif VECTOR_LANES == 8
#define LANES_ALL_AWAY(apart) LANES_AWAY8(0, apart)
#elif VECTOR_LANES == 4
#define LANES_ALL_AWAY(apart) LANES_AWAY4(0, apart)
#else
#define LANES_ALL_AWAY(apart) LANES_AWAY(0, apart)
#endif

INLINE Lanes lanes_swap1(Lanes a)
{
    return __builtin_shufflevector(a, a, LANES_ALL_AWAY(1));
}

INLINE Lanes lanes_swap2(Lanes a)
{
    return __builtin_shufflevector(a, a, LANES_ALL_AWAY(2));
}

INLINE Lanes lanes_swap4(Lanes a)
{
    return __builtin_shufflevector(a, a, LANES_ALL_AWAY(4));
}

/* Rows become columns: LANES rows of LANES numbers, `from_step` and `to_step` numbers apart. */
INLINE void lanes_transpose(const real *from, size_t from_step, real *to, size_t to_step)
{
    Lanes row[LANES], next[LANES];

#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        row[i] = lanes_load(from + (size_t)i * from_step);
        /* Row i beside row i + LANES/2, as often as halving LANES gives 1: a shuffle of all numbers
         * that exchanges the two halves of their places' digits. */
#pragma GCC unroll 4
    for (int parts = 1; parts < LANES; parts *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < LANES / 2; i++) {
            next[2 * i] = lanes_first(row[i], row[i + LANES / 2]);
            next[2 * i + 1] = lanes_second(row[i], row[i + LANES / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            row[i] = next[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        lanes_store(to + (size_t)i * to_step, row[i]);
}
