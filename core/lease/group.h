/*
 * group -- the audience's input for a batch at hand, and the way back through it: what
 * core/data/compose.h makes of stored explanations, here of those that have just been made.
 *
 * Everything is blocked (core/base/shape.h) and written for `real`. Images are worked off in
 * parallel; nothing is allocated.
 */
#pragma once

#include "core/data/compose.h"

/* Images [N,H,W,C]; maps: K class maps an image, 0: a delta, which makes one reweighted image. */
typedef struct Group {
    Shape shape;
    uint32_t maps;
    ComposeInput input;
} Group;

/* Of the input: K*C, and C more with the image itself, which comes first. */
uint32_t group_channels(const Group *group);

/* [N,H,W,channels] of reweighted images [N,H,W,C]. */
void group_delta(const Group *group, Pool *pool, const real *images, const real *reweighted,
                 real *ret);
/* Of factors [N,H,W,K]. */
void group_maps(const Group *group, Pool *pool, const real *images, const real *factors, real *ret);
/* Without explanations (LOOK_RAW of compose.h): the image, or, grouped, maps of ones. */
void group_raw(const Group *group, Pool *pool, const ReweightLine *line, const real *images,
               real *ret);

/* A gradient with respect to the input -> with respect to reweighted images or factors. */
void group_delta_back(const Group *group, Pool *pool, const real *d_input, real *ret);
void group_maps_back(const Group *group, Pool *pool, const real *images, const real *d_input,
                     real *ret);

/* Factors [N,H,W,K] = base + gain * H of maps [N,K,h,w] after the ReLU, normalised and resized as
 * in core/data/heatmap.h. `room` [N,K,h,w]: working memory. */
void group_factors(const Group *group, Pool *pool, const ReweightLine *line, uint32_t h, uint32_t w,
                   const real *maps, real *room, real *ret);
/* Gradients with respect to factors -> to maps [N,K,h,w]. */
void group_factors_back(const Group *group, Pool *pool, const ReweightLine *line, uint32_t h,
                        uint32_t w, const real *maps, const real *d_factors, real *ret);
