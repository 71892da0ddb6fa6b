/* fgsm -- one step of eps along the gradient's sign: clip(x + eps sign g). Goodfellow et al., 2015.
 */
#include "core/explain/attack_lanes.h"

static const Param params[] = {
    [ATTACK_EPS] = ATTACK_EPS_ROW(8.0 / 255),
    [ATTACK_START] = ATTACK_START_ROW(ATTACK_START_ZERO),
};

extern const Attack attack_fgsm;
const Attack attack_fgsm = {
    .described = { "fgsm", "one step along the gradient's sign", params, 2 },
    .reach = 1,
    .start = linf_start,
    .move = linf_move,
    .project = linf_project,
    .pull_project = linf_pull_project,
};
