/*
 * A file is a header, the class names, labels and pixels, as they lie in memory: a cache is not
 * moved between machines, and another byte order makes another version number. The digest covers
 * all of it but itself; nothing is allocated before the file's length agrees with the header.
 */
#include "core/data/folder_cache.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/durable.h"
#include "core/data/storage.h"

enum { CACHE_VERSION = 1 }; /* raise it when decoding, resizing or the order change, too */

typedef struct CacheHeader {
    char magic[8];
    uint32_t version, image_size, classes, images[2], skipped, foreign;
    float mean[3], std[3];
    char skipped_names[DATASET_SKIPPED_NAMES_MAX];
    Fingerprint source;
    Fingerprint digest; /* last: of all before it, and of what follows the header */
} CacheHeader;

static const char magic[8] = "LEASEDFC";

void fingerprint_add(Fingerprint *fingerprint, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t a = fingerprint->word[0] ^ size, b = fingerprint->word[1] + size;

    while (size > 0) {
        size_t part = size < 8 ? size : 8;
        uint64_t word = 0;

        memcpy(&word, at, part);
        a = (a ^ word) * 0x9e3779b97f4a7c15u;
        a ^= a >> 32;
        b = (b + word) * 0xd6e8feb86659fd93u;
        b ^= b >> 29;
        at += part;
        size -= part;
    }
    fingerprint->word[0] = a;
    fingerprint->word[1] = b;
}

static char *cache_path(const CacheKey *key)
{
    Fingerprint name = key->path;
    char *path = NULL;

    fingerprint_add(&name, &key->image_size, sizeof key->image_size);
    if (asprintf(&path, "%s/folder-%016" PRIx64 "%016" PRIx64 ".images", key->folder, name.word[0],
                 name.word[1]) < 0)
        return NULL;
    return path;
}

/* The pieces that follow the header. */
typedef struct Piece {
    void *at;
    size_t bytes;
} Piece;

enum { PIECES = 5 };

static void pieces(const CacheHeader *header, const DatasetRoom *room, Piece ret[PIECES])
{
    size_t image_bytes = (size_t)header->image_size * header->image_size * 3;

    ret[0] = (Piece){ room->class_names, header->classes * sizeof *room->class_names };
    for (int i = 0; i < 2; i++) {
        ret[1 + i] = (Piece){ room->set[i].labels, header->images[i] * sizeof(uint16_t) };
        ret[3 + i] = (Piece){ room->set[i].pixels, header->images[i] * image_bytes };
    }
}

static Fingerprint digest_of(const CacheHeader *header, const Piece piece[PIECES])
{
    Fingerprint digest = { { 0, 0 } };

    fingerprint_add(&digest, header, offsetof(CacheHeader, digest));
    for (int i = 0; i < PIECES; i++)
        fingerprint_add(&digest, piece[i].at, piece[i].bytes);
    return digest;
}

/* ---- Reading ---- */

/* Is it the header of a file of `bytes` bytes that belongs to the key? */
static bool header_fits(const CacheHeader *header, const CacheKey *key, uint64_t bytes)
{
    const DatasetRoom nowhere = { 0 };
    Piece piece[PIECES];
    uint64_t wanted = sizeof *header;

    if (memcmp(header->magic, magic, sizeof magic) != 0 || header->version != CACHE_VERSION ||
        header->image_size != key->image_size || header->classes > DATASET_CLASSES_MAX ||
        memcmp(&header->source, &key->source, sizeof header->source) != 0)
        return false;
    pieces(header, &nowhere, piece);
    for (int i = 0; i < PIECES; i++)
        wanted += piece[i].bytes;
    return wanted == bytes;
}

/* The digest says that it is what was written; this, that nothing can be read out of bounds even if
 * somebody made the digest fit. */
static bool contents_fit(const CacheHeader *header, const DatasetRoom *room)
{
    bool fit = memchr(header->skipped_names, '\0', sizeof header->skipped_names) != NULL;

    for (uint32_t i = 0; i < header->classes; i++)
        fit &= memchr(room->class_names[i], '\0', CLASS_NAME_MAX) != NULL;
    for (int set = 0; set < 2; set++)
        for (uint32_t i = 0; i < header->images[set]; i++)
            fit &= room->set[set].labels[i] < header->classes;
    return fit;
}

static Dataset *contents_read(FILE *file, const CacheHeader *header, const CacheKey *key)
{
    const DatasetPlan plan = { .name = key->label,
                               .layout = "folder",
                               .height = key->image_size,
                               .width = key->image_size,
                               .channels = 3,
                               .classes = header->classes,
                               .images = { header->images[0], header->images[1] } };
    Dataset *dataset = NULL;
    DatasetRoom room;
    Piece piece[PIECES];
    Fingerprint digest;
    bool good = true;

    if (dataset_new(&plan, &dataset, &room, NULL) != STATUS_OK)
        return NULL;
    pieces(header, &room, piece);
    for (int i = 0; i < PIECES; i++)
        good &= fread(piece[i].at, 1, piece[i].bytes, file) == piece[i].bytes;
    if (good) {
        digest = digest_of(header, piece);
        good = memcmp(&digest, &header->digest, sizeof digest) == 0 && contents_fit(header, &room);
    }
    if (!good) {
        dataset_free(dataset);
        return NULL;
    }
    memcpy(dataset->mean, header->mean, sizeof header->mean);
    memcpy(dataset->std, header->std, sizeof header->std);
    memcpy(dataset->skipped_names, header->skipped_names, sizeof header->skipped_names);
    dataset->skipped = header->skipped;
    dataset->foreign = header->foreign;
    return dataset;
}

Dataset *folder_cache_read(const CacheKey *key)
{
    char *path = cache_path(key);
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "rb");
    Dataset *dataset = NULL;
    CacheHeader header;
    struct stat st;

    if (file != NULL && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
        fread(&header, sizeof header, 1, file) == 1 &&
        header_fits(&header, key, (uint64_t)st.st_size))
        dataset = contents_read(file, &header, key);
    if (file != NULL)
        fclose(file);
    else if (fd >= 0)
        close(fd);
    free(path);
    return dataset;
}

/* ---- Writing ---- */

/* The data set's memory, as dataset_new() laid it out. */
static DatasetRoom room_of(const Dataset *dataset)
{
    return (DatasetRoom){
        .set = { { (uint8_t *)dataset->train.pixels, (uint16_t *)dataset->train.labels, NULL },
                 { (uint8_t *)dataset->test.pixels, (uint16_t *)dataset->test.labels, NULL } },
        .class_names = (char(*)[CLASS_NAME_MAX])dataset->class_names[0],
    };
}

static void header_fill(CacheHeader *header, const CacheKey *key, const Dataset *dataset)
{
    memset(header, 0, sizeof *header); /* what lies between the fields is written, too */
    memcpy(header->magic, magic, sizeof magic);
    header->version = CACHE_VERSION;
    header->image_size = key->image_size;
    header->classes = dataset->classes;
    header->images[0] = dataset->train.images;
    header->images[1] = dataset->test.images;
    header->skipped = dataset->skipped;
    header->foreign = dataset->foreign;
    memcpy(header->mean, dataset->mean, sizeof header->mean);
    memcpy(header->std, dataset->std, sizeof header->std);
    memcpy(header->skipped_names, dataset->skipped_names, sizeof header->skipped_names);
    header->source = key->source;
}

static Status cache_write(const CacheKey *key, const char *path, const Dataset *dataset)
{
    DatasetRoom room = room_of(dataset);
    DurableFile file = { 0 };
    CacheHeader header;
    Piece piece[PIECES];
    bool good;
    Status s = durable_open(&file, path, NULL);

    if (s != STATUS_OK)
        return s;
    header_fill(&header, key, dataset);
    pieces(&header, &room, piece);
    header.digest = digest_of(&header, piece);
    good = fwrite(&header, sizeof header, 1, file.stream) == 1;
    for (int i = 0; i < PIECES; i++)
        good = good && fwrite(piece[i].at, 1, piece[i].bytes, file.stream) == piece[i].bytes;
    if (good)
        return durable_commit(&file, NULL);
    durable_abort(&file);
    return STATUS_IO;
}

void folder_cache_write(const CacheKey *key, const Dataset *dataset)
{
    char *path = cache_path(key);

    if (path != NULL && cache_write(key, path, dataset) != STATUS_OK)
        unlink(path); /* a stale one is of no use, either */
    free(path);
}
