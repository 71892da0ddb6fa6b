/* One block holds everything, what wants alignment first: name pointers, labels, names, pixels,
 * masks. */
#include "core/data/dataset.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/checked.h"
#include "core/data/cifar.h"
#include "core/data/folder.h"
#include "core/data/storage.h"

static bool plan_bytes(const DatasetPlan *plan, size_t *ret)
{
    size_t area = (size_t)plan->height * plan->width;
    size_t image = area * plan->channels + sizeof(uint16_t) + (plan->masks ? area : 0);

    return checked_mul((size_t)plan->images[0] + plan->images[1], image, ret) &&
           checked_add(*ret, plan->classes * (sizeof(char *) + CLASS_NAME_MAX), ret);
}

/* Cuts the next `bytes` off. */
static void *take(uint8_t **at, size_t bytes)
{
    void *p = *at;

    *at += bytes;
    return p;
}

static void lay_out(const DatasetPlan *plan, Dataset *dataset, DatasetRoom *room)
{
    size_t area = (size_t)plan->height * plan->width;
    uint8_t *at = dataset->storage;
    const char **pointer = take(&at, plan->classes * sizeof *pointer);

    for (int i = 0; i < 2; i++)
        room->set[i].labels = take(&at, plan->images[i] * sizeof(uint16_t));
    room->class_names = take(&at, (size_t)plan->classes * CLASS_NAME_MAX);
    for (int i = 0; i < 2; i++) {
        ImageRoom *set = &room->set[i];

        set->pixels = take(&at, plan->images[i] * area * plan->channels);
        set->masks = plan->masks ? take(&at, plan->images[i] * area) : NULL;
        *(i == 0 ? &dataset->train : &dataset->test) =
            (ImageSet){ plan->images[i], set->pixels, set->labels, set->masks };
    }
    for (uint32_t i = 0; i < plan->classes; i++) {
        room->class_names[i][0] = '\0';
        pointer[i] = room->class_names[i];
    }
    dataset->class_names = pointer;
}

Status dataset_new(const DatasetPlan *plan, Dataset **ret, DatasetRoom *ret_room, Error *err)
{
    Dataset *dataset = calloc(1, sizeof *dataset);
    size_t bytes = 0;

    if (dataset != NULL && plan_bytes(plan, &bytes))
        dataset->storage = malloc(bytes);
    if (dataset == NULL || dataset->storage == NULL) {
        dataset_free(dataset);
        return error_set(err, STATUS_NO_MEMORY, "data set \"%s\": cannot allocate %zu bytes",
                         plan->name, bytes);
    }
    snprintf(dataset->name, sizeof dataset->name, "%s", plan->name);
    dataset->layout = plan->layout;
    dataset->height = plan->height;
    dataset->width = plan->width;
    dataset->channels = plan->channels;
    dataset->classes = plan->classes;
    lay_out(plan, dataset, ret_room);
    *ret = dataset;
    return STATUS_OK;
}

Status dataset_open(const char *name, const char *path, const DatasetOptions *options,
                    Dataset **ret, Error *err)
{
    static const DatasetOptions defaults = { 0 };
    Status s;

    if (options == NULL)
        options = &defaults;
    if (!cifar_present(path))
        return folder_open(name, path, options, ret, err);
    s = cifar_check_size(name, options->image_size, err);
    if (s != STATUS_OK)
        return s;
    return cifar_open(name, path, ret, err);
}

void dataset_statistics(const Dataset *dataset, const uint32_t *positions, uint32_t count,
                        float *ret_mean, float *ret_std)
{
    uint32_t channels = dataset->channels;
    size_t area = (size_t)dataset->height * dataset->width;
    uint64_t sum[DATASET_CHANNELS_MAX] = { 0 }, squares[DATASET_CHANNELS_MAX] = { 0 };
    double values = (double)count * (double)area;

    assert(count > 0 && channels <= DATASET_CHANNELS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        size_t image = positions != NULL ? positions[i] : i;
        const uint8_t *pixel = dataset->train.pixels + image * area * channels;

        for (size_t p = 0; p < area; p++)
            for (uint32_t c = 0; c < channels; c++) {
                uint32_t v = *pixel++;

                sum[c] += v;
                squares[c] += v * v;
            }
    }
    for (uint32_t c = 0; c < channels; c++) {
        double mean = (double)sum[c] / values;
        double variance = (double)squares[c] / values - mean * mean;
        /* Of equal pixels, of which there may be very many, rounding must not leave a trace. */
        bool varied = (unsigned __int128)sum[c] * sum[c] <
                      (unsigned __int128)squares[c] * ((uint64_t)count * area);

        ret_mean[c] = (float)(mean / 255);
        ret_std[c] = varied && variance > 0 ? (float)(sqrt(variance) / 255) : 1;
    }
}

Status dataset_fits(const Dataset *d, uint32_t height, uint32_t width, uint32_t channels,
                    uint32_t classes, Error *err)
{
    const struct {
        const char *what;
        uint32_t have, want;
    } rows[] = { { "classes", classes, d->classes },
                 { "channels", channels, d->channels },
                 { "height", height, d->height },
                 { "width", width, d->width } };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].have != rows[i].want)
            return error_set(err, STATUS_INVALID, "the model has %u %s, the data set %s has %u",
                             rows[i].have, rows[i].what, d->name, rows[i].want);
    return STATUS_OK;
}

void dataset_free(Dataset *dataset)
{
    if (dataset == NULL)
        return;
    free(dataset->storage);
    free(dataset);
}
