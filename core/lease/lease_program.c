/*
 * The program is a list of parts, each so many equal steps: of the explainer, the audience and the
 * architecture in every round, or a single part. Where a step stands follows from its number alone,
 * which is what makes a resumed run equal to an uninterrupted one. An epoch ends where so many
 * steps of a part are done as are an epoch of its phase, and at a part's end.
 */
#include <math.h>

#include "core/lease/lease_internal.h"

enum { STEPS_MAX = 1 << 30 };

static uint64_t epochs_of(const Lease *l, LeasePhase phase)
{
    return (l->part_steps[phase] + l->epoch_steps[phase] - 1) / l->epoch_steps[phase];
}

static uint64_t part_of(const Lease *l, LeasePhase phase, double epochs)
{
    return (uint64_t)ceil(epochs * (double)l->epoch_steps[phase]);
}

static Status count_round(Lease *l, Error *err)
{
    uint64_t steps = 0, epochs = 0;

    for (LeasePhase p = 0; p < LEASE_PHASES; p++) {
        steps += l->part_steps[p];
        epochs += epochs_of(l, p);
    }
    l->rounds = l->spec.mode == LEASE_STAGED ? l->spec.rounds : 1;
    l->steps = steps * l->rounds;
    l->epochs = (uint32_t)(epochs * l->rounds);
    if (steps == 0)
        return error_at(err, STATUS_INVALID, "/explainer/epochs",
                        "there is nothing to do: no epochs of explainer, audience or architecture");
    if (l->steps > STEPS_MAX)
        return error_at(err, STATUS_INVALID, "/epochs", "that is %llu steps, of at most %d",
                        (unsigned long long)l->steps, STEPS_MAX);
    return STATUS_OK;
}

Status lease_program(Lease *l, Error *err)
{
    const LeaseSpec *spec = &l->spec;
    const Loader *loader = &l->trainer[LEASE_EXPLAINER]->loader;
    const uint32_t batch = spec->explainer.batch_size;
    const uint64_t val = epoch_batches(loader->images[SPLIT_VAL], batch, true);
    const uint64_t train = epoch_batches(loader->images[SPLIT_TRAIN], batch, true);

    l->epoch_steps[LEASE_PHASE_EXPLAINER] = l->epoch_steps[LEASE_PHASE_JOINT] = train;
    l->epoch_steps[LEASE_PHASE_AUDIENCE] = l->trainer[LEASE_AUDIENCE]->steps_per_epoch;
    l->epoch_steps[LEASE_PHASE_ARCHITECTURE] = val > 0 ? val : 1;
    if (l->moves && val == 0)
        return error_at(err, STATUS_INVALID, "/explainer/batch_size",
                        "%u images of the split val fill no batch of %u", loader->images[SPLIT_VAL],
                        batch);
    if (spec->mode == LEASE_JOINT) {
        l->part_steps[LEASE_PHASE_JOINT] = part_of(l, LEASE_PHASE_JOINT, spec->epochs);
    } else if (spec->mode == LEASE_ALPHAS) {
        l->part_steps[LEASE_PHASE_ARCHITECTURE] =
            part_of(l, LEASE_PHASE_ARCHITECTURE, spec->epochs);
    } else {
        l->part_steps[LEASE_PHASE_EXPLAINER] =
            part_of(l, LEASE_PHASE_EXPLAINER, l->round_epochs[LEASE_EXPLAINER]);
        l->part_steps[LEASE_PHASE_AUDIENCE] =
            part_of(l, LEASE_PHASE_AUDIENCE, l->round_epochs[LEASE_AUDIENCE]);
        if (l->moves)
            l->part_steps[LEASE_PHASE_ARCHITECTURE] =
                part_of(l, LEASE_PHASE_ARCHITECTURE, spec->architecture_epochs);
    }
    return count_round(l, err);
}

LeasePlace lease_place(const Lease *l, uint64_t step)
{
    LeasePlace place = { 0 };
    uint64_t round_steps = l->steps / l->rounds;
    uint32_t round_epochs = l->epochs / l->rounds;

    place.round = (uint32_t)(step / round_steps);
    place.at = step % round_steps;
    place.epoch = place.round * round_epochs;
    while (place.at >= l->part_steps[place.phase]) {
        place.at -= l->part_steps[place.phase];
        place.epoch += (uint32_t)epochs_of(l, place.phase);
        place.phase++;
    }
    place.part = place.round * LEASE_PHASES + place.phase;
    place.steps = l->part_steps[place.phase];
    place.epoch_steps = l->epoch_steps[place.phase];
    place.epoch += (uint32_t)(place.at / place.epoch_steps);
    return place;
}

uint32_t lease_epochs_ended(const Lease *l, uint64_t step)
{
    return step == l->steps ? l->epochs : lease_place(l, step).epoch;
}

bool lease_moves_at(const Lease *l, const LeasePlace *place)
{
    return l->moves && (place->phase == LEASE_PHASE_ARCHITECTURE ||
                        (place->phase == LEASE_PHASE_JOINT &&
                         place->at >= l->spec.alpha_start_epoch * place->epoch_steps));
}

uint64_t lease_steps_before(const Lease *l, LeasePhase phase, uint64_t step)
{
    LeasePlace place;

    if (step == l->steps)
        return l->rounds * l->part_steps[phase];
    place = lease_place(l, step);
    if (phase > place.phase)
        return place.round * l->part_steps[phase];
    return (place.round + (phase < place.phase)) * l->part_steps[phase] +
           (phase == place.phase ? place.at : 0);
}

uint64_t lease_moves_before(const Lease *l, uint64_t step)
{
    const uint64_t first = l->spec.alpha_start_epoch * l->epoch_steps[LEASE_PHASE_JOINT];

    if (!l->moves)
        return 0;
    if (l->spec.mode == LEASE_JOINT)
        return step > first ? step - first : 0;
    return lease_steps_before(l, LEASE_PHASE_ARCHITECTURE, step);
}
