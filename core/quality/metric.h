/*
 * metric -- the table of what says how good a heat map is: one file `quality_x.c` and one row in
 * meson.build each. Every metric gives one number an image.
 *
 * A metric looks at the map alone (pointing_game); or it alters the image by what the map says, has
 * the network score what it made (`passes` pictures), and makes a number of the scores
 * (deletion_auc); or it compares the map with those of the same network with randomised weights
 * (sanity_randomisation). Rows are pure functions of what they are given: any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/param.h"

/* A heat map at its image's resolution. */
typedef struct Saliency {
    const float *map; /* [H,W], 0..1, never NaN; a map without any contrast is 0 everywhere */
    const float *signed_map; /* [H,W], before the ReLU and unscaled, where the method has a sign;
                                else as `map` but unscaled */
} Saliency;

/* One image, and how the network sees it. */
typedef struct Picture {
    uint32_t height, width, channels;
    const float *pixels; /* normalised [H,W,C]: 0 is the mean colour */
    Saliency saliency;
    const uint32_t *order; /* [H*W] pixels by falling map, equal ones by index */
    const uint8_t *mask;   /* [H,W], 1 on the object; NULL: the truth is not known */
    double score;          /* the network's probability of the class that the map is of */
    uint64_t seed;         /* of what is drawn, with `item`: the image's index in its split */
    uint32_t item;
} Picture;

static inline size_t picture_pixels(const Picture *p)
{
    return (size_t)p->height * p->width;
}

/* Streams of RNG_QUALITY: (seed, RNG_QUALITY, one of these, item). */
enum {
    DRAW_ROAD = 0, /* and the picture's number */
    DRAW_RANDOM = 64,
    DRAW_WEIGHTS = 65,
};

/* What comparing two maps gives. */
typedef enum Likeness {
    LIKENESS_SPEARMAN, /* rank correlation of the signed maps */
    LIKENESS_ABSOLUTE, /* of their absolute values */
    LIKENESS_SSIM,     /* structural similarity of the maps */
    LIKENESSES,
} Likeness;
extern const char *const likeness_names[LIKENESSES]; /* "spearman", "absolute", "ssim" */

enum { METRIC_ROOM = 6 }; /* doubles a pixel of working memory for one image */

typedef struct Metric {
    Described described;
    bool falls;      /* less is better */
    bool needs_mask; /* the truth has to be known */
    /* How many pictures the network is to score for an image of so many pixels; NULL: none. */
    uint32_t (*passes)(size_t pixels);
    /* Picture number `pass`, [H,W,C]. room: METRIC_ROOM * H * W doubles. */
    void (*alter)(const Picture *picture, uint32_t pass, double *room, float *ret);
    /* scores: of the altered pictures, the class's probability. NaN: the image does not count. */
    double (*value)(const Picture *picture, const double *scores);
    /* Instead of those: how alike the picture's map and another network's are. The metric is then
     * |LIKENESS_SPEARMAN| of the last network, and is passed where its mean is below `passed`. */
    void (*compare)(const Picture *picture, const Saliency *other, double *room,
                    double ret[LIKENESSES]);
    double passed;
} Metric;

extern const Metric *const metric_table[]; /* NULL-terminated */

enum { METRICS_MAX = 31 };

/* Sets of metrics: bit i is row i. All of the table; those that can be had without masks. */
uint32_t metric_all(void);
uint32_t metric_maskless(void);
