/* The decision needs no BLAS call, only the CPU's flags and the name of what was chosen. */
#include "core/kernels/blas_core.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/kernels/kernels.h"

const char *blas_core_wanted(void)
{
#if defined(__x86_64__)
    const char *core = gemm_core_name();

    if (getenv("OPENBLAS_CORETYPE") != NULL)
        return NULL;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && (strcmp(core, "Haswell") == 0 || strcmp(core, "Zen") == 0))
        return "SkylakeX";
#endif
    return NULL;
}

void blas_core_adopt(char **argv)
{
    const char *wanted = blas_core_wanted();

    if (wanted != NULL && setenv("OPENBLAS_CORETYPE", wanted, 1) == 0)
        execv("/proc/self/exe", argv); /* returns only where it failed: then OpenBLAS's own choice stands */
}
