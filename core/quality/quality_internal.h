/* quality_internal -- shared by quality.c and quality_batch.c. */
#pragma once

#include "core/quality/baseline.h"
#include "core/quality/cascade.h"
#include "core/quality/quality.h"

/* Plans for batches of one size. */
typedef struct QualityEngine {
    uint32_t images;
    Plan scorer;             /* to the logits */
    Explanation explanation; /* zeroed: of a baseline */
} QualityEngine;

/* What the memory is cut into; N images of a batch, P pixels, C channels. */
typedef struct QualityRoom {
    void *work;    /* of plans, one at a time */
    void *state;   /* of the explanation */
    void *scratch; /* of the loader */
    real *images;  /* [N,P,C] blocked */
    uint16_t *labels;
    uint32_t *items, *classes; /* [N] */
    float *plain, *altered;    /* [N][P,C] */
    float *map, *signed_map;   /* [N][P] */
    float *other, *signed_other;
    float *raw;      /* [N][largest map]: as methods make it */
    uint32_t *order; /* [N][P] */
    double *metric;  /* [N][METRIC_ROOM * P] */
    double *score;   /* [N] of the images as they are */
    double *scores;  /* [N][passes] of altered ones */
    real *weights;   /* some of them random; only where a metric compares */
} QualityRoom;

struct Quality {
    QualitySpec spec;
    Subject subject;
    const Baseline *baseline;       /* NULL: the method is a source of explanations */
    uint32_t map_height, map_width; /* of what the method makes */
    uint32_t passes;                /* the most of any metric */
    uint32_t column[METRICS_MAX];   /* where a metric's samples are */
    uint32_t comparing;             /* the set of metrics that compare */
    Cascade cascade;                /* zeroed: no metric compares */
    Network random;                 /* the same network, its weights random */
    uint32_t batch, engines;
    QualityEngine engine[2]; /* of full batches, and of the rest */
    size_t bytes;            /* of the room */
    Arena arena;
    QualityRoom room;
    Samples samples;
    Pool *pool; /* borrowed */
    const Kernels *kernels;
};

static inline uint32_t quality_pixels(const Quality *q)
{
    return q->subject.network.input.height * q->subject.network.input.width;
}

/* Images `at`..`at + count` of the split, all metrics of them. STATUS_STOPPED. */
CHECKED Status quality_batch(Quality *quality, uint32_t at, uint32_t count, const atomic_int *stop,
                             Error *err);
