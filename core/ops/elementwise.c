/* A unit is a range of numbers: where they stand in the tensor does not matter. */
#include "core/ops/elementwise.h"

#include <string.h>

Status elementwise_shape(const double *value, const Shape *in, uint32_t inputs, OpShapes *ret,
                         Error *err)
{
    (void)value;
    if (in[0].rank == 0)
        return error_set(err, STATUS_BAD_SHAPE, "wants an input");
    *ret = (OpShapes){ .out = in[0] };
    return STATUS_OK;
}

typedef struct Context {
    const OpCall *call;
    ElementwiseUnit *unit;
    size_t count;
} Context;

static void body(void *context, size_t u)
{
    Context *c = context;
    size_t at = u * ELEMENTWISE_UNIT, rest = c->count - at;

    c->unit(c->call, at, rest < ELEMENTWISE_UNIT ? rest : ELEMENTWISE_UNIT);
}

void elementwise_run(const OpCall *call, ElementwiseUnit *unit)
{
    Context c = { call, unit, shape_count(&call->out.shape) };

    pool_run(call->pool, (c.count + ELEMENTWISE_UNIT - 1) / ELEMENTWISE_UNIT, body, &c);
}

static void pass_unit(const OpCall *call, size_t at, size_t count)
{
    const real *dy = call->out_gradient + at;
    real *dx = call->in_gradient[0] + at;

    if (call->accumulate[0])
        call->kernels->add(count, dx, dy, dx);
    else
        memcpy(dx, dy, count * sizeof *dx);
}

void elementwise_pass_gradient(const OpCall *call)
{
    if (call->in_gradient[0] != NULL && call->in_gradient[0] != call->out_gradient)
        elementwise_run(call, pass_unit);
}
