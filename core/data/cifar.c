/*
 * Opening goes in three passes, so that nothing is allocated on the word of a file: list the
 * directory and decide on the layout; open every file and derive the number of images from its size
 * (whole records, bounded); allocate; read. Reading checks every record, and that the file still is
 * as long as it was.
 *
 * Names are looked at, never followed blindly: only regular files count, and O_NONBLOCK keeps a
 * FIFO from hanging us.
 */
#include "core/data/cifar.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BATCH_FILES_MAX = 1000,
    IMAGES_MAX = 1000000,     /* of one set: 3 GB */
    NAMES_FILE_MAX = 1 << 16, /* bytes */
    CHUNK_RECORDS = 256,      /* read at once */
};

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

/* One file of records, opened; or the end of the list. */
typedef struct Source {
    char name[32];
    unsigned number; /* of data_batch_<number>.bin */
    int set;         /* 0: train, 1: test */
    int fd;          /* -1: not open */
    uint64_t bytes;
} Source;

typedef struct Listing {
    const char *label; /* the data set's name, for messages */
    int dir;           /* descriptor of `path` */
    const CifarLayout *layout;
    Source *source; /* [count], train in order, then test; room for BATCH_FILES_MAX + 1 */
    uint32_t count;
    bool train100, test10, test100; /* seen: train.bin, test_batch.bin, test.bin */
} Listing;

static void listing_clear(Listing *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->source[i].fd >= 0)
            close(list->source[i].fd);
    free(list->source);
    if (list->dir >= 0)
        close(list->dir);
}

static void listing_add(Listing *list, const char *name, unsigned number, int set)
{
    Source *source = &list->source[list->count++];

    *source = (Source){ .number = number, .set = set, .fd = -1 };
    snprintf(source->name, sizeof source->name, "%.31s", name);
}

/* data_batch_<number>.bin -> number, as it is usually written; false for any other name. */
static bool batch_number(const char *name, unsigned *ret)
{
    char again[32];
    unsigned number;

    if (sscanf(name, "data_batch_%5u", &number) != 1)
        return false;
    snprintf(again, sizeof again, "data_batch_%u.bin", number);
    *ret = number;
    return strcmp(name, again) == 0;
}

static int by_number(const void *a, const void *b)
{
    const Source *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

/* Reads the directory; batches come out in numeric order (data_batch_10 after data_batch_2). */
static Status listing_read(Listing *list, Error *err)
{
    int copy = fcntl(list->dir, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);

    if (dir == NULL) {
        if (copy >= 0)
            close(copy);
        return error_errno(err, STATUS_IO, "data set \"%s\": cannot list its directory",
                           list->label);
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        unsigned number;

        if (batch_number(entry->d_name, &number)) {
            if (list->count == BATCH_FILES_MAX) {
                closedir(dir);
                return error_set(err, STATUS_INVALID, "data set \"%s\": more than %d batch files",
                                 list->label, BATCH_FILES_MAX);
            }
            listing_add(list, entry->d_name, number, 0);
        }
        list->train100 |= strcmp(entry->d_name, "train.bin") == 0;
        list->test10 |= strcmp(entry->d_name, "test_batch.bin") == 0;
        list->test100 |= strcmp(entry->d_name, "test.bin") == 0;
    }
    closedir(dir);
    qsort(list->source, list->count, sizeof *list->source, by_number);
    return STATUS_OK;
}

/* Which layout do the names say? */
static Status listing_decide(Listing *list, Error *err)
{
    bool ten = list->count > 0 || list->test10, hundred = list->train100 || list->test100;
    const char *missing = NULL;

    if (ten && hundred)
        return error_set(
            err, STATUS_INVALID,
            "data set \"%s\": its directory holds files of both CIFAR-10 and CIFAR-100",
            list->label);
    if (!ten && !hundred)
        return error_set(err, STATUS_INVALID,
                         "data set \"%s\": its directory holds neither data_batch_*.bin and "
                         "test_batch.bin (CIFAR-10) nor train.bin and test.bin (CIFAR-100)",
                         list->label);
    if (ten)
        missing = list->count == 0 ? "data_batch_1.bin" : list->test10 ? NULL : "test_batch.bin";
    else
        missing = !list->train100 ? "train.bin" : list->test100 ? NULL : "test.bin";
    if (missing != NULL)
        return error_set(err, STATUS_INVALID, "data set \"%s\": %s is missing in its directory",
                         list->label, missing);
    list->layout = ten ? &cifar10_layout : &cifar100_layout;
    if (hundred)
        listing_add(list, "train.bin", 0, 0);
    listing_add(list, ten ? "test_batch.bin" : "test.bin", 0, 1);
    return STATUS_OK;
}

/* Opens `name` in the directory, if it is a regular file. *ret_fd = -1 and STATUS_OK: there is
 * none, which `optional` allows. */
static Status file_open(const Listing *list, const char *name, bool optional, int *ret_fd,
                        uint64_t *ret_bytes, Error *err)
{
    struct stat st;
    int fd = openat(list->dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    *ret_fd = -1;
    if (fd < 0 && optional && errno == ENOENT)
        return STATUS_OK;
    if (fd < 0 || fstat(fd, &st) != 0) {
        Status s =
            error_errno(err, STATUS_INVALID, "data set \"%s\": cannot open %s", list->label, name);

        if (fd >= 0)
            close(fd);
        return s;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(err, STATUS_INVALID, "data set \"%s\": %s is not a regular file",
                         list->label, name);
    }
    *ret_fd = fd;
    *ret_bytes = (uint64_t)st.st_size;
    return STATUS_OK;
}

static Status source_open(const Listing *list, Source *source, uint32_t images[2], Error *err)
{
    const CifarLayout *other = list->layout == &cifar10_layout ? &cifar100_layout : &cifar10_layout;
    size_t record = cifar_record_bytes(list->layout);
    Status s = file_open(list, source->name, false, &source->fd, &source->bytes, err);

    if (s != STATUS_OK)
        return s;
    if (source->bytes == 0)
        return error_set(err, STATUS_INVALID, "data set \"%s\": %s is empty", list->label,
                         source->name);
    if (source->bytes % record != 0)
        return error_set(
            err, STATUS_INVALID,
            "data set \"%s\": %s: record at offset %" PRIu64 " is cut short: %" PRIu64
            " bytes are no whole number of %zu-byte %s records%s",
            list->label, source->name, source->bytes - source->bytes % record, source->bytes,
            record, list->layout->title,
            source->bytes % cifar_record_bytes(other) == 0 ? " (is it the other CIFAR?)" : "");
    if (source->bytes / record > IMAGES_MAX - images[source->set])
        return error_set(err, STATUS_INVALID,
                         "data set \"%s\": %s brings it to more than %d images", list->label,
                         source->name, IMAGES_MAX);
    images[source->set] += (uint32_t)(source->bytes / record);
    return STATUS_OK;
}

/* Reads up to `want` bytes; less only at the end of the file. */
static Status read_up_to(int fd, const char *name, uint8_t *buffer, size_t want, size_t *ret,
                         Error *err)
{
    size_t got = 0;

    while (got < want) {
        ssize_t n = read(fd, buffer + got, want - got);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, STATUS_IO, "cannot read %s", name);
        if (n == 0)
            break;
        got += (size_t)n;
    }
    *ret = got;
    return STATUS_OK;
}

static Status source_read(const Listing *list, const Source *source, uint8_t *buffer,
                          ImageRoom *room, Error *err)
{
    size_t record = cifar_record_bytes(list->layout), got = 0;
    char file[128];

    snprintf(file, sizeof file, "data set \"%s\": %s", list->label, source->name);
    for (uint64_t at = 0; at < source->bytes; at += got) {
        uint64_t left = source->bytes - at;
        size_t want = left < CHUNK_RECORDS * record ? (size_t)left : CHUNK_RECORDS * record;
        Status s = read_up_to(source->fd, source->name, buffer, want, &got, err);

        if (s == STATUS_OK && got < want)
            s = error_set(err, STATUS_INVALID, "%s: ends at offset %" PRIu64 ", while being read",
                          file, at + got);
        if (s == STATUS_OK)
            s = cifar_parse(list->layout, file, at, buffer, got, room->pixels, room->labels, err);
        if (s != STATUS_OK)
            return s;
        room->pixels += got / record * CIFAR_IMAGE_BYTES;
        room->labels += got / record;
    }
    return STATUS_OK;
}

/* Class names from the directory's own file where it has one, else the official ones. */
static Status names_read(const Listing *list, DatasetRoom *room, Error *err)
{
    const CifarLayout *layout = list->layout;
    uint8_t bytes[NAMES_FILE_MAX];
    char file[128];
    uint64_t size;
    size_t got = 0;
    int fd;
    Status s = file_open(list, layout->names_file, true, &fd, &size, err);

    if (s == STATUS_OK && fd < 0)
        for (uint32_t i = 0; i < layout->classes; i++)
            snprintf(room->class_names[i], CLASS_NAME_MAX, "%s", layout->class_names[i]);
    if (s != STATUS_OK || fd < 0)
        return s;
    snprintf(file, sizeof file, "data set \"%s\": %s", list->label, layout->names_file);
    s = read_up_to(fd, layout->names_file, bytes, sizeof bytes, &got, err);
    close(fd);
    if (s == STATUS_OK && got == sizeof bytes)
        s = error_set(err, STATUS_INVALID, "%s is longer than %d bytes", file, NAMES_FILE_MAX - 1);
    if (s == STATUS_OK)
        s = cifar_parse_names(file, bytes, got, layout->classes, room->class_names, err);
    return s;
}

static Status sources_read(const Listing *list, DatasetRoom *room, Error *err)
{
    uint8_t *buffer = malloc(CHUNK_RECORDS * cifar_record_bytes(list->layout));
    ImageRoom at[2] = { room->set[0], room->set[1] };
    Status s = STATUS_OK;

    if (buffer == NULL)
        return error_set(err, STATUS_NO_MEMORY, "data set \"%s\": cannot allocate a buffer",
                         list->label);
    for (uint32_t i = 0; i < list->count && s == STATUS_OK; i++)
        s = source_read(list, &list->source[i], buffer, &at[list->source[i].set], err);
    free(buffer);
    return s;
}

/* The three passes; the caller clears the listing. */
static Status listing_load(Listing *list, Dataset **ret, Error *err)
{
    DatasetPlan plan = {
        .name = list->label, .height = CIFAR_SIDE, .width = CIFAR_SIDE, .channels = 3
    };
    Dataset *dataset = NULL;
    DatasetRoom room;
    Status s = listing_read(list, err);

    if (s == STATUS_OK)
        s = listing_decide(list, err);
    if (s != STATUS_OK)
        return s;
    assert(list->layout != NULL);
    for (uint32_t i = 0; i < list->count && s == STATUS_OK; i++)
        s = source_open(list, &list->source[i], plan.images, err);
    if (s != STATUS_OK)
        return s;
    plan.layout = list->layout->layout;
    plan.classes = list->layout->classes;
    s = dataset_new(&plan, &dataset, &room, err);
    if (s != STATUS_OK)
        return s;
    memcpy(dataset->mean, list->layout->mean, sizeof list->layout->mean);
    memcpy(dataset->std, list->layout->std, sizeof list->layout->std);
    s = names_read(list, &room, err);
    if (s == STATUS_OK)
        s = sources_read(list, &room, err);
    if (s != STATUS_OK) {
        dataset_free(dataset);
        return s;
    }
    *ret = dataset;
    return STATUS_OK;
}

Status cifar_open(const char *name, const char *path, Dataset **ret, Error *err)
{
    Listing list = { .label = name };
    Status s;

    list.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
    if (list.dir < 0)
        return error_errno(err, STATUS_INVALID, "data set \"%s\": cannot open its directory", name);
    list.source = calloc(BATCH_FILES_MAX + 1, sizeof *list.source);
    s = list.source != NULL
            ? listing_load(&list, ret, err)
            : error_set(err, STATUS_NO_MEMORY, "data set \"%s\": cannot allocate", name);
    listing_clear(&list);
    return s;
}
