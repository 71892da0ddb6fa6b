/*
 * pgd_linf -- steps along the gradient's sign within |delta|_inf <= eps. Madry et al., 2018: 8/255
 * in ten steps of 2/255. Nearly every |delta| ends at eps: for robustness, not for explaining.
 */
#include "core/explain/attack_lanes.h"

static const Param params[] = {
    [ATTACK_EPS] = ATTACK_EPS_ROW(8.0 / 255),
    [ATTACK_START] = ATTACK_START_ROW(ATTACK_START_RANDOM),
    [ATTACK_STEPS] = ATTACK_STEPS_ROW(10),
    [ATTACK_STEP_SIZE] = ATTACK_STEP_SIZE_ROW,
};

extern const Attack attack_pgd_linf;
const Attack attack_pgd_linf = {
    .described = { "pgd_linf", "steps along the gradient's sign, each pixel within eps", params,
                   4 },
    .reach = 2.5,
    .start = linf_start,
    .move = linf_move,
    .project = linf_project,
    .pull_project = linf_pull_project,
};
