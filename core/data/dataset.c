/* One block holds everything, what wants alignment first: name pointers, labels, names, pixels,
 * masks. */
#include "core/data/dataset.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/checked.h"
#include "core/data/cifar.h"
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

Status dataset_open(const char *name, const char *path, Dataset **ret, Error *err)
{
    return cifar_open(name, path, ret, err);
}

void dataset_free(Dataset *dataset)
{
    if (dataset == NULL)
        return;
    free(dataset->storage);
    free(dataset);
}
