/* Files that jobs leave besides checkpoints. One never changes once its row is written: its digest
 * is a strong ETag. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/api/api.h"
#include "server/store/artefacts.h"

/* No such file yet, or never. */
static Status absent(const Job *job, const Error *why, Error *err)
{
    if (job_state_final(job->state) || strcmp(job->kind, "explain") != 0)
        return error_set(err, STATUS_NOT_FOUND, "%s", error_message(why));
    return error_set(err, STATUS_CONFLICT, "job %lld has not explained this split yet: it is %s",
                     (long long)job->id, job_state_names[job->state]);
}

static Status find(Api *api, int64_t id, const char *split, Artefact *ret, Error *err)
{
    char name[ARTEFACT_NAME_MAX];
    Error why = { 0 };
    Job job = { 0 };
    Status s = queue_get(api->queue, id, &job, err); /* 404 where there is no such job */

    if (s == STATUS_OK && strlen(split) + sizeof "maps/" > sizeof name)
        s = error_set(err, STATUS_NOT_FOUND, "there is no split \"%.40s\"", split);
    if (s == STATUS_OK) {
        snprintf(name, sizeof name, "maps/%s", split);
        s = store_artefact_find(queue_store(api->queue), id, name, ret, &why);
        if (s == STATUS_NOT_FOUND)
            s = absent(&job, &why, err);
        else if (s != STATUS_OK)
            s = error_set(err, s, "%s", error_message(&why));
    }
    job_clear(&job);
    return s;
}

/* GET /api/v1/jobs/{id}/maps/{split} -- the explanations of a split; the safetensors file. */
Status api_job_maps(Api *api, const Request *req, Response *ret, Error *err)
{
    const char *split = request_param(req, "split");
    char name[80], *path;
    Artefact artefact;
    int64_t id;
    int fd = -1;
    Status s = request_id_param(req, "id", "job", &id, err);

    if (s == STATUS_OK)
        s = find(api, id, split, &artefact, err);
    if (s != STATUS_OK)
        return s;
    if (api_unchanged(req, artefact.sha256, ret))
        return STATUS_OK;
    path = store_artefact_file(queue_store(api->queue), &artefact);
    s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "no memory for a path")
                     : api_open_file(path, &fd, err);
    free(path);
    if (s != STATUS_OK)
        return s;
    snprintf(name, sizeof name, "job-%lld-maps-%s.safetensors", (long long)id, split);
    return api_send_file(ret, fd, name, err);
}
