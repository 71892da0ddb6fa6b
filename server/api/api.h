/*
 * api -- the resources under /api/v1: one file a resource, one row of api_routes an operation.
 *
 * Handlers run on any HTTP thread, many at once. They read and write through the queue; what
 * computes for longer goes to the maps' thread and is answered later.
 */
#pragma once

#include "server/http/http.h"
#include "server/jobs/maps.h"
#include "server/jobs/presets.h"
#include "server/jobs/queue.h"

struct Api {
    Queue *queue;
    Maps *maps;
    const Router *router; /* for its counters */
    const char *version, *build;
    int64_t started_ms; /* wall clock */
};

extern const Route api_routes[]; /* ended by a NULL path */

/*
 * The query as the struct that `fields` describe: what is unknown, of the wrong type or out of
 * range is STATUS_INVALID, named by
 * "/parameter", all at once.
 */
CHECKED Status api_query(const Request *req, const Field *fields, uint32_t count, void *ret,
                         Error *err);

/* {"items": items, "next": null}. Takes `items`. */
CHECKED Status api_list(Response *ret, json_t *items, Error *err);
/* Leaves the request to the maps' thread, which answers later. */
CHECKED Status api_maps_submit(Api *api, const MapsRequest *request, Response *ret, Error *err);
/* A text column that holds JSON, parsed; null where it is NULL. */
json_t *api_stored_json(const char *text);

Status api_job_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_job_create(Api *api, const Request *req, Response *ret, Error *err);
Status api_job_get(Api *api, const Request *req, Response *ret, Error *err);
Status api_job_cancel(Api *api, const Request *req, Response *ret, Error *err);
Status api_job_metrics(Api *api, const Request *req, Response *ret, Error *err);
Status api_checkpoint_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_checkpoint_get(Api *api, const Request *req, Response *ret, Error *err);
Status api_layer_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_heatmap_png(Api *api, const Request *req, Response *ret, Error *err);
Status api_heatmap_npy(Api *api, const Request *req, Response *ret, Error *err);
Status api_dataset_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_dataset_preview(Api *api, const Request *req, Response *ret, Error *err);
Status api_kind_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_preset_list(Api *api, const Request *req, Response *ret, Error *err);
Status api_system_get(Api *api, const Request *req, Response *ret, Error *err);
Status api_openapi_get(Api *api, const Request *req, Response *ret, Error *err);
Status api_livez(Api *api, const Request *req, Response *ret, Error *err);
Status api_readyz(Api *api, const Request *req, Response *ret, Error *err);
Status api_prometheus(Api *api, const Request *req, Response *ret, Error *err);
