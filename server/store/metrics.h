/*
 * metrics -- numbers a job reports: one value a (job, key, step). The newest value of each key is
 * kept apart from the points, so that lists never touch history. NaN and infinities come back as
 * they went in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "server/store/store.h"

enum {
    METRIC_KEY_MAX = 48,
    METRIC_POINTS_MIN = 5,
    METRIC_POINTS_MAX = 2000,
    METRIC_SERIES_MAX = 64,
    METRIC_QUEUE_MAX = 65536
};

typedef struct MetricValue {
    char key[METRIC_KEY_MAX]; /* "train/loss" */
    uint64_t step;
    double value;
} MetricValue;

typedef struct MetricPoint {
    uint64_t step;
    double value;
    int64_t unix_ms;
} MetricPoint;

/* Never waits and never fails: the points are written within about 100 ms, or counted by
 * store_dropped(). */
void store_metric_append(Store *store, int64_t job, const MetricValue *values, size_t count);
/* Writes: waits until everything appended before is durable. */
CHECKED Status store_metric_flush(Store *store, Error *err);
/* Writes: forgets the points past `step` (a job that resumes there will report them again). */
CHECKED Status store_metric_truncate(Store *store, int64_t job, uint64_t step, Error *err);

typedef struct MetricSeries {
    char key[METRIC_KEY_MAX];
    uint64_t total;      /* points there are */
    size_t count;        /* points here */
    MetricPoint *points; /* by step; owned */
} MetricSeries;

typedef struct MetricList {
    MetricSeries *series; /* sorted by key; owned */
    size_t count;
} MetricList;

/*
 * Reads. keys: NULL-terminated, or NULL for all; an unknown key gives no series. max_points is
 * clamped to METRIC_POINTS_MIN..METRIC_POINTS_MAX; a longer series is thinned to at most that many
 * points that keep the first, the last, the extremes of each bucket and a mark of each bucket's
 * NaNs.
 */
CHECKED Status store_metric_query(Store *store, int64_t job, const char *const *keys,
                                  size_t max_points, MetricList *ret, Error *err);
void metric_list_clear(MetricList *list);

/* The thinning alone: in place, returns the new count (<= max_points). */
size_t metric_thin(MetricPoint *points, size_t count, size_t max_points);
