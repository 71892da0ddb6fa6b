/*
 * The trainer plans its part; the architecture's plans lie in the same region, `work`, since they
 * never run at the same time. An estimate and a real search come from the same code. Where several
 * networks are trained, each has its trainer in its time, and the largest counts.
 */
#include <math.h>
#include <string.h>

#include "core/search/searcher.h"

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- What is searched ---- */

/* The searcher's order; 0: it has no architecture to move. */
static unsigned order_of(const Search *s)
{
    const Choice *searcher = &s->spec.searcher;

    return s->searcher->step == NULL ? 0
                                     : (unsigned)choice_value(searcher_table, searcher, "order");
}

static Status check_order(const Search *s, Error *err)
{
    const Described *optimizer = &optimizer_table[s->spec.train.optimizer.row]->described;

    if (order_of(s) == 2 && strcmp(optimizer->name, "sgd") != 0)
        return error_at(err, STATUS_INVALID, "/searcher/order",
                        "order 2 looks one step of sgd ahead; the weights' optimizer is %s",
                        optimizer->name);
    return STATUS_OK;
}

/* Batches are full ones, of either split that is learned from. */
static Status check_splits(const Search *s, Error *err)
{
    const uint32_t batch = s->spec.train.batch_size;
    Loader loader = { 0 };
    Status status = loader_init(&loader, s->dataset, &s->spec.train.data, err);

    if (status == STATUS_OK && loader.images[SPLIT_VAL] == 0)
        status = error_at(err, STATUS_INVALID, "/val_images",
                          "a search needs validation images: they choose the architecture");
    for (Split split = SPLIT_TRAIN; split <= SPLIT_VAL && status == STATUS_OK; split++)
        if ((split == SPLIT_TRAIN || order_of(s) > 0) &&
            epoch_batches(loader.images[split], batch, true) == 0)
            status = error_at(err, STATUS_INVALID, "/batch_size",
                              "%u images of the split %s fill no batch of %u", loader.images[split],
                              split_names[split], batch);
    loader_clear(&loader);
    return status;
}

Status search_model(const SearchSpec *spec, Choice *ret, Error *err)
{
    Space space;
    Status s = supernet_space(&spec->train.model, &space, err);

    return s == STATUS_OK ? searcher_table[spec->searcher.row]->model(spec, &space, 0, ret, err)
                          : s;
}

/* ---- The architecture's part ---- */

bool search_measures(const Search *s)
{
    return s->searcher->step != NULL && (s->spec.eigenvalue || s->spec.early_stop);
}

uint64_t search_first_move(const Search *s)
{
    return s->spec.alpha_start_epoch * s->trainer->steps_per_epoch;
}

bool search_batches(const Search *s, PrefetchSpec *ret)
{
    if (s->searcher->step == NULL)
        return false;
    *ret = trainer_batches(s->trainer);
    ret->split = SPLIT_VAL;
    ret->label_smoothing = 0;
    ret->step = larger(s->trainer->step, search_first_move(s));
    /* Other draws for each side: else the same places of both orders would meet in every epoch. */
    ret->seed ^= UINT64_MAX;
    return ret->step < ret->steps;
}

static bool is_architecture(const GraphWeight *weight)
{
    return weight->spec.role == WEIGHT_ARCHITECTURE;
}

_Static_assert(OPTIMIZER_BUFFERS_MAX + EARLY_LAG + 1 <= COMPANION_STATES_MAX, "they fit");

/* The optimiser's buffers, and the architecture at the ends of the last epochs. */
static void set_companion(Search *s)
{
    static const char *const ago[EARLY_LAG + 1] = { "ago_0", "ago_1", "ago_2", "ago_3", "ago_4" };
    const Architect *a = &s->architect;
    Companion *c = &s->trainer->companion;

    c->states = 0;
    for (uint32_t i = 0; a->optimizer != NULL && i < a->optimizer->buffers; i++)
        c->state[c->states++] =
            (TrainerState){ "alpha", a->optimizer->buffer_name[i], a->buffer[i], is_architecture };
    for (uint32_t i = 0; s->spec.early_stop && a->optimizer != NULL && i <= EARLY_LAG; i++)
        c->state[c->states++] = (TrainerState){ "alpha", ago[i], s->ended[i], is_architecture };
}

static Status plan_architecture(Search *s, Error *err)
{
    Trainer *t = s->trainer;
    Status status = architect_plan(&s->architect, &t->network, &s->spec.architecture_optimizer,
                                   order_of(s), s->spec.train.batch_size, err);

    if (status != STATUS_OK)
        return status;
    set_companion(s);
    t->work_bytes = larger(t->work_bytes, trainer_file_bytes(t));
    t->work_bytes = larger(t->work_bytes, architect_work_bytes(&s->architect));
    return STATUS_OK;
}

static size_t ended_bytes(const Search *s)
{
    return s->spec.early_stop ? (EARLY_LAG + 1) * arena_round(s->architect.extent * sizeof(real))
                              : 0;
}

static size_t arena_bytes(Search *s)
{
    return architect_bytes(&s->architect) + ended_bytes(s) + curvature_layout(s, NULL);
}

/* ---- All of it ---- */

Status search_make_round(Search *s, uint32_t round, Trainer **ret, Error *err)
{
    TrainSpec spec = s->spec.train;
    Status status;

    spec.drop_last = true;
    spec.epochs /= s->rounds;
    status = s->searcher->model(&s->spec, &s->space, round, &spec.model, err);
    if (status == STATUS_OK)
        status = trainer_make(&spec, s->dataset, ret, err);
    if (status == STATUS_OK) {
        (*ret)->companion.context = s;
        (*ret)->companion.describe = search_describe;
    }
    return status;
}

/* Forward passes, in FLOPs of one: gradients of data and of weights cost as much each. */
static double passes(const Search *s)
{
    static const double architecture[] = { 0, 2, 3 + 3 + 2 * 2 }; /* by order */

    return 3 + architecture[order_of(s)];
}

/* The rounds' trainers in turn, of which the first stays. */
static Status plan_rounds(Search *s, Error *err)
{
    Status status = STATUS_OK;

    for (uint32_t i = s->rounds; i > 0 && status == STATUS_OK; i--) {
        trainer_free(s->trainer);
        s->trainer = NULL;
        status = search_make_round(s, i - 1, &s->trainer, err);
        if (status == STATUS_OK && order_of(s) > 0)
            status = plan_architecture(s, err);
        if (status != STATUS_OK)
            break;
        s->memory_bytes = larger(s->memory_bytes, trainer_bytes(s->trainer));
        s->parameters = larger(s->parameters, graph_parameters(&s->trainer->network.graph));
        s->step_flops += passes(s) * s->trainer->plan[0].forward_flops / s->rounds;
    }
    return status;
}

Status search_plan(Search *s, Error *err)
{
    PrefetchSpec batches;
    Status status = supernet_space(&s->spec.train.model, &s->space, err);

    s->rounds = s->searcher->rounds == NULL ? 1 : s->searcher->rounds(&s->spec.searcher);
    if (status == STATUS_OK)
        status = check_order(s, err);
    if (status == STATUS_OK)
        status = check_splits(s, err);
    if (status == STATUS_OK)
        status = plan_rounds(s, err);
    if (status != STATUS_OK)
        return status;
    s->round_steps = s->trainer->steps;
    s->round_epochs = (uint32_t)ceil(s->trainer->spec.epochs);
    if (order_of(s) > 0)
        s->memory_bytes += arena_bytes(s);
    if (search_batches(s, &batches))
        s->memory_bytes += prefetch_bytes(&batches);
    return STATUS_OK;
}

Status search_take(Search *s, Error *err)
{
    Status status = trainer_begin(s->trainer, s->pool, err);

    if (status != STATUS_OK || order_of(s) == 0)
        return status;
    status = arena_init(&s->arena, arena_bytes(s), err);
    if (status != STATUS_OK)
        return status;
    architect_take(&s->architect, &s->arena, s->trainer->work);
    for (int i = 0; s->spec.early_stop && i <= EARLY_LAG; i++)
        s->ended[i] = arena_take(&s->arena, s->architect.extent * sizeof(real));
    (void)curvature_layout(s, &s->arena);
    set_companion(s); /* once more: now the arrays are there */
    return STATUS_OK;
}
