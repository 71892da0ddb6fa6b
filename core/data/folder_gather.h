/*
 * folder_gather -- what a directory or an archive brings, an entry at a time: paths, and the images
 * among them decoded and resized. Internal to the folder reader.
 *
 * What an encoded file costs is given back before the next one comes; what grows is bounded here:
 * the number of entries, the length of their paths, the bytes of decoded pixels.
 */
#pragma once

#include <stdbool.h>

#include "core/data/cifar.h"

enum {
    FOLDER_FILE_BYTES_MAX = 64 << 20, /* of one encoded image */
    FOLDER_PATH_MAX = 1024,
    FOLDER_ENTRIES_MAX = 2000000,
    GATHER_CIFAR_MAX = 64, /* files */
};
#define FOLDER_PATHS_BYTES_MAX ((size_t)256 << 20)
#define FOLDER_PIXELS_BYTES_MAX ((size_t)4 << 30)

typedef enum EntryKind {
    ENTRY_FOLDER,
    ENTRY_FOREIGN, /* no image */
    ENTRY_SKIPPED, /* an image, if it were readable */
    ENTRY_IMAGE,
} EntryKind;

typedef struct GatherEntry {
    size_t path; /* offset in `paths` */
    uint32_t order;
    uint32_t image; /* of an ENTRY_IMAGE: its position in `pixels` */
    EntryKind kind;
} GatherEntry;

typedef struct Gather {
    const char *label; /* the data set's name, for messages */
    uint32_t image_size;
    GatherEntry *entry; /* [count] */
    uint32_t count, entry_room;
    char *paths; /* NUL-terminated, one after the other */
    size_t paths_bytes, paths_room;
    uint8_t *pixels; /* [images,image_size,image_size,3] */
    uint32_t images, image_room;
    CifarFile cifar[GATHER_CIFAR_MAX]; /* of an archive: unpacked into memory; owned */
    uint32_t cifar_files;
    size_t cifar_bytes;
    uint32_t skipped, foreign;
    char skipped_names[DATASET_SKIPPED_NAMES_MAX];
} Gather;

void gather_clear(Gather *gather);

/*
 * The path as it is kept: no "./", no doubled or trailing "/". NULL, with the reason, where it
 * is absolute, holds "..", or is too long. ret has room for FOLDER_PATH_MAX bytes.
 */
const char *gather_path(const char *raw, char *ret, const char **ret_reason);

/* Does a part of the path begin with "." or is "__MACOSX"? Such files are nobody's images. */
bool gather_hidden(const char *path);

/* These take clean paths; what is hidden is counted as foreign. They fail when a bound is
 * exceeded (STATUS_INVALID) or with STATUS_NO_MEMORY; a bad image only counts. */
CHECKED Status gather_folder(Gather *gather, const char *path, Error *err);
CHECKED Status gather_file(Gather *gather, const char *path, const uint8_t *bytes, size_t size,
                           Error *err);
/* A file that is no image and need not be read any further. */
CHECKED Status gather_foreign(Gather *gather, const char *path, Error *err);
/* A file that is left out: "PATH (REASON)". */
CHECKED Status gather_skip(Gather *gather, const char *path, const char *reason, Error *err);

/*
 * A file with a CIFAR layout's name: *ret_fd, which stays the gatherer's, takes its contents. It
 * is STATUS_INVALID if there was one of that name or there are too many.
 */
CHECKED Status gather_cifar(Gather *gather, const char *path, int *ret_fd, Error *err);

/* Do these files make up the data set? Not beside images. */
bool gather_is_cifar(const Gather *gather);

/* The same count and note without an entry: `path` is text for the note, and no clean path. */
void gather_note(Gather *gather, const char *path, const char *reason);

static inline const char *gather_entry_path(const Gather *gather, const GatherEntry *entry)
{
    return gather->paths + entry->path;
}

size_t gather_image_bytes(const Gather *gather);

/* Is it UTF-8 without control characters? */
bool gather_text(const char *text);
