/* The tables of optimisers and schedules, generated from the lists in meson.build. */
#include <string.h>

#include "core/train/optimizer.h"
#include "core/train/schedule.h"

#define OPTIMIZER(name) extern const Optimizer optimizer_##name;
#define SCHEDULE(name) extern const Schedule schedule_##name;
#include "train_tables.h"
#undef OPTIMIZER
#undef SCHEDULE

#define SCHEDULE(name)
#define OPTIMIZER(name) &optimizer_##name,
const Optimizer *const optimizer_table[] = {
#include "train_tables.h"
    NULL,
};
#undef OPTIMIZER
#undef SCHEDULE

#define OPTIMIZER(name)
#define SCHEDULE(name) &schedule_##name,
const Schedule *const schedule_table[] = {
#include "train_tables.h"
    NULL,
};
#undef OPTIMIZER
#undef SCHEDULE

int optimizer_find(const char *name)
{
    for (int i = 0; optimizer_table[i] != NULL; i++)
        if (strcmp(optimizer_table[i]->described.name, name) == 0)
            return i;
    return -1;
}

int schedule_find(const char *name)
{
    for (int i = 0; schedule_table[i] != NULL; i++)
        if (strcmp(schedule_table[i]->described.name, name) == 0)
            return i;
    return -1;
}
