/*
 * lease_file -- what a checkpoint of a lease holds, for lease_file.c, which writes it, and
 * lease_read.c.
 */
#pragma once

#include "core/lease/lease_internal.h"

/* An array laid out as a network's weights: tensors PREFIX.NAME of those that it covers. */
typedef struct LeaseState {
    LeaseNetwork network; /* whose weights it goes with */
    char prefix[64];
    real *numbers;
    bool (*covers)(const GraphWeight *weight);
} LeaseState;

enum {
    LEASE_STATES_MAX = LEASE_NETWORKS * (2 + OPTIMIZER_BUFFERS_MAX) + OPTIMIZER_BUFFERS_MAX,
    LEASE_NAME_MAX = GRAPH_WEIGHT_NAME_MAX + 96,
};
typedef char LeaseName[LEASE_NAME_MAX];

/* Weights, then optimisers' state; answers how many. */
uint32_t lease_states(const Lease *lease, LeaseState ret[LEASE_STATES_MAX]);
/* "explainer.optimizer.momentum_buffer.stem.0.weight" */
void lease_state_name(LeaseName ret, const LeaseState *state, const char *name);

enum { LEASE_META_ROWS = LEASE_NETWORKS * NETWORK_META_MAX + NETWORK_META_MAX };

/* Rows of both networks and of the lease; the texts they point to are in it. */
typedef struct LeaseMeta {
    NetworkMeta network[LEASE_NETWORKS], own;
    char key[LEASE_NETWORKS][NETWORK_META_MAX][96];
    StMeta row[LEASE_META_ROWS];
    uint32_t count;
    uint32_t fixed; /* the first so many are the same in all checkpoints of a job */
} LeaseMeta;

/* The caller frees it: too large for the stack. */
CHECKED Status lease_meta_new(const Lease *lease, LeaseMeta **ret, Error *err);
