/* The table comes from the list in meson.build, which also names the sources: a row and its file
 * cannot part. */
#include "server/jobs/kind.h"

#include "server/jobs/kind_table.h"

#define X(name) extern const JobKind job_kind_##name;
KIND_TABLE(X)
#undef X

const JobKind *const job_kinds[] = {
#define X(name) &job_kind_##name,
    KIND_TABLE(X)
#undef X
        NULL
};
