/*
 * Opening goes in three passes, so that nothing is allocated on the word of a file: list the
 * directory (or what an archive held) and decide on the layout; open every file and derive the
 * number of images from its size (whole records, bounded); allocate; read. Reading checks every
 * record, and that the file still is as long as it was.
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

/* One file of records, opened; or the end of the list. */
typedef struct Source {
    char name[CIFAR_FILE_NAME_MAX];
    unsigned number; /* of data_batch_<number>.bin */
    int set;         /* 0: train, 1: test */
    int fd;          /* -1: not open */
    uint64_t bytes;
} Source;

typedef struct Listing {
    const char *label;     /* the data set's name, for messages */
    int dir;               /* descriptor of `path`; -1: the files are */
    const CifarFile *file; /* [files]; borrowed */
    uint32_t files;
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

CifarKind cifar_kind(const char *name)
{
    static const char *const records[] = { "test_batch.bin", "train.bin", "test.bin" };
    unsigned number;

    for (size_t i = 0; i < sizeof records / sizeof *records; i++)
        if (strcmp(name, records[i]) == 0)
            return CIFAR_RECORDS;
    if (strcmp(name, cifar10_layout.names_file) == 0 ||
        strcmp(name, cifar100_layout.names_file) == 0)
        return CIFAR_NAMES;
    return batch_number(name, &number) ? CIFAR_RECORDS : CIFAR_NONE;
}

static Status listing_see(Listing *list, const char *name, Error *err)
{
    unsigned number;

    if (batch_number(name, &number)) {
        if (list->count == BATCH_FILES_MAX)
            return error_set(err, STATUS_INVALID, "data set \"%s\": more than %d batch files",
                             list->label, BATCH_FILES_MAX);
        listing_add(list, name, number, 0);
    }
    list->train100 |= strcmp(name, "train.bin") == 0;
    list->test10 |= strcmp(name, "test_batch.bin") == 0;
    list->test100 |= strcmp(name, "test.bin") == 0;
    return STATUS_OK;
}

static Status directory_read(Listing *list, Error *err)
{
    int copy = fcntl(list->dir, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    Status s = STATUS_OK;

    if (dir == NULL) {
        if (copy >= 0)
            close(copy);
        return error_errno(err, STATUS_IO, "data set \"%s\": cannot list its directory",
                           list->label);
    }
    for (struct dirent *entry; s == STATUS_OK && (entry = readdir(dir)) != NULL;)
        s = listing_see(list, entry->d_name, err);
    closedir(dir);
    return s;
}

/* What is there; batches come out in numeric order (data_batch_10 after data_batch_2). */
static Status listing_read(Listing *list, Error *err)
{
    Status s = list->dir >= 0 ? directory_read(list, err) : STATUS_OK;

    for (uint32_t i = 0; i < list->files && s == STATUS_OK; i++)
        s = listing_see(list, list->file[i].name, err);
    qsort(list->source, list->count, sizeof *list->source, by_number);
    return s;
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

/* As openat() in the directory, or a descriptor of the file of that name, at its start. */
static int listing_openat(const Listing *list, const char *name)
{
    if (list->dir >= 0)
        return openat(list->dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    for (uint32_t i = 0; i < list->files; i++)
        if (strcmp(list->file[i].name, name) == 0)
            return lseek(list->file[i].fd, 0, SEEK_SET) != 0
                       ? -1
                       : fcntl(list->file[i].fd, F_DUPFD_CLOEXEC, 0);
    errno = ENOENT;
    return -1;
}

/* Opens `name`, if it is a regular file. *ret_fd = -1 and STATUS_OK: there is
 * none, which `optional` allows. */
static Status file_open(const Listing *list, const char *name, bool optional, int *ret_fd,
                        uint64_t *ret_bytes, Error *err)
{
    struct stat st;
    int fd = listing_openat(list, name);

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

bool cifar_present(const char *path)
{
    DIR *dir = opendir(path);
    bool present = false;

    if (dir == NULL)
        return false;
    for (struct dirent *entry; !present && (entry = readdir(dir)) != NULL;)
        present = cifar_kind(entry->d_name) == CIFAR_RECORDS;
    closedir(dir);
    return present;
}

Status cifar_check_size(const char *name, uint32_t image_size, Error *err)
{
    if (image_size == 0 || image_size == CIFAR_SIDE)
        return STATUS_OK;
    return error_at(err, STATUS_INVALID, "/image_size",
                    "images of data set \"%s\" are %dx%d and are not resized", name, CIFAR_SIDE,
                    CIFAR_SIDE);
}

/* Ends the listing. */
static Status listing_open(Listing *list, Dataset **ret, Error *err)
{
    Status s;

    list->source = calloc(BATCH_FILES_MAX + 1, sizeof *list->source);
    s = list->source != NULL
            ? listing_load(list, ret, err)
            : error_set(err, STATUS_NO_MEMORY, "data set \"%s\": cannot allocate", list->label);
    listing_clear(list);
    return s;
}

Status cifar_open(const char *name, const char *path, Dataset **ret, Error *err)
{
    Listing list = { .label = name,
                     .dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK) };

    if (list.dir < 0)
        return error_errno(err, STATUS_INVALID, "data set \"%s\": cannot open its directory", name);
    return listing_open(&list, ret, err);
}

Status cifar_open_files(const char *name, const CifarFile *files, uint32_t count, Dataset **ret,
                        Error *err)
{
    Listing list = { .label = name, .dir = -1, .file = files, .files = count };

    return listing_open(&list, ret, err);
}
