/*
 * The fastest that the family's registers can multiply and add: as many independent sums as hide
 * the latency of one (4 or 5 cycles, at two a cycle), and no memory.
 */
#include "core/kernels/family.h"
#include "core/kernels/vector.h"

enum { SUMS = 12 };

double peak_multiply_add(size_t rounds, real *ret)
{
    const Lanes half = (Lanes){ 0 } + (real)0.5, one = (Lanes){ 0 } + 1;
    Lanes sum[SUMS];

    for (int k = 0; k < SUMS; k++) /* all different: equal ones would be computed once, 2 never */
        sum[k] = one + (real)(k + 2);
    for (size_t i = 0; i < rounds; i++)
        for (int k = 0; k < SUMS; k++) /* towards 2 */
            sum[k] = sum[k] * half + one;
    for (int k = 1; k < SUMS; k++)
        sum[0] += sum[k];
    *ret = 0;
    for (int k = 0; k < LANES; k++)
        *ret += sum[0][k];
    return 2.0 * SUMS * LANES * (double)rounds;
}
