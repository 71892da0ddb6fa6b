/*
 * norm_add_relu -- y = max(a + norm(x), 0): batch_norm, add and relu in one, the end of a
 * residual block; see norm.h.
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

const Op op_norm_add_relu = {
    .described = { "norm_add_relu", "a tensor and a batch-normalised one, rectified", norm_params,
                   NORM_PARAMS },
    .inputs = 2,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE | OP_NEEDS_REST | OP_NEEDS_OUTPUT | OP_RECTIFIES,
    .shape = norm_shape,
    .forward = forward,
    .backward = backward,
};
