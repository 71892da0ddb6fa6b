/*
 * channel_shuffle -- channels of several groups, mixed: channel j*groups + i of y is channel i*k +
 * j of x, k = C/groups.   x, y: [N,H,W,C] or [N,C].   Zhang et al., 2018 (ShuffleNet).
 *
 * In each row of C channels, a matrix [groups,k] becomes its transpose; backward is the shuffle
 * with k groups.
 */
#include "core/ops/op.h"

enum { VALUE_GROUPS };

static const Param shuffle_params[] = {
    { "groups", PARAM_INT, 4, 1, 65536, NULL, "groups of neighbouring channels" },
};

static Status shuffle_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                            Error *err)
{
    uint32_t groups = (uint32_t)value[VALUE_GROUPS];

    if (in[0].rank != 4 && in[0].rank != 2)
        return error_set(err, STATUS_BAD_SHAPE,
                         "channel_shuffle wants [N,H,W,C] or [N,C], got rank %u", in[0].rank);
    if (in[0].dim[in[0].rank - 1] % groups != 0)
        return error_set(err, STATUS_BAD_SHAPE,
                         "channel_shuffle: %u channels are no multiple of %u groups",
                         in[0].dim[in[0].rank - 1], groups);
    *ret = (OpShapes){ .out = in[0] };
    return STATUS_OK;
}

/* Each row of `from`, a matrix [a,b], into `to`, [b,a]. */
typedef struct Transpose {
    size_t a, b, rows;
    const real *from;
    real *to;
    bool accumulate;
} Transpose;

static void unit(void *context, size_t u)
{
    const Transpose *t = context;
    size_t a = t->a, b = t->b, c = a * b, size = op_unit_rows(c), row = u * size,
           end = t->rows - row < size ? t->rows : row + size;

    for (size_t r = row; r < end; r++) {
        const real *from = t->from + r * c;
        real *to = t->to + r * c;

        if (t->accumulate)
            for (size_t i = 0; i < a; i++)
                for (size_t j = 0; j < b; j++)
                    to[j * a + i] += from[i * b + j];
        else
            for (size_t i = 0; i < a; i++)
                for (size_t j = 0; j < b; j++)
                    to[j * a + i] = from[i * b + j];
    }
}

static void transpose(const OpCall *call, const Transpose *t)
{
    pool_run(call->pool, op_units(t->rows, t->a * t->b), unit, (void *)t);
}

static void shuffle_forward(const OpCall *call)
{
    const Shape *s = &call->out.shape;
    size_t groups = (size_t)call->value[VALUE_GROUPS];

    transpose(call, &(Transpose){ .a = groups,
                                  .b = s->dim[s->rank - 1] / groups,
                                  .rows = op_rows(s),
                                  .from = call->in[0].data,
                                  .to = call->out.data });
}

static void shuffle_backward(const OpCall *call)
{
    const Shape *s = &call->out.shape;
    size_t groups = (size_t)call->value[VALUE_GROUPS];

    if (call->in_gradient[0] != NULL)
        transpose(call, &(Transpose){ .a = s->dim[s->rank - 1] / groups,
                                      .b = groups,
                                      .rows = op_rows(s),
                                      .from = call->out_gradient,
                                      .to = call->in_gradient[0],
                                      .accumulate = call->accumulate[0] });
}

const Op op_channel_shuffle = {
    .described = { "channel_shuffle", "mixes the channels of several groups", shuffle_params, 1 },
    .inputs = 1,
    .shape = shuffle_shape,
    .forward = shuffle_forward,
    .backward = shuffle_backward,
};
