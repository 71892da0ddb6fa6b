/*
 * store_rig -- a store in a folder of its own, new for each test.
 */
#pragma once

#include "tests/unit/test.h"

#include "server/store/store.h"
#include "tests/unit/scratch.h"

typedef struct Rig {
    Scratch scratch;
    char data[80];
    Store *store;
} Rig;

static inline int setup(void **state)
{
    Rig *rig = calloc(1, sizeof *rig);

    rig->scratch = scratch_new();
    snprintf(rig->data, sizeof rig->data, "%s/data", rig->scratch.path);
    *state = rig;
    return store_open(rig->data, &rig->store, NULL) != STATUS_OK;
}

static inline int teardown(void **state)
{
    Rig *rig = *state;

    store_close(rig->store);
    scratch_remove(&rig->scratch);
    free(rig);
    return 0;
}
