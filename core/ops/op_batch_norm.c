/*
 * batch_norm -- y = norm(x): normalisation of each channel; see norm.h.
 */
#include "core/ops/norm.h"

static void forward(const OpCall *call)
{
    norm_forward(call, false);
}

static void backward(const OpCall *call)
{
    norm_backward(call, false);
}

const Op op_batch_norm = {
    .described = { "batch_norm", "batch normalisation with running statistics", norm_params,
                   NORM_PARAMS },
    .inputs = 1,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE | OP_NEEDS_INPUT,
    .shape = norm_shape,
    .forward = forward,
    .backward = backward,
};
