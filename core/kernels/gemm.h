/* gemm -- matrix products by OpenBLAS, single-threaded inside a unit of work. Row-major. See
 * kernels.h. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/base/real.h"

void gemm_blas(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, const real *a, size_t lda,
               const real *b, size_t ldb, real beta, real *c, size_t ldc);
/* Keeps OpenBLAS from starting threads of its own; called once by kernels_select(). */
void gemm_init(void);
