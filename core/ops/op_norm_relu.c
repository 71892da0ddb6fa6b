/*
 * norm_relu -- y = max(norm(x), 0): batch_norm and relu in one; see norm.h.
 */
#include "core/ops/norm.h"

static void forward(const OpCall *call)
{
    norm_forward(call, true);
}

static void backward(const OpCall *call)
{
    norm_backward(call, true);
}

const Op op_norm_relu = {
    .described = { "norm_relu", "batch normalisation, rectified", norm_params, NORM_PARAMS },
    .inputs = 1,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE | OP_NEEDS_INPUT | OP_RECTIFIES,
    .shape = norm_shape,
    .forward = forward,
    .backward = backward,
};
