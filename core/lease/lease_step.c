/*
 * What a step of each phase does. Batches of a part come from threads of their own, which live as
 * long as the part: the explainer's images, the same images as the audience sees them where those
 * are others, and validation images.
 *
 * Orders and draws are keyed by the seed and what they are for, so that no two of them meet: the
 * explainer's own are the seed's, the audience's those of its complement (Trainer.spec.seed).
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "core/lease/lease_internal.h"

/* Of the seed, for images of step 4. */
static const uint64_t seed_val = 0x6c65617365766c00, seed_train = 0x6c65617365747200;

/* --- feeds --- */

static bool same_choice(const Choice *a, const Choice *b)
{
    bool same = a->row == b->row;

    for (uint32_t i = 0; same && i < augmentation_table[a->row]->described.count; i++)
        same = a->value[i] == b->value[i];
    return same;
}

/* Whether the explainer's training images and the audience's are augmented alike. */
static bool same_look(const Lease *l)
{
    const TrainSpec *e = &l->spec.explainer, *w = &l->spec.audience;
    bool same = e->augments == w->augments;

    for (uint32_t i = 0; same && i < e->augments; i++)
        same = same_choice(&e->augment[i], &w->augment[i]);
    return same && e->label_smoothing == w->label_smoothing;
}

/* Images as they are, of the explainer's batches, moved as the audience's are. */
static PrefetchSpec seen_batches(const Lease *l, Split split, uint64_t seed, uint64_t step,
                                 uint64_t steps)
{
    return (PrefetchSpec){ .loader = &l->trainer[LEASE_EXPLAINER]->loader,
                           .split = split,
                           .augment = l->spec.audience.augment,
                           .augments = l->spec.audience.augments,
                           .batch_size = l->spec.explainer.batch_size,
                           .drop_last = true,
                           .label_smoothing =
                               split == SPLIT_TRAIN ? l->spec.audience.label_smoothing : 0,
                           .seed = seed,
                           .step = step,
                           .steps = steps };
}

enum { FEED_TRAIN, FEED_SEEN, FEED_VAL, FEEDS };

/* Which feeds a part has, from `step` of the lease on. */
static void feeds_of(const Lease *l, const LeasePlace *place, uint64_t step,
                     PrefetchSpec ret[FEEDS], bool has[FEEDS])
{
    const uint64_t left = place->steps - place->at, moves = lease_moves_before(l, step);
    const uint64_t ends = lease_moves_before(l, step + left);
    uint64_t seed = l->spec.seed;

    memset(has, 0, FEEDS * sizeof *has);
    ret[FEED_TRAIN] = trainer_batches(
        l->trainer[place->phase == LEASE_PHASE_AUDIENCE ? LEASE_AUDIENCE : LEASE_EXPLAINER]);
    ret[FEED_TRAIN].steps = ret[FEED_TRAIN].step + left;
    has[FEED_TRAIN] = place->phase != LEASE_PHASE_ARCHITECTURE || l->full;
    if (place->phase == LEASE_PHASE_ARCHITECTURE) {
        seed ^= seed_train;
        ret[FEED_TRAIN].seed = seed;
        ret[FEED_TRAIN].step = moves;
        ret[FEED_TRAIN].steps = ends;
    }
    if (place->phase != LEASE_PHASE_ARCHITECTURE && place->phase != LEASE_PHASE_JOINT)
        return;
    has[FEED_SEEN] = has[FEED_TRAIN] && !same_look(l);
    ret[FEED_SEEN] =
        seen_batches(l, SPLIT_TRAIN, seed, ret[FEED_TRAIN].step, ret[FEED_TRAIN].steps);
    has[FEED_VAL] = l->moves && ends > moves;
    ret[FEED_VAL] = seen_batches(l, SPLIT_VAL, l->spec.seed ^ seed_val, moves, ends);
}

void lease_unfeed(Lease *l)
{
    prefetch_free(l->feeds.train);
    prefetch_free(l->feeds.seen);
    prefetch_free(l->feeds.val);
    l->feeds = (LeaseFeeds){ 0 };
}

Status lease_feed(Lease *l, const LeasePlace *place, Error *err)
{
    Prefetch **feed[FEEDS] = { &l->feeds.train, &l->feeds.seen, &l->feeds.val };
    PrefetchSpec spec[FEEDS];
    bool has[FEEDS];
    Status s = STATUS_OK;

    if (l->feeds.part == place->part + 1)
        return STATUS_OK;
    lease_unfeed(l);
    feeds_of(l, place, l->step, spec, has);
    for (int i = 0; i < FEEDS && s == STATUS_OK; i++)
        if (has[i])
            s = prefetch_new(&spec[i], feed[i], err);
    l->feeds.part = s == STATUS_OK ? place->part + 1 : 0;
    return s;
}

size_t lease_feed_bytes(const Lease *l)
{
    size_t most = 0;

    for (LeasePhase phase = 0; phase < LEASE_PHASES; phase++) {
        LeasePlace place = { .phase = phase, .steps = l->part_steps[phase] };
        PrefetchSpec spec[FEEDS];
        bool has[FEEDS];
        size_t bytes = 0;

        if (place.steps == 0)
            continue;
        feeds_of(l, &place, 0, spec, has);
        has[FEED_VAL] = l->moves && phase >= LEASE_PHASE_ARCHITECTURE;
        for (int i = 0; i < FEEDS; i++)
            bytes += has[i] ? prefetch_bytes(&spec[i]) : 0;
        most = bytes > most ? bytes : most;
    }
    return most;
}

static Status next(Prefetch *feed, Batch *ret, Error *err)
{
    return prefetch_next(feed, ret)
               ? STATUS_OK
               : error_set(err, STATUS_INTERNAL, "the batches ended before the steps");
}

/* --- what passes run with --- */

RunContext lease_context(const Lease *l, LeaseNetwork network)
{
    RunContext ret = trainer_context(l->trainer[network]);

    if (!isfinite(ret.progress)) /* a network that never trains */
        ret.progress = 0;
    return ret;
}

double lease_rate(const Lease *l, LeaseNetwork network)
{
    const bool alphas = l->spec.mode == LEASE_ALPHAS;
    const Trainer *t = l->trainer[alphas ? LEASE_EXPLAINER : network];
    const uint64_t steps = alphas ? l->steps : t->steps;
    const uint64_t each = alphas ? l->epoch_steps[LEASE_PHASE_ARCHITECTURE] : t->steps_per_epoch;
    uint64_t step = alphas ? l->step : t->step;
    double rate = t->spec.optimizer.value[t->optimizer->learning_rate];

    if (steps == 0)
        return rate;
    step = step < steps ? step : steps - 1;
    return rate * schedule_factor(&t->spec.schedule, step, steps, each);
}

/* --- the steps --- */

static Status move_by_hypergradient(Lease *l, const Batch *train, const Batch *seen,
                                    const Batch *val, double *ret_loss, Error *err)
{
    Trainer *e = l->trainer[LEASE_EXPLAINER];
    const RunContext context[] = { lease_context(l, LEASE_EXPLAINER),
                                   lease_context(l, LEASE_AUDIENCE) };
    const HyperBatch batch = { .train = train->images,
                               .train_targets = train->targets,
                               .seen = seen->images,
                               .seen_targets = seen->targets,
                               .labels = seen->labels,
                               .items = l->items,
                               .seed = l->spec.seed,
                               .stream = ((uint32_t)l->step + 1) * SPLIT_COUNT + SPLIT_TRAIN,
                               .val = val->images,
                               .val_targets = val->targets,
                               .rate = { lease_rate(l, LEASE_EXPLAINER),
                                         lease_rate(l, LEASE_AUDIENCE) } };

    return hyper_gradient(&l->hyper, context, &batch, e->gradients, ret_loss, err);
}

/* Step 4: alphas and betas, and nothing else. */
static Status move_architecture(Lease *l, const Batch *train, const Batch *seen, double *ret_loss,
                                Error *err)
{
    const RunContext context = lease_context(l, LEASE_EXPLAINER);
    Error why = { 0 };
    PassSums sums;
    Batch val;
    Status s = next(l->feeds.val, &val, err);

    if (s != STATUS_OK)
        return s;
    if (l->full) {
        s = move_by_hypergradient(l, train, seen, &val, ret_loss, &why);
        if (s != STATUS_OK)
            return error_set(err, s, "at step %llu: %s", (unsigned long long)l->step + 1,
                             error_message(&why));
    } else {
        s = architect_first(&l->architect, &context, &val, l->step + 1, &sums, err);
        if (s != STATUS_OK)
            return s;
        *ret_loss = sums.loss / val.count;
    }
    architect_update(&l->architect, &context, lease_moves_before(l, l->step) + 1);
    return STATUS_OK;
}

/* One step of a network's weights. */
static Status train(Lease *l, LeaseNetwork n, const Batch *batch, LeaseStepReport *ret, Error *err)
{
    Trainer *t = l->trainer[n];
    StepReport report;
    Status s = trainer_train(t, batch, &report, err);

    if (s != STATUS_OK)
        return s;
    ret->train[n] = (Score){ batch->count, report.loss, report.accuracy };
    ret->learning_rate[n] = report.learning_rate;
    l->sums[n].loss += report.loss * batch->count;
    l->sums[n].correct += (uint64_t)llround(report.accuracy * batch->count);
    l->sums[n].images += batch->count;
    return STATUS_OK;
}

/* Step 2 for a batch at hand: the audience's input. */
static void explain_batch(Lease *l, const Batch *seen)
{
    const RunContext context = lease_context(l, LEASE_EXPLAINER);
    const ExplanationSpec *x = &l->spec.explanation;
    const ReweightLine line = reweight_line(&x->reweight);
    const Network *e = &l->trainer[LEASE_EXPLAINER]->network;
    const Group group = { graph_shape(&e->graph, e->image, seen->count),
                          l->live.shape.kind == MAP_HEAT ? l->live.shape.maps : 0, l->spec.input };

    assert(seen->images != NULL); /* a joint step has them */
    if (l->spec.input == COMPOSE_IMAGE) {
        memcpy(l->input, seen->images, shape_count(&group.shape) * sizeof *l->input);
        return;
    }
    explanation_run(&l->live, &context,
                    &(ExplanationBatch){ .images = seen->images,
                                         .labels = seen->labels,
                                         .items = l->items,
                                         .split = SPLIT_TRAIN,
                                         .seed = l->spec.seed,
                                         .round = (uint32_t)l->step + 1 });
    if (group.maps == 0) {
        reweight_batch(&x->reweight, l->pool, &group.shape, seen->images, l->live.delta,
                       l->reweighted_images);
        group_delta(&group, l->pool, seen->images, l->reweighted_images, l->input);
        return;
    }
    group_factors(&group, l->pool, &line, l->live.shape.height, l->live.shape.width, l->live.maps,
                  l->room, l->factors);
    group_maps(&group, l->pool, seen->images, l->factors, l->input);
}

static Status train_jointly(Lease *l, const LeasePlace *place, const Batch *batch,
                            const Batch *seen, LeaseStepReport *ret, Error *err)
{
    Batch composed = *seen;
    Status s = STATUS_OK;

    if (lease_moves_at(l, place))
        s = move_architecture(l, batch, seen, &ret->val_loss, err);
    if (s == STATUS_OK)
        s = train(l, LEASE_EXPLAINER, batch, ret, err);
    if (s != STATUS_OK)
        return s;
    explain_batch(l, seen);
    composed.images = l->input;
    return train(l, LEASE_AUDIENCE, &composed, ret, err);
}

Status lease_train(Lease *l, const LeasePlace *place, LeaseStepReport *ret, Error *err)
{
    LeaseStepReport report = { .steps = l->steps,
                               .epoch = place->epoch,
                               .epochs = l->epochs,
                               .phase = place->phase,
                               .val_loss = NAN };
    Batch batch = { 0 }, seen;
    Status s = l->feeds.train == NULL ? STATUS_OK : next(l->feeds.train, &batch, err);

    seen = batch;
    if (s == STATUS_OK && l->feeds.seen != NULL)
        s = next(l->feeds.seen, &seen, err);
    if (s != STATUS_OK)
        return s;
    switch (place->phase) {
    case LEASE_PHASE_EXPLAINER:
        s = train(l, LEASE_EXPLAINER, &batch, &report, err);
        break;
    case LEASE_PHASE_AUDIENCE:
        s = train(l, LEASE_AUDIENCE, &batch, &report, err);
        break;
    case LEASE_PHASE_ARCHITECTURE:
        s = move_architecture(l, &batch, &seen, &report.val_loss, err);
        break;
    default:
        s = train_jointly(l, place, &batch, &seen, &report, err);
    }
    if (s != STATUS_OK)
        return s;
    if (place->phase != LEASE_PHASE_AUDIENCE) /* the explainer is another one now */
        memset(l->explained, 0, sizeof l->explained);
    report.step = ++l->step;
    *ret = report;
    return STATUS_OK;
}
