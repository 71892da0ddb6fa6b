/*
 * Whitening (Page, 2018; airbench94, Jordan, 2024): the first convolution turns patches of the
 * image into numbers of equal variance. With M = V^T diag(e) V the mean of p p^T over all patches p
 * of the first WHITEN_IMAGES training images (normalised, not augmented), its outputs are the rows
 * of diag(1/sqrt(e + WHITEN_EPS)) V, and then their negatives, so that the nonlinearity behind it
 * sees both signs.
 *
 * Images are summed in units of fixed size, and the units in order: the same for any number of
 * threads.
 */
#include <math.h>
#include <string.h>

#include "core/kernels/eigen.h"
#include "core/train/trainer_internal.h"

enum { WHITEN_IMAGES = 5000, UNIT_IMAGES = 64, PATCH_MAX = 64 };

#define WHITEN_EPS 5e-4

/* What the working memory is cut into; d: numbers of a patch. */
typedef struct Whitening {
    const Loader *loader;
    const GraphWeight *weight;
    uint32_t images;
    size_t units, d;
    double *sum;     /* [units,d,d] */
    double *vectors; /* [d,d] */
    double *values;  /* [d] */
    float *disk;     /* [2d,d] the weight in PyTorch's order */
} Whitening;

/* Sizes, and pointers where there is memory; answers the bytes. */
static size_t layout(Whitening *w, const GraphWeight *weight, const Loader *loader, void *memory)
{
    uint32_t all = loader->images[SPLIT_TRAIN];
    size_t d = weight->count / weight->spec.shape.dim[0];

    *w = (Whitening){ .loader = loader,
                      .weight = weight,
                      .images = all < WHITEN_IMAGES ? all : WHITEN_IMAGES,
                      .d = d };
    w->units = (w->images + UNIT_IMAGES - 1) / UNIT_IMAGES;
    if (memory != NULL) {
        w->sum = memory;
        w->vectors = w->sum + w->units * d * d;
        w->values = w->vectors + d * d;
        w->disk = (float *)(w->values + d);
    }
    return ((w->units + 1) * d * d + d) * sizeof(double) + 2 * d * d * sizeof(float);
}

/* Reads one patch in the weight's order [C,kH,kW]. */
static void read_patch(const Whitening *w, const uint8_t *pixels, uint32_t y, uint32_t x,
                       double *ret)
{
    const Dataset *data = w->loader->dataset;
    const uint32_t *dim = w->weight->spec.shape.dim;

    for (uint32_t c = 0; c < dim[1]; c++)
        for (uint32_t ky = 0; ky < dim[2]; ky++)
            for (uint32_t kx = 0; kx < dim[3]; kx++) {
                size_t at = ((size_t)(y + ky) * data->width + x + kx) * dim[1] + c;

                *ret++ = (double)w->loader->normal[c][pixels[at]];
            }
}

static void sum_unit(void *context, size_t unit)
{
    const Whitening *w = context;
    const Dataset *data = w->loader->dataset;
    const uint32_t *dim = w->weight->spec.shape.dim;
    double *sum = w->sum + unit * w->d * w->d, patch[PATCH_MAX] = { 0 };
    uint32_t first = (uint32_t)unit * UNIT_IMAGES;

    memset(sum, 0, w->d * w->d * sizeof *sum);
    for (uint32_t i = first; i < w->images && i < first + UNIT_IMAGES; i++) {
        const uint8_t *pixels = loader_pixels(w->loader, SPLIT_TRAIN, i);

        for (uint32_t y = 0; y + dim[2] <= data->height; y++)
            for (uint32_t x = 0; x + dim[3] <= data->width; x++) {
                read_patch(w, pixels, y, x, patch);
                for (size_t r = 0; r < w->d; r++)
                    for (size_t c = 0; c <= r; c++)
                        sum[r * w->d + c] += patch[r] * patch[c];
            }
    }
}

/* Adds up the units and mirrors the lower half; leaves the mean in the first unit's place. */
static void mean_products(Whitening *w)
{
    const Dataset *data = w->loader->dataset;
    const uint32_t *dim = w->weight->spec.shape.dim;
    double patches = (double)w->images * (data->height - dim[2] + 1) * (data->width - dim[3] + 1);

    for (size_t r = 0; r < w->d; r++)
        for (size_t c = 0; c <= r; c++) {
            double sum = 0;

            for (size_t u = 0; u < w->units; u++)
                sum += w->sum[(u * w->d + r) * w->d + c];
            w->sum[r * w->d + c] = w->sum[c * w->d + r] = sum / patches;
        }
}

static void whiten_weight(const Network *network, Whitening *w, Pool *pool)
{
    size_t d = w->d;

    pool_run(pool, w->units, sum_unit, w);
    mean_products(w);
    eigen_symmetric(d, w->sum, w->values, w->vectors);
    for (size_t i = 0; i < d * d; i++) {
        double scaled = w->vectors[i] / sqrt(fmax(w->values[i / d], 0) + WHITEN_EPS);

        w->disk[i] = (float)scaled;
        w->disk[d * d + i] = (float)-scaled;
    }
    weight_from_disk(w->weight, w->disk, network->weights + w->weight->offset);
}

Status whiten_plan(const Network *network, const Loader *loader, size_t *ret_bytes, Error *err)
{
    const Graph *g = &network->graph;

    for (uint32_t i = 0; i < g->weights; i++) {
        const GraphWeight *weight = &g->weight[i];
        const Shape *s = &weight->spec.shape;
        Whitening w;
        size_t bytes;

        if (weight->spec.init != INIT_WHITEN)
            continue;
        bytes = layout(&w, weight, loader, NULL);
        if (s->rank != 4 || g->node[weight->node].input[0] != network->image ||
            s->dim[1] != loader->dataset->channels || s->dim[2] > network->input.height ||
            s->dim[3] > network->input.width || s->dim[0] != 2 * w.d || w.d > PATCH_MAX)
            return error_at(err, STATUS_INVALID, "/model",
                            "\"%s\" cannot be whitened: it is to see the image, in patches of at "
                            "most %d numbers, and to have twice as many outputs",
                            weight->name, PATCH_MAX);
        *ret_bytes = bytes > *ret_bytes ? bytes : *ret_bytes;
    }
    return STATUS_OK;
}

void whiten(const Network *network, const Loader *loader, Pool *pool, void *memory)
{
    for (uint32_t i = 0; i < network->graph.weights; i++) {
        Whitening w;

        if (network->graph.weight[i].spec.init != INIT_WHITEN)
            continue;
        (void)layout(&w, &network->graph.weight[i], loader, memory);
        whiten_weight(network, &w, pool);
    }
}
