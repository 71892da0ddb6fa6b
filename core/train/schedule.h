/*
 * schedule -- the table of learning-rate schedules: one file `schedule_x.c` and one row in
 * meson.build each.
 */
#pragma once

#include "core/base/param.h"

typedef struct Schedule {
    Described described;
    /* What the base rate is multiplied with in step `step` (from 0) of `steps`. */
    double (*factor)(const double *value, uint64_t step, uint64_t steps, uint64_t steps_per_epoch);
} Schedule;

extern const Schedule *const schedule_table[]; /* NULL-terminated */
