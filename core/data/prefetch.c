/*
 * Batches are numbered from the first one made. The thread makes number `made` in slot made % SLOTS
 * as soon as the batch that was there has been given back; the caller takes number `taken`, which
 * gives back all before it. With two slots one is trained on while the other is filled, and at no
 * time do both sides wait.
 */
#include "core/data/prefetch.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/base/arena.h"
#include "core/base/rng.h"

enum { SLOTS = 2 };

typedef struct Slot {
    Batch batch;
    float *images, *targets;
    uint16_t *labels;
} Slot;

struct Prefetch {
    PrefetchSpec spec;
    uint64_t per_epoch; /* batches */
    Arena arena;        /* what the pointers below point into */
    Slot slot[SLOTS];   /* a slot's content belongs to one side at a time, as the counts say */
    uint32_t *order;    /* [images of the split] of the thread's epoch */
    void *scratch;

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t made;  /* guarded by lock */
    uint64_t taken; /* guarded by lock */
    uint64_t freed; /* batches given back; guarded by lock */
    bool stop;      /* guarded by lock */
};

uint64_t epoch_batches(uint32_t images, uint32_t batch_size, bool drop_last)
{
    return drop_last ? images / batch_size : ((uint64_t)images + batch_size - 1) / batch_size;
}

/* --- the thread --- */

static void make_batch(Prefetch *p, uint64_t step, Slot *slot)
{
    const PrefetchSpec *spec = &p->spec;
    uint32_t images = spec->loader->images[spec->split];
    uint64_t epoch = step / p->per_epoch, at = step % p->per_epoch * spec->batch_size;
    uint64_t rest = images - at;
    BatchSpec batch = { .split = spec->split,
                        .items = p->order + at,
                        .count = rest < spec->batch_size ? (uint32_t)rest : spec->batch_size,
                        .augment = spec->augment,
                        .augments = spec->augments,
                        .seed = spec->seed,
                        .epoch = (uint32_t)epoch,
                        .step = (uint32_t)step,
                        .label_smoothing = spec->label_smoothing,
                        .scratch = p->scratch };

    if (at == 0 || step == spec->step) {
        Rng rng = rng_at(spec->seed, RNG_SHUFFLE, (uint32_t)epoch, 0);

        rng_permutation(&rng, images, p->order);
    }
    loader_batch(spec->loader, NULL, &batch, slot->images, slot->labels, slot->targets);
    slot->batch = (Batch){ .step = step,
                           .epoch = epoch,
                           .count = batch.count,
                           .images = slot->images,
                           .labels = slot->labels,
                           .targets = slot->targets };
}

/* Waits until batch number p->made has a slot; false: the thread is to end. */
static bool wait_for_slot(Prefetch *p)
{
    bool go_on;

    pthread_mutex_lock(&p->lock);
    while (!p->stop && p->made - p->freed >= SLOTS)
        pthread_cond_wait(&p->changed, &p->lock);
    go_on = !p->stop;
    pthread_mutex_unlock(&p->lock);
    return go_on;
}

static void *prefetch_main(void *argument)
{
    Prefetch *p = argument;

    for (uint64_t step = p->spec.step; step < p->spec.steps && wait_for_slot(p); step++) {
        make_batch(p, step, &p->slot[(step - p->spec.step) % SLOTS]);
        pthread_mutex_lock(&p->lock);
        p->made++;
        pthread_cond_signal(&p->changed);
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

/* --- the caller --- */

typedef struct Sizes {
    size_t images, labels, targets; /* of one slot */
    size_t order, scratch, all;
} Sizes;

static Sizes sizes_of(const PrefetchSpec *spec)
{
    const Dataset *d = spec->loader->dataset;
    uint32_t images = spec->loader->images[spec->split];
    uint32_t count = images < spec->batch_size ? images : spec->batch_size;
    Sizes sizes = {
        .images = arena_round((size_t)count * d->height * d->width * loader_channels(spec->loader) *
                              sizeof(float)),
        .labels = arena_round(count * sizeof(uint16_t)),
        .targets = arena_round((size_t)count * d->classes * sizeof(float)),
        .order = arena_round(images * sizeof(uint32_t)),
        .scratch = arena_round(loader_scratch_bytes(spec->loader, count)),
    };

    sizes.all = SLOTS * (sizes.images + sizes.labels + sizes.targets) + sizes.order + sizes.scratch;
    return sizes;
}

size_t prefetch_bytes(const PrefetchSpec *spec)
{
    return sizes_of(spec).all;
}

static Status take_memory(Prefetch *p, Error *err)
{
    Sizes sizes = sizes_of(&p->spec);
    Status s = arena_init(&p->arena, sizes.all, err);

    if (s != STATUS_OK)
        return s;
    for (int i = 0; i < SLOTS; i++) {
        p->slot[i].images = arena_take(&p->arena, sizes.images);
        p->slot[i].labels = arena_take(&p->arena, sizes.labels);
        p->slot[i].targets = arena_take(&p->arena, sizes.targets);
    }
    p->order = arena_take(&p->arena, sizes.order);
    p->scratch = arena_take(&p->arena, sizes.scratch);
    return STATUS_OK;
}

Status prefetch_new(const PrefetchSpec *spec, Prefetch **ret, Error *err)
{
    uint32_t images = spec->loader->images[spec->split];
    uint64_t per_epoch = epoch_batches(images, spec->batch_size, spec->drop_last);
    Prefetch *p;
    Status s;

    if (per_epoch == 0)
        return error_at(err, STATUS_INVALID, "/batch_size", "%u %s images fill no batch of %u",
                        images, split_names[spec->split], spec->batch_size);
    p = calloc(1, sizeof *p);
    if (p == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a loader of batches");
    p->spec = *spec;
    p->per_epoch = per_epoch;
    s = take_memory(p, err);
    if (s != STATUS_OK) {
        free(p);
        return s;
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    if (pthread_create(&p->thread, NULL, prefetch_main, p) != 0) {
        pthread_cond_destroy(&p->changed);
        pthread_mutex_destroy(&p->lock);
        arena_clear(&p->arena);
        free(p);
        return error_set(err, STATUS_NO_MEMORY, "cannot start the thread that makes batches");
    }
    *ret = p;
    return STATUS_OK;
}

bool prefetch_next(Prefetch *p, Batch *ret)
{
    bool there;

    pthread_mutex_lock(&p->lock);
    there = p->spec.step + p->taken < p->spec.steps;
    p->freed = p->taken;
    pthread_cond_signal(&p->changed);
    while (there && p->made == p->taken)
        pthread_cond_wait(&p->changed, &p->lock);
    if (there)
        *ret = p->slot[p->taken++ % SLOTS].batch;
    pthread_mutex_unlock(&p->lock);
    return there;
}

void prefetch_free(Prefetch *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_signal(&p->changed);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    arena_clear(&p->arena);
    free(p);
}
