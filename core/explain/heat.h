/*
 * heat -- how a batch's heat maps are made, for the files of explanation.h: explanation_heat.c runs
 * the stages, heat.c has what they look at and what one plan gives, heat_passes.c what takes more.
 */
#pragma once

#include "core/explain/explanation_internal.h"

/* One run over the images, or their mirror images. */
typedef struct Heat {
    Explanation *e;
    const RunContext *context;
    const ExplanationBatch *batch;
    const real *images;
    bool chosen; /* whose maps are wanted is known: of the images as they are */
    float *maps; /* [N,K,h,w]: where they go */
} Heat;

/* What the maps of a stage are made of, all images and some classes. */
typedef struct Look {
    const Heat *heat;
    const Cam *cam;
    const HeatStage *stage;
    Shape shape; /* of A, one image */
    const real *activation, *gradient;
    real scale;        /* of the gradient */
    bool known;        /* the gradient is the head's */
    const float *cams; /* of CAM_GUIDED: [N,K] Grad-CAM's, of the stage's size */
    uint32_t first, maps;
    float *ret; /* [N,K,h,w] */
} Look;

static inline size_t heat_pixels(const Shape *shape)
{
    return (size_t)shape->dim[1] * shape->dim[2];
}

/* Where image i begins in [N,h,w,c], and how far apart its pixels are. */
static inline size_t heat_lane(const Shape *one, uint32_t images, uint32_t i, size_t *ret_stride)
{
    const uint32_t block = i / BLOCK_IMAGES;

    *ret_stride = (size_t)block_images(images, block) * one->dim[3];
    return (size_t)block * BLOCK_IMAGES * shape_count(one) +
           (size_t)(i % BLOCK_IMAGES) * one->dim[3];
}

static inline void heat_gather(const Shape *one, uint32_t images, uint32_t i, const real *from,
                               real scale, real *ret)
{
    const size_t channels = one->dim[3], pixels = heat_pixels(one);
    size_t stride;
    const real *at = from + heat_lane(one, images, i, &stride);

    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < channels; c++)
            *ret++ = scale * at[p * stride + c];
}

static inline uint32_t heat_class(const Explanation *e, uint32_t i, uint32_t map)
{
    return e->spec.classes == CLASSES_ALL ? map : e->wanted[i];
}

/* A forward pass of the run's images, unchanged; the first one says whose maps are wanted. */
void heat_forward(Heat *heat, const Plan *plan);
/* Behind it: the gradient of one logit an image, of its map number `map`. */
void heat_backward(const Heat *heat, const Plan *plan, uint32_t map);
/* The maps [first, first + maps) of all images, by what `look` says. */
void heat_look(Look *look, uint32_t first, uint32_t maps);

/* A stage's maps, [N,K,h,w] before the ReLU: by its plan; CAM_GUIDED; CAM_SCORES; of samples;
 * CAM_DELTA. */
void heat_plan_maps(Heat *heat, const HeatStage *stage, float *ret);
void heat_guided_maps(Heat *heat, const HeatStage *stage, float *ret);
void heat_score_maps(Heat *heat, const HeatStage *stage, float *ret);
void heat_sample_maps(Heat *heat, const HeatStage *stage, float *ret);
void heat_delta_maps(Heat *heat, const HeatStage *stage, float *ret);
