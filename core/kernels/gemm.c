/*
 * Our own pool supplies the parallelism, in units whose sizes come from shapes alone, so OpenBLAS
 * must never split a product by itself: the split would change the numbers with the number of
 * cores.
 */
#include "core/kernels/gemm.h"

#include <cblas.h>

#include "core/kernels/kernels.h"

void gemm_init(void)
{
    openblas_set_num_threads(1);
}

const char *gemm_core_name(void)
{
    return openblas_get_corename();
}

void gemm_blas(bool trans_a, bool trans_b, size_t m, size_t n, size_t k, const real *a, size_t lda,
               const real *b, size_t ldb, real beta, real *c, size_t ldc)
{
#ifdef LEASED_REAL64
    cblas_dgemm(
#else
    cblas_sgemm(
#endif
        CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans,
        (blasint)m, (blasint)n, (blasint)k, 1, a, (blasint)lda, b, (blasint)ldb, beta, c,
        (blasint)ldc);
}
