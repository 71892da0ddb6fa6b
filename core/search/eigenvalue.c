/*
 * Everything in double: what is not exact about it is the product. Zela et al. ("Understanding and
 * Robustifying Differentiable Architecture Search", ICLR 2020) measure the Hessian itself.
 */
#include "core/search/eigenvalue.h"

#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/train/trainer.h"

enum { ITERATIONS = 20 };

static const double step_length = 0.01; /* |eps v| */

static double dot(size_t count, const double *a, const double *b)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

Status eigenvalue_dominant(size_t count, uint32_t iterations, HessianProduct *product,
                           void *context, double *v, double *image, double *ret, Error *err)
{
    double value = 0;

    for (uint32_t i = 0; i < iterations; i++) {
        const double norm = sqrt(dot(count, v, v));
        Status s;

        if (norm == 0) {
            value = 0;
            break;
        }
        for (size_t k = 0; k < count; k++)
            v[k] /= norm;
        s = product(context, v, image, err);
        if (s != STATUS_OK)
            return s;
        value = dot(count, v, image);
        memcpy(v, image, count * sizeof *v);
    }
    *ret = value;
    return STATUS_OK;
}

typedef struct Product {
    const Architect *architect;
    const RunContext *context;
    const Batch *batch;
    const EigenvalueRoom *room;
    const atomic_int *stop;
} Product;

/* The gradient at origin + length v, added to `ret` with a factor. */
static Status add_gradient(const Product *p, const double *v, double length, double factor,
                           double *ret, Error *err)
{
    const Architect *a = p->architect;
    double *moved = p->room->moved;
    PassSums sums;
    Status s;

    if (p->stop != NULL && atomic_load(p->stop) != STOP_NO)
        return error_set(err, STATUS_STOPPED, "stopped while measuring the eigenvalue");
    for (size_t i = 0; i < a->count; i++)
        moved[i] = p->room->origin[i] + length * v[i];
    architect_scatter(a, moved, p->context->weights);
    s = architect_first(a, p->context, p->batch, 0, &sums, err);
    if (s != STATUS_OK)
        return s;
    architect_gather(a, p->context->gradients, moved);
    for (size_t i = 0; i < a->count; i++)
        ret[i] += factor * moved[i];
    return STATUS_OK;
}

static Status hessian_product(void *context, const double *v, double *ret, Error *err)
{
    const Product *p = context;
    Status s;

    memset(ret, 0, p->architect->count * sizeof *ret);
    s = add_gradient(p, v, step_length, 1 / (2 * step_length), ret, err);
    if (s == STATUS_OK)
        s = add_gradient(p, v, -step_length, -1 / (2 * step_length), ret, err);
    return s;
}

Status eigenvalue_of_architecture(const Architect *a, const RunContext *context, const Batch *batch,
                                  const EigenvalueRoom *room, uint64_t seed, const atomic_int *stop,
                                  double *ret, Error *err)
{
    Product product = { a, context, batch, room, stop };
    Rng rng = rng_at(seed, RNG_SEARCH, UINT32_MAX, 0);
    Error why = { 0 };
    double value = 0;
    Status s;

    architect_gather(a, context->weights, room->origin);
    for (size_t i = 0; i < a->count; i++)
        room->v[i] = (double)rng_normal(&rng);
    s = eigenvalue_dominant(a->count, ITERATIONS, hessian_product, &product, room->v, room->image,
                            &value, &why);
    architect_scatter(a, room->origin, context->weights);
    if (s == STATUS_STOPPED)
        return error_set(err, s, "%s", error_message(&why));
    *ret = s == STATUS_OK && isfinite(value) ? value : (double)NAN;
    return STATUS_OK;
}
