/*
 * separable_job -- the parts that both directions of separable.h are made of, and nobody else uses.
 */
#pragma once

#include "core/ops/separable.h"

enum { SEPARABLE_TAPS_MAX = SEPARABLE_KERNEL_MAX * SEPARABLE_KERNEL_MAX };

/* One job: some images of a block. */
typedef struct Job {
    const Separable *s;
    const SeparableLayout *l;
    const Kernels *kernels;
    uint32_t images; /* may be fewer in a partial block */
    size_t t;        /* images * C */
    size_t nc;       /* of the block: numbers of a pixel in memory */
    size_t in, out;  /* the first number in x and y */
    real *act, *maps, *grad, *weights, *factors, *rows, *work; /* of the room */
    double *depthwise, *pointwise, *sums, *moments;            /* of the lane */
    size_t *summed; /* of the lane: rows whose products `work` has */
} Job;

typedef void JobBody(const Job *job);

/* All jobs, a lane's in their order. */
void jobs_run(const Separable *s, JobBody *body, JobBody *end);
/* Doubles that lane number `lane` has from `at` on. */
double *jobs_lane(const Separable *s, uint32_t lane, size_t at);
/* Adds `count` doubles of all lanes from `at` on, in their order, to those of the first. */
double *jobs_add_lanes(const Separable *s, size_t at, size_t count);
/* Room for the transposed 1x1, [C,C]. */
real *jobs_turned(const Separable *s);

/* A row [C] once for each image. */
void job_repeat(const Job *j, const real *row, real *ret);
/* Zeros around the pixels [low, low + h) x [low, low + w) of a map [all_h,all_w,t]. */
void job_border(const Job *j, real *map, size_t all_h, size_t all_w, size_t low, size_t h,
                size_t w);
/* The activation with its border of zeros; its pixel (0,0). */
real *job_activation(const Job *j);
/* The window of the depthwise convolution over it; `tap` has room for all. */
PlaneWindow job_window(const Job *j, PlaneTap *tap);
/* How many rows of output the strip that begins at row y has. */
uint32_t job_strip(const Job *j, uint32_t y);
/* `rows` rows of the depthwise convolution's output, from row y on, into j->maps. */
void job_gather(const Job *j, uint32_t y, uint32_t rows);
