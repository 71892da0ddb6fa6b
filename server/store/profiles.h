/* profiles -- where the time of a job's training steps went: one JSON object a job. */
#pragma once

#include "server/store/store.h"

/* Writes: takes the place of an older one. */
CHECKED Status store_profile_put(Store *store, int64_t job, const char *json, Error *err);
/* Reads: to be freed. STATUS_NOT_FOUND. */
CHECKED Status store_profile_get(Store *store, int64_t job, char **ret, Error *err);
