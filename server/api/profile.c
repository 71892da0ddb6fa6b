/* Where the time of a job's training steps goes, as the job measured it
 * (server/jobs/run_profile.c).
 */
#include <stdlib.h>

#include "server/api/api.h"
#include "server/codec/json.h"
#include "server/store/profiles.h"

/* Why there is none. */
static Status absent(const Job *job, Error *err)
{
    json_t *params = api_stored_json(job->params);
    bool wanted = json_number_value(json_object_get(params, "profile")) > 0;

    json_decref(params);
    if (!wanted)
        return error_set(err, STATUS_NOT_FOUND,
                         "job %lld measures no profile: submit one with \"profile\": 20 among its "
                         "params, to measure 20 steps",
                         (long long)job->id);
    if (job_state_final(job->state))
        return error_set(err, STATUS_NOT_FOUND,
                         "job %lld ended before its steps were measured; the first few never are",
                         (long long)job->id);
    return error_set(err, STATUS_CONFLICT, "job %lld has not measured its steps yet: it is %s",
                     (long long)job->id, job_state_names[job->state]);
}

/* GET /api/v1/jobs/{id}/profile -- 409 while it is being measured. */
Status api_job_profile(Api *api, const Request *req, Response *ret, Error *err)
{
    Job job = { 0 };
    Error why = { 0 };
    char *text = NULL;
    int64_t id;
    Status s = request_id_param(req, "id", "job", &id, err);

    if (s == STATUS_OK)
        s = queue_get(api->queue, id, &job, err);
    if (s != STATUS_OK)
        return s;
    s = store_profile_get(queue_store(api->queue), id, &text, &why);
    if (s == STATUS_OK)
        s = response_json(ret, 200, api_stored_json(text), err);
    else if (s == STATUS_NOT_FOUND)
        s = absent(&job, err);
    else if (err != NULL)
        *err = why;
    free(text);
    job_clear(&job);
    return s;
}
