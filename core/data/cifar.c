/* The two layouts and the parsers of their files; cifar_open.c finds and reads these. */
#include "core/data/cifar.h"

#include <inttypes.h>
#include <string.h>

static const char *const cifar10_names[] = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
};

static const char *const cifar100_names[] = {
    "apple",       "aquarium_fish", "baby",      "bear",       "beaver",       "bed",
    "bee",         "beetle",        "bicycle",   "bottle",     "bowl",         "boy",
    "bridge",      "bus",           "butterfly", "camel",      "can",          "castle",
    "caterpillar", "cattle",        "chair",     "chimpanzee", "clock",        "cloud",
    "cockroach",   "couch",         "crab",      "crocodile",  "cup",          "dinosaur",
    "dolphin",     "elephant",      "flatfish",  "forest",     "fox",          "girl",
    "hamster",     "house",         "kangaroo",  "keyboard",   "lamp",         "lawn_mower",
    "leopard",     "lion",          "lizard",    "lobster",    "man",          "maple_tree",
    "motorcycle",  "mountain",      "mouse",     "mushroom",   "oak_tree",     "orange",
    "orchid",      "otter",         "palm_tree", "pear",       "pickup_truck", "pine_tree",
    "plain",       "plate",         "poppy",     "porcupine",  "possum",       "rabbit",
    "raccoon",     "ray",           "road",      "rocket",     "rose",         "sea",
    "seal",        "shark",         "shrew",     "skunk",      "skyscraper",   "snail",
    "snake",       "spider",        "squirrel",  "streetcar",  "sunflower",    "sweet_pepper",
    "table",       "tank",          "telephone", "television", "tiger",        "tractor",
    "train",       "trout",         "tulip",     "turtle",     "wardrobe",     "whale",
    "willow_tree", "wolf",          "woman",     "worm",
};

const CifarLayout cifar10_layout = {
    .layout = "cifar10",
    .title = "CIFAR-10",
    .classes = 10,
    .label_bytes = 1,
    .names_file = "batches.meta.txt",
    .class_names = cifar10_names,
    .mean = { .4914f, .4822f, .4465f },
    .std = { .2470f, .2435f, .2616f },
};

const CifarLayout cifar100_layout = {
    .layout = "cifar100",
    .title = "CIFAR-100",
    .classes = 100,
    .label_bytes = 2,
    .names_file = "fine_label_names.txt",
    .class_names = cifar100_names,
    .mean = { .5071f, .4865f, .4409f },
    .std = { .2673f, .2564f, .2762f },
};

size_t cifar_record_bytes(const CifarLayout *layout)
{
    return layout->label_bytes + CIFAR_IMAGE_BYTES;
}

Status cifar_parse(const CifarLayout *layout, const char *file, uint64_t offset,
                   const uint8_t *bytes, size_t size, uint8_t *ret_pixels, uint16_t *ret_labels,
                   Error *err)
{
    size_t record = cifar_record_bytes(layout);

    if (size % record != 0)
        return error_set(err, STATUS_INVALID,
                         "%s: truncated record at offset %" PRIu64 " (a %s record has %zu bytes)",
                         file, offset + size - size % record, layout->title, record);
    for (size_t at = 0; at < size; at += record) {
        const uint8_t *planes = bytes + at + layout->label_bytes;
        uint8_t label = planes[-1];

        if (label >= layout->classes)
            return error_set(
                err, STATUS_INVALID,
                "%s: label %u at offset %" PRIu64 " is out of range: %s has %u classes", file,
                label, offset + at + layout->label_bytes - 1, layout->title, layout->classes);
        *ret_labels++ = label;
        for (size_t p = 0; p < CIFAR_PIXELS; p++)
            for (size_t c = 0; c < 3; c++)
                *ret_pixels++ = planes[c * CIFAR_PIXELS + p];
    }
    return STATUS_OK;
}

static Status name_take(const char *file, const uint8_t *line, size_t length, unsigned number,
                        char *ret, Error *err)
{
    if (length >= CLASS_NAME_MAX)
        return error_set(err, STATUS_INVALID, "%s: line %u has %zu characters: at most %d", file,
                         number, length, CLASS_NAME_MAX - 1);
    for (size_t i = 0; i < length; i++) {
        if (line[i] < 0x20 || line[i] > 0x7e)
            return error_set(err, STATUS_INVALID,
                             "%s: line %u has a character that is not printable ASCII", file,
                             number);
        ret[i] = (char)line[i];
    }
    ret[length] = '\0';
    return STATUS_OK;
}

Status cifar_parse_names(const char *file, const uint8_t *bytes, size_t size, uint32_t classes,
                         char (*ret_names)[CLASS_NAME_MAX], Error *err)
{
    unsigned number = 0;
    uint32_t found = 0;

    while (size > 0) {
        const uint8_t *end = memchr(bytes, '\n', size);
        size_t length = end != NULL ? (size_t)(end - bytes) : size;
        size_t next = end != NULL ? length + 1 : length;

        number++;
        while (length > 0 && (bytes[length - 1] == '\r' || bytes[length - 1] == ' '))
            length--;
        if (length > 0 && found < classes) {
            Status s = name_take(file, bytes, length, number, ret_names[found], err);

            if (s != STATUS_OK)
                return s;
        }
        found += length > 0;
        bytes += next;
        size -= next;
    }
    if (found != classes)
        return error_set(err, STATUS_INVALID, "%s: %u class names, expected %u", file, found,
                         classes);
    return STATUS_OK;
}
