/*
 * schedule -- the table of learning-rate schedules: one file `schedule_x.c` and one row in
 * meson.build each.
 *
 * A schedule answers what the base rate is multiplied with in a step. Each can be warmed up, and
 * all in the same way: in the first `warmup_epochs` the factor rises linearly to what the schedule
 * begins with, and the schedule covers the steps that are left. Time is counted in steps done
 * before this one, so the first step has t = 0 and the last one t = all - 1.
 */
#pragma once

#include "core/base/param.h"

enum { SCHEDULE_WARMUP, SCHEDULE_OWN }; /* every row's first parameter, and the first of its own */

#define SCHEDULE_WARMUP_ROW                                       \
    {                                                             \
        "warmup_epochs", PARAM_REAL, 0, 0, 10000, NULL,           \
            "epochs in which the rate rises linearly, before all" \
    }

typedef struct Schedule {
    Described described;
    /* After `t` of `all` steps behind the warm-up; t < all. */
    double (*factor)(const double *value, double t, double all, double steps_per_epoch);
} Schedule;

extern const Schedule *const schedule_table[]; /* NULL-terminated */

/* The factor, warm-up included, of step `step` (from 0) of `steps`. */
double schedule_factor(const Choice *schedule, uint64_t step, uint64_t steps,
                       uint64_t steps_per_epoch);
