/*
 * fields -- tables that say how a JSON object becomes a struct, and back.
 *
 * A Field is one key of the object and one member of the struct. From the same table come parsing
 * (every bad field is named at once, by JSON pointer), writing with every default filled in, and
 * the description that GET /api/v1/kinds publishes. What is absent gets its default; an unknown key
 * is an error. Pure functions: any thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/param.h"

typedef enum FieldType {
    FIELD_SCALAR,     /* a Param; stored as `store` says */
    FIELD_UINT,       /* a non-negative integer or null; stored as OptionalUint, default null */
    FIELD_OPTIONAL,   /* a Param or null; stored as OptionalReal, default null */
    FIELD_STRING,     /* stored as char[capacity]; with FIELD_NULLABLE "" <-> null; where its Param
                         has choices, it may be one of them (FIELD_WORDS_ROW) */
    FIELD_OBJECT,     /* stored as a struct that `fields` describe */
    FIELD_LIST,       /* a list of those; stored as struct[capacity] and a uint32_t count */
    FIELD_CHOICE,     /* {"name": row, its parameters...}; stored as Choice. Parameters x1, x2, ...
                         may also come as one list "xs" */
    FIELD_CHOICES,    /* a list of those; stored as Choice[capacity] and a uint32_t count */
    FIELD_CHECKPOINT, /* {"job": id, "epoch": "latest"|"best"|N}; stored as CheckpointRef */
    FIELD_EPOCH,      /* "latest"|"best"|N; stored in a CheckpointRef, whose job is another field */
    FIELD_REFERENCE,  /* an id, or text that says the thing itself; stored as TextRef */
    FIELD_TAGS,       /* a list of strings; stored as Tags */
    FIELD_NUMBERS,    /* a list of numbers, each as the Param says; stored as double[capacity] and a
                         uint32_t count */
} FieldType;

typedef enum FieldStore { STORE_BOOL, STORE_U32, STORE_U64, STORE_DOUBLE } FieldStore;

enum { FIELD_REQUIRED = 1, FIELD_NULLABLE = 2 };

/* The row of a FIELD_NULLABLE choice that is null, as it is unless somebody says another. */
#define CHOICE_NONE UINT32_MAX

typedef struct Field {
    Param param; /* name and help of every field; of SCALAR and UINT also type, default, range,
                    choices */
    FieldType type;
    FieldStore store;    /* of SCALAR */
    unsigned flags;      /* FIELD_... */
    size_t offset;       /* of the member in the struct */
    size_t capacity;     /* STRING: bytes with the NUL; CHOICES, LIST, NUMBERS: elements */
    size_t size;         /* LIST: bytes of an element */
    size_t count_offset; /* CHOICES, LIST, NUMBERS: where the uint32_t count is */
    const char *text;    /* STRING: the default, NULL = ""; CHOICE: name of the default row */
    const struct Field *fields; /* OBJECT, LIST */
    uint32_t field_count;       /* OBJECT, LIST */
    const void *table; /* CHOICE(S): NULL-terminated array of pointers to structs that begin with
                          Described */
} Field;

typedef struct OptionalUint {
    bool set;
    uint64_t value; /* 0 where not set */
} OptionalUint;

typedef struct OptionalReal {
    bool set;
    double value; /* 0 where not set; of an enum: the index */
} OptionalReal;

typedef enum CheckpointWhich {
    CHECKPOINT_LATEST,
    CHECKPOINT_BEST,
    CHECKPOINT_EPOCH
} CheckpointWhich;

typedef struct CheckpointRef {
    uint64_t job; /* 0: none (only where the field is FIELD_NULLABLE) */
    CheckpointWhich which;
    uint32_t epoch; /* of CHECKPOINT_EPOCH */
} CheckpointRef;

enum { TEXT_REF_BYTES = 1024 };

typedef struct TextRef {
    uint64_t id; /* 0: `text` says it */
    char text[TEXT_REF_BYTES];
} TextRef;

enum { TAGS_MAX = 16, TAG_BYTES = 64 };

typedef struct Tags {
    uint32_t count;
    char tag[TAGS_MAX][TAG_BYTES];
} Tags;

/* Rows of a field table: FIELD_X_ROW(struct, member, "key", ...). */
#define FIELD_NUMBER_ROW(S, m, key, kind, where, fallback_, low, high, help_)            \
    {                                                                                    \
        .param = { key, kind, fallback_, low, high, NULL, help_ }, .type = FIELD_SCALAR, \
        .store = where, .offset = offsetof(S, m)                                         \
    }
#define FIELD_BOOL_ROW(S, m, key, fallback_, help_) \
    FIELD_NUMBER_ROW(S, m, key, PARAM_BOOL, STORE_BOOL, fallback_, 0, 1, help_)
#define FIELD_U32_ROW(S, m, key, fallback_, low, high, help_) \
    FIELD_NUMBER_ROW(S, m, key, PARAM_INT, STORE_U32, fallback_, low, high, help_)
#define FIELD_U64_ROW(S, m, key, fallback_, low, high, help_) \
    FIELD_NUMBER_ROW(S, m, key, PARAM_INT, STORE_U64, fallback_, low, high, help_)
#define FIELD_REAL_ROW(S, m, key, fallback_, low, high, help_) \
    FIELD_NUMBER_ROW(S, m, key, PARAM_REAL, STORE_DOUBLE, fallback_, low, high, help_)
/* The member is a uint32_t (or an enum of that size): the index into `names`. */
#define FIELD_ENUM_ROW(S, m, key, fallback_, names, help_)                                 \
    {                                                                                      \
        .param = { key, PARAM_ENUM, fallback_, 0, 0, names, help_ }, .type = FIELD_SCALAR, \
        .store = STORE_U32, .offset = offsetof(S, m)                                       \
    }
#define FIELD_UINT_ROW(S, m, key, low, high, help_)                                 \
    {                                                                               \
        .param = { key, PARAM_INT, 0, low, high, NULL, help_ }, .type = FIELD_UINT, \
        .flags = FIELD_NULLABLE, .offset = offsetof(S, m)                           \
    }
#define FIELD_OPTIONAL_ROW(S, m, key, kind, low, high, names, help_)                \
    {                                                                               \
        .param = { key, kind, 0, low, high, names, help_ }, .type = FIELD_OPTIONAL, \
        .flags = FIELD_NULLABLE, .offset = offsetof(S, m)                           \
    }
#define FIELD_STRING_ROW(S, m, key, flags_, default_, help_)                            \
    {                                                                                   \
        .param = { .name = key, .help = help_ }, .type = FIELD_STRING, .flags = flags_, \
        .offset = offsetof(S, m), .capacity = sizeof(((S *)0)->m), .text = default_     \
    }
/* A text that may be one of `names`, or JSON where architecture.h has a reader for them. */
#define FIELD_WORDS_ROW(S, m, key, names, default_, help_)                               \
    {                                                                                    \
        .param = { .name = key, .choices = names, .help = help_ }, .type = FIELD_STRING, \
        .offset = offsetof(S, m), .capacity = sizeof(((S *)0)->m), .text = default_      \
    }
#define FIELD_OBJECT_ROW(S, m, key, rows, help_)                                                 \
    {                                                                                            \
        .param = { .name = key, .help = help_ }, .type = FIELD_OBJECT, .offset = offsetof(S, m), \
        .fields = rows, .field_count = sizeof(rows) / sizeof((rows)[0])                          \
    }
/* null: the defaults of all that is in it. */
#define FIELD_MAYBE_OBJECT_ROW(S, m, key, rows, help_)                                            \
    {                                                                                             \
        .param = { .name = key, .help = help_ }, .type = FIELD_OBJECT, .flags = FIELD_NULLABLE,   \
        .offset = offsetof(S, m), .fields = rows, .field_count = sizeof(rows) / sizeof((rows)[0]) \
    }
#define FIELD_LIST_ROW(S, m, count, key, rows, help_)                                             \
    {                                                                                             \
        .param = { .name = key, .help = help_ }, .type = FIELD_LIST, .offset = offsetof(S, m),    \
        .capacity = sizeof(((S *)0)->m) / sizeof(((S *)0)->m[0]), .size = sizeof(((S *)0)->m[0]), \
        .count_offset = offsetof(S, count), .fields = rows,                                       \
        .field_count = sizeof(rows) / sizeof((rows)[0])                                           \
    }
#define FIELD_CHOICE_ROW(S, m, key, rows, default_, help_)                                       \
    {                                                                                            \
        .param = { .name = key, .help = help_ }, .type = FIELD_CHOICE, .offset = offsetof(S, m), \
        .table = rows, .text = default_                                                          \
    }
/* null: no choice (CHOICE_NONE). */
#define FIELD_MAYBE_CHOICE_ROW(S, m, key, rows, help_)                                          \
    {                                                                                           \
        .param = { .name = key, .help = help_ }, .type = FIELD_CHOICE, .flags = FIELD_NULLABLE, \
        .offset = offsetof(S, m), .table = rows                                                 \
    }
#define FIELD_CHOICES_ROW(S, m, count, key, rows, help_)                                          \
    {                                                                                             \
        .param = { .name = key, .help = help_ }, .type = FIELD_CHOICES, .offset = offsetof(S, m), \
        .capacity = sizeof(((S *)0)->m) / sizeof(Choice), .count_offset = offsetof(S, count),     \
        .table = rows                                                                             \
    }
#define FIELD_CHECKPOINT_ROW(S, m, key, flags_, help_)                                      \
    {                                                                                       \
        .param = { .name = key, .help = help_ }, .type = FIELD_CHECKPOINT, .flags = flags_, \
        .offset = offsetof(S, m)                                                            \
    }
/* The member is the CheckpointRef, or one that a row above has filled in part. */
#define FIELD_EPOCH_ROW(S, m, key, help_)                                                      \
    {                                                                                          \
        .param = { .name = key, .help = help_ }, .type = FIELD_EPOCH, .offset = offsetof(S, m) \
    }
/* A required id: the member is a uint64_t. */
#define FIELD_ID_ROW(S, m, key, help_)                                                            \
    {                                                                                             \
        .param = { key, PARAM_INT, 0, 1, 9007199254740991.0, NULL, help_ }, .type = FIELD_SCALAR, \
        .store = STORE_U64, .flags = FIELD_REQUIRED, .offset = offsetof(S, m)                     \
    }
/* names: as of FIELD_WORDS_ROW. */
#define FIELD_REFERENCE_ROW(S, m, key, names, flags_, help_)                                \
    {                                                                                       \
        .param = { .name = key, .choices = names, .help = help_ }, .type = FIELD_REFERENCE, \
        .flags = flags_, .offset = offsetof(S, m)                                           \
    }
/* kind: PARAM_INT or PARAM_REAL. */
#define FIELD_NUMBERS_ROW(S, m, count, key, kind, low, high, help_)                 \
    {                                                                               \
        .param = { key, kind, 0, low, high, NULL, help_ }, .type = FIELD_NUMBERS,   \
        .offset = offsetof(S, m), .capacity = sizeof(((S *)0)->m) / sizeof(double), \
        .count_offset = offsetof(S, count)                                          \
    }
#define FIELD_TAGS_ROW(S, m, key, help_)                                                      \
    {                                                                                         \
        .param = { .name = key, .help = help_ }, .type = FIELD_TAGS, .offset = offsetof(S, m) \
    }

/*
 * Fills `target` (the whole struct: every field is written) from `object`, which may be NULL for an
 * absent object: all defaults. STATUS_INVALID names every bad field in `err` by pointers relative
 * to `object` ("/optimizer/lr"); the target then holds defaults where a field was bad. `err` may
 * already hold other details.
 */
CHECKED Status fields_parse(const Field *fields, uint32_t count, const json_t *object, void *target,
                            Error *err);

/* The struct as JSON, every default filled in; NULL when out of memory. The caller owns it. */
json_t *fields_json(const Field *fields, uint32_t count, const void *source);

/* [{name, type, default, min, max, choices, required, nullable, help, fields, options}]; NULL when
 * out of memory. `defaults`: an object that objects are laid over (json_lay_over()) before they are
 * parsed, whose values are the defaults then; NULL: none. */
json_t *fields_describe(const Field *fields, uint32_t count, const json_t *defaults);
