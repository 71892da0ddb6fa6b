/*
 * norm_add -- y = a + norm(x): batch_norm and add in one; see norm.h.
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

const Op op_norm_add = {
    .described = { "norm_add", "a tensor and a batch-normalised one", norm_params, NORM_PARAMS },
    .inputs = 2,
    .flags = OP_INPLACE | OP_GRADIENT_INPLACE | OP_NEEDS_REST,
    .shape = norm_shape,
    .forward = forward,
    .backward = backward,
};
