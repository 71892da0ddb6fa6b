/* Going on from a checkpoint: whatever is read is checked before anything is moved. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/lease/lease_file.h"

static Status same_job(const Lease *l, const StFile *file, Error *err)
{
    LeaseMeta *meta = NULL;
    Status s = lease_meta_new(l, &meta, err);

    for (uint32_t i = 0; s == STATUS_OK && i < meta->fixed; i++) {
        const char *have = safetensors_metadata(file, meta->row[i].key);

        if (have == NULL || strcmp(have, meta->row[i].value) != 0)
            s = error_set(err, STATUS_INVALID,
                          "the checkpoint's \"%s\" is \"%.40s\", this job's is \"%.40s\"",
                          meta->row[i].key, have == NULL ? "missing" : have, meta->row[i].value);
    }
    free(meta);
    return s;
}

static Status read_count(const StFile *file, const char *key, uint64_t most, uint64_t *ret,
                         Error *err)
{
    const char *text = safetensors_metadata(file, key);
    char *end = NULL;

    if (text != NULL && text[0] >= '0' && text[0] <= '9') {
        *ret = strtoull(text, &end, 10);
        if (*end == '\0' && *ret <= most)
            return STATUS_OK;
    }
    return error_set(err, STATUS_CORRUPT,
                     "the checkpoint's metadata has no count \"%s\" up to %llu", key,
                     (unsigned long long)most);
}

/* Where the lease stood. */
typedef struct Position {
    uint64_t step, ended, batches[LEASE_NETWORKS];
    PassSums sums[LEASE_NETWORKS];
} Position;

static Status read_sums(const StFile *file, LeaseNetwork n, Position *ret, Error *err)
{
    const char *name = lease_network_names[n], *loss;
    PassSums *sums = &ret->sums[n];
    char key[64];
    Status s;

    snprintf(key, sizeof key, "lease.%s.images", name);
    s = read_count(file, key, UINT32_MAX, &sums->images, err);
    snprintf(key, sizeof key, "lease.%s.correct", name);
    if (s == STATUS_OK)
        s = read_count(file, key, sums->images, &sums->correct, err);
    snprintf(key, sizeof key, "lease.%s.batches", name);
    if (s == STATUS_OK)
        s = read_count(file, key, UINT64_MAX, &ret->batches[n], err);
    snprintf(key, sizeof key, "lease.%s.loss_sum", name);
    loss = safetensors_metadata(file, key);
    if (s == STATUS_OK && loss == NULL)
        s = error_set(err, STATUS_CORRUPT, "the checkpoint's metadata lacks \"%s\"", key);
    if (s == STATUS_OK)
        sums->loss = strtod(loss, NULL);
    return s;
}

static Status read_position(const Lease *l, const StFile *file, Position *ret, Error *err)
{
    Status s = read_count(file, "lease.step", l->steps, &ret->step, err);

    if (s == STATUS_OK)
        s = read_count(file, "lease.ended", l->epochs, &ret->ended, err);
    for (LeaseNetwork n = 0; n < LEASE_NETWORKS && s == STATUS_OK; n++)
        s = read_sums(file, n, ret, err);
    if (s == STATUS_OK) { /* the last epoch may still be to be reported */
        const uint64_t due = lease_epochs_ended(l, ret->step);

        if (ret->ended > due || ret->ended + 1 < due)
            s = error_set(err, STATUS_CORRUPT,
                          "the checkpoint reports %llu epochs at step %llu, where %llu have ended",
                          (unsigned long long)ret->ended, (unsigned long long)ret->step,
                          (unsigned long long)due);
    }
    return s;
}

/* Sees that a state's tensors are there, in shape, or, with `take`, takes them. */
static Status read_state(const Lease *l, const StFile *file, const LeaseState *state, bool take,
                         Error *err)
{
    const Graph *g = &l->trainer[state->network]->network.graph;

    for (uint32_t i = 0; i < g->weights; i++) {
        const GraphWeight *w = &g->weight[i];
        const StTensor *found;
        LeaseName name;

        if (!state->covers(w))
            continue;
        lease_state_name(name, state, w->name);
        found = safetensors_find(file, name);
        if (found == NULL || found->dtype != ST_F32 || found->count != w->count)
            return error_set(err, STATUS_CORRUPT,
                             "the checkpoint lacks \"%.120s\" with %zu numbers", name, w->count);
        if (take)
            weight_from_disk(w, found->data, state->numbers + w->offset);
    }
    return STATUS_OK;
}

static Status read_states(const Lease *l, const StFile *file, bool take, Error *err)
{
    LeaseState state[LEASE_STATES_MAX];
    uint32_t count = lease_states(l, state);
    Status s = STATUS_OK;

    for (uint32_t i = 0; i < count && s == STATUS_OK; i++)
        s = read_state(l, file, &state[i], take, err);
    return s;
}

static void take_position(Lease *l, const Position *position)
{
    static const LeasePhase own[] = { LEASE_PHASE_EXPLAINER, LEASE_PHASE_AUDIENCE };

    l->step = position->step;
    l->ended = (uint32_t)position->ended;
    for (int n = 0; n < LEASE_NETWORKS; n++) {
        l->sums[n] = position->sums[n];
        l->trainer[n]->network.batches = position->batches[n];
        l->trainer[n]->step = lease_steps_before(
            l, l->spec.mode == LEASE_JOINT ? LEASE_PHASE_JOINT : own[n], l->step);
    }
    memset(l->explained, 0, sizeof l->explained);
}

Status lease_restore(Lease *l, const char *path, Error *err)
{
    StFile *file = NULL;
    Position position = { 0 };
    Status s = safetensors_open(path, &file, err);

    if (s == STATUS_OK)
        s = same_job(l, file, err);
    if (s == STATUS_OK)
        s = read_position(l, file, &position, err);
    if (s == STATUS_OK)
        s = read_states(l, file, false, err);
    if (s == STATUS_OK)
        s = read_states(l, file, true, err);
    if (s == STATUS_OK)
        take_position(l, &position);
    safetensors_close(file);
    return s;
}
