/*
 * Checkpoints of a trainer: the network's file (core/nn/network.h) plus the optimiser's buffers
 * under "optimizer.<buffer>.<weight>", lookahead's slow weights under
 * "optimizer.lookahead.<weight>", what a companion adds, and the position in the metadata. Nothing
 * in it depends on time, threads or attempt. Sums are written in hexadecimal, so that they come
 * back to the last bit.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/build.h"
#include "core/base/durable.h"
#include "core/train/trainer_internal.h"

typedef char WeightName[GRAPH_WEIGHT_NAME_MAX];
typedef char StateName[GRAPH_WEIGHT_NAME_MAX + 32];

static void add_position(const Trainer *t, NetworkMeta *meta)
{
    network_meta_add(meta, "build", "%s %s", build_version, build_id);
    network_meta_add(meta, "train.step", "%" PRIu64, t->step);
    network_meta_add(meta, "train.seed", "%" PRIu64, t->spec.seed);
    network_meta_add(meta, "train.epoch_loss_sum", "%a", t->sums.loss);
    network_meta_add(meta, "train.epoch_correct", "%" PRIu64, t->sums.correct);
    network_meta_add(meta, "train.epoch_images", "%" PRIu64, t->sums.images);
    network_meta_add(meta, "optimizer", "%s", t->optimizer->described.name);
}

enum { STATES_MAX = OPTIMIZER_BUFFERS_MAX + 1 + COMPANION_STATES_MAX };

static bool is_trained(const GraphWeight *weight)
{
    return weight->spec.role == WEIGHT_TRAINED;
}

static uint32_t states(const Trainer *t, TrainerState ret[STATES_MAX])
{
    uint32_t count = 0;

    for (; count < t->optimizer->buffers; count++)
        ret[count] = (TrainerState){ "optimizer", t->optimizer->buffer_name[count],
                                     t->buffer[count], is_trained };
    if (t->slow != NULL)
        ret[count++] = (TrainerState){ "optimizer", "lookahead", t->slow, lookahead_covers };
    for (uint32_t i = 0; i < t->companion.states; i++)
        ret[count++] = t->companion.state[i];
    return count;
}

static void state_tensor_name(StateName ret, const TrainerState *state, const GraphWeight *w)
{
    snprintf(ret, sizeof(StateName), "%.10s.%.20s.%s", state->group, state->name, w->name);
}

/* The tensors of one state; `disk` as in network_tensors(). */
static uint32_t state_tensors(const Graph *g, const TrainerState *state, float *disk, StTensor *ret,
                              StateName *names)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < g->weights; i++) {
        const GraphWeight *w = &g->weight[i];

        if (!state->covers(w))
            continue;
        state_tensor_name(names[count], state, w);
        weight_to_disk(w, state->numbers + w->offset, disk + w->offset);
        ret[count] = (StTensor){ .name = names[count],
                                 .dtype = ST_F32,
                                 .rank = w->spec.shape.rank,
                                 .data = disk + w->offset,
                                 .count = w->count };
        for (uint32_t k = 0; k < ret[count].rank; k++)
            ret[count].dim[k] = w->spec.shape.dim[k];
        count++;
    }
    return count;
}

Status trainer_save(Trainer *t, const char *path, Error *err)
{
    const Graph *g = &t->network.graph;
    TrainerState state[STATES_MAX];
    uint32_t count = network_tensor_count(&t->network), states_used = states(t, state);
    size_t state_most = (size_t)states_used * g->weights;
    StTensor *tensor = calloc(count + state_most, sizeof *tensor);
    WeightName *names = calloc(count, sizeof *names);
    StateName *state_names = calloc(state_most + 1, sizeof *state_names);
    NetworkMeta *meta = calloc(1, sizeof *meta);
    float *disk = t->work;
    DurableFile file = { 0 };
    Status s = STATUS_OK;

    if (tensor == NULL || names == NULL || state_names == NULL || meta == NULL) {
        s = error_set(err, STATUS_NO_MEMORY, "cannot allocate a checkpoint's index");
        goto end;
    }
    network_meta(&t->network, meta);
    add_position(t, meta);
    if (t->companion.describe != NULL)
        t->companion.describe(t->companion.context, meta);
    count = network_tensors(&t->network, disk, tensor, names);
    for (uint32_t i = 0; i < states_used; i++)
        count += state_tensors(g, &state[i], disk + (i + 1) * g->weight_numbers, tensor + count,
                               state_names + i * (size_t)g->weights);
    s = durable_open(&file, path, err);
    if (s != STATUS_OK)
        goto end;
    s = safetensors_write(file.stream, tensor, count, meta->row, meta->count, err);
    if (s == STATUS_OK)
        s = durable_commit(&file, err);
    else
        durable_abort(&file);
end:
    free(meta);
    free(state_names);
    free(names);
    free(tensor);
    return s;
}

/* A whole number of the metadata; base 10. */
static Status meta_count(const StFile *file, const char *key, uint64_t *ret, Error *err)
{
    const char *text = safetensors_metadata(file, key);
    char *end = NULL;

    if (text == NULL || text[0] < '0' || text[0] > '9')
        return error_set(err, STATUS_CORRUPT, "the checkpoint's metadata has no count \"%s\"", key);
    *ret = strtoull(text, &end, 10);
    if (*end != '\0')
        return error_set(err, STATUS_CORRUPT, "the checkpoint's metadata has no count \"%s\"", key);
    return STATUS_OK;
}

static Status read_position(const Trainer *t, const StFile *file, uint64_t *ret_step, PassSums *ret,
                            Error *err)
{
    const char *sum = safetensors_metadata(file, "train.epoch_loss_sum");
    const char *optimizer = safetensors_metadata(file, "optimizer");
    uint64_t seed = 0;
    Status s = meta_count(file, "train.step", ret_step, err);

    if (s == STATUS_OK)
        s = meta_count(file, "train.seed", &seed, err);
    if (s == STATUS_OK)
        s = meta_count(file, "train.epoch_correct", &ret->correct, err);
    if (s == STATUS_OK)
        s = meta_count(file, "train.epoch_images", &ret->images, err);
    if (s == STATUS_OK && sum == NULL)
        s = error_set(err, STATUS_CORRUPT,
                      "the checkpoint's metadata lacks \"train.epoch_loss_sum\"");
    if (s != STATUS_OK)
        return s;
    ret->loss = strtod(sum, NULL);
    if (seed != t->spec.seed || optimizer == NULL ||
        strcmp(optimizer, t->optimizer->described.name) != 0)
        return error_set(err, STATUS_INVALID,
                         "the checkpoint is of seed %" PRIu64
                         " and optimizer \"%.40s\", this job of %" PRIu64 " and \"%s\"",
                         seed, optimizer == NULL ? "" : optimizer, t->spec.seed,
                         t->optimizer->described.name);
    if (*ret_step > t->steps)
        return error_set(err, STATUS_INVALID,
                         "the checkpoint is at step %" PRIu64 ", this job ends at step %" PRIu64,
                         *ret_step, t->steps);
    return STATUS_OK;
}

/* The stored tensor of one state and weight, of the weight's size. */
static Status find_state(const StFile *file, const TrainerState *state, const GraphWeight *w,
                         const StTensor **ret, Error *err)
{
    StateName name;
    const StTensor *found;

    state_tensor_name(name, state, w);
    found = safetensors_find(file, name);
    if (found == NULL || found->dtype != ST_F32 || found->count != w->count)
        return error_set(err, STATUS_CORRUPT, "the checkpoint lacks \"%s\" with %zu numbers", name,
                         w->count);
    *ret = found;
    return STATUS_OK;
}

/* Sees that all states are there or, with `take`, takes them. */
static Status read_states(Trainer *t, const StFile *file, bool take, Error *err)
{
    const Graph *g = &t->network.graph;
    TrainerState state[STATES_MAX];
    uint32_t count = states(t, state);

    for (uint32_t k = 0; k < count; k++)
        for (uint32_t i = 0; i < g->weights; i++) {
            const GraphWeight *w = &g->weight[i];
            const StTensor *found = NULL;
            Status s;

            if (!state[k].covers(w))
                continue;
            s = find_state(file, &state[k], w, &found, err);
            if (s != STATUS_OK)
                return s;
            if (take)
                weight_from_disk(w, found->data, state[k].numbers + w->offset);
        }
    return STATUS_OK;
}

/* The same network's, with each of its model's parameters at its default. */
static void default_meta(const Trainer *t, NetworkMeta *meta)
{
    Network plain = t->network;

    choice_init(model_table, plain.model.row, &plain.model);
    network_meta(&plain, meta);
}

/* A parameter of the model that the file does not name is younger than the file, and has its
 * default. */
static Status same_model(const Trainer *t, const StFile *file, Error *err)
{
    NetworkMeta *meta = calloc(2, sizeof *meta), *plain = meta + 1;
    Status s = STATUS_OK;

    if (meta == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a checkpoint's index");
    network_meta(&t->network, meta);
    default_meta(t, plain);
    for (uint32_t i = 0; i < meta->count && s == STATUS_OK; i++) {
        const char *have = safetensors_metadata(file, meta->row[i].key);

        if (have == NULL && strncmp(meta->row[i].key, "model.", 6) == 0)
            have = plain->row[i].value;
        if (have == NULL || strcmp(have, meta->row[i].value) != 0)
            s = error_set(err, STATUS_INVALID,
                          "the checkpoint's \"%s\" is \"%.40s\", this job's is \"%s\"",
                          meta->row[i].key, have == NULL ? "missing" : have, meta->row[i].value);
    }
    free(meta);
    return s;
}

/* Everything is checked before anything is moved: a refused checkpoint leaves the trainer as it
 * was. */
Status trainer_restore(Trainer *t, const char *path, Error *err)
{
    StFile *file = NULL;
    PassSums sums = { 0 };
    uint64_t step = 0;
    Status s = safetensors_open(path, &file, err);

    if (s == STATUS_OK)
        s = same_model(t, file, err);
    if (s == STATUS_OK)
        s = read_position(t, file, &step, &sums, err);
    if (s == STATUS_OK)
        s = read_states(t, file, false, err);
    if (s == STATUS_OK)
        s = network_read_weights(&t->network, file, err);
    if (s == STATUS_OK)
        s = read_states(t, file, true, err);
    if (s == STATUS_OK) {
        t->step = step;
        t->sums = sums;
    }
    safetensors_close(file);
    return s;
}
