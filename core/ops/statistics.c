/* In double up to the last step: a plain sum of squares in float cancels. */
#include "core/ops/statistics.h"

#include <math.h>

Moments moments_merge(Moments a, Moments b)
{
    double count = a.count + b.count, delta = b.mean - a.mean;

    return (Moments){ count, a.mean + delta * b.count / count,
                      a.m2 + (b.m2 + delta * delta * a.count * b.count / count) };
}

real statistics_r(double var, double eps)
{
    return (real)(1 / sqrt(var + eps));
}

void statistics_of_batch(const OpCall *call, const Moments *m, double eps, double momentum,
                         const Statistics *ret)
{
    double var = m->m2 / m->count, unbiased = m->count > 1 ? m->m2 / (m->count - 1) : var;

    *ret->mean = (real)m->mean;
    *ret->r = statistics_r(var, eps);
    if (call->keep_statistics)
        return;
    *ret->running_mean += (real)momentum * ((real)m->mean - *ret->running_mean);
    *ret->running_var += (real)momentum * ((real)unbiased - *ret->running_var);
}

void statistics_of_run(double eps, const Statistics *ret)
{
    *ret->mean = *ret->running_mean;
    *ret->r = statistics_r((double)*ret->running_var, eps);
}
