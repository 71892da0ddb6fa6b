/*
 * Checkpoints of a trainer: the network's file (core/nn/network.h) plus the optimiser's buffers
 * under "optimizer.<buffer>.<weight>" and the position in the metadata. Nothing in it depends on
 * time, threads or attempt. Sums are written in hexadecimal, so that they come back to the last
 * bit.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/build.h"
#include "core/base/durable.h"
#include "core/train/trainer_internal.h"

typedef char WeightName[GRAPH_WEIGHT_NAME_MAX];

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

static void buffer_tensor_name(WeightName ret, const Optimizer *o, uint32_t buffer,
                               const GraphWeight *w)
{
    snprintf(ret, GRAPH_WEIGHT_NAME_MAX, "optimizer.%s.%.60s", o->buffer_name[buffer], w->name);
}

/* The optimiser's buffers of every trained weight; `disk` as in network_tensors(). */
static uint32_t buffer_tensors(const Trainer *t, uint32_t buffer, float *disk, StTensor *ret,
                               WeightName *names)
{
    const Graph *g = &t->network.graph;
    uint32_t count = 0;

    for (uint32_t i = 0; i < g->weights; i++) {
        const GraphWeight *w = &g->weight[i];

        if (w->spec.role != WEIGHT_TRAINED)
            continue;
        buffer_tensor_name(names[count], t->optimizer, buffer, w);
        weight_to_disk(w, t->buffer[buffer] + w->offset, disk + w->offset);
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
    size_t most = network_tensor_count(&t->network) +
                  (size_t)t->optimizer->buffers * t->network.graph.weights;
    StTensor *tensor = calloc(most, sizeof *tensor);
    WeightName *names = calloc(most, sizeof *names);
    NetworkMeta *meta = calloc(1, sizeof *meta);
    float *disk = t->work;
    DurableFile file = { 0 };
    uint32_t count;
    Status s = STATUS_OK;

    if (tensor == NULL || names == NULL || meta == NULL) {
        s = error_set(err, STATUS_NO_MEMORY, "cannot allocate a checkpoint's index");
        goto end;
    }
    network_meta(&t->network, meta);
    add_position(t, meta);
    count = network_tensors(&t->network, disk, tensor, names);
    for (uint32_t b = 0; b < t->optimizer->buffers; b++) {
        disk += t->network.graph.weight_numbers;
        count += buffer_tensors(t, b, disk, tensor + count, names + count);
    }
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

static Status read_position(const Trainer *t, const StFile *file, uint64_t *ret_step,
                            EpochSums *ret, Error *err)
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

/* The stored tensor of one buffer and weight, with the weight's shape. */
static Status find_buffer(const Trainer *t, const StFile *file, uint32_t buffer,
                          const GraphWeight *w, const StTensor **ret, Error *err)
{
    WeightName name;
    const StTensor *found;

    buffer_tensor_name(name, t->optimizer, buffer, w);
    found = safetensors_find(file, name);
    if (found == NULL || found->dtype != ST_F32 || found->count != w->count)
        return error_set(err, STATUS_CORRUPT, "the checkpoint lacks \"%s\" with %zu numbers", name,
                         w->count);
    *ret = found;
    return STATUS_OK;
}

static Status same_model(const Trainer *t, const StFile *file, Error *err)
{
    NetworkMeta *meta = calloc(1, sizeof *meta);
    Status s = STATUS_OK;

    if (meta == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a checkpoint's index");
    network_meta(&t->network, meta);
    for (uint32_t i = 0; i < meta->count && s == STATUS_OK; i++) {
        const char *have = safetensors_metadata(file, meta->key[i]);

        if (have == NULL || strcmp(have, meta->value[i]) != 0)
            s = error_set(err, STATUS_INVALID,
                          "the checkpoint's \"%s\" is \"%.40s\", this job's is \"%s\"",
                          meta->key[i], have == NULL ? "missing" : have, meta->value[i]);
    }
    free(meta);
    return s;
}

/* Everything is checked before anything is moved: a refused checkpoint leaves the trainer as it
 * was. */
Status trainer_restore(Trainer *t, const char *path, Error *err)
{
    const Graph *g = &t->network.graph;
    StFile *file = NULL;
    const StTensor *found = NULL;
    EpochSums sums = { 0 };
    uint64_t step = 0;
    Status s = safetensors_open(path, &file, err);

    if (s == STATUS_OK)
        s = same_model(t, file, err);
    if (s == STATUS_OK)
        s = read_position(t, file, &step, &sums, err);
    for (uint32_t b = 0; b < t->optimizer->buffers; b++)
        for (uint32_t i = 0; i < g->weights && s == STATUS_OK; i++)
            if (g->weight[i].spec.role == WEIGHT_TRAINED)
                s = find_buffer(t, file, b, &g->weight[i], &found, err);
    if (s == STATUS_OK)
        s = network_read_weights(&t->network, file, err);
    for (uint32_t b = 0; b < t->optimizer->buffers && s == STATUS_OK; b++)
        for (uint32_t i = 0; i < g->weights; i++)
            if (g->weight[i].spec.role == WEIGHT_TRAINED &&
                find_buffer(t, file, b, &g->weight[i], &found, err) == STATUS_OK)
                weight_from_disk(&g->weight[i], found->data, t->buffer[b] + g->weight[i].offset);
    if (s == STATUS_OK) {
        t->step = step;
        t->sums = sums;
    }
    safetensors_close(file);
    return s;
}
