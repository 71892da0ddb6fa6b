/*
 * Checkpoints: what there is, and the file itself. A file never changes once its row is written, so
 * its digest is a strong ETag. With ?weights=1 the optimiser's tensors are left out: the file is
 * written anew, without a name, into the data directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/nn/safetensors.h"
#include "server/api/api.h"
#include "server/codec/json.h"

static const char optimizer_prefix[] = "optimizer.";
static const char file_type[] = "application/octet-stream";

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

/* Writes what is no optimiser state to `out`. */
static Status write_weights(const StFile *file, FILE *out, Error *err)
{
    size_t count = safetensors_count(file), kept = 0, metas = safetensors_metadata_count(file);
    StTensor *tensors = calloc(count + 1, sizeof *tensors);
    StMeta *meta = calloc(metas + 1, sizeof *meta);
    Status s = STATUS_OK;

    if (tensors == NULL || meta == NULL)
        s = error_set(err, STATUS_NO_MEMORY, "no memory for the weights");
    for (size_t i = 0; i < count && s == STATUS_OK; i++)
        if (strncmp(safetensors_at(file, i)->name, optimizer_prefix, sizeof optimizer_prefix - 1) !=
            0)
            tensors[kept++] = *safetensors_at(file, i);
    for (size_t i = 0; i < metas && s == STATUS_OK; i++)
        meta[i] = safetensors_metadata_at(file, i);
    if (s == STATUS_OK)
        s = safetensors_write(out, tensors, kept, meta, metas, err);
    free(tensors);
    free(meta);
    return s;
}

/* A nameless file in the data directory with the weights of the one at `path`. */
static Status open_weights(const Store *store, const char *path, int *ret_fd, Error *err)
{
    int fd = open(store_directory(store), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600),
        copy = fd < 0 ? -1 : dup(fd);
    FILE *out = copy < 0 ? NULL : fdopen(copy, "wb");
    StFile *file = NULL;
    Status s = STATUS_OK;

    if (out == NULL)
        s = error_errno(err, STATUS_IO, "cannot make a temporary file");
    if (s == STATUS_OK)
        s = safetensors_open(path, &file, err);
    if (s == STATUS_OK)
        s = write_weights(file, out, err);
    safetensors_close(file);
    if (out != NULL && fclose(out) != 0 && s == STATUS_OK)
        s = error_errno(err, STATUS_IO, "cannot write a temporary file");
    else if (out == NULL && copy >= 0)
        close(copy);
    if (s == STATUS_OK)
        *ret_fd = fd;
    else if (fd >= 0)
        close(fd);
    return s;
}

static Status open_checkpoint(const char *path, int *ret_fd, Error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return error_set(err, STATUS_NOT_FOUND, "the checkpoint was removed a moment ago");
    if (fd < 0)
        return error_errno(err, STATUS_IO, "cannot open the checkpoint");
    *ret_fd = fd;
    return STATUS_OK;
}

static Status send_file(const Checkpoint *c, int fd, Response *ret, Error *err)
{
    struct stat info;

    if (fstat(fd, &info) != 0) {
        Status s = error_errno(err, STATUS_IO, "cannot look at the checkpoint");

        close(fd);
        return s;
    }
    response_file(ret, file_type, fd, (uint64_t)info.st_size);
    response_header(ret, "Content-Disposition",
                    "attachment; filename=\"job-%lld-step-%llu.safetensors\"", (long long)c->job,
                    (unsigned long long)c->step);
    return STATUS_OK;
}

typedef struct FileQuery {
    bool weights;
} FileQuery;

static const Field file_fields[] = {
    FIELD_BOOL_ROW(FileQuery, weights, "weights", 0, "1: without the optimiser's state"),
};

/* GET /api/v1/jobs/{id}/checkpoints/{which} -- latest, best or an epoch; the safetensors file. */
Status api_checkpoint_get(Api *api, const Request *req, Response *ret, Error *err)
{
    Store *store = queue_store(api->queue);
    Checkpoint c;
    FileQuery query;
    char etag[SHA256_HEX + 16], *path;
    int64_t id;
    int fd = -1;
    Status s = request_id_param(req, "id", "job", &id, err);

    if (s == STATUS_OK)
        s = api_query(req, file_fields, 1, &query, err);
    if (s == STATUS_OK)
        s = queue_checkpoint(api->queue, id, request_param(req, "which"), &c, err);
    if (s != STATUS_OK)
        return s;
    snprintf(etag, sizeof etag, "\"%s%s\"", c.sha256, query.weights ? "-weights" : "");
    response_header(ret, "ETag", "%s", etag);
    if (req->if_none_match != NULL && strstr(req->if_none_match, etag) != NULL) {
        ret->code = 304;
        return STATUS_OK;
    }
    path = store_checkpoint_file(store, &c);
    if (path == NULL)
        return error_set(err, STATUS_NO_MEMORY, "no memory for a path");
    s = query.weights ? open_weights(store, path, &fd, err) : open_checkpoint(path, &fd, err);
    free(path);
    return s == STATUS_OK ? send_file(&c, fd, ret, err) : s;
}
