/* The table comes from the list in meson.build, which also names the sources. */
#include "core/quality/baseline.h"

#include "core/quality/quality_table.h"

#define X(name) extern const Baseline baseline_##name;
BASELINE_TABLE(X)
#undef X

const Baseline *const baseline_table[] = {
#define X(name) &baseline_##name,
    BASELINE_TABLE(X)
#undef X
        NULL,
};
