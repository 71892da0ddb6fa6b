/* A file holds the whole matrix, and the number of images that are done. */
#include "core/quality/samples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/durable.h"
#include "core/nn/safetensors.h"

static const double quantile = 1.96;

uint64_t samples_bytes(uint32_t columns, uint32_t images)
{
    return (uint64_t)columns * images * sizeof(float);
}

Status samples_new(uint32_t columns, uint32_t images, Samples *ret, Error *err)
{
    Samples s = { .columns = columns, .images = images };

    s.value = calloc((size_t)columns * images + 1, sizeof *s.value);
    if (s.value == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate %u numbers of %u images", columns,
                         images);
    *ret = s;
    return STATUS_OK;
}

void samples_clear(Samples *samples)
{
    free(samples->value);
    *samples = (Samples){ 0 };
}

Status samples_save(const Samples *samples, const char *what, const char *path, Error *err)
{
    const int64_t done = samples->done;
    const StMeta meta[] = { { "format", "leased-samples/1" }, { "what", what } };
    const StTensor tensors[] = {
        { .name = "done", .dtype = ST_I64, .data = &done, .count = 1 },
        { .name = "values",
          .dtype = ST_F32,
          .rank = 2,
          .dim = { samples->columns, samples->images },
          .data = samples->value,
          .count = (uint64_t)samples->columns * samples->images },
    };
    DurableFile file = { 0 };
    Status s = durable_open(&file, path, err);

    if (s == STATUS_OK)
        s = safetensors_write(file.stream, tensors, 2, meta, 2, err);
    if (s == STATUS_OK)
        return durable_commit(&file, err);
    durable_abort(&file);
    return s;
}

static Status take(Samples *samples, const char *what, const StFile *file, Error *err)
{
    const StTensor *values = safetensors_find(file, "values");
    const StTensor *done = safetensors_find(file, "done");
    const char *of = safetensors_metadata(file, "what");
    int64_t images;

    if (of == NULL || values == NULL || done == NULL || done->dtype != ST_I64 || done->count != 1 ||
        values->dtype != ST_F32 || values->rank != 2)
        return error_set(err, STATUS_CORRUPT, "this is no file of samples");
    if (strcmp(of, what) != 0 || values->dim[0] != samples->columns ||
        values->dim[1] != samples->images)
        return error_set(err, STATUS_INVALID, "these samples are of something else");
    memcpy(&images, done->data, sizeof images);
    if (images < 0 || images > samples->images)
        return error_set(err, STATUS_CORRUPT, "%lld of %u images cannot be done", (long long)images,
                         samples->images);
    memcpy(samples->value, values->data, values->count * sizeof *samples->value);
    samples->done = (uint32_t)images;
    return STATUS_OK;
}

Status samples_restore(Samples *samples, const char *what, const char *path, Error *err)
{
    StFile *file = NULL;
    Status s = safetensors_open(path, &file, err);

    if (s == STATUS_OK)
        s = take(samples, what, file, err);
    safetensors_close(file);
    return s;
}

static Interval interval_of(const Samples *samples, uint32_t column, bool absolute)
{
    const float *value = samples->value + (size_t)column * samples->images;
    double sum = 0, squares = 0, half;
    Interval ret = { 0 };

    for (uint32_t i = 0; i < samples->done; i++) {
        if (isnan(value[i]))
            continue;
        sum += absolute ? fabs((double)value[i]) : (double)value[i];
        ret.n++;
    }
    ret.mean = sum / ret.n;
    for (uint32_t i = 0; i < samples->done; i++) {
        double x = (absolute ? fabs((double)value[i]) : (double)value[i]) - ret.mean;

        squares += isnan(value[i]) ? 0 : x * x;
    }
    half = quantile * sqrt(squares / ((double)ret.n - 1) / ret.n);
    ret.low = ret.mean - half;
    ret.high = ret.mean + half;
    return ret;
}

Interval samples_interval(const Samples *samples, uint32_t column)
{
    return interval_of(samples, column, false);
}

Interval samples_absolute(const Samples *samples, uint32_t column)
{
    return interval_of(samples, column, true);
}
