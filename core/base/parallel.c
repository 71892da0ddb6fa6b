/*
 * One call of pool_run() is one generation: the maker publishes (body, context, units) under the
 * lock, wakes the others, works along, and waits until every helper has left the generation. Units
 * are taken one by one from an atomic counter: they are coarse (a block of images), so that costs
 * nothing and evens out the load. A helper spins briefly before it sleeps, because the next layer's
 * units usually come within microseconds.
 */
#include "core/base/parallel.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

enum { SPIN_ROUNDS = 2000 };

struct Pool {
    pthread_mutex_t lock;
    pthread_cond_t wake; /* a new generation, or stop */
    pthread_cond_t idle; /* busy fell to 0 */
    atomic_uint generation;
    unsigned busy; /* helpers still in the generation; guarded by lock */
    bool stop;     /* guarded by lock */
    PoolBody body; /* published by `generation`, constant within one */
    void *context;
    size_t units;
    atomic_size_t next;
    unsigned threads; /* the maker included */
    unsigned started; /* helpers that run */
    pthread_t thread[POOL_THREADS_MAX];
};

static void set_control_word(void)
{
#if defined(__SSE__)
    _mm_setcsr(0x1f80); /* round to nearest, no flush to zero, exceptions masked */
#endif
}

static void relax(void)
{
#if defined(__SSE__)
    _mm_pause();
#endif
}

static void work(Pool *pool)
{
    for (;;) {
        size_t unit = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);

        if (unit >= pool->units)
            return;
        pool->body(pool->context, unit);
    }
}

static void *helper_main(void *argument)
{
    Pool *pool = argument;
    unsigned seen = 0;

    set_control_word();
    for (;;) {
        bool stop;

        for (int i = 0; i < SPIN_ROUNDS && atomic_load(&pool->generation) == seen; i++)
            relax();
        pthread_mutex_lock(&pool->lock);
        while (atomic_load(&pool->generation) == seen && !pool->stop)
            pthread_cond_wait(&pool->wake, &pool->lock);
        seen = atomic_load(&pool->generation);
        stop = pool->stop;
        pthread_mutex_unlock(&pool->lock);
        if (stop)
            return NULL;

        work(pool);

        pthread_mutex_lock(&pool->lock);
        if (--pool->busy == 0)
            pthread_cond_signal(&pool->idle);
        pthread_mutex_unlock(&pool->lock);
    }
}

Status pool_new(unsigned threads, Pool **ret, Error *err)
{
    Pool *pool;

    assert(threads >= 1 && threads <= POOL_THREADS_MAX);
    pool = calloc(1, sizeof *pool);
    if (pool == NULL)
        return error_set(err, STATUS_NO_MEMORY, "cannot allocate a thread pool");
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->idle, NULL);
    pool->threads = threads;
    set_control_word();
    for (unsigned i = 0; i + 1 < threads; i++) {
        if (pthread_create(&pool->thread[i], NULL, helper_main, pool) != 0) {
            pool_free(pool);
            return error_set(err, STATUS_NO_MEMORY, "cannot start thread %u of %u", i + 2, threads);
        }
        pool->started++;
    }
    *ret = pool;
    return STATUS_OK;
}

void pool_free(Pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->started; i++)
        pthread_join(pool->thread[i], NULL);
    pthread_cond_destroy(&pool->idle);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

unsigned pool_threads(const Pool *pool)
{
    return pool->threads;
}

void pool_run(Pool *pool, size_t units, PoolBody body, void *context)
{
    if (units == 0)
        return;
    pool->body = body;
    pool->context = context;
    pool->units = units;
    atomic_store(&pool->next, 0);
    if (pool->started == 0 || units == 1) {
        work(pool);
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->busy = pool->started;
    atomic_fetch_add(&pool->generation, 1);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->lock);

    work(pool);

    pthread_mutex_lock(&pool->lock);
    while (pool->busy > 0)
        pthread_cond_wait(&pool->idle, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

unsigned pool_default_threads(void)
{
    cpu_set_t set;
    int count = 1;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        count = CPU_COUNT(&set);
    if (count < 1)
        count = 1;
    return count > POOL_THREADS_MAX ? POOL_THREADS_MAX : (unsigned)count;
}
