/* The tables of optimisers and schedules, generated from the lists in meson.build. */
#include "core/train/optimizer.h"
#include "core/train/schedule.h"
#include "core/train/train_tables.h"

#define X(name) extern const Optimizer optimizer_##name;
OPTIMIZER_TABLE(X)
#undef X

#define X(name) extern const Schedule schedule_##name;
SCHEDULE_TABLE(X)
#undef X

const Optimizer *const optimizer_table[] = {
#define X(name) &optimizer_##name,
    OPTIMIZER_TABLE(X)
#undef X
        NULL,
};

const Schedule *const schedule_table[] = {
#define X(name) &schedule_##name,
    SCHEDULE_TABLE(X)
#undef X
        NULL,
};
