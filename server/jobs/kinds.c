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

json_t *job_kind_defaults(const JobKind *kind)
{
    return kind->defaults == NULL ? NULL : json_loads(kind->defaults, 0, NULL);
}
