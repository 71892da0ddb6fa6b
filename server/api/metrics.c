/* What a job reported: series of [step, value, unix_ms], thinned to what a plot can show. */
#include <string.h>

#include "server/api/api.h"
#include "server/codec/json.h"
#include "server/codec/limits.h"

typedef struct MetricsQuery {
    char keys[1024];
    uint32_t max_points;
} MetricsQuery;

static const Field metrics_fields[] = {
    FIELD_STRING_ROW(MetricsQuery, keys, "keys", 0, "",
                     "metric names, separated by commas; all where absent"),
    FIELD_U32_ROW(MetricsQuery, max_points, "max_points", LIMIT_SERIES_POINTS, 4,
                  LIMIT_SERIES_POINTS, "points a series"),
};

static json_t *series_json(const MetricSeries *series)
{
    json_t *points = json_array();

    for (size_t i = 0; i < series->count; i++) {
        const MetricPoint *p = &series->points[i];

        if (json_array_append_new(points,
                                  json_pack("[IoI]", (json_int_t)p->step, json_number(p->value),
                                            (json_int_t)p->unix_ms)) != 0) {
            json_decref(points);
            return NULL;
        }
    }
    return json_pack("{sssIso}", "key", series->key, "total", (json_int_t)series->total, "points",
                     points);
}

/* Cuts `text` at its commas. */
static Status split_keys(char *text, const char *ret[LIMIT_SERIES + 1], Error *err)
{
    size_t count = 0;
    char *name;

    while ((name = strsep(&text, ",")) != NULL) {
        if (*name == '\0')
            continue;
        if (count == LIMIT_SERIES)
            return error_at(err, STATUS_INVALID, "/keys", "at most %d keys", LIMIT_SERIES);
        ret[count++] = name;
    }
    ret[count] = NULL;
    return STATUS_OK;
}

/* GET /api/v1/jobs/{id}/metrics */
Status api_job_metrics(Api *api, const Request *req, Response *ret, Error *err)
{
    const char *keys[LIMIT_SERIES + 1] = { NULL };
    json_t *out = json_array();
    MetricList list = { 0 };
    MetricsQuery query;
    Job job = { 0 };
    int64_t id;
    Status s = request_id_param(req, "id", "job", &id, err);

    if (s == STATUS_OK)
        s = api_query(req, metrics_fields, sizeof metrics_fields / sizeof *metrics_fields, &query,
                      err);
    if (s == STATUS_OK)
        s = split_keys(query.keys, keys, err);
    if (s == STATUS_OK)
        s = queue_get(api->queue, id, &job, err); /* 404 where there is no such job */
    if (s == STATUS_OK)
        s = store_metric_query(queue_store(api->queue), id, keys[0] != NULL ? keys : NULL,
                               query.max_points, &list, err);
    job_clear(&job);
    for (size_t i = 0; i < list.count && s == STATUS_OK; i++)
        if (json_array_append_new(out, series_json(&list.series[i])) != 0)
            s = error_set(err, STATUS_NO_MEMORY, "no memory for the points");
    metric_list_clear(&list);
    if (s == STATUS_OK)
        return response_json(ret, 200, json_pack("{so}", "series", out), err);
    json_decref(out);
    return s;
}
