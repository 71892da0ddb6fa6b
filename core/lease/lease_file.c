/*
 * Checkpoints: both networks as files of their own would have them, under a prefix each, with the
 * state of their optimisers; the state of the architecture's; and the position. Nothing in a file
 * depends on time, threads or attempt; sums are written in hexadecimal, so that they come back to
 * the last bit.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/build.h"
#include "core/base/durable.h"
#include "core/lease/lease_file.h"

static const char *const lease_format = "leased-lease/1";

/* --- what there is --- */

static bool covers_all(const GraphWeight *weight)
{
    (void)weight;
    return true;
}

static bool covers_trained(const GraphWeight *weight)
{
    return weight->spec.role == WEIGHT_TRAINED;
}

static bool covers_architecture(const GraphWeight *weight)
{
    return weight->spec.role == WEIGHT_ARCHITECTURE;
}

uint32_t lease_states(const Lease *l, LeaseState ret[LEASE_STATES_MAX])
{
    const Architect *a = &l->architect;
    uint32_t count = 0;

    for (LeaseNetwork n = 0; n < LEASE_NETWORKS; n++) {
        const Trainer *t = l->trainer[n];
        const char *name = lease_network_names[n];

        ret[count] = (LeaseState){ n, "", t->network.weights, covers_all };
        snprintf(ret[count++].prefix, sizeof ret->prefix, "%s", name);
        for (uint32_t i = 0; i < t->optimizer->buffers; i++) {
            ret[count] = (LeaseState){ n, "", t->buffer[i], covers_trained };
            snprintf(ret[count++].prefix, sizeof ret->prefix, "%s.optimizer.%.20s", name,
                     t->optimizer->buffer_name[i]);
        }
        if (t->spec.lookahead.every > 0) {
            ret[count] = (LeaseState){ n, "", t->slow, lookahead_covers };
            snprintf(ret[count++].prefix, sizeof ret->prefix, "%s.optimizer.lookahead", name);
        }
    }
    for (uint32_t i = 0; l->moves && i < a->optimizer->buffers; i++) {
        ret[count] = (LeaseState){ LEASE_EXPLAINER, "", a->buffer[i], covers_architecture };
        snprintf(ret[count++].prefix, sizeof ret->prefix, "alpha.%.20s",
                 a->optimizer->buffer_name[i]);
    }
    return count;
}

void lease_state_name(LeaseName ret, const LeaseState *state, const char *name)
{
    snprintf(ret, sizeof(LeaseName), "%s.%s", state->prefix, name);
}

/* --- writing --- */

static size_t state_numbers(const Lease *l, const LeaseState *state)
{
    return l->trainer[state->network]->network.graph.weight_numbers;
}

size_t lease_file_bytes(const Lease *l)
{
    LeaseState state[LEASE_STATES_MAX];
    uint32_t count = lease_states(l, state);
    size_t numbers = 0;

    for (uint32_t i = 0; i < count; i++)
        numbers += state_numbers(l, &state[i]);
    return numbers * sizeof(float);
}

typedef struct Writing {
    StTensor *tensor;
    LeaseName *name;
    uint32_t count;
    float *disk;
} Writing;

static void put_tensor(Writing *w, const LeaseState *state, const char *name, StTensor tensor)
{
    lease_state_name(w->name[w->count], state, name);
    tensor.name = w->name[w->count];
    w->tensor[w->count++] = tensor;
}

static void put_state(const Lease *l, const LeaseState *state, Writing *w)
{
    const Network *n = &l->trainer[state->network]->network;

    for (uint32_t i = 0; i < n->graph.weights; i++) {
        const GraphWeight *weight = &n->graph.weight[i];
        StTensor t = { .dtype = ST_F32, .rank = weight->spec.shape.rank, .count = weight->count };

        if (!state->covers(weight))
            continue;
        for (uint32_t k = 0; k < t.rank; k++)
            t.dim[k] = weight->spec.shape.dim[k];
        weight_to_disk(weight, state->numbers + weight->offset, w->disk + weight->offset);
        t.data = w->disk + weight->offset;
        put_tensor(w, state, weight->name, t);
    }
    w->disk += n->graph.weight_numbers;
}

/* PyTorch's counters beside the weights. */
static void put_counters(const Lease *l, const LeaseState *state, Writing *w)
{
    const Network *n = &l->trainer[state->network]->network;

    for (uint32_t i = 0; i < n->graph.weights; i++) {
        char name[GRAPH_WEIGHT_NAME_MAX];

        if (weight_counter_name(&n->graph.weight[i], name))
            put_tensor(w, state, name,
                       (StTensor){ .dtype = ST_I64, .data = &n->batches, .count = 1 });
    }
}

static size_t tensors_most(const Lease *l)
{
    size_t most = 0;

    for (int n = 0; n < LEASE_NETWORKS; n++)
        most += network_tensor_count(&l->trainer[n]->network);
    return most * (2 + OPTIMIZER_BUFFERS_MAX);
}

/* --- metadata --- */

static void describe_networks(const Lease *l, LeaseMeta *meta)
{
    for (int n = 0; n < LEASE_NETWORKS; n++) {
        network_meta(&l->trainer[n]->network, &meta->network[n]);
        for (uint32_t i = 0; i < meta->network[n].count; i++) {
            snprintf(meta->key[n][i], sizeof meta->key[n][i], "%s.%.64s", lease_network_names[n],
                     meta->network[n].row[i].key);
            meta->row[meta->count++] = (StMeta){ meta->key[n][i], meta->network[n].row[i].value };
        }
    }
}

static void describe_job(const Lease *l, NetworkMeta *own)
{
    network_meta_add(own, "format", "%s", lease_format);
    network_meta_add(own, "lease.mode", "%d", (int)l->spec.mode);
    network_meta_add(own, "lease.seed", "%" PRIu64, l->spec.seed);
    network_meta_add(own, "lease.steps", "%" PRIu64, l->steps);
    network_meta_add(own, "lease.epochs", "%u", l->epochs);
    for (int n = 0; n < LEASE_NETWORKS; n++) {
        char key[64];

        snprintf(key, sizeof key, "lease.%s.optimizer", lease_network_names[n]);
        network_meta_add(own, key, "%s", l->trainer[n]->optimizer->described.name);
    }
    if (l->moves)
        network_meta_add(own, "lease.alpha.optimizer", "%s",
                         l->architect.optimizer->described.name);
}

static void describe_position(const Lease *l, NetworkMeta *own)
{
    network_meta_add(own, "build", "%s %s", build_version, build_id);
    network_meta_add(own, "lease.step", "%" PRIu64, l->step);
    network_meta_add(own, "lease.ended", "%u", l->ended);
    for (int n = 0; n < LEASE_NETWORKS; n++) {
        const char *name = lease_network_names[n];
        char key[64];

        snprintf(key, sizeof key, "lease.%s.loss_sum", name);
        network_meta_add(own, key, "%a", l->sums[n].loss);
        snprintf(key, sizeof key, "lease.%s.correct", name);
        network_meta_add(own, key, "%" PRIu64, l->sums[n].correct);
        snprintf(key, sizeof key, "lease.%s.images", name);
        network_meta_add(own, key, "%" PRIu64, l->sums[n].images);
        snprintf(key, sizeof key, "lease.%s.batches", name);
        network_meta_add(own, key, "%" PRIu64, l->trainer[n]->network.batches);
    }
}

Status lease_meta_new(const Lease *l, LeaseMeta **ret, Error *err)
{
    LeaseMeta *meta = calloc(1, sizeof *meta);

    if (meta == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a checkpoint's index");
    describe_networks(l, meta);
    describe_job(l, &meta->own);
    meta->fixed = meta->count + meta->own.count;
    describe_position(l, &meta->own);
    for (uint32_t i = 0; i < meta->own.count; i++)
        meta->row[meta->count++] = meta->own.row[i];
    *ret = meta;
    return STATUS_OK;
}

static Status write_file(const char *path, const Writing *w, const LeaseMeta *meta, Error *err)
{
    DurableFile file = { 0 };
    Status s = durable_open(&file, path, err);

    if (s != STATUS_OK)
        return s;
    s = safetensors_write(file.stream, w->tensor, w->count, meta->row, meta->count, err);
    if (s == STATUS_OK)
        return durable_commit(&file, err);
    durable_abort(&file);
    return s;
}

Status lease_save(Lease *l, const char *path, Error *err)
{
    const size_t most = tensors_most(l);
    LeaseState state[LEASE_STATES_MAX];
    uint32_t states = lease_states(l, state);
    Writing w = { .tensor = calloc(most, sizeof *w.tensor),
                  .name = calloc(most, sizeof *w.name),
                  .disk = l->work };
    LeaseMeta *meta = NULL;
    Status s = lease_meta_new(l, &meta, err);

    if (s == STATUS_OK && (w.tensor == NULL || w.name == NULL))
        s = error_set(err, STATUS_NO_MEMORY, "cannot allocate a checkpoint's index");
    for (uint32_t i = 0; i < states && s == STATUS_OK; i++) {
        put_state(l, &state[i], &w);
        if (state[i].covers == covers_all)
            put_counters(l, &state[i], &w);
    }
    if (s == STATUS_OK)
        s = write_file(path, &w, meta, err);
    free(meta);
    free(w.name);
    free(w.tensor);
    return s;
}
