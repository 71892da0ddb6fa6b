/*
 * api -- the resources under /api/v1: one file a resource, one row of api_routes an operation.
 *
 * Handlers run on any HTTP thread, many at once. They read and write through the queue; what
 * computes for longer goes to the maps' thread and is answered later.
 */
#pragma once

#include <pthread.h>

#include "server/http/http.h"
#include "server/jobs/maps.h"
#include "server/jobs/presets.h"
#include "server/jobs/queue.h"

typedef struct Submit Submit;

/* Requests under an Idempotency-Key that are being worked on (submit.h). */
typedef struct Submits {
    pthread_mutex_t lock;
    Submit *first; /* guarded by lock */
} Submits;

struct Api {
    Queue *queue;
    Maps *maps;
    const Router *router; /* for its counters */
    const char *version, *build;
    int64_t started_ms; /* wall clock */
    Submits submits;
};

void submits_init(Submits *submits);
void submits_clear(Submits *submits); /* none is being worked on */

extern const Route api_routes[]; /* ended by a NULL path */

/*
 * The query as the struct that `fields` describe: what is unknown, of the wrong type or out of
 * range is STATUS_INVALID, named by
 * "/parameter", all at once.
 */
CHECKED Status api_query(const Request *req, const Field *fields, uint32_t count, void *ret,
                         Error *err);

/* Of a page's `cursor`: the id that it begins below, behind a letter that keeps it opaque; ""
 * leaves *ret alone. STATUS_INVALID names "/cursor". */
CHECKED Status api_cursor(const char *text, int64_t *ret, Error *err);
/* {"items", "next"} and the Link to it. Takes `items`. next 0: this is the last page. `filter`: the
 * rest of the query, "&kind=train", or "". */
CHECKED Status api_page(Response *ret, json_t *items, int64_t next, const char *path,
                        uint32_t limit, const char *filter, Error *err);
/* {"items": items, "next": null}. Takes `items`. */
CHECKED Status api_list(Response *ret, json_t *items, Error *err);
/* Leaves the request to the maps' thread, which answers later. */
CHECKED Status api_maps_submit(Api *api, MapsRequest *request, Response *ret, Error *err);
/* The same for requests with a key (maps_key()): 304 where the client has the answer, at once where
 * memory has it. */
CHECKED Status api_maps_answer(Api *api, const Request *req, MapsRequest *request, Response *ret,
                               Error *err);
/* A text column that holds JSON, parsed; null where it is NULL. */
json_t *api_stored_json(const char *text);

/* Sets the ETag; true (and 304) where the client has that file already. */
bool api_unchanged(const Request *req, const char *digest, Response *ret);
/* A file that may be gone: STATUS_NOT_FOUND. */
CHECKED Status api_open_file(const char *path, int *ret_fd, Error *err);
/* Takes `fd`; the client may keep the file as `name`. */
CHECKED Status api_send_file(Response *ret, int fd, const char *name, Error *err);

Status api_job_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_job_create(Api *api, const Request *req, Response *ret, Error *err);
Status api_job_get(Api *api, const Request *req, Response *ret, Error *err);
Status api_job_cancel(Api *api, const Request *req, Response *ret, Error *err);
Status api_job_metrics(Api *api, const Request *req, Response *ret, Error *err);
Status api_job_alphas(Api *api, const Request *req, Response *ret, Error *err);
Status api_job_maps(Api *api, const Request *req, Response *ret, Error *err);
Status api_job_profile(Api *api, const Request *req, Response *ret, Error *err);
Status api_checkpoint_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_checkpoint_get(Api *api, const Request *req, Response *ret, Error *err);
Status api_layer_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_heatmap_sheet(Api *api, const Request *req, Response *ret, Error *err);
Status api_heatmap_png(Api *api, const Request *req, Response *ret, Error *err);
Status api_heatmap_npy(Api *api, const Request *req, Response *ret, Error *err);
Status api_timelapse_get(Api *api, const Request *req, Response *ret, Error *err);
Status api_timelapse_png(Api *api, const Request *req, Response *ret, Error *err);
Status api_explanation_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_explanation_create(Api *api, const Request *req, Response *ret, Error *err);
Status api_explanation_get(Api *api, const Request *req, Response *ret, Error *err);
Status api_explanation_png(Api *api, const Request *req, Response *ret, Error *err);
Status api_explanation_npy(Api *api, const Request *req, Response *ret, Error *err);
Status api_genotype_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_genotype_import(Api *api, const Request *req, Response *ret, Error *err);
Status api_genotype_get(Api *api, const Request *req, Response *ret, Error *err);
Status api_genotype_compare(Api *api, const Request *req, Response *ret, Error *err);
Status api_sweep_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_sweep_create(Api *api, const Request *req, Response *ret, Error *err);
Status api_sweep_get(Api *api, const Request *req, Response *ret, Error *err);
Status api_sweep_cancel(Api *api, const Request *req, Response *ret, Error *err);
Status api_dataset_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_dataset_preview(Api *api, const Request *req, Response *ret, Error *err);
Status api_kind_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_preset_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_system_get(Api *api, const Request *req, Response *ret, Error *err);
Status api_openapi_get(Api *api, const Request *req, Response *ret, Error *err);
Status api_livez(Api *api, const Request *req, Response *ret, Error *err);
Status api_readyz(Api *api, const Request *req, Response *ret, Error *err);
Status api_prometheus(Api *api, const Request *req, Response *ret, Error *err);
