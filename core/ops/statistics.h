/*
 * statistics -- what every batch normalisation does with the moments of its channels: merge them
 * from units, normalise by them, move the running ones.   Ioffe and Szegedy, 2015.
 */
#pragma once

#include "core/ops/op.h"

/* Of some numbers: how many, their mean, and the sum of (x - mean)^2. */
typedef struct Moments {
    double count, mean, m2;
} Moments;

/* Both together; Chan, Golub and LeVeque, 1979. */
Moments moments_merge(Moments a, Moments b);

/* 1/sqrt(var + eps), what x - mean is multiplied by. */
real statistics_r(double var, double eps);

/* One channel's running mean and (unbiased) variance, and what x is normalised by: (x - mean) r. */
typedef struct Statistics {
    real *running_mean, *running_var;
    real *mean, *r;
} Statistics;

/* In training: the batch's, with the biased variance; and, unless the call keeps them, the running
 * ones move by `momentum`. */
void statistics_of_batch(const OpCall *call, const Moments *m, double eps, double momentum,
                         const Statistics *ret);
/* Otherwise: the running ones. */
void statistics_of_run(double eps, const Statistics *ret);
