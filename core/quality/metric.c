/* The table comes from the list in meson.build, which also names the sources. */
#include "core/quality/metric.h"

#include "core/quality/quality_table.h"

#define X(name) extern const Metric metric_##name;
METRIC_TABLE(X)
#undef X

const Metric *const metric_table[] = {
#define X(name) &metric_##name,
    METRIC_TABLE(X)
#undef X
        NULL,
};

const char *const likeness_names[LIKENESSES] = { "spearman", "absolute", "ssim" };

enum {
#define X(name) +1
    METRICS = 0 METRIC_TABLE(X),
#undef X
};

_Static_assert((int)METRICS <= (int)METRICS_MAX, "a set of metrics is a word");

uint32_t metric_all(void)
{
    return (1U << METRICS) - 1;
}

uint32_t metric_maskless(void)
{
    uint32_t set = 0;

    for (uint32_t i = 0; metric_table[i] != NULL; i++)
        if (!metric_table[i]->needs_mask)
            set |= 1U << i;
    return set;
}
