/*
 * The maximum norm: uniform starts, steps along the gradient's sign, projection number by number. A
 * sign does not change with the gradient: its derivative is 0 almost everywhere, and the rows have
 * none.
 */
#include "core/explain/attack_lanes.h"

void linf_start(const AttackLane *lane, Rng *rng, real eps, real *ret_delta)
{
    EACH_NUMBER(lane, at, c, ret_delta[at] = eps * (2 * (real)rng_uniform(rng) - 1));
}

void linf_move(const AttackLane *lane, real eta, const real *delta, const real *g, real norm,
               real *ret_z)
{
    (void)norm;
    EACH_NUMBER(lane, at, c, {
        int sign = (g[at] > 0) - (g[at] < 0);

        ret_z[at] = delta[at] + eta * (real)sign;
    });
}

void linf_project(const AttackLane *lane, real eps, const real *z, real *ret_delta)
{
    EACH_NUMBER(lane, at, c, ret_delta[at] = z[at] < -eps ? -eps : z[at] > eps ? eps : z[at]);
}

void linf_pull_project(const AttackLane *lane, real eps, const real *z, const real *v, real *ret_p)
{
    EACH_NUMBER(lane, at, c, ret_p[at] = real_abs(z[at]) < eps ? v[at] : 0);
}
