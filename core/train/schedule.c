/* The warm-up; the rows know nothing of it. */
#include "core/train/schedule.h"

double schedule_factor(const Choice *schedule, uint64_t step, uint64_t steps,
                       uint64_t steps_per_epoch)
{
    const Schedule *row = schedule_table[schedule->row];
    const double *value = schedule->value;
    double epoch = (double)steps_per_epoch, t = (double)step;
    double warmup = value[SCHEDULE_WARMUP] * epoch;
    double all = (double)steps > warmup ? (double)steps - warmup : 1;

    if (t >= warmup)
        return row->factor(value, t - warmup, all, epoch);
    return ((t + 1) / warmup < 1 ? (t + 1) / warmup : 1) * row->factor(value, 0, all, epoch);
}
