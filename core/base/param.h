/*
 * param -- a parameter described by a table row, and the choice of a row with its values.
 *
 * Operations, models, augmentations, optimisers, schedules and job kinds all describe what they
 * take in the same words. Validation, the error's JSON pointer, GET /api/v1/kinds, the dashboard's
 * form and the reference page come from these rows and from nowhere else. Every scalar fits a
 * double (integers up to 2^53).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/base/error.h"

typedef enum ParamType {
    PARAM_BOOL, /* 0 or 1 */
    PARAM_INT,
    PARAM_REAL,
    PARAM_ENUM, /* value = index into `choices`; the name goes to disk and over the wire */
    PARAM_TEXT, /* kept in Choice.text; `choices`: names it may be, or NULL; others are up to who
                   reads it. At most one in a row */
} ParamType;

typedef struct Param {
    const char *name;
    ParamType type;
    double fallback;            /* the default; of TEXT: index into `choices` */
    double min, max;            /* inclusive; of INT and REAL */
    const char *const *choices; /* of ENUM and TEXT: NULL-terminated names */
    const char *help;           /* one line, with the unit */
} Param;

enum { PARAMS_MAX = 16, CHOICE_TEXT_MAX = 4096 }; /* a space that lists every edge's candidates */

/* What every row of every table starts with. */
typedef struct Described {
    const char *name;
    const char *summary;
    const Param *params;
    uint32_t count; /* of params, at most PARAMS_MAX */
} Described;

/* One row of some table, with a value for each of its parameters, in table order. */
typedef struct Choice {
    uint32_t row;
    double value[PARAMS_MAX];
    char text[CHOICE_TEXT_MAX]; /* of the row's PARAM_TEXT, else "" */
} Choice;

/*
 * The index of the row named `name`, or -1. `table` is a NULL-terminated array of pointers to rows
 * that begin with a Described: op_table, model_table, augmentation_table and so on.
 */
int table_find(const void *table, const char *name);

/* The index of parameter `name`, or -1. */
int param_find(const Described *row, const char *name);
/* The index of `name` among an ENUM's choices, or -1. */
int param_choice(const Param *param, const char *name);
/* Checks type and range of one value; the message names what is allowed. */
CHECKED Status param_check(const Param *param, double value, Error *err);
/* Fills value[] with the defaults. */
void param_defaults(const Described *row, double value[PARAMS_MAX]);
/* Row `row` of `table` (as in table_find()) with its defaults. */
void choice_init(const void *table, uint32_t row, Choice *ret);
/* Sets the parameter `name` of the choice's row, if it has one of that name. */
void choice_set(const void *table, Choice *choice, const char *name, double value);
