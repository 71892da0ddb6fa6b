/*
 * subject -- a stored network, the images that it is measured on, and what it says of a batch of
 * them: what quality and robustness share. Belongs to one thread at a time.
 */
#pragma once

#include "core/data/loader.h"
#include "core/graph/run.h"
#include "core/nn/network.h"

/* Which network and which images. */
typedef struct SubjectSpec {
    const char *path; /* of the checkpoint */
    DataSpec data;
    Split split;
    uint32_t images; /* the first so many of the split */
} SubjectSpec;

typedef struct Subject {
    StFile *file;
    Network network;
    Loader loader;
    Split split;
    uint32_t images;
} Subject;

/*
 * Opens and checks; takes no weight memory. STATUS_INVALID at "/checkpoint": the network does not
 * fit the data set; "/images": the split has fewer. *ret is zeroed or open: close it either way.
 */
CHECKED Status subject_open(const SubjectSpec *spec, const Dataset *dataset, Subject *ret,
                            Error *err);
CHECKED Status subject_take_weights(Subject *subject, Error *err);
void subject_close(Subject *subject); /* zeroed is fine */

/* Image i of a blocked batch of `images` <-> its numbers alone, [pixels,channels]. */
void lane_read(size_t pixels, size_t channels, uint32_t images, uint32_t i, const real *batch,
               float *ret);
void lane_write(size_t pixels, size_t channels, uint32_t images, uint32_t i, const float *image,
                real *ret_batch);
/* The first of the largest of `classes` logits. */
uint32_t largest_logit(const real *logits, uint32_t classes);
/* Softmax probability of class k; 0 where the logits give none. */
double probability_of(const real *logits, uint32_t classes, uint32_t k);
