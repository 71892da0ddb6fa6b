/*
 * bench -- what the benchmarks share: options, rows of tables by name, and the times of steps.
 *
 * What counts is the time from one step's end to the next's, batches and augmentation included,
 * after a few steps to warm up.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "core/base/param.h"
#include "core/kernels/kernels.h"

enum { STEPS_MAX = 1000, OPTION_TEXT_MAX = 64 };

/* One option: a number or, where `value` is NULL, a text of OPTION_TEXT_MAX. */
typedef struct Option {
    const char *name; /* "--batch=" */
    unsigned *value;
    char *text;
} Option;

typedef struct Record {
    double finished[STEPS_MAX]; /* seconds */
    double first_loss, last_loss;
    unsigned steps;
} Record;

/* `list` ends with a row without a name. */
static inline int bench_options(int argc, char **argv, const Option *list)
{
    for (int i = 1; i < argc; i++) {
        const Option *o = list;

        while (o->name != NULL && strncmp(argv[i], o->name, strlen(o->name)) != 0)
            o++;
        if (o->name == NULL)
            return -1;
        if (o->value != NULL)
            *o->value = (unsigned)strtoul(argv[i] + strlen(o->name), NULL, 10);
        else
            snprintf(o->text, OPTION_TEXT_MAX, "%s", argv[i] + strlen(o->name));
    }
    return 0;
}

/* The row `name` of a table (every row begins with its Described), with defaults. */
static inline Choice bench_row(const void *table, const char *name)
{
    int row = table_find(table, name);
    Choice ret = { 0 };

    if (row < 0) {
        fprintf(stderr, "bench: there is no %s\n", name);
        exit(1);
    }
    choice_init(table, (uint32_t)row, &ret);
    return ret;
}

static inline void bench_set(Choice *choice, const void *table, const char *parameter, double value)
{
    const Described *const *rows = table;
    int at = param_find(rows[choice->row], parameter);

    if (at < 0) {
        fprintf(stderr, "bench: %s has no %s\n", rows[choice->row]->name, parameter);
        exit(1);
    }
    choice->value[at] = value;
}

/* One of a parameter's words. */
static inline void bench_set_name(Choice *choice, const void *table, const char *parameter,
                                  const char *word)
{
    const Described *const *rows = table;
    const Described *row = rows[choice->row];
    int at = param_find(row, parameter);

    for (int i = 0; at >= 0 && row->params[at].choices[i] != NULL; i++)
        if (strcmp(row->params[at].choices[i], word) == 0) {
            choice->value[at] = i;
            return;
        }
    fprintf(stderr, "bench: %s has no %s %s\n", row->name, parameter, word);
    exit(1);
}

static inline void bench_record(Record *record, double loss)
{
    struct timespec t;

    if (record->steps == STEPS_MAX)
        return;
    clock_gettime(CLOCK_MONOTONIC, &t);
    if (record->steps == 0)
        record->first_loss = loss;
    record->last_loss = loss;
    record->finished[record->steps++] = (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static inline double bench_median_step(const Record *record, unsigned warm)
{
    static double seconds[STEPS_MAX];
    unsigned count = record->steps - warm;

    for (unsigned i = 0; i < count; i++)
        seconds[i] = record->finished[warm + i] - record->finished[warm + i - 1];
    qsort(seconds, count, sizeof *seconds, bench_compare);
    return (seconds[(count - 1) / 2] + seconds[count / 2]) / 2;
}

/* The line of JSON; `what` are further members: "\"width\": 64, ". */
static inline void bench_print(const Record *record, const char *what, unsigned batch,
                               unsigned threads, unsigned warm)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    printf(
        "{\"name\": \"leased\", \"kernels\": \"%s\", %s\"batch\": %u, \"threads\": %u, "
        "\"steps\": %u, \"images_per_second\": %.3f, \"seconds\": %.6f, \"peak_rss_bytes\": %ld, "
        "\"first_loss\": %.9g, \"last_loss\": %.9g}\n",
        kernels_family(), what, batch, threads, record->steps - warm,
        batch / bench_median_step(record, warm),
        record->finished[record->steps - 1] - record->finished[warm - 1], usage.ru_maxrss * 1024,
        record->first_loss, record->last_loss);
}
