/* The table of operations. tests/api holds it against schema/openapi.json, in both directions. */
#include "server/api/api.h"

const Route api_routes[] = {
    { METHOD_GET, "/api/v1/jobs", "listJobs", api_job_list },
    { METHOD_POST, "/api/v1/jobs", "createJob", api_job_create },
    { METHOD_GET, "/api/v1/jobs/{id}", "getJob", api_job_get },
    { METHOD_POST, "/api/v1/jobs/{id}/cancel", "cancelJob", api_job_cancel },
    { METHOD_GET, "/api/v1/jobs/{id}/metrics", "getMetrics", api_job_metrics },
    { METHOD_GET, "/api/v1/jobs/{id}/checkpoints", "listCheckpoints", api_checkpoint_list },
    { METHOD_GET, "/api/v1/jobs/{id}/checkpoints/{which}", "getCheckpoint", api_checkpoint_get },
    { METHOD_GET, "/api/v1/jobs/{id}/layers", "listLayers", api_layer_list },
    { METHOD_GET, "/api/v1/jobs/{id}/heatmaps/{image}.png", "getHeatmapPng", api_heatmap_png },
    { METHOD_GET, "/api/v1/jobs/{id}/heatmaps/{image}.npy", "getHeatmapNpy", api_heatmap_npy },
    { METHOD_GET, "/api/v1/datasets", "listDatasets", api_dataset_list },
    { METHOD_GET, "/api/v1/datasets/{name}/preview.png", "getPreviewPng", api_dataset_preview },
    { METHOD_GET, "/api/v1/kinds", "listKinds", api_kind_list },
    { METHOD_GET, "/api/v1/presets", "listPresets", api_preset_list },
    { METHOD_GET, "/api/v1/system", "getSystem", api_system_get },
    { METHOD_GET, "/api/v1/openapi.json", "getOpenapi", api_openapi_get },
    { METHOD_GET, "/livez", "getLivez", api_livez },
    { METHOD_GET, "/readyz", "getReadyz", api_readyz },
    { METHOD_GET, "/metrics", "getPrometheus", api_prometheus },
    { .path = NULL },
};
