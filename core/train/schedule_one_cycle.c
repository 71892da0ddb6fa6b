/*
 * one_cycle -- up in a straight line from `start` to 1 at the share `peak` of the steps, and down
 * in another to `final`. Smith and Topin, 2018, in the piecewise linear form that ResNet-9 (Page,
 * 2018) and airbench94 (Jordan, 2024) train with.
 */
#include "core/train/schedule.h"

enum { VALUE_START = SCHEDULE_OWN, VALUE_PEAK, VALUE_FINAL };

static const Param cycle_params[] = {
    SCHEDULE_WARMUP_ROW,
    { "start", PARAM_REAL, 0, 0, 1, NULL, "what it begins with, as a share of the base rate" },
    { "peak", PARAM_REAL, 0.25, 0, 1, NULL, "when it is at the base rate, as a share of the run" },
    { "final", PARAM_REAL, 0, 0, 1, NULL, "what it falls to, as a share of the base rate" },
};

static double cycle_factor(const double *value, double t, double all, double steps_per_epoch)
{
    double start = value[VALUE_START], final = value[VALUE_FINAL], peak = value[VALUE_PEAK] * all;

    (void)steps_per_epoch;
    if (t < peak)
        return start + (1 - start) * t / peak;
    return peak < all ? 1 + (final - 1) * (t - peak) / (all - peak) : 1;
}

extern const Schedule schedule_one_cycle;
const Schedule schedule_one_cycle = {
    .described = { "one_cycle", "up to the base rate and down again, in straight lines",
                   cycle_params, 4 },
    .factor = cycle_factor,
};
