/* Networks of any row of the table, for tests. */
#pragma once

#include "tests/unit/test.h"

#include <stdlib.h>

#include "core/nn/network.h"

static inline void ok(Status s, const Error *err)
{
    if (s != STATUS_OK)
        fail_msg("%s: %s", status_name(s), error_message(err));
}

typedef struct Set {
    const char *name;
    double value;
} Set;

/* Row `model` with its defaults but for `set`, which ends with a NULL name. */
static inline Choice choose(const char *model, const Set *set)
{
    int row = table_find(model_table, model);
    Choice ret;

    assert_true(row >= 0);
    choice_init(model_table, (uint32_t)row, &ret);
    for (; set->name != NULL; set++) {
        const Described *d = &model_table[row]->described;
        int i = param_find(d, set->name);

        assert_true(i >= 0);
        assert_int_equal(param_check(&d->params[i], set->value, NULL), STATUS_OK);
        ret.value[i] = set->value;
    }
    return ret;
}

#define SETS(...) ((const Set[]){ __VA_ARGS__, { NULL, 0 } })

static inline Network network_of(const char *model, const Set *set, ModelInput input)
{
    Choice choice = choose(model, set);
    Network n = { 0 };
    Error err = { 0 };

    ok(network_init(&n, &choice, &input, &err), &err);
    ok(network_take_weights(&n, &err), &err);
    return n;
}

/* A checkpoint of the network's weights as they are now. */
static inline void network_write(const Network *network, const char *path)
{
    uint32_t most = network_tensor_count(network);
    StTensor *tensor = calloc(most, sizeof *tensor);
    char(*names)[GRAPH_WEIGHT_NAME_MAX] = calloc(most, sizeof *names);
    float *disk = calloc(network->graph.weight_numbers, sizeof *disk);
    NetworkMeta *meta = calloc(1, sizeof *meta);
    FILE *file = fopen(path, "wb");

    assert_true(tensor != NULL && names != NULL && disk != NULL && meta != NULL && file != NULL);
    network_meta(network, meta);
    assert_int_equal(network_tensors(network, disk, tensor, names), most);
    assert_int_equal(safetensors_write(file, tensor, most, meta->row, meta->count, NULL),
                     STATUS_OK);
    assert_int_equal(fclose(file), 0);
    free(meta);
    free(disk);
    free(names);
    free(tensor);
}
