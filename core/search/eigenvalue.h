/*
 * eigenvalue -- the eigenvalue of largest magnitude: of a symmetric matrix that is known by its
 * products with vectors, and of the Hessian of a loss in the architecture.
 */
#pragma once

#include <stdatomic.h>

#include "core/search/architect.h"

/* ret = H v; v has the length 1. */
typedef Status HessianProduct(void *context, const double *v, double *ret, Error *err);

/*
 * Power iteration: `iterations` (> 0) times v = H v / |H v| from the `v` given, whose length counts
 * for nothing; *ret is the Rayleigh quotient of the last one, with its sign; 0 where H v is 0. `v`
 * and `image`, [count] each, are working memory. What `product` answers other than STATUS_OK ends
 * it.
 */
CHECKED Status eigenvalue_dominant(size_t count, uint32_t iterations, HessianProduct *product,
                                   void *context, double *v, double *image, double *ret,
                                   Error *err);

/* Working memory: [architect.count] each. */
typedef struct EigenvalueRoom {
    double *origin, *moved, *v, *image;
} EigenvalueRoom;

/*
 * The dominant eigenvalue of the Hessian of L(w, A) in A on one batch, by 20 iterations on central
 * differences of gradients, H v = [g(A + eps v) - g(A - eps v)] / (2 eps), eps = 0.01 / |v|, from a
 * v that follows from the seed; what it is at this scale, then, of a loss that has kinks. NaN where
 * it, or a loss on the way, is not finite. Contexts and batches as in architect.h; the architecture
 * is afterwards what it was. STATUS_STOPPED where *stop (a StopRequest; may be NULL) asks for it.
 */
CHECKED Status eigenvalue_of_architecture(const Architect *architect, const RunContext *context,
                                          const Batch *batch, const EigenvalueRoom *room,
                                          uint64_t seed, const atomic_int *stop, double *ret,
                                          Error *err);
