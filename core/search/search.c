/* The position is the number of steps done, and nothing else. Batches of each side come from a
 * thread of their own, which lives as long as a run. */
#include <stdlib.h>
#include <time.h>

#include "core/search/searcher.h"
#include "core/train/trainer.h"

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static Status search_make(const SearchSpec *spec, const Dataset *dataset, Search **ret, Error *err)
{
    Search *s = calloc(1, sizeof *s);
    Status status;

    if (s == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a search");
    s->spec = *spec;
    s->dataset = dataset;
    s->searcher = searcher_table[spec->searcher.row];
    status = kernels_select(NULL, &s->kernels, err);
    if (status == STATUS_OK)
        status = search_plan(s, err);
    if (status != STATUS_OK)
        search_free(s);
    else
        *ret = s;
    return status;
}

Status search_estimate(const SearchSpec *spec, const Dataset *dataset, SearchEstimate *ret,
                       Error *err)
{
    Search *s = NULL;
    Status status = search_make(spec, dataset, &s, err);

    if (status != STATUS_OK)
        return status;
    *ret = (SearchEstimate){
        .memory_bytes = search_bytes(s),
        .parameters = graph_parameters(&s->network.graph),
        /* two forward passes, two of gradients of data, one of those of weights */
        .step_flops = 5 * s->side[SIDE_WEIGHTS].plan.forward_flops,
        .steps = s->steps,
        .steps_per_epoch = s->steps_per_epoch,
    };
    search_free(s);
    return STATUS_OK;
}

Status search_new(const SearchSpec *spec, const Dataset *dataset, Pool *pool, Search **ret,
                  Error *err)
{
    Search *s = NULL;
    Status status = search_make(spec, dataset, &s, err);

    if (status != STATUS_OK)
        return status;
    s->pool = pool;
    status = search_take(s, err);
    if (status != STATUS_OK) {
        search_free(s);
        return status;
    }
    network_randomise(&s->network, spec->seed);
    *ret = s;
    return STATUS_OK;
}

void search_free(Search *s)
{
    if (s == NULL)
        return;
    arena_clear(&s->arena);
    for (int i = 0; i < SIDES; i++) {
        free(s->side[i].chunk);
        plan_clear(&s->side[i].plan);
    }
    network_clear(&s->network);
    loader_clear(&s->loader);
    free(s);
}

static Status run_step(Search *s, const Batch batch[SIDES], SearchReport *ret, Error *err)
{
    const double images = batch[SIDE_WEIGHTS].count, began = seconds();
    SearchStep step = { 0 };
    Status status = s->searcher->step(s, batch, &step, err);
    const PassSums *train = &step.side[SIDE_WEIGHTS], *val = &step.side[SIDE_ARCHITECTURE];

    if (status != STATUS_OK)
        return status;
    s->step++;
    *ret = (SearchReport){ .step = s->step,
                           .steps = s->steps,
                           .train_loss = train->loss / images,
                           .train_accuracy = (double)train->correct / images,
                           .val_loss = val->loss / images,
                           .val_accuracy = (double)val->correct / images,
                           .learning_rate = step.learning_rate,
                           .images_per_second = images / (seconds() - began) };
    return STATUS_OK;
}

static Status run_steps(Search *s, Prefetch *const batches[SIDES], const SearchObserver *observer,
                        Error *err)
{
    while (s->step < s->steps) {
        Batch batch[SIDES];
        SearchReport report;
        Status status;

        if (observer->stop != NULL && atomic_load(observer->stop) != STOP_NO)
            return error_set(err, STATUS_STOPPED, "stopped after step %llu",
                             (unsigned long long)s->step);
        for (int i = 0; i < SIDES; i++)
            if (!prefetch_next(batches[i], &batch[i]))
                return error_set(err, STATUS_INTERNAL, "the batches ended before the steps");
        status = run_step(s, batch, &report, err);
        if (status != STATUS_OK)
            return status;
        if (observer->step != NULL)
            observer->step(observer->context, &report);
    }
    return STATUS_OK;
}

Status search_run(Search *s, const SearchObserver *observer, Error *err)
{
    Prefetch *batches[SIDES] = { NULL };
    Status status = STATUS_OK;

    for (SearchSide side = 0; side < SIDES && status == STATUS_OK; side++) {
        PrefetchSpec spec = search_batches(s, side);

        status = prefetch_new(&spec, &batches[side], err);
    }
    if (status == STATUS_OK)
        status = run_steps(s, batches, observer, err);
    for (int i = 0; i < SIDES; i++)
        prefetch_free(batches[i]);
    return status;
}
