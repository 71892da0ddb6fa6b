/* A Lease of one phase, run as all others are (hyper_params.h). */
#include "server/jobs/search_alphas.h"

#include <stdlib.h>
#include <string.h>

/* What the audience sees, as its job says; reweighted images where that is no audience. */
static ComposeInput input_of(const Job *audience)
{
    json_t *params = json_loads(audience->params, 0, NULL);
    const char *input = json_string_value(json_object_get(params, "input"));
    ComposeInput out = COMPOSE_MAPS;

    for (uint32_t i = 0; input != NULL && compose_inputs[i] != NULL; i++)
        if (strcmp(compose_inputs[i], input) == 0)
            out = (ComposeInput)i;
    json_decref(params);
    return out;
}

static Status find_network(Store *store, const CheckpointRef *ref, const char *pointer, bool verify,
                           DataParams *data, ComposeInput *ret_input, char **ret_path, Error *err)
{
    Checkpoint checkpoint;
    Job job = { 0 };
    Status s;

    if (ref->job == 0)
        return error_at(err, STATUS_INVALID, pointer, "is required where \"update\" is \"alphas\"");
    s = reference_checkpoint(store, ref, pointer, &job, &checkpoint, err);
    if (s == STATUS_OK)
        s = reference_inherit(data, &job, err);
    if (s == STATUS_OK)
        *ret_input = input_of(&job);
    job_clear(&job);
    if (s == STATUS_OK && verify)
        s = store_checkpoint_verify(store, &checkpoint, err);
    if (s != STATUS_OK)
        return s;
    *ret_path = store_checkpoint_file(store, &checkpoint);
    return *ret_path == NULL ? error_set(err, STATUS_NO_MEMORY, "cannot allocate a path")
                             : STATUS_OK;
}

Status alphas_find(Store *store, const AlphasJob *job, bool verify, AlphasFiles *ret, Error *err)
{
    Status s = find_network(store, &job->alphas->explainer, "/explainer", verify, job->data,
                            &ret->input, &ret->explainer, err);

    return s == STATUS_OK ? find_network(store, &job->alphas->audience, "/audience", verify,
                                         job->data, &ret->input, &ret->audience, err)
                          : s;
}

void alphas_files_clear(AlphasFiles *files)
{
    free(files->explainer);
    free(files->audience);
    *files = (AlphasFiles){ 0 };
}

static LeaseSpec lease_spec(const AlphasJob *job, const AlphasFiles *files)
{
    LeaseSpec out = { .mode = LEASE_ALPHAS,
                      .rounds = 1,
                      .epochs = job->train->epochs,
                      .explainer = train_params_spec(job->train),
                      .audience = train_params_spec(job->train),
                      .input = files->input,
                      .explainer_checkpoint = files->explainer,
                      .audience_checkpoint = files->audience,
                      .architecture_optimizer = job->search->alpha_optimizer,
                      .data = data_params_spec(job->data),
                      .seed = job->seed };

    hyper_params_spec(&job->alphas->hyper, &out);
    return out;
}

/* The core's pointers are those of `lease`, this job's are flat: "/explainer/batch_size" is
 * "/batch_size", "/explainer/checkpoint" is "/explainer". */
static const char *own_pointer(const char *pointer)
{
    static const char *const parts[] = { "/explainer", "/audience" };

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *rest = pointer + strlen(parts[i]);

        if (strncmp(pointer, parts[i], strlen(parts[i])) == 0)
            return strcmp(rest, "/checkpoint") == 0 || strncmp(rest, "/model", 6) == 0 ? parts[i]
                                                                                       : rest;
    }
    return pointer;
}

Status alphas_estimate(const AlphasJob *job, const AlphasFiles *files, const Dataset *dataset,
                       JobEstimate *ret, Error *err)
{
    const LeaseSpec spec = lease_spec(job, files);
    Error why = { 0 };
    Status s = lease_job_estimate(&spec, dataset, job->timelapse, ret, &why);

    for (uint32_t i = 0; i < why.details; i++)
        (void)error_add(err, why.status, own_pointer(why.detail[i].pointer), "%s",
                        why.detail[i].message);
    return s;
}

Status alphas_run(JobRun *run, const AlphasJob *job, const Dataset *dataset, Error *err)
{
    AlphasFiles files = { 0 };
    LeaseSpec spec;
    Status s = alphas_find(run->store, job, true, &files, err);

    if (s == STATUS_OK) {
        spec = lease_spec(job, &files);
        s = lease_job_run(run, &spec, dataset, job->train->checkpoint_every, err);
    }
    alphas_files_clear(&files);
    return s;
}
