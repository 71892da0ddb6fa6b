/*
 * quality -- how good a method's heat maps of a checkpoint's network are (core/quality/quality.h).
 *
 * Writes quality/<metric>, /low and /high at the checkpoint's step, and result {"images",
 * "quality": {metric: {"mean", "low", "high", "n"}}, "left_out": {metric: why}};
 * sanity_randomisation has "passed" and "cascade", too: how alike the maps still are at each block,
 * from the top.
 */
#include <stdlib.h>
#include <string.h>

#include "core/quality/quality.h"
#include "server/jobs/measure.h"

typedef struct Params {
    DataParams data;
    CheckpointRef checkpoint;
    uint32_t split; /* index into `splits` */
    OptionalUint images;
    uint32_t method;
    char layer[EXPLANATION_LAYER_MAX];
    Tags metrics; /* none: all that can be had */
} Params;

/* The first is the default. */
static const char *const splits[] = { "test", "train", "val", NULL };
static const Split split_of[] = { SPLIT_TEST, SPLIT_TRAIN, SPLIT_VAL };

static const Field fields[] = {
    DATA_FIELD_ROWS(Params),
    FIELD_CHECKPOINT_ROW(Params, checkpoint, "checkpoint", FIELD_REQUIRED,
                         "the checkpoint of a finished job"),
    FIELD_ENUM_ROW(Params, split, "split", 0, splits, "which images"),
    FIELD_UINT_ROW(Params, images, "images", 1, 1e9,
                   "the first N of them; null: 1000, or all there are"),
    FIELD_ENUM_ROW(Params, method, "method", 0, quality_methods,
                   "an explanation's source, or a map that explains nothing"),
    FIELD_STRING_ROW(Params, layer, "layer", FIELD_NULLABLE, NULL,
                     "of a method that takes one, several with commas between; null: the model's "
                     "own"),
    FIELD_TAGS_ROW(Params, metrics, "metrics", "by their names; none: all"),
};

static QualitySpec quality_spec(const JobSpec *spec, const char *path, uint32_t metrics)
{
    const Params *params = spec->params;
    QualitySpec ret = {
        .subject = { .path = path,
                     .data = data_params_spec(&params->data),
                     .split = split_of[params->split],
                     .images = (uint32_t)params->images.value },
        .method = params->method,
        .metrics = metrics,
        .seed = spec->seed,
    };

    memcpy(ret.layer, params->layer, sizeof ret.layer);
    return ret;
}

static bool has_masks(const Dataset *dataset, Split split)
{
    return (split == SPLIT_TEST ? &dataset->test : &dataset->train)->masks != NULL;
}

/* --- which metrics --- */

static Status unknown_metric(const char *pointer, Error *err)
{
    char list[ERROR_MESSAGE_MAX - 32] = "";
    size_t used = 0;

    for (uint32_t i = 0; metric_table[i] != NULL && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i > 0 ? ", " : "",
                                 metric_table[i]->described.name);
    return error_at(err, STATUS_INVALID, pointer, "must be one of: %s", list);
}

/* The set that is asked for: all that can be had where none is named. */
static Status find_metrics(const Params *params, const Dataset *dataset, uint32_t *ret, Error *err)
{
    bool masks = has_masks(dataset, split_of[params->split]);
    uint32_t set = 0;

    for (uint32_t i = 0; i < params->metrics.count; i++) {
        int row = table_find(metric_table, params->metrics.tag[i]);
        char pointer[32];

        snprintf(pointer, sizeof pointer, "/metrics/%u", i);
        if (row < 0)
            return unknown_metric(pointer, err);
        if ((set & 1U << row) != 0)
            return error_at(err, STATUS_INVALID, pointer, "is there already");
        if (metric_table[row]->needs_mask && !masks)
            return error_at(err, STATUS_INVALID, pointer,
                            "needs images whose objects are known: data set \"%s\" has no masks",
                            dataset->name);
        set |= 1U << row;
    }
    if (params->metrics.count == 0)
        set = masks ? metric_all() : metric_maskless();
    *ret = set;
    return STATUS_OK;
}

static Status quality_check(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret,
                            Error *err)
{
    Params *params = spec->params;
    const Dataset *dataset = NULL;
    JobEstimate out = { 0 };
    QualitySpec quality;
    uint32_t metrics = 0;
    Error why = { 0 };
    char *path = NULL;
    Status s = measure_check(store, datasets, &params->checkpoint, &params->data, spec->seed, &path,
                             &dataset, err);

    if (s == STATUS_OK)
        s = measure_images(&params->data, split_of[params->split], &params->images, err);
    if (s == STATUS_OK)
        s = find_metrics(params, dataset, &metrics, err);
    if (s == STATUS_OK) {
        quality = quality_spec(spec, path, metrics);
        s = quality_estimate(&quality, dataset, &out.memory_bytes, &why);
        if (s != STATUS_OK) /* what is no field's fault is the checkpoint's */
            s = error_at(err, s,
                         why.detail[0].pointer[0] != '\0' ? why.detail[0].pointer : "/checkpoint",
                         "%s", error_message(&why));
    }
    free(path);
    out.steps = params->images.value;
    if (s == STATUS_OK)
        *ret = out;
    return s;
}

/* --- what comes out --- */

static json_t *cascade_json(const Quality *quality)
{
    json_t *out = json_array();

    for (uint32_t level = 0; level < quality_levels(quality); level++) {
        size_t length;
        const char *name = quality_level_name(quality, level, &length);
        json_t *row = json_pack("{s:s%}", "block", name, length);

        for (Likeness k = 0; k < LIKENESSES; k++) {
            Interval i = quality_likeness(quality, level, k);

            (void)json_object_set_new(row, likeness_names[k], interval_json(&i));
        }
        (void)json_array_append_new(out, row);
    }
    return out;
}

/* What was not named, and cannot be had. */
static json_t *left_out_json(const Params *params, uint32_t metrics)
{
    json_t *out = json_object();

    for (uint32_t i = 0; metric_table[i] != NULL && params->metrics.count == 0; i++)
        if ((metrics & 1U << i) == 0)
            (void)json_object_set_new(out, metric_table[i]->described.name,
                                      json_string("the data set has no masks"));
    return out;
}

static json_t *quality_json(const Quality *quality, const Measure *measure, uint32_t metrics)
{
    json_t *out = json_object();

    for (uint32_t i = 0; metric_table[i] != NULL; i++) {
        const Metric *m = metric_table[i];
        MetricValue named = run_value("quality", m->described.name, 0, 0);
        Interval interval;
        json_t *row;

        if ((metrics & 1U << i) == 0)
            continue;
        interval = quality_result(quality, i);
        row = measure_report(measure, named.key, &interval);
        if (m->compare != NULL) {
            (void)json_object_set_new(row, "passed", json_boolean(interval.mean < m->passed));
            (void)json_object_set_new(row, "cascade", cascade_json(quality));
        }
        (void)json_object_set_new(out, m->described.name, row);
    }
    return out;
}

static Status run_measure(Measure *measure, const Dataset *dataset, Error *err)
{
    JobRun *run = measure->run;
    const Params *params = run->spec->params;
    Quality *quality = NULL;
    uint32_t metrics = 0;
    QualitySpec spec;
    Status s = find_metrics(params, dataset, &metrics, err);

    if (s != STATUS_OK)
        return s;
    spec = quality_spec(run->spec, measure->path, metrics);
    s = quality_new(&spec, dataset, run->pool, &quality, err);
    if (s != STATUS_OK)
        return s;
    measure_resume(measure, quality_samples(quality));
    s = measure_end(measure, quality_run(quality, run->stop, measure_batch, measure, err), err);
    if (s == STATUS_OK)
        run_result(run, json_pack("{s:I, s:o, s:o}", "images", (json_int_t)params->images.value,
                                  "quality", quality_json(quality, measure, metrics), "left_out",
                                  left_out_json(params, metrics)));
    quality_free(quality);
    return s;
}

static Status quality_job_run(JobRun *run, Error *err)
{
    const Params *params = run->spec->params;

    return measure_run(run, &params->data, &params->checkpoint, (uint32_t)params->images.value,
                       run_measure, err);
}

extern const JobKind job_kind_quality;
const JobKind job_kind_quality = {
    .name = "quality",
    .summary = "how good the heat maps of a checkpoint's network are, as numbers",
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .params_size = sizeof(Params),
    .defaults = "{\"method\": \"gradcam\"}",
    .check = quality_check,
    .run = quality_job_run,
};
