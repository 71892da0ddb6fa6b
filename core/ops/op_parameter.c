/*
 * parameter -- a matrix of numbers that are learned and belong to no layer: the alphas and betas of
 * an architecture search.   y: [rows,columns], however many images there are; one weight, named as
 * the node.
 */
#include <string.h>

#include "core/ops/op.h"

enum { VALUE_ROWS, VALUE_COLUMNS };

static const Param parameter_params[] = {
    { "rows", PARAM_INT, 1, 1, 65536, NULL, "rows" },
    { "columns", PARAM_INT, 1, 1, 65536, NULL, "columns" },
};

static Status parameter_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                              Error *err)
{
    Shape s = shape2((uint32_t)value[VALUE_ROWS], (uint32_t)value[VALUE_COLUMNS]);

    *ret = (OpShapes){
        .out = s,
        .weights = 1,
        .weight = { { "", s, WEIGHT_ARCHITECTURE, WEIGHT_PLAIN, INIT_MILLI, 0 } },
    };
    return STATUS_OK;
}

static void parameter_forward(const OpCall *call)
{
    memcpy(call->out.data, call->weight[0], shape_count(&call->out.shape) * sizeof(real));
}

static void parameter_backward(const OpCall *call)
{
    real *dw = call->weight_gradient[0];

    if (dw != NULL)
        call->kernels->add(shape_count(&call->out.shape), dw, call->out_gradient, dw);
}

const Op op_parameter = {
    .described = { "parameter", "learned numbers that belong to no layer", parameter_params, 2 },
    .shape = parameter_shape,
    .forward = parameter_forward,
    .backward = parameter_backward,
};
