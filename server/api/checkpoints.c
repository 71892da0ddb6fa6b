/*
 * Checkpoints: what there is, and the file itself. A file never changes once its row is written, so
 * its digest is a strong ETag. With ?weights=1 what optimisers keep is left out, with ?part= all
 * but one network of two: the file is written anew, without a name, into the data directory.
 */
#include <stdio.h>
#include <stdlib.h>

#include "server/api/api.h"
#include "server/codec/json.h"
#include "server/jobs/checkpoint_part.h"

static json_t *checkpoint_json(const Checkpoint *c)
{
    char link[80];

    if (c->epoch > 0)
        snprintf(link, sizeof link, "/api/v1/jobs/%lld/checkpoints/%u", (long long)c->job,
                 c->epoch);
    return json_pack("{sIsIsssIsbsbsososo}", "epoch", (json_int_t)c->epoch, "step",
                     (json_int_t)c->step, "sha256", c->sha256, "bytes", (json_int_t)c->bytes,
                     "best", (int)c->best, "pinned", (int)c->pinned, "score", json_number(c->score),
                     "created_at", json_time_ms(c->created_ms), "link",
                     c->epoch > 0 ? json_string(link) : json_null());
}

/* GET /api/v1/jobs/{id}/checkpoints -- newest first. */
Status api_checkpoint_list(Api *api, const Request *req, Response *ret, Error *err)
{
    Checkpoint *rows = NULL;
    json_t *items = NULL;
    Job job = { 0 };
    size_t count = 0;
    int64_t id;
    Status s = request_id_param(req, "id", "job", &id, err);

    if (s == STATUS_OK)
        s = queue_get(api->queue, id, &job, err); /* 404 where there is no such job */
    job_clear(&job);
    if (s != STATUS_OK)
        return s;
    rows = calloc(CHECKPOINT_LIST_MAX, sizeof *rows);
    if (rows == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for the list");
    s = store_checkpoint_list(queue_store(api->queue), id, rows, CHECKPOINT_LIST_MAX, &count, err);
    if (s == STATUS_OK) {
        items = json_array();
        for (size_t i = 0; i < count; i++)
            (void)json_array_append_new(items, checkpoint_json(&rows[i]));
        s = api_list(ret, items, err);
    }
    free(rows);
    return s;
}

typedef struct FileQuery {
    bool weights;
    char part[16];
} FileQuery;

static const Field file_fields[] = {
    FIELD_BOOL_ROW(FileQuery, weights, "weights", 0, "1: without the optimisers' state"),
    FIELD_STRING_ROW(FileQuery, part, "part", 0, "",
                     "of a `lease`: explainer or audience alone, without the prefix"),
};

/* GET /api/v1/jobs/{id}/checkpoints/{which} -- latest, best or an epoch; the safetensors file. */
Status api_checkpoint_get(Api *api, const Request *req, Response *ret, Error *err)
{
    Store *store = queue_store(api->queue);
    Checkpoint c;
    FileQuery query;
    char etag[SHA256_HEX + 40], name[80], *path;
    int64_t id;
    int fd = -1;
    Status s = request_id_param(req, "id", "job", &id, err);

    if (s == STATUS_OK)
        s = api_query(req, file_fields, sizeof file_fields / sizeof *file_fields, &query, err);
    if (s == STATUS_OK)
        s = queue_checkpoint(api->queue, id, request_param(req, "which"), &c, err);
    if (s != STATUS_OK)
        return s;
    snprintf(etag, sizeof etag, "%s%s%s%s", c.sha256, query.weights ? "-weights" : "",
             query.part[0] != '\0' ? "-" : "", query.part);
    if (api_unchanged(req, etag, ret))
        return STATUS_OK;
    path = store_checkpoint_file(store, &c);
    if (path == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a path");
    s = query.weights || query.part[0] != '\0'
            ? checkpoint_cut(store, path, query.part, query.weights, "/part", &fd, err)
            : api_open_file(path, &fd, err);
    free(path);
    if (s != STATUS_OK)
        return s;
    snprintf(name, sizeof name, "job-%lld-step-%llu.safetensors", (long long)c.job,
             (unsigned long long)c.step);
    return api_send_file(ret, fd, name, err);
}
