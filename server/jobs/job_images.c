/* Everything is found by the job's row: whoever draws later knows no more than that. */
#include "server/jobs/job_images.h"

#include <stdlib.h>
#include <string.h>

#include "server/jobs/data_params.h"
#include "server/jobs/explanation_params.h"

Status job_images_open(Datasets *datasets, const Job *job, JobImages *ret, Error *err)
{
    const Dataset *dataset = NULL;
    JobImages images = { 0 };
    DataParams params;
    DataSpec spec;
    Status s = data_params_of(job->params, &params, err);

    if (s == STATUS_OK)
        s = data_params_resolve(&params, datasets, job->seed, &dataset, err);
    if (s != STATUS_OK)
        return s;
    spec = data_params_spec(&params);
    s = loader_init(&images.loader, dataset, &spec, err);
    if (s == STATUS_OK)
        *ret = images;
    return s;
}

void job_images_clear(JobImages *images)
{
    composer_clear(&images->composer);
    map_files_close(&images->files);
    loader_clear(&images->loader);
    *images = (JobImages){ 0 };
}

/* --- what is seen of them --- */

static Status see_explanations(JobImages *images, Store *store, const Job *job,
                               const json_t *params, Error *err)
{
    uint64_t counts[SPLIT_COUNT];
    ComposeParams compose;
    ComposeSpec spec;
    Status s = compose_params_of(params, &compose, err);

    for (Split split = 0; split < SPLIT_COUNT; split++)
        counts[split] = images->loader.images[split];
    if (s == STATUS_OK)
        s = map_files_open(store, (int64_t)compose.maps.job, counts, false, "/maps", &images->files,
                           err);
    if (s != STATUS_OK)
        return s;
    spec = compose_params_spec(&compose, job->seed, &images->files);
    s = composer_init(&images->composer, &images->loader, &spec, err);
    images->composed = s == STATUS_OK;
    return s;
}

/* The audience's input, as the job says, or the one whose network it has taken over. */
static ComposeInput input_of(Store *store, const json_t *params)
{
    const json_t *audience = json_object_get(params, "audience");
    const char *input = json_string_value(json_object_get(audience, "input"));
    json_int_t id = json_integer_value(json_object_get(audience, "job"));
    ComposeInput out = COMPOSE_MAPS;
    json_t *theirs = NULL;
    Job job = { 0 };

    if (id > 0 && store_job_get(store, id, &job, NULL) == STATUS_OK) {
        theirs = json_loads(job.params, 0, NULL);
        input = json_string_value(json_object_get(theirs, "input"));
        job_clear(&job);
    }
    for (uint32_t i = 0; input != NULL && compose_inputs[i] != NULL; i++)
        if (strcmp(compose_inputs[i], input) == 0)
            out = (ComposeInput)i;
    json_decref(theirs);
    return out;
}

bool job_images_composes(const Job *job)
{
    json_t *params = json_loads(job->params, 0, NULL);
    bool audience = json_is_object(json_object_get(params, "audience"));

    json_decref(params);
    return audience || strcmp(job->kind, "audience") == 0;
}

Status job_images_see(JobImages *images, Store *store, const Job *job, Error *err)
{
    json_t *params = json_loads(job->params, 0, NULL);
    ExplanationParams explanation;
    Status s = STATUS_OK;

    if (strcmp(job->kind, "audience") == 0) {
        s = see_explanations(images, store, job, params, err);
    } else if (json_is_object(json_object_get(params, "audience"))) {
        s = explanation_params_of(params, &explanation, err);
        if (s == STATUS_OK)
            images->reweight =
                (ReweightSpec){ (uint32_t)explanation.reweight.value, explanation.f.value };
        images->input = input_of(store, params);
        images->grouped = s == STATUS_OK;
    }
    json_decref(params);
    return s;
}

/* --- one of them --- */

static Status other_size(Shape in, const Dataset *d, Error *err)
{
    return error_at(err, STATUS_INVALID, "/dataset",
                    "the model takes images of %ux%ux%u, data set \"%s\" has %ux%ux%u now",
                    in.dim[1], in.dim[2], in.dim[3], d->name, d->height, d->width, d->channels);
}

/* How a network of so many channels sees images; false: it does not see these. */
static bool find_composer(const JobImages *images, uint32_t channels, Composer *ret)
{
    const Dataset *d = images->loader.dataset;
    uint32_t groups = channels / d->channels, whole = images->input == COMPOSE_IMAGE_MAPS ? 1 : 0;

    if (images->composed) {
        *ret = images->composer;
        return ret->channels == channels;
    }
    *ret = (Composer){ .spec.input = channels == d->channels ? COMPOSE_IMAGE : images->input,
                       .image = { d->height, d->width, d->channels },
                       .shape.kind = MAP_HEAT,
                       .shape.maps = groups - whole,
                       .line = reweight_line(&images->reweight),
                       .channels = channels };
    return channels == d->channels ||
           (images->grouped && channels == groups * d->channels && groups > whole);
}

Status job_images_input(JobImages *images, const Explainer *network, Split split, uint32_t item,
                        float **ret, Error *err)
{
    const Dataset *d = images->loader.dataset;
    const Shape in = explainer_input(network);
    const ComposeLook look = images->composed ? LOOK_TRAINED : LOOK_RAW;
    size_t pixels = (size_t)d->height * d->width;
    float *image, *maps = NULL, *input;
    void *scratch = NULL;
    Composer composer;

    if (in.dim[1] != d->height || in.dim[2] != d->width ||
        !find_composer(images, in.dim[3], &composer))
        return other_size(in, d, err);
    image = malloc(pixels * d->channels * sizeof *image);
    input = malloc(pixels * in.dim[3] * sizeof *input);
    if (composer_needs_maps(&composer, look)) {
        maps = malloc(composer_map_numbers(&composer) * sizeof *maps);
        scratch = malloc(composer_scratch_bytes(&composer));
    }
    if (image == NULL || input == NULL ||
        (composer_needs_maps(&composer, look) && (maps == NULL || scratch == NULL))) {
        free(input);
        input = NULL;
    } else {
        loader_set_normal(&images->loader, explainer_mean(network), explainer_std(network));
        loader_normalise(&images->loader, loader_pixels(&images->loader, split, item), image);
        if (maps != NULL)
            composer_maps(&composer, split, item, scratch, maps);
        composer_join(&composer, look, image, maps, input);
    }
    free(scratch);
    free(maps);
    free(image);
    if (input == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate an image");
    *ret = input;
    return STATUS_OK;
}
