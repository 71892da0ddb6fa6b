/*
 * parallel -- a pool of threads that work off numbered units.
 *
 * How work is cut into units, and the order in which their results are combined, is the caller's
 * business and must come from shapes alone: then the numbers do not depend on how many threads
 * there are. Units of one call may run in any order and at the same time; they take no locks and
 * allocate nothing. A pool belongs to the thread that made it; that thread works, too, so `threads
 * = 1` starts none. New threads inherit the niceness of their maker. Every thread runs with the
 * same floating-point control word.
 */
#pragma once

#include <stddef.h>

#include "core/base/error.h"

enum { POOL_THREADS_MAX = 64 };

typedef struct Pool Pool;
typedef void (*PoolBody)(void *context, size_t unit);

/* threads: 1..POOL_THREADS_MAX; may exceed the cores. */
CHECKED Status pool_new(unsigned threads, Pool **ret, Error *err);
/* Stops and joins; NULL is fine. */
void pool_free(Pool *pool);
unsigned pool_threads(const Pool *pool);
/* Runs body(context, 0..units-1); returns when all are done. Not reentrant. */
void pool_run(Pool *pool, size_t units, PoolBody body, void *context);

/* The cores this process may run on, 1..POOL_THREADS_MAX. */
unsigned pool_default_threads(void);
