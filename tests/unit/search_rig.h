/* search_rig -- what the tests of searches share: a small search, what it reports, and its end. */
#pragma once

#include "tests/unit/train_rig.h"

#include "core/search/searcher.h"

/* 64 images: two steps of 16 an epoch. */
static inline SearchSpec small(const char *space, const char *searcher)
{
    SearchSpec spec = { .train = { .model = choice(model_table, "supernet"),
                                   .optimizer = choice(optimizer_table, "sgd"),
                                   .schedule = choice(schedule_table, "cosine"),
                                   .augment = { choice(augmentation_table, "flip") },
                                   .augments = 1,
                                   .data = { .val_images = 32, .split_seed = 1 },
                                   .epochs = 1.5,
                                   .batch_size = 16,
                                   .seed = 9 },
                        .searcher = choice(searcher_table, searcher),
                        .architecture_optimizer = choice(optimizer_table, "adam") };

    snprintf(spec.train.model.text, sizeof spec.train.model.text, "%s", space);
    set(&spec.train.model, model_table, "channels", strcmp(searcher, "pcdarts") == 0 ? 4 : 2);
    set(&spec.train.model, model_table, "cells", 3);
    set(&spec.train.optimizer, optimizer_table, "lr", 0.05);
    set(&spec.train.optimizer, optimizer_table, "nesterov", 0);
    set(&spec.train.optimizer, optimizer_table, "clip", 5);
    set(&spec.architecture_optimizer, optimizer_table, "lr", 0.01);
    return spec;
}

static inline Search *search_of(const SearchSpec *spec, Pool *pool)
{
    Search *search = NULL;
    Error err = { 0 };

    if (search_new(spec, &data, pool, &search, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    return search;
}

/* Everything one run reports, and when it is to be stopped. */
typedef struct SearchLog {
    SearchReport step[REPORTS_MAX];
    SearchEpoch epoch[REPORTS_MAX];
    unsigned steps, epochs, drains;
    atomic_int stop;
    uint64_t stop_at; /* after this step; 0: never */
    bool stop_in_epoch;
    const char *checkpoint;       /* written by drain */
    const char *epoch_checkpoint; /* written by each epoch */
    void (*after_step)(void);
} SearchLog;

static inline void log_search_step(void *context, const SearchReport *report)
{
    SearchLog *log = context;

    assert_true(log->steps < REPORTS_MAX);
    log->step[log->steps++] = *report;
    if (report->step == log->stop_at && !log->stop_in_epoch)
        atomic_store(&log->stop, STOP_DRAIN);
    if (log->after_step != NULL)
        log->after_step();
}

static inline Status log_search_epoch(void *context, Search *search, const SearchEpoch *report,
                                      Error *err)
{
    SearchLog *log = context;

    assert_true(log->epochs < REPORTS_MAX);
    assert_int_equal(search_step(search), report->step);
    log->epoch[log->epochs++] = *report;
    if (report->step == log->stop_at && log->stop_in_epoch)
        atomic_store(&log->stop, STOP_DRAIN);
    return log->epoch_checkpoint == NULL ? STATUS_OK
                                         : search_save(search, log->epoch_checkpoint, err);
}

static inline Status log_search_drain(void *context, Search *search, uint64_t step, Error *err)
{
    SearchLog *log = context;

    assert_int_equal(search_step(search), step);
    log->drains++;
    return log->checkpoint == NULL ? STATUS_OK : search_save(search, log->checkpoint, err);
}

static inline Status observe_search(Search *search, SearchLog *log, Error *err)
{
    const SearchObserver observer = { .context = log,
                                      .stop = &log->stop,
                                      .step = log_search_step,
                                      .epoch = log_search_epoch,
                                      .drain = log_search_drain };

    return search_run(search, &observer, err);
}

/* A log that all members of which are zero; free() it. */
static inline SearchLog *search_log(void)
{
    SearchLog *log = calloc(1, sizeof *log);

    assert_non_null(log);
    return log;
}

/* Runs `spec` to its end (from `resume`, if any), writes the last state to `path` (if any), and
 * answers the result. */
static inline SearchResult search_to_end(const SearchSpec *spec, unsigned threads,
                                         const char *resume, const char *path, SearchLog *log)
{
    Pool *pool = pool_of(threads);
    Search *search = search_of(spec, pool);
    SearchResult result;
    Error err = { 0 };

    if (resume != NULL && search_restore(search, resume, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    if (observe_search(search, log, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    if (path != NULL && search_save(search, path, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    search_result(search, &result);
    search_free(search);
    pool_free(pool);
    return result;
}

static inline bool equal_genotypes(const Genotype *a, const Genotype *b)
{
    char x[GENOTYPE_TEXT_MAX], y[GENOTYPE_TEXT_MAX];

    genotype_print(a, x);
    genotype_print(b, y);
    return strcmp(x, y) == 0;
}

static inline void same_genotypes(const Genotype *a, const Genotype *b)
{
    assert_true(equal_genotypes(a, b));
}

/* One batch of a side, as the run begins; free the prefetch that answers it. */
static inline Prefetch *first_batch(const Search *search, SearchSide side, Batch *ret)
{
    PrefetchSpec spec = trainer_batches(search->trainer);
    Prefetch *prefetch = NULL;

    if (side == SIDE_ARCHITECTURE)
        assert_true(search_batches(search, &spec));
    assert_int_equal(prefetch_new(&spec, &prefetch, NULL), STATUS_OK);
    assert_true(prefetch_next(prefetch, ret));
    return prefetch;
}

/* A copy of all weights; free() it. */
static inline real *weights_of(const Search *search)
{
    size_t bytes = search->trainer->network.graph.weight_numbers * sizeof(real);
    real *ret = malloc(bytes);

    assert_non_null(ret);
    memcpy(ret, search->trainer->network.weights, bytes);
    return ret;
}
