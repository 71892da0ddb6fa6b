/* Any bytes as a job: refused with at least one reason, or a job whose defaults are written and
 * read again the same. */
#include <stdlib.h>
#include <string.h>

#include "server/codec/json.h"
#include "server/jobs/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* What was read, written and read again, says the same. */
static void round_trip(const json_t *body, const JobSpec *spec)
{
    json_t *params = job_spec_params_json(spec), *again = json_copy((json_t *)body), *second;
    JobSpec *copy = NULL;

    if (params == NULL || again == NULL || json_object_set_new(again, "params", params) != 0)
        abort();
    if (job_spec_parse(job_kinds, again, &copy, NULL) != STATUS_OK)
        abort();
    second = job_spec_params_json(copy);
    if (!json_equal(params, second))
        abort();
    json_decref(second);
    json_decref(again);
    job_spec_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    Error err = { 0 };
    json_t *body = NULL;
    JobSpec *spec = NULL;

    if (json_read((const char *)bytes, size, &body, &err) != STATUS_OK) {
        if (err.details == 0 || body != NULL)
            abort();
        return 0;
    }
    if (job_spec_parse(job_kinds, body, &spec, &err) == STATUS_OK)
        round_trip(body, spec);
    else if (err.details == 0 || spec != NULL)
        abort();
    job_spec_free(spec);
    json_decref(body);
    return 0;
}
