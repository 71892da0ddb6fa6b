/*
 * cifar -- the official CIFAR-10 and CIFAR-100 binary layouts
 * (https://www.cs.toronto.edu/~kriz/cifar.html).
 *
 * A file is a run of records: label byte(s), then 32x32 red, 32x32 green, 32x32 blue, each by rows.
 * Internal to this folder, but for tests and the fuzzer, which hand bytes to the parsers directly.
 * Nothing here asserts on what it reads.
 */
#pragma once

#include <stddef.h>

#include "core/data/storage.h"

enum {
    CIFAR_SIDE = 32,
    CIFAR_PIXELS = CIFAR_SIDE * CIFAR_SIDE,
    CIFAR_IMAGE_BYTES = 3 * CIFAR_PIXELS
};

typedef struct CifarLayout {
    const char *layout; /* "cifar10" */
    const char *title;  /* "CIFAR-10" */
    uint32_t classes;
    uint32_t label_bytes; /* the last is the label: CIFAR-100 puts the coarse one in front */
    const char *names_file;
    const char *const *class_names; /* the official ones */
    float mean[3], std[3];
} CifarLayout;

extern const CifarLayout cifar10_layout, cifar100_layout;

size_t cifar_record_bytes(const CifarLayout *layout);

/*
 * Records -> ret_pixels [records,32,32,3] and ret_labels [records]; both have room for size /
 * record bytes. `file` and `offset` (of bytes[0] in it) are for messages. STATUS_INVALID: not whole
 * records, or a label out of range.
 */
CHECKED Status cifar_parse(const CifarLayout *layout, const char *file, uint64_t offset,
                           const uint8_t *bytes, size_t size, uint8_t *ret_pixels,
                           uint16_t *ret_labels, Error *err);

/*
 * One class name a line, empty lines skipped -> ret_names[classes], NUL-terminated. STATUS_INVALID:
 * another number of names, a name that is too long or not printable ASCII.
 */
CHECKED Status cifar_parse_names(const char *file, const uint8_t *bytes, size_t size,
                                 uint32_t classes, char (*ret_names)[CLASS_NAME_MAX], Error *err);

/* Is `path` a directory with a file that has one of the layouts' names? */
bool cifar_present(const char *path);

/* The layouts have one image size; 0 stands for it. STATUS_INVALID at "/image_size". */
CHECKED Status cifar_check_size(const char *name, uint32_t image_size, Error *err);

/* dataset_open() for a directory that holds one of these layouts. */
CHECKED Status cifar_open(const char *name, const char *path, Dataset **ret, Error *err);

enum { CIFAR_FILE_NAME_MAX = 32 };

/* A file that comes from elsewhere than a directory. */
typedef struct CifarFile {
    char name[CIFAR_FILE_NAME_MAX];
    int fd; /* of something that can be read from its start and knows its length */
} CifarFile;

typedef enum CifarKind { CIFAR_NONE, CIFAR_NAMES, CIFAR_RECORDS } CifarKind;

/* Is `name` (without folders) that of a file of class names or of records, in either layout? */
CifarKind cifar_kind(const char *name);

/* dataset_open() for files that, with their names, make up one of these layouts. Reads from the
 * descriptors, which stay the caller's. */
CHECKED Status cifar_open_files(const char *name, const CifarFile *files, uint32_t count,
                                Dataset **ret, Error *err);
