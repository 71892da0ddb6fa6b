/*
 * An epoch's end: both networks on validation and test images, raw and reweighted. The maps of a
 * split are made anew where the explainer is not the one who made them; that is step 2, too.
 */
#include <math.h>
#include <string.h>

#include "core/lease/lease_internal.h"

Status lease_explain(Lease *l, Split split, const atomic_int *stop, Error *err)
{
    const RunContext context = lease_context(l, LEASE_EXPLAINER);
    Status s;

    if (l->explained[split])
        return STATUS_OK;
    s = split_explainer_run(&l->explainer[split], &context, l->spec.seed, 0, 0, l->work, stop, NULL,
                            NULL, &l->maps[split], err);
    l->explained[split] = s == STATUS_OK;
    return s;
}

static Status evaluate(Lease *l, LeaseNetwork n, Evaluator *evaluator, const atomic_int *stop,
                       Score *ret, Error *err)
{
    const RunContext context = lease_context(l, n);
    Error why = { 0 };
    Status s;

    if (evaluator->network == NULL) /* none: these images do not fit the network */
        return STATUS_OK;
    s = evaluator_run(evaluator, &context, l->work, stop, ret, &why);
    return s == STATUS_OK ? s
                          : error_set(err, s, "the %s after step %llu: %s", lease_network_names[n],
                                      (unsigned long long)l->step, error_message(&why));
}

static Status measure_split(Lease *l, Split split, const atomic_int *stop, LeaseEpochReport *ret,
                            Error *err)
{
    Evaluator *audience = &l->trainer[LEASE_AUDIENCE]->evaluator[split];
    Status s = lease_explain(l, split, stop, err);

    if (s == STATUS_OK)
        s = evaluate(l, LEASE_EXPLAINER, &l->trainer[LEASE_EXPLAINER]->evaluator[split], stop,
                     &ret->score[LEASE_EXPLAINER][split][LEASE_RAW], err);
    if (s == STATUS_OK)
        s = evaluate(l, LEASE_EXPLAINER, &l->reweighted[split], stop,
                     &ret->score[LEASE_EXPLAINER][split][LEASE_REWEIGHTED], err);
    for (int i = 0; i < LEASE_IMAGES && s == STATUS_OK; i++) {
        audience->look = i == LEASE_RAW ? LOOK_RAW : LOOK_REWEIGHTED;
        if (composer_can(&l->trainer[LEASE_AUDIENCE]->composer, audience->look))
            s = evaluate(l, LEASE_AUDIENCE, audience, stop, &ret->score[LEASE_AUDIENCE][split][i],
                         err);
    }
    return s;
}

static void describe_architecture(const Lease *l, LeaseEpochReport *ret)
{
    const Network *e = &l->trainer[LEASE_EXPLAINER]->network;

    ret->architecture = l->moves;
    if (!l->moves)
        return;
    supernet_alphas(e, &l->space, e->weights, &ret->alphas);
    for (int k = 0; k < CELL_KINDS; k++)
        ret->entropy[k] = search_entropy(&ret->alphas, (CellKind)k);
    search_derive(&ret->alphas, &ret->genotype);
}

static Score mean_of(const PassSums *sums)
{
    const double images = sums->images > 0 ? (double)sums->images : 1;

    return (Score){ (uint32_t)sums->images, sums->loss / images, (double)sums->correct / images };
}

Status lease_measure(Lease *l, const atomic_int *stop, LeaseEpochReport *ret, Error *err)
{
    const LeasePlace place = lease_place(l, l->step - 1);
    LeaseEpochReport report = {
        .step = l->step, .epoch = l->ended + 1, .round = place.round, .phase = place.phase
    };
    Status s = STATUS_OK;

    for (int n = 0; n < LEASE_NETWORKS; n++) {
        report.train[n] = mean_of(&l->sums[n]);
        lookahead_end_epoch(l->trainer[n]);
    }
    for (Split split = SPLIT_VAL; split <= SPLIT_TEST && s == STATUS_OK; split++)
        s = measure_split(l, split, stop, &report, err);
    if (s == STATUS_OK)
        s = lease_check_weights(l, err);
    if (s != STATUS_OK)
        return s;
    describe_architecture(l, &report);
    *ret = report;
    return STATUS_OK;
}

Status lease_check_weights(const Lease *l, Error *err)
{
    for (int n = 0; n < LEASE_NETWORKS; n++) {
        const Network *network = &l->trainer[n]->network;

        for (uint32_t i = 0; i < network->graph.weights; i++) {
            const GraphWeight *w = &network->graph.weight[i];

            for (size_t k = 0; k < w->count; k++)
                if (!isfinite(network->weights[w->offset + k]))
                    return error_set(err, STATUS_DIVERGED,
                                     "after step %llu: the %s's weight \"%s\" is not finite",
                                     (unsigned long long)l->step, lease_network_names[n], w->name);
        }
    }
    return STATUS_OK;
}
