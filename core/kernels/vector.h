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
