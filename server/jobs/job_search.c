/*
 * search -- searches an architecture: weights learn from training images, alphas from validation
 * images. With update "alphas" it is step 4 of LeaSE alone: the alphas of a finished job's
 * supernet, by what an audience reaches that another job has trained; the weights of both stay.
 *
 * Metrics are those of `train`, and at each epoch's end search/entropy/normal,
 * search/entropy/reduce (nats, the mean over a kind's edges) and, where it is asked for,
 * search/eigenvalue. Each epoch's genotype and alphas are in the store before its checkpoint is.
 * Result: {"genotype", "epoch"}, of the last epoch, or of the one that an early stop goes back to.
 */
#include <math.h>

#include "server/jobs/search_alphas.h"
#include "server/jobs/search_params.h"
#include "server/jobs/train_params.h"

typedef enum Update { UPDATE_BOTH, UPDATE_ALPHAS } Update;

static const char *const updates[] = { "both", "alphas", NULL };

typedef struct Params {
    DataParams data;
    SearchParams search;
    TrainParams train;
    TimelapseParams timelapse;
    bool eigenvalue, early_stop;
    uint32_t update;
    AlphasParams alphas; /* of UPDATE_ALPHAS */
} Params;

static const Field fields[] = {
    DATA_FIELD_ROWS(Params),
    SEARCH_FIELD_ROWS(Params, search),
    TRAIN_FIELD_ROWS(Params, train),
    TIMELAPSE_FIELD_ROW(Params, timelapse),
    FIELD_BOOL_ROW(Params, eigenvalue, "eigenvalue", 0,
                   "measure the dominant eigenvalue of the validation loss' Hessian in the "
                   "architecture at each epoch's end"),
    FIELD_BOOL_ROW(Params, early_stop, "early_stop", 0,
                   "end where that eigenvalue has grown too much, and go back"),
    FIELD_ENUM_ROW(
        Params, update, "update", UPDATE_BOTH, updates,
        "who moves: weights and alphas, or the alphas of an explainer alone, by what its "
        "audience reaches (step 4 of LeaSE)"),
    ALPHAS_FIELD_ROWS(Params, alphas),
};

static SearchSpec search_spec(const JobSpec *spec)
{
    const Params *params = spec->params;
    SearchSpec s = { .train = train_params_spec(&params->train),
                     .eigenvalue = params->eigenvalue || params->early_stop,
                     .early_stop = params->early_stop };

    search_params_spec(&params->search, &s);
    s.train.data = data_params_spec(&params->data);
    s.train.seed = spec->seed;
    return s;
}

static Status check_both(const JobSpec *spec, const Dataset *dataset, JobEstimate *ret, Error *err)
{
    const Params *params = spec->params;
    SearchSpec search = search_spec(spec);
    SearchEstimate estimate;
    Choice model;
    Error why = { 0 };

    if (search_estimate(&search, dataset, &estimate, &why) != STATUS_OK ||
        search_model(&search, &model, &why) != STATUS_OK)
        return search_params_blame(&why, "", err);
    *ret = (JobEstimate){ .memory_bytes =
                              estimate.memory_bytes + run_profile_bytes(search.train.profile),
                          .flops = estimate.step_flops * (double)estimate.steps,
                          .steps = estimate.steps,
                          .epochs = estimate.epochs };
    search.train.model = model;
    return train_job_watch(&search.train, dataset, &params->timelapse, ret, err);
}

/* --- the observer --- */

typedef struct SearchJob {
    JobRun *run;
    const Params *params;
    Search *search;
    const SearchEpoch *epoch; /* being written */
} SearchJob;

static Status restore(void *context, const char *path, Error *err)
{
    return search_restore(context, path, err);
}

static Status save_partial(void *context, const char *path, Error *err)
{
    const SearchJob *job = context;

    return search_save(job->search, path, err);
}

/* The checkpoint, and what of it outlives it. */
static Status save_epoch(void *context, const char *path, Error *err)
{
    const SearchJob *job = context;
    const SearchEpoch *e = job->epoch;
    SearchAlphas alphas;
    Status s = search_save(job->search, path, err);

    if (s == STATUS_OK && !isnan(e->entropy[CELL_NORMAL])) { /* there are alphas */
        s = search_read_alphas(path, &alphas, err);
        if (s == STATUS_OK)
            s = run_alphas(job->run, e->epoch, e->step, &alphas, err);
    }
    return s == STATUS_OK ? run_genotype(job->run, e->epoch, &e->genotype, NULL, err) : s;
}

static void on_step(void *context, const SearchReport *r)
{
    const SearchJob *job = context;

    report_step(job->run, r->step, r->train_loss, r->train_accuracy, r->images_per_second);
    run_profile(job->run, search_profile(job->search));
}

static Status on_epoch(void *context, Search *search, const SearchEpoch *r, Error *err)
{
    SearchJob *job = context;
    MetricValue values[EPOCH_SCORES + CELL_KINDS + 1];
    size_t count = epoch_scores(r->step, &r->train, &r->val, &r->test, values);
    RunCheckpoint checkpoint =
        epoch_checkpoint(r->step, r->epoch, &r->val, job->params->train.checkpoint_every);

    (void)search;
    entropy_values(r->step, r->entropy, values, &count);
    if (job->params->eigenvalue || job->params->early_stop)
        values[count++] = run_value("search", "eigenvalue", r->step, r->eigenvalue);
    checkpoint.values = values;
    checkpoint.count = count;
    job->epoch = r;
    return run_checkpoint(job->run, &checkpoint, save_epoch, job, err);
}

static Status on_drain(void *context, Search *search, uint64_t step, Error *err)
{
    SearchJob *job = context;

    (void)search;
    return run_drain(job->run, step, save_partial, job, err);
}

/* What it found, as the job's result. */
static Status conclude(SearchJob *job, Error *err)
{
    SearchResult result;
    int64_t id = 0;
    Status s;

    search_result(job->search, &result);
    s = run_genotype(job->run, result.epoch, &result.genotype, &id, err);
    if (s != STATUS_OK)
        return s;
    if (result.early_stopped)
        run_stopped_early(job->run, "the Hessian's eigenvalue has grown too much: back to epoch %u",
                          result.epoch);
    run_result(job->run, json_pack("{s:I, s:I}", "genotype", (json_int_t)id, "epoch",
                                   (json_int_t)result.epoch));
    return STATUS_OK;
}

static Status run_search(SearchJob *job, const SearchEstimate *estimate, Error *err)
{
    const SearchObserver observer = { .context = job,
                                      .stop = job->run->stop,
                                      .step = on_step,
                                      .epoch = on_epoch,
                                      .drain = on_drain };
    const JobProgress at = { .epochs = estimate->epochs, .steps = estimate->steps };
    uint64_t step;
    Status s = run_begin(job->run, &at, restore, job->search, &step, err);

    if (s == STATUS_OK)
        s = search_run(job->search, &observer, err);
    return s == STATUS_OK ? conclude(job, err) : s;
}

static Status run_both(JobRun *run, const Dataset *dataset, Error *err)
{
    SearchJob job = { .run = run, .params = run->spec->params };
    const SearchSpec spec = search_spec(run->spec);
    SearchEstimate estimate;
    Status s = search_estimate(&spec, dataset, &estimate, err);

    if (s == STATUS_OK)
        s = search_new(&spec, dataset, run->pool, &job.search, err);
    if (s == STATUS_OK)
        s = run_search(&job, &estimate, err);
    search_free(job.search);
    return s;
}

/* --- either --- */

/* The job as step 4 alone. */
static AlphasJob alphas_job(const JobSpec *spec)
{
    Params *params = spec->params;

    return (AlphasJob){ .data = &params->data,
                        .search = &params->search,
                        .train = &params->train,
                        .alphas = &params->alphas,
                        .timelapse = &params->timelapse,
                        .seed = spec->seed };
}

static Status search_check(Store *store, Datasets *datasets, JobSpec *spec, JobEstimate *ret,
                           Error *err)
{
    Params *params = spec->params;
    const AlphasJob alphas = alphas_job(spec);
    const Dataset *dataset;
    AlphasFiles files = { 0 };
    Status s = STATUS_OK;

    explanation_params_resolve(&params->alphas.hyper.explanation);
    if (params->update == UPDATE_ALPHAS)
        s = alphas_find(store, &alphas, false, &files, err);
    if (s == STATUS_OK)
        s = data_params_halve(&params->data, datasets, err);
    if (s == STATUS_OK)
        s = data_params_resolve(&params->data, datasets, spec->seed, &dataset, err);
    if (s == STATUS_OK)
        s = params->update == UPDATE_ALPHAS ? alphas_estimate(&alphas, &files, dataset, ret, err)
                                            : check_both(spec, dataset, ret, err);
    alphas_files_clear(&files);
    return s;
}

static Status search_job_run(JobRun *run, Error *err)
{
    const Params *params = run->spec->params;
    const AlphasJob alphas = alphas_job(run->spec);
    const Dataset *dataset;
    Status s = data_params_open(&params->data, run->datasets, &dataset, err);

    if (s != STATUS_OK)
        return s;
    return params->update == UPDATE_ALPHAS ? alphas_run(run, &alphas, dataset, err)
                                           : run_both(run, dataset, err);
}

static Status search_job_print(Store *store, Datasets *datasets, const JobSpec *spec,
                               const Roofline *limits, FILE *out, Error *err)
{
    const Params *params = spec->params;
    const SearchSpec search = search_spec(spec);
    const Dataset *dataset;
    Status s = data_params_open(&params->data, datasets, &dataset, err);

    (void)store;
    if (s == STATUS_OK && params->update == UPDATE_ALPHAS)
        s = error_at(err, STATUS_INVALID, "/params/update",
                     "there is a plan to print of \"both\" only");
    return s == STATUS_OK ? search_print(&search, dataset, limits, out, err) : s;
}

extern const JobKind job_kind_search;
const JobKind job_kind_search = {
    .name = "search",
    .summary = "searches an architecture",
    .fields = fields,
    .field_count = sizeof fields / sizeof *fields,
    .params_size = sizeof(Params),
    .defaults = "{\"epochs\": 50, " SEARCH_DEFAULTS "}",
    .check = search_check,
    .run = search_job_run,
    .print = search_job_print,
};
