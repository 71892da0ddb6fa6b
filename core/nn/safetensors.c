/*
 * safetensors -- see safetensors.h.
 *
 * Reading. The file is mapped read-only; checkpoints are replaced by rename and never written in
 * place, so a mapping cannot shrink under its reader. Checks go from the outside in: size of the
 * header, JSON (Jansson refuses duplicate keys, NULs and invalid UTF-8), each entry by itself, then
 * all entries by their offsets: they must tile the data from its first byte to its last. Only then
 * do pointers into the data exist. Nothing asks for data to be aligned in the file, while users
 * cast it to float or int64_t; the tensors that are not aligned are copied into one extra
 * allocation, which is never larger than twice the file. The JSON object stays alive as the owner
 * of names and metadata.
 *
 * Writing. The header is built in name order, whatever order the caller has, and dumped compactly.
 */
#include "core/nn/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/checked.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "data is used as it stands in the file");

#define METADATA_KEY "__metadata__"

enum { LENGTH_BYTES = 8, ALIGN_BYTES = 8 };

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
    [ST_F32] = { "F32", 4 },
    [ST_I64] = { "I64", 8 },
    [ST_F16] = { "F16", 2 },
};

enum { DTYPES = sizeof(dtypes) / sizeof(dtypes[0]) };

struct StFile {
    const uint8_t *bytes;
    size_t size;
    bool mapped; /* `bytes` is ours to unmap */
    json_t *header;
    StTensor *tensors; /* sorted by name */
    size_t count;
    uint8_t *copies; /* of the tensors that are not aligned in `bytes` */
};

/* A tensor and where its data lies, while a header is being checked. */
typedef struct Extent {
    uint64_t begin, end;
    StTensor *tensor;
} Extent;

const char *safetensors_dtype(StDtype dtype)
{
    return dtypes[dtype].name;
}

/* Names go into messages and file listings: printable ASCII, 1..ST_NAME_MAX-1 characters. */
static bool name_valid(const char *name)
{
    size_t length = strnlen(name, ST_NAME_MAX);

    if (length == 0 || length == ST_NAME_MAX)
        return false;
    for (size_t i = 0; i < length; i++)
        if (name[i] < 0x20 || name[i] > 0x7e)
            return false;
    return strcmp(name, METADATA_KEY) != 0;
}

/* The product of the dimensions, and the bytes it takes; false where that overflows. */
static bool tensor_size(const StTensor *tensor, uint64_t *ret_count, uint64_t *ret_bytes)
{
    size_t count = 1, bytes;

    for (uint32_t i = 0; i < tensor->rank; i++)
        if (!checked_mul(count, tensor->dim[i], &count))
            return false;
    if (!checked_mul(count, dtypes[tensor->dtype].bytes, &bytes))
        return false;
    *ret_count = count;
    *ret_bytes = bytes;
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const StTensor *)a)->name, ((const StTensor *)b)->name);
}

static int compare_extents(const void *a, const void *b)
{
    const Extent *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* ---- reading ---- */

static Status parse_dtype(const json_t *value, StTensor *tensor, Error *err)
{
    const char *name = json_string_value(value);

    for (int i = 0; name && i < DTYPES; i++)
        if (strcmp(name, dtypes[i].name) == 0) {
            tensor->dtype = (StDtype)i;
            return STATUS_OK;
        }
    return error_set(err, STATUS_CORRUPT, "safetensors: dtype of '%s' is not F32, I64 or F16",
                     tensor->name);
}

/* A JSON integer from 0 up. */
static bool parse_count(const json_t *value, uint64_t *ret)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *ret = (uint64_t)json_integer_value(value);
    return true;
}

static Status parse_shape(const json_t *value, StTensor *tensor, Error *err)
{
    if (!json_is_array(value) || json_array_size(value) > ST_RANK_MAX)
        return error_set(err, STATUS_CORRUPT,
                         "safetensors: shape of '%s' is not an array of at most %d dimensions",
                         tensor->name, ST_RANK_MAX);
    tensor->rank = (uint32_t)json_array_size(value);
    for (uint32_t i = 0; i < tensor->rank; i++)
        if (!parse_count(json_array_get(value, i), &tensor->dim[i]))
            return error_set(err, STATUS_CORRUPT,
                             "safetensors: dimension %u of '%s' is not a count", i, tensor->name);
    return STATUS_OK;
}

static Status parse_offsets(const json_t *value, Extent *extent, Error *err)
{
    if (json_array_size(value) != 2 || !parse_count(json_array_get(value, 0), &extent->begin) ||
        !parse_count(json_array_get(value, 1), &extent->end) || extent->begin > extent->end)
        return error_set(err, STATUS_CORRUPT,
                         "safetensors: data_offsets of '%s' are not [begin, end]",
                         extent->tensor->name);
    return STATUS_OK;
}

/* One entry of the header, by itself. */
static Status parse_entry(const json_t *entry, Extent *extent, Error *err)
{
    StTensor *tensor = extent->tensor;
    uint64_t bytes;
    Status s;

    if (!json_is_object(entry) || json_object_size(entry) != 3)
        return error_set(err, STATUS_CORRUPT,
                         "safetensors: '%s' is not an object of dtype, shape and data_offsets",
                         tensor->name);
    s = parse_dtype(json_object_get(entry, "dtype"), tensor, err);
    if (s == STATUS_OK)
        s = parse_shape(json_object_get(entry, "shape"), tensor, err);
    if (s == STATUS_OK)
        s = parse_offsets(json_object_get(entry, "data_offsets"), extent, err);
    if (s != STATUS_OK)
        return s;
    if (!tensor_size(tensor, &tensor->count, &bytes) || bytes != extent->end - extent->begin)
        return error_set(err, STATUS_CORRUPT,
                         "safetensors: '%s' has other data_offsets than its shape asks for",
                         tensor->name);
    return STATUS_OK;
}

static Status parse_metadata(const json_t *metadata, Error *err)
{
    const char *key;
    json_t *value;

    if (!metadata)
        return STATUS_OK;
    if (!json_is_object(metadata))
        return error_set(err, STATUS_CORRUPT, "safetensors: " METADATA_KEY " is not an object");
    json_object_foreach(
        (json_t *)metadata, key,
        value) if (!json_is_string(value)) return error_set(err, STATUS_CORRUPT,
                                                            "safetensors: " METADATA_KEY
                                                            " holds a value that is not a string");
    return STATUS_OK;
}

/* Entries in file order must follow each other from 0 to `data_bytes` exactly. */
static Status check_tiling(Extent *extents, size_t count, uint64_t data_bytes, Error *err)
{
    uint64_t at = 0;

    qsort(extents, count, sizeof(*extents), compare_extents);
    for (size_t i = 0; i < count; i++) {
        if (extents[i].begin != at)
            return error_set(err, STATUS_CORRUPT,
                             "safetensors: '%s' begins at byte %llu of the data, expected %llu",
                             extents[i].tensor->name, (unsigned long long)extents[i].begin,
                             (unsigned long long)at);
        at = extents[i].end;
    }
    if (at != data_bytes)
        return error_set(
            err, STATUS_CORRUPT,
            "safetensors: the file holds %llu bytes of data, its header speaks of %llu",
            (unsigned long long)data_bytes, (unsigned long long)at);
    return STATUS_OK;
}

/* Points the tensors at their data; where that would be misaligned, at copies. */
static Status place_data(StFile *file, const Extent *extents, const uint8_t *data, Error *err)
{
    size_t copied = 0, used = 0;

    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < file->count; i++) {
            const uint8_t *from = data + extents[i].begin;
            size_t bytes = (size_t)(extents[i].end - extents[i].begin);

            if ((uintptr_t)from % dtypes[extents[i].tensor->dtype].bytes == 0) {
                extents[i].tensor->data = from;
            } else if (pass == 0) {
                copied += (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
            } else {
                memcpy(file->copies + used, from, bytes);
                extents[i].tensor->data = file->copies + used;
                used += (bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
            }
        }
        if (pass == 0) {
            file->copies =
                malloc(copied + ALIGN_BYTES); /* a tensor without elements may be misaligned, too */
            if (!file->copies)
                return error_set(err, STATUS_NO_MEMORY, "safetensors: no memory for %zu bytes",
                                 copied);
        }
    }
    return STATUS_OK;
}

/* All entries: fills file->tensors. */
static Status parse_entries(StFile *file, const uint8_t *data, size_t data_bytes, Error *err)
{
    Extent *extents;
    const char *name;
    json_t *entry;
    size_t n = 0;
    Status s = STATUS_OK;

    file->tensors = calloc(file->count + 1, sizeof(*file->tensors));
    extents = calloc(file->count + 1, sizeof(*extents));
    if (!file->tensors || !extents) {
        free(extents);
        return error_set(err, STATUS_NO_MEMORY, "safetensors: no memory for %zu tensors",
                         file->count);
    }
    json_object_foreach(file->header, name, entry)
    {
        if (strcmp(name, METADATA_KEY) == 0)
            continue;
        if (!name_valid(name)) {
            s = error_set(err, STATUS_CORRUPT,
                          "safetensors: a name is not 1 to %d printable ASCII characters",
                          ST_NAME_MAX - 1);
            break;
        }
        file->tensors[n].name = name;
        extents[n].tensor = &file->tensors[n];
        s = parse_entry(entry, &extents[n], err);
        if (s != STATUS_OK)
            break;
        n++;
    }
    if (s == STATUS_OK)
        s = check_tiling(extents, file->count, data_bytes, err);
    if (s == STATUS_OK)
        s = place_data(file, extents, data, err);
    if (s == STATUS_OK) /* last: it moves what `extents` points to */
        qsort(file->tensors, file->count, sizeof(*file->tensors), compare_names);
    free(extents);
    return s;
}

static Status parse_file(StFile *file, Error *err)
{
    uint64_t length;
    json_error_t error;
    const json_t *metadata;
    const uint8_t *data;
    Status s;

    if (file->size < LENGTH_BYTES)
        return error_set(err, STATUS_CORRUPT, "safetensors: %zu bytes are too few for a header",
                         file->size);
    memcpy(&length, file->bytes, sizeof(length));
    if (length > ST_HEADER_BYTES_MAX)
        return error_set(err, STATUS_CORRUPT,
                         "safetensors: a header of %llu bytes, at most %d are read",
                         (unsigned long long)length, ST_HEADER_BYTES_MAX);
    if (length > file->size - LENGTH_BYTES)
        return error_set(err, STATUS_CORRUPT, "safetensors: the file ends within its header");
    data = file->bytes + LENGTH_BYTES + length;
    file->header = json_loadb((const char *)file->bytes + LENGTH_BYTES, (size_t)length,
                              JSON_REJECT_DUPLICATES, &error);
    if (!file->header)
        return error_set(err, STATUS_CORRUPT, "safetensors: the header is not valid JSON (byte %d)",
                         error.position);
    if (!json_is_object(file->header))
        return error_set(err, STATUS_CORRUPT, "safetensors: the header is not a JSON object");
    metadata = json_object_get(file->header, METADATA_KEY);
    file->count = json_object_size(file->header) - (metadata ? 1 : 0);
    if (file->count > ST_TENSORS_MAX)
        return error_set(err, STATUS_CORRUPT, "safetensors: %zu tensors, at most %d are read",
                         file->count, ST_TENSORS_MAX);
    s = parse_metadata(metadata, err);
    if (s != STATUS_OK)
        return s;
    return parse_entries(file, data, file->size - LENGTH_BYTES - (size_t)length, err);
}

static Status parse(const void *bytes, size_t size, bool mapped, StFile **ret, Error *err)
{
    StFile *file = calloc(1, sizeof(*file));
    Status s;

    if (!file) {
        if (mapped)
            munmap((void *)bytes, size);
        return error_set(err, STATUS_NO_MEMORY, "safetensors: no memory");
    }
    *file = (StFile){ .bytes = bytes, .size = size, .mapped = mapped };
    s = parse_file(file, err);
    if (s != STATUS_OK) {
        safetensors_close(file);
        return s;
    }
    *ret = file;
    return STATUS_OK;
}

Status safetensors_parse(const void *bytes, size_t size, StFile **ret, Error *err)
{
    return parse(bytes, size, false, ret, err);
}

Status safetensors_open(const char *path, StFile **ret, Error *err)
{
    struct stat info;
    Status s = STATUS_OK;
    void *bytes;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not make us wait */

    if (fd < 0)
        return error_errno(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "cannot open %s",
                           path);
    if (fstat(fd, &info) != 0) {
        s = error_errno(err, STATUS_IO, "cannot look at %s", path);
        close(fd);
        return s;
    }
    if (!S_ISREG(info.st_mode) || info.st_size == 0) {
        close(fd);
        return error_set(err, STATUS_CORRUPT, "%s is empty or no regular file", path);
    }
    bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        s = error_errno(err, STATUS_IO, "cannot map %s", path);
    close(fd);
    return s != STATUS_OK ? s : parse(bytes, (size_t)info.st_size, true, ret, err);
}

void safetensors_close(StFile *file)
{
    if (!file)
        return;
    json_decref(file->header);
    free(file->tensors);
    free(file->copies);
    if (file->mapped)
        munmap((void *)file->bytes, file->size);
    free(file);
}

size_t safetensors_count(const StFile *file)
{
    return file->count;
}

const StTensor *safetensors_at(const StFile *file, size_t i)
{
    return &file->tensors[i];
}

const StTensor *safetensors_find(const StFile *file, const char *name)
{
    const StTensor key = { .name = name };

    return bsearch(&key, file->tensors, file->count, sizeof(key), compare_names);
}

const char *safetensors_metadata(const StFile *file, const char *key)
{
    return json_string_value(json_object_get(json_object_get(file->header, METADATA_KEY), key));
}

size_t safetensors_metadata_count(const StFile *file)
{
    return json_object_size(json_object_get(file->header, METADATA_KEY));
}

StMeta safetensors_metadata_at(const StFile *file, size_t i)
{
    json_t *entries = json_object_get(file->header, METADATA_KEY);
    void *at = json_object_iter(entries);

    while (i-- > 0)
        at = json_object_iter_next(entries, at);
    return (StMeta){ json_object_iter_key(at), json_string_value(json_object_iter_value(at)) };
}

/* ---- writing ---- */

static int compare_metadata(const void *a, const void *b)
{
    return strcmp(((const StMeta *)a)->key, ((const StMeta *)b)->key);
}

/* Sorts in place; duplicate or invalid names are the caller's fault, but a file that cannot be read
 * is worse than an error. */
static Status sort_tensors(StTensor *tensors, size_t count, Error *err)
{
    uint64_t elements, bytes;

    if (count > ST_TENSORS_MAX)
        return error_set(err, STATUS_INVALID, "safetensors: %zu tensors, at most %d fit", count,
                         ST_TENSORS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!name_valid(tensors[i].name))
            return error_set(err, STATUS_INVALID, "safetensors: a tensor's name is not allowed");
        if ((unsigned)tensors[i].dtype >= DTYPES || tensors[i].rank > ST_RANK_MAX ||
            !tensor_size(&tensors[i], &elements, &bytes) || elements != tensors[i].count)
            return error_set(err, STATUS_INVALID,
                             "safetensors: dtype, shape or count of '%s' are wrong",
                             tensors[i].name);
    }
    qsort(tensors, count, sizeof(*tensors), compare_names);
    for (size_t i = 1; i < count; i++)
        if (strcmp(tensors[i - 1].name, tensors[i].name) == 0)
            return error_set(err, STATUS_INVALID, "safetensors: '%s' is there twice",
                             tensors[i].name);
    return STATUS_OK;
}

static json_t *tensor_entry(const StTensor *tensor, uint64_t begin, uint64_t end)
{
    json_t *shape = json_array();

    for (uint32_t i = 0; i < tensor->rank; i++)
        json_array_append_new(shape, json_integer((json_int_t)tensor->dim[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtypes[tensor->dtype].name, "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)end);
}

static json_t *metadata_entry(const StMeta *metadata, size_t count)
{
    json_t *entry = json_object();

    for (size_t i = 0; entry && i < count; i++)
        if (json_object_get(entry, metadata[i].key) ||
            json_object_set_new(entry, metadata[i].key, json_string(metadata[i].value)) != 0) {
            json_decref(entry);
            return NULL;
        }
    return entry;
}

/* The header as text, from sorted input. NULL: no memory, or text that is not UTF-8, or a key
 * twice. */
static char *header_text(const StTensor *tensors, size_t count, const StMeta *metadata,
                         size_t metadata_count)
{
    json_t *header = json_object();
    char *text = NULL;
    uint64_t at = 0;
    int failed = 0;

    if (metadata_count > 0)
        failed =
            json_object_set_new(header, METADATA_KEY, metadata_entry(metadata, metadata_count));
    for (size_t i = 0; i < count && !failed; i++) {
        uint64_t end = at + tensors[i].count * dtypes[tensors[i].dtype].bytes;

        failed = json_object_set_new(header, tensors[i].name, tensor_entry(&tensors[i], at, end));
        at = end;
    }
    if (!failed)
        text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    return text;
}

static Status write_bytes(FILE *file, const void *bytes, size_t size, Error *err)
{
    if (size > 0 && fwrite(bytes, 1, size, file) != size)
        return error_errno(err, STATUS_IO, "cannot write safetensors");
    return STATUS_OK;
}

static Status write_file(FILE *file, const char *header, const StTensor *tensors, size_t count,
                         Error *err)
{
    size_t length = strlen(header);
    size_t padding = (ALIGN_BYTES - length % ALIGN_BYTES) % ALIGN_BYTES;
    uint64_t total = length + padding;
    Status s;

    if (total > ST_HEADER_BYTES_MAX)
        return error_set(err, STATUS_INVALID, "safetensors: a header of %llu bytes, at most %d fit",
                         (unsigned long long)total, ST_HEADER_BYTES_MAX);
    s = write_bytes(file, &total, sizeof(total), err);
    if (s == STATUS_OK)
        s = write_bytes(file, header, length, err);
    if (s == STATUS_OK)
        s = write_bytes(file, "       ", padding, err);
    for (size_t i = 0; i < count && s == STATUS_OK; i++)
        s = write_bytes(file, tensors[i].data, tensors[i].count * dtypes[tensors[i].dtype].bytes,
                        err);
    return s;
}

Status safetensors_write(FILE *file, const StTensor *tensors, size_t count, const StMeta *metadata,
                         size_t metadata_count, Error *err)
{
    StTensor *sorted = calloc(count + 1, sizeof(*sorted));
    StMeta *sorted_metadata = calloc(metadata_count + 1, sizeof(*sorted_metadata));
    char *header = NULL;
    Status s;

    if (!sorted || !sorted_metadata) {
        s = error_set(err, STATUS_NO_MEMORY, "safetensors: no memory for %zu tensors", count);
        goto out;
    }
    if (count > 0)
        memcpy(sorted, tensors, count * sizeof(*sorted));
    if (metadata_count > 0)
        memcpy(sorted_metadata, metadata, metadata_count * sizeof(*sorted_metadata));
    qsort(sorted_metadata, metadata_count, sizeof(*sorted_metadata), compare_metadata);
    s = sort_tensors(sorted, count, err);
    if (s != STATUS_OK)
        goto out;
    header = header_text(sorted, count, sorted_metadata, metadata_count);
    if (!header) {
        s = error_set(err, STATUS_INVALID,
                      "safetensors: metadata keys must be distinct and all text UTF-8");
        goto out;
    }
    s = write_file(file, header, sorted, count, err);
out:
    free(header);
    free(sorted);
    free(sorted_metadata);
    return s;
}
