/*
 * datasets -- the operator's words for data on disk, and the generated "shapes". Each is opened
 * when first asked for, once, and kept for the life of the process. One that does not open stops
 * nothing: jobs that name it are refused. Any thread.
 */
#pragma once

#include "core/data/dataset.h"

typedef struct Datasets Datasets;

enum { DATASETS_MAX = 64 };

/*
 * specs: [count] texts "NAME=PATH"; a NAME is 1..63 of A-Z a-z 0-9 . _ - and not "shapes".
 * STATUS_INVALID names the text at fault.
 */
CHECKED Status datasets_new(const char *const *specs, size_t count, Datasets **ret, Error *err);
void datasets_free(Datasets *datasets); /* NULL is fine; nothing of it may be in use */

/*
 * STATUS_INVALID: unknown (the message lists the names), or not readable (the reader's message).
 * *ret lives as long as `datasets`. What did not open is tried again the next time.
 */
CHECKED Status datasets_get(Datasets *datasets, const char *name, const Dataset **ret, Error *err);

/* Names in the order given, "shapes" first; NULL past the end. */
const char *datasets_name(const Datasets *datasets, size_t i);
