/*
 * Everything is planned in the order in which it leans on each other: the explainer, what its
 * explanations look like, the audience that sees those, the architecture, the program. What lasts
 * no longer than a call - a plan, an evaluation, an explanation of a split, a checkpoint - shares
 * one region of memory, `work`, which is the explainer's; the audience gives its own up.
 */
#include <stdlib.h>
#include <string.h>

#include "core/lease/lease_internal.h"

static void raise(size_t *most, size_t bytes)
{
    *most = bytes > *most ? bytes : *most;
}

/* What a part of the job found wrong, below `prefix`. */
static Status below(const char *prefix, Error *why, Error *err)
{
    error_prefix_pointers(why, prefix);
    for (uint32_t i = 0; i < why->details; i++)
        (void)error_add(err, why->status, why->detail[i].pointer, "%s", why->detail[i].message);
    return why->status;
}

/* --- the networks --- */

/* Once, by itself: what is wrong with the data is wrong with neither network. */
static Status check_data(const Lease *l, Error *err)
{
    Loader loader = { 0 };
    Status s = loader_init(&loader, l->dataset, &l->spec.data, err);

    loader_clear(&loader);
    return s;
}

static const char *checkpoint_of(const Lease *l, LeaseNetwork n)
{
    return n == LEASE_EXPLAINER ? l->spec.explainer_checkpoint : l->spec.audience_checkpoint;
}

static Status bad_file(LeaseNetwork n, const Error *why, Error *err)
{
    return error_at(err, why->status,
                    n == LEASE_EXPLAINER ? "/explainer/checkpoint" : "/audience/checkpoint", "%s",
                    error_message(why));
}

/* The model that a file holds, and its input's channels. */
static Status take_model(Lease *l, LeaseNetwork n, Choice *ret, uint32_t *ret_channels, Error *err)
{
    Network stored = { 0 };
    Error why = { 0 };
    Status s = safetensors_open(checkpoint_of(l, n), &l->file[n], &why);

    if (s == STATUS_OK)
        s = network_describe(&stored, l->file[n], &why);
    if (s == STATUS_OK) /* an audience's channels are not the data's; see plan_network() */
        s = dataset_fits(l->dataset, stored.input.height, stored.input.width,
                         n == LEASE_EXPLAINER ? stored.input.channels : l->dataset->channels,
                         stored.input.classes, &why);
    if (s == STATUS_OK) {
        *ret = stored.model;
        *ret_channels = stored.input.channels;
    }
    network_clear(&stored);
    return s == STATUS_OK ? s : bad_file(n, &why, err);
}

/* Of the run that all rounds make together. */
static double all_epochs(const Lease *l, LeaseNetwork n)
{
    return l->spec.mode == LEASE_STAGED  ? l->spec.rounds * l->round_epochs[n]
           : l->spec.mode == LEASE_JOINT ? l->spec.epochs
                                         : 0;
}

static Status plan_network(Lease *l, LeaseNetwork n, TrainSpec *spec, Error *err)
{
    uint32_t channels = 0;
    Error why = { 0 };
    Status s = STATUS_OK;

    l->round_epochs[n] = spec->epochs;
    spec->data = l->spec.data;
    spec->seed = n == LEASE_EXPLAINER ? l->spec.seed : l->spec.seed ^ UINT64_MAX;
    spec->epochs = all_epochs(l, n);
    spec->test_views = TEST_VIEWS_NONE;
    spec->drop_last = true;
    spec->compose = n == LEASE_AUDIENCE ? &l->compose[n] : NULL;
    if (l->spec.mode != LEASE_STAGED)
        spec->batch_size = l->spec.explainer.batch_size;
    if (spec->profile > 0)
        return error_at(err, STATUS_INVALID,
                        n == LEASE_EXPLAINER ? "/explainer/profile" : "/audience/profile",
                        "must be 0: a profile is of one network's steps, a lease's are of two");
    if (checkpoint_of(l, n) != NULL)
        s = take_model(l, n, &spec->model, &channels, err);
    if (s != STATUS_OK)
        return s;
    s = trainer_make(spec, l->dataset, &l->trainer[n], &why);
    if (s != STATUS_OK)
        return below(n == LEASE_EXPLAINER ? "/explainer" : "/audience", &why, err);
    if (channels == 0 || channels == l->trainer[n]->network.input.channels)
        return STATUS_OK;
    (void)error_set(&why, STATUS_INVALID,
                    "the model has %u channels, what the audience sees has %u", channels,
                    l->trainer[n]->network.input.channels);
    return bad_file(n, &why, err);
}

/* Maps move with their image: by what moves pixels and does nothing else to them. */
static Status check_augments(const Lease *l, Error *err)
{
    const TrainSpec *spec = &l->spec.audience;
    Status s = STATUS_OK;

    for (uint32_t i = 0; i < spec->augments; i++) {
        const char *name = augmentation_table[spec->augment[i].row]->described.name;
        char pointer[48];

        snprintf(pointer, sizeof pointer, "/audience/augment/%u", i);
        if (strcmp(name, "crop") != 0 && strcmp(name, "flip") != 0)
            s = error_add(err, STATUS_INVALID, pointer,
                          "\"%s\": the audience of lease sees crop and flip only", name);
    }
    return s;
}

/* --- explanations --- */

static const Loader *raw_loader(const Lease *l)
{
    return &l->trainer[LEASE_EXPLAINER]->loader;
}

/* The maps of a split, or, of the training images where explanations are made batch by batch,
 * nothing but whose they would be. */
static Status plan_maps(Lease *l, Split split, Error *err)
{
    const Loader *loader = raw_loader(l);
    const uint32_t images = loader->images[split];
    const MapShape shape =
        explanation_shape(&l->spec.explanation, &l->trainer[LEASE_EXPLAINER]->network, images);
    MapSet *set = &l->maps[split];
    int64_t *index;
    Status s = STATUS_OK;

    if (split == SPLIT_TRAIN && l->spec.mode != LEASE_STAGED) {
        index = calloc((size_t)images + 1, sizeof *index);
        if (index == NULL)
            return error_set(err, STATUS_NO_MEMORY, "cannot allocate the index of %u images",
                             images);
        *set = (MapSet){ .shape = shape, .index = index, .storage = index };
    } else {
        s = mapset_new(&shape, set, err);
        index = (int64_t *)set->index; /* of `storage`, which is ours */
    }
    for (uint32_t i = 0; i < images && s == STATUS_OK; i++)
        index[i] = loader->index[split][i];
    return s;
}

static void plan_composing(Lease *l)
{
    for (int n = 0; n < LEASE_NETWORKS; n++) {
        l->compose[n] = (ComposeSpec){ .input = n == LEASE_AUDIENCE ? l->spec.input : COMPOSE_MAPS,
                                       .reweight = l->spec.explanation.reweight,
                                       .seed = l->spec.seed };
        for (Split split = 0; split < SPLIT_COUNT; split++)
            l->compose[n].maps[split] = &l->maps[split];
    }
}

static Status plan_explanations(Lease *l, Error *err)
{
    const Network *e = &l->trainer[LEASE_EXPLAINER]->network;
    const uint32_t trained = l->spec.explainer.batch_size; /* takes no more memory than training */
    const uint32_t batch = trained < EXPLANATION_BATCH ? trained : EXPLANATION_BATCH;
    Error why = { 0 };
    Status s = explanation_check(&l->spec.explanation, e, &why);

    for (Split split = 0; split < SPLIT_COUNT && s == STATUS_OK; split++) {
        s = plan_maps(l, split, &why);
        if (s == STATUS_OK && (split != SPLIT_TRAIN || l->spec.mode == LEASE_STAGED))
            s = split_explainer_init(&l->explainer[split], e, raw_loader(l), split,
                                     &l->spec.explanation, batch, &why);
        raise(&l->work_bytes, l->explainer[split].bytes);
    }
    if (s == STATUS_OK && l->spec.mode == LEASE_JOINT && l->spec.input != COMPOSE_IMAGE)
        s = explanation_init(&l->live, e, &l->spec.explanation, l->spec.explainer.batch_size, &why);
    raise(&l->work_bytes, l->live.work_bytes);
    plan_composing(l);
    return s == STATUS_OK ? s : below("/explanation", &why, err);
}

/* The explainer on reweighted images, where those have as many channels as images have. */
static Status plan_reweighted(Lease *l, Error *err)
{
    const Network *e = &l->trainer[LEASE_EXPLAINER]->network;
    Status s = composer_init(&l->composer, raw_loader(l), &l->compose[LEASE_EXPLAINER], err);

    l->loader = *raw_loader(l); /* its lists are borrowed; see lease_take() */
    loader_set_composer(&l->loader, &l->composer);
    for (Split split = SPLIT_VAL; split <= SPLIT_TEST && s == STATUS_OK; split++) {
        if (l->composer.channels != e->input.channels)
            continue;
        s = evaluator_init(&l->reweighted[split], e, &l->loader, split, EVALUATOR_BATCH,
                           TEST_VIEWS_NONE, err);
        l->reweighted[split].look = LOOK_REWEIGHTED;
        raise(&l->work_bytes, l->reweighted[split].bytes);
    }
    return s;
}

/* --- the architecture --- */

static bool has_architecture(const Network *n)
{
    for (uint32_t i = 0; i < n->graph.weights; i++)
        if (n->graph.weight[i].spec.role == WEIGHT_ARCHITECTURE)
            return true;
    return false;
}

static Status plan_hyper(Lease *l, Error *err)
{
    const ExplanationSpec *x = &l->spec.explanation;
    const bool attack = explanation_is_attack(x->source);

    if (!attack && (int)x->source != explanation_find("cam"))
        return error_at(err, STATUS_INVALID, "/hypergrad",
                        "\"full\" leads back through an attack or through cam at the last stage, "
                        "not through %s: take \"first\"",
                        explanation_sources[x->source]);
    if (attack)
        l->attack = explanation_attack(x);
    l->hyper_spec = (HyperSpec){ .network = { &l->trainer[LEASE_EXPLAINER]->network,
                                              &l->trainer[LEASE_AUDIENCE]->network },
                                 .images = l->spec.explainer.batch_size,
                                 .lambda = l->spec.lambda,
                                 .attack = attack ? &l->attack : NULL,
                                 .predicted = x->target == TARGET_PREDICTION,
                                 .all_classes = x->classes == CLASSES_ALL,
                                 .reweight = x->reweight,
                                 .input = l->spec.input };
    l->full = true;
    return hyper_init(&l->hyper, &l->hyper_spec, err);
}

static Status plan_architecture(Lease *l, Error *err)
{
    const Network *e = &l->trainer[LEASE_EXPLAINER]->network;
    Error why = { 0 };
    Status s = STATUS_OK;

    l->moves = has_architecture(e);
    if (!l->moves)
        return l->spec.mode != LEASE_ALPHAS
                   ? STATUS_OK
                   : error_at(err, STATUS_INVALID, "/explainer",
                              "the explainer, a %s, has no architecture that could move",
                              model_table[e->model.row]->described.name);
    s = supernet_space(&e->model, &l->space, &why);
    if (s == STATUS_OK)
        s = architect_plan(&l->architect, e, &l->spec.architecture_optimizer, 1,
                           l->spec.explainer.batch_size, &why);
    if (s != STATUS_OK)
        return below("/explainer", &why, err);
    raise(&l->work_bytes, architect_work_bytes(&l->architect));
    if (l->spec.hypergrad == HYPERGRAD_FULL)
        s = plan_hyper(l, err);
    raise(&l->work_bytes, l->hyper.work_bytes);
    return s;
}

/* --- all of it --- */

/* Schedules span the whole run. */
static void set_schedules(Lease *l)
{
    static const LeasePhase own[] = { LEASE_PHASE_EXPLAINER, LEASE_PHASE_AUDIENCE };

    for (int n = 0; n < LEASE_NETWORKS; n++)
        l->trainer[n]->steps =
            l->spec.mode == LEASE_JOINT ? l->steps : l->rounds * l->part_steps[own[n]];
}

Status lease_plan(Lease *l, Error *err)
{
    Status s = check_data(l, err);

    if (s == STATUS_OK)
        s = check_augments(l, err);
    if (s == STATUS_OK)
        s = plan_network(l, LEASE_EXPLAINER, &l->spec.explainer, err);
    if (s == STATUS_OK)
        s = plan_explanations(l, err);
    if (s == STATUS_OK)
        s = plan_network(l, LEASE_AUDIENCE, &l->spec.audience, err);
    if (s == STATUS_OK)
        s = plan_reweighted(l, err);
    if (s == STATUS_OK)
        s = plan_architecture(l, err);
    if (s == STATUS_OK)
        s = lease_program(l, err);
    if (s != STATUS_OK)
        return s;
    set_schedules(l);
    for (int n = 0; n < LEASE_NETWORKS; n++)
        raise(&l->work_bytes, l->trainer[n]->work_bytes);
    raise(&l->work_bytes, lease_file_bytes(l));
    l->trainer[LEASE_EXPLAINER]->work_bytes = l->work_bytes;
    l->trainer[LEASE_AUDIENCE]->work_bytes = 0;
    return STATUS_OK;
}
