/*
 * cross_entropy -- each image's loss:  y_i = -sum_k t_ik log softmax(x_i)_k.
 *
 * x: [N,K] logits.  t: [N,K] target probabilities (one-hot for a plain label).  y: [N].  saved:
 * [N,K], log softmax. dx_i = dy_i (softmax(x_i) sum_k t_ik - t_i);  dt_i = -dy_i log softmax(x_i).
 */
#include "core/ops/op.h"

static Status entropy_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                            Error *err)
{
    (void)value;
    if (in[0].rank != 2 || !shape_equal(&in[0], &in[1]))
        return error_set(err, STATUS_BAD_SHAPE, "cross_entropy wants logits and targets [N,K]");
    *ret = (OpShapes){ .out = shape1(in[0].dim[0]), .saved = shape_count(&in[0]) };
    return STATUS_OK;
}

static void entropy_forward(const OpCall *call)
{
    size_t n = call->in[0].shape.dim[0], k = call->in[0].shape.dim[1];

    for (size_t i = 0; i < n; i++) {
        const real *x = call->in[0].data + i * k, *t = call->in[1].data + i * k;
        real *log_softmax = call->saved + i * k, top = x[0];
        double sum = 0, loss = 0;

        for (size_t j = 1; j < k; j++)
            top = x[j] > top ? x[j] : top;
        for (size_t j = 0; j < k; j++)
            sum += exp((double)(x[j] - top));
        for (size_t j = 0; j < k; j++) {
            double l = (double)(x[j] - top) - log(sum);

            log_softmax[j] = (real)l;
            loss -= (double)t[j] * l;
        }
        call->out.data[i] = (real)loss;
    }
}

static void entropy_backward(const OpCall *call)
{
    size_t n = call->in[0].shape.dim[0], k = call->in[0].shape.dim[1];

    for (size_t i = 0; i < n; i++) {
        const real *t = call->in[1].data + i * k, *log_softmax = call->saved + i * k;
        real dy = call->out_gradient[i], mass = 0;

        for (size_t j = 0; j < k; j++)
            mass += t[j];
        for (size_t j = 0; j < k; j++) {
            real g[2] = { dy * (real_exp(log_softmax[j]) * mass - t[j]), -dy * log_softmax[j] };

            for (int input = 0; input < 2; input++) {
                real *dx = call->in_gradient[input];

                if (dx != NULL)
                    dx[i * k + j] = call->accumulate[input] ? dx[i * k + j] + g[input] : g[input];
            }
        }
    }
}

const Op op_cross_entropy = {
    .described = { .name = "cross_entropy",
                   .summary = "cross-entropy of logits against target probabilities" },
    .inputs = 2,
    .flags = OP_NEEDS_INPUT,
    .shape = entropy_shape,
    .forward = entropy_forward,
    .backward = entropy_backward,
};
