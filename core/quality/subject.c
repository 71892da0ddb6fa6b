/* What a checkpoint is, and whether it fits its data, is known before any memory is taken. */
#include "core/quality/subject.h"

#include <math.h>

Status subject_open(const SubjectSpec *spec, const Dataset *dataset, Subject *ret, Error *err)
{
    const ModelInput *in = &ret->network.input;
    Error why = { 0 };
    Status s;

    *ret = (Subject){ .split = spec->split, .images = spec->images };
    s = safetensors_open(spec->path, &ret->file, err);
    if (s == STATUS_OK)
        s = network_describe(&ret->network, ret->file, err);
    if (s == STATUS_OK &&
        dataset_fits(dataset, in->height, in->width, in->channels, in->classes, &why) != STATUS_OK)
        s = error_at(err, STATUS_INVALID, "/checkpoint", "%s", error_message(&why));
    if (s == STATUS_OK)
        s = loader_init(&ret->loader, dataset, &spec->data, err);
    if (s == STATUS_OK && spec->images == 0)
        s = error_at(err, STATUS_INVALID, "/images", "must be at least 1");
    if (s == STATUS_OK && spec->images > ret->loader.images[spec->split])
        s = error_at(err, STATUS_INVALID, "/images", "there are %u images in split \"%s\"",
                     ret->loader.images[spec->split], split_names[spec->split]);
    if (s == STATUS_OK)
        loader_set_normal(&ret->loader, ret->network.mean, ret->network.std);
    return s;
}

Status subject_take_weights(Subject *subject, Error *err)
{
    Status s = network_take_weights(&subject->network, err);

    return s == STATUS_OK ? network_read_weights(&subject->network, subject->file, err) : s;
}

void subject_close(Subject *subject)
{
    loader_clear(&subject->loader);
    network_clear(&subject->network);
    safetensors_close(subject->file);
    *subject = (Subject){ 0 };
}

/* Where image i's first pixel is, and how far apart its pixels are. */
static size_t lane_of(size_t pixels, size_t channels, uint32_t images, uint32_t i,
                      size_t *ret_stride)
{
    uint32_t block = i / BLOCK_IMAGES;

    *ret_stride = block_images(images, block) * channels;
    return (size_t)block * BLOCK_IMAGES * pixels * channels + (i % BLOCK_IMAGES) * channels;
}

void lane_read(size_t pixels, size_t channels, uint32_t images, uint32_t i, const real *batch,
               float *ret)
{
    size_t stride, first = lane_of(pixels, channels, images, i, &stride);

    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < channels; c++)
            *ret++ = (float)batch[first + p * stride + c];
}

void lane_write(size_t pixels, size_t channels, uint32_t images, uint32_t i, const float *image,
                real *ret_batch)
{
    size_t stride, first = lane_of(pixels, channels, images, i, &stride);

    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < channels; c++)
            ret_batch[first + p * stride + c] = (real)*image++;
}

uint32_t largest_logit(const real *logits, uint32_t classes)
{
    uint32_t top = 0;

    for (uint32_t k = 1; k < classes; k++)
        if (logits[k] > logits[top])
            top = k;
    return top;
}

double probability_of(const real *logits, uint32_t classes, uint32_t k)
{
    double top = (double)logits[largest_logit(logits, classes)], sum = 0, p;

    for (uint32_t i = 0; i < classes; i++)
        sum += exp((double)logits[i] - top);
    p = exp((double)logits[k] - top) / sum;
    return isfinite(p) ? p : 0;
}
