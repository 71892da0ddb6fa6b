/*
 * profile -- how long each step of the plans of one graph takes, forward and backward, over some
 * training steps. Belongs to the thread that runs the plans.
 *
 * A run that is given none (RunContext.profile is NULL) takes no times; with one the numbers that
 * it computes are the same. Recording allocates nothing.
 */
#pragma once

#include "core/graph/roofline.h"

enum { PROFILE_SKIP = 3 }; /* training steps that are not measured: memory is new in them */

typedef struct ProfileItem {
    const Plan *plan; /* that ran it last; borrowed. NULL: none has */
    uint64_t calls;
    double seconds;
    StepCost cost; /* of all calls */
} ProfileItem;

typedef struct Profile {
    const Graph *graph;
    uint32_t wanted;    /* training steps to measure */
    uint32_t skip;      /* still to come before them */
    uint32_t steps;     /* measured */
    double seconds;     /* of all that happened in those, between plan steps too */
    double began;       /* the running step; 0: none is being measured */
    ProfileItem item[]; /* [STEP_DIRECTIONS][graph->nodes] */
} Profile;

/* Of `steps` training steps. */
CHECKED Status profile_new(const Graph *graph, uint32_t steps, Profile **ret, Error *err);
void profile_free(Profile *profile);

/* All of these take NULL: then nothing is measured. */

/* Only so many training steps will come: not more are wanted than remain to be measured. */
void profile_limit(Profile *profile, uint64_t steps);
/* A training step begins. */
void profile_begin(Profile *profile);
/* It ended. */
void profile_end(Profile *profile);
/* What a RunContext gets: NULL outside of a step that is measured. */
Profile *profile_running(Profile *profile);
/* All steps that were wanted are measured; false where none were. */
bool profile_is_done(const Profile *profile);

/* run.c's: a plan's step took so long. What is of another graph is left out. */
void profile_add(Profile *profile, const Plan *plan, NodeId step, StepDirection direction,
                 double seconds);
/* The clock, in seconds. */
double profile_now(void);
