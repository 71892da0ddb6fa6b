#include "tests/golden/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void golden_path(const char *name, const char *suffix, char *ret, size_t size)
{
    const char *folder = getenv("GOLDEN_DIR");

    if (!folder)
        fail_msg("GOLDEN_DIR is not set: run this by `meson test --suite golden`");
    snprintf(ret, size, "%s/%s%s", folder, name, suffix);
}

StFile *golden_open(const char *name)
{
    char path[4096], relative[256];
    StFile *file = NULL;
    Error err = { 0 };

    snprintf(relative, sizeof(relative), "arrays/%s", name);
    golden_path(relative, ".safetensors", path, sizeof(path));
    if (safetensors_open(path, &file, &err) != STATUS_OK)
        fail_msg("%s", error_message(&err));
    return file;
}

const float *golden_array(const StFile *file, const char *name, size_t count)
{
    const StTensor *tensor = safetensors_find(file, name);

    if (!tensor)
        fail_msg("the golden file has no '%s'", name);
    if (tensor->dtype != ST_F32 || tensor->count != count)
        fail_msg("'%s' holds %llu numbers, not %zu", name, (unsigned long long)tensor->count,
                 count);
    return tensor->data;
}

uint32_t golden_number(const StFile *file, const char *key)
{
    const char *text = safetensors_metadata(file, key);

    if (!text)
        fail_msg("the golden file's metadata has no '%s'", key);
    return (uint32_t)strtoul(text, NULL, 10);
}

FILE *golden_text(const char *name)
{
    char path[4096];
    FILE *file;

    golden_path(name, "", path, sizeof(path));
    file = fopen(path, "r");
    if (!file)
        fail_msg("cannot open %s", path);
    return file;
}

/* Where number (n, pixel, c) lies: image n is row n % 16 of its block's pixel. */
static size_t blocked_index(const Shape *s, uint32_t pixels, uint32_t channels, uint32_t n,
                            uint32_t pixel, uint32_t c)
{
    uint32_t block = n / BLOCK_IMAGES, rows = block_images(s->dim[0], block);

    return (size_t)block * BLOCK_IMAGES * pixels * channels +
           ((size_t)pixel * rows + n % BLOCK_IMAGES) * channels + c;
}

static void activation_sizes(const Shape *s, uint32_t *ret_pixels, uint32_t *ret_channels)
{
    *ret_pixels = s->rank == 4 ? s->dim[1] * s->dim[2] : 1;
    *ret_channels = s->rank == 1 ? 1 : s->dim[s->rank - 1];
}

void golden_to_blocked(const Shape *s, const float *from, real *to)
{
    uint32_t pixels, channels;

    activation_sizes(s, &pixels, &channels);
    for (uint32_t n = 0; n < s->dim[0]; n++)
        for (uint32_t c = 0; c < channels; c++)
            for (uint32_t p = 0; p < pixels; p++)
                to[blocked_index(s, pixels, channels, n, p, c)] = (real)*from++;
}

void golden_from_blocked(const Shape *s, const real *from, real *to)
{
    uint32_t pixels, channels;

    activation_sizes(s, &pixels, &channels);
    for (uint32_t n = 0; n < s->dim[0]; n++)
        for (uint32_t c = 0; c < channels; c++)
            for (uint32_t p = 0; p < pixels; p++)
                *to++ = from[blocked_index(s, pixels, channels, n, p, c)];
}

/* Where number i of a weight in PyTorch's order lies in memory. */
static size_t memory_index(const OpWeight *w, size_t i)
{
    size_t outputs = w->shape.dim[0], inputs = w->shape.dim[1], taps = 1;

    if (w->layout == WEIGHT_PLAIN)
        return i;
    if (w->layout == WEIGHT_CONV)
        taps = (size_t)w->shape.dim[2] * w->shape.dim[3];
    return (i % taps * inputs + i / taps % inputs) * outputs + i / taps / inputs;
}

void golden_to_memory(const OpWeight *w, const float *from, real *to)
{
    for (size_t i = 0; i < shape_count(&w->shape); i++)
        to[memory_index(w, i)] = (real)from[i];
}

void golden_from_memory(const OpWeight *w, const real *from, real *to)
{
    for (size_t i = 0; i < shape_count(&w->shape); i++)
        to[i] = from[memory_index(w, i)];
}

double golden_distance(const real *got, const float *want, size_t count, size_t every)
{
    double difference = 0, norm = 0;

    for (size_t i = 0; i < count; i++) {
        double d = (double)got[i * every] - (double)want[i];

        difference += d * d;
        norm += (double)want[i] * (double)want[i];
    }
    if (isnan(difference))
        return INFINITY;
    return norm > 0 ? sqrt(difference / norm) : sqrt(difference);
}

void golden_close(const char *what, const real *got, const float *want, size_t count, size_t every,
                  double bound)
{
    double distance = golden_distance(got, want, count, every);

    if (!(distance <= bound))
        fail_msg("%s: relative L2 distance to PyTorch %.3g, allowed %.3g", what, distance, bound);
}
