/*
 * explain -- what a checkpoint's network says of the images of a data set, step 2 of LeaSE: deltas
 * of an attack or heat maps, one file a split (GET /jobs/{id}/maps/{split}).
 *
 * A split is the unit of work that lasts: one that has its file is not done again after a drain or
 * a crash. Images are not augmented; labels are looked at in the split `train` only. Result:
 * {"maps": {split: {"images", "bytes", "sha256"}}}.
 */
#include <stdlib.h>
#include <string.h>

#include "core/explain/explanation.h"
#include "server/jobs/explanation_params.h"
#include "server/jobs/map_artefacts.h"
#include "server/jobs/run.h"

typedef struct Params {
    DataParams data;
    CheckpointRef checkpoint;
    Tags splits;
    ExplanationParams explanation;
} Params;

static const Field fields[] = {
    DATA_FIELD_ROWS(Params),
    FIELD_CHECKPOINT_ROW(Params, checkpoint, "checkpoint", FIELD_REQUIRED,
                         "the checkpoint of a finished job"),
    FIELD_TAGS_ROW(Params, splits, "splits", "which images: \"train\", \"val\", \"test\""),
    FIELD_OBJECT_ROW(Params, explanation, "explanation", explanation_fields, "how it explains"),
};

static ExplainSpec explain_spec(const JobSpec *spec, const char *path)
{
    const Params *params = spec->params;

    return (ExplainSpec){ .path = path,
                          .data = data_params_spec(&params->data),
                          .explanation = explanation_params_spec(&params->explanation),
                          .seed = spec->seed };
}

static Status check_splits(const Tags *splits, Error *err)
{
    bool seen[SPLIT_COUNT] = { false };

    if (splits->count == 0)
        return error_at(err, STATUS_INVALID, "/splits", "must name one of: train, val, test");
    for (uint32_t i = 0; i < splits->count; i++) {
        char pointer[32];
        int split = 0;

        while (split < SPLIT_COUNT && strcmp(split_names[split], splits->tag[i]) != 0)
            split++;
        snprintf(pointer, sizeof pointer, "/splits/%u", i);
        if (split == SPLIT_COUNT)
            return error_at(err, STATUS_INVALID, pointer, "must be one of: train, val, test");
        if (seen[split])
            return error_at(err, STATUS_INVALID, pointer, "is there already");
        seen[split] = true;
    }
    return STATUS_OK;
}

/* Whether the job explains this split; a split without images is left out. */
static bool wants(const Params *params, Split split)
{
    uint64_t images[SPLIT_COUNT];

    data_params_images(&params->data, images);
    for (uint32_t i = 0; i < params->splits.count; i++)
        if (strcmp(params->splits.tag[i], split_names[split]) == 0)
            return images[split] > 0;
    return false;
}

static uint64_t all_images(const Params *params)
{
    uint64_t images[SPLIT_COUNT], all = 0;

    data_params_images(&params->data, images);
    for (Split split = 0; split < SPLIT_COUNT; split++)
        all += wants(params, split) ? images[split] : 0;
    return all;
}

static Status explain_check(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret,
                            Error *err)
{
    Params *params = spec->params;
    const Dataset *dataset;
    Checkpoint checkpoint;
    ExplainSpec explain;
    JobEstimate out = { 0 };
    char *path = NULL;
    Job job = { 0 };
    Status s = check_splits(&params->splits, err);

    if (s == STATUS_OK)
        s = reference_checkpoint(store, &params->checkpoint, "/checkpoint", &job, &checkpoint, err);
    if (s == STATUS_OK)
        s = reference_inherit(&params->data, &job, err);
    job_clear(&job);
    if (s == STATUS_OK)
        s = data_params_resolve(&params->data, datasets, spec->seed, &dataset, err);
    if (s != STATUS_OK)
        return s;
    explanation_params_resolve(&params->explanation);
    out.steps = all_images(params);
    if (out.steps == 0)
        return error_at(err, STATUS_INVALID, "/splits", "there are no images in these splits");
    path = store_checkpoint_file(store, &checkpoint);
    explain = explain_spec(spec, path);
    s = path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                     : explain_estimate(&explain, dataset, &out.memory_bytes, err);
    free(path);
    if (s == STATUS_OK)
        *ret = out;
    return s;
}

/* --- the work --- */

typedef struct Work {
    JobRun *run;
    const Params *params;
    const Dataset *dataset;
    ExplainSpec spec;
    char checkpoint[SHA256_HEX];
    uint64_t before; /* images of the splits that are done */
    json_t *result;  /* split -> file */
} Work;

static void on_progress(void *context, uint32_t images)
{
    const Work *work = context;

    run_report(work->run, work->before + images, NULL, 0);
}

static void note(Work *work, Split split, uint64_t images, const Artefact *artefact)
{
    (void)json_object_set_new(work->result, split_names[split],
                              json_pack("{s:I, s:I, s:s}", "images", (json_int_t)images, "bytes",
                                        (json_int_t)artefact->bytes, "sha256", artefact->sha256));
    work->before += images;
    run_report(work->run, work->before, NULL, 0);
}

static Status explain_split(Work *work, Split split, Artefact *ret, Error *err)
{
    const StMeta metadata[] = {
        { "source", explanation_sources[work->spec.explanation.source] },
        { "dataset", work->dataset->name },
        { "checkpoint", work->checkpoint },
    };
    MapSet set;
    Status s = explain_checkpoint(&work->spec, work->dataset, split, work->run->pool,
                                  work->run->stop, on_progress, work, &set, err);

    if (s != STATUS_OK)
        return s;
    s = map_artefact_write(work->run->store, work->run->id, split, &set, metadata,
                           sizeof metadata / sizeof *metadata, ret, err);
    mapset_clear(&set);
    return s;
}

static Status explain_splits(Work *work, Error *err)
{
    uint64_t images[SPLIT_COUNT];
    Status s = STATUS_OK;

    data_params_images(&work->params->data, images);
    for (Split split = 0; split < SPLIT_COUNT && s == STATUS_OK; split++) {
        char name[ARTEFACT_NAME_MAX];
        Artefact artefact;

        if (!wants(work->params, split))
            continue;
        map_artefact_name(split, name);
        if (store_artefact_find(work->run->store, work->run->id, name, &artefact, NULL) !=
                STATUS_OK ||
            store_artefact_verify(work->run->store, &artefact, NULL) != STATUS_OK)
            s = explain_split(work, split, &artefact, err);
        if (s == STATUS_OK)
            note(work, split, images[split], &artefact);
    }
    return s;
}

static Status run_work(Work *work, Error *err)
{
    const JobProgress at = { .steps = all_images(work->params) };
    Checkpoint checkpoint = { 0 };
    char *path = NULL;
    Job job = { 0 };
    uint64_t step;
    Status s = run_begin(work->run, &at, NULL, NULL, &step, err);

    if (s == STATUS_OK)
        s = reference_checkpoint(work->run->store, &work->params->checkpoint, "/checkpoint", &job,
                                 &checkpoint, err);
    job_clear(&job);
    if (s == STATUS_OK)
        s = reference_file(work->run->store, &work->params->checkpoint, "/checkpoint", &path, err);
    if (s != STATUS_OK)
        return s;
    memcpy(work->checkpoint, checkpoint.sha256, sizeof work->checkpoint);
    work->spec = explain_spec(work->run->spec, path);
    s = explain_splits(work, err);
    free(path);
    return s;
}

static Status explain_run(JobRun *run, Error *err)
{
    Work work = { .run = run, .params = run->spec->params, .result = json_object() };
    Status s = data_params_open(&work.params->data, run->datasets, &work.dataset, err);

    if (s == STATUS_OK)
        s = run_work(&work, err);
    if (s == STATUS_OK)
        run_result(run, json_pack("{s:o}", "maps", work.result));
    else
        json_decref(work.result);
    return s;
}

extern const JobKind job_kind_explain;
const JobKind job_kind_explain = {
    .name = "explain",
    .summary = "explanations of a data set's images by a checkpoint",
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .params_size = sizeof(Params),
    .defaults = "{\"splits\": [\"train\", \"val\", \"test\"]}",
    .check = explain_check,
    .run = explain_run,
};
