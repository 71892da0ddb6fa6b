/* pooling -- what max_pool and avg_pool share: a square window over each channel, in floor mode, as
 * PyTorch's.   x: [N,H,W,C], y: [N,OH,OW,C]. */
#pragma once

#include "core/ops/op.h"

enum { POOLING_VALUES = 3 }; /* kernel, stride, padding */
extern const Param pooling_params[POOLING_VALUES];

/* The output's shape; `name` stands in messages. */
CHECKED Status pooling_shape(const char *name, const double *value, const Shape *in, OpShapes *ret,
                             Error *err);

/* A unit: rows [row0,row1) of one block, which begins at number `in` of the input and `out` of the
 * output. */
typedef struct PoolingUnit {
    PoolShape s;
    uint32_t row0, row1;
    size_t in, out;
} PoolingUnit;

typedef void PoolingBody(const OpCall *call, const PoolingUnit *unit);
/* Calls body() for groups of output rows, or, `by_input`, of input rows, on the pool. */
void pooling_run(const OpCall *call, bool by_input, PoolingBody *body);
