/*
 * samples -- what was measured of each image: some columns of numbers, so many images done. Kept so
 * that a measurement that was interrupted goes on to the same bits. Belongs to one thread at a
 * time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/base/error.h"

typedef struct Samples {
    uint32_t columns, images;
    uint32_t done; /* the first so many images have their numbers */
    float *value;  /* [columns][images] */
} Samples;

CHECKED Status samples_new(uint32_t columns, uint32_t images, Samples *ret, Error *err);
void samples_clear(Samples *samples); /* zeroed is fine */
/* What samples_new() takes. */
uint64_t samples_bytes(uint32_t columns, uint32_t images);

/* Writes a file durably; `what` says what the numbers are of: a file of something else is not
 * taken. */
CHECKED Status samples_save(const Samples *samples, const char *what, const char *path, Error *err);
/* STATUS_CORRUPT, STATUS_NOT_FOUND, or STATUS_INVALID for numbers of something else; `samples` is
 * as it was then. */
CHECKED Status samples_restore(Samples *samples, const char *what, const char *path, Error *err);

/* A mean and where it lies with 95 % confidence: mean -+ 1.96 s/sqrt(n), s the standard deviation
 * with n - 1, over the n images whose number is not NaN. NaN where these are too few: no mean of
 * none, no interval of one. */
typedef struct Interval {
    uint32_t n;
    double mean, low, high;
} Interval;

/* Of one column's images that are done and count, or of their absolute values. */
Interval samples_interval(const Samples *samples, uint32_t column);
Interval samples_absolute(const Samples *samples, uint32_t column);
