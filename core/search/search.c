/*
 * The run is the trainer's: it counts steps and epochs, evaluates, stops and resumes. The search
 * stands beside it as its companion: in front of each step it moves the architecture, at each
 * epoch's end it measures, and it reports in its own terms. Where several networks are trained, one
 * trainer follows the other.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/search/searcher.h"

/* ---- Life ---- */

static Status search_make(const SearchSpec *spec, const Dataset *dataset, Search **ret, Error *err)
{
    Search *s = calloc(1, sizeof *s);
    Status status;

    if (s == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a search");
    s->spec = *spec;
    s->dataset = dataset;
    s->searcher = searcher_table[spec->searcher.row];
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
    *ret = (SearchEstimate){ .memory_bytes = s->memory_bytes,
                             .parameters = s->parameters,
                             .step_flops = s->step_flops,
                             .steps = s->rounds * s->round_steps,
                             .steps_per_epoch = s->trainer->steps_per_epoch,
                             .epochs = s->rounds * s->round_epochs };
    search_free(s);
    return STATUS_OK;
}

Status search_print(const SearchSpec *spec, const Dataset *dataset, const Roofline *limits,
                    FILE *out, Error *err)
{
    Search *s = NULL;
    Status status = search_make(spec, dataset, &s, err);

    if (status != STATUS_OK)
        return status;
    if (s->searcher->step != NULL) {
        fputs("the architecture's side: ", out);
        plan_print(&s->architect.plan, limits, out);
        fputs("\nthe weights' side: ", out);
    }
    plan_print(&s->trainer->plan[0], limits, out);
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
    (void)s->searcher->derive(s, NULL, &s->result.genotype);
    *ret = s;
    return STATUS_OK;
}

void search_free(Search *s)
{
    if (s == NULL)
        return;
    arena_clear(&s->arena);
    architect_clear(&s->architect);
    trainer_free(s->trainer);
    free(s);
}

uint64_t search_step(const Search *s)
{
    return s->round * s->round_steps + s->trainer->step;
}

const Profile *search_profile(const Search *s)
{
    return trainer_profile(s->trainer);
}

void search_result(const Search *s, SearchResult *ret)
{
    *ret = s->result;
}

/* ---- In front of a step, and after it ---- */

static Status before_step(void *context, const Batch *train, Error *err)
{
    Search *s = context;
    Batch batch[SIDES] = { [SIDE_WEIGHTS] = *train };

    s->val_sums = (PassSums){ 0 };
    if (s->searcher->step == NULL || s->trainer->step < search_first_move(s))
        return STATUS_OK;
    if (!prefetch_next(s->val, &batch[SIDE_ARCHITECTURE]))
        return error_set(err, STATUS_INTERNAL, "the batches ended before the steps");
    return search_move(s, batch, &s->val_sums, err);
}

static void on_step(void *context, const StepReport *r)
{
    const Search *s = context;
    const PassSums *val = &s->val_sums;
    SearchReport report = { .step = search_step(s),
                            .steps = s->rounds * s->round_steps,
                            .epoch = s->round * s->round_epochs + r->epoch,
                            .epochs = s->rounds * s->round_epochs,
                            .train_loss = r->loss,
                            .train_accuracy = r->accuracy,
                            .val_loss = NAN,
                            .val_accuracy = NAN,
                            .learning_rate = r->learning_rate,
                            .images_per_second = r->images_per_second };

    if (val->images > 0) {
        report.val_loss = val->loss / (double)val->images;
        report.val_accuracy = (double)val->correct / (double)val->images;
    }
    if (s->observer->step != NULL)
        s->observer->step(s->observer->context, &report);
}

/* ---- An epoch's end ---- */

static Status measure(void *context, const atomic_int *stop, Error *err)
{
    Search *s = context;

    s->eigenvalue = NAN;
    return search_measures(s) ? curvature_measure(s, stop, &s->eigenvalue, err) : STATUS_OK;
}

static void add_reading(Search *s, double reading)
{
    if (s->readings == READINGS_MAX) {
        memmove(s->reading, s->reading + 1, (READINGS_MAX - 1) * sizeof *s->reading);
        s->readings--;
    }
    s->reading[s->readings++] = reading;
}

/* The architecture of this epoch's end is added to those before. */
static void add_ended(Search *s)
{
    real *oldest = s->ended[EARLY_LAG];

    if (oldest == NULL)
        return;
    for (int i = EARLY_LAG; i > 0; i--)
        memcpy(s->ended[i], s->ended[i - 1], s->architect.extent * sizeof *oldest);
    memcpy(s->ended[0], s->trainer->network.weights, s->architect.extent * sizeof *oldest);
}

static double mean(const double *x, uint32_t count)
{
    double sum = 0;

    for (uint32_t i = 0; i < count; i++)
        sum += x[i];
    return sum / count;
}

/* A reading that is not finite is no reason to stop. */
static bool is_too_sharp(const Search *s)
{
    const double before = mean(s->reading, EARLY_WINDOW);

    return s->readings == READINGS_MAX && before > 0 &&
           mean(s->reading + EARLY_LAG, EARLY_WINDOW) > 1.3 * before;
}

/* What is found up to this epoch's end. */
static void derive(Search *s, const Score *val, uint32_t epoch)
{
    if (s->searcher->derive(s, val, &s->result.genotype))
        s->result.epoch = epoch;
}

static void stop_early(Search *s, uint32_t epoch)
{
    SearchAlphas alphas;

    supernet_alphas(&s->trainer->network, &s->space, s->ended[EARLY_LAG], &alphas);
    search_derive(&alphas, &s->result.genotype);
    s->result.epoch = epoch - EARLY_LAG;
    s->result.early_stopped = true;
}

static void fill_entropy(const Search *s, double ret[CELL_KINDS])
{
    const Network *n = &s->trainer->network;
    SearchAlphas alphas;

    if (s->searcher->step != NULL)
        supernet_alphas(n, &s->space, n->weights, &alphas);
    for (int k = 0; k < CELL_KINDS; k++)
        ret[k] = s->searcher->step == NULL ? (double)NAN : search_entropy(&alphas, (CellKind)k);
}

static Status on_epoch(void *context, Trainer *trainer, const EpochReport *r, Error *err)
{
    Search *s = context;
    SearchEpoch report = { .step = search_step(s),
                           .epoch = s->round * s->round_epochs + r->epoch,
                           .train = r->train,
                           .val = r->val,
                           .test = r->test,
                           .eigenvalue = s->eigenvalue,
                           .images_per_second = r->images_per_second };
    Status status = STATUS_OK;

    (void)trainer;
    derive(s, &r->val, report.epoch);
    report.genotype = s->result.genotype;
    fill_entropy(s, report.entropy);
    if (search_measures(s))
        add_reading(s, s->eigenvalue);
    add_ended(s);
    if (s->spec.early_stop && is_too_sharp(s))
        stop_early(s, report.epoch);
    report.early_stopped = s->result.early_stopped;
    if (s->observer->epoch != NULL)
        status = s->observer->epoch(s->observer->context, s, &report, err);
    return status == STATUS_OK && s->result.early_stopped
               ? error_set(err, STATUS_STOPPED, "stopped early after epoch %u", report.epoch)
               : status;
}

static Status on_drain(void *context, Trainer *trainer, uint64_t step, Error *err)
{
    Search *s = context;

    (void)trainer, (void)step;
    return s->observer->drain == NULL
               ? STATUS_OK
               : s->observer->drain(s->observer->context, s, search_step(s), err);
}

/* ---- The run ---- */

static Status run_round(Search *s, Error *err)
{
    const Observer observer = { .context = s,
                                .stop = s->observer->stop,
                                .step = on_step,
                                .epoch = on_epoch,
                                .drain = on_drain };
    PrefetchSpec batches;
    Status status = STATUS_OK;

    s->trainer->companion.before = before_step;
    s->trainer->companion.measure = measure;
    if (search_batches(s, &batches))
        status = prefetch_new(&batches, &s->val, err);
    if (status == STATUS_OK)
        status = trainer_run(s->trainer, &observer, err);
    prefetch_free(s->val);
    s->val = NULL;
    return status;
}

/* One trainer's memory at a time. */
static Status begin_next_round(Search *s, Error *err)
{
    Status status;

    trainer_free(s->trainer);
    s->trainer = NULL;
    status = search_make_round(s, s->round + 1, &s->trainer, err);
    if (status == STATUS_OK)
        status = trainer_begin(s->trainer, s->pool, err);
    if (status == STATUS_OK)
        s->round++;
    return status;
}

Status search_run(Search *s, const SearchObserver *observer, Error *err)
{
    Error why = { 0 };
    Status status = STATUS_OK;

    s->observer = observer;
    while (!s->result.early_stopped) {
        status = run_round(s, &why);
        if (status != STATUS_OK || s->round + 1 == s->rounds)
            break;
        status = begin_next_round(s, &why);
        if (status != STATUS_OK)
            break;
    }
    s->observer = NULL;
    if (status == STATUS_OK || (status == STATUS_STOPPED && s->result.early_stopped))
        return STATUS_OK;
    if (err != NULL && err->status == STATUS_OK)
        *err = why;
    return status;
}
