/*
 * deletion_auc -- pixels go, the most salient first, 32 at a time, each to the mean colour: the
 * area under the class's probability. A map that finds what the network goes by makes it fall at
 * once. Source: Petsiuk et al., "RISE", BMVC 2018.
 */
#include <string.h>

#include "core/quality/steps.h"

static void alter(const Picture *p, uint32_t pass, double *room, float *ret)
{
    size_t gone = steps_pixels(p, pass);

    (void)room;
    memcpy(ret, p->pixels, picture_pixels(p) * p->channels * sizeof *ret);
    for (size_t i = 0; i < gone; i++)
        memset(ret + (size_t)p->order[i] * p->channels, 0, p->channels * sizeof *ret);
}

extern const Metric metric_deletion_auc;
const Metric metric_deletion_auc = {
    .described = { .name = "deletion_auc",
                   .summary = "probability while the most salient pixels go; less is better" },
    .falls = true,
    .passes = steps_passes,
    .alter = alter,
    .value = steps_area,
};
