/*
 * pgd_l2 -- steps along g/|g|_2 within |delta|_2 <= eps, from eps n/|n| with Gaussian n. Its deltas
 * rank the pixels, and its step has a derivative: what explaining and the hypergradient use.
 */
#include "core/explain/attack_lanes.h"

static double dot(const AttackLane *lane, const real *a, const real *b)
{
    double sum = 0;

    EACH_NUMBER(lane, at, c, sum += (double)a[at] * (double)b[at]);
    return sum;
}

static void l2_start(const AttackLane *lane, Rng *rng, real eps, real *ret_delta)
{
    double norm;

    EACH_NUMBER(lane, at, c, ret_delta[at] = (real)rng_normal(rng));
    norm = sqrt(dot(lane, ret_delta, ret_delta));
    EACH_NUMBER(lane, at, c,
                ret_delta[at] = norm > 0 ? (real)((double)eps * (double)ret_delta[at] / norm) : 0);
}

static void l2_move(const AttackLane *lane, real eta, const real *delta, const real *g, real norm,
                    real *ret_z)
{
    real step = eta / norm;

    EACH_NUMBER(lane, at, c, ret_z[at] = delta[at] + step * g[at]);
}

static void l2_project(const AttackLane *lane, real eps, const real *z, real *ret_delta)
{
    double norm = sqrt(dot(lane, z, z));
    real factor = norm <= (double)eps ? 1 : (real)((double)eps / norm);

    EACH_NUMBER(lane, at, c, ret_delta[at] = factor * z[at]);
}

/* v if |z| <= eps, else (eps/|z|)(v - zhat (zhat . v)). */
static void l2_pull_project(const AttackLane *lane, real eps, const real *z, const real *v,
                            real *ret_p)
{
    double square = dot(lane, z, z), norm = sqrt(square);
    double along = norm <= (double)eps ? 0 : dot(lane, z, v) / square;
    double factor = norm <= (double)eps ? 1 : (double)eps / norm;

    EACH_NUMBER(lane, at, c, ret_p[at] = (real)(factor * ((double)v[at] - along * (double)z[at])));
}

/* (p - n (n . p))/|g| with n = g/|g|. */
static void l2_pull_direction(const AttackLane *lane, const real *g, real norm, const real *p,
                              real *ret_q)
{
    double along = dot(lane, g, p) / ((double)norm * (double)norm);

    EACH_NUMBER(lane, at, c,
                ret_q[at] = (real)(((double)p[at] - along * (double)g[at]) / (double)norm));
}

static const Param params[] = {
    [ATTACK_EPS] = ATTACK_EPS_ROW(0.5),
    [ATTACK_START] = ATTACK_START_ROW(ATTACK_START_RANDOM),
    [ATTACK_STEPS] = ATTACK_STEPS_ROW(4),
    [ATTACK_STEP_SIZE] = ATTACK_STEP_SIZE_ROW,
};

extern const Attack attack_pgd_l2;
const Attack attack_pgd_l2 = {
    .described = { "pgd_l2", "steps along the gradient, the whole change within eps", params, 4 },
    .reach = 2.5,
    .start = l2_start,
    .move = l2_move,
    .project = l2_project,
    .pull_project = l2_pull_project,
    .pull_direction = l2_pull_direction,
};
