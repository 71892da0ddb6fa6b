/* Any bytes as a CIFAR file of either layout and as a file of class names: an answer, and never a
 * label out of range. */
#include <stdlib.h>
#include <string.h>

#include "core/data/cifar.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void records(const CifarLayout *layout, const uint8_t *bytes, size_t size)
{
    size_t count = size / cifar_record_bytes(layout);
    uint8_t *pixels = malloc(count * CIFAR_IMAGE_BYTES + 1);
    uint16_t *labels = malloc(count * sizeof *labels + 1);
    Error err = { 0 };

    if (pixels == NULL || labels == NULL)
        abort();
    if (cifar_parse(layout, "input", 0, bytes, size, pixels, labels, &err) != STATUS_OK) {
        if (err.status != STATUS_INVALID || error_message(&err)[0] == '\0')
            abort();
    } else {
        if (size != count * cifar_record_bytes(layout))
            abort();
        for (size_t i = 0; i < count; i++)
            if (labels[i] >= layout->classes)
                abort();
    }
    free(pixels);
    free(labels);
}

static void names(const uint8_t *bytes, size_t size)
{
    enum { CLASSES = 10 };
    char(*name)[CLASS_NAME_MAX] = malloc(sizeof(char[CLASSES][CLASS_NAME_MAX]));
    Error err = { 0 };

    if (name == NULL)
        abort();
    if (cifar_parse_names("input", bytes, size, CLASSES, name, &err) == STATUS_OK) {
        for (int i = 0; i < CLASSES; i++)
            if (memchr(name[i], '\0', CLASS_NAME_MAX) == NULL || name[i][0] == '\0')
                abort();
    } else if (err.status != STATUS_INVALID) {
        abort();
    }
    free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    records(&cifar10_layout, bytes, size);
    records(&cifar100_layout, bytes, size);
    names(bytes, size);
    return 0;
}
